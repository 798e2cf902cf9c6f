"""`Atlas.check`: the atlas re-derived by other code than the engine's (SPEC 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..certificate import Certificate, Status
from ..tolerance import CHECK_AREA, CHECK_VALUE
from .locate import locate_u
from .neighbours import adjacency
from .select import areas

if TYPE_CHECKING:
    from .atlas import Atlas


def check(atlas: Atlas, *, points: int, seed: int) -> Certificate:
    """Areas add up, no area is negative, random points are found where their value is right, neighbours agree on their facets.

    REFUTED names the first law that fails and by how much; PROVED means that all held (areas and facets exactly, points sampled).
    """
    laws = [_areas(atlas), _codes_once(atlas), _points(atlas, points, seed), _facets(atlas)]
    figures = {name: value for name, value, _ in laws}
    figures["points"] = points
    broken = [f"{name} is {value:.3g}, at most {limit:g} is right" for name, value, limit in laws if not value <= limit]
    claim = "areas add up, codes are unique, maps equal the network at random points and agree across facets"
    if broken:
        return Certificate(claim, Status.REFUTED, "; ".join(broken), figures)
    return Certificate(claim, Status.PROVED, f"re-derived, values at {points} random points", figures)


def _areas(atlas: Atlas) -> tuple[str, float, float]:
    """Relative difference of the sum of areas to the domain's (for a partial atlas: with the unexplored rest)."""
    own = areas(atlas.cells.vertices, atlas.cells.vertex_ptr)
    total = atlas.domain.polygon.area
    if atlas.is_selection:        # what was left out was left out on purpose: only each row's own area can be re-derived
        return "area difference", float(np.abs(own - atlas.volume).sum() / total), CHECK_AREA
    rest = 0.0 if atlas.is_complete else areas(atlas.cells.rest_vertices, atlas.cells.rest_ptr).sum()
    if len(own) and own.min() < -CHECK_AREA * total:
        return "area", float("inf"), CHECK_AREA
    return "area difference", float(abs(own.sum() + rest - total) / total), CHECK_AREA


def _codes_once(atlas: Atlas) -> tuple[str, float, float]:
    """Rows that name a code (and class pair) a second time."""
    keys = [atlas.cells.codes]
    for column in (atlas.cells.first, atlas.cells.second):
        if column is not None:
            keys.append(column[:, None].astype(np.uint64))
    rows = np.hstack(keys)
    return "repeated rows", float(len(rows) - len(np.unique(rows, axis=0))), 0.0


def _points(atlas: Atlas, n: int, seed: int) -> tuple[str, float, float]:
    """Largest error of the value at random points, relative to the outputs' size; inf if a point is in no region."""
    rng = np.random.default_rng(seed)
    u = sample_polygon(atlas.domain.polygon.vertices, n, rng)
    k = locate_u(atlas, u)
    if atlas.is_complete and not atlas.is_selection and (k < 0).any():
        return "value error (a point was not found)", float("inf"), CHECK_VALUE
    u, k = u[k >= 0], k[k >= 0]
    if len(u) == 0:
        return "value error", 0.0, CHECK_VALUE
    truth = atlas.network(atlas.domain.point(u))
    mine = np.einsum("ncj,nj->nc", atlas.coef_u[k], u) + atlas.intercept_u[k]
    return "value error", float(np.abs(truth - mine).max() / _size(atlas, truth)), CHECK_VALUE


def _facets(atlas: Atlas) -> tuple[str, float, float]:
    """Largest jump of the value across a shared facet, relative to the outputs' size (0 for units that step)."""
    pairs = adjacency(atlas)
    if len(pairs) == 0 or any(_steps(stage.phi) for stage in atlas.chain.stages):
        return "jump across facets", 0.0, CHECK_VALUE
    gap = 0.0
    for end in (0, 1):
        u = pairs.ends[:, end]
        left, right = (np.einsum("pcj,pj->pc", atlas.coef_u[k], u) + atlas.intercept_u[k] for k in (pairs.left, pairs.right))
        gap = max(gap, float(np.abs(left - right).max()))
    return "jump across facets", gap / _size(atlas, atlas.intercept_u), CHECK_VALUE


def _steps(phi) -> bool:
    """Does a unit jump at a breakpoint?"""
    if not hasattr(phi, "breaks") or len(phi.breaks) == 0:
        return False
    t, slopes, offsets = phi.padded
    t = np.where(np.isfinite(t), t, 0.0)
    below, above = slopes[:, :-1] * t + offsets[:, :-1], slopes[:, 1:] * t + offsets[:, 1:]
    return bool(np.any((np.abs(above - below) > CHECK_VALUE * np.maximum(1.0, np.abs(below))) & np.isfinite(phi.padded[0])))


def _size(atlas: Atlas, y: np.ndarray) -> float:
    """Scale of the outputs: their largest size, and the largest slope across the domain."""
    lower, upper = atlas.domain.polygon.bounds
    slope = np.abs(atlas.coef_u) @ (upper - lower) if len(atlas) else np.zeros(1)
    return float(max(np.abs(y).max(initial=0.0), slope.max(initial=0.0), 1e-300))


def sample_polygon(v: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """n points, uniform in the convex polygon v."""
    a, b = v[1:-1] - v[0], v[2:] - v[0]
    weight = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    k = rng.choice(len(weight), size=n, p=weight / weight.sum())
    s, t = rng.random((2, n))
    flip = s + t > 1
    s, t = np.where(flip, 1 - s, s), np.where(flip, 1 - t, t)
    return v[0] + s[:, None] * a[k] + t[:, None] * b[k]
