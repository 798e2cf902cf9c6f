"""The graph: a network's ops as they were imported, in topological order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .op import AffineOp, ElementwisePL, Node, Op, SelectionOp, Shape, SmoothOp, whole

INPUT = "input"
"""The name by which nodes speak of the network's input."""


@dataclass(frozen=True, eq=False)
class Graph:
    """A feed-forward network: `nodes` in topological order, the node `output` is its value.

    input_shape: of one sample, without the batch axis, in the framework's axis order.
    output: a node's name, or INPUT for the identity.
    """

    input_shape: Shape
    nodes: tuple[Node, ...]
    output: str

    def __post_init__(self):
        object.__setattr__(self, "input_shape", whole(self.input_shape))

    @cached_property
    def by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    def shape_of(self, name: str) -> Shape:
        return self.input_shape if name == INPUT else self.by_name[name].shape

    def until(self, name: str) -> Graph:
        """The graph cut behind the node `name`: what it computes up to there."""
        if name not in self.by_name:
            raise KeyError(f"no node is called '{name}'; there are: {', '.join(self.by_name)}")
        return Graph(self.input_shape, needed(self.nodes, name), name)

    def __call__(self, x, *, keep: Iterable[str] = ()):
        """Value of the output for x: (n, *input_shape), numpy or torch. With `keep`: (value, {name: value})."""
        wanted = set(keep)
        last_use = {source: i for i, node in enumerate(self.nodes) for source in node.inputs}
        values, kept = {INPUT: x}, {}
        if INPUT in wanted:
            kept[INPUT] = x
        for i, node in enumerate(self.nodes):
            values[node.name] = node.op(*(values[s] for s in node.inputs))
            if node.name in wanted:
                kept[node.name] = values[node.name]
            for s in node.inputs:
                if last_use[s] == i and s != self.output:
                    values.pop(s, None)
        return (values[self.output], kept) if wanted else values[self.output]


class GraphBuilder:
    """Collects nodes; checks shapes as it goes; gives a Graph."""

    def __init__(self, input_shape: Shape):
        self.input_shape = whole(input_shape)
        self.nodes: list[Node] = []
        self.shapes: dict[str, Shape] = {INPUT: self.input_shape}

    def add(self, op: Op, *inputs: str, name: str | None = None) -> str:
        """Append op(inputs); its name (made unique)."""
        base = name or type(op).__name__.lower()
        unique, k = base, 1
        while unique in self.shapes:
            k += 1
            unique = f"{base}_{k}"
        shape = whole(op.shape(*(self.shapes[s] for s in inputs)))
        self.nodes.append(Node(unique, op, tuple(inputs), shape))
        self.shapes[unique] = shape
        return unique

    def graph(self, output: str) -> Graph:
        return Graph(self.input_shape, needed(tuple(self.nodes), output), output)


def needed(nodes: tuple[Node, ...], output: str) -> tuple[Node, ...]:
    """The nodes that the output depends on, in order."""
    wanted = {output}
    kept = []
    for node in reversed(nodes):
        if node.name in wanted:
            kept.append(node)
            wanted.update(node.inputs)
    return tuple(reversed(kept))


def is_piecewise_linear(graph: Graph) -> bool:
    """No smooth op anywhere."""
    return all(isinstance(node.op, AffineOp | ElementwisePL | SelectionOp) for node in graph.nodes)


def smooth_nodes(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes if isinstance(node.op, SmoothOp)]


def as_batch(x, input_shape: Shape) -> np.ndarray:
    """Rows (n, d) or (n, *input_shape), or one row, as float64 (n, *input_shape)."""
    x = np.asarray(x, dtype=np.float64)
    d = int(np.prod(input_shape))
    if x.shape == input_shape or (x.ndim == 1 and x.shape == (d,)):
        return x.reshape(1, *input_shape)
    if x.ndim >= 2 and int(np.prod(x.shape[1:])) == d and x.shape[1:] in ((d,), tuple(input_shape)):
        return x.reshape(len(x), *input_shape)
    raise ValueError(f"x has shape {x.shape}; the network takes rows of {d} numbers, (n, {d})"
                     + (f" or (n, {', '.join(map(str, input_shape))})" if len(input_shape) > 1 else ""))
