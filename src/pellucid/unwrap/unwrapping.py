"""A network unwrapped on rows that lie in memory: their regions, and the local models of any of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..chain import Chain, Elementwise, chain_of
from ..graph import Network
from ..regions import unpack_codes
from .evidence import Evidence, Moments
from .groups import Groups, codes_at, group
from .models import LocalModels, Rows
from .native import encode, maps_of
from .responses import Responses
from .rows import MemoryRows
from .scores import global_scores, local_scores

if TYPE_CHECKING:
    from .stream import StreamedUnwrapping

CHECKED_ROWS = 100_000
"""Rows on which a fit compares local models with the network; of more rows, so many spread evenly."""

CHUNK = 16_384
"""Local models that are made at once where they are not kept."""


@dataclass(frozen=True)
class Exactness:
    """Largest |W x + b - net(x)| over rows and outputs, relative to the largest |net(x)|. rows: how many were compared, of how many."""

    largest: float
    rows: int
    of: int

    def __str__(self) -> str:
        part = "all" if self.rows == self.of else f"{self.rows:,} of"
        return f"local models equal the network within {self.largest:.1e}, relative, on {part} {self.of:,} rows"


@dataclass(frozen=True, eq=False)
class Unwrapping:
    """network: what was unwrapped. groups: the regions of the rows. data: the rows. y: (n,) class numbers or values, (n, m).
    weight: (n,) or None. kind: what the rows answer. centre: (d,) weighted mean of the rows."""

    network: Network
    groups: Groups
    data: MemoryRows
    y: np.ndarray
    weight: np.ndarray | None
    kind: Responses
    centre: np.ndarray
    exactness: Exactness
    threads: int = 1

    @property
    def chain(self) -> Chain:
        return chain_of(self.network)

    @property
    def n_rows(self) -> int:
        return len(self.data)

    def codes(self, index: np.ndarray) -> np.ndarray:
        """(k, words) packed canonical codes of regions."""
        if self.groups.codes is not None:
            return self.groups.codes[index]
        return codes_at(self.chain, self.data.take(self.groups.first[index]), threads=self.threads)[0]

    def rows_of(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(rows, place in `index` of the region of each), region by region."""
        order, ptr = self.groups.rows
        count = self.groups.count[index]
        place = np.repeat(np.arange(len(index)), count)
        start = np.cumsum(count) - count
        return order[np.repeat(ptr[index] - start, count) + np.arange(count.sum())], place

    def outputs(self, rows: np.ndarray) -> np.ndarray:
        """(k, c) of these rows by the chain."""
        return np.vstack([encode(self.chain, self.data.take(part), outputs=True, threads=self.threads)[2] for part in _parts(rows)])

    @property
    def sample(self) -> Rows:
        """All rows, each with its region."""
        weight = np.ones(len(self.data)) if self.weight is None else self.weight
        return Rows(self.data.whole(), self.y, weight, self.groups.labels)

    def sample_of(self, at: np.ndarray) -> Rows:
        """All rows; those of the regions `at` with their place in it, the others with -1."""
        position = np.full(len(self.groups), -1, dtype=np.int64)
        position[at] = np.arange(len(at))
        return replace(self.sample, model=position[self.groups.labels])

    def evidence(self, at: np.ndarray, local: bool) -> Evidence:
        """What the rows of these regions are like."""
        rows, place = self.rows_of(at)
        own = None if self.weight is None else self.weight[rows]
        found = Moments(len(at), self.network.n_inputs)
        bounds, step = np.searchsorted(place, np.arange(len(at) + 1)), max(1, (32 << 20) // (8 * self.network.n_inputs))
        a = 0
        while a < len(at):                         # parts of whole regions
            b = max(a + 1, int(np.searchsorted(bounds, bounds[a] + step, side="right")) - 1)
            part = slice(bounds[a], bounds[b])
            found.add(self.data.take(rows[part]), place[part], None if own is None else own[part])
            a = b
        return found.evidence(self.local_scores(at) if local else None)

    def local_scores(self, at: np.ndarray) -> np.ndarray:
        """(k,) of regions on their own rows."""
        rows, place = self.rows_of(at)
        if self.kind.are_shares:                   # one class has no area: those rows are not evaluated
            mixed = ~is_single_class(self.groups, at, self.kind)[place]
            rows, place = rows[mixed], place[mixed]
        own = None if self.weight is None else self.weight[rows]
        return local_scores(self.kind, place, self.outputs(rows), self.y[rows], own, len(at))

    def rows(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]]:
        """(X, y, weight or None, region) of all rows, some thousand at a time."""
        for part in _parts(np.arange(len(self.data)), 16_384):
            weight = None if self.weight is None else self.weight[part]
            yield self.data.batch(part[0], part[-1] + 1), self.y[part], weight, self.groups.labels[part]


def unwrap(net: Network, data: MemoryRows, y: np.ndarray, weight: np.ndarray | None, kind: Responses, *, step: int, threads: int,
           progress=None) -> Unwrapping:
    """The regions of rows in memory.

    Needs     a piecewise linear network (NotPiecewiseLinear names what is smooth), finite rows.
    Gives     an Unwrapping: regions numbered by size, and the largest difference between local models and the network.
    Sound     rows have one region exactly if their canonical codes (SPEC 2) are equal.
    Source    UNWRAP 2.3.
    """
    chain = chain_of(net)
    total = np.zeros(net.n_inputs)

    def batch(a: int, b: int) -> np.ndarray:
        X = data.batch(a, b)
        nonlocal total
        total = total + (X.sum(axis=0) if weight is None else weight[a:b] @ X)
        return X

    groups = group(chain, len(data), batch, lambda a, b: kind.of(y[a:b]), weight, step=step, n_responses=kind.n,
                   squares=not kind.are_shares, threads=threads, progress=progress)
    centre = total / max(float(groups.weights.sum()), np.finfo(float).tiny)
    return Unwrapping(net, groups, data, y, weight, kind, centre, exactness(net, data, CHECKED_ROWS, threads=threads), threads)


def exactness(net: Network, data: MemoryRows, most: int | None = None, *, threads: int = 1) -> Exactness:
    """Local models against the network itself (its graph, not its chain), on all rows or on `most` of them, spread evenly."""
    n, chain, worst, size = len(data), chain_of(net), 0.0, 0.0
    rows = np.arange(n) if most is None or n <= most else np.unique(np.linspace(0, n - 1, most).astype(np.int64))
    for part in _parts(rows, 4096):
        X = data.take(part)
        coef, intercept = maps_of(chain, codes_at(chain, X)[0], threads=threads)
        y = net(X)
        worst = max(worst, float(np.abs(np.einsum("ncd,nd->nc", coef, X) + intercept - y).max(initial=0.0)))
        size = max(size, float(np.abs(y).max(initial=0.0)))
    return Exactness(worst / size if size > 0 else worst, len(rows), n)


def _parts(rows: np.ndarray, step: int = 65_536) -> Iterator[np.ndarray]:
    """The numbers in parts; one, maybe empty, at least."""
    for a in range(0, max(len(rows), 1), step):
        yield rows[a:a + step]


def coefficients(u: Unwrapping | StreamedUnwrapping, chunk: int = CHUNK) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(regions (k,), coef (k, c, d), intercept (k, c)) for all regions, the largest first, some thousand at a time."""
    for part in _parts(np.arange(len(u.groups)), chunk):
        yield part, *maps_of(u.chain, u.codes(part), threads=u.threads)


def local_models(u: Unwrapping | StreamedUnwrapping, *, top: int | None = None, index: Sequence[int] | np.ndarray | None = None,
                 scores: Sequence[str] = ("local",)) -> LocalModels:
    """The local linear models of all regions, of the `top` largest or of those in `index`, with the rows of their own."""
    at = chosen(len(u.groups), top, index)
    codes, g, rows = u.codes(at), u.groups, u.sample_of(at)
    coef, intercept = maps_of(u.chain, codes, threads=u.threads)
    seen = u.evidence(at, "local" in scores)
    overall = global_scores(u.kind, coef, intercept, rows.X, rows.y, None if g.weight is None else rows.weight,
                            threads=u.threads) if "global" in scores else None
    return LocalModels(u.network, coef, intercept, np.asarray(g.count[at]), np.asarray(g.weights[at]), np.asarray(g.mean[at]),
                       spread_of(g, at, u.kind), seen.centre, seen.spread, seen.low, seen.high, at, is_single_class(g, at, u.kind),
                       is_trivial(u.chain, codes), seen.local_score, overall, total_models=len(g), total_rows=u.n_rows,
                       rows=rows, codes=codes)


def chosen(K: int, top: int | None, index) -> np.ndarray:
    """The regions that are meant. IndexError, ValueError."""
    if index is not None:
        at = np.atleast_1d(np.asarray(index))
        if at.dtype == bool:
            at = np.flatnonzero(at)
        at = at.astype(np.int64).ravel()
        if len(at) and not (at.min() >= 0 and at.max() < K):
            raise IndexError(f"region {at.min() if at.min() < 0 else at.max()}: there are {K}, numbered from 0, the largest first")
        return at
    if top is not None and (top != int(top) or top < 0):
        raise ValueError(f"top={top}: a whole number of regions is needed, or None for all")
    return np.arange(K if top is None else min(int(top), K))


def spread_of(g: Groups, at: np.ndarray, kind: Responses) -> np.ndarray:
    """(k, m) weighted population standard deviation of the responses."""
    mean = g.mean[at]
    if kind.are_shares:
        return np.sqrt(np.maximum(mean * (1 - mean), 0.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(g.weights[at, None] > 0, np.sqrt(np.maximum(g.square[at], 0.0) / g.weights[at, None]), 0.0)


def is_single_class(g: Groups, at: np.ndarray, kind: Responses) -> np.ndarray:
    """(k,) bool: all rows of the region answer the same; of numbers only where there is one row."""
    return ((g.mean[at] == 0) | (g.mean[at] == 1)).all(axis=1) if kind.are_shares else g.count[at] == 1


def is_trivial(chain: Chain, codes: np.ndarray) -> np.ndarray:
    """(k,) bool: all units of some layer are off, so that nothing passes (UNWRAP def. 1)."""
    out = np.zeros(len(codes), dtype=bool)
    for part in _parts(np.arange(len(codes))):
        pieces = unpack_codes(codes[part], chain.n_pieces)
        for stage, (first, outputs) in zip(chain.stages, chain.columns, strict=True):
            if isinstance(stage.phi, Elementwise) and len(outputs):
                mine = pieces[:, first:first + len(outputs)]
                if stage.phi.is_relu:
                    out[part] |= ~mine.any(axis=1)
                else:
                    out[part] |= (stage.phi.slopes[stage.phi.ptr[outputs] + outputs + mine] == 0).all(axis=1)
    return out
