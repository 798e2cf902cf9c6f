"""Polytopes { u : G u <= h } by their halfspaces."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..errors import DomainError


class Unbounded(DomainError):
    """The set reaches to infinity."""


_EMPTY = "the analysis set is empty or has no interior: a set of full dimension is needed"
_UNBOUNDED = "the analysis set is unbounded: give finite bounds to every feature that moves"


_MARGIN = 1e-6                    # a box made by linear programming is that much too large, relative to its sides
_ROUNDS = 40                      # each at least halves a side: from 1 to below the last digit


def bounding_box(G: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(lower, upper), (k,) each, of { G u <= h }; DomainError where the set is empty, flat or unbounded.

    Rows that bound one coordinate are read off; the others, if they cut the box of those, by linear programming (HiGHS).
    Never too small, whatever the units of the coordinates: `_proved_ends`.
    """
    G, h = np.asarray(G, dtype=np.float64), np.asarray(h, dtype=np.float64)
    keep = np.isfinite(h)
    G, h = np.ascontiguousarray(G[keep]), np.ascontiguousarray(h[keep])
    lower, upper = _bounds(G.shape[1], G.tobytes(), h.tobytes())
    return lower.copy(), upper.copy()


def roomy_box(G: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`bounding_box`, moved outwards a little where no single row makes the side: such sides cut nothing, the rows do."""
    lower, upper = bounding_box(G, h)
    margin = _MARGIN * (upper - lower)
    own_lower, own_upper, _ = _axis_bounds(np.asarray(G), np.asarray(h))
    return np.maximum(lower - margin, own_lower), np.minimum(upper + margin, own_upper)


@lru_cache(maxsize=64)
def _bounds(k: int, G_bytes: bytes, h_bytes: bytes) -> tuple[np.ndarray, np.ndarray]:
    G, h = np.frombuffer(G_bytes).reshape(-1, k), np.frombuffer(h_bytes)
    lower, upper, oblique = _axis_bounds(G, h)
    if len(oblique):
        finite = np.isfinite(lower).all() and np.isfinite(upper).all()
        if finite:
            _demand_interior(lower, upper)
        if not finite or np.any(np.maximum(G[oblique] * lower, G[oblique] * upper).sum(axis=1) > h[oblique]):
            lower, upper = polytope_bounds(G, h)
    if not (np.isfinite(lower).all() and np.isfinite(upper).all()):
        raise Unbounded(_UNBOUNDED)
    _demand_interior(lower, upper)
    return lower, upper


def _demand_interior(lower: np.ndarray, upper: np.ndarray) -> None:
    if not (upper - lower > 16 * np.finfo(float).eps * np.maximum(np.abs(lower), np.abs(upper))).all():
        raise DomainError(_EMPTY)


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


def polytope_bounds(G: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`bounding_box` by linear programmes alone.

    A solver's tolerances are absolute: in units where the set is 1e-7 large it would find it empty, or a side off by its
    length. So programmes are solved in coordinates where the best box so far is [-1, 1]^k, until that does not shrink.
    """
    lower, upper, _ = _axis_bounds(G, h)
    own_lower, own_upper = lower, upper
    if not (np.isfinite(lower).all() and np.isfinite(upper).all()):
        lower, upper = _first_box(G, h)
    for _ in range(_ROUNDS):
        middle, half = (lower + upper) / 2, (upper - lower) / 2
        low, high = _proved_ends(G * half, h - G @ middle)
        lower, upper = np.maximum(middle + low * half, own_lower), np.minimum(middle + high * half, own_upper)
        _demand_interior(lower, upper)
        if (high - low > 1).all():
            break
    return lower, upper


def _first_box(G: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Some box around a set that single rows do not bound; DomainError where it is unbounded or empty."""
    scale = 1 / np.maximum(np.abs(G).max(axis=0, initial=0.0), 1e-300)
    norms = np.linalg.norm(G * scale, axis=1)
    rows = norms > 0
    A, b = (G * scale)[rows] / norms[rows, None], h[rows] / norms[rows]
    unit = max(float(np.abs(b).max(initial=0.0)), 1e-300)
    ends = np.array([[sign * _lowest(sign * e, A, b / unit, None)[0] for e in np.eye(len(scale))] for sign in (1.0, -1.0)]) * scale * unit
    room = np.maximum(ends[1] - ends[0], 1e-6 * scale * unit)        # what the solver's tolerances may have cut off
    return ends[0] - room, ends[1] + room


def _proved_ends(A: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(low, high): { A v <= b } in [-1, 1]^k lies between them. Wide by the solver's tolerances, never narrow.

    Source: for any y >= 0, c.v <= b.y + |c - A' y|_1 on the set (Neumaier & Shcherbina 2004); y are the solver's multipliers.
    """
    k = A.shape[1]
    norms = np.linalg.norm(A, axis=1)
    rows = norms > 0
    A, b = A[rows] / norms[rows, None], b[rows] / norms[rows]
    ends = np.ones((2, k))
    for side, sign in enumerate((-1.0, 1.0)):
        for j in range(k):
            c = sign * np.eye(k)[j]
            _, y = _lowest(-c, A, b, (-1, 1))
            used = np.flatnonzero(y > 0)
            terms = b[used] * y[used]
            bound = terms.sum() + np.abs(c - y[used] @ A[used]).sum()
            ends[side, j] = min(1.0, bound + (k + len(used) + 8) * np.finfo(float).eps * (1 + np.abs(terms).sum() + y[used].sum()))
    return -ends[0], ends[1]


def _lowest(c: np.ndarray, A: np.ndarray, b: np.ndarray, bounds) -> tuple[float, np.ndarray]:
    """(min c.v over { A v <= b }, multipliers of the rows)."""
    from scipy.optimize import linprog

    sharp = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    answer = linprog(c, A_ub=A, b_ub=b, bounds=bounds if bounds is not None else (None, None), method="highs", options=sharp)
    if answer.status == 3:
        raise Unbounded(_UNBOUNDED)
    if answer.status != 0:
        raise DomainError("the analysis set is empty: its constraints contradict each other")
    return float(answer.fun), -np.asarray(answer.ineqlin.marginals)
