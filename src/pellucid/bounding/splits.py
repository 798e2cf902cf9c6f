"""Nodes of a tree that splits hidden units: on which side of which value each split unit stands, and what bounds make of that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..graph import INPUT, Graph
from ..graph.op import size
from .backward import Trace
from .hidden import crown, intervals
from .mixing import has_choice
from .program import Program, program
from .rounding import gamma, unit
from .sets import InputSet
from .space import followed_by


@dataclass(frozen=True, eq=False)
class Watched:
    """A graph whose outputs are followed by its hidden tensors, so that rows can speak of those: bounds know no other way to.

    names: the tensors that can be split (what elementwise steps take), start: where each begins among the outputs; users: the step
    that takes each of them.
    """

    program: Program
    n_outputs: int
    names: tuple[str, ...]
    start: dict[str, int]
    total: int

    @classmethod
    def of(cls, graph: Graph, dtype: Any, device: Any) -> Watched:
        plain = program(graph, dtype, device)
        names = tuple(dict.fromkeys(s.inputs[0] for s in plain.steps if has_choice(s)))
        n = size(plain.shapes[plain.output])
        start, at = {}, n
        for name in names:
            start[name], at = at, at + size(plain.shapes[name])
        watching = program(followed_by(graph, list(names)), dtype, device) if names else plain
        return cls(watching, n, names, start, at)

    def rows(self, C: Tensor) -> Tensor:
        """Rows of outputs (.., c) as rows of everything, (.., total)."""
        return torch.nn.functional.pad(C, (0, self.total - self.n_outputs)).reshape(*C.shape[:-1], *self.shape)

    @property
    def shape(self):
        return self.program.shapes[self.program.output]


@dataclass(frozen=True, eq=False)
class Nodes:
    """n nodes: entry k of a node says side (z_unit - value) <= 0, with unit a place among the outputs of Watched; side 0: no entry.

    unit, side, value: (n, depth). bound: (n,) what is known of each, -inf before it is looked at. alpha: (n, weights) the mixture's
    weights of the node that it comes from, (n, 0) where they are not kept. beta: (n, rows, depth).
    """

    unit: Tensor
    side: Tensor
    value: Tensor
    bound: Tensor
    alpha: Tensor
    beta: Tensor

    def __len__(self) -> int:
        return len(self.bound)

    def __getitem__(self, index) -> Nodes:
        return Nodes(*(getattr(self, f)[index] for f in self.__dataclass_fields__))

    @property
    def depth(self) -> int:
        return self.unit.shape[1]


def root(n_rows: int, dtype, device) -> Nodes:
    none = torch.zeros(1, 0, dtype=dtype, device=device)
    return Nodes(none.long(), none, none, torch.full((1,), -torch.inf, dtype=dtype, device=device), none,
                 torch.zeros(1, n_rows, 0, dtype=dtype, device=device))


def together(parts: list[Nodes]) -> Nodes:
    """One behind the other, at one depth; entries of side 0 fill what is missing."""
    depth = max(p.depth for p in parts)
    weights = min(p.alpha.shape[1] for p in parts)

    def deep(t: Tensor) -> Tensor:
        return torch.nn.functional.pad(t, (0, depth - t.shape[-1]))

    return Nodes(*(torch.cat([deep(getattr(p, f)) for p in parts]) for f in ("unit", "side", "value")),
                 torch.cat([p.bound for p in parts]), torch.cat([p.alpha[:, :weights] if weights else p.alpha[:, :0] for p in parts]),
                 torch.cat([deep(p.beta) for p in parts]))


def trace_of(watched: Watched, inputs: InputSet, base: Trace, nodes: Nodes, *, backwards: bool) -> tuple[Trace, Tensor]:
    """What is known of every tensor on each node, and which nodes are empty (n,): their entries contradict the bounds.

    Needs     inputs, one set; base: its trace.
    Sound     the bounds of base hold on every part of the set; an entry holds on its node by definition.
    """
    n, run = len(nodes), watched.program
    sets = inputs[torch.zeros(n, dtype=torch.long, device=run.device)]
    given, empty = {}, torch.zeros(n, dtype=torch.bool, device=run.device)
    for name in watched.names:
        shape, count = run.shapes[name], size(run.shapes[name])
        l, u = (b.flatten(1).expand(n, -1).clone() for b in base.bounds[name])
        here = (nodes.side != 0) & (nodes.unit >= watched.start[name]) & (nodes.unit < watched.start[name] + count)
        at = torch.where(here, nodes.unit - watched.start[name], 0)
        upper = torch.where(here & (nodes.side > 0), nodes.value, torch.inf)
        lower = torch.where(here & (nodes.side < 0), nodes.value, -torch.inf)
        u.scatter_reduce_(1, at, upper, "amin")
        l.scatter_reduce_(1, at, lower, "amax")
        empty |= (l > u).any(dim=1)
        given[name] = l.reshape(n, *shape), u.reshape(n, *shape)
    for name in set(run.hidden) - set(watched.names):
        given[name] = tuple(b.expand(n, *b.shape[1:]) for b in base.bounds[name])
    if INPUT in given:
        sets = replace(sets, lower=given[INPUT][0], upper=given[INPUT][1])
    trace = crown(run, sets, given=given) if backwards else intervals(run, sets, given=given)
    for name in watched.names:
        l, u = trace.bounds[name]
        empty |= (l > u).flatten(1).any(dim=1)
        trace.bounds[name] = l, l.maximum(u)                    # lines of an empty node: any will do, it is left out
    return trace, empty


class Beta:
    """Multipliers of the entries: on a node g >= g + beta side (z - value), for any beta >= 0.

    Source    Wang et al. 2021 (beta-CROWN), the Lagrangian of the split.
    """

    def __init__(self, watched: Watched, trace: Trace, nodes: Nodes):
        self.nodes, self.watched = nodes, watched
        self.weight = nodes.beta.clone()
        reach = [trace.reach(name).flatten(1) for name in watched.names]
        at = (nodes.unit - watched.n_outputs).clamp(min=0)
        self.reach = torch.cat(reach, dim=1).gather(1, at) if reach else nodes.value
        self.u = unit(watched.program.dtype)
        self.gamma = gamma(nodes.depth + 8, watched.program.dtype)

    @property
    def tensors(self) -> list[Tensor]:
        return [self.weight] if self.nodes.depth else []

    def rows(self, L: Tensor) -> Tensor:
        """L with the multipliers' terms."""
        n, s = len(self.nodes), self.weight.shape[1]
        flat = L.flatten(2).expand(n, s, -1)
        if not self.nodes.depth:
            return flat.reshape(n, s, *L.shape[2:])
        index = self.nodes.unit.unsqueeze(1).expand(n, s, -1)
        return flat.scatter_add(2, index, self.weight * self.nodes.side.unsqueeze(1)).reshape(n, s, *L.shape[2:])

    def constant(self) -> Tensor:
        """(n, s): what stands without z, rounded down; several entries of one unit are added up in `rows`, which rounds too."""
        terms = self.weight * (self.nodes.side * self.nodes.value).unsqueeze(1)
        size_ = self.weight * self.nodes.value.abs().unsqueeze(1)
        added = (self.weight * self.reach.unsqueeze(1)).sum(2) * self._repeats
        return -terms.sum(2) - 2 * self.gamma * (size_.sum(2) + added)

    @property
    def _repeats(self) -> Tensor:
        """(n, 1) one where a node has two entries for one unit."""
        if not hasattr(self, "_twice"):
            units = torch.where(self.nodes.side != 0, self.nodes.unit, -1 - torch.arange(self.nodes.depth, device=self.nodes.unit.device))
            ordered = units.sort(dim=1).values
            self._twice = (ordered[:, 1:] == ordered[:, :-1]).any(dim=1, keepdim=True).to(self.weight.dtype)
        return self._twice

    def clamp(self) -> None:
        with torch.no_grad():
            self.weight.clamp_(min=0.0)
            self.weight.mul_((self.nodes.side != 0).unsqueeze(1))
