"""How far a point is from the nearest one with another decision, proved by searching the ball between (SPEC 5)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..atlas.enumerate import split_of
from ..atlas.nearest import Found, Near
from ..certificate import Certificate, Status
from ..chain import UNIT
from ..errors import Interrupted, NoDecision
from ..geometry import Box, NamedSlice, Slice
from ..graph import Network
from ..graph.network import logit, no_class
from ..regions import Progress
from ..tolerance import FARTHEST, GEOMETRIC, OWN_SHARE, PROVED_GAP, ROUNDING_FACTOR
from .answer import Answer
from .nearby import Otherwise, otherwise_near

if TYPE_CHECKING:
    import pandas as pd

FIRST_SECONDS = 0.25
"""What is not found by then is looked for by quick steps too: a point that they find ends the search at its distance."""

_STEPS = 2.0 ** -np.arange(44, -1, -1)
"""How far beyond the tie a witness is sought, as shares of the way to an inner point of the other class's piece."""


@dataclass(frozen=True, eq=False, repr=False)
class RobustnessRadius(Answer):
    """The distance from x to the nearest point of the domain that the network decides otherwise.

    value: the infimum, which lies on a tie; inf where no point of the domain is decided otherwise, None where none was found in
    what was searched. witness: (d,) a point just beyond the tie, decided otherwise by the network itself.
    lower: no point nearer than this is decided otherwise. upper: the distance of the witness. gap: how far value can be off.
    tie: (d,) the point at the distance `value`. decision, other: classes of x and of the witness.
    """

    network: Network
    x: np.ndarray
    p: float
    decision: int
    other: int | None
    lower: float
    upper: float
    tie: np.ndarray | None

    def to_frame(self) -> pd.DataFrame:
        """One row a feature: x, the tie, the witness and its change."""
        import pandas as pd

        frame = pd.DataFrame({"feature": self.network.feature_names, "x": self.x})
        if self.tie is not None and self.witness is not None:
            frame = frame.assign(tie=self.tie, witness=self.witness, change=self.witness - self.x)
        return frame

    def _line(self) -> str:
        names = self.network.class_names
        if self.value is None:
            return f"{names[self.decision]} everywhere within {self.lower:.6g} of x in the {self.p:g}-norm"
        if self.other is None:
            return f"{names[self.decision]} everywhere in the domain"
        return f"{self.value:.6g} in the {self.p:g}-norm from {names[self.decision]} to {names[self.other]}, not below {self.lower:.6g}"


def robustness_radius(net: Network, x, p: float | str = 2, domain: Box | Slice | NamedSlice | None = None, *, threshold: float = 0.5,
                      radius: float | None = None, max_seconds: float | None = None, threads: int | None = None,
                      progress: Callable[[Progress], object] | None = None) -> RobustnessRadius:
    """Exact distance from x to the nearest point with another decision, by complete search of the ball between.

    p: 1, 2 or inf. domain: a Box or Slice that the other point has to be in, bounded or not; None is all of R^d. threshold:
    probability from which a single sigmoid output gives its class. radius: look no farther; where no point within it is decided
    otherwise, that is what is proved. max_seconds: a budget; when it runs out, `lower` and `upper` hold what is known.

    Needs     a piecewise linear classifier, x in the domain, up to 64 features that move.
    Sound     no cell within the radius is left out (`near_regions`); the witness is evaluated by the network itself.
    Complete  but for pieces of other classes that are thinner than GEOMETRIC of the box that was searched.
    Source    SPEC 5 (nearest point with another arg max by regions, nearest first; Jordan, Lewis & Dimakis 2019 search so too).

    Raises NoDecision (regression, several labels at once), DomainError, DataError, Interrupted (`.partial`: the bounds so far).
    """
    if net.n_classes == 0:
        raise NoDecision(no_class(net))
    if radius is not None and not radius >= 0:
        raise ValueError(f"radius={radius}: it cannot be negative")
    question = Near(net, x, domain, p, split_of(net, "class", threshold))
    decision = int(net.decide(question.x, threshold=threshold)[0])
    asked, seen = np.inf if radius is None else radius, None
    options = {"keep": 1, "avoid": decision, "threads": threads, "progress": progress}
    began = time.perf_counter()
    try:
        first = FIRST_SECONDS if max_seconds is None else min(FIRST_SECONDS, max_seconds)
        found = question.search(radius=radius, max_seconds=first, **options)
        if found.reason == "max_seconds":
            seen = _seen(question, decision, threshold, asked)
            left = None if max_seconds is None else max(max_seconds - (time.perf_counter() - began), 0.0)
            if left is None or left > 0:
                again = question.search(radius=radius if seen is None else min(asked, seen.distance), max_seconds=left, **options)
                found = again if again.best.radius >= found.best.radius else found
    except Interrupted as stop:
        raise Interrupted(None if stop.partial is None else _answer(question, stop.partial, decision, threshold, seen)) from None
    return _answer(question, found, decision, threshold, seen)


def _seen(question: Near, decision: int, threshold: float, asked: float) -> Otherwise | None:
    """A point within the radius that the network decides otherwise, found by a quick search."""
    net = question.net
    if net.n_outputs == 1:
        sign = 1.0 if decision == 0 else -1.0
        E, e = np.array([[sign]]), np.array([-sign * logit(threshold)])
    else:
        E, e = np.delete(np.eye(net.n_outputs) - np.eye(net.n_outputs)[decision], decision, axis=0), np.zeros(net.n_outputs - 1)
    seen = otherwise_near(question, (E, e), lambda x: _margin(net, x, decision, threshold))
    if seen is None or seen.distance > asked or int(net.decide(seen.witness, threshold=threshold)[0]) == decision:
        return None
    return seen


def _answer(question: Near, found: Found, decision: int, threshold: float, seen: Otherwise | None) -> RobustnessRadius:
    lower = found.best.radius
    tie, witness, value = _nearest(question, found, decision, threshold)
    if seen is not None and seen.distance < (np.inf if witness is None else value):
        return _between(question, found, decision, threshold, seen)
    if witness is None:
        nothing = found.is_whole and not len(found.near.distance)
        certificate = _certificate(question, found, lower, confirmed=not len(found.near.distance))
        return RobustnessRadius(np.inf if nothing else None, None, 0.0 if nothing else np.inf, certificate, question.net, question.x,
                                question.p, decision, None, lower, np.inf, None)
    upper = float(np.linalg.norm(witness - question.x, ord=question.p))
    lower = min(lower, value)
    certificate = _certificate(question, found, lower, confirmed=True)
    certificate = replace(certificate, recheck=lambda: _second_look(question, certificate, decision, threshold, lower, _room(found)))
    other = int(question.net.decide(witness, threshold=threshold)[0])
    return RobustnessRadius(value, witness, max(value - lower, upper - value), certificate, question.net, question.x, question.p, decision,
                            other, lower, upper, tie)


def _between(question: Near, found: Found, decision: int, threshold: float, seen: Otherwise) -> RobustnessRadius:
    """The answer where the search itself has met nothing nearer than the point that was seen."""
    lower = min(found.best.radius, seen.distance)
    gap = seen.distance - lower
    certificate = _certificate(question, found, lower, confirmed=True)
    if gap > PROVED_GAP * (1 + seen.distance) and certificate.status is Status.PROVED:
        certificate = replace(certificate, status=Status.UNKNOWN, reason="what lies between `lower` and `upper` is not known")
    certificate = replace(certificate, recheck=lambda: _second_look(question, certificate, decision, threshold, lower, _room(found)))
    other = int(question.net.decide(seen.witness, threshold=threshold)[0])
    return RobustnessRadius(seen.distance, seen.witness, gap, certificate, question.net, question.x, question.p, decision, other, lower,
                            seen.distance, seen.tie)


def _second_look(question: Near, first: Certificate, decision: int, threshold: float, lower: float, room: float, *,
                 points: int = 100_000, seed: int = 0) -> Certificate:
    """Does the network decide otherwise at random points nearer than `lower`? Samples can only refute."""
    x, _ = question.sample(lower, points, seed)
    refuted = np.flatnonzero(_margin(question.net, x, decision, threshold) > room)
    figures = {"points": len(x), "decided otherwise": len(refuted)}
    if len(refuted):
        return Certificate(first.claim, Status.REFUTED, f"the network decides otherwise at {x[refuted[0]].tolist()}", figures)
    return Certificate(first.claim, Status.UNKNOWN, f"{len(x)} random points do not refute it", figures)


def _nearest(question: Near, found: Found, decision: int, threshold: float):
    """(tie, witness, distance of the tie) of the nearest piece on which the network itself decides otherwise."""
    near, plane, net = found.near, found.plane, question.net
    room = _room(found)
    for k in np.argsort(near.distance, kind="stable")[:32]:
        foot, inner = near.feet[k], near.table.points[k]
        points = plane.point(foot + _STEPS[:, None] * (inner - foot))
        points = np.clip(points, np.minimum(plane.box.lower, question.x), np.maximum(plane.box.upper, question.x))
        margin = _margin(net, points, decision, threshold)
        clear = [*points[margin > room], *points[margin >= 0]]           # equal outputs go to the first
        for witness in clear:
            if int(net.decide(witness, threshold=threshold)[0]) != decision:
                return plane.point(foot)[0], witness, float(near.distance[k])
    return None, None, np.inf


def _room(found: Found) -> float:
    """Margins beyond this have the same sign however the network's sums are added up."""
    return 2 * ROUNDING_FACTOR * OWN_SHARE * float(np.max(found.decided.floors[-1], initial=0.0))


def _margin(net: Network, points: np.ndarray, decision: int, threshold: float) -> np.ndarray:
    """By how much each point is decided otherwise."""
    y = net(points)
    if net.n_outputs == 1:
        return (y[:, 0] - logit(threshold)) * (1 if decision == 0 else -1)
    return np.delete(y, decision, axis=1).max(axis=1) - y[:, decision]


def _certificate(question: Near, found: Found, lower: float, *, confirmed: bool) -> Certificate:
    best = found.best
    claim = (f"no point of the domain nearer to x than {lower:.12g} ({question.p:g}-norm) is decided otherwise, but on pieces thinner "
             f"than {GEOMETRIC:g} of the box that was searched, or where units or outputs stay within {max(best.decided.width, UNIT):.1g} "
             "of their size from a tie")
    figures = {"lower": lower, "pieces met": len(found.near.distance), "unresolved": best.near.table.unresolved,
               "rounding": best.decided.width, "thickness": GEOMETRIC, "seconds": found.seconds}
    if not confirmed:
        return Certificate(claim, Status.UNKNOWN, "the network itself does not decide otherwise where a piece of another class was found: "
                           "it lies within rounding", figures)
    if not best.decided.is_proved:
        return Certificate(claim, Status.UNKNOWN, f"rounding errors were estimated: {best.decided.why()}", figures)
    ended = {"max_seconds": "max_seconds", "cancelled": "an interruption",
             "far": f"the end of an unbounded search, {FARTHEST:g} times as far as the farthest unit"}.get(found.reason)
    if ended:
        return Certificate(claim, Status.UNKNOWN, f"{ended} ended the search: the radius lies between `lower` and `upper`", figures)
    slivers = f", up to {best.near.table.unresolved} slivers in their neighbours" if best.near.table.unresolved else ""
    return Certificate(claim, Status.PROVED, f"every cell of the ball was searched{slivers}", figures)
