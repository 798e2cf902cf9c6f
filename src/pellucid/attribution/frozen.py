"""What freezing a group adds to the least value of a linear form: all B_u read off one form that holds on B.

For a box, min over B_u of L x = min over B of L x + sum over j in u of L_j (m'_j - m_j) + |L_j| (r_j - r'_j): m, r the middle and radius
of x_j in B, m', r' those in B_u, where x_j is the point itself. So a form costs one pass, whatever the number of groups.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..bounding.backward import Form
from ..bounding.lines import dot
from ..bounding.rounding import gamma, tiny, unit
from ..bounding.sets import InputSet, down, up
from .asked import Sets
from .groups import Groups


def input_sets(sets: Sets, shape, frozen: np.ndarray | None, dtype, device) -> InputSet:
    """The sets in torch, rounded outwards; with frozen (G, d) the B_u: those of the first row first, (n * G) in all."""
    u64, n, d = unit(torch.float64), len(sets), sets.X.shape[1]
    fields = [sets.lower, sets.upper, sets.X, np.where(sets.lower < sets.upper, sets.radius, 0.0)]
    lower, upper, centre, scale = (torch.as_tensor(f, device=device) for f in fields)
    if frozen is not None:
        still = torch.as_tensor(frozen, device=device)
        lower, upper = (torch.where(still, centre[:, None], b[:, None]).reshape(-1, d) for b in (lower, upper))
        scale = torch.where(still, 0.0, scale[:, None]).reshape(-1, d)
        centre = centre.repeat_interleave(len(frozen), dim=0)
        n = len(lower)
    box = [f.reshape(n, *shape) for f in (down(lower, dtype), up(upper, dtype))]
    if sets.p == math.inf:
        return InputSet(*box)
    middle = centre.to(dtype)
    slack = up((centre - middle.to(torch.float64)).abs() * (1 + 4 * u64), dtype)
    return InputSet(*box, sets.p, *(f.reshape(n, *shape) for f in (middle, up(scale, dtype), slack)))


@dataclass(frozen=True, eq=False)
class Family:
    """n sets B with G frozen groups each. shift, gain: (n, d), m' - m and what is left of r - r' after rounding. index: (G, k) the members,
    filled up with d. held: (G, d) bool."""

    inputs: InputSet
    shift: Tensor
    gain: Tensor
    index: Tensor
    held: Tensor
    disjoint: bool

    def __len__(self) -> int:
        return len(self.index)

    def least(self, form: Form, nodes: int) -> tuple[Tensor, Tensor]:
        """((n, s), (n, G, s)): lower bounds of the form over B and over each B_u. Rounded down.

        A sum over a group is off by gamma of its terms' sizes, which `gain` has paid for.
        """
        whole = form.least(self.inputs, nodes)
        L = form.L.flatten(2)
        added = self._sums(L * self.shift.unsqueeze(1) + L.abs() * self.gain.unsqueeze(1))
        box = whole if self.inputs.p == math.inf else \
            Form(form.L, form.d).least(InputSet(self.inputs.lower, self.inputs.upper), nodes)
        u = unit(L.dtype)
        lost = 4 * L.shape[2] * tiny(L.dtype)
        frozen = box.unsqueeze(1) + (added - 4 * u * (added.abs() + box.abs().unsqueeze(1)) - lost)
        if self.inputs.p != math.inf:
            frozen = frozen.maximum(self._ball(form, L, nodes))
        return whole, frozen.maximum(whole.unsqueeze(1))            # B_u lies in B

    def _sums(self, terms: Tensor) -> Tensor:
        """(n, G, s) sums of terms (n, s, d) over the groups."""
        if self.index.shape[1] == 1:
            return terms[:, :, self.index[:, 0]].transpose(1, 2)
        padded = torch.cat([terms, terms.new_zeros(*terms.shape[:2], 1)], dim=2)
        return padded[:, :, self.index].sum(dim=3).transpose(1, 2)

    def _ball(self, form: Form, L: Tensor, nodes: int) -> Tensor:
        """(n, G, s): L c + d - |L scale|_q over the features that are left free."""
        s = self.inputs
        g, size, small = gamma(L.shape[2] + nodes + 18, L.dtype), L.abs(), 4 * tiny(L.dtype)
        scaled = size * s.scale.flatten(1).unsqueeze(1)
        if s.p == 2:
            square = (scaled * scaled) @ (~self.held).to(L.dtype).T                                     # (n, s, G)
            norm = square.clamp(min=tiny(L.dtype)).sqrt() + 2 * math.sqrt(L.shape[2] * tiny(L.dtype))
        elif self.disjoint:
            norm = self._largest_outside(scaled)
        else:
            norm = scaled.amax(dim=2, keepdim=True).expand(-1, -1, len(self))
        slack = (s.slack * (1 + 4 * g) + 4 * g * s.centre.abs() + small).flatten(1)
        rest = dot(form.L, s.centre) + form.d - dot(size, slack) - 8 * unit(L.dtype) * form.d.abs()
        return rest.unsqueeze(1) - (norm * (1 + 4 * g)).transpose(1, 2) - 4 * unit(L.dtype) * rest.abs().unsqueeze(1)

    def _largest_outside(self, scaled: Tensor) -> Tensor:
        """(n, s, G): the largest entry that is in no part of a group, for groups that do not overlap."""
        padded = torch.cat([scaled, scaled.new_zeros(*scaled.shape[:2], 1)], dim=2)
        inside = padded[:, :, self.index].amax(dim=3)
        loose = torch.where(self.held.any(dim=0), 0.0, scaled).amax(dim=2, keepdim=True)
        top = torch.cat([inside, loose], dim=2).topk(2, dim=2)
        own = torch.arange(len(self), device=scaled.device) == top.indices[:, :, :1]
        return torch.where(own, top.values[:, :, 1:], top.values[:, :, :1])


def family(inputs: InputSet, groups: Groups, X: np.ndarray) -> Family:
    """The frozen groups of these sets, X: (n, d) their points."""
    dtype, device = inputs.dtype, inputs.device
    point = torch.as_tensor(X, device=device)
    low, high = (t.flatten(1).double() for t in (inputs.lower, inputs.upper))
    still = down(point, dtype).double(), up(point, dtype).double()
    # middles and radii as `InputSet.least` takes them, in float64
    shift = (still[0] + still[1]) / 2 - (low + high) / 2
    gain = (high - low) / 2 - (still[1] - still[0]) / 2
    c = 4 * gamma(groups.padded.shape[1] + 24, dtype)
    gain = gain.clamp(min=0) - c * (shift.abs() + gain.abs())
    held = torch.as_tensor(groups.masks, device=device)
    return Family(inputs, shift.to(dtype), gain.to(dtype), torch.as_tensor(groups.padded, device=device), held,
                  bool((held.sum(dim=0) <= 1).all()))
