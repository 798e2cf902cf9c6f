"""The nearest rows of a space that hit a target: mixed-integer programmes, and rows made exact."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import nnls

from ..chain import Chain, Elementwise, chain_of, unit_maps
from ..geometry.milp import Optimum, Program
from ..regions.milp import Encoding, encode
from ..tolerance import LEAD_SLACK, PROVED_GAP, SOLVER
from .clock import Clock
from .contest import Need, Target
from .distance import Distance, DistanceColumns, enter_distance
from .space import Columns, Space, enter, rounded

MOST_ROUNDS = 200
"""Programmes that a Euclidean distance may take; each round closes the gap of one region at least."""

GUARD = 2048
"""Rows drawn to test what a solver says."""

LEAD_TRIES = 6
"""How often more lead is asked for (ten times more each time, from SOLVER on) until a solver's row has it when the network is asked."""


@dataclass(frozen=True, eq=False)
class Nearest:
    """row: (d,) or None; value: its distance. bound: no row is nearer. complete: the search came to its end (for row None: there
    is none). reason: what is left open. solver_margin: how much the bound may be too large where every multiplier of the solver
    keeps its sign to SOLVER only."""

    row: np.ndarray | None
    value: float
    bound: float
    complete: bool
    reason: str
    seconds: float
    programmes: int
    binaries: int
    solver_margin: float = 0.0


def nearest_rows(distance: Distance, target: Target, *, clock: Clock, n: int = 1, tighten: str = "intervals",
                 solver: str = "highs") -> list[Nearest]:
    """The n nearest rows of the distance's space that hit the target; fewer where no more are found.

    Gives     at least one Nearest; the last may have no row. Each further one leaves a feature as it is that an earlier changes.
    Sound     rows are evaluated by the network; bounds are those of the solver, for leads smaller by LEAD_SLACK.
    """
    search = _search(distance, target, indicators=n > 1, clock=clock, tighten=tighten, solver=solver)
    found = []
    for _ in range(n):
        one = search.nearest() if found else search.guarded(search.nearest())
        found.append(one)
        if one.row is None or clock.is_over:
            break
        changed = distance.changed(one.row)
        if not changed:
            break
        if n > 1:
            search.objective.forbid(changed)
    return found


def any_row(space: Space, x: np.ndarray, target: Target, *, clock: Clock, tighten: str = "intervals",
            solver: str = "highs") -> Nearest:
    """Any row of a space that hits the target; row None and complete: there is none."""
    distance = Distance(space, x, 1, np.ones(len(space.features)))
    return _search(distance, target, indicators=False, clock=clock, tighten=tighten, solver=solver).any_row()


@dataclass(eq=False)
class _Search:
    """One programme: the space, the network, the target, the distance."""

    distance: Distance
    target: Target
    program: Program
    columns: Columns
    encoding: Encoding
    need: Need
    objective: DistanceColumns
    clock: Clock
    solver: str
    programmes: int = 0

    def nearest(self) -> Nearest:
        """The next one.

        First with leads lowered by LEAD_SLACK, whose bound is the proof. Where no row of the region found has the lead that is
        asked for, once more with larger leads. p = 2: rounds, until tangents and rows agree.
        """
        began, best, bound, more = time.perf_counter(), None, 0.0, 0.0
        for _ in range(MOST_ROUNDS):
            self.need.ask(more - LEAD_SLACK)
            found = self._solve()
            if found.status == "infeasible":
                if best is None and not more:
                    return self._told(None, np.inf, True, began, "")
                return self._told(best, bound, best is not None, began, f"nearer ones have the lead only when {LEAD_SLACK:g} is forgiven")
            least = self.objective.of_bound(found.bound)
            bound = max(bound, least) if not more else bound
            row, cuts = (None, []) if found.x is None else self._made_exact(found)
            if row is not None and (best is None or self.distance(row) < self.distance(best)):
                best = row
            if found.status != "optimal":
                return self._told(best, bound, False, began, self.clock.reason)
            if best is not None and self._closed(best, bound):
                return self._told(best, bound, True, began, "")
            if row is None and not more:
                more = 100 * LEAD_SLACK * (1 + self.target.margin)
            elif self.distance.p != 2 or row is None or self._closed(best, least):
                break
            for parts in cuts:
                self.objective.cut(parts)
        return self._told(best, bound, best is not None, began, "the bound cannot be met to the solver's tolerance")

    def guarded(self, found: Nearest) -> Nearest:
        """The same, but no longer complete where a row drawn at random refutes it: solvers have faults of their own.

        Where time ran out before the solver had a row, one of those drawn is better than none.
        """
        distance = self.distance
        near = distance.space if found.row is None else distance.space.around(distance.x, distance.scale, found.value)
        X = near.sample(GUARD, np.random.default_rng(0))
        if distance.space.contains(distance.x)[0]:
            X = np.vstack([X, distance.x])
        hits = X[self.target.holds(X)] if len(X) else X
        values = np.array([distance(row) for row in hits])
        if not len(hits) or values.min() >= found.bound - SOLVER * (1 + values.min()):
            better = len(hits) and not found.complete and values.min() < found.value
            return replace(found, row=hits[values.argmin()], value=float(values.min())) if better else found
        row, least = hits[values.argmin()], float(values.min())
        best, value = (row, least) if least < found.value else (found.row, found.value)
        return replace(found, row=best, value=value, bound=0.0, complete=False, reason="a row drawn at random refutes the solver's bound")

    def any_row(self) -> Nearest:
        """Whether there is a row at all: as soon as one is found, it will do."""
        began = time.perf_counter()
        for more in (0.0, 100 * LEAD_SLACK * (1 + self.target.margin)):
            self.need.ask(more - LEAD_SLACK)
            found = self._solve(np.zeros(len(self.objective.cost)))
            if found.status == "infeasible":
                return self._told(None, np.inf, not more, began, f"rows have the lead only when {LEAD_SLACK:g} is forgiven" if more else "")
            if found.x is None:
                return self._told(None, 0.0, False, began, self.clock.reason)
            row, _ = self._made_exact(found)
            if row is not None:
                return self._told(row, 0.0, True, began, "")
        return self._told(None, 0.0, False, began, f"rows have the lead only when {LEAD_SLACK:g} is forgiven")

    def _solve(self, cost: np.ndarray | None = None) -> Optimum:
        self.programmes += 1
        cost = self.objective.cost if cost is None else cost
        return self.clock.solved(lambda: self.program.minimise_twice(cost, self.objective.columns, max_seconds=self.clock.left,
                                                                     solver=self.solver))

    def _closed(self, row: np.ndarray, bound: float) -> bool:
        value = self.distance(row)
        return value - bound <= 0.1 * PROVED_GAP * (1 + value)

    def _told(self, best, bound: float, complete: bool, began: float, reason: str) -> Nearest:
        value = np.inf if best is None else self.distance(best)
        return Nearest(best, value, min(bound, value), complete, reason, time.perf_counter() - began, self.programmes,
                       int(self.program.integer.sum()), self.program.dual_margin())

    # ---- a row that has the class when the network itself is asked
    def _made_exact(self, found: Optimum) -> tuple[np.ndarray | None, list[np.ndarray]]:
        """The nearest row with the whole numbers, categories and pieces of a solution; and the parts at which to cut."""
        assert found.x is not None
        cuts = []
        if self.objective.squares is not None:
            parts = np.where(self.objective.parts >= 0, found.x[np.maximum(self.objective.parts, 0)], 0.0)
            cuts.append(np.clip(parts, 0.0, None))
        more, step = np.zeros(len(self.need.needed)), SOLVER * (1.0 + np.abs(self.target.contest(found.x[self.columns.x])).max())
        last = found.x[self.columns.x]
        for _ in range(LEAD_TRIES):
            row = self._euclidean(found, self.distance.x, more) if self.distance.p == 2 else self._linear(found, more)
            if row is None:
                break
            for k in self._stays(found):                                # exactly as they are, not to a solver's tolerance
                C = self.distance.space.features[k].columns
                row[C] = self.distance.x[C]
            last = row
            kept = self._checked(row)
            if kept is not None:
                return kept, [*cuts, self.distance.parts(row)]
            short = self.target.short_of(row)                           # only there: a tie that is enough may be all that can be had
            more = np.where(short, np.maximum(10 * more, step), more)
            if not short.any():
                break
        return self._inwards(found, last), cuts                         # a tie on all of a region: only inside of it is it one for sure

    def _inwards(self, found: Optimum, row: np.ndarray) -> np.ndarray | None:
        """Next to a row that lies on the rim of its region, one inside."""
        for k in range(LEAD_TRIES):
            inside = self._euclidean(found, row, np.zeros(len(self.need.needed)), inward=10.0**k * SOLVER)
            kept = None if inside is None else self._checked(inside)
            if kept is not None:
                return kept
        return None

    def _checked(self, row: np.ndarray) -> np.ndarray | None:
        """The row, with what hardly changes put back, if it is in the space and hits the target."""
        space = self.distance.space
        row = rounded(space, row)
        for candidate in (self.distance.snapped(row, 100 * SOLVER), self.distance.snapped(row, SOLVER), row):
            if space.contains(candidate)[0] and self.target.holds(candidate)[0]:
                return candidate
        return None

    def _linear(self, found: Optimum, more: np.ndarray) -> np.ndarray | None:
        """The programme again with all integers as found, which leaves a linear one."""
        program = self._fixed(found)
        self.need.ask(more, program)
        least = program.minimise(self.objective.cost, self.objective.columns)
        if least.x is None:
            return None
        moved = self.objective.parts[self.objective.parts >= 0]
        if self.distance.p in (0, np.inf) and len(moved):               # of the nearest ones the one that changes least in all
            if self.distance.p == np.inf:
                program.bound(self.objective.columns, 0.0, least.value * (1 + SOLVER) + SOLVER)
            again = program.minimise(np.ones(len(moved)), moved)
            least = again if again.x is not None else least
        return least.x[self.columns.x].copy()

    def _fixed(self, found: Optimum) -> Program:
        program = self.program.copy()
        whole = np.flatnonzero(program.integer)
        values = np.clip(np.round(found.x[whole]), np.ceil(program.lower[whole]), np.floor(program.upper[whole]))
        program.bound(whole, values, values)
        program.integer[:] = False
        return program

    def _euclidean(self, found: Optimum, centre: np.ndarray, more: np.ndarray, inward: float = 0.0) -> np.ndarray | None:
        """The point nearest to `centre` in the solution's region (`inward` off its faces), by least distance programming."""
        space, stays = self.distance.space, self._stays(found)
        at = rounded(space, found.x[self.columns.x])
        for k in stays:
            C = space.features[k].columns
            at[C] = self.distance.x[C]
        free = [k for k, f in enumerate(space.features) if k not in stays and not f.is_category and not space.integer[f.columns[0]]]
        J = np.array([j for k in free for j in space.features[k].columns if space.lower[j] < space.upper[j]], dtype=int)
        if not len(J):
            return at
        A, b = _region(self.encoding.chain, self.encoding.code(found.x), self.target, found.x[self.encoding.outputs], more)
        A, b = np.vstack([A, space.A]), np.concatenate([b, space.b])
        at[J] = centre[J]
        scale = np.array([s for f, s in zip(space.features, self.distance.scale, strict=True) for j in f.columns if j in J])
        G = np.vstack([A[:, J] * scale, np.eye(len(J)), -np.eye(len(J))])
        h = np.concatenate([b - A @ at, (space.upper - centre)[J] / scale, (centre - space.lower)[J] / scale])
        v = least_norm(G, h - inward * np.linalg.norm(G, axis=1))
        if v is None:
            return None
        at[J] = centre[J] + scale * v
        return at

    def _stays(self, found: Optimum) -> set[int]:
        """The features that a programme with indicators says to leave as they are."""
        changed = self.objective.changed
        if changed is None:
            return set()
        return {k for k, c in enumerate(changed) if c >= 0 and found.x[c] < 0.5}


def _search(distance: Distance, target: Target, *, indicators: bool, clock: Clock, tighten: str, solver: str) -> _Search:
    space, program = distance.space, Program()
    columns = enter(space, program)
    encoding = encode(chain_of(space.net), program, columns.x, space.lower, space.upper, tighten=tighten, max_seconds=clock.left)
    need = target.enter(program, encoding)
    objective = enter_distance(distance, program, columns, indicators=indicators)
    return _Search(distance, target, program, columns, encoding, need, objective, clock, solver)


def _region(chain: Chain, code: np.ndarray, target: Target, y: np.ndarray, more: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A x <= b: the closure of a code's region, and the lead that the target asks for there, and `more` of it; y: logits found there."""
    maps = unit_maps(chain, code)
    A, b = [], []
    for stage, (G, g), (first, outputs) in zip(chain.stages, maps[:-1], chain.columns, strict=True):
        pieces = np.zeros(stage.phi.n_outputs, dtype=np.intp)
        pieces[outputs] = code[first:first + len(outputs)]
        if isinstance(stage.phi, Elementwise):
            breaks, rows = stage.phi.padded[0], np.arange(len(pieces))
            ends = np.hstack([np.full((len(rows), 1), -np.inf), breaks, np.full((len(rows), 1), np.inf)])
            low, high = ends[rows, pieces], ends[rows, pieces + 1]
            A += [G[high < np.inf], -G[low > -np.inf]]
            b += [(high - g)[high < np.inf], (g - low)[low > -np.inf]]
        else:
            winner = np.repeat(stage.phi.members[stage.phi.ptr[:-1] + pieces], np.diff(stage.phi.ptr))
            A.append(G[stage.phi.members] - G[winner])
            b.append(g[winner] - g[stage.phi.members])
    C, e = maps[-1]
    H, h, (leads, over, needed) = target.contest.E @ C, target.contest.E @ e + target.contest.e, target.pairs(y, more)
    A.append(H[over] - H[leads])
    b.append(h[leads] - h[over] - needed)
    return np.vstack(A), np.concatenate(b)


def least_norm(G: np.ndarray, h: np.ndarray) -> np.ndarray | None:
    """The shortest v with G v <= h, None where there is none.

    Source    Lawson & Hanson 1974, chapter 23 (LDP): the dual is a non-negative least squares problem.
    """
    size = np.linalg.norm(G, axis=1)
    if (h[size == 0] < 0).any():
        return None
    G, h = G[size > 0] / size[size > 0, None], h[size > 0] / size[size > 0]
    if (h >= 0).all():
        return np.zeros(G.shape[1])
    E = np.vstack([-G.T, -h])
    f = np.append(np.zeros(G.shape[1]), 1.0)
    try:
        u, _ = nnls(E, f, maxiter=50 * E.shape[1])
    except RuntimeError:
        return None
    r = E @ u - f
    if abs(r[-1]) < 1e-14 or np.linalg.norm(r) < 1e-12:
        return None
    v = -r[:-1] / r[-1]
    return v if (G @ v <= h + 1e-9 * (1 + np.abs(h))).all() else None
