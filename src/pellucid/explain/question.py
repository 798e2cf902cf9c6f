"""An optimisation as all engines see it, and what they answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..chain import Chain, unit_intervals
from ..geometry import Slice
from ..tolerance import SOLVER
from .linear import Objective, Rows


@dataclass(frozen=True)
class Reached:
    """How far an optimisation has got: the best value and bound known (nan, inf), regions found, share of the domain, seconds."""

    value: float
    bound: float
    regions: int
    share: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Question:
    """The largest objective over the points of a slice that keep the rows (and are whole, one of a group, in a hull).

    base: the chain of x -> f(x); evaluate: f itself, by other code than the chain's: (n, d) -> (n, c).
    integer: features that are whole numbers. one_hot: groups of features of which one is 1 and the others 0. hull: (n, d) points
    whose convex hull holds x, or None.
    """

    base: Chain
    evaluate: Callable[[np.ndarray], np.ndarray]
    domain: Slice
    objective: Objective
    rows: Rows
    integer: np.ndarray
    one_hot: tuple[np.ndarray, ...]
    hull: np.ndarray | None = None
    deadline: float = np.inf
    progress: Callable[[Reached], object] | None = None
    began: float = field(default_factory=time.perf_counter)

    @property
    def is_continuous(self) -> bool:
        return not len(self.integer) and not self.one_hot and self.hull is None

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(0.0, self.deadline - time.perf_counter())

    @property
    def combination(self) -> np.ndarray:
        """(1 + m, c): the objective, then the rows, as combinations of outputs."""
        return np.vstack([self.objective.outputs, self.rows.C])

    def chain(self) -> Chain:
        """x -> (objective's outputs, then the rows' outputs), without the parts in x."""
        M = self.combination
        return Chain(self.base.n_inputs, self.base.stages, np.asarray(M @ self.base.A), M @ self.base.a)

    def in_u(self) -> tuple[np.ndarray, np.ndarray]:
        """(directions (1 + m, k), offsets (1 + m,)) of the parts in x, over u."""
        Q = np.vstack([self.objective.inputs, self.rows.Q])
        return Q @ self.domain.P, Q @ self.domain.x0 + np.append(self.objective.constant, -self.rows.b)

    def interval_bound(self) -> float:
        """The objective is nowhere larger, by interval arithmetic: coarse, and known at once."""
        lower, upper = self.domain.bounds
        chain = self.chain()
        direction, offset = self.in_u()
        _, top = unit_intervals(chain.fold(self.domain.x0, self.domain.P), lower, upper)[-1]
        sum_ = top[0] + np.maximum(direction[0] * lower, direction[0] * upper).sum() + offset[0]
        return float(sum_ + SOLVER * (1 + abs(sum_)))

    def values(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(objective (n,), excess over the rows (n,)) at points (n, d), by the network itself."""
        y = self.evaluate(X)
        return y @ self.objective.outputs + X @ self.objective.inputs + self.objective.constant, self.rows.excess(y, X)

    def points(self, u: np.ndarray) -> np.ndarray:
        """x of u, with features at their bounds where rounding put them beyond, whole features whole."""
        x = np.clip(self.domain.point(u), self.domain.box.lower, self.domain.box.upper)
        whole = np.concatenate([self.integer, *self.one_hot]).astype(int)
        x[:, whole] = np.round(x[:, whole])
        return x


NEAR = 1e-6
"""A point as near as this to the bound, relative, is good enough: no better one is looked for at the cost of the constraints."""


def best_of(values: np.ndarray, excess: np.ndarray, allowed: float = 0.0) -> int | None:
    """The best of points that miss no row by more than `allowed`; one that misses none, if it is as good within NEAR."""
    keeps = np.flatnonzero(excess <= allowed)
    if not len(keeps):
        return None
    top = values[keeps].max()
    strictly = keeps[(excess[keeps] <= 0) & (values[keeps] >= top - NEAR * (1 + abs(top)))]
    among = strictly if len(strictly) else keeps
    return int(among[np.argmax(values[among])])


@dataclass(frozen=True, eq=False)
class Found:
    """What an engine answers to a Question.

    x: (d,) the best point, None where there is none; value: there, by the network; bound: nothing is larger, to `margin`s that
    are in it. is_complete: bound is a proof (to `terms`); reason: what stopped it otherwise.
    is_infeasible: there is no point at all.
    """

    x: np.ndarray | None
    value: float
    bound: float
    is_infeasible: bool
    is_complete: bool
    reason: str
    terms: str
    figures: dict
