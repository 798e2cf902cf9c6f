"""The second look at a verdict, by other code: numpy intervals and backward bounds of the chain, exact volumes, points at random."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np

from ..certificate import Certificate, Status
from ..chain import chain_of
from ..chain.backward import Backward
from ..chain.intervals import unit_intervals
from ..graph import Network
from .property import Property
from .searching import Search
from .space import Space

SECONDS = 60.0
"""What a check may take; it is UNKNOWN beyond."""

POINTS = 4096
"""Drawn at random over the domain: none of them may be unsafe."""


def recheck(net: Network, p: Property, search: Search, claim: Certificate, witness: np.ndarray | None) -> Certificate:
    """The claim again.

    REFUTED   the network runs on the witness once more, and rows are summed up in extended precision.
    PROVED    over boxes: their volumes add up to that of each case's box, exactly (as fractions), no two of them overlap by more than
              a face by construction of the halves; each is bounded again by the chain's backward bounds in numpy, halved further where
              those are looser; of a tree of units over a box, the box itself. Networks with smooth units, and balls in the 1- and 2-norm,
              are only looked at by points drawn at random.
    """
    if claim.status is Status.UNKNOWN:
        return Certificate(claim.claim, Status.UNKNOWN, "nothing was claimed that could be checked", claim.figures)
    if witness is not None:
        return _witness_again(net, p, claim, witness)
    rng = np.random.default_rng(1)
    if (found := _random_point(search, rng)) is not None:
        return Certificate(claim.claim, Status.REFUTED, f"a point drawn at random is unsafe: {found.tolist()[:8]}", claim.figures)
    by_units = claim.figures.get("split") != "inputs"
    if not net.is_piecewise_linear or not search.space.plain or (by_units and search.space.ball is not None):
        return Certificate(claim.claim, Status.UNKNOWN, f"{POINTS} points drawn at random are safe; these leaves have no second derivation "
                           "here", claim.figures)
    if not by_units and search.boxes > sum(len(kept[1]) for kept in search.kept):
        return Certificate(claim.claim, Status.UNKNOWN, "too many leaves were made to keep them all", claim.figures)
    return _boxes_again(net, search, claim, by_units)


def _witness_again(net: Network, p: Property, claim: Certificate, x: np.ndarray) -> Certificate:
    y = net(x[None])[0].astype(np.longdouble)
    for c in p.unsafe:
        excess = np.array([c.C[i].astype(np.longdouble) @ y + c.Q[i].astype(np.longdouble) @ x.astype(np.longdouble) - c.b[i]
                           for i in range(len(c.b))])
        inside = bool(((x >= c.lower) & (x <= c.upper)).all())
        if inside and bool(np.where(c.strict, excess < 0, excess <= 0).all()):
            return Certificate(claim.claim, Status.REFUTED, "the witness is unsafe when it is looked at again", claim.figures)
    return Certificate(claim.claim, Status.UNKNOWN, "the witness is safe when it is looked at again: it is so by rounding", claim.figures)


def _random_point(search: Search, rng) -> np.ndarray | None:
    space = search.space
    low, up = space.sets.lower[0], space.sets.upper[0]
    v = space.sets[np.zeros(POINTS, dtype=int)].inside(rng.uniform(low, up, (POINTS, len(low))))
    v = v[np.isfinite(v).all(axis=1)]
    again = Search(space, search.budget, search.is_witness)
    return space.lift(again.v[None])[0] if again.try_points(v) and again.v is not None else None


def _boxes_again(net: Network, search: Search, claim: Certificate, by_units: bool) -> Certificate:
    deadline = time.perf_counter() + SECONDS
    cases, n_boxes = {}, 0
    for c in search.space.cases:
        cases.setdefault((c.lower.tobytes(), c.upper.tobytes()), []).append(c)
    bounder = _Again(search.space, net)
    for key, group in cases.items():
        whole = (key, group[0].lower[None], group[0].upper[None])
        leaves = [whole] if by_units else [kept for kept in search.kept if kept[0] == key]
        lower, upper = (np.concatenate([k[i] for k in leaves]) for i in (1, 2))
        if _volume(lower, upper) != _volume(group[0].lower[None], group[0].upper[None]):
            return Certificate(claim.claim, Status.REFUTED, "the volumes of the leaves do not add up to the domain's", claim.figures)
        for low, up in zip(lower, upper, strict=True):
            for c in group:
                if not bounder.excludes(c, low, up, deadline):
                    why = f"the second bounds did not decide every leaf within {SECONDS:g} s"
                    return Certificate(claim.claim, Status.UNKNOWN, why, claim.figures)
            n_boxes += 1
    terms = "the box is bounded again in numpy" if by_units else f"{n_boxes} leaves fill the domain exactly, and are bounded again in numpy"
    return Certificate(claim.claim, Status.PROVED, terms, claim.figures)


def _volume(lower: np.ndarray, upper: np.ndarray) -> Fraction:
    """The sum of the volumes, over the features that move, as a fraction."""
    moves = np.flatnonzero(lower.min(axis=0) < upper.max(axis=0))
    total = Fraction(0)
    for low, up in zip(lower[:, moves].tolist(), upper[:, moves].tolist(), strict=True):
        v = Fraction(1)
        for a, b in zip(low, up, strict=True):
            v *= Fraction(b) - Fraction(a)
        total += v
    return total


class _Again:
    """Bounds of boxes by the chain, in numpy."""

    def __init__(self, space: Space, net: Network):
        from dataclasses import replace

        self.chain = chain_of(net if space.graph is net.graph else replace(net, graph=space.graph, class_names=(), link="identity"))

    def excludes(self, c, lower: np.ndarray, upper: np.ndarray, deadline: float) -> bool:
        """Is the case excluded on the box, or on all of its halves?"""
        stack = [(lower, upper)]
        while stack:
            if time.perf_counter() > deadline:
                return False
            low, up = stack.pop()
            if self._margin(c, low, up) > 0 or (c.strict.any() and self._margin(c, low, up) >= 0):
                continue
            middle = low + (up - low) / 2
            can = (low < middle) & (middle < up)
            if not can.any():
                return False
            j = int(np.where(can, up - low, -1.0).argmax())
            left, right = up.copy(), low.copy()
            left[j] = right[j] = middle[j]
            stack += [(low, left), (right, up)]
        return True

    def _margin(self, c, low: np.ndarray, up: np.ndarray) -> float:
        """The largest lower bound of a row."""
        back = Backward(low, up)
        ranges = unit_intervals(self.chain, low, up)
        for k, stage in enumerate(self.chain.stages):
            z = ranges[k]
            found = back.bounds(stage, np.arange(len(stage.a)))
            back.push(stage, np.maximum(z[0], found[0]), np.minimum(z[1], found[1]))
        A = self.chain.A if isinstance(self.chain.A, np.ndarray) else self.chain.A.toarray()
        rows = _Rows(c.C @ A, c.C @ self.chain.a - c.b)
        return float(back.bounds(rows, np.arange(len(c.b)))[0].max(initial=-np.inf)) if len(c.b) else -np.inf


class _Rows:
    """Rows of outputs as a layer."""

    def __init__(self, A: np.ndarray, a: np.ndarray):
        self.A, self.a = A, a
