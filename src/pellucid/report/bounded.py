"""Sound bounds in the report: how far rows may move before the answer can change, and what the outputs stay between over all ranges."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..geometry import Ball, Box
from ..graph import Network
from ..graph.graph import INPUT
from ..graph.op import AffineOp, size
from .focus import axis_features, spread_rows

if TYPE_CHECKING:
    from ..attribution import Attribution
    from ..bounding import Bounds

SHARES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
"""Radii: shares of each feature's range in the data."""

MOST_ROWS, MAPS = 100, 8
"""Rows whose surroundings are bounded; rows that importance is shown of."""

WORK = 1 << 28
"""Coefficients that one radius may carry backwards: some seconds on a core. Larger networks get fewer rows."""

FULL_SETS = 4_000
"""Sets of one importance, up to which each is bounded by itself."""

GRID = 14
"""Cells a side that images are cut into, at most."""


@dataclass(frozen=True, eq=False)
class Level:
    """What is known of the rows within one radius: how many keep their class for certain, how many do not (a point was found), or of a
    number: how far from each row's value it goes at most, by the bounds, and at least, as a search found (the mean over the rows)."""

    share: float
    kept: int
    changed: int
    at_most: float
    at_least: float


@dataclass(frozen=True, eq=False)
class Bounded:
    """row: its number, x: its inputs. n_rows: how many were asked. levels: of each radius. at_row: the outputs around the row, within
    `radius` of the ranges. whole: the outputs wherever all features take any value in their ranges; seen: (2, c) least and most on the
    rows within them, NaN without any. important: of the row and some others, around them; None with the reason in `not_important`.
    still: features that do not move."""

    row: int
    x: np.ndarray
    n_rows: int
    levels: tuple[Level, ...]
    radius: float
    at_row: Bounds
    whole: Bounds
    seen: np.ndarray
    important: Attribution | None
    not_important: str
    still: tuple[str, ...]


def bounded(net: Network, X: np.ndarray, row: int, box: Box, direction: np.ndarray, *, max_seconds: float = 15.0) -> Bounded:
    """Bound the outputs around rows of X (n, d) and over the ranges `box`; `row`, one of them, is looked at more closely.

    direction: (c,) the quantity that is reported of a model without classes. MissingExtra without torch. What changes a class is
    searched for by gradients; after max_seconds no further radius is begun.
    """
    from ..bounding import bounds

    ends = time.perf_counter() + max_seconds
    low, high = np.minimum(X.min(axis=0), box.lower), np.maximum(X.max(axis=0), box.upper)
    moves = axis_features(net, X)
    width = np.where(moves, box.upper - box.lower, 0.0)
    numbers = _numbers(net, len(X), row)
    around = _Around(net, X[numbers], low, high, width, direction)
    levels: list[Level] = []
    for share in SHARES:
        if levels and (time.perf_counter() > ends or (net.n_classes and levels[-1].changed == len(numbers))):
            break
        levels.append(around.level(share))
    radius = around.first_open(0, [level.share for level in levels])
    at_row = bounds(net, Ball(X[row], radius * width, clip=(low, high)))
    whole = bounds(net, box)
    y = net(X[((box.lower <= X) & (box.upper >= X)).all(axis=1)])
    seen = np.stack([y.min(axis=0), y.max(axis=0)]) if len(y) else np.full((2, net.n_outputs), np.nan)
    important, why = None, "the model gives no classes"
    if net.n_classes:
        important, why = _important(net, X[numbers[:MAPS]], moves, radius * width, (low, high))
    still = tuple(net.feature_names[j] for j in np.flatnonzero(~moves))
    return Bounded(row, X[row], len(numbers), tuple(levels), radius, at_row, whole, seen, important, why,
                   still)


def _numbers(net: Network, n: int, row: int) -> np.ndarray:
    """The row, and others evenly spread: as many as a network of this size allows."""
    graph = net.graph
    hidden = {s for node in graph.nodes if not isinstance(node.op, AffineOp) for s in node.inputs}
    widest = max(size(graph.shape_of(name)) for name in (INPUT, *graph.by_name))
    each = max(1, sum(size(graph.shape_of(s)) for s in hidden)) * widest
    most = int(np.clip(WORK // each, 1, MOST_ROWS))
    others = spread_rows(np.setdiff1d(np.arange(n), [row]), most - 1) if most > 1 else []
    return np.array([row, *others], dtype=np.int64)


class _Around:
    """Rows, and what is known of each so far: a row that a smaller radius left open, or changed, is not proved again."""

    def __init__(self, net: Network, X: np.ndarray, low, high, width, direction):
        self.net, self.X, self.low, self.high, self.width = net, X, low, high, width
        self.kept = np.zeros((0, len(X)), dtype=bool)
        self.changed = np.zeros(len(X), dtype=bool)
        self.y, self.found = net(X), np.full(len(X), -np.inf)
        self.C = _rivals(net, self.y) if net.n_classes or net.is_multilabel else np.stack([direction, -direction])[None].repeat(len(X), 0)

    def level(self, share: float) -> Level:
        if not (self.net.n_classes or self.net.is_multilabel):
            return self._moved(share)
        asked = self.kept[-1] if len(self.kept) else ~self.changed
        kept = np.zeros(len(self.X), dtype=bool)
        kept[asked] = (self._most(asked, share) < 0).all(axis=1)
        self.kept = np.vstack([self.kept, kept])
        open_ = ~kept & ~self.changed
        if open_.any():
            self.changed[open_] = self._attained(open_, share) > 0
        return Level(share, int(kept.sum()), int(self.changed.sum()), np.nan, np.nan)

    def _moved(self, share: float) -> Level:
        """A number: how far it goes from each row's value, either way."""
        every = np.ones(len(self.X), dtype=bool)
        here = np.einsum("nsc,nc->ns", self.C, self.y)
        most = (self._most(every, share) - here).max(axis=1)
        least = np.max([self._attained(every, share, self.C[:, [k]]) - here[:, k] for k in (0, 1)], axis=0)
        self.found = np.maximum(self.found, least)              # what a smaller radius holds, a larger one does
        return Level(share, 0, 0, float(most.mean()), float(self.found.mean()))

    def _most(self, rows: np.ndarray, share: float) -> np.ndarray:
        """(n, s): no point around a row has a larger value of its rows of C."""
        from ..bounding import bounds

        if not rows.any():
            return np.zeros((0, self.C.shape[1]))
        found = bounds(self.net, Ball(self.X[rows], share * self.width, clip=(self.low, self.high)), spec=self.C[rows])
        return found.upper.double().cpu().numpy()

    def _attained(self, rows: np.ndarray, share: float, C: np.ndarray | None = None) -> np.ndarray:
        """(n,) the largest value of rows of C found around each row."""
        from ..attacks.inputs import ascend
        from ..attacks.sets import balls

        sets = balls(self.X[rows], share * self.width, np.inf, self.low, self.high)
        goal, enough = (self.C, 0.0) if C is None else (C, np.inf)
        return ascend(self.net.graph, sets, goal[rows], steps=20, restarts=2, enough=enough).value

    def first_open(self, row: int, shares: list[float]) -> float:
        """The smallest radius at which a row's answer is not proved to stay; the largest where it always is; of numbers one in between."""
        if not len(self.kept):
            return shares[min(3, len(shares) - 1)]
        return next((s for s, kept in zip(shares, self.kept[:, row], strict=True) if not kept), shares[-1])


def _rivals(net: Network, y: np.ndarray) -> np.ndarray:
    """(n, s, c): rows whose values are all below 0 wherever the answer is that of y (n, c)."""
    n, c = y.shape
    if c == 1 or net.is_multilabel:
        return np.eye(c)[None] * np.where(y > 0, -1.0, 1.0)[:, :, None]
    first = y.argmax(axis=1)
    C = np.repeat(np.eye(c)[None], n, axis=0)
    C[np.arange(n), :, first] -= 1.0
    return C[np.arange(c)[None] != first[:, None]].reshape(n, c - 1, c)


def _important(net: Network, X: np.ndarray, moves: np.ndarray, eps: np.ndarray, clip) -> tuple[Attribution | None, str]:
    """EVA of the features that move, or of an image's cells."""
    from ..attribution import eva
    from ..attribution.groups import spatial

    side, _ = spatial(net.input_shape)
    if not moves.any() or not eps.any():
        return None, "no feature moves"
    how: dict[str, Any] = {"groups": {net.feature_names[j]: [int(j)] for j in np.flatnonzero(moves)}}
    if side is not None:
        how = {"grid": tuple(min(GRID, s) for s in side)}
    n_groups = int(np.prod(how["grid"])) if "grid" in how else len(how["groups"])
    quality = "full" if len(X) * (n_groups + 1) <= FULL_SETS and side is None else "single-pass"
    found = eva(net, X.reshape(len(X), *net.input_shape), eps=eps, clip=clip, quality=quality, **how)
    return found, ""
