"""Counterfactuals: the nearest input that is given another class, with a proof that none is nearer (SPEC 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..atlas.nearest import norm_of
from ..certificate import Certificate, Status
from ..errors import DataError, DomainError, MissingExtra
from ..geometry import Box, NamedSlice, Slice
from ..graph import Network
from ..graph.rows import row_of
from ..tolerance import PROVED_GAP
from .answer import Answer
from .clock import Clock
from .contest import TO_TOLERANCE, Target, class_number, contest_of
from .distance import Distance, scales
from .features import OneHot
from .nearest_row import Nearest, nearest_rows
from .space import Space, space_of

if TYPE_CHECKING:
    import pandas as pd

FARTHEST = 2.0**30
"""Without a domain the search widens up to this many scales from x."""


class Change(NamedTuple):
    """What has to become of one feature. change: the difference, or "from -> to" for a category."""

    feature: str
    before: float | str
    after: float | str
    change: float | str


@dataclass(frozen=True, eq=False, repr=False)
class Counterfactual(Answer):
    """The nearest row with another class. value: its distance; witness: the row (d,), both None where there is none.

    x: the row that was asked about. p, scale: of the distance, scale one a feature. margin: the lead that was asked for.
    infimum: a bound below the distance of every row of the wanted class, whatever its lead (down to LEAD where a tie goes to an
    earlier class): it lies on a tie, so the attained distance can only come near it. before, after: the classes of x and of the
    witness. others: next-nearest ones (n > 1).
    """

    space: Space = field(repr=False)
    x: np.ndarray
    p: float
    scale: np.ndarray
    margin: float
    infimum: float
    before: str
    after: str | None
    others: tuple[Counterfactual, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """What changes, in the original features and categories; a large change (in scales) first."""
        if self.witness is None:
            return ()
        distance = Distance(self.space, self.x, 1, self.scale)
        parts = distance.parts(self.witness)
        return tuple(_change(self.space.features[k], self.x, self.witness)
                     for k in sorted(distance.changed(self.witness), key=lambda k: -parts[k]))

    def to_frame(self) -> pd.DataFrame:
        """feature, from, to, change; of several counterfactuals also which one (rank) and its distance."""
        import pandas as pd

        columns = ["feature", "from", "to", "change"]
        if not self.others:
            return pd.DataFrame(self.changes, columns=columns)
        rows = [(rank, one.value, *change) for rank, one in enumerate((self, *self.others), start=1) for change in one.changes]
        return pd.DataFrame(rows, columns=["rank", "distance", *columns])

    def rows(self) -> pd.DataFrame:
        """x and what it becomes as rows of a frame, in the model's original columns."""
        import pandas as pd

        X = np.array([self.x, *(c.witness for c in (self, *self.others) if c.witness is not None)])
        net = self.space.net
        table = pd.DataFrame(X, columns=list(net.feature_names)) if net.table is None else net.table.decode(X)
        return table.set_axis(["now", *(f"counterfactual {k}" for k in range(1, len(X)))], axis=0)

    def _line(self) -> str:
        if self.witness is None:
            return f"from '{self.before}': none" if self.status is Status.PROVED else f"from '{self.before}': none found"
        told = ", ".join(f"{c.feature} {_short(c.before)} -> {_short(c.after)}" for c in self.changes[:4])
        more = f" and {len(self.changes) - 4} more" if len(self.changes) > 4 else ""
        return f"'{self.before}' -> '{self.after}' at distance {self.value:.4g}: {told}{more}"


def _short(value: float | str) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _change(f, x: np.ndarray, other: np.ndarray) -> Change:
    before, after = f.say(x), f.say(other)
    return Change(f.name, before, after, after - before if not f.is_category else f"{before} -> {after}")


def counterfactual(net: Network, x, to: int | str | None = None, *, domain: Box | Slice | NamedSlice | None = None, p: float | str = 1,
                   fixed: Sequence[int | str] = (), integer: Sequence[int | str] = (), one_hot: OneHot = (),
                   monotone: Mapping[int | str, int | str] | None = None, margin: float = 0.0, n: int = 1, scale=None,
                   threshold: float = 0.5, max_seconds: float | None = None, tighten: str = "intervals",
                   solver: str = "highs") -> Counterfactual:
    """The nearest input x' with decision `to`, and the proof that none is nearer (SPEC 5).

    x: a row of network inputs, or of the raw frame. to: a class by name or number; None: any other than now. domain: where x'
    may lie; None: anywhere. p: 1, 2, inf, or 0 (how many features change). fixed: features that stay. integer: features that
    are whole numbers. one_hot: groups of inputs of which exactly one is 1; the categories of a scikit-learn pipeline are known
    without. monotone: {feature: +1 or "up" (may only rise), -1 or "down"}. margin: by how many logits `to` has to lead; 0: so that
    it is the decision, by LEAD where a tie goes to an earlier class. The nearest points of all lie on ties; `infimum` is their
    distance. n: how many; each further one leaves at least one of the
    features as it is that an earlier one changes. scale: what a change of each feature is divided by (a number, one a
    feature, or by name); None: the range of the domain where one is given, else 1; a change of category counts as 1.
    threshold: of a single sigmoid output. max_seconds: for all together; then the best so far. tighten: "intervals" or "lp",
    how the mixed-integer programme bounds the units. solver: "highs", or "scip" or "gurobi" where they are installed;
    `certificate.check()` asks another one.

    Needs     a piecewise linear classifier.
    Gives     Counterfactual; value and witness None where the domain holds none (PROVED) or none was found (UNKNOWN).
    Sound     the witness is re-evaluated by the network and is whole, one-hot and fixed where it has to be, exactly. That none is
              nearer is a bound of HiGHS, to its tolerance of SOLVER, on a problem that asks for LEAD_SLACK less of the lead.
    Complete  yes, but for max_seconds.
    Source    Mixed-integer programmes: CEE III-B; counterfactuals: Wachter et al. 2018; with categories: Ustun et al. 2019.
    Differs   p = 2 by tangents of the squares (Duran & Grossmann 1986), to a gap of PROVED_GAP.
    """
    contest = contest_of(net, threshold)
    row = row_of(net, x)
    p = _checked_norm(p)
    _check(margin, n)
    if p == 0 and domain is None:
        raise DomainError("p=0 counts changes of any size, so it needs a domain: give domain=Box(lower, upper), or Box.of(data)")
    now = int(contest.decide(row)[0])
    target = Target(contest, now, None if to is None else class_number(net, to), float(margin))
    clock = Clock.of(max_seconds)
    whole = space_of(net, _everywhere(net, row) if domain is None else domain, integer=integer, one_hot=one_hot)
    scale = scales(whole, scale, by_range=domain is not None)
    space = _constrained(whole, row, fixed, monotone or {})
    if domain is None:
        found = _widening(space, row, p, scale, target, n, clock, tighten, solver)
    else:
        found = nearest_rows(Distance(space, row, p, scale), target, clock=clock, n=n, tighten=tighten, solver=solver)
    infimum = found[0].bound
    if margin > 0 and found[0].row is not None:
        infimum = _infimum(space, row, p, scale, replace(target, margin=0.0), found[0], clock, tighten, solver)
    answers = [_answer(space, row, p, scale, target, one, infimum if k == 0 else one.bound, k) for k, one in enumerate(found)]
    if found[0].complete:
        first = _checkable(answers[0], target, "highs" if solver == "scip" else "scip")
        answers[0] = replace(answers[0], certificate=first)
    return clock.told(replace(answers[0], others=tuple(answers[1:])))


def _checked_norm(p: float | str) -> float:
    return 0.0 if p == 0 else norm_of(p, more="; 0 counts how many features change")


def _check(margin: float, n: int) -> None:
    if not (np.isfinite(margin) and margin >= 0):
        raise ValueError(f"margin={margin}: a number of logits, 0 or more, is needed")
    if n < 1:
        raise ValueError(f"n={n}: one counterfactual at least")


def _everywhere(net: Network, x: np.ndarray) -> Box:
    """A box so wide that only FARTHEST ends the search."""
    size = 4 * FARTHEST * (1 + np.abs(x))
    return Box(x - np.minimum(size, 1e15), x + np.minimum(size, 1e15))


def _constrained(space: Space, x: np.ndarray, fixed, monotone: Mapping) -> Space:
    """The space with what may not change held, and what may only rise or fall bounded by x."""
    space = space.held(x, space.numbers(fixed))
    lower, upper = np.full(len(x), -np.inf), np.full(len(x), np.inf)
    for name, way in monotone.items():
        f = space.features[space.number(name)]
        if f.is_category:
            raise DataError(f"monotone: '{f.name}' is a category, and has no order; leave its categories out by the domain instead")
        if way not in (1, -1, "up", "down"):
            raise DataError(f"monotone: '{f.name}' can go 'up' (+1) or 'down' (-1), not {way!r}")
        j = f.columns[0]
        (lower if way in (1, "up") else upper)[j] = x[j]
    return space.within(lower, upper)


def _widening(space: Space, x, p, scale, target: Target, n: int, clock: Clock, tighten: str, solver: str) -> list[Nearest]:
    """Without a domain: balls that grow until one holds all n; a row at distance r lies within r scales in each feature."""
    radius, found = 1.0, []
    while radius <= FARTHEST:
        ball = Distance(space.around(x, scale, radius), x, p, scale)
        found = nearest_rows(ball, target, clock=clock, n=n, tighten=tighten, solver=solver)
        last = found[-1]
        if clock.is_over:
            break
        if len(found) == n and last.row is not None and last.value <= radius:
            return found
        radius = max(4 * radius, float(last.value) if last.row is not None else 0.0)
    out = f"nothing within {radius:.2g} scales was found" if not clock.is_over else clock.reason
    return [one if one.row is not None and one.value <= radius else replace(one, complete=False, reason=out) for one in found]


def _infimum(space, x, p, scale, target: Target, found: Nearest, clock: Clock, tighten: str, solver: str) -> float:
    """A bound below every row of the class; within the ball of what was found, which holds them all."""
    near = space.around(x, scale, found.value) if p != 0 else space
    return nearest_rows(Distance(near, x, p, scale), target, clock=clock, tighten=tighten, solver=solver)[0].bound


def _answer(space, x, p, scale, target: Target, found: Nearest, infimum: float, rank: int) -> Counterfactual:
    contest = target.contest
    known = found.row is not None
    gap = max(found.value - found.bound, 0.0) if known else (0.0 if found.complete else np.inf)
    after = contest.name(int(contest.decide(found.row)[0])) if known else None
    return Counterfactual(found.value if known else None, found.row, gap, _certificate(target, found, gap, rank), space, x, p, scale,
                          target.margin, infimum, contest.name(target.now), after)


def _checkable(answer: Counterfactual, target: Target, solver: str) -> Certificate:
    """The certificate, to be checked by another solver; within the ball of what was found, which holds whatever is nearer."""
    space, claim = answer.space, answer.certificate

    def again() -> Certificate:
        near = space if answer.value is None or answer.p == 0 else space.around(answer.x, answer.scale, answer.value)
        try:
            found = nearest_rows(Distance(near, answer.x, answer.p, answer.scale), target, clock=Clock(), tighten="lp", solver=solver)[0]
        except MissingExtra as missing:
            return Certificate(claim.claim, Status.UNKNOWN, str(missing), claim.figures)
        if answer.witness is None:
            agrees = found.row is None and found.complete
        else:
            holds = space.contains(answer.witness)[0] and target.holds(answer.witness)[0]
            agrees = holds and abs(found.value - float(answer.value)) <= 2 * PROVED_GAP * (1 + float(answer.value))
        reason = f"{solver} finds {'none' if found.row is None else f'one at distance {found.value:.9g}'}"
        return Certificate(claim.claim, claim.status if agrees else Status.UNKNOWN, reason, claim.figures)

    return replace(claim, recheck=again)


def _certificate(target: Target, found: Nearest, gap: float, rank: int) -> Certificate:
    """What is claimed of a nearest row."""
    other = ", and changes another set of features," if rank else ""
    figures = {"bound": found.bound, "seconds": found.seconds, "programmes": found.programmes, "binaries": found.binaries,
               "solver margin": found.solver_margin}
    if found.row is None:
        claim = f"no row of the domain{other} is given {target.words} ({TO_TOLERANCE})"
        if found.complete:
            return Certificate(claim, Status.PROVED, "the programme is infeasible", figures)
        return Certificate(claim, Status.UNKNOWN, found.reason or "the search ended before it was decided", figures)
    claim = f"the row is given {target.words}, and none nearer than {found.bound:.9g}{other} is ({TO_TOLERANCE})"
    if gap <= PROVED_GAP * (1 + found.value) and found.complete:
        return Certificate(claim, Status.PROVED, f"bound and row are within {gap:.2g}", figures)
    reason = found.reason or "the search ended early"
    return Certificate(claim.replace("none nearer than", "none nearer than (so far)"), Status.UNKNOWN,
                       f"{reason}: the nearest lies between {found.bound:.9g} and {found.value:.9g}", figures)
