"""Branch and bound by splitting the inputs: batches of boxes, halved where that helps most (few inputs: ACAS Xu has five)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .property import Case
from .searching import Search, excluded

BATCH = 512
"""Boxes that are bounded at once."""

BEST_FIRST = 2**15
"""Open boxes up to which those with the worst bounds come first, which finds counterexamples; beyond, the newest, which saves memory."""

MOST_KEPT = 200_000
"""Leaves that are kept for `check`."""

Bound = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""(lower (n, k), upper (n, k), rows C (m, outputs)) -> lower bounds (n, m) of C f, and the slopes (n, m, k) of linear functions below."""


@dataclass(eq=False)
class _Open:
    """Boxes that are not done, with the cases that are not excluded there and their bounds."""

    lower: np.ndarray
    upper: np.ndarray
    alive: np.ndarray
    bound: np.ndarray

    def __len__(self) -> int:
        return len(self.bound)

    def take(self, n: int) -> tuple[_Open, _Open]:
        """n of them, and the rest."""
        if len(self) <= n:
            return self, self.some(np.zeros(0, dtype=int))
        order = np.argpartition(self.bound, n) if len(self) <= BEST_FIRST else np.arange(len(self) - 1, -1, -1)
        return self.some(order[:n]), self.some(np.sort(order[n:]))

    def some(self, rows: np.ndarray) -> _Open:
        return _Open(self.lower[rows], self.upper[rows], self.alive[rows], self.bound[rows])

    def plus(self, other: _Open) -> _Open:
        return _Open(*(np.concatenate([getattr(self, f), getattr(other, f)]) for f in ("lower", "upper", "alive", "bound")))


def by_inputs(search: Search, bound: Bound, *, batch: int = BATCH) -> None:
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
        _search(search, cases, bound, batch)


def _groups(cases: tuple[Case, ...]) -> list[list[Case]]:
    """Cases that have the same box."""
    groups: dict[bytes, list[Case]] = {}
    for c in cases:
        groups.setdefault(c.lower.tobytes() + c.upper.tobytes(), []).append(c)
    return list(groups.values())


def _search(search: Search, cases: list[Case], bound: Bound, batch: int) -> None:
    C, b = np.vstack([c.C for c in cases]), np.concatenate([c.b for c in cases])
    strict, ends = np.concatenate([c.strict for c in cases]), np.cumsum([0, *(len(c.b) for c in cases)])
    rows = [np.arange(ends[k], ends[k + 1]) for k in range(len(cases))]
    low, up = cases[0].lower, cases[0].upper
    open_ = _Open(low[None], up[None], np.ones((1, len(cases)), dtype=bool), np.array([-np.inf]))
    whole, stuck, budget = _log_volume(low[None], up[None])[0], 0, search.budget
    done = 0.0
    try:
        while len(open_) and not search.is_decided:
            if budget.is_over:
                break
            now, open_ = open_.take(min(batch, budget.nodes_left))
            search.open_bound = min(search.open_bound, float(now.bound.min()))
            budget.nodes += len(now)
            below, slope = bound(now.lower, now.upper, C)
            below = below - b
            below = np.where(below > 0, np.nextafter(below, -np.inf), below)      # the subtraction rounds once
            out, margin = excluded(below, rows, strict)
            is_done = (out | ~now.alive).all(axis=1)
            if is_done.any():
                leaf = np.where(now.alive, margin, np.inf)[is_done]
                search.proved = min(search.proved, float(leaf.min()))
                search.leaves += int(is_done.sum())
                done += float(np.exp2(_log_volume(now.lower[is_done], now.upper[is_done]) - whole).sum())
                if search.leaves <= MOST_KEPT:
                    search.kept.append(("boxes", now.lower[is_done], now.upper[is_done]))
            left = np.flatnonzero(~is_done)
            if not len(left):
                continue
            alive = now.alive[left] & ~out[left]
            worst = np.where(alive, margin[left], np.inf)
            row = _deciding_row(below[left], rows, alive, worst)
            lower, upper, steep = now.lower[left], now.upper[left], slope[left, row]
            if search.try_points(_candidates(lower, upper, steep), tuple(cases)):
                break
            halves, unsplit = _halved(lower, upper, alive, worst.min(axis=1), steep)
            stuck += unsplit
            open_ = open_.plus(halves)
            budget.tell(len(open_), min(done, 1.0))
    except KeyboardInterrupt:
        budget.pressed = True
    _close(search, open_, stuck)


def _close(search: Search, open_: _Open, stuck: int) -> None:
    """Say what is left."""
    search.n_left += len(open_)
    if stuck:
        search.undecided = f"{stuck} boxes are too small to be halved in float64, and bounds do not decide them"
        search.open_bound = min(search.open_bound, 0.0)
    if len(open_):
        search.undecided = search.budget.reason
        search.open_bound = float(open_.bound.min())
    elif not stuck:
        search.open_bound = np.inf


def _log_volume(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """(n,) log2 of the volume over features that move, whatever stands still left out."""
    width = upper - lower
    return np.log2(np.where(width > 0, width, 1.0)).sum(axis=1)


def _deciding_row(below: np.ndarray, rows: list[np.ndarray], alive: np.ndarray, worst: np.ndarray) -> np.ndarray:
    """(n,) of the case that is farthest from excluded the row that is nearest to excluding it."""
    best = np.stack([r[below[:, r].argmax(axis=1)] if len(r) else np.zeros(len(below), dtype=int) for r in rows], axis=1)
    return best[np.arange(len(below)), worst.argmin(axis=1)]


def _candidates(lower: np.ndarray, upper: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Points to look at in each box: its centre, and the corner to which the linear bound falls."""
    centre = lower + (upper - lower) / 2
    return np.concatenate([centre, np.where(slope > 0, lower, upper)])


def _halved(lower, upper, alive, bound, slope) -> tuple[_Open, int]:
    """Both halves of each box, along the feature over which the linear bound moves most; and how many cannot be halved."""
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
                   np.concatenate([alive[n], alive[n]]), np.concatenate([bound[n], bound[n]]))
    return halves, int((~ok).sum())
