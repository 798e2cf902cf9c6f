"""`verify`: is a property proved, refuted with a counterexample, or unknown? By attacks, bounds, and branch and bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..attacks import Goal, ascend, boxes
from ..certificate import Certificate, Status
from ..errors import DataError, Interrupted, MissingExtra
from ..graph import Network
from ..importers.load import Original, original_of
from .property import Property, before_link, property_of
from .recheck import recheck
from .replay import asked_of_original, in_float32
from .searching import Budget, Reached, Search
from .space import Space, space_of
from .verdict import Verdict
from .vnnlib import Query, load_vnnlib

SPLITS = ("auto", "inputs", "units")

FEW_INPUTS = 10
"""Up to this many moving inputs boxes of inputs are halved; beyond, units are split. Halving every input once makes 2^d boxes."""

RESTARTS, STARTS, STEPS = 4, 64, 40
"""Of the first attack: starts is for domains of few inputs, where points are cheap."""


def verify(net: Network, domain, property=None, *, split: str = "auto", max_seconds: float | None = 300.0, max_nodes: int | None = None,
           dtype: Any = None, device: Any = "cpu", batch: int | None = None, seed: int = 0, original=None,
           progress: Callable[[Reached], object] | None = None) -> Verdict:
    """Does a property hold at every point of a domain?

    domain: a Box, Ball, Slice or Hull; or the path of a .vnnlib file (or a Query), which holds domain and property.
    property: a class by name or number (it leads all others, everywhere); comparisons that all have to hold, such as
        pel.output("left") - pel.output("right") >= 0.5; pel.never(...), comparisons that may not hold all at once; or a Property.
        Outputs are those before the link, except in a .vnnlib file, which speaks of what the model answers.
    split: "inputs" (boxes are halved, and units split inside them: for few inputs), "units" (hidden units, by their sign), or "auto".
    max_seconds, max_nodes: budgets, None for none; when one runs out the verdict is UNKNOWN and says so. Where the margin is zero
        somewhere (ties, as zero biases make them) no bound can decide, and every budget runs out. dtype: of the bounds, torch.float32 (the
        default) or torch.float64 (half as fast; decides smaller margins); sound both.
    original: the model file or object (as `load` takes it), in whose own runtime a counterexample is replayed; default: the .onnx
        file that the network was loaded from, where it is still there.
    progress: called with what was reached.

    PROVED   every unsafe case is excluded on every leaf of a tree that covers the domain, by bounds that include rounding.
    REFUTED  `witness` lies in the domain and is unsafe by the network itself in float64.
    Raises DomainError, DataError, NoDecision, FileFormatError; Interrupted on Ctrl-C, with the verdict so far in `.partial`.
    """
    try:
        import torch
    except ImportError as e:
        raise MissingExtra("torch", "torch", "verify") from e
    if not isinstance(net, Network):
        raise TypeError(f"a Network is needed, got a {type(net).__name__}: load it first with pellucid.load(model)")
    if split not in SPLITS:
        raise ValueError(f"split='{split}': there are {', '.join(SPLITS)}")
    domain, answered, p = _asked(net, domain, property)
    budget = Budget(max_seconds, max_nodes, progress)
    space = space_of(net, domain, p)
    search = Search(space, budget, lambda x: p.unsafe_in(net(x), x) >= 0)
    how = _way(space, split)
    try:
        _attack(search, seed, device)
        if not search.is_decided:
            _search(search, how, dtype, device, batch, torch)
    except KeyboardInterrupt:
        budget.pressed = True
        search.undecided = search.undecided or budget.reason
    verdict = _verdict(net, p, answered, search, how, _original(net, original))
    if budget.pressed and verdict.status is Status.UNKNOWN:
        raise Interrupted(verdict)
    return verdict


def _asked(net: Network, domain, asked) -> tuple[Any, Property | None, Property]:
    """(domain, the property of the model's answers where it speaks of those, the property of the outputs before the link)."""
    if isinstance(domain, str | Path):
        domain = load_vnnlib(domain)
    if isinstance(domain, Query):
        if asked is not None:
            raise DataError("a .vnnlib file holds the property: give no other")
        p = property_of(net, domain.property)
        return domain.domain, p, before_link(net, p)
    if asked is None:
        raise DataError("what is to be verified? Give a class, comparisons, pel.never(...), or the path of a .vnnlib file as the domain")
    return domain, None, property_of(net, asked)


def _way(space: Space, split: str) -> str:
    if split == "inputs" and space.ball is not None:
        raise ValueError("split='inputs' takes boxes and max-norm balls: a ball in the 1- or 2-norm is split by units")
    if split != "auto":
        return split
    return "inputs" if space.dim <= FEW_INPUTS and space.ball is None else "units"


def _attack(search: Search, seed: int, device) -> None:
    """Gradients from the centre, corners and points at random; cases of one row and the same box at once."""
    space = search.space
    if space.dim == 0 and space.cases:
        search.try_points(space.sets.inside(space.sets.centre))
        return
    alone: dict[bytes, list] = {}
    for c in space.cases:
        if len(c.b) == 1:
            alone.setdefault(c.lower.tobytes() + c.upper.tobytes(), []).append(c)
    groups = [(cs, np.vstack([c.C for c in cs]), np.concatenate([c.b for c in cs]), "each") for cs in alone.values()]
    groups += [([c], c.C, c.b, "smallest") for c in space.cases if len(c.b) > 1]
    for cases, C, b, aggregate in groups:
        if search.is_decided or search.budget.is_over:
            return
        sets = space.sets if space.ball is not None else boxes(cases[0].lower, cases[0].upper)
        n = max(1, STARTS // len(cases)) if space.dim <= FEW_INPUTS else 1
        found = ascend(space.graph, sets[np.zeros(n, dtype=int)], Goal(-C, None, b), aggregate=aggregate, restarts=RESTARTS, steps=STEPS,
                       seed=seed, enough=0.0, device=None if device == "cpu" else device, stop=lambda: search.budget.is_over)
        x = found.x.reshape(-1, found.x.shape[-1])
        search.try_points(x[np.isfinite(x).all(axis=1)])
    if any(not len(c.b) for c in space.cases):
        search.try_points(np.stack([c.lower + (c.upper - c.lower) / 2 for c in space.cases if not len(c.b)]))


def _search(search: Search, how: str, dtype, device, batch: int | None, torch) -> None:
    if not search.space.cases:
        return
    if how == "inputs":
        from .by_inputs import BATCH, by_inputs
        from .leaves import BoxBounds

        by_inputs(search, BoxBounds.of(search.space.graph, dtype or torch.float32, device), batch=batch or BATCH)
        return
    from .by_units import by_units

    by_units(search, dtype or torch.float32, device, batch)


# ---- what comes out
def _original(net: Network, given) -> tuple[Original | None, str]:
    if given is not None:
        return original_of(given)
    file = net.source.rpartition(", opset ")[0]
    return original_of(Path(file), like=net) if file.endswith(".onnx") and Path(file).is_file() else (None, "")


def _verdict(net: Network, p: Property, answered: Property | None, search: Search, how: str, runtime) -> Verdict:
    space, budget = search.space, search.budget
    figures = {"nodes": budget.nodes, "leaves": search.leaves, "left": search.n_left, "split": how, "seconds": budget.seconds}
    claim = p.text
    if search.witness is not None:
        x = in_float32(search.witness, search.is_unsafe) if space.plain else space.lift(search.witness[None])[0]
        y = net(x[None])
        case = int(p.unsafe_in(y, x[None])[0])
        answer, confirmed = asked_of_original(net, p, answered, x, runtime[0])
        said = "" if confirmed is None else f"; {runtime[1]} agrees" if confirmed else f"; {runtime[1]} does not find it unsafe (rounding)"
        reason = f"the witness is unsafe by the network itself, in float64{said}"
        excess = p.unsafe[case].excess(y, x[None])[0]
        margin = float(excess.max(initial=-np.inf))
        certificate = _checkable(Certificate(claim, Status.REFUTED, reason, figures), net, p, search, x)
        return Verdict(certificate, x, y[0], answer, confirmed, case, -np.inf, margin, net.feature_names)
    is_proved = not search.undecided and not search.n_left
    bound = min(search.proved, search.open_bound)
    terms = "bounds that include rounding exclude every unsafe case on every leaf, and the leaves cover the domain"
    if not space.cases:
        terms = "no point of the domain keeps the unsafe cases' bounds on the inputs"
    certificate = Certificate(claim, Status.PROVED if is_proved else Status.UNKNOWN, terms if is_proved else search.undecided, figures)
    return Verdict(_checkable(certificate, net, p, search, None), None, None, None, None, None, bound, search.margin, net.feature_names)


def _checkable(claim: Certificate, net: Network, p: Property, search: Search, witness: np.ndarray | None) -> Certificate:
    return replace(claim, recheck=lambda: recheck(net, p, search, claim, witness))
