"""Bounds of every unit over an analysis set, and how far a computed pre-activation can be from the true one (numpy)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from ..geometry.slice import Slice
from .chain import Chain, Elementwise, Selection, Stage

UNIT = 2.0**-53
"""Unit roundoff of float64."""


def unit_intervals(chain: Chain, lower: np.ndarray, upper: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Interval bounds of the pre-activations of every stage, then of the outputs, over the box [lower, upper].

    Source: interval arithmetic (Moore 1966); in real arithmetic, see `outer_intervals`.
    """
    lo, up, bounds = np.asarray(lower, float), np.asarray(upper, float), []
    for stage in chain.stages:
        z = _affine_image(stage.A, stage.a, lo, up)
        bounds.append(z)
        lo, up = phi_image(stage.phi, *z)
    bounds.append(_affine_image(chain.A, chain.a, lo, up))
    return bounds


def outer_intervals(chain: Chain, lower: np.ndarray, upper: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """As `unit_intervals`, with all roundings taken outwards: the bounds hold."""
    lo, up, bounds = np.asarray(lower, float), np.asarray(upper, float), []
    for layer in (*chain.stages, chain):
        size = np.maximum(np.abs(lo), np.abs(up))
        slack = 2 * gamma(len(lo) + 6) * (abs(layer.A) @ size + np.abs(layer.a))
        lo, up = _affine_image(layer.A, layer.a, lo, up)
        lo, up = lo - slack, up + slack
        bounds.append((lo, up))
        if isinstance(layer, Chain):
            break
        size = np.maximum(np.abs(lo), np.abs(up))
        lo, up = phi_image(layer.phi, lo, up)
        if isinstance(layer.phi, Elementwise):
            _, slopes, offsets = layer.phi.padded
            slack = 4 * UNIT * (np.abs(slopes).max(axis=1, initial=0.0) * size + np.abs(offsets).max(axis=1, initial=0.0))
            lo, up = lo - slack, up + slack
    return bounds


def _affine_image(A, a, lo, up):
    middle, radius = A @ ((lo + up) / 2) + a, abs(A) @ ((up - lo) / 2)
    return middle - radius, middle + radius


def phi_image(phi: Elementwise | Selection, lo: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest value of each output for pre-activations in [lo, up]; tight."""
    if isinstance(phi, Selection):
        return phi(lo[:, None])[:, 0], phi(up[:, None])[:, 0]
    breaks, slopes, offsets = phi.padded
    ends = [phi(lo[:, None])[:, 0], phi(up[:, None])[:, 0]]
    low, high = np.minimum(*ends), np.maximum(*ends)
    for k in range(breaks.shape[1]):
        t = breaks[:, k]
        inside = (lo <= t) & (t <= up)
        t = np.where(inside, t, 0.0)
        for p in (k, k + 1):                       # both sides: a unit may step
            value = slopes[:, p] * t + offsets[:, p]
            low = np.where(inside, np.minimum(low, value), low)
            high = np.where(inside, np.maximum(high, value), high)
    return low, high


def rounding_floors(chain: Chain, domain: Slice) -> list[np.ndarray]:
    """How far the engines' pre-activation of each unit, G v + g at a point v of the domain, can be from the true one.

    Needs     the chain of the network (not folded) and the slice, of k dimensions; its bounding box is mapped to [-1, 1]^k.
    Gives     one (rows,) array for each stage and one for the outputs: |computed - true| <= floor, for every code.
    Sound     yes: an a-priori bound on the matrix products that make the local map M_l = [G_l | g_l]. With u the unit
              roundoff and gamma_n = n u / (1 - n u) (Higham 2002, 3.1): fl(A B) = A B + E, |E| <= gamma_n |A| |B|, so row j of
              stage l + 1 is off by at most |A_j|_2 (|D_l|_F + gamma_n |M_l|_F) with D_l the error of M_l after its slopes, in
              Frobenius norms, and |v, 1| <= sqrt(k + 1).
    Differs   norms, not intervals: interval growth is sqrt(n) / 2 a layer, spectral growth about 1.
    """
    lower, upper = domain.bounds
    centre, half = (lower + upper) / 2, (upper - lower) / 2
    x_size = np.abs(domain.x0) + np.abs(domain.P) @ (np.abs(centre) + half)
    first_A, first_a = (chain.stages[0].A, chain.stages[0].a) if chain.stages else (chain.A, chain.a)
    # the first affine layer meets the slice: A (x0 + P c) + a and A P h, each a sum of d products
    terms = abs(first_A) @ x_size + np.abs(first_a)
    floor = 2.0 * gamma(first_A.shape[1] + 8) * terms
    if not chain.stages:
        return [floor]
    G = first_A @ (domain.P * half)
    g = first_A @ (domain.x0 + domain.P @ centre) + first_a
    size, error = math.sqrt(_frobenius(G) ** 2 + float(g @ g)), math.sqrt(float(floor @ floor))
    floors, root = [floor], math.sqrt(domain.dim + 1.0)
    for layer in _layers(chain):
        terms = layer.terms_slope * size + layer.terms_offset
        size = layer.slope * size + layer.offset
        error = layer.slope * error * (1 + 4 * UNIT) + 2 * UNIT * size
        floors.append(layer.rows * (root * (error + layer.gamma * terms)) + root * layer.gamma * layer.a)
        error = layer.norm * error + layer.gamma * (layer.rows_norm * terms + layer.a_norm)
        size = layer.norm * size + layer.a_norm
    return floors


def gamma(n: int) -> float:
    return n * UNIT / (1 - n * UNIT)


def piece_terms(phi: Elementwise) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How large the terms are that an engine makes each piece of: (slopes, offsets, counts), (n, k + 1) each.

    At worst it begins with the lowest piece and adds the jump of each breakpoint passed, of value jump (z - t) + jump t + offset: the
    terms are at most slopes |z| + offsets, and so many sums go into the next layer.
    """
    breaks, slopes, offsets = phi.padded
    jump = np.abs(np.diff(slopes, axis=1))
    level = np.where(np.isfinite(breaks), np.abs(breaks), 0.0)
    first = np.abs(slopes[:, :1]), np.abs(offsets[:, :1])
    count = (first[0] > 0) | (first[1] > 0)
    rise = np.abs(np.diff(offsets, axis=1)) + 2 * jump * level
    return (np.cumsum(np.hstack([first[0], jump]), axis=1), np.cumsum(np.hstack([first[1], rise]), axis=1),
            np.cumsum(np.hstack([count, np.ones(breaks.shape, dtype=int)]), axis=1))


def most_terms(phi: Elementwise) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same, (n,) each, the largest of all pieces of a row."""
    slopes, offsets, counts = piece_terms(phi)
    within = np.arange(slopes.shape[1]) < phi.n_pieces[:, None]
    return tuple(np.where(within, v, 0).max(axis=1, initial=0) for v in (slopes, offsets, counts))


def _phi_size(phi: Elementwise | Selection) -> tuple[float, float, float, float, int]:
    """(slope, offset, slope, offset of the terms, number of terms): |phi(M)|_F <= slope |M|_F + offset, and likewise what it is made of."""
    if isinstance(phi, Selection):
        used = np.bincount(phi.members) if len(phi.members) else np.zeros(1)
        slope = float(np.sqrt(used.max(initial=1)))      # a row in k groups can win k times
        return slope, 0.0, slope, 0.0, phi.n_outputs
    _, slopes, offsets = phi.padded
    of_terms, level, count = most_terms(phi)
    return (float(np.abs(slopes).max(initial=1.0)), float(np.linalg.norm(np.abs(offsets).max(axis=1, initial=0.0))),
            float(of_terms.max(initial=1.0)), float(np.linalg.norm(level)), int(count.sum()))


@dataclass(frozen=True, eq=False)
class _Layer:
    """The sizes of one phi (`_phi_size`) and of the affine layer behind it, A s + a."""

    slope: float
    offset: float
    terms_slope: float
    terms_offset: float
    gamma: float
    rows: np.ndarray
    a: np.ndarray
    norm: float
    rows_norm: float
    a_norm: float


_LAYERS: WeakKeyDictionary[Chain, list[_Layer]] = WeakKeyDictionary()


def _layers(chain: Chain) -> list[_Layer]:
    """One a stage, made once for a chain."""
    found = _LAYERS.get(chain)
    if found is None:
        behind: list[Stage | Chain] = [*chain.stages[1:], chain]
        found = [_layer(stage.phi, layer.A, layer.a) for stage, layer in zip(chain.stages, behind, strict=True)]
        _LAYERS[chain] = found
    return found


def _layer(phi: Elementwise | Selection, A, a: np.ndarray) -> _Layer:
    rows = _row_norms(A)
    *sizes, terms = _phi_size(phi)
    return _Layer(*sizes, gamma(terms + 8), rows, np.abs(a), _spectral(A), float(np.linalg.norm(rows)),
                  float(np.linalg.norm(a)))


def _row_norms(A) -> np.ndarray:
    return np.sqrt(np.asarray((A * A).sum(axis=1)).ravel())


def _spectral(A) -> float:
    """An upper bound of |A|_2.

    With B = A^T A (or A A^T): |A|_2^16 = |B|_2^8 = |B^8|_2 <= |B^8|_F, at most n^(1/32) too large, by a few matrix products;
    sqrt(|A|_1 |A|_inf) where A is sparse or large.
    """
    magnitude = abs(A)
    simple = float(np.sqrt(np.max(magnitude.sum(axis=0), initial=0) * np.max(magnitude.sum(axis=1), initial=0)))
    if not isinstance(A, np.ndarray) or not 0 < min(A.shape) <= 1024 or simple == 0:
        return simple
    scaled = A / simple
    B = scaled.T @ scaled if A.shape[0] >= A.shape[1] else scaled @ scaled.T
    power, log_size = 1, 0.0                       # B^power = (the B at hand) e^log_size
    for _ in range(3):
        size = _frobenius(B)
        B, power, log_size = (B / size) @ (B / size), 2 * power, 2 * (log_size + np.log(size))
    bound = simple * float(np.exp((np.log(_frobenius(B)) + log_size) / (2 * power)))
    return min(simple, bound * (1 + 1e-6))         # the roundings of these products are far below 1e-6


def _frobenius(B: np.ndarray) -> float:
    return float(np.sqrt(np.einsum("ij,ij->", B, B)))        # no BLAS: its threads cost more than the sum
