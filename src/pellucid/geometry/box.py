"""Box: lower <= x <= upper, with further linear constraints, and how it is sliced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import DomainError
from .slice import NamedSlice, Slice, sliced


@dataclass(frozen=True, eq=False, init=False)
class Box:
    """The analysis set { x in R^d : lower <= x <= upper, A x <= b } (CEE V-B).

    lower, upper: (d,), in the units of the features; lower == upper fixes a feature. names: d feature names, any
    permutation of the network's, or None for the network's own order. A: (m, d), b: (m,): made by `where`.
    """

    lower: np.ndarray
    upper: np.ndarray
    names: tuple[str, ...] | None
    A: np.ndarray = field(repr=False)
    b: np.ndarray = field(repr=False)

    def __init__(self, lower, upper, names: Sequence[str] | None = None, *, A=None, b=None):
        lo, up = np.array(lower, dtype=np.float64, ndmin=1), np.array(upper, dtype=np.float64, ndmin=1)
        if lo.ndim != 1 or lo.shape != up.shape:
            raise DomainError(f"Box: lower has shape {lo.shape}, upper has shape {up.shape}; two vectors of one length are needed")
        if np.isnan(lo).any() or np.isnan(up).any():
            raise DomainError(f"Box: bound of feature {int(np.flatnonzero(np.isnan(lo) | np.isnan(up))[0])} is NaN")
        if np.any(lo > up):
            j = int(np.flatnonzero(lo > up)[0])
            raise DomainError(f"Box: feature {names[j] if names else j} has lower {lo[j]} above upper {up[j]}")
        if names is not None:
            names = tuple(str(s) for s in names)
            if len(names) != len(lo) or len(set(names)) != len(names):
                raise DomainError(f"Box: {len(lo)} different names are needed, got {len(names)} ({len(set(names))} different)")
        A = np.zeros((0, len(lo))) if A is None else np.array(A, dtype=np.float64)
        b = np.zeros(0) if b is None else np.array(b, dtype=np.float64)
        for name, value in (("lower", lo), ("upper", up), ("names", names), ("A", A), ("b", b)):
            object.__setattr__(self, name, value)

    @property
    def n_inputs(self) -> int:
        return len(self.lower)

    @classmethod
    def around(cls, x, radius, names: Sequence[str] | None = None) -> Box:
        """The max-norm ball x - radius .. x + radius; radius: one number or one a feature (or by name, where x has names)."""
        from .frames import column_names, in_named_order, named_row, numeric_rows

        if names is None:
            names = column_names(named_row(x))
        if names is not None:
            x, radius = in_named_order(x, names), in_named_order(radius, names)
            radius = radius.ravel() if isinstance(radius, np.ndarray) else radius
        x = numeric_rows(x).ravel()
        r = np.broadcast_to(np.asarray(radius, dtype=np.float64), x.shape)
        if np.any(~(r >= 0)):
            raise DomainError("Box.around: radius must not be negative")
        return cls(x - r, x + r, names)

    @classmethod
    def of(cls, X) -> Box:
        """The bounding box of the rows of X: (n, d) numbers; the column names of a data frame become `names`."""
        from .frames import column_names, numeric_rows

        rows = numeric_rows(X)
        if len(rows) == 0:
            raise DomainError("Box.of: X has no rows")
        return cls(rows.min(axis=0), rows.max(axis=0), column_names(X))

    def where(self, A, b) -> Box:
        """The part with A x <= b: A (m, d) or (d,), b (m,) or one number, in the features' units."""
        rows, offsets = constraint_rows(A, b, (self.n_inputs,))
        return replace_box(self, A=np.vstack([self.A, rows]), b=np.concatenate([self.b, offsets]))

    def slice(self, free: Sequence[int | str], at, ties: Mapping[int | str, Sequence[int | str]] | None = None) -> Slice | NamedSlice:
        """The 2-D slice (any number of free features) through `at`: all features fixed there but those in `free`.

        free: indices or names. at: (d,) in the box's feature order, or a mapping name -> value. ties: {free feature:
        features that move together with it, with its value}, such as the 8 past throughputs of a video player.
        Names may be the network's where the box has none: they are looked up when the slice meets a network.
        """
        return sliced(self, tuple(free), at, dict(ties or {}))

    def __repr__(self) -> str:
        extra = f", {len(self.b)} constraints" if len(self.b) else ""
        fixed = int(np.sum(self.lower == self.upper))
        return f"Box({self.n_inputs} features, {fixed} fixed{extra})"


def replace_box(box: Box, **changes) -> Box:
    """The box with other fields, which must fit: nothing is checked again."""
    new = object.__new__(Box)
    for name in ("lower", "upper", "names", "A", "b"):
        object.__setattr__(new, name, changes.get(name, getattr(box, name)))
    return new


def constraint_rows(A, b, widths: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A as (m, width), b as (m,); DomainError if they do not fit each other or any of the widths."""
    A = np.atleast_2d(np.asarray(A, dtype=np.float64))
    b = np.atleast_1d(np.asarray(b, dtype=np.float64))
    if A.ndim != 2 or A.shape[1] not in widths:
        raise DomainError(f"where: A has shape {A.shape}; rows of {' or '.join(map(str, widths))} entries are needed")
    if b.shape != (len(A),):
        raise DomainError(f"where: A has {len(A)} rows, b has shape {b.shape}")
    if not (np.isfinite(A).all() and not np.isnan(b).any()):
        raise DomainError("where: A and b must be finite numbers")
    return A, b
