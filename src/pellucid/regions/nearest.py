"""Linear regions near a point: the search engine, told to look only at cells within a distance (SPEC 3, nearest-first)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .. import _core
from ..chain.chain import Chain
from ..chain.intervals import outer_intervals
from ..errors import DomainError, Interrupted
from ..geometry.halfspaces import roomy_box
from ..tolerance import GEOMETRIC, ROUNDING_FACTOR
from .budgets import Progress, native_budgets
from .native import native_chain
from .planar import _TICK, watched_rows
from .search import _constraints
from .split import Split, split_mode
from .table import Table


@dataclass(frozen=True, eq=False)
class NearTable:
    """Regions within a distance of a point. table: sorted by code; it is `complete` when nothing within the radius was left.

    distance: (K,) of each region. feet: (K, k) its nearest point, in u. radius: up to where it was looked: the one asked for,
    or what it shrank to when enough had been found. rest_distance: nothing that was left unexplored is nearer (inf: nothing was left).
    """

    table: Table
    distance: np.ndarray
    feet: np.ndarray
    radius: float
    rest_distance: float


def near_regions(chain: Chain, G: np.ndarray, h: np.ndarray, at: np.ndarray, weight: np.ndarray, *, norm: float, radius: float,
                 floors: Sequence[np.ndarray], split: Split = None, keep: int | None = None, avoid: int | None = None,
                 only: int | None = None, watched: np.ndarray | None = None, max_seconds: float | None = None, threads: int | None = None,
                 progress: Callable[[Progress], object] | None = None) -> NearTable:
    """Every linear region of `chain` over { u : G u <= h } whose distance |weight (u - at)|_norm from `at` is at most `radius`.

    Needs     as `enumerate_search`; at: (k,) in the polytope; weight: (k,) > 0; norm: 1, 2 or inf. keep: only that many, the
              nearest, are wanted (there can be more rows). avoid, only: pieces with this `first` are not wanted,
              or no others (then `distance` is that of class `only`). watched: as for `enumerate_planar`.
    Gives     NearTable; the rows up to the radius that it names do not depend on the number of threads.
    Sound     a cell is left out only if the lower bound of its distance, by duality and roundings taken off, is beyond the radius.
    Complete  as `enumerate_search`, for regions within the radius.
    Source    branch and bound on the tree of cells: a cell's nearest point is its parent's unless the cut is between; then
              it is found from there by a dual method (Goldfarb & Idnani 1983 for p = 2, the dual simplex for p = 1, inf). With
              avoid or only, cells whose margins are bounded away from the decision are left out (Zhang et al. 2018, CROWN).
    """
    G, h = _constraints(chain, G, h)
    mode, thresholds = split_mode(chain, split)
    floors = [np.ascontiguousarray(e, dtype=np.float64) for e in floors]
    lower, upper = roomy_box(G, h)
    bounds = outer_intervals(chain, lower, upper)
    _, seconds, _, threads = native_budgets(None, max_seconds, None, threads)
    try:
        run = _core.near_run(native_chain(chain), (lower + upper) / 2, (upper - lower) / 2, G, h, floors,
                             [np.ascontiguousarray(b[0]) for b in bounds], [np.ascontiguousarray(b[1]) for b in bounds],
                             ROUNDING_FACTOR, GEOMETRIC, mode, thresholds, True, np.ascontiguousarray(at, dtype=np.float64),
                             np.ascontiguousarray(weight, dtype=np.float64), "inf" if norm == np.inf else f"{norm:g}", float(radius),
                             keep or 0, -1 if avoid is None else int(avoid),
                             -1 if only is None else int(only), watched_rows(watched), seconds, threads)
    except ValueError as error:
        raise DomainError(str(error)) from None
    try:
        run.start()
        while not run.wait(_TICK):
            if progress is not None:
                progress(Progress(*run.status()))
    except KeyboardInterrupt:
        run.cancel()
        raise Interrupted(_near(run, radius, keep)) from None
    except BaseException:
        run.cancel()
        raise
    return _near(run, radius, keep)


def _near(run, radius: float, keep: int | None) -> NearTable:
    columns = run.result()
    distance, feet, rest = (columns.pop(name) for name in ("distance", "feet", "rest_distance"))
    if keep and len(distance) >= keep:
        radius = min(radius, float(np.partition(distance, keep - 1)[keep - 1]))
    return NearTable(Table(**columns), distance, feet, radius, rest)
