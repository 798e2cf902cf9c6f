"""MaxPool: the largest entry of each window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..graph.arrays import is_torch
from ..graph.op import SelectionOp, Shape, size
from ..graph.registry import Record, spelled, unsupported
from .conv import with_batch, without_batch
from .windows import (
    Padding,
    adaptive_kernel,
    keras_layout,
    keras_window,
    per_axis,
    torch_padding,
    window_attributes,
    window_counts,
    windows,
)


@dataclass(frozen=True)
class MaxPool(SelectionOp):
    """The largest entry of each window of a sample (channels, *spatial). Padding never wins."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Padding
    dilation: tuple[int, ...]
    ceil_mode: bool = False

    @property
    def _window(self):
        return self.kernel, self.stride, self.padding, self.dilation

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        return (x[0], *window_counts(x[1:], *self._window, self.ceil_mode))

    def __call__(self, *xs):
        (x,) = xs
        counts = self.shape(tuple(x.shape[1:]))[1:]
        if not is_torch(x):
            return windows(x, *self._window, counts, -np.inf).max(axis=tuple(range(-len(counts), 0)))
        import torch.nn.functional as F

        x = F.pad(x, torch_padding(x.shape[2:], *self._window, counts), value=-np.inf)
        pool = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[len(counts)]
        return pool(x, self.kernel, self.stride, 0, self.dilation)

    def groups(self, *inputs: Shape):
        (x,) = inputs
        out = self.shape(x)
        seen = windows(np.arange(size(x)).reshape(x), *self._window, out[1:], -1).reshape(size(out), -1)
        inside = seen >= 0
        sizes = inside.sum(axis=1)
        if not sizes.all():
            raise ValueError(f"a window of {self.kernel} lies wholly in the padding {self.padding}")
        return np.concatenate([[0], np.cumsum(sizes)]), seen[inside]


@spelled("onnx", "MaxPool")
def _(record: Record):
    kernel = tuple(int(k) for k in record.get("kernel_shape"))
    window = window_attributes(record, without_batch(record)[1:], kernel)
    return with_batch(record, MaxPool(kernel, **window, ceil_mode=bool(record.get("ceil_mode", 0))))


@spelled("torch", "aten.max_pool1d", "aten.max_pool2d", "aten.max_pool3d",
         "aten.max_pool2d_with_indices", "aten.max_pool3d_with_indices", "aten.max_pool1d_with_indices")
def _(record: Record):
    _no_indices(record)
    (x,) = record.values
    axes = len(x.shape) - 1
    kernel = per_axis(record.get("kernel_size"), axes)
    stride = per_axis(record.get("stride") or kernel, axes)
    padding = tuple((p, p) for p in per_axis(record.get("padding", 0), axes))
    return MaxPool(kernel, stride, padding, per_axis(record.get("dilation", 1), axes), bool(record.get("ceil_mode", False)))


@spelled("torch", "aten.adaptive_max_pool1d", "aten.adaptive_max_pool2d", "aten.adaptive_max_pool3d")
def _(record: Record):
    _no_indices(record)
    (x,) = record.values
    axes = len(x.shape) - 1
    kernel = adaptive_kernel(record, x.shape[1:], record.get("output_size"))
    return MaxPool(kernel, kernel, ((0, 0),) * axes, (1,) * axes)


def _no_indices(record: Record) -> None:
    if record.get("output", 0):
        raise unsupported(record, "its second output, the winners' indices, is not continuous")


@spelled("keras", "MaxPooling1D", "MaxPooling2D", "MaxPooling3D")
def _(record: Record):
    def make(shape):
        kernel = per_axis(record.get("pool_size"), len(shape) - 1)
        return MaxPool(kernel, **keras_window(record, shape[1:], kernel, record.get("strides") or kernel))

    return keras_layout(record, make)
