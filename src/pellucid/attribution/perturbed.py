"""What EVA is compared with where no library has it: RISE, Greedy-AS, Greedy-AO and EVA by sampling. Small, as published."""

from __future__ import annotations

import numpy as np

from .asked import for_rows
from .groups import Groups
from .robustness import lead, least_change
from .scores import Subject, image_size
from .torch_form import require_torch


def rise(s: Subject, seed: int = 0, *, samples: int = 1000, cells: int = 7, keep: float = 0.5) -> np.ndarray:
    """(n, d) mean over random smooth masks of the class's probability, weighted by the mask (Petsiuk, Das & Saenko 2018)."""
    torch = require_torch("RISE")
    rng, (height, width) = np.random.default_rng(seed), image_size(s.shape)
    total, weight = torch.zeros_like(s.X, dtype=torch.float64), torch.zeros(s.X.shape[1], dtype=torch.float64, device=s.X.device)
    pixel, label = torch.as_tensor(s.pixel, device=s.X.device), s.label
    for _ in range(samples):
        small = torch.as_tensor((rng.random((1, 1, cells + 1, cells + 1)) < keep).astype(np.float32), device=s.X.device)
        step = -(-height // cells), -(-width // cells)
        large = torch.nn.functional.interpolate(small, size=((cells + 1) * step[0], (cells + 1) * step[1]), mode="bilinear",
                                                align_corners=False)[0, 0]
        y, x = int(rng.integers(step[0])), int(rng.integers(step[1]))
        mask = large[y:y + height, x:x + width].reshape(-1)[pixel]
        p = s.value(s.X * mask, label)
        total += p[:, None].double() * mask.double()
        weight += mask.double()
    return (total / weight.clamp_min(1e-12)).cpu().numpy()


def greedy_as(s: Subject, seed: int = 0, *, cells: Groups, rounds: int = 12, subsets: int | None = None, share: float = 0.15,
              steps: int = 10, p: float = np.inf, clip=(0.0, 1.0)) -> np.ndarray:
    """(n, d) cells in the order in which Greedy-AS takes them: those that lower the least change the most (Hsieh et al. 2021, 3.3).

    Each round attacks on the cells taken so far with random sets of the others, fits the least change found linearly by the cells of the
    sets, and takes those of the lowest coefficients. rounds: as many parts as the cells are taken in; subsets: attacks a round, by
    default one a cell: a sixth of that, on MNIST, left Robustness-S_r at .19, where it is .15 so.
    """
    rng, n, G = np.random.default_rng(seed), len(s.X), len(cells)
    subsets = subsets or len(cells)
    taken, order = np.zeros((n, G), dtype=bool), np.zeros((n, G))
    each = -(-G // rounds)
    for k in range(rounds):
        draws = rng.random((n, subsets, G)) < share
        free = (draws | taken[:, None]).reshape(-1, G) @ cells.masks
        found = least_change(s, np.repeat(np.arange(n), subsets), free, p=p, clip=clip, steps=steps).reshape(n, subsets)
        fit = _slopes(draws.astype(float), found)
        fit[taken] = np.inf
        chosen = np.argsort(fit + 1e-9 * rng.random(fit.shape), axis=1)[:, :each]
        new = np.zeros_like(taken)
        np.put_along_axis(new, chosen, True, axis=1)
        new &= ~taken
        order[new] = rounds - k - (np.argsort(np.argsort(fit, axis=1), axis=1) / G)[new]
        taken |= new
    return order @ (cells.masks / np.maximum(cells.masks.sum(axis=0), 1))


def _slopes(draws: np.ndarray, found: np.ndarray, ridge: float = 1.0) -> np.ndarray:
    """(n, G) coefficients of the sets' cells in `found`, by ridge regression."""
    A, b = draws - draws.mean(axis=1, keepdims=True), found - found.mean(axis=1, keepdims=True)
    kernel = A @ A.transpose(0, 2, 1) + ridge * np.eye(A.shape[1])
    return (A.transpose(0, 2, 1) @ np.linalg.solve(kernel, b[..., None]))[..., 0]


def greedy_ao(s: Subject, overlaps, seed: int = 0, *, cells: Groups, rounds: int = 12) -> np.ndarray:
    """(n, d) cells in the order in which freezing them lowers the bound of the adversarial overlap most, beside those frozen (EVA app. B).

    overlaps(rows (m,), frozen (m, d) bool) -> (m,) upper bounds.
    """
    n, G = len(s.X), len(cells)
    taken, order = np.zeros((n, G), dtype=bool), np.zeros((n, G))
    each = -(-G // rounds)
    for k in range(rounds):
        left = np.argwhere(~taken)
        frozen = (taken[left[:, 0]] @ cells.masks) | cells.masks[left[:, 1]]
        value = np.full((n, G), np.inf)
        value[left[:, 0], left[:, 1]] = overlaps(left[:, 0], frozen)
        chosen = np.argsort(value, axis=1, kind="stable")[:, :each]
        new = np.zeros_like(taken)
        np.put_along_axis(new, chosen, True, axis=1)
        new &= ~taken
        order[new] = rounds - k - (np.argsort(np.argsort(value, axis=1, kind="stable"), axis=1) / G)[new]
        taken |= new
    return order @ (cells.masks / np.maximum(cells.masks.sum(axis=0), 1))


def eva_sampled(s: Subject, seed: int = 0, *, cells: Groups, eps, clip=(0.0, 1.0), samples: int = 64) -> np.ndarray:
    """(n, d) EVA with the largest overlap among uniform samples of B and of each B_u in the place of bounds: what certainty adds.

    The samples are shared: those of B_u are those of B, put back to x on u.
    """
    torch = require_torch("EVA by sampling")
    rng, d, G = np.random.default_rng(seed), s.X.shape[1], len(cells)
    radius, low, high = (for_rows(v, (len(s.X), d), name) for v, name in
                         ((eps, "eps"), *((side, "clip") for side in clip or (-np.inf, np.inf))))
    frozen = torch.as_tensor(np.concatenate([np.zeros((1, d), dtype=bool), cells.masks]), device=s.X.device)
    out = np.empty((len(s.X), G))
    for i in range(len(s.X)):
        x, label = s.X[i], torch.as_tensor(s.label[i:i + 1], device=s.X.device)
        points = torch.as_tensor(rng.uniform(-1, 1, (samples, d)) * radius[i], dtype=x.dtype, device=x.device)
        points = (x + points).clamp(*(torch.tensor(side[i], dtype=x.dtype, device=x.device) for side in (low, high)))
        best = torch.full((G + 1,), -torch.inf, device=x.device)
        for chunk in points.split(max(1, 8192 // (G + 1))):
            rows = torch.where(frozen[:, None], x, chunk[None])
            with torch.no_grad():
                ahead = lead(s.module(rows.reshape(-1, d)), label.expand(rows.shape[0] * rows.shape[1]))
            best = torch.maximum(best, ahead.reshape(G + 1, -1).amax(dim=1))
        out[i] = (best[0] - best[1:]).cpu().numpy()
    return out @ (cells.masks / np.maximum(cells.masks.sum(axis=0), 1))
