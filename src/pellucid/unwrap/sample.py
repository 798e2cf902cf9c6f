"""A uniform sample of rows that come in batches: the same rows, whatever the batches and however often the run was interrupted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST = 100_000
"""Rows that are kept of a stream, where they take no more than MOST_BYTES."""

MOST_BYTES = 64 << 20


def _priority(rows: np.ndarray, seed: int) -> np.ndarray:
    """A pseudo-random number for each row number (SplitMix64)."""
    with np.errstate(over="ignore"):
        h = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@dataclass(eq=False)
class Sample:
    """The rows with the smallest priorities, at most `most` of them."""

    most: int
    seed: int = 0
    seen: int = 0
    number: np.ndarray | None = None
    X: np.ndarray | None = None
    y: np.ndarray | None = None
    weight: np.ndarray | None = None

    def add(self, X: np.ndarray, y: np.ndarray, weight: np.ndarray) -> None:
        number = np.arange(self.seen, self.seen + len(X))
        self.seen += len(X)
        if self.number is not None and len(self.number) >= self.most:
            kept = np.flatnonzero(_priority(number, self.seed) < _priority(self.number, self.seed).max())
            number, X, y, weight = number[kept], X[kept], y[kept], weight[kept]
            if not len(kept):
                return
        if self.number is not None:
            pairs = (self.number, number), (self.X, X), (self.y, y), (self.weight, weight)
            number, X, y, weight = (np.concatenate(pair) for pair in pairs)
        if len(number) > self.most:
            kept = np.sort(np.argpartition(_priority(number, self.seed), self.most - 1)[:self.most])
            number, X, y, weight = number[kept], X[kept], y[kept], weight[kept]
        self.number, self.X, self.y, self.weight = number, X, y, weight

    @property
    def complete(self) -> bool:
        return self.number is None or len(self.number) == self.seen


def sample_rows(n_inputs: int) -> int:
    return int(max(1000, min(MOST, MOST_BYTES // (8 * max(n_inputs, 1)))))
