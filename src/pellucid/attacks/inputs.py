"""Inputs that make linear functions of the outputs large: projected gradient ascent with restarts, in batches (torch).

What is attained is an inner estimate: the point is returned, and its value is that of the network there, in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import MissingExtra
from ..graph import Graph
from ..graph.arrays import kept_constants
from ..graph.op import size
from .sets import Sets

if TYPE_CHECKING:
    import torch

MOST_ENTRIES = 2**25
"""Entries of the widest layer for all rows of a batch: 128 MB in float32."""

AGGREGATES = ("each", "largest", "smallest")


@dataclass(frozen=True, eq=False)
class Attained:
    """x: (n, d) points of their sets, value: (n,) what they attain; with aggregate "each": (n, k, d) and (n, k). -inf: no point."""

    x: np.ndarray
    value: np.ndarray


@dataclass(frozen=True, eq=False)
class Goal:
    """C f(x) + Q x + d, in k rows. C: (k, c) or (n, k, c), Q: (k, in) or None, d: (k,) or None."""

    C: np.ndarray
    Q: np.ndarray | None = None
    d: np.ndarray | None = None


def ascend(graph: Graph, sets: Sets, goal: Goal | np.ndarray, *, aggregate: str = "largest", steps: int = 40, restarts: int = 4,
           seed: int = 0, dtype: str = "float32", device: str | None = None, enough: float = np.inf,
           stop: Callable[[], bool] | None = None) -> Attained:
    """For each set the largest value found of goal (rows C, or a Goal): of each row, or of the largest or smallest of the rows.

    Needs     a graph whose ops take torch tensors; sets that are not empty.
    Gives     points inside their sets, and their values through the graph in float64.
    Sound     the values are attained; they are no bounds of the largest.
    Source    Madry et al. 2018 (PGD); Croce & Hein 2020 for starting with large steps that shrink.
    Differs   steps are taken in coordinates in which each set is about [-1, 1]; the first restart begins at the centre, the second at
              the corner (the point of the ball) that the gradient at the centre points to, the others at random points.
    enough: a set with a value above this is not searched further. stop: called between steps; true ends the search.
    """
    try:
        import torch
    except ImportError as e:
        raise MissingExtra("torch", "torch", "a search by gradients") from e
    if aggregate not in AGGREGATES:
        raise ValueError(f"aggregate='{aggregate}': there are {', '.join(AGGREGATES)}")
    goal = goal if isinstance(goal, Goal) else Goal(np.asarray(goal, dtype=np.float64))
    n, d, k = len(sets), sets.lower.shape[1], goal.C.shape[-2]
    each = aggregate == "each"
    run = _Run(torch, graph, sets, goal, aggregate, np.random.default_rng(seed), getattr(torch, dtype), device)
    of_set, of_row = np.repeat(np.arange(n), k if each else 1), np.tile(np.arange(k) if each else [-1], n)
    best_x, best = np.full((len(of_set), d), np.nan), np.full(len(of_set), -np.inf)
    rows = max(1, MOST_ENTRIES // max(d, *(size(node.shape) for node in graph.nodes), 1))
    with kept_constants():
        for restart in range(restarts):
            left = np.flatnonzero(best <= enough)
            for begin in range(0, len(left), rows):
                if stop is not None and stop():
                    break
                part = left[begin : begin + rows]
                x, value = run.climb(of_set[part], of_row[part], restart, steps, enough, stop)
                better = value > best[part]
                best[part[better]], best_x[part[better]] = value[better], x[better]
    shape = (n, k) if each else (n,)
    return Attained(best_x.reshape(*shape, d), best.reshape(shape))


@dataclass(frozen=True, eq=False)
class _Run:
    """One search: what stays the same from restart to restart."""

    torch: object
    graph: Graph
    sets: Sets
    goal: Goal
    aggregate: str
    rng: np.random.Generator
    dtype: torch.dtype
    device: str | None

    def climb(self, of_set, of_row, restart: int, steps: int, enough: float, stop) -> tuple[np.ndarray, np.ndarray]:
        """Points and values of one restart, for jobs (set, row)."""
        torch, sets = self.torch, self.sets[of_set]
        scale = np.where(sets.scale > 0, sets.scale, 1.0)
        low, up = ((b - sets.centre) / scale for b in (sets.lower, sets.upper))
        low, up = np.where(sets.scale > 0, low, 0.0), np.where(sets.scale > 0, up, 0.0)
        low, up, centre, half = (self._tensor(a) for a in (low, up, sets.centre, sets.scale))
        t = torch.zeros_like(low) if restart < 2 else self._tensor(self._random(sets, restart))
        t = _project(torch, t, low, up, sets.p)
        best_t, best = t.clone(), torch.full((len(t),), -torch.inf, dtype=self.dtype, device=t.device)
        for step in range(steps + 1):
            if stop is not None and stop():
                break
            t = t.detach().requires_grad_(True)
            value = self._value(centre + half * t, of_set, of_row)
            with torch.no_grad():
                better = value > best
                best, best_t = torch.where(better, value, best), torch.where(better[:, None], t, best_t)
                if step == steps or bool((best > enough).all()):
                    break
            (slope,) = torch.autograd.grad(value.sum(), t)
            with torch.no_grad():
                length = 2.0 if step == 0 and restart == 1 else 0.5 * (1.0 - step / steps) ** 2 + 0.002
                t = _project(torch, t + length * _direction(torch, torch.nan_to_num(slope), sets.p), low, up, sets.p)
        t64 = best_t.detach().cpu().numpy().astype(np.float64)
        x = sets.inside(sets.centre + sets.scale * t64)
        return x, self._exact(x, of_set, of_row)

    def _random(self, sets: Sets, restart: int) -> np.ndarray:
        """Points of the unit ball, every other restart on its surface."""
        shape = sets.lower.shape
        t = self.rng.uniform(-1.0, 1.0, shape)
        if sets.p == np.inf:
            return np.sign(t) if restart % 2 else t
        t = self.rng.laplace(size=shape) if sets.p == 1 else self.rng.standard_normal(shape)
        norm = np.abs(t).sum(axis=1) if sets.p == 1 else np.sqrt((t * t).sum(axis=1))
        radius = 1.0 if restart % 2 else self.rng.random((len(t), 1))
        return radius * t / np.maximum(norm, 1e-300)[:, None]

    def _value(self, x, of_set, of_row):
        y = self.graph(x.reshape(len(x), *self.graph.input_shape)).reshape(len(x), -1)
        C = self.goal.C
        rows = self._tensor(C if C.ndim == 2 else C[of_set])
        v = y @ rows.T if C.ndim == 2 else (rows @ y[:, :, None])[:, :, 0]
        if self.goal.Q is not None:
            v = v + x @ self._tensor(self.goal.Q).T
        if self.goal.d is not None:
            v = v + self._tensor(self.goal.d)
        if self.aggregate == "each":
            return v[self.torch.arange(len(v)), self.torch.as_tensor(of_row)]
        return v.amax(dim=1) if self.aggregate == "largest" else v.amin(dim=1)

    def _exact(self, x: np.ndarray, of_set, of_row) -> np.ndarray:
        """(n,) float64 values of points; -inf where there is no point."""
        alive = np.isfinite(x).all(axis=1)
        value = np.full(len(x), -np.inf)
        if alive.any():
            again = _Run(self.torch, self.graph, self.sets, self.goal, self.aggregate, self.rng, self.torch.float64, self.device)
            with self.torch.no_grad():
                value[alive] = again._value(again._tensor(x[alive]), of_set[alive], of_row[alive]).cpu().numpy()
        return np.where(np.isnan(value), -np.inf, value)

    def _tensor(self, a: np.ndarray):
        return self.torch.as_tensor(np.ascontiguousarray(a), dtype=self.dtype, device=self.device)


def _direction(torch, g, p: float):
    """The step of length 1 in the norm p along which the slope g rises the most; for p = 1 spread over the steepest 1% of features."""
    if p == np.inf:
        return torch.sign(g)
    if p == 2:
        return g / g.norm(dim=1, keepdim=True).clamp_min(1e-30)
    k = max(1, g.shape[1] // 100)
    top = g.abs().topk(k, dim=1)
    step = torch.zeros_like(g).scatter(1, top.indices, torch.gather(torch.sign(g), 1, top.indices))
    return step / k


def _project(torch, t, low, up, p: float):
    """The nearest point of { low <= t <= up, ||t||_p <= 1 }, about: `Sets.inside` does the rest."""
    if p == np.inf:
        return torch.clamp(t, low, up) if low is not None else t

    def shrunk(m):
        return torch.clamp(t / (1.0 + m) if p == 2 else torch.sign(t) * (t.abs() - m).clamp_min(0.0), low, up)

    def norm(s):
        return s.norm(dim=1, keepdim=True) if p == 2 else s.abs().sum(dim=1, keepdim=True)

    few, many = torch.zeros_like(t[:, :1]), norm(t) if p == 2 else t.abs().amax(dim=1, keepdim=True)
    if not bool((norm(torch.clamp(t, low, up)) > 1.0).any()):
        return torch.clamp(t, low, up)
    for _ in range(24):                                         # shrunk(many) lies in the ball, shrunk(few) not
        m = (few + many) / 2
        outside = norm(shrunk(m)) > 1.0
        few, many = torch.where(outside, m, few), torch.where(outside, many, m)
    s = shrunk(many)
    fine = norm(torch.clamp(t, low, up)) <= 1.0
    return torch.where(fine, torch.clamp(t, low, up), s)
