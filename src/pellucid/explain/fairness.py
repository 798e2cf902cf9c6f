"""Fairness: does a decision ever change when only protected features do? (SPEC 5)"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import TYPE_CHECKING

import numpy as np

from ..certificate import Certificate, Status
from ..chain import chain_of
from ..errors import DataError
from ..geometry import Box, NamedSlice, Slice
from ..geometry.milp import Optimum, Program
from ..graph import Network
from ..regions.milp import Encoding, encode
from ..tolerance import LEAD, LEAD_SLACK
from .answer import Answer
from .contest import TO_TOLERANCE, Contest, contest_of
from .features import OneHot
from .space import Columns, Space, enter, rounded, space_of

if TYPE_CHECKING:
    import pandas as pd

MOST_PAIRS = 45
"""Pairs of protected values that are taken one after the other; where there are more, values are left to the programme."""

SAMPLES = 4096
"""Rows drawn before a programme is asked: most unfair networks are refuted so."""


@dataclass(frozen=True, eq=False, repr=False)
class Fairness(Answer):
    """Whether no decision changes with the protected features alone. value: True, False, or None (not decided).

    witness: (2, d), two rows of the domain that differ in protected features only and are decided differently; None where there
    are none. gap: 0 where decided, else how far the lead of such a pair may exceed `lead` (inf: nothing is known).
    protected: their names. decisions: of the two rows. lead: the least of the leads of the two decisions, nan without a pair.
    pairs: what was asked of the programme: (first values, second values, lead that no pair exceeds).
    """

    space: Space = field(repr=False)
    protected: tuple[str, ...]
    decisions: tuple[str, str] | None
    lead: float
    pairs: tuple[tuple[str, str, float], ...]

    def to_frame(self) -> pd.DataFrame:
        """The two rows, feature by feature, protected ones first; of a fair network the pairs of values that were compared."""
        import pandas as pd

        if self.witness is None:
            return pd.DataFrame(self.pairs, columns=["first", "second", "lead that none exceeds"])
        order = sorted(self.space.features, key=lambda f: f.name not in self.protected)
        rows = [(f.name, f.say(self.witness[0]), f.say(self.witness[1]), f.name in self.protected) for f in order]
        return pd.DataFrame([*rows, ("decision", *self.decisions, False)], columns=["feature", "first", "second", "protected"])

    def _line(self) -> str:
        of = ", ".join(self.protected)
        if self.value is None:
            return f"of {of}: not decided"
        if self.value:
            return f"no decision changes with {of} alone"
        return f"with {of} alone the decision changes from '{self.decisions[0]}' to '{self.decisions[1]}', led by {self.lead:.4g}"


def fair(net: Network, protected: int | str | Sequence[int | str], domain: Box | Slice | NamedSlice, *, margin: float = 0.0,
         strongest: bool = False, integer: Sequence[int | str] = (), one_hot: OneHot = (), threshold: float = 0.5,
         max_seconds: float | None = None, tighten: str = "lp") -> Fairness:
    """Does no decision on the domain change when only the protected features do? Proved, or two rows that show that one does.

    protected: features by name or number, categories as one. margin: decisions that lead by less than so many logits do not
    count. strongest: of unfair pairs the one whose two decisions lead most, instead of the first found. integer, one_hot,
    threshold, max_seconds, tighten: as for `counterfactual`.

    Needs     a piecewise linear classifier.
    Gives     Fairness. PROVED (True): no pair of rows has different decisions that both lead by more than margin + LEAD; REFUTED
              (False) with a pair; UNKNOWN where time ran out.
    Sound     pairs are evaluated by the network; that there is none is a bound of HiGHS, to its tolerance.
    Complete  yes, but for max_seconds and pairs within the tolerance.
    Source    two copies of the network that share the other features (as for robustness: Katz et al. 2017; individual fairness:
              Dwork et al. 2012; Kusner et al. 2017 call changes of the protected feature alone its flip).
    Differs   few protected values are taken pair by pair, so that each copy has them as constants.
    """
    contest, space = contest_of(net, threshold), space_of(net, domain, integer=integer, one_hot=one_hot)
    if not (np.isfinite(margin) and margin >= 0):
        raise ValueError(f"margin={margin}: a number of logits, 0 or more, is needed")
    own = space.numbers(protected)
    if not own:
        raise DataError("protected: name a feature at least")
    deadline = np.inf if max_seconds is None else time.perf_counter() + max_seconds
    task = _Comparison(space, contest, own, margin, strongest, deadline, tighten)
    return _answer(task, task.run())


@dataclass(frozen=True, eq=False)
class _Found:
    """rows: (2, d) or None, lead: of them. bound: no pair leads by more. pairs: what was asked. reason: what is left open."""

    rows: np.ndarray | None
    lead: float
    bound: float
    pairs: tuple[tuple[str, str, float], ...]
    reason: str
    programmes: int


@dataclass(frozen=True, eq=False)
class _Comparison:
    """Two rows of a space that differ in the features `own` only."""

    space: Space
    contest: Contest
    own: list[int]
    margin: float
    strongest: bool
    deadline: float
    tighten: str

    @property
    def enough(self) -> float:
        """A pair that leads by more refutes; what is proved not to lead by more is fair."""
        return self.margin + LEAD

    def lead(self, rows: np.ndarray) -> float:
        """The least lead of two rows' decisions, -inf where they are the same or do not lead by the margin."""
        h = self.contest(rows)
        k = h.argmax(axis=1)
        if k[0] == k[1]:
            return -np.inf
        ordered = np.sort(h, axis=1)
        least = float((ordered[:, -1] - ordered[:, -2]).min())
        return least if least >= self.margin else -np.inf

    def run(self) -> _Found:
        best = self.drawn()
        lead = -np.inf if best is None else self.lead(best)
        if best is not None and not self.strongest:
            return _Found(best, lead, np.inf, (), "", 0)
        bound, told, reason = -np.inf, [], ""
        for words, one, two in self.parts():
            if time.perf_counter() > self.deadline:
                return _Found(best, lead, np.inf, tuple(told), "time ran out", len(told))
            found, rows = _compare(self, one, two, max(lead, self.margin))
            limit = found.bound if found.status != "infeasible" else max(self.margin, lead)
            bound = max(bound, limit)
            told.append((*words, limit))
            if found.status == "limit" and time.perf_counter() > self.deadline:
                reason = "time ran out"
            if rows is not None and self.lead(rows) > lead:
                best, lead = rows, self.lead(rows)
                if not self.strongest:
                    break
        return _Found(best, lead, bound, tuple(told), reason, len(told))

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
        allowed = space.contains(Y) & space.contains(X)
        h = [self.contest(X), self.contest(Y)]
        differ = (h[0].argmax(axis=1) != h[1].argmax(axis=1)) & allowed
        ordered = [np.sort(one, axis=1) for one in h]
        leads = np.where(differ, np.minimum(*(one[:, -1] - one[:, -2] for one in ordered)), -np.inf)
        i = int(leads.argmax())
        return np.array([X[i], Y[i]]) if leads[i] >= self.margin and np.isfinite(leads[i]) else None

    def parts(self) -> Iterator[tuple[tuple[str, str], Space, Space]]:
        """The space twice, for each pair of protected values where they are few; else once, with all of them."""
        space, choices = self.space, [self._values(k) for k in self.own]
        n = np.prod([np.inf if c is None else len(c) for c in choices])
        if n * (n - 1) / 2 > MOST_PAIRS:
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
def _compare(task: _Comparison, one: Space, two: Space, least: float) -> tuple[Optimum, np.ndarray | None]:
    """The pair that leads most, one row of each part; its rows, evaluated, None where they do not hold what is asked."""
    program, chain = Program(), chain_of(task.space.net)
    x = enter(one, program)
    y = enter(two, program, x, task.own)
    left = None if np.isinf(task.deadline) else max(task.deadline - time.perf_counter(), 0.0)
    first = encode(chain, program, x.x, one.lower, one.upper, tighten=task.tighten, max_seconds=left)
    second = encode(chain, program, y.x, two.lower, two.upper, tighten=task.tighten, max_seconds=left)
    lead = _entered(task.contest, program, first, second, least)
    stop = None if task.strongest else (lambda value, bound: value > task.enough or bound < task.margin)
    left = None if np.isinf(task.deadline) else max(task.deadline - time.perf_counter(), 0.0)
    found = program.maximise(np.ones(1), lead, max_seconds=left, stop=stop)
    if found.x is None:
        return found, None
    return found, _pair(task, program, found, x, y, one, two, lead)


def _entered(contest: Contest, program: Program, first: Encoding, second: Encoding, least: float) -> np.ndarray:
    """The column s <= the lead of each copy's decision, the two decisions different."""
    K = contest.n_classes
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
    return s


def _pair(task: _Comparison, program: Program, found: Optimum, x: Columns, y: Columns, one: Space, two: Space,
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
        rows = np.array([first, second])
        if task.space.contains(rows).all() and task.lead(rows) > (-np.inf if best is None else task.lead(best)):
            best = rows
    return best


def _answer(task: _Comparison, found: _Found) -> Fairness:
    names = tuple(task.space.names[k] for k in task.own)
    figures = {"programmes": found.programmes, "bound": found.bound, "drawn": SAMPLES}
    by = f" that both lead by more than {task.enough:g}"
    if found.rows is not None:
        claim = f"no two rows of the domain that differ in {', '.join(names)} only are decided differently"
        claim += f", each by a lead of {task.margin:g} or more" if task.margin else ""
        decisions = tuple(task.contest.name(int(k)) for k in task.contest.decide(found.rows))
        gap = max(found.bound - found.lead, 0.0) if task.strongest else 0.0
        reason = f"the pair's decisions are '{decisions[0]}' and '{decisions[1]}', and lead by {found.lead:.4g} or more"
        if task.strongest:
            reason += f"; no pair's by more than {max(found.bound, found.lead):.6g}"
        return Fairness(False, found.rows, gap, Certificate(claim, Status.REFUTED, reason, figures), task.space, names, decisions,
                        found.lead, found.pairs)
    claim = f"no two rows of the domain that differ in {', '.join(names)} only have different decisions{by} ({TO_TOLERANCE})"
    if found.bound <= task.enough and not found.reason:
        reason = f"{found.programmes} programmes, none with such a pair"
        return Fairness(True, None, 0.0, Certificate(claim, Status.PROVED, reason, figures), task.space, names, None, np.nan, found.pairs)
    reason = found.reason or f"a lead up to {found.bound:.4g} is not excluded, and no pair has it"
    return Fairness(None, None, np.inf, Certificate(claim, Status.UNKNOWN, reason, figures), task.space, names, None, np.nan, found.pairs)
