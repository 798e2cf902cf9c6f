"""Elementwise piecewise linear ops: images of intervals, and the linear bounds of least area."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from torch import Tensor

from ..graph.op import ElementwisePL, Shape
from .lines import Lines
from .rounding import tiny, unit

Bounds = tuple[Tensor, Tensor]


class Elementwise:
    """One op on tensors (n, *shape)."""

    def __init__(self, op: ElementwisePL, shape: Shape, dtype: torch.dtype, device):
        breaks, slopes, offsets = (np.asarray(p, dtype=np.float64) for p in op.pieces(shape))
        self.op, self.dtype = op, dtype
        b = breaks if breaks.ndim == 2 else breaks[None]
        s, o = (p if p.ndim == 2 else p[None] for p in (slopes, offsets))
        shaped = (lambda a: a.reshape(shape)) if breaks.ndim == 2 else (lambda a: a.reshape(()))

        def tensor(a):
            return torch.as_tensor(shaped(a), dtype=dtype, device=device)

        self.breaks = [tensor(b[:, k]) for k in range(b.shape[1])]
        # what the function is on both sides of each breakpoint: two values where it jumps
        at = [(s[:, k] * b[:, k] + o[:, k], s[:, k + 1] * b[:, k] + o[:, k + 1]) for k in range(b.shape[1])]
        size = np.abs(s).max(axis=1) * np.abs(b).max(axis=1, initial=0.0) + np.abs(o).max(axis=1)
        apart = [np.abs(left - right) for left, right in at]
        jumps = [bool((a > 1e-12 * size).any()) for a in apart]
        size = size + sum((a / (8 * unit(dtype)) for a, jump in zip(apart, jumps, strict=True) if not jump), np.zeros(1))  # into blur
        self.values = [tuple(tensor(v) for v in (sides if jump else sides[:1])) for sides, jump in zip(at, jumps, strict=True)]
        self.steepest = tensor(np.abs(s).max(axis=1))
        self.flattest, self.rising = tensor(s.min(axis=1)), tensor(s.max(axis=1))
        # constants lose up to u of their size when they are turned into this dtype, and so do the values at breakpoints
        self.blur = tensor(8 * unit(dtype) * size)
        self.is_exact = bool(np.isin(s, (-1.0, 0.0, 1.0)).all() and not o.any() and not b.any())
        self.is_relu = self.is_exact and b.shape == (1, 1) and list(s[0]) == [0.0, 1.0]
        self.increasing = bool((s >= 0).all() and not any(jumps))

    def interval(self, z: Bounds) -> Bounds:
        """The image of [l, u]: the function at both ends and at the breakpoints between."""
        l, u = z
        if self.is_relu:
            return l.clamp(min=0), u.clamp(min=0)
        ends = self.op(l), self.op(u)
        low, high = (ends[0], ends[1]) if self.increasing else (torch.minimum(*ends), torch.maximum(*ends))
        if not self.increasing:
            for b, values in zip(self.breaks, self.values, strict=True):
                inside = (l <= b) & (b <= u)
                for v in values:
                    low, high = torch.where(inside, torch.minimum(low, v), low), torch.where(inside, torch.maximum(high, v), high)
        if self.is_exact:
            return low, high
        wide = 4 * unit(self.dtype) * self.steepest * torch.maximum(l.abs(), u.abs()) + self.blur + tiny(self.dtype)
        return low - wide, high + wide

    def lines(self, z: Bounds) -> Lines:
        """Needs     bounds l <= u of the inputs.
        Gives     Lines, as low above and as high below the function as a line can be at the middle of [l, u], which is the least area:
                  for ReLU the chord, and 0 or z, whichever is nearer (Zhang et al. 2018, adaptive CROWN).
        Sound     for any slope m, f(t) - m t is linear between breakpoints: least and largest at ends and breakpoints. Offsets are
                  moved outwards by the rounding of these differences.
        """
        if self.is_relu:
            return _relu(*z, self.dtype)
        l, u = z
        points = [(l, self.op(l)), *self._inside(l, u), (u, self.op(u))]
        middle = l / 2 + u / 2
        above, below = self._slopes(points, middle)
        return _lines(*(self._offset(points, m, side) for m, side in ((below, -1), (above, 1))), z, self)

    def corner_lines(self, z: Bounds) -> list[Lines]:
        """Other lines that bound as well, for mixtures: 0 and z for ReLU, else those that are best at either end of [l, u]."""
        l, u = z
        if self.is_relu:
            line, crosses = _relu(l, u, self.dtype), (l < 0) & (u > 0) & l.isfinite() & u.isfinite()
            return [Lines(torch.where(crosses, m, line.below_slope), line.below, line.above_slope, line.above) for m in (0.0, 1.0)]
        points = [(l, self.op(l)), *self._inside(l, u), (u, self.op(u))]
        found = []
        for at in (l, u):
            above, below = self._slopes(points, at)
            found.append(_lines(*(self._offset(points, m, side) for m, side in ((below, -1), (above, 1))), z, self))
        return found

    def _inside(self, l: Tensor, u: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Breakpoints, moved into [l, u] where they lie outside (the function there, then)."""
        out = []
        for b, values in zip(self.breaks, self.values, strict=True):
            t = torch.minimum(torch.maximum(b, l), u)
            out += [(t, torch.where(t == b, v, self.op(t))) for v in values]
        return out

    def _slopes(self, points, at: Tensor) -> tuple[Tensor, Tensor]:
        """Slopes of the chord that is highest at `at`, and of the one that is lowest."""
        highest, lowest, above, below = None, None, None, None
        for (s, fs), (t, ft) in itertools.combinations(points, 2):
            apart = t > s
            slope = torch.where(apart, (ft - fs) / torch.where(apart, t - s, 1.0), 0.0)
            slope = torch.minimum(torch.maximum(slope, self.flattest), self.rising)
            value = fs + slope * (at - s)
            spans = apart & (s <= at) & (at <= t)
            up, down = torch.where(spans, value, -torch.inf), torch.where(spans, value, torch.inf)
            if highest is None:
                highest, lowest, above, below = up, down, slope, slope
            else:
                above, below = torch.where(up > highest, slope, above), torch.where(down < lowest, slope, below)
                highest, lowest = torch.maximum(up, highest), torch.minimum(down, lowest)
        return above, below

    def _offset(self, points, slope: Tensor, side: int) -> tuple[Tensor, Tensor]:
        """The line of this slope that lies above (side 1) or below (-1) all points."""
        pick = torch.maximum if side > 0 else torch.minimum
        found = [(f - slope * t, f.abs() + (slope.abs() + self.steepest) * t.abs()) for t, f in points]
        offset, wide = found[0]
        for value, size in found[1:]:
            offset, wide = pick(offset, value), torch.maximum(wide, size)
        return slope, offset + side * (8 * unit(self.dtype) * wide + 2 * self.blur + 4 * tiny(self.dtype))


def _lines(below: tuple[Tensor, Tensor], above: tuple[Tensor, Tensor], z: Bounds, rule) -> Lines:
    """Constants where the bounds are not finite."""
    finite = z[0].isfinite() & z[1].isfinite()
    if bool(finite.all()):
        return Lines(*below, *above)
    low, high = rule.interval(z)
    return Lines(torch.where(finite, below[0], 0.0), torch.where(finite, below[1], low),
                 torch.where(finite, above[0], 0.0), torch.where(finite, above[1], high))


def _relu(l: Tensor, u: Tensor, dtype: torch.dtype) -> Lines:
    """max(z, 0) on [l, u]. A unit that is always on or off is its own bound, without rounding.

    Above: slope k = fl(u / (u - l)) and an offset of at least max(-k l, u (1 - k)), so that the line is above at both ends whatever
    k was rounded to. Below: 0 or z.
    """
    down, up = l.clamp(max=0), u.clamp(min=0)
    width, on = up - down, l >= 0
    k = torch.where(on, 1.0, (up / width.clamp(min=torch.finfo(dtype).tiny)).clamp(max=1.0))
    crosses = (up > 0) & ~on                                    # as a number: tiny, for what underflows
    above = torch.add(torch.maximum(-k * down, up * (1 - k)) * (1 + 8 * unit(dtype)), crosses, alpha=torch.finfo(dtype).tiny)
    below_slope = ((up > -down) | on).to(dtype)
    if not math.isfinite(width.sum().item()):                   # one sum in the common case
        finite = l.isfinite() & u.isfinite()
        k, above = torch.where(finite, k, 0.0), torch.where(finite, above, up)
        below_slope = torch.where(finite, below_slope, 0.0)
    return Lines(below_slope, torch.zeros_like(above), k, above)
