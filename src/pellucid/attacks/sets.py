"""Batches of sets that attacks search: boxes, and balls cut with boxes, in coordinates in which every set is about [-1, 1]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..geometry import Box

UNIT = 2.0**-53
"""Unit roundoff of float64."""


@dataclass(frozen=True, eq=False)
class Sets:
    """n sets { x : lower <= x <= upper, ||(x - centre) / scale||_p <= 1 }; p = inf: the box alone.

    lower, upper, centre, scale: (n, d) float64. A feature of scale 0 stands still at its lower end.
    """

    lower: np.ndarray
    upper: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    p: float = np.inf

    def __len__(self) -> int:
        return len(self.lower)

    def __getitem__(self, rows) -> Sets:
        return Sets(self.lower[rows], self.upper[rows], self.centre[rows], self.scale[rows], self.p)

    def inside(self, x: np.ndarray) -> np.ndarray:
        """The points x (n, d), put into their sets where they are outside by rounding or more. NaN where that cannot be done.

        What it gives it leaves as it is: inside(inside(x)) == inside(x).
        """
        x = np.clip(x, self.lower, self.upper)
        if self.p == np.inf:
            return x
        norm = self.norm(x)
        room = 1.0 - 4.0 * (x.shape[1] + 8) * UNIT             # the norm of what is computed is that of the true one to half of this
        most = room + (1.0 - room) / 2
        far = norm > most
        if far.any():
            shrunk = self.centre + (x - self.centre) * np.where(far, room / np.where(far, norm, 1.0), 1.0)[:, None]
            x = np.where(far[:, None], np.clip(shrunk, self.lower, self.upper), x)
            x[self.norm(x) > most] = np.nan
        return x

    def norm(self, x: np.ndarray) -> np.ndarray:
        """(n,) ||(x - centre) / scale||_p, over the features that move."""
        moves = self.scale > 0
        t = np.where(moves, np.abs(x - self.centre) / np.where(moves, self.scale, 1.0), 0.0)
        return t.sum(axis=1) if self.p == 1 else np.sqrt((t * t).sum(axis=1)) if self.p == 2 else t.max(axis=1, initial=0.0)


def boxes(lower, upper) -> Sets:
    """Sets of boxes (n, d), or of one box (d,)."""
    lower, upper = np.atleast_2d(np.asarray(lower, dtype=np.float64)), np.atleast_2d(np.asarray(upper, dtype=np.float64))
    centre = lower + (upper - lower) / 2
    return Sets(lower, upper, centre, np.maximum(upper - centre, centre - lower))


def box_set(box: Box) -> Sets:
    """A box (without its further constraints) as a batch of one."""
    return boxes(box.lower, box.upper)


def balls(centre, scale, p: float, lower=None, upper=None) -> Sets:
    """Balls ||(x - centre) / scale||_p <= 1, cut with lower <= x <= upper. centre: (n, d) or (d,); scale broadcasts against it.

    The box of a max-norm ball is rounded inward, so that each point of it lies in the ball.
    """
    centre = np.atleast_2d(np.asarray(centre, dtype=np.float64))
    scale = np.broadcast_to(np.asarray(scale, dtype=np.float64), centre.shape).copy()
    low, up = added_up(centre, -scale), -added_up(-centre, -scale)
    low = low if lower is None else np.maximum(low, lower)
    up = up if upper is None else np.minimum(up, upper)
    return boxes(low, up) if p == np.inf else Sets(low, up, centre, scale, p)


def added_up(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a + b rounded up. The rounding error of a sum is a float64 itself (Knuth's two-sum)."""
    s = a + b
    back = s - a
    error = (a - (s - back)) + (b - back)
    return np.where(error > 0, np.nextafter(s, np.inf), s)
