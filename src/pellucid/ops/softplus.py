"""Softplus: log(1 + exp(x))."""

from __future__ import annotations

from dataclasses import dataclass

from ..graph.arrays import xp
from ..graph.op import SmoothOp
from ..graph.registry import Record, spelled, spelling, unsupported


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


@spelled("torch", "aten.softplus")
def _(record: Record):
    """torch goes over to the identity where beta x > threshold; at its default of 20 that is 2e-9 away."""
    if float(record.get("threshold", 20.0)) < 20.0:
        raise unsupported(record, f"threshold={record.get('threshold')}: it jumps to a line there")
    return Softplus(float(record.get("beta", 1.0)))


@spelled("torch", "aten.log_sigmoid", "aten.log_sigmoid_forward")
def _(record: Record):
    """log sigmoid(x) = -softplus(-x)."""
    from .scale import minus

    return minus(), Softplus(), minus()


@spelled("keras", "activation.softplus", "ops.Softplus")
def _(record: Record):
    return Softplus()


@spelled("keras", "activation.log_sigmoid")
def _(record: Record):
    return spelling("torch", "aten.log_sigmoid")(record)
