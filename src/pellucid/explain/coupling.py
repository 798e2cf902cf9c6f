"""What two copies of a network that share most inputs have in common: how far apart their units can be."""

from __future__ import annotations

import time

import numpy as np
import scipy.sparse as sp

from ..chain import Chain, Elementwise, Selection
from ..geometry.milp import Program
from ..regions.milp import Encoding
from ..tolerance import SOLVER_MARGIN

Affine = tuple[sp.csr_array, np.ndarray]
Range = tuple[np.ndarray, np.ndarray]


def couple(program: Program, chain: Chain, first: Encoding, second: Encoding, apart: Range, *, tight: bool,
           deadline: float = np.inf) -> Range:
    """Rows that bind the units of two copies of a chain to each other, and the range of the outputs' difference.

    Needs     apart: (lower, upper) of the second copy's inputs less the first's. tight: ranges of differences over the linear
              relaxation too, as `encode` does for units.
    Gives     nothing that a pair of rows does not obey: the programme's solutions stay, its relaxation shrinks.
    Sound     a continuous unit with slopes in [m, M] has m dz <= ds <= M dz where dz >= 0 (turned round below 0), by its mean
              slope; over dz in [L, U] around 0 the chords of both bounds. Ranges are widened by SOLVER_MARGIN.
    Source    differential bounds of ReLU networks: Paulsen, Wang & Wang 2020 (ReluDiff), for any slopes.
    """
    low, up = apart
    for k, stage in enumerate(chain.stages):
        low, up = _widened(*_image(stage.A, low, up))
        own = [(b.bounds[k][0], b.bounds[k][1]) for b in (first, second)]
        low, up = np.maximum(low, own[1][0] - own[0][1]), np.minimum(up, own[1][1] - own[0][0])
        low, up = np.minimum(low, up), np.maximum(low, up)
        dz = _difference(program, second.pre[k], first.pre[k])
        if tight:
            low, up = _by_programmes(program, dz, low, up, deadline)
        if isinstance(stage.phi, Selection):
            rows = stage.phi.padded
            low, up = low[rows].min(axis=1), up[rows].max(axis=1)
            continue
        slopes = _slopes(stage.phi, *_hull(own))
        if not np.isfinite(slopes[0]).all():                            # a unit that steps: its copies can be apart at once
            low, up = _stepping(stage.phi, own)
            continue
        low, up = _bind(program, dz, _difference(program, second.post[k], first.post[k]), low, up, *slopes)
    return _widened(*_image(chain.A, low, up))


def _bind(program: Program, dz: Affine, ds: Affine, low, up, m, M) -> Range:
    """ds under the chord of max(m dz, M dz), over that of min(m dz, M dz); its range."""
    top = np.maximum(m * low, M * low), np.maximum(m * up, M * up)
    bottom = np.minimum(m * low, M * low), np.minimum(m * up, M * up)
    width = np.where(up > low, up - low, 1.0)
    for (at_low, at_up), side in ((top, -1.0), (bottom, 1.0)):
        slope = np.where(up > low, (at_up - at_low) / width, 0.0)
        offset = at_low - slope * low                                   # side * (ds - slope dz - offset) >= 0
        A = side * (ds[0] - sp.diags_array(slope) @ dz[0])
        b = side * (offset - ds[1] + slope * dz[1])
        wobble = SOLVER_MARGIN * (np.abs(at_low) + np.abs(at_up))
        use = np.diff(sp.csr_array(A).indptr) > 0
        program.constrain(sp.csr_array(A)[use], np.arange(program.n_columns), (b - wobble)[use], np.inf)
    return _widened(np.minimum(*bottom), np.maximum(*top))


def _slopes(phi: Elementwise, low: np.ndarray, up: np.ndarray) -> Range:
    """(least, largest) slope of each unit on the pieces that [low, up] meets; not finite where it jumps between them."""
    breaks, slopes, offsets = phi.padded
    n, k = breaks.shape
    ends = np.hstack([np.full((n, 1), -np.inf), breaks, np.full((n, 1), np.inf)])
    met = (ends[:, :-1] <= up[:, None]) & (ends[:, 1:] >= low[:, None]) & (np.arange(k + 1) < phi.n_pieces[:, None])
    least, most = np.where(met, slopes, np.inf).min(axis=1), np.where(met, slopes, -np.inf).max(axis=1)
    t = np.where(np.isfinite(breaks), breaks, 0.0)
    here, there = slopes[:, :-1] * t + offsets[:, :-1], slopes[:, 1:] * t + offsets[:, 1:]
    size = np.abs(here) + np.abs(there) + np.abs(offsets[:, 1:]) + np.abs(slopes[:, 1:] * t)
    jumps = (np.isfinite(breaks) & met[:, :-1] & met[:, 1:] & (np.abs(there - here) > 8 * np.finfo(float).eps * size)).any(axis=1)
    return np.where(jumps, np.nan, least), np.where(jumps, np.nan, most)


def _stepping(phi: Elementwise, own: list[Range]) -> Range:
    from ..chain.intervals import phi_image

    (low1, up1), (low2, up2) = (phi_image(phi, *one) for one in own)
    return low2 - up1, up2 - low1


def _hull(own: list[Range]) -> Range:
    return np.minimum(own[0][0], own[1][0]), np.maximum(own[0][1], own[1][1])


def _difference(program: Program, a: Affine, b: Affine) -> Affine:
    """a - b over all columns that there are by now."""
    wide = [sp.csr_array((A.data, A.indices, A.indptr), shape=(A.shape[0], program.n_columns)) for A, _ in (a, b)]
    D = sp.csr_array(wide[0] - wide[1])
    D.eliminate_zeros()
    return D, a[1] - b[1]


def _by_programmes(program: Program, dz: Affine, low, up, deadline: float) -> Range:
    """Ranges of differences that can have either sign over the linear relaxation, by multipliers of its rows."""
    low, up = low.copy(), up.copy()
    D, d = dz
    for i in np.flatnonzero((low < 0) & (up > 0)):
        span = slice(D.indptr[i], D.indptr[i + 1])
        for side in (1.0, -1.0):
            left = deadline - time.perf_counter()
            if left <= 0:
                return low, up
            found = program.minimise(side * D.data[span], D.indices[span], relaxed=True, max_seconds=left if np.isfinite(left) else None)
            if found.duals is None:
                continue
            bound = program.proved_bound(side * D.data[span], D.indices[span], found.duals, offset=side * d[i])
            bound = side * (bound - SOLVER_MARGIN * (1 + abs(bound)))
            if side > 0:
                low[i] = min(max(low[i], bound), up[i])
            else:
                up[i] = max(min(up[i], bound), low[i])
    return low, up


def _image(A, low, up) -> Range:
    middle, radius = A @ ((low + up) / 2), abs(A) @ ((up - low) / 2)
    return middle - radius, middle + radius


def _widened(low, up) -> Range:
    """Outwards by more than rounding; what cannot differ stays so."""
    margin = np.where((low == 0) & (up == 0), 0.0, SOLVER_MARGIN * np.maximum(np.abs(low), np.abs(up)))
    return low - margin, up + margin
