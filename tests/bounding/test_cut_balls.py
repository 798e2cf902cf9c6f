"""L1 and L2 balls that a box cuts: the support function against exact optima, and bounds that it makes tighter."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bounding.nets import KINDS  # noqa: E402
from bounding.sets import mlp  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

import pellucid as pel  # noqa: E402
from pellucid.bounding import boxes, input_set  # noqa: E402
from pellucid.bounding.support import farthest  # noqa: E402
from pellucid.geometry import Ball  # noqa: E402

METHODS = ("interval", "forward", "crown-interval", "forward+crown", "crown", "alpha-crown")


def optimum(w: np.ndarray, k: np.ndarray, p: int) -> float:
    """max w y under 0 <= y <= k, ||y||_p <= 1: greedily; by bisection of the multiplier."""
    if p == 1:
        left, best = 1.0, 0.0
        for j in np.argsort(-w):
            take = min(left, k[j])
            left, best = left - take, best + take * w[j]
        return best
    if (k[w > 0] ** 2).sum() <= 1:
        return float(w @ k)
    low, high = -320.0, 320.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if (np.minimum(w / 10.0**middle, k) ** 2).sum() > 1 else (low, middle)
    return float(w @ np.minimum(w / 10.0**high, k))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), d=st.sampled_from([1, 2, 7, 60]), spread=st.sampled_from([0.0, 1.0, 4.0]),
       p=st.sampled_from([1, 2]), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_it_is_the_optimum_or_a_little_more(seed, d, spread, p, dtype):
    rng = np.random.default_rng(seed)
    L = rng.normal(size=(1, 3, d)) * 10.0 ** rng.uniform(-spread, spread, size=(1, 3, d)) * (rng.uniform(size=(1, 3, d)) > 0.1)
    scale = rng.uniform(size=(2, d)) * (rng.uniform(size=(2, d)) > 0.2)
    down, up = (np.minimum(1, rng.uniform(0, 1.5, size=(2, d)) ** rng.choice([1, 4, 12])) * (rng.uniform(size=(2, d)) > 0.3) for _ in "ab")
    given_ = [torch.tensor(a, dtype=dtype) for a in (L, scale, down, up)]
    L, scale, down, up = (t.double().numpy() for t in given_)
    found = farthest(*given_, p).double().numpy()
    u = torch.finfo(dtype).eps
    for n in range(2):
        for s in range(3):
            w, k = np.abs(L[0, s]) * scale[n], np.where(L[0, s] > 0, down[n], up[n])
            best = optimum(w, k, p)
            assert found[n, s] >= best * (1 - 1e-13)
            assert found[n, s] <= (w.max() if p == 1 else np.linalg.norm(w)) * (1 + 64 * (d + 20) * u) + 1e-18
            if spread == 0:
                assert found[n, s] <= best * 1.08 + 1e-18


@pytest.mark.parametrize("p", [1, 2])
def test_rounding_is_paid_for_at_the_ends_of_the_range(p):
    for dtype, ends in ((torch.float32, (1e-37, 1e-22, 1e17)), (torch.float64, (1e-307, 1e-160, 1e150))):
        for size in ends:
            L = torch.tensor([[[size, -size, 2 * size]]], dtype=dtype)
            ball = input_set(mlp([3, 2, 2], np.random.default_rng(0)), Ball(np.array([0.0, 0.5, 0.3]), 0.4, p=p), dtype)
            rows = L[0, 0].double().numpy()
            exact = rows @ [0, 0.5, 0.3] - optimum(np.abs(rows) * 0.4, np.array([0, 1, 0.75]), p)
            assert ball.least(L)[0, 0].item() <= exact + 1e-13 * abs(exact)


def extreme(rng, x, eps, p, low, high, n: int) -> np.ndarray:
    """Points of the ball cut with [low, high]: many at its border, in the directions that are left."""
    away = rng.normal(size=(n, x.size)) * (rng.uniform(size=(n, x.size)) < rng.choice([0.2, 1.0], size=(n, 1)))
    if p == 1:
        away[: n // 2] = np.eye(x.size)[rng.integers(x.size, size=n // 2)] * rng.choice([-1, 1], size=(n // 2, 1))
    away = np.clip(x + away, low, high) - x
    t = away / np.maximum(np.linalg.norm(away / eps, ord=p, axis=1, keepdims=True), 1e-300)
    points = np.clip(x + t, low, high)
    far = np.linalg.norm((points - x) / eps, ord=p, axis=1, keepdims=True)
    return x + (points - x) / np.maximum(far * (1 + 1e-14), 1.0)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("kind", ["relu", "residual", "conv", "pool", "tanh"])
def test_bounds_of_cut_balls_hold_and_are_never_wider(kind, p, monkeypatch):
    from pellucid.bounding.sets import InputSet

    rng = np.random.default_rng(p)
    tighter = []
    for _ in range(3):
        net = KINDS[kind](rng)
        d = net.n_inputs
        x = rng.uniform(size=d) * (rng.uniform(size=d) > 0.4)
        eps = rng.uniform(0.2, 1.5)
        y = net(extreme(rng, x, eps, p, 0.0, 1.0, 4000))
        ball = pel.Ball(x.reshape(net.input_shape), eps, p=p)
        for dtype in ("float64", "float32"):
            for method in METHODS:
                found = pel.bounds(net, ball, method=method, dtype=dtype, iterations=4)
                with monkeypatch.context() as plain:
                    plain.setattr(InputSet, "room", lambda self: None)
                    before = pel.bounds(net, ball, method=method, dtype=dtype, iterations=4)
                assert (found.lower[0].double().numpy() <= y.min(axis=0)).all()
                assert (found.upper[0].double().numpy() >= y.max(axis=0)).all()
                if method == "interval":                        # other methods' lines depend on the bounds inside: no order
                    room = 1e-4 * before.width
                    assert (found.lower >= before.lower - room).all()
                    assert (found.upper <= before.upper + room).all()
                tighter.append(float(found.width.mean() / before.width.mean()))
    assert np.mean(tighter) < 0.999


@pytest.mark.parametrize("p", [1, 2])
def test_one_layer_has_the_exact_optimum_also_by_half_balls(p):
    rng = np.random.default_rng(3)
    W, b = rng.normal(size=(4, 6)), rng.normal(size=4)
    net = pel.load(([W], [b]), orientation="out_in")
    x = np.array([0.0, 1.0, 0.3, 0.0, 0.95, 0.5])
    eps = np.array([0.4, 0.4, 0.8, 0.0, 0.4, 1.1])
    room = [np.minimum(1, side / np.where(eps > 0, eps, 1)) * (eps > 0) for side in (x, 1 - x)]
    for clip, (down, up) in (((0.0, 1.0), room), ((x, np.full(6, 9.0)), (np.zeros(6), (eps > 0) * 1.0))):
        found = pel.bounds(net, pel.Ball(x, eps, p=p, clip=clip), method="crown")
        for i in range(4):
            w = np.abs(W[i]) * eps
            most = W[i] @ x + b[i] + optimum(w, np.where(W[i] > 0, up, down), p)
            least = W[i] @ x + b[i] - optimum(w, np.where(W[i] > 0, down, up), p)
            assert most <= found.upper[0, i] <= most + 0.03 * (most - least)
            assert least >= found.lower[0, i] >= least - 0.03 * (most - least)


@pytest.mark.parametrize("p", [1, 2])
def test_gradients_reach_the_radius_and_the_centre(p):
    net = mlp([4, 6, 2], np.random.default_rng(0))
    x = torch.tensor([0.0, 1.0, 0.3, 0.6], dtype=torch.float64, requires_grad=True)
    eps = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    pel.bounds(net, pel.Ball(x, eps, p=p), method="crown").width.sum().backward()
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(eps.grad)
    assert eps.grad > 0


def test_a_ball_that_nothing_cuts_has_no_rooms():
    net = mlp([3, 4, 2], np.random.default_rng(0))
    for dtype in (torch.float32, torch.float64):
        assert input_set(net, pel.Ball(np.full(3, 0.5), [0.1, 0.2, 0.0], p=2, clip=None), dtype).room() is None
        assert input_set(net, pel.Ball(np.full(3, 0.5), 0.3, p=1), dtype).room() is None
        assert input_set(net, pel.Ball(np.full(3, 0.5), 0.6, p=1), dtype).room() is not None
    whole = input_set(net, pel.Ball(np.zeros((5, 3)), 0.6, p=1), torch.float64)
    assert all(torch.equal(a, b[2:3]) for a, b in zip(whole[2:3].room(), whole.room(), strict=True))
    assert replace(boxes(whole.lower, whole.upper)).p == math.inf
