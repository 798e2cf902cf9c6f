"""All linear regions over a polytope of a few dimensions, by cells with vertices (SPEC 3, vertex)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .. import _core
from ..chain.chain import Chain
from ..errors import DomainError, Interrupted
from ..geometry.halfspaces import bounding_box
from ..tolerance import CHECK_AREA, GEOMETRIC, ROUNDING_FACTOR
from .budgets import Progress, native_budgets
from .native import native_chain
from .planar import _TICK, Frame, corners_of, watched_rows
from .split import Split, split_mode
from .table import Facets, Table

MAX_DIM = 10
"""Dimensions of u that the vertex engine takes. A cell has about 2^k vertices: from 6 on `enumerate_search` is faster."""

_MARGIN = 1e-6                    # a bounding box made by linear programming is this much too large, relative to its sides


def enumerate_vertex(chain: Chain, G: np.ndarray, h: np.ndarray, *, floors: Sequence[np.ndarray], split: Split = None,
                     max_regions: int | None = None, max_seconds: float | None = None, max_bytes: int | None = None,
                     threads: int | None = None, progress: Callable[[Progress], object] | None = None, volumes: bool = True,
                     facets: bool = False, vertices: bool = False, maps: bool = True, frame: Frame = None,
                     watched: np.ndarray | None = None) -> Table:
    """Every linear region of `chain` (of k <= 10 inputs) over the polytope { u : G u <= h }.

    Needs     a bounded polytope with an interior; floors: for each stage, then for the outputs, an a-priori bound of the
              rounding error of each row over it. split: None, "argmax", "top2" or ("labels", thresholds). volumes, facets,
              vertices, maps: which columns are made. frame: what tolerances are relative to, where the polytope is part of a
              larger domain (then without facets). watched: as for `enumerate_planar`.
    Gives     Table, sorted by code; the same for any number of threads, also when max_regions or max_bytes stops it. The codes
              are those of the planar engine: a unit that is constant at a breakpoint over a cell within the rounding floor
              takes the lower piece, winners that are equal over a cell go to the first. Points are means of vertices.
    Sound     cells are divided, never dropped; what is thinner than the tolerance is left in its sibling and counted. Where cuts go
              through vertices (and wherever volumes are asked for) the volumes are added up, and if they are not the domain's, it
              is done again with all cuts moved off all vertices, by less than the tolerance.
    Complete  yes for every region thicker than GEOMETRIC (relative to the bounding box mapped to [-1, 1]^k, times its
              diameter); budgets leave a rest.
    Source    cells by vertices and incidence (double description, Motzkin et al. 1953), layer by layer; volumes by
              cones from a vertex (Cohen & Hickey 1979).
    """
    def go(snaps: bool, volumes: bool) -> dict:
        run = _prepare(chain, G, h, floors, split, max_regions, max_seconds, max_bytes, threads, maps, volumes, facets, vertices, snaps,
                       frame, watched)
        return _run(run, progress)

    columns = go(True, volumes)
    if columns["complete"] and (columns["met_vertices"] or (volumes and _missing(columns) > CHECK_AREA * columns["domain_volume"])):
        columns = _proved(columns if volumes else go(True, True), go)
        if not volumes:
            columns["volume"] = None
    return _table(columns)


def _run(run, progress) -> dict:
    try:
        run.start()
        while not run.wait(_TICK):
            if progress is not None:
                progress(Progress(*run.status()))
    except KeyboardInterrupt:
        run.cancel()
        raise Interrupted(_table(_result(run))) from None
    except BaseException:
        run.cancel()
        raise
    return _result(run)


def _result(run) -> dict:
    return {**run.result(), "share": run.status()[1]}


def _proved(columns: dict, go: Callable[[bool, bool], dict]) -> dict:
    """The columns, if their volumes add up to the domain's; else those of cells that touch no hyperplane in a vertex.

    Cells with vertices on more facets than needed can go wrong where other hyperplanes pass at some 1e-13 from those vertices.
    Moving hyperplanes off all vertices cannot, but makes facets of the size of the tolerance. What still does not add up is
    counted as unresolved.
    """
    missing = _missing(columns)
    if columns["complete"] and missing > CHECK_AREA * columns["domain_volume"]:
        again = go(False, True)
        if not again["complete"] or _missing(again) < missing:
            columns, missing = again, _missing(again)
        if columns["complete"] and missing > CHECK_AREA * columns["domain_volume"]:
            columns["unresolved"] += 1
            columns["unresolved_volume"] += missing
    return columns


def _missing(columns: dict) -> float:
    return abs(float(columns["volume"].sum()) - columns["domain_volume"])


def _prepare(chain, G, h, floors, split, max_regions, max_seconds, max_bytes, threads, maps, volumes, facets, vertices, snaps, frame,
             watched):
    G, h = _constraints(chain, G, h)
    mode, thresholds = split_mode(chain, split)
    floors = [np.ascontiguousarray(e, dtype=np.float64) for e in floors]
    budgets = native_budgets(max_regions, max_seconds, max_bytes, threads)
    try:
        return _core.vertex_run(native_chain(chain), *_start_box(G, h, frame), corners_of(frame), floors, ROUNDING_FACTOR, GEOMETRIC,
                                mode, thresholds, maps, volumes, facets, vertices, snaps, watched_rows(watched), *budgets)
    except ValueError as error:
        raise DomainError(str(error)) from None


def _constraints(chain: Chain, G, h) -> tuple[np.ndarray, np.ndarray]:
    G, h = np.ascontiguousarray(G, dtype=np.float64), np.ascontiguousarray(h, dtype=np.float64)
    k = chain.n_inputs
    if G.ndim != 2 or G.shape[1] != k or h.shape != (len(G),) or not 1 <= k <= MAX_DIM:
        raise DomainError(f"a chain of {k} inputs over G of shape {G.shape}, h of shape {h.shape}: the vertex engine takes 1 to "
                          f"{MAX_DIM} inputs, G (rows, inputs) and h (rows,)")
    if np.isnan(h).any() or not np.isfinite(G).all() or np.isneginf(h).any():
        raise DomainError("G must be finite, and h no NaN or -inf")
    return G, h


def _start_box(G: np.ndarray, h: np.ndarray, frame: Frame = None):
    """(lower, upper, names of the box's faces, G, h, numbers): a box, and the rows by which it is still to be cut.

    Where rows of one entry make the box, its faces are named after them and they cut no more.
    """
    if frame is not None:
        return _framed_box(G, h, frame)
    lower, upper = bounding_box(G, h)
    k = len(lower)
    names = np.zeros(2 * k, dtype=np.int64)
    single = (G != 0).sum(axis=1) == 1
    for r in np.flatnonzero(single & np.isfinite(h)):
        j = int(np.flatnonzero(G[r])[0])
        face, end = (j, upper[j]) if G[r, j] > 0 else (k + j, lower[j])
        if names[face] == 0 and h[r] / G[r, j] == end:
            names[face] = -1 - r
    if (names < 0).all():
        cutting = np.flatnonzero(np.isfinite(h) & ((G != 0).sum(axis=1) > 1))
    else:
        margin = _MARGIN * (upper - lower)
        lower, upper = lower - margin, upper + margin
        cutting = np.flatnonzero(np.isfinite(h) & (G != 0).any(axis=1))
        names[:] = np.iinfo(np.int32).min       # cut off, all of them
    return (np.ascontiguousarray(lower), np.ascontiguousarray(upper), names, np.ascontiguousarray(G[cutting]),
            np.ascontiguousarray(h[cutting]), cutting.astype(np.int64))


def _framed_box(G: np.ndarray, h: np.ndarray, frame):
    """The same from the box of a larger domain: all rows cut, but those that are faces of that box; no face has a name."""
    lower, upper = (np.ascontiguousarray(f, dtype=np.float64) for f in frame)
    k = len(lower)
    cutting = np.flatnonzero(np.isfinite(h) & (G != 0).any(axis=1))
    single = (G[cutting] != 0).sum(axis=1) == 1
    j = (G[cutting] != 0).argmax(axis=1)
    g = G[cutting, j]
    is_face = single & (h[cutting] / g == np.where(g > 0, upper[j], lower[j]))
    faces = set(zip(j[is_face].tolist(), (g[is_face] > 0).tolist(), strict=True))
    if len(faces) == 2 * k:
        cutting = cutting[~is_face]
    else:
        margin = _MARGIN * (upper - lower)
        lower, upper = lower - margin, upper + margin
    names = np.full(2 * k, np.iinfo(np.int32).min, dtype=np.int64)
    return lower, upper, names, np.ascontiguousarray(G[cutting]), np.ascontiguousarray(h[cutting]), cutting.astype(np.int64)


def _table(columns: dict) -> Table:
    share, _ = columns.pop("share"), columns.pop("met_vertices")
    rest, whole = len(columns["rest_ptr"]) - 1, columns["domain_volume"]
    explored = columns["volume"].sum() / whole if columns["volume"] is not None and whole > 0 else share
    columns["rest_cells"] = rest
    columns["rest_share"] = float(np.clip(1 - explored, 0, 1)) if rest else 0.0
    columns["facets"] = _facets(columns)
    return Table(**columns)


def _facets(columns: dict) -> Facets | None:
    ptr, seam, side, A, b, seams = (columns.pop(name) for name in ("facet_ptr", "facet_seam", "facet_side", "facet_A", "facet_b", "seams"))
    if ptr is None:
        return None
    inner = seam >= 0
    at = np.where(inner, seam, 0)
    behind = seams[at] if len(seams) else np.zeros((len(seam), 3), dtype=np.int32)
    column, low, high = (np.where(inner, behind[:, c], outer).astype(np.int32) for c, outer in ((0, seam), (1, 0), (2, 0)))
    return Facets(ptr=ptr, A=A, b=b, column=column, low=low, high=high, side=side, seam=seam)
