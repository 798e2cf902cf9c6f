"""Backward bounds whose lines are optimised, each row's by itself (alpha-CROWN)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .backward import Form, Trace, backward
from .lines import Lines
from .piecewise import Elementwise
from .program import Step
from .rounding import unit
from .smooth import Smooth

RATE = 0.5
"""Adam's step, in shares of a line; it falls by a factor DECAY an iteration."""

DECAY = 0.95


@dataclass(eq=False)
class _Mixture:
    """Lines of one step: default + a (first - default) + b (second - default) with a, b >= 0, a + b <= 1, (n, s, *shape) each, a and b of
    the lines below and of those above. A mixture of lines below a function is a line below it."""

    default: Lines
    corners: list[Lines]
    reach: Tensor
    shares: list[Tensor]                                        # below first, below second, above first, above second

    def lines(self) -> Lines:
        """The mixture; its offsets pay for the rounding of the mixing."""
        u = unit(self.reach.dtype)
        low = self._mix("below_slope", "below", 0, u, -1)
        high = self._mix("above_slope", "above", 2, u, 1)
        return Lines(*low, *high)

    def _mix(self, slope: str, offset: str, k: int, u: float, side: int) -> tuple[Tensor, Tensor]:
        a, b = self.shares[k:k + 2]
        found, size = [], torch.zeros(())
        for name, scale in ((slope, self.reach), (offset, None)):
            base, first, second = (getattr(line, name).unsqueeze(1) for line in (self.default, *self.corners))
            found.append(base + a * (first - base) + b * (second - base))
            total = base.abs() + first.abs() + second.abs()
            size = size + (total if scale is None else total * scale.unsqueeze(1))
        return found[0], found[1] + side * 16 * u * size

    @torch.no_grad()
    def project(self) -> None:
        """Back to where the shares are shares."""
        for a, b in (self.shares[:2], self.shares[2:]):
            a.clamp_(min=0)
            b.clamp_(min=0)
            total = (a + b).clamp(min=1.0) * (1 + 4 * unit(a.dtype))
            a.div_(total)
            b.div_(total)


def optimised(trace: Trace, name: str, L: Tensor, iterations: int, *, keep: bool = False) -> tuple[Tensor, Form | None]:
    """(n, s) lower bounds of L z, and the form of the last of them that was best.

    Needs     a trace with all bounds before `name`; L: (n or 1, s, *shape).
    Gives     the best of all iterations for each row, the plain lines' the first of them: never wider.
    Sound     each iteration is a backward bound by valid lines (`_Mixture`).
    Source    Xu et al. 2021 (alpha-CROWN); gradient ascent by Adam on the bounds themselves.
    Differs   lines are mixtures of three instead of one free slope, which takes smooth functions alike; bounds of the tensors inside
              stay as they are.
    """
    trace = trace.detached()
    n, s, nodes = len(trace.inputs), L.shape[1], trace.program.sums
    mixtures = {step.name: _mixture(trace, step, n, s) for step in trace.program.steps[: trace.program.place[name] + 1]
                if isinstance(step.rule, Elementwise | Smooth)}
    best, form = None, None
    if not mixtures:
        found = backward(trace, name, L)
        return found.least(trace.inputs, nodes), found if keep else None
    parameters = [t for m in mixtures.values() for t in m.shares]
    with torch.enable_grad():
        adam = torch.optim.Adam(parameters, lr=RATE, maximize=True)
        falling = torch.optim.lr_scheduler.ExponentialLR(adam, DECAY)
        for k in range(iterations + 1):
            found = backward(trace, name, L, lines={step: m.lines() for step, m in mixtures.items()})
            values = found.least(trace.inputs, nodes)
            now = values.detach()
            better = now > best if best is not None else torch.ones_like(now, dtype=torch.bool)
            best = now if best is None else torch.fmax(best, now)        # NaN: no bound at all
            if keep:
                form = better_form(form, found, better)
            if k == iterations or not values.requires_grad:     # no line stands between the tensor and the inputs: those of other branches
                break
            adam.zero_grad()
            values[values.isfinite()].sum().backward()
            adam.step()
            falling.step()
            for m in mixtures.values():
                m.project()
    return best, form


def better_form(form: Form | None, found: Form, better: Tensor) -> Form:
    """Row by row the newer form where it was better."""
    L, d = found.L.detach(), found.d.detach()
    if form is None:
        return Form(L, d)
    where = better.reshape(*better.shape, *[1] * (L.dim() - 2))
    return Form(torch.where(where, L, form.L), torch.where(better, d, form.d))


def _mixture(trace: Trace, step: Step, n: int, s: int) -> _Mixture:
    assert isinstance(step.rule, Elementwise | Smooth)
    z = tuple(b.detach() for b in trace.bounds[step.inputs[0]])
    default, corners = step.rule.lines((z[0], z[1])), step.rule.corner_lines((z[0], z[1]))
    shares = [torch.zeros(n, s, *step.shape, dtype=z[0].dtype, device=z[0].device, requires_grad=True) for _ in range(4)]
    return _Mixture(default, corners, trace.reach(step.inputs[0]).detach(), shares)
