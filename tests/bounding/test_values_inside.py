"""No point of a set gives a value outside its bounds: every op, method, norm and dtype; small and huge sets."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bounding.sets import around, mlp, outside, points  # noqa: E402
from laws.test_ops import CASES  # noqa: E402

import pellucid as pel  # noqa: E402
from pellucid.graph import GraphBuilder, Network  # noqa: E402
from pellucid.ops.add import Add  # noqa: E402
from pellucid.ops.linear import Linear  # noqa: E402
from pellucid.ops.rearrange import Concat  # noqa: E402
from pellucid.ops.relu import ReLU  # noqa: E402
from pellucid.ops.tanh import Tanh  # noqa: E402

METHODS = ("interval", "crown-interval", "crown", "forward", "forward+crown", "alpha-crown", "best")
SIZES = (0.0, 1e-300, 1e-30, 1e-9, 1e-3, 0.3, 3.0, 1e4)


def _check(net, x, eps, p, method, dtype, rng, n=64, **options):
    y = net(points(x, eps, p, n, rng).reshape(-1, x.shape[1])).reshape(len(x), n, -1)
    found = pel.bounds(net, pel.Ball(x, eps, p, clip=None), method=method, dtype=dtype, **options)
    assert outside(found, y) <= 0, (method, dtype, p, eps)
    return found


@pytest.mark.parametrize("cls", sorted(CASES, key=lambda c: c.__name__), ids=lambda c: c.__name__)
def test_values_lie_inside_for_every_op_and_method(cls):
    rng = np.random.default_rng(0)
    cases = list(CASES[cls](rng))
    for k, (op, *shapes) in enumerate(cases):
        net, x = around(op, shapes, rng), rng.normal(size=(2, 3))
        x[0] = 0.0
        for j, method in enumerate(METHODS[:-2]):
            p = (math.inf, 2, 1)[(j + k) % 3]
            eps = SIZES[(3 * j + k) % len(SIZES)]
            found = _check(net, x, eps, p, method, ("float64", "float32")[(j + k) % 2], rng)
            assert bool(found.lower.isfinite().all())
        _check(net, x, 0.3, math.inf, "alpha-crown", "float64", rng, iterations=2)


@pytest.mark.slow
@pytest.mark.parametrize("cls", sorted(CASES, key=lambda c: c.__name__), ids=lambda c: c.__name__)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_values_lie_inside_a_million_times(cls, dtype):
    """Over all ops: several 1e7 (network, set, point) triples; the worst points are looked for by gradient too."""
    rng = np.random.default_rng(1)
    for op, *shapes in CASES[cls](rng):
        for d in (1, 4):
            net, x = around(op, shapes, rng, d=d), rng.normal(size=(3, d))
            many, eps = np.repeat(x, len(SIZES), axis=0), np.tile(SIZES, len(x))[:, None]       # sets of all sizes in one call
            for p in (math.inf, 2, 1):
                for method in METHODS[:-2]:
                    _check(net, many, eps, p, method, dtype, rng, n=256)
            for method in METHODS:
                found = pel.bounds(net, pel.Ball(x, 0.5, clip=None), method=method, dtype=dtype, iterations=3)
                assert outside(found, net(_ascended(net, x, 0.5).reshape(-1, d)).reshape(3, -1, 2)) <= 0


def _ascended(net, x, eps, steps=40):
    """(n, 32, d) points of max-norm balls that push outputs up and down, by signed gradients."""
    start = np.repeat(x[:, None], 32, axis=1)
    at = torch.tensor(start + eps * np.random.default_rng(2).uniform(-1, 1, start.shape), requires_grad=True)
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(16)[None, :, None]
    low, high = torch.tensor(start - eps), torch.tensor(start + eps)
    for _ in range(steps):
        y = net.graph(at.reshape(-1, *net.input_shape)).reshape(*at.shape[:2], -1)
        (g,) = torch.autograd.grad((signs * y).sum(), at)
        at = (at + eps / 8 * g.sign()).clamp(low, high).detach().requires_grad_()
    return at.detach().numpy()


@pytest.mark.parametrize("act", [ReLU, Tanh])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_degenerate_networks(act, method, dtype):
    rng = np.random.default_rng(3)
    for sizes in ([1, 1, 1], [2, 3], [1, 1], [3, 1, 4, 1, 2], [2, 8, 8, 1]):
        for zero in (True, False):
            net = mlp(sizes, rng, act, zero_bias=zero)
            x = np.concatenate([np.zeros((1, sizes[0])), rng.normal(size=(1, sizes[0]))])
            _check(net, x, 0.7, math.inf, method, dtype, rng, iterations=3)


def test_huge_weights_overflow_to_no_bound():
    rng = np.random.default_rng(4)
    net = mlp([2, 6, 6, 6, 1], rng, scale=1e100)
    for method in METHODS[:-2]:
        found = pel.bounds(net, pel.Ball(np.zeros(2), 1.0, clip=None), method=method, dtype="float32")
        assert not bool(found.lower.isnan().any() | found.upper.isnan().any())
        assert bool((found.lower <= found.upper).all())
        assert found.certificate.figures["unbounded"] > 0


@pytest.mark.parametrize("sizes", [[1, 1], [2, 2], [2, 3, 2]])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_values_beyond_the_largest_number_have_no_bound(sizes, method, dtype):
    """The largest number is none; and the set beside the huge one keeps its own."""
    rng, d = np.random.default_rng(8), sizes[0]
    net, x = mlp(sizes, rng, zero_bias=True, scale=3.0), np.stack([rng.normal(size=d), np.zeros(d)])
    corners = np.concatenate([np.eye(d), -np.eye(d)])
    for p, share in itertools.product((1, 2, math.inf), (0.1, 0.9, 4.0)):
        huge = share * min(float(np.finfo(dtype).max), 1e308 / share)
        found = pel.bounds(net, pel.Ball(x, np.array([[0.1], [huge]]), p, clip=None), method=method, dtype=dtype, iterations=2)
        with np.errstate(all="ignore"):
            y = np.stack([net(x[0] + 0.1 * corners), net(huge * corners)])
        outer = 1e-12 * np.array([1.0, 0.0])[:, None, None]
        low, high = found.lower.numpy()[:, None] - outer, found.upper.numpy()[:, None] + outer
        assert (((low <= y) & (y <= high)) | np.isnan(y)).all()


def test_weights_that_float32_loses_count():
    rng = np.random.default_rng(5)
    net = mlp([3, 6, 2], rng, scale=1e-42)
    for method in METHODS[:-2]:
        _check(net, rng.normal(size=(2, 3)), 1.0, math.inf, method, "float32", rng)


def test_rows_that_float32_does_not_hold():
    rng = np.random.default_rng(6)
    net = mlp([3, 8, 2], rng)
    c = np.array([[1.0 + 1e-12, -1.0 + 1e-10], [1e-50, 1.0]])
    x = rng.normal(size=(1, 3))
    y = net(points(x, 0.2, math.inf, 200, rng)[0]) @ c.T
    for method in METHODS[:-2]:
        found = pel.bounds(net, pel.Ball(x, 0.2, clip=None), method=method, spec=c, dtype="float32")
        assert outside(found, y[None]) <= 0


@pytest.mark.parametrize("part", [0, *(pytest.param(k, marks=pytest.mark.slow) for k in range(1, 10))])
def test_exact_maxima_lie_inside(part):
    """20 networks a part: of 1 to 3 hidden layers, with zero biases, dead and double units; every method, in both dtypes."""
    for k in range(20 * part, 20 * part + 20):
        rng = np.random.default_rng([7, k])
        d, depth = 1 + k % 4, 1 + k // 4 % 3
        net = _with_odd_units([d, *rng.integers(2, 7, size=depth), 1 + k % 2], rng, zero_bias=k % 2 == 0)
        box = pel.Box.around(rng.normal(size=d), rng.choice([0.05, 0.4, 1.5]))
        high = np.array([pel.maximise(net, s, box).value for s in range(net.n_outputs)])
        low = np.array([pel.minimise(net, s, box).value for s in range(net.n_outputs)])
        for method in METHODS:
            for dtype in ("float64", "float32"):
                found = pel.bounds(net, box, method=method, iterations=3, dtype=dtype)
                room = 1e-9 * (1 + np.maximum(abs(low), abs(high)))     # what the solver's answers are good for
                assert (found.lower[0].double().numpy() <= low + room).all(), (k, method, dtype)
                assert (found.upper[0].double().numpy() >= high - room).all(), (k, method, dtype)


def _with_odd_units(sizes, rng, zero_bias):
    """Layers some of whose units are dead, always off, or equal to another."""
    layers = []
    for i, o in itertools.pairwise(sizes):
        W, b = rng.normal(size=(o, i)) * np.sqrt(2 / i), np.zeros(o) if zero_bias else rng.normal(size=o) * 0.3
        kind = rng.integers(8)
        if o > 1 and kind == 0:
            W[0], b[0] = W[1], b[1]
        elif o > 1 and kind == 1:
            W[0] = 0.0
        elif o > 1 and kind == 2:
            b[0] = -100.0
        layers.append((W, b))
    return pel.load(([W for W, _ in layers], [b for _, b in layers]), orientation="out_in")


@pytest.mark.parametrize("method", ["crown", "alpha-crown", "best"])
@pytest.mark.parametrize(("ball", "subtracts"), [(pel.Ball(np.zeros(3), 0.5, clip=None), True),
                                                 (pel.Ball(np.zeros(3), 2.0, 2, clip=(-1, 1)), False)])
def test_branches_beside_each_other(method, ball, subtracts, rng):
    """Units before which there are no lines, in program order behind units that have some: nothing can be optimised for them."""
    b = GraphBuilder((3,))
    def linear(m, value):
        return b.add(Linear(rng.normal(size=(m, b.shapes[value][0])), rng.normal(size=m)), value)
    one, z = b.add(ReLU(), linear(4, "input")), linear(4, "input")
    two = b.add(ReLU(), b.add(Add((1.0, -1.0)), z, linear(4, "input")) if subtracts else z)
    net = Network(b.graph(linear(2, b.add(Concat(0, (None, None)), one, two))))
    x = rng.uniform(-0.5, 0.5, (1, 500, 3))
    assert outside(pel.bounds(net, ball, method=method), net(x[0])[None]) <= 0
