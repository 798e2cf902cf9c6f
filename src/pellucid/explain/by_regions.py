"""Exact optimisation by complete enumeration: one linear programme a region."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..chain import UNIT, Chain, Rounding, Selection, deviation, deviation_bound, rounding
from ..errors import Interrupted
from ..geometry import Slice
from ..regions import Progress, Table, enumerate_search, support, unpack_codes
from .question import NEAR, Found, Question, Reached, best_of

SHARP = 20_000
"""Regions whose models get an error bound of their own; the others are far from the optimum, or share the wide one."""

FIRST_SECONDS = 5.0
"""What engine="auto" spends on regions before it asks itself whether they will be all."""

AUTO_SECONDS = 120.0
"""What it spends on them at most."""

AUTO_SHARE = 0.5
"""And which share of the time that is left, where there is a limit."""

AUTO_BYTES = 1 << 30
"""And how much memory."""

ROOM = 1e-11
"""How far inside their constraints points are looked for first, relative to the size of these: a hundred times what the simplex may
overstep a row by."""

LOOKED_AT = 64
"""Regions whose best points are tried on the network itself."""

TRIED = 100_000
"""Points of regions, evenly spread over those found, that are tried on the network where a budget left the rest unknown."""

_TERMS = "by one linear programme for each linear region, with the errors of the regions' models"


@dataclass(frozen=True, eq=False)
class Explored:
    """All linear regions of a chain over a slice, or those that a budget allowed: what any number of questions are asked of."""

    base: Chain
    domain: Slice
    decided: Rounding
    table: Table
    threads: int | None
    seconds: float

    @property
    def slivers(self) -> bool:
        """May cells hold more than rounding beyond their halfspaces? (Of selections the engine does not count all that do.)"""
        return bool(self.table.unresolved) or any(isinstance(s.phi, Selection) for s in self.base.stages)

    @property
    def figures(self) -> dict:
        return {"engine": "regions", "regions": len(self.table), "unresolved": self.table.unresolved}

    def solve(self, coef, intercept, error, rows, relaxed: bool):
        """(bounds, values, points) of the first output while the others are at most `error` above 0."""
        G, h, _ = self.domain.constraints
        extra = (coef[:, 1:], error - intercept[:, 1:]) if coef.shape[1] > 1 else None
        chain_u = self.base.fold(self.domain.x0, self.domain.P)
        bounds, values, points = support(chain_u, G, h, self.table, coef[:, 0], rows, floors=self.decided.floors, extra=extra,
                                         relaxed=relaxed, slivers=self.slivers, threads=self.threads)
        return bounds + intercept[:, 0], values + intercept[:, 0], points


def explore_if_cheap(base: Chain, domain: Slice, *, deadline: float = np.inf, threads: int | None = None,
                     progress: Callable[[Reached], object] | None = None) -> Explored:
    """Enumerate for a short time; go on only if that promises to end in AUTO_SECONDS, or in AUTO_SHARE of the time that is left."""
    def until(seconds: float) -> float:
        now = time.perf_counter()
        return now + min(seconds, np.inf if np.isinf(deadline) else AUTO_SHARE * max(0.0, deadline - now))

    options = {"threads": threads, "progress": progress, "max_bytes": AUTO_BYTES}
    first = explore(base, domain, deadline=until(FIRST_SECONDS), **options)
    if first.table.complete or first.seconds < 0.5 * FIRST_SECONDS:
        return first
    promised = first.seconds / max(1e-9, 1.0 - first.table.rest_share)
    end = until(AUTO_SECONDS)
    return explore(base, domain, deadline=end, **options) if time.perf_counter() + promised < end else first


def explore(base: Chain, domain: Slice, *, deadline: float = np.inf, max_bytes: int | None = None, threads: int | None = None,
            progress: Callable[[Reached], object] | None = None) -> Explored:
    """Enumerate. Ctrl-C raises Interrupted with what was found."""
    G, h, _ = domain.constraints
    decided, began = rounding(base, domain), time.perf_counter()

    def explored(table: Table) -> Explored:
        return Explored(base, domain, decided, table, threads, time.perf_counter() - began)

    def tell(p: Progress) -> None:
        if progress is not None:
            progress(Reached(float("nan"), float("inf"), p.regions, p.share, p.seconds))

    try:
        return explored(enumerate_search(base.fold(domain.x0, domain.P), G, h, floors=decided.floors, max_bytes=max_bytes,
                                         threads=threads, progress=tell,
                                         max_seconds=None if np.isinf(deadline) else max(0.0, deadline - began)))
    except Interrupted as stop:
        raise Interrupted(explored(stop.partial) if stop.partial is not None else None) from None


def by_regions(asked: Question, explored: Explored) -> Found:
    """The largest objective over all regions.

    Needs     a continuous Question of the chain and slice that were explored.
    Gives     Found; the bound is sound whether or not signs could be decided against proved rounding errors.
    Sound     each region is widened by all that may have been merged into it, its linear programme bounded by multipliers, and
              the error of its model (`deviation`) added. Points are re-evaluated by the network.
    Complete  yes, unless a budget ended the enumeration.
    """
    table, M = explored.table, asked.combination
    if not table.complete:
        x, value = _best_point(asked, table.points[::1 + len(table.points) // TRIED]) or (None, float("nan"))
        reason = f"{table.reason} ran out" if table.reason.startswith("max") else table.reason
        return Found(x, value, asked.interval_bound(), False, False, reason, "", explored.figures | {"seconds": asked.seconds})
    lower, upper = asked.domain.bounds
    direction, offset = asked.in_u()
    coef, intercept = M @ table.coef, table.intercept @ M.T
    wide = np.abs(M) @ deviation_bound(explored.base, asked.domain, explored.decided.floors, slivers=explored.slivers)
    u_size = np.maximum(np.abs(lower), np.abs(upper))
    size = np.abs(direction) @ u_size + np.abs(offset)
    terms = np.abs(M) @ (np.abs(table.coef) @ u_size + np.abs(table.intercept)).max(axis=0, initial=0.0)
    wide = wide + 8 * (8 + len(M[0]) + len(lower)) * UNIT * (size + terms)          # what the sums here may round off
    bounds, values, points = explored.solve(coef + direction, intercept + offset, wide[1:], None, True)
    bounds = bounds + wide[0]
    possible = np.flatnonzero(bounds > -np.inf)
    best = _attained(asked, points, values, possible)
    chosen, rest = _candidates(bounds, possible, -np.inf if best is None else best[1])
    bound, error = (float(bounds[rest].max()), float(wide[0])) if len(rest) else (-np.inf, 0.0)
    if len(chosen):
        top, sharp, again = _sharp(asked, explored, chosen, direction, offset, size)
        bound, error = max(bound, top), max(error, sharp)
        best = max((b for b in (best, again) if b is not None), key=lambda b: b[1], default=None)
    figures = explored.figures | {"model error": error, "seconds": asked.seconds}
    if best is None:
        return Found(None, float("nan"), bound, bound == -np.inf, True, "", _TERMS, figures)
    value, excess = (float(v[0]) for v in asked.values(best[0][None]))
    figures["excess"] = max(0.0, excess)
    return Found(best[0], value, max(bound, value), False, True, "", _TERMS, figures)


def _candidates(bounds, possible, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Regions that may hold the optimum, by their wide bounds; and those of them that are too many for sharp ones."""
    open_ = possible[bounds[possible] > least]
    order = open_[np.argsort(-bounds[open_], kind="stable")]
    return order[:SHARP], order[SHARP:]


def _sharp(asked: Question, explored: Explored, chosen, direction, offset, size):
    """The bound over the chosen regions with error bounds of their own, the largest such error, and the best point in them."""
    chain = asked.chain()
    codes = unpack_codes(explored.table.codes[chosen], chain.n_pieces)
    models = deviation(chain, asked.domain, codes, explored.decided.floors, slivers=explored.slivers)
    error = models.error + 8 * (8 + asked.domain.dim) * UNIT * size
    coef, intercept = models.coef + direction, models.intercept + offset
    bounds, _, _ = explored.solve(coef, intercept, error[:, 1:], chosen, True)
    kept = np.flatnonzero(bounds > -np.inf)
    if not len(kept):
        return -np.inf, 0.0, None
    bounds = bounds[kept] + error[kept, 0]
    top, order = float(bounds.max()), kept[np.argsort(-bounds, kind="stable")][:LOOKED_AT]
    best = None
    for room in (-1.0, 0.0, 1.0) if len(asked.rows) else (0.0,):
        # first strictly inside the rows, so that the network agrees; then on them, to rounding, where they leave no room
        slack = np.maximum(error[order, 1:], ROOM * (1 + size[1:]))
        _, values, points = explored.solve(coef[order], intercept[order], room * slack, chosen[order], False)
        found = _attained(asked, points, values, np.arange(len(order)), 0.0 if room < 0 else 2 * float(slack.max(initial=0.0)))
        if found is not None and (best is None or found[1] > best[1]):
            best = found
        if best is not None and top - best[1] <= NEAR * (1 + abs(top)):
            break
    return top, float(error[kept, 0].max()), best


def _attained(asked: Question, points, values, among, allowed: float = 0.0) -> tuple[np.ndarray, float] | None:
    """The best of the points that the network itself finds to keep the rows."""
    among = among[np.isfinite(values[among])]
    return _best_point(asked, points[among[np.argsort(-values[among], kind="stable")][:LOOKED_AT]], allowed)


def _best_point(asked: Question, u: np.ndarray, allowed: float = 0.0) -> tuple[np.ndarray, float] | None:
    if not len(u):
        return None
    X = asked.points(u)
    values, excess = asked.values(X)
    k = best_of(values, excess, allowed)
    return None if k is None else (X[k], float(values[k]))
