"""Both optimising engines on chains of every kind of stage: they agree, and no sample is better."""

from __future__ import annotations

import numpy as np
import pytest
from regions.nets import groups, relu, rows, same

from pellucid.chain.chain import Chain, Stage
from pellucid.explain.linear import Objective, Rows
from pellucid.explain.optimise import largest
from pellucid.explain.question import Question, best_of
from pellucid.geometry import Box, as_slice

LEAKY = ([0.0], [0.1, 1.0], [0.0, 0.0])
HARD_TANH = ([-1.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 1.0])
FALLING = ([-0.5, 0.5], [-1.0, 2.0, -0.5], [0.0, 1.5, 2.75])
PASS = ([], [1.0], [0.0])
KINDS = {
    "leaky": [same(5, *LEAKY), same(4, *LEAKY)],
    "hard tanh": [same(4, *HARD_TANH), same(4, *HARD_TANH)],
    "three pieces": [same(4, *FALLING), relu(4)],
    "passing": [rows([LEAKY, PASS, HARD_TANH, PASS]), rows([PASS, PASS, FALLING])],
    "max": [groups([0, 1, 2], [2, 3], [4]), relu(3)],
    "max of relus": [relu(4), groups([0, 1], [1, 2, 3], [0])],
}


def chain_of_kind(kind, rng, d):
    stages, n = [], d
    for phi in KINDS[kind]:
        rows_in = int(phi.members.max()) + 1 if hasattr(phi, "members") else phi.n_outputs
        stages.append(Stage(rng.normal(size=(rows_in, n)), 0.5 * rng.normal(size=rows_in), phi))
        n = phi.n_outputs
    return Chain(d, tuple(stages), rng.normal(size=(2, n)), rng.normal(size=2))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [1, 3])
def test_engines_agree_on_every_kind_of_stage(kind, d):
    rng = np.random.default_rng(7 + d)
    chain = chain_of_kind(kind, rng, d)
    box = Box(-np.ones(d), np.full(d, 1.5))
    plane = as_slice(box, tuple(f"x{j}" for j in range(d)))
    X = rng.uniform(box.lower, box.upper, (5000, d))
    level = float(np.median(chain(X)[:, 1]))
    kept = Rows(np.array([[0.0, 1.0]]), np.zeros((1, d)), np.array([level]))
    free = Rows(np.zeros((0, 2)), np.zeros((0, d)), np.zeros(0))
    for where in (free, kept):
        asked = Question(chain, chain, plane, Objective(np.array([1.0, -0.5]), rng.normal(size=d)), where, np.zeros(0, int), ())
        found = [largest(asked, engine) for engine in ("regions", "milp")]
        values, excess = asked.values(X)
        best = values[excess <= 0].max()
        for answer in found:
            assert answer.is_complete
            assert best <= answer.bound
            assert answer.bound - answer.value < 1e-5
            value, over = asked.values(answer.x[None])
            assert value[0] == answer.value
            assert over[0] <= 1e-9
        assert found[0].value <= found[1].bound
        assert found[1].value <= found[0].bound


def test_the_best_of_points():
    values, excess = np.array([3.0, 2.0, 2.0 - 1e-9, 1.0]), np.array([1.0, 1e-9, 0.0, -1.0])
    assert best_of(values, excess) == 2
    assert best_of(values, excess, 1e-8) == 2            # as good, and misses nothing
    assert best_of(values, excess, 2.0) == 0
    assert best_of(values, excess - 5, 0.0) == 0
    assert best_of(values, excess + 5) is None
