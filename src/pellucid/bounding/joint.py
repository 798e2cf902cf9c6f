"""Rows that have to hold together: a positive mixture of them excludes what none of them excludes alone."""

from __future__ import annotations

import numpy as np

STEPS = 24
"""Of the search for weights: the bound is sound for any weights, and seldom grows after twenty."""

UNIT = 2.0**-53


def joint(slope: np.ndarray, offset: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A lower bound (n,) of max_i (slope_i x + offset_i) over boxes, and the weights (n, m) behind it.

    Needs     slope (n, m, k), offset (n, m), boxes (n, k); all finite.
    Gives     least over the box of sum_i w_i (slope_i x + offset_i) with w >= 0 of sum 1, which is below the largest of the rows.
    Sound     for any w, rounding included: the middle's products and those of the radius are off by gamma_n of their sizes.
    Source    weak duality; w by exponentiated gradient (Kivinen & Warmuth 1997), from the row that is best alone.
    """
    n, m, _ = slope.shape
    middle, radius = lower + (upper - lower) / 2, (upper - lower) / 2
    alone = offset + np.einsum("nmk,nk->nm", slope, middle) - np.einsum("nmk,nk->nm", np.abs(slope), radius)
    best = alone.argmax(axis=1)
    w_best, value_best = np.eye(m)[best], alone[np.arange(n), best]
    scale = np.maximum(np.ptp(alone, axis=1), 1e-300)[:, None]
    log_w = np.zeros((n, m))
    for step in range(STEPS):
        w = np.exp(log_w - log_w.max(axis=1, keepdims=True))
        w /= w.sum(axis=1, keepdims=True)
        g = np.einsum("nm,nmk->nk", w, slope)
        x = middle - np.sign(g) * radius                        # where the mixture is least: its rows there are the slope in w
        rows = offset + np.einsum("nmk,nk->nm", slope, x)
        value = (w * rows).sum(axis=1)
        better = value > value_best
        value_best, w_best = np.where(better, value, value_best), np.where(better[:, None], w, w_best)
        log_w += 3.0 / np.sqrt(step + 1.0) * rows / scale
    return _below(w_best, slope, offset, lower, upper), w_best


def _below(w, slope, offset, lower, upper) -> np.ndarray:
    """The least of the mixture over each box, rounded down."""
    _, m, k = slope.shape
    g = np.einsum("nm,nmk->nk", w, slope)
    corner = np.where(g > 0, lower, upper)
    size = np.einsum("nm,nmk,nk->n", w, np.abs(slope), np.maximum(np.abs(lower), np.abs(upper))) + (w * np.abs(offset)).sum(axis=1)
    gamma = (m + 2) * (k + 2) * 4 * UNIT
    value = (g * corner).sum(axis=1) + (w * offset).sum(axis=1)
    return value - gamma * size
