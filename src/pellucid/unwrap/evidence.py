"""What the rows of each model are like: means, spreads and ranges of their features, added up batch by batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Evidence:
    """Of K models: centre, spread, low, high (K, d), as in LocalModels; local_score (K,), None where it was not asked for."""

    centre: np.ndarray
    spread: np.ndarray
    low: np.ndarray
    high: np.ndarray
    local_score: np.ndarray | None = None


class Moments:
    """Weighted mean, sum of squared deviations, least and largest of the features of the rows of K models."""

    def __init__(self, K: int, d: int):
        self.total, self.rows = np.zeros(K), np.zeros(K, dtype=np.int64)
        self.mean, self.square = np.full((K, d), np.nan), np.full((K, d), np.nan)
        self.low, self.high = np.full((K, d), np.inf), np.full((K, d), -np.inf)

    def add(self, X: np.ndarray, place: np.ndarray, weight: np.ndarray | None) -> None:
        """Rows X (n, d) of the models `place` (n,), which ascend.

        Source  Chan, Golub, LeVeque 1979, pairwise. Rows of weight 0 change ranges only, unless a model has no others.
        """
        if not len(place):
            return
        start = np.flatnonzero(np.concatenate([[True], place[1:] != place[:-1]]))
        at, n = place[start], np.diff(np.append(start, len(place)))
        self.low[at] = np.minimum(self.low[at], np.minimum.reduceat(X, start, axis=0))
        self.high[at] = np.maximum(self.high[at], np.maximum.reduceat(X, start, axis=0))
        if weight is None:
            total, mean = n.astype(np.float64), np.add.reduceat(X, start, axis=0) / n[:, None]
            away = (X - np.repeat(mean, n, axis=0)) ** 2
        else:
            total = np.add.reduceat(weight, start)
            w = np.where(np.repeat(total > 0, n), weight, 1.0)[:, None]
            mean = np.add.reduceat(w * X, start, axis=0) / np.add.reduceat(w, start, axis=0)
            away = w * (X - np.repeat(mean, n, axis=0)) ** 2
        square = np.add.reduceat(away, start, axis=0)
        before, new = self.total[at], self.rows[at] == 0
        empty = ~new & (before + total == 0)                          # rows of no weight only: they count alike
        before, total = np.where(empty, self.rows[at], before), np.where(empty, n, total)
        both = before + total
        share = np.where(both > 0, total / np.where(both > 0, both, 1.0), 1.0)[:, None]
        share[new] = 1.0
        old, shift = np.where(new[:, None], 0.0, self.mean[at]), 0.0
        shift = mean - old
        self.mean[at] = np.where(new[:, None], mean, old + shift * share)
        old_square = np.where(new[:, None], 0.0, self.square[at])
        self.square[at] = np.where(new[:, None], square, old_square + square + shift**2 * share * before[:, None])
        self.total[at] = np.where(empty, 0.0, self.total[at] + total)
        self.rows[at] += n

    def evidence(self, local_score: np.ndarray | None = None) -> Evidence:
        there = (self.rows > 0)[:, None]
        low, high = np.where(there, self.low, np.nan), np.where(there, self.high, np.nan)
        total = np.where(self.total > 0, self.total, np.maximum(self.rows, 1))[:, None]
        return Evidence(np.clip(self.mean, low, high), np.sqrt(self.square / total), low, high, local_score)
