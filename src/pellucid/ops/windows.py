"""Sliding windows: what convolutions and pools share. Spatial axes are the last ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..graph.op import Shape
from ..graph.registry import Record, unsupported
from .rearrange import Transpose

MOST_ENTRIES = 2**28
"""Entries of all windows of a channel together, beyond which a model is taken to be hostile (a 1000 x 1000 image under 15 x 15
windows has fewer)."""

Padding = tuple[tuple[int, int], ...]


def window_counts(spatial: Sequence[int], kernel, stride, padding: Padding, dilation, ceil_mode: bool = False) -> Shape:
    """How many windows there are along each spatial axis. ValueError where none fits.

    With ceil_mode a last window may run over the end, but has to begin inside the input or the padding before it.
    """
    if not len(spatial) == len(kernel) == len(stride) == len(padding) == len(dilation):
        raise ValueError(f"a window of {len(kernel)} axes, a tensor of {len(spatial)} spatial axes")
    counts = []
    for n, k, s, (lo, hi), d in zip(spatial, kernel, stride, padding, dilation, strict=True):
        room = n + lo + hi - (d * (k - 1) + 1)
        if min(k, s, d) < 1 or min(lo, hi) < 0 or room < 0:
            raise ValueError(f"a window of {k} (stride {s}, dilation {d}, padding {lo}, {hi}) does not fit {n} entries")
        count = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (count - 1) * s >= n + lo:
            count -= 1
        counts.append(count)
    padded = math.prod(n + lo + hi for n, (lo, hi) in zip(spatial, padding, strict=True))
    if max(padded, math.prod(counts) * math.prod(kernel)) > MOST_ENTRIES:
        raise ValueError(f"{math.prod(counts)} windows of {math.prod(kernel)} entries, over {padded}: more than {MOST_ENTRIES} in all")
    return tuple(counts)


def windows(x: np.ndarray, kernel, stride, padding: Padding, dilation, counts: Shape, fill) -> np.ndarray:
    """(.., *counts, *kernel) of x: (.., *spatial), with `fill` where a window looks outside."""
    axes = len(kernel)
    reach = [(c - 1) * s + d * (k - 1) + 1 for c, s, d, k in zip(counts, stride, dilation, kernel, strict=True)]
    spread = [(lo, max(r - lo - n, 0)) for (lo, _), r, n in zip(padding, reach, x.shape[-axes:], strict=True)]
    x = np.pad(x, [(0, 0)] * (x.ndim - axes) + spread, constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(
        x, [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)], axis=tuple(range(-axes, 0)))
    pick = [slice(0, r, s) for r, s in zip(counts_reach(counts, stride), stride, strict=True)]
    inside = [slice(None, None, d) for d in dilation]
    return view[(..., *pick, *inside)]


def counts_reach(counts: Shape, stride) -> list[int]:
    """One behind the beginning of the last window, along each axis."""
    return [(c - 1) * s + 1 for c, s in zip(counts, stride, strict=True)]


def torch_padding(spatial, kernel, stride, padding: Padding, dilation, counts: Shape) -> list[int]:
    """The argument of torch.nn.functional.pad (last axis first), such that exactly `counts` windows fit."""
    out: list[int] = []
    for n, k, s, (lo, _), d, c in zip(spatial, kernel, stride, padding, dilation, counts, strict=True):
        out = [lo, (c - 1) * s + d * (k - 1) + 1 - lo - n, *out]     # may be negative: then it cuts
    return out


def window_attributes(record: Record, spatial: Sequence[int], kernel: Sequence[int]) -> dict:
    """stride, padding and dilation of an ONNX Conv or pool, auto_pad resolved."""
    axes = len(kernel)
    if len(spatial) != axes:
        raise unsupported(record, f"a window of {axes} axes over {len(spatial)} spatial axes")
    stride = tuple(int(s) for s in record.get("strides", [1] * axes))
    dilation = tuple(int(d) for d in record.get("dilations", [1] * axes))
    auto = record.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        padding = tuple(_same(n, k, s, d, auto == "SAME_UPPER") for n, k, s, d in zip(spatial, kernel, stride, dilation, strict=True))
    else:
        pads = [0] * (2 * axes) if auto == "VALID" else [int(p) for p in record.get("pads", [0] * (2 * axes))]
        padding = tuple((pads[k], pads[axes + k]) for k in range(axes))
    return {"stride": stride, "padding": padding, "dilation": dilation}


def _same(n: int, k: int, s: int, d: int, upper: bool) -> tuple[int, int]:
    """Padding such that there are ceil(n / s) windows; the odd one goes behind (upper) or before."""
    total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
    small, large = total // 2, total - total // 2
    return (small, large) if upper else (large, small)


def per_axis(given, axes: int) -> tuple[int, ...]:
    """torch's way to say one number for all spatial axes, or one each."""
    numbers = [int(given)] if isinstance(given, int) else [int(n) for n in given]
    return tuple(numbers * axes if len(numbers) == 1 else numbers)


def adaptive_kernel(record: Record, spatial: Sequence[int], wanted) -> Shape:
    """The window of an adaptive pool to `wanted` entries (None: as many as there are), where they divide the input."""
    goals = [n if w is None else int(w) for n, w in zip(spatial, wanted, strict=True)]
    if any(n % g for n, g in zip(spatial, goals, strict=True)):
        raise unsupported(record, f"an adaptive pool of {tuple(spatial)} entries to {tuple(goals)}, which does not divide them",
                          "choose an output size that divides, or a pool with a fixed window")
    return tuple(n // g for n, g in zip(spatial, goals, strict=True))


def keras_layout(record: Record, make):
    """The ops make((channels, *spatial)) on a Keras sample, whose channels come last unless data_format says otherwise."""
    (x,) = record.values
    if record.get("data_format") == "channels_first":
        return make(x.shape)
    rank = len(x.shape)
    ops = make((x.shape[-1], *x.shape[:-1]))
    ops = ops if isinstance(ops, tuple) else (ops,)
    return Transpose((rank - 1, *range(rank - 1))), *ops, Transpose((*range(1, rank), 0))


def keras_window(record: Record, spatial: Sequence[int], kernel: Sequence[int], strides, dilation=1) -> dict:
    """stride, padding and dilation of a Keras window; "same" as in ONNX, "causal" all before."""
    axes, padding = len(kernel), record.get("padding", "valid")
    attrs = {"strides": per_axis(strides, axes), "dilations": per_axis(dilation, axes),
             "auto_pad": "SAME_UPPER" if padding == "same" else "VALID"}
    window = window_attributes(replace(record, attrs=attrs), spatial, kernel)
    if padding == "causal":
        window["padding"] = tuple((d * (k - 1), 0) for k, d in zip(kernel, window["dilation"], strict=True))
    return window
