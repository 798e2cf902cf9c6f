"""Lines along a feature: which way it points in a domain, and pairs of points on it that show a rise or a fall."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import DataError
from ..geometry import Slice
from ..tolerance import ON_PLANE

STEPS = 48
"""Step lengths tried around a point, each half of the one before: from the domain's width down to the last digits."""

PLACES = 4
"""Points around which pairs are tried at once."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Two points on a line along a feature, the lower value of the feature first. x: (2, d); values: (2,) of what was asked about,
    by the network itself."""

    x: np.ndarray
    values: np.ndarray

    @property
    def change(self) -> float:
        return float(self.values[1] - self.values[0])


def along(domain: Slice, j: int, names: tuple[str, ...]) -> np.ndarray:
    """(k,) the direction in u along which feature j grows by one, with all others (but features tied to it) standing still.

    DataError where the domain does not let the feature move, or not without others.
    """
    if domain.free is not None:
        for k, group in enumerate(domain.free):
            if j == group[0]:
                return np.eye(domain.dim)[k]
            if j in group:
                raise DataError(f"feature '{names[j]}' moves tied to '{names[group[0]]}' in this domain: ask for that one")
        raise DataError(f"feature '{names[j]}' stands still in this domain, so nothing moves with it. Those that move: "
                        + ", ".join(names[group[0]] for group in domain.free[:10]))
    e = np.eye(len(domain.P))[j]
    du = domain._pinv @ e
    if np.abs(domain.P @ du - e).max() > ON_PLANE:
        raise DataError(f"feature '{names[j]}' cannot move by itself in this slice, whose directions mix features")
    return du


def show(domain: Slice, du: np.ndarray, u: np.ndarray, value: Callable[[np.ndarray], np.ndarray], sign: int,
         least: float) -> Pair | None:
    """A pair of points around one of u (m, k) whose value changes in the direction `sign`, by more than `least`; None if none is found.

    The points lie in the domain; of the first few places where there is such a pair, the one that changes most. value maps rows x
    (n, d) to (n,).
    """
    for start in range(0, len(u), PLACES):
        pair = _most(domain, du, u[start:start + PLACES], value, sign, least)
        if pair is not None:
            return pair
    return None


def _most(domain: Slice, du: np.ndarray, u: np.ndarray, value: Callable[[np.ndarray], np.ndarray], sign: int,
          least: float) -> Pair | None:
    G, h, _ = domain.constraints
    slack, speed = h - u @ G.T, G @ du
    with np.errstate(divide="ignore", invalid="ignore"):
        t = slack / speed
    ahead = np.where(speed > 0, t, np.inf).min(axis=1, initial=np.inf)
    behind = np.where(speed < 0, -t, np.inf).min(axis=1, initial=np.inf)
    step = 0.5 ** np.arange(STEPS)[:, None]                # (steps, points)
    forwards, backwards = np.maximum(step * ahead, 0.0), np.maximum(step * behind, 0.0)
    ends = np.stack([u - backwards[..., None] * du, u + forwards[..., None] * du], axis=2).reshape(-1, 2, len(du))
    # the same ends, and each with the point itself: a rise behind a fall is not lost in a longer step
    middle = np.broadcast_to(u, (STEPS, *u.shape)).reshape(-1, len(du))
    pairs = np.concatenate([ends, np.stack([ends[:, 0], middle], axis=1), np.stack([middle, ends[:, 1]], axis=1)])
    x = domain.point(pairs.reshape(-1, len(du)))
    x = np.clip(x, domain.box.lower, domain.box.upper)
    values = value(x).reshape(-1, 2)
    change = sign * (values[:, 1] - values[:, 0])
    change = np.where(_moves(pairs, du), change, -np.inf)
    best = int(change.argmax())
    return Pair(x.reshape(-1, 2, x.shape[1])[best], values[best]) if change[best] > least else None


def _moves(pairs: np.ndarray, du: np.ndarray) -> np.ndarray:
    return (pairs[:, 1] - pairs[:, 0]) @ du > 0
