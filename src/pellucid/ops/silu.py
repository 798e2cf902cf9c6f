"""SiLU (swish): x sigmoid(x)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..graph.arrays import xp
from ..graph.op import SmoothOp
from ..graph.registry import Record, spelled
from .scale import Scale


@dataclass(frozen=True)
class SiLU(SmoothOp):
    """f(x) = x s, s = 1 / (1 + exp(-x)) (Elfwing et al. 2018).

    f'' = s (1 - s) (2 - x tanh(x / 2)). The first factor is at most 1/4, the second at most 2, so f'' <= 1/2, attained at
    0. Below, f'' >= -|x| s (1 - s) >= -0.2240 (|x| s (1 - s) peaks where |x| tanh(|x| / 2) = 1). So |f''| <= 1/2.
    Its sign changes where x tanh(x / 2) = 2.
    """

    curvature = 0.5
    inflections = (-2.3993572805154675, 2.3993572805154675)

    def f(self, x):
        return x * xp(x).sigmoid(x)

    def df(self, x):
        s = xp(x).sigmoid(x)
        return s + x * s * xp(x).sigmoid(-x)


@spelled("onnx", "Swish")
def _(record: Record):
    alpha = float(record.get("alpha", 1.0))                     # x s(a x) = (a x) s(a x) / a
    zero = np.array(0.0)
    return SiLU() if alpha == 1.0 else (Scale(np.array(alpha), zero), SiLU(), Scale(np.array(1.0 / alpha), zero))


@spelled("torch", "aten.silu")
def _(record: Record):
    return SiLU()


@spelled("keras", "activation.silu", "activation.swish", "ops.Silu")
def _(record: Record):
    return SiLU()
