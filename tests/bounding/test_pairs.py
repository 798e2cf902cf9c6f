"""Units asked about in those sets alone that need it: bounds are those of each set by itself."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bounding.sets import outside, points  # noqa: E402
from nets import KINDS, degenerate  # noqa: E402
from networks import relu_network  # noqa: E402

import pellucid as pel  # noqa: E402
from pellucid.bounding import hidden as module  # noqa: E402

NETS = {**KINDS, **{name: lambda rng, net=net: net for name, net in degenerate().items()}}
ALWAYS, NEVER = 0, 10**9


@pytest.mark.parametrize(("dtype", "p"), [("float64", math.inf), ("float64", 2), ("float64", 1), ("float32", math.inf)])
@pytest.mark.parametrize("name", NETS)
def test_pairs_bound_each_set_as_it_is_bounded_alone(name, dtype, p, rng, monkeypatch):
    net = NETS[name](rng)
    d = int(np.prod(net.input_shape))
    x, eps = rng.normal(size=(40, d)), 10.0 ** rng.uniform(-6, 0.5, (40, 1))
    x[0] = 0.0
    ball = pel.Ball(x.reshape(40, *net.input_shape), eps, p, clip=None)
    monkeypatch.setattr(module, "PAIR", ALWAYS)
    found = pel.bounds(net, ball, method="crown", dtype=dtype)
    y = net(points(x, eps, p, 64, rng).reshape(-1, *net.input_shape)).reshape(40, 64, -1)
    assert outside(found, y) <= 0
    monkeypatch.setattr(module, "PAIR", NEVER)
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    for i in range(40):
        alone = pel.bounds(net, pel.Ball(x[i].reshape(1, *net.input_shape), float(eps[i, 0]), p, clip=None), method="crown", dtype=dtype)
        for one, other in ((found.lower, alone.lower), (found.upper, alone.upper)):
            np.testing.assert_allclose(one[i].numpy(), other[0].numpy(), rtol=0, atol=tolerance * (1 + np.abs(y).max()))


def test_few_undecided_units_are_asked_about_alone(rng, monkeypatch):
    """64 small sets on both sides of one kink each: one pair a set, which gradients pass through as well."""
    net = relu_network([(np.eye(64), np.zeros(64)), (np.eye(64), np.full(64, -1.0)), (np.ones((1, 64)), np.zeros(1))])
    asked = []
    real = module.pair_bounds
    monkeypatch.setattr(module, "pair_bounds", lambda trace, name, sets, units: asked.append(len(sets)) or real(trace, name, sets, units))
    x = torch.full((64, 64), 3.0, dtype=torch.float64)
    x[torch.arange(64), torch.arange(64)] = 1.0
    x.requires_grad_()
    found = pel.bounds(net, pel.Ball(x, 0.5, clip=None), method="crown")
    assert asked == [64]
    found.lower.sum().backward()
    expected = torch.ones(64, 64, dtype=torch.float64)
    slack = torch.diagonal(x.grad)
    assert bool((x.grad[expected.bool() & ~torch.eye(64, dtype=torch.bool)] - 1).abs().max() < 1e-9)
    assert bool(((slack >= -1e-9) & (slack <= 1 + 1e-9)).all())
