"""A point near x that is decided otherwise, found quickly: an upper bound on a radius, where the proof takes long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..atlas.nearest import Near, unit_distances
from ..chain import local_maps
from ..regions import codes_of, unpack_codes

STARTS = 48
"""Points that the search starts from, at distances from those of the nearest units to the farthest of the domain."""

ROUNDS = 12
BISECTIONS = 40
BEYOND = 1.01
"""How far beyond a linear model's tie a step goes."""


@dataclass(frozen=True, eq=False)
class Otherwise:
    """witness: (d,) a point decided otherwise; tie: (d,) just before it on the way from x; distance: of the witness."""

    witness: np.ndarray
    tie: np.ndarray
    distance: float


def otherwise_near(question: Near, margins: tuple[np.ndarray, np.ndarray], lead: Callable[[np.ndarray], np.ndarray], *,
                   seed: int = 0) -> Otherwise | None:
    """The nearest point with a positive lead that a few steps find; None where they find none.

    Needs     margins (E, e): the lead is the largest of E f + e; lead: the same of points (n, d), by the network itself.
    Sound     the witness has the lead, by the network; that it is the nearest is not claimed.
    Source    steps to the nearest tie of the local model (DeepFool, Moosavi-Dezfooli et al. 2016), or to the one nearest to x,
              and bisection of the way.
    """
    work, at = question.work, question.at
    chain, (E, e) = question.chain.fold(work.x0, work.P), margins
    u = _kept(question, at + _starts(question, chain, np.random.default_rng(seed)))
    is_far = np.arange(len(u)) % 2 == 1                      # half of them walk from x, half from where they are
    best = None
    for _ in range(ROUNDS):
        won = lead(work.point(u)) > 0
        if won.any():
            before, u[won] = _bisected(question, u[won], lead)
            x, ties = work.point(u[won]), work.point(before)
            away = np.linalg.norm(x - question.x, ord=question.p, axis=1)
            k = int(away.argmin())
            if best is None or away[k] < best.distance:
                best = Otherwise(x[k], ties[k], float(np.linalg.norm(x[k] - question.x, ord=question.p)))
        coef, intercept = local_maps(chain, unpack_codes(codes_of(chain, u), chain.n_pieces))
        centre = np.where((won | is_far)[:, None], at, u)
        u = _kept(question, centre + BEYOND * _steps(E @ coef, intercept @ E.T + e, centre, question.weight, question.p))
    return best


def _starts(question: Near, chain, rng) -> np.ndarray:
    """(n, k) directions, their lengths spread over all scales of the question."""
    away = unit_distances(chain, question.at, question.weight, question.p)
    far = question.farthest if np.isfinite(question.farthest) else 10 * max([1.0, *away])
    low = min([far / 10, *away[away > 0]]) if len(away) else far / 10
    z = rng.normal(size=(STARTS, question.work.dim))
    size = np.geomspace(low, far, STARTS) / np.linalg.norm(z, ord=question.p, axis=1)
    return np.vstack([np.zeros(question.work.dim), z * size[:, None] / question.weight])


def _kept(question: Near, u: np.ndarray) -> np.ndarray:
    """The points, drawn back towards x until the domain has them."""
    G, h, _ = question.work.constraints
    if not len(h):
        return u
    room, push = np.maximum(h - G @ question.at, 0.0), (u - question.at) @ G.T
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(push > room, room / push, 1.0).min(axis=1)
    return question.at + np.where(share < 1, share * (1 - 1e-12), 1.0)[:, None] * (u - question.at)


def _bisected(question: Near, u: np.ndarray, lead) -> tuple[np.ndarray, np.ndarray]:
    """(last without, first with the lead) on the way from x to each point."""
    low, high = np.zeros(len(u)), np.ones(len(u))
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        won = lead(question.work.point(question.at + middle[:, None] * (u - question.at))) > 0
        low, high = np.where(won, low, middle), np.where(won, middle, high)
    return question.at + low[:, None] * (u - question.at), question.at + high[:, None] * (u - question.at)


def _steps(A: np.ndarray, b: np.ndarray, centre: np.ndarray, weight: np.ndarray, p: float) -> np.ndarray:
    """(n, k) from each centre to the nearest of the hyperplanes A[i, j] u + b[i, j] = 0; 0 where there is none."""
    A = A / weight                                              # v = weight (u - centre)
    rest = -(b + np.einsum("ijk,ik->ij", A * weight, centre))
    size = np.linalg.norm(A, ord={1.0: np.inf, 2.0: 2, np.inf: 1}[p], axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        away = np.where(size > 0, np.abs(rest) / size, np.inf)
    j, i = away.argmin(axis=1), np.arange(len(A))
    a, r, s = A[i, j], rest[i, j], size[i, j]
    s = np.where(s > 0, s, np.inf)
    if p == 2:
        v = a * (r / s**2)[:, None]
    elif np.isinf(p):
        v = np.sign(a) * (r / s)[:, None]
    else:
        v = np.where(np.arange(a.shape[1]) == np.abs(a).argmax(axis=1)[:, None], np.sign(a) * (r / s)[:, None], 0.0)
    return v / weight
