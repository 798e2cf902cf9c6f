"""Slice: the set { x_0 + P u : u in R^k } cut with a box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DomainError
from .frames import column_names, in_named_order, is_frame, named_row
from .halfspaces import bounding_box
from .polygon import Polygon, halfplane_polygon

if TYPE_CHECKING:
    from .box import Box


@dataclass(frozen=True, eq=False, init=False)
class Slice:
    """The analysis set { x = x0 + P u : x in box, A u <= b } (SPEC 2). Geometry is in u, weights are those of all d features.

    x0: (d,); P: (d, k); box: the parent, whose ranges scale the weights. A: (m, k), b: (m,): constraints on u, made by
    `where`. axes: k labels of u, the free features' names where there are such.
    """

    x0: np.ndarray
    P: np.ndarray
    box: Box
    A: np.ndarray = field(repr=False)
    b: np.ndarray = field(repr=False)
    free: tuple[tuple[int, ...], ...] | None

    def __init__(self, x0, P, box: Box, *, A=None, b=None, free=None):
        x0, P = np.array(x0, dtype=np.float64, ndmin=1).ravel(), np.array(P, dtype=np.float64)
        d = box.n_inputs
        if P.ndim != 2 or len(P) != d or len(x0) != d:
            raise DomainError(f"Slice: the box has {d} features, x0 has {len(x0)}, P has shape {P.shape}; P must be ({d}, k)")
        if not (np.isfinite(x0).all() and np.isfinite(P).all()):
            raise DomainError("Slice: x0 and P must be finite numbers")
        if not _independent(P):
            raise DomainError(f"Slice: the {P.shape[1]} columns of P must be independent")
        A = np.zeros((0, P.shape[1])) if A is None else np.array(A, dtype=np.float64)
        b = np.zeros(0) if b is None else np.array(b, dtype=np.float64)
        for name, value in (("x0", x0), ("P", P), ("box", box), ("A", A), ("b", b), ("free", free)):
            object.__setattr__(self, name, value)

    @property
    def dim(self) -> int:
        return self.P.shape[1]

    @property
    def axes(self) -> tuple[str, ...]:
        """A label for each coordinate of u."""
        if self.free is None:
            return tuple(f"u{k}" for k in range(self.dim))
        names = self.box.names
        return tuple((names[f[0]] if names else f"x{f[0]}") + (f" (and {len(f) - 1} tied)" if len(f) > 1 else "") for f in self.free)

    def where(self, A, b) -> Slice:
        """The part with A x <= b (rows of d entries) or A u <= b (rows of k entries)."""
        from .box import constraint_rows

        rows, offsets = constraint_rows(A, b, (self.dim, self.box.n_inputs))
        if rows.shape[1] == self.box.n_inputs:      # also where k = d: then x is meant
            rows, offsets = _seen_in(self, rows, offsets)
        return Slice(self.x0, self.P, self.box, A=np.vstack([self.A, rows]), b=np.concatenate([self.b, offsets]), free=self.free)

    def point(self, u) -> np.ndarray:
        """x of u: (n, k) -> (n, d)."""
        return self.x0 + np.atleast_2d(u) @ self.P.T

    def coordinates(self, x) -> tuple[np.ndarray, np.ndarray]:
        """u of the nearest point of the slice's plane, (n, k), and the distance of x to it, (n,), for x: (n, d)."""
        u, away = self._projected(x)
        return u, np.linalg.norm(away, axis=1)

    def holds(self, x, within: float) -> tuple[np.ndarray, np.ndarray]:
        """(u, whether x lies in the slice's plane) for x: (n, d); each feature may be off by `within` of its own size or range."""
        u, away = self._projected(x)
        width = self.box.upper - self.box.lower
        width = np.where(np.isfinite(width) & (width > 0), width, 1.0)
        room = np.maximum(np.abs(np.atleast_2d(x)) + np.abs(self.x0), width)
        return u, np.asarray((np.abs(away) <= within * room).all(axis=1))

    def _projected(self, x) -> tuple[np.ndarray, np.ndarray]:
        d = np.atleast_2d(np.asarray(x, dtype=np.float64)) - self.x0
        u = d @ self._pinv.T
        return u, d - u @ self.P.T

    @cached_property
    def _pinv(self) -> np.ndarray:
        """Of P, its rows (the features' units) and columns scaled to size 1 first."""
        rows = np.abs(self.P).max(axis=1)
        rows = np.where(rows > 0, rows, 1.0)
        columns = np.abs(self.P / rows[:, None]).max(axis=0)
        return np.linalg.pinv(self.P / rows[:, None] / columns) / rows / columns[:, None]

    @cached_property
    def constraints(self) -> tuple[np.ndarray, np.ndarray, tuple[tuple[str, int], ...]]:
        """G u <= h for all faces, and what each row is: ("upper", j), ("lower", j), ("box", row) or ("slice", row)."""
        box = self.box
        is_moved = self.P.any(axis=1)
        moves = is_moved.nonzero()[0]
        if len(moves) < len(is_moved):
            self._check_fixed((~is_moved).nonzero()[0])
        G = [self.P[moves], -self.P[moves]]
        h = [(box.upper - self.x0)[moves], (self.x0 - box.lower)[moves]]
        numbers = moves.tolist()
        what = [("upper", j) for j in numbers] + [("lower", j) for j in numbers]
        if len(box.b) + len(self.b):
            rows, offsets = _seen_in(self, box.A, box.b)
            G += [rows, self.A]
            h += [offsets, self.b]
            what += [("box", i) for i in range(len(box.b))] + [("slice", i) for i in range(len(self.b))]
        return np.concatenate(G), np.concatenate(h), tuple(what)

    def _check_fixed(self, fixed: np.ndarray) -> None:
        """DomainError where a feature that does not move lies outside the box."""
        box, x0 = self.box, self.x0[fixed]
        slack = 1e-9 * np.maximum(1.0, np.abs(x0))
        outside = fixed[(x0 < box.lower[fixed] - slack) | (x0 > box.upper[fixed] + slack)]
        if len(outside):
            j = int(outside[0])
            name = f"'{box.names[j]}'" if box.names else str(j)
            raise DomainError(f"feature {name} is fixed at {self.x0[j]}, outside the box's [{box.lower[j]}, {box.upper[j]}]")

    @cached_property
    def polygon(self) -> Polygon:
        """The set of u as a polygon (k = 2); its faces number the rows of `constraints`."""
        if self.dim != 2:
            raise DomainError(f"a picture needs 2 free coordinates, this analysis set has {self.dim}: let the others stand still, "
                              "Box.slice(free=(feature, feature), at=x0)")
        G, h, _ = self.constraints
        return halfplane_polygon(G, h)

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corner, (k,) each, of the bounding box of the set of u."""
        if self.dim == 2:
            return self.polygon.bounds
        G, h, _ = self.constraints
        return bounding_box(G, h)

    def __repr__(self) -> str:
        return f"Slice({' x '.join(self.axes)} of {self.box.n_inputs} features)"


def slice_of_box(box: Box) -> Slice:
    """The slice of the features that move (lower < upper), the others fixed where they are."""
    is_moved = box.lower < box.upper
    moves = is_moved.nonzero()[0].tolist()
    if not moves:
        raise DomainError("no feature of the box may move (lower == upper everywhere)")
    x0, P = np.where(is_moved, 0.0, box.lower), np.zeros((box.n_inputs, len(moves)))
    if not np.isfinite(x0).all():
        raise DomainError("Slice: x0 and P must be finite numbers")
    P[moves, range(len(moves))] = 1.0
    made = object.__new__(Slice)               # what Slice() checks holds
    values = {"x0": x0, "P": P, "box": box, "A": np.zeros((0, len(moves))), "b": np.zeros(0), "free": tuple((j,) for j in moves)}
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made


def _seen_in(plane: Slice, A: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A x <= b as rows on u. What cancels is 0, not its rounding: a row that says nothing in the slice must not cut it."""
    rows, offsets = A @ plane.P, b - A @ plane.x0
    rows = np.where(np.abs(rows) <= 1e-14 * (np.abs(A) @ np.abs(plane.P)), 0.0, rows)
    room = 1e-9 * (np.abs(b) + np.abs(A) @ np.abs(plane.x0))
    holds = ~rows.any(axis=1) & (offsets < 0) & (offsets >= -room)
    return rows, np.where(holds, 0.0, offsets)


def _independent(P: np.ndarray) -> bool:
    """Are the columns independent, and is there one?"""
    used = P != 0
    alone = used[used.sum(axis=1) == 1]        # rows that only one column reaches: the common case needs no decomposition
    if P.shape[1] and alone.any(axis=0).all():
        return True
    size = np.abs(P).max(axis=1, initial=0.0)          # features have units of their own
    scaled = P[size > 0] / size[size > 0, None]
    return bool(P.any(axis=0).all() and P.size) and np.linalg.matrix_rank(scaled / np.abs(scaled).max(axis=0)) == P.shape[1]


@dataclass(frozen=True, eq=False)
class NamedSlice:
    """A slice by feature names of a box that has none: `resolve` makes it a Slice once the network's names are known."""

    box: Box
    free: tuple[int | str, ...]
    at: object
    ties: Mapping[int | str, Sequence[int | str]]
    A: np.ndarray | None = None
    b: np.ndarray | None = None

    def where(self, A, b) -> NamedSlice:
        """The part with A x <= b (rows of d entries) or A u <= b (rows of k entries)."""
        from .box import constraint_rows

        rows, offsets = constraint_rows(A, b, (len(self.free), self.box.n_inputs))
        if self.A is not None:
            if self.A.shape[1] != rows.shape[1]:
                raise DomainError("where: give all constraints of a slice by names on x, or all on u")
            rows, offsets = np.vstack([self.A, rows]), np.concatenate([self.b, offsets])
        return NamedSlice(self.box, self.free, self.at, self.ties, rows, offsets)

    def resolve(self, names: Sequence[str]) -> Slice:
        from .box import replace_box

        plain = sliced(replace_box(self.box, names=tuple(names)), self.free, self.at, dict(self.ties))
        assert isinstance(plain, Slice)
        return plain if self.A is None else plain.where(self.A, self.b)


def sliced(box: Box, free: tuple, at, ties: dict) -> Slice | NamedSlice:
    """`Box.slice`; see there."""
    ties = {key: [value] if isinstance(value, str | int | np.integer) else list(value) for key, value in ties.items()}
    spoken = [*free, *ties, *(t for group in ties.values() for t in group)]
    is_named = isinstance(at, Mapping) or column_names(named_row(at)) is not None
    if box.names is None and (is_named or any(isinstance(f, str) for f in spoken)):
        return NamedSlice(box, free, at, ties)
    index = {name: j for j, name in enumerate(box.names or ())}
    members = _members(box, index, free, ties)
    x0 = _anchor(box, index, at)
    P = np.zeros((box.n_inputs, len(free)))
    for k, group in enumerate(members):
        P[list(group), k] = 1.0
        x0[list(group)] = 0.0
    return Slice(x0, P, box, free=tuple(members))


def _members(box: Box, index: dict[str, int], free: tuple, ties: dict) -> list[tuple[int, ...]]:
    """Which features move with each coordinate of u, the free one first."""
    if not free:
        raise DomainError("slice: free names no feature")
    heads = [_feature(box, index, f) for f in free]
    followers = {_feature(box, index, head): [_feature(box, index, t) for t in group] for head, group in ties.items()}
    stray = [h for h in followers if h not in heads]
    if stray:
        raise DomainError(f"slice: ties are given for feature {stray[0]}, which is not free")
    members = [(h, *(t for t in followers.get(h, []) if t != h)) for h in heads]
    flat = [j for group in members for j in group]
    if len(set(flat)) < len(flat):
        raise DomainError("slice: a feature moves with two coordinates at once")
    return members


def _feature(box: Box, index: dict[str, int], f) -> int:
    if isinstance(f, str):
        if f not in index:
            from difflib import get_close_matches

            near = get_close_matches(f, index, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(index)}"
            raise DomainError(f"no feature is called '{f}'; {hint}")
        return index[f]
    j = int(f)
    if not -box.n_inputs <= j < box.n_inputs:
        raise DomainError(f"feature {j}: there are {box.n_inputs}")
    return j % box.n_inputs


def _anchor(box: Box, index: dict[str, int], at) -> np.ndarray:
    if index and not isinstance(at, Mapping):
        at = in_named_order(at, tuple(index))              # a row of a frame: by name, in any order
    if isinstance(at, Mapping):
        x0 = np.full(box.n_inputs, np.nan)
        for name, value in at.items():
            x0[_feature(box, index, name)] = value
        x0 = np.where(np.isnan(x0) & (box.lower == box.upper), box.lower, x0)
        return np.where(np.isnan(x0), (box.lower + box.upper) / 2, x0)
    x0 = np.array(at, dtype=np.float64).ravel()
    if len(x0) != box.n_inputs:
        raise DomainError(f"slice: at has {len(x0)} entries, the box has {box.n_inputs} features"
                          + (" (a row of a raw table with categories: at=net.table.encode(row))" if is_frame(at) else ""))
    return x0
