"""Hull: the convex hull of rows of data as an analysis set."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..errors import DomainError
from .box import Box, constraint_rows
from .frames import column_names, numeric_rows
from .slice import Slice

MAX_DIM = 6
"""Dimensions up to which a hull is made of halfspaces: the number of facets grows like rows^(dim / 2)."""

MAX_FACETS = 2000
"""Facets up to which engines that cut cells take a hull."""

FLAT = 1e-9
"""Thickness below which a cloud of points counts as flat, relative to its size in each feature."""


@dataclass(frozen=True, eq=False)
class Hull:
    """The analysis set { sum_i w_i X_i : w >= 0, sum w = 1, A x <= b }.

    points: (n, d) its corners, and perhaps others. names: d feature names or None. A: (m, d), b: (m,): made by `where`.
    """

    points: np.ndarray
    names: tuple[str, ...] | None = None
    A: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)), repr=False)
    b: np.ndarray = field(default_factory=lambda: np.zeros(0), repr=False)

    @classmethod
    def of(cls, X) -> Hull:
        """The convex hull of the rows of X: (n, d) numbers, or a data frame, whose column names become `names`."""
        rows = np.unique(np.asarray(numeric_rows(X), dtype=np.float64), axis=0)
        if len(rows) < 2:
            raise DomainError(f"Hull.of: X has {len(rows)} different rows; a hull needs two at least")
        if not np.isfinite(rows).all():
            raise DomainError("Hull.of: X must be finite numbers")
        return cls(rows, column_names(X), np.zeros((0, rows.shape[1])), np.zeros(0))

    @property
    def n_inputs(self) -> int:
        return self.points.shape[1]

    @property
    def box(self) -> Box:
        """The bounding box, with the constraints of `where`."""
        return Box(self.points.min(axis=0), self.points.max(axis=0), self.names, A=self.A, b=self.b)

    @property
    def dim(self) -> int:
        """Of the smallest flat that holds the points."""
        return self._flat[1].shape[1]

    @property
    def is_small(self) -> bool:
        """Few enough dimensions and facets for the engines that cut cells."""
        return self.dim <= MAX_DIM and len(self._facets[1]) <= MAX_FACETS

    def where(self, A, b) -> Hull:
        """The part with A x <= b: A (m, d) or (d,), b (m,) or one number, in the features' units."""
        rows, offsets = constraint_rows(A, b, (self.n_inputs,))
        return Hull(self.points, self.names, np.vstack([self.A, rows]), np.concatenate([self.b, offsets]))

    def as_slice(self) -> Slice:
        """The hull by its halfspaces: x itself where it is full-dimensional, else coordinates of the flat it lies in."""
        if not self.is_small:
            what = f"{self.dim} dimensions" if self.dim > MAX_DIM else f"{len(self._facets[1])} facets"
            raise DomainError(f"a hull of {what} is too much for halfspaces (up to {MAX_DIM} dimensions and {MAX_FACETS} facets): "
                              "maximise, minimise and what builds on them take it; else take Box.of(X)")
        x0, P = self._flat
        A, b = self._facets
        free = tuple((j,) for j in range(self.n_inputs)) if P.shape[1] == self.n_inputs else None
        return Slice(x0, P, self.box, A=A, b=b, free=free)

    @cached_property
    def _flat(self) -> tuple[np.ndarray, np.ndarray]:
        """(x0, P): the points lie in x0 + P u; the identity where they fill the space."""
        X = self.points
        middle, size = X.mean(axis=0), np.ptp(X, axis=0)
        size = np.where(size > 0, size, 1.0)
        _, values, directions = np.linalg.svd((X - middle) / size, full_matrices=False)
        rank = int((values > FLAT * max(values[0], np.finfo(float).tiny)).sum())
        if rank == X.shape[1]:
            return np.zeros(rank), np.eye(rank)
        return middle, directions[:rank].T * size[:, None]

    @cached_property
    def _facets(self) -> tuple[np.ndarray, np.ndarray]:
        """A u <= b, moved outwards until every point keeps them."""
        x0, P = self._flat
        u = (self.points - x0) @ np.linalg.pinv(P).T
        k = P.shape[1]
        if k > MAX_DIM:
            return np.zeros((0, k)), np.zeros(0)
        if k == 1:
            A = np.array([[1.0], [-1.0]])
        else:
            from scipy.spatial import ConvexHull

            size = np.ptp(u, axis=0)
            equations = ConvexHull(u / size).equations[:, :-1] / size
            A = np.unique(np.round(equations / np.linalg.norm(equations, axis=1, keepdims=True), 12), axis=0)
        return A, (u @ A.T).max(axis=0)

    def __repr__(self) -> str:
        extra = f", {len(self.b)} constraints" if len(self.b) else ""
        return f"Hull(of {len(self.points)} points with {self.n_inputs} features, {self.dim} dimensions{extra})"
