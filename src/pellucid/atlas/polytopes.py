"""Regions in any number of dimensions: facets, neighbours and location by codes and linear programmes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..chain import Elementwise, unit_intervals
from ..errors import DomainError
from ..graph.network import logit
from ..regions import Facets, chebyshev, column_bits, facets, match_codes, pack_codes
from ..tolerance import ON_FACE, ROUNDING_FACTOR
from .neighbours import border_label, face_label

if TYPE_CHECKING:
    import pandas as pd

    from .atlas import Atlas

MOST_DIMENSIONS = 8
"""Vertices of a single region are listed up to here; beyond, there can be thousands a region."""


def facets_of(atlas: Atlas, rows, *, beyond: bool = False) -> Facets:
    """The minimal halfspaces of some rows, with the code behind each where asked for."""
    from .enumerate import split_of

    G, h, _ = atlas.domain.constraints
    return facets(atlas.chain_u, G, h, atlas.cells, rows=np.asarray(rows), floors=atlas._floors,
                  split=split_of(atlas.network, atlas.by, atlas.threshold), neighbours=beyond)


def widths_of(atlas: Atlas, codes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Radius of the largest ball in each code's polytope, relative to the domain's shortest side; infinite where it is not found."""
    G, h, _ = atlas.domain.constraints
    lower, upper = atlas.domain.bounds
    try:
        _, radii = chebyshev(atlas.chain_u, G, h, (codes, points), floors=atlas._floors)
    except RuntimeError:
        return np.full(len(codes), np.inf)
    return radii / (upper - lower).min()


def facet_words(atlas: Atlas, found: Facets) -> list[str]:
    """What makes each facet, in words."""
    return [face_label(atlas, -1 - int(c)) if c < 0 else border_label(atlas, int(c), int(low), int(high))
            for c, low, high in zip(found.column, found.low, found.high, strict=True)]


def neighbours_by_code(atlas: Atlas, k: int) -> pd.DataFrame:
    """`Atlas.neighbours` for polytopes: facet, region (-1 outside the domain, or not in this atlas), unit."""
    import pandas as pd

    from .walls import behind

    found = facets_of(atlas, [k], beyond=True)
    rows = behind(atlas, np.array([k]), found)
    return pd.DataFrame({"facet": np.arange(len(rows)), "region": rows, "unit": facet_words(atlas, found)})


def vertices_of(atlas: Atlas, k: int) -> np.ndarray:
    """(n, k) vertices of one region in u, in no order, by qhull."""
    from scipy.spatial import HalfspaceIntersection

    found, point, dim = facets_of(atlas, [k]), atlas.cells.points[k], atlas.domain.dim
    if dim > MOST_DIMENSIONS:
        raise DomainError(f"vertices are listed up to {MOST_DIMENSIONS} dimensions, this region has {dim}: use its halfspaces")
    if dim == 1:
        return (found.b / found.A[:, 0])[:, None]
    lower, upper = atlas.domain.bounds
    scale = upper - lower
    rows = np.column_stack([found.A * scale, found.A @ point - found.b])
    return np.unique(HalfspaceIntersection(rows, np.zeros(dim)).intersections * scale + point, axis=0)


def in_polytope(atlas: Atlas, u: np.ndarray) -> np.ndarray:
    """Is each point in the domain, its faces and ON_FACE beyond them (and some roundings of G u - h) included? (n,) bool."""
    G, h, _ = atlas.domain.constraints
    lower, upper = atlas.domain.bounds
    terms = np.abs(G) @ np.maximum(np.abs(lower), np.abs(upper)) + np.where(np.isfinite(h), np.abs(h), 0.0)
    room = ON_FACE * (np.abs(G) @ (upper - lower)) + 8 * np.finfo(float).eps * terms
    return np.all(u @ G.T <= h + room, axis=1)


def by_open_columns(atlas: Atlas, u: np.ndarray) -> np.ndarray:
    """The smallest row whose closure holds each point, for points whose own code is no region's; -1 where there is none.

    A unit near a breakpoint may stand on either side of it, and any of several equal winners may win, since values are continuous:
    the rows whose code is made of such pieces are those that touch the point. Near is first: within rounding (a unit that is
    constant at a breakpoint), then: within ON_FACE of its range over the domain.
    The lowest pieces everywhere are tried first: they are the canonical code, and the smallest row if it is one.
    """
    found = _touching(atlas, u, within_rounding=True)
    lost = np.flatnonzero(found < 0)
    if len(lost):
        found[lost] = _touching(atlas, u[lost], within_rounding=False)
    return found


def _touching(atlas: Atlas, u: np.ndarray, within_rounding: bool) -> np.ndarray:
    allowed = _allowed_pieces(atlas, u, within_rounding)
    lowest = np.stack([a.argmax(axis=0) for a in allowed], axis=1).astype(np.uint16) if allowed else np.zeros((len(u), 0), np.uint16)
    region = match_codes(atlas._code_table[0], pack_codes(lowest, atlas.chain.n_pieces))
    found = np.full(len(u), -1, dtype=np.int64)
    for r in np.unique(region[region >= 0]):
        points = np.flatnonzero(region == r)
        first, count = atlas._code_table[1][r], atlas._code_table[2][r]
        found[points] = _by_class(atlas, u[points], np.arange(first, first + count))
    lost = np.flatnonzero(found < 0)
    if len(lost):
        found[lost] = _by_any_piece(atlas, u[lost], [a[:, lost] for a in allowed], lowest[lost])
    return found


def _by_any_piece(atlas: Atlas, u: np.ndarray, allowed: list[np.ndarray], lowest: np.ndarray) -> np.ndarray:
    """The same by looking through all rows: points with the same choice of pieces together."""
    n_pieces = atlas.chain.n_pieces
    word, bits = column_bits(n_pieces)
    masks = np.zeros((len(u), atlas.cells.codes.shape[1]), dtype=np.uint64)
    for c, pieces in enumerate(allowed):
        masks[:, word[c]] |= np.where(pieces.sum(axis=0) > 1, bits[c], np.uint64(0))
    wanted = pack_codes(lowest, n_pieces) & ~masks
    wide = [c for c in range(len(allowed)) if n_pieces[c] > 2]
    choice = [allowed[c].T.astype(np.uint64) for c in wide]
    found = np.full(len(u), -1, dtype=np.int64)
    groups, first, group = np.unique(np.hstack([masks, wanted, *choice]), axis=0, return_index=True, return_inverse=True)
    group, words = group.ravel(), masks.shape[1]
    for g, row in enumerate(groups):
        mask, code = row[:words], row[words:2 * words]
        candidates = np.flatnonzero(((atlas.cells.codes & ~mask) == code).all(axis=1))
        for c in wide:
            candidates = candidates[allowed[c][atlas.codes[candidates, c], first[g]]]
        if len(candidates):
            points = np.flatnonzero(group == g)
            found[points] = _by_class(atlas, u[points], candidates)
    return found


def _by_class(atlas: Atlas, u: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Of rows that all touch the points, the one whose class fits the outputs best; the smallest of those that fit exactly."""
    if atlas.cells.first is None:
        return np.full(len(u), candidates[0])
    row = candidates[0]
    lower, upper = atlas.domain.bounds
    y = u @ atlas.coef_u[row].T + atlas.intercept_u[row]
    size = np.maximum(np.abs(y).max(axis=1), (np.abs(atlas.coef_u[row]) @ (upper - lower)).max())
    short = np.stack([_short_of(atlas, y, k) for k in candidates])
    short[short <= atlas._floors[-1].max(initial=0.0)] = 0.0        # a tie, as far as can be told
    best = short.argmin(axis=0)
    return np.where(short[best, np.arange(len(u))] <= ON_FACE * size, candidates[best], -1)


def _short_of(atlas: Atlas, y: np.ndarray, k: int) -> np.ndarray:
    """By how much the outputs y (n, c) miss the class (and the second) of row k, (n,); 0 or less where they do not."""
    first = int(atlas.cells.first[k])
    if atlas.network.is_multilabel or atlas.network.n_outputs == 1:
        given = first >> np.arange(y.shape[1]) & 1
        return ((logit(atlas.threshold) - y) * np.where(given, 1, -1)).max(axis=1)
    short = y.max(axis=1) - y[:, first]
    if atlas.cells.second is None:
        return short
    rest = y.copy()
    rest[:, first] = -np.inf
    return np.maximum(short, rest.max(axis=1) - y[:, int(atlas.cells.second[k])])


def _allowed_pieces(atlas: Atlas, u: np.ndarray, within_rounding: bool) -> list[np.ndarray]:
    """For each code column: which pieces touch each point, (pieces, n) bool."""
    chain, s = atlas.chain_u, u.T
    bounds = unit_intervals(chain, *atlas.domain.bounds)
    allowed: list[np.ndarray] = []
    for stage, (_, outputs), (lo, up), floor in zip(chain.stages, chain.columns, bounds, atlas._floors, strict=False):
        z, phi = stage.A @ s + stage.a[:, None], stage.phi
        room = (ROUNDING_FACTOR * floor if within_rounding else ON_FACE * np.maximum(up - lo, np.abs(lo))) + 1e-300
        for i in outputs:
            if isinstance(phi, Elementwise):
                t = phi.breaks[phi.ptr[i]:phi.ptr[i + 1], None]
                above = np.vstack([np.full((1, len(u)), -np.inf), np.broadcast_to(t, (len(t), len(u)))])
                below = np.vstack([np.broadcast_to(t, (len(t), len(u))), np.full((1, len(u)), np.inf)])
                allowed.append((z[i] >= above - room[i]) & (z[i] <= below + room[i]))
            else:
                rows = phi.members[phi.ptr[i]:phi.ptr[i + 1]]
                allowed.append(z[rows] >= z[rows].max(axis=0) - room[rows][:, None])
        s = phi(z)
    return allowed


def known_codes(atlas: Atlas, codes: np.ndarray) -> np.ndarray:
    """Does the atlas have a row of each of these codes? (q,) bool."""
    return match_codes(atlas._code_table[0], codes) >= 0
