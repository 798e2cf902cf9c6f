"""Add: tensors added up, with weights; Sub and residual connections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ..graph.op import AffineOp, Shape, size


@dataclass(frozen=True)
class Add(AffineOp):
    """y = sum_k weights[k] x_k; samples broadcast against each other, aligned to the right."""

    weights: tuple[float, ...]

    def shape(self, *inputs: Shape) -> Shape:
        if len(inputs) != len(self.weights):
            raise ValueError(f"{len(self.weights)} weights for {len(inputs)} tensors")
        return np.broadcast_shapes(*inputs)

    def __call__(self, *xs):
        total = None
        for weight, x in zip(self.weights, aligned(xs), strict=True):
            term = x if weight == 1.0 else weight * x
            total = term if total is None else total + term
        return total

    def matrices(self, *inputs: Shape):
        out = self.shape(*inputs)
        rows = np.arange(size(out))
        maps = []
        for weight, x in zip(self.weights, inputs, strict=True):
            columns = np.broadcast_to(np.arange(size(x)).reshape(x), out).ravel()
            maps.append(sp.csr_array((np.full(len(rows), float(weight)), (rows, columns)), shape=(len(rows), size(x))))
        return maps, np.zeros(len(rows))


def aligned(xs) -> list:
    """Batched arrays with ones put behind the batch axis, so that their samples broadcast aligned to the right."""
    rank = max(x.ndim for x in xs)
    return [x.reshape(len(x), *(1,) * (rank - x.ndim), *x.shape[1:]) for x in xs]
