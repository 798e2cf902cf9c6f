"""Fairness: does a decision ever change when only protected features do? (SPEC 5)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..certificate import Certificate, Status
from ..errors import DataError
from ..geometry import Box, NamedSlice, Slice
from ..graph import Network
from .answer import Answer
from .clock import Clock
from .contest import TO_TOLERANCE, contest_of
from .features import OneHot
from .pairs import SAMPLES, Comparison, Found
from .space import Space, space_of

if TYPE_CHECKING:
    import pandas as pd

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
         max_seconds: float | None = None, tighten: str = "lp", solver: str = "highs") -> Fairness:
    """Does no decision on the domain change when only the protected features do? Proved, or two rows that show that one does.

    protected: features by name or number, categories as one. margin: decisions that lead by less than so many logits do not
    count. strongest: of unfair pairs the one whose two decisions lead most, instead of the first found. integer, one_hot,
    threshold, max_seconds, tighten, solver: as for `counterfactual`.

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
    clock = Clock.of(max_seconds)
    task = Comparison(space, contest, own, margin, strongest, clock, tighten, solver=solver)
    return clock.told(_answer(task, task.run()))


def _answer(task: Comparison, found: Found) -> Fairness:
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
    if found.is_none:
        reason = f"{found.programmes} programmes, none with such a pair"
        certificate = Certificate(claim, Status.PROVED, reason, figures)
        return Fairness(True, None, 0.0, certificate, task.space, names, None, np.nan, found.pairs)
    certificate = Certificate(claim, Status.UNKNOWN, found.open, figures)
    return Fairness(None, None, np.inf, certificate, task.space, names, None, np.nan, found.pairs)
