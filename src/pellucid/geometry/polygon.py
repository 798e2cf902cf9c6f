"""Convex polygons in the plane, counter-clockwise, with a label on every edge."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from ..errors import DomainError
from ..tolerance import GEOMETRIC
from .halfspaces import polytope_bounds

_SMALL = 1e-6

EPS = float(np.finfo(float).eps)


@dataclass(frozen=True, eq=False)
class Polygon:
    """A convex polygon. vertices: (n, 2) counter-clockwise; edge i runs from vertex i to the next.

    faces: (n,) int, which constraint of its maker each edge lies on.
    """

    vertices: np.ndarray
    faces: np.ndarray

    @cached_property
    def area(self) -> float:
        return float(shoelace(self.vertices))

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corner, (2,) each."""
        corners = list(zip(*self.vertices.tolist(), strict=True))
        return np.array([min(x) for x in corners]), np.array([max(x) for x in corners])


def shoelace(v: np.ndarray) -> float:
    """Area of the polygon with vertices v (n, 2), positive if counter-clockwise."""
    (x0, y0), *rest = v.tolist()
    fan = [(x - x0, y - y0) for x, y in rest]           # relative to a vertex: far-off polygons lose no digits
    return 0.5 * sum(a * d - b * c for (a, b), (c, d) in pairwise(fan))


def halfplane_polygon(G: np.ndarray, h: np.ndarray) -> Polygon:
    """{ u in R^2 : G u <= h } for G (m, 2), h (m,); faces are row numbers.

    DomainError where the set is empty, flat or unbounded. Rows whose h is inf are no constraints.
    """
    box = rectangle(G, h)
    if box is not None:
        return box
    keep = np.isfinite(h)
    if np.any(h[~keep] < 0):
        raise DomainError("the analysis set is empty: a constraint asks for a value below -infinity")
    rows = np.flatnonzero(keep)
    norms = np.linalg.norm(G[rows], axis=1)
    constant = norms == 0      # such a row says nothing about u: either always true or never
    if np.any(h[rows[constant]] < 0):
        raise DomainError("the analysis set is empty: the fixed features lie outside their bounds")
    rows, norms = rows[~constant], norms[~constant]
    n, c = G[rows] / norms[:, None], h[rows] / norms
    centre, radius = _bounding(n, c)
    polygon = _clipped(n, c, centre, radius)
    if polygon is None or polygon.area <= _SMALL:        # small in the box of the coordinates' own bounds: in its own box, then
        lower, upper = polytope_bounds(n, c)
        centre, radius = (lower + upper) / 2, (upper - lower) / 2
        polygon = _clipped(n, c, centre, radius)
    if polygon is None or polygon.area <= 16 * np.finfo(float).eps:
        raise DomainError("the analysis set is empty or has no interior: a polygon with a positive area is needed")
    return Polygon(polygon.vertices * radius + centre, rows[polygon.faces])


def _clipped(n: np.ndarray, c: np.ndarray, centre: np.ndarray, radius: np.ndarray) -> Polygon | None:
    """{ n u <= c } in coordinates where centre +- radius is [-1, 1]^2."""
    c, n = c - n @ centre, n * radius
    norms = np.linalg.norm(n, axis=1)
    polygon = _clip(n / norms[:, None], c / norms, np.arange(len(n)))
    return polygon if polygon is not None and len(polygon.vertices) >= 3 else None


def rectangle(G: np.ndarray, h: np.ndarray) -> Polygon | None:
    """`halfplane_polygon` for the common case that every row bounds one coordinate from both sides; None otherwise."""
    ends, faces = [[-math.inf, -math.inf], [math.inf, math.inf]], [[-1, -1], [-1, -1]]
    for i, ((g0, g1), bound) in enumerate(zip(G.tolist(), h.tolist(), strict=True)):     # few rows: no arrays
        if (g0 != 0) == (g1 != 0) or not math.isfinite(bound):
            return None
        k, g = (0, g0) if g0 != 0 else (1, g1)
        side, end = int(g > 0), bound / g
        if (end < ends[1][k]) if side else (end > ends[0][k]):
            ends[side][k], faces[side][k] = end, i
    (x0, y0), (x1, y1) = ends
    if not all(map(math.isfinite, (x0, x1, y0, y1))):
        return None
    if not all(b - a > 16 * EPS * max(abs(a), abs(b)) for a, b in ((x0, x1), (y0, y1))):
        raise DomainError("the analysis set is empty or has no interior: a polygon with a positive area is needed")
    return Polygon(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), np.array([faces[0][1], faces[1][0], faces[1][1], faces[0][0]]))


def _bounding(n: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre and half-widths (2,) of the bounding box of { n u <= c }, by linear programming; n has unit rows."""
    axis = (n == 0).any(axis=1)
    lower, upper = np.full(2, -np.inf), np.full(2, np.inf)
    for j in range(2):
        up, down = axis & (n[:, j] == 1), axis & (n[:, j] == -1)
        upper[j] = c[up].min(initial=np.inf)
        lower[j] = -c[down].min(initial=np.inf)
    if not (np.isfinite(lower).all() and np.isfinite(upper).all()):
        lower, upper = polytope_bounds(n, c)
    if np.any(upper <= lower):
        raise DomainError("the analysis set is empty or has no interior: a polygon with a positive area is needed")
    return (lower + upper) / 2, (upper - lower) / 2


def _clip(n: np.ndarray, c: np.ndarray, labels: np.ndarray) -> Polygon | None:
    """The part of the square [-1, 1]^2 (slightly enlarged) that satisfies n u <= c."""
    v = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]]) * 1.5
    faces = np.full(4, -1)
    pending = np.ones(len(n), dtype=bool)
    while True:
        excess = n @ v.T - c[:, None]
        worst = np.where(pending, excess.max(axis=1), -np.inf)
        k = int(worst.argmax()) if len(worst) else -1
        if k < 0 or worst[k] <= GEOMETRIC * 1e-2:
            break
        pending[k] = False
        v, faces = _cut(v, faces, excess[k], int(labels[k]))
        if len(v) < 3:
            return None
    if np.any(faces < 0):
        raise DomainError("the analysis set is unbounded: give finite bounds to every feature that moves")
    return Polygon(v, faces)


def _cut(v: np.ndarray, faces: np.ndarray, excess: np.ndarray, label: int) -> tuple[np.ndarray, np.ndarray]:
    """Keep the part of the polygon where excess (a value at each vertex) is not positive."""
    tolerance = GEOMETRIC * 1e-2
    sign = np.where(excess > tolerance, 1, np.where(excess < -tolerance, -1, 0))
    points, edges = [], []
    for i in range(len(v)):
        j = (i + 1) % len(v)
        if sign[i] <= 0:
            points.append(v[i])
            leaves = sign[i] == 0 and sign[j] > 0
            edges.append(label if leaves else faces[i])
        if sign[i] * sign[j] < 0:
            t = excess[i] / (excess[i] - excess[j])
            points.append(v[i] + t * (v[j] - v[i]))
            edges.append(label if sign[i] < 0 else faces[i])
    return np.array(points).reshape(-1, 2), np.array(edges, dtype=int)
