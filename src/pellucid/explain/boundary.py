"""The decision boundary between two classes, exactly: its flat pieces with their hyperplanes (CLIME, definition 3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..atlas import Adjacency, Atlas
from ..atlas.frame import interior_points
from ..atlas.polytopes import facets_of
from ..atlas.select import class_numbers
from ..certificate import Certificate
from ..errors import DataError, DomainError
from ..graph.network import logit
from ..tolerance import ON_FACE, ROUNDING_FACTOR
from .answer import Answer
from .result import borders, over_borders, scaled_length, wall_columns, wall_labels

if TYPE_CHECKING:
    import pandas as pd

MEASURED_DIM = 6
"""Dimensions of u up to which pieces are measured: beyond, each has too many vertices."""


class Piece(NamedTuple):
    """{ u : normal u = offset, A u <= b }: a flat piece of a boundary, in a domain of k dimensions one of k - 1. normal (k,) of unit length
    points from class a to class b; A (m, k), b (m,) are its other sides; point (k,) inside it."""

    normal: np.ndarray
    offset: float
    A: np.ndarray
    b: np.ndarray
    point: np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class DecisionBoundary(Answer):
    """All points with class a and class b in every neighbourhood, as flat pieces; every piece is the common facet of two rows.

    value: how many pieces. witness: (d,) a point on the largest, None where the classes do not touch. border: the pieces as common
    facets, left of class a, right of class b. ties: rows on which the outputs of a and b are equal and highest throughout (the
    first is given there): both classes everywhere, and no boundary inside.
    """

    atlas: Atlas
    a: int
    b: int
    border: Adjacency
    ties: np.ndarray

    def __len__(self) -> int:
        return len(self.border)

    def __getitem__(self, i: int) -> Piece:
        """A piece as a polytope."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"piece {i}: the boundary has {len(self)}")
        i = i % len(self)
        A, b = self._sides(i)
        return Piece(self.normal[i], float(self.offset[i]), A, b, self.point[i])

    @property
    def normal(self) -> np.ndarray:
        """(n, k) of unit length in u, from a to b."""
        return self.border.normal

    @property
    def offset(self) -> np.ndarray:
        """(n,) so that normal u = offset on each piece."""
        return np.einsum("ij,ij->i", self.normal, self.point)

    @property
    def point(self) -> np.ndarray:
        """(n, k) in u, inside each piece (NaN where it is thinner than a point can be told to lie in)."""
        return self.border.point

    @property
    def ends(self) -> np.ndarray | None:
        """(n, 2, 2) in u: the segments, in the plane."""
        return self.border.ends

    @cached_property
    def measure(self) -> np.ndarray:
        """(n,) length, area, .. of each piece in u: k - 1 dimensional volume. NaN above six dimensions and for pieces without a point."""
        if self.atlas.is_planar:
            return self.border.length
        k = self.atlas.domain.dim
        if k > MEASURED_DIM:
            return np.full(len(self), np.nan)
        return np.array([np.nan if np.isnan(p).any() else _measure(self[i], self.atlas.domain.bounds) for i, p in enumerate(self.point)])

    @property
    def length(self) -> float:
        """Of all pieces together: length in the plane, area in three dimensions, and so on."""
        return float(np.nansum(self.measure)) if self.atlas.domain.dim <= MEASURED_DIM else float("nan")

    def to_frame(self) -> pd.DataFrame:
        """One row a piece: the rows of the atlas on its sides, what makes it, where it lies, its hyperplane."""
        import pandas as pd

        axes = self.atlas.domain.axes
        plane = {f"normal {axis}": self.normal[:, k] for k, axis in enumerate(axes)} | {"offset": self.offset}
        return pd.DataFrame({"left": self.border.left, "right": self.border.right, "unit": wall_labels(self.atlas, self.border),
                             **wall_columns(self.atlas, self.border), **plane})

    def _line(self) -> str:
        names = f"{self.atlas.class_label(self.a)} | {self.atlas.class_label(self.b)}"
        size = f", length {self.length:.4g}" if self.atlas.is_planar else ""
        tie = f", {len(self.ties)} rows tie throughout" if len(self.ties) else ""
        return f"{names}: {len(self)} pieces{size}{tie}"

    def _sides(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """The halfspaces of the smaller side without the piece's own."""
        row = int(self.border.left[i])
        if self.atlas.is_planar:
            A, b, _ = self.atlas[row].halfspaces
        else:
            found = facets_of(self.atlas, [row])
            A, b = found.A, found.b
        own = int((A @ self.normal[i]).argmax())
        keep = np.arange(len(A)) != own
        return A[keep], b[keep]


def decision_boundary(atlas: Atlas, a: int | str, b: int | str) -> DecisionBoundary:
    """The boundary between classes a and b, by number or name, over an atlas split by class; in any number of dimensions.

    Its pieces are the parts of { f_a = f_b } inside a region where both are highest, and the facets of regions on which the class
    changes from one to the other; where f_a = f_b without a change of class there is none. Several labels: a label's name as a
    and "not" as b.
    Raises MissingColumn (an atlas not split by class), DataError (no such class; a class with itself).
    """
    net, first = atlas.network, atlas.first.astype(np.int64)
    if net.is_multilabel:
        return _of_label(atlas, a, b)
    k, l = class_numbers(atlas, a)[0], class_numbers(atlas, b)[0]
    if k == l:
        raise DataError(f"decision_boundary: class '{atlas.class_label(k)}' has no boundary with itself")
    return _between(atlas, (first == k), (first == l), k, l, _ties(atlas, first, k, l))


def _of_label(atlas: Atlas, a: int | str, b: int | str) -> DecisionBoundary:
    if b != "not":
        raise DataError("several labels at once: the boundary of one label is decision_boundary(atlas, label, 'not')")
    j = class_numbers(atlas, a)[0]
    given = (atlas.first.astype(np.int64) >> j & 1).astype(bool)
    floor = ROUNDING_FACTOR * atlas._floors[-1][j]
    tied = _level(atlas, np.eye(atlas.network.n_outputs)[j], -logit(atlas.threshold), floor)
    return _between(atlas, given, ~given, 1 << j, 0, np.flatnonzero(tied))


def _between(atlas: Atlas, is_a: np.ndarray, is_b: np.ndarray, a: int, b: int, ties: np.ndarray) -> DecisionBoundary:
    every = borders(atlas)
    ahead, back = is_a[every.left] & is_b[every.right], is_b[every.left] & is_a[every.right]
    border = every.take(np.flatnonzero(ahead | back)).turned(back[ahead | back])
    size = scaled_length(atlas, border) if atlas.is_planar else ~np.isnan(border.point).any(axis=1)
    witness = atlas.domain.point(border.point[int(np.argmax(size))])[0] if len(border) else None
    base = over_borders(atlas, every)
    claim = f"these {len(border)} pieces are all of the boundary between {atlas.class_label(a)} and {atlas.class_label(b)}"
    certificate = Certificate(claim, base.status, base.reason, base.figures)
    return DecisionBoundary(len(border), witness, 0.0 if atlas.is_complete else np.inf, certificate, atlas, a, b, border, ties)


def _ties(atlas: Atlas, first: np.ndarray, a: int, b: int) -> np.ndarray:
    """Rows of class a or b on which both outputs are equal throughout, within rounding."""
    c, floors = atlas.network.n_outputs, ROUNDING_FACTOR * atlas._floors[-1]
    if c == 1:
        tied = _level(atlas, np.ones(1), -logit(atlas.threshold), float(floors[0]))
    else:
        tied = _level(atlas, np.eye(c)[a] - np.eye(c)[b], 0.0, float(floors[a] + floors[b]))
    return np.flatnonzero(tied & ((first == a) | (first == b)))


def _level(atlas: Atlas, direction: np.ndarray, constant: float, floor: float) -> np.ndarray:
    """(K,) is direction . y + constant 0 throughout the row, within `floor`?"""
    if not len(atlas):
        return np.zeros(0, dtype=bool)
    lower, upper = atlas.domain.bounds
    g = np.einsum("c,kcj->kj", direction, atlas.coef_u)
    at = np.einsum("kj,kj->k", g, interior_points(atlas)) + atlas.intercept_u @ direction + constant
    return np.abs(at) + np.abs(g) @ (upper - lower) <= floor


def _measure(piece: Piece, bounds: tuple[np.ndarray, np.ndarray]) -> float:
    """(k - 1)-dimensional volume of a piece."""
    k = len(piece.normal)
    if k == 1:
        return 1.0
    basis = np.linalg.svd(piece.normal[None])[2][1:].T                 # (k, k - 1), orthonormal, across the normal
    A, b = piece.A @ basis, piece.b - piece.A @ piece.point
    size = np.linalg.norm(A, axis=1)
    cuts = size > ON_FACE
    A, b = A[cuts] / size[cuts, None], b[cuts] / size[cuts]
    if k == 2:
        return float(np.min(b[A[:, 0] > 0]) + np.min(b[A[:, 0] < 0]))
    from scipy.spatial import ConvexHull, HalfspaceIntersection, QhullError

    scale = float(np.median(np.abs(b)))
    try:
        corners = HalfspaceIntersection(np.column_stack([A, -b / scale]), np.zeros(k - 1)).intersections
        return float(ConvexHull(corners).volume) * scale ** (k - 1)
    except QhullError as error:
        raise DomainError(f"a piece of the boundary is too thin to be measured: {error}") from None
