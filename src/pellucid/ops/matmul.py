"""MatMul with a constant: plain layers become `Linear`, the rest (constant on the left, stacks of matrices) `MatMul`."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from ..graph.arrays import exact, like
from ..graph.op import AffineOp, Shape, size
from ..graph.registry import Record, Value, spelled, spelling, unsupported
from .linear import Linear
from .rearrange import Reshape


@dataclass(frozen=True, eq=False)
class MatMul(AffineOp):
    """y = x W, or W x where `left`: numpy's matmul on the last two axes, broadcast over those before.

    W: (.., k, m), or (.., m, k) where left. A sample has at least two axes, and at least as many as W.
    """

    W: np.ndarray
    left: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        inner = self.W.shape[-1] if self.left else self.W.shape[-2]
        if len(x) < max(2, self.W.ndim) or x[-2 if self.left else -1] != inner:
            raise ValueError(f"a MatMul with a constant {self.W.shape} on the {'left' if self.left else 'right'} got {x}")
        stack = np.broadcast_shapes(x[:-2], self.W.shape[:-2])
        return (*stack, self.W.shape[-2], x[-1]) if self.left else (*stack, x[-2], self.W.shape[-1])

    def __call__(self, *xs):
        W = like(self.W, xs[0])
        return W @ xs[0] if self.left else xs[0] @ W

    def matrices(self, *inputs: Shape):
        out, (x,) = self.shape(*inputs), inputs
        full = (*out, self.W.shape[-1] if self.left else self.W.shape[-2])   # one entry of A for each: (.., row, column, k)
        column = np.arange(size(x)).reshape(x)
        if self.left:
            columns, values = np.swapaxes(column, -1, -2)[..., None, :, :], self.W[..., :, None, :]
        else:
            columns, values = column[..., :, None, :], np.swapaxes(self.W, -1, -2)[..., None, :, :]
        rows = np.arange(size(out)).reshape(*out, 1)
        entries = (np.broadcast_to(values, full).ravel(),
                   (np.broadcast_to(rows, full).ravel(), np.broadcast_to(columns, full).ravel()))
        return [sp.csr_array(entries, shape=(size(out), size(x)))], np.zeros(size(out))


@spelled("onnx", "MatMul")
def _(record: Record):
    if len(record.values) != 1:
        raise unsupported(record, "it multiplies two tensors that both depend on the input, which is not piecewise linear")
    left = not isinstance(record.args[0], Value)
    (x,), W = record.values, exact(record.constant(0 if left else 1))
    rank = len(x.shape)
    if rank == 0 or W.ndim == 0:
        raise unsupported(record, "it sums over the batch axis" if record.lead else "a number is no matrix")
    if W.ndim == 1:
        matrix = Linear(W[None, :], np.zeros(1)) if not left or rank == 1 else MatMul(W[None, :], left=True)
        if left and rank == 1 and record.lead:
            raise unsupported(record, "it sums over the batch axis")
        result = matrix.shape(x.shape)
        return matrix, Reshape(tuple(np.delete(result, -2 if left and rank > 1 else -1).tolist()))
    while W.ndim > 2 and W.shape[0] == 1 and W.ndim > rank:
        W = W[0]
    if W.ndim > rank and W.ndim > 2:
        raise unsupported(record, f"a constant of shape {W.shape} gives the result more axes than the sample has")
    if not left and W.ndim == 2:
        return Linear(W.T.copy(), np.zeros(W.shape[1]))
    if rank == 1:
        if record.lead or not left:
            raise unsupported(record, "it sums over the batch axis")
        return Linear(W, np.zeros(len(W)))
    return MatMul(W, left)


@spelled("torch", "aten.matmul", "aten.mm", "aten.bmm", "aten.mv")
def _(record: Record):
    """A constant stack that repeats one matrix for each row of the batch is that matrix."""
    constants = [np.asarray(a) for a in record.args if not isinstance(a, Value)]
    if record.batch and len(constants) == 1 and constants[0].ndim == 3 and len(constants[0]) == record.batch \
            and (constants[0] == constants[0][:1]).all():
        record = replace(record, args=tuple(a if isinstance(a, Value) else a[0] for a in record.args))
    return spelling("onnx", "MatMul")(record)
