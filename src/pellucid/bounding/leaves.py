"""Bounds for branch and bound: of boxes of inputs, in batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..graph import Graph
from .backward import Trace, lowest
from .hidden import crown
from .mixing import Mixture, climb
from .piecewise import Bounds
from .program import Program, program
from .rounding import plain_products
from .sets import InputSet, boxes, down, up


@dataclass(frozen=True, eq=False)
class Below:
    """slope x + offset <= C f(x) over each box, and value its least there: (n, m, k), (n, m), (n, m). float64."""

    value: np.ndarray
    slope: np.ndarray
    offset: np.ndarray
    trace: Trace


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

    def __call__(self, lower: np.ndarray, upper: np.ndarray, C: np.ndarray, given: dict[str, Bounds] | None = None) -> Below:
        """Of rows C (m, outputs), over boxes (n, k); given: bounds of hidden tensors that are known to hold there."""
        with torch.no_grad(), plain_products():
            trace = crown(self.program, self.sets(lower, upper), given=given)
            L, lost = self.rows(C[None])
            values, form = lowest(trace, self.program.output, L, keep=True)
            assert form is not None
            return self._below(values, form.L, form.d, trace, lost)

    def sharper(self, found: Below, boxes_: np.ndarray, C: np.ndarray, iterations: int) -> Below:
        """Of one row for each of some of the boxes, C (n', outputs), with lines chosen for it."""
        with plain_products():
            trace = found.trace.rows(torch.as_tensor(boxes_, device=self.program.device))
            with torch.no_grad():
                mixture = Mixture(trace, 1)
            rows, lost = self.rows(C[:, None])
            values, L, d = climb(trace, self.program.output, rows, mixture, iterations=iterations)
            return self._below(values, L, d, trace, lost)

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
        return Below(np.where(np.isnan(v), -np.inf, v), np.broadcast_to(s, (*v.shape, s.shape[2])), o, trace)
