"""Affine ops in torch: products with A, |A| and A^T, convolutions kept as convolutions. One rule an op; sparse matrices for the rest."""

from __future__ import annotations

import abc
from functools import cached_property, singledispatch

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..graph.op import AffineOp, Shape, size
from ..ops.add import Add
from ..ops.conv import Conv
from ..ops.linear import Linear
from ..ops.rearrange import RearrangeOp, Reshape
from ..ops.scale import Scale
from ..ops.windows import torch_padding
from .rounding import tiny, unit


class Affine(abc.ABC):
    """y = sum_k A_k x_k + bias, for tensors (n, *shape) of one dtype and device.

    terms, terms_back: no entry of A x, and none of A^T L, is a sum of more products than this. copies: A is a selection of entries,
    so that A x is exact.
    """

    terms: int = 1
    terms_back: int = 1
    copies: bool = False
    bias: Tensor | None = None

    @cached_property
    def bias_size(self) -> Tensor:
        """|bias|, of an op that has one."""
        assert self.bias is not None
        return self.bias.abs()

    @abc.abstractmethod
    def forward(self, *xs: Tensor) -> Tensor:
        """sum_k A_k x_k: (n, *out), without the bias."""

    def magnitude(self, *xs: Tensor) -> Tensor:
        """sum_k |A_k| x_k: (n, *out), for x_k >= 0; where weights are lost in the dtype, more (`_magnitude`)."""
        return self.forward(*xs)

    def spread(self, *xs: Tensor) -> Tensor:
        """sum_k |A_k| x_k for x_k of any sign, A_k as it is in the dtype."""
        return self.magnitude(*xs)

    @abc.abstractmethod
    def back(self, L: Tensor) -> list[Tensor]:
        """[A_k^T L]: L (n, s, *out) -> (n, s, *in_k) each."""

    def rows(self) -> list[Tensor] | None:
        """[A_k] as (1, outputs, *in_k), where that costs nothing; `back` of the identity otherwise."""
        return None

    def reach(self, scale: Tensor, q: float) -> Tensor | None:
        """(n, *out): the dual norm |A_i scale|_q of each row, scale (n, *in), of an op with one input; None: not known here."""
        return None

    def sided_reach(self, up: Tensor, down: Tensor, q: float) -> Tensor | None:
        """(n, *out): |(A+ up, A- down)|_q of each row, A+ and A- the sizes of the positive and the negative entries. None: not known."""
        return None


@singledispatch
def affine(op: AffineOp, shapes: list[Shape], out: Shape, dtype: torch.dtype, device: torch.device) -> Affine:
    """The op on inputs of these shapes."""
    return Sparse(op, shapes, out, dtype, device)


def _tensor(a, dtype, device) -> Tensor:
    return torch.as_tensor(np.array(a, dtype=np.float64), dtype=dtype, device=device)


def _magnitude(a, dtype, device) -> Tensor:
    """|a|; entries that are lost in the dtype count as so large that the terms for rounding cover them (u |A| > what was lost)."""
    a = np.abs(np.asarray(a, dtype=np.float64))
    lost = (a > 0) & (a < torch.finfo(dtype).tiny)
    return _tensor(np.where(lost, 4 * tiny(dtype) / unit(dtype), a) if lost.any() else a, dtype, device)


def _loses(a, dtype) -> bool:
    """Are there numbers that become 0 or lose digits by underflow?"""
    a = np.abs(np.asarray(a, dtype=np.float64))
    return bool(((a > 0) & (a < torch.finfo(dtype).tiny)).any())


def _bias(a, dtype, device) -> Tensor | None:
    return _tensor(a, dtype, device) if np.any(a) else None


class Sparse(Affine):
    """Any affine op, by its matrices."""

    def __init__(self, op: AffineOp, shapes: list[Shape], out: Shape, dtype, device):
        matrices, a = op.matrices(*shapes)
        self.shapes, self.out = shapes, out
        counts = sum(np.diff(A.indptr) for A in matrices)
        columns = [np.bincount(A.indices, minlength=A.shape[1]) for A in matrices]
        self.terms, self.terms_back = int(counts.max(initial=1)), int(max(c.max(initial=1) for c in columns))
        self.copies = bool(counts.max(initial=0) <= 1 and all((A.data == 1).all() for A in matrices) and not np.any(counts * a))
        self.A = [_coo(A, dtype, device) for A in matrices]
        self._absolute = [_coo(abs(A), dtype, device, _magnitude) for A in matrices]
        self.At = [_coo(A.T.tocsr(), dtype, device) for A in matrices]
        self.bias = _bias(np.reshape(a, out), dtype, device)

    def forward(self, *xs):
        return self._forward(self.A, xs)

    def magnitude(self, *xs):
        return self._forward(self._absolute, xs)

    def spread(self, *xs):
        return self._forward([A.abs() for A in self.A], xs)

    def _forward(self, matrices, xs):
        n = len(xs[0])
        y = sum(torch.sparse.mm(A, x.reshape(n, -1).T) for A, x in zip(matrices, xs, strict=True))
        return y.T.reshape(n, *self.out)

    def back(self, L):
        n, s = L.shape[:2]
        flat = L.reshape(n * s, -1).T
        return [torch.sparse.mm(A, flat).T.reshape(n, s, *shape) for A, shape in zip(self.At, self.shapes, strict=True)]


def _coo(A, dtype, device, convert=_tensor) -> Tensor:
    coo = A.tocoo()
    where = torch.as_tensor(np.stack([coo.row, coo.col]).astype(np.int64), device=device)
    return torch.sparse_coo_tensor(where, convert(coo.data, dtype, device), coo.shape, check_invariants=False).coalesce()


class LinearLayer(Affine):
    """W x along the last axis."""

    def __init__(self, op: Linear, shape: Shape, out: Shape, dtype, device):
        self.W, self.op = _tensor(op.W, dtype, device), op
        self.bias = _bias(np.broadcast_to(op.b, out), dtype, device)
        self.terms_back, self.terms = op.W.shape
        self.flat = len(shape) == 1

    @cached_property
    def _absolute(self) -> Tensor:
        return _magnitude(self.op.W, self.W.dtype, self.W.device)

    def forward(self, *xs):
        return xs[0] @ self.W.T

    def magnitude(self, *xs):
        return xs[0] @ self._absolute.T

    def spread(self, *xs):
        return xs[0] @ self.W.abs().T if _loses(self.op.W, self.W.dtype) else self.magnitude(*xs)

    def back(self, L):
        return [L @ self.W]

    def rows(self):
        return [self.W[None]] if self.flat else None

    def reach(self, scale, q):
        if q == 2:
            return ((scale * scale) @ (self.W * self.W).T).sqrt()
        if not self.flat:
            return None
        return torch.stack([(self._absolute * row).amax(dim=1) for row in scale])


    @cached_property
    def _sides(self) -> Tensor:
        """|W|, where it is positive and then where it is negative, side by side; what the dtype lost is in both."""
        return torch.cat([torch.where(self.W >= 0, self._absolute, 0.0), torch.where(self.W <= 0, self._absolute, 0.0)], dim=1)

    def sided_reach(self, up, down, q):
        both = torch.cat([up, down], dim=-1)
        if q == 1:
            return both @ self._sides.T
        if q == 2:
            return ((both * both) @ (self._sides * self._sides).T).clamp(min=tiny(both.dtype)).sqrt()
        return torch.stack([(self._sides * row).amax(dim=1) for row in both]) if self.flat else None


@affine.register
def _(op: Linear, shapes, out, dtype, device):
    return LinearLayer(op, shapes[0], out, dtype, device)


class ConvLayer(Affine):
    """Cross-correlation; its transpose gives back all that the windows saw, padding cut off."""

    def __init__(self, op: Conv, shape: Shape, out: Shape, dtype, device):
        self.W, self.op = _tensor(op.W, dtype, device), op
        axes = op.W.ndim - 2
        self.bias = _tensor(np.broadcast_to(op.b.reshape(-1, *[1] * axes), out), dtype, device) if np.any(op.b) else None
        self.pad = torch_padding(shape[1:], op.W.shape[2:], op.stride, op.padding, op.dilation, out[1:])
        per_group = len(op.W) // op.groups
        kernel = int(np.prod(op.W.shape[2:]))
        self.terms, self.terms_back = kernel * op.W.shape[1], kernel * per_group
        self._conv = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[axes]
        self._transposed = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[axes]

    @cached_property
    def _absolute(self) -> Tensor:
        return _magnitude(self.op.W, self.W.dtype, self.W.device)

    def _apply(self, x, W):
        return self._conv(F.pad(x, self.pad), W, None, self.op.stride, 0, self.op.dilation, self.op.groups)

    def forward(self, *xs):
        return self._apply(xs[0], self.W)

    def magnitude(self, *xs):
        return self._apply(xs[0], self._absolute)

    def spread(self, *xs):
        return self._apply(xs[0], self.W.abs())

    def back(self, L):
        n, s = L.shape[:2]
        x = self._transposed(L.reshape(n * s, *L.shape[2:]), self.W, None, self.op.stride, 0, 0, self.op.groups, self.op.dilation)
        x = F.pad(x, [-p for p in self.pad])
        return [x.reshape(n, s, *x.shape[1:])]

    def reach(self, scale, q):
        if q == 2:
            return self._apply(scale * scale, self.W * self.W).sqrt()
        if len(self.op.W.shape) != 4 or self.op.groups != 1:
            return None
        return self._largest(scale, self._absolute)

    def _largest(self, scale, W):
        seen = _windows(F.pad(scale, self.pad), self.op)        # (n, channels * kernel, windows)
        kernels = W.flatten(1)
        largest = torch.stack([(seen * k[:, None]).amax(dim=1) for k in kernels], dim=1)
        return largest.reshape(len(scale), len(kernels), *self._counts(scale))

    @cached_property
    def _sides(self) -> Tensor:
        """|W|, where it is positive and then where it is negative, side by side as channels; what the dtype lost is in both."""
        return torch.cat([torch.where(self.W >= 0, self._absolute, 0.0), torch.where(self.W <= 0, self._absolute, 0.0)], dim=1)

    def sided_reach(self, up, down, q):
        if len(self.op.W.shape) != 4 or self.op.groups != 1:
            return None
        both = torch.cat([up, down], dim=1)
        if q == 1:
            return self._apply(both, self._sides)
        if q == 2:
            return self._apply(both * both, self._sides * self._sides).clamp(min=tiny(both.dtype)).sqrt()
        return self._largest(both, self._sides)

    def _counts(self, x):
        spatial = [n + lo + hi for n, lo, hi in zip(x.shape[2:], self.pad[-2::-2], self.pad[-1::-2], strict=True)]
        return [(n - d * (k - 1) - 1) // s + 1
                for n, k, s, d in zip(spatial, self.W.shape[2:], self.op.stride, self.op.dilation, strict=True)]


def _windows(x: Tensor, op: Conv) -> Tensor:
    return F.unfold(x, op.W.shape[2:], op.dilation, 0, op.stride)


@affine.register
def _(op: Conv, shapes, out, dtype, device):
    return ConvLayer(op, shapes[0], out, dtype, device)


class View(Affine):
    """The same numbers in another shape."""

    copies = True

    def __init__(self, shape: Shape, out: Shape):
        self.shape, self.out = shape, out

    def forward(self, *xs):
        return xs[0].reshape(len(xs[0]), *self.out)

    def back(self, L):
        return [L.reshape(*L.shape[:2], *self.shape)]


@affine.register
def _(op: Reshape, shapes, out, dtype, device):
    return View(shapes[0], out)


class Rearranged(Affine):
    """Outputs that are copies of inputs, or constants."""

    copies = True

    def __init__(self, op: RearrangeOp, shapes: list[Shape], out: Shape, dtype, device):
        source = op.source(*shapes).ravel()
        self.shapes, self.out, self.sizes = shapes, out, [size(s) for s in shapes]
        total = sum(self.sizes)
        self.terms_back = int(np.bincount(source, minlength=1)[:total].max(initial=1))
        self.n_in, constant = total, source >= total
        self.index = torch.as_tensor(np.where(constant, total, source).astype(np.int64), device=device)
        a = np.zeros(len(source))
        a[constant] = op.values[source[constant] - total]
        self.bias = _bias(a.reshape(out), dtype, device)

    def forward(self, *xs):
        flat = [x.reshape(len(x), -1) for x in xs]
        zero = flat[0].new_zeros(len(flat[0]), 1)               # where constants stand
        return torch.cat([*flat, zero], dim=1)[:, self.index].reshape(len(zero), *self.out)

    def back(self, L):
        n, s = L.shape[:2]
        flat = L.new_zeros(n * s, self.n_in + 1).index_add(1, self.index, L.reshape(n * s, -1))
        parts = flat[:, :-1].split(self.sizes, dim=1)
        return [p.reshape(n, s, *shape) for p, shape in zip(parts, self.shapes, strict=True)]


@affine.register
def _(op: RearrangeOp, shapes, out, dtype, device):
    return Rearranged(op, shapes, out, dtype, device)


class Diagonal(Affine):
    """weight x, entry by entry."""

    def __init__(self, op: Scale, out: Shape, dtype, device):
        self.weight, self._absolute = _tensor(op.weight, dtype, device), _magnitude(op.weight, dtype, device)
        self.bias = _bias(np.broadcast_to(op.bias, out), dtype, device)

    def forward(self, *xs):
        return xs[0] * self.weight

    def magnitude(self, *xs):
        return xs[0] * self._absolute

    def spread(self, *xs):
        return xs[0] * self.weight.abs()

    def back(self, L):
        return [L * self.weight]


@affine.register
def _(op: Scale, shapes, out, dtype, device):
    return Diagonal(op, out, dtype, device)


class Sum(Affine):
    """Tensors of one shape added up with weights."""

    def __init__(self, weights: tuple[float, ...]):
        self.weights, self.terms = weights, len(weights)

    def forward(self, *xs):
        return self._sum(self.weights, xs)

    def magnitude(self, *xs):
        return self._sum([abs(w) for w in self.weights], xs)

    def _sum(self, weights, xs):
        terms = [x if w == 1.0 else w * x for w, x in zip(weights, xs, strict=True)]
        return sum(terms[1:], terms[0])

    def back(self, L):
        return [L if w == 1.0 else w * L for w in self.weights]


@affine.register
def _(op: Add, shapes, out, dtype, device):
    if any(s != out for s in shapes) or _loses(op.weights, dtype):
        return Sparse(op, shapes, out, dtype, device)
    return Sum(op.weights)
