"""Contrastive reasons: features whose freedom allows another decision (Ignatiev et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..certificate import Certificate, Status
from ..geometry import Box, NamedSlice, Slice
from ..graph import Network
from ..graph.rows import row_of
from .answer import Answer
from .clock import Clock
from .contest import TO_TOLERANCE, Target, class_number, contest_of
from .distance import Distance
from .features import OneHot
from .nearest_row import Nearest, nearest_rows
from .space import Space, space_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class ContrastiveReason(Answer):
    """Features whose freedom, all others as in x, allows another decision. value: their names, None where nothing changes it.

    witness: (d,) a row with the other decision. gap: how many features fewer might do. before, after: the decisions.
    others: further reasons, each without a feature of every earlier one (n > 1).
    """

    space: Space = field(repr=False)
    x: np.ndarray
    before: str
    after: str | None
    others: tuple[ContrastiveReason, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """One row a feature: its value in x, and one with which the decision changes."""
        import pandas as pd

        rows = [(rank, name, one.space.say(name, one.x), one.space.say(name, one.witness), one.after)
                for rank, one in enumerate((self, *self.others), start=1) for name in one.value or ()]
        frame = pd.DataFrame(rows, columns=["rank", "feature", "from", "such as", "is decided"])
        return frame if self.others else frame.drop(columns="rank")

    def _line(self) -> str:
        if self.value is None:
            return f"'{self.before}': " + ("no change of features changes it" if self.status is Status.PROVED else "none found")
        return f"'{self.before}' -> '{self.after}' by {', '.join(self.value[:6])}" + (" and more" if len(self.value) > 6 else "")


def contrastive_reason(net: Network, x, domain: Box | Slice | NamedSlice, *, to: int | str | None = None, n: int = 1,
                       integer: Sequence[int | str] = (), one_hot: OneHot = (), threshold: float = 0.5,
                       max_seconds: float | None = None, tighten: str = "intervals", solver: str = "highs") -> ContrastiveReason:
    """The fewest features whose freedom, all others as in x, allows another decision within the domain (SPEC 5).

    x: a row of the domain, as network inputs or raw. to: another decision than now (None), or this one. n: how many reasons; each
    further one does without a feature of every earlier one. The other arguments: as for `counterfactual`.

    Needs     a piecewise linear classifier; x inside the domain.
    Gives     ContrastiveReason; the fewest features are in particular a minimal set. value None where nothing changes the decision.
    Sound     the row is evaluated by the network; that fewer features do not do is a bound of HiGHS.
    Source    Ignatiev, Narodytska & Marques-Silva 2019; as counterfactuals with the fewest changes (p = 0).
    """
    contest, row, space = contest_of(net, threshold), row_of(net, x), space_of(net, domain, integer=integer, one_hot=one_hot)
    for k in range(len(space.features)):
        space.check_value(row, k)
    clock = Clock.of(max_seconds)
    now = int(contest.decide(row)[0])
    target = Target(contest, now, None if to is None else class_number(net, to), 0.0)
    found = nearest_rows(Distance(space, row, 0, np.ones(len(space.features))), target, clock=clock, n=n, tighten=tighten, solver=solver)
    answers = [_contrastive(space, row, target, one, k) for k, one in enumerate(found)]
    return clock.told(replace(answers[0], others=tuple(answers[1:])))


def _contrastive(space: Space, x: np.ndarray, target: Target, found: Nearest, rank: int) -> ContrastiveReason:
    contest, figures = target.contest, {"programmes": found.programmes, "bound": found.bound, "seconds": found.seconds}
    before = contest.name(target.now)
    if found.row is None:
        other = " without a feature of each earlier reason" if rank else ""
        claim = f"no row of the domain{other} is given {target.words} ({TO_TOLERANCE})"
        status = Status.PROVED if found.complete else Status.UNKNOWN
        reason = "the programme is infeasible" if found.complete else found.reason
        certificate = Certificate(claim, status, reason, figures)
        return ContrastiveReason(None, None, 0.0 if found.complete else np.inf, certificate, space, x, before, None)
    changed = Distance(space, x, 0, np.ones(len(space.features))).changed(found.row)
    gap = max(len(changed) - found.bound, 0.0)
    claim = f"a row that differs from x in these features only is given {target.words}, and none that differs in fewer is ({TO_TOLERANCE})"
    reason = f"{found.reason or 'the search ended early'}: {found.bound:g} features or more" if gap else "as few as the bound"
    certificate = Certificate(claim, Status.UNKNOWN if gap else Status.PROVED, reason, figures)
    return ContrastiveReason(tuple(space.names[k] for k in changed), found.row, gap, certificate, space, x, before,
                             contest.name(int(contest.decide(found.row)[0])))
