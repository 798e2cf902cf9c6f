"""Bounds of probabilities from bounds of logits and of their differences."""

from __future__ import annotations

import torch
from torch import Tensor

from .piecewise import Bounds
from .rounding import unit

ULPS = 16
"""What exp, log and sums of a few of them may be wrong by, in u."""


def link_bounds(link: str, c: int, low: Tensor, high: Tensor) -> Bounds:
    """Bounds (n, c) of what the model answers.

    low, high: for "sigmoid" bounds (n, c) of the logits, and it is monotone; for "softmax" and "log_softmax" bounds (n, c (c - 1) / 2) of
    f_j - f_k, j < k, as p_k = 1 / sum_j exp(f_j - f_k) falls in each of them: tighter than by the logits' own bounds.
    """
    u = unit(low.dtype)
    if link == "sigmoid":
        return (low.sigmoid() * (1 - ULPS * u)).clamp(min=0), (high.sigmoid() * (1 + ULPS * u) + torch.finfo(low.dtype).tiny).clamp(max=1)
    least, most = (_all_pairs(c, a, b) for a, b in ((low, high), (high, low)))
    # log sum_j exp(f_j - f_k) over j: (n, k)
    smallest, largest = least.logsumexp(dim=1), most.logsumexp(dim=1)
    room = [ULPS * u * (v.abs() + c) for v in (smallest, largest)]
    above, below = -(smallest - room[0]), -(largest + room[1])
    if link == "log_softmax":
        return below, above.clamp(max=0)
    return (below.exp() * (1 - ULPS * u)).clamp(min=0), (above.exp() * (1 + ULPS * u) + torch.finfo(low.dtype).tiny).clamp(max=1)


def _all_pairs(c: int, first: Tensor, second: Tensor) -> Tensor:
    """(n, j, k): f_j - f_k is `first` for j < k, and minus `second` of the pair (k, j) for j > k; 0 for j = k."""
    j, k = torch.triu_indices(c, c, 1, device=first.device)
    out = first.new_zeros(len(first), c, c)
    out[:, j, k] = first
    out[:, k, j] = -second
    return out
