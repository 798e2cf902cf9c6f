"""Local explanations: the region of x, its facets by two ways, and what lies beyond them."""

from __future__ import annotations

import numpy as np
import pytest
from distances import KINDS, distance, small_network
from networks import random_layers, relu_network

import pellucid as pel
from pellucid.certificate import Status
from pellucid.explain import local


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_atlas_region_of_the_point(kind):
    for seed in range(6):
        net, box, x = small_network(seed, kind, (1, 6))
        atlas, here = pel.linear_regions(net, box, engine="search"), pel.local_explanation(net, x, box)
        k = int(atlas.locate(x)[0])
        if seed % 4:                                            # x inside a region: there is only one
            assert (here.code == atlas.codes[k]).all()
        assert (here.code == atlas.codes).all(axis=1).sum() == 1
        assert np.allclose(here.y, net(x)[0])
        region = atlas[int(np.flatnonzero((here.code == atlas.codes).all(axis=1))[0])]
        assert sorted(region.halfspaces.units) == sorted(here.units)
        for A, b, away, foot in zip(here.A, here.b, here.distance, here.nearest, strict=True):
            facet = np.vstack([here.A, -A]), np.append(here.b, -b)
            assert np.isclose(away, distance(*facet, x, 2), atol=1e-7)
            assert (here.A @ foot <= here.b + 1e-7).all()


@pytest.mark.parametrize("kind", KINDS)
def test_programmes_find_the_facets_of_the_engine(kind):
    for seed in range(1, 7):
        net, box, x = small_network(seed, kind, (1, 6))
        place = local._place(net, x, box)
        (a, ball), (b, other) = local._by_engine(place.atlas), local._by_programmes(place.atlas, place.u)
        assert same_rows(a, b)
        assert np.isclose(ball[1], other[1])
        inner = a.column >= 0
        assert {tuple(c) for c in a.beyond[inner].tolist()} == {tuple(c) for c in b.beyond[b.column >= 0].tolist()}


def same_rows(a, b) -> bool:
    rows = [np.column_stack([f.A, f.b]) for f in (a, b)]
    near = np.abs(rows[0][:, None] - rows[1][None]).max(axis=2) < 1e-7
    return len(a.b) == len(b.b) and bool(near.any(axis=0).all())


@pytest.mark.parametrize("kind", KINDS)
def test_beyond_a_facet_lies_what_is_told(kind, rng):
    for seed in range(6):
        net, box, x = small_network(seed, kind, (2, 5))
        here, atlas = pel.local_explanation(net, x, box), pel.linear_regions(net, box, engine="search")
        known = {tuple(c): k for k, c in enumerate(atlas.codes.tolist())}
        for code, change, unit in zip(here.codes, here.change, here.units, strict=True):
            if "=" in unit:                                     # a face of the domain
                assert np.isnan(change).all()
                continue
            k = known[tuple(code)]
            assert np.allclose(atlas.coef[k] - here.coef, change, atol=1e-9)
            assert (code != here.code).any()


def test_without_a_domain_the_region_has_no_other_facets_than_units():
    net = relu_network([(np.array([[1.0, 0.0]]), np.array([-1.0])), (np.array([[2.0], [0.0]]), np.array([0.0, 1.0]))], "softmax")
    here = pel.local_explanation(net, [3.0, 7.0])               # x0 > 1: 2 (x0 - 1) against 1
    assert here.units == ("relu[0]",)
    assert here.radius == pytest.approx(2)
    assert here.ball[1] == np.inf
    assert np.allclose(here.coef, [[2, 0], [0, 0]])
    assert np.allclose(here.change, [[[-2, 0], [0, 0]]])
    assert here.decision == 0
    assert here.beyond.tolist() == [1]                          # at x0 = 1 the second class is given
    assert here.status is Status.PROVED
    assert here.to_frame()["class beyond"].tolist() == ["class 1"]
    assert here.to_frame("weights")["part of class 0"].tolist() == [6, 0, -2]


def test_a_network_without_units_has_no_end():
    here = pel.local_explanation(relu_network([(np.array([[1.0, 2.0]]), np.zeros(1))]), [0.0, 0.0])
    assert here.radius == np.inf
    assert here.decision is None
    assert len(here.to_frame()) == 0


def test_a_slice_measures_in_the_features():
    net = relu_network([(np.array([[1.0, 1.0, 0.0]]), np.zeros(1)), (np.ones((1, 1)), np.zeros(1))])
    x = np.array([1.0, 1.0, 0.0])
    plane = pel.Slice(x, np.array([[1.0], [1.0], [0.0]]), pel.Box(-5 * np.ones(3), 5 * np.ones(3)))
    here = pel.local_explanation(net, x, plane)                 # x + u (1, 1, 0): the unit turns at u = -1, sqrt(2) away
    away = dict(zip(here.units, here.distance, strict=True))
    assert away["relu[0]"] == pytest.approx(np.sqrt(2))
    assert here.nearest[here.units.index("relu[0]")] == pytest.approx([0, 0, 0])


def test_many_dimensions_go_by_programmes():
    rng = np.random.default_rng(0)
    net = relu_network(random_layers(rng, [80, 12, 6, 3]), "softmax")
    x = rng.normal(size=80)
    here = pel.local_explanation(net, x, pel.Box(x - 100, x + 100))
    assert here.status is Status.UNKNOWN
    assert np.allclose(here.y, net(x)[0])
    coef, intercept = local.local_maps(here.region.atlas.chain, here.codes)
    for k, unit in enumerate(here.units):                       # continuous across the facet, another code behind it
        foot = here.nearest[k]
        assert np.allclose(coef[k] @ foot + intercept[k], here.coef @ foot + here.intercept, atol=1e-8)
        assert ("=" in unit) == (here.codes[k] == here.code).all()
    with pytest.raises(pel.DomainError, match="outside the domain"):
        pel.local_explanation(net, x + 200, pel.Box(x - 100, x + 100))
    W, b = np.zeros((1, 80)), np.zeros(1)
    W[0, 0] = 1.0
    flat = relu_network([(np.vstack([W, -W]), np.zeros(2)), (np.ones((1, 2)), b)])
    with pytest.raises(pel.DomainError, match="lies on a face"):
        pel.local_explanation(flat, np.zeros(80))


def test_it_shows_itself():
    net, box, x = small_network(1, "plain", (3, 4), link="softmax")
    here = pel.local_explanation(net, x, box)
    assert repr(here).startswith("LocalExplanation(")
    assert "the nearest" in repr(here)
    assert "<table" in here._repr_html_()
    with pytest.raises(ValueError, match="'facets' and 'weights'"):
        here.to_frame("other")
