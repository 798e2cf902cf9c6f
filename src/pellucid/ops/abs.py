"""Abs: |z|."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..graph.op import ElementwisePL, Shape
from ..graph.registry import Record, spelled


@dataclass(frozen=True)
class Abs(ElementwisePL):
    """f(z) = |z|."""

    def pieces(self, shape: Shape):
        return np.array([0.0]), np.array([-1.0, 1.0]), np.array([0.0, 0.0])

    def __call__(self, *xs):
        return abs(xs[0])


@spelled("onnx", "Abs")
def _(record: Record):
    return Abs()


@spelled("torch", "aten.abs")
def _(record: Record):
    return Abs()


@spelled("keras", "ops.Absolute", "ops.Abs")
def _(record: Record):
    return Abs()
