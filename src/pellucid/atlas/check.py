"""`Atlas.check`: the atlas re-derived by other code than the engine's (SPEC 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..certificate import Certificate, Status
from ..tolerance import CHECK_AREA, CHECK_VALUE, ON_FACE
from .locate import locate_u
from .neighbours import adjacency
from .polytopes import facets_of, in_polytope, known_codes, widths_of
from .select import areas

if TYPE_CHECKING:
    from .atlas import Atlas


def check(atlas: Atlas, *, points: int, seed: int) -> Certificate:
    """Areas add up, no area is negative, random points are found where their value is right, neighbours agree on their facets.

    REFUTED names the first law that fails and by how much; PROVED means that all held (areas and facets exactly, points sampled).
    """
    laws = [_areas(atlas), _codes_once(atlas), _points(atlas, points, seed), _facets(atlas) if atlas.is_planar else _beyond(atlas, seed)]
    figures = {name: value for name, value, _ in laws}
    figures["points"] = points
    broken = [f"{name} is {value:.3g}, at most {limit:g} is right" for name, value, limit in laws if not value <= limit]
    claim = ("areas add up, codes are unique, maps equal the network at random points and agree across facets" if atlas.is_planar else
             "codes are unique, maps equal the network at random points, and what lies behind the facets of random regions is known")
    if broken:
        return Certificate(claim, Status.REFUTED, "; ".join(broken), figures)
    return Certificate(claim, Status.PROVED, f"re-derived, values at {points} random points", figures)


def _areas(atlas: Atlas) -> tuple[str, float, float]:
    """Relative difference of the sum of areas to the domain's (for a partial atlas: with the unexplored rest)."""
    if not atlas.is_planar:
        return _volumes(atlas)
    own = areas(atlas.cells.vertices, atlas.cells.vertex_ptr)
    total = atlas.domain.polygon.area
    if atlas.is_selection:        # what was left out was left out on purpose: only each row's own area can be re-derived
        return "area difference", float(np.abs(own - atlas.volume).sum() / total), CHECK_AREA
    rest = 0.0 if atlas.is_complete else areas(atlas.cells.rest_vertices, atlas.cells.rest_ptr).sum()
    if len(own) and own.min() < -CHECK_AREA * total:
        return "area", float("inf"), CHECK_AREA
    return "area difference", float(abs(own.sum() + rest - total) / total), _volume_limit(atlas, total)


def _volumes(atlas: Atlas) -> tuple[str, float, float]:
    """Relative difference of the sum of volumes to the domain's, where the engine gave volumes and all regions are there."""
    if atlas.cells.volume is None or not atlas.is_complete or atlas.is_selection:
        return "volume difference", 0.0, CHECK_AREA
    try:
        total = _box_volume(atlas)
    except RuntimeError:          # qhull has lost its way among nearly coplanar faces: no other code gives the volume
        return "volume difference (the domain's is not known)", 0.0, CHECK_AREA
    return "volume difference", float(abs(atlas.volume.sum() - total) / total), _volume_limit(atlas, total)


def _volume_limit(atlas: Atlas, total: float) -> float:
    """CHECK_AREA, and what some roundings of the faces' offsets do to the volume of a domain that is thin or far from the origin."""
    lower, upper = atlas.domain.bounds
    far = float((np.maximum(np.abs(lower), np.abs(upper)) / (upper - lower)).max())
    return CHECK_AREA + 64 * len(lower) * np.finfo(float).eps * (far + float(np.prod(upper - lower)) / total)


def _box_volume(atlas: Atlas) -> float:
    """Volume of the domain: of its bounding box where every face is parallel to an axis, else by qhull."""
    from scipy.spatial import ConvexHull, HalfspaceIntersection

    G, h, _ = atlas.domain.constraints
    lower, upper = atlas.domain.bounds
    G, h = G[np.isfinite(h)], h[np.isfinite(h)]
    if ((G != 0).sum(axis=1) <= 1).all():
        return float(np.prod(upper - lower))
    inner, width = atlas.cells.points[0], upper - lower
    corners = HalfspaceIntersection(np.column_stack([G * width, G @ inner - h]), np.zeros(len(width))).intersections
    # where the set is thin, qhull needs it round
    middle = corners.mean(axis=0)
    _, sizes, turned = np.linalg.svd((corners - middle) / np.sqrt(len(corners)), full_matrices=False)
    return float(ConvexHull((corners - middle) @ turned.T / sizes).volume * np.prod(sizes) * np.prod(width))


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
    u = sample_polygon(atlas.domain.polygon.vertices, n, rng) if atlas.is_planar else _sample_polytope(atlas, n, rng)
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
    if len(pairs) == 0 or any(steps(stage.phi) for stage in atlas.chain.stages):
        return "jump across facets", 0.0, CHECK_VALUE
    gap = 0.0
    for end in (0, 1):
        u = pairs.ends[:, end]
        left, right = (np.einsum("pcj,pj->pc", atlas.coef_u[k], u) + atlas.intercept_u[k] for k in (pairs.left, pairs.right))
        gap = max(gap, float(np.abs(left - right).max()))
    return "jump across facets", gap / _size(atlas, atlas.intercept_u), CHECK_VALUE


def _beyond(atlas: Atlas, seed: int, most: int = 200) -> tuple[str, float, float]:
    """How many facets of some random regions lead to a code that the atlas does not have (0 where it is complete)."""
    if len(atlas) == 0 or not atlas.is_complete or atlas.is_selection:
        return "unknown codes behind facets", 0.0, 0.0
    rows = np.sort(np.random.default_rng(seed).permutation(len(atlas))[:most])
    if atlas.cells.unresolved:        # behind a facet may lie a sliver that was left in its neighbour
        return "unknown codes behind facets", 0.0, 0.0
    try:
        unknown = _unknown_beyond(atlas, rows)
    except ValueError:                # a row as thin as rounding has no inner point: the others, one by one
        unknown = sum(_unknown_beyond_one(atlas, int(row)) for row in rows)
    return "unknown codes behind facets", float(unknown), 0.0


def _unknown_beyond(atlas: Atlas, rows: np.ndarray) -> int:
    """Codes behind facets of these rows that the atlas lacks, but for those in which no ball of ON_FACE fits.

    Those are behind facets that are themselves that small: which code is met there is a matter of rounding.
    """
    found = facets_of(atlas, rows, beyond=True)
    inner = np.flatnonzero((found.column >= 0) & (found.column < atlas.chain.n_columns))
    lacks = inner[~known_codes(atlas, found.beyond[inner])]
    if len(lacks) == 0:
        return 0
    owner = np.searchsorted(found.ptr, lacks, side="right") - 1
    return int((widths_of(atlas, found.beyond[lacks], atlas.cells.points[rows[owner]]) > ON_FACE).sum())


def _unknown_beyond_one(atlas: Atlas, row: int) -> int:
    try:
        return _unknown_beyond(atlas, np.array([row]))
    except ValueError:
        return 0


def _sample_polytope(atlas: Atlas, n: int, rng: np.random.Generator) -> np.ndarray:
    """n points of the domain: uniform in its box where that mostly lies inside, else mixtures of the regions' inner points."""
    lower, upper = atlas.domain.bounds
    u = rng.uniform(lower, upper, (4 * n, len(lower)))
    u = u[in_polytope(atlas, u)][:n]
    if len(u) < n and len(atlas):
        rows = rng.integers(len(atlas), size=(n - len(u), 3))
        share = rng.dirichlet(np.ones(3), n - len(u))
        u = np.vstack([u, np.einsum("ni,nij->nj", share, atlas.cells.points[rows])])
    return u


def steps(phi) -> bool:
    """Does a unit jump at a breakpoint?"""
    if not hasattr(phi, "breaks") or len(phi.breaks) == 0:
        return False
    t, slopes, offsets = phi.padded
    t = np.where(np.isfinite(t), t, 0.0)
    below, above = slopes[:, :-1] * t + offsets[:, :-1], slopes[:, 1:] * t + offsets[:, 1:]
    return bool(np.any((np.abs(above - below) > CHECK_VALUE * np.maximum(1.0, np.abs(below))) & np.isfinite(phi.padded[0])))


def _size(atlas: Atlas, y: np.ndarray) -> float:
    """Scale of the outputs: their largest size, and the largest slope across the domain."""
    lower, upper = atlas.domain.bounds
    slope = np.abs(atlas.coef_u) @ (upper - lower) if len(atlas) else np.zeros(1)
    rounding = float(atlas._floors[-1].max(initial=0.0)) / CHECK_VALUE        # an error within the rounding floor is none
    return float(max(np.abs(y).max(initial=0.0), slope.max(initial=0.0), rounding, 1e-300))


def sample_polygon(v: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """n points, uniform in the convex polygon v."""
    a, b = v[1:-1] - v[0], v[2:] - v[0]
    weight = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    k = rng.choice(len(weight), size=n, p=weight / weight.sum())
    s, t = rng.random((2, n))
    flip = s + t > 1
    s, t = np.where(flip, 1 - s, s), np.where(flip, 1 - t, t)
    return v[0] + s[:, None] * a[k] + t[:, None] * b[k]
