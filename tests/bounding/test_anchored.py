"""Balls in float32: rounding that is measured from the centre keeps bounds near those of float64, and sound."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bounding.nets import KINDS  # noqa: E402
from bounding.sets import mlp, points  # noqa: E402

import pellucid as pel  # noqa: E402
from pellucid.bounding import Trace, crown, input_set, lowest, plain_products, program  # noqa: E402
from pellucid.graph import INPUT, GraphBuilder, Network  # noqa: E402
from pellucid.ops.add import Add  # noqa: E402
from pellucid.ops.linear import Linear  # noqa: E402
from pellucid.ops.relu import ReLU  # noqa: E402


def far_network(rng, d: int = 300) -> Network:
    """Wide, with inputs far from 0: sums are large beside what the balls move."""
    W = [rng.normal(size=(40, d)), rng.normal(size=(30, 40)) / 6, rng.normal(size=(3, 30)) / 5]
    return pel.load((W, [rng.normal(size=len(w)) for w in W]), orientation="out_in")


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("method", ["crown", "crown-interval"])
def test_float32_loses_little_where_balls_are_small_beside_their_centres(p, method):
    net, rng = far_network(np.random.default_rng(0)), np.random.default_rng(1)
    x = 3 + rng.uniform(size=(3, 300))
    wide, exact = (pel.bounds(net, pel.Ball(x, 0.5, p=p, clip=None), method=method, dtype=dtype) for dtype in ("float32", "float64"))
    assert (wide.lower.double() <= exact.lower).all()
    assert (wide.upper.double() >= exact.upper).all()
    if method == "crown":
        assert (wide.width.double() <= 1.05 * exact.width).all()


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_values_lie_inside_however_small_the_ball_and_far_its_centre(kind, p):
    rng = np.random.default_rng(p)
    for size, eps in ((1.0, 1e-3), (1e3, 1e-3), (1e3, 1e-7), (1.0, 0.0), (1e-20, 1e-20)):
        net = KINDS[kind](rng)
        x = rng.normal(size=(3, net.n_inputs)) * size
        y = net(points(x, eps, p, 300, rng).reshape(-1, net.n_inputs)).reshape(3, 300, -1)
        room = 1e-13 * (1 + np.abs(y) + size * 100)
        for method in ("crown", "crown-interval"):
            found = pel.bounds(net, pel.Ball(x, eps, p=p, clip=None), method=method, dtype="float32")
            low, high = (t.double().numpy()[:, None] for t in (found.lower, found.upper))
            assert (low <= y + room).all()
            assert (high >= y - room).all()


@pytest.mark.parametrize("p", [1, 2])
def test_inputs_that_are_used_twice(p):
    """The rows that reach the inputs come from a linear layer, the inputs themselves and a ReLU of them."""
    rng = np.random.default_rng(4)
    for pick in range(4):
        b = GraphBuilder((5,))
        layer = b.add(ReLU(), b.add(Linear(rng.normal(size=(5, 5)), rng.normal(size=5)), INPUT))
        other = (INPUT, b.add(ReLU(), INPUT), b.add(Linear(rng.normal(size=(5, 5)), rng.normal(size=5)), INPUT), layer)[pick]
        both = b.add(Add((1.0, -2.0)), layer, other)
        net = Network(b.graph(b.add(Linear(rng.normal(size=(2, 5)), rng.normal(size=2)), b.add(Add((1.0, 1.0)), both, INPUT))))
        x = 100 + rng.normal(size=(4, 5))
        y = net(points(x, 0.3, p, 500, rng).reshape(-1, 5)).reshape(4, 500, -1)
        wide, exact = (pel.bounds(net, pel.Ball(x, 0.3, p=p, clip=None), dtype=dtype) for dtype in ("float32", "float64"))
        for found in (wide, exact):
            low, high = (t.double().numpy()[:, None] for t in (found.lower, found.upper))
            assert (low <= y + 1e-11).all()
            assert (high >= y - 1e-11).all()
        assert (wide.width.double() <= exact.width * 1.02 + 1e-3).all()


def test_a_trace_made_by_hand_has_no_anchor_and_holds_too():
    net, rng = far_network(np.random.default_rng(0)), np.random.default_rng(2)
    run = program(net.graph, torch.float32)
    sets = input_set(net, pel.Ball(3 + rng.uniform(size=(2, 300)), 0.5, p=2, clip=None), torch.float32)
    C = torch.eye(3)[None]
    with plain_products():
        trace = crown(run, sets)
        plain = Trace(run, sets, dict(trace.bounds))
        near, far = (lowest(t, run.output, C)[0] for t in (trace, plain))
    assert trace.anchored
    assert not plain.anchored
    assert (near > far).all()


def test_weights_that_float32_does_not_hold():
    rng = np.random.default_rng(0)
    for size in (1e-60, 1e60):
        net = mlp([4, 6, 2], rng)
        step = net.graph.nodes[0]
        b = GraphBuilder((4,))
        net = Network(b.graph(b.add(Linear(rng.normal(size=(2, 4)), np.zeros(2)), b.add(
            ReLU(), b.add(Linear(step.op.W[:4] * size, np.zeros(4)), INPUT)))))
        x = rng.normal(size=(1, 4))
        found = pel.bounds(net, pel.Ball(x, 0.1, p=2, clip=None), dtype="float32")
        y = net(points(x, 0.1, 2, 200, rng)[0])
        assert (found.lower.double().numpy() <= y).all()
        assert (found.upper.double().numpy() >= y).all()


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("method", ["crown", "crown-interval", "forward+crown"])
def test_gradients_to_the_centre_are_those_of_float64(p, method):
    rng = np.random.default_rng(0)
    net, x, found = mlp([4, 8, 6, 2], rng), rng.normal(size=(2, 4)), []
    for dtype in ("float32", "float64"):
        centre, eps = torch.tensor(x, requires_grad=True), torch.full((2, 4), 0.6, dtype=torch.float64, requires_grad=True)
        pel.bounds(net, pel.Ball(centre, eps, p=p, clip=None), method=method, dtype=dtype).lower.sum().backward()
        found.append((centre.grad, eps.grad))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_forms_are_none_where_numbers_overflow():
    net = pel.load(([np.eye(2), np.ones((1, 2))], [np.zeros(2), np.array([1e39])]), orientation="out_in")
    for p in (1, 2):
        found = pel.bounds(net, pel.Ball(np.ones(2), 0.1, p=p, clip=None), dtype="float32", forms=True).forms
        assert (found.lower_b == -np.inf).all()
        assert (found.upper_b == np.inf).all()
        assert bool(found.lower_A.isfinite().all() & found.upper_A.isfinite().all())
