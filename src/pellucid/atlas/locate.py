"""Where points lie in an atlas."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError
from ..geometry.frames import column_names, in_named_order, named_row
from ..graph.rows import in_order
from ..regions import codes_of, match_codes
from ..tolerance import ON_FACE, ON_PLANE
from .polytopes import by_open_columns, in_polytope

if TYPE_CHECKING:
    from .atlas import Atlas


def coordinates(atlas: Atlas, x) -> tuple[np.ndarray, np.ndarray]:
    """(u (n, k), whether x lies in the slice's plane (n,)), for x (n, d), (n, *input_shape), one row, or u (n, k)."""
    d, k = atlas.network.n_inputs, atlas.domain.dim
    names = column_names(named_row(x))
    if names is not None and (len(names) != k or d == k):        # a frame of k columns holds u
        x = in_order(atlas.network, x)
    elif names is not None:
        x = in_named_order(x, atlas.domain.axes)
    x = np.asarray(x, dtype=np.float64)
    if x.ndim > 2:
        x = x.reshape(len(x), math.prod(x.shape[1:]))
    x = np.atleast_2d(x)
    if x.shape[1] == d:
        if atlas.domain.free is not None and d == k:      # the plane is the whole space: u is x, up to order
            return np.ascontiguousarray(x[:, [f[0] for f in atlas.domain.free]]), np.ones(len(x), dtype=bool)
        finite = np.isfinite(x).all(axis=1)
        u, in_plane = atlas.domain.holds(np.where(finite[:, None], x, 0.0), ON_PLANE)
        return u, in_plane & finite
    if x.shape[1] == k:
        return x, np.ones(len(x), dtype=bool)
    raise DataError(f"points have {x.shape[1]} entries; {d} (features) or {k} (slice coordinates) are needed")


def locate(atlas: Atlas, x) -> np.ndarray:
    """Region of each point: by its code where that is a region's, else by geometry (SPEC 2). (n,) int64, -1 outside."""
    u, in_plane = coordinates(atlas, x)
    found = np.full(len(u), -1, dtype=np.int64)
    found[in_plane] = locate_u(atlas, u[in_plane])
    return found


def locate_u(atlas: Atlas, u: np.ndarray) -> np.ndarray:
    """`locate` for coordinates u of the slice, (n, k); a network of k inputs takes them for features elsewhere."""
    found = np.full(len(u), -1, dtype=np.int64)
    if len(atlas) == 0:
        return found
    rows = np.flatnonzero(np.isfinite(u).all(axis=1))
    rows = rows[_in_domain(atlas, u[rows]) if atlas.is_planar else in_polytope(atlas, u[rows])]
    found[rows] = _by_code(atlas, u[rows])
    if atlas.is_cut:
        hit = rows[found[rows] >= 0]
        ptr = atlas.cells.vertex_ptr
        found[hit[~_held(ptr, atlas.cells.vertices, found[hit], u[hit], atlas.domain.polygon.bounds)]] = -1
    lost = rows[found[rows] < 0]
    if len(lost):
        found[lost] = by_geometry(atlas, u[lost]) if atlas.is_planar else by_open_columns(atlas, u[lost])
    return found


def _in_domain(atlas: Atlas, u: np.ndarray) -> np.ndarray:
    v = atlas.domain.polygon.vertices
    lower, upper = atlas.domain.polygon.bounds
    inside = np.ones(len(u), dtype=bool)
    size = upper - lower
    for a, b in zip(v, np.roll(v, -1, axis=0), strict=True):
        e = (b - a) / size
        w = (u - a) / size
        inside &= e[0] * w[:, 1] - e[1] * w[:, 0] >= -ON_FACE * np.hypot(*e)
    return inside


def _by_code(atlas: Atlas, u: np.ndarray) -> np.ndarray:
    """Row whose code is the point's own; -1 where no region has it (a point on a face, or a partial atlas)."""
    table = atlas._code_table
    region = match_codes(table[0], codes_of(atlas.chain_u, u))
    if atlas.cells.first is None:
        return np.where(region >= 0, table[1][region], -1)
    hit = np.flatnonzero(region >= 0)
    row = np.full(len(u), -1, dtype=np.int64)
    y_row = table[1][region[hit]]
    y = np.einsum("ncj,nj->nc", atlas.coef_u[y_row], u[hit]) + atlas.intercept_u[y_row]
    key = _decision(atlas, y)
    for offset in range(int(table[2].max(initial=0))):      # as many turns as the most-split region has pieces
        candidate = y_row + offset
        open_ = (row[hit] < 0) & (offset < table[2][region[hit]])
        same = open_ & (atlas._pair[np.minimum(candidate, len(atlas) - 1)] == key)
        row[hit[same]] = candidate[same]
    return row


def _decision(atlas: Atlas, y: np.ndarray) -> np.ndarray:
    """(first, second) of logits as one number, by the same rules as the split."""
    from ..graph.network import logit

    net = atlas.network
    if net.is_multilabel or net.n_outputs == 1:
        first = ((y > logit(atlas.threshold)) << np.arange(y.shape[1])).sum(axis=1)
        second = 1 - first if atlas.cells.second is not None else 0
        return first * (1 << 31) + second
    first = y.argmax(axis=1)
    if atlas.cells.second is None:
        return first * (1 << 31)
    rest = y.copy()
    rest[np.arange(len(y)), first] = -np.inf
    return first * (1 << 31) + rest.argmax(axis=1)


def code_table(atlas: Atlas) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(codes of regions, first row of each, rows of each)."""
    rows = atlas._first_of_parent
    return np.ascontiguousarray(atlas.cells.codes[rows]), rows, np.diff(np.append(rows, len(atlas)))


def pair_key(atlas: Atlas) -> np.ndarray:
    second = 0 if atlas.cells.second is None else atlas.cells.second.astype(np.int64)
    return atlas.cells.first.astype(np.int64) * (1 << 31) + second


# ---- geometry: for points on faces, and those whose code names no region


def by_geometry(atlas: Atlas, u: np.ndarray) -> np.ndarray:
    """The smallest row whose closed polygon holds each point, -1 where none does. In batches, through a grid of candidates."""
    grid = atlas._grid
    found = np.full(len(u), -1, dtype=np.int64)
    for start in range(0, len(u), 20_000):
        found[start:start + 20_000] = _search(grid, u[start:start + 20_000])
    return found


def make_grid(atlas: Atlas):
    """Polygons by the squares of a grid that their bounding boxes meet; all in coordinates where the domain is [0, 1]^2."""
    lower, upper = atlas.domain.polygon.bounds
    ptr = atlas.cells.vertex_ptr
    v = (atlas.cells.vertices - lower) / (upper - lower)
    K = len(ptr) - 1
    low, high = np.minimum.reduceat(v, ptr[:-1], axis=0) - ON_FACE, np.maximum.reduceat(v, ptr[:-1], axis=0) + ON_FACE
    n = max(1, int(np.sqrt(K)))
    while True:
        a, b = (np.clip((w * n).astype(int), 0, n - 1) for w in (low, high))
        spans = b - a + 1
        total = int((spans[:, 0] * spans[:, 1]).sum())
        if total <= 64 * K + 1024 or n == 1:
            break
        n //= 2
    count = spans[:, 0] * spans[:, 1]
    cell = np.repeat(np.arange(K), count)
    local = np.arange(total) - np.repeat(np.cumsum(count) - count, count)
    square = (a[cell, 0] + local % spans[cell, 0]) * n + a[cell, 1] + local // spans[cell, 0]
    order = np.lexsort((cell, square))
    starts = np.searchsorted(square[order], np.arange(n * n + 1))
    return n, lower, upper, ptr, v, starts, cell[order]


def _search(grid, u: np.ndarray) -> np.ndarray:
    n, lower, upper, ptr, v, starts, cell = grid
    p = (u - lower) / (upper - lower)
    at = np.clip((p * n).astype(int), 0, n - 1)
    square = at[:, 0] * n + at[:, 1]
    count = starts[square + 1] - starts[square]
    point = np.repeat(np.arange(len(u)), count)
    candidate = cell[np.repeat(starts[square], count) + np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)]
    held = _held(ptr, v, candidate, p[point], (np.zeros(2), np.ones(2)))
    found = np.full(len(u), len(ptr), dtype=np.int64)
    np.minimum.at(found, point[held], candidate[held])
    found[found == len(ptr)] = -1
    return found


def _held(ptr: np.ndarray, v: np.ndarray, rows: np.ndarray, points: np.ndarray, bounds) -> np.ndarray:
    """Does the closed polygon rows[i] hold points[i]? (n,) bool; ON_FACE of the bounds counts as on it."""
    width = bounds[1] - bounds[0]
    edges = np.diff(ptr)[rows]
    pair = np.repeat(np.arange(len(rows)), edges)
    local = np.arange(edges.sum()) - np.repeat(np.cumsum(edges) - edges, edges)
    i = ptr[rows[pair]] + local
    j = ptr[rows[pair]] + (local + 1) % edges[pair]
    e, w = (v[j] - v[i]) / width, (points[pair] - v[i]) / width
    out = e[:, 0] * w[:, 1] - e[:, 1] * w[:, 0] < -ON_FACE * np.maximum(np.hypot(e[:, 0], e[:, 1]), ON_FACE)
    return np.bincount(pair[out], minlength=len(rows)) == 0
