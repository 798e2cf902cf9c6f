"""A network cut in two behind a layer: f = g o h."""

from __future__ import annotations

from dataclasses import replace

from ..errors import DataError
from ..graph import Graph, Network
from ..graph.graph import INPUT
from ..graph.op import Node


def cut_network(net: Network, name: str) -> tuple[Graph, Network]:
    """(h, g): the graph up to the node, and the network behind it, which takes the node's values.

    DataError where there is no such node, or where another path leads past it (a skip connection): g would not be a function of h then.
    """
    graph = net.graph
    if name not in graph.by_name or name == graph.output:
        names = [n.name for n in graph.nodes if n.name != graph.output]
        raise DataError(f"cut='{name}': the network can be cut behind {', '.join(names)}")
    wanted, behind = {graph.output}, []
    for node in reversed(graph.nodes):
        if node.name in wanted and node.name != name:
            behind.append(node)
            wanted.update(node.inputs)
    if INPUT in wanted:
        way = next(n.name for n in behind if INPUT in n.inputs)
        raise DataError(f"cut='{name}': a path through '{way}' leads past it to the output. Cut where all paths meet: "
                        + ", ".join(n.name for n in graph.nodes if n.name != graph.output and _meets(graph, n.name)))
    nodes = tuple(Node(n.name, n.op, tuple(INPUT if s == name else s for s in n.inputs), n.shape) for n in reversed(behind))
    g = Graph(graph.shape_of(name), nodes, graph.output)
    return graph.until(name), replace(net, graph=g, feature_names=(), units=(), fidelity=None, table=None)


def _meets(graph: Graph, name: str) -> bool:
    wanted = {graph.output}
    for node in reversed(graph.nodes):
        if node.name in wanted and node.name != name:
            wanted.update(node.inputs)
    return INPUT not in wanted
