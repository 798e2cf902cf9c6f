"""Compression: the same function with fewer nodes (SPEC 1). Each op's file says what it merges with; no op is named here.

    @fuses(Linear, Scale)         one op for `Scale after Linear`, or None where that would not pay
    @vanishes(Reshape)            True where the op does nothing
    @simplifies(Extremum)         another op and other inputs, from what stands before

The function is kept to rounding: 1e-12 of the size of the terms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from .graph import Graph, needed
from .op import Node, Op, Shape

Fuse = Callable[[Op, Op, Shape], "Op | None"]
Vanish = Callable[[Op, Shape], bool]
Simplify = Callable[[Node, "list[Node | None]"], "tuple[Op, tuple[str, ...]] | None"]

_FUSE: dict[tuple[type, type], Fuse] = {}
_VANISH: dict[type, Vanish] = {}
_SIMPLIFY: dict[type, Simplify] = {}


def fuses(first: type, second: type) -> Callable[[Fuse], Fuse]:
    """Register a rule (first op, second op, input shape of the first) -> the op that does both, or None."""

    def register(rule: Fuse) -> Fuse:
        assert (first, second) not in _FUSE, f"{first} then {second} has a rule already"
        _FUSE[first, second] = rule
        return rule

    return register


def vanishes(cls: type) -> Callable[[Vanish], Vanish]:
    """Register a rule (op, input shape) -> does the op do nothing?"""

    def register(rule: Vanish) -> Vanish:
        _VANISH[cls] = rule
        return rule

    return register


def simplifies(cls: type) -> Callable[[Simplify], Simplify]:
    """Register a rule (node, nodes before it; None for the input) -> (op, inputs) in its place, or None."""

    def register(rule: Simplify) -> Simplify:
        _SIMPLIFY[cls] = rule
        return rule

    return register


def compress(graph: Graph) -> Graph:
    """The graph after every rule, until none applies. Input shape and output shape stay."""
    while (smaller := _once(graph)) is not graph:
        graph = smaller
    return graph


def _once(graph: Graph) -> Graph:
    """One pass in topological order; the same graph where nothing applied."""
    uses = Counter(s for node in graph.nodes for s in node.inputs)
    uses[graph.output] += 1
    done: dict[str, Node] = {}
    alias: dict[str, str] = {}                                  # of nodes that vanished
    changed = False
    for old in graph.nodes:
        node = Node(old.name, old.op, tuple(alias.get(s, s) for s in old.inputs), old.shape)
        new = _apply(node, done, uses, graph)
        changed |= new is not node
        if isinstance(new, str):
            alias[node.name] = new
            uses[new] += uses[node.name] - 1
        else:
            done[node.name] = new
    if not changed:
        return graph
    output = alias.get(graph.output, graph.output)
    return Graph(graph.input_shape, needed(tuple(done.values()), output), output)


def _apply(node: Node, done: dict[str, Node], uses: Counter, graph: Graph) -> Node | str:
    """The node, a better one, or the name of the value that it merely repeats."""
    before = [done.get(s) for s in node.inputs]
    shape = before[0].shape if before and before[0] else graph.input_shape
    vanish = _VANISH.get(type(node.op))
    if vanish is not None and len(node.inputs) == 1 and vanish(node.op, shape):
        return node.inputs[0]
    simplify = _SIMPLIFY.get(type(node.op))
    if simplify is not None and (found := simplify(node, before)) is not None:
        op, inputs = found
        return Node(node.name, op, inputs, node.shape)
    first = before[0] if len(before) == 1 else None
    if first is None or len(first.inputs) != 1 or uses[first.name] > 1:
        return node
    rule = _FUSE.get((type(first.op), type(node.op)))
    source = done.get(first.inputs[0])
    fused = rule(first.op, node.op, source.shape if source else graph.input_shape) if rule else None
    return node if fused is None else Node(node.name, fused, first.inputs, node.shape)
