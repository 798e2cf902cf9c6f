"""How far the linear model of a region can be from the network on the region's cells, proved, for regions given by their codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..geometry.slice import Slice
from ..tolerance import GEOMETRIC, ROUNDING_FACTOR, SIMPLEX
from .chain import Chain, Elementwise, Selection, Stage
from .intervals import UNIT, gamma, most_terms, piece_terms, rounding_floors, unit_intervals
from .local_maps import BATCH_BYTES


@dataclass(frozen=True, eq=False)
class Models:
    """Linear models of regions, with what they can be wrong by: |coef u + intercept - f(x0 + P u)| <= error on every cell.

    coef: (K, c, k), intercept: (K, c), in u. error: (K, c), rounding and misjudged signs together. values: (K, c) of the models'
    own rounding alone.
    """

    coef: np.ndarray
    intercept: np.ndarray
    error: np.ndarray
    rounding: np.ndarray


def deviation(chain: Chain, domain: Slice, codes: np.ndarray, floors: list[np.ndarray], *, slivers: bool = True) -> Models:
    """The linear models of regions, and proved bounds of their distance to the network.

    Needs     the chain of the network (not folded), the slice; codes: (K, columns) pieces; floors: what the engine decided signs
              by. A cell of code k is where no computed pre-activation lies beyond its breakpoint, seen from its piece, by
              more than tol = 2 ROUNDING_FACTOR floor + thickness |g|: that is how the search engine cuts (design/rounding.md).
    Gives     Models.
    Sound     yes, whatever the floors are, proofs or estimates: with z' the pre-activation when all units are held at the
              code's pieces, computed with an error of at most e (running error analysis, Higham 2002, 3.3), z' is at most
              tol + e beyond a breakpoint. With D >= |z' - z| for the true z,
                  |piece(z') - phi(z)| <= |piece(z') - phi(z')| + |phi(z') - phi(z)| <= jump in slope (tol + e) + slope D
              and D of the next stage is |A| times that, 0 at the first. Slopes are those of the pieces that are reached.
    """
    lower, upper = domain.bounds
    chain_u = chain.fold(domain.x0, domain.P)
    first = rounding_floors(chain, domain)[0]
    widest = max([s.A.shape[0] for s in chain.stages] + [chain.n_outputs, domain.dim, 1])
    step = max(1, BATCH_BYTES // (8 * widest * (3 * domain.dim + 20)))
    work = _Forward(chain_u, (lower + upper) / 2, (upper - lower) / 2, first, floors, thickness(domain.dim, slivers))
    parts = [work.run(np.asarray(codes[k:k + step])) for k in range(0, max(len(codes), 1), step)]
    return Models(*(np.concatenate([p[i] for p in parts]) for i in range(4)))


def deviation_bound(chain: Chain, domain: Slice, floors: list[np.ndarray], *, slivers: bool = True) -> np.ndarray:
    """(c,) as `deviation`'s error, for all codes at once: no region's model is farther from the network. Wider, and made at once.

    Source: as `deviation`, with the largest sizes that interval arithmetic allows for any code.
    """
    lower, upper = domain.bounds
    chain_u, k = chain.fold(domain.x0, domain.P), domain.dim
    thick = thickness(k, slivers)
    bounds = unit_intervals(chain_u, lower, upper)
    size = np.abs(lower + upper) / 2 + (upper - lower) / 2
    turn_g, e, D, T, N = (upper - lower) / 2, np.zeros(k), np.zeros(k), size, k
    for l, layer in enumerate((*chain_u.stages, chain_u)):
        A = abs(layer.A)
        own = (gamma(len(size) + 4) + gamma(N + 9)) * (A @ T + np.abs(layer.a))
        e = A @ e + own + (2 * rounding_floors(chain, domain)[0] if l == 0 else 0.0)
        size, turn_g, D = A @ size + np.abs(layer.a), A @ turn_g, A @ D
        if isinstance(layer, Chain):
            break
        phi, tol = layer.phi, 2 * ROUNDING_FACTOR * np.asarray(floors[l])
        beyond = tol + thick * turn_g + 2 * e
        if isinstance(phi, Selection):
            rows = phi.padded
            D = 2 * beyond[rows].max(axis=1) + D[rows].max(axis=1)
            size, turn_g, e = (v[rows].max(axis=1) for v in (size, turn_g, e))
            T, N = size + 2 * e, len(rows)
            continue
        steep, turn, jump, offset = _reached(phi, bounds[l][0] - e - D, bounds[l][1] + e + D)
        D = turn * beyond + steep * D + jump
        of_terms, level, count = most_terms(phi)
        T, N = of_terms * (size + 2 * e) + level, int(count.sum())
        size, turn_g, e = steep * size + offset, steep * turn_g, steep * e + 4 * UNIT * (steep * size + offset)
    return (e + D + 4 * (k + 2) * UNIT * size) * (1 + 1e-6)


def _reached(phi: Elementwise, low: np.ndarray, up: np.ndarray):
    """Of the pieces that a unit reaches on [low, up]: (largest |slope|, largest turn, sum of jumps, largest |offset|)."""
    breaks, slopes, offsets = phi.padded
    n = len(breaks)
    ends = np.column_stack([np.full(n, -np.inf), breaks, np.full(n, np.inf)])
    reached = (ends[:, :-1] <= up[:, None]) & (ends[:, 1:] >= low[:, None]) & (np.arange(slopes.shape[1]) < phi.n_pieces[:, None])
    steep = np.where(reached, np.abs(slopes), 0.0).max(axis=1)
    turn = np.where(reached, slopes, -np.inf).max(axis=1) - np.where(reached, slopes, np.inf).min(axis=1)
    t = np.where(np.isfinite(breaks), breaks, 0.0)
    step = np.abs(np.diff(slopes, axis=1) * t + np.diff(offsets, axis=1))
    jump = np.where(reached[:, :-1] & reached[:, 1:], step, 0.0).sum(axis=1)
    return steep, turn, jump, np.where(reached, np.abs(offsets), 0.0).max(axis=1)


class _Forward:
    """All of it for a batch: maps (rows, K, k + 1) in the coordinates v of the bounding box, then errors (rows, K)."""

    def __init__(self, chain: Chain, centre, half, first, floors, thick: float):
        self.chain, self.centre, self.half, self.first, self.floors, self.thick = chain, centre, half, first, floors, thick

    def run(self, codes: np.ndarray):
        K, k = len(codes), len(self.half)
        M = np.repeat(np.column_stack([np.diag(self.half), self.centre])[:, None, :], K, axis=1)
        e = np.zeros((k, K))                       # |computed - exact| of the held maps, anywhere in the box
        D = np.zeros((k, K))                       # |held - true| on the cells
        T, N = np.abs(M).sum(axis=2), np.full(K, k)            # sizes and number of the terms that an engine sums up
        for l, (stage, (start, outputs)) in enumerate(zip(self.chain.stages, self.chain.columns, strict=True)):
            M, e, D = self._affine(stage, M, e, D, T, N, l)
            piece = np.zeros((stage.phi.n_outputs, K), dtype=np.intp)
            piece[outputs] = codes[:, start:start + len(outputs)].T
            tol = 2 * ROUNDING_FACTOR * np.asarray(self.floors[l])
            through = _elementwise if isinstance(stage.phi, Elementwise) else _selection
            T, N = _terms(stage.phi, np.abs(M).sum(axis=2) + 2 * e, piece)
            M, e, D = through(stage.phi, M, e, D, piece, tol, self.thick)
        M, e, D = self._affine(self.chain, M, e, D, T, N, len(self.chain.stages))
        M, e, D = M.transpose(1, 0, 2), e.T, D.T
        coef = M[:, :, :-1] / self.half
        shift = coef @ self.centre
        e = e + 4 * (k + 2) * UNIT * (np.abs(coef) @ (np.abs(self.centre) + self.half) + np.abs(M[:, :, -1]))
        return coef, M[:, :, -1] - shift, (e + D) * (1 + 1e-6), e * (1 + 1e-6)       # the 1e-6: roundings of these sums themselves

    def _affine(self, layer: Stage | Chain, M, e, D, T, N, l: int):
        A, magnitude = layer.A, abs(layer.A)
        n, K, width = M.shape
        Z = np.asarray(A @ M.reshape(n, -1)).reshape(-1, K, width)
        Z[:, :, -1] += layer.a[:, None]
        # the bounds of two summations: an engine sums in another order
        own = (gamma(n + 4) + gamma(N + 9)) * (magnitude @ T + np.abs(layer.a)[:, None])
        error = magnitude @ e + own
        if l == 0:
            error = error + 2 * self.first[:, None]
        return Z, error, magnitude @ D


def _terms(phi: Elementwise | Selection, size, piece):
    """Sizes (n, K) and numbers (K,) of the terms that outputs are made of, from the sizes of the pre-activations."""
    if isinstance(phi, Selection):
        rows = phi.padded[np.arange(len(piece))[:, None], piece]
        return size[rows, np.arange(size.shape[1])], np.full(size.shape[1], len(piece))
    slope, offset, count = (v[np.arange(len(piece))[:, None], piece] for v in piece_terms(phi))
    return slope * size + offset, count.sum(axis=0)


def thickness(k: int, slivers: bool = True) -> float:
    """How far a cell of the search engine can reach beyond a halfspace of its code, beside rounding; twice over, in [-1, 1]^k."""
    return float(2 * np.sqrt(k) * (2 * GEOMETRIC * slivers + 2 * SIMPLEX * k))


def _elementwise(phi: Elementwise, Z, e, D, piece, tol, thick: float):
    breaks, slopes, offsets = phi.padded
    n, row = len(breaks), np.arange(len(breaks))[:, None]
    slope, offset = slopes[row, piece], offsets[row, piece]
    beyond = tol[:, None] + thick * np.linalg.norm(Z[:, :, :-1], axis=2) + 2 * e
    # which pieces are reached, by the held or the true value
    radius, wide = np.abs(Z[:, :, :-1]).sum(axis=2), e + D
    low, up = Z[:, :, -1] - radius - wide, Z[:, :, -1] + radius + wide
    steepest, turn, jump = np.abs(slope), np.zeros_like(slope), np.zeros_like(slope)
    for p in range(slopes.shape[1]):
        above = breaks[:, p - 1, None] <= up if p else np.ones((n, 1), dtype=bool)
        below = breaks[:, p, None] >= low if p < breaks.shape[1] else np.ones((n, 1), dtype=bool)
        exists = (p < phi.n_pieces)[:, None]
        reached = above & below & exists
        steepest = np.maximum(steepest, np.where(reached, np.abs(slopes[:, p, None]), 0.0))
        turn = np.maximum(turn, np.where(reached, np.abs(slopes[:, p, None] - slope), 0.0))
        if p < breaks.shape[1]:
            t = np.where(np.isfinite(breaks[:, p]), breaks[:, p], 0.0)
            step = np.abs((slopes[:, p + 1] - slopes[:, p]) * t + offsets[:, p + 1] - offsets[:, p])
            jump += np.where((breaks[:, p, None] <= up) & below & (p + 1 < phi.n_pieces)[:, None], step[:, None], 0.0)
    D = turn * beyond + steepest * D + jump
    S = Z * slope[:, :, None]
    S[:, :, -1] += offset
    e = np.abs(slope) * e + 4 * UNIT * (np.abs(slope) * np.abs(Z).sum(axis=2) + np.abs(offset))
    return S, e, D


def _selection(phi: Selection, Z, e, D, piece, tol, thick: float):
    rows, place = phi.padded, np.arange(phi.padded.shape[1])
    group = np.arange(len(rows))[:, None]
    winner = rows[group, piece]                                                     # (g, K)
    at = np.arange(Z.shape[1])
    S, held, off = Z[winner, at], e[winner, at], np.zeros(winner.shape)
    worst = D[winner, at]
    for m in place:
        other = rows[:, m]
        apart = np.linalg.norm(Z[other][:, :, :-1] - S[:, :, :-1], axis=2)
        beyond = tol[other][:, None] + tol[winner] + thick * apart + 2 * (e[other] + held)
        high = (Z[other] - S)[:, :, -1] + np.abs((Z[other] - S)[:, :, :-1]).sum(axis=2)       # can it win in the box at all?
        open_ = (other[:, None] != winner) & (high + e[other] + held + D[other] + D[winner, at] >= 0)
        off = np.maximum(off, np.where(open_, beyond, 0.0))
        worst = np.maximum(worst, np.where(open_, D[other], 0.0))
    return S, held, off + worst
