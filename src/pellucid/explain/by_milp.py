"""Exact optimisation by one mixed-integer linear programme (CEE III-B)."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from ..chain import Chain, Elementwise
from ..errors import Interrupted
from ..geometry.milp import Optimum, Program
from ..regions import Encoding, encode
from ..tolerance import SOLVER
from .question import NEAR, Found, Question, Reached, best_of

GUARD = 2048
"""Points drawn to test what a solver says."""

TIGHTENING = 0.3
"""Share of the time that linear programmes for the ranges of units may take, where there is a limit."""

TIGHTENING_SECONDS = 60.0
"""What they may take where there is none."""


def by_milp(asked: Question, *, solver: str = "highs") -> Found:
    """The largest objective by a mixed-integer programme over the network's encoding.

    Gives     Found; `bound` is the solver's, and `dual_margin` more. Every point of the network is one of the programme, so that
              tolerances on rows and integers can only make the bound larger.
    Sound     to the solver's tolerance on multipliers (SOLVER), as far as the solver keeps it. The point is solved for again with
              its code held, and re-evaluated by the network.
    Complete  yes, unless time runs out; then bound and point are the best so far.
    """
    domain, chain = asked.domain, asked.chain()
    G, h, _ = domain.constraints
    lower, upper = domain.bounds
    program = Program()
    u = program.add(domain.dim, lower, upper)
    oblique = (G != 0).sum(axis=1) > 1              # the others are the bounds of u
    program.constrain(G[oblique], u, -np.inf, h[oblique])
    _whole(program, asked, u)
    _in_hull(program, asked, u)
    direction, offset = asked.in_u()
    only_inputs = ~asked.rows.C.any(axis=1)
    program.constrain(direction[1:][only_inputs], u, -np.inf, -offset[1:][only_inputs])       # so that they tighten bounds
    budget = min(TIGHTENING_SECONDS, TIGHTENING * asked.left)
    encoding = encode(chain.fold(domain.x0, domain.P), program, u, lower, upper, tighten="lp", max_seconds=budget)
    y = encoding.outputs
    m = len(asked.rows)
    rows = np.hstack([direction[1:], np.eye(m)])
    program.constrain(rows, np.append(u, y[1:]), -np.inf, -offset[1:])
    cost, columns = np.append(direction[0], 1.0), np.append(u, y[:1])
    try:
        left = None if np.isinf(asked.deadline) else max(asked.left, 0.01)
        best = program.maximise_twice(cost, columns, offset=offset[0], max_seconds=left, solver=solver, stop=_watch(asked))
    except Interrupted as stop:
        raise Interrupted(_found(asked, program, encoding, stop.partial, cost, columns, solver)) from None
    return _guarded(asked, _found(asked, program, encoding, best, cost, columns, solver))


def _guarded(asked: Question, found: Found) -> Found:
    """The same, but no proof where a point drawn at random refutes it: solvers have faults. After a time-out the better point of both."""
    x = _drawn(asked)
    values, excess = asked.values(x)
    k = best_of(values, excess)
    if k is None or not (found.is_infeasible or values[k] > found.bound):
        better = k is not None and not found.is_complete and not found.value >= values[k]
        return replace(found, x=x[k], value=float(values[k])) if better else found
    return replace(found, x=x[k], value=float(values[k]), bound=max(asked.interval_bound(), float(values[k])), is_infeasible=False,
                   is_complete=False, reason="a point drawn at random refutes what the solver says: ask another, with solver='scip'")


def _drawn(asked: Question) -> np.ndarray:
    """Points of the domain, of those that are easily drawn."""
    domain, rng = asked.domain, np.random.default_rng(0)
    if len(asked.integer) or asked.one_hot:
        return np.zeros((0, domain.box.n_inputs))
    if asked.hull is not None:
        X = rng.dirichlet(np.full(len(asked.hull), 0.5), GUARD) @ asked.hull
        u = domain.coordinates(X)[0]
    else:
        u = rng.uniform(*domain.bounds, (GUARD, domain.dim))
    G, h, _ = domain.constraints
    return asked.points(u[(u @ G.T <= h).all(axis=1)])


def _watch(asked: Question):
    """Passes the solver's progress on, now and then."""
    last = [0.0]

    def stop(value: float, bound: float) -> bool:
        if asked.progress is not None and time.perf_counter() - last[0] > 0.1:
            last[0] = time.perf_counter()
            asked.progress(Reached(value if abs(value) < 1e300 else float("nan"), bound, 0, float("nan"), asked.seconds))
        return False

    return stop


def _whole(program: Program, asked: Question, u: np.ndarray) -> None:
    """Whole features, and groups of which one is 1."""
    domain = asked.domain
    whole = np.unique(np.concatenate([asked.integer, *asked.one_hot]).astype(int))
    if not len(whole):
        return
    box = domain.box
    low, up = np.ceil(box.lower[whole] - SOLVER), np.floor(box.upper[whole] + SOLVER)
    grouped = np.isin(whole, np.concatenate([np.zeros(0), *asked.one_hot]))
    low, up = np.where(grouped, np.maximum(low, 0.0), low), np.where(grouped, np.minimum(up, 1.0), up)
    if (low > up).any():
        program.constrain(np.zeros((1, len(u))), u, 1.0, np.inf)        # none at all
        low = np.minimum(low, up)
    w = program.add(len(whole), low, up, integer=True)
    P = sp.csr_array(domain.P[whole])
    program.constrain(sp.hstack([P, -sp.eye_array(len(whole))], format="csr"), np.append(u, w), -domain.x0[whole], -domain.x0[whole])
    for group in asked.one_hot:
        program.constrain(np.ones((1, len(group))), w[np.searchsorted(whole, group)], 1.0, 1.0)


def _in_hull(program: Program, asked: Question, u: np.ndarray) -> None:
    """x = sum of weights times points, the weights at least 0 and of sum 1."""
    if asked.hull is None:
        return
    domain, points = asked.domain, asked.hull
    weight = program.add(len(points), 0.0, 1.0)
    program.constrain(np.ones((1, len(points))), weight, 1.0, 1.0)
    program.constrain(np.hstack([domain.P, -points.T]), np.append(u, weight), -domain.x0, -domain.x0)


def _found(asked, program: Program, encoding: Encoding, best: Optimum, cost, columns, solver) -> Found:
    margins = solver_margin(encoding)
    margin = program.dual_margin()
    figures = {"engine": "milp", "solver": solver, "binaries": len(encoding.binaries), "solver tolerance": SOLVER, "solver margin": margin,
               "solver bound": best.bound, "seconds": asked.seconds}
    twice = "two runs of " if solver == "highs" else ""
    terms = (f"by {twice}mixed-integer programming, to the solver's tolerance of {SOLVER:g}, by which the bound may be off by "
             f"{margin:.2g}: that is in it")
    if best.status == "infeasible":
        return Found(None, np.nan, -np.inf, True, True, "", terms, figures)
    x = _polished(asked, program, encoding, best, cost, columns, margins) if best.x is not None else None
    value, excess = (float(v[0]) for v in asked.values(x[None])) if x is not None else (float("nan"), 0.0)
    bound = min(best.bound + margin, asked.interval_bound())
    figures["excess"] = max(0.0, excess)
    done = best.status == "optimal"
    reason = "" if done else "max_seconds ran out"
    return Found(x, value, max(bound, value) if x is not None else bound, False, done, reason, terms, figures)


def _polished(asked: Question, program: Program, encoding: Encoding, best: Optimum, cost, columns, margins) -> np.ndarray:
    """The best point with the code that was found, by a linear programme; first with room inside the rows, then without."""
    held = program.copy()
    encoding.fix(held, encoding.code(best.x))
    whole = held.integer & (held.lower < held.upper)
    held.bound(whole, np.round(best.x[whole]), np.round(best.x[whole]))
    tries = [best.x[encoding.inputs]]
    m = len(asked.rows)
    for room in ((1.0, 0.01, 0.0) if m else (0.0,)):
        tight = held.copy()
        direction, offset = asked.in_u()
        if m:
            slack = room * (margins[1:] + SOLVER * (1 + np.abs(direction[1:]).sum(axis=1)))
            tight.constrain(np.hstack([direction[1:], np.eye(m)]), np.append(encoding.inputs, encoding.outputs[1:]), -np.inf,
                            -offset[1:] - slack)
        found = tight.maximise(cost, columns, relaxed=True)
        if found.x is not None:
            tries.append(found.x[encoding.inputs])
    X = asked.points(np.array(tries))
    values, excess = asked.values(X)
    for allowed in (0.0, float(margins[1:].max(initial=0.0))):
        k = best_of(values, excess, allowed)
        if k is not None and best.value - values[k] <= NEAR * (1 + abs(best.value)):
            return X[k]
    k = best_of(values, excess, max(0.0, float(excess.min())))
    assert k is not None, "bug: some point misses the rows least"
    return X[k]


def solver_margin(encoding: Encoding) -> np.ndarray:
    """(c,) how far a solution's outputs can be from the network's, where every row, bound and integer is kept to SOLVER only.

    Source    a unit whose binary is off by t lets its segments of width w be off by t w, beside t for each of its rows; errors
              go through |A| and slopes, as in `deviation`.
    """
    D = np.full(len(encoding.inputs), SOLVER)
    chain: Chain = encoding.chain
    for stage, least, columns, (low, up) in zip(chain.stages, encoding.least, encoding.pieces, encoding.bounds, strict=False):
        D = abs(stage.A) @ D + SOLVER
        phi = stage.phi
        if isinstance(phi, Elementwise):
            _, slopes, offsets = phi.padded
            place, most = np.arange(slopes.shape[1]), least + (columns >= 0).sum(axis=1)
            reached = (place >= least[:, None]) & (place <= most[:, None])
            slope = np.where(reached, np.abs(slopes), 0.0).max(axis=1)
            turns = np.where(reached[:, 1:] & reached[:, :-1], np.abs(np.diff(slopes, axis=1)), 0.0).sum(axis=1)
            jumps = np.where(reached[:, 1:] & reached[:, :-1], np.abs(np.diff(offsets, axis=1)), 0.0).sum(axis=1) * (turns == 0)
            D = slope * D + turns * SOLVER * (up - low + 3) + SOLVER * jumps
        else:
            rows = phi.padded
            reach = up[rows].max(axis=1) - low[rows].min(axis=1)
            D = D[rows].max(axis=1) + SOLVER * (reach + 2)
    return abs(chain.A) @ D + SOLVER
