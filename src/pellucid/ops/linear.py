"""Linear: y = W x + b along the last axis, as Gemm, MatMul, Dense and nn.Linear say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ..graph.arrays import exact, like
from ..graph.op import AffineOp, Op, Shape
from ..graph.registry import Record, Value, spelled, unsupported
from ..graph.rewrite import fuses
from .rearrange import Slice, Transpose
from .scale import Scale


@dataclass(frozen=True, eq=False)
class Linear(AffineOp):
    """y = W x + b along the last axis. W: (out, in), b: (out,)."""

    W: np.ndarray
    b: np.ndarray

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        if not x or x[-1] != self.W.shape[1]:
            raise ValueError(f"a Linear of {self.W.shape[1]} inputs got a tensor of shape {x}")
        return (*x[:-1], self.W.shape[0])

    def __call__(self, *xs):
        return xs[0] @ like(self.W, xs[0]).T + like(self.b, xs[0])

    def matrices(self, *inputs: Shape):
        copies = int(np.prod(inputs[0][:-1]))
        A = sp.csr_array(self.W) if copies == 1 else sp.csr_array(sp.kron(sp.eye_array(copies), self.W))
        return [A], np.tile(self.b, copies)


@fuses(Linear, Linear)
def _(first: Linear, second: Linear, shape: Shape):
    """Not through a bottleneck: there the product would be larger than its factors."""
    if len(second.W) * first.W.shape[1] > first.W.size + second.W.size:
        return None
    return Linear(second.W @ first.W, second.W @ first.b + second.b)


@fuses(Linear, Scale)
def _(first: Linear, second: Scale, shape: Shape):
    if not (last_axis_only(second.weight) and last_axis_only(second.bias)):
        return None
    weight = np.broadcast_to(second.weight.reshape(-1), len(first.W))
    return Linear(weight[:, None] * first.W, weight * first.b + second.bias.reshape(-1))


@fuses(Scale, Linear)
def _(first: Scale, second: Linear, shape: Shape):
    if not (last_axis_only(first.weight) and last_axis_only(first.bias)):
        return None
    bias = np.broadcast_to(first.bias.reshape(-1), second.W.shape[1])
    return Linear(second.W * first.weight.reshape(-1), second.W @ bias + second.b)


@fuses(Linear, Slice)
def _(first: Linear, second: Slice, shape: Shape):
    """Some outputs of a layer are a smaller layer."""
    if second.axis != len(shape) - 1:
        return None
    rows = second.start + second.step * np.arange(second.count)
    return Linear(first.W[rows], first.b[rows])


def last_axis_only(constant: np.ndarray) -> bool:
    """Does it vary along the last axis only?"""
    return constant.size == 1 or constant.size == constant.shape[-1]


@spelled("onnx", "ai.onnx.ml.LinearRegressor", "ai.onnx.ml.LinearClassifier")
def _(record: Record):
    """Of a classifier the scores, before its post_transform."""
    b = exact(record.get("intercepts", [0.0]))
    rows = len(b) if record.kind.endswith("Classifier") else int(record.get("targets", 1))
    if record.kind.endswith("Regressor") and record.get("post_transform", "NONE") != "NONE":
        raise unsupported(record, f"post_transform {record.get('post_transform')}")
    return Linear(exact(record.get("coefficients")).reshape(rows, -1), np.broadcast_to(b, rows).copy())


@spelled("onnx", "Gemm")
def _(record: Record):
    """alpha A' B' + beta C."""
    if not isinstance(record.args[0], Value) or len(record.values) > 1:
        raise unsupported(record, "only a constant B (and C) is a linear layer")
    x = record.args[0]
    if len(x.shape) + record.lead != 2 or (record.get("transA", 0) and record.lead):
        raise unsupported(record, "A has to be (batch, features), not transposed")
    B = exact(record.constant(1))
    if B.ndim != 2:
        raise unsupported(record, f"B has shape {B.shape}, and has to be a matrix")
    W = float(record.get("alpha", 1.0)) * (B if record.get("transB", 0) else B.T)
    C = float(record.get("beta", 1.0)) * exact(record.constant(2, default=0.0))
    turn: tuple[Op, ...] = (Transpose((1, 0)),) if record.get("transA", 0) else ()
    if C.size not in (1, len(W)):                               # (rows, outputs), possible without a batch axis only
        return (*turn, Linear(W, np.zeros(len(W))), Scale(np.array(1.0), record.sample_constant(2) * record.get("beta", 1.0)))
    if C.ndim == 2 and C.shape[1] == 1 and len(W) > 1 and C.shape[0] > 1:
        raise unsupported(record, f"C has shape {C.shape}: one number a row of the batch")
    return (*turn, Linear(W, np.broadcast_to(C.reshape(-1), len(W)).copy()))


@spelled("torch", "aten.linear")
def _(record: Record):
    x = record.args[0]
    if not isinstance(x, Value) or len(record.values) > 1:
        raise unsupported(record, "its weights depend on the input")
    if not x.shape:
        raise unsupported(record, "it sums over the batch axis")
    W = exact(record.constant(1))
    return Linear(W, exact(record.constant(2, default=np.zeros(len(W)))))


@spelled("torch", "aten.addmm")
def _(record: Record):
    """beta C + alpha x B."""
    if not isinstance(record.args[1], Value) or len(record.values) > 1:
        raise unsupported(record, "only a constant second matrix (and summand) is a linear layer")
    W = float(record.get("alpha", 1.0)) * exact(record.constant(2)).T
    C = float(record.get("beta", 1.0)) * record.sample_constant(0)
    return Linear(W, np.broadcast_to(C, len(W)).copy())


@spelled("keras", "Dense")
def _(record: Record):
    W = record.get("weights")["kernel"].T
    return Linear(W, record.get("weights").get("bias", np.zeros(len(W))))
