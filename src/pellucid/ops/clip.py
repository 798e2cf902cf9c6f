"""Clip: a number kept between two bounds. ReLU6, HardTanh, Max and Min with a constant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..graph.arrays import exact, like, xp
from ..graph.op import ElementwisePL, Shape
from ..graph.registry import Record, spelled, unsupported
from ..graph.rewrite import fuses, vanishes
from .relu import ReLU


@dataclass(frozen=True, eq=False)
class Clip(ElementwisePL):
    """f(z) = min(max(z, low), high). Bounds: None, or arrays that broadcast against a sample (one for all: shape ()).

    Where low >= high, f is the constant high.
    """

    low: np.ndarray | None
    high: np.ndarray | None

    def shape(self, *inputs: Shape) -> Shape:
        bounds = [np.shape(b) for b in (self.low, self.high) if b is not None]
        if np.broadcast_shapes(inputs[0], *bounds) != inputs[0]:
            raise ValueError(f"bounds of shape {bounds} do not fit a tensor of shape {inputs[0]}")
        return inputs[0]

    def __call__(self, *xs):
        x = xs[0]
        if self.low is not None:
            x = xp(x).maximum(x, like(self.low, x))
        return x if self.high is None else xp(x).minimum(x, like(self.high, x))

    def pieces(self, shape: Shape):
        given = [b for b in (self.low, self.high) if b is not None]
        one = all(np.ndim(b) == 0 for b in given)               # one row for all units
        rows = [np.reshape(b, 1) if one else np.broadcast_to(b, shape).ravel() for b in given]
        if len(rows) == 2:
            rows[0] = np.minimum(*rows)
        breaks, n = np.stack(rows, axis=1) if rows else np.zeros((1, 0)), len(rows[0]) if rows else 1
        slope, offset = [np.ones(n)], [np.zeros(n)]
        if self.low is not None:
            slope, offset = [np.zeros(n), *slope], [rows[0], *offset]
        if self.high is not None:
            slope, offset = [*slope, np.zeros(n)], [*offset, rows[-1]]
        out = breaks, np.stack(slope, axis=1), np.stack(offset, axis=1)
        return tuple(a[0] for a in out) if one else out


@vanishes(Clip)
def _(op: Clip, shape: Shape) -> bool:
    return op.low is None and op.high is None


@fuses(Clip, Clip)
def _(first: Clip, second: Clip, shape: Shape):
    """min(max(min(max(z, a), b), c), d) is min(max(z, max(a, c)), min(max(b, c), d))."""
    low, high = _either(np.maximum, first.low, second.low), first.high
    if high is not None and second.low is not None:
        high = np.maximum(high, second.low)
    high = _either(np.minimum, high, second.high)
    return Clip(low if low is None or high is None else np.minimum(low, high), high)


@fuses(ReLU, Clip)
def _(first: ReLU, second: Clip, shape: Shape):
    if second.low is not None or (second.high < 0).any():
        return None
    return Clip(np.array(0.0), second.high)


def _either(f, a, b):
    return b if a is None else a if b is None else f(a, b)


def bound(value) -> np.ndarray | None:
    """A bound as Clip holds it: None where there is none."""
    if value is None or not np.size(value):
        return None
    b = exact(value)
    return None if b.ndim == 0 and np.isinf(b) else b


@spelled("onnx", "Clip")
def _(record: Record):
    """Bounds are inputs from opset 11, attributes before, and the largest float32 stands for none."""
    low = bound(_scalar(record.constant(1, default=record.get("min"))))
    high = bound(_scalar(record.constant(2, default=record.get("max"))))
    return None if low is None and high is None else Clip(low, high)


def _scalar(value):
    """ONNX bounds are scalars; some exporters write them as (1,)."""
    if value is None:
        return None
    number = np.ravel(value)
    return None if not len(number) or abs(number[0]) >= np.finfo(np.float32).max else number[0]


@spelled("sklearn", "clip")
def _(record: Record):
    return Clip(bound(record.get("low")), bound(record.get("high")))


@spelled("torch", "aten.clamp", "aten.clip", "aten.clamp_min", "aten.clamp_max")
def _(record: Record):
    """Bounds are numbers (attributes) or tensors (arguments)."""
    if len(record.values) != 1:
        raise unsupported(record, "a bound that depends on the input", "torch.maximum and torch.minimum can be taken")
    low, high = (bound(record.get(key, None)) for key in ("min", "max"))
    tensors = dict(zip({"aten.clamp_min": ["min"], "aten.clamp_max": ["max"]}.get(record.kind.rpartition(".")[0], ["min", "max"]),
                       range(1, len(record.args)), strict=False))
    low = bound(record.sample_constant(tensors["min"])) if "min" in tensors and record.args[tensors["min"]] is not None else low
    high = bound(record.sample_constant(tensors["max"])) if "max" in tensors and record.args[tensors["max"]] is not None else high
    return None if low is None and high is None else Clip(low, high)


@spelled("torch", "aten.hardtanh")
def _(record: Record):
    return Clip(bound(record.get("min_val", -1.0)), bound(record.get("max_val", 1.0)))


@spelled("torch", "aten.relu6")
def _(record: Record):
    return Clip(bound(0.0), bound(6.0))


@spelled("torch", "aten.threshold")
def _(record: Record):
    """x above the threshold, `value` below: continuous where they are equal."""
    if record.get("threshold") != record.get("value"):
        raise unsupported(record, f"it jumps from {record.get('value')} to {record.get('threshold')}")
    return Clip(bound(record.get("value")), None)


@spelled("keras", "activation.relu6", "ops.Relu6")
def _(record: Record):
    return Clip(bound(0.0), bound(6.0))


@spelled("keras", "activation.hard_tanh", "ops.HardTanh")
def _(record: Record):
    return Clip(bound(-1.0), bound(1.0))
