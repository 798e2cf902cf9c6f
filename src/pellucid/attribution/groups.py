"""Which inputs are frozen together: cells of a grid over an image, superpixels, groups of a table's features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from ..errors import DomainError


@dataclass(frozen=True, eq=False)
class Groups:
    """Sets of features u_1 .. u_G (EVA's u). They need not cover all features, and may overlap.

    members: index arrays into the flattened sample. shape: of a sample, as it is looked at (an MLP's 784 inputs may be a 28 x 28 image).
    names: one a group.
    """

    members: tuple[np.ndarray, ...]
    shape: tuple[int, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.members)

    @property
    def n_inputs(self) -> int:
        return int(np.prod(self.shape))

    @cached_property
    def masks(self) -> np.ndarray:
        """(G, d) bool: True where a group holds the feature."""
        masks = np.zeros((len(self), self.n_inputs), dtype=bool)
        for row, members in zip(masks, self.members, strict=True):
            row[members] = True
        return masks

    @cached_property
    def padded(self) -> np.ndarray:
        """(G, largest) int: the members, filled up with d (the index of an entry that a sum may find zero at)."""
        largest = max(len(m) for m in self.members)
        out = np.full((len(self), largest), self.n_inputs)
        for row, members in zip(out, self.members, strict=True):
            row[: len(members)] = members
        return out

    def paint(self, scores: np.ndarray) -> np.ndarray:
        """Scores (..., G) on the features: (..., *shape), the mean over the groups that hold a feature, 0 where none does."""
        count = self.masks.sum(axis=0)
        flat = scores @ (self.masks / np.maximum(count, 1))
        return flat.reshape(*scores.shape[:-1], *self.shape)


def groups_of(shape: Sequence[int], *, grid=None, groups=None, feature_names: Sequence[str] = ()) -> Groups:
    """The groups that `grid` or `groups` ask for; with neither, one a pixel (channels together) or one a feature of a table.

    grid: cells a side, or (rows, columns); an axis of fewer pixels gives one cell a pixel, and sizes that do not divide give cells that
    differ by one pixel. A vector of a square number of features is looked at as a square image; any other is cut into runs.
    groups: index arrays; or {name: indices or feature names}; or an array of labels (superpixels) of the image's or the sample's shape.
    """
    shape = tuple(int(s) for s in shape)
    if grid is not None and groups is not None:
        raise DomainError("give grid or groups, not both: each says which features are frozen together")
    if groups is not None:
        return _given(groups, shape, feature_names)
    rows, columns = _sides(grid, shape)
    return _grid(shape, rows, columns, feature_names)


def spatial(shape: tuple[int, ...]) -> tuple[tuple[int, int] | None, int | None]:
    """((height, width), axis of the channels): None where there is none. A table has no image.

    Three axes: the shortest of the outer ones is that of the channels (the first of equals).
    """
    shape = tuple(shape)
    if len(shape) == 3:
        return ((shape[1], shape[2]), 0) if shape[0] <= shape[2] else ((shape[0], shape[1]), 2)
    if len(shape) == 2:
        return (shape[0], shape[1]), None
    if len(shape) == 1:
        side = round(shape[0] ** 0.5)
        return ((side, side), None) if side * side == shape[0] and side >= 4 else (None, None)
    return None, None


def _sides(grid, shape) -> tuple[int | None, int | None]:
    if grid is None:
        return None, None
    sides = (grid, grid) if np.ndim(grid) == 0 else tuple(grid)
    if len(sides) != 2 or any(int(s) != s or s < 1 for s in sides):
        raise DomainError(f"grid={grid!r}: a whole number of cells a side is needed, or (rows, columns)")
    return int(sides[0]), int(sides[1])


def _grid(shape, rows, columns, feature_names) -> Groups:
    size, channel = spatial(shape)
    d = int(np.prod(shape))
    if size is None or (rows is None and len(shape) == 1):
        runs = d if rows is None else min(rows, d)
        if len(shape) > 1:
            raise DomainError(f"a grid needs an image of two or three axes; the inputs have shape {shape}: give groups")
        of = np.arange(d) * runs // d
        named = rows is None and len(feature_names) == d
        names = tuple(feature_names) if named else tuple(f"features {k}" for k in range(runs))
        return Groups(tuple(np.flatnonzero(of == k) for k in range(runs)), shape, names)
    height, width = size
    rows, columns = min(rows or height, height), min(columns or width, width)
    cell = (np.arange(height) * rows // height)[:, None] * columns + np.arange(width) * columns // width
    labels = _over_channels(cell, shape, channel)
    names = tuple(f"cell {r},{c}" for r in range(rows) for c in range(columns))
    return Groups(_members(labels, rows * columns), shape, names)


def _over_channels(cell: np.ndarray, shape, channel) -> np.ndarray:
    """Labels of pixels as labels of all entries, flattened in the sample's order."""
    if channel is not None:
        cell = np.broadcast_to(np.expand_dims(cell, channel), shape)
    return cell.ravel()


def _members(labels: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
    order = np.argsort(labels, kind="stable")
    ends = np.searchsorted(labels[order], np.arange(count + 1))
    return tuple(order[a:b] for a, b in pairwise(ends))


def _given(groups, shape, feature_names) -> Groups:
    d = int(np.prod(shape))
    size, channel = spatial(shape)
    if isinstance(groups, np.ndarray) and groups.dtype.kind in "iu" and groups.size in (d, 0 if size is None else size[0] * size[1]):
        labels = groups.ravel() if groups.size == d else _over_channels(groups.reshape(size), shape, channel)
        values, place = np.unique(labels, return_inverse=True)
        return Groups(_members(place.ravel(), len(values)), shape, tuple(f"segment {v}" for v in values))
    named = isinstance(groups, Mapping)
    names = tuple(str(k) for k in groups) if named else tuple(f"group {k}" for k in range(len(groups)))
    if not names:
        raise DomainError("groups is empty: there is nothing to freeze")
    members = tuple(_indices(g, name, d, feature_names) for name, g in zip(names, groups.values() if named else groups, strict=True))
    return Groups(members, shape, names)


def _indices(group, name: str, d: int, feature_names) -> np.ndarray:
    """The indices of a group, from indices, feature names, or a mask."""
    known = {f: i for i, f in enumerate(feature_names)}
    values = np.atleast_1d(np.asarray(group))
    if values.dtype == bool and values.size == d:
        values = np.flatnonzero(values)
    if values.dtype.kind in "UO":
        absent = [str(v) for v in values if str(v) not in known]
        if absent:
            raise DomainError(f"{name}: no feature is called '{absent[0]}'; there are: {', '.join(list(known)[:10])}")
        values = np.array([known[str(v)] for v in values])
    if values.dtype.kind not in "iu" or not values.size:
        raise DomainError(f"{name}: indices or names of features are needed, got {group!r}")
    if values.min() < 0 or values.max() >= d:
        raise DomainError(f"{name}: index {int(values.max() if values.max() >= d else values.min())} of {d} features (0 to {d - 1})")
    return np.unique(values)
