"""Lines: linear bounds of elementwise functions and how rows of coefficients pass through them."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
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
    met: list = field(default_factory=list, repr=False, init=False)

    def rows(self, begin: int, end: int) -> Lines:
        """Of lines of their own for each row, those of some rows."""
        return Lines(*(t[:, begin:end] for t in (self.below_slope, self.below, self.above_slope, self.above)))

    def some(self, index: Tensor) -> Lines:
        """Of some of the sets."""
        return Lines(*(t[index] for t in (self.below_slope, self.below, self.above_slope, self.above)))

    def back(self, L: Tensor, reaches: list[Tensor], nodes: int) -> tuple[list[Tensor], Tensor]:
        """(L', d) with L f(z) >= L' z + d for |z| <= reach, the one of reaches.

        L f >= L+ (below) + L- (above), L+ = (L + |L|) / 2. Rounding: L' is what it was computed as; it differs from the exact product
        by at most 4 u |L| max |slope| in each entry, which costs as much times |z|; the sum over the offsets is off by gamma |L||offsets|.
        `nodes`: how many sums of this kind are added up in the end.
        """
        p = L.abs()
        own = self.below_slope.dim() == L.dim()                 # lines of their own for each row
        slope, turn, offset, gap = self._met(reaches[0].unsqueeze(1) if own else reaches[0], L[0, 0].numel() + nodes + 16)
        if own:
            return [torch.addcmul(L * slope, p, turn)], (L * offset + p * gap).flatten(2).sum(2)
        return [(L * slope.unsqueeze(1)).addcmul_(p, turn.unsqueeze(1))], dot(L, offset) + dot(p, gap)

    def _met(self, reach: Tensor, terms: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Middle slope, half their difference, middle offset, half their difference less rounding: what L, |L|, L, |L| meet.

        Kept between calls of one reach, where no gradient flows: every pass backwards asks again.
        """
        if self.met and self.met[0][0] is reach and self.met[0][1] == terms:
            return self.met[0][2]
        u, g = unit(reach.dtype), gamma(terms, reach.dtype)
        spoil = torch.maximum(self.below_slope.abs(), self.above_slope.abs()) * (4 * u * (1 + 4 * g)) * reach
        spoil = torch.add(spoil, self.below.abs() + self.above.abs(), alpha=g * (1 + 4 * g))
        spoil = spoil + 4 * (1 + 4 * g) * tiny(reach.dtype)     # products that underflow
        m, o = self.below_slope / 2, self.below / 2
        made = (m.add(self.above_slope, alpha=0.5), m.sub(self.above_slope, alpha=0.5),
                o.add(self.above, alpha=0.5), o.sub(self.above, alpha=0.5) - spoil)
        if not any(t.requires_grad for t in (reach, self.below_slope, self.below, self.above_slope, self.above)):
            self.met[:] = [(reach, terms, made)]
        return made


CHUNK = 1 << 16
"""Coefficients of rows that are read several times before the next: they stay in a core's own cache."""


def both(L: Tensor, v: Tensor, w: Tensor) -> Tensor:
    """(n, s): L v + |L| w, as `dot`; where rows are many and no gradient flows, some at a time, so that |L| is never written out."""
    if L.shape[0] > 1 or L.device.type != "cpu" or L.requires_grad or v.requires_grad or w.requires_grad:
        return dot(L, v) + dot(L.abs(), w)
    rows, flat = max(1, CHUNK // L[0, 0].numel()), L[0].flatten(1)
    parts = (flat,) if rows >= len(flat) else flat.split(rows)
    if v.shape[0] == 1 and w.shape[0] == 1:
        first, second = v.flatten(), w.flatten()
        found = [torch.mv(part, first).addmv_(part.abs(), second) for part in parts]
        return (found[0] if len(found) == 1 else torch.cat(found)).unsqueeze(0)
    v, w = v.flatten(1), w.flatten(1)
    return torch.cat([F.linear(v, part) + F.linear(w, part.abs()) for part in parts], dim=1)


def sizes_dot(L: Tensor, w: Tensor) -> Tensor:
    """(n, s): |L| w, as `both`."""
    if L.shape[0] > 1 or w.shape[0] > 1 or L.device.type != "cpu" or L.requires_grad or w.requires_grad:
        return dot(L.abs(), w)
    rows, flat, w = max(1, CHUNK // L[0, 0].numel()), L[0].flatten(1), w.flatten()
    found = [torch.mv(part.abs(), w) for part in (flat.split(rows) if rows < len(flat) else (flat,))]
    return (found[0] if len(found) == 1 else torch.cat(found)).unsqueeze(0)


def exact_dot(L: Tensor, v: Tensor) -> Tensor:
    """(n, s) float64: rows L times v (n or 1, *shape), float64: off by gamma of float64, which is nothing beside a rounding of float32."""
    if L.dtype == torch.float64:
        return dot(L, v)
    if L.shape[0] > 1 or L.device.type != "cpu" or L.requires_grad:
        return dot(L.double(), v)
    flat, v = L[0].flatten(1).double(), v.flatten(1)
    return torch.mv(flat, v[0]).unsqueeze(0) if len(v) == 1 else F.linear(v, flat)


def dot(L: Tensor, v: Tensor) -> Tensor:
    """(n, s): rows L (n or 1, s, *shape) times v (n or 1, *shape)."""
    L, v = L if L.dim() == 3 else L.flatten(2), v if v.dim() == 2 else v.flatten(1)
    if L.shape[0] == 1:
        return F.linear(v, L[0])
    if v.shape[0] == 1:
        return L @ v[0]
    return torch.bmm(L, v.unsqueeze(2)).squeeze(2)
