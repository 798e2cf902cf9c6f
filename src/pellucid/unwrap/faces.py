"""Rows that lie on faces: which region they are said to be in (SPEC 2, canonical code, locate)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..chain import Chain, Elementwise
from ..geometry.minimal import inner_ball
from ..regions import pack_codes, unpack_codes
from ..tolerance import CONSTANT_UNIT, FACET_BALL, ON_BREAKPOINT

MOST_POINTS = 2000
"""Different points on faces that one batch of rows settles; each takes linear programmes. The rest is kept apart, and counted."""


@dataclass(frozen=True)
class FaceRows:
    """Rows with a unit on its breakpoint. on: how many. moved: their own code is no region's, they were given a neighbour's.
    apart: not looked at, kept with their own code."""

    on: int = 0
    moved: int = 0
    apart: int = 0

    def __add__(self, other: FaceRows) -> FaceRows:
        return FaceRows(self.on + other.on, self.moved + other.moved, self.apart + other.apart)


def settle(chain: Chain, X: np.ndarray, codes: np.ndarray, face: np.ndarray) -> tuple[np.ndarray, FaceRows]:
    """Codes of rows with those on faces canonical: what `locate` of an atlas over all space answers.

    Sound   the code of such a row is that of a region whose closure holds it: its own if that is one, else the first of the
            neighbours in the order of codes. Up to ON_BREAKPOINT, within which a row counts as on a face.
    """
    rows = np.flatnonzero(face)
    if not len(rows):
        return codes, FaceRows()
    points, which = np.unique(X[rows], axis=0, return_inverse=True)
    first = np.full(len(points), len(rows))
    np.minimum.at(first, which.ravel(), np.arange(len(rows)))
    seen = np.argsort(first)[:MOST_POINTS]
    own = unpack_codes(codes[rows[first[seen]]], chain.n_pieces)
    found = np.array([_code_at(chain, points[k], code) for k, code in zip(seen, own, strict=True)]).reshape(own.shape)
    packed = pack_codes(found, chain.n_pieces)
    place = np.full(len(points), -1)
    place[seen] = np.arange(len(seen))
    at = place[which.ravel()]
    codes = codes.copy()
    codes[rows[at >= 0]] = packed[at[at >= 0]]
    moved = int((found != own).any(axis=1)[at[at >= 0]].sum())
    return codes, FaceRows(len(rows), moved, int((at < 0).sum()))


def _code_at(chain: Chain, x: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The canonical code of one point on a face."""
    found = _walk(chain, x, own)
    if found is None:
        found = _walk(chain, x, None)
    return own if found is None else found         # None: no side of some unit was found thick enough


def _walk(chain: Chain, x: np.ndarray, own: np.ndarray | None) -> np.ndarray | None:
    """A code whose region touches x, stage by stage: `own` if that is one (else None), or the first in the order of codes.

    cone: (k, d) unit normals v such that the region's directions from x have v . direction >= 0. It keeps an interior all along:
    where a unit can have its lower piece inside it, it gets that.
    """
    S, s = np.eye(chain.n_inputs), np.zeros(chain.n_inputs)
    cone, code = np.zeros((0, chain.n_inputs)), np.zeros(chain.n_columns, dtype=np.uint16)
    for stage, (start, outputs) in zip(chain.stages, chain.columns, strict=True):
        G, g = stage.A @ S, stage.A @ s + stage.a
        z, size = G @ x + g, float(np.abs(S @ x + s).max(initial=0.0))
        floor = ON_BREAKPOINT * (np.asarray(abs(stage.A).sum(axis=1)).ravel() * size + np.abs(stage.a))
        flat = CONSTANT_UNIT * max(float(np.abs(G).max(initial=0.0)), 1e-300)
        pieces = np.zeros(stage.phi.n_outputs, dtype=np.intp)
        for c, i in enumerate(outputs):
            told = None if own is None else int(own[start + c])
            options = (_elementwise if isinstance(stage.phi, Elementwise) else _selection)(stage.phi, i, z, G, floor, flat)
            chosen = _choose(options, cone, told)
            if chosen is None:
                return None
            pieces[i], cone = chosen
            code[start + c] = pieces[i]
        if isinstance(stage.phi, Elementwise):
            index = stage.phi.ptr[:-1] + np.arange(stage.phi.n_outputs) + pieces
            S, s = stage.phi.slopes[index][:, None] * G, stage.phi.slopes[index] * g + stage.phi.offsets[index]
        else:
            winners = stage.phi.members[stage.phi.ptr[:-1] + pieces]
            S, s = G[winners], g[winners]
    return code


def _choose(options, cone: np.ndarray, told: int | None):
    """(piece, cone with it): the piece that was told if the cone keeps an interior, None if not; else the first that does so."""
    if len(options) == 1:
        return options[0][0], cone
    for piece, normals in options:
        if told is not None and piece != told:
            continue
        wider = np.vstack([cone, normals])
        if _has_interior(wider):
            return piece, wider
    return None


def _elementwise(phi: Elementwise, i: int, z, G, floor, flat) -> list[tuple[int, np.ndarray]]:
    """[(piece, normals of the directions in which it holds), ...] of unit i at its pre-activation z."""
    t = phi.breaks[phi.ptr[i]:phi.ptr[i + 1]]
    near = np.flatnonzero(np.abs(z[i] - t) <= floor[i] + ON_BREAKPOINT * np.abs(t))
    if not len(near):
        return [(int((t <= z[i]).sum()), np.zeros((0, G.shape[1])))]
    lower = int(near[0])
    norm = float(np.linalg.norm(G[i]))
    if np.abs(G[i]).max(initial=0.0) <= flat:
        return [(lower, np.zeros((0, G.shape[1])))]
    up = (G[i] / norm)[None]
    return [(lower, -up), (lower + 1, up)]


def _selection(phi, i: int, z, G, floor, flat) -> list[tuple[int, np.ndarray]]:
    members = phi.members[phi.ptr[i]:phi.ptr[i + 1]]
    best = int(z[members].argmax())
    tied = np.flatnonzero(z[members[best]] - z[members] <= floor[members[best]] + floor[members])
    options = []
    for p in tied:
        apart = G[members[p]] - G[members[tied]]
        equal = np.abs(apart).max(axis=1, initial=0.0) <= flat
        if equal[tied < p].any():                  # the first of equals stands for all of them
            continue
        differ = apart[~equal]
        options.append((int(p), differ / np.linalg.norm(differ, axis=1)[:, None]))
    return options


def _has_interior(normals: np.ndarray) -> bool:
    """Is there a direction v with n . v > 0 for all of these unit normals?"""
    if len(normals) < 2:
        return True
    if len(normals) == 2:
        return float(normals[0] @ normals[1]) > -1 + CONSTANT_UNIT
    _, size, V = np.linalg.svd(normals, full_matrices=False)
    flat = normals @ V[size > CONSTANT_UNIT * size[0]].T             # in the space that the normals span
    k = flat.shape[1]
    A = np.vstack([-flat / np.linalg.norm(flat, axis=1)[:, None], np.eye(k), -np.eye(k)])
    return inner_ball(A, np.concatenate([np.zeros(len(flat)), np.ones(2 * k)]))[1] > FACET_BALL
