"""Pairs of rows that differ in some features only and are decided differently: two copies of the network in one programme."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from ..chain import chain_of
from ..geometry.milp import Optimum, Program
from ..regions.milp import Encoding, encode
from ..tolerance import LEAD, LEAD_SLACK
from .clock import Clock
from .contest import Contest
from .coupling import couple
from .space import Columns, Space, enter, rounded

MOST_PAIRS = 45
"""Pairs of protected values that are taken one after the other; where there are more, values are left to the programme."""

SAMPLES = 4096
"""Rows drawn before a programme is asked: most unfair networks are refuted so."""


@dataclass(frozen=True, eq=False)
class Found:
    """rows: (2, d) or None, lead: of them. bound: no pair leads by more; enough: by more than this a pair has to lead to count.
    pairs: what was asked of programmes. reason: why the search ended early, if it did."""

    rows: np.ndarray | None
    lead: float
    bound: float
    enough: float
    pairs: tuple[tuple[str, str, float], ...]
    reason: str = ""

    @property
    def programmes(self) -> int:
        return len(self.pairs)

    @property
    def is_none(self) -> bool:
        """Is it proved that there is no pair?"""
        return self.rows is None and self.bound <= self.enough and not self.reason

    @property
    def open(self) -> str:
        """Why it is not decided."""
        return self.reason or f"a lead up to {self.bound:.4g} is not excluded, and no pair has it"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two rows of a space that differ in the features `own` only, and are decided differently, by leads of `margin` or more.

    way: 1 where the numbers `own` may only rise from the first to the second, -1 fall, 0 either. lost: the class of the first.
    strongest: the pair that leads most is looked for, else any.
    """

    space: Space
    contest: Contest
    own: list[int]
    margin: float
    strongest: bool
    clock: Clock
    tighten: str
    way: int = 0
    lost: int | None = None
    solver: str = "highs"

    @property
    def enough(self) -> float:
        """A pair that leads by more refutes; what is proved not to lead by more is fair."""
        return self.margin + LEAD

    def lead(self, rows: np.ndarray) -> float:
        """The least lead of two rows' decisions, -inf where they are the same or do not lead by the margin."""
        h = self.contest(rows)
        k = h.argmax(axis=1)
        if k[0] == k[1] or (self.lost is not None and k[0] != self.lost) or (self.way * (rows[1] - rows[0]) < 0).any():
            return -np.inf
        ordered = np.sort(h, axis=1)
        least = float((ordered[:, -1] - ordered[:, -2]).min())
        return least if least >= self.margin else -np.inf

    def run(self) -> Found:
        best = self.drawn()
        lead = -np.inf if best is None else self.lead(best)
        if best is not None and not self.strongest:
            return Found(best, lead, np.inf, self.enough, ())
        bound, told, reason = -np.inf, [], ""
        for words, one, two in self.parts():
            if self.clock.is_over:
                return Found(best, lead, np.inf, self.enough, tuple(told), self.clock.reason)
            found, rows = _compare(self, one, two, max(lead, self.enough))
            limit = found.bound if found.status != "infeasible" else max(lead, self.enough)
            bound = max(bound, limit)
            told.append((*words, limit))
            if found.status == "limit" and limit > self.enough and self.clock.is_over:
                reason = self.clock.reason
            if rows is not None and self.lead(rows) > lead:
                best, lead = rows, self.lead(rows)
                if not self.strongest:
                    break
        return Found(best, lead, bound, self.enough, tuple(told), reason)

    def drawn(self) -> np.ndarray | None:
        """The pair that leads most among rows drawn at random, each with other protected values."""
        rng, space = np.random.default_rng(0), self.space
        X = space.sample(SAMPLES, rng)
        values = space.sample(SAMPLES, rng)
        if not len(X) or not len(values):
            return None
        columns = np.concatenate([space.features[k].columns for k in self.own])
        Y = X.copy()
        Y[:, columns] = values[rng.integers(0, len(values), len(X))][:, columns]
        if self.way:
            low, high = np.minimum(X, Y), np.maximum(X, Y)
            X, Y = (low, high) if self.way > 0 else (high, low)
        h = [self.contest(X), self.contest(Y)]
        differ = (h[0].argmax(axis=1) != h[1].argmax(axis=1)) & space.contains(Y) & space.contains(X)
        if self.lost is not None:
            differ &= h[0].argmax(axis=1) == self.lost
        ordered = [np.sort(one, axis=1) for one in h]
        leads = np.where(differ, np.minimum(*(one[:, -1] - one[:, -2] for one in ordered)), -np.inf)
        i = int(leads.argmax())
        return np.array([X[i], Y[i]]) if leads[i] >= self.margin and np.isfinite(leads[i]) else None

    def parts(self) -> Iterator[tuple[tuple[str, str], Space, Space]]:
        """The space twice, for each pair of protected values where they are few; else once, with all of them."""
        space, choices = self.space, [self._values(k) for k in self.own]
        n = np.prod([np.inf if c is None else len(c) for c in choices])
        if self.way or n * (n - 1) / 2 > MOST_PAIRS:
            yield ("any", "any"), space, space
            return
        held = []
        for values in product(*choices):
            row = space.lower.copy()
            for k, v in zip(self.own, values, strict=True):
                row[space.features[k].columns] = v
            words = ", ".join(f"{space.names[k]} = {_word(space.features[k].say(row))}" for k in self.own)
            held.append((words, space.held(row, self.own)))
        for (a, one), (b, two) in combinations(held, 2):
            yield (a, b), one, two

    def _values(self, k: int) -> list[np.ndarray] | None:
        """What feature k can be; None where that is not a short list."""
        f, space = self.space.features[k], self.space
        if f.is_category:
            return [f.patterns[i] for i in space.allowed[k]]
        low, up = space.lower[f.columns[0]], space.upper[f.columns[0]]
        if low == up:
            return [np.array([low])]
        if not space.integer[f.columns[0]] or up - low > MOST_PAIRS:
            return None
        return [np.array([float(v)]) for v in range(int(low), int(up) + 1)]


def _word(value: float | str) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


# ---- the programme of a pair of parts
def _compare(task: Comparison, one: Space, two: Space, least: float) -> tuple[Optimum, np.ndarray | None]:
    """The pair that leads most, one row of each part; its rows, evaluated, None where they do not hold what is asked."""
    program, chain = Program(), chain_of(task.space.net)
    x = enter(one, program)
    y = enter(two, program, x, task.own)
    if task.way:
        J = np.concatenate([task.space.features[k].columns for k in task.own])
        program.constrain(task.way * np.hstack([np.eye(len(J)), -np.eye(len(J))]), np.concatenate([y.x[J], x.x[J]]), 0.0, np.inf)
    first = encode(chain, program, x.x, one.lower, one.upper, tighten=task.tighten, max_seconds=task.clock.left)
    second = encode(chain, program, y.x, two.lower, two.upper, tighten=task.tighten, max_seconds=task.clock.left)
    couple(program, chain, first, second, _apart(task, one, two), tight=task.tighten == "lp", deadline=task.clock.deadline)
    lead = _entered(task, program, first, second, least)

    def stop(value: float, bound: float) -> bool:
        return -np.inf < bound <= task.enough or (value > task.enough and not task.strongest)

    found = task.clock.solved(lambda: program.maximise_twice(np.ones(1), lead, max_seconds=task.clock.left, stop=stop, solver=task.solver))
    if found.x is None:
        return found, None
    return found, _pair(task, program, found, x, y, one, two, lead)


def _apart(task: Comparison, one: Space, two: Space) -> tuple[np.ndarray, np.ndarray]:
    """(lower, upper) of the second row less the first."""
    low, up = np.zeros(len(one.lower)), np.zeros(len(one.lower))
    J = np.concatenate([task.space.features[k].columns for k in task.own])
    low[J], up[J] = two.lower[J] - one.upper[J], two.upper[J] - one.lower[J]
    return (np.maximum(low, 0.0) if task.way > 0 else low), (np.minimum(up, 0.0) if task.way < 0 else up)


def _entered(task: Comparison, program: Program, first: Encoding, second: Encoding, least: float) -> np.ndarray:
    """The column s <= the lead of each copy's decision, the two decisions different."""
    contest, K = task.contest, task.contest.n_classes
    forms = [(k, j) for k in range(K) for j in range(K) if j != k]
    E, e = np.array([contest.E[k] - contest.E[j] for k, j in forms]), np.array([contest.e[k] - contest.e[j] for k, j in forms])
    ranges = []
    for copy in (first, second):
        low, up = copy.bounds[-1]
        ranges.append((np.maximum(E, 0) @ low + np.minimum(E, 0) @ up + e, np.maximum(E, 0) @ up + np.minimum(E, 0) @ low + e))
    most = max(min(float(r[1].max()) for r in ranges), least)
    s = program.add(1, least - LEAD_SLACK, most + 1.0)
    chosen = []
    for copy, (low, _) in zip((first, second), ranges, strict=True):
        z = program.add(K, 0.0, 1.0, True)
        program.constrain(np.ones((1, K)), z, 1.0, 1.0)
        M = np.maximum(most + 1.0 - low, 0.0)
        Z = np.zeros((len(forms), K))
        Z[np.arange(len(forms)), [k for k, _ in forms]] = -M
        program.constrain(np.hstack([E, -np.ones((len(forms), 1)), Z]), np.concatenate([copy.outputs, s, z]), -e - M, np.inf)
        chosen.append(z)
    program.constrain(np.hstack([np.eye(K), np.eye(K)]), np.concatenate(chosen), -np.inf, 1.0)
    if task.lost is not None:
        program.bound(chosen[0][[task.lost]], 1.0, 1.0)
    return s


def _pair(task: Comparison, program: Program, found: Optimum, x: Columns, y: Columns, one: Space, two: Space,
          lead: np.ndarray) -> np.ndarray | None:
    """The rows of a solution, as they are or by the linear programme of its whole numbers, if they differ as asked."""
    solutions = [found.x]
    fixed = program.copy()
    whole = np.flatnonzero(fixed.integer)
    values = np.round(found.x[whole])
    fixed.bound(whole, values, values)
    fixed.integer[:] = False
    again = fixed.maximise(np.ones(1), lead)
    if again.x is not None:
        solutions.insert(0, again.x)
    best = None
    for solution in solutions:
        first = rounded(one, solution[x.x])
        second = first.copy()
        columns = np.concatenate([task.space.features[k].columns for k in task.own])
        second[columns] = rounded(two, solution[y.x])[columns]
        if task.way:
            second = np.maximum(first, second) if task.way > 0 else np.minimum(first, second)
        rows = np.array([first, second])
        if task.space.contains(rows).all() and task.lead(rows) > (-np.inf if best is None else task.lead(best)):
            best = rows
    return best
