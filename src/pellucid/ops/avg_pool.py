"""AvgPool: the mean of each window."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import scipy.sparse as sp

from ..graph.arrays import is_torch, like
from ..graph.op import AffineOp, Shape, size
from ..graph.registry import Record, spelled, unsupported
from .conv import with_batch, without_batch
from .rearrange import Pad
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
class AvgPool(AffineOp):
    """The mean of each window of a sample (channels, *spatial).

    Divided by the entries inside, or with count_include_pad by those in the padding too (but not by those beyond it, which
    only ceil_mode reaches).
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Padding
    dilation: tuple[int, ...]
    ceil_mode: bool = False
    count_include_pad: bool = False

    @property
    def _window(self):
        return self.kernel, self.stride, self.padding, self.dilation

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        return (x[0], *window_counts(x[1:], *self._window, self.ceil_mode))

    def __call__(self, *xs):
        (x,) = xs
        counts = self.shape(tuple(x.shape[1:]))[1:]
        share = like(_share(self, tuple(x.shape[2:]), counts), x)
        if is_torch(x):
            return self._torch_sums(x, counts) * share
        return windows(x, *self._window, counts, 0.0).sum(axis=tuple(range(-len(counts), 0))) * share

    def _torch_sums(self, x, counts: Shape):
        """Sums as a convolution of each channel with ones."""
        import torch
        import torch.nn.functional as F

        x = F.pad(x, torch_padding(x.shape[2:], *self._window, counts))
        conv = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[len(counts)]
        ones = torch.ones((x.shape[1], 1, *self.kernel), dtype=x.dtype, device=x.device)
        return conv(x, ones, None, self.stride, 0, self.dilation, x.shape[1])

    def matrices(self, *inputs: Shape):
        (x,) = inputs
        out = self.shape(x)
        seen = windows(np.arange(size(x)).reshape(x), *self._window, out[1:], -1).reshape(size(out), -1)
        rows = np.broadcast_to(np.arange(size(out))[:, None], seen.shape)
        values = np.broadcast_to(np.tile(_share(self, tuple(x[1:]), tuple(out[1:])).ravel(), x[0])[:, None], seen.shape)
        inside = seen >= 0
        return [sp.csr_array((values[inside], (rows[inside], seen[inside])), shape=(size(out), size(x)))], np.zeros(size(out))


@lru_cache(maxsize=64)
def _share(pool: AvgPool, spatial: Shape, counts: Shape) -> np.ndarray:
    """(*counts) one over the number of entries that each window divides by."""
    inside = np.ones(spatial)
    padding = pool.padding
    if pool.count_include_pad:
        inside, padding = np.pad(inside, padding, constant_values=1.0), ((0, 0),) * len(padding)
    seen = windows(inside, pool.kernel, pool.stride, padding, pool.dilation, counts, 0.0)
    return 1.0 / seen.sum(axis=tuple(range(-len(counts), 0)))


@spelled("onnx", "AveragePool")
def _(record: Record):
    kernel = tuple(int(k) for k in record.get("kernel_shape"))
    window = window_attributes(record, without_batch(record)[1:], kernel)
    return with_batch(record, AvgPool(kernel, **window, ceil_mode=bool(record.get("ceil_mode", 0)),
                                      count_include_pad=bool(record.get("count_include_pad", 0))))


@spelled("torch", "aten.avg_pool1d", "aten.avg_pool2d", "aten.avg_pool3d")
def _(record: Record):
    if record.get("divisor_override") is not None:
        raise unsupported(record, "divisor_override")
    (x,) = record.values
    axes = len(x.shape) - 1
    kernel = per_axis(record.get("kernel_size"), axes)
    stride = per_axis(record.get("stride") or kernel, axes)
    padding = tuple((p, p) for p in per_axis(record.get("padding", 0), axes))
    return AvgPool(kernel, stride, padding, (1,) * axes, bool(record.get("ceil_mode", False)), bool(record.get("count_include_pad", True)))


@spelled("torch", "aten.adaptive_avg_pool1d", "aten.adaptive_avg_pool2d", "aten.adaptive_avg_pool3d",
         "aten._adaptive_avg_pool2d", "aten._adaptive_avg_pool3d")
def _(record: Record):
    (x,) = record.values
    axes = len(x.shape) - 1
    kernel = adaptive_kernel(record, x.shape[1:], record.get("output_size"))
    return AvgPool(kernel, kernel, ((0, 0),) * axes, (1,) * axes)


@spelled("keras", "AveragePooling1D", "AveragePooling2D", "AveragePooling3D")
def _(record: Record):
    """Keras on torch repeats the border where "same" padding is uneven; its other backends leave padding out of the mean."""
    def make(shape):
        kernel = per_axis(record.get("pool_size"), len(shape) - 1)
        pool = AvgPool(kernel, **keras_window(record, shape[1:], kernel, record.get("strides") or kernel))
        if record.get("backend") != "torch" or all(lo == hi for lo, hi in pool.padding):
            return pool
        return Pad(((0, 0), *pool.padding), mode="edge"), replace(pool, padding=((0, 0),) * len(kernel))

    return keras_layout(record, make)
