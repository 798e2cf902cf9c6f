"""Backward linear bounds contain every value, and are never worse than intervals by much where units are ReLUs."""

from __future__ import annotations

import numpy as np
import pytest
from networks import random_layers
from regions.nets import groups, relu, relu_chain, rows, same

from pellucid.chain import Backward, unit_intervals
from pellucid.chain.backward import relaxations
from pellucid.chain.chain import Chain, Stage

LEAKY = ([0.0], [0.1, 1.0], [0.0, 0.0])
HARD_TANH = ([-1.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 1.0])
STEPS = ([-0.5, 0.25, 1.0], [0.0, 1.0, 0.5, 2.0], [0.2, -0.3, 0.4, -1.0])
PHIS = {"relu": relu(6), "leaky": same(6, *LEAKY), "hard tanh": same(6, *HARD_TANH), "jumps": same(6, *STEPS),
        "mixed": rows([LEAKY, ([], [-2.0], [0.5]), HARD_TANH, STEPS, ([], [1.0], [0.0]), LEAKY]),
        "max": groups([0, 1, 2], [2, 3], [4], [5, 0])}


@pytest.mark.parametrize("name", PHIS)
def test_relaxations_lie_on_both_sides(name, rng):
    phi = PHIS[name]
    middle, half = rng.normal(size=6), rng.uniform(0, 2, 6) * (rng.random(6) > 0.2)
    low, up = middle - half, middle + half
    z = rng.uniform(low[:, None], up[:, None], (6, 500))
    for line in relaxations(phi, low, up):
        below, above = (m[:, None] * z[line.row] + c[:, None] for m, c in (line.below, line.above))
        assert (below <= phi(z) + 1e-12).all()
        assert (phi(z) <= above + 1e-12).all()


@pytest.mark.parametrize("first", PHIS)
@pytest.mark.parametrize("second", PHIS)
def test_bounds_contain_every_value(first, second, rng):
    n = PHIS[first].n_outputs
    stages = tuple(Stage(rng.normal(size=(6, k)), rng.normal(size=6), PHIS[name]) for k, name in ((3, first), (n, second)))
    chain = Chain(3, stages, rng.normal(size=(2, PHIS[second].n_outputs)), rng.normal(size=2))
    low, up = -np.ones(3), np.array([1.0, 2, 0.5])
    intervals, work = unit_intervals(chain, low, up), Backward(low, up)
    s = rng.uniform(low, up, (2000, 3)).T
    for layer, bounds in zip((*chain.stages, chain), intervals, strict=True):
        z = layer.A @ s + layer.a[:, None]
        pick = np.arange(len(z))[::-1]
        below, above = work.bounds(layer, pick)
        assert (below[:, None] <= z[pick] + 1e-9).all()
        assert (z[pick] <= above[:, None] + 1e-9).all()
        if layer is not chain:
            work.push(layer, *bounds)
            s = layer.phi(z)


def test_they_are_tighter_than_intervals_in_small_boxes():
    rng = np.random.default_rng(0)
    chain = relu_chain(random_layers(rng, [5, 30, 30, 30, 2]))
    low, up = np.full(5, 0.3), np.full(5, 0.35)
    intervals, work = unit_intervals(chain, low, up), Backward(low, up)
    for stage, bounds in zip(chain.stages, intervals, strict=False):
        work.push(stage, *bounds)
    below, above = work.bounds(chain, np.arange(2))
    assert (above - below < 0.7 * (intervals[-1][1] - intervals[-1][0])).all()
