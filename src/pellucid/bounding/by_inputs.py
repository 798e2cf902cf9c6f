"""Branch and bound by splitting the inputs: batches of boxes, halved where that helps most (few inputs: ACAS Xu has five)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..attacks import Goal, ascend, boxes
from .inherited import Inherited
from .joint import joint
from .leaves import Below, BoxBounds
from .property import Case
from .searching import Search, excluded

BATCH = 512
"""Boxes that are bounded at once."""

BEST_FIRST = 2**15
"""Open boxes up to which those with the worst bounds come first, which finds counterexamples; beyond, the newest, which saves memory."""

ITERATIONS = 0
"""Of a search for the lines of the last pass, for boxes that are left. On ACAS Xu it saves no boxes to speak of: what is loose there are
the bounds of hidden units, which halving tightens."""

ATTACK_EVERY, ATTACKED = 8, 24
"""Every so many batches gradients look for a witness in so many boxes."""

NEAR = 2.0
"""Boxes whose margin is below zero by more than this many times what the linear bound changes over them are halved without that."""

WEIGHTS = 1024.0
"""Weights of rows in a mixture are multiples of one over this."""

MOST_KEPT = 200_000
"""Leaves that are kept for `check`."""

@dataclass(eq=False)
class _Open:
    """Boxes that are not done, with the cases that are not excluded there, their bounds, and where in `Inherited` their halves' share lies."""

    lower: np.ndarray
    upper: np.ndarray
    alive: np.ndarray
    bound: np.ndarray
    slot: np.ndarray

    def __len__(self) -> int:
        return len(self.bound)

    def take(self, n: int) -> tuple[_Open, _Open]:
        """n of them, and the rest."""
        if len(self) <= n:
            return self, self.some(np.zeros(0, dtype=int))
        order = np.argpartition(self.bound, n) if len(self) <= BEST_FIRST else np.arange(len(self) - 1, -1, -1)
        return self.some(order[:n]), self.some(np.sort(order[n:]))

    def some(self, rows: np.ndarray) -> _Open:
        return _Open(*(getattr(self, f)[rows] for f in self.__dataclass_fields__))

    def plus(self, other: _Open) -> _Open:
        return _Open(*(np.concatenate([getattr(self, f), getattr(other, f)]) for f in self.__dataclass_fields__))


def by_inputs(search: Search, bound: BoxBounds, *, batch: int = BATCH, iterations: int = ITERATIONS) -> None:
    """Search every case's box; what comes out stands in `search`.

    Needs     bounds that are sound in floats; cases with finite boxes.
    Gives     a witness, or leaves that cover the box of each case, on each of which each case is excluded, or what is left open.
    Sound     yes: a box is halved at a float, which belongs to both halves, so that the leaves cover the box exactly.
    Complete  no: where the margin is 0 or below what rounding leaves it ends with boxes that cannot be halved, or by its budget.
    Source    Bunel et al. 2018 (branch and bound, "smart" input splits); Wang et al. 2018 (ReluVal).
    Differs   a feature is chosen by how much the linear bound of the row that is nearest to excluding its case moves over it.
    """
    for cases in _groups(search.space.cases):
        if search.is_decided:
            return
        _search(search, cases, bound, batch, iterations)


def _groups(cases: tuple[Case, ...]) -> list[list[Case]]:
    """Cases that have the same box."""
    groups: dict[bytes, list[Case]] = {}
    for c in cases:
        groups.setdefault(c.lower.tobytes() + c.upper.tobytes(), []).append(c)
    return list(groups.values())


def _search(search: Search, cases: list[Case], bound: BoxBounds, batch: int, iterations: int) -> None:
    C, b = np.vstack([c.C for c in cases]), np.concatenate([c.b for c in cases])
    strict, ends = np.concatenate([c.strict for c in cases]), np.cumsum([0, *(len(c.b) for c in cases)])
    rows = [np.arange(ends[k], ends[k + 1]) for k in range(len(cases))]
    low, up = cases[0].lower, cases[0].upper
    open_ = _Open(low[None], up[None], np.ones((1, len(cases)), dtype=bool), np.array([-np.inf]), np.array([-1]))
    inherited = Inherited(bound.program)
    whole, stuck, budget = _log_volume(low[None], up[None])[0], 0, search.budget
    done, rounds = 0.0, 0
    try:
        while len(open_) and not search.is_decided:
            if budget.is_over:
                break
            now, open_ = open_.take(min(batch, budget.nodes_left))
            budget.nodes += len(now)
            look = _Look(bound(now.lower, now.upper, C, inherited.take(now.slot)), C, b, rows, strict, now)
            look.mix()
            if iterations:
                look.sharpen(bound, iterations)
            out, margin = look.out, look.margin
            is_done = (out | ~now.alive).all(axis=1)
            if is_done.any():
                leaf = np.where(now.alive, margin, np.inf)[is_done]
                search.proved = min(search.proved, float(leaf.min()))
                search.leaves += int(is_done.sum())
                done += float(np.exp2(_log_volume(now.lower[is_done], now.upper[is_done]) - whole).sum())
                if search.leaves <= MOST_KEPT:
                    search.kept.append(((low.tobytes(), up.tobytes()), now.lower[is_done], now.upper[is_done]))
            left = np.flatnonzero(~is_done)
            if not len(left):
                continue
            alive = now.alive[left] & ~out[left]
            worst = np.where(alive, margin[left], np.inf)
            lower, upper, steep = now.lower[left], now.upper[left], look.slope[left, worst.argmin(axis=1)]
            if search.try_points(_candidates(lower, upper, steep), tuple(cases)):
                break
            rounds += 1
            if rounds % ATTACK_EVERY == 0 and _attacked(search, cases, lower, upper, alive):
                break
            halves, split, unsplit = _halved(lower, upper, alive, worst.min(axis=1), steep)
            stuck += len(unsplit)
            search.open_bound = min(search.open_bound, float(unsplit.min(initial=np.inf)))
            halves.slot = np.tile(inherited.put(look.found.trace, left[split], uses=2), 2)
            open_ = open_.plus(halves)
            budget.tell(len(open_), min(done, 1.0))
    except KeyboardInterrupt:                                   # boxes in hand are lost, so that nothing may be claimed
        budget.pressed = True
        search.undecided, search.open_bound = budget.reason, -np.inf
        search.n_left += 1
        return
    _close(search, open_, stuck)


def _close(search: Search, open_: _Open, stuck: int) -> None:
    """Say what is left."""
    search.n_left += len(open_)
    if stuck:
        search.undecided = f"{stuck} boxes are too small to be halved in float64, and bounds do not decide them"
    if len(open_):
        search.undecided = search.budget.reason
        search.open_bound = min(search.open_bound, float(open_.bound.min()))


def _log_volume(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """(n,) log2 of the volume over features that move, whatever stands still left out."""
    width = upper - lower
    return np.log2(np.where(width > 0, width, 1.0)).sum(axis=1)


class _Look:
    """What bounds say of a batch of boxes: which cases are excluded, (n, cases), and by what margin.

    slope: (n, cases, k) of the row that is best by itself. (That of a mixture tells less of where to halve: the better a mixture, the
    more of it cancels; measured, twice to ten times the boxes.)
    """

    def __init__(self, found: Below, C, b, rows: list[np.ndarray], strict, boxes: _Open):
        self.found, self.C, self.b, self.rows, self.boxes = found, C, b, rows, boxes
        self.value = _less(found.value, b)
        self.out, self.margin = excluded(self.value, rows, strict)
        n, k = boxes.lower.shape
        self.slope, self.weight = np.zeros((n, len(rows), k)), [np.zeros((n, len(r))) for r in rows]
        for j, r in enumerate(rows):
            if len(r):
                best = self.value[:, r].argmax(axis=1)
                self.slope[:, j] = found.slope[np.arange(n), r[best]]
                self.weight[j][np.arange(n), best] = 1.0

    def mix(self) -> None:
        """Mix the rows of each case that is left."""
        open_ = self.boxes.alive & ~self.out
        for j, r in enumerate(self.rows):
            n = np.flatnonzero(open_[:, j])
            if len(r) > 1 and len(n):
                self._mix(j, r, n)

    def sharpen(self, bound: BoxBounds, iterations: int) -> None:
        """Choose lines of the last pass for the mixture of the case that is farthest from excluded."""
        open_ = self.boxes.alive & ~self.out
        n = np.flatnonzero(open_.any(axis=1))
        case = np.where(open_, self.margin, np.inf)[n].argmin(axis=1)
        near = self.margin[n, case] > -NEAR * self._size(n, case)
        n, case = n[near], case[near]
        if not len(n):
            return
        w = np.zeros((len(n), len(self.b)))
        for j, r in enumerate(self.rows):
            at = np.flatnonzero(case == j)
            w[np.ix_(at, r)] = self.weight[j][n[at]]
        w = np.floor(w * WEIGHTS) / WEIGHTS                    # few bits, so that mixtures of small whole numbers stay exact in float32
        found = bound.sharper(self.found, n, w @ self.C, iterations)
        value = _less(found.value[:, 0], w @ self.b) - 8 * np.spacing(np.abs(w) @ np.abs(self.b))
        better = value > self.margin[n, case]
        n, case = n[better], case[better]
        self.margin[n, case] = value[better]
        self.out[n, case] |= value[better] > 0

    def _mix(self, j: int, r: np.ndarray, n: np.ndarray) -> None:
        slope, offset = self.found.slope[n][:, r], self.found.offset[n][:, r] - self.b[r]
        offset -= np.spacing(np.abs(self.b[r]) + np.abs(offset))
        fine = np.isfinite(slope).all(axis=(1, 2)) & np.isfinite(offset).all(axis=1)
        slope, offset, n = slope[fine], offset[fine], n[fine]
        if not len(n):
            return
        value, w = joint(slope, offset, self.boxes.lower[n], self.boxes.upper[n])
        better = value > self.margin[n, j]
        n, w, value = n[better], w[better], value[better]
        self.margin[n, j], self.weight[j][n] = value, w
        self.out[n, j] |= value > 0

    def _size(self, n: np.ndarray, case: np.ndarray) -> np.ndarray:
        """By how much the linear bound changes over each box."""
        return (np.abs(self.slope[n, case]) * (self.boxes.upper[n] - self.boxes.lower[n])).sum(axis=1)


def _less(value: np.ndarray, b: np.ndarray) -> np.ndarray:
    """value - b, rounded down."""
    return np.where(b == 0.0, value, np.nextafter(value - b, -np.inf))


def _candidates(lower: np.ndarray, upper: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Points to look at in each box: its centre, and the corner to which the linear bound falls."""
    centre = lower + (upper - lower) / 2
    return np.concatenate([centre, np.where(slope > 0, lower, upper)])


def _attacked(search: Search, cases: list[Case], lower: np.ndarray, upper: np.ndarray, alive: np.ndarray) -> bool:
    """Climb inside the boxes whose centres are nearest to unsafe. Whether that found a witness."""
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


def _halved(lower, upper, alive, bound, slope) -> tuple[_Open, np.ndarray, np.ndarray]:
    """Both halves of boxes, along the feature over which the linear bound moves most; which boxes; the bounds of those that cannot be."""
    middle = lower + (upper - lower) / 2
    can = (lower < middle) & (middle < upper)
    width = upper - lower
    score = np.where(can, np.abs(slope) * width, -1.0)
    flat = score.max(axis=1) <= 0.0                             # the bound does not move: the widest feature
    score[flat] = np.where(can, width, -1.0)[flat]
    axis, ok = score.argmax(axis=1), can.any(axis=1)
    n = np.flatnonzero(ok)
    left_upper, right_lower = upper[n].copy(), lower[n].copy()
    at = middle[n, axis[n]]
    left_upper[np.arange(len(n)), axis[n]] = at
    right_lower[np.arange(len(n)), axis[n]] = at
    halves = _Open(np.concatenate([lower[n], right_lower]), np.concatenate([left_upper, upper[n]]),
                   np.concatenate([alive[n], alive[n]]), np.concatenate([bound[n], bound[n]]), np.full(2 * len(n), -1))
    return halves, n, bound[~ok]
