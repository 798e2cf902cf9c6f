"""`linear_regions`: the door to the exact engines."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from ..certificate import Certificate, Status
from ..chain import UNIT, Chain, Rounding, chain_of, confirmed, own_share, rounding
from ..errors import DomainError, Interrupted, NoDecision
from ..geometry import Box, Hull, NamedSlice, Slice, as_slice
from ..graph import Network
from ..graph.network import check_threshold, logit, no_class
from ..regions import Cells, Progress, Table, enumerate_milp, enumerate_planar, enumerate_search, enumerate_vertex, native_budgets
from ..regions.search import MAX_DIM as SEARCH_DIM
from ..regions.vertex import MAX_DIM as VERTEX_DIM
from ..tolerance import GEOMETRIC, SOLVER, SOLVER_SLACK
from .atlas import Atlas, PartialAtlas

MILP_DIM = 10_000
"""Dimensions that enumeration by mixed-integer programming takes: more would not end."""

if TYPE_CHECKING:
    from .stream import StreamedAtlas


@overload
def linear_regions(net: Network, domain: Box | Slice | NamedSlice, *, engine: str = "auto", by: str | None = None,
                   threshold: float = 0.5, max_regions: int | None = None, max_seconds: float | None = None,
                   max_bytes: int | None = None, threads: int | None = None,
                   progress: Callable[[Progress], object] | None = None, to: None = None,
                   client: Any = None) -> Atlas: ...


@overload
def linear_regions(net: Network, domain: Box | Slice | NamedSlice, *, engine: str = "auto", by: str | None = None,
                   threshold: float = 0.5, max_regions: int | None = None, max_seconds: float | None = None,
                   max_bytes: int | None = None, threads: int | None = None,
                   progress: Callable[[Progress], object] | None = None, to: str | Path,
                   client: Any = None) -> StreamedAtlas: ...



def linear_regions(net: Network, domain: Box | Slice | NamedSlice | Hull, *, engine: str = "auto", by: str | None = None,
                   threshold: float = 0.5, max_regions: int | None = None, max_seconds: float | None = None,
                   max_bytes: int | None = None, threads: int | None = None,
                   progress: Callable[[Progress], object] | None = None, to: str | Path | None = None,
                   client: Any = None) -> Atlas | StreamedAtlas:
    """Every linear region of a piecewise linear network over an analysis set, exactly (CEE III, SPEC 2-3).

    domain: a Box, Slice or Hull. engine: "auto" takes "planar" where two coordinates move (polygons, areas, borders), "vertex" for
    three to five (exact volumes) and "search" (halfspace cells, up to 64) elsewhere; the certificate says which. "milp" is the
    method of CEE III-B, slow, to compare with. by: None, "class" (also split by arg max, CEE eq. 5) or "top2" (by first and
    second, eq. 6). threshold: probability from which a single sigmoid output gives its class.
    max_regions, max_seconds, max_bytes: budgets; when one runs out the answer is a PartialAtlas of what was found.
    threads: None = PELLUCID_THREADS or all cores; the answer does not depend on it. progress: called several times a second.
    to: a folder that is made, to which regions are written as they are found; the answer is a StreamedAtlas, which may be larger than
    memory, and whatever ends the run, `pellucid.resume(to)` goes on. max_bytes then is what is held in memory at once.
    client: a dask.distributed Client, on whose workers parts of the domain are done (extra [cluster]); with `to`, a folder that all
    of them can write to.

    Raises DomainError (empty, flat, unbounded, wrong names or size, too many dimensions for the engine), NotPiecewiseLinear,
    NoDecision (split by class of a regression), Interrupted (Ctrl-C; `.partial` is the atlas so far), FileExistsError (`to` is there).
    """
    if not isinstance(net, Network):
        raise TypeError(f"linear_regions takes a Network, got a {type(net).__name__}: load it first with pellucid.load(model)")
    native_budgets(max_regions, max_seconds, max_bytes, threads)      # nonsense is refused before any work
    chain = chain_of(net)
    plane = as_slice(domain, net.feature_names)
    engine = _engine(engine, plane.dim)
    split = split_of(net, by, threshold)
    if to is not None or client is not None:
        from .tasks import in_parts

        return in_parts(net, plane, engine, by, threshold, to=to, client=client, max_regions=max_regions, max_seconds=max_seconds,
                        max_bytes=max_bytes, threads=threads, progress=progress)
    started = time.perf_counter()

    def atlas(cells: Cells | Table) -> Atlas:
        if by == "top2" and net.n_outputs == 1 and cells.first is not None:
            cells = replace(cells, second=np.asarray(1 - cells.first, dtype=np.int32))
        kind = Atlas if cells.complete else PartialAtlas
        sure = confirmed_by(decided, chain, cells, by)
        return kind(net, plane, cells, by, threshold, _certificate(cells, plane, sure, engine, time.perf_counter() - started))

    budgets = {"max_regions": max_regions, "max_seconds": max_seconds, "max_bytes": max_bytes, "threads": threads, "progress": progress}
    chain_u, decided = chain.fold(plane.x0, plane.P), rounding(chain, plane)
    try:
        if engine == "planar":
            cells = enumerate_planar(chain_u, plane.polygon.vertices, floors=decided.floors, watched=decided.watched, split=split,
                                     **budgets)
        elif engine == "milp":
            cells = _by_milp(chain_u, plane, decided, by, budgets)
        else:
            G, h, _ = plane.constraints
            enumerate_cells = enumerate_vertex if engine == "vertex" else enumerate_search
            cells = enumerate_cells(chain_u, G, h, floors=decided.floors, watched=decided.watched, split=split, **budgets)
    except Interrupted as stop:
        raise Interrupted(atlas(stop.partial) if stop.partial is not None else None) from None
    return atlas(cells)


def count_cells(net: Network, domain: Box | Slice | NamedSlice, by: str | None, threshold: float,
                **budgets) -> tuple[Table, Slice, Certificate]:
    """The regions of a domain without rows, in constant memory: (Table, slice, certificate); arguments as `linear_regions`.

    Interrupted holds the same three.
    """
    native_budgets(budgets.get("max_regions"), budgets.get("max_seconds"), None, budgets.get("threads"))
    chain, plane = chain_of(net), as_slice(domain, net.feature_names)
    engine, split = _engine("search", plane.dim), split_of(net, by, threshold)
    started, decided = time.perf_counter(), rounding(chain, plane)
    G, h, _ = plane.constraints

    def answer(table: Table) -> tuple[Table, Slice, Certificate]:
        sure = confirmed_by(decided, chain, table, by)
        return table, plane, _certificate(table, plane, sure, engine, time.perf_counter() - started)

    try:
        return answer(enumerate_search(chain.fold(plane.x0, plane.P), G, h, floors=decided.floors, watched=decided.watched, split=split,
                                       count_only=True, **budgets))
    except Interrupted as stop:
        raise Interrupted(answer(stop.partial)) from None


def confirmed_by(decided: Rounding, chain: Chain, cells: Cells | Table, by: str | None) -> Rounding:
    """What signs were decided against, proved if what the engine found out on the way proves it."""
    outputs = by is not None
    return confirmed(decided, chain, own_share(decided, chain, cells.errors, outputs=outputs), outputs=outputs)


def _by_milp(chain_u, plane: Slice, decided: Rounding, by: str | None, budgets: dict) -> Table:
    if by is not None:
        raise ValueError(f"by='{by}': the milp engine gives whole regions only; take another engine, or by=None")
    G, h, _ = plane.constraints
    taken = {name: budgets[name] for name in ("max_regions", "max_seconds", "progress")}
    return enumerate_milp(chain_u, G, h, floors=decided.floors, **taken)


def _engine(asked: str, dim: int) -> str:
    """The engine for so many dimensions; DomainError where the one asked for does not take them."""
    takes = {"planar": (2, 2), "vertex": (1, VERTEX_DIM), "search": (1, SEARCH_DIM), "milp": (1, MILP_DIM)}
    if asked not in ("auto", *takes):
        raise ValueError(f"engine='{asked}': there are 'auto', {', '.join(map(repr, takes))}")
    engine = ("planar" if dim == 2 else "vertex" if 3 <= dim <= 5 else "search") if asked == "auto" else asked
    least, most = takes[engine]
    if not least <= dim <= most:
        room = f"{most}" if least == most else f"up to {most}"
        raise DomainError(f"{dim} coordinates move in the analysis set; the {engine} engine takes {room}. "
                          "Fix the others with Box.slice(free=(feature, feature), at=x0), or give them lower == upper")
    return engine


def split_of(net: Network, by: str | None, threshold: float):
    """The engine's word for `by`."""
    check_threshold(net, threshold)
    if by is None:
        return None
    if by not in ("class", "top2"):
        raise ValueError(f"by='{by}': there are None, 'class' and 'top2'")
    if net.is_multilabel:
        if by == "top2":
            raise NoDecision(no_class(net))
        if net.n_outputs > 31:
            raise NoDecision(f"{net.n_outputs} labels at once: at most 31 can be split by")
        return "labels", np.full(net.n_outputs, logit(threshold))
    if net.n_classes == 0:
        raise NoDecision(no_class(net))
    if net.n_outputs == 1:
        return "labels", np.array([logit(threshold)])
    return "argmax" if by == "class" else "top2"


def _certificate(cells: Cells | Table, plane: Slice, decided: Rounding, engine: str, seconds: float) -> Certificate:
    """What the engine's answer proves (design/rounding.md)."""
    claim = (f"every linear region thicker than {GEOMETRIC:g} of the domain is present with its right code, but where a unit stays "
             f"within {max(decided.width, UNIT):.1g} of its size from a breakpoint (or a rival) throughout the region, its size being what "
             "it reaches at sampled points, or a thousandth of what its layer does where it is 0 at all of them; thinner rows may be "
             "rounding's")
    figures = {"rows": cells.n_regions, "unresolved": cells.unresolved, "ties": cells.ties, "thickness": GEOMETRIC,
               "rounding": decided.width, "engine": engine, "seconds": seconds} | _sizes(cells, plane)
    if not np.isnan(decided.share):
        figures["rounding share"] = decided.share
    if engine == "milp":
        claim = (f"every linear region in which all units can clear their breakpoints by {SOLVER_SLACK:g} of their ranges is present, "
                 f"to the solver's tolerance of {SOLVER:g}")
    if not cells.complete:
        return Certificate(claim, Status.UNKNOWN, f"PARTIAL: {cells.reason}; {_explored(cells, plane)}", figures)
    slivers = f", up to {cells.unresolved} slivers of at most {_thin(cells)}" if cells.unresolved else ""
    if not decided.is_proved:
        reason = f"complete up to rounding errors, which were estimated: {decided.why()}{slivers}"
        return Certificate(claim, Status.UNKNOWN, reason, figures)
    return Certificate(claim, Status.PROVED, f"complete, exact{slivers}" if slivers else "complete and exact", figures)


def _sizes(cells: Cells | Table, plane: Slice) -> dict[str, float]:
    """The figures that not every engine has."""
    if isinstance(cells, Cells):
        return {"area": plane.polygon.area, "area found": float(cells.area.sum()), "unresolved area": cells.unresolved_area}
    names = ("unresolved_thickness", "unresolved_volume", "domain_volume")
    return {name.replace("_", " "): value for name in names if (value := getattr(cells, name)) is not None}


def _explored(cells: Cells | Table, plane: Slice) -> str:
    if isinstance(cells, Cells):
        return f"{cells.area.sum() / plane.polygon.area:.2%} of the area explored"
    if np.isnan(cells.rest_share):
        return f"{len(cells)} found, how much is left is not known"
    whole = "volume" if cells.domain_volume is not None else "search tree"
    return f"{cells.rest_cells} cells, {cells.rest_share:.2%} of the {whole}, were left unexplored"


def _thin(cells: Cells | Table) -> str:
    """How large all slivers together, or the thickest, can be."""
    if isinstance(cells, Cells):
        return f"{cells.unresolved_area:.3g} in area"
    if cells.unresolved_volume is not None:
        return f"{cells.unresolved_volume:.3g} in volume"
    return f"{cells.unresolved_thickness:.3g} of the domain thick"
