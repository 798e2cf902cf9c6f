"""Clip: a number kept between two bounds. ReLU6, HardTanh, Max and Min with a constant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..graph.arrays import exact, like, xp
from ..graph.op import ElementwisePL, Shape
from ..graph.registry import Record, spelled


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
