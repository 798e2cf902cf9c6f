"""The four closed families of ops. An op says what it *is*; an analysis has one rule a family.

Shapes are those of one sample: the batch axis is never part of them. Arrays that flow through ops have it in front.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

Shape = tuple[int, ...]


def size(shape: Shape) -> int:
    """How many numbers one sample of this shape holds."""
    return math.prod(shape)


def whole(shape: Shape) -> Shape:
    """The shape in Python's own integers: numpy's overflow, and torch takes them in some places only."""
    return tuple(int(n) for n in shape)


LARGEST_TENSOR = 2**22
"""Entries of one sample's tensor that importers accept: a hostile Pad or Expand is refused before it is allocated. Image networks
stay below (VGG's first layer has 64 x 224 x 224, 3.2 million)."""


class Op(abc.ABC):
    """A function of one or several tensors. Frozen dataclasses; constants are float64 numpy arrays."""

    @abc.abstractmethod
    def shape(self, *inputs: Shape) -> Shape:
        """Shape of the output for inputs of these shapes. ValueError where they do not fit."""

    @abc.abstractmethod
    def __call__(self, *xs):
        """The value for batched arrays (n, *shape), numpy or torch alike."""


class AffineOp(Op):
    """y = sum_k A_k x_k + a, on flattened samples (C order)."""

    @abc.abstractmethod
    def matrices(self, *inputs: Shape) -> tuple[list[sp.csr_array], np.ndarray]:
        """One (outputs, inputs_k) CSR matrix for each input, and a: (outputs,). float64."""


class ElementwisePL(Op):
    """The same shape out as in, every entry its own continuous (or stepping) piecewise linear function."""

    @abc.abstractmethod
    def pieces(self, shape: Shape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(breaks (k,) or (units, k), slopes (.., k + 1), offsets (.., k + 1)): on piece p, y = slopes[p] z + offsets[p],
        p = number of breaks <= z. One row for all units, or one a unit (flattened, C order)."""

    def shape(self, *inputs: Shape) -> Shape:
        return inputs[0]


class SelectionOp(Op):
    """Each output is the largest (sign = 1) or smallest (sign = -1) of a group of input entries."""

    sign: int = 1

    @abc.abstractmethod
    def groups(self, *inputs: Shape) -> tuple[np.ndarray, np.ndarray]:
        """(ptr (outputs + 1,), members): output g chooses among members[ptr[g]:ptr[g + 1]], indices into the inputs
        flattened and laid one behind the other, in the order in which ties are decided."""


class SmoothOp(Op):
    """The same shape out as in, every entry through one smooth function."""

    curvature: float
    """A proved bound of |f''| over the whole line; inf where there is none (jumps of f')."""

    inflections: tuple[float, ...] = ()
    """Where f'' changes sign, ascending."""

    @abc.abstractmethod
    def f(self, x):
        """The function, numpy or torch."""

    @abc.abstractmethod
    def df(self, x):
        """Its derivative, numpy or torch."""

    def shape(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def __call__(self, *xs):
        return self.f(xs[0])


@dataclass(frozen=True)
class Node:
    """One op in a graph. `inputs` name nodes, or `INPUT`."""

    name: str
    op: Op
    inputs: tuple[str, ...]
    shape: Shape

    def __post_init__(self):
        object.__setattr__(self, "shape", whole(self.shape))


@dataclass(frozen=True, eq=False)
class Pick(AffineOp):
    """Some entries of the flattened sample, by index. indices: (k,) int."""

    indices: np.ndarray

    def shape(self, *inputs: Shape) -> Shape:
        if len(self.indices) and not 0 <= self.indices.min() <= self.indices.max() < size(inputs[0]):
            raise ValueError(f"indices up to {self.indices.max()} of a tensor of {size(inputs[0])} entries")
        return (len(self.indices),)

    def __call__(self, *xs):
        return xs[0].reshape(len(xs[0]), -1)[:, self.indices]

    def matrices(self, *inputs: Shape):
        k = len(self.indices)
        A = sp.csr_array((np.ones(k), (np.arange(k), self.indices)), shape=(k, size(inputs[0])))
        return [A], np.zeros(k)
