"""A graph compiled for bounds: one rule a node, weights as torch tensors of one dtype and device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, singledispatch
from typing import Any
from weakref import WeakKeyDictionary

import torch

from ..graph.graph import INPUT, Graph
from ..graph.op import AffineOp, ElementwisePL, Op, SelectionOp, Shape, SmoothOp, size
from .affine import Affine, affine
from .choice import Choice
from .piecewise import Elementwise
from .smooth import Smooth

Rule = Affine | Elementwise | Smooth | Choice


@dataclass(frozen=True, eq=False)
class Step:
    """A node with its rule."""

    name: str
    inputs: tuple[str, ...]
    shape: Shape
    rule: Rule

    @cached_property
    def is_affine(self) -> bool:
        return isinstance(self.rule, Affine)


@dataclass(frozen=True, eq=False)
class Program:
    """Steps in topological order. `place` finds one by name; `hidden` names the tensors that nonlinear steps take, in order."""

    steps: tuple[Step, ...]
    place: dict[str, int]
    shapes: dict[str, Shape]
    output: str
    dtype: torch.dtype
    device: Any
    exact: Program | None = None                                # the same in float64, of a program of float32

    @cached_property
    def hidden(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(s for step in self.steps if not step.is_affine for s in step.inputs))

    @cached_property
    def widest(self) -> int:
        """Entries of the largest tensor of one sample."""
        return max(map(size, self.shapes.values()))

    @cached_property
    def sums(self) -> int:
        """How often something is added, at most, to what rows on their way back come to: by each step, and wherever rows of two of a
        tensor's consumers meet. Each addition rounds all that was there before."""
        return len(self.steps) + sum(len(step.inputs) for step in self.steps)

    def step(self, name: str) -> Step:
        return self.steps[self.place[name]]


@singledispatch
def _rule(op: Op, shapes: list[Shape], out: Shape, dtype, device) -> Rule:
    raise AssertionError(f"bug: {type(op).__name__} is of no family")


@_rule.register
def _(op: AffineOp, shapes, out, dtype, device):
    return affine(op, shapes, out, dtype, device)


@_rule.register
def _(op: ElementwisePL, shapes, out, dtype, device):
    return Elementwise(op, out, dtype, device)


@_rule.register
def _(op: SmoothOp, shapes, out, dtype, device):
    return Smooth(op, dtype, device)


@_rule.register
def _(op: SelectionOp, shapes, out, dtype, device):
    return Choice(op, shapes, out, dtype, device)


_PROGRAMS: WeakKeyDictionary[Graph, dict[tuple[torch.dtype, str], Program]] = WeakKeyDictionary()


def program(graph: Graph, dtype: torch.dtype = torch.float64, device: Any = "cpu") -> Program:
    """The graph's program, made once for each dtype and device: constants of the network alone, nothing of any call."""
    made = _PROGRAMS.setdefault(graph, {})
    key = dtype, str(torch.device(device))
    if key not in made:
        shapes = {INPUT: graph.input_shape, **{n.name: n.shape for n in graph.nodes}}
        steps = tuple(Step(n.name, n.inputs, n.shape, _rule(n.op, [shapes[s] for s in n.inputs], n.shape, dtype, device))
                      for n in graph.nodes)
        exact = program(graph, torch.float64, device) if dtype == torch.float32 else None
        made[key] = Program(steps, {s.name: k for k, s in enumerate(steps)}, shapes, graph.output, dtype, device, exact)
    return made[key]
