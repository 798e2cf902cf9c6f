"""`linear_regions`: the door to the exact engines."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from ..certificate import Certificate, Status
from ..chain import chain_of, rounding_floors
from ..errors import DomainError, Interrupted, NoDecision
from ..geometry import Box, NamedSlice, Slice, as_slice
from ..graph import Network
from ..graph.network import logit, no_class
from ..regions import Cells, Progress, enumerate_planar
from ..tolerance import GEOMETRIC
from .atlas import Atlas, PartialAtlas


def linear_regions(net: Network, domain: Box | Slice | NamedSlice, *, engine: str = "auto", by: str | None = None,
                   threshold: float = 0.5, max_regions: int | None = None, max_seconds: float | None = None,
                   max_bytes: int | None = None, threads: int | None = None,
                   progress: Callable[[Progress], object] | None = None) -> Atlas:
    """Every linear region of a piecewise linear network over an analysis set, exactly (CEE III, SPEC 2-3).

    domain: a Box or Slice with two coordinates that move. by: None, "class" (also split by arg max, CEE eq. 5) or "top2"
    (by first and second, eq. 6). threshold: probability from which a single sigmoid output gives its class.
    max_regions, max_seconds, max_bytes: budgets; when one runs out the answer is a PartialAtlas of what was found.
    threads: None = PELLUCID_THREADS or all cores; the answer does not depend on it. progress: called several times a second.

    Raises DomainError (empty, flat, unbounded, wrong names or size, not two-dimensional), NotPiecewiseLinear,
    NoDecision (split by class of a regression), Interrupted (Ctrl-C; `.partial` is the atlas so far).
    """
    if not isinstance(net, Network):
        raise TypeError(f"linear_regions takes a Network, got a {type(net).__name__}: load it first with pellucid.load(model)")
    if engine not in ("auto", "planar"):
        raise ValueError(f"engine='{engine}': there are 'auto' and 'planar'")
    for name, budget in (("max_regions", max_regions), ("max_seconds", max_seconds), ("max_bytes", max_bytes)):
        if budget is not None and not budget >= 0:      # also where it is NaN
            raise ValueError(f"{name}={budget}: a budget cannot be negative")
    chain = chain_of(net)
    plane = as_slice(domain, net.feature_names)
    if plane.dim != 2:
        raise DomainError(f"{plane.dim} coordinates move in the analysis set; the planar engine takes 2. Fix the others with "
                          "Box.slice(free=(feature, feature), at=x0), or give them lower == upper")
    split = _split(net, by, threshold)
    started = time.perf_counter()

    def atlas(cells: Cells) -> Atlas:
        if by == "top2" and net.n_outputs == 1 and cells.first is not None:
            cells = cells.with_second(1 - cells.first)
        kind = Atlas if cells.complete else PartialAtlas
        return kind(net, plane, cells, by, threshold, _certificate(cells, plane, time.perf_counter() - started))

    try:
        cells = enumerate_planar(chain.fold(plane.x0, plane.P), plane.polygon.vertices, floors=rounding_floors(chain, plane), split=split,
                                 max_regions=max_regions, max_seconds=max_seconds, max_bytes=max_bytes, threads=threads,
                                 progress=progress)
    except Interrupted as stop:
        raise Interrupted(atlas(stop.partial) if stop.partial is not None else None) from None
    return atlas(cells)


def _split(net: Network, by: str | None, threshold: float):
    """The engine's word for `by`."""
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


def _certificate(cells: Cells, plane: Slice, seconds: float) -> Certificate:
    """What the engine's answer proves (DESIGN 10)."""
    area = plane.polygon.area
    found = float(cells.area.sum())
    figures = {"rows": len(cells.codes), "area": area, "area found": found, "unresolved": cells.unresolved,
               "unresolved area": cells.unresolved_area, "ties": cells.ties, "thickness": GEOMETRIC, "engine": "planar",
               "seconds": seconds}
    claim = f"every linear region thicker than {GEOMETRIC:g} of the domain is present, with its right code"
    if not cells.complete:
        return Certificate(claim, Status.UNKNOWN, f"PARTIAL: {cells.reason}; {found / area:.2%} of the area explored", figures)
    if cells.unresolved:
        reason = f"complete, exact up to {cells.unresolved} slivers of at most {cells.unresolved_area:.3g} in area"
        return Certificate(claim, Status.PROVED, reason, figures)
    return Certificate(claim, Status.PROVED, "complete and exact", figures)
