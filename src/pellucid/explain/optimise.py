"""`maximise` and `minimise`: exact optima of outputs over an analysis set, with a witness and a proof gap (CEE IV-B)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..certificate import Certificate, Status
from ..chain import chain_of
from ..errors import DomainError, Interrupted
from ..geometry import Box, Hull, NamedSlice, Slice, as_slice
from ..graph import Network
from ..regions.search import MAX_DIM
from .answer import Answer
from .by_milp import by_milp
from .by_regions import Explored, by_regions, explore, explore_if_cheap
from .linear import Linear, Objective, Rows, columns_of, objective_of, rows_of
from .question import Found, Question, Reached

if TYPE_CHECKING:
    import pandas as pd

CHECK_SECONDS = 60.0
"""What the other engine may take when a certificate is checked."""


@dataclass(frozen=True, eq=False, repr=False)
class Extremum(Answer):
    """The largest (or smallest) objective over an analysis set.

    value: attained at `witness` (d,), by the network itself; None where no point keeps the constraints. bound: no point is
    beyond this; gap = |bound - value|. outputs: (c,) f(witness). label: what was optimised; sense: "largest" or "smallest".
    """

    bound: float
    outputs: np.ndarray | None
    label: str
    sense: str
    features: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """The witness: one row a feature."""
        import pandas as pd

        x = np.full(len(self.features), np.nan) if self.witness is None else self.witness
        return pd.DataFrame({"feature": self.features, "value": x})

    def _line(self) -> str:
        if self.value is None:
            return f"{self.sense} {self.label}: no point was found" if np.isfinite(self.bound) else f"{self.sense} {self.label}: no point"
        return f"{self.sense} {self.label} = {self.value:.9g}, gap {self.gap:.2g}"


def maximise(net: Network, objective: int | str | tuple | Sequence[float] | Linear | Objective, domain: Box | Slice | NamedSlice | Hull,
             where=None, *, integer: Sequence[int | str] = (), one_hot: Sequence[Sequence[int | str]] = (), engine: str = "auto",
             max_seconds: float | None = None, threads: int | None = None, solver: str = "highs",
             progress: Callable[[Reached], object] | None = None) -> Extremum:
    """The largest c . f(x) + q . x over a domain, exactly, with the point that attains it. f: the outputs before the link.

    objective: an output (name or number), a pair (a, b) for f_a - f_b, a vector c, an expression such as
    pel.output("a") - 2 * pel.feature("x"), or Objective(outputs=c, inputs=q). where: comparisons such as
    pel.output("a") <= 3, arrays (C, Q, b) for C f(x) + Q x <= b, or a list of them. integer: features that are whole numbers.
    one_hot: groups of features of which one is 1 and the others are 0.
    engine: "regions" (all linear regions, one linear programme each: up to 64 dimensions, by far the fastest in few), "milp" (one
    mixed-integer programme), or "auto": regions while they are few, else milp; the certificate says which. max_seconds: when it
    runs out the answer holds the best point and bound so far, and its status is UNKNOWN. solver: "highs", "scip" or "gurobi".

    The answer's `bound` is proved: with engine "regions" by linear programmes bounded by their multipliers and a proved bound of
    the models' errors, with "milp" to the solver's tolerances. `value` is None, and PROVED so, where no point keeps `where`.
    Raises DomainError (empty, unbounded, wrong names or size), DataError, NotPiecewiseLinear, Interrupted (`.partial`).
    """
    _check_network(net)
    label, goal = objective_of(net, objective)
    asked = _question(net, goal, domain, where, integer, one_hot, max_seconds, progress)
    return _answered(net, asked, label, 1.0, engine, threads, solver)


def minimise(net: Network, objective: int | str | tuple | Sequence[float] | Linear | Objective, domain: Box | Slice | NamedSlice | Hull,
             where=None, *, integer: Sequence[int | str] = (), one_hot: Sequence[Sequence[int | str]] = (), engine: str = "auto",
             max_seconds: float | None = None, threads: int | None = None, solver: str = "highs",
             progress: Callable[[Reached], object] | None = None) -> Extremum:
    """The smallest c . f(x) + q . x over a domain; everything else as for `maximise`."""
    _check_network(net)
    label, goal = objective_of(net, objective)
    turned = Objective(-goal.outputs, -goal.inputs, -goal.constant)
    report = None if progress is None else (lambda r: progress(replace(r, value=-r.value, bound=-r.bound)))
    asked = _question(net, turned, domain, where, integer, one_hot, max_seconds, report)
    return _answered(net, asked, label, -1.0, engine, threads, solver)


def _question(net: Network, goal: Objective, domain, where, integer, one_hot, max_seconds, progress) -> Question:
    if max_seconds is not None and not max_seconds >= 0:
        raise ValueError(f"max_seconds={max_seconds}: a budget cannot be negative")
    plane, hull = _plane(domain, net.feature_names)
    rows, groups = rows_of(net, where), tuple(columns_of(net, group) for group in one_hot)
    plane = _cut(plane, rows)
    deadline = np.inf if max_seconds is None else time.perf_counter() + max_seconds
    return Question(chain_of(net), net, plane, goal, rows, columns_of(net, integer), groups, hull, deadline, progress)


def _cut(plane: Slice, rows: Rows) -> Slice:
    """The part that keeps the constraints on inputs alone, so that there are fewer regions; the whole where that has no interior."""
    _ = plane.bounds                         # DomainError where it is empty or unbounded
    alone = ~rows.C.any(axis=1)
    if not alone.any():
        return plane
    try:
        part = plane.where(rows.Q[alone], rows.b[alone])
        _ = part.bounds
    except DomainError:
        return plane                         # no point, or a flat set of them: the rows say so
    return part


def _check_network(net) -> None:
    if not isinstance(net, Network):
        raise TypeError(f"a Network is needed, got a {type(net).__name__}: load it first with pellucid.load(model)")


def _plane(domain, names: tuple[str, ...]) -> tuple[Slice, np.ndarray | None]:
    """The domain as a Slice; for a hull with too many facets that of its bounding box, and its points."""
    if not isinstance(domain, Hull) or domain.is_small:
        return as_slice(domain, names), None
    plane = as_slice(domain.box, names)
    order = np.arange(len(names)) if domain.names is None else np.array([domain.names.index(n) for n in names])
    return plane, domain.points[:, order]


def _answered(net: Network, asked: Question, label: str, sign: float, engine: str, threads, solver: str) -> Extremum:
    try:
        return _extremum(net, asked, largest(asked, engine, threads=threads, solver=solver), label, sign)
    except Interrupted as stop:
        partial = stop.partial if isinstance(stop.partial, Found) else None
        raise Interrupted(None if partial is None else _extremum(net, asked, partial, label, sign)) from None
    except KeyboardInterrupt:                # between two programmes: nothing is known yet
        raise Interrupted(None) from None


def largest(asked: Question, engine: str = "auto", *, threads: int | None = None, solver: str = "highs",
            explored: Explored | None = None) -> Found:
    """By the engine asked for; "auto" explores as far as that is cheap, and goes over to mixed-integer programming."""
    if engine not in ("auto", "regions", "milp"):
        raise ValueError(f"engine='{engine}': there are 'auto', 'regions' and 'milp'")
    if engine == "regions":
        _check_regions(asked)
    if engine == "milp" or not asked.is_continuous or asked.domain.dim > MAX_DIM:
        return by_milp(asked, solver=solver)
    if explored is None:
        try:
            find = explore if engine == "regions" else explore_if_cheap
            explored = find(asked.base, asked.domain, deadline=asked.deadline, threads=threads, progress=asked.progress)
        except Interrupted as stop:
            raise Interrupted(None if stop.partial is None else by_regions(asked, stop.partial)) from None
    if engine == "regions" or explored.table.complete:
        return by_regions(asked, explored)
    first = by_regions(asked, explored)
    second = by_milp(asked, solver=solver)
    if first.x is not None and (second.x is None or first.value > second.value):
        second = replace(second, x=first.x, value=first.value, bound=max(second.bound, first.value))
    return second


def _check_regions(asked: Question) -> None:
    if not asked.is_continuous:
        raise ValueError("engine='regions' takes no integer or one-hot features and no hulls of many points: take engine='milp', or 'auto'")
    if asked.domain.dim > MAX_DIM:
        raise DomainError(f"{asked.domain.dim} coordinates move in the analysis set; engine='regions' takes up to {MAX_DIM}: take "
                          "engine='milp', or fix some")


def _extremum(net: Network, asked: Question, found: Found, label: str, sign: float) -> Extremum:
    sense = "largest" if sign > 0 else "smallest"
    bound, has = sign * found.bound, found.x is not None
    value: Any = sign * found.value if has else None
    gap = abs(found.bound - found.value) if has else (0.0 if found.is_infeasible else np.inf)
    outputs = net(found.x[None])[0] if has else None
    claim = certificate_of(found, label, sense, bound, value)
    claim = replace(claim, recheck=lambda: _second_look(asked, found, claim))
    return Extremum(value, found.x, float(gap), claim, bound, outputs, label, sense, net.feature_names)


def _second_look(asked: Question, found: Found, claim: Certificate) -> Certificate:
    """The same question to the other engine: both intervals of value and bound must meet, or neither find a point."""
    asked = replace(asked, deadline=time.perf_counter() + CHECK_SECONDS, began=time.perf_counter())
    other = "milp" if found.figures["engine"] == "regions" else "regions"
    if other == "regions" and (not asked.is_continuous or asked.domain.dim > MAX_DIM):
        return Certificate(claim.claim, Status.UNKNOWN, "only one engine takes this question", claim.figures)
    second = largest(asked, other)
    if not (found.is_complete and second.is_complete):
        return Certificate(claim.claim, Status.UNKNOWN, f"not decided by both engines: {found.reason or second.reason}", second.figures)
    if found.is_infeasible or second.is_infeasible:
        agree = found.x is None and second.x is None
    else:
        agree = not (second.value > found.bound) and not (found.value > second.bound)
    return Certificate(claim.claim, Status.PROVED if agree else Status.REFUTED,
                       f"the {other} engine gives {second.value:.12g}, bound {second.bound:.12g}", second.figures)


def certificate_of(found: Found, label: str, sense: str, bound: float, value: float | None) -> Certificate:
    """What a Found proves."""
    if found.is_infeasible:
        return Certificate("no point of the domain keeps the constraints", Status.PROVED, found.terms, found.figures)
    if not found.is_complete:
        so_far = "nothing is known of" if not np.isfinite(bound) else f"the bound so far is {bound:.9g} for"
        return Certificate(f"the {sense} {label} over the domain", Status.UNKNOWN, f"{found.reason}; {so_far} what was not explored",
                           found.figures)
    if value is None:
        return Certificate(f"the {sense} {label} over the domain, if any point keeps the constraints, is not beyond {bound:.9g}",
                           Status.UNKNOWN, f"no point was found that keeps the constraints; the bound is proved, {found.terms}",
                           found.figures)
    excess = found.figures.get("excess", 0.0)
    terms = found.terms + (f"; the witness keeps the constraints to within {excess:.2g}" if excess else "")
    low, high = sorted((value, bound))
    return Certificate(f"the {sense} {label} over the domain lies in [{low:.12g}, {high:.12g}], and {value:.12g} is attained",
                       Status.PROVED, terms, found.figures)
