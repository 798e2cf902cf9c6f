"""Tanh."""

from __future__ import annotations

from dataclasses import dataclass

from ..graph.arrays import xp
from ..graph.op import SmoothOp
from ..graph.registry import Record, spelled


@dataclass(frozen=True)
class Tanh(SmoothOp):
    """f(x) = t = tanh(x).

    f'' = -2 t (1 - t^2), largest in size at t = 1 / sqrt(3): there 4 / (3 sqrt(3)) < 0.76981. Its sign changes at 0.
    """

    curvature = 0.76981
    inflections = (0.0,)

    def f(self, x):
        return xp(x).tanh(x)

    def df(self, x):
        s = xp(x).sigmoid(2.0 * x)                              # 1 - tanh^2 = 4 s (1 - s), without cancelling far out
        return 4.0 * s * xp(x).sigmoid(-2.0 * x)


@spelled("onnx", "Tanh")
def _(record: Record):
    return Tanh()


@spelled("sklearn", "tanh")
def _(record: Record):
    return Tanh()


@spelled("torch", "aten.tanh")
def _(record: Record):
    return Tanh()


@spelled("keras", "activation.tanh", "ops.Tanh")
def _(record: Record):
    return Tanh()
