"""Branch and bound by splitting hidden units: for many inputs, where boxes would have to be halved too often."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .backward import Trace, backward
from .hidden import crown
from .kinks import kink, lost_at
from .lines import Lines
from .mixing import Mixture, climb
from .property import Case
from .rounding import plain_products
from .searching import Search
from .sets import InputSet, boxes, down, of_ball, up
from .splits import Beta, Nodes, Watched, root, together, trace_of
from .without_selections import without_selections

ENTRIES = 2**22
"""Coefficients of the widest tensor that a batch of nodes may have: 16 MB in float32, of which a dozen are alive with their gradients."""

MOST_BATCH = 256
MOST_WEIGHTS = 2**14
"""Weights of a mixture up to which children inherit those of their parent."""

ROOT_ITERATIONS, ITERATIONS = 60, 12
RATE = 0.2
"""Of Adam, on weights in [0, 1] and on multipliers."""

BEST_FIRST = 2**14
"""Open nodes up to which those with the worst bounds come first; beyond, the newest."""


def by_units(search: Search, dtype: Any = torch.float32, device: Any = "cpu", batch: int | None = None) -> None:
    """Search case by case; what comes out stands in `search`.

    Needs     a graph with elementwise steps that have more than one line; sound lines.
    Gives     a witness, or leaves that cover the set, on each of which a case is excluded, or what is left open.
    Sound     yes: both children of a node are the points with z <= t and z >= t. On each, bounds of that z are cut at t, and a
              multiplier of z - t may be added to what is bounded.
    Complete  no: a node whose units are all decided and whose bound is not positive is left open.
    Source    Wang et al. 2021 (beta-CROWN); Bunel et al. 2020 (BaBSR) for scores: what a unit's lines lose at its kink.
    Differs   any elementwise op is split, at the breakpoint that is nearest the middle of its bounds, smooth ones at the middle;
              selections are taken apart into ReLUs first.
    """
    try:
        with plain_products():
            watched = Watched.of(without_selections(search.space.graph), dtype, device)
            bases: dict[bytes, Trace] = {}
            for c in search.space.cases:
                if search.is_decided:
                    return
                _Tree(search, watched, c, batch, bases).run()
    except KeyboardInterrupt:
        search.budget.pressed = True
        search.undecided, search.open_bound = search.budget.reason, -np.inf


@dataclass(eq=False)
class _Tree:
    """The tree of one case."""

    search: Search
    watched: Watched
    case: Case
    batch: int | None
    bases: dict[bytes, Trace]

    def run(self) -> None:
        budget, run = self.search.budget, self.watched.program
        self.inputs = _inputs(self.search, self.case, run.dtype, run.device)
        rows = torch.as_tensor(self.case.C, device=run.device).to(run.dtype)
        self.lost = np.abs(self.case.C - rows.to(torch.float64).cpu().numpy())
        self.L = self.watched.rows(rows[None])
        key = self.case.lower.tobytes() + self.case.upper.tobytes()
        if key not in self.bases:
            with torch.no_grad():
                self.bases[key] = crown(run, self.inputs)
        self.base = self.bases[key]
        widest = max(run.widest, 1) * max(len(self.case.b), 1)
        most = max(1, min(self.batch or MOST_BATCH, ENTRIES // widest))
        open_ = root(len(self.case.b), run.dtype, run.device)
        stuck, first, closed = 0, True, 0.0
        while len(open_) and not self.search.is_decided:
            if budget.is_over:
                break
            now, open_ = _taken(open_, min(most, budget.nodes_left))
            budget.nodes += len(now)
            left, value, mixture, trace = self.look(now, ROOT_ITERATIONS if first else ITERATIONS)
            first = False
            closed += float((2.0 ** -(now.side != 0).sum(1).to(torch.float64)).sum()) - float(
                (2.0 ** -(now.side[left] != 0).sum(1).to(torch.float64)).sum())
            if not len(left) or self.search.is_decided:
                continue
            children, unsplit = self.split(now, left, value, mixture, trace)
            stuck += len(unsplit)
            self.search.open_bound = min(self.search.open_bound, float(unsplit.min(initial=np.inf)))
            if children is not None:
                open_ = together([open_, children]) if len(open_) else children
            budget.tell(len(open_), closed)
        self.search.n_left += len(open_)
        if stuck:
            self.search.undecided = f"{stuck} nodes have no unit left to split, and bounds do not decide them"
        if len(open_) and not self.search.is_decided:
            self.search.undecided = budget.reason
            self.search.open_bound = min(self.search.open_bound, float(open_.bound.min()))

    def look(self, now: Nodes, iterations: int):
        """(index of nodes that are not done, values (n, rows), mixture, trace)."""
        search, run = self.search, self.watched.program
        with torch.no_grad():
            trace, empty = trace_of(self.watched, self.inputs, self.base, now, backwards=False)
            mixture = Mixture(trace, len(self.case.b))
            weights = sum(w[0].numel() for w in mixture.tensors)
            if now.alpha.shape[1] == weights and weights:
                mixture.load(now.alpha)
        beta = Beta(self.watched, trace, now)
        if len(self.case.b) == 0:
            value = np.full((len(now), 0), -np.inf)
            L = None
        else:
            found, L, _ = climb(trace, run.output, self.L, mixture, iterations=iterations, rate=RATE, extra=beta)
            value = self._less(found, trace)
        strict = self.case.strict
        out = ((value > 0) | (strict & (value >= 0))).any(axis=1) | empty.cpu().numpy()
        if out.any():
            solid = value[out & ~empty.cpu().numpy()].max(axis=1, initial=-np.inf)
            search.proved = min(search.proved, float(solid.min(initial=np.inf)))
            search.leaves += int(out.sum())
        left = np.flatnonzero(~out)
        if len(left) and L is not None:
            best = value[left].argmax(axis=1)
            slope = L[torch.as_tensor(left), torch.as_tensor(best)].flatten(1).to(torch.float64).cpu().numpy()
            low, high = np.maximum(self.case.lower, search.space.sets.lower[0]), np.minimum(self.case.upper, search.space.sets.upper[0])
            sets = search.space.sets[np.zeros(len(left), dtype=int)]
            if search.space.ball is None:
                search.try_points(np.where(slope > 0, low, high))
            else:
                search.try_points(_lowest_points(sets, slope))
        self.beta = beta.weight.detach()
        return torch.as_tensor(left, device=run.device), value, mixture, trace

    def _less(self, found: Tensor, trace: Trace) -> np.ndarray:
        """found - b, rounded down, and less what the rows lost."""
        value = found.to(torch.float64).cpu().numpy()
        value = np.where(value < np.inf, value, -np.inf)       # NaN, and what overflowed
        if self.lost.any():
            reach = trace.reach(self.watched.program.output).flatten(1)[:, : self.lost.shape[1]].to(torch.float64).cpu().numpy()
            value = value - (reach @ self.lost.T) * (1 + 1e-9)
        b = self.case.b
        return np.where(b == 0.0, value, np.nextafter(value - b, -np.inf))

    def split(self, now: Nodes, left: Tensor, value: np.ndarray, mixture: Mixture, trace: Trace) -> tuple[Nodes | None, np.ndarray]:
        """The children of the nodes that are left, and the bounds of those that have no unit to split."""
        run = self.watched.program
        score, at = self._scores(now, value, mixture, trace)
        if not score.shape[1]:                                  # no unit to split at all
            return None, value.max(axis=1, initial=-np.inf)[left.cpu().numpy()]
        score, at = score[left], at[left]
        best, unit_ = score.max(dim=1)
        ok = best > 0
        keep = left[ok]
        unsplit = value.max(axis=1, initial=-np.inf)[left[~ok].cpu().numpy()]
        if not len(keep):
            return None, unsplit
        parents, unit_, cut = now[keep], unit_[ok], at[ok].gather(1, unit_[ok][:, None])[:, 0]
        bound = torch.as_tensor(value.max(axis=1, initial=-np.inf), dtype=run.dtype, device=run.device)[keep]
        flat = mixture.flat
        alpha = flat[keep] if flat.shape[1] <= MOST_WEIGHTS else flat[keep][:, :0]
        beta = self.beta[keep]
        children = []
        for side in (1.0, -1.0):
            more = [(parents.unit, (unit_ + self.watched.n_outputs)[:, None]), (parents.side, torch.full_like(cut, side)[:, None]),
                    (parents.value, cut[:, None])]
            joined = [torch.cat(pair, dim=1) for pair in more]
            children.append(Nodes(*joined, bound, alpha, torch.nn.functional.pad(beta, (0, 1))))
        return together(children), unsplit

    def _scores(self, now: Nodes, value: np.ndarray, mixture: Mixture, trace: Trace) -> tuple[Tensor, Tensor]:
        """For each unit what its lines lose where it would be split, 0 where it need not be; and that value."""
        run, n = self.watched.program, len(now)
        lines = {}
        for name, line in mixture.lines().items():
            lines[name] = replace(line, below=line.below.detach().clone().requires_grad_(True),
                                  above=line.above.detach().clone().requires_grad_(True))
        offsets = [t for line in lines.values() for t in (line.below, line.above)]
        total = self.watched.total - self.watched.n_outputs
        score = torch.zeros(n, total, dtype=run.dtype, device=run.device)
        at = torch.zeros_like(score)
        if not lines or not value.shape[1]:
            return score, at
        best = torch.as_tensor(value.argmax(axis=1), device=run.device)
        beta = Beta(self.watched, trace, now)
        beta.weight = self.beta
        with torch.enable_grad():
            form = backward(trace, run.output, beta.rows(self.L), lines=lines)
            chosen = form.least(trace.inputs, run.sums).gather(1, best[:, None]).sum()
            slopes = torch.autograd.grad(chosen, offsets, allow_unused=True)
        pick = torch.arange(n, device=run.device), best
        with torch.no_grad():
            for (name, line), below, above in zip(lines.items(), slopes[::2], slopes[1::2], strict=True):
                step = run.step(name)
                if below is None or above is None or step.inputs[0] not in self.watched.start:
                    continue
                l, u = trace.bounds[step.inputs[0]]
                t = kink(step.rule, l, u)
                own = Lines(*(part[pick] for part in (line.below_slope, line.below, line.above_slope, line.above)))
                loss = lost_at(t, step.rule, (l, u), own, below[pick], above[pick]).flatten(1)
                begin = self.watched.start[step.inputs[0]] - self.watched.n_outputs
                here = slice(begin, begin + loss.shape[1])
                better = loss > score[:, here]
                score[:, here] = torch.where(better, loss, score[:, here])
                at[:, here] = torch.where(better, t.flatten(1), at[:, here])
        return score, at


def _taken(open_: Nodes, n: int) -> tuple[Nodes, Nodes]:
    """The n nodes with the worst bounds (the newest, where there are many), and the rest."""
    if len(open_) <= n:
        return open_, open_[:0]
    order = open_.bound.argsort() if len(open_) <= BEST_FIRST else torch.arange(len(open_) - 1, -1, -1, device=open_.bound.device)
    return open_[order[:n]], open_[order[n:].sort().values]


def _inputs(search: Search, case: Case, dtype, device) -> InputSet:
    """The case's box, or the ball."""
    space = search.space
    shape = space.graph.input_shape
    low, high = (torch.as_tensor(b.reshape(1, *shape), device=device) for b in (case.lower, case.upper))
    box = boxes(down(low, dtype), up(high, dtype))
    if space.ball is None:
        return box
    ball = of_ball(space.ball, shape, dtype, device)
    return replace(ball, lower=ball.lower.maximum(box.lower), upper=ball.upper.minimum(box.upper))


def _lowest_points(sets, slope: np.ndarray) -> np.ndarray:
    """Where linear functions are least over balls."""
    g = slope * sets.scale
    if sets.p == 2:
        t = -g / np.maximum(np.sqrt((g * g).sum(axis=1, keepdims=True)), 1e-300)
    else:
        t = np.zeros_like(g)
        k = np.abs(g).argmax(axis=1)
        t[np.arange(len(g)), k] = -np.sign(g[np.arange(len(g)), k])
    x = sets.inside(sets.centre + sets.scale * t)
    return x[np.isfinite(x).all(axis=1)]
