"""All linear regions over a polytope of any dimension in exact rational arithmetic: slow, without a tolerance.

A cell is a list of vertices with the constraints that are tight at each; two vertices are adjacent when the normals of their
common tight constraints have rank d - 1. Each unit divides each cell into the parts where it is on one piece.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import scipy.sparse as sp

from pellucid.chain.chain import Chain, Selection

Row = tuple[Fraction, ...]                    # g_1, ..., g_d, h: g.x + h


class Cell:
    def __init__(self, rows: list[Row], vertices: list[tuple[Fraction, ...]]):
        self.rows = rows                       # g.x + h >= 0
        self.vertices = vertices
        self.tight = [frozenset(i for i, r in enumerate(rows) if value(r, v) == 0) for v in vertices]

    def at_least(self, g: Row) -> Cell | None:
        """The part where g >= 0; None if it has no volume."""
        z = [value(g, v) for v in self.vertices]
        if min(z) >= 0:
            return self
        if max(z) <= 0:
            return None
        up, down = [i for i, a in enumerate(z) if a > 0], [i for i, a in enumerate(z) if a < 0]
        new = [self.vertices[i] for i, a in enumerate(z) if a >= 0]
        for i, j in product(up, down):
            if self.adjacent(i, j):
                t = z[i] / (z[i] - z[j])
                new.append(tuple(p + t * (q - p) for p, q in zip(self.vertices[i], self.vertices[j], strict=True)))
        rows = [*self.rows, g]
        used = set().union(*(frozenset(k for k, r in enumerate(rows) if value(r, v) == 0) for v in new))
        return Cell([rows[k] for k in sorted(used)], new)

    def adjacent(self, i: int, j: int) -> bool:
        common, d = self.tight[i] & self.tight[j], len(self.vertices[0])
        return len(common) >= d - 1 and rank([list(self.rows[k][:d]) for k in common]) == d - 1


def value(g: Row, v) -> Fraction:
    return sum((a * b for a, b in zip(g, v, strict=False)), g[-1])


def rank(M: list[list[Fraction]]) -> int:
    M, r = [list(row) for row in M], 0
    for c in range(len(M[0]) if M else 0):
        pivot = next((i for i in range(r, len(M)) if M[i][c] != 0), None)
        if pivot is None:
            continue
        M[r], M[pivot] = M[pivot], M[r]
        for i in range(r + 1, len(M)):
            f = M[i][c] / M[r][c]
            if f:
                M[i] = [a - f * b for a, b in zip(M[i], M[r], strict=True)]
        r += 1
    return r


def box_cell(lo, hi) -> Cell:
    d = len(lo)
    lo, hi = [Fraction(float(v)) for v in lo], [Fraction(float(v)) for v in hi]
    unit = [[Fraction(int(a == b)) for b in range(d)] for a in range(d)]
    rows = [(*(-u for u in unit[a]), hi[a]) for a in range(d)] + [(*unit[a], -lo[a]) for a in range(d)]
    return Cell(rows, list(product(*zip(lo, hi, strict=True))))


def regions(chain: Chain, cell: Cell, split=None) -> set[tuple]:
    """{(code, first, second)}; first and second are -1 where they are not asked for."""
    d = chain.n_inputs
    inputs = [(*(Fraction(int(a == b)) for b in range(d)), Fraction(0)) for a in range(d)]
    cells = [((), cell, inputs)]
    for stage in chain.stages:
        A, a = _exact(stage.A), [Fraction(float(v)) for v in stage.a]
        enter = _select if isinstance(stage.phi, Selection) else _bend
        cells = [part for code, p, maps in cells for part in enter(stage.phi, code, p, _affine(A, a, maps, d))]
    A, a = _exact(chain.A), [Fraction(float(v)) for v in chain.a]
    return {(code, first, second) for code, p, maps in cells for first, second in _final(p, _affine(A, a, maps, d), split)}


def _exact(A):
    A = A.toarray() if sp.issparse(A) else np.asarray(A)
    return [[(j, Fraction(float(v))) for j, v in enumerate(row) if v != 0] for row in A]


def _affine(A, a, maps, d):
    return [tuple(sum((v * maps[j][c] for j, v in row), offset if c == d else Fraction(0)) for c in range(d + 1))
            for row, offset in zip(A, a, strict=True)]


def _minus(a: Row, b: Row) -> Row:
    return tuple(p - q for p, q in zip(a, b, strict=True))


def _level(g: Row, t: Fraction) -> Row:
    return (*g[:-1], g[-1] - t)


def _negative(g: Row) -> Row:
    return tuple(-a for a in g)


def _bend(phi, code, p, z):
    parts = [(code, p, [])]
    for i in range(phi.n_outputs):
        ts = [Fraction(float(t)) for t in phi.breaks[phi.ptr[i]:phi.ptr[i + 1]]]
        at = phi.ptr[i] + i
        pieces = [(Fraction(float(phi.slopes[at + k])), Fraction(float(phi.offsets[at + k]))) for k in range(len(ts) + 1)]
        parts = [(c + ((k,) if ts else ()), r, [*s, _bent(z[i], *pieces[k])]) for c, q, s in parts for k, r in _pieces(q, z[i], ts)]
    return parts


def _bent(g, slope, offset):
    return (*(slope * a for a in g[:-1]), slope * g[-1] + offset)


def _pieces(q, g, ts):
    if not any(g[:-1]):                        # constant: at a breakpoint the lower piece
        yield sum(t < g[-1] for t in ts), q
        return
    for k in range(len(ts) + 1):
        r = q if k == 0 else q.at_least(_level(g, ts[k - 1]))
        if r is not None and k < len(ts):
            r = r.at_least(_negative(_level(g, ts[k])))
        if r is not None:
            yield k, r


def _winners(p, z):
    for k, g in enumerate(z):
        if g in z[:k]:
            continue
        q = p
        for j, other in enumerate(z):
            if j != k and q is not None and other != g:
                q = q.at_least(_minus(g, other))
        if q is not None:
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
        yield -1, -1
    elif split == "argmax":
        yield from ((k, -1) for k, _ in _winners(p, y))
    elif split == "top2":
        for k, q in _winners(p, y):
            rest = [j for j in range(len(y)) if j != k]
            yield from ((k, rest[second]) for second, _ in _winners(q, [y[j] for j in rest]))
    else:
        yield from ((mask, -1) for mask in _labels(p, y, [Fraction(float(t)) for t in split[1]], 0, 0))


def _labels(p, y, thresholds, j, mask):
    if j == len(y):
        yield mask
        return
    g = _level(y[j], thresholds[j])
    if not any(g[:-1]):
        yield from _labels(p, y, thresholds, j + 1, mask | (g[-1] > 0) << j)
        return
    for bit, q in ((0, p.at_least(_negative(g))), (1, p.at_least(g))):
        if q is not None:
            yield from _labels(q, y, thresholds, j + 1, mask | bit << j)
