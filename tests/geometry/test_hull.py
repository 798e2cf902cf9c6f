"""Convex hulls of data as analysis sets: they hold the rows and nothing outside; flat ones are slices; large ones go by weights."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from networks import random_layers, relu_network
from scipy.optimize import linprog

import pellucid as pel
from pellucid.geometry import as_slice


def in_hull(points, x):
    n = len(points)
    answer = linprog(np.zeros(n), A_eq=np.vstack([points.T, np.ones(n)]), b_eq=np.append(x, 1.0), bounds=[(0, None)] * n)
    return answer.status == 0


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_halfspaces_hold_exactly_the_hull(d, rng):
    X = rng.normal(size=(12 * d, d)) * np.logspace(0, 3, d)
    hull = pel.Hull.of(X)
    plane = as_slice(hull, tuple(f"x{j}" for j in range(d)))
    G, h, _ = plane.constraints
    u, off = plane.coordinates(X)
    assert off.max() < 1e-9
    assert (u @ G.T <= h + 1e-9).all()
    tries = X[rng.integers(len(X), size=40)] * rng.uniform(0.5, 1.5, (40, 1))
    inside = (plane.coordinates(tries)[0] @ G.T <= h + 1e-12).all(axis=1)
    np.testing.assert_array_equal(inside, [in_hull(X, x) for x in tries])
    assert 0 < inside.sum() < 40


def test_a_flat_cloud_is_a_slice_of_fewer_dimensions(rng):
    u = rng.uniform(-1, 1, (30, 2))
    P = np.array([[1.0, 0], [0, 100], [1, 1], [2, 0]])
    X = np.array([1.0, 2, 3, 4]) + u @ P.T
    hull = pel.Hull.of(X)
    assert hull.dim == 2
    plane = as_slice(hull, tuple("abcd"))
    assert plane.dim == 2
    assert plane.coordinates(X)[1].max() < 1e-9
    net = relu_network(random_layers(rng, [4, 6, 2]), "softmax")
    atlas = pel.linear_regions(net, hull, by="class")
    assert atlas.is_complete
    assert (atlas.locate(X.mean(axis=0)[None]) >= 0).all()
    np.testing.assert_allclose(atlas(X.mean(axis=0)[None]), net(X.mean(axis=0)[None]), atol=1e-9)


def test_names_travel_and_orders_may_differ(rng):
    net = relu_network(random_layers(rng, [2, 5, 1]), feature_names=("age", "income"))
    frame = pd.DataFrame({"income": [10.0, 20, 30, 15], "age": [1.0, 3, 2, 5]})
    best = pel.maximise(net, 0, pel.Hull.of(frame))
    turned = pel.maximise(net, 0, pel.Hull.of(frame[["age", "income"]].to_numpy()))
    np.testing.assert_allclose(best.value, turned.value, atol=1e-8)
    assert in_hull(frame[["age", "income"]].to_numpy(), np.round(best.witness, 6)) or best.gap < 1e-6


@pytest.mark.parametrize("d", [2, 9])
def test_optima_over_a_hull_are_not_beaten_inside_it(d, rng):
    net = relu_network(random_layers(rng, [d, 6, 5, 1]))
    X = rng.normal(size=(25, d))
    hull = pel.Hull.of(X).where(np.ones(d), 0.5)
    best = pel.maximise(net, 0, hull)
    assert best.certificate.figures["engine"] == ("regions" if d == 2 else "milp")
    assert best.status is pel.Status.PROVED
    x = best.witness
    weights = linprog(np.zeros(25), A_eq=np.vstack([X.T, np.ones(25)]), b_eq=np.append(x, 1.0), bounds=[(-1e-7, None)] * 25)
    assert weights.status == 0 or d == 9
    assert x.sum() <= 0.5 + 1e-7
    inside = rng.dirichlet(np.full(25, 0.2), 4000) @ X
    inside = inside[inside.sum(axis=1) <= 0.5]
    assert net(inside).max() <= best.bound


def test_both_ways_of_taking_a_hull_agree(rng):
    from pellucid.explain import optimise

    net = relu_network(random_layers(rng, [3, 6, 4, 1]))
    X = rng.normal(size=(20, 3))
    by_facets = pel.maximise(net, 0, pel.Hull.of(X))
    asked = optimise._question(net, optimise.objective_of(net, 0)[1], pel.Hull.of(X).box, None, (), (), None, None)
    by_weights = optimise.largest(optimise.replace(asked, hull=X))
    np.testing.assert_allclose(by_facets.value, by_weights.value, atol=1e-6)


def test_what_cannot_be_is_said(rng):
    with pytest.raises(pel.DomainError, match="needs two at least"):
        pel.Hull.of(np.ones((3, 2)))
    big = pel.Hull.of(rng.normal(size=(40, 9)))
    assert not big.is_small
    with pytest.raises(pel.DomainError, match="9 dimensions"):
        pel.linear_regions(relu_network(random_layers(rng, [9, 4, 1])), big)
    with pytest.raises(ValueError, match="hulls of many points"):
        pel.maximise(relu_network(random_layers(rng, [9, 4, 1])), 0, big, engine="regions")
    with pytest.raises(pel.DomainError, match="9 features"):
        pel.maximise(relu_network(random_layers(rng, [3, 4, 1])), 0, big)
    assert "9 dimensions" in repr(big)
