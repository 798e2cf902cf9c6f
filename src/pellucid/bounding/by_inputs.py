"""Branch and bound for few inputs (ACAS Xu has five): batches of boxes, halved where that helps most, and units split inside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

from ..attacks import Goal, ascend, boxes
from .inherited import Inherited
from .joint import joint
from .leaves import Below, BoxBounds, Choices
from .parts import Parts
from .property import Case
from .searching import Search, excluded

BATCH = 1024
"""Boxes that are bounded at once."""

BEST_FIRST = 2**15
"""Open boxes up to which those with the worst bounds come first, which finds counterexamples; beyond, the newest, which saves memory."""

ATTACK_EVERY, ATTACKED = 8, 24
"""Every so many batches gradients look for a witness in so many boxes."""

MOST_KEPT = 200_000
"""Leaves that are kept for `check`."""

WORTH = 1.0
"""A unit is split, and not the box, where its lines lose at least so many times what all lines lose by the width of one feature."""

def by_inputs(search: Search, bound: BoxBounds, *, batch: int = BATCH) -> None:
    """Search every case's box; what comes out stands in `search`.

    Needs     bounds that are sound in floats; cases with finite boxes.
    Gives     a witness, or leaves that cover the box of each case, on each of which each case is excluded, or what is left open.
    Sound     yes: a box is halved at a float, which belongs to both halves, so that the leaves cover the box exactly.
    Complete  no: where the margin is 0 or below what rounding leaves it ends with boxes that cannot be halved, or by its budget.
    Source    Bunel et al. 2018, 2020 (branch and bound, scores of units); Wang et al. 2018 (ReluVal); Bak et al. 2020 (nnenum: exact
              once few units are undecided).
    Differs   bounds of hidden tensors are handed on from a box to its parts. Where one unit's lines lose more than the width of any
              feature makes all lines lose, that unit is split, and its two sides are half-spaces of the box, which rows are mixed with by a
              linear programme: with every unit decided that is exact. A feature is chosen by the product of what the linear bound
              moves over it, which alone never halves where only the gap is wide, and of what it makes lines lose, which alone says
              nothing where bounds are far off (design/verification.md).
    """
    numpys = ThreadpoolController().select(internal_api="openblas")
    with numpys.limit(limits=1):                                # its products are small, and its threads would wait in the way of torch's
        for cases in _groups(search.space.cases):
            if search.is_decided:
                return
            _Tree(search, cases, bound, batch).run()


def _groups(cases: tuple[Case, ...]) -> list[list[Case]]:
    """Cases that have the same box."""
    groups: dict[bytes, list[Case]] = {}
    for c in cases:
        groups.setdefault(c.lower.tobytes() + c.upper.tobytes(), []).append(c)
    return list(groups.values())


@dataclass(eq=False)
class _Tree:
    """The search of one box, for cases that have it in common."""

    search: Search
    cases: list[Case]
    bound: BoxBounds
    batch: int

    def __post_init__(self):
        cases = self.cases
        self.C, self.b = np.vstack([c.C for c in cases]), np.concatenate([c.b for c in cases])
        self.strict, ends = np.concatenate([c.strict for c in cases]), np.cumsum([0, *(len(c.b) for c in cases)])
        self.rows = [np.arange(ends[k], ends[k + 1]) for k in range(len(cases))]
        self.open = Parts.whole(cases[0].lower, cases[0].upper, len(cases))
        self.whole, self.key = self.open.log_volume[0], (cases[0].lower.tobytes(), cases[0].upper.tobytes())
        self.inherited = Inherited(self.bound.program)
        self.stuck, self.done, self.rounds = 0, 0.0, 0

    def run(self) -> None:
        search, budget = self.search, self.search.budget
        try:
            while len(self.open) and not search.is_decided and not budget.is_over:
                now, self.open = self.open.take(min(self.batch, budget.nodes_left), BEST_FIRST)
                budget.nodes += len(now)
                self.look(now)
                budget.tell(len(self.open), min(self.done, 1.0))
        except KeyboardInterrupt:                               # parts in hand are lost, so that nothing may be claimed
            budget.pressed = True
            search.undecided, search.open_bound = budget.reason, -np.inf
            search.n_left += 1
            return
        search.n_left += len(self.open)
        if self.stuck:
            search.undecided = f"{self.stuck} boxes are too small to be halved in float64, and bounds do not decide them"
        if len(self.open):
            search.undecided = budget.reason
            search.open_bound = min(search.open_bound, float(self.open.bound.min()))

    def look(self, now: Parts) -> None:
        """Bound some parts, and put what is left of them back, split."""
        search = self.search
        look = self.bounded(self.bound, now, self.inherited.take(now.slot))
        left = self.closed(now, look)
        if not len(left):
            return
        rest = now.some(left)
        rest.alive = rest.alive & ~look.out[left]
        worst = np.where(rest.alive, look.margin[left], np.inf)
        case = worst.argmin(axis=1)
        rest.bound, steep = worst.min(axis=1), look.slope[left, case]
        if search.try_points(np.concatenate([_candidates(rest.lower, rest.upper, steep), look.point[left]]), tuple(self.cases)):
            return
        self.rounds += 1
        if self.rounds % ATTACK_EVERY == 0 and _attacked(search, self.cases, rest):
            return
        choice = self.bound.choices(look.found, left, rest.lower, rest.upper, look.mixed(left, case) @ self.C)
        go_on = self.rounded(rest, left, choice, look)
        self.split(rest.some(go_on), left[go_on], choice.some(go_on), steep[go_on], look.found)

    def bounded(self, bound: BoxBounds, parts: Parts, given: dict) -> _Look:
        look = _Look(bound, bound(parts.lower, parts.upper, self.C, given), self.C, self.b, self.rows, self.strict, parts)
        look.mix()
        return look

    def closed(self, parts: Parts, look: _Look) -> np.ndarray:
        """Count those that are done; the others."""
        search, is_done = self.search, (look.out | ~parts.alive).all(axis=1)
        if is_done.any():
            leaf = np.where(parts.alive & ~look.found.empty[:, None], look.margin, np.inf)[is_done]
            search.proved = min(search.proved, float(leaf.min()))
            search.leaves += int(is_done.sum())
            self.done += float(np.exp2(parts.log_volume[is_done] - self.whole).sum())
            self.keep(parts, np.flatnonzero(is_done & (parts.depth == 0)))
        return np.flatnonzero(~is_done)

    def rounded(self, rest: Parts, left: np.ndarray, choice: Choices, look: _Look) -> np.ndarray:
        """Look again in float64 at those where lines lose nothing, so that rounding is all that is left. What is to be split, then."""
        if self.bound.program.dtype == torch.float64:
            return np.arange(len(left))
        last = choice.halved.max(axis=1, initial=0.0) <= 0.0
        at = np.flatnonzero(last)
        if not len(at):
            return np.arange(len(left))
        rows = torch.as_tensor(left[at], device=self.bound.program.device)
        given = {name: tuple(b[rows].double() for b in look.found.trace.bounds[name]) for name in self.bound.names}
        parts = rest.some(at)
        return np.sort(np.concatenate([np.flatnonzero(~last), at[self.closed(parts, self.bounded(self.bound.double, parts, given))]]))

    def split(self, rest: Parts, left: np.ndarray, choice: Choices, steep: np.ndarray, found: Below) -> None:
        """By a unit where its lines lose more than halving a feature can win, else in halves."""
        unit = (choice.lost > 0) & (choice.lost >= WORTH * choice.halved.max(axis=1, initial=0.0)) & (rest.bound > -np.inf)
        unit &= self.inherited.has_room(2 * int(unit.sum()))
        at, halved = np.flatnonzero(unit), ~unit
        if len(at):
            self.keep(rest, at[rest.depth[at] == 0])
            self.by_units(rest.some(at), left[at], choice.some(at), found)
        gap = choice.halved[halved]
        change = (np.abs(steep) * (rest.upper - rest.lower))[halved]
        halves, split, unsplit = _halved(rest.some(np.flatnonzero(halved)), change * np.where(gap.any(axis=1, keepdims=True), gap, 1.0))
        self.stuck += len(unsplit)
        self.search.open_bound = min(self.search.open_bound, float(unsplit.min(initial=np.inf)))
        halves.slot = np.tile(self.inherited.put(found.trace, left[halved][split], uses=2), 2)
        self.open = self.open.plus(halves)

    def by_units(self, parts: Parts, at: np.ndarray, kinks: Choices, found: Below) -> None:
        """Both sides of one unit for each part."""
        for side in (-1, 1):                                    # z >= t; z <= t
            slots = self.inherited.put(found.trace, at, uses=1)
            self.inherited.cut(slots, kinks.tensor, kinks.unit, kinks.at, -side)
            child = parts.split(kinks.tensor, kinks.unit, side, kinks.at)
            child.slot = slots
            self.open = self.open.plus(child)

    def keep(self, parts: Parts, rows: np.ndarray) -> None:
        """Boxes that are leaves, or roots of what units divide further."""
        self.search.boxes += len(rows)
        if len(rows) and self.search.boxes <= MOST_KEPT:
            self.search.kept.append((self.key, parts.lower[rows], parts.upper[rows]))


class _Look:
    """What bounds say of a batch of boxes: which cases are excluded, (n, cases), and by what margin.

    slope: (n, cases, k) of the row that is best by itself. (That of a mixture tells less of where to halve: the better a mixture, the
    more of it cancels; measured, twice to ten times the boxes.)
    """

    def __init__(self, bound: BoxBounds, found: Below, C, b, rows: list[np.ndarray], strict, parts: Parts):
        self.bound, self.found, self.C, self.b, self.rows, self.parts = bound, found, C, b, rows, parts
        self.value = _less(found.value, b)
        self.out, self.margin = excluded(self.value, rows, strict)
        self.out |= found.empty[:, None]
        n, k = parts.lower.shape
        self.point = parts.lower + (parts.upper - parts.lower) / 2
        self.slope, self.weight = np.zeros((n, len(rows), k)), [np.zeros((n, len(r))) for r in rows]
        for j, r in enumerate(rows):
            if len(r):
                best = self.value[:, r].argmax(axis=1)
                self.slope[:, j] = found.slope[np.arange(n), r[best]]
                self.weight[j][np.arange(n), best] = 1.0

    def mix(self) -> None:
        """Mix the rows of each case that is left, and what is known of the part."""
        open_ = self.parts.alive & ~self.out
        for j, r in enumerate(self.rows):
            n = np.flatnonzero(open_[:, j] & ((self.parts.depth > 0) | (len(r) > 1)))
            if len(r) and len(n):
                self._mix(j, r, n)

    def mixed(self, n: np.ndarray, case: np.ndarray) -> np.ndarray:
        """(n', rows of all cases): the weights behind the margin of one case for some of the parts."""
        w = np.zeros((len(n), len(self.b)))
        for j, r in enumerate(self.rows):
            at = np.flatnonzero(case == j)
            w[np.ix_(at, r)] = self.weight[j][n[at]]
        return w

    def _mix(self, j: int, r: np.ndarray, n: np.ndarray) -> None:
        slope, offset = self.found.slope[n][:, r], self.found.offset[n][:, r] - self.b[r]
        offset -= np.spacing(np.abs(self.b[r]) + np.abs(offset))
        fine = np.isfinite(slope).all(axis=(1, 2)) & np.isfinite(offset).all(axis=1)
        slope, offset, n = slope[fine], offset[fine], n[fine]
        if not len(n):
            return
        parts = self.parts.some(n)
        value, w, self.point[n] = joint(slope, offset, parts.lower, parts.upper, *self.bound.facts(self.found, n, parts))
        better = value > self.margin[n, j]
        n, w, value = n[better], w[better], value[better]
        self.margin[n, j], self.weight[j][n] = value, w
        self.out[n, j] |= value > 0


def _less(value: np.ndarray, b: np.ndarray) -> np.ndarray:
    """value - b, rounded down."""
    return np.where(b == 0.0, value, np.nextafter(value - b, -np.inf))


def _candidates(lower: np.ndarray, upper: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Points to look at in each box: its centre, and the corner to which the linear bound falls."""
    centre = lower + (upper - lower) / 2
    return np.concatenate([centre, np.where(slope > 0, lower, upper)])


def _attacked(search: Search, cases: list[Case], parts: Parts) -> bool:
    """Climb inside the boxes whose centres are nearest to unsafe. Whether that found a witness."""
    lower, upper, alive = parts.lower, parts.upper, parts.alive
    centre = lower + (upper - lower) / 2
    y = search.outputs(centre)
    for j, c in enumerate(cases):
        n = np.flatnonzero(alive[:, j])
        if not len(n) or not len(c.b):
            continue
        near = n[np.argsort((y[n] @ c.C.T - c.b).max(axis=1))[:ATTACKED]]
        # a box of twice the size, cut with the case's: a witness next door is one as well
        half = upper[near] - lower[near]
        sets = boxes(np.maximum(centre[near] - half, c.lower), np.minimum(centre[near] + half, c.upper))
        found = ascend(search.space.graph, sets, Goal(-c.C, None, c.b), aggregate="smallest", restarts=3, steps=25, enough=0.0,
                       seed=search.budget.nodes, dtype="float64", stop=lambda: search.budget.is_over)
        if search.try_points(found.x[np.isfinite(found.value)], (c,)):
            return True
    return False


def _halved(parts: Parts, score: np.ndarray) -> tuple[Parts, np.ndarray, np.ndarray]:
    """Both halves of boxes, along the feature of the largest score; which boxes; the bounds of those that cannot be."""
    lower, upper = parts.lower, parts.upper
    middle, width = lower + (upper - lower) / 2, upper - lower
    can = (lower < middle) & (middle < upper)
    score = np.where(can, score, -1.0)
    flat = score.max(axis=1, initial=-1.0) <= 0.0               # nothing to choose by: the widest feature
    score[flat] = np.where(can, width, -1.0)[flat]
    n = np.flatnonzero(can.any(axis=1))
    axis, row = score[n].argmax(axis=1), np.arange(len(n))
    left, right = parts.some(n), parts.some(n)
    left.upper[row, axis] = right.lower[row, axis] = middle[n, axis]
    return left.plus(right), n, parts.bound[~can.any(axis=1)]
