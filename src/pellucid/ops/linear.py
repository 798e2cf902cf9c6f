"""Linear: y = W x + b on flat samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ..graph.arrays import like
from ..graph.op import AffineOp, Shape


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
