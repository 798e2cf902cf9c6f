"""Polygons cut where a linear function crosses given levels: the exact areas between level lines."""

from __future__ import annotations

import numpy as np


def bands(ptr: np.ndarray, vertices: np.ndarray, values: np.ndarray, levels: np.ndarray):
    """Cut convex polygons by the level lines of functions that are linear on each.

    ptr: (P + 1,), vertices: (V, 2), values: (V,) of the polygon's own function; levels: (n + 1,) ascending, enclosing all
    values. Gives (ptr, vertices, band, polygon): band b has levels[b] <= value <= levels[b + 1]; polygon: which was cut.
    """
    low, high = np.minimum.reduceat(values, ptr[:-1]), np.maximum.reduceat(values, ptr[:-1])
    last = len(levels) - 2
    begin = np.clip(np.searchsorted(levels, low, side="right") - 1, 0, last)
    end = np.clip(np.searchsorted(levels, high, side="left") - 1, begin, last)
    copies = end - begin + 1
    polygon = np.repeat(np.arange(len(ptr) - 1), copies)
    band = np.repeat(begin - np.cumsum(copies) + copies, copies) + np.arange(copies.sum())
    sizes = np.diff(ptr)[polygon]
    out = np.concatenate([[0], np.cumsum(sizes)])
    index = np.repeat(ptr[polygon] - out[:-1], sizes) + np.arange(out[-1])
    v, f = vertices[index], values[index]
    whole = copies[polygon] == 1
    lower = np.where(whole, -np.inf, levels[band])
    upper = np.where(whole, np.inf, levels[band + 1])
    out, v, f = _clip(out, v, f, lower, 1.0)
    out, v, f = _clip(out, v, f, upper, -1.0)
    kept = np.diff(out) >= 3
    sizes = np.diff(out)
    v = v[np.repeat(kept, sizes)]
    return np.concatenate([[0], np.cumsum(sizes[kept])]), v, band[kept], polygon[kept]


def _clip(ptr: np.ndarray, v: np.ndarray, f: np.ndarray, level: np.ndarray, sign: float):
    """The parts where sign (f - level) >= 0, level one a polygon: each edge gives its start, if inside, and its crossing."""
    sizes = np.diff(ptr)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    follower = np.arange(1, len(v) + 1)
    filled = sizes > 0
    follower[ptr[1:][filled] - 1] = ptr[:-1][filled]
    s = sign * (f - level[owner])
    with np.errstate(invalid="ignore", divide="ignore"):
        t = s / (s - s[follower])
        crossing = (s > 0) & (s[follower] < 0) | (s < 0) & (s[follower] > 0)
        crossing &= np.isfinite(t)
    t = np.where(crossing, t, 0.0)
    points = np.stack([v, v + t[:, None] * (v[follower] - v)], axis=1)
    found = np.stack([f, np.where(crossing, level[owner], 0.0)], axis=1)
    keep = np.stack([s >= 0, crossing], axis=1)
    counts = np.bincount(owner, weights=keep.sum(axis=1), minlength=len(sizes)).astype(np.int64)
    return np.concatenate([[0], np.cumsum(counts)]), points[keep], found[keep]
