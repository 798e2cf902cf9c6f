"""Bounds for branch and bound: of boxes of inputs, in batches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ..graph import INPUT, Graph
from ..graph.op import size
from .backward import Trace, backward, lowest
from .hidden import crown, intervals
from .kinks import kink, lost_at
from .parts import Parts
from .piecewise import Bounds, Elementwise
from .program import Program, Step, program
from .rounding import plain_products
from .sets import InputSet, boxes, down, up
from .smooth import Smooth


@dataclass(frozen=True, eq=False)
class Below:
    """slope x + offset <= C f(x) over each box, and value its least there: (n, m, k), (n, m), (n, m). float64.

    empty: (n,) parts of which what was given leaves nothing: bounds of a hidden tensor that exclude each other.
    """


    value: np.ndarray
    slope: np.ndarray
    offset: np.ndarray
    empty: np.ndarray
    trace: Trace


@dataclass(frozen=True, eq=False)
class Choices:
    """For each of n parts the unit whose lines lose most at a kink, and how much all lines lose by each feature's being as wide as it is.

    tensor (of `names`, -1: none), unit, at: that unit, and where it is split; lost: (n,). halved: (n, k), the losses of all units, each
    shared out to features by how far they move it.
    """

    tensor: np.ndarray
    unit: np.ndarray
    at: np.ndarray
    lost: np.ndarray
    halved: np.ndarray

    def some(self, rows: np.ndarray) -> Choices:
        return Choices(*(getattr(self, f)[rows] for f in self.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class BoxBounds:
    """Lower bounds of rows of a graph's outputs over boxes: backward, hidden bounds backward too.

    Sound     rounding included; in float32 boxes are rounded outwards first.
    """

    graph: Graph
    program: Program

    @classmethod
    def of(cls, graph: Graph, dtype: Any = torch.float32, device: Any = "cpu") -> BoxBounds:
        return cls(graph, program(graph, dtype, device))

    @cached_property
    def double(self) -> BoxBounds:
        """The same in float64."""
        return BoxBounds.of(self.graph, torch.float64, self.program.device)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The hidden tensors."""
        return tuple(name for name in self.program.hidden if name != INPUT)

    def __call__(self, lower: np.ndarray, upper: np.ndarray, C: np.ndarray, given: dict[str, Bounds] | None = None) -> Below:
        """Of rows C (m, outputs), over boxes (n, k); given: bounds of hidden tensors that are known to hold there."""
        with torch.no_grad(), plain_products():
            trace = crown(self.program, self.sets(lower, upper), given=given)
            L, lost = self.rows(C[None])
            values, form = lowest(trace, self.program.output, L, keep=True)
            assert form is not None
            return self._below(values, form.L, form.d, trace, lost)

    def choices(self, found: Below, parts: np.ndarray, lower: np.ndarray, upper: np.ndarray, C: np.ndarray) -> Choices:
        """Where to split some of the parts, boxes (n', k), for one row each, C (n', outputs)."""
        run, n = self.program, len(parts)
        best = Choices(np.full(n, -1), np.zeros(n, dtype=np.int64), np.zeros(n), np.zeros(n), np.zeros(lower.shape))
        kinked = [s for s in run.steps if isinstance(s.rule, Elementwise | Smooth)]
        if not kinked:
            return best
        with plain_products():
            trace = found.trace.rows(torch.as_tensor(parts, device=run.device))
            lines = {s.name: replace(line, below=line.below.clone().requires_grad_(True), above=line.above.clone().requires_grad_(True))
                     for s in kinked for line in (trace.lines_of(s),)}
            with torch.enable_grad():
                value = backward(trace, run.output, self.rows(C[:, None])[0], lines=lines).least(trace.inputs, run.sums).sum()
                slopes = torch.autograd.grad(value, [t for line in lines.values() for t in (line.below, line.above)], allow_unused=True)
        with torch.no_grad(), plain_products():
            moved = self._moved(kinked, lower, upper)
            for step, line, below, above in zip(kinked, lines.values(), slopes[::2], slopes[1::2], strict=True):
                if below is None or above is None:
                    continue
                name, z = step.inputs[0], trace.bounds[step.inputs[0]]
                t = kink(step.rule, *z)
                lost = lost_at(t, step.rule, z, line, below, above).flatten(1)
                best.halved[:] += torch.einsum("nu,nuk->nk", lost, moved[name]).cpu().numpy()
                if name not in self.names or isinstance(step.rule, Smooth):
                    continue
                most, unit = (a.cpu().numpy() for a in lost.max(dim=1))
                better = most > best.lost
                best.tensor[better], best.unit[better], best.lost[better] = self.names.index(name), unit[better], most[better]
                best.at[better] = t.flatten(1).cpu().numpy()[np.arange(n), unit][better]
        return best

    def _moved(self, steps: list[Step], lower: np.ndarray, upper: np.ndarray) -> dict[str, torch.Tensor]:
        """(n, units, k) of the tensors that steps take: which share each feature has in how far a unit moves over a box."""
        n, k = lower.shape
        centre = lower + (upper - lower) / 2
        ends = [np.where(np.eye(k, dtype=bool), end[:, None], centre[:, None]).reshape(n * k, k) for end in (lower, upper)]
        found = [intervals(self.program, self.sets(x, x)).bounds for x in ends]
        out = {}
        for name in {s.inputs[0] for s in steps}:
            far = (found[0][name][0] - found[1][name][0]).abs().reshape(n, k, -1).transpose(1, 2).nan_to_num()
            out[name] = far / far.sum(2, keepdim=True).clamp(min=torch.finfo(far.dtype).tiny)
        return out

    def facts(self, found: Below, parts: np.ndarray, split: Parts) -> tuple[np.ndarray, np.ndarray]:
        """fact (n', f, k), level (n', f) with fact x + level <= 0 where the units that were split stand on their sides.

        side z >= L x + d, by the bounds that the part itself has: with every unit before z decided these are z itself.
        """
        run, (n, f) = self.program, split.tensor.shape
        fact, level = np.zeros((n, f, split.lower.shape[1])), np.zeros((n, f))
        for k in np.unique(split.tensor[split.tensor >= 0]):
            name = self.names[k]
            row, entry = np.nonzero(split.tensor == k)
            side, unit, at = split.side[row, entry], split.unit[row, entry], split.at[row, entry]
            L = torch.zeros(len(row), 1, size(run.shapes[name]), dtype=run.dtype, device=run.device)
            L[np.arange(len(row)), 0, unit] = torch.as_tensor(side, dtype=run.dtype, device=run.device)
            with torch.no_grad(), plain_products():
                trace = found.trace.rows(torch.as_tensor(parts[row], device=run.device), name)
                form = backward(trace, name, L.reshape(len(row), 1, *run.shapes[name]))
            slope, offset = (t.to(torch.float64).cpu().numpy()[:, 0] for t in (form.L.flatten(2).expand(len(row), -1, -1), form.d))
            offset = np.nextafter(offset - side * at, -np.inf)
            fine = np.isfinite(offset) & np.isfinite(slope).all(axis=1)                  # what is not says nothing
            fact[row[fine], entry[fine]], level[row[fine], entry[fine]] = slope[fine], offset[fine]
        return fact, level

    def sets(self, lower: np.ndarray, upper: np.ndarray) -> InputSet:
        run, shape = self.program, self.graph.input_shape
        low, high = (torch.as_tensor(b.reshape(len(b), *shape), device=run.device) for b in (lower, upper))
        return boxes(down(low, run.dtype), up(high, run.dtype))

    def rows(self, C: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
        """Rows (n or 1, m, outputs) as the program takes them, and what they lose by that."""
        run = self.program
        rows = torch.as_tensor(C, device=run.device).to(run.dtype)
        return rows.reshape(*C.shape[:2], *run.shapes[run.output]), np.abs(C - rows.to(torch.float64).cpu().numpy())

    def _below(self, values, L, d, trace: Trace, lost: np.ndarray) -> Below:
        v, s, o = (t.detach().to(torch.float64).cpu().numpy() for t in (values, L.flatten(2), d))
        if lost.any():
            reach = trace.reach(self.program.output).flatten(1).to(torch.float64).cpu().numpy()
            cost = np.einsum("nmc,nc->nm", np.broadcast_to(lost, (len(reach), *lost.shape[1:])), reach) * (1 + 1e-9)
            v, o = v - cost, o - cost
        empty = np.zeros(len(v), dtype=bool)
        for name in self.program.hidden:
            l, u = trace.bounds[name]
            empty |= (l > u).flatten(1).any(dim=1).cpu().numpy()
        return Below(np.where(v < np.inf, v, -np.inf), np.broadcast_to(s, (*v.shape, s.shape[2])), o, empty, trace)
