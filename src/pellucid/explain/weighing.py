"""What share of the volume each row of an atlas has: exactly, or by uniform points with an interval."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from ..atlas import Atlas, linear_regions
from ..atlas.check import sample_polygon
from ..atlas.locate import locate_u
from ..errors import DomainError
from ..geometry import Slice
from ..regions import match_codes
from ..tolerance import CHECK_AREA
from .result import known_volume

EXACT_DIM = 6
"""Dimensions up to which volumes are made anew by the vertex engine where an atlas has none: beyond, cells have too many vertices."""

CHAINS = 64
"""Walks that go at the same time through a domain that is no box; their means tell how sure the mean of all is."""

LEAST_ACCEPTED = 0.02
"""Share of a polytope in its bounding box from which points of the box serve."""

WAYS = ("auto", "exact", "sampled")


@dataclass(frozen=True, eq=False)
class Weighing:
    """How much each row counts in a mean over the volume.

    share: (K,), adds up to 1. points: how many uniform points that rests on, 0 where volumes are exact. confidence: of
    `interval`. chain: (points,) which walk each point is of, where the points are no independent ones; rows: (points,).
    """

    share: np.ndarray
    points: int = 0
    confidence: float = 1.0
    rows: np.ndarray | None = None
    chain: np.ndarray | None = None

    @property
    def is_exact(self) -> bool:
        return self.points == 0

    @property
    def words(self) -> str:
        if self.is_exact:
            return "exact volumes"
        kind = "uniform points" if self.chain is None else "points of hit-and-run walks"
        return f"estimated from {self.points} {kind}, {self.confidence:.0%} intervals"

    def mean(self, values: np.ndarray) -> np.ndarray:
        """(d,) of values (K, d) on the rows."""
        return self.share @ values

    def interval(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(low, high), (d,) each, of the mean over the volume, with the stated confidence for each entry.

        Source    independent points: empirical Bernstein bound (Maurer & Pontil 2009, theorem 4, both sides), which holds for any
                  number of points since the smallest and largest value of any row are known; walks: Student's t of the means
                  of the walks, which are independent of each other (holds for long walks).
        """
        mean, low, high = self.mean(values), values.min(axis=0), values.max(axis=0)
        if self.is_exact:
            return mean, mean
        n, error = self.points, 1 - self.confidence
        if self.chain is None:
            variance = np.maximum(self.share @ (values - mean) ** 2, 0.0) * n / max(n - 1, 1)
            log = np.log(4 / error)
            half = np.sqrt(2 * variance * log / n) + 7 * (high - low) * log / (3 * max(n - 1, 1))
        else:
            half = self._half_by_chains(values)
        return np.maximum(mean - half, low), np.minimum(mean + half, high)

    def _half_by_chains(self, values: np.ndarray) -> np.ndarray:
        from scipy.sparse import coo_array
        from scipy.stats import t

        assert self.chain is not None
        assert self.rows is not None
        walks, chain = np.unique(self.chain, return_inverse=True)
        n = len(walks)
        if n < 2:
            return np.ptp(values, axis=0)
        counts = coo_array((np.ones(len(chain)), (chain, self.rows)), shape=(n, len(values))).tocsr()
        means = (counts @ values) / np.bincount(chain, minlength=n)[:, None]
        return t.ppf((1 + self.confidence) / 2, n - 1) * means.std(axis=0, ddof=1) / np.sqrt(n)


_EXACT: WeakKeyDictionary[Atlas, np.ndarray] = WeakKeyDictionary()
_IN_VAIN: WeakKeyDictionary[Atlas, float] = WeakKeyDictionary()
"""Seconds within which volumes were not had."""


def weighing(atlas: Atlas, *, volumes: str = "auto", points: int = 20_000, confidence: float = 0.95, seed: int = 0,
             max_seconds: float | None = 60.0) -> Weighing:
    """The shares of the rows in the volume that they cover.

    volumes: "exact" (the atlas's own; up to EXACT_DIM dimensions made by the vertex engine, at most max_seconds long),
    "sampled" (uniform points of the domain, located in the atlas) or "auto" (exact where that can be had).
    DomainError where exact volumes are asked for and cannot be had, or no point falls in any row.
    """
    if volumes not in WAYS:
        raise ValueError(f"volumes='{volumes}': there are {', '.join(map(repr, WAYS))}")
    if not (0 < confidence < 1 and points >= 2):
        raise ValueError(f"confidence={confidence}, points={points}: a level between 0 and 1 and at least two points are needed")
    if len(atlas) == 0:
        raise DomainError("the atlas has no rows (nothing was selected), so there is nothing to weigh")
    if volumes != "sampled":
        volume = exact_volumes(atlas, max_seconds)
        if volume is not None and volume.sum() > 0:
            return Weighing(volume / volume.sum())
        if volumes == "exact":
            raise DomainError(f"exact volumes of {len(atlas)} regions in {atlas.domain.dim} dimensions cannot be had here: they are made "
                              f"up to {EXACT_DIM} dimensions, within max_seconds={max_seconds}. Give it more time, or take "
                              "volumes='sampled'")
    u, chain = uniform_points(atlas.domain, points, seed)
    rows = locate_u(atlas, u)
    met = np.flatnonzero(rows >= 0)
    if len(met) < 2:
        raise DomainError(f"of {points} uniform points of the domain {len(met)} lie in the atlas's rows: take more points")
    share = np.bincount(rows[met], minlength=len(atlas)) / len(met)
    return Weighing(share, len(met), confidence, rows[met], None if chain is None else chain[met])


def exact_volumes(atlas: Atlas, max_seconds: float | None = 60.0) -> np.ndarray | None:
    """(K,) exact volumes in u: the atlas's own, or those of the same rows by the vertex engine; None where they cannot be had."""
    own = known_volume(atlas)
    if own is not None or not 1 <= atlas.domain.dim <= EXACT_DIM:
        return own
    seconds = np.inf if max_seconds is None else max_seconds
    if atlas not in _EXACT:
        if _IN_VAIN.get(atlas, -1.0) >= seconds:
            return None
        made = linear_regions(atlas.network, atlas.domain, engine="vertex", by=atlas.by, threshold=atlas.threshold, max_seconds=max_seconds)
        volume = _matched(atlas, made) if made.is_complete else None
        if volume is None:
            _IN_VAIN[atlas] = seconds
            return None
        _EXACT[atlas] = volume
    return _EXACT[atlas]


def _matched(atlas: Atlas, made: Atlas) -> np.ndarray | None:
    """Volumes of `made` for the atlas's rows; None where some row is not there and it matters."""
    keys = [np.hstack([a.cells.codes, *(c.astype(np.uint64)[:, None] for c in (a.cells.first, a.cells.second) if c is not None)])
            for a in (made, atlas)]
    if keys[0].shape[1] == 0:
        return made.volume
    at = match_codes(*keys)
    volume = np.where(at >= 0, made.volume[at], 0.0)
    if (at >= 0).all():
        return volume
    covers = atlas.is_complete and not atlas.is_selection and abs(volume.sum() - made.total_volume) <= CHECK_AREA * made.total_volume
    return volume if covers else None


# ---- uniform points


def uniform_points(domain: Slice, n: int, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    """(u (n, k) spread evenly over the domain, chain): None where they are independent, else which walk each point is of."""
    rng = np.random.default_rng(seed)
    if domain.dim == 2:
        return sample_polygon(domain.polygon.vertices, n, rng), None
    G, h, _ = domain.constraints
    lower, upper = domain.bounds
    oblique = (G != 0).sum(axis=1) > 1
    G, h = G[oblique & np.isfinite(h)], h[oblique & np.isfinite(h)]
    if not len(G):
        return rng.uniform(lower, upper, (n, domain.dim)), None
    tried = rng.uniform(lower, upper, (4096, domain.dim))
    accepted = float((tried @ G.T <= h).all(axis=1).mean())
    if accepted < LEAST_ACCEPTED:
        return _hit_and_run(G, h, lower, upper, n, rng)
    parts, found = [], 0
    while found < n:
        u = rng.uniform(lower, upper, (min(1 << 18, int(1.2 * (n - found) / accepted) + 64), domain.dim))
        parts.append(u[(u @ G.T <= h).all(axis=1)])
        found += len(parts[-1])
    return np.vstack(parts)[:n], None


def _hit_and_run(G: np.ndarray, h: np.ndarray, lower: np.ndarray, upper: np.ndarray, n: int, rng: np.random.Generator):
    """Points of CHAINS walks in { G u <= h, lower <= u <= upper }: from where it stands, each goes to a uniform point of the chord in a
    random direction (Smith 1984). Walks start at the Chebyshev centre and warm up for 10 k^2 steps; every k-th step is kept."""
    k = len(lower)
    centre, half = (lower + upper) / 2, (upper - lower) / 2
    A, b = np.vstack([G * half, np.eye(k), -np.eye(k)]), np.concatenate([h - G @ centre, np.ones(2 * k)])
    v = np.repeat(_inner_point(A, b)[None], CHAINS, axis=0)
    kept, warm = -(-n // CHAINS), 10 * k * k
    points = np.empty((kept, CHAINS, k))
    for step in range(warm + kept * k):
        direction = rng.normal(size=v.shape)
        slack, speed = b - v @ A.T, direction @ A.T
        with np.errstate(divide="ignore", invalid="ignore"):
            t = slack / speed
        ahead, behind = np.where(speed > 0, t, np.inf).min(axis=1), np.where(speed < 0, t, -np.inf).max(axis=1)
        at = behind + rng.random(len(v)) * (ahead - behind)
        v = v + np.where(np.isfinite(at), at, 0.0)[:, None] * direction
        if step >= warm and (step - warm) % k == k - 1:
            points[(step - warm) // k] = v
    chain = np.broadcast_to(np.arange(CHAINS), (kept, CHAINS)).ravel()
    return (points.reshape(-1, k) * half + centre)[:n], chain[:n]


def _inner_point(A: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The centre of the largest ball in { A v <= b }."""
    from scipy.optimize import linprog

    norms = np.linalg.norm(A, axis=1)
    k = A.shape[1]
    answer = linprog(np.append(np.zeros(k), -1.0), A_ub=np.column_stack([A, norms]), b_ub=b, bounds=[(None, None)] * k + [(0, None)],
                     method="highs")
    if answer.status != 0 or not answer.x[-1] > 0:
        raise DomainError("the analysis set is empty or has no interior: a set of full dimension is needed")
    return answer.x[:k]
