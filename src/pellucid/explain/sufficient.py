"""Sufficient reasons: features that are enough for a decision, whatever the others are (Ignatiev et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..certificate import Certificate, Status
from ..geometry import Box, NamedSlice, Slice
from ..geometry.milp import Program
from ..graph import Network
from ..graph.rows import row_of
from .answer import Answer
from .clock import Clock
from .contest import TO_TOLERANCE, Target, contest_of
from .distance import Distance
from .features import OneHot
from .nearest_row import Nearest, any_row
from .space import Space, space_of

if TYPE_CHECKING:
    import pandas as pd

SAMPLES = 512
"""Rows drawn before a programme is asked: most changes of class are found so."""


@dataclass(frozen=True, eq=False, repr=False)
class SufficientReason(Answer):
    """Features that, as they are in x, force the decision over the domain. value: their names, in the order of the inputs.

    witness: (k, d), for each feature of the reason a row of the domain with another decision that agrees with x in all other
    features of the reason (nan where none was found): so none can be left out. gap: how many features that might be.
    smallest: whether no reason has fewer features. decision: of x.
    """

    space: Space = field(repr=False)
    x: np.ndarray
    decision: str
    smallest: bool
    threshold: float = 0.5

    def to_frame(self) -> pd.DataFrame:
        """One row a feature: its value in x, and what it is changed to where without it the decision changes."""
        import pandas as pd

        rows = []
        for name, row in zip(self.value, self.witness, strict=True):
            f, known = self.space.features[self.space.number(name)], bool(np.isfinite(row).all())
            other = self.space.net.class_names[int(self.space.net.decide(row[None], threshold=self.threshold)[0])] if known else None
            rows.append((name, f.say(self.x), f.say(row) if known else None, other))
        return pd.DataFrame(rows, columns=["feature", "value", "without it, such as", "is decided"])

    def _line(self) -> str:
        told = ", ".join(f"{n} = {_short(self.space.say(n, self.x))}" for n in self.value[:6])
        more = f" and {len(self.value) - 6} more" if len(self.value) > 6 else ""
        return f"'{self.decision}' because {told}{more}" if self.value else f"'{self.decision}' everywhere in the domain"


def _short(value: float | str) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def sufficient_reason(net: Network, x, domain: Box | Slice | NamedSlice, *, smallest: bool = False, order: Sequence[int | str] = (),
                      integer: Sequence[int | str] = (), one_hot: OneHot = (), threshold: float = 0.5, max_seconds: float | None = None,
                      tighten: str = "intervals", solver: str = "highs") -> SufficientReason:
    """Features that alone force the decision at x over the domain: an abductive explanation (SPEC 5).

    x: a row of the domain, as network inputs or raw. smallest: with the fewest features of all; else such that none can be left
    out. order: features to try to leave out first; the others follow by how little they can change. integer, one_hot,
    threshold, max_seconds, tighten, solver: as for `counterfactual`; categories count as one feature.

    Needs     a piecewise linear classifier; x inside the domain.
    Gives     SufficientReason: PROVED where it is enough, and minimal; UNKNOWN where a programme ran out of time or could not be
              decided to the tolerance. The features named are enough in either case (unless the reason says otherwise).
    Sound     enough: programmes without a solution. Minimal: rows of another class, evaluated by the network.
    Source    Ignatiev, Narodytska & Marques-Silva 2019 (deletion; smallest by hitting sets); freedom over a domain.
    """
    contest, row, space = contest_of(net, threshold), row_of(net, x), space_of(net, domain, integer=integer, one_hot=one_hot)
    for k in range(len(space.features)):
        space.check_value(row, k)
    clock = Clock.of(max_seconds)
    task = _Freeing(space, row, Target(contest, int(contest.decide(row)[0]), None, 0.0), clock, tighten, solver)
    first = list(dict.fromkeys(space.number(a) for a in order))
    found = task.smallest() if smallest else task.minimal([*first, *(k for k in task.by_influence() if k not in first)])
    return clock.told(replace(_sufficient(task, found, smallest), threshold=threshold))


@dataclass(eq=False)
class _Held:
    """Features held: sorted. needed: for each the row that shows that it is. open: those of which it was not decided."""

    features: list[int]
    needed: dict[int, np.ndarray]
    open: list[int]
    reason: str = ""


@dataclass(eq=False)
class _Freeing:
    """Tests whether the decision is forced when some features are free; rows found are kept for further tests."""

    space: Space
    x: np.ndarray
    target: Target
    clock: Clock
    tighten: str
    solver: str = "highs"
    programmes: int = 0

    def __post_init__(self):
        self.rng = np.random.default_rng(0)
        self.rows: list[np.ndarray] = []
        self.whole = Distance(self.space, self.x, 0, np.ones(len(self.space.features)))

    def by_influence(self) -> list[int]:
        """The features that move, the ones that lower the lead least first (by sampled changes of each alone)."""
        contest, now = self.target.contest, self.target.now
        moving = self.space.moving
        drawn = self.space.sample(128, self.rng)
        least = []
        for k in moving:
            X = np.repeat(self.x[None], len(drawn), axis=0)
            X[:, self.space.features[k].columns] = drawn[:, self.space.features[k].columns]
            least.append(float(contest.lead(X, now).min(initial=np.inf)))
        return [moving[i] for i in np.argsort(-np.array(least), kind="stable")]

    def another(self, free: list[int]) -> Nearest:
        """A row with another decision that differs from x in `free` only; row None and complete: there is none."""
        row = self._known(free)
        if row is None and free:
            row = self._drawn(free)
        if row is not None:
            return Nearest(row, 0.0, 0.0, True, "", 0.0, 0, 0)
        if not free:
            return Nearest(None, np.inf, np.inf, True, "", 0.0, 0, 0)
        self.programmes += 1
        found = any_row(self._part(free), self.x, self.target, clock=self.clock, tighten=self.tighten,
                        solver=self.solver)
        if found.row is not None:
            self.rows.append(found.row)
        return found

    def _part(self, free: list[int]) -> Space:
        return self.space.held(self.x, [k for k in range(len(self.space.features)) if k not in free])

    def _known(self, free: list[int]) -> np.ndarray | None:
        return next((r for r in self.rows if set(self.whole.changed(r)) <= set(free)), None)

    def _drawn(self, free: list[int]) -> np.ndarray | None:
        X = self._part(free).sample(SAMPLES, self.rng)
        hit = X[self.target.holds(X)] if len(X) else X
        if not len(hit):
            return None
        self.rows.append(hit[0])
        return hit[0]

    def minimal(self, order: Sequence[int], free: Sequence[int] = ()) -> _Held:
        """Leave out one after the other whatever is not needed, beside those that are free already."""
        free, needed, undecided, reason = list(free), {}, [], ""
        for k in order:
            found = self.another(sorted([*free, k]))
            if found.row is not None:
                needed[k] = found.row
            elif found.complete:
                free.append(k)
            else:
                undecided.append(k)
                reason = found.reason
        return _Held(sorted([*needed, *undecided]), needed, undecided, reason)

    def smallest(self) -> _Held:
        """The fewest features that hit what every other decision changes.

        Source    Ignatiev et al. 2019: smallest reasons are the smallest hitting sets of all contrastive ones.
        """
        program, moving = Program(), self.space.moving
        columns = dict(zip(moving, program.add(len(moving), 0.0, 1.0, True), strict=True))
        held: list[int] = []
        while True:
            free = [k for k in moving if k not in held]
            found = self.another(free)
            if found.row is None:
                break
            hit = [columns[k] for k in self._fewer(found.row)]
            program.constrain(np.ones((1, len(hit))), hit, 1.0, np.inf)
            best = self.clock.solved(lambda: program.minimise_twice(np.ones(len(moving)), np.array(list(columns.values()))))
            if best.x is None or best.status != "optimal":
                found = replace(found, row=None, complete=False, reason=self.clock.reason)
                break
            held = [k for k, c in columns.items() if best.x[c] > 0.5]
        if found.complete:
            return self.minimal(held, free)                             # rows that show that each is needed
        rest = self.minimal(self.by_influence())
        return replace(rest, open=rest.features, reason=found.reason)

    def _fewer(self, row: np.ndarray) -> list[int]:
        """Of the features that a row changes, few that allow another decision too: fewer make stronger cuts."""
        changed = self.whole.changed(row)
        for k in list(changed):
            rest = [c for c in changed if c != k]
            known = self._known(rest)
            if known is None and rest:
                known = self._drawn(rest)
            if known is not None:
                changed = [c for c in changed if c in self.whole.changed(known)]
        return changed


def _sufficient(task: _Freeing, found: _Held, smallest: bool) -> SufficientReason:
    space, contest, x = task.space, task.target.contest, task.x
    names = tuple(space.names[k] for k in found.features)
    rows = np.array([found.needed.get(k, np.full(len(x), np.nan)) for k in found.features]).reshape(len(names), len(x))
    decision = contest.name(task.target.now)
    fewest = "no fewer features are enough" if smallest else "none of them can be left out"
    claim = f"rows of the domain that agree with x in these features are decided as '{decision}', and {fewest} ({TO_TOLERANCE})"
    figures = {"programmes": task.programmes, "features": len(names)}
    if found.open:
        certificate = Certificate(claim, Status.UNKNOWN, f"enough, but perhaps not minimal: {found.reason}", figures)
    else:
        certificate = Certificate(claim, Status.PROVED, "programmes without a solution, and a row for each feature", figures)
    return SufficientReason(names, rows, float(len(found.open)), certificate, space, x, decision, smallest and not found.open)
