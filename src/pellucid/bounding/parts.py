"""Open parts of a domain: boxes, and sides of hidden units inside them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(eq=False)
class Parts:
    """n parts that are not done: of the box lower <= x <= upper those points where side (z - at) <= 0 for each unit z that was split.

    lower, upper: (n, k). alive: (n, cases) cases that are not excluded there. bound: (n,) of what they come from. slot: (n,) what is
    known of hidden tensors (`Inherited`). depth: (n,) units split. tensor, unit, side, at: (n, f) which those are; tensor -1 where
    there are fewer.
    """

    lower: np.ndarray
    upper: np.ndarray
    alive: np.ndarray
    bound: np.ndarray
    slot: np.ndarray
    depth: np.ndarray
    tensor: np.ndarray
    unit: np.ndarray
    side: np.ndarray
    at: np.ndarray

    @classmethod
    def whole(cls, lower: np.ndarray, upper: np.ndarray, n_cases: int) -> Parts:
        none = np.zeros((1, 0))
        return cls(lower[None], upper[None], np.ones((1, n_cases), dtype=bool), np.array([-np.inf]), np.array([-1]), np.array([0]),
                   none.astype(np.int64), none.astype(np.int64), none, none)

    def __len__(self) -> int:
        return len(self.bound)

    def some(self, rows: np.ndarray) -> Parts:
        return Parts(*(getattr(self, f)[rows] for f in self.__dataclass_fields__))

    def take(self, n: int, best_first: int) -> tuple[Parts, Parts]:
        """n of them, the worst bounds first (the newest, beyond so many), and the rest."""
        if len(self) <= n:
            return self, self.some(np.zeros(0, dtype=int))
        order = np.argpartition(self.bound, n) if len(self) <= best_first else np.arange(len(self) - 1, -1, -1)
        return self.some(order[:n]), self.some(np.sort(order[n:]))

    def plus(self, other: Parts) -> Parts:
        if not len(self) or not len(other):
            return other if len(other) else self
        most = max(self.tensor.shape[1], other.tensor.shape[1])
        pairs = ((getattr(a, f) for a in (self._with_room(most), other._with_room(most))) for f in self.__dataclass_fields__)
        return Parts(*(np.concatenate(list(pair)) for pair in pairs))

    def _with_room(self, most: int) -> Parts:
        more = most - self.tensor.shape[1]
        if more <= 0:
            return self
        wider = {f: np.pad(getattr(self, f), ((0, 0), (0, more))) for f in ("unit", "side", "at")}
        return replace(self, tensor=np.pad(self.tensor, ((0, 0), (0, more)), constant_values=-1), **wider)

    def split(self, tensor: np.ndarray, unit: np.ndarray, side: int, at: np.ndarray) -> Parts:
        """One side of a unit for each."""
        room = self._with_room(int(self.depth.max(initial=0)) + 1)
        more = {}
        for f, value in (("tensor", tensor), ("unit", unit), ("side", side), ("at", at)):
            more[f] = getattr(room, f).copy()
            more[f][np.arange(len(self)), self.depth] = value
        return replace(self, depth=self.depth + 1, **more)

    @property
    def log_volume(self) -> np.ndarray:
        """(n,) log2 of the share that a part is counted as: its box's volume over features that move, halved for each unit split."""
        width = self.upper - self.lower
        return np.log2(np.where(width > 0, width, 1.0)).sum(axis=1) - self.depth
