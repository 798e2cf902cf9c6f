"""`bounds` and `margins`: the public door."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..certificate import Certificate, Status
from ..errors import DomainError, NoDecision
from ..graph.graph import INPUT
from ..graph.network import Network
from ..graph.op import size
from .backward import Form, Trace, lowest
from .claim import claim
from .hidden import crown, forward, intervals
from .interval import reach_of
from .link import link_bounds
from .optimise import better_form, optimised
from .program import Program, program
from .result import Bounds, Forms
from .rounding import no_nan, plain_products, tiny, unit
from .sets import InputSet, input_set

METHODS = ("auto", "interval", "forward", "crown-interval", "forward+crown", "crown", "alpha-crown", "best")

CROWN_ENTRIES = 1 << 27
"""Hidden units times the widest tensor, up to which "auto" bounds them all backwards: seconds for one set on one core."""

MEMORY = 1 << 26
"""Numbers that a batch of sets may take, half a gigabyte in float64."""

_UNCLAIMED = Certificate("", Status.UNKNOWN)


def bounds(net: Network, domain: Any, *, method: str = "auto", spec: Any = None, link: bool = False, batch: int | None = None,
           forms: bool = False, iterations: int = 20, dtype: Any = "float64", device: Any = "cpu") -> Bounds:
    """Sound bounds of a network's logits, or of rows c.f(x), over balls or boxes: no point of a set gives a value outside.

    domain: a Ball (which holds many sets, where its centre, eps or mask do), a Box or a slice of one, or a list of those.
    method: "interval" (cheapest, loosest), "forward", "crown-interval" (backward, on intervals inside), "forward+crown" (backward, on
        forward inside), "crown" (backward throughout), "alpha-crown" (backward with lines optimised for each row, `iterations`
        steps), "best" (the tightest of all of them), "auto" (crown, or crown-interval where it would be out of proportion).
    spec: rows c: (s, outputs), or (sets, s, outputs); default: the outputs one by one. `margins` makes those of a label.
    link: bounds of what the model answers (its probabilities) instead of logits; not with spec.
    batch: sets at a time; default: as many as need some hundred megabytes.
    forms: also linear bounds in x, for the methods that have them (all but interval).
    dtype: "float64" or "float32"; device: "cpu", "cuda". Bounds are sound in both; in float32 they are wider by its rounding.

    Tensors in `domain` that require gradients get them (through crown's bounds; optimised lines are constants).
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r}; it can be one of {', '.join(METHODS)}")
    if forms and method in ("interval", "best"):
        raise ValueError(f"method {method!r} has no linear forms; crown, crown-interval, forward, forward+crown and alpha-crown have")
    if link and (spec is not None or forms):
        raise ValueError("link=True bounds the model's own answers: leave spec and forms out")
    if link and net.n_outputs == 1 and net.link in ("softmax", "log_softmax"):
        raise NoDecision(f"the {net.link} of one output is {1 if net.link == 'softmax' else 0} everywhere: there is nothing to bound. If "
                         "the model ends in a sigmoid, say so: load(..., link='sigmoid'); link=False bounds the output itself")
    if batch is not None and batch < 1:
        raise ValueError(f"batch={batch}: at least one set at a time")
    kind = _dtype(dtype)
    run, inputs = program(net.graph, kind, device), input_set(net, domain, kind, device)
    method = _automatic(run) if method == "auto" else method
    through = link and net.link != "identity"
    pairs = through and net.link != "sigmoid"
    rows = _pairs(net.n_outputs, run) if pairs else _rows(net, spec, len(inputs), run)
    step = batch or sets_at_a_time(run, method)
    found = []
    with plain_products(), torch.set_grad_enabled(torch.is_grad_enabled() and _has_gradient(inputs)):
        for k in range(0, len(inputs), step):
            part = inputs[k:k + step] if step < len(inputs) else inputs
            C = rows if len(rows) == 1 else rows[k:k + step]
            found.append(_bounds(run, part, C, method, forms, iterations, spec is None and not pairs))
        low, high = no_nan(torch.cat([f[0] for f in found]), torch.cat([f[1] for f in found]))
        if through:
            low, high = link_bounds(net.link, net.n_outputs, low, high)
    names = net.output_names if spec is None else tuple(f"row {k}" for k in range(rows.shape[1]))
    result = Bounds(low, high, names, method, _UNCLAIMED, _forms([f[2] for f in found]) if forms else None)
    return replace(result, certificate=claim(net, inputs, result, rows if not through else None, through))


def margins(net: Network, domain: Any, label: Any, **options: Any) -> Bounds:
    """Bounds of f_label - f_j for every other class j, one row each: all lower bounds above 0 prove the label over the whole set.

    label: an index or class name, or one for each set. Options as for `bounds`. The difference is merged into the last layer first,
    which is tighter than the difference of two bounds. Of one output behind a sigmoid: the logit, or its negative for the first class.
    NoDecision where the network has no classes.
    """
    c = net.n_outputs
    if c < 2 and net.n_classes < 2:
        raise NoDecision("margins need classes; this network has one output and no sigmoid behind it: bound it by itself, or say what it "
                         "ends in: load(..., link='sigmoid')")
    if options.get("link") or "spec" in options:
        raise ValueError("margins are rows of their own, of logits: leave link and spec out; bounds(net, domain, spec=...) takes any rows")
    classes = net.output_names if c > 1 else net.class_names
    given = [label] if isinstance(label, str) or np.ndim(label) == 0 else list(label)
    labels = [_class(classes, y) for y in given]
    eye = torch.eye(c, dtype=torch.float64)
    spec = torch.stack([torch.cat([eye[y] - eye[:y], eye[y] - eye[y + 1:]]) if c > 1 else (2 * y - 1) * eye for y in labels])
    result = bounds(net, domain, spec=spec, **options)
    names = tuple(f"other {k}" for k in range(len(classes) - 1))
    if len(set(labels)) == 1:
        y = labels[0]
        names = tuple(f"{classes[y]} - {name}" for j, name in enumerate(classes) if j != y)
    return replace(result, names=names)


def _class(classes: tuple[str, ...], y: Any) -> int:
    if isinstance(y, str):
        if y not in classes:
            raise ValueError(f"no class is called '{y}'; there are: {', '.join(classes)}")
        return classes.index(y)
    if not 0 <= int(y) < len(classes):
        raise ValueError(f"label {int(y)}: there are {len(classes)}, {', '.join(classes[:8])}")
    return int(y)


def _dtype(dtype: Any) -> torch.dtype:
    name = str(dtype).removeprefix("torch.") if not isinstance(dtype, type) else np.dtype(dtype).name
    if name not in ("float32", "float64"):
        raise ValueError(f"dtype={dtype!r}; it can be 'float64' or 'float32'")
    return getattr(torch, name)


def _automatic(run: Program) -> str:
    """Backward bounds of every hidden unit, unless there are too many."""
    return "crown" if sum(size(run.shapes[name]) for name in run.hidden) * run.widest <= CROWN_ENTRIES else "crown-interval"


def sets_at_a_time(run: Program, method: str) -> int:
    """How many sets fit into MEMORY numbers: bounds, reaches and lines of every tensor; a matrix for each in forward methods."""
    each = 12 * sum(map(size, run.shapes.values()))
    if method in ("forward", "forward+crown", "best"):
        each += 8 * size(run.shapes[INPUT]) * run.widest
    if method in ("alpha-crown", "best"):
        each += 60 * size(run.shapes[run.output]) * sum(map(size, run.shapes.values()))
    return max(1, MEMORY // each)


def _has_gradient(inputs: InputSet) -> bool:
    return any(t.requires_grad for t in (inputs.lower, inputs.upper, inputs.centre, inputs.scale) if t is not None)


def _forms(parts: list[Form | None]) -> Forms:
    """Rows and their negatives, as `final` asked for them, of all batches. Where overflow left no number, 0 x - inf."""
    A = torch.cat([f.L.flatten(2).expand(len(f.d), -1, -1) for f in parts if f is not None])
    b = torch.cat([f.d for f in parts if f is not None])
    if not math.isfinite((A.sum() + b.sum()).item()):
        fine = b.isfinite() & A.isfinite().all(dim=2)
        A, b = torch.where(fine.unsqueeze(2), A, 0.0), torch.where(fine, b, -math.inf)
    s = b.shape[1] // 2
    return Forms(A[:, :s], b[:, :s], -A[:, s:], -b[:, s:])


def _pairs(c: int, run: Program) -> Tensor:
    """(1, c (c - 1) / 2, *output shape): f_j - f_k for j < k."""
    eye = torch.eye(c, dtype=torch.float64, device=run.device)
    j, k = torch.triu_indices(c, c, 1, device=run.device)
    return (eye[j] - eye[k]).reshape(1, -1, *run.shapes[run.output])


def _rows(net: Network, spec: Any, n: int, run: Program) -> Tensor:
    """(1 or n, s, *output shape), float64."""
    c, shape = net.n_outputs, run.shapes[run.output]
    if spec is None:
        return torch.eye(c, dtype=torch.float64, device=run.device).reshape(1, c, *shape)
    rows = torch.as_tensor(spec, dtype=torch.float64, device=run.device)
    rows = rows[None] if rows.dim() == 1 else rows
    rows = rows[None] if rows.dim() == 2 else rows
    if rows.dim() != 3 or rows.shape[2] != c or len(rows) not in (1, n):
        raise DomainError(f"spec has shape {tuple(rows.shape)}; rows of {c} numbers are needed, (s, {c}) or ({n}, s, {c})")
    return rows.reshape(len(rows), rows.shape[1], *shape)


Found = tuple[Tensor, Tensor, Form | None]


def _bounds(run: Program, inputs: InputSet, C: Tensor, method: str, forms: bool, iterations: int, is_plain: bool) -> Found:
    if method == "interval":
        trace = intervals(run, inputs)
        if is_plain and _ends_at_once(run):
            low, high = trace.bounds[run.output]
            return low.flatten(1), high.flatten(1), None
        return final(trace, C, until_nonlinear=True)
    if method == "crown-interval":
        return final(intervals(run, inputs), C, keep=forms)
    if method == "crown":
        return final(crown(run, inputs), C, keep=forms)
    if method == "alpha-crown":
        return final(crown(run, inputs, iterations=iterations), C, keep=forms, iterations=iterations)
    trace = forward(run, inputs)
    if method == "forward":
        return final(trace, C, until_nonlinear=True, keep=forms)
    if method == "forward+crown":
        return final(trace, C, keep=forms)
    inner = {name: trace.bounds[name] for name in run.hidden}
    plain = intervals(run, inputs)
    found = [final(plain, C, until_nonlinear=True), final(plain, C), final(trace, C, until_nonlinear=True), final(trace, C),
             final(crown(run, inputs), C),
             final(crown(run, inputs, given=inner, iterations=iterations), C, iterations=iterations)]
    if iterations:
        found.append(final(crown(run, inputs, iterations=iterations), C, iterations=iterations))
    return reduce(torch.fmax, [f[0] for f in found]), reduce(torch.fmin, [f[1] for f in found]), None      # without those that are NaN


def _ends_at_once(run: Program) -> bool:
    """Does the output stand right behind a nonlinear step or the input? Then intervals lose nothing on the last way."""
    step = run.step(run.output) if run.output in run.place else None
    return step is not None and (not step.is_affine or all(s == INPUT or not run.step(s).is_affine for s in step.inputs))


def final(trace: Trace, C: Tensor, *, until_nonlinear: bool = False, keep: bool = False, iterations: int = 0
          ) -> tuple[Tensor, Tensor, Form | None]:
    """(lower, upper, form) of rows C (n or 1, s, *output shape), float64, of the output, given what is known of the tensors inside.

    With `iterations` the lines are optimised; with `until_nonlinear` rows stop at the last nonlinear steps (see `backward`).
    """
    run, s = trace.program, C.shape[1]
    L = C.to(run.dtype)
    both = torch.cat([L, -L], dim=1)
    values, form = lowest(trace, run.output, both, until_nonlinear=until_nonlinear, keep=keep)
    if iterations and run.output in run.place:
        better, other = optimised(trace, run.output, both, iterations, keep=keep)
        if form is not None and other is not None:
            form = better_form(form, other, better > values)
        values = torch.fmax(values, better)
    cost = _lost(C, L, trace)
    if cost is not None:
        values = values - torch.cat([cost, cost], dim=1)
        form = None if form is None else Form(form.L, form.d - torch.cat([cost, cost], dim=1))
    low, high = values[:, :s], -values[:, s:]
    if s == size(run.shapes[run.output]):
        plain = (C.flatten(2) == torch.eye(s, dtype=C.dtype, device=C.device)).flatten(1).all(dim=1, keepdim=True)
        own = trace.bounds[run.output]                          # of the outputs themselves: met by the sets whose rows are no more
        low = torch.where(plain, torch.maximum(low, own[0].flatten(1)), low)
        high = torch.where(plain, torch.minimum(high, own[1].flatten(1)), high)
    return low, high, form


def _lost(C: Tensor, L: Tensor, trace: Trace) -> Tensor | None:
    """(n, s): what rows cost that the dtype does not hold; None where it holds them."""
    back = L.to(C.dtype)
    if torch.equal(back, C):
        return None
    lost = (back - C).abs()
    run = trace.program
    reach = reach_of(trace.bounds[run.output]).to(C.dtype)
    cost = (lost * reach.unsqueeze(1)).flatten(2).sum(2)
    return cost.to(run.dtype) * (1 + 8 * unit(run.dtype)) + tiny(run.dtype)
