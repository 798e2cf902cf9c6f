"""`nearest_regions`: the regions around a point in order of their distance from it (SPEC 3, nearest-first)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from ..certificate import Certificate, Status
from ..chain import UNIT, Chain, Elementwise, Rounding, chain_of, rounding, unit_maps
from ..errors import DomainError, Interrupted
from ..geometry import Box, NamedSlice, Slice, as_slice
from ..geometry.halfspaces import Unbounded, bounding_box
from ..graph import Network
from ..graph.rows import row_of
from ..regions import NearTable, Progress, Table, codes_of, near_regions, unpack_codes
from ..regions.search import MAX_DIM
from ..tolerance import FARTHEST, GEOMETRIC, NEAR_BOX, NEAR_MARGIN, ON_FACE, ON_PLANE
from .atlas import Atlas, PartialAtlas
from .enumerate import confirmed_by, split_of
from .select import take

if TYPE_CHECKING:
    import pandas as pd

    from .region import Region


@dataclass(frozen=True, eq=False)
class NearestRegions:
    """The regions around x, the nearest first; split by class, pieces of regions.

    distance: (K,) in the p-norm of the features' own units, ascending; 0 for the region that holds x. nearest: (K, d) the point
    of each region that is nearest to x. radius: no region nearer than this is missing; inf where the domain holds no others.
    atlas: the same regions sorted by code, with all that an atlas can do; row: (K,) their rows in it. certificate: that of
    `radius`.
    """

    atlas: Atlas
    x: np.ndarray
    p: float
    row: np.ndarray
    distance: np.ndarray
    nearest: np.ndarray
    radius: float
    certificate: Certificate

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, k: int) -> Region:
        """The k-th nearest: its model, halfspaces, inner point."""
        if not -len(self) <= k < len(self):
            raise IndexError(f"region {k}: there are {len(self)}")
        return self.atlas[int(self.row[k])]

    @property
    def status(self) -> Status:
        return self.certificate.status

    @property
    def is_complete(self) -> bool:
        """No region of the domain is missing."""
        return self.radius == np.inf

    @property
    def codes(self) -> np.ndarray:
        """(K, units) piece of each unit."""
        return self.atlas.codes[self.row]

    @property
    def coef(self) -> np.ndarray:
        """(K, c, d)."""
        return self.atlas.coef[self.row]

    @property
    def intercept(self) -> np.ndarray:
        """(K, c)."""
        return self.atlas.intercept[self.row]

    @property
    def first(self) -> np.ndarray:
        """(K,) the class given on each piece (by="class" or "top2")."""
        return self.atlas.first[self.row]

    def locate(self, x) -> np.ndarray:
        """Place in this list of the region of each point, (n,) int, -1 where it is none of these."""
        place = np.empty(len(self), dtype=np.int64)
        place[self.row] = np.arange(len(self))
        found = self.atlas.locate(x)
        return np.where(found >= 0, place[found] if len(self) else -1, -1)

    def to_frame(self, *, maps: bool = True) -> pd.DataFrame:
        """One row a region, the nearest first: distance, class, inner point and (maps) every weight, by name."""
        frame = self.atlas.to_frame(maps=maps).iloc[self.row].reset_index(drop=True)
        frame.insert(0, "distance", self.distance)
        return frame

    def __repr__(self) -> str:
        what = f"{len(self)} regions" if self.atlas.by is None else f"{len(self)} pieces by {self.atlas.by}"
        rest = "and no others in the domain" if self.is_complete else f"none missing within {self.radius:.6g}"
        return f"NearestRegions({what}, {rest}, {self.p:g}-norm: {self.status})"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p>{escape(repr(self))}</p>" + self.to_frame(maps=False).head(10).to_html()


def nearest_regions(net: Network, x, domain: Box | Slice | NamedSlice | None = None, p: float | str = 2, *,
                    max_regions: int | None = None, radius: float | None = None, by: str | None = None, threshold: float = 0.5,
                    max_seconds: float | None = None, threads: int | None = None,
                    progress: Callable[[Progress], object] | None = None) -> NearestRegions:
    """The linear regions of a network in order of their distance from x.

    x: a point of the domain, (d,). domain: a Box or Slice, bounded or not; None is all of R^d. p: 1, 2 or inf, of the distance in
    the features' own units (in a slice too: |P (u - u_x)|_p). max_regions: that many, the nearest. radius: those within it.
    max_seconds: a budget. Each of them ends the search, and `.radius` says within what distance no region is missing; with none
    of them all regions of the domain come, which then has to be bounded. by: None, "class" or "top2".
    Over an unbounded domain, the regions' halfspaces are those within the box that was searched (`.atlas.domain`).

    Raises DomainError (x outside the domain; p = 1 or inf in a slice where a feature moves with several coordinates; more than
    64 dimensions), DataError, NoDecision, NotPiecewiseLinear, Interrupted (`.partial` holds the nearest so far).
    """
    question = Near(net, x, domain, p, split_of(net, by, threshold))
    _check_budgets(max_regions, radius, max_seconds, question)
    try:
        found = question.search(keep=None if max_regions is None else max_regions + 1, radius=radius, max_seconds=max_seconds,
                                threads=threads, progress=progress)
    except Interrupted as stop:
        partial = stop.partial
        raise Interrupted(None if partial is None else _regions(question, partial, by, threshold, max_regions, radius)) from None
    return _regions(question, found, by, threshold, max_regions, radius)


def _check_budgets(max_regions, radius, max_seconds, question: Near) -> None:
    if max_regions is not None and max_regions < 1:
        raise ValueError(f"max_regions={max_regions}: at least 1")
    for name, budget in (("radius", radius), ("max_seconds", max_seconds)):
        if budget is not None and not budget >= 0:
            raise ValueError(f"{name}={budget}: a budget cannot be negative")
    if max_regions is None and radius is None and max_seconds is None and not question.is_bounded:
        raise DomainError("the domain is unbounded, so an end is needed: give max_regions, radius or max_seconds, or a bounded domain")


@dataclass(frozen=True, eq=False)
class Found:
    """What a search has found within a box around x. near: of the last box; plane: that box, or the domain.

    reached: no region nearer than this was left, by the distances computed; radius: less what these can be off. is_whole: nothing
    in the domain was left. earlier: the best of the boxes before.
    """

    near: NearTable
    plane: Slice
    decided: Rounding
    reached: float
    is_whole: bool
    reason: str
    seconds: float
    earlier: Found | None = None

    @property
    def radius(self) -> float:
        return self.reached * (1 - NEAR_MARGIN)

    @property
    def best(self) -> Found:
        """The box that proves most."""
        return self if self.earlier is None or self.reached >= self.earlier.reached else self.earlier


class Near:
    """A point, a domain and a norm: where `nearest_regions` and `robustness_radius` search.

    plane: the domain as asked for. work: the same set in coordinates in which distances are |weight (u - at)|_p; they are those of
    plane unless a feature moves with several coordinates.
    """

    def __init__(self, net: Network, x, domain, p: float | str, split):
        if not isinstance(net, Network):
            raise TypeError(f"a Network is needed, got a {type(net).__name__}: load it first with pellucid.load(model)")
        self.net, self.chain, self.split = net, chain_of(net), split
        self.x = row_of(net, x)
        self.p = norm_of(p)
        d = net.n_inputs
        self.plane = as_slice(Box(np.full(d, -np.inf), np.full(d, np.inf)) if domain is None else domain, net.feature_names)
        if self.plane.dim > MAX_DIM:
            raise DomainError(f"{self.plane.dim} coordinates move in the analysis set; regions are searched in up to {MAX_DIM}. "
                              "Fix the others with Box.slice(free=(feature, ...), at=x), or give them lower == upper")
        self.work, self.turn = _straight(self.plane, self.p)
        self.weight = np.linalg.norm(self.work.P, ord=self.p, axis=0)
        self.at = self._place()
        try:
            self.bounds = bounding_box(*self.work.constraints[:2])
        except Unbounded:
            self.bounds = None

    @property
    def is_bounded(self) -> bool:
        return self.bounds is not None

    def sample(self, radius: float, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Points x' of the domain nearer than `radius`, (m, d) with m <= n, and their distances (m,): for second looks."""
        rng = np.random.default_rng(seed)
        reach = min(radius, self.farthest) if np.isfinite(min(radius, self.farthest)) else 1.0
        z = rng.normal(size=(n, self.work.dim))
        z *= (reach * (1 - 1e-6) * rng.uniform(size=n) ** (1 / self.work.dim) / np.linalg.norm(z, ord=self.p, axis=1))[:, None]
        u = self.at + z / self.weight
        G, h, _ = self.work.constraints
        inside = (u @ G.T <= h).all(axis=1)
        return self.work.point(u[inside]), np.linalg.norm(z[inside], ord=self.p, axis=1)

    @property
    def farthest(self) -> float:
        """No point of the domain is farther from x."""
        if self.bounds is None:
            return np.inf
        reach = np.maximum(self.bounds[1] - self.at, self.at - self.bounds[0])
        return float(np.linalg.norm(self.weight * reach, ord=self.p))

    def _place(self) -> np.ndarray:
        """u of x; DomainError where x is not in the domain."""
        u, off = self.work.coordinates(self.x)
        if self.work.free is not None and self.work.dim == len(self.x):
            u, off = self.x[[f[0] for f in self.work.free]][None], np.zeros(1)
        size = max(1.0, float(np.linalg.norm(self.x)))
        if off[0] > ON_PLANE * size:
            raise DomainError(f"x is outside the domain: it lies {off[0]:.3g} off the slice's plane")
        G, h, what = self.work.constraints
        over = G @ u[0] - h - ON_FACE * (np.abs(G) @ np.abs(u[0]) + np.where(np.isfinite(h), np.abs(h), 0.0))
        if len(over) and over.max() > 0:
            kind, j = what[int(over.argmax())]
            name = f"feature {self.net.feature_names[j]}" if kind in ("upper", "lower") else f"constraint {j} of the {kind}"
            raise DomainError(f"x is outside the domain ({name}): distances are from a point of the domain")
        return u[0]

    def search(self, *, keep: int | None, radius: float | None, max_seconds: float | None = None, avoid: int | None = None,
               only: int | None = None, is_wide: bool = False, threads: int | None = None,
               progress: Callable[[Progress], object] | None = None) -> Found:
        """Boxes around x, each larger than the one before, until `keep` regions or `radius` is reached or the domain is done.

        avoid, only: pieces of this class are not wanted, or no others. is_wide: search the ball in the whole domain at
        once, deciding what is thin as an atlas of it does.

        Sound     what is left out of a box is farther than the ball inside it. Later boxes search the inner ones again: the last
                  one costs most.
        """
        started, farthest = time.perf_counter(), self.farthest
        first, growth, most = self._first_radius(keep)
        limit = np.inf if radius is None else radius + NEAR_MARGIN * max(2 * radius, first)      # 0: those that touch x
        r = limit if keep is None and max_seconds is None else first
        found = None
        while True:
            left = None if max_seconds is None else max(max_seconds - (time.perf_counter() - started), 0.0)
            r = min(r, limit)
            is_whole, stop = r >= farthest, None
            reach = NEAR_BOX * max(r, most / FARTHEST if is_wide else first)
            plane = self.work if is_whole or np.isinf(reach) else near_box(self.work, self.x, reach)
            decided = rounding(self.chain, plane)
            try:
                near = self._look(plane, decided, np.inf if is_whole else r, keep, avoid, only, left, threads, progress)
            except Interrupted as interrupted:
                near, stop = interrupted.partial, interrupted
            decided = confirmed_by(decided, self.chain, near.table, None if self.split is None else "class")
            found = _found(near, plane, decided, found, time.perf_counter() - started, is_far=r >= most and r < limit)
            if stop is not None:
                raise Interrupted(found) from None
            if not near.table.complete or is_whole or near.radius < r or r >= min(limit, most):
                return found
            r = growth * r if growth * r < farthest / 2 else max(farthest, r)

    def _look(self, plane: Slice, decided: Rounding, radius: float, keep, avoid, only, seconds, threads, progress) -> NearTable:
        G, h, _ = plane.constraints
        return near_regions(self.chain.fold(plane.x0, plane.P), G, h, self.at, self.weight, norm=self.p, radius=radius,
                            floors=decided.floors, split=self.split, keep=keep, avoid=avoid, only=only,
                            watched=decided.watched, max_seconds=seconds,
                            threads=threads, progress=progress)

    def _first_radius(self, keep: int | None) -> tuple[float, float, float]:
        """(radius to begin with, factor by which it grows, radius at which an unbounded search ends)."""
        k = self.work.dim
        away = np.sort(unit_distances(self.chain.fold(self.work.x0, self.work.P), self.at, self.weight, self.p))
        scale = max(1.0, float(np.abs(self.x).max()))
        most = np.inf if self.is_bounded else FARTHEST * max([1e-3 * scale, *away[-1:]])
        if not len(away):
            return scale, 2.0, most
        wanted, n = 1 if keep is None else keep, 0
        while n + 1 < len(away) and sum(comb(n, i) for i in range(min(n, k) + 1)) < wanted:
            n += 1
        growth = 2.0 if keep is not None else max(1.2, 4.0 ** (1 / k))
        return max(float(away[n]), 1e-6 * scale), growth, most


def _found(near: NearTable, plane: Slice, decided: Rounding, before: Found | None, seconds: float, *, is_far: bool) -> Found:
    reached = min(near.radius, near.rest_distance)
    reason = near.table.reason or ("far" if is_far else "")
    return Found(near, plane, decided, reached, reached == np.inf, reason, seconds,
                 None if before is None else before.best)


def norm_of(p: float | str, *, more: str = "") -> float:
    """1, 2 or inf, of a number or its name ("inf")."""
    try:
        value = float(p)
    except (TypeError, ValueError):
        value = np.nan
    if value not in (1.0, 2.0, np.inf):
        raise ValueError(f"p={p!r}: distances are in the norms 1, 2 and inf{more}")
    return value


def _straight(plane: Slice, p: float) -> tuple[Slice, np.ndarray | None]:
    """The plane in coordinates that distances have no mixed terms in, R u, and R (None: u itself)."""
    if ((plane.P != 0).sum(axis=1) <= 1).all():
        return plane, None
    if p != 2:
        raise DomainError(f"p={p:g} in a slice where a feature moves with several coordinates: distances there are in the 2-norm only")
    Q, R = np.linalg.qr(plane.P)
    return Slice(plane.x0, Q, plane.box, A=plane.A @ np.linalg.inv(R), b=plane.b), R


def near_box(plane: Slice, x: np.ndarray, reach: float) -> Slice:
    """The part of a slice with |x' - x|_inf <= reach."""
    box = plane.box
    lower, upper = np.maximum(box.lower, x - reach), np.minimum(box.upper, x + reach)
    fixed = ~(plane.P != 0).any(axis=1)                     # these may stand a rounding outside
    lower[fixed], upper[fixed] = box.lower[fixed], box.upper[fixed]
    return Slice(plane.x0, plane.P, Box(lower, upper, box.names, A=box.A, b=box.b), A=plane.A, b=plane.b, free=plane.free)


def unit_distances(chain: Chain, at: np.ndarray, weight: np.ndarray, p: float) -> np.ndarray:
    """How far each breakpoint of each unit is from `at` by the model at `at`: where regions are to be expected, no bound."""
    code = unpack_codes(codes_of(chain, at[None]), chain.n_pieces)[0]
    dual = {1.0: np.inf, 2.0: 2, np.inf: 1}[p]
    away = []
    for stage, (G, g) in zip(chain.stages, unit_maps(chain, code)[:-1], strict=True):
        if isinstance(stage.phi, Elementwise):
            z, slope = np.abs(stage.phi.padded[0] - (G @ at + g)[:, None]), np.linalg.norm(G / weight, ord=dual, axis=1)[:, None]
            away.append((z / np.where(slope > 0, slope, np.nan)).ravel())
    every = np.concatenate(away) if away else np.zeros(0)
    return every[np.isfinite(every)]


# ---- the answer


def _regions(question: Near, found: Found, by: str | None, threshold: float, most: int | None, asked: float | None) -> NearestRegions:
    found = found.best
    near = found.near
    order = np.argsort(near.distance, kind="stable")[:most]
    order = order[near.distance[order] <= found.reached]
    rows = np.sort(order)
    table = replace(take(near.table, rows), complete=found.is_whole and len(rows) == len(near.distance))
    assert isinstance(table, Table)
    radius = found.radius if asked is None or found.is_whole else min(found.radius, asked)
    if most is not None and len(near.distance) > most and found.is_whole:      # all were found, not all are told
        radius = float(np.partition(near.distance, most)[most]) * (1 - NEAR_MARGIN)
    plane = question.plane if question.is_bounded else _as_asked(question, found.plane)
    feet = near.feet[order]
    if question.turn is not None:
        back = np.linalg.inv(question.turn)
        table = replace(table, points=table.points @ back.T, coef=None if table.coef is None else table.coef @ question.turn)
        feet = feet @ back.T
    if by == "top2" and question.net.n_outputs == 1 and table.first is not None:
        table = replace(table, second=np.asarray(1 - table.first, dtype=np.int32))
    certificate = _certificate(question, found, radius, table)
    certificate = replace(certificate, recheck=lambda: _second_look(question, answer))
    atlas = (Atlas if table.complete else PartialAtlas)(question.net, plane, table, by, threshold, certificate)
    answer = NearestRegions(atlas, question.x, question.p, np.searchsorted(rows, order), near.distance[order], plane.point(feet), radius,
                            certificate)
    return answer


def _second_look(question: Near, answer: NearestRegions, points: int = 2000, seed: int = 0) -> Certificate:
    """Are random points nearer than the radius in the rows, and none nearer than its row's distance? Samples can only refute."""
    x, away = question.sample(answer.radius, points, seed)
    k = answer.locate(x)
    lost, early = int((k < 0).sum()), int((answer.distance[np.maximum(k, 0)] > away + NEAR_MARGIN * (1 + away))[k >= 0].sum())
    figures = {"points": len(x), "lost": lost, "nearer than their region": early}
    if lost or early:
        return Certificate(answer.certificate.claim, Status.REFUTED, f"of {len(x)} points {lost} are in no row, {early} are nearer than "
                           "their row", figures)
    return Certificate(answer.certificate.claim, Status.UNKNOWN, f"{len(x)} random points do not refute it", figures)


def _as_asked(question: Near, plane: Slice) -> Slice:
    """The box that was searched, as a part of the slice that was asked for."""
    asked = question.plane
    return Slice(asked.x0, asked.P, plane.box, A=asked.A, b=asked.b, free=asked.free)


def _certificate(question: Near, found: Found, radius: float, table: Table) -> Certificate:
    claim = (f"no region nearer to x than {radius:.12g} ({question.p:g}-norm) is missing, if it is thicker than {GEOMETRIC:g} of the box "
             f"that was searched, but where a unit stays within {max(found.decided.width, UNIT):.1g} of its size from a breakpoint")
    figures = {"radius": radius, "rows": len(table), "unresolved": table.unresolved, "rounding": found.decided.width,
               "thickness": GEOMETRIC, "seconds": found.seconds}
    ended = {"max_seconds": "max_seconds ended the search", "cancelled": "the search was interrupted",
             "far": f"the search of an unbounded domain ends {FARTHEST:g} times as far as the farthest unit"}.get(found.reason, "")
    slivers = f"up to {table.unresolved} slivers were left in their neighbours" if table.unresolved else ""
    if not found.decided.is_proved:
        rounded = f"rounding errors were estimated: {found.decided.why()}"
        return Certificate(claim, Status.UNKNOWN, "; ".join(filter(None, (rounded, slivers, ended))), figures)
    reason = "all cells nearer than that were searched" if np.isfinite(radius) else "the whole domain was searched"
    return Certificate(claim, Status.PROVED, "; ".join(filter(None, (reason, slivers, ended))), figures)
