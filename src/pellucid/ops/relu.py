"""ReLU: max(z, 0)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..graph.op import ElementwisePL, Shape
from ..graph.registry import Record, spelled


@dataclass(frozen=True)
class ReLU(ElementwisePL):
    """f(z) = max(z, 0). Off (piece 0) at z < 0, on (piece 1) at z >= 0 (SPEC 2)."""

    def pieces(self, shape: Shape):
        return np.array([0.0]), np.array([0.0, 1.0]), np.array([0.0, 0.0])

    def __call__(self, *xs):
        return xs[0].clip(min=0.0)


@spelled("onnx", "Relu")
def _(record: Record):
    return ReLU()


@spelled("sklearn", "relu")
def _(record: Record):
    return ReLU()


@spelled("torch", "aten.relu")
def _(record: Record):
    return ReLU()


@spelled("keras", "activation.relu", "ops.Relu")
def _(record: Record):
    return ReLU()
