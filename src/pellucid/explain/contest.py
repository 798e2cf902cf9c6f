"""Decisions as linear programmes see them: which logit leads, and by how much."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import DataError, NoDecision
from ..geometry.milp import Program
from ..graph import Network
from ..graph.network import logit, no_class
from ..regions.milp import Encoding
from ..tolerance import LEAD, LEAD_SLACK, SOLVER

TO_TOLERANCE = f"to the solver's tolerance of {SOLVER:g}, with leads lowered by {LEAD_SLACK:g}"
"""What a claim rests on that a programme has no solution."""


@dataclass(frozen=True, eq=False)
class Contest:
    """The decision logits h = E y + e of a classifier with logits y: the class is the first of the largest h (SPEC 1).

    E: (K, c), e: (K,): the identity, or (0, y - logit(threshold)) for a single sigmoid output.
    """

    net: Network
    E: np.ndarray
    e: np.ndarray

    @property
    def n_classes(self) -> int:
        return len(self.e)

    def name(self, k: int) -> str:
        return self.net.class_names[k]

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """h of rows (n, d): (n, K)."""
        return self.net(np.atleast_2d(X)) @ self.E.T + self.e

    def decide(self, X: np.ndarray) -> np.ndarray:
        """(n,) classes of rows (n, d)."""
        return self(X).argmax(axis=1)

    def lead(self, X: np.ndarray, k: int) -> np.ndarray:
        """(n,) by how much class k leads over the best other one; negative where it is behind."""
        h = self(X)
        return h[:, k] - np.delete(h, k, axis=1).max(axis=1)

    def needed(self, to: int, margin: float) -> np.ndarray:
        """(K,) by how much class `to` has to lead over each other: `margin`; if that is 0, what wins a tie."""
        if margin > 0:
            return np.full(self.n_classes, margin)
        return np.where(np.arange(self.n_classes) < to, LEAD, 0.0)

    def rivals(self, k: int) -> list[int]:
        return [j for j in range(self.n_classes) if j != k]


def contest_of(net: Network, threshold: float = 0.5) -> Contest:
    """The contest of a classifier; NoDecision for regression and for several labels at once."""
    if not isinstance(net, Network):
        raise TypeError(f"a Network is needed, got a {type(net).__name__}: load it first with pellucid.load(model)")
    if net.n_classes == 0:
        raise NoDecision(no_class(net))
    if net.n_outputs == 1:
        return Contest(net, np.array([[0.0], [1.0]]), np.array([0.0, -logit(threshold)]))
    return Contest(net, np.eye(net.n_outputs), np.zeros(net.n_outputs))


def class_number(net: Network, asked: int | str) -> int:
    """A class by number or name; DataError where there is none."""
    names = net.class_names
    if isinstance(asked, str):
        if asked in names:
            return names.index(asked)
        raise DataError(f"no class is called '{asked}'; there are: {', '.join(names)}")
    if not -len(names) <= int(asked) < len(names):
        raise DataError(f"class {asked}: the network has {len(names)}")
    return int(asked) % len(names)


@dataclass(frozen=True, eq=False)
class Target:
    """What a row is to become: class `to`, or any other than `now` (to is None), by a lead of `margin` logits.

    Of any other class it is asked that one leads over `now`.
    """

    contest: Contest
    now: int
    to: int | None
    margin: float

    @property
    def words(self) -> str:
        """Such as "class 'good' by a lead of 1e-06 or more"."""
        name = f"class '{self.contest.name(self.to)}'" if self.to is not None else f"a class other than '{self.contest.name(self.now)}'"
        return name + (f" by a lead of {self.margin:g} or more" if self.margin > 0 else "")

    def holds(self, X: np.ndarray) -> np.ndarray:
        """(n,) whether rows have it, by the network itself."""
        h = self.contest(X)
        given = h.argmax(axis=1)
        if self.to is None:
            return (given != self.now) & (h.max(axis=1) - h[:, self.now] >= self.margin)
        return (given == self.to) & (np.delete(h[:, [self.to]] - h, self.to, axis=1) >= self.margin).all(axis=1)

    @property
    def others(self) -> np.ndarray:
        """The classes that `to` has to lead over; without `to` those one of which has to lead over `now`."""
        return np.array(self.contest.rivals(self.now if self.to is None else self.to))

    @property
    def needed(self) -> np.ndarray:
        """(others,) by how much, in earnest."""
        if self.to is not None:
            return self.contest.needed(self.to, self.margin)[self.others]
        return np.array([self.contest.needed(k, self.margin)[self.now] for k in self.others])

    def short_of(self, x: np.ndarray) -> np.ndarray:
        """(others,) where the row x lacks lead, by the network itself."""
        h = self.contest(x)[0]
        if self.to is not None:
            return (h[self.to] - h[self.others] < self.needed) | ((h[self.to] == h[self.others]) & (self.others < self.to))
        return np.full(len(self.others), not self.holds(x[None])[0])

    def pairs(self, y: np.ndarray, more: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(leads, over, by how much) near a row with logits y, `more` (others,) beyond what is needed."""
        others, needed = self.others, self.needed + more
        if self.to is not None:
            return np.full(len(others), self.to), others, needed
        best = [int((self.contest.E @ y + self.contest.e)[others].argmax())]
        return others[best], np.array([self.now]), needed[best]

    def enter(self, program: Program, encoding: Encoding) -> Need:
        """Ask for it in a programme in which the network is."""
        others, needed = list(self.others), self.needed
        if self.to is not None:
            return Need(program, require(program, self.contest, encoding.outputs, self.to, others), needed)
        return Need(program, _require_any(program, self.contest, encoding, self.now, others, float(needed.max())), needed)


@dataclass(frozen=True, eq=False)
class Need:
    """The columns of a programme that say by how much a class has to lead. needed: (n,) what is asked in earnest."""

    program: Program
    columns: np.ndarray
    needed: np.ndarray

    def ask(self, more: float | np.ndarray, program: Program | None = None) -> None:
        """Ask for a lead larger by `more` (smaller where negative)."""
        (program or self.program).bound(self.columns, self.needed + more, self.needed + more)


def require(program: Program, contest: Contest, outputs: np.ndarray, to: int, rivals: list[int]) -> np.ndarray:
    """Rows h_to - h_k >= need_k for each rival; the columns `need`, whose bounds say how much is asked."""
    need = program.add(len(rivals), 0.0, 0.0)
    A, e = _forms(contest, [(to, k) for k in rivals])
    program.constrain(np.hstack([A, -np.eye(len(rivals))]), np.concatenate([outputs, need]), -e, np.inf)
    return need


def _require_any(program: Program, contest: Contest, encoding: Encoding, now: int, others: list[int], most: float) -> np.ndarray:
    """h_k - h_now >= need_k for at least one of the others; the columns need_k, each up to about `most`."""
    if len(others) == 1:
        return require(program, contest, encoding.outputs, others[0], [now])
    need, chosen = program.add(len(others), 0.0, 0.0), program.add(len(others), 0.0, 1.0, True)
    A, e = _forms(contest, [(k, now) for k in others])
    low, up = encoding.bounds[-1]
    least = np.maximum(A, 0) @ low + np.minimum(A, 0) @ up + e
    M = np.maximum(most + 1.0 - least, 0.0)                             # + 1: what may be asked beyond `most`
    n = len(others)
    program.constrain(np.hstack([A, -np.eye(n), -np.diag(M)]), np.concatenate([encoding.outputs, need, chosen]), -e - M, np.inf)
    program.constrain(np.ones((1, n)), chosen, 1.0, np.inf)
    return need


def _forms(contest: Contest, pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """(n, c) and (n,): h_a - h_b of each pair as a form of the network's outputs."""
    a, b = np.array(pairs).T
    return contest.E[a] - contest.E[b], contest.e[a] - contest.e[b]
