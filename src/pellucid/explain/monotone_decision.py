"""Does more of a feature ever cost a decision? Proved over a domain with categories, or two rows that show it."""

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
from .contest import TO_TOLERANCE, class_number, contest_of
from .features import OneHot
from .pairs import SAMPLES, Comparison
from .space import Space, space_of

if TYPE_CHECKING:
    import pandas as pd

WAYS = {"up": 1, "down": -1}


@dataclass(frozen=True, eq=False, repr=False)
class MonotoneDecision(Answer):
    """Whether a decision is never lost when one feature alone goes one way. value: True, False, or None (not decided).

    witness: (2, d), a row with the decision and one without it that differs in the feature only; None where there are none.
    gap: 0 where decided, else inf. lead: the least of the leads of the two decisions, nan without a pair.
    """

    space: Space = field(repr=False)
    feature: str
    decision: str
    direction: str
    lead: float

    def to_frame(self) -> pd.DataFrame:
        """One row: the verdict, and the values of the feature between which the decision is lost."""
        import pandas as pd

        ends = [None, None] if self.witness is None else [self.space.say(self.feature, row) for row in self.witness]
        return pd.DataFrame([{"feature": self.feature, "goes": self.direction, "decision": self.decision, "is kept": self.value,
                              "status": str(self.status), "lost from": ends[0], "lost to": ends[1], "lead": self.lead}])

    def _line(self) -> str:
        kept = {True: "is never lost", False: "can be lost", None: "not decided whether it can be lost"}[self.value]
        ends = [] if self.witness is None else [self.space.say(self.feature, row) for row in self.witness]
        where = f", as from {ends[0]:g} to {ends[1]:g}" if ends else ""
        return f"'{self.decision}' {kept} as {self.feature} goes {self.direction}{where}"


def monotone_decision(net: Network, feature: int | str, domain: Box | Slice | NamedSlice, to: int | str = -1, *, direction: str = "up",
                      margin: float = 0.0, strongest: bool = False, integer: Sequence[int | str] = (), one_hot: OneHot = (),
                      threshold: float = 0.5, max_seconds: float | None = None, tighten: str = "lp",
                      solver: str = "highs") -> MonotoneDecision:
    """Is the decision `to` never lost when `feature` alone goes up (or down), anywhere in the domain?

    to: a class by name or number (the last one). margin, strongest: as for `fair`. integer, one_hot, threshold, max_seconds,
    tighten, solver: as for `counterfactual`; unlike an enumeration of regions this respects categories and whole numbers.

    Needs     a piecewise linear classifier; a feature that is a number.
    Gives     MonotoneDecision. PROVED (True): no pair of rows loses the decision with both leads above margin + LEAD; REFUTED (False)
              with a pair; UNKNOWN where time ran out.
    Sound     pairs are evaluated by the network; that there is none is a bound of HiGHS, to its tolerance.
    Source    two copies of the network that share all other features; as in `fair`.
    """
    contest, space = contest_of(net, threshold), space_of(net, domain, integer=integer, one_hot=one_hot)
    if direction not in WAYS:
        raise ValueError(f"direction='{direction}': there are 'up' and 'down'")
    k, lost = space.number(feature), class_number(net, to)
    if space.features[k].is_category:
        raise DataError(f"'{space.names[k]}' is a category, and goes neither up nor down")
    clock = Clock.of(max_seconds)
    found = Comparison(space, contest, [k], margin, strongest, clock, tighten, WAYS[direction], lost, solver).run()
    name, decision = space.names[k], contest.name(lost)
    claim = f"class '{decision}' is never lost as {name} alone goes {direction}"
    figures = {"programmes": found.programmes, "bound": found.bound, "drawn": SAMPLES}
    if found.rows is not None:
        certificate = Certificate(claim, Status.REFUTED, f"the pair's decisions lead by {found.lead:.4g} or more", figures)
        return clock.told(MonotoneDecision(False, found.rows, 0.0, certificate, space, name, decision, direction, found.lead))
    claim += f", by decisions that both lead by more than {found.enough:g} ({TO_TOLERANCE})"
    if found.is_none:
        certificate = Certificate(claim, Status.PROVED, f"{found.programmes} programmes, none with such a pair", figures)
        return MonotoneDecision(True, None, 0.0, certificate, space, name, decision, direction, np.nan)
    certificate = Certificate(claim, Status.UNKNOWN, found.open, figures)
    return clock.told(MonotoneDecision(None, None, np.inf, certificate, space, name, decision, direction, np.nan))
