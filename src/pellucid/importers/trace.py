"""From records to a graph: what the importers of live models (torch, Keras) share."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .. import ops  # noqa: F401  (registers how ops are spelled)
from ..errors import ModelError
from ..graph.graph import INPUT, Graph, GraphBuilder
from ..graph.op import ElementwisePL, Op, Shape, size
from ..graph.registry import Record, Value, spelling, unsupported
from ..ops.rearrange import Reshape
from ..ops.sigmoid import Sigmoid


class Normaliser(Op):
    """A softmax or log-softmax along `axis` of a sample: a link if it comes last, else no op of ours (see `finish`).

    No dataclass, unlike every op: it never stays in a graph, so there is nothing to store.
    """

    def __init__(self, link: str, axis: int, record: Record):
        self.link, self.axis, self.record = link, axis, record

    def shape(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def __call__(self, *xs):
        raise AssertionError("a normaliser is stripped before a graph is evaluated (a bug of ours)")


class Tracer:
    """Turns records into nodes, in the order in which they come.

    kinds: the framework's names of normalisations that can be links, with the link each one is.
    """

    def __init__(self, input_shape: Shape, kinds: Mapping[str, str]):
        self.builder = GraphBuilder(input_shape)
        self.input = Value(INPUT, self.builder.input_shape)
        self.kinds = kinds

    def add(self, record: Record) -> Value:
        """Append the record's op; its value. UnsupportedOp where nothing is spelled so, ModelError where shapes do not fit."""
        op = self._op(record)
        at = [v.name for v in record.values]
        chain = () if op is None else op if isinstance(op, tuple) else (op,)
        try:
            for k, part in enumerate(chain):
                name = record.node if k == len(chain) - 1 else f"{record.node}/{type(part).__name__.lower()}"
                at = [self.builder.add(part, *at, name=name)]
        except ValueError as e:
            raise ModelError(f"node '{record.node}' ({record.framework} '{record.kind}') does not fit its input: {e}") from e
        return Value(at[0], self.builder.shapes[at[0]])

    def _op(self, record: Record):
        if record.kind in self.kinds:
            return Normaliser(self.kinds[record.kind], record.axis(int(record.get("dim", record.get("axis", -1)))), record)
        speller = spelling(record.framework, record.kind) or spelling(record.framework, record.kind.rpartition(".")[0])
        if speller is None:
            raise unsupported(record)
        return speller(record)

    def finish(self, output: Value) -> tuple[Graph, str]:
        """(the graph up to the logits, the link). A final sigmoid or softmax, reshapes behind it, becomes the link."""
        nodes = {n.name: n for n in self.builder.nodes}
        at, behind = output.name, []
        while at in nodes and isinstance(nodes[at].op, Reshape):
            behind.append(nodes[at].op)
            at = nodes[at].inputs[0]
        link, last = "identity", nodes[at].op if at in nodes else None
        if isinstance(last, Sigmoid):
            link = "sigmoid"
        elif isinstance(last, Normaliser) and size(nodes[at].shape) == nodes[at].shape[last.axis]:
            link = last.link
        out = output.name
        if link != "identity":
            out = nodes[at].inputs[0]
            for op in reversed(behind):
                out = self.builder.add(op, out)
        graph = self.builder.graph(out)
        for node in graph.nodes:
            if isinstance(node.op, Normaliser):
                raise unsupported(node.op.record, "a softmax inside the network, or over one of several axes, is not piecewise linear",
                                  "only a softmax over all outputs at the very end can be taken; cut the model before it")
        return graph, link


def check_finite(graph: Graph, what: str) -> None:
    """ModelError where a constant of the graph is NaN or infinite."""
    import dataclasses

    for node in graph.nodes:
        for f in dataclasses.fields(node.op):
            value = getattr(node.op, f.name)
            if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
                continue
            bounds = isinstance(node.op, ElementwisePL)         # of a clip: they may be infinite
            if np.isnan(value).any() or (np.isinf(value).any() and not bounds):
                raise ModelError(f"{what}: node '{node.name}' has weights that are not finite (NaN or inf)\n"
                                 "  Likely cause   training diverged, or the weights were never set")
