"""Selections (max pooling, maxima and minima of tensors): images of intervals, and linear bounds by one candidate of each group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..graph.op import SelectionOp, Shape, size
from .lines import dot
from .piecewise import Bounds
from .rounding import gamma, tiny, unit


@dataclass(frozen=True, eq=False)
class ChoiceLines:
    """below: x[lower] <= y; above: y <= slope x[upper] + offset. Indices into the inputs laid one behind the other, all (n, outputs).

    With sign = -1 this is said of -y and -x.
    """

    lower: Tensor
    upper: Tensor
    slope: Tensor
    offset: Tensor
    sign: int
    shapes: list[Shape]
    overlap: int

    def back(self, L: Tensor, reaches: list[Tensor], nodes: int) -> tuple[list[Tensor], Tensor]:
        """([L'], d) as `Lines.back`; an input gets the coefficients of all groups that chose it: `overlap` at most."""
        n, s = max(len(L), len(self.lower)), L.shape[1]
        u, flat = unit(L.dtype), (self.sign * L).flatten(2)
        positive, negative = flat.clamp(min=0), flat.clamp(max=0)
        total = sum(size(shape) for shape in self.shapes)
        out = L.new_zeros(n, s, total)
        index = self.lower.unsqueeze(1).expand(n, s, -1)
        out = out.scatter_add(2, index, positive.expand(n, s, -1))
        index = self.upper.unsqueeze(1).expand(n, s, -1)
        out = out.scatter_add(2, index, (negative * self.slope.unsqueeze(1)).expand(n, s, -1))
        reach = torch.cat([r.flatten(1) for r in reaches], dim=1)
        far, g = torch.maximum(reach.gather(1, self.lower), reach.gather(1, self.upper)), gamma(flat.shape[2] + nodes + 16, L.dtype)
        spoil = ((gamma(2 * self.overlap + 2, L.dtype) + 4 * u) * 2 * far + g * self.offset.abs() + 4 * tiny(L.dtype)) * (1 + 4 * g)
        d = dot(negative, self.offset) - dot(flat.abs(), spoil)
        out = self.sign * out
        parts = out.split([size(shape) for shape in self.shapes], dim=2)
        return [p.reshape(n, s, *shape) for p, shape in zip(parts, self.shapes, strict=True)], d


class Choice:
    """One selection op on tensors (n, *shape_k)."""

    def __init__(self, op: SelectionOp, shapes: list[Shape], out: Shape, dtype: torch.dtype, device):
        ptr, members = op.groups(*shapes)
        sizes = np.diff(ptr)
        place = np.minimum(np.arange(sizes.max(initial=1))[None], sizes[:, None] - 1)
        self.rows = torch.as_tensor(np.asarray(members)[ptr[:-1, None] + place].astype(np.int64), device=device)   # (outputs, largest)
        # short groups repeat their last member; it must not be taken for its own rival
        self.repeats = torch.as_tensor(np.arange(sizes.max(initial=1))[None] >= sizes[:, None], device=device)
        self.op, self.sign, self.shapes, self.out, self.dtype = op, op.sign, shapes, out, dtype
        self.overlap = int(np.bincount(members).max(initial=1))

    def interval(self, *zs: Bounds) -> Bounds:
        """The selection is monotone in every input."""
        return self.op(*(z[0] for z in zs)), self.op(*(z[1] for z in zs))

    def _flat(self, zs) -> Bounds:
        l = torch.cat([z[0].flatten(1) for z in zs], dim=1)
        u = torch.cat([z[1].flatten(1) for z in zs], dim=1)
        return (l, u) if self.sign > 0 else (-u, -l)

    def lines(self, *zs: Bounds) -> ChoiceLines:
        """Needs     bounds of every input.
        Gives     below: the candidate with the largest middle. above: with i the candidate that can be largest and U the largest that
                  the others can be, max(x) <= max(x_i, U) <= the chord of max(., U) over [l_i, u_i].
        Sound     the chord of a convex function, lifted to lie above both ends whatever its slope was rounded to.
        Source    Singh et al. 2019 (DeepPoly) has the constant U_i; the chord lies below it.
        """
        l, u = self._flat(zs)
        low, high = l[:, self.rows], u[:, self.rows]            # (n, outputs, members)
        lower = (low + high).masked_fill(self.repeats, -torch.inf).argmax(dim=2, keepdim=True)
        upper = high.masked_fill(self.repeats, -torch.inf).argmax(dim=2, keepdim=True)
        place = torch.arange(self.rows.shape[1], device=l.device)
        rival = high.masked_fill(self.repeats | (place == upper), -torch.inf).amax(dim=2)
        li, ui = (v.gather(2, upper)[:, :, 0] for v in (low, high))
        at_low = torch.maximum(li, rival)                       # max(., U) at the lower end; at the upper one it is u_i
        width = ui - li
        k = ((ui - at_low) / torch.where(width > 0, width, 1.0)).clamp(0, 1)
        k = torch.where(rival <= li, 1.0, k)
        alone = rival <= li
        size_ = at_low.abs() + ui.abs() + li.abs()
        offset = torch.maximum(at_low - k * li, ui - k * ui) + 8 * unit(self.dtype) * size_
        offset = torch.where(alone, 0.0, offset)
        bad = ~(li.isfinite() & ui.isfinite() & at_low.isfinite())
        k, offset = torch.where(bad, 0.0, k), torch.where(bad, ui, offset)
        members = self.rows.expand(len(l), -1, -1)
        first, second = (members.gather(2, which)[:, :, 0] for which in (lower, upper))
        return ChoiceLines(first, second, k, offset, self.sign, self.shapes, self.overlap)
