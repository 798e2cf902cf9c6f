"""Lines to choose from: mixtures of bounding lines, whose weights are searched by gradients (alpha-CROWN)."""

from __future__ import annotations

import torch
from torch import Tensor

from .backward import Trace, backward
from .lines import Lines
from .piecewise import Bounds, Elementwise
from .program import Step
from .rounding import unit


def has_choice(step: Step) -> bool:
    """Is there more than one line to bound this step by?"""
    return not step.is_affine and hasattr(step.rule, "corner_lines")


class Mixture:
    """For each step with a choice the two lines to mix, and weights in [0, 1]: one for each unit, row and set.

    Sound     any mixture of bounding lines bounds; what its rounding costs is in the offsets (nothing for a ReLU, whose lines from
              below pass through 0, so that any slope in [0, 1] will do).
    Differs   from optimise.py: weights can be handed on from a node to its children, and a ReLU, which has one line above and a pencil
              of lines below, has one weight for each unit and not four.
    """

    def __init__(self, trace: Trace, rows: int):
        self.trace, self.parts, self.weights = trace, {}, {}
        for step in trace.program.steps:
            if not has_choice(step):
                continue
            z = trace.bounds[step.inputs[0]]
            is_relu = isinstance(step.rule, Elementwise) and step.rule.is_relu
            start = trace.lines_of(step)
            first, second = _zero_and_one(start, z) if is_relu else step.rule.corner_lines(z)
            shape = (len(z[0]), rows, *z[0].shape[1:])
            below = _share(start.below_slope, first.below_slope, second.below_slope).unsqueeze(1).expand(shape).clone()
            above = None if is_relu else _share(start.above_slope, first.above_slope, second.above_slope).unsqueeze(1).expand(shape).clone()
            self.parts[step.name] = first, second, is_relu, z
            self.weights[step.name] = below, above

    @property
    def tensors(self) -> list[Tensor]:
        return [w for pair in self.weights.values() for w in pair if w is not None]

    def lines(self) -> dict[str, Lines]:
        out = {}
        for name, (first, second, is_relu, z) in self.parts.items():
            below, above = self.weights[name]
            a, b = (tuple(t.unsqueeze(1) for t in (c.below_slope, c.below, c.above_slope, c.above)) for c in (first, second))
            if is_relu:
                one = torch.ones_like(below)
                out[name] = Lines(a[0] + below * (b[0] - a[0]), a[1] * one, a[2] * one, a[3] * one)
                continue
            u = 8 * unit(self.trace.program.dtype)
            reach = z[0].abs().maximum(z[1].abs()).unsqueeze(1)
            room = [u * ((a[k].abs() + b[k].abs()) * reach + a[k + 1].abs() + b[k + 1].abs()) for k in (0, 2)]
            mixed = [a[k] + w * (b[k] - a[k]) for k, w in ((0, below), (1, below), (2, above), (3, above))]
            out[name] = Lines(mixed[0], mixed[1] - room[0], mixed[2], mixed[3] + room[1])
        return out

    @property
    def flat(self) -> Tensor:
        """(n, weights): all of them, side by side."""
        return torch.cat([w.detach().flatten(1) for w in self.tensors], dim=1) if self.weights else torch.zeros(len(self.trace.inputs), 0)

    def load(self, flat: Tensor) -> None:
        """Set all weights to those of `flat`."""
        at = 0
        for w in self.tensors:
            k = w[0].numel()
            w.copy_(flat[:, at : at + k].reshape(w.shape))
            at += k

    def clamp(self) -> None:
        """Weights back into [0, 1]."""
        with torch.no_grad():
            for w in self.tensors:
                w.clamp_(0.0, 1.0)


def _zero_and_one(line: Lines, z: Bounds) -> list[Lines]:
    """The two lines below a ReLU that crosses, 0 and z, each with the chord above."""
    crosses = (z[0] < 0) & (z[1] > 0) & z[0].isfinite() & z[1].isfinite()
    return [Lines(torch.where(crosses, m, line.below_slope), line.below, line.above_slope, line.above) for m in (0.0, 1.0)]


def _share(start: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Where the slope lies between those two, 0 to 1."""
    apart = second - first
    return torch.where(apart.abs() > 0, (start - first) / torch.where(apart.abs() > 0, apart, 1.0), 0.0).nan_to_num(0.0).clamp(0.0, 1.0)


def climb(trace: Trace, name: str, L: Tensor, mixture: Mixture, *, iterations: int, rate: float = 0.25, extra=None):
    """The best (n, s) lower bounds of L z found by changing the mixture, and the forms behind them (L (n, s, k), d (n, s)).

    Source    Xu et al. 2021 (alpha-CROWN), by Adam. Every bound on the way is sound; the best of each set is kept.
    extra: like Beta in splits.py, tensors of its own that change too, and a term of L.
    """
    nodes = trace.program.sums
    moving = mixture.tensors + ([] if extra is None else extra.tensors)
    for w in moving:
        w.requires_grad_(True)
    best, best_L, best_d = None, None, None
    iterations = iterations if moving else 0
    adam = torch.optim.Adam(moving, lr=rate) if moving else None
    for step in range(iterations + 1):
        with torch.enable_grad():
            rows = L if extra is None else extra.rows(L)
            form = backward(trace, name, rows, lines=mixture.lines())
            d = form.d if extra is None else form.d + extra.constant()
            value = type(form)(form.L, d).least(trace.inputs, nodes)
        with torch.no_grad():
            now, now_L, now_d = value.detach(), form.L.detach(), d.detach()
            if best is None:
                best, best_L, best_d = now, now_L.expand(*now.shape, *now_L.shape[2:]).clone(), now_d.clone()
            else:
                better = now > best
                best, best_d = torch.where(better, now, best), torch.where(better, now_d, best_d)
                best_L[better] = now_L.expand(*now.shape, *now_L.shape[2:])[better]
        if step == iterations or adam is None:
            break
        loss = -torch.where(value.isfinite() & (value <= 0), value, 0.0).sum()       # what is proved needs no more
        if not loss.requires_grad:
            break
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        for group in adam.param_groups:
            group["lr"] *= 0.95
        mixture.clamp()
        if extra is not None:
            extra.clamp()
    for w in moving:
        w.requires_grad_(False)
    return best, best_L, best_d
