"""GELU: x Phi(x), and its tanh form, which is another function."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..graph.arrays import xp
from ..graph.op import SmoothOp
from ..graph.registry import Record, spelled

_ROOT = math.sqrt(2.0 / math.pi)
_CUBIC = 0.044715


@dataclass(frozen=True)
class GELU(SmoothOp):
    """f(x) = x Phi(x), Phi the standard normal distribution (Hendrycks & Gimpel 2016).

    f''(x) = phi(x) (2 - x^2) is largest in size at 0: |f''| <= 2 / sqrt(2 pi) < 0.7979. (For |x| > sqrt(2),
    phi(x) (x^2 - 2) <= phi(x) x^2 <= 2 phi(sqrt(2)) < 0.3.) Its sign changes at -+ sqrt(2).
    """

    curvature = 0.7979
    inflections = (-math.sqrt(2.0), math.sqrt(2.0))

    def f(self, x):
        return x * xp(x).ndtr(x)

    def df(self, x):
        return xp(x).ndtr(x) + x * xp(x).exp(-x * x / 2) / math.sqrt(2 * math.pi)


@dataclass(frozen=True)
class GELUTanh(SmoothOp):
    """f(x) = x (1 + tanh u) / 2 with u = c (x + k x^3), c = sqrt(2 / pi), k = 0.044715.

    With s = sigmoid(2 u), s' = 2 u' s (1 - s), f'' = 4 u' s(1-s) + x (2 u'' s(1-s) + 4 u'^2 s(1-s)(1-2s))
       = 2 s(1-s) (2 u' + x u'' - 2 x u'^2 tanh u).
    s(1-s) = sech(u)^2 / 4. Upper: x u'^2 tanh u >= 0, so f'' <= sech(u)^2 (u' + x u''/2) = sech(u)^2 c (1 + 6 k x^2); as
    u^2 >= c^2 x^2 and 6 k / c^2 < 0.43 it is at most c (1 + 0.43 u^2) / cosh(u)^2 <= c, since cosh(u)^2 >= 1 + u^2.
    Lower: f'' >= -x u'^2 tanh(u) sech(u)^2 for x > 0. With x <= u / c, u' = c (1 + 3 k x^2) <= c (1 + 0.2108 u^2) and
    tanh(u) <= u the size is at most c (u (1 + 0.2108 u^2) / cosh u)^2 <= c, since cosh u >= 1 + u^2/2 + u^4/24 + u^6/720
    >= u (1 + 0.2108 u^2). So |f''| <= c < 0.7979, attained at 0.
    """

    curvature = 0.7979
    inflections = (-1.4185040087908285, 1.4185040087908285)

    def f(self, x):
        return x * xp(x).sigmoid(2.0 * _ROOT * (x + _CUBIC * x * x * x))

    def df(self, x):
        u = 2.0 * _ROOT * (x + _CUBIC * x * x * x)
        du = 2.0 * _ROOT * (1.0 + 3.0 * _CUBIC * x * x)
        s = xp(x).sigmoid(u)
        return s + x * du * s * xp(x).sigmoid(-u)


@spelled("onnx", "Gelu")
def _(record: Record):
    return GELUTanh() if record.get("approximate", "none") == "tanh" else GELU()


@spelled("torch", "aten.gelu")
def _(record: Record):
    return GELUTanh() if record.get("approximate", "none") == "tanh" else GELU()


@spelled("keras", "activation.gelu")
def _(record: Record):
    return GELU()
