"""Lines: linear bounds of elementwise functions and how rows of coefficients pass through them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .rounding import gamma, tiny, unit


@dataclass(frozen=True, eq=False)
class Lines:
    """below_slope z + below <= f(z) <= above_slope z + above for every z in the bounds that they were made for.

    In real arithmetic, for these very floating point numbers: what rounding could spoil is in the offsets already. (n, *shape), or
    (n, s, *shape) with lines of its own for each of s rows.
    """

    below_slope: Tensor
    below: Tensor
    above_slope: Tensor
    above: Tensor

    def rows(self, begin: int, end: int) -> Lines:
        """Of lines of their own for each row, those of some rows."""
        return Lines(*(t[:, begin:end] for t in (self.below_slope, self.below, self.above_slope, self.above)))

    def back(self, L: Tensor, reaches: list[Tensor], nodes: int) -> tuple[list[Tensor], Tensor]:
        """(L', d) with L f(z) >= L' z + d for |z| <= reach, the one of reaches.

        L f >= L+ (below) + L- (above), L+ = (L + |L|) / 2. Rounding: L' is what it was computed as; it differs from the exact product
        by at most 4 u |L| max |slope| in each entry, which costs as much times |z|; the sum over the offsets is off by gamma |L||offsets|.
        `nodes`: how many sums of this kind are added up in the end.
        """
        u, n = unit(L.dtype), L[0, 0].numel()
        own = self.below_slope.dim() == L.dim()                 # lines of their own for each row
        reach = reaches[0].unsqueeze(1) if own else reaches[0]
        p = L.abs()
        slope, turn = (self.below_slope + self.above_slope) / 2, (self.below_slope - self.above_slope) / 2
        offset, gap = (self.below + self.above) / 2, (self.below - self.above) / 2
        g = gamma(n + nodes + 16, L.dtype)
        spoil = ((4 * u) * torch.maximum(self.below_slope.abs(), self.above_slope.abs()) * reach +
                 g * (self.below.abs() + self.above.abs()) + 4 * tiny(L.dtype)) * (1 + 4 * g)      # tiny: products that underflow
        if own:
            out = torch.addcmul(L * slope, p, turn)
            d = (L * offset + p * (gap - spoil)).flatten(2).sum(2)
            return [out], d
        slope, turn = slope.unsqueeze(1), turn.unsqueeze(1)
        return [torch.addcmul(L * slope, p, turn)], dot(L, offset) + dot(p, gap - spoil)


def dot(L: Tensor, v: Tensor) -> Tensor:
    """(n, s): rows L (n or 1, s, *shape) times v (n or 1, *shape)."""
    L, v = L.flatten(2), v.flatten(1)
    if len(L) == 1:
        return v @ L[0].T
    if len(v) == 1:
        return L @ v[0]
    return torch.bmm(L, v.unsqueeze(2)).squeeze(2)
