"""Forward linear bounds: every tensor between two linear functions of the inputs, carried from the inputs on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..graph.graph import INPUT
from ..graph.op import size
from .affine import Affine
from .choice import ChoiceLines
from .interval import interval, meet
from .lines import Lines, dot
from .program import Program, Step
from .rounding import gamma, tiny, unit
from .sets import InputSet


@dataclass(frozen=True, eq=False)
class Pair:
    """low x + below <= z <= high x + above on the set. low, high: (n or 1, d, *shape); below, above: (n, *shape).

    Held as middle and half the difference: z >= (middle - half) x + ..; offsets likewise. Rounding is in the offsets.
    """

    middle: Tensor
    half: Tensor
    offset: Tensor
    gap: Tensor

    def size(self, reach: Tensor) -> Tensor:
        """(n, *shape): how large the products can be, sums of sizes: what rounding is measured by."""
        total = self.middle.abs() + self.half.abs()             # (n or 1, d, *shape)
        total = total * (1 + 2 * gamma(total.shape[1] + 4, total.dtype))      # of this sum itself
        x = reach.flatten(1)
        flat = x @ total[0].flatten(1) if len(total) == 1 else torch.bmm(x.unsqueeze(1), total.flatten(2)).squeeze(1)
        return flat.reshape(len(x), *total.shape[2:]) + self.offset.abs() + self.gap.abs()

    def bounds(self, inputs: InputSet, nodes: int) -> tuple[Tensor, Tensor]:
        """Over the set, (n, *shape) each."""
        shape = self.middle.shape[2:]
        low, high = (self._rows(sign).reshape(len(self.middle), -1, *inputs.shape) for sign in (-1, 1))
        below = inputs.least(low, nodes) + (self.offset - self.gap).flatten(1)
        above = -inputs.least(-high, nodes) + (self.offset + self.gap).flatten(1)
        room = 4 * unit(low.dtype) * self.size(inputs.reach).flatten(1)
        return (below - room).reshape(-1, *shape), (above + room).reshape(-1, *shape)

    def _rows(self, sign: int) -> Tensor:
        """(n or 1, entries, d): the lower (-1) or upper (1) coefficients as rows."""
        return (self.middle + sign * self.half).flatten(2).transpose(1, 2)

    def least(self, L: Tensor, reach: Tensor, inputs: InputSet, nodes: int) -> tuple[Tensor, Tensor]:
        """(L', d): L z >= L' x + d for rows L (n or 1, s, *shape)."""
        flat, p = L.flatten(2), L.abs().flatten(2)
        out = flat @ self.middle.flatten(2).transpose(1, 2) - p @ self.half.flatten(2).transpose(1, 2)
        g = gamma(flat.shape[2] + nodes + 16, L.dtype)
        room = g * (1 + 4 * g) * self.size(reach)
        d = dot(L, self.offset) - dot(L.abs(), self.gap + room) - _floor(L.dtype, flat.shape[2], reach)
        return out.reshape(*out.shape[:2], *inputs.shape), d


def _floor(dtype, terms: int, reach: Tensor) -> Tensor:
    """(n, 1): what underflow can cost."""
    return 8 * (terms + 2) * tiny(dtype) * (1 + reach.flatten(1).sum(1, keepdim=True))


def start(inputs: InputSet) -> Pair:
    """The inputs in terms of themselves."""
    d = size(inputs.shape)
    eye = torch.eye(d, dtype=inputs.dtype, device=inputs.device).reshape(1, d, *inputs.shape)
    zero = torch.zeros_like(inputs.lower)
    return Pair(eye, torch.zeros_like(eye), zero, zero)


def push(step: Step, ins: list[Pair], lines: Lines | ChoiceLines | None, reach: Tensor, nodes: int) -> Pair:
    """Through one step.

    Needs     the pairs of the inputs, and lines of a nonlinear step on its bounds; reach: the largest |x| of the inputs.
    Gives     Pair.
    Sound     z >= A+ low + A- high = A middle - |A| half; for lines by the sign of their slopes. Entries of the coefficients are off by
              gamma times the sums of sizes, which costs as much times reach: added to the gap.
    Source    Xu et al. 2020 (LiRPA, forward mode); Zhang et al. 2018.
    """
    rule = step.rule
    if isinstance(rule, Affine):
        return _affine(rule, ins, reach, nodes)
    if isinstance(lines, Lines):
        return _elementwise(ins[0], lines, reach)
    assert isinstance(lines, ChoiceLines)
    return _choice(step, ins, lines, reach)


def _affine(rule: Affine, ins: list[Pair], reach: Tensor, nodes: int) -> Pair:
    dtype = reach.dtype
    n, d = max(len(p.middle) for p in ins), ins[0].middle.shape[1]

    def carried(parts, product):
        parts = [t.expand(n, *t.shape[1:]).flatten(0, 1) for t in parts]
        out = product(*parts)
        return out.reshape(n, d, *out.shape[1:])

    middle = carried([p.middle for p in ins], rule.forward)
    half = carried([p.half for p in ins], rule.spread) if any(bool(p.half.any()) for p in ins) else torch.zeros_like(middle)
    offset, gap = rule.forward(*(p.offset for p in ins)), rule.spread(*(p.gap for p in ins))
    g = gamma(rule.terms + nodes + 16, dtype)
    room = rule.magnitude(*(p.size(reach) for p in ins))
    if rule.bias is not None:
        offset, room = offset + rule.bias, room + rule.bias.abs()
    floor = _floor(dtype, rule.terms, reach).reshape(-1, *[1] * (offset.dim() - 1))
    return Pair(middle, half, offset, gap + g * (1 + 4 * g) * room + floor)


def _sides(pair: Pair) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    return (pair.middle - pair.half, pair.offset - pair.gap), (pair.middle + pair.half, pair.offset + pair.gap)


def _paired(low: tuple[Tensor, Tensor], high: tuple[Tensor, Tensor], room: Tensor) -> Pair:
    """Middles and halves; `room` pays for these roundings too."""
    return Pair((low[0] + high[0]) / 2, (high[0] - low[0]) / 2, (low[1] + high[1]) / 2, (high[1] - low[1]) / 2 + room)


def _elementwise(pair: Pair, lines: Lines, reach: Tensor) -> Pair:
    low, high = _sides(pair)
    below, above = lines.below_slope.unsqueeze(1), lines.above_slope.unsqueeze(1)

    def through(slope, first, second):
        return slope * torch.where(slope >= 0, first, second)

    under = through(below, low[0], high[0]), through(lines.below_slope, low[1], high[1]) + lines.below
    over = through(above, high[0], low[0]), through(lines.above_slope, high[1], low[1]) + lines.above
    steep = torch.maximum(lines.below_slope.abs(), lines.above_slope.abs())
    room = 16 * unit(reach.dtype) * (steep * pair.size(reach) + lines.below.abs() + lines.above.abs())
    floor = _floor(reach.dtype, 2, reach).reshape(-1, *[1] * (room.dim() - 1))
    return _paired(under, over, room + floor)


def _choice(step: Step, ins: list[Pair], lines: ChoiceLines, reach: Tensor) -> Pair:
    n = len(reach)
    sides = [_sides(p) for p in ins]
    d = ins[0].middle.shape[1]

    def joined(side):
        A = torch.cat([s[side][0].expand(n, *s[side][0].shape[1:]).flatten(2) for s in sides], dim=2)
        return A, torch.cat([s[side][1].expand(n, *s[side][1].shape[1:]).flatten(1) for s in sides], dim=1)

    def pick(form, index):
        return form[0].gather(2, index.unsqueeze(1).expand(n, d, -1)), form[1].gather(1, index)

    first, last = (joined(0), joined(1)) if lines.sign > 0 else (joined(1), joined(0))
    chosen, rival = pick(first, lines.lower), pick(last, lines.upper)
    other = rival[0] * lines.slope.unsqueeze(1), rival[1] * lines.slope + lines.sign * lines.offset
    low, high = (chosen, other) if lines.sign > 0 else (other, chosen)
    sizes = torch.cat([p.size(reach).flatten(1) for p in ins], dim=1)
    far = sizes.gather(1, lines.lower) + sizes.gather(1, lines.upper)
    pair = _paired(low, high, 16 * unit(reach.dtype) * (far + lines.offset.abs()) + _floor(reach.dtype, 2, reach))
    shape = step.shape
    return Pair(*(t.reshape(*t.shape[:2], *shape) for t in (pair.middle, pair.half)),
                *(t.reshape(len(t), *shape) for t in (pair.offset, pair.gap)))


def forward(program: Program, inputs: InputSet, trace) -> None:
    """Fill a trace with bounds and pairs of every tensor: those that nonlinear steps take are bounded by their pairs and intervals."""
    nodes, hidden = program.sums, {*program.hidden, program.output}
    trace.pairs[INPUT] = start(inputs)
    reach = inputs.reach
    n = len(inputs)
    last_use = {s: k for k, step in enumerate(program.steps) for s in step.inputs}
    frontier = _needed_last(program)
    for k, step in enumerate(program.steps):
        low, high = interval(step, [trace.bounds[s] for s in step.inputs], inputs)
        found = low.expand(n, *low.shape[1:]), high.expand(n, *high.shape[1:])
        lines = None if step.is_affine else trace.lines_of(step)
        pair = push(step, [trace.pairs[s] for s in step.inputs], lines, reach, nodes)
        if step.name in hidden:
            found = meet(found, pair.bounds(inputs, nodes))
        trace.bounds[step.name], trace.pairs[step.name] = found, pair
        for s in step.inputs:
            if last_use[s] == k and s not in frontier:
                trace.pairs.pop(s, None)


def _needed_last(program: Program) -> set[str]:
    """Tensors at which rows of the output stop on their way back: nonlinear steps' outputs (and the input), through affine steps."""
    found, open_ = set(), {program.output}
    for step in reversed(program.steps):
        if step.name in open_:
            if step.is_affine:
                open_.update(step.inputs)
            else:
                found.add(step.name)
    return found | {INPUT}
