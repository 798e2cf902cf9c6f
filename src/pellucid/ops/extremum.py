"""The largest or smallest of several: Max and Min of tensors, ReduceMax and ReduceMin, GlobalMaxPool."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from ..graph.arrays import xp
from ..graph.op import Node, Op, SelectionOp, Shape, size
from ..graph.registry import Record, Value, spelled, spelling, unsupported
from ..graph.rewrite import simplifies
from .add import aligned
from .clip import Clip
from .leaky_relu import LeakyReLU
from .rearrange import Expand
from .reduce import keeping, reduced, reduction, spatial_axes
from .scale import Scale


@dataclass(frozen=True)
class Extremum(SelectionOp):
    """Entry by entry the largest (sign 1) or smallest (-1) of several tensors, which broadcast against each other."""

    sign: int = 1

    def shape(self, *inputs: Shape) -> Shape:
        return np.broadcast_shapes(*inputs)

    def __call__(self, *xs):
        return reduce(xp(xs[0]).maximum if self.sign > 0 else xp(xs[0]).minimum, aligned(xs))

    def groups(self, *inputs: Shape):
        out = self.shape(*inputs)
        begin = np.cumsum([0, *map(size, inputs)])
        columns = [np.broadcast_to(b + np.arange(size(s)).reshape(s), out).ravel() for b, s in zip(begin, inputs, strict=False)]
        return np.arange(size(out) + 1) * len(inputs), np.stack(columns, axis=1).ravel()


@dataclass(frozen=True)
class ReduceExtremum(SelectionOp):
    """The largest (sign 1) or smallest (-1) entry over `axes` of a sample, which disappear."""

    axes: tuple[int, ...]
    sign: int = 1

    def shape(self, *inputs: Shape) -> Shape:
        return reduced(inputs[0], self.axes)

    def __call__(self, *xs):
        axes = tuple(a + 1 for a in self.axes)
        extreme = getattr(xs[0], "amax" if self.sign > 0 else "amin", None) or (xs[0].max if self.sign > 0 else xs[0].min)
        return extreme(axes)

    def groups(self, *inputs: Shape):
        (x,) = inputs
        moved = np.moveaxis(np.arange(size(x)).reshape(x), self.axes, range(-len(self.axes), 0))
        out = size(self.shape(x))
        return np.arange(out + 1) * (size(x) // out), moved.ravel()


@simplifies(Extremum)
def _(node: Node, before: list[Node | None]):
    """max(x, a x) with 0 <= a <= 1, as some exporters write it, is a LeakyReLU."""
    if node.op != Extremum(1) or len(node.inputs) != 2:
        return None
    for x, other in ((0, 1), (1, 0)):
        scaled = before[other]
        if scaled is not None and isinstance(scaled.op, Scale) and scaled.inputs == (node.inputs[x],) and not scaled.op.bias.any():
            slope = scaled.op.weight
            if scaled.op.weight.size == 1 and 0.0 <= float(slope.ravel()[0]) <= 1.0:
                return LeakyReLU(float(slope.ravel()[0])), (node.inputs[x],)
    return None


@spelled("onnx", "Max", "Min")
def _(record: Record):
    """Tensors among each other are a selection; with constants an elementwise function."""
    sign, values = (1 if record.kind == "Max" else -1), record.values
    if record.lead and len({len(v.shape) for v in values}) > 1:
        raise unsupported(record, "tensors of different numbers of axes: one is broadcast along the other's batch axis")
    ops: list[Op] = [Extremum(sign)] if len(values) > 1 else []
    shape = np.broadcast_shapes(*(v.shape for v in values))
    for k, arg in enumerate(record.args):
        if isinstance(arg, Value):
            continue
        bound = record.sample_constant(k, len(shape))
        if (wider := np.broadcast_shapes(shape, bound.shape)) != shape:
            ops.append(Expand(wider))
            shape = wider
        ops.append(Clip(bound, None) if sign > 0 else Clip(None, bound))
    return tuple(ops) or None


@spelled("onnx", "ReduceMax", "ReduceMin")
def _(record: Record):
    return reduction(record, lambda axes: ReduceExtremum(axes, 1 if record.kind == "ReduceMax" else -1))


@spelled("onnx", "GlobalMaxPool")
def _(record: Record):
    (x,) = record.values
    axes = tuple(range(2 - record.lead, len(x.shape)))
    return keeping(x.shape, ReduceExtremum(axes), axes, True)


@spelled("torch", "aten.maximum", "aten.max.other", "aten.fmax", "aten.minimum", "aten.min.other", "aten.fmin")
def _(record: Record):
    return spelling("onnx", "Max" if "max" in record.kind else "Min")(replace(record, kind="Max" if "max" in record.kind else "Min"))


@spelled("torch", "aten.amax", "aten.max.dim", "aten.amin", "aten.min.dim")
def _(record: Record):
    if record.get("output", 0):
        raise unsupported(record, "its second output, the winners' indices, is not continuous")
    (x,), given = record.values, record.get("dim", [])
    given = [given] if isinstance(given, int) else list(given)
    if not given:
        raise unsupported(record, "it reduces over all axes, the batch among them")
    axes = tuple(sorted({record.axis(int(a)) for a in given}))
    return keeping(x.shape, ReduceExtremum(axes, 1 if "max" in record.kind else -1), axes, bool(record.get("keepdim", False)))


@spelled("keras", "Maximum", "Minimum", "ops.Maximum", "ops.Minimum")
def _(record: Record):
    kind = "Max" if "Max" in record.kind else "Min"
    return spelling("onnx", kind)(replace(record, kind=kind))


@spelled("keras", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D")
def _(record: Record):
    axes = spatial_axes(record)
    return keeping(record.values[0].shape, ReduceExtremum(axes), axes, bool(record.get("keepdims", False)))
