"""All linear regions over a polytope of any dimension, by cells of halfspaces (SPEC 3, search)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .. import _core
from ..chain.chain import Chain
from ..chain.deviation import thickness
from ..chain.intervals import UNIT, outer_intervals
from ..errors import DomainError, Interrupted
from ..geometry.halfspaces import roomy_box
from ..tolerance import GEOMETRIC, ROUNDING_FACTOR
from .budgets import Progress, native_budgets, thread_count
from .native import native_chain
from .planar import _TICK, Frame, watched_rows
from .split import Split, split_mode
from .table import Facets, Table

MAX_DIM = 64
"""Dimensions of u that the search engine takes."""


def enumerate_search(chain: Chain, G: np.ndarray, h: np.ndarray, *, floors: Sequence[np.ndarray], split: Split = None,
                     max_regions: int | None = None, max_seconds: float | None = None, max_bytes: int | None = None,
                     threads: int | None = None, progress: Callable[[Progress], object] | None = None, count_only: bool = False,
                     maps: bool = True, frame: Frame = None, start: np.ndarray | None = None,
                     watched: np.ndarray | None = None) -> Table:
    """Every linear region of `chain` (of k <= 64 inputs) over the polytope { u : G u <= h }.

    Needs     a bounded polytope with an interior; floors: for each stage, then for the outputs, an a-priori bound of the
              rounding error of each row over it (`chain.rounding_floors`). split: None, "argmax", "top2" or
              ("labels", thresholds). maps=False leaves coef and intercept out, count_only=True all rows (constant memory).
              frame: what tolerances are relative to, where the polytope is part of a larger domain; start: a point inside it.
              watched: as for `enumerate_planar`.
    Gives     Table, sorted by code; the same for any number of threads, also when max_regions or max_bytes stops it. The codes
              are those of the planar engine: a unit that is constant at a breakpoint over a cell within the rounding floor
              takes the lower piece, winners that are equal over a cell go to the first.
    Sound     cells are cut along computed hyperplanes and never dropped; what is thinner than the tolerance is left in its
              sibling and counted.
    Complete  yes for every region thicker than GEOMETRIC (relative to the bounding box mapped to [-1, 1]^k, times its
              diameter); budgets leave a rest, which is counted.
    Source    design/search.md: a unit crosses a cell if a vertex lies beyond the tolerance on either side, found by a simplex that
              starts from the best vertex known and stops at the first that serves.
    """
    run = _prepare(chain, G, h, floors, split, max_regions, max_seconds, max_bytes, threads, count_only, maps, frame, start,
                   watched=watched)
    return Table(**finish(run, progress))


def cut_rows(chain: Chain, G: np.ndarray, h: np.ndarray, *, floors: Sequence[np.ndarray], max_regions: int | None = None,
             frame: Frame = None, start: np.ndarray | None = None) -> tuple[Table, np.ndarray, np.ndarray]:
    """The regions of `chain` as `enumerate_search` finds them, with the halfspaces by which each was cut out of the polytope.

    Gives     (Table without maps, ptr (K + 1,), rows (R, k + 1)): region i is the part of the polytope with A u <= b for the
              rows [A | b] from ptr[i] to ptr[i + 1], in the order of the cuts. Some may be redundant.
    """
    found = finish(_prepare(chain, G, h, floors, None, max_regions, None, None, 1, False, False, frame, start, cuts=True), None)
    span, rows = found.pop("cut_span"), found.pop("cuts")
    ptr = np.concatenate([[0], np.cumsum(span[:, 1])]).astype(np.int64)
    at = np.repeat(span[:, 0] - ptr[:-1], span[:, 1]) + np.arange(ptr[-1])
    return Table(**found), ptr, rows[at]


def finish(run, progress: Callable[[Progress], object] | None) -> dict:
    """Run to the end, looking at signals: the columns."""
    try:
        run.start()
        while not run.wait(_TICK):
            if progress is not None:
                progress(Progress(*run.status()))
    except KeyboardInterrupt:
        run.cancel()
        raise Interrupted(Table(**{k: v for k, v in run.result().items() if k not in ("cut_span", "cuts")})) from None
    except BaseException:
        run.cancel()
        raise
    return run.result()


def facets(chain: Chain, G: np.ndarray, h: np.ndarray, regions: Table | tuple[np.ndarray, np.ndarray], rows=None, *,
           floors: Sequence[np.ndarray], split: Split = None, neighbours: bool = False, threads: int | None = None) -> Facets:
    """The minimal halfspaces of regions of `chain` over { u : G u <= h }, with the unit behind each.

    Needs     regions: a Table, or (packed codes (K, words), points (K, k) inside each); rows: which of them (indices, a mask),
              None for all. split: as the Table was made with.
    Gives     Facets; with neighbours=True the code behind each facet too.
    Sound     a row is left out if the region grows by less than 1e-9 without it (in the box [-1, 1]^k, along its normal).
    Source    what a ray from the inner point meets first, and alone, has a facet; so have the d rows tight at a simple vertex;
              the other rows are maximised over the region (Fukuda 2016, redundancy removal), beginning at the last vertex.
              The neighbour's code: values at a point inside the facet decide, and where they lie at a breakpoint the rates
              along the normal do, stage by stage.
    """
    problem, columns, threads = _asked(chain, G, h, regions, rows, floors, split, threads)
    found = problem.facets(*columns, neighbours, threads)
    counts = found.pop("counts")
    return Facets(ptr=np.concatenate([[0], np.cumsum(counts)]), **found)


def chebyshev(chain: Chain, G: np.ndarray, h: np.ndarray, regions: Table | tuple[np.ndarray, np.ndarray], rows=None, *,
              floors: Sequence[np.ndarray], split: Split = None, threads: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Centres (K, k) and radii (K,) of the largest balls in regions, in u; arguments as for `facets`."""
    problem, columns, threads = _asked(chain, G, h, regions, rows, floors, split, threads)
    return problem.centres(*columns, threads)


def support(chain: Chain, G: np.ndarray, h: np.ndarray, regions: Table | tuple[np.ndarray, np.ndarray], directions: np.ndarray,
            rows=None, *, floors: Sequence[np.ndarray], extra: tuple[np.ndarray, np.ndarray] | None = None, relaxed: bool = False,
            slivers: bool = True, threads: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The largest directions[k] . u over each region, cut by further rows of its own.

    Needs     regions, rows: as for `facets`. directions (K, k). extra: (A (K, m, k), b (K, m)) with A u <= b, or None. relaxed:
              the halfspaces of units are moved outwards by twice the tolerance that the search engine decides signs by, so that
              each region holds all of its cells, merged slivers too; slivers=False: less, where there are none.
    Gives     bounds (K,): nothing in the region is larger, -inf where the further rows leave nothing; values (K,) that are
              attained at the points (K, k), nan where none was found.
    Sound     bounds come from multipliers (weak duality), rounding included: they hold whatever the simplex did.
    """
    problem, columns, threads = _asked(chain, G, h, regions, rows, floors, None, threads)
    codes, points = columns[:2]
    lower, upper = roomy_box(*_constraints(chain, G, h))
    centre, half = (lower + upper) / 2, (upper - lower) / 2
    directions = np.asarray(directions, dtype=np.float64).reshape(points.shape)
    A, b = (np.zeros((len(codes), 0, len(half))), np.zeros((len(codes), 0))) if extra is None else extra
    size = np.abs(A) @ (np.abs(centre) + half) + np.abs(b)               # what u = centre + half v may round off
    moved = b - A @ centre + (8 + len(half)) * UNIT * size
    geometric = thickness(len(half), slivers) if relaxed else -1.0
    bounds, values, best = problem.support(codes, points, *(np.ascontiguousarray(v, dtype=np.float64) for v in (
        directions * half, (A * half).reshape(len(codes), -1), moved)), geometric, threads)
    offset = directions @ centre
    slack = (8 + len(half)) * UNIT * (np.abs(directions) @ (np.abs(centre) + half))
    return bounds + offset + slack, values + offset, centre + best * half


def _asked(chain, G, h, regions, rows, floors, split, threads):
    """The domain as the core takes it, the regions' columns, and the number of threads."""
    G, h = _constraints(chain, G, h)
    lower, upper = roomy_box(G, h)
    mode, thresholds = split_mode(chain, split)
    floors = [np.ascontiguousarray(e, dtype=np.float64) for e in floors]
    problem = _core.facet_problem(native_chain(chain), (lower + upper) / 2, (upper - lower) / 2, G, h, floors, ROUNDING_FACTOR, mode,
                                  thresholds)
    if isinstance(regions, Table):
        columns = [regions.codes, regions.points, regions.first, regions.second]
    else:
        columns = [np.atleast_2d(regions[0]), np.atleast_2d(regions[1]), None, None]
    kinds = (np.uint64, np.float64, np.int32, np.int32)
    take = (lambda column: column) if rows is None else (lambda column: column[rows])
    columns = [np.zeros(0, kind) if column is None else np.ascontiguousarray(take(column), dtype=kind)
               for column, kind in zip(columns, kinds, strict=True)]
    return problem, columns, thread_count(threads)


def _prepare(chain, G, h, floors, split, max_regions, max_seconds, max_bytes, threads, count_only, maps, frame=None, start=None,
             cuts=False, watched=None):
    G, h = _constraints(chain, G, h)
    mode, thresholds = split_mode(chain, split)
    floors = [np.ascontiguousarray(e, dtype=np.float64) for e in floors]
    lower, upper = roomy_box(G, h) if frame is None else frame
    start = np.zeros(0) if start is None else np.ascontiguousarray(start, dtype=np.float64)
    bounds = outer_intervals(chain, lower, upper)
    budgets = native_budgets(max_regions, max_seconds, max_bytes, threads)
    try:
        return _core.search_run(native_chain(chain), (lower + upper) / 2, (upper - lower) / 2, G, h, floors,
                                [np.ascontiguousarray(b[0]) for b in bounds], [np.ascontiguousarray(b[1]) for b in bounds],
                                ROUNDING_FACTOR, GEOMETRIC, mode, thresholds, maps, not count_only, cuts, start, watched_rows(watched),
                                *budgets)
    except ValueError as error:
        raise DomainError(str(error)) from None


def _constraints(chain: Chain, G, h) -> tuple[np.ndarray, np.ndarray]:
    """G u <= h as the core takes them: finite, rows with h = inf left out."""
    G, h = np.ascontiguousarray(G, dtype=np.float64), np.ascontiguousarray(h, dtype=np.float64)
    k = chain.n_inputs
    if G.ndim != 2 or G.shape[1] != k or h.shape != (len(G),) or not 1 <= k <= MAX_DIM:
        raise DomainError(f"a chain of {k} inputs over G of shape {G.shape}, h of shape {h.shape}: the search engine takes 1 to "
                          f"{MAX_DIM} inputs, G (rows, inputs) and h (rows,)")
    if np.isnan(h).any() or not np.isfinite(G).all() or np.isneginf(h).any():
        raise DomainError("G must be finite, and h no NaN or -inf")
    keep = np.isfinite(h)
    return (G, h) if keep.all() else (np.ascontiguousarray(G[keep]), np.ascontiguousarray(h[keep]))
