"""Smooth activations: images of intervals and tangent/chord bounds, sound whatever the searches for tangent points find."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..graph.op import SmoothOp
from .lines import Lines
from .piecewise import Bounds, _lines
from .rounding import no_nan, tiny, unit

ULPS = 16
"""What a library's exp, tanh, erf or a short formula of them may be wrong by, in u of |f(t)| + min(1, |t|). The functions of torch
are within 4 ulp of the exact value on CPU and CUDA; the sums and products of our formulas add a few."""

STEPS = 26
"""Halvings in the search for a tangent point: the residual slope times the interval is then 1e-8 of it; the bound stays sound for any
number."""

SAMPLES = 32
"""Where slopes are compared before one of them is made into a bound."""


class Smooth:
    """One op on tensors: `cuts` part the line into pieces on which f' only rises (convex) or only falls (concave)."""

    def __init__(self, op: SmoothOp, dtype: torch.dtype, device):
        self.op: Any = op
        self.dtype = dtype
        ends = [-math.inf, *op.inflections, math.inf]
        self.pieces = [(a, b, self._is_convex(a, b)) for a, b in pairwise(ends)]
        # f' is monotone on each piece, so least at an end of one (both sides: it may jump there); far out it has its limit
        probes = [-1e6, *(math.nextafter(c, -math.inf) for c in (*op.inflections, 0.0)), *op.inflections, 0.0, 1e6]
        self.increasing = bool(torch.all(_df(op, probes) >= 0))

    def _is_convex(self, a: float, b: float) -> bool:
        s, t = (a + 0.25 * (b - a), a + 0.75 * (b - a)) if math.isfinite(b - a) else \
            (a + 1, a + 2) if math.isfinite(a) else (b - 2, b - 1) if math.isfinite(b) else (-1, 1)
        slopes = _df(self.op, [s, t])
        return bool(slopes[1] >= slopes[0])

    def interval(self, z: Bounds) -> Bounds:
        l, u = z
        if self.increasing:
            low, high = self.op.f(l), self.op.f(u)
            return low - self._blur(l, low), high + self._blur(u, high)
        zero = torch.zeros_like(l)
        return no_nan(-self._highest(zero, l, u, -1), self._highest(zero, l, u, 1))      # inf times 0, at infinite bounds

    def lines(self, z: Bounds) -> Lines:
        """Needs     bounds l <= u of the inputs.
        Gives     Lines near those of least area: the line of the concave (convex) hull of f over [l, u] at its middle: the chord, a
                  tangent at the middle, or one through an end.
        Sound     for any slope: the offset is a bound of f(t) - m t over [l, u] (`_highest`).
        Source    Zhang et al. 2018 (CROWN), 3.2 and its tangent points by bisection; Singh et al. 2019 for the cases.
        Differs   not by cases of one function: the pieces of convexity of any f, and the best of all candidates.
        """
        middle = z[0] / 2 + z[1] / 2
        return _lines(*(self._line(z, middle, side) for side in (-1, 1)), z, self)

    def corner_lines(self, z: Bounds) -> list[Lines]:
        """Other lines that bound as well, for mixtures: best near either end."""
        l, u = z
        return [_lines(*(self._line(z, l + share * (u - l), side) for side in (-1, 1)), z, self) for share in (0.05, 0.95)]

    def _blur(self, t: Tensor, f: Tensor) -> Tensor:
        return ULPS * (unit(self.dtype) * (f.abs() + t.abs().clamp(max=1.0)) + tiny(self.dtype))

    def _line(self, z: Bounds, at: Tensor, side: int) -> tuple[Tensor, Tensor]:
        slope = self._slope(*z, at, side)
        return slope, side * self._highest(slope, *z, side)

    # ---- soundness
    def _highest(self, slope: Tensor, l: Tensor, u: Tensor, side: int) -> Tensor:
        """An upper bound of side (f(t) - slope t) over l <= t <= u, for any slope.

        On a piece [a, b] where g = side (f - slope t) is convex it is largest at a or b. Where g is concave it lies below its tangents,
        g(t) <= g(t0) + g'(t0) (t - t0) for any t0: with t0 = s <= e, two neighbours between which g' changes its sign, that is
        g(s) + (a - s) g'(s) up to s, g(s) + (e - s) g'(s) between, g(e) + (b - e) g'(e) from e on, each only where it adds. At a kink
        s and e have slopes of their own. g' is known up to the rounding of f'. Inflections are floats, 1e-16 off: what f bends the
        wrong way between is below 1e-30.
        """
        best = None
        for start, end, is_convex in self.pieces:
            a, b = l.clamp(start, end), u.clamp(start, end)     # one point where the piece does not meet [l, u]: of [l, u], or beyond
            outside = (u < start) | (l > end)
            if is_convex == (side > 0):
                found = torch.maximum(self._g(slope, a, side), self._g(slope, b, side))
            else:
                s, e = self._turning(slope, a, b, side)
                room = 2 * ULPS * unit(self.dtype) * (1 + slope.abs())
                rise, fall = (side * (self.op.df(t) - slope) for t in (s, e))
                more = 1 + 8 * unit(self.dtype)
                first = self._g(slope, s, side) + more * torch.maximum((room - rise) * (s - a), (room + rise) * (e - s)).clamp(min=0)
                found = torch.maximum(first, self._g(slope, e, side) + more * ((room + fall) * (b - e)).clamp(min=0))
            found = torch.where(outside, -torch.inf, found)
            best = found if best is None else torch.maximum(best, found)
        return best

    def _g(self, slope: Tensor, t: Tensor, side: int) -> Tensor:
        """side (f(t) - slope t), rounded up."""
        f, line = self.op.f(t), slope * t
        return side * (f - line) + self._blur(t, f) + 4 * unit(self.dtype) * (f.abs() + line.abs())

    @torch.no_grad()
    def _turning(self, slope: Tensor, a: Tensor, b: Tensor, side: int) -> tuple[Tensor, Tensor]:
        """Neighbours in [a, b] between which side f', falling, passes side slope; both at an end where it does not."""
        return _halve(lambda t: side * (self.op.df(t) - slope) > 0, a, b)

    # ---- tightness
    def _slope(self, l: Tensor, u: Tensor, at: Tensor, side: int) -> Tensor:
        """A slope whose line is nearly as low (side 1; high: -1) as can be at `at`."""
        width = u - l
        chord = (self.op.f(u) - self.op.f(l)) / torch.where(width > 0, width, 1.0)
        candidates = [torch.where(width > 0, chord, self.op.df(l)), self.op.df(at)]
        for cut in self.op.inflections if math.isinf(self.op.curvature) else ():      # f' jumps there: the hull may have a corner
            for end in (l, u):
                gap = end - cut
                candidates.append(torch.where((l < cut) & (cut < u), (self.op.f(end) - self.op.f(l.clamp(cut, cut))) /
                                              torch.where(gap != 0, gap, 1.0), chord))
        for start, end, is_convex in self.pieces:
            if is_convex == (side > 0):
                continue                                        # tangents touch where side f is concave
            for anchor in (l, u) if len(self.pieces) > 1 else ():
                a, b = l.clamp(start, end), u.clamp(start, end)
                d = self._touching(anchor, a, b, side)
                gap = d - anchor
                through = (self.op.f(d) - self.op.f(anchor)) / torch.where(gap != 0, gap, 1.0)
                candidates.append(torch.where((a < b) & (gap != 0), through, chord))
        if len(candidates) > 1:
            with torch.no_grad():
                steps = torch.linspace(0, 1, SAMPLES + 1, dtype=l.dtype, device=l.device).reshape(-1, *[1] * l.dim())
                t = torch.cat([l + steps * width, *(l.clamp(c, c).clamp(l, u)[None] for c in self.op.inflections)])
                f, slopes = self.op.f(t), self.op.df(t)
                heights = torch.stack([(side * (f - m * (t - at))).amax(dim=0) for m in candidates]).nan_to_num(nan=torch.inf)
                which = heights.argmin(dim=0, keepdim=True)
                least, most = slopes.amin(dim=0), slopes.amax(dim=0)
        slope = torch.stack(candidates).gather(0, which)[0]
        return torch.where(slope.isfinite(), slope.clamp(least, most), 0.0)

    @torch.no_grad()
    def _touching(self, anchor: Tensor, a: Tensor, b: Tensor, side: int) -> Tensor:
        """d in [a, b] where the tangent of side f, concave there, goes through (anchor, f(anchor)).

        h(d) = side (f(d) - f(anchor) - f'(d) (d - anchor)) has h' = -side f'' (d - anchor): monotone to either side of the anchor.
        """
        value = self.op.f(anchor)

        def is_before(d):
            h = side * (self.op.f(d) - value - self.op.df(d) * (d - anchor))
            return torch.where(d >= anchor, h < 0, h > 0)

        return _halve(is_before, a, b)[0]


def _df(op: SmoothOp, t: list[float]) -> Tensor:
    return torch.as_tensor(op.df(torch.tensor([float(x) for x in t], dtype=torch.float64)))


def _halve(is_before, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Neighbours in [a, b] at which is_before changes from True to False, or a, or b. Steps are even in asinh t: [a, b] may be huge."""
    low, high = a.asinh(), b.asinh()
    s, e = a, b
    for _ in range(STEPS):
        middle = (low + high) / 2
        t = middle.sinh().clamp(a, b)
        before = is_before(t)
        low, high = torch.where(before, middle, low), torch.where(before, high, middle)
        s, e = torch.where(before, t, s), torch.where(before, e, t)
    return s, torch.maximum(s, e)
