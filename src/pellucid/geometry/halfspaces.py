"""Polytopes { u : G u <= h } by their halfspaces."""

from __future__ import annotations

import numpy as np

from ..errors import DomainError

_LP_MARGIN = 1e-7                  # what HiGHS allows its rows and multipliers

class Unbounded(DomainError):
    """The set reaches to infinity."""


_EMPTY = "the analysis set is empty or has no interior: a set of full dimension is needed"


def bounding_box(G: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(lower, upper), (k,) each, of { G u <= h }; DomainError where the set is empty, flat or unbounded.

    Rows that bound one coordinate are read off; the others, if they cut the box of those, by linear programming (HiGHS).
    """
    G, h = np.asarray(G, dtype=np.float64), np.asarray(h, dtype=np.float64)
    keep = np.isfinite(h)
    G, h = G[keep], h[keep]
    lower, upper, oblique = _axis_bounds(G, h)
    if len(oblique):
        finite = np.isfinite(lower).all() and np.isfinite(upper).all()
        cuts = not finite or np.any(np.maximum(G[oblique] * lower, G[oblique] * upper).sum(axis=1) > h[oblique])
        if cuts:
            low, up = _lp_bounds(G, h)
            margin = _LP_MARGIN * (up - low)       # a solver may stop a little short; the rows cut what is too much
            lower, upper = np.maximum(lower, low - margin), np.minimum(upper, up + margin)
    if not (np.isfinite(lower).all() and np.isfinite(upper).all()):
        raise Unbounded("the analysis set is unbounded: give finite bounds to every feature that moves")
    if not (upper - lower > 16 * np.finfo(float).eps * np.maximum(np.abs(lower), np.abs(upper))).all():
        raise DomainError(_EMPTY)
    return lower, upper


def _axis_bounds(G: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the rows with one non-zero entry say, and the numbers of the rows with more."""
    k = G.shape[1]
    lower, upper = np.full(k, -np.inf), np.full(k, np.inf)
    entries = (G != 0).sum(axis=1)
    if np.any(h[entries == 0] < 0):
        raise DomainError("the analysis set is empty: the fixed features lie outside their bounds")
    for r in np.flatnonzero(entries == 1):
        j = int(np.flatnonzero(G[r])[0])
        bound = h[r] / G[r, j]
        if G[r, j] > 0:
            upper[j] = min(upper[j], bound)
        else:
            lower[j] = max(lower[j], bound)
    return lower, upper, np.flatnonzero(entries > 1)


def _lp_bounds(G: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from scipy.optimize import linprog

    k = G.shape[1]
    norms = np.linalg.norm(G, axis=1)
    rows = norms > 0
    A, b = G[rows] / norms[rows, None], h[rows] / norms[rows]
    ends = np.empty((2, k))
    for j in range(k):
        for side, sign in enumerate((1.0, -1.0)):
            answer = linprog(sign * np.eye(k)[j], A_ub=A, b_ub=b, bounds=[(None, None)] * k, method="highs")
            if answer.status == 3:
                raise Unbounded("the analysis set is unbounded: give finite bounds to every feature that moves")
            if answer.status != 0:
                raise DomainError("the analysis set is empty: its constraints contradict each other")
            ends[side, j] = sign * answer.fun
    return ends[0], ends[1]
