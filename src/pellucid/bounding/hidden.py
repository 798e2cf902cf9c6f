"""Bounds of the tensors inside a network: what the last pass of every method rests on."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..graph.graph import INPUT
from ..graph.op import size
from .affine import Affine
from .backward import Form, Trace, Units, pair_bounds, unit_bounds
from .forward import forward as run_forward
from .interval import interval, meet
from .optimise import optimised
from .piecewise import Bounds, Elementwise
from .program import Program, Step
from .rounding import no_nan
from .sets import InputSet

PAIR = 4
"""What it costs to ask one set about one unit, in units that all sets are asked about: its bounds and lines are copied for it."""

OPTIMISED = 1 << 18
"""Coefficients of lines that are optimised for one hidden tensor of one set: two layers of 256 units after each other, not two of
convolutions, whose bounds would take a hundred times as long for little."""


def intervals(program: Program, inputs: InputSet, *, given: dict[str, Bounds] | None = None) -> Trace:
    """Every tensor's bounds by interval arithmetic; those `given` are met with, where they are tighter (a split unit's sign)."""
    trace = Trace(program, inputs, {INPUT: (inputs.lower, inputs.upper)}, anchored=_is_anchored(program, inputs))
    for step in program.steps:
        _push(trace, step, given)
    return trace


def crown(program: Program, inputs: InputSet, *, given: dict[str, Bounds] | None = None, keep: dict[str, tuple[Form, Form]] | None = None,
          iterations: int = 0) -> Trace:
    """Every tensor that a nonlinear step takes is bounded backwards through the whole network before it, all others by intervals.

    Units that every set leaves on one side of their kink, by intervals already, are not looked at: their lines are the function
    itself. `keep`: a dictionary that takes the forms of each tensor bounded so, below z and below -z. With `iterations` the lines of
    each unit's own bounds are optimised, where there are not more than OPTIMISED coefficients to a set.
    """
    trace = Trace(program, inputs, {INPUT: (inputs.lower, inputs.upper)}, anchored=_is_anchored(program, inputs))
    exact, hidden = {INPUT}, set(program.hidden)
    for step in program.steps:
        _push(trace, step, given)
        if _is_exact(step, exact, inputs):
            exact.add(step.name)
        if step.name in hidden and step.is_affine and (step.name not in exact or keep is not None):
            _tighten(trace, step.name, keep, iterations)
    return trace


def forward(program: Program, inputs: InputSet) -> Trace:
    """Every tensor by forward linear bounds, met with intervals."""
    trace = Trace(program, inputs, {INPUT: (inputs.lower, inputs.upper)}, anchored=_is_anchored(program, inputs))
    run_forward(program, inputs, trace)
    return trace


def _is_anchored(program: Program, inputs: InputSet) -> bool:
    """Of balls in float32: they are small beside what their coordinates add up to, and rounding with it. Boxes lose a percent only, and
    would take a quarter longer for it."""
    return program.exact is not None and inputs.p != math.inf


def _push(trace: Trace, step: Step, given: dict[str, Bounds] | None) -> None:
    found = interval(step, [trace.bounds[s] for s in step.inputs], trace.inputs)
    n = len(trace.inputs)
    found = tuple(b if b.shape[0] == n else b.expand(n, *b.shape[1:]) for b in found)
    if given and step.name in given:
        found = meet(found, given[step.name])
    trace.bounds[step.name] = found


def _is_exact(step: Step, exact: set[str], inputs: InputSet) -> bool:
    """Are a step's intervals the best that linear bounds can give? Of the first affine step, and copies of what is so."""
    rule = step.rule
    if not isinstance(rule, Affine):
        return False
    first = step.inputs == (INPUT,) and (inputs.p == math.inf or rule.reach(inputs.scale[:1], 2 if inputs.p == 2 else math.inf) is not None)
    if first and inputs.p != math.inf and rule.rows() is not None and inputs.room() is not None:
        return False                                            # intervals know the sides that a box cuts off, not by how much
    return first or (rule.copies and all(s in exact and s != INPUT for s in step.inputs))


def _tighten(trace: Trace, name: str, keep: dict | None, iterations: int) -> None:
    """Meet the tensor's bounds with those of `backward`."""
    l, u = trace.bounds[name]
    open_ = _open(trace, name)
    index = torch.arange(l[0].numel(), device=l.device) if keep is not None else open_.any(dim=0).nonzero()[:, 0]
    if len(index) == 0:
        return
    if keep is None and not iterations and not trace.anchored and PAIR * int(open_.sum()) <= len(l) * len(index):
        sets, units = open_.nonzero(as_tuple=True)
        low, high = no_nan(*pair_bounds(trace, name, sets, units))
        found = (b.flatten(1).index_put((sets, units), new).reshape(b.shape) for b, new in ((l, low), (u, high)))
        trace.bounds[name] = meet((l, u), tuple(found))
        return
    (low, high), forms = unit_bounds(trace, name, index, keep=keep is not None)
    if keep is not None and forms is not None:
        keep[name] = forms
    before = [size(s.shape) for s in trace.program.steps[: trace.program.place[name]] if not s.is_affine]
    if iterations and 2 * len(index) * sum(before) <= OPTIMISED:
        better, _ = optimised(trace, name, Units(name, index).rows(trace.program), iterations)
        low, high = torch.fmax(low, better[:, :len(index)]), torch.fmin(high, -better[:, len(index):])
    low, high = no_nan(low, high)
    if len(index) == l[0].numel():
        found = low.reshape(l.shape), high.reshape(l.shape)
    else:
        at = index.expand(len(l), -1)
        found = l.flatten(1).scatter(1, at, low).reshape(l.shape), u.flatten(1).scatter(1, at, high).reshape(u.shape)
    trace.bounds[name] = meet((l, u), found)


def undecided(trace: Trace, name: str) -> Tensor:
    """Flat indices of the units of a tensor for which tighter bounds can make a difference, in some set."""
    return _open(trace, name).any(dim=0).nonzero()[:, 0]


def _open(trace: Trace, name: str) -> Tensor:
    """(n, units): where tighter bounds can make a difference."""
    l, u = (b.flatten(1) for b in trace.bounds[name])
    users = [s.rule for s in trace.program.steps if name in s.inputs and not s.is_affine]
    if all(isinstance(rule, Elementwise) and rule.is_relu for rule in users):
        return (l < 0) & (u > 0)
    return torch.ones_like(l, dtype=torch.bool)
