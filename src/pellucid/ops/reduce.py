"""Sums and means over axes: ReduceSum, ReduceMean, GlobalAveragePool."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ..graph.op import AffineOp, Op, Shape, size
from ..graph.registry import Record, spelled, unsupported
from .rearrange import Reshape


@dataclass(frozen=True)
class Reduce(AffineOp):
    """Sum (or mean) over `axes` of a sample, which disappear."""

    axes: tuple[int, ...]
    mean: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        return reduced(inputs[0], self.axes)

    def __call__(self, *xs):
        axes = tuple(a + 1 for a in self.axes)
        return xs[0].mean(axis=axes) if self.mean else xs[0].sum(axis=axes)

    def matrices(self, *inputs: Shape):
        (x,) = inputs
        out = self.shape(x)
        kept = [1 if k in self.axes else n for k, n in enumerate(x)]
        rows = np.broadcast_to(np.arange(size(out)).reshape(kept), x).ravel()
        value = size(out) / size(x) if self.mean else 1.0
        return [sp.csr_array((np.full(size(x), value), (rows, np.arange(size(x)))), shape=(size(out), size(x)))], np.zeros(size(out))


def reduced(shape: Shape, axes: tuple[int, ...]) -> Shape:
    """The shape without those axes. ValueError where it has none of that number."""
    if not axes or min(axes) < 0 or max(axes) >= len(shape):
        raise ValueError(f"axes {axes} of a tensor of shape {shape}")
    return tuple(n for k, n in enumerate(shape) if k not in axes)


def reduction(record: Record, make) -> Op | tuple[Op, ...] | None:
    """The ops of an ONNX Reduce*: make(axes), then the axes of one that keepdims asks for."""
    (x,) = record.values
    given = record.constant(1, default=record.get("axes"))
    if given is None or not np.size(given):
        if record.get("noop_with_empty_axes", 0):
            return None
        if record.lead:
            raise unsupported(record, "it reduces over all axes, the batch among them")
        given = range(len(x.shape))
    axes = tuple(sorted({record.axis(int(a)) for a in np.ravel(given)}))
    return keeping(x.shape, make(axes), axes, bool(record.get("keepdims", 1)))


def keeping(shape: Shape, op: Op, axes: tuple[int, ...], keepdims: bool) -> Op | tuple[Op, ...]:
    """The op, and behind it the axes of length one that keepdims asks for."""
    kept = tuple(1 if k in axes else n for k, n in enumerate(shape))
    return (op, Reshape(kept)) if keepdims else op


@spelled("onnx", "ReduceSum", "ReduceMean")
def _(record: Record):
    return reduction(record, lambda axes: Reduce(axes, mean=record.kind == "ReduceMean"))


@spelled("onnx", "GlobalAveragePool")
def _(record: Record):
    (x,) = record.values
    axes = tuple(range(2 - record.lead, len(x.shape)))
    return keeping(x.shape, Reduce(axes, mean=True), axes, True)


@spelled("torch", "aten.sum", "aten.mean")
def _(record: Record):
    (x,), given = record.values, record.get("dim")
    given = [given] if isinstance(given, int) else list(given or ())
    if not given:
        raise unsupported(record, "it reduces over all axes, the batch among them", "say which axes: x.mean(dim=(1, 2, 3))")
    axes = tuple(sorted({record.axis(int(a)) for a in given}))
    return keeping(x.shape, Reduce(axes, mean="mean" in record.kind), axes, bool(record.get("keepdim", False)))


@spelled("keras", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D")
def _(record: Record):
    axes = spatial_axes(record)
    return keeping(record.values[0].shape, Reduce(axes, mean=True), axes, bool(record.get("keepdims", False)))


def spatial_axes(record: Record) -> tuple[int, ...]:
    """The axes of a Keras sample that are not channels."""
    rank = len(record.values[0].shape)
    return tuple(range(1, rank)) if record.get("data_format") == "channels_first" else tuple(range(rank - 1))
