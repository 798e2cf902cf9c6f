"""LeakyReLU and PReLU: z above zero, slope * z below."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..graph.arrays import exact, like
from ..graph.op import ElementwisePL, Shape, size
from ..graph.registry import Record, spelled, unsupported


@dataclass(frozen=True)
class LeakyReLU(ElementwisePL):
    """f(z) = z for z >= 0, slope * z below."""

    slope: float = 0.01

    def pieces(self, shape: Shape):
        return np.array([0.0]), np.array([self.slope, 1.0]), np.array([0.0, 0.0])

    def __call__(self, *xs):
        return xs[0].clip(min=0.0) + self.slope * xs[0].clip(max=0.0)


@dataclass(frozen=True, eq=False)
class PReLU(ElementwisePL):
    """f(z) = z for z >= 0, slopes * z below; slopes broadcast against a sample (learnt, often one a channel)."""

    slopes: np.ndarray

    def shape(self, *inputs: Shape) -> Shape:
        if np.broadcast_shapes(inputs[0], self.slopes.shape) != inputs[0]:
            raise ValueError(f"slopes {self.slopes.shape} do not fit a tensor of shape {inputs[0]}")
        return inputs[0]

    def pieces(self, shape: Shape):
        below = np.broadcast_to(self.slopes, shape).ravel()
        return np.zeros((size(shape), 1)), np.stack([below, np.ones_like(below)], axis=1), np.zeros((size(shape), 2))

    def __call__(self, *xs):
        return xs[0].clip(min=0.0) + like(self.slopes, xs[0]) * xs[0].clip(max=0.0)


@spelled("onnx", "LeakyRelu")
def _(record: Record):
    return LeakyReLU(float(record.get("alpha", 0.01)))


@spelled("onnx", "PRelu")
def _(record: Record):
    (x,) = record.values
    slopes = exact(record.constant(1))
    if slopes.ndim == 1 and len(slopes) == 1:
        return LeakyReLU(float(slopes[0]))
    if slopes.ndim == 1 and record.lead and len(x.shape) > 1 and len(slopes) == x.shape[0] != x.shape[-1]:
        slopes = slopes.reshape(-1, *[1] * (len(x.shape) - 1))  # before opset 7: one a channel
        return PReLU(slopes)
    slopes = record.sample_constant(1)
    if slopes.size == 1:
        return LeakyReLU(float(slopes.ravel()[0]))
    if np.broadcast_shapes(slopes.shape, x.shape) != x.shape:
        raise unsupported(record, f"slopes of shape {slopes.shape}")
    return PReLU(slopes)


@spelled("torch", "aten.leaky_relu")
def _(record: Record):
    return LeakyReLU(float(record.get("negative_slope", 0.01)))


@spelled("torch", "aten.rrelu")
def _(record: Record):
    """In evaluation the slope is the mean of those that training draws from."""
    if record.get("training", False):
        raise unsupported(record, "a random slope, of training", "call model.eval()")
    return LeakyReLU((float(record.get("lower", 1 / 8)) + float(record.get("upper", 1 / 3))) / 2)


@spelled("torch", "aten.prelu", "aten._prelu_kernel")
def _(record: Record):
    """One slope, or one a channel (axis 1 of the whole tensor)."""
    (x,), slopes = record.values, exact(record.constant(1))
    if slopes.size == 1:
        return LeakyReLU(float(slopes.ravel()[0]))
    return PReLU(slopes.reshape(-1, *[1] * (len(x.shape) - 1)))


@spelled("keras", "LeakyReLU", "activation.leaky_relu")
def _(record: Record):
    """The layer's default is 0.3 (in its configuration), the activation's 0.2."""
    return LeakyReLU(float(record.get("negative_slope", 0.2)))


@spelled("keras", "PReLU")
def _(record: Record):
    """Axes that share their slopes are of length one."""
    return PReLU(record.get("weights")["alpha"])


@spelled("keras", "ReLU")
def _(record: Record):
    """x from the threshold on, negative_slope (x - threshold) below, at most max_value."""
    from .clip import Clip
    from .relu import ReLU

    slope, top = float(record.get("negative_slope") or 0.0), record.get("max_value")
    if record.get("threshold"):
        raise unsupported(record, f"threshold={record.get('threshold')}: it jumps there")
    op = LeakyReLU(slope) if slope else ReLU()
    return op if top is None else (op, Clip(None, exact(top)))
