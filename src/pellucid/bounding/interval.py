"""Interval arithmetic through a program, rounded outwards without further passes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..graph.graph import INPUT
from ..graph.op import size
from .affine import Affine
from .piecewise import Bounds
from .program import Step
from .rounding import gamma, no_nan, tiny, unit
from .sets import InputSet


def interval(step: Step, ins: list[Bounds], inputs: InputSet | None = None) -> Bounds:
    """Bounds of a step's output from those of its inputs.

    Needs     bounds (n, *shape) of each input; the set itself where the step is the first affine one of an L1 or L2 ball.
    Gives     (lower, upper), (n, *shape).
    Sound     rounding included (design/bounds-rounding.md): with c, r middle and radius, |A x - A c| <= |A| r; gamma |A||c| more covers
              the products, whatever their order, and is added to r before they are made.
    Source    Gowal et al. 2018 (IBP).
    """
    rule = step.rule
    if not step.is_affine:
        return rule.interval(*ins)
    assert isinstance(rule, Affine)
    dtype = ins[0][0].dtype
    if rule.copies:
        bias = 0.0 if rule.bias is None else rule.bias
        lower, upper = (rule.forward(*(z[side] for z in ins)) + bias for side in (0, 1))
        if rule.bias is not None:
            wide = 2 * unit(dtype) * rule.bias.abs() + tiny(dtype)
            lower, upper = lower - wide, upper + wide
        return lower, upper
    g = gamma(rule.terms + 8, dtype)
    middles = [torch.add(l / 2, u, alpha=0.5) for l, u in ins]
    over = 1 + 2 * g                                            # of the sums that make r themselves
    small = tiny(dtype)                                         # halves of denormal numbers, and gamma times small ones
    radii = [((u - l) * (over / 2)).add_(c.abs(), alpha=g * over).add_(small) for (l, u), c in zip(ins, middles, strict=True)]
    z, r = rule.forward(*middles), rule.magnitude(*radii)
    if rule.bias is not None:
        z = z + rule.bias
        r = torch.add(r, rule.bias_size, alpha=g * over)
    r = r + 4 * (rule.terms + 2) * tiny(dtype)
    lower, upper = z - r, z + r
    if inputs is not None and inputs.p != math.inf and step.inputs == (INPUT,):
        lower, upper = meet((lower, upper), _first(step, inputs))
    return no_nan(lower, upper)


def _first(step: Step, inputs: InputSet) -> Bounds:
    """Of the first affine step of a ball: A c + a -+ |A_i scale|_q, exact but for rounding; no bound where `reach` knows none.

    Where the ball's box cuts it, A_i goes less far on the sides that are cut (`_sided`).
    """
    rule, dtype = step.rule, inputs.dtype
    q = 2 if inputs.p == 2 else math.inf
    norm = rule.reach(inputs.scale, q)
    if norm is None:
        infinite = inputs.lower.new_full((1, *step.shape), math.inf)
        return -infinite, infinite
    g = gamma(size(inputs.shape) + 16, dtype)
    z = rule.forward(inputs.centre)
    over = 1 + 2 * g
    lost = 4 * math.sqrt(tiny(dtype))                           # squares that underflow: of weights (times scale), or of scale
    more = rule.magnitude((inputs.slack + g * inputs.centre.abs()) * over + lost) \
        + lost * math.sqrt(2 * size(inputs.shape)) * (1 + inputs.scale.flatten(1).amax(1).reshape(-1, *[1] * len(step.shape)))
    if rule.bias is not None:
        z, more = z + rule.bias, more + g * over * rule.bias.abs()
    below, above = norm * over, norm * over
    if (room := inputs.room()) is not None:
        below, above = (torch.minimum(norm * over, far) for far in _sided(rule, inputs, room, q, over))
    return z - (below + more), z + (above + more)


NARROW = 1e-2
"""Room, in units of scale, below which a feature is taken as free of the ball: it adds its room times its weight."""


def _sided(rule: Affine, inputs: InputSet, room: tuple[Tensor, Tensor], q: float, over: float) -> tuple[Tensor, Tensor]:
    """How far each row goes down and up from the centre, at most, where room is less than the ball: the norm over the features with room
    on the side that the row pulls to, and the rest one by one."""
    sides = []
    for k in room:                                              # down, up
        narrow = k < NARROW
        sides.append((torch.where(narrow, 0.0, inputs.scale), torch.where(narrow, k * inputs.scale * over, 0.0)))
    (ball_down, box_down), (ball_up, box_up) = sides
    norms = [rule.sided_reach(one, other, q) for one, other in ((ball_down, ball_up), (ball_up, ball_down))]
    rest = [rule.sided_reach(one, other, 1) for one, other in ((box_down, box_up), (box_up, box_down))]
    if norms[0] is None or norms[1] is None or rest[0] is None or rest[1] is None:
        infinite = inputs.lower.new_full((), math.inf)
        return infinite, infinite
    return (norms[0] + rest[0]) * over, (norms[1] + rest[1]) * over


def meet(first: Bounds, second: Bounds) -> Bounds:
    """Both hold."""
    return first[0].maximum(second[0]), first[1].minimum(second[1])


def reach_of(z: Bounds) -> Tensor:
    """The largest |z| there can be."""
    return z[0].abs().maximum(z[1].abs())
