"""The door to HiGHS, SCIP and Gurobi: small programmes whose answers are known."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import scipy.sparse as sp

from pellucid.geometry.milp import Program


def knapsack():
    """max 10 a + 13 b + 7 c with 3 a + 4 b + 2 c <= 6 over 0/1: b and c, 20."""
    p = Program()
    x = p.add(3, 0, 1, integer=True)
    p.constrain([[3.0, 4, 2]], x, -np.inf, 6)
    return p, x, np.array([10.0, 13, 7])


@pytest.mark.parametrize("solver", ["highs", "scip"])
def test_a_knapsack(solver):
    if solver == "scip":
        pytest.importorskip("pyscipopt")
    p, x, c = knapsack()
    best = p.maximise(c, x, offset=0.5, solver=solver)
    assert best.status == "optimal"
    np.testing.assert_allclose(best.x[x], [0, 1, 1], atol=1e-9)
    np.testing.assert_allclose([best.value, best.bound, best.gap], [20.5, 20.5, 0], atol=1e-6)
    worst = p.minimise(c, x, solver=solver)
    np.testing.assert_allclose([worst.value, worst.bound], [0, 0], atol=1e-9)


@pytest.mark.parametrize("solver", ["highs", "scip"])
def test_without_a_solution_and_without_a_bound(solver):
    if solver == "scip":
        pytest.importorskip("pyscipopt")
    p = Program()
    x = p.add(2, 0, np.inf)
    best = p.maximise([1.0, 1], x, solver=solver)
    assert best.status == "unbounded"
    assert best.x is None
    assert best.bound == np.inf
    p.constrain([[1.0, 1]], x, 2, np.inf)
    p.constrain([[1.0, 1]], x, -np.inf, 1)
    best = p.maximise([1.0, 1], x, solver=solver)
    assert best.status == "infeasible"
    assert best.x is None
    assert best.gap == np.inf


def test_it_is_solved_again_after_rows_columns_and_other_bounds():
    p, x, c = knapsack()
    assert p.maximise(c, x).value == pytest.approx(20)
    p.constrain([[1.0, 1]], x[1:], -np.inf, 1)                    # not both
    assert p.maximise(c, x).value == pytest.approx(17)            # a and c
    y = p.add(1, 0, 2.5)
    p.constrain(sp.csr_array([[1.0, 1.0]]), [x[0], y[0]], -np.inf, 2)
    assert p.maximise([*c, 100.0], [*x, *y]).value == pytest.approx(213)      # y = 2 without a
    p.bound(x[1:2], 0, 0)
    assert p.maximise([*c, 100.0], [*x, *y]).value == pytest.approx(207)


def test_a_copy_goes_its_own_way():
    p, x, c = knapsack()
    q = copy.copy(p)
    q.constrain([[1.0]], x[2:], -np.inf, 0)
    q.bound(x[1:2], 0, 0)
    assert q.maximise(c, x).value == pytest.approx(10)
    assert p.maximise(c, x).value == pytest.approx(20)


def test_a_column_named_twice_counts_twice():
    p = Program()
    x = p.add(1, 0, 10)
    p.constrain([[1.0, 1.0]], [x[0], x[0]], -np.inf, 6)
    assert p.maximise([1.0, 1.0], [x[0], x[0]]).value == pytest.approx(6)


def test_a_relaxation_has_no_integers():
    p, x, c = knapsack()
    assert p.maximise(c, x, relaxed=True).value == pytest.approx(20.25)
    assert p.maximise(c, x).value == pytest.approx(20)


def test_bounds_by_multipliers_are_sound_for_any_and_sharp_for_the_solvers(rng):
    for _ in range(20):
        A, b, c = rng.normal(size=(6, 4)), rng.uniform(0.5, 2, 6), rng.normal(size=4)
        p = Program()
        x = p.add(4, -1, 1)
        p.constrain(A, x, [-np.inf] * 3 + [-3.0] * 3, b)
        least = p.minimise(c, x)
        bound = p.proved_bound(c, x, least.duals)
        assert bound <= least.value + 1e-12
        np.testing.assert_allclose(bound, least.value, atol=1e-7)
        assert p.proved_bound(c, x, rng.normal(size=6)) <= least.value


def test_a_search_ends_when_it_is_told_to(rng):
    p = Program()
    n = 60
    x = p.add(n, 0, 1, integer=True)
    w = rng.integers(20, 60, size=(12, n)).astype(float)
    p.constrain(w, x, -np.inf, w.sum(axis=1) // 2)
    c = rng.integers(20, 60, size=n).astype(float)
    seen = []
    best = p.maximise(c, x, stop=lambda value, bound: seen.append((value, bound)) or True, max_seconds=20)
    assert seen
    assert best.status in ("limit", "optimal")
    limited = p.maximise(c, x, max_seconds=0.2)
    if limited.x is not None:
        assert limited.value <= limited.bound + 1e-6
        assert (w @ limited.x[x] <= w.sum(axis=1) // 2 + 1e-6).all()


def test_what_is_wrong_is_said():
    p, x, c = knapsack()
    with pytest.raises(ValueError, match="solver='cplex'"):
        p.maximise(c, x, solver="cplex")
    with pytest.raises(ValueError, match="A has 2 columns"):
        p.constrain([[1.0, 2.0]], x, 0, 1)
