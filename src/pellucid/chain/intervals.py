"""Bounds of every unit over an analysis set, and how far a computed pre-activation can be from the true one (numpy)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from weakref import WeakKeyDictionary

import numpy as np

from ..geometry.slice import Slice
from ..tolerance import PROOF_WIDTH, ROUNDING_FACTOR
from .chain import Chain, Elementwise, Selection, Stage

UNIT = 2.0**-53
"""Unit roundoff of float64."""


def unit_intervals(chain: Chain, lower: np.ndarray, upper: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Interval bounds of the pre-activations of every stage, then of the outputs, over the box [lower, upper].

    Source: interval arithmetic (Moore 1966); in real arithmetic, rounding is `rounding_floors`' business.
    """
    lo, up, bounds = np.asarray(lower, float), np.asarray(upper, float), []
    for stage in chain.stages:
        z = _affine_image(stage.A, stage.a, lo, up)
        bounds.append(z)
        lo, up = phi_image(stage.phi, *z)
    bounds.append(_affine_image(chain.A, chain.a, lo, up))
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
    floor = 2.0 * _gamma(first_A.shape[1] + 8) * terms
    if not chain.stages:
        return [floor]
    G = first_A @ (domain.P * half)
    g = first_A @ (domain.x0 + domain.P @ centre) + first_a
    size, error = math.sqrt(_frobenius(G) ** 2 + float(g @ g)), math.sqrt(float(floor @ floor))
    floors, root = [floor], math.sqrt(domain.dim + 1.0)
    for layer in _layers(chain):
        size = layer.slope * size + layer.offset
        error = layer.slope * error * (1 + 4 * UNIT) + 2 * UNIT * size
        floors.append(layer.rows * (root * (error + layer.gamma * size)) + root * layer.gamma * layer.a)
        error = layer.norm * error + layer.gamma * (layer.rows_norm * size + layer.a_norm)
        size = layer.norm * size + layer.a_norm
    return floors


@dataclass(frozen=True, eq=False)
class Rounding:
    """What signs are decided against. floors: for each stage, then the outputs, (rows,); a pre-activation within
    ROUNDING_FACTOR times its floor of a breakpoint counts as on it.

    is_proved: the floors are `rounding_floors`, a proof; else some are estimates, since the proved ones are too wide to decide
    by. width: the largest ROUNDING_FACTOR * proved floor, relative to the size of its unit on the domain.
    """

    floors: list[np.ndarray]
    is_proved: bool
    width: float


def rounding(chain: Chain, domain: Slice) -> Rounding:
    """The proved floors where they are narrow (PROOF_WIDTH), else the smaller of them and an estimate of the errors.

    Norms bound the worst case: over many layers they grow far beyond the errors that occur, and signs decided against them would
    be wrong wherever a unit is smaller. So they only serve where they are small beside the units, each beside itself: one that is
    small by cancellation is not measured by its layer.
    """
    proved = rounding_floors(chain, domain)
    lower, upper = domain.bounds
    points = _directions(domain.dim) * ((upper - lower) / 2) + (lower + upper) / 2
    sizes = _sizes(chain, domain.point(points).T)
    width = ROUNDING_FACTOR * max(float((f / s).max(initial=0.0)) for f, s in zip(proved, sizes, strict=True))
    if width <= PROOF_WIDTH:
        return Rounding(proved, True, width)
    estimates = _estimated_floors(chain, domain, points, proved[0])
    floors = [np.where(ROUNDING_FACTOR * f <= PROOF_WIDTH * s, f, np.minimum(f, e))
              for f, e, s in zip(proved, estimates, sizes, strict=True)]
    return Rounding(floors, False, width)


@lru_cache(maxsize=64)
def _directions(dim: int) -> np.ndarray:
    """Where in the domain sizes of units are looked at: always the same places."""
    return np.random.default_rng(0).uniform(-1, 1, (8, dim))


def _sizes(chain: Chain, s: np.ndarray) -> list[np.ndarray]:
    """How large each pre-activation gets at the points s (d, n); a thousandth of the largest of its stage where it is 0 at all of them.

    A unit is 0 there because all that enters it is off, and has no error then. What is left of a cancellation is not 0.
    """
    sizes = []
    for layer in (*chain.stages, chain):
        z = layer.A @ s
        z += layer.a[:, None]
        own = np.abs(z).max(axis=1, initial=0.0)
        sizes.append(np.maximum(np.where(own > 0, own, 1e-3 * own.max(initial=0.0)), 1e-300))
        if isinstance(layer, Stage):
            s = layer.phi(z)
    return sizes


def _estimated_floors(chain: Chain, domain: Slice, points: np.ndarray, first: np.ndarray) -> list[np.ndarray]:
    """How large rounding errors are, as independent random errors would add up, (rows,) for each stage and the outputs.

    Source    Higham & Mary 2019 (probabilistic rounding error analysis): errors of a sum of n terms grow with sqrt(n), not n.
    Differs   sizes of the local maps are the largest at some points of the domain; no proof.
    """
    lower, upper = domain.bounds
    P, x0 = domain.P * ((upper - lower) / 2), domain.x0 + domain.P @ ((lower + upper) / 2)
    d, n = len(x0), len(points)
    maps = np.repeat(np.column_stack([P, x0])[:, :, None], n, axis=2).reshape(d, -1)      # [G | g] at each point
    v = np.vstack([((points - (lower + upper) / 2) / ((upper - lower) / 2)).T, np.ones(n)])
    variance, floors = np.zeros(d), []
    for l, layer in enumerate((*chain.stages, chain)):
        terms = layer.A.shape[1] + 4
        square = layer.A * layer.A
        size = np.abs(maps).reshape(len(maps), -1, n).sum(axis=1).max(axis=1)
        variance = square @ (variance + UNIT**2 * terms * size**2) + UNIT**2 * terms * layer.a**2
        floors.append(first if l == 0 else 2.0 * np.sqrt(variance))
        if l == 0:
            variance = first**2
        if isinstance(layer, Stage):
            z = (layer.A @ maps).reshape(layer.A.shape[0], -1, n)
            z[:, -1] += layer.a[:, None]
            maps, variance = _through(layer.phi, z, np.einsum("rkn,kn->rn", z, v), variance)
    return floors


def _through(phi: Elementwise | Selection, z: np.ndarray, at: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps (rows, k + 1, n) and variances behind phi, where the pre-activations at the points are `at` (rows, n)."""
    piece, n = phi.piece(at), np.arange(at.shape[1])
    if isinstance(phi, Selection):
        winners = phi.members[phi.ptr[:-1, None] + piece]
        return z[winners, :, n].transpose(0, 2, 1).reshape(len(winners), -1), variance[winners].max(axis=1)
    _, slopes, offsets = phi.padded
    rows = np.arange(len(at))[:, None]
    z = z * slopes[rows, piece][:, None, :]
    z[:, -1] += offsets[rows, piece]
    return z.reshape(len(z), -1), variance * (slopes**2).max(axis=1)


def _gamma(n: int) -> float:
    return n * UNIT / (1 - n * UNIT)


def _phi_size(phi: Elementwise | Selection) -> tuple[float, float]:
    """(largest |slope|, 2-norm of the largest offsets): |phi(M)|_F <= slope |M|_F + offset."""
    if isinstance(phi, Selection):
        used = np.bincount(phi.members) if len(phi.members) else np.zeros(1)
        return float(np.sqrt(used.max(initial=1))), 0.0      # a row in k groups can win k times
    _, slopes, offsets = phi.padded
    return float(np.abs(slopes).max(initial=1.0)), float(np.linalg.norm(np.abs(offsets).max(axis=1, initial=0.0)))


@dataclass(frozen=True, eq=False)
class _Layer:
    """The sizes of one phi and of the affine layer behind it: |phi(M)|_F <= slope |M|_F + offset, then A s + a."""

    slope: float
    offset: float
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
    return _Layer(*_phi_size(phi), _gamma(phi.n_outputs + 8), rows, np.abs(a), _spectral(A), float(np.linalg.norm(rows)),
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
