"""Where a unit is split, and what its lines lose there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .lines import Lines
from .piecewise import Bounds, Elementwise


def kink(rule: Any, l: Tensor, u: Tensor) -> Tensor:
    """The breakpoint inside [l, u] nearest the middle, l if there is none; the middle of a smooth function's interval."""
    middle = l / 2 + u / 2
    if not isinstance(rule, Elementwise):
        return middle
    best, far = l.clone(), torch.full_like(l, torch.inf)        # l: not inside, so not split
    for b in rule.breaks:
        b = b.expand(l.shape)
        away = torch.where((l < b) & (b < u), (b - middle).abs(), torch.inf)
        best, far = torch.where(away < far, b, best), torch.minimum(away, far)
    return best


def lost_at(t: Tensor, rule: Any, z: Bounds, line: Lines, below: Tensor, above: Tensor) -> Tensor:
    """(n, *shape): how far the lines are from the function at t, times what a bound changes with their offsets; 0 where no split helps.

    Source    Bunel et al. 2020 (BaBSR).
    """
    (l, u), f = z, rule.op(t)
    loss = above.abs() * (line.above_slope * t + line.above - f).clamp(min=0)
    loss = loss + below.abs() * (f - line.below_slope * t - line.below).clamp(min=0)
    inside = (l < t) & (t < u) & l.isfinite() & u.isfinite()
    needless = (u - l) <= 1e3 * torch.finfo(t.dtype).eps * (1 + l.abs() + u.abs())       # rounding is all that is left
    return torch.where(inside & ~needless, loss.nan_to_num(0.0) + torch.finfo(t.dtype).tiny, 0.0)
