"""Which regions touch, along what: in the plane the two sides of every seam, merged; elsewhere by codes (walls.py)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..regions import Cells
from ..tolerance import ON_FACE

if TYPE_CHECKING:
    import pandas as pd

    from .atlas import Atlas


@dataclass(frozen=True, eq=False)
class Adjacency:
    """Every pair of rows that share a facet. left, right: (P,) rows; normal: (P, k) of unit length, from left to right; point: (P, k)
    in the facet, in u (NaN where it is too thin to have one inside); made_by: (P, 3) code column, lower piece, upper piece (as in
    `Cells.seams`).

    In the plane, where facets are segments: edge_left, edge_right: (P,) edges (indices into cells.vertices); ends: (P, 2, 2) the
    segment in u; length: (P,) in u; seam: (P,). Elsewhere ends is None, length NaN, edges and seams -1, and outer: the rows
    that have a facet on the domain's border or towards something that the atlas does not have; unknown: how many facets inside the
    domain lead to no row.
    """

    left: np.ndarray
    right: np.ndarray
    edge_left: np.ndarray
    edge_right: np.ndarray
    ends: np.ndarray | None
    length: np.ndarray
    seam: np.ndarray
    normal: np.ndarray
    point: np.ndarray
    made_by: np.ndarray
    outer: np.ndarray | None = None
    unknown: int = 0

    def __len__(self) -> int:
        return len(self.left)

    def take(self, pairs: np.ndarray) -> Adjacency:
        """These pairs only, in this order."""
        per_pair = ("left", "right", "edge_left", "edge_right", "ends", "length", "seam", "normal", "point", "made_by")
        return replace(self, **{name: None if (column := getattr(self, name)) is None else column[pairs] for name in per_pair})

    def turned(self, which: np.ndarray) -> Adjacency:
        """The same pairs, left and right exchanged where `which` (P,) says so."""
        def swapped(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return np.where(which, b, a), np.where(which, a, b)

        (left, right), (edge_left, edge_right) = swapped(self.left, self.right), swapped(self.edge_left, self.edge_right)
        return replace(self, left=left, right=right, edge_left=edge_left, edge_right=edge_right,
                       normal=np.where(which[:, None], -self.normal, self.normal))


def adjacency(atlas: Atlas) -> Adjacency:
    """All pairs of neighbouring rows, once for each shared segment; made once and kept."""
    return atlas._adjacency


def find_adjacency(cells: Cells) -> Adjacency:
    """Pairs of rows on the two sides of each seam.

    Every split of a cell makes one seam, and both sides partition it into edges (with T-junctions where a line ends on it
    from one side only). Laying both partitions on the seam and merging them gives the shared segments, whatever the rounding
    of single vertices.
    """
    edges = np.flatnonzero(cells.edge_seam >= 0)
    if len(edges) == 0:
        return nothing(2)
    v, ptr = cells.vertices, cells.vertex_ptr
    row = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))
    follower = np.arange(len(v)) + 1
    follower[ptr[1:] - 1] = ptr[:-1]
    seam, start, end = cells.edge_seam[edges], v[edges], v[follower[edges]]
    order = np.argsort(seam, kind="stable")
    edges, seam, start, end = edges[order], seam[order], start[order], end[order]
    # a direction and an origin for each seam: its longest edge
    first = np.flatnonzero(np.diff(seam, prepend=-1))
    group = np.cumsum(np.diff(seam, prepend=-1) != 0) - 1
    length = np.hypot(*(end - start).T)
    by_length = np.lexsort((-length, group))
    longest = by_length[first]
    direction = (end - start)[longest] / np.maximum(length[longest], 1e-300)[:, None]
    t0 = np.einsum("ij,ij->i", start - start[longest][group], direction[group])
    t1 = np.einsum("ij,ij->i", end - start[longest][group], direction[group])
    side = (t1 < t0).astype(int)
    low, high = np.minimum(t0, t1), np.maximum(t0, t1)
    # walk along each seam: at every start of an edge, which edge is open on either side?
    events = np.lexsort((low, group))
    open_edge = np.full((2, len(events)), -1)
    for s in (0, 1):
        mine = np.where(side[events] == s, np.arange(len(events)), -1)
        mine = np.maximum.accumulate(mine)
        same_group = (mine >= 0) & (group[events[np.maximum(mine, 0)]] == group[events])
        open_edge[s] = np.where(same_group, events[np.maximum(mine, 0)], -1)
    both = np.flatnonzero((open_edge >= 0).all(axis=0))
    a, b = open_edge[0, both], open_edge[1, both]
    begin, finish = np.maximum(low[a], low[b]), np.minimum(high[a], high[b])
    span = np.ptp(v, axis=0).max(initial=0.0)
    keep = finish - begin > ON_FACE * 1e-2 * span
    a, b, begin, finish = a[keep], b[keep], begin[keep], finish[keep]
    origin, along = start[longest][group[a]], direction[group[a]]
    ends = np.stack([origin + begin[:, None] * along, origin + finish[:, None] * along], axis=1)
    normal = np.column_stack([along[:, 1], -along[:, 0]])      # side 0 runs along its seam, counter-clockwise around its cell
    return Adjacency(row[edges[a]], row[edges[b]], edges[a], edges[b], ends, finish - begin, seam[a], normal, ends.mean(axis=1),
                     cells.seams[seam[a]].astype(np.int64))


def nothing(dim: int) -> Adjacency:
    """No pairs, in so many dimensions."""
    rows, points = np.zeros(0, dtype=np.int64), np.zeros((0, dim))
    return Adjacency(rows, rows, rows, rows, np.zeros((0, 2, 2)) if dim == 2 else None, np.zeros(0), rows, points, points,
                     np.zeros((0, 3), dtype=np.int64))


def neighbours(atlas: Atlas, k: int) -> pd.DataFrame:
    """`Atlas.neighbours`; see there."""
    import pandas as pd

    k = k % len(atlas) if -len(atlas) <= k < len(atlas) else _no_row(atlas, k)
    if not atlas.is_planar:
        from .polytopes import neighbours_by_code

        return neighbours_by_code(atlas, k)
    pairs, ptr = adjacency(atlas), atlas.cells.vertex_ptr
    mine = [(pairs.edge_left[i] - ptr[k], pairs.right[i], pairs.length[i]) for i in np.flatnonzero(pairs.left == k)]
    mine += [(pairs.edge_right[i] - ptr[k], pairs.left[i], pairs.length[i]) for i in np.flatnonzero(pairs.right == k)]
    touched = {int(m[0]) for m in mine}
    v = atlas.cells.vertices[ptr[k]:ptr[k + 1]]
    lengths = np.hypot(*(np.roll(v, -1, axis=0) - v).T)
    mine += [(f, -1, lengths[f]) for f in range(len(v)) if f not in touched]
    labels = facet_labels(atlas, k)
    mine.sort(key=lambda m: (m[0], m[1]))
    return pd.DataFrame({"facet": [int(m[0]) for m in mine], "region": [int(m[1]) for m in mine],
                         "unit": [labels[int(m[0])] for m in mine], "length": [float(m[2]) for m in mine]})


def _no_row(atlas: Atlas, k: int) -> int:
    raise IndexError(f"region {k}: the atlas has {len(atlas)}")


def facet_labels(atlas: Atlas, k: int) -> list[str]:
    """What makes each facet of row k of a planar atlas, in words."""
    cells = atlas.cells
    seams = cells.edge_seam[cells.vertex_ptr[k]:cells.vertex_ptr[k + 1]]
    return [seam_label(atlas, int(s)) for s in seams]


def seam_label(atlas: Atlas, seam: int) -> str:
    """What a seam or a face of the domain is, in words."""
    if seam < 0:
        return face_label(atlas, int(atlas.domain.polygon.faces[-1 - seam]))
    return border_label(atlas, *(int(c) for c in atlas.cells.seams[seam]))


def border_label(atlas: Atlas, column: int, low: int, high: int) -> str:
    """What two pieces or classes meet at: a unit ("relu[5]"), or a change of class ("no | yes")."""
    n = atlas.chain.n_columns
    if column < n:
        node, index = atlas.chain.unit_of(column)
        return f"{node}[{index}]"
    if column > n:
        return "where"
    if atlas.network.is_multilabel:
        return f"label {atlas.network.output_names[low]}"
    if atlas.network.n_outputs == 1:
        low, high = 0, 1
    return f"{atlas.class_label(low)} | {atlas.class_label(high)}"


def face_label(atlas: Atlas, row: int) -> str:
    """A face of the domain by its row among the constraints: "age <= 80"."""
    _, _, what = atlas.domain.constraints
    kind, j = what[row]
    names, box = atlas.network.feature_names, atlas.domain.box
    if kind == "upper":
        return f"{names[j]} <= {box.upper[j]:g}"
    if kind == "lower":
        return f"{names[j]} >= {box.lower[j]:g}"
    return f"constraint {j} of the {kind}"
