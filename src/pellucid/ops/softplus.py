"""Softplus: log(1 + exp(x))."""

from __future__ import annotations

from dataclasses import dataclass

from ..graph.arrays import xp
from ..graph.op import SmoothOp
from ..graph.registry import Record, spelled


@dataclass(frozen=True)
class Softplus(SmoothOp):
    """f(x) = log(1 + exp(beta x)) / beta, beta > 0. Convex.

    f'' = beta s (1 - s) with s = sigmoid(beta x), so 0 < f'' <= beta / 4.
    """

    beta: float = 1.0

    @property
    def curvature(self) -> float:
        return 0.25 * self.beta

    def f(self, x):
        return xp(x).softplus(self.beta * x) / self.beta

    def df(self, x):
        return xp(x).sigmoid(self.beta * x)


@spelled("onnx", "Softplus")
def _(record: Record):
    return Softplus()
