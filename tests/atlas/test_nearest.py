"""Regions in order of distance: equal to those of the complete atlas, and none is missing within the radius that is claimed."""

from __future__ import annotations

import _thread
import threading

import numpy as np
import pytest
from distances import KINDS, distance, distances, small_network
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import random_layers, relu_network

import pellucid as pel
from pellucid.tolerance import NEAR_MARGIN

NORMS = (1, 2, np.inf)


def complete(net, box, by=None):
    return pel.linear_regions(net, box, engine="search", by=by)


def names(rows, by) -> list[tuple]:
    classes = np.zeros(len(rows)) if by is None else rows.first
    return [(*code, k) for code, k in zip(rows.codes.tolist(), classes, strict=True)]


def check_prefix(near, atlas, true):
    """The rows are the regions of the complete atlas nearer than the radius, each once, with its distance."""
    mine, true = names(near, atlas.by), dict(zip(names(atlas, atlas.by), true, strict=True))
    assert len(set(mine)) == len(mine)
    assert np.allclose(near.distance, [true[k] for k in mine], atol=1e-8)
    assert (np.diff(near.distance) >= 0).all()
    missing = [v for k, v in true.items() if k not in set(mine)]
    assert min(missing, default=np.inf) >= near.radius * (1 - 1e-12) - 1e-12
    assert not (near.is_complete and missing)
    assert np.allclose(np.linalg.norm(near.nearest - near.x, ord=near.p, axis=1), near.distance, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("p", NORMS)
def test_the_nearest_regions_are_those_of_the_complete_atlas(kind, p):
    for seed in range(8 if p == 2 else 3):
        net, box, x = small_network(seed, kind, (1, 7 if p == 2 else 5))
        by = "class" if seed % 2 else None
        atlas = complete(net, box, by)
        true = distances(atlas, x, p)
        check_prefix(pel.nearest_regions(net, x, box, p, by=by), atlas, true)
        for k in (1, 4, 1000):
            near = pel.nearest_regions(net, x, box, p, max_regions=k, by=by)
            check_prefix(near, atlas, true)
            assert len(near) == min(k, len(true))
        for r in (0.0, 0.3, 100.0):
            near = pel.nearest_regions(net, x, box, p, radius=r, by=by)
            check_prefix(near, atlas, true)
            assert near.radius >= r * (1 - 1e-12)
            assert (true < r * (1 - 1e-9)).sum() <= len(near) <= (true <= r + 1e-7).sum()


@pytest.mark.slow
@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("seed", range(9, 34))
def test_the_same_on_two_hundred_networks(seed, p):
    for kind in KINDS:
        net, box, x = small_network(seed, kind)
        atlas = complete(net, box)
        true = distances(atlas, x, p)
        for options in ({}, {"max_regions": 7}, {"radius": 0.4}):
            check_prefix(pel.nearest_regions(net, x, box, p, **options), atlas, true)


@pytest.mark.parametrize("p", NORMS)
def test_threads_change_nothing(p):
    net = relu_network(random_layers(np.random.default_rng(3), [4, 12, 10, 3]))
    x, box = np.full(4, 0.1), pel.Box(-np.ones(4), np.ones(4))
    one, two = (pel.nearest_regions(net, x, box, p, max_regions=300, threads=t) for t in (1, 2))
    assert (one.codes == two.codes).all()
    assert (one.distance == two.distance).all()
    assert one.radius == two.radius


@pytest.mark.parametrize("p", NORMS)
def test_without_a_domain_the_search_grows_and_sampled_points_are_in_its_rows(p, rng):
    for seed in range(4):
        d = int(rng.integers(1, 5))
        net, x = relu_network(random_layers(np.random.default_rng(seed), [d, 6, 6, 2])), 30 * rng.normal(size=d)
        near = pel.nearest_regions(net, x, p=p, max_regions=12)
        assert len(near) <= 12
        reach = min(near.radius, 1e3)
        z = rng.normal(size=(2000, d))
        z *= (rng.uniform(size=2000) * reach * (1 - 1e-6) / np.linalg.norm(z, ord=p, axis=1))[:, None]
        assert (near.locate(x + z) >= 0).all()
        assert (near.distance[near.locate(x + z)] <= np.linalg.norm(z, ord=p, axis=1) + 1e-9).all()


def test_a_row_is_a_region_with_its_model():
    net, box, x = small_network(1, "plain", (3, 4))
    near = pel.nearest_regions(net, x, box, max_regions=5)
    assert near.distance[0] == 0
    assert near.locate(x) == 0
    for k in range(len(near)):
        region = near[k]
        assert np.allclose(net(region.interior_x)[0], near.coef[k] @ region.interior_x + near.intercept[k])
        assert (region.code == near.codes[k]).all()
        assert np.isclose(distance(region.halfspaces.A, region.halfspaces.b, x, 2), near.distance[k], atol=1e-8)
    assert near.to_frame()["distance"].tolist() == near.distance.tolist()
    assert "none missing within" in repr(near)
    assert str(near.status) == "proved"


def test_a_second_look_by_samples_refutes_what_is_wrong():
    from dataclasses import replace

    from pellucid.atlas.nearest import Near, _second_look

    net, box, x = small_network(1, "plain", (2, 3))
    near = pel.nearest_regions(net, x, box, max_regions=4)
    again = near.certificate.check()
    assert again.status is pel.Status.UNKNOWN
    assert again.figures["points"] > 100
    question = Near(net, x, box, 2, None)
    assert _second_look(question, replace(near, radius=3.0)).status is pel.Status.REFUTED
    assert _second_look(question, replace(near, distance=near.distance + 0.1)).status is pel.Status.REFUTED


def test_budgets_of_time_give_a_radius_that_holds():
    net = relu_network(random_layers(np.random.default_rng(0), [3, 24, 24, 2]))
    box, x = pel.Box(-3 * np.ones(3), 3 * np.ones(3)), np.zeros(3)
    atlas = complete(net, box)
    for seconds in (0.0, 0.003, 0.02):
        near = pel.nearest_regions(net, x, box, max_seconds=seconds, threads=1)
        assert len(near) <= len(atlas)
        assert near.radius >= 0
        assert (near.distance <= near.radius * (1 + 3 * NEAR_MARGIN)).all()
        some = np.random.default_rng(1).integers(len(atlas), size=300)
        true, known = distances(atlas, x, 2, some), {tuple(c) for c in near.codes.tolist()}
        assert all(tuple(c) in known for c in atlas.codes[some[true < near.radius * (1 - 1e-9)]].tolist())


def test_in_a_slice_distances_are_those_of_the_full_points():
    rng = np.random.default_rng(4)
    net = relu_network(random_layers(rng, [4, 6, 5, 2]))
    x = rng.uniform(-0.5, 0.5, 4)
    box = pel.Box(-np.ones(4), np.ones(4), names=net.feature_names)
    tied = box.slice(free=("x0", "x2"), at=x, ties={"x0": ["x1"]})
    start = tied.point([[x[0], x[2]]])[0]
    for p in NORMS:
        check_slice(net, tied, start, p)
    oblique = pel.Slice(x, rng.normal(size=(4, 2)), box)
    check_slice(net, oblique, x, 2)
    with pytest.raises(pel.DomainError, match="2-norm only"):
        pel.nearest_regions(net, x, oblique, 1)


def check_slice(net, plane, x, p):
    near, atlas = pel.nearest_regions(net, x, plane, p), complete(net, plane)
    assert near.is_complete
    assert (near.atlas.codes == atlas.codes).all()
    k = near.row
    assert np.allclose(near.atlas.coef_u, atlas.coef_u, atol=1e-9)
    assert (near.atlas.locate(near.atlas.cells.points[k]) == k).all()
    rng = np.random.default_rng(0)
    lower, upper = plane.bounds
    u = rng.uniform(lower, upper, (20_000, 2))
    G, h, _ = plane.constraints
    u = u[(u @ G.T <= h).all(axis=1)]
    away = np.linalg.norm(plane.point(u) - x, ord=p, axis=1)
    assert (near.distance[near.locate(u)] <= away + 1e-9).all()
    assert np.allclose(np.linalg.norm(near.nearest - x, ord=p, axis=1), near.distance, atol=1e-9)


def test_a_polytope_and_half_unbounded_boxes_are_domains():
    net, _, _ = small_network(1, "plain", (3, 4))
    x = np.full(3, 0.1)
    part = pel.Box(-np.ones(3), np.ones(3)).where([1.0, 1.0, 0.5], 0.6)
    near, atlas = pel.nearest_regions(net, x, part), complete(net, part)
    check_prefix(near, atlas, distances(atlas, x, 2))
    half = pel.Box([0, -np.inf, -1], [np.inf, np.inf, 1])
    near = pel.nearest_regions(net, x, half, radius=2.0)
    assert (near.nearest[:, 0] >= -1e-9).all()
    assert near.radius >= 2 * (1 - 1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**20), st.sampled_from(NORMS), st.sampled_from(KINDS))
def test_points_of_the_ball_lie_in_rows(seed, p, kind):
    net, box, x = small_network(seed, kind, (1, 4))
    near = pel.nearest_regions(net, x, box, p, max_regions=6)
    rng = np.random.default_rng(seed)
    z = x + rng.uniform(-1, 1, (500, len(x))) * min(near.radius, 2.0)
    z = z[(np.abs(z) <= 1).all(axis=1)]
    z = z[np.linalg.norm(z - x, ord=p, axis=1) < near.radius * (1 - 1e-6)]
    assert (near.locate(z) >= 0).all()


def test_ctrl_c_keeps_what_is_near(monkeypatch):
    import signal

    monkeypatch.setattr("pellucid.regions.nearest._TICK", 0.01)
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        net = relu_network(random_layers(np.random.default_rng(0), [10, 60, 60, 2]))
        calls = []

        def progress(p):
            calls.append(p)
            if len(calls) == 3:
                threading.Thread(target=_thread.interrupt_main).start()

        with pytest.raises(pel.Interrupted) as stop:
            pel.nearest_regions(net, np.zeros(10), pel.Box(-np.ones(10), np.ones(10)), progress=progress)
        near = stop.value.partial
        assert near.radius >= 0
        assert not near.is_complete
        assert "interrupted" in near.certificate.reason
    finally:
        signal.signal(signal.SIGINT, old)


def test_what_cannot_be_is_said():
    net, box, x = small_network(1, "plain", (2, 3))
    with pytest.raises(pel.DomainError, match="outside the domain"):
        pel.nearest_regions(net, x + 5, box)
    with pytest.raises(pel.DomainError, match="give max_regions"):
        pel.nearest_regions(net, x)
    with pytest.raises(ValueError, match="norms 1, 2 and inf"):
        pel.nearest_regions(net, x, box, 3)
    with pytest.raises(pel.DataError, match="one row of 2"):
        pel.nearest_regions(net, np.zeros(3), box)
    with pytest.raises(ValueError, match="at least 1"):
        pel.nearest_regions(net, x, box, max_regions=0)
