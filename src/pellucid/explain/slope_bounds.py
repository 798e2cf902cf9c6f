"""Bounds on the slopes of a network over a box, without enumerating its regions."""

from __future__ import annotations

import numpy as np

from ..chain import Chain, Elementwise, rounding, unit_intervals
from ..geometry import Slice
from ..tolerance import ON_FACE, ROUNDING_FACTOR


def slope_bounds(chain: Chain, domain: Slice) -> tuple[np.ndarray, np.ndarray]:
    """(lowest, highest), (c, k) each, that the slope of each output along each coordinate of u can have on any region.

    Needs     the chain of the network (not folded), and the domain.
    Sound     yes: a unit's slope is one of its pieces that its interval over the domain's bounding box meets (widened by the rounding
              floors), and interval products are widened by gamma_n |A| |B| for their own rounding (Higham 2002, 3.5).
    Complete  no: dependencies between units are lost.
    Source    interval arithmetic on the chain rule, forwards.
    """
    folded, floors = chain.fold(domain.x0, domain.P), rounding(chain, domain).floors
    bounds = unit_intervals(folded, *domain.bounds)
    low = high = np.eye(domain.dim)
    for stage, (lo, up), floor in zip(folded.stages, bounds, floors, strict=False):
        low, high = _product(stage.A, low, high)
        room = ROUNDING_FACTOR * floor + ON_FACE * np.maximum(np.abs(lo), np.abs(up))
        low, high = _through(stage.phi, low, high, lo - room, up + room)
    return _product(folded.A, low, high)


def _product(A, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of A S for S in [low, high]."""
    middle, radius = (low + high) / 2, (high - low) / 2
    gamma = (A.shape[1] + 4) * 2.0**-52
    size = abs(A) @ np.maximum(np.abs(low), np.abs(high))
    centre, reach = A @ middle, abs(A) @ radius + gamma * size
    return np.asarray(centre - reach), np.asarray(centre + reach)


def _through(phi, low: np.ndarray, high: np.ndarray, lo: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds behind phi of slopes in [low, high] (rows, k), for pre-activations in [lo, up]."""
    if not isinstance(phi, Elementwise):
        members, ptr = phi.members, phi.ptr[:-1]
        if not len(ptr):
            return low[:0], high[:0]
        return np.minimum.reduceat(low[members], ptr, axis=0), np.maximum.reduceat(high[members], ptr, axis=0)
    breaks, slopes, _ = phi.padded
    first, last = (breaks < lo[:, None]).sum(axis=1), (breaks <= up[:, None]).sum(axis=1)
    piece = np.arange(slopes.shape[1])
    met = (piece >= first[:, None]) & (piece <= last[:, None])
    least = np.where(met, slopes, np.inf).min(axis=1)[:, None]
    most = np.where(met, slopes, -np.inf).max(axis=1)[:, None]
    products = np.stack([least * low, least * high, most * low, most * high])
    widen = 2.0**-52 * np.abs(products).max(axis=0)
    return products.min(axis=0) - widen, products.max(axis=0) + widen
