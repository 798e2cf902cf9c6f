"""HardSigmoid: a line cut off at 0 and 1. HardSwish, its product with x, is not piecewise linear."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..graph.op import ElementwisePL, Shape
from ..graph.registry import Record, spelled, spelling, unsupported


@dataclass(frozen=True)
class HardSigmoid(ElementwisePL):
    """f(z) = min(max(alpha z + beta, 0), 1), alpha > 0."""

    alpha: float = 0.2
    beta: float = 0.5

    def pieces(self, shape: Shape):
        breaks = np.array([-self.beta / self.alpha, (1.0 - self.beta) / self.alpha])
        return breaks, np.array([0.0, self.alpha, 0.0]), np.array([0.0, self.beta, 1.0])

    def __call__(self, *xs):
        return (self.alpha * xs[0] + self.beta).clip(0.0, 1.0)


@spelled("onnx", "HardSigmoid")
def _(record: Record):
    alpha, beta = float(record.get("alpha", 0.2)), float(record.get("beta", 0.5))
    if alpha <= 0:
        raise unsupported(record, f"alpha={alpha} is not positive")
    return HardSigmoid(alpha, beta)


@spelled("onnx", "HardSwish")
def _(record: Record):
    raise unsupported(record, "x * HardSigmoid(x) is quadratic between -3 and 3, and its slope jumps there: neither piecewise "
                      "linear nor smooth", "train with ReLU, SiLU or GELU in its place")


@spelled("torch", "aten.hardsigmoid")
def _(record: Record):
    return HardSigmoid(1.0 / 6.0, 0.5)


@spelled("torch", "aten.hardswish")
def _(record: Record):
    raise unsupported(record, "x * hardsigmoid(x) is quadratic between -3 and 3, and its slope jumps there: neither piecewise "
                      "linear nor smooth", "train with ReLU, SiLU or GELU in its place")


@spelled("keras", "activation.hard_sigmoid", "ops.HardSigmoid")
def _(record: Record):
    return HardSigmoid(1.0 / 6.0, 0.5)


@spelled("keras", "activation.hard_silu", "activation.hard_swish")
def _(record: Record):
    return spelling("torch", "aten.hardswish")(record)
