"""Networks as mixed-integer linear constraints (CEE III-B), and enumeration of regions by blocking codes (baseline, cross-check)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ..chain import Backward, Chain, Elementwise, Selection, Stage, local_maps, unit_maps
from ..chain.intervals import phi_image
from ..errors import DomainError, Interrupted
from ..geometry.halfspaces import bounding_box
from ..geometry.milp import Optimum, Program
from ..tolerance import ROUNDING_FACTOR, SOLVER, SOLVER_MARGIN, SOLVER_SLACK
from .budgets import Progress
from .codes import codes_of, pack_codes, unpack_codes
from .table import Table

Bounds = tuple[np.ndarray, np.ndarray]

GUARD = 2048
"""Points drawn to test whether a solver has lost a region."""


@dataclass(frozen=True, eq=False)
class Encoding:
    """Where the parts of a network are in a programme.

    chain: of the network. inputs: (d,), outputs: (c,) columns.
    pieces: for each stage, columns of binaries, -1 where there is none.
        Elementwise: (n, most breakpoints); [i, j] is 1 where unit i is at or above its breakpoint j, so that
            piece = least[stage][i] + sum of the binaries.
        Selection: (g, most members); [g, m] is 1 where member m wins. A group with one possible winner has none.
    least: for each stage (n,): the lowest piece possible (for a decided selection: its winner; else 0).
    bounds: for each stage, then for the outputs: (lower, upper) of the pre-activations, proved.
    pre: for each stage (Z, z0): pre-activation = Z x + z0, Z (rows, columns of the programme), sparse. post: the same for what
        comes out of each stage.
    """

    chain: Chain
    inputs: np.ndarray
    outputs: np.ndarray
    pieces: tuple[np.ndarray, ...]
    least: tuple[np.ndarray, ...]
    bounds: tuple[Bounds, ...]
    pre: tuple[tuple[sp.csr_array, np.ndarray], ...]
    post: tuple[tuple[sp.csr_array, np.ndarray], ...] = ()

    @property
    def binaries(self) -> np.ndarray:
        """All of the columns in `pieces`."""
        flat = np.concatenate([p.ravel() for p in self.pieces]) if self.pieces else np.zeros(0, dtype=np.int64)
        return flat[flat >= 0]

    def code(self, x: np.ndarray) -> np.ndarray:
        """(columns,) pieces at a solution x of the programme, by its binaries."""
        parts = [np.zeros(0, dtype=np.int64)]
        for stage, columns, least in zip(self.chain.stages, self.pieces, self.least, strict=True):
            on = np.where(columns >= 0, x[np.maximum(columns, 0)] > 0.5, False) if columns.size else np.zeros(columns.shape, bool)
            if isinstance(stage.phi, Elementwise):
                piece = least + on.sum(axis=1)
            else:
                piece = np.where(on.any(axis=1), on.argmax(axis=1), least) if columns.shape[1] else least
            parts.append(piece[stage.phi.n_pieces > 1])
        return np.concatenate(parts).astype(np.int64)

    def values(self, code: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """(columns of all binaries, their values where the network has this code); None for a code that the bounds exclude."""
        columns, values = [np.zeros(0, dtype=np.int64)], [np.zeros(0)]
        for stage, (start, outputs), where, least in zip(self.chain.stages, self.chain.columns, self.pieces, self.least, strict=True):
            piece = np.array(least)
            piece[outputs] = code[start:start + len(outputs)]
            place, has = np.arange(where.shape[1]), where >= 0
            if isinstance(stage.phi, Elementwise):
                on = piece[:, None] > place                     # breakpoint j parts the pieces j and j + 1
                possible = (piece >= least) & (piece <= least + has.sum(axis=1))
            else:
                on = piece[:, None] == place
                possible = np.where(has.any(axis=1), (on & has).any(axis=1), piece == least)
            if not possible.all():
                return None
            columns.append(where[has])
            values.append(on[has].astype(float))
        return np.concatenate(columns), np.concatenate(values)

    def fix(self, program: Program, code: np.ndarray) -> None:
        """Bind the binaries to this code: what is left is a linear programme (and integer inputs)."""
        found = self.values(code)
        if found is None:
            raise ValueError("a code that the bounds of the units exclude")
        program.bound(found[0], found[1], found[1])

    def forbid(self, program: Program, code: np.ndarray) -> None:
        """Add the row that this code alone breaks."""
        found = self.values(code)
        if found is not None:
            columns, values = found
            program.constrain((1 - 2 * values)[None], columns, 1 - values.sum(), np.inf)


def encode(chain: Chain, program: Program, inputs: np.ndarray, lower: np.ndarray, upper: np.ndarray, *, tighten: str = "intervals",
           max_seconds: float | None = None, bounds: list[Bounds] | None = None) -> Encoding:
    """Add the network to a programme: every point of it with inputs in [lower, upper] is a network input with its outputs.

    Needs     inputs: columns of the programme, one for each input of the chain; lower, upper: finite bounds of them. tighten:
              "intervals", or "lp": by linear bounds (CROWN), then over the linear relaxation of all that is in the
              programme (further constraints on the inputs are used if they are there already); max_seconds ends that early.
              bounds: (lower, upper) for each stage and the outputs, where the caller knows some.
    Gives     Encoding. A unit whose range meets no breakpoint gets no binary.
    Sound     bounds are widened by SOLVER_MARGIN, relative; those from linear programmes are computed from their multipliers
              (weak duality), so that they do not rest on the solver's tolerances.
    Source    Fischetti & Jo 2018, generalised: z = l + sum of d_j, with d_j between breakpoints j and j + 1 and filled in turn,
              d_j <= w_j b_j, d_j >= w_j b_{j+1}; for a ReLU d_0 = s - l and d_1 = y in z = y - s (CEE III-B prints + s for - s).
              Max over a group: y >= z_m, y <= z_m + (u - l_m)(1 - b_m), sum of b = 1.
    """
    if tighten not in ("intervals", "lp"):
        raise ValueError(f"tighten='{tighten}': there are 'intervals' and 'lp'")
    lower, upper = np.asarray(lower, float), np.asarray(upper, float)
    if not (np.isfinite(lower).all() and np.isfinite(upper).all()):
        raise DomainError("the analysis set is unbounded: give finite bounds to every feature that moves")
    inputs = np.asarray(inputs, dtype=np.int64)
    work = _Encoder(program, inputs, lower, upper, tighten == "lp", np.inf if max_seconds is None else max_seconds)
    for number, stage in enumerate(chain.stages):
        work.stage(stage, None if bounds is None else bounds[number])
    outputs = work.outputs(chain, None if bounds is None else bounds[-1])
    return Encoding(chain, inputs, outputs, tuple(work.pieces), tuple(work.least), tuple(work.bounds), tuple(work.pre), tuple(work.post))


class _Encoder:
    """The stages so far: the newest outputs are S x + s in the columns x of the programme, and lie in [low, up]."""

    def __init__(self, program: Program, inputs, lower, upper, tight: bool, max_seconds: float):
        self.program, self.tight = program, tight
        self.deadline = time.perf_counter() + max_seconds
        d = len(inputs)
        self.S, self.s = sp.csr_array((np.ones(d), (np.arange(d), inputs)), shape=(d, program.n_columns)), np.zeros(d)
        self.low, self.up = lower, upper
        self.backward = Backward(lower, upper)
        self.pieces: list[np.ndarray] = []
        self.least: list[np.ndarray] = []
        self.bounds: list[Bounds] = []
        self.pre: list[tuple[sp.csr_array, np.ndarray]] = []
        self.post: list[tuple[sp.csr_array, np.ndarray]] = []

    def stage(self, stage: Stage, known: Bounds | None) -> None:
        Z, z = self._through(stage.A, stage.a)
        low, up = self._ranges(stage, Z, z, known)
        self.bounds.append((low, up))
        self.pre.append((Z, z))
        if isinstance(stage.phi, Elementwise):
            self._elementwise(stage.phi, Z, z, low, up)
        else:
            self._selection(stage.phi, Z, z, low, up)
        self.post.append((self.S, self.s))
        self.backward.push(stage, low, up)
        self.low, self.up = _widened(*phi_image(stage.phi, low, up))

    def outputs(self, chain: Chain, known: Bounds | None) -> np.ndarray:
        Z, z = self._through(chain.A, chain.a)
        low, up = _meet(_widened(*_interval(chain.A, chain.a, self.low, self.up)), known)
        if self.tight:
            low, up = self._linear(chain, low, up, np.arange(len(low)))
        self.bounds.append((low, up))
        return self._columns(Z, z, low, up)

    # ---- bounds
    def _ranges(self, stage: Stage, Z, z, known) -> Bounds:
        low, up = _meet(_widened(*_interval(stage.A, stage.a, self.low, self.up)), known)
        if not self.tight:
            return low, up
        low, up = self._linear(stage, low, up, _undecided(stage.phi, low, up))
        return self._by_programmes(Z, z, low, up, _undecided(stage.phi, low, up))

    def _linear(self, layer: Stage | Chain, low, up, rows) -> Bounds:
        """The ranges of rows by linear bounds, backwards: cheap, and the programmes have less to do."""
        if not len(rows) or not self.backward.stages:
            return low, up
        found = _widened(*self.backward.bounds(layer, rows))
        low, up = low.copy(), up.copy()
        low[rows], up[rows] = _meet((low[rows], up[rows]), found)
        return low, up

    def _by_programmes(self, Z, z, low, up, rows) -> Bounds:
        """The ranges of rows over the linear relaxation; each from multipliers, so a bound whatever the solver's state."""
        low, up = low.copy(), up.copy()
        for i in rows:
            columns, cost = Z.indices[Z.indptr[i]:Z.indptr[i + 1]], Z.data[Z.indptr[i]:Z.indptr[i + 1]]
            for side in (1.0, -1.0):
                left = self.deadline - time.perf_counter()
                if left <= 0:
                    return low, up
                found = self.program.minimise(side * cost, columns, relaxed=True, max_seconds=left)
                if found.duals is None:
                    continue
                bound = self.program.proved_bound(side * cost, columns, found.duals, offset=side * z[i])
                bound = side * (bound - SOLVER_MARGIN * (1 + abs(bound)))
                if side > 0:
                    low[i] = min(max(low[i], bound), up[i])
                else:
                    up[i] = max(min(up[i], bound), low[i])
        return low, up

    # ---- columns and rows
    def _through(self, A, a):
        """A s + a as (Z, z) in the programme's columns."""
        S = self.S
        if S.shape[1] < self.program.n_columns:
            S = self.S = sp.csr_array((S.data, S.indices, S.indptr), shape=(S.shape[0], self.program.n_columns))
        Z = sp.csr_array(sp.csr_array(A) @ S)
        Z.eliminate_zeros()
        return Z, np.asarray(A @ self.s + a, dtype=float)

    def _columns(self, Z, z, low, up) -> np.ndarray:
        """New columns equal to Z x + z."""
        new = self.program.add(len(z), low, up)
        n = len(new)
        if n:
            self.program.constrain(sp.hstack([Z, -sp.eye_array(n)], format="csr"), np.append(np.arange(Z.shape[1]), new), -z, -z)
        return new

    def _elementwise(self, phi: Elementwise, Z, z, low, up) -> None:
        breaks, slopes, offsets = phi.padded
        n, k = breaks.shape
        rows = np.arange(n)
        cuts = (low[:, None] < breaks) & (breaks < up[:, None])          # breakpoints that part the range
        least = (breaks <= low[:, None]).sum(axis=1)
        least = np.where(low == up, (breaks < up[:, None]).sum(axis=1), least)      # constant at a breakpoint: the lower piece
        open_ = cuts.any(axis=1)
        columns = np.full((n, k), -1, dtype=np.int64)
        parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []      # (unit, column, factor) of s
        s = np.zeros(n)
        # decided units: s = slope z + offset, by a column of its own unless constant or a copy
        done = rows[~open_]
        slope, offset = slopes[done, least[done]], offsets[done, least[done]]
        s[done] = offset
        s[done] += slope * z[done]
        count = np.diff(Z.indptr)[done]
        copied, made = done[(slope != 0) & (count == 1)], done[(slope != 0) & (count > 1)]
        if len(copied):
            at = Z.indptr[copied]
            parts.append((copied, Z.indices[at], slopes[copied, least[copied]] * Z.data[at]))
        if len(made):
            new = self._columns(Z[made], z[made], low[made], up[made])
            m = slopes[made, least[made]]
            s[made] -= m * z[made]
            parts.append((made, new, m))
        if open_.any():
            parts += self._steps(phi, np.flatnonzero(open_), Z, z, low, up, cuts, least, columns, s)
        self._newest(n, parts, s)
        self.pieces.append(columns)
        self.least.append(least)

    def _steps(self, phi, units, Z, z, low, up, cuts, least, columns, s) -> list:
        """Columns d and b of units with breakpoints inside their range: z = l + sum of d, s = phi(l) + sum of slope d + jump b."""
        breaks, slopes, offsets = phi.padded
        program = self.program
        unit, j = np.nonzero(cuts[units])
        unit = units[unit]                                              # (unit, breakpoint), in order
        b = program.add(len(unit), 0.0, 1.0, integer=True)
        columns[unit, j] = b
        n_cuts = cuts[units].sum(axis=1)
        # segments: one below the first cut, one above each cut
        ends = np.concatenate([np.concatenate([[low[i]], breaks[i, cuts[i]], [up[i]]]) for i in units])
        start = np.cumsum(np.append(0, n_cuts + 2))
        is_last = np.zeros(len(ends), dtype=bool)
        is_last[start[1:] - 1] = True
        width = np.diff(ends, append=0.0)[~is_last]
        segment_unit = np.repeat(units, n_cuts + 1)
        segment_first = np.cumsum(np.append(0, n_cuts + 1))
        place = np.arange(len(width)) - np.repeat(segment_first[:-1], n_cuts + 1)
        piece = least[segment_unit] + place
        d = program.add(len(width), 0.0, width)
        # z = l + sum of d
        rows = np.repeat(np.arange(len(units)), n_cuts + 1)
        D = sp.csr_array((np.ones(len(d)), (rows, np.arange(len(d)))), shape=(len(units), len(d)))
        rest = low[units] - z[units]
        program.constrain(sp.hstack([Z[units], -D], format="csr"), np.append(np.arange(Z.shape[1]), d), rest, rest)
        # a segment fills only after the one before it is full: d_p <= w_p b_p, d_p-1 >= w_p-1 b_p
        above = np.flatnonzero(place > 0)
        m, eye = len(above), sp.eye_array(len(above), format="csr")
        program.constrain(sp.hstack([eye, -sp.diags_array(width[above])], format="csr"), np.append(d[above], b), -np.inf, 0.0)
        program.constrain(sp.hstack([eye, -sp.diags_array(width[above - 1])], format="csr"), np.append(d[above - 1], b), 0.0, np.inf)
        if (n_cuts > 1).any():                                          # b falls
            again = np.flatnonzero(place[above] > 1)
            pick = sp.eye_array(m, format="csr")
            program.constrain(pick[again - 1] - pick[again], b, 0.0, np.inf)
        s[units] = slopes[units, least[units]] * low[units] + offsets[units, least[units]]
        t = breaks[unit, j]
        jump = (slopes[unit, j + 1] - slopes[unit, j]) * t + offsets[unit, j + 1] - offsets[unit, j]
        size = np.abs(slopes[unit, j + 1] * t) + np.abs(slopes[unit, j] * t) + np.abs(offsets[unit, j + 1]) + np.abs(offsets[unit, j])
        steps = np.abs(jump) > 8 * np.finfo(float).eps * size
        slope = slopes[segment_unit, piece]
        flat = slope != 0
        return [(segment_unit[flat], d[flat], slope[flat]), (unit[steps], b[steps], jump[steps])]

    def _newest(self, n: int, parts: list, s: np.ndarray) -> None:
        rows, columns, factors = (np.concatenate([p[k] for p in parts]) if parts else np.zeros(0) for k in range(3))
        self.S = sp.csr_array((factors, (rows.astype(np.int64), columns.astype(np.int64))), shape=(n, self.program.n_columns))
        self.s = s

    def _selection(self, phi: Selection, Z, z, low, up) -> None:
        possible = _possible(phi, low, up)                              # (g, m)
        g, m = possible.shape
        open_ = possible.sum(axis=1) > 1
        least = np.where(open_, 0, possible.argmax(axis=1))
        used = np.unique(phi.padded[possible])
        column = np.full(len(z), -1, dtype=np.int64)
        column[used] = self._columns(Z[used], z[used], low[used], up[used])
        columns = np.full((g, m), -1, dtype=np.int64)
        winner = column[phi.padded[np.arange(g), least]]
        if open_.any():
            group, place = np.nonzero(possible & open_[:, None])
            row = phi.padded[group, place]
            best = np.maximum.reduceat(up[row], np.flatnonzero(np.diff(group, prepend=-1)))
            worst = np.maximum.reduceat(low[row], np.flatnonzero(np.diff(group, prepend=-1)))
            y = self.program.add(int(open_.sum()), worst, best)
            b = self.program.add(len(row), 0.0, 1.0, integer=True)
            columns[group, place] = b
            winner[open_] = y
            number = np.cumsum(open_)[group] - 1
            self._maximum(y, number, column[row], b, best[number] - low[row])
        self._newest(g, [(np.arange(g), winner, np.ones(g))], np.zeros(g))
        self.pieces.append(columns)
        self.least.append(least)

    def _maximum(self, y, group, rows, b, reach) -> None:
        """y >= z of every member; y <= z of the winner; one winner a group."""
        n, k = len(rows), len(y)
        pick = sp.csr_array((np.ones(n), (np.arange(n), group)), shape=(n, k))
        eye = sp.eye_array(n, format="csr")
        self.program.constrain(sp.hstack([pick, -eye], format="csr"), np.append(y, rows), 0.0, np.inf)
        self.program.constrain(sp.hstack([pick, -eye, sp.diags_array(reach)], format="csr"), np.concatenate([y, rows, b]), -np.inf, reach)
        self.program.constrain(sp.csr_array(pick.T), b, 1.0, 1.0)


def _interval(A, a, low, up) -> Bounds:
    middle, radius = A @ ((low + up) / 2) + a, abs(A) @ ((up - low) / 2)
    return middle - radius, middle + radius


def _widened(low, up) -> Bounds:
    """Outwards by more than rounding and the solver's tolerance; a constant stays one."""
    margin = np.where(low == up, 0.0, SOLVER_MARGIN * (1 + np.maximum(np.abs(low), np.abs(up))))
    return low - margin, up + margin


def _meet(bounds: Bounds, known: Bounds | None) -> Bounds:
    if known is None:
        return bounds
    low, up = np.maximum(bounds[0], known[0]), np.minimum(bounds[1], known[1])
    return np.minimum(low, up), np.maximum(low, up)


def _possible(phi: Selection, low, up) -> np.ndarray:
    """(g, m): can this member win? Never two places with one row."""
    rows = phi.padded
    place = np.arange(rows.shape[1])
    return (place < phi.n_pieces[:, None]) & (up[rows] >= low[rows].max(axis=1, keepdims=True))


def _undecided(phi: Elementwise | Selection, low, up) -> np.ndarray:
    """Rows of a stage whose range leaves the piece open."""
    if isinstance(phi, Elementwise):
        breaks = phi.padded[0]
        return np.flatnonzero(((low[:, None] < breaks) & (breaks < up[:, None])).any(axis=1))
    possible = _possible(phi, low, up)
    possible &= possible.sum(axis=1, keepdims=True) > 1
    return np.unique(phi.padded[possible])


# ---- enumeration
def enumerate_milp(chain: Chain, G: np.ndarray, h: np.ndarray, *, floors: Sequence[np.ndarray], max_regions: int | None = None,
                   max_seconds: float | None = None, progress: Callable[[Progress], object] | None = None,
                   tighten: str = "lp", solver: str = "highs") -> Table:
    """Linear regions of `chain` over the polytope { u : G u <= h }, one mixed-integer programme each (the method of CEE III-B).

    Needs     a bounded polytope with an interior; floors as for the other engines.
    Gives     Table, sorted by code. A baseline and a cross-check: the other engines take a ten-thousandth of the time.
    Sound     a code is taken only if its halfspaces, computed from the weights, hold a ball.
    Complete  yes, to the solver's tolerances, for every region with a point where all units at an upper piece are SOLVER_SLACK of
              their range above the breakpoint, and inputs that far inside; budgets leave the rest.
    Source    CEE III-B to III-D: each code that was found is forbidden, until there is none.
    Differs   CEE's constraints are not strict, so that codes met on a set without volume are solutions; most are excluded here by
              that slack, the others by their largest ball (Chebyshev).
    """
    began = time.perf_counter()
    lower, upper = bounding_box(G, h)
    program = Program()
    u = program.add(chain.n_inputs, lower, upper)
    program.constrain(G, u, -np.inf, h)
    encoding = encode(chain, program, u, lower, upper, tighten=tighten, max_seconds=max_seconds)
    _demand_slack(program, encoding, G, h, upper - lower)
    codes, points, reason, excluded = [], [], "", 0
    try:
        while not reason:
            left = np.inf if max_seconds is None else max_seconds - (time.perf_counter() - began)
            if left <= 0:
                reason = f"max_seconds={max_seconds} ran out"
            elif max_regions is not None and len(codes) >= max_regions:
                reason = f"max_regions={max_regions} were found"
            else:
                found = program.minimise([], [], max_seconds=left, solver=solver)
                if found.status == "infeasible" and solver == "highs":         # one verdict of HiGHS is not enough
                    found = program.minimise([], [], max_seconds=left, second=True)
                if found.status == "infeasible":
                    break
                if found.x is None:
                    reason = "the solver gave up" if max_seconds is None else f"max_seconds={max_seconds} ran out"
                    continue
                code = encoding.code(found.x)
                ball = _ball(chain, code, G, h, lower, upper, floors)
                encoding.forbid(program, code)
                if ball is None:
                    excluded += 1
                else:
                    codes.append(code)
                    points.append(ball)
                if not len(encoding.binaries):          # one region, and nothing to forbid
                    break
                if progress is not None:
                    progress(Progress(len(codes), float("nan"), time.perf_counter() - began))
    except KeyboardInterrupt:
        raise Interrupted(_table(chain, codes, points, "interrupted", excluded)) from None
    if not reason and _misses_one(chain, encoding, codes, G, h, lower, upper, floors):
        reason = "a point drawn at random lies in a region that the solver calls infeasible: its numbers are too unlike for it"
    return _table(chain, codes, points, reason, excluded)


def _misses_one(chain: Chain, encoding: Encoding, codes, G, h, lower, upper, floors) -> bool:
    """Does a random point show a region that ought to be there? Solvers lose them where units differ much in size."""
    X = np.random.default_rng(0).uniform(lower, upper, (GUARD, len(lower)))
    X = X[(h >= X @ G.T).all(axis=1)]
    if not len(X):
        return False
    seen = np.unique(unpack_codes(codes_of(chain, X), chain.n_pieces), axis=0)
    known = {tuple(code) for code in codes}
    for code in (c for c in seen.astype(np.int64) if tuple(c) not in known):
        ball = _ball(chain, code, G, h, lower, upper, floors)
        if ball is not None and _has_slack(chain, encoding, code, ball, G, h, upper - lower):
            return True
    return False


def _has_slack(chain: Chain, encoding: Encoding, code, u, G, h, width) -> bool:
    """Is u as far inside as `_demand_slack` asks, twice over?"""
    if (h - G @ u < 2 * SOLVER_SLACK * (np.abs(G) @ width)).any():
        return False
    for stage, (start, outputs), columns, (low, up), (M, m) in zip(chain.stages, chain.columns, encoding.pieces, encoding.bounds,
                                                                    unit_maps(chain, code), strict=False):
        z, piece = M @ u + m, np.zeros(stage.phi.n_outputs, dtype=np.int64)
        piece[outputs] = code[start:start + len(outputs)]
        if isinstance(stage.phi, Elementwise):
            i, j = np.nonzero((columns >= 0) & (np.arange(columns.shape[1]) < piece[:, None]))
            if (z[i] - stage.phi.padded[0][i, j] < 2 * SOLVER_SLACK * (up - low)[i]).any():
                return False
            continue
        g, e = np.nonzero((columns >= 0) & (np.arange(columns.shape[1]) != piece[:, None]))
        winner, other = stage.phi.padded[g, piece[g]], stage.phi.padded[g, e]
        if (z[winner] - z[other] < 2 * SOLVER_SLACK * (up[winner] - low[other])).any():
            return False
    return True


def _demand_slack(program: Program, encoding: Encoding, G, h, width) -> None:
    """Units at an upper piece lie SOLVER_SLACK of their range above its breakpoint, a winner above those before it in its group."""
    program.constrain(G, encoding.inputs, -np.inf, h - SOLVER_SLACK * (np.abs(G) @ width))
    for stage, columns, (low, up), (Z, z) in zip(encoding.chain.stages, encoding.pieces, encoding.bounds, encoding.pre, strict=False):
        if isinstance(stage.phi, Elementwise):
            i, j = np.nonzero(columns >= 0)
            t, need = stage.phi.padded[0][i, j], SOLVER_SLACK * (up - low)[i]
            reach = t - low[i] + need
            left, b = Z[i], columns[i, j]
            floor = low[i] - z[i]
        else:
            g, m, e = _ahead(columns)
            winner, other = stage.phi.padded[g, m], stage.phi.padded[g, e]
            need = SOLVER_SLACK * (up[winner] - low[other])
            reach = up[other] - low[winner] + need
            left, b = Z[winner] - Z[other], columns[g, m]
            floor = z[other] - z[winner] + need - reach
        if len(b):
            rows = sp.hstack([left, -sp.diags_array(reach)], format="csr")
            program.constrain(rows, np.append(np.arange(left.shape[1]), b), floor, np.inf)


def _ahead(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(group, member, a member before it) of all such pairs that can win."""
    has = columns >= 0
    before = np.tril(np.ones((columns.shape[1],) * 2, dtype=bool), -1)
    group, winner, other = np.nonzero(has[:, :, None] & has[:, None, :] & before)
    return group, winner, other


def _ball(chain: Chain, code, G, h, lower, upper, floors) -> np.ndarray | None:
    """The centre of the largest ball of a region, in coordinates where the bounding box is [-1, 1]^k; None if it has none.

    Nor has a code one that is not canonical: a unit that is constant at a breakpoint takes the lower piece.
    """
    A, b = [G], [h]
    for stage, (start, outputs), (M, m), floor in zip(chain.stages, chain.columns, unit_maps(chain, code), floors, strict=False):
        piece = np.zeros(stage.phi.n_outputs, dtype=np.int64)
        piece[outputs] = code[start:start + len(outputs)]
        for rows, offsets, size, is_strict in _faces(stage, piece, M, m, ROUNDING_FACTOR * np.asarray(floor)):
            flat = np.abs(rows) @ ((upper - lower) / 2) <= size
            at_middle = offsets - rows @ ((upper + lower) / 2)
            if np.any(flat & (at_middle < (size if is_strict else -size))):
                return None
            A.append(rows[~flat])
            b.append(offsets[~flat])
    rows, offsets = np.vstack(A), np.concatenate(b)
    half, centre = (upper - lower) / 2, (upper + lower) / 2
    rows, offsets = rows * half, offsets - rows @ centre
    norms = np.linalg.norm(rows, axis=1)
    program = Program()
    v, r = program.add(len(half), -1.0, 1.0), program.add(1, 0.0, 1.0)
    scale = np.maximum(norms, np.finfo(float).tiny)
    kept = norms > 0
    program.constrain(np.column_stack([rows / scale[:, None], np.ones(len(rows))])[kept], np.append(v, r), -np.inf, (offsets / scale)[kept])
    best: Optimum = program.maximise([1.0], r)
    if best.x is None or not best.value > 10 * SOLVER:
        return None
    return centre + half * best.x[v]


def _faces(stage: Stage, piece, M, m, floor):
    """rows u <= offsets of the pieces of a stage, with the rounding of each, and whether equality belongs to the other side."""
    phi = stage.phi
    if isinstance(phi, Elementwise):
        breaks = phi.padded[0]
        i = np.flatnonzero(piece > 0)
        yield -M[i], m[i] - breaks[i, piece[i] - 1], floor[i], True
        i = np.flatnonzero(piece < phi.n_pieces - 1)
        yield M[i], breaks[i, piece[i]] - m[i], floor[i], False
        return
    g, e = np.nonzero(np.arange(phi.padded.shape[1]) < phi.n_pieces[:, None])
    for is_before in (True, False):
        pick = (e < piece[g]) if is_before else (e > piece[g])
        other, winner = phi.padded[g[pick], e[pick]], phi.padded[g[pick], piece[g[pick]]]
        yield M[other] - M[winner], m[winner] - m[other], floor[other] + floor[winner], is_before


def _table(chain: Chain, codes, points, reason: str, excluded: int) -> Table:
    pieces = np.array(codes, dtype=np.int64).reshape(len(codes), chain.n_columns)
    packed, points = pack_codes(pieces, chain.n_pieces), np.array(points).reshape(len(codes), chain.n_inputs)
    order = np.lexsort(packed.T[::-1]) if packed.shape[1] else np.arange(len(codes))
    coef, intercept = local_maps(chain, pieces[order])
    return Table(packed[order], points[order], coef, intercept, None, None, n_regions=len(codes), unresolved=0, ties=0,
                 complete=not reason, reason=reason, rest_cells=int(bool(reason)), rest_share=float("nan") if reason else 0.0,
                 unresolved_thickness=0.0, programmes=len(codes) + excluded)
