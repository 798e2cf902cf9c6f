"""Bounds on the slopes of a network over a box, without enumerating its regions."""

from __future__ import annotations

import numpy as np

from ..chain import UNIT, Chain, Elementwise
from ..chain.intervals import phi_image
from ..geometry import Slice


def slope_bounds(chain: Chain, domain: Slice) -> tuple[np.ndarray, np.ndarray]:
    """(lowest, highest), (c, k) each, that the slope of each output along each coordinate of u can have on any region.

    Needs     the chain of the network (not folded), and the domain.
    Sound     yes, rounding included: a unit's slope is one of its pieces that its interval over the domain's bounding box meets, and
              every product A B is widened by 2 gamma_n |A| |B| (Higham 2002, 3.5).
    Complete  no: dependencies between units are lost.
    Source    interval arithmetic on the chain rule, forwards (Moore 1966).
    """
    lo, up = domain.bounds
    low = high = np.eye(domain.dim)
    for l, layer in enumerate((*chain.stages, chain)):
        A, a, more, doubt = layer.A, layer.a, 0.0, np.zeros(domain.dim)
        if l == 0:              # the first layer meets the slice, A (x0 + P u) + a: folded, with what the folding rounds
            gamma, size = _gamma(A), abs(A)
            more = gamma * (size @ np.abs(domain.x0) + np.abs(a))
            a, doubt, A = A @ domain.x0 + a, gamma * (size @ np.abs(domain.P)), A @ domain.P
        low, high = _product(A, low, high)
        low, high = np.where(doubt > 0, low - doubt, low), np.where(doubt > 0, high + doubt, high)
        if layer is chain:
            return low, high
        lo, up = _image(A, a, lo, up, more + doubt @ np.maximum(np.abs(lo), np.abs(up)) if l == 0 else 0.0)
        low, high = _through(layer.phi, low, high, lo, up)
        lo, up = phi_image(layer.phi, lo, up)
        lo, up = lo - 4 * UNIT * np.abs(lo), up + 4 * UNIT * np.abs(up)
    raise AssertionError("bug: the output layer is the last")


def _gamma(A) -> float:
    return 2 * (A.shape[1] + 8) * UNIT


def _image(A, a: np.ndarray, lo: np.ndarray, up: np.ndarray, more) -> tuple[np.ndarray, np.ndarray]:
    """A s + a for s in [lo, up], `more` wider."""
    size = abs(A)
    middle, radius = A @ ((lo + up) / 2) + a, size @ ((up - lo) / 2)
    radius = radius + more + 2 * _gamma(A) * (size @ np.maximum(np.abs(lo), np.abs(up)) + np.abs(a))
    return middle - radius, middle + radius


def _product(A, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of A S for S in [low, high]. A sum whose terms all have one sign has that sign, whatever is rounded."""
    size = abs(A)
    up, down = (size + A) / 2, (size - A) / 2
    centre, reach = A @ ((low + high) / 2), size @ ((high - low) / 2)
    reach = reach + 2 * _gamma(A) * (size @ np.maximum(np.abs(low), np.abs(high)))
    least, most = np.asarray(centre - reach), np.asarray(centre + reach)
    never_below = (up @ np.minimum(low, 0) - down @ np.maximum(high, 0)) == 0
    never_above = (up @ np.maximum(high, 0) - down @ np.minimum(low, 0)) == 0
    return np.where(never_below, np.maximum(least, 0), least), np.where(never_above, np.minimum(most, 0), most)


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
    widen = 2 * UNIT * np.abs(products)
    return (products - widen).min(axis=0), (products + widen).max(axis=0)
