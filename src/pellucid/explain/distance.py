"""How far a row is from another, feature by feature, as a norm and as columns of a linear programme."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import DataError
from ..geometry.milp import Program
from .space import Columns, Space

FIRST_TANGENTS = 6
"""Tangents to the squares that p = 2 begins with, each at half the part of the one before."""


@dataclass(frozen=True, eq=False)
class Distance:
    """|| (change of feature f) / scale_f ||_p of x' from x; a category that changes counts as a change of 1.

    p: 0 (how many features change), 1, 2 or inf. scale: one a feature.
    """

    space: Space
    x: np.ndarray
    p: float
    scale: np.ndarray

    def parts(self, x: np.ndarray) -> np.ndarray:
        """(features,) |change| / scale of each feature."""
        return np.array([float(f.pattern_of(x) != f.pattern_of(self.x)) if f.is_category else abs(x[f.columns[0]] - self.x[f.columns[0]])
                         for f in self.space.features]) / self.scale

    def changed(self, x: np.ndarray) -> list[int]:
        """The features that differ."""
        return [k for k, f in enumerate(self.space.features) if (x[f.columns] != self.x[f.columns]).any()]

    def __call__(self, x: np.ndarray) -> float:
        if self.p == 0:
            return float(len(self.changed(x)))
        return float(np.linalg.norm(self.parts(x), self.p))

    def most(self) -> np.ndarray:
        """(features,) the largest part that the space allows."""
        out = []
        for f, s in zip(self.space.features, self.scale, strict=True):
            j = f.columns[0]
            out.append(1.0 / s if f.is_category else max(abs(self.space.lower[j] - self.x[j]), abs(self.space.upper[j] - self.x[j])) / s)
        return np.array(out)

    def snapped(self, x: np.ndarray, within: float) -> np.ndarray:
        """x with the numbers that differ by less than `within` (in parts) put back, where the space lets them."""
        out = x.copy()
        for f, part in zip(self.space.features, self.parts(x), strict=True):
            j = f.columns[0]
            if not f.is_category and part < within and self.space.lower[j] <= self.x[j] <= self.space.upper[j]:
                out[j] = self.x[j]
        return out


def scales(space: Space, scale, by_range: bool) -> np.ndarray:
    """(features,) scales: as given (a number, one a feature, one an input, or by name), else the ranges of the domain or 1.

    Categories have 1 unless named. DataError for a scale that is not positive, or of another length.
    """
    ranges = np.array([1.0 if f.is_category else space.upper[f.columns[0]] - space.lower[f.columns[0]] for f in space.features])
    base = np.where(ranges > 0, ranges, 1.0) if by_range else np.ones(len(ranges))
    if scale is None:
        out = base
    elif isinstance(scale, Mapping):
        out = base.copy()
        for name, value in scale.items():
            out[space.number(name)] = value
    else:
        given = np.asarray(scale, dtype=np.float64).ravel()
        if len(given) == len(space.lower) != len(base):
            given = np.array([1.0 if f.is_category else given[f.columns[0]] for f in space.features])
        if len(given) not in (1, len(base)):
            raise DataError(f"scale has {len(given)} entries; one for each of the {len(base)} features is needed, "
                            "or names: scale={'age': 10}")
        out = np.broadcast_to(given, base.shape).copy()
    if not (np.isfinite(out).all() and (out > 0).all()):
        raise DataError("scale has to be a positive number for each feature")
    return out


@dataclass(frozen=True, eq=False)
class DistanceColumns:
    """A distance in a programme, to be made small: cost . x[columns].

    parts: (features,) columns at least as large as each feature's part, -1 for one that cannot change; changed: the same for
    binaries that are 1 where a feature changes (None where they were not asked for). squares: (features,) columns for p = 2,
    bounded below by tangents that `cut` adds.
    """

    distance: Distance
    program: Program
    columns: np.ndarray
    cost: np.ndarray
    parts: np.ndarray
    changed: np.ndarray | None
    squares: np.ndarray | None

    def of_bound(self, bound: float) -> float:
        """The distance that a bound on the programme's objective proves."""
        bound = max(bound, 0.0)
        return float(np.sqrt(bound)) if self.distance.p == 2 else float(np.ceil(bound - 1e-6)) if self.distance.p == 0 else bound

    def cut(self, parts: np.ndarray) -> None:
        """p = 2: s >= 2 a v - a^2 for each feature, with a its part at some point (features,): exact there, and below elsewhere."""
        if self.squares is None:
            return
        use = np.flatnonzero((self.squares >= 0) & (parts > 0))
        if len(use):
            a, n = parts[use], len(use)
            columns = np.concatenate([self.squares[use], self.parts[use]])
            self.program.constrain(np.hstack([np.eye(n), -np.diag(2 * a)]), columns, -a**2, np.inf)

    def forbid(self, changed: list[int]) -> None:
        """From now on at least one of these features has to stay as it is."""
        assert self.changed is not None
        held = self.changed[changed]
        self.program.constrain(np.ones((1, len(held))), held, -np.inf, len(held) - 1.0)


def enter_distance(distance: Distance, program: Program, columns: Columns, *, indicators: bool = False) -> DistanceColumns:
    """Add a distance to a programme that a space is in.

    Source    p = 2: separable tangents, refined where solutions lie (Duran & Grossmann 1986; one set for each coordinate:
              Hijazi, Bonami & Ouorou 2014).
    """
    most, n = distance.most(), len(distance.space.features)
    parts, changed = np.full(n, -1), np.full(n, -1)
    for k in np.flatnonzero(most > 0):
        parts[k] = program.add(1, 0.0, most[k])[0]
        _enter_part(distance, program, columns, int(k), int(parts[k]))
        if indicators or distance.p == 0:
            changed[k] = program.add(1, 0.0, 1.0, True)[0]
            program.constrain([[1.0, -most[k]]], [parts[k], changed[k]], -np.inf, 0.0)
    moved, squares = parts[parts >= 0], None
    if distance.p == np.inf:
        use = program.add(1, 0.0, most.max(initial=0.0))
        program.constrain(np.hstack([np.ones((len(moved), 1)), -np.eye(len(moved))]), np.concatenate([use, moved]), 0.0, np.inf)
    elif distance.p == 2:
        use = program.add(len(moved), 0.0, most[parts >= 0] ** 2)
        squares = np.full(n, -1)
        squares[parts >= 0] = use
    else:
        use = moved if distance.p == 1 else changed[changed >= 0]
    known = changed if indicators or distance.p == 0 else None
    objective = DistanceColumns(distance, program, use, np.ones(len(use)), parts, known, squares)
    for k in range(FIRST_TANGENTS):
        objective.cut(most * 0.5**k)
    return objective


def _enter_part(distance: Distance, program: Program, columns: Columns, k: int, part: int) -> None:
    """part >= |change| / scale of feature k; of a category part = (1 - the binary of the pattern that x has) / scale."""
    f, w = distance.space.features[k], 1.0 / distance.scale[k]
    picks, allowed = columns.picks[k], distance.space.allowed[k]
    if picks is None or allowed is None:
        j = f.columns[0]
        at = w * distance.x[j]
        program.constrain([[1.0, -w], [1.0, w]], [part, columns.x[j]], [-at, at], np.inf)
        return
    mine = picks[np.flatnonzero(allowed == f.pattern_of(distance.x))]
    program.constrain(np.append(1.0, np.full(len(mine), w))[None], np.append(part, mine), w, w)
