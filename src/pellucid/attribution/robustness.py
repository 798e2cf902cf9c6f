"""Robustness-S_r: how small a change of the most important pixels alone changes the decision (Hsieh et al. 2021)."""

from __future__ import annotations

import numpy as np

from ..graph import Network
from .asked import by_feature
from .metrics import ROWS
from .scores import Subject, pixel_maps, ranks, subject_of
from .torch_form import require_torch

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)


def robustness_sr(net: Network, X, maps, *, shares=SHARES, p: float = np.inf, clip=(0.0, 1.0), largest: float | None = None,
                  steps: int = 40, label=None, seed: int = 0, subject: Subject | None = None) -> np.ndarray:
    """(n,) mean over `shares` r of the least ||delta||_p found that changes the decision, delta on the share r of most important pixels.

    Small is good: the pixels that a map calls important are those by which the decision is easily changed. Found by an attack, so an
    estimate from above; where none is found, `largest` counts (default: the width of `clip`, for p = 2 times the root of the pixels).
    """
    s = subject or subject_of(net, X, label=label)
    _, clip = by_feature(net, 0.0, clip)
    place = ranks(pixel_maps(s, maps), np.random.default_rng(seed))[:, s.pixel]
    counts = [max(1, round(r * s.n_pixels)) for r in shares]
    free = np.stack([place < c for c in counts], axis=1).reshape(-1, place.shape[1])            # (n * r, d)
    rows = np.repeat(np.arange(len(s.X)), len(counts))
    return least_change(s, rows, free, p=p, clip=clip, largest=largest, steps=steps).reshape(len(s.X), len(counts)).mean(axis=1)


def least_change(s: Subject, rows: np.ndarray, free: np.ndarray, *, p: float = np.inf, clip=(0.0, 1.0), largest: float | None = None,
                 steps: int = 40) -> np.ndarray:
    """(m,) the least ||delta||_p found, delta on `free` entries (m, d) of rows `rows` (m,), that changes the decision; else `largest`."""
    if p not in (2, np.inf):
        raise ValueError(f"p={p}: 2 or inf is needed")
    most = largest if largest is not None else _width(s, clip) * (1.0 if p == np.inf else float(np.sqrt(s.n_pixels)))
    out = np.empty(len(rows))
    for a in range(0, len(rows), ROWS):
        part = rows[a:a + ROWS]
        out[a:a + ROWS] = _attack(s, s.X[part], s.label[part], free[a:a + ROWS], p, clip, most, steps)
    return out


def _width(s: Subject, clip) -> float:
    return float(s.X.max() - s.X.min()) if clip is None else float(np.max(np.asarray(clip[1]) - clip[0]))


def lead(y, label):
    """(m,) how far the best other class is ahead of `label`: max over c' of y_c' - y_c; positive where the decision has changed."""
    torch = require_torch("attacks")
    if y.shape[1] == 1:
        return torch.where(label == 1, -y[:, 0], y[:, 0])
    own = y.gather(1, label[:, None])[:, 0]
    return y.scatter(1, label[:, None], -torch.inf).amax(dim=1) - own


def _attack(s: Subject, x, label, free, p, clip, most, steps):
    """Steps along the gradient in a ball that shrinks where the decision has changed and grows where it has not.

    Source    the radius of Rony et al. 2019 (DDN), here for p = inf too; then bisection of the way back to x.
    """
    torch = require_torch("attacks")
    label, free = torch.as_tensor(label, device=x.device), torch.as_tensor(free, device=x.device)
    delta, radius = torch.zeros_like(x), torch.full((len(x), 1), 0.1 * most, dtype=x.dtype, device=x.device)
    best, found = torch.full((len(x),), torch.inf, dtype=x.dtype, device=x.device), torch.zeros_like(x)
    low, high = (torch.as_tensor(side, dtype=x.dtype, device=x.device) for side in (clip or (-torch.inf, torch.inf)))
    for k in range(steps):
        shrink = 0.25 * (1 - k / steps) + 0.02
        point = (x + delta).requires_grad_(True)
        (slope,) = torch.autograd.grad(lead(s.module(point), label).sum(), point)
        slope = torch.where(free, slope, 0.0)
        way = slope.sign() if p == np.inf else slope / slope.norm(dim=1, keepdim=True).clamp_min(1e-30)
        delta = _onto(delta + 2 * shrink * radius * way, radius, p)
        delta = torch.where(free, (x + delta).clamp(low, high) - x, 0.0)
        with torch.no_grad():
            changed = lead(s.module(x + delta), label) > 0
        size = _size(delta, p)
        better = changed & (size < best)
        best, found = torch.where(better, size, best), torch.where(better[:, None], delta, found)
        # never above the best that is known: the search goes on just inside it
        radius = torch.where(changed, torch.minimum(radius[:, 0], size) * (1 - shrink), radius[:, 0] * (1 + shrink)).clamp_max(most)
        radius = torch.minimum(radius, best)[:, None]
    return _back(s, x, label, found, best, p, most)


def _back(s, x, label, found, best, p, most):
    """The least share of what was found that still changes the decision, by bisection."""
    torch = require_torch("attacks")
    low, high = torch.zeros_like(best), torch.ones_like(best)
    for _ in range(8):
        middle = (low + high) / 2
        with torch.no_grad():
            changed = lead(s.module(x + middle[:, None] * found), label) > 0
        low, high = torch.where(changed, low, middle), torch.where(changed, middle, high)
    size = torch.where(torch.isfinite(best), high * _size(found, p), torch.full_like(best, most))
    return size.clamp_max(most).double().cpu().numpy()


def _size(delta, p):
    return delta.abs().amax(dim=1) if p == np.inf else delta.norm(dim=1)


def _onto(delta, radius, p):
    if p == np.inf:
        return delta.clamp(-radius, radius)
    return delta * (radius / delta.norm(dim=1, keepdim=True).clamp_min(1e-30)).clamp_max(1.0)
