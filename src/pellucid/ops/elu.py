"""ELU, CELU and SELU: z above zero, an exponential below."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..graph.arrays import xp
from ..graph.op import SmoothOp
from ..graph.registry import Record, spelled
from .scale import Scale


@dataclass(frozen=True)
class ELU(SmoothOp):
    """f(x) = x for x >= 0, alpha (exp(x / width) - 1) below; ELU has width 1, CELU width = alpha.

    f'' is 0 above zero and alpha / width^2 exp(x / width) below, so |f''| <= |alpha| / width^2, if f' does not jump at
    zero: it goes from alpha / width to 1 there. alpha = width is convex everywhere; alpha < width too (the slope jumps
    up); for alpha > width (the slope jumps down) zero parts a convex piece from a line; for alpha < 0 a concave one.
    """

    alpha: float = 1.0
    width: float = 1.0

    @property
    def curvature(self) -> float:
        return abs(self.alpha) / self.width**2 if self.alpha == self.width else math.inf

    @property
    def inflections(self) -> tuple[float, ...]:
        return () if 0 <= self.alpha <= self.width else (0.0,)

    def f(self, x):
        return x.clip(min=0.0) + self.alpha * xp(x).expm1(x.clip(max=0.0) / self.width)

    def df(self, x):
        below = self.alpha / self.width * xp(x).exp(x.clip(max=0.0) / self.width)
        return xp(x).where(x >= 0, 1.0 + 0.0 * below, below)


def selu(alpha: float, gamma: float) -> tuple[ELU, Scale]:
    """gamma times an ELU."""
    return ELU(alpha), Scale(np.array(gamma), np.array(0.0))


@spelled("onnx", "Elu")
def _(record: Record):
    return ELU(float(record.get("alpha", 1.0)))


@spelled("onnx", "Celu")
def _(record: Record):
    alpha = float(record.get("alpha", 1.0))
    return ELU(alpha, alpha)


@spelled("onnx", "Selu")
def _(record: Record):
    return selu(float(record.get("alpha", 1.6732632423543772)), float(record.get("gamma", 1.0507009873554805)))


@spelled("torch", "aten.elu")
def _(record: Record):
    """scale * (x above zero, alpha (exp(input_scale x) - 1) below)."""
    op, gain = ELU(float(record.get("alpha", 1.0)), 1.0 / float(record.get("input_scale", 1.0))), float(record.get("scale", 1.0))
    return op if gain == 1.0 else (op, Scale(np.array(gain), np.array(0.0)))


@spelled("torch", "aten.celu")
def _(record: Record):
    alpha = float(record.get("alpha", 1.0))
    return ELU(alpha, alpha)


@spelled("torch", "aten.selu")
def _(record: Record):
    return selu(1.6732632423543772, 1.0507009873554805)


@spelled("keras", "ELU", "activation.elu")
def _(record: Record):
    return ELU(float(record.get("alpha", 1.0)))


@spelled("keras", "activation.celu")
def _(record: Record):
    return ELU()


@spelled("keras", "activation.selu", "ops.Selu")
def _(record: Record):
    return selu(1.6732632423543772, 1.0507009873554805)
