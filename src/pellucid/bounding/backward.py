"""Backward linear bounds: rows of coefficients carried from a node to the inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..graph.graph import INPUT
from ..graph.op import size
from .affine import Affine
from .forward import Pair
from .interval import reach_of
from .lines import Lines, both, dot, exact_dot, sizes_dot
from .piecewise import Bounds
from .program import Program, Step
from .rounding import gamma, tiny, unit
from .sets import InputSet, boxes

ENTRIES = 1 << 21
"""Coefficients of one tensor that are carried at a time: passes over them then stay in the cache, and memory stays small."""


@dataclass(eq=False)
class Trace:
    """What is known of every tensor of a program over some sets: the state of one call, never kept.

    bounds: (lower, upper) of each tensor, (n, *shape), for all tensors before those that are asked about. lines: linear bounds of the
    nonlinear steps, made when they are first needed. pairs: of the forward method, where it was used. anchored: rounding is measured
    from values of one point (`anchor`), not from 0; of float32 only.
    """

    program: Program
    inputs: InputSet
    bounds: dict[str, Bounds]
    lines: dict[str, Any] = field(default_factory=dict)
    spoils: dict[str, Tensor] = field(default_factory=dict)
    reaches: dict[str, Tensor] = field(default_factory=dict)
    floors: dict[str, Tensor] = field(default_factory=dict)
    pairs: dict[str, Pair] = field(default_factory=dict)
    anchored: bool = False
    anchors: dict[str, Tensor] = field(default_factory=dict)

    def lines_of(self, step: Step):
        if step.name not in self.lines:
            self.lines[step.name] = step.rule.lines(*(self.bounds[s] for s in step.inputs))
        return self.lines[step.name]

    def reach(self, name: str) -> Tensor:
        """(n, *shape): the largest |z| of a tensor."""
        if name not in self.reaches:
            self.reaches[name] = reach_of(self.bounds[name])
        return self.reaches[name]

    def spoil(self, step: Step) -> Tensor | None:
        """(n, *shape): what an affine step's rounding costs for each unit of |L|; None where there is none."""
        rule, nodes = step.rule, self.program.sums
        assert isinstance(rule, Affine)
        if _is_exact(rule):
            return None
        if step.name not in self.spoils:
            dtype = self.program.dtype
            g = gamma(size(step.shape) + nodes + 16, dtype)     # of the sums of |L| times what follows, and with the bias
            over = 1 + 4 * g + 4 * gamma(rule.terms + 8, dtype)
            room = gamma(rule.terms_back + 4, dtype) * over * rule.magnitude(*(self.reach(s) for s in step.inputs))
            room = room + 8 * (rule.terms + 4) * tiny(dtype)    # what underflows here, and in the bias, where |L| is large
            self.spoils[step.name] = room if rule.bias is None else torch.add(room, rule.bias_size, alpha=g * over)
        return self.spoils[step.name]

    def anchor(self, name: str) -> Tensor:
        """(n, *shape) float64: the tensor's value near the middle of each set. Any number would do: errors grow with the distance."""
        if name not in self.anchors:
            exact = self.program.exact
            assert exact is not None
            with torch.no_grad():
                if name == INPUT:
                    self.anchors[INPUT] = self.inputs.anchor
                else:
                    step = exact.step(name)
                    zs = [self.anchor(s) for s in step.inputs]
                    if isinstance(step.rule, Affine):
                        value = step.rule.forward(*zs)
                        self.anchors[name] = value if step.rule.bias is None else value + step.rule.bias
                    else:
                        self.anchors[name] = step.rule.interval(*((z, z) for z in zs))[0]
        return self.anchors[name]

    def near(self, name: str) -> Tensor:
        """(n, *shape): the largest distance of a tensor from its anchor, rounded up."""
        low, high = self.bounds[name]
        a = self.anchor(name)
        far = torch.maximum(high.detach().double() - a, a - low.detach().double())
        return far.to(self.program.dtype) * (1 + 4 * unit(self.program.dtype)) + tiny(self.program.dtype)

    def spoil_near(self, step: Step) -> Tensor:
        """As `spoil`, for rows that go from anchor to anchor (`_anchored`): gamma |A| times the distance, and what float64 loses."""
        rule, dtype, nodes = step.rule, self.program.dtype, self.program.sums
        assert isinstance(rule, Affine)
        key = f"{step.name} near"
        if key not in self.spoils:
            g = gamma(size(step.shape) + nodes + 16, dtype)
            over = 1 + 4 * g + 4 * gamma(rule.terms + 8, dtype)
            most = max(size(step.shape), *(size(self.program.shapes[s]) for s in step.inputs))
            e = 8 * gamma(most + rule.terms + rule.terms_back + 64, torch.float64)
            c = gamma(rule.terms_back + 4, dtype)
            anchors = [self.anchor(s).to(dtype).abs() for s in step.inputs]
            room = rule.magnitude(*(self.near(s) * c + a * e + tiny(dtype) for s, a in zip(step.inputs, anchors, strict=True)))
            if self.inputs.p != math.inf and step.inputs == (INPUT,):
                room = torch.minimum(room, self._near_ball(rule, c, anchors[0] * e))
            room = (room + e * self.anchor(step.name).to(dtype).abs()) * over
            room = room if rule.bias is None else torch.add(room, rule.bias_size, alpha=e * over)
            self.spoils[key] = room + 8 * (rule.terms + 4) * tiny(dtype)
        return self.spoils[key]

    def spoil_rows(self, step: Step) -> Tensor:
        """As `spoil`, of the rows of A themselves: no product is made, but digits of A may be lost in the dtype."""
        rule, dtype = step.rule, self.program.dtype
        assert isinstance(rule, Affine)
        key = f"{step.name} rows"
        if key not in self.spoils:
            c = 2 * unit(dtype) * (1 + 4 * gamma(rule.terms + 8, dtype))
            g = gamma(self.program.sums + 16, dtype)            # of the bias, and of adding all that follows to it
            room = rule.magnitude(*(self.reach(s) for s in step.inputs)) * c + 8 * (rule.terms + 4) * tiny(dtype)
            self.spoils[key] = room if rule.bias is None else torch.add(room, rule.bias_size, alpha=g * (1 + 4 * g))
        return self.spoils[key]

    def _near_ball(self, rule: Affine, c: float, rest: Tensor) -> Tensor:
        """c |A| |x - centre| over a ball, by its dual norm, and |A| rest."""
        inputs, dtype = self.inputs, self.program.dtype
        norm = rule.reach(inputs.scale.detach(), 2 if inputs.p == 2 else math.inf)
        if norm is None:
            return rest.new_tensor(math.inf)
        lost = 4 * math.sqrt(tiny(dtype))
        far = lost * math.sqrt(size(inputs.shape)) * (1 + inputs.scale.detach().flatten(1).amax(1).reshape(-1, *[1] * (norm.dim() - 1)))
        return (norm * (1 + 2 * gamma(size(inputs.shape) + 16, dtype)) + far) * c + rule.magnitude((inputs.slack + lost) * c + rest)

    def floor(self, step: Step) -> Tensor:
        """(n, 1): what products that underflow can cost in all, for one row."""
        if step.name not in self.floors:
            terms = step.rule.terms_back if isinstance(step.rule, Affine) else 2
            far = [self.reach(s) for s in step.inputs]
            if self.anchored and isinstance(step.rule, Affine):  # which may lie outside of what a split leaves
                far = [z + self.anchor(s).to(z.dtype).abs() for z, s in zip(far, step.inputs, strict=True)]
            totals = [z.flatten(1).sum(1, keepdim=True) for z in far]
            self.floors[step.name] = (sum(totals[1:], totals[0]) + size(step.shape)) * (8 * terms * tiny(self.program.dtype))
        return self.floors[step.name]

    def rows(self, index: Tensor, name: str | None = None) -> Trace:
        """The same for some of the sets, of what leads to one tensor or of all: lines, reaches and rounding are not made again."""
        end = len(self.program.steps) if name is None else self.program.place[name] + 1
        before = [INPUT, *(s.name for s in self.program.steps[:end])]
        lines = {k: line.some(index) for k in before if isinstance(line := self.lines.get(k), Lines)}
        known = ({k: made[k][index] for k in before if k in made} for made in (self.spoils, self.reaches, self.floors))
        return Trace(self.program, self.inputs[index], _Some(self.bounds, index), lines, *known)

    def detached(self) -> Trace:
        """The same without gradients."""
        parts = {f: v.detach() for f in ("lower", "upper", "centre", "scale", "slack") if (v := getattr(self.inputs, f)) is not None}
        return Trace(self.program, replace(self.inputs, **parts), {k: (l.detach(), u.detach()) for k, (l, u) in self.bounds.items()})


class _Some(dict):
    """Bounds of some of the sets, copied when they are asked for."""

    def __init__(self, whole: dict[str, Bounds], index: Tensor):
        super().__init__()
        self.whole, self.index = whole, index

    def __missing__(self, name: str) -> Bounds:
        low, high = self.whole[name]
        self[name] = low[self.index], high[self.index]
        return self[name]


@dataclass(frozen=True, eq=False)
class Form:
    """L x + d <= the value of the rows asked about, for every x of the set: L (n or 1, s, *input_shape), d (n, s).

    Rounding is in d, but for that of L x + d itself: `least` of the set covers it.
    """

    L: Tensor
    d: Tensor
    at: tuple[InputSet, Tensor] | None = None                   # of these sets, L times their anchor, where it is known already

    def least(self, inputs: InputSet, nodes: int = 0) -> Tensor:
        at = self.at[1] if self.at is not None and self.at[0] is inputs and not _moves(inputs) else None
        return inputs.least(self.L, nodes + 2, at) + self.d - 4 * unit(self.d.dtype) * self.d.abs()


def _moves(inputs: InputSet) -> bool:
    """Does a gradient flow to the centre? An anchor is a constant, so that what rows come to there has none."""
    return inputs.centre is not None and inputs.centre.requires_grad


def backward(trace: Trace, name: str, L: Tensor | Units, *, lines: dict | None = None, until_nonlinear: bool = False) -> Form:
    """A linear form below L z over the set, z the tensor `name`.

    Needs     the bounds of all tensors that nonlinear steps before `name` take, and of all affine steps' inputs (their reach); L:
              (n or 1, s, *shape), or Units.
    Gives     Form.
    Sound     in real arithmetic by the lines; what L was rounded to is taken as it is, and what it differs by from the exact product
              is paid for in d: at most gamma |L||A| in each entry, times the reach of what it multiplies.
    Source    Zhang et al. 2018 (CROWN), Theorem 3.2; Xu et al. 2020 for graphs. L is the papers' Lambda.
    Differs   the larger of a ball's and its box's least value; `lines` of one's own for some steps, each row its own if they have
              that axis; with `until_nonlinear` rows stop at nonlinear steps, whose bounds are taken there.
    """
    program, nodes = trace.program, trace.program.sums
    unit_ = unit(program.dtype)
    pending: dict[str, Tensor | Units] = {name: L}
    d: Tensor | Any = None
    known: Tensor | None = None
    for step in reversed(program.steps[: program.place.get(name, -1) + 1]):
        if step.name not in pending or (until_nonlinear and not step.is_affine):
            continue
        L, rule = pending.pop(step.name), step.rule
        if step.is_affine:
            parts, cost, dots = _through_affine(trace, step, L)
        else:
            assert not isinstance(rule, Affine)
            L = L.rows(program) if isinstance(L, Units) else L
            line = lines[step.name] if lines and step.name in lines else trace.lines_of(step)
            (parts, cost), dots = line.back(L, [trace.reach(s) for s in step.inputs], nodes), None
        if INPUT in step.inputs:                                # known only where these rows are all that gets there
            known = dots if step.inputs == (INPUT,) and INPUT not in pending else None
        cost = cost - trace.floor(step)
        d = cost if d is None else d + cost
        for source, part in zip(step.inputs, parts, strict=True):
            if source in pending:
                part = pending[source] + part
                d = d - 2 * unit_ * dot(part.abs(), trace.reach(source))
            pending[source] = part
    carried: Tensor | None = None
    d = 0.0 if d is None else d
    for source, rows in pending.items():
        L = rows.rows(program) if isinstance(rows, Units) else rows
        if source in trace.pairs and source != INPUT:
            L, cost = trace.pairs[source].least(L, trace.inputs.reach, trace.inputs, nodes)
            d = d + cost
        elif source != INPUT:
            d = d + boxes(*trace.bounds[source]).least(L, nodes)
            continue
        if carried is not None:
            L = carried + L
            d = d - 2 * unit_ * dot(L.abs(), trace.inputs.reach)
        carried = L
    L = carried if carried is not None else trace.inputs.lower.new_zeros(1, d.shape[1], *trace.inputs.shape)
    shape = len(trace.inputs), L.shape[1]
    if not isinstance(d, Tensor) or d.shape != shape:
        d = torch.zeros(shape, dtype=program.dtype, device=program.device) + d
    alone = known is not None and len(pending) == 1 and not trace.pairs
    return Form(L, d, (trace.inputs, known) if alone and known is not None else None)


def _through_affine(trace: Trace, step: Step, L: Tensor | Units) -> tuple[list[Tensor], Tensor, Tensor | None]:
    """([A_k^T L], what the bias adds and the rounding takes, the first part times its anchor where that was made)."""
    rule, program = step.rule, trace.program
    assert isinstance(rule, Affine)
    rows = rule.rows() if isinstance(L, Units) else None
    if trace.anchored and rows is None and not _is_exact(rule):
        return _anchored(trace, step, L.rows(program) if isinstance(L, Units) else L)
    spoil = trace.spoil_rows(step) if trace.anchored and rows is not None else trace.spoil(step)
    if rows is not None and isinstance(L, Units):               # the identity times A is A
        zero = torch.zeros((), dtype=program.dtype, device=program.device)
        bias = zero if rule.bias is None else rule.bias.flatten()[L.index]
        off = zero if spoil is None else spoil.flatten(1)[:, L.index]
        d = torch.cat([torch.atleast_2d(bias - off), torch.atleast_2d(-bias - off)], dim=1) if bias.dim() or off.dim() else zero
        return [_and_negative(r, L.index) for r in rows], d, None
    L = L.rows(program) if isinstance(L, Units) else L
    if rule.bias is not None and spoil is not None:
        return rule.back(L), both(L, rule.bias.unsqueeze(0), -spoil), None
    if spoil is not None:
        return rule.back(L), -dot(L.abs(), spoil), None
    return rule.back(L), torch.zeros(1, L.shape[1], dtype=program.dtype, device=program.device), None


def _is_exact(rule: Affine) -> bool:
    """Entries go back as they are."""
    return rule.copies and rule.terms_back <= 1 and rule.bias is None


def _anchored(trace: Trace, step: Step, L: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
    """L y = L (y0 + A (x - x0)) >= L' x + (L y0 - L' x0) - |L' - L A| |x - x0|, for any x0 and y0 = A x0 + a.

    With the bracket in float64, what L' = fl(L A) is off by counts for the distance from x0 only, and not for the size of x."""
    rule = step.rule
    assert isinstance(rule, Affine)
    parts = rule.back(L)
    dots = [exact_dot(part, trace.anchor(source)) for source, part in zip(step.inputs, parts, strict=True)]
    moved = exact_dot(L, trace.anchor(step.name)) - sum(dots[1:], dots[0])
    u = unit(L.dtype)
    moved = moved - moved.abs() * (2 * u * (trace.program.sums + 8))      # of the conversion, and of adding it up
    return parts, moved.to(L.dtype) - sizes_dot(L, trace.spoil_near(step)), dots[0]


def _and_negative(A: Tensor, index: Tensor) -> Tensor:
    """Rows of A (1, outputs, *shape), and then their negatives; written once each."""
    k = len(index)
    out = A.new_empty(1, 2 * k, *A.shape[2:])
    torch.index_select(A, 1, index, out=out[:, :k])
    torch.neg(out[:, :k], out=out[:, k:])
    return out


@dataclass(frozen=True, eq=False)
class Units:
    """Rows of the identity and of its negative: entries `index` (flat) of the tensor `name`, z and then -z."""

    name: str
    index: Tensor

    def rows(self, program: Program) -> Tensor:
        shape, k = program.shapes[self.name], len(self.index)
        eye = torch.zeros(k, size(shape), dtype=program.dtype, device=program.device)
        eye = eye.scatter(1, self.index.unsqueeze(1), 1.0)
        return torch.cat([eye, -eye]).reshape(1, 2 * k, *shape)


def lowest(trace: Trace, name: str, L: Tensor, *, lines: dict | None = None, keep: bool = False,
           until_nonlinear: bool = False) -> tuple[Tensor, Form | None]:
    """(n, s) lower bounds of L z, L: (n or 1, s, *shape), some rows at a time; with `keep` the form too."""
    step = _rows_at_a_time(trace)
    forms, found = [], []
    for k in range(0, L.shape[1], step):
        own = {s: line.rows(k, k + step) for s, line in lines.items()} if lines else None
        form = backward(trace, name, L[:, k:k + step], lines=own, until_nonlinear=until_nonlinear)
        found.append(form.least(trace.inputs, trace.program.sums))
        forms += [form] if keep else []
    return _side_by_side(found), _joined(forms) if keep else None


def unit_bounds(trace: Trace, name: str, index: Tensor, *, keep: bool = False) -> tuple[Bounds, tuple[Form, Form] | None]:
    """Lower and upper bounds (n, k) of entries `index` of a tensor by `backward`; with `keep` the forms below z and below -z."""
    step = max(1, _rows_at_a_time(trace) // 2)
    low, high = (trace.inputs.lower.new_empty(len(trace.inputs), len(index)) for _ in range(2))
    forms, begin = [], 0
    for part in index.split(step):                              # written in place: small tensors between large ones scatter the heap
        form = backward(trace, name, Units(name, part))
        both = form.least(trace.inputs, trace.program.sums)
        k = len(part)
        low[:, begin:begin + k], high[:, begin:begin + k] = both[:, :k], -both[:, k:]
        begin += k
        forms += [form] if keep else []
    halves = (_halves(forms, 0), _halves(forms, 1)) if keep else None
    return (low, high), halves


def pair_bounds(trace: Trace, name: str, sets: Tensor, units: Tensor) -> Bounds:
    """Lower and upper bounds (N,) of entries `units` (flat) of a tensor over the sets of the same places, by `backward`.

    As `unit_bounds`, which asks every set about every unit; here a set that is asked about several stands there as often.
    """
    for s in trace.program.steps[: trace.program.place[name]]:
        if not s.is_affine:
            trace.lines_of(s)                                   # once, not for each pair
    shape, copied = trace.program.shapes[name], sum(low[0].numel() for low, _ in trace.bounds.values())
    step = max(1, 4 * ENTRIES // (2 * trace.program.widest + 6 * copied))
    low, high = (trace.inputs.lower.new_empty(len(sets)) for _ in range(2))
    for begin in range(0, len(sets), step):
        at, unit_at = sets[begin:begin + step], units[begin:begin + step]
        part, row = trace.rows(at, name), torch.arange(len(at), device=at.device)
        L = low.new_zeros(len(at), 2, size(shape))
        L[row, 0, unit_at], L[row, 1, unit_at] = 1.0, -1.0
        both = backward(part, name, L.reshape(len(at), 2, *shape)).least(part.inputs, trace.program.sums)
        low[begin:begin + step], high[begin:begin + step] = both[:, 0], -both[:, 1]
    return low, high


def _side_by_side(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _halves(forms: list[Form], k: int) -> Form:
    """The first or second half of each form's rows, joined."""
    parts = []
    for form in forms:
        n = form.d.shape[1] // 2
        side = slice(k * n, (k + 1) * n)
        parts.append(Form(form.L[:, side], form.d[:, side]))
    return _joined(parts)


def _rows_at_a_time(trace: Trace) -> int:
    return max(1, ENTRIES // (len(trace.inputs) * trace.program.widest))


def _joined(forms: list[Form]) -> Form:
    n = max(len(f.L) for f in forms)
    return Form(torch.cat([f.L.expand(n, *f.L.shape[1:]) for f in forms], dim=1), torch.cat([f.d for f in forms], dim=1))
