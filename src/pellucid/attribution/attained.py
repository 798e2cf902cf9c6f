"""What perturbations attain: an inner estimate of AO(B) and of every AO(B_u), by gradient steps."""

from __future__ import annotations

import numpy as np

from .asked import Question
from .torch_form import require_torch, torch_module

ROWS = 1 << 24
"""Entries of the widest tensor of all points that are evaluated at once."""


def attained(question: Question, *, steps: int = 20, seed: int = 0, device=None) -> tuple[np.ndarray, np.ndarray]:
    """((n, s), (n, G, s)): values of C f at points of B and of each B_u: points of B that gradient ascent finds for each row of C, put
    back to x on u; and x itself. Evaluated in float64, so attained but for the rounding of one pass.
    """
    torch = require_torch("an attack")
    module = torch_module(question.net, dtype=torch.float64, device=device)
    fast = torch_module(question.net, dtype=torch.float32, device=device)
    n, s, G = len(question.sets), question.C.shape[1], len(question.groups)
    whole, frozen = np.empty((n, s)), np.empty((n, G, s))
    held = torch.as_tensor(question.groups.masks, device=module.device)
    each = max(1, ROWS // (fast.width * s * (G + 1)))
    for k in range(0, n, each):
        part = question[k:k + each]
        x, C = (torch.as_tensor(a, device=module.device) for a in (part.sets.X, part.C))
        points = ascend(part, fast, steps, seed + k)                                            # (m, s, d)
        m, d = x.shape
        with torch.no_grad():
            put = torch.where(held[:, None], x[:, None, None], points[:, None])                 # (m, G, s, d)
            everything = torch.cat([x[:, None], points, put.reshape(m, -1, d)], dim=1)
            y = module(everything.reshape(-1, d)).reshape(m, everything.shape[1], -1)
            value = torch.einsum("mkc,mpc->mpk", C, y)                                          # every point serves every row
            here = value[:, 0]
            whole[k:k + each] = value.amax(dim=1).cpu().numpy()
            of_group = value[:, 1 + s:].reshape(m, G, s, s).amax(dim=2)
            frozen[k:k + each] = of_group.maximum(here[:, None]).cpu().numpy()
    return whole, frozen


def ascend(question: Question, module, steps: int, seed: int):
    """(n, s, d) float64 points of B: signed gradient steps that shrink, from the point itself, for each row of C."""
    torch = require_torch("an attack")
    sets, dtype = question.sets, module.dtype
    n, s = question.C.shape[:2]
    d = sets.X.shape[1]

    def spread(a):
        return torch.tensor(a, dtype=dtype, device=module.device).repeat_interleave(s, dim=0)

    x, low, high, radius = (spread(a) for a in (sets.X, sets.lower, sets.upper, sets.radius))
    C = torch.as_tensor(question.C, dtype=dtype, device=module.device).reshape(n * s, 1, -1)
    here, best, best_value = x.clone(), x.clone(), torch.full((n * s,), -torch.inf, dtype=dtype, device=module.device)
    for k in range(steps + 1):
        here = here.detach().requires_grad_(True)
        value = (C @ module(here)[:, :, None])[:, 0, 0]
        with torch.no_grad():
            better = value > best_value
            best, best_value = torch.where(better[:, None], here, best), torch.where(better, value, best_value)
        if k == steps:
            break
        (slope,) = torch.autograd.grad(value.sum(), here)
        with torch.no_grad():
            length = 2.0 * (1 - k / steps) ** 2 + 0.01
            here = _onto(here + length * radius * _way(slope * radius, sets.p), x, low, high, radius, sets.p)
    with torch.no_grad():
        return _inside(best.double().reshape(n, s, d), question)


def _way(slope, p):
    if p == np.inf:
        return slope.sign()
    if p == 2:
        return slope / slope.norm(dim=1, keepdim=True).clamp_min(1e-30)
    top = slope.abs() >= slope.abs().amax(dim=1, keepdim=True) * 0.9                            # p = 1: the steepest features
    return slope.sign() * top / top.sum(dim=1, keepdim=True)


def _onto(here, x, low, high, radius, p):
    """Towards x until the norm fits; then into the box, which only shortens."""
    if p != np.inf:
        moved = (here - x) / radius.clamp_min(1e-30)
        here = x + (here - x) / moved.norm(p=p, dim=1, keepdim=True).clamp_min(1.0)
    return here.clamp(low, high)


def _inside(points, question: Question):
    """The points in float64, certainly inside: what was rounded to float32 is put back into the box and the ball."""
    torch = require_torch("an attack")
    sets = question.sets
    x, low, high, radius = (torch.as_tensor(a, device=points.device)[:, None] for a in (sets.X, sets.lower, sets.upper, sets.radius))
    low, high = torch.maximum(low, x - radius), torch.minimum(high, x + radius)
    points = points.clamp(low, high)
    if sets.p != np.inf:
        norm = ((points - x) / radius.clamp_min(1e-300)).norm(p=sets.p, dim=2, keepdim=True)
        points = x + (points - x) / norm.clamp_min(1.0) * (1 - 1e-12)
        points = torch.where(radius > 0, points, x).clamp(low, high)
    return points
