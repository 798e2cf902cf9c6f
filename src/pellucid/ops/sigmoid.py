"""Sigmoid: 1 / (1 + exp(-x))."""

from __future__ import annotations

from dataclasses import dataclass

from ..graph.arrays import xp
from ..graph.op import SmoothOp
from ..graph.registry import Record, spelled


@dataclass(frozen=True)
class Sigmoid(SmoothOp):
    """f(x) = s = 1 / (1 + exp(-x)).

    f'' = s (1 - s) (1 - 2 s). With u = 1 - 2 s in (-1, 1) it is u (1 - u^2) / 4, largest at u = 1 / sqrt(3): there
    1 / (6 sqrt(3)) < 0.09623. Its sign changes at u = 0, that is x = 0.
    """

    curvature = 0.09623
    inflections = (0.0,)

    def f(self, x):
        return xp(x).sigmoid(x)

    def df(self, x):
        return xp(x).sigmoid(x) * xp(x).sigmoid(-x)


@spelled("onnx", "Sigmoid")
def _(record: Record):
    return Sigmoid()


@spelled("sklearn", "logistic")
def _(record: Record):
    return Sigmoid()


@spelled("torch", "aten.sigmoid")
def _(record: Record):
    return Sigmoid()


@spelled("keras", "activation.sigmoid", "ops.Sigmoid")
def _(record: Record):
    return Sigmoid()
