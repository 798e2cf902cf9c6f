"""Which rows of an atlas touch, in any number of dimensions: facets, what lies behind each, and the pairs that share one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..graph.network import logit
from ..regions import Facets, match_codes
from ..tolerance import ON_FACE
from .polytopes import facets_of

if TYPE_CHECKING:
    from .atlas import Atlas
    from .neighbours import Adjacency

TIE = ON_FACE / 4
"""Outputs that differ by less on a facet, as a share of their slopes over the domain, tie there: the engine puts the point of a
facet at least 8 ON_FACE from the other facets, so outputs that do not tie on the whole facet differ by more."""

RATE = 1e-9
"""Two outputs that change at rates this near, relative to the rates, change alike."""

BATCH_BYTES = 64 << 20
ROWS_AT_ONCE = 50_000


def behind(atlas: Atlas, rows: np.ndarray, found: Facets) -> np.ndarray:
    """The row of the atlas behind each facet, (F,) int64, -1 where there is none (outside the domain, or not in this atlas).

    Needs     facets of `rows` with the codes beyond.
    Sound     values of all units and outputs are continuous and affine on a facet, so there is one region, and one class,
              behind all of it; outputs that tie on the facet are told apart by their rates along its normal.
    Complete  where the code is that of no row (a sliver was left in its neighbour), points beyond the facet are located.
    """
    owner = np.repeat(rows, np.diff(found.ptr))
    answer = np.full(len(owner), -1, dtype=np.int64)
    inner = np.flatnonzero(found.column >= 0)
    answer[inner] = _by_code(atlas, owner[inner], found, inner)
    lost = inner[answer[inner] < 0]
    if len(lost) and atlas.is_complete and not atlas.is_selection:
        answer[lost] = _by_place(atlas, owner[lost], found, lost)
    return answer


def _by_code(atlas: Atlas, owner: np.ndarray, found: Facets, at: np.ndarray) -> np.ndarray:
    region = match_codes(atlas._code_table[0], found.beyond[at])
    first_row, count = atlas._code_table[1], atlas._code_table[2]
    row = np.where(region >= 0, first_row[region], -1)
    if atlas.cells.first is None:
        return row
    hit = np.flatnonzero(region >= 0)
    key = _keys_behind(atlas, owner[hit], row[hit], found, at[hit])
    answer = np.full(len(at), -1, dtype=np.int64)
    for offset in range(int(count.max(initial=0))):      # as many turns as the most-split region has pieces
        candidate = row[hit] + offset
        fits = (offset < count[region[hit]]) & (atlas._pair[np.minimum(candidate, len(atlas) - 1)] == key)
        answer[hit[fits]] = candidate[fits]
    return answer


def _keys_behind(atlas: Atlas, owner: np.ndarray, row: np.ndarray, found: Facets, at: np.ndarray) -> np.ndarray:
    """(first, second) as one number (`locate.pair_key`) just behind facets, by the maps of the region that lies there."""
    key = np.empty(len(at), dtype=np.int64)
    c, k = atlas.network.n_outputs, atlas.domain.dim
    step = max(1, BATCH_BYTES // (8 * c * (k + 4)))
    lower, upper = atlas.domain.bounds
    for start in range(0, len(at), step):
        part = slice(start, start + step)
        p, n, C = found.inner[at[part]], found.A[at[part]], atlas.coef_u[row[part]]
        y = np.einsum("fck,fk->fc", C, p) + atlas.intercept_u[row[part]]
        rate = np.einsum("fck,fk->fc", C, n)
        width = TIE * np.linalg.norm(C * ((upper - lower) / 2), axis=2) + atlas._floors[-1]
        key[part] = _decide(atlas, y, rate, width)
    thin = np.flatnonzero(np.isnan(found.inner[at]).any(axis=1))
    key[thin] = _flipped(atlas, owner[thin], found, at[thin])
    return key


def _decide(atlas: Atlas, y: np.ndarray, rate: np.ndarray, width: np.ndarray) -> np.ndarray:
    """The decision for outputs y + 0 rate, values nearer than `width` being equal."""
    net, has_second = atlas.network, atlas.cells.second is not None
    if net.is_multilabel or net.n_outputs == 1:
        gap = y - logit(atlas.threshold)
        above = (gap > width) | ((gap >= -width) & (rate > 0))
        first = (above.astype(np.int64) << np.arange(y.shape[1])).sum(axis=1)
        return first * (1 << 31) + (1 - first if has_second else 0)
    first = _winner(y, rate, width)
    if not has_second:
        return first * (1 << 31)
    rest = y.copy()
    rest[np.arange(len(y)), first] = -np.inf
    return first * (1 << 31) + _winner(rest, rate, width)


def _winner(y: np.ndarray, rate: np.ndarray, width: np.ndarray) -> np.ndarray:
    """(n,) the largest; of those that tie the one that grows fastest, of those the first."""
    if not len(y):
        return np.zeros(0, dtype=np.int64)
    n = np.arange(len(y))
    top = y.argmax(axis=1)
    ties = y >= (y[n, top] - width[n, top])[:, None] - width
    growth = np.where(ties, rate, -np.inf)
    fastest = growth.max(axis=1)
    room = RATE * np.abs(np.where(ties, rate, 0.0)).max(axis=1)
    return (growth >= (fastest - room)[:, None]).argmax(axis=1)


def _flipped(atlas: Atlas, owner: np.ndarray, found: Facets, at: np.ndarray) -> np.ndarray:
    """The decision behind facets too thin to hold a point: the owner's, or on a border of classes the other one."""
    keys = atlas._pair[owner].copy()
    for i in np.flatnonzero(found.column[at] == atlas.chain.n_columns):
        first, second = int(keys[i] >> 31), int(keys[i] & ((1 << 31) - 1)) if atlas.cells.second is not None else None
        first, second = _other(atlas, first, second, int(found.low[at[i]]), int(found.high[at[i]]))
        keys[i] = first * (1 << 31) + (second or 0)
    return keys


def _other(atlas: Atlas, first: int, second: int | None, low: int, high: int) -> tuple[int, int | None]:
    """(first, second) on the other side of a border between the outputs low and high."""
    if atlas.network.is_multilabel:
        return first ^ (1 << low), None
    if atlas.network.n_outputs == 1:
        return 1 - first, None if second is None else 1 - second
    swap = {low: high, high: low}
    if first in swap:
        return swap[first], first if second == swap[first] else second
    return first, swap.get(second, second) if second is not None else None


def _by_place(atlas: Atlas, owner: np.ndarray, found: Facets, at: np.ndarray) -> np.ndarray:
    """Where points a little behind the facets lie, farther and farther until it is another row than the facet's own."""
    from .locate import locate_u

    lower, upper = atlas.domain.bounds
    answer = np.full(len(at), -1, dtype=np.int64)
    for distance in (1e-8, 1e-6):
        open_ = np.flatnonzero((answer < 0) & ~np.isnan(found.inner[at]).any(axis=1))
        if not len(open_):
            break
        size = 1.0 / np.maximum(np.linalg.norm(found.A[at[open_]] / (upper - lower), axis=1), 1e-300)
        row = locate_u(atlas, found.inner[at[open_]] + (distance * size)[:, None] * found.A[at[open_]])
        answer[open_] = np.where(row == owner[open_], -1, row)
    return answer


def find_walls(atlas: Atlas) -> Adjacency:
    """All pairs of rows that share a facet, once each; regions and pieces meet facet to facet."""
    from .neighbours import Adjacency

    parts, outer, unknown = [], [], 0
    for start in range(0, len(atlas), ROWS_AT_ONCE):
        rows = np.arange(start, min(start + ROWS_AT_ONCE, len(atlas)))
        found = facets_of(atlas, rows, beyond=True)
        owner, other = np.repeat(rows, np.diff(found.ptr)), behind(atlas, rows, found)
        outer.append(np.unique(owner[other < 0]))
        unknown += int(((other < 0) & (found.column >= 0)).sum())
        parts.append(_told_once(owner, other, found, parts, len(atlas)))
    low, high, flipped, normal, point, made = (np.concatenate(column) for column in zip(*parts, strict=True))
    # a pair that is still told by both sides: the one that has a point inside is kept
    order = np.lexsort((np.isnan(point).any(axis=1), high, low))
    new = np.ones(len(order), dtype=bool)
    new[1:] = (low[order][1:] != low[order][:-1]) | (high[order][1:] != high[order][:-1])
    kept = order[new]
    nothing = np.full(len(kept), -1, dtype=np.int64)
    return Adjacency(low[kept], high[kept], nothing, nothing, None, np.full(len(kept), np.nan), nothing,
                     normal=np.where(flipped[kept], -1.0, 1.0)[:, None] * normal[kept], point=point[kept], made_by=made[kept],
                     outer=np.concatenate(outer), unknown=unknown)


def _told_once(owner: np.ndarray, other: np.ndarray, found: Facets, parts: list[tuple], K: int) -> tuple:
    """(smaller row, larger row, told by the larger, normal from the teller, point, made by) of pairs with known rows.

    Both sides tell of most pairs; the smaller row comes first, so what the larger one tells again is left out at once.
    """
    told_by_smaller = np.flatnonzero(other > owner)
    clear = told_by_smaller[~np.isnan(found.inner[told_by_smaller]).any(axis=1)]
    seen = [owner[clear] * K + other[clear]] + [p[0] * K + p[1] for p in parts]
    again = np.flatnonzero((other >= 0) & (other < owner))
    again = again[~np.isin(other[again] * K + owner[again], np.concatenate(seen))]
    at = np.concatenate([told_by_smaller, again])
    made = np.column_stack([found.column, found.low, found.high])[at].astype(np.int64)
    return np.minimum(owner, other)[at], np.maximum(owner, other)[at], other[at] < owner[at], found.A[at], found.inner[at], made
