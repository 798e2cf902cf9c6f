"""All linear regions in exact rational arithmetic: slow, without a tolerance, the reference for the engines.

A cell is a polygon with Fraction vertices and the affine maps (g_x, g_y, h) of all rows on it. Each unit divides each cell into
the parts where it is on one piece; parts without area are no regions.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import scipy.sparse as sp

from pellucid.chain.chain import Chain, Selection

Point = tuple[Fraction, Fraction]
Map = tuple[Fraction, Fraction, Fraction]


def regions(chain: Chain, polygon, split=None) -> dict[tuple, Fraction]:
    """{(code, first, second): area}; first and second are -1 where they are not asked for."""
    corners = [(Fraction(float(x)), Fraction(float(y))) for x, y in polygon]
    inputs = [(Fraction(1), Fraction(0), Fraction(0)), (Fraction(0), Fraction(1), Fraction(0))]
    cells = [((), corners, inputs)]
    for stage in chain.stages:
        A, a = _exact(stage.A), [Fraction(float(v)) for v in stage.a]
        enter = _select if isinstance(stage.phi, Selection) else _bend
        cells = [part for code, p, maps in cells for part in enter(stage.phi, code, p, _affine(A, a, maps))]
    A, a = _exact(chain.A), [Fraction(float(v)) for v in chain.a]
    found: dict[tuple, Fraction] = {}
    for code, p, maps in cells:
        for first, second, q in _final(p, _affine(A, a, maps), split):
            key = (code, first, second)
            found[key] = found.get(key, Fraction(0)) + area(q)
    return found


def area(p: list[Point]) -> Fraction:
    return sum((p[i - 1][0] * p[i][1] - p[i][0] * p[i - 1][1] for i in range(len(p))), Fraction(0)) / 2


def _exact(A) -> list[list[tuple[int, Fraction]]]:
    A = A.toarray() if sp.issparse(A) else np.asarray(A)
    return [[(j, Fraction(float(v))) for j, v in enumerate(row) if v != 0] for row in A]


def _affine(A, a, maps: list[Map]) -> list[Map]:
    out = []
    for row, offset in zip(A, a, strict=True):
        z = [Fraction(0), Fraction(0), offset]
        for j, v in row:
            for c in range(3):
                z[c] += v * maps[j][c]
        out.append(tuple(z))
    return out


def at_least(p: list[Point], g: Map) -> list[Point]:
    """The part of p where g >= 0; [] if it has no area."""
    z = [g[0] * x + g[1] * y + g[2] for x, y in p]
    if min(z) >= 0:
        return p
    if max(z) <= 0:
        return []
    out = []
    for i in range(len(p)):
        (x0, y0), (x1, y1), z0, z1 = p[i - 1], p[i], z[i - 1], z[i]
        if (z0 > 0 and z1 < 0) or (z0 < 0 and z1 > 0):
            t = z0 / (z0 - z1)
            out.append((x0 + t * (x1 - x0), y0 + t * (y1 - y0)))
        if z1 >= 0:
            out.append(p[i])
    return out if len(out) > 2 else []


def _between(p, g: Map, lower, upper) -> list[Point]:
    if lower is not None:
        p = at_least(p, (g[0], g[1], g[2] - lower))
    if p and upper is not None:
        p = at_least(p, (-g[0], -g[1], upper - g[2]))
    return p


def _bend(phi, code, p, z):
    """Divide by the pieces of elementwise units."""
    parts = [(code, p, [])]
    for i in range(phi.n_outputs):
        ts = [Fraction(float(t)) for t in phi.breaks[phi.ptr[i]:phi.ptr[i + 1]]]
        at = phi.ptr[i] + i
        pieces = [(Fraction(float(phi.slopes[at + k])), Fraction(float(phi.offsets[at + k]))) for k in range(len(ts) + 1)]
        g = z[i]
        divided = []
        for c, q, s in parts:
            if g[0] == 0 and g[1] == 0:                     # constant: at a breakpoint the lower piece
                some = [(sum(t < g[2] for t in ts), q)]
            else:
                ends = [None, *ts, None]
                some = [(k, _between(q, g, ends[k], ends[k + 1])) for k in range(len(ts) + 1)]
            for k, r in some:
                if r:
                    m, o = pieces[k]
                    divided.append((c + ((k,) if ts else ()), r, [*s, (m * g[0], m * g[1], m * g[2] + o)]))
        parts = divided
    return parts


def _minus(a: Map, b: Map) -> Map:
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2])


def _winners(p, z: list[Map]):
    """(index, part) where each is the largest, the first of equals."""
    for k, g in enumerate(z):
        if g in z[:k]:
            continue
        q = p
        for j, other in enumerate(z):
            if j != k and q:
                q = at_least(q, _minus(g, other))
        if q:
            yield k, q


def _select(phi, code, p, z):
    parts = [(code, p, [])]
    for i in range(phi.n_outputs):
        members = phi.members[phi.ptr[i]:phi.ptr[i + 1]]
        column = len(members) > 1
        parts = [(c + ((k,) if column else ()), r, [*s, z[members[k]]])
                 for c, q, s in parts for k, r in _winners(q, [z[m] for m in members])]
    return parts


def _final(p, y, split):
    if split is None:
        yield -1, -1, p
    elif split == "argmax":
        for k, q in _winners(p, y):
            yield k, -1, q
    elif split == "top2":
        for k, q in _winners(p, y):
            rest = [j for j in range(len(y)) if j != k]
            for second, r in _winners(q, [y[j] for j in rest]):
                yield k, rest[second], r
    else:
        yield from _labels(p, y, [Fraction(float(t)) for t in split[1]], 0, 0)


def _labels(p, y, thresholds, j, mask):
    if j == len(y):
        yield mask, -1, p
        return
    g = _minus(y[j], (Fraction(0), Fraction(0), thresholds[j]))
    if g[0] == 0 and g[1] == 0:
        yield from _labels(p, y, thresholds, j + 1, mask | (g[2] > 0) << j)
        return
    for bit, q in ((0, at_least(p, _minus((0, 0, 0), g))), (1, at_least(p, g))):
        if q:
            yield from _labels(q, y, thresholds, j + 1, mask | bit << j)
