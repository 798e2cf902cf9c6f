"""What the engines for more than two dimensions give: regions over a polytope, in columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Facets:
    """The minimal halfspaces A u <= b of regions: those of row k are A[ptr[k]:ptr[k + 1]], unit normals, outwards.

    ptr: (K + 1,) int64. A: (F, k), b: (F,), in u. column: (F,) int32, the code column whose pieces `low` and `high` meet at the
        facet (for a selection: the two winners), -1 - row on row `row` of G, and n_columns where the regions are split by
        outputs `low` and `high` (several labels: that label twice).
    side: (F,) uint8, vertex engine: 0 where the region is on the side of `low`, 1 on that of `high`.
    seam: (F,) int32, vertex engine: every cut of a cell is a seam, and the facets on its two sides cover the same set; -1 - row
        on a face of the domain.
    beyond: (F, words) uint64, search engine: the code on the other side, where asked for; with it inner: (F, k) a point inside
        each facet, NaN where it is too thin to have one.
    """

    ptr: np.ndarray
    A: np.ndarray
    b: np.ndarray
    column: np.ndarray
    low: np.ndarray
    high: np.ndarray
    side: np.ndarray | None = None
    seam: np.ndarray | None = None
    beyond: np.ndarray | None = None
    inner: np.ndarray | None = None
    programmes: int = 0
    doubtful: int = 0

    def __len__(self) -> int:
        return len(self.b)


@dataclass(frozen=True, eq=False)
class Table:
    """Regions over a polytope { u : G u <= h }, in columns, sorted by code, then first, then second.

    Split by outputs, rows are pieces: codes repeat, coef is the region's.

    codes: (K, words) uint64, packed (codes.py). points: (K, k) a point inside each region, in u.
    coef: (K, c, k), intercept: (K, c), so that y = coef u + intercept; None when maps=False.
    first, second: (K,) int32 where asked for; with labels, bit j of `first` says that y_j is above its threshold.
    n_regions: rows found; with count_only there are no rows, and this is all.
    unresolved: decisions against a vertex that lay beyond the rounding floor, but within the tolerance: a sliver was left in its
        neighbour. ties: pieces on which another output equals the winner (or a label its threshold) throughout.
    complete: everything was explored; else `reason` names the budget, rest_cells counts the cells that were left and rest_share
        says how much that is (of the volume: vertex; of the search tree: search).

    Of the vertex engine, None otherwise or where not asked for:
    volume: (K,), exact, in u. facets: Facets. vertex_ptr: (K + 1,), vertices: (V, k): row k has those from vertex_ptr[k] on.
    rest_ptr, rest_vertices: the unexplored cells, in the same way. domain_volume: of { G u <= h }.
    unresolved_volume: an upper bound of the volume of all slivers.

    Of the search engine:
    clearance: (K,) distance of the point to the nearest halfspace that the search used, a lower bound of its distance to the
        faces. unresolved_thickness: of the thickest sliver, relative to the domain mapped to [-1, 1]^k.
    errors: as in `Cells`.
    programmes, pivots, cells, rescued: linear programmes solved, their pivots, cells opened, programmes that began anew.
    """

    codes: np.ndarray
    points: np.ndarray
    coef: np.ndarray | None
    intercept: np.ndarray | None
    first: np.ndarray | None
    second: np.ndarray | None
    n_regions: int
    unresolved: int
    ties: int
    complete: bool
    reason: str
    rest_cells: int
    rest_share: float
    volume: np.ndarray | None = None
    facets: Facets | None = None
    vertex_ptr: np.ndarray | None = None
    vertices: np.ndarray | None = None
    rest_ptr: np.ndarray | None = None
    rest_vertices: np.ndarray | None = None
    domain_volume: float | None = None
    unresolved_volume: float | None = None
    clearance: np.ndarray | None = None
    unresolved_thickness: float | None = None
    programmes: int = 0
    pivots: int = 0
    cells: int = 0
    rescued: int = 0
    errors: tuple[np.ndarray, ...] | None = None

    def __len__(self) -> int:
        return len(self.points)
