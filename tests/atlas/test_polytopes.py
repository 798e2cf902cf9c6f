"""The same laws in more dimensions than two, where regions are halfspaces and points."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from networks import random_layers, relu_network
from test_atlas import DEGENERATE, conv_network, degenerate_layers

import pellucid as pel
from pellucid.certificate import Status
from pellucid.graph import INPUT, GraphBuilder, Network
from pellucid.ops.extremum import Extremum
from pellucid.ops.linear import Linear
from pellucid.ops.relu import ReLU


@pytest.mark.parametrize("by", [None, "class", "top2"])
@pytest.mark.parametrize("kind", DEGENERATE)
@pytest.mark.parametrize(("d", "engine"), [(1, "auto"), (3, "auto"), (3, "search"), (4, "auto"), (4, "search")])
def test_an_atlas_passes_its_own_check_and_equals_the_network(kind, by, d, engine, rng):
    net = relu_network(degenerate_layers(kind, rng, d), "softmax")
    atlas = pel.linear_regions(net, pel.Box([-1] * d, [1] * d), by=by, engine=engine)
    verdict = atlas.check(points=2000)
    assert verdict.status is Status.PROVED, verdict
    x = rng.uniform(-1, 1, (3000, d))
    assert np.allclose(atlas(x), net(x), rtol=1e-9, atol=1e-9)
    k = atlas.locate(x)
    assert np.allclose(np.einsum("ncd,nd->nc", atlas.coef[k], x) + atlas.intercept[k], net(x), rtol=1e-9, atol=1e-9)
    if by:
        y = net(x)
        assert np.allclose(y[np.arange(len(y)), atlas.first[k]], y.max(axis=1), atol=1e-9)


@pytest.mark.parametrize("engine", ["search", "vertex"])
@pytest.mark.parametrize("by", [None, "class", "top2"])
def test_other_engines_agree_with_the_planar_one(by, engine, rng):
    for kind in DEGENERATE:
        net = relu_network(degenerate_layers(kind, rng), "softmax")
        one, other = (pel.linear_regions(net, pel.Box([-1, -1], [1, 1]), by=by, engine=e) for e in ("planar", engine))
        assert np.array_equal(one.codes, other.codes)
        assert np.allclose(one.coef, other.coef)
        if by:
            assert np.array_equal(one.first, other.first)
        x = np.vstack([rng.uniform(-1, 1, (500, 2)), one.cells.vertices, [[0, 0], [1, 1], [-1, 0]]])
        values = other(x)
        assert np.allclose(values, net(x), atol=1e-8)


def test_facets_neighbours_and_vertices_of_a_region(rng):
    net = relu_network(random_layers(rng, [3, 8, 8, 3]), "softmax", feature_names=("a", "b", "c"))
    atlas = pel.linear_regions(net, pel.Box([-1] * 3, [1] * 3).where([1, 1, 1], 2), by="class")
    for k in range(0, len(atlas), max(1, len(atlas) // 12)):
        region = atlas[k]
        A, b, units = region.halfspaces
        assert (A @ region.interior_point < b).all()
        v = region.vertices
        assert (b[:, None] + 1e-9 >= A @ v.T).all()
        assert ((np.abs(A @ v.T - b[:, None]) <= 1e-9).sum(axis=1) >= 3).all()         # every row is a facet
        assert all(u.split("[")[0] in ("relu", "relu_2") or "|" in u or "=" in u or "constraint" in u for u in units)
        for row in atlas.neighbours(k).itertuples():
            if row.region >= 0:
                assert k in set(atlas.neighbours(row.region).region)
            else:
                assert "=" in row.unit or "constraint" in row.unit


def test_points_on_faces_belong_to_a_region_that_touches_them():
    net = relu_network([(np.eye(3), np.zeros(3)), (np.ones((1, 3)), np.zeros(1))])
    atlas = pel.linear_regions(net, pel.Box([-1] * 3, [1] * 3))
    assert atlas.locate(np.zeros((1, 3))).tolist() == [7]
    dead = relu_network([(np.diag([1.0, 1, 0]), np.zeros(3)), (np.ones((1, 3)), np.zeros(1))])
    atlas = pel.linear_regions(dead, pel.Box([-1] * 3, [1] * 3))
    assert atlas.codes.tolist() == [[0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0]]
    assert atlas.locate([[0.5, -0.5, 0.1], [0.5, 0.5, -1], [0, -1, 0], [2, 0, 0]]).tolist() == [2, 3, 0, -1]


def test_equal_winners_touch_a_point_and_smaller_ones_do_not(rng):
    # max(a, b, max(b, 0)): wherever b >= 0 the last two are equal, so no point has the code of its region
    b = GraphBuilder((3,))
    h = b.add(Linear(rng.normal(size=(4, 3)), rng.normal(size=4)), INPUT)
    g = b.add(Linear(rng.normal(size=(4, 3)), rng.normal(size=4)), INPUT)
    m = b.add(Extremum(1), h, g, b.add(ReLU(), g))
    net = Network(b.graph(b.add(Linear(rng.normal(size=(2, 4)), np.zeros(2)), m)), "softmax")
    for engine in ("vertex", "search"):
        for by in (None, "class"):
            atlas = pel.linear_regions(net, pel.Box([-1] * 3, [1] * 3), by=by, engine=engine)
            x = rng.uniform(-1, 1, (3000, 3))
            assert np.allclose(atlas(x), net(x), rtol=1e-9, atol=1e-9)
            part = pel.linear_regions(net, pel.Box([-1] * 3, [1] * 3), by=by, engine=engine, max_regions=len(atlas) // 2)
            assert part.check(points=1000).status is Status.PROVED


@pytest.mark.parametrize("by", [None, "class"])
def test_save_then_load_changes_nothing(by, rng, tmp_path):
    net = relu_network(random_layers(rng, [4, 6, 6, 3]), "softmax")
    atlas = pel.linear_regions(net, pel.Box([-1] * 4, [1] * 4), by=by)
    back = pel.load_atlas(atlas.save(tmp_path / "atlas"))
    pd.testing.assert_frame_equal(atlas.to_frame(), back.to_frame())
    assert repr(back) == repr(atlas)
    assert back.check(points=500).status is Status.PROVED


def test_a_conv_network_in_three_directions(rng):
    net = conv_network(rng)
    x0 = 0.2 * rng.normal(size=36)
    domain = pel.Slice(x0, rng.normal(size=(36, 3)), pel.Box(x0 - 0.15, x0 + 0.15))
    for engine in ("vertex", "search"):
        atlas = pel.linear_regions(net, domain, engine=engine)
        assert atlas.is_complete
        x = domain.point(rng.uniform(-0.02, 0.02, (3000, 3)))
        assert np.allclose(atlas(x), net(x), rtol=1e-9, atol=1e-9)
        assert atlas.check(points=500).status is Status.PROVED


def test_budgets_and_selections(rng):
    net = relu_network(random_layers(rng, [3, 20, 20, 3]), "softmax")
    box = pel.Box([-1] * 3, [1] * 3)
    part, whole = pel.linear_regions(net, box, max_regions=50, by="class"), pel.linear_regions(net, box, by="class")
    assert isinstance(part, pel.PartialAtlas)
    assert len(part) == 50
    assert part.certificate.status is Status.UNKNOWN
    assert {tuple(c) for c in part.codes} <= {tuple(c) for c in whole.codes}
    assert sum(len(whole.select(first=c)) for c in range(3)) == len(whole)
    searched = pel.linear_regions(net, box, engine="search", max_regions=5)
    with pytest.raises(pel.MissingColumn, match="volumes"):
        _ = searched.volume


@pytest.mark.parametrize("by", [None, "class", "top2"])
@pytest.mark.parametrize("d", [1, 2, 3, 6])
def test_stopped_before_the_first_region_it_is_an_atlas_of_no_rows(d, by, rng, tmp_path):
    net = relu_network(random_layers(rng, [d, 6, 6, 3]))
    atlas = pel.linear_regions(net, pel.Box(-np.ones(d), np.ones(d)), by=by, max_regions=0)
    again = pel.load_atlas(atlas.save(tmp_path / "atlas"))
    points = rng.uniform(-1, 1, (5, d))
    for a in (atlas, again):
        assert (len(a), a.n_regions, a.coef.shape) == (0, 0, (0, 3, d))
        assert not a.is_complete
        assert (a.locate(points) == -1).all()
        assert np.isnan(a(points)).all()
        assert len(a.to_frame()) == 0
        assert a.check().status is not Status.REFUTED


@pytest.mark.parametrize("engine", ["search", "vertex"])
def test_points_lie_in_pieces_whose_first_and_second_are_theirs_whatever_units_are_dead(engine, rng):
    for kind in ("dead units", "duplicate units", "integer weights"):
        net = relu_network(degenerate_layers(kind, rng, 3, 4), "softmax")
        atlas = pel.linear_regions(net, pel.Box([-1] * 3, [1] * 3), by="top2", engine=engine)
        x = rng.uniform(-1, 1, (2000, 3))
        k, y = atlas.locate(x), net(x)
        order = np.sort(y, axis=1)
        n = np.arange(len(y))
        assert np.allclose(y[n, atlas.first[k]], order[:, -1])
        assert np.allclose(y[n, atlas.second[k]], order[:, -2])


@pytest.mark.parametrize("likeness", [1e-7, 1e-9, 1e-11])
@pytest.mark.parametrize("by", ["class", "top2"])
def test_outputs_that_are_nearly_the_same_divide_regions_without_gap_or_overlap(likeness, by):
    for seed in range(6):
        rng = np.random.default_rng(seed)
        (A, a), (B, b) = random_layers(rng, [3, 7, 4])
        B[3] = B[0] * (1 + likeness * rng.standard_normal(7))
        b[3] = b[0] + likeness * rng.standard_normal()
        net = relu_network([(A, a), (B, b)], "softmax")
        box = pel.Box([-1] * 3, [1] * 3).where(rng.standard_normal(3), 0.5)
        atlas = pel.linear_regions(net, box, by=by, engine="vertex")
        assert np.isclose(atlas.volume.sum(), atlas.total_volume, rtol=1e-9)
        assert atlas.check(points=500).status is Status.PROVED


@pytest.mark.parametrize("seed", [92, 93])                         # 92 has regions without interior by their own weights
def test_regions_as_thin_as_the_tolerance_have_halfspaces_too(seed):
    rng = np.random.default_rng(seed)
    sizes = [2, 6, 5, 3]
    W, b = [rng.standard_normal((o, i)) for i, o in pairwise(sizes)], [rng.standard_normal(o) / 2 for o in sizes[1:]]
    for A, a in zip(W, b, strict=True):
        unlike = 10.0 ** rng.integers(-5, 6, len(a))
        A *= unlike[:, None]
        a *= unlike
    net = pel.load((W, b), orientation="out_in", link="softmax")
    atlas = pel.linear_regions(net, pel.Box([-1, -1], [1, 1]), by="class", engine="search")
    for k, region in enumerate(atlas):
        faces = region.halfspaces
        excess = faces.A @ atlas.cells.points[k] - faces.b
        assert (excess <= 1e-8 * np.linalg.norm(faces.A, axis=1)).all()
        assert len(faces.b) >= 3
    pel.transitions(atlas)
