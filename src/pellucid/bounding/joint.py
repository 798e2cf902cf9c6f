"""Rows that have to hold together: a positive mixture of them excludes what none of them excludes alone."""

from __future__ import annotations

import numpy as np

STEPS = 14
"""Of the interior point method. Mixtures are sound whatever it ends with; nine steps bring most of these small programmes to 1e-10."""

ENOUGH = 1e-12
"""Products of slacks and multipliers, rows being of size one, at which it ends."""

ELASTIC = 1e3
"""What facts may be broken for, beside rows of size one: an exact penalty unless multipliers have to be larger."""

UNIT = 2.0**-53

LOST = 2.0**-1021
"""More than what a product of numbers this small loses."""


def joint(slope: np.ndarray, offset: np.ndarray, lower: np.ndarray, upper: np.ndarray, fact: np.ndarray | None = None,
          level: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A lower bound (n,) of max_i (slope_i x + offset_i) over boxes cut with facts, the weights (n, m) behind it, and a point (n, k).

    Needs     slope (n, m, k), offset (n, m), boxes (n, k); fact (n, f, k), level (n, f), which say fact x + level <= 0; all finite.
    Gives     least over the box of sum_i w_i (slope_i x + offset_i) + sum_k beta_k (fact_k x + level_k), with w >= 0 of sum 1 and
              beta >= 0. The point lies in the box, and nearly where the largest row is least.
    Sound     for any w and beta, rounding included: products are off by gamma_n of their sizes. A positive bound says that the largest
              row is positive on the box cut with the facts (or that nothing is left of it).
    Source    weak duality of the linear programme, solved by a primal-dual interior point method (Mehrotra 1992), all boxes at once.
    """
    n, m, k = slope.shape
    middle, radius = lower + (upper - lower) / 2, (upper - lower) / 2
    fact, level = (np.zeros((n, 0, k)), np.zeros((n, 0))) if fact is None or level is None else (fact, level)
    rows, at = np.concatenate([slope, fact], axis=1), np.concatenate([offset, level], axis=1)
    A = rows * radius[:, None, :]                               # x = middle + radius y, y in [-1, 1]
    b = at + np.einsum("nrk,nk->nr", rows, middle)
    multipliers, y = _interior_point(A[:, :m], b[:, :m], A[:, m:], b[:, m:])
    multipliers = np.where(np.isfinite(multipliers), np.maximum(multipliers, 0.0), 0.0)
    total = multipliers[:, :m].sum(axis=1, keepdims=True)
    multipliers = np.where(total > 0, multipliers / np.where(total > 0, total, 1.0), 0.0)
    alone = (b - np.abs(A).sum(axis=2))[:, :m].argmax(axis=1)
    single = np.zeros_like(multipliers)
    single[np.arange(n), alone] = 1.0
    value, value_alone = (_below(w, rows, at, lower, upper) for w in (multipliers, single))
    better = (value > value_alone) & (multipliers.any(axis=1))
    found = np.where(better[:, None], multipliers, single)
    x = np.clip(middle + radius * np.nan_to_num(y), lower, upper)
    return np.where(better, value, value_alone), found[:, :m], x


def _interior_point(A: np.ndarray, a: np.ndarray, F: np.ndarray, f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Multipliers (n, rows + facts) and points y of: least t + ELASTIC e with A y + a <= t, F y + f <= e, -1 <= y <= 1, e >= 0."""
    n, m, k = A.shape
    q = F.shape[1]
    size_a = np.maximum(np.abs(A).sum(axis=(1, 2)) / max(m, 1) + np.abs(a).max(axis=1, initial=0.0), 1e-300)[:, None]
    size_f = np.maximum(np.abs(F).sum(axis=2) + np.abs(f), 1e-300)      # (n, q): each fact by itself
    G = np.zeros((n, m + q + 2 * k + 1, k + 2))                 # G v <= h, v = (y, t, e)
    h = np.zeros((n, m + q + 2 * k + 1))
    G[:, :m, :k], G[:, :m, k], h[:, :m] = A / size_a[..., None], -1.0, -a / size_a
    G[:, m : m + q, :k], G[:, m : m + q, k + 1], h[:, m : m + q] = F / size_f[..., None], -1.0, -f / size_f
    rest = m + q + np.arange(k)
    G[:, rest, np.arange(k)], G[:, rest + k, np.arange(k)], h[:, m + q : m + q + 2 * k] = 1.0, -1.0, 1.0
    G[:, -1, k + 1] = -1.0
    c = np.zeros(k + 2)
    c[k:] = 1.0, ELASTIC
    v = np.zeros((n, k + 2))
    v[:, k], v[:, k + 1] = (-h[:, :m]).max(axis=1, initial=0.0) + 1.0, np.maximum((-h[:, m : m + q]).max(axis=1, initial=0.0), 0.0) + 1.0
    s = h - np.einsum("nri,ni->nr", G, v)                       # positive: it starts inside
    z = np.full_like(s, 1.0)                                    # multipliers whose sums are right for t and e
    z[:, :m], z[:, -1] = 1.0 / max(m, 1), ELASTIC - q
    ends, going = (v.copy(), z.copy()), np.arange(n)            # and which programmes are still worked on
    with np.errstate(all="ignore"):
        for _ in range(STEPS):
            gap = (s * z).mean(axis=1, keepdims=True)
            if 2 * (left := gap[:, 0] > ENOUGH).sum() <= len(left):
                ends[0][going], ends[1][going], going = v, z, going[left]
                G, v, s, z, gap = (t[left] for t in (G, v, s, z, gap))
            if not len(going):
                break
            dual = np.einsum("nri,nr->ni", G, z) + c
            d = np.clip(z / s, 1e-16, 1e16)
            M = (G.transpose(0, 2, 1) * d[:, None, :]) @ G
            M[:, np.arange(k + 2), np.arange(k + 2)] += 1e-14 * (1.0 + M[:, np.arange(k + 2), np.arange(k + 2)])
            inverse = np.linalg.inv(M)
            ds, dz, _ = _direction(G, inverse, dual, d, s, -s * z)
            p, r = _step(s, ds), _step(z, dz)
            ahead = ((s + p * ds) * (z + r * dz)).mean(axis=1, keepdims=True)
            target = gap * np.clip(ahead / np.maximum(gap, 1e-300), 0.0, 1.0) ** 3
            ds, dz, dv = _direction(G, inverse, dual, d, s, target - s * z - ds * dz)
            p, r = 0.99 * _step(s, ds), 0.99 * _step(z, dz)
            fine = np.isfinite(dv).all(axis=1, keepdims=True) & np.isfinite(dz).all(axis=1, keepdims=True) & (gap > ENOUGH)
            v, s, z = (np.where(fine, old + step * new, old) for old, step, new in ((v, p, dv), (s, p, ds), (z, r, dz)))
    ends[0][going], ends[1][going] = v, z
    v, z = ends
    return np.concatenate([z[:, :m] / size_a, z[:, m : m + q] / size_f], axis=1), v[:, :k]


def _direction(G, inverse, dual, d, s, target) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ds, dz, dv) of Newton's equations for s z = target, where G v + s = h holds already."""
    dv = -np.einsum("nij,nj->ni", inverse, dual + np.einsum("nri,nr->ni", G, target / s))
    ds = -np.einsum("nri,ni->nr", G, dv)
    return ds, target / s - d * ds, dv


def _step(x: np.ndarray, dx: np.ndarray) -> np.ndarray:
    """(n, 1): how far x may go, at most 1."""
    return np.minimum(1.0, np.where(dx < 0, -x / np.where(dx < 0, dx, 1.0), 1.0).min(axis=1, keepdims=True))


def _below(w, slope, offset, lower, upper) -> np.ndarray:
    """The least of the mixture over each box, rounded down."""
    _, m, k = slope.shape
    g = np.einsum("nm,nmk->nk", w, slope)
    corner = np.where(g > 0, lower, upper)
    size = np.einsum("nm,nmk,nk->n", w, np.abs(slope), np.maximum(np.abs(lower), np.abs(upper))) + (w * np.abs(offset)).sum(axis=1)
    gamma = (m + 2) * (k + 2) * 4 * UNIT
    value = (g * corner).sum(axis=1) + (w * offset).sum(axis=1)
    lost = (m + 2) * (k + 2) * LOST * (1.0 + np.maximum(np.abs(lower), np.abs(upper)).sum(axis=1))
    return value - gamma * size - lost
