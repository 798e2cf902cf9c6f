"""Attacks: points lie in their sets, values are the network's, and linear functions are climbed to the top."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from networks import random_layers, relu_network

pytest.importorskip("torch")

from pellucid.attacks import Goal, ascend, balls, boxes


def _exact_norm(x, centre, scale, p):
    """||(x - centre) / scale||_p as a fraction (of p = 2 its square)."""
    t = [abs(Fraction(a) - Fraction(c)) / Fraction(s) for a, c, s in zip(x, centre, scale, strict=True) if s]
    return max(t, default=0) if p == np.inf else sum(t) if p == 1 else sum(v * v for v in t)


@pytest.mark.parametrize("p", [1, 2, np.inf])
@pytest.mark.parametrize("d", [1, 2, 7, 300])
def test_points_put_inside_stay_where_they_are(p, d, rng):
    n = 400
    centre, scale = rng.normal(size=(n, d)), rng.random((n, d)) * 10.0 ** rng.uniform(-6, 3, (n, 1))
    sets = balls(centre, scale, p)
    x = sets.inside(centre + 3 * scale * rng.normal(size=(n, d)))
    fine = ~np.isnan(x).any(axis=1)
    assert fine.any()
    np.testing.assert_array_equal(sets[fine].inside(x[fine]), x[fine])
    for i in np.flatnonzero(fine)[:20]:
        assert _exact_norm(x[i], centre[i], scale[i], p) <= 1


@pytest.mark.parametrize("p", [1, 2, np.inf])
@pytest.mark.parametrize("clip", [None, (0.0, 1.0)])
def test_points_lie_in_their_balls_exactly(p, clip, rng):
    d, n = 7, 12
    centre, scale = rng.random((n, d)), rng.random((n, d)) * (rng.random((n, d)) < 0.8) + 1e-9
    scale[:, 2] = 0.0                                           # a feature that stands still
    sets = balls(centre, scale, p, *(() if clip is None else clip))
    net = relu_network(random_layers(rng, [d, 20, 3]))
    found = ascend(net.graph, sets, np.eye(3), aggregate="each", restarts=4, steps=15)
    assert found.x.shape == (n, 3, d)
    for i in range(n):
        for x in found.x[i]:
            assert _exact_norm(x, centre[i], scale[i], p) <= 1
            assert x[2] == centre[i, 2]
            assert clip is None or ((x >= 0) & (x <= 1)).all()
    np.testing.assert_allclose(found.value, np.einsum("nkk->nk", net(found.x.reshape(-1, d)).reshape(n, 3, 3)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("p", [1, 2, np.inf])
def test_linear_functions_are_climbed_to_the_top(p, rng):
    """max c.x over a ball is c.x0 + eps ||c||_q with 1/p + 1/q = 1."""
    W, x0, eps = rng.normal(size=(3, 6)), rng.normal(size=6), 0.3
    net = relu_network([(W, np.zeros(3))])
    found = ascend(net.graph, balls(x0, eps, p), np.eye(3), aggregate="each", steps=200, restarts=2)
    q = {1: np.inf, 2: 2, np.inf: 1}[p]
    best = W @ x0 + eps * np.linalg.norm(W, ord=q, axis=1)
    assert (found.value[0] <= best + 1e-12).all()
    np.testing.assert_allclose(found.value[0], best, rtol=0, atol=5e-3 * eps * np.linalg.norm(W, ord=q, axis=1).max())


def test_aggregates(rng):
    net = relu_network(random_layers(rng, [4, 16, 5]))
    sets = boxes(-np.ones((3, 4)), np.ones((3, 4)))
    goal = Goal(rng.normal(size=(5, 5)), rng.normal(size=(5, 4)), rng.normal(size=5))
    def rows(x):
        return net(x) @ goal.C.T + x @ goal.Q.T + goal.d
    for name, pick in (("largest", np.max), ("smallest", np.min)):
        found = ascend(net.graph, sets, goal, aggregate=name)
        np.testing.assert_allclose(found.value, pick(rows(found.x), axis=1), rtol=1e-12, atol=1e-12)
        sample = pick(rows(rng.uniform(-1, 1, (2000, 4))), axis=1)
        assert (found.value >= np.quantile(sample, 0.99)).all()      # better than chance


def test_rows_of_their_own_for_each_set(rng):
    net = relu_network(random_layers(rng, [4, 16, 5]))
    sets, C = boxes(-np.ones((2, 4)), np.ones((2, 4))), rng.normal(size=(2, 3, 5))
    both = ascend(net.graph, sets, C, aggregate="each")
    np.testing.assert_allclose(both.value, np.einsum("nkc,nkc->nk", C, net(both.x.reshape(-1, 4)).reshape(2, 3, 5)), rtol=1e-12, atol=1e-12)


def test_the_same_seed_gives_the_same_points_and_batches_do_not_matter(rng, monkeypatch):
    net = relu_network(random_layers(rng, [4, 16, 5]))
    sets = boxes(-np.ones((6, 4)), np.ones((6, 4)))
    once, again = (ascend(net.graph, sets, np.eye(5), seed=3) for _ in range(2))
    np.testing.assert_array_equal(once.x, again.x)


def test_a_set_of_one_point(rng):
    net, x0 = relu_network(random_layers(rng, [4, 8, 2])), rng.normal(size=4)
    for sets in (boxes(x0, x0), balls(x0, 0.0, 2), balls(x0, 0.0, 1)):
        found = ascend(net.graph, sets, np.eye(2), aggregate="each", restarts=3)
        np.testing.assert_array_equal(found.x[0], [x0, x0])
        np.testing.assert_allclose(found.value[0], net(x0)[0], rtol=1e-13)


def test_no_point_where_the_ball_misses_the_clip(rng):
    net = relu_network(random_layers(rng, [2, 4, 2]))
    found = ascend(net.graph, balls([3.0, 3.0], 0.5, 2, 0.0, 1.0), np.eye(2))
    assert np.isneginf(found.value).all()


def test_a_dead_network_is_no_obstacle():
    net = relu_network([(np.zeros((3, 2)), -np.ones(3)), (np.ones((2, 3)), np.zeros(2))])
    found = ascend(net.graph, boxes([-1, -1], [1, 1]), np.eye(2), aggregate="each")
    np.testing.assert_array_equal(found.value, [[0.0, 0.0]])


def test_stopping(rng):
    net = relu_network(random_layers(rng, [4, 16, 5]))
    found = ascend(net.graph, boxes(-np.ones(4), np.ones(4)), np.eye(5), stop=lambda: True)
    assert np.isneginf(found.value).all()
