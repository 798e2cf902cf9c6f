"""Where a softmax probability rises or falls with a feature inside regions whose margins disagree (SPEC 4)."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from ..atlas import Atlas
from ..atlas.frame import interior_points
from ..atlas.polytopes import facets_of
from ..tolerance import LP_ROOM

NODES = 300
"""Parts into which one region is divided before it is given up."""


@dataclass(frozen=True, eq=False)
class Settled:
    """rises, falls: (m, k) points in u at which the probability does so. is_settled: it moves in no other way in the regions asked
    about; reason: in words."""

    rises: np.ndarray
    falls: np.ndarray
    is_settled: bool
    reason: str


def settle(atlas: Atlas, rows: np.ndarray, margins: np.ndarray, others: np.ndarray, rises: bool, falls: bool,
           seconds: float | None) -> Settled:
    """Which way p_c moves along a direction in regions where its margins over the `others` move both ways.

    Needs     margins (m, c - 1): slopes of f_c - f_k along the direction on these rows; whether rises and falls are known elsewhere.
    Gives     points; is_settled where only one sign occurs, and that is proved on every row.
    Sound     p_c' has the sign of sum_k m_k exp(y_k), positive terms P minus negative terms N, y affine on the region.
              log P is convex, so P >= exp(l) with l its tangent; N exp(-l) <= sum of exp of maxima, each bounded by a linear
              programme. Below 1 - LP_ROOM: no change of sign. Else the region is divided.
    Complete  no: regions on which P - N comes near 0 without a change of sign stay open, as does what budgets cut off.
    """
    at = interior_points(atlas)[rows]
    rate = _rates(atlas, rows, margins, others, at)
    up, down = list(at[rate > 0]), list(at[rate < 0])
    rises, falls = rises or bool(up), falls or bool(down)
    started, open_rows = time.perf_counter(), 0
    for sign in ((+1,) if rises else (-1,)):
        for i, row in enumerate(rows):
            if rises and falls:
                break
            if seconds is not None and time.perf_counter() - started > seconds:
                open_rows += len(rows) - i
                break
            against, is_proved = _against(atlas, int(row), sign * margins[i], others)
            open_rows += against is None and not is_proved
            if against is not None:
                (down if sign > 0 else up).append(against)
                rises, falls = True, True
    mixed = f"{len(rows)} regions in which margins move both ways"
    reason = f"{open_rows} of {mixed} could not be settled" if open_rows else f"{mixed} settled by linear programmes"
    k = atlas.domain.dim
    return Settled(np.array(up).reshape(-1, k), np.array(down).reshape(-1, k), not open_rows and not (rises and falls), reason)


def _rates(atlas: Atlas, rows: np.ndarray, margins: np.ndarray, others: np.ndarray, u: np.ndarray) -> np.ndarray:
    """(m,) sum_k m_k exp(y_k) up to a positive factor."""
    y = (np.einsum("mck,mk->mc", atlas.coef_u[rows], u) + atlas.intercept_u[rows])[:, others]
    return np.einsum("mk,mk->m", np.exp(y - y.max(axis=1, keepdims=True)), margins)


def _against(atlas: Atlas, row: int, margins: np.ndarray, others: np.ndarray) -> tuple[np.ndarray | None, bool]:
    """(a point of the region at which sum_k m_k exp(y_k) < 0, or None; whether there is proved to be none)."""
    lower, upper = atlas.domain.bounds
    centre, half = (lower + upper) / 2, (upper - lower) / 2
    A, b = _halfspaces(atlas, row)
    A, b = A * half, b - A @ centre                            # in coordinates where the domain is [-1, 1]^k
    C, e = atlas.coef_u[row][others] * half, atlas.coef_u[row][others] @ centre + atlas.intercept_u[row][others]
    plus, minus = margins > 0, margins < 0
    P, N = _Exponentials(margins[plus], C[plus], e[plus]), _Exponentials(-margins[minus], C[minus], e[minus])
    pending = [(A, b, (interior_points(atlas)[row] - centre) / half)]
    for _ in range(NODES):
        if not pending:
            return None, True
        A, b, anchor = pending.pop()
        log_P, slope = P.log(anchor)
        D, d = N.C - slope, N.e - (log_P - slope @ anchor)       # exponents of N exp(-l)
        tops = [_maximise(row_, A, b) for row_ in D]
        if any(t is None for t in tops):
            return None, False
        ends = np.array([t[0] for t in tops])
        for v in ends:
            if P.log(v)[0] < N.log(v)[0] - LP_ROOM:
                return centre + half * v, False
        if np.sum(N.w * np.exp(np.minimum([t[1] for t in tops] + d, 700.0))) <= 1 - LP_ROOM:
            continue
        halves = _halves(A, b, D[int(np.argmax([t[1] for t in tops] + d + np.log(N.w)))], ends, anchor)
        if halves is None:
            return None, False
        pending += halves
    return None, False


@dataclass(frozen=True, eq=False)
class _Exponentials:
    """sum_k w_k exp(C_k v + e_k), w > 0."""

    w: np.ndarray
    C: np.ndarray
    e: np.ndarray

    def log(self, v: np.ndarray) -> tuple[float, np.ndarray]:
        """(its logarithm, the slope of that) at v."""
        z = self.C @ v + self.e + np.log(self.w)
        top = z.max()
        share = np.exp(z - top)
        return float(top + np.log(share.sum())), share @ self.C / share.sum()


def _halves(A: np.ndarray, b: np.ndarray, g: np.ndarray, ends: np.ndarray, anchor: np.ndarray) -> list | None:
    """The part cut across g, halfway between its largest and smallest value, each half with an anchor inside; None where that fails."""
    size, low, high = float(np.linalg.norm(g)), _maximise(-g, A, b), _maximise(g, A, b)
    if size <= 1e-300 or low is None or high is None:
        return None
    middle = float(g @ (high[0] + low[0])) / 2
    parts = []
    for sign, end in ((+1, high[0]), (-1, low[0])):
        rows, offsets = np.vstack([A, -sign * g / size]), np.append(b, -sign * middle / size)
        inside = [p for p in (*ends, anchor) if sign * (g @ p - middle) >= 0]
        parts.append((rows, offsets, np.mean([end, *inside], axis=0)))
    return parts


def _maximise(g: np.ndarray, A: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, float] | None:
    """(where, an upper bound of how large) g v is largest on { A v <= b }, part of [-1, 1]^k; None where the programme fails.

    Sound     by weak duality, whatever the solver's tolerances: g v <= l b + |g - A' l|_1 for any l >= 0 and |v_j| <= 1.
    """
    from scipy.optimize import linprog

    size = max(float(np.abs(g).max()), 1e-300)
    answer = linprog(-g / size, A_ub=A, b_ub=b, bounds=[(None, None)] * len(g), method="highs")
    if answer.status != 0:
        return None
    multipliers = np.maximum(-answer.ineqlin.marginals * size, 0.0)
    return answer.x, float(multipliers @ b + np.abs(g - multipliers @ A).sum())


def _halfspaces(atlas: Atlas, row: int) -> tuple[np.ndarray, np.ndarray]:
    if not atlas.is_planar:
        found = facets_of(atlas, [row])
        return found.A, found.b
    ptr = atlas.cells.vertex_ptr
    v = atlas.cells.vertices[ptr[row]:ptr[row + 1]]
    edge = np.roll(v, -1, axis=0) - v
    A = np.column_stack([edge[:, 1], -edge[:, 0]])
    A = A / np.maximum(np.hypot(*A.T), 1e-300)[:, None]
    return A, np.einsum("ij,ij->i", A, v)
