"""ONNX models as networks. Every op's own file says how ONNX spells it; here is the walk over the nodes.

While walking, a tensor is one of
    np.ndarray   a constant: stored, or folded (shapes and masks that exporters compute are)
    Value        a node of our graph
    Linked       a Value behind softmax or sigmoid, which become the network's link if nothing but the output needs them
    Failed       something that no op here is; raised only if the output depends on it
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError, UnsupportedOp
from ..graph.graph import INPUT, GraphBuilder
from ..graph.network import Network
from ..graph.op import LARGEST_TENSOR, Op, Shape, size
from ..graph.registry import Record, Value, spelling, unsupported
from .fidelity import Original

SENTINEL = 7
"""Batch size while tracing a model with a free one: odd and unlike 1, so that a baked-in batch shows."""


@dataclass(frozen=True)
class Linked:
    """link(inner), not applied yet. tensor: the ONNX tensor that holds it, made by `node`. pair: that holds (1 - p, p), p the sigmoid."""

    link: str
    inner: Value
    tensor: str
    node: str
    pair: bool = False
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failed:
    """Why a tensor cannot be had."""

    error: ModelError


def import_onnx(source, *, input_shape: Shape | None = None) -> tuple[Network, Original | None, str]:
    """Network, original and runtime's name of an .onnx path or a ModelProto.

    ModelError for a broken or hostile model, UnsupportedOp for an operation that is neither affine, piecewise linear nor
    one of the known smooth activations.
    """
    from .onnx_file import checked, opset_of, read_model

    name = str(source) if isinstance(source, str | Path) else "the ModelProto"
    model = read_model(Path(source)) if isinstance(source, str | Path) else checked(source, None, name)
    opset, whole = opset_of(model), _input(model, name, input_shape)
    furthest: _Walk | None = None
    for batch, sample in _readings(whole, input_shape):
        walk = _Walk(model, f"{name}, opset {opset}", opset, batch, sample, whole)
        try:
            net, original, runtime = walk.result()
            if whole[0] is None and batch != SENTINEL and original is not None and _mixes_rows(model, walk, original):
                continue
            return net, original, runtime
        except ModelError as e:
            walk.error = e
            if furthest is None or walk.steps > furthest.steps:
                furthest = walk
    assert furthest is not None, "a model has at least one reading"
    raise furthest.error or ModelError(f"{name} cannot be read")


# ---- the input and its batch axis
def _input(model, name: str, given: Shape | None) -> tuple[int | None, ...]:
    """Whole shape of the one input, None for a free axis. ModelError for several inputs, or sizes that nobody says."""
    stored = {t.name for t in model.graph.initializer} | {t.values.name for t in model.graph.sparse_initializer}
    inputs = [i for i in model.graph.input if i.name not in stored]
    if len(inputs) != 1:
        raise ModelError(
            f"{name} has {len(inputs)} inputs ({', '.join(i.name for i in inputs[:8])}); a network has one.\n"
            "  To go on       join them into one tensor before exporting (skl2onnx: initial_types=[('X', FloatTensorType([None, d]))])")
    kind = inputs[0].type.tensor_type
    if kind.elem_type not in (1, 10, 11, 16):                   # FLOAT, FLOAT16, DOUBLE, BFLOAT16
        raise ModelError(f"{name}: its input '{inputs[0].name}' does not hold real numbers (ONNX element type {kind.elem_type}).\n"
                         "  To go on       export with a float32 input")
    if not kind.HasField("shape"):
        if given is None:
            raise ModelError(f"{name} does not say the shape of its input; tell it: load(..., input_shape=(...)) of one sample")
        return (None, *given)
    dims = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in kind.shape.dim]
    if given is not None:
        dims = _filled(dims, given, name)
    if None in dims[1:] or not dims or (len(dims) == 1 and dims[0] is None):
        raise ModelError(f"{name}: its input has the shape ({', '.join('?' if d is None else str(d) for d in dims)}), "
                         "in which one sample's is not known.\n  To go on       load(..., input_shape=(...)) of one sample")
    if math.prod(d or 1 for d in dims) > LARGEST_TENSOR:
        raise ModelError(f"{name}: its input has the shape {tuple(dims)}, more than {LARGEST_TENSOR} entries")
    return tuple(dims)


def _filled(dims: list[int | None], given: Shape, name: str) -> list[int | None]:
    """The model's shape with the sample's sizes that the caller gave."""
    lead = len(dims) - len(given)
    rest = dims[lead:] if lead in (0, 1) else []
    if lead not in (0, 1) or any(d is not None and d != g for d, g in zip(rest, given, strict=True)):
        shown = ", ".join("?" if d is None else str(d) for d in dims)
        raise ModelError(f"input_shape={given} does not fit {name}, whose input is ({shown}), batch axis included")
    return [*dims[:lead], *given]


def _readings(whole: tuple[int | None, ...], given: Shape | None):
    """Ways to read the input's axes, (batch, sample shape), the likeliest first; batch 0: the model has no batch axis."""
    first, rest = whole[0], tuple(n for n in whole[1:] if n is not None)
    if given is not None and first is not None and given == whole:
        return [(0, given)]
    if first is None:
        return [(SENTINEL, rest), (1, rest), (0, (1, *rest))]   # the last two: the exporter baked a batch of one in
    if not rest:
        return [(0, (first,))]
    if given is not None:
        return [(first, rest), (0, (1, *rest))] if first == 1 else [(first, rest)]
    return [(first, rest), (0, (first, *rest))]


def _mixes_rows(model, walk: _Walk, original: Original) -> bool:
    """Does a model, read as one of a single row, take two rows and answer otherwise than row by row?

    Then its rows depend on each other (a sum over the batch), and it is no function of one. Where it refuses two rows, its
    exporter baked a batch of one in.
    """
    from .onnx_run import original as run

    x = np.random.default_rng(0).standard_normal((2, *walk.builder.input_shape))
    both, _ = run(model, walk.tensor, tuple(-1 if n is None else n for n in walk.whole), 0, lambda y, rows: np.asarray(y, np.float64))
    if both is None:
        return False
    y, each = both(x), original(x)
    return y.size < each.size or not np.allclose(y.reshape(2, -1)[:, -each.shape[1]:], each, rtol=1e-3, atol=1e-5)


# ---- the walk
class _Walk:
    """One reading of a model: `batch` rows of `sample`."""

    def __init__(self, model, origin: str, opset: int, batch: int, sample: Shape, whole: tuple[int | None, ...]):
        self.model, self.origin, self.opset, self.batch, self.sample, self.whole = model, origin, opset, batch, sample, whole
        self.steps, self.error, self.tensor = 0, None, ""
        # a batch of one that is kept as part of the sample is not part of what the user gives
        hidden = not batch and len(sample) > 1 and sample[0] == 1
        self.builder = GraphBuilder(sample[1:] if hidden else sample)
        self.values: dict[str, Any] = {}
        self.input = Value(INPUT, self.builder.input_shape)
        if hidden:
            from ..ops.rearrange import Reshape

            self.input = self._apply(Reshape(sample), (self.input,), "input_whole")

    def result(self) -> tuple[Network, Original | None, str]:
        from .. import ops  # noqa: F401  (registers the spellings)
        from .onnx_patterns import Expressions

        self._constants()
        nodes = _sorted(self.model.graph, set(self.values))
        self.expressions = Expressions({o: n for n in nodes for o in n.output}, self.values)
        for node in nodes:
            outputs = self._outputs(node)
            self.steps += not any(isinstance(v, Failed) for v in outputs)
            self.values.update((name, v) for name, v in zip(node.output, outputs, strict=False) if name)
        return self._network()

    def _constants(self) -> None:
        from .onnx_file import to_array

        if self.model.graph.sparse_initializer:
            raise ModelError(f"{self.origin}: sparse initialisers are not read; export dense weights")
        self.values[""] = None
        for tensor in self.model.graph.initializer:
            self.values[tensor.name] = to_array(tensor)
        for i in self.model.graph.input:
            self.values.setdefault(i.name, self.input)

    # ---- one node
    def _outputs(self, node) -> list:
        """A value for each output of the node."""
        args = [self.values.get(name, Failed(ModelError(f"tensor '{name}' is made nowhere"))) for name in node.input]
        n = max(len(node.output), 1)
        try:
            found = self._recognised(node)
            if found is not None:
                return [found]
            failed = next((a for a in args if isinstance(a, Failed)), None)
            if failed is not None:
                return [failed] * n
            attrs = _attributes(node)
            if not any(isinstance(a, Value | Linked) for a in args):
                return self._constant(node, args, attrs)
            if node.op_type in ("Shape", "Size") and isinstance(args[0], Value | Linked):
                return [self._shape(args[0], node.op_type, attrs)]
            if node.op_type == "LinearClassifier":
                return self._linear_classifier(node, args, attrs)
            linked = self._linked(node, args, attrs)
            return [linked] + [Failed(self._no(node, args, attrs))] * (n - 1) if linked is not None else self._spelled(node, args, attrs)
        except ModelError as e:
            return [Failed(e)] * n
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, MemoryError) as e:
            return [Failed(ModelError(f"node '{_name(node)}', an onnx '{node.op_type}', cannot be read: {e}\n"
                                      f"  It came from   {self.origin}"))] * n

    def _recognised(self, node) -> Value | None:
        """The value of a node that ends a decomposed activation."""
        from ..ops.scale import Scale
        from .onnx_patterns import recognise

        found = recognise(node, self.expressions)
        if found is None:
            return None
        x = Value(found.base, self.builder.shapes[found.base])
        record = Record("onnx", found.kind, _name(node), (x,), found.attrs, self.batch, self.origin)
        ops = _sequence(spelling("onnx", found.kind)(record))
        before, after = (() if s == 1.0 else (Scale(np.array(s), np.array(0.0)),) for s in (found.before, found.after))
        return self._apply_all((*before, *ops, *after), (x,), _name(node))

    def _constant(self, node, args, attrs) -> list[np.ndarray]:
        from .onnx_fold import fold

        if node.op_type == "Constant":
            (value,) = attrs.values()
            return [np.asarray(value)]
        return fold(node, args, attrs, self.opset)

    def _shape(self, arg, kind: str, attrs) -> np.ndarray:
        inner = arg.inner if isinstance(arg, Linked) else arg
        whole = (self.batch, *inner.shape) if self.batch else inner.shape
        if kind == "Size":
            return np.array(math.prod(whole), dtype=np.int64)
        return np.array(whole[attrs.get("start", 0) : attrs.get("end", len(whole))], dtype=np.int64)

    def _spelled(self, node, args, attrs) -> list:
        """The values by the op's own spelling; one a used output."""
        args = tuple(self._linkless(a) for a in args)
        kind = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
        spell, out = spelling("onnx", kind), []
        for k in range(len(node.output)):
            more = {"output": k, "outputs": len(node.output)} if node.op_type == "Split" else {}
            record = Record("onnx", kind, _name(node), args, {**attrs, **more}, self.batch, self.origin)
            if spell is None or (k and not more):
                out.append(Failed(self._no(node, args, attrs)))
            else:
                out.append(self._apply_all(_sequence(spell(record)), record.values, _name(node)))
        return out

    def _linkless(self, arg):
        """A Linked that is used inside the network: sigmoid is an op, softmax is none."""
        if not isinstance(arg, Linked):
            return arg
        if arg.link != "sigmoid" or arg.pair:
            record = Record("onnx", "Softmax", arg.node, (arg.inner,), batch=self.batch, origin=self.origin)
            raise unsupported(record, "it is not the last operation, and a softmax inside a network is neither affine nor piecewise "
                              "linear", "cut the model behind it, or take the logits as its output")
        from ..ops.sigmoid import Sigmoid

        return self._apply(Sigmoid(), (arg.inner,), "sigmoid")

    def _no(self, node, args, attrs) -> UnsupportedOp:
        shown = tuple(a.inner if isinstance(a, Linked) else a for a in args)
        record = Record("onnx", node.op_type, _name(node), shown, attrs, self.batch, self.origin)
        if node.op_type == "Erf":
            return unsupported(record, "a part of a GELU that matches no known pattern", "export with opset 20, where Gelu is one node")
        return unsupported(record)

    def _apply_all(self, ops: Sequence[Op], values: tuple[Value, ...], name: str) -> Value:
        """The ops one after the other; the last one has the node's name."""
        for k, op in enumerate(ops):
            values = (self._apply(op, values, name if k == len(ops) - 1 else f"{name}/{type(op).__name__.lower()}"),)
        return values[0]

    def _apply(self, op: Op, values: tuple[Value, ...], name: str) -> Value:
        shape = op.shape(*(v.shape for v in values))
        if size(shape) > LARGEST_TENSOR or min(shape, default=1) < 1:
            raise ModelError(f"node '{name}' would have the shape {tuple(shape)}; between 1 and {LARGEST_TENSOR} entries are possible")
        made = self.builder.add(op, *(v.name for v in values), name=name)
        return Value(made, self.builder.shapes[made])

    # ---- softmax and sigmoid at the end
    def _linked(self, node, args, attrs) -> Linked | None:
        """The output of softmax, log-softmax, sigmoid, and of what only passes their output on."""
        kind, first = node.op_type, args[0]
        if kind in ("Softmax", "LogSoftmax") and isinstance(first, Value):
            if not self._over_all(first, int(attrs.get("axis", -1 if self.opset >= 13 else 1))):
                return None
            return Linked("softmax" if kind == "Softmax" else "log_softmax", first, node.output[0], _name(node))
        if kind == "Sigmoid" and isinstance(first, Value):
            return Linked("sigmoid", first, node.output[0], _name(node))
        if kind == "Concat":
            return self._complement(node, args)
        if not isinstance(first, Linked):
            return None
        if kind == "Log" and first.link == "softmax":
            return replace(first, link="log_softmax", tensor=node.output[0])
        if kind in ("Identity", "Cast", "Dropout") and attrs.get("to", 1) in (1, 10, 11, 16):
            return replace(first, tensor=node.output[0])
        if kind in ("Reshape", "Flatten", "Squeeze", "Unsqueeze") and not first.pair:
            (inner,) = self._spelled(node, [first.inner, *args[1:]], attrs)[:1]
            return replace(first, inner=inner, tensor=node.output[0]) if isinstance(inner, Value) else None
        adds_to_one = first.link == "softmax" or (first.pair and size(first.inner.shape) == 1)
        if kind == "Normalizer" and attrs.get("norm") == "L1" and adds_to_one:
            return replace(first, tensor=node.output[0])
        if kind == "ZipMap":
            labels = next((attrs[k] for k in ("classlabels_strings", "classlabels_int64s") if attrs.get(k)), ())
            return replace(first, labels=tuple(str(label) for label in labels))
        return None

    def _linear_classifier(self, node, args, attrs) -> list:
        """scikit-learn's linear classifiers: the label, and scores behind a link."""
        label, scores = Failed(self._no(node, args, attrs)), self._spelled(node, args, attrs)[0]
        if not isinstance(scores, Value):
            return [scores, scores]
        link = {"SOFTMAX": "softmax", "LOGISTIC": "sigmoid"}.get(attrs.get("post_transform", "NONE"))
        if link is None:
            return [label, scores if attrs.get("post_transform", "NONE") == "NONE" else label]
        coefficients, intercepts = (np.asarray(attrs[k], dtype=np.float64) for k in ("coefficients", "intercepts"))
        pair = link == "sigmoid" and len(intercepts) == 2
        if pair:                                                # rows (-w, w): one output says it all
            if not np.array_equal(coefficients[: coefficients.size // 2], -coefficients[coefficients.size // 2:]):
                return [label, label]
            from ..ops.rearrange import Slice

            scores = self._apply(Slice(0, 1, 1, 1), (scores,), f"{_name(node)}/positive")
        return [label, Linked(link, scores, node.output[1], _name(node), pair)]

    def _over_all(self, value: Value, axis: int) -> bool:
        """Does a softmax along `axis` run over all entries of a sample?"""
        lead = 1 if self.batch else 0
        rank = len(value.shape) + lead
        axis = axis % rank - lead
        covered = range(axis, len(value.shape)) if self.opset < 13 else [axis]
        return axis >= 0 and all(n == 1 for k, n in enumerate(value.shape) if k not in covered)

    def _complement(self, node, args) -> Linked | None:
        """(1 - p, p) of a sigmoid, as scikit-learn's binary (and multi-label) classifiers end."""
        if len(args) != 2 or not isinstance(args[1], Linked) or args[1].link != "sigmoid" or len(args[1].inner.shape) != 1:
            return None
        minus = self.expressions.node(node.input[0], "Sub")
        if minus is None or self.expressions.constant(minus.input[0]) != 1.0:
            return None
        behind = self.values.get(minus.input[1])
        same = isinstance(behind, Linked) and behind.inner == args[1].inner
        return replace(args[1], pair=True, tensor=node.output[0]) if same else None

    # ---- the end
    def _network(self) -> tuple[Network, Original | None, str]:
        from .onnx_run import original

        tensor, value = self._output()
        labels: tuple[str, ...] = ()
        link, pair = "identity", False
        if isinstance(value, Linked):
            tensor, link, pair, labels, value = value.tensor, value.link, value.pair, value.labels, value.inner
        graph = self.builder.graph(value.name)
        n = size(value.shape)
        net = Network(graph, link, class_names=labels if len(labels) == (2 if link == "sigmoid" and n == 1 else n) else (),
                      task=None if link == "identity" else "classification", source=self.origin)

        def finish(y: np.ndarray, rows: int) -> np.ndarray:
            y = np.asarray(y, dtype=np.float64).reshape(rows, -1)
            return y[:, n:] if pair else y

        self.tensor = tensor
        fixed = 0 if self.whole[0] is None and self.batch == SENTINEL else self.batch or 1
        shape = tuple(-1 if n is None and not fixed else n or 1 for n in self.whole)
        return (net, *original(self.model, tensor, shape, fixed, finish))

    def _output(self) -> tuple[str, Value | Linked]:
        """The one output that is a real tensor of the input. Labels of classifiers are left out."""
        outputs = [(o.name, self.values.get(o.name), o.type.tensor_type.elem_type) for o in self.model.graph.output]
        good = [(name, v) for name, v, _ in outputs if isinstance(v, Value | Linked)]
        bad = [v.error for name, v, kind in outputs if isinstance(v, Failed) and (len(outputs) == 1 or kind not in (6, 7, 8))]
        if bad:                                                 # INT32, INT64, STRING: the predicted label
            raise bad[0]
        if len(good) > 1:
            raise ModelError(f"{self.origin} has {len(good)} outputs ({', '.join(n for n, _ in good)}); a network has one.\n"
                             "  To go on       onnx.utils.extract_model(path, new_path, [input], [output]) keeps one of them")
        if not good:
            lost = next((v.error for _, v, _ in outputs if isinstance(v, Failed)), None)
            raise lost or ModelError(f"{self.origin}: its output '{outputs[0][0]}' does not depend on the input")
        return good[0]


def _sorted(graph, known: set[str]) -> list:
    """The nodes such that each comes behind what it needs. ModelError for a circle, a missing tensor, a name made twice."""
    from .onnx_file import MOST_NODES

    if len(graph.node) > MOST_NODES:
        raise ModelError(f"the graph has {len(graph.node)} nodes; up to {MOST_NODES} are read")
    maker: dict[str, int] = {}
    for k, node in enumerate(graph.node):
        for out in filter(None, node.output):
            if out in maker or out in known:
                raise ModelError(f"tensor '{out}' is made twice, the second time by node '{_name(node)}'")
            maker[out] = k
    waits, users = [], {k: [] for k in range(len(graph.node))}
    for k, node in enumerate(graph.node):
        needs = {name for name in node.input if name and name not in known}
        for name in needs:
            if name not in maker:
                raise ModelError(f"node '{_name(node)}' needs the tensor '{name}', which is neither an input, nor stored, nor made")
            users[maker[name]].append(k)
        waits.append(len(needs))
    ready, order = deque(k for k, n in enumerate(waits) if not n), []
    while ready:
        k = ready.popleft()
        order.append(graph.node[k])
        for user in users[k]:
            waits[user] -= 1
            if not waits[user]:
                ready.append(user)
    if len(order) < len(graph.node):
        stuck = next(n for n, w in zip(graph.node, waits, strict=True) if w)
        raise ModelError(f"node '{_name(stuck)}' depends on itself: the graph has a circle")
    missing = next((o.name for o in graph.output if o.name not in maker and o.name not in known), None)
    if missing is not None:
        raise ModelError(f"the output '{missing}' is made by no node")
    return order


def _attributes(node) -> dict[str, Any]:
    """A node's attributes as Python values; tensors as arrays."""
    import onnx

    from .onnx_file import to_array

    out: dict[str, Any] = {}
    for a in node.attribute:
        if a.type == onnx.AttributeProto.TENSOR:
            out[a.name] = to_array(a.t, a.name)
        elif a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
            raise ModelError(f"node '{_name(node)}' is a '{node.op_type}' with graphs inside; loops and branches are not read.\n"
                             "  To go on       export with fixed shapes, so that the exporter unrolls it")
        else:
            value = onnx.helper.get_attribute_value(a)
            if isinstance(value, bytes):
                out[a.name] = value.decode()
            elif a.type == onnx.AttributeProto.STRINGS:
                out[a.name] = [s.decode() for s in value]
            else:
                out[a.name] = value
    return out


def _sequence(ops: Op | tuple[Op, ...] | None) -> tuple[Op, ...]:
    return () if ops is None else ops if isinstance(ops, tuple) else (ops,)


def _name(node) -> str:
    return node.name or (node.output[0] if node.output else node.op_type)
