"""Support functions of L1 and L2 balls cut with boxes: how far rows can go from the centre, many rows at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .rounding import gamma, tiny

STEPS = {1.0: 5, 2.0: 3}
"""Steps towards the best multiplier; whichever is reached, what it gives is a bound. One more changes the bounds of image networks by less
than .3% (p = 1) and .1% (p = 2)."""

ROWS_AT_ONCE = 1 << 16
"""Coefficients of one set that are read several times in a row: they stay in a core's own cache."""


def farthest(L: Tensor, scale: Tensor, down: Tensor, up: Tensor, p: float, nodes: int = 0) -> Tensor:
    """(n, s): at least max { -L y : y = scale t, -down <= t <= up, ||t||_p <= 1 } for rows L (n or 1, s, d).

    Needs     scale (n, d) >= 0; down, up: (n, d) in [0, 1].
    Gives     (n, s). With w = |L| scale and k the room on the side that a row pulls to, the largest w y under 0 <= y <= k, ||y||_p <= 1.
    Sound     by weak duality for every multiplier: p = 1, m + sum k (w - m)+ for m >= 0; p = 2, m / 2 + sum y (w - m y / 2) for m > 0, y =
              min(w / m, k). All terms are positive, so that rounding is relative: of the sum gamma, of a term some u (y off by u changes a
              term by less than 2 u of it, as y maximises it); what underflows is paid for by the caller, tiny for each coefficient
              times (1 + scale).
    Complete  the best multiplier gives the maximum itself; STEPS come near it. Never more than the ball's |w|_q alone, but for rounding.
    Source    Lagrange duality; p = 1 is the fractional knapsack (Dantzig 1957).
    Differs   no sorting: rows are many and long, and passes over them are cheap.
    """
    n, s, d = max(len(L), len(scale)), L.shape[1], L.shape[2]
    g = gamma(d + nodes + 16, L.dtype)
    rows = max(1, ROWS_AT_ONCE // (n * d)) if L.device.type == "cpu" and not torch.is_grad_enabled() else s
    found = [_best(part, scale, down, up, p) for part in L.split(rows, dim=1)]
    return (found[0] if len(found) == 1 else torch.cat(found, dim=1)) * (1 + 2 * g)


def _best(L: Tensor, scale: Tensor, down: Tensor, up: Tensor, p: float) -> Tensor:
    w = L.abs() * scale.unsqueeze(1)
    k = torch.where(L > 0, down.unsqueeze(1), up.unsqueeze(1))
    return _knapsack(w, k) if p == 1 else _round(w, k)


def _knapsack(w: Tensor, k: Tensor) -> Tensor:
    """m between low, where the rooms of what is worth more add up to more than 1, and high, where they do not; the next m is the mean
    worth in between, where the tangents of the bound at both meet."""
    with torch.no_grad():
        worth = w * k
        low = torch.zeros_like(w[:, :, :1])
        high = torch.where(k > 0, w, 0.0).amax(dim=2, keepdim=True)
        rooms, sums = [k.sum(dim=2, keepdim=True), torch.zeros_like(low)], [worth.sum(dim=2, keepdim=True), torch.zeros_like(low)]
        for step in range(STEPS[1.0]):
            between = rooms[0] - rooms[1]
            mean = torch.where(between > 0, (sums[0] - sums[1]) / torch.where(between > 0, between, 1.0), high).clamp(low, high)
            m = mean if step else high / 2                      # few large ones count, as a rule
            more = w > m
            room, total = torch.where(more, k, 0.0).sum(dim=2, keepdim=True), torch.where(more, worth, 0.0).sum(dim=2, keepdim=True)
            fits = room <= 1
            low, high = torch.where(fits, low, m), torch.where(fits, m, high)
            rooms = [torch.where(fits, rooms[0], room), torch.where(fits, room, rooms[1])]
            sums = [torch.where(fits, sums[0], total), torch.where(fits, total, sums[1])]
        m = torch.where(sums[0] + (1 - rooms[0]) * low < sums[1] + (1 - rooms[1]) * high, low, high)
    return m.squeeze(2) + ((w - m).clamp(min=0) * k).sum(dim=2)


def _round(w: Tensor, k: Tensor) -> Tensor:
    """m with sum y^2 = 1. From the norm of all that moves it falls towards the best: what is at its room stays there."""
    small = math.sqrt(tiny(w.dtype))
    with torch.no_grad():
        m = (torch.where(k > 0, w, 0.0).square().sum(dim=2, keepdim=True)).sqrt().clamp(min=small)
        for _ in range(STEPS[2.0]):
            held = w > m * k
            rest = 1 - torch.where(held, k, 0.0).square().sum(dim=2, keepdim=True)
            free = torch.where(held, 0.0, w).square().sum(dim=2, keepdim=True)
            m = torch.where(rest > 0, (free / rest.clamp(min=small)).sqrt().clamp(min=small), m)
    y = torch.minimum(w / m, k)
    return m.squeeze(2) / 2 + (y * (w - y * (m / 2))).sum(dim=2)
