"""Linear bounds of units over a box, backwards through the chain: tighter than intervals, in numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .chain import Chain, Elementwise, Matrix, Selection, Stage

Bounds = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Relaxation:
    """slope z[row] + offset below and above each output of a stage, for pre-activations z in known ranges."""

    row: np.ndarray
    below: Bounds
    above: Bounds


def relaxations(phi: Elementwise | Selection, low: np.ndarray, up: np.ndarray) -> list[Relaxation]:
    """Linear bounds of phi on [low, up], in a few shapes of which now one and now another is the tightest.

    Sound     for any slope m: phi(t) - m t is piecewise linear, so it is least and largest at the ends and breakpoints.
    Source    chord on both sides: Fast-Lin (Weng et al. 2018); slope of the piece at the middle: CROWN (Zhang et al. 2018).
    """
    return [_winner(phi, low, up)] if isinstance(phi, Selection) else _lines(phi, low, up)


def _lines(phi: Elementwise, low, up) -> list[Relaxation]:
    breaks, slopes, offsets = phi.padded
    n, row = len(breaks), np.arange(len(breaks))
    # vertices of the graph of each unit: its ends, and both sides of every breakpoint inside
    t = np.concatenate([low[:, None], up[:, None], breaks, breaks], axis=1)
    inside = (low[:, None] < breaks) & (breaks < up[:, None])
    used = np.concatenate([np.ones((n, 2), dtype=bool), inside, inside], axis=1)
    ends = phi(np.column_stack([low, up]))
    at = np.where(np.isfinite(breaks), breaks, 0.0)
    sides = [slopes[:, :-1] * at + offsets[:, :-1], slopes[:, 1:] * at + offsets[:, 1:]]
    value = np.concatenate([ends, *sides], axis=1)
    t = np.where(used, t, 0.0)

    def line(m, pick, open_) -> Bounds:
        return m, pick(np.where(used, value - m[:, None] * t, open_), axis=1)

    width = up - low
    chord = np.where(width > 0, (ends[:, 1] - ends[:, 0]) / np.where(width > 0, width, 1.0), 0.0)
    middle = slopes[row, phi.piece(((low + up) / 2)[:, None])[:, 0]]
    chords, middles = ((line(m, np.min, np.inf), line(m, np.max, -np.inf)) for m in (chord, middle))
    return [Relaxation(row, *chords), Relaxation(row, middles[0], chords[1]), Relaxation(row, chords[0], middles[1])]


def _winner(phi: Selection, low, up) -> Relaxation:
    rows = phi.padded
    best = np.arange(len(rows)), low[rows].argmax(axis=1)
    row, zero = rows[best], np.zeros(len(rows))
    others = np.where(rows == row[:, None], -np.inf, up[rows]).max(axis=1, initial=-np.inf)
    decided = others <= low[row]
    return Relaxation(row, (zero + 1, zero), (np.where(decided, 1.0, 0.0), np.where(decided, 0.0, up[rows].max(axis=1))))


class Backward:
    """Bounds of rows behind the stages so far: `push` a stage with the ranges of its rows, then ask for `bounds` of the next."""

    def __init__(self, lower: np.ndarray, upper: np.ndarray):
        self.lower, self.upper = lower, upper
        self.stages: list[tuple[Stage, list[Relaxation]]] = []

    def push(self, stage: Stage, low: np.ndarray, up: np.ndarray) -> None:
        self.stages.append((stage, relaxations(stage.phi, low, up)))

    def bounds(self, layer: Stage | Chain, rows: np.ndarray) -> Bounds:
        """(lower, upper) of these rows of A s + a."""
        A = layer.A[rows]
        A = A if isinstance(A, np.ndarray) else A.toarray()
        shapes = range(max([len(r) for _, r in self.stages], default=1))
        low = np.max([self._below(A, layer.a[rows], k) for k in shapes], axis=0)
        return low, -np.max([self._below(-A, -layer.a[rows], k) for k in shapes], axis=0)

    def _below(self, C: np.ndarray, constant: np.ndarray, shape: int) -> np.ndarray:
        """A lower bound of C s + constant."""
        for stage, kinds in reversed(self.stages):
            line = kinds[min(shape, len(kinds) - 1)]
            positive, negative = np.maximum(C, 0.0), np.minimum(C, 0.0)
            constant = constant + positive @ line.below[1] + negative @ line.above[1]
            C = _to_rows(positive * line.below[0] + negative * line.above[0], line.row, len(stage.a))
            constant = constant + C @ stage.a
            C = _times(C, stage.A)
        return constant + np.maximum(C, 0.0) @ self.lower + np.minimum(C, 0.0) @ self.upper


def _to_rows(C: np.ndarray, row: np.ndarray, n: int) -> np.ndarray:
    """Columns of C added up by the row that each of them reads."""
    if len(row) == n and np.array_equal(row, np.arange(n)):
        return C
    out = np.zeros((len(C), n))
    np.add.at(out.T, row, C.T)
    return out


def _times(C: np.ndarray, A: Matrix) -> np.ndarray:
    return C @ A if isinstance(A, np.ndarray) else np.asarray((A.T @ C.T).T)
