"""Slow references in any dimension: all regions by linear programmes (HiGHS), and on a line by a sweep."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.optimize import linprog

from pellucid.chain.chain import Chain, Selection

THICK = 1e-7


def box_rows(lo, hi) -> tuple[np.ndarray, np.ndarray]:
    """G, h of the box."""
    lo, hi = np.asarray(lo, float), np.asarray(hi, float)
    eye = np.eye(len(lo))
    return np.vstack([eye, -eye]), np.concatenate([hi, -lo])


def radius(A, b) -> float:
    """Of the largest ball in { A u <= b }; negative where that is empty."""
    A, b = np.asarray(A), np.asarray(b)
    norms = np.linalg.norm(A, axis=1)
    if np.any((norms < 1e-12) & (b < -1e-12)):
        return -1.0
    A, b, norms = A[norms >= 1e-12], b[norms >= 1e-12], norms[norms >= 1e-12]
    c = np.zeros(A.shape[1] + 1)
    c[-1] = -1
    answer = linprog(c, A_ub=np.column_stack([A, norms]), b_ub=b, bounds=[(None, None)] * A.shape[1] + [(-1, None)], method="highs")
    return -answer.fun if answer.status == 0 else -1.0


def regions(chain: Chain, G, h) -> set[tuple[int, ...]]:
    """The codes of all regions in which a ball of radius THICK fits, canonical."""
    k = chain.n_inputs
    cells = [((), list(G), list(h), np.eye(k), np.zeros(k))]
    for stage in chain.stages:
        cells = [part for cell in cells for part in _divide(stage, *cell)]
    return {code for code, *_ in cells}


def _divide(stage, code, A, b, S, s):
    W = stage.A.toarray() if hasattr(stage.A, "toarray") else stage.A
    Z, z = W @ S, W @ s + stage.a
    parts = [(code, A, b, [], [])]
    for i in range(stage.phi.n_outputs):
        parts = [new for part in parts for new in _pieces(stage.phi, i, Z, z, *part)]
    return [(c, p, q, np.array(T).reshape(-1, S.shape[1]), np.array(t)) for c, p, q, T, t in parts]


def _pieces(phi, i, Z, z, code, A, b, T, t):
    """The parts of a cell on the pieces of output i: (code, A, b, maps of the outputs so far)."""
    choices = list(_choices(phi, i, Z, z))
    if len(choices) == 1:
        _, _, _, G, g = choices[0]
        return [(code, A, b, [*T, G], [*t, g])]
    out = []
    for piece, rows, offsets, G, g in choices:
        if _constant(rows) and not _canonical(phi, i, z, piece, rows):
            continue
        if radius([*A, *rows], [*b, *offsets]) > THICK:
            out.append(((*code, piece), [*A, *rows], [*b, *offsets], [*T, G], [*t, g]))
    return out


def _choices(phi, i, Z, z):
    """(piece, rows and offsets of where it is taken, map there)."""
    if isinstance(phi, Selection):
        members = phi.members[phi.ptr[i]:phi.ptr[i + 1]]
        for p, w in enumerate(members):
            others = [m for m in members if m != w]
            yield p, [Z[m] - Z[w] for m in others], [z[w] - z[m] for m in others], Z[w], z[w]
        return
    breaks = phi.breaks[phi.ptr[i]:phi.ptr[i + 1]]
    for p in range(len(breaks) + 1):
        rows, offsets = [], []
        if p > 0:
            rows.append(-Z[i])
            offsets.append(z[i] - breaks[p - 1])
        if p < len(breaks):
            rows.append(Z[i])
            offsets.append(breaks[p] - z[i])
        at = phi.ptr[i] + i + p
        yield p, rows, offsets, phi.slopes[at] * Z[i], phi.slopes[at] * z[i] + phi.offsets[at]


def _constant(rows) -> bool:
    return any(np.abs(row).max(initial=0) < 1e-12 for row in rows)


def _canonical(phi, i, z, piece, rows) -> bool:
    """A unit that is constant: the lower piece at a breakpoint. Among equal members the first."""
    if isinstance(phi, Selection):
        members = phi.members[phi.ptr[i]:phi.ptr[i + 1]]
        others = [m for m in members if m != members[piece]]
        return not any(np.abs(row).max() < 1e-12 and abs(z[m] - z[members[piece]]) < 1e-12 and list(members).index(m) < piece
                       for row, m in zip(rows, others, strict=True))
    breaks = phi.breaks[phi.ptr[i]:phi.ptr[i + 1]]
    return piece == int(np.sum(z[i] - breaks > 1e-12))


def sweep(chain: Chain, lo: float, hi: float) -> list[tuple[int, ...]]:
    """Codes of all regions of a chain of one input, from left to right."""
    cells = [((), lo, hi, np.ones(1), np.zeros(1))]
    for stage in chain.stages:
        out = []
        for code, a, b, S, s in cells:
            Z, z, phi = stage.A @ S, stage.A @ s + stage.a, stage.phi
            cuts = {a, b}
            for i in range(phi.n_outputs):
                cuts |= {(t - z[i]) / Z[i] for t in phi.breaks[phi.ptr[i]:phi.ptr[i + 1]] if Z[i] != 0}
            for p, q in pairwise(sorted(c for c in cuts if a <= c <= b)):
                if q - p < 1e-9:
                    continue
                value = Z * (p + q) / 2 + z
                piece = [int(np.sum(value[i] - phi.breaks[phi.ptr[i]:phi.ptr[i + 1]] > 1e-12)) for i in range(phi.n_outputs)]
                at = phi.ptr[:-1] + np.arange(phi.n_outputs) + np.array(piece)
                named = tuple(c for c, n in zip(piece, phi.n_pieces, strict=True) if n > 1)
                out.append((code + named, p, q, phi.slopes[at] * Z, phi.slopes[at] * z + phi.offsets[at]))
        cells = out
    return [code for code, *_ in cells]
