"""Laws of every op class: walk the registry, so that a new op is tested before anyone writes a test for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import pytest

import pellucid.ops  # noqa: F401
from pellucid.graph import AffineOp, ElementwisePL, GraphBuilder, Network, SelectionOp, SmoothOp
from pellucid.graph.op import Pick, size
from pellucid.graph.store import load_network, op_classes
from pellucid.ops.abs import Abs
from pellucid.ops.add import Add
from pellucid.ops.avg_pool import AvgPool
from pellucid.ops.clip import Clip
from pellucid.ops.conv import Conv
from pellucid.ops.elu import ELU
from pellucid.ops.extremum import Extremum, ReduceExtremum
from pellucid.ops.gelu import GELU, GELUTanh
from pellucid.ops.hard_sigmoid import HardSigmoid
from pellucid.ops.leaky_relu import LeakyReLU, PReLU
from pellucid.ops.linear import Linear
from pellucid.ops.matmul import MatMul
from pellucid.ops.max_pool import MaxPool
from pellucid.ops.rearrange import Concat, Expand, Gather, Pad, Reshape, Slice, Tile, Transpose
from pellucid.ops.reduce import Reduce
from pellucid.ops.relu import ReLU
from pellucid.ops.scale import Scale
from pellucid.ops.sigmoid import Sigmoid
from pellucid.ops.silu import SiLU
from pellucid.ops.softplus import Softplus
from pellucid.ops.tanh import Tanh

Rng = np.random.Generator
CASES: dict[type, Callable[[Rng], Iterator[tuple]]] = {}
"""For each op class a generator of (op, shape of input 1, shape of input 2, ..)."""


def cases(cls: type):
    def register(make):
        CASES[cls] = make
        return make
    return register


def _window(rng: Rng, axes: int) -> tuple[dict, tuple[int, ...], tuple[int, ...]]:
    """Random stride, padding, dilation; a kernel; spatial sizes that the window fits."""
    kernel = tuple(int(k) for k in rng.integers(1, 4, axes))
    padding = tuple((int(rng.integers(0, k // 2 + 1)), int(rng.integers(0, k // 2 + 1))) for k in kernel)
    window = {"stride": tuple(int(s) for s in rng.integers(1, 4, axes)), "padding": padding,
              "dilation": tuple(int(d) for d in rng.integers(1, 3, axes))}
    return window, kernel, tuple(int(n) for n in rng.integers(5, 9, axes))


@cases(Linear)
def _(rng):
    yield Linear(rng.normal(size=(3, 4)), rng.normal(size=3)), (4,)
    yield Linear(rng.normal(size=(2, 4)), rng.normal(size=2)), (3, 2, 4)


@cases(MatMul)
def _(rng):
    yield MatMul(rng.normal(size=(5, 2)), left=True), (2, 3)
    yield MatMul(rng.normal(size=(5, 2)), left=True), (4, 2, 3)
    yield MatMul(rng.normal(size=(3, 2))), (4, 3)
    yield MatMul(rng.normal(size=(4, 3, 2))), (4, 2, 3)
    yield MatMul(rng.normal(size=(4, 3, 2))), (1, 2, 3)
    yield MatMul(rng.normal(size=(4, 2, 3)), left=True), (5, 1, 3, 2)


@cases(Conv)
def _(rng):
    for axes in (1, 2, 2, 2, 3):
        window, kernel, spatial = _window(rng, axes)
        groups = int(rng.integers(1, 3))
        W = rng.normal(size=(2 * groups, 2, *kernel))
        yield Conv(W, rng.normal(size=2 * groups), **window, groups=groups), (2 * groups, *spatial)


@cases(AvgPool)
def _(rng):
    for axes in (1, 2, 2, 3):
        for ceil_mode in (False, True):
            window, kernel, spatial = _window(rng, axes)
            yield AvgPool(kernel, **window, ceil_mode=ceil_mode, count_include_pad=bool(rng.integers(2))), (3, *spatial)


@cases(MaxPool)
def _(rng):
    for axes in (1, 2, 2, 3):
        for ceil_mode in (False, True):
            window, kernel, spatial = _window(rng, axes)
            yield MaxPool(kernel, **window, ceil_mode=ceil_mode), (2, *spatial)


@cases(Scale)
def _(rng):
    yield Scale(rng.normal(size=(3, 1)), rng.normal(size=4)), (3, 4)
    yield Scale(np.array(2.0), np.array(-1.0)), (2, 3)


@cases(Add)
def _(rng):
    yield Add((1.0, -1.0)), (3, 4), (3, 4)
    yield Add((1.0, 2.0, 0.5)), (3, 1), (4,), (1, 1)


@cases(Reduce)
def _(rng):
    yield Reduce((0, 2)), (2, 3, 4)
    yield Reduce((1,), mean=True), (2, 3)


@cases(Pick)
def _(rng):
    yield Pick(np.array([5, 0, 0])), (2, 3)


@cases(Reshape)
def _(rng):
    yield Reshape((3, 2)), (6,)
    yield Reshape((4,)), (2, 1, 2)


@cases(Transpose)
def _(rng):
    yield Transpose((2, 0, 1)), (2, 3, 4)


@cases(Slice)
def _(rng):
    yield Slice(1, 3, -2, 2), (2, 4)
    yield Slice(0, 1, 1, 2), (3, 2)


@cases(Gather)
def _(rng):
    yield Gather(1, np.array([[2, 0], [1, 1]])), (2, 3, 2)
    yield Gather(0, np.array(1)), (2, 3)


@cases(Pad)
def _(rng):
    yield Pad(((1, 0), (2, 1)), value=1.5), (2, 3)
    yield Pad(((1, 2), (0, 1)), mode="reflect"), (3, 3)
    yield Pad(((1, 2), (0, 1)), mode="edge"), (3, 3)


@cases(Expand)
def _(rng):
    yield Expand((2, 3, 4)), (3, 1)


@cases(Tile)
def _(rng):
    yield Tile((2, 3)), (1, 2)


@cases(Concat)
def _(rng):
    yield Concat(0, (None, None)), (2, 3), (1, 3)
    yield Concat(1, (rng.normal(size=(2, 1)), None, rng.normal(size=(2, 2)), None)), (2, 3), (2, 1)


@cases(ReLU)
def _(rng):
    yield ReLU(), (2, 3)


@cases(LeakyReLU)
def _(rng):
    yield LeakyReLU(0.3), (2, 3)
    yield LeakyReLU(-1.5), (3,)


@cases(PReLU)
def _(rng):
    yield PReLU(rng.normal(size=(2, 1))), (2, 3)


@cases(Clip)
def _(rng):
    yield Clip(np.array(-0.5), np.array(0.7)), (2, 3)
    yield Clip(None, rng.normal(size=3)), (2, 3)
    yield Clip(rng.normal(size=(2, 1)), None), (2, 3)
    yield Clip(rng.normal(size=(2, 1)), rng.normal(size=3)), (2, 3)     # some with low > high


@cases(HardSigmoid)
def _(rng):
    yield HardSigmoid(), (4,)
    yield HardSigmoid(1 / 6, 0.5), (4,)


@cases(Abs)
def _(rng):
    yield Abs(), (4,)


@cases(Extremum)
def _(rng):
    yield Extremum(), (2, 3), (2, 3)
    yield Extremum(-1), (2, 1), (3,), (2, 3)


@cases(ReduceExtremum)
def _(rng):
    yield ReduceExtremum((1,)), (2, 3, 2)
    yield ReduceExtremum((0, 2), -1), (2, 3, 2)


for _smooth in (Sigmoid(), Tanh(), Softplus(), Softplus(3.0), ELU(), ELU(2.0), ELU(0.5), ELU(1.7, 1.7), ELU(-0.5), GELU(), GELUTanh(),
                SiLU()):
    _before = CASES.get(type(_smooth))

    @cases(type(_smooth))
    def _(rng, op=_smooth, before=_before):
        yield from before(rng) if before else ()
        yield op, (2, 3)


def _instances():
    for cls, make in CASES.items():
        yield from (pytest.param(*case[:1], case[1:], id=f"{cls.__name__}-{k}")
                    for k, case in enumerate(make(np.random.default_rng(0))))


def _of(family):
    return [p for p in _instances() if isinstance(p.values[0], family)]


every_op = pytest.mark.parametrize(("op", "shapes"), list(_instances()))


def _inputs(shapes, n=40, seed=1):
    rng = np.random.default_rng(seed)
    xs = [rng.normal(size=(n, *s)) for s in shapes]
    for x in xs:
        x[: n // 4] = np.round(x[: n // 4])                     # ties and breakpoints too
    return xs


def test_every_op_class_has_cases():
    missing = set(op_classes().values()) - set(CASES)
    assert not {c for c in missing if c.__module__.startswith("pellucid.")}, "give each new op a case above"


@every_op
def test_shape_is_that_of_the_value(op, shapes):
    assert op(*_inputs(shapes)).shape == (40, *op.shape(*shapes))


@every_op
def test_numpy_and_torch_agree(op, shapes):
    torch = pytest.importorskip("torch")
    xs = _inputs(shapes)
    y = op(*(torch.tensor(x) for x in xs))
    assert y.dtype == torch.float64
    np.testing.assert_allclose(y.numpy(), op(*xs), rtol=1e-12, atol=1e-12)


@every_op
def test_torch_gradients_flow(op, shapes):
    torch = pytest.importorskip("torch")
    xs = [torch.tensor(x, requires_grad=True) for x in _inputs(shapes)]
    op(*xs).sum().backward()
    assert all(x.grad is not None and torch.isfinite(x.grad).all() for x in xs)


@pytest.mark.parametrize(("op", "shapes"), _of(AffineOp))
def test_matrices_are_the_op(op, shapes):
    xs = _inputs(shapes)
    matrices, a = op.matrices(*shapes)
    assert [A.shape for A in matrices] == [(size(op.shape(*shapes)), size(s)) for s in shapes]
    assert all(A.format == "csr" and A.dtype == np.float64 for A in matrices)
    y = sum((A @ x.reshape(len(x), -1).T).T for A, x in zip(matrices, xs, strict=True)) + a
    np.testing.assert_allclose(y, op(*xs).reshape(40, -1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("op", "shapes"), _of(ElementwisePL))
def test_pieces_are_the_op(op, shapes):
    (x,), n = _inputs(shapes), size(shapes[0])
    breaks, slopes, offsets = op.pieces(shapes[0])
    assert slopes.shape == offsets.shape == (*breaks.shape[:-1], breaks.shape[-1] + 1)
    assert breaks.ndim == 1 or len(breaks) == n
    assert (np.diff(breaks, axis=-1) >= 0).all()
    z = x.reshape(len(x), -1)
    breaks, slopes, offsets = (np.broadcast_to(t, (n, t.shape[-1])) for t in (breaks, slopes, offsets))
    z = np.concatenate([z, breaks.T])                           # the breakpoints themselves
    piece = (breaks[None] <= z[:, :, None]).sum(axis=2)
    unit = np.arange(n)[None, :]
    np.testing.assert_allclose(slopes[unit, piece] * z + offsets[unit, piece], op(z.reshape(-1, *shapes[0])).reshape(len(z), -1),
                               rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("op", "shapes"), _of(SelectionOp))
def test_groups_are_the_op(op, shapes):
    xs = _inputs(shapes)
    ptr, members = op.groups(*shapes)
    assert len(ptr) == size(op.shape(*shapes)) + 1
    assert (np.diff(ptr) > 0).all()
    joined = np.concatenate([x.reshape(40, -1) for x in xs], axis=1)
    chosen = op.sign * np.maximum.reduceat(op.sign * joined[:, members], ptr[:-1], axis=1)
    np.testing.assert_array_equal(chosen, op(*xs).reshape(40, -1))


def _sweep(op):
    x = np.linspace(-12, 12, 48001)
    kinks = [0.0] if np.isinf(op.curvature) else []
    return x, np.array([abs(x - k) > 2e-3 for k in kinks]).all(axis=0) if kinks else np.ones(len(x), dtype=bool)


@pytest.mark.parametrize(("op", "shapes"), _of(SmoothOp))
def test_df_is_the_slope_of_f(op, shapes):
    x, smooth = _sweep(op)
    slope = (op.f(x + 1e-5) - op.f(x - 1e-5)) / 2e-5
    np.testing.assert_allclose(op.df(x)[smooth], slope[smooth], atol=1e-5)


@pytest.mark.parametrize(("op", "shapes"), _of(SmoothOp))
def test_curvature_bounds_the_second_derivative(op, shapes):
    """Lipschitz constant of df on a dense sweep; and the bound is not idle (nearly reached)."""
    x, _ = _sweep(op)
    steepest = np.abs(np.diff(op.df(x)) / np.diff(x)).max()
    assert steepest <= op.curvature * (1 + 1e-9)
    assert np.isinf(op.curvature) or steepest >= 0.99 * op.curvature


@pytest.mark.parametrize(("op", "shapes"), _of(SmoothOp))
def test_inflections_are_where_df_turns(op, shapes):
    """df rises or falls throughout between inflections, and turns round at each."""
    ends = [-6.0, *op.inflections, 6.0]
    directions = []
    for lo, hi in pairwise(ends):
        change = np.diff(op.df(np.linspace(lo, hi, 20001)[1:-1]))
        assert (change >= -1e-14).all() or (change <= 1e-14).all()
        directions.append(np.sign(change[np.abs(change).argmax()]) if np.abs(change).max() > 1e-13 else 0)
    assert all(a != b for a, b in pairwise(directions))


@every_op
def test_saving_and_loading_changes_nothing(op, shapes, tmp_path):
    b = GraphBuilder((sum(map(size, shapes)),))
    begin, parts = 0, []
    for s in shapes:
        cut = b.add(Slice(0, begin, 1, size(s)), "input")
        parts.append(b.add(Reshape(s), cut))
        begin += size(s)
    net = Network(b.graph(b.add(op, *parts)))
    again = load_network(net.save(tmp_path / "net.npz"))
    assert again.digest == net.digest
    x = np.random.default_rng(2).normal(size=(5, net.n_inputs))
    np.testing.assert_array_equal(again(x), net(x))
