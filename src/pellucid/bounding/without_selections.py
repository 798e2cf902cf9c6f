"""Selections taken apart, so that they can be split: max(a, b) = b + relu(a - b), group by group."""

from __future__ import annotations

import numpy as np

from ..graph import INPUT, Graph, GraphBuilder, SelectionOp
from ..graph.op import Pick, Shape, size
from ..ops.add import Add
from ..ops.rearrange import Concat, Reshape
from ..ops.relu import ReLU


def without_selections(graph: Graph) -> Graph:
    """The same function, in real arithmetic, with trees of ReLUs in place of its selections; itself where there are none."""
    if not any(isinstance(node.op, SelectionOp) for node in graph.nodes):
        return graph
    builder, name = GraphBuilder(graph.input_shape), {INPUT: INPUT}
    for node in graph.nodes:
        inputs = [name[s] for s in node.inputs]
        if isinstance(node.op, SelectionOp):
            name[node.name] = _tree(builder, node.op, inputs, node.shape)
        else:
            name[node.name] = builder.add(node.op, *inputs, name=node.name)
    return builder.graph(name[graph.output])


def _tree(builder: GraphBuilder, op: SelectionOp, inputs: list[str], out: Shape) -> str:
    """Halve the groups until one of each is left; short groups repeat their last member, which changes no maximum."""
    ptr, members = op.groups(*(builder.shapes[s] for s in inputs))
    sizes = np.diff(ptr)
    widest = int(sizes.max(initial=1))
    table = np.asarray(members)[ptr[:-1, None] + np.minimum(np.arange(widest)[None], sizes[:, None] - 1)]     # (outputs, widest)
    flat = [s if len(builder.shapes[s]) == 1 else builder.add(Reshape((size(builder.shapes[s]),)), s) for s in inputs]
    value = flat[0] if len(flat) == 1 else builder.add(Concat(0, (None,) * len(flat)), *flat)
    while True:
        half = np.size(table, 1) // 2
        if half == 0:
            picked = builder.add(Pick(table[:, 0].copy()), value)
            return builder.add(Reshape(out), picked)
        first, second, rest = table[:, :half], table[:, half : 2 * half], table[:, 2 * half :]
        a, b = builder.add(Pick(first.ravel()), value), builder.add(Pick(second.ravel()), value)
        gain = builder.add(ReLU(), builder.add(Add((1.0, -1.0) if op.sign > 0 else (-1.0, 1.0)), a, b))
        best = builder.add(Add((1.0, float(op.sign))), b, gain)
        count = first.size
        table = np.arange(count).reshape(first.shape)
        if rest.size:
            carried = builder.add(Pick(rest[:, 0].copy()), value)
            value = builder.add(Concat(0, (None, None)), best, carried)
            table = np.hstack([table, count + np.arange(len(rest))[:, None]])
        else:
            value = best
