"""All linear regions over a convex polygon in the plane, by cells with vertices (SPEC 3, planar)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .. import _core
from ..chain.chain import Chain
from ..errors import DomainError, Interrupted
from ..tolerance import GEOMETRIC, ROUNDING_FACTOR
from .budgets import Progress as Progress
from .budgets import native_budgets
from .native import native_chain
from .split import Split, split_mode

_TICK = 0.1                       # seconds between two looks at signals and at `progress`

Frame = tuple[np.ndarray, np.ndarray] | None
"""Lower and upper corner of the box that engines take for [-1, 1]^k; None: the bounding box of the domain."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Regions over a polygon, in columns; row k is the convex polygon vertices[vertex_ptr[k]:vertex_ptr[k + 1]].

    Rows are sorted by code, then first, then second. Split by outputs, rows are pieces: codes repeat, coef is the region's.

    codes: (K, words) uint64, packed (codes.py). vertex_ptr: (K + 1,). vertices: (V, 2) in u, counter-clockwise.
    edge_seam: (V,) int32, of the edge from each vertex to the next of its row: a seam, or -1 - f on face f of the polygon.
    seams: (S, 3) int32. Every cut of a cell is one seam, and the edges on both of its sides partition the same segment.
        (code column, piece on the lower side, on the upper). A split by outputs has column = n_columns and the two winners;
        one by several labels that label twice.
    coef: (K, c, 2), intercept: (K, c), so that y = coef u + intercept. area: (K,).
    first, second: (K,) int32 where asked for; with labels, bit j of `first` says that y_j is above its threshold.
    unresolved: decisions against a vertex that lay beyond the rounding floor, but within the tolerance: a sliver was left in its
        neighbour. unresolved_area: an upper bound of the area of all such slivers.
    ties: pieces on which another output equals the winner (or a label its threshold) throughout.
    complete: everything was explored; else `reason` names the budget, and rest_ptr, rest_vertices hold polygons of the rest.
    errors: for each stage, then the outputs, (rows,): the largest bound of the rounding error of a row on any cell that was met, where
        `watched` asked for it (`chain.confirmed`).
    """

    codes: np.ndarray
    vertex_ptr: np.ndarray
    vertices: np.ndarray
    edge_seam: np.ndarray
    seams: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    area: np.ndarray
    first: np.ndarray | None
    second: np.ndarray | None
    unresolved: int
    unresolved_area: float
    ties: int
    complete: bool
    reason: str
    rest_ptr: np.ndarray
    rest_vertices: np.ndarray
    errors: tuple[np.ndarray, ...] | None = None

    def __len__(self) -> int:
        return len(self.area)

    @property
    def n_regions(self) -> int:
        """Rows: regions, or pieces of them where they are split by outputs."""
        return len(self.area)

    def with_second(self, second: np.ndarray) -> Cells:
        """The same rows with this runner-up."""
        return replace(self, second=np.ascontiguousarray(second, dtype=np.int32))


def enumerate_planar(chain: Chain, polygon: np.ndarray, *, floors: Sequence[np.ndarray], split: Split = None,
                     max_regions: int | None = None, max_seconds: float | None = None, max_bytes: int | None = None,
                     threads: int | None = None, progress: Callable[[Progress], object] | None = None, frame: Frame = None,
                     watched: np.ndarray | None = None) -> Cells:
    """Every linear region of `chain` (of 2 inputs) over a convex polygon.

    Needs     polygon (nv, 2), counter-clockwise; floors: for each stage, then for the outputs, an a-priori bound of the rounding
              error of each row over the polygon. split: None, "argmax", "top2" or ("labels", thresholds). frame: what tolerances
              are relative to, where the polygon is part of a larger domain. watched: a bound of the rounding error of each row of the
              first layer: then `errors` are found.
    Gives     Cells. A unit that is constant at a breakpoint over a cell within the rounding floor takes the lower piece, winners
              that are equal over a cell go to the first.
    Sound     areas partition the polygon; what is thinner than the tolerance is merged into its sibling and counted.
    Complete  yes for every region thicker than GEOMETRIC (relative to the polygon mapped to [-1, 1]^2); budgets leave a rest.
    Source    cells by vertices, layer by layer (design/SPEC.md 3).
    """
    run = _prepare(chain, polygon, floors, split, max_regions, max_seconds, max_bytes, threads, frame, watched)
    try:
        run.start()
        while not run.wait(_TICK):
            if progress is not None:
                progress(Progress(*run.status()))
    except KeyboardInterrupt:
        run.cancel()
        raise Interrupted(_cells(run)) from None
    except BaseException:
        run.cancel()
        raise
    return _cells(run)


def _prepare(chain, polygon, floors, split, max_regions, max_seconds, max_bytes, threads, frame, watched):
    polygon = np.ascontiguousarray(polygon, dtype=np.float64)
    if chain.n_inputs != 2 or polygon.ndim != 2 or polygon.shape[1] != 2 or len(polygon) < 3 or not np.isfinite(polygon).all():
        raise DomainError(f"a chain of {chain.n_inputs} inputs over a polygon of shape {polygon.shape}: the planar engine takes "
                          "2 inputs and (nv, 2) finite vertices, nv >= 3")
    mode, thresholds = split_mode(chain, split)
    floors = [np.ascontiguousarray(e, dtype=np.float64) for e in floors]
    budgets = native_budgets(max_regions, max_seconds, max_bytes, threads)
    try:
        return _core.planar_run(native_chain(chain), polygon, corners_of(frame), floors, ROUNDING_FACTOR, GEOMETRIC, mode, thresholds,
                                watched_rows(watched), *budgets)
    except ValueError as error:
        raise DomainError(str(error)) from None


def corners_of(frame: Frame) -> np.ndarray:
    """A frame as the core takes it."""
    return np.zeros(0) if frame is None else np.ascontiguousarray(np.concatenate(frame), dtype=np.float64)


def watched_rows(watched: np.ndarray | None) -> np.ndarray:
    """Likewise."""
    return np.zeros(0) if watched is None else np.ascontiguousarray(watched, dtype=np.float64)


def _cells(run) -> Cells:
    return Cells(**run.result())
