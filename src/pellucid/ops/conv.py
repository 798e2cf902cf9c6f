"""Conv: convolution over one, two or three spatial axes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from ..graph.arrays import exact, is_torch, like
from ..graph.op import AffineOp, Shape, size
from ..graph.registry import Record, Value, spelled, unsupported
from ..graph.rewrite import fuses
from .rearrange import Reshape
from .scale import Scale
from .windows import Padding, keras_layout, keras_window, per_axis, torch_padding, window_attributes, window_counts, windows


@dataclass(frozen=True, eq=False)
class Conv(AffineOp):
    """Cross-correlation of a sample (channels, *spatial) with W, plus b for each output channel.

    W: (out, channels / groups, *kernel), b: (out,), padding: (before, after) for each spatial axis, with zeros.
    """

    W: np.ndarray
    b: np.ndarray
    stride: tuple[int, ...]
    padding: Padding
    dilation: tuple[int, ...]
    groups: int = 1

    @property
    def _window(self):
        return self.W.shape[2:], self.stride, self.padding, self.dilation

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        if len(x) != self.W.ndim - 1 or x[0] != self.W.shape[1] * self.groups or len(self.W) % self.groups:
            raise ValueError(f"a Conv with weights {self.W.shape} in {self.groups} groups got a tensor of shape {x}")
        return (len(self.W), *window_counts(x[1:], *self._window))

    def __call__(self, *xs):
        (x,) = xs
        counts = self.shape(tuple(x.shape[1:]))[1:]
        if is_torch(x):
            return self._torch(x, counts)
        g, out = self.groups, len(self.W)
        seen = windows(x, *self._window, counts, 0.0)           # (n, channels, *counts, *kernel)
        axes = len(counts)
        seen = np.moveaxis(seen.reshape(len(x), g, -1, *seen.shape[2:]), 2, 2 + axes)
        columns = seen.reshape(len(x), g, size(counts), -1)     # (n, groups, windows, channels / groups * kernel)
        y = columns @ np.swapaxes(self.W.reshape(g, out // g, -1), 1, 2)
        return np.swapaxes(y, 2, 3).reshape(len(x), out, *counts) + self.b.reshape(-1, *[1] * axes)

    def _torch(self, x, counts: Shape):
        import torch.nn.functional as F

        x = F.pad(x, torch_padding(x.shape[2:], *self._window, counts))
        conv = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[len(counts)]
        return conv(x, like(self.W, x), like(self.b, x), self.stride, 0, self.dilation, self.groups)

    def matrices(self, *inputs: Shape):
        (x,) = inputs
        out = self.shape(x)
        counts, g = out[1:], self.groups
        each, P = len(self.W) // g, size(out[1:])
        seen = windows(np.arange(size(x)).reshape(x), *self._window, counts, -1)
        seen = seen.reshape(g, x[0] // g, P, -1).transpose(0, 2, 1, 3).reshape(g, 1, P, -1)     # (groups, 1, windows, weights)
        full = (g, each, P, seen.shape[3])
        columns = np.broadcast_to(seen, full)
        rows = np.broadcast_to(np.arange(len(self.W) * P).reshape(g, each, P, 1), full)
        values = np.broadcast_to(self.W.reshape(g, each, 1, -1), full)
        inside = columns >= 0
        A = sp.csr_array((values[inside], (rows[inside], columns[inside])), shape=(size(out), size(x)))
        return [A], np.repeat(self.b, P)


@fuses(Conv, Scale)
def _(first: Conv, second: Scale, shape: Shape):
    axes = first.W.ndim - 2
    if not (channels_only(second.weight, axes) and channels_only(second.bias, axes)):
        return None
    weight = np.broadcast_to(second.weight.reshape(-1), len(first.W))
    W = weight.reshape(-1, *[1] * (axes + 1)) * first.W
    return replace(first, W=W, b=weight * first.b + second.bias.reshape(-1))


@fuses(Scale, Conv)
def _(first: Scale, second: Conv, shape: Shape):
    """A bias cannot move behind padding, which would have to be padded by another value than zero."""
    axes, padded = second.W.ndim - 2, any(w for pair in second.padding for w in pair)
    if not (channels_only(first.weight, axes) and channels_only(first.bias, axes)) or (padded and first.bias.any()):
        return None
    out, each = second.W.shape[:2]
    weight, bias = (np.repeat(np.broadcast_to(c.reshape(-1), shape[0]).reshape(second.groups, 1, each), out // second.groups, axis=1)
                    .reshape(out, each, *[1] * axes) for c in (first.weight, first.bias))
    return replace(second, W=second.W * weight, b=second.b + (second.W * bias).sum(axis=tuple(range(1, axes + 2))))


def channels_only(constant: np.ndarray, axes: int) -> bool:
    """Does it vary from channel to channel only, with `axes` spatial axes behind?"""
    return constant.size == 1 or (constant.ndim == axes + 1 and constant.size == len(constant))


@spelled("onnx", "Conv")
def _(record: Record):
    if not isinstance(record.args[0], Value) or len(record.values) > 1:
        raise unsupported(record, "its weights depend on the input")
    W = exact(record.constant(1))
    shape = without_batch(record)
    b = exact(record.constant(2, default=np.zeros(len(W))))
    conv = Conv(W, b, **window_attributes(record, shape[1:], W.shape[2:]), groups=int(record.get("group", 1)))
    return with_batch(record, conv)


def without_batch(record: Record) -> Shape:
    """(channels, *spatial) of the record's first value, the batch axis left out even where it is part of the sample."""
    shape = record.values[0].shape
    if len(shape) + record.lead < 3 or (not record.lead and shape[0] != 1):
        raise unsupported(record, "channels and at least one spatial axis are needed behind the batch axis")
    return shape[1 - record.lead:]


def with_batch(record: Record, op) -> AffineOp | tuple:
    """The op on (channels, *spatial), wrapped where the sample carries a batch axis of one."""
    if record.lead:
        return op
    shape = without_batch(record)
    return Reshape(shape), op, Reshape((1, *op.shape(shape)))


@spelled("torch", "aten.conv1d", "aten.conv2d", "aten.conv3d", "aten.convolution")
def _(record: Record):
    """padding: numbers, "valid" or "same" (the odd one behind)."""
    if not isinstance(record.args[0], Value) or len(record.values) > 1:
        raise unsupported(record, "its weights depend on the input")
    if record.get("transposed", False):
        raise unsupported(record, "a transposed convolution", "interpolate and convolve instead, or export the model to ONNX")
    W = exact(record.constant(1))
    b = exact(record.constant(2, default=np.zeros(len(W))))
    kernel, axes = W.shape[2:], W.ndim - 2
    dilation, padding = per_axis(record.get("dilation", 1), axes), record.get("padding", 0)
    if isinstance(padding, str):
        total = [d * (k - 1) if padding == "same" else 0 for d, k in zip(dilation, kernel, strict=True)]
        sides = tuple((t // 2, t - t // 2) for t in total)
    else:
        sides = tuple((p, p) for p in per_axis(padding, axes))
    return Conv(W, b, per_axis(record.get("stride", 1), axes), sides, dilation, int(record.get("groups", 1)))


@spelled("keras", "Conv1D", "Conv2D", "Conv3D")
def _(record: Record):
    """The kernel is (*window, channels / groups, filters)."""
    weights = record.get("weights")
    return _keras_conv(record, np.moveaxis(weights["kernel"], (-1, -2), (0, 1)), weights.get("bias"), int(record.get("groups", 1)))


@spelled("keras", "DepthwiseConv1D", "DepthwiseConv2D")
def _(record: Record):
    """The kernel is (*window, channels, multiplier); output channel m of input channel i is i * multiplier + m."""
    weights = record.get("weights")
    W, groups = _depthwise(weights["kernel"])
    return _keras_conv(record, W, weights.get("bias"), groups)


@spelled("keras", "SeparableConv1D", "SeparableConv2D")
def _(record: Record):
    weights = record.get("weights")
    W, groups = _depthwise(weights["depthwise_kernel"])
    mix = np.moveaxis(weights["pointwise_kernel"], (-1, -2), (0, 1))
    one = (1,) * (mix.ndim - 2)
    point = Conv(mix, weights.get("bias", np.zeros(len(mix))), one, ((0, 0),) * len(one), one)
    return keras_layout(record, lambda shape: (_keras_op(record, W, None, groups, shape), point))


def _depthwise(kernel: np.ndarray) -> tuple[np.ndarray, int]:
    channels, multiplier = kernel.shape[-2:]
    return np.moveaxis(kernel, (-2, -1), (0, 1)).reshape(channels * multiplier, 1, *kernel.shape[:-2]), channels


def _keras_conv(record: Record, W: np.ndarray, b: np.ndarray | None, groups: int):
    return keras_layout(record, lambda shape: _keras_op(record, W, b, groups, shape))


def _keras_op(record: Record, W: np.ndarray, b: np.ndarray | None, groups: int, shape: Shape) -> Conv:
    window = keras_window(record, shape[1:], W.shape[2:], record.get("strides", 1), record.get("dilation_rate", 1))
    return Conv(W, np.zeros(len(W)) if b is None else b, **window, groups=groups)
