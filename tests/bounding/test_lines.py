"""Lines and images of every elementwise op and selection, swept densely over (l, u): inflection cells, huge and tiny intervals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from laws.test_ops import CASES  # noqa: E402

from pellucid.bounding.lines import both  # noqa: E402
from pellucid.bounding.piecewise import Elementwise  # noqa: E402
from pellucid.bounding.rounding import no_nan  # noqa: E402
from pellucid.bounding.smooth import Smooth  # noqa: E402
from pellucid.graph import ElementwisePL, SmoothOp  # noqa: E402
from pellucid.ops.relu import ReLU  # noqa: E402

ENDS = np.array([-1e30, -1e6, -700.0, -90.0, -30.0, -12.0, -5.0, -3.0, -2.5, -2.3993572805154675, -2.2, -1.6, -1.4142135623730951, -1.2,
                 -1.0, -0.5, -1e-3, -1e-8, -1e-20, -1e-39, -1e-310, 0.0, 1e-310, 1e-39, 1e-20, 1e-8, 1e-3, 0.4, 0.7, 1.0, 1.3,
                 1.4185040087908285, 1.5, 2.0, 2.3993572805154675, 2.6, 4.0, 6.0, 15.0, 40.0, 100.0, 800.0, 1e6, 1e30])
SHARES = np.concatenate([np.linspace(0, 1, 41), 10.0 ** -np.arange(2.0, 40.0, 4), 1 - 10.0 ** -np.arange(2.0, 15.0, 3)])


def _ops(family):
    rng = np.random.default_rng(0)
    return [pytest.param(op, id=f"{type(op).__name__}-{k}") for k, (op, *_) in
            enumerate(case for make in CASES.values() for case in make(rng)) if isinstance(op, family)]


def _intervals():
    """Every pair of ENDS, and around each of them intervals of a few ulp."""
    pairs = [(a, b) for a, b in itertools.combinations_with_replacement(ENDS, 2)]
    pairs += [(c - r * max(abs(c), 1e-300), c + r * max(abs(c), 1e-300)) for c in ENDS for r in (1e-16, 1e-13, 1e-7, 1e-4, 0.05)]
    return np.array(pairs).T


def _value(op, t):
    """In double the precision of float64 where numpy has it: the reference has to be better than what it judges."""
    return op.f(t) if isinstance(op, SmoothOp) else op(t)


def _check(rule, op, dtype, shape_axis=False):
    l, u = (torch.tensor(v, dtype=torch.float64).to(dtype) for v in _intervals())
    order = l <= u
    l, u = l[order], u[order]
    low, high = no_nan(*rule.interval((l, u)))
    t = l.double().numpy()[:, None] + SHARES * (u.double() - l.double()).numpy()[:, None]
    t = np.concatenate([t, np.clip(ENDS, l.double().numpy()[:, None], u.double().numpy()[:, None])], axis=1)
    t = np.clip(t, l.double().numpy()[:, None], u.double().numpy()[:, None])
    f = _value(op, t)
    own = 1e-15 * (np.abs(f) + np.minimum(np.abs(t), 1.0)) + 1e-322     # of this reference itself
    assert (low.double().numpy()[:, None] <= f + own).all()
    assert (high.double().numpy()[:, None] >= f - own).all()
    for lines in (rule.lines((l, u)), *rule.corner_lines((l, u))):
        bs, bo, a_s, ao = (v.double().numpy()[:, None] for v in (lines.below_slope, lines.below, lines.above_slope, lines.above))
        for slope, offset, side in ((bs, bo, 1), (a_s, ao, -1)):
            lost = np.isnan(offset) | np.isnan(slope)                              # overflow: no bound, which the passes turn into infinity
            assert not lost[(np.abs(l) < 1e9).numpy() & (np.abs(u) < 1e9).numpy()].any()
            slope = np.where(lost, 0.0, slope)
            gap = np.where(lost, 0.0, side * (f - slope * t - np.where(lost, 0.0, offset)))
            room = own + 4e-16 * (np.abs(slope * t) + np.abs(np.where(lost, 0.0, offset)))
            worst = np.unravel_index(np.argmin(gap + room), gap.shape)
            assert (gap + room >= 0).all(), (op, dtype, l[worst[0]], u[worst[0]], t[worst], gap[worst])
    return l, u, rule.lines((l, u))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("op", _ops(SmoothOp))
def test_smooth_lines_bound_the_function(op, dtype):
    _check(Smooth(op, dtype, "cpu"), op, dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("op", [p for p in _ops(ElementwisePL) if all(np.ndim(b) == 1 for b in p.values[0].pieces((2, 3))[:1])])
def test_piecewise_lines_bound_the_function(op, dtype):
    _check(Elementwise(op, (), dtype, "cpu"), op, dtype)


@pytest.mark.parametrize("op", _ops(SmoothOp))
def test_smooth_lines_are_nearly_as_tight_as_lines_can_be(op):
    """At the middle they touch the hull of the function, seen on a fine grid, to a fiftieth of how far the function bends."""
    rng = np.random.default_rng(1)
    l = torch.tensor(rng.uniform(-4, 3, 300))
    u = l + torch.tensor(rng.choice([0.1, 1.0, 3.0, 8.0], 300))
    lines, middle = Smooth(op, torch.float64, "cpu").lines((l, u)), (l + u) / 2
    t = l.numpy()[:, None] + np.linspace(0, 1, 201) * (u - l).numpy()[:, None]
    f, m = op.f(t), middle.numpy()
    hull = {side: _hull_at(t, side * f, m) * side for side in (1, -1)}
    above, below = lines.above_slope * middle + lines.above, lines.below_slope * middle + lines.below
    bend = np.abs(f - (f[:, :1] + (f[:, -1:] - f[:, :1]) * np.linspace(0, 1, 201))).max(axis=1)
    assert (above.numpy() <= hull[1] + 0.02 * bend + 1e-9).all()
    assert (below.numpy() >= hull[-1] - 0.02 * bend - 1e-9).all()


def _hull_at(t, f, m):
    """Value at m of the least concave function above the points (t, f), row by row: the best chord across m."""
    left, right = t[:, :101], t[:, 100:]
    fl, fr = f[:, :101], f[:, 100:]
    gap = right[:, None, :] - left[:, :, None]
    share = np.where(gap > 0, (m[:, None, None] - left[:, :, None]) / np.where(gap > 0, gap, 1), 0)
    return (fl[:, :, None] + share * (fr[:, None, :] - fl[:, :, None])).max(axis=(1, 2))


def test_relu_lines_are_those_of_adaptive_crown():
    from pellucid.ops.relu import ReLU

    l, u = torch.tensor([-1.0, -2.0, 1.0, -3.0, 0.0]), torch.tensor([3.0, 1.0, 2.0, -1.0, 0.0])
    lines = Elementwise(ReLU(), (), torch.float32, "cpu").lines((l, u))
    assert lines.below_slope.tolist() == [1.0, 0.0, 1.0, 0.0, 1.0]
    assert lines.above_slope.tolist() == pytest.approx([0.75, 1 / 3, 1.0, 0.0, 1.0])
    assert lines.above.tolist()[2:] == [0.0, 0.0, 0.0]           # decided units are exact


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 3, 5), (1, 300, 700), (1, 40, 2, 30, 30), (3, 300, 700), (3, 1, 4)])
@pytest.mark.parametrize("sets", [1, 3])
def test_rows_meet_two_vectors_as_one_after_the_other(shape, sets):
    """Also where rows are taken some at a time, and where gradients flow."""
    gen = torch.Generator().manual_seed(0)
    L = torch.randn(shape, generator=gen, dtype=torch.float64)
    v, w = (torch.randn(sets, *shape[2:], generator=gen, dtype=torch.float64) for _ in range(2))
    expected = (L * v.unsqueeze(1) + L.abs() * w.unsqueeze(1)).flatten(2).sum(2)
    torch.testing.assert_close(both(L, v, w), expected)
    torch.testing.assert_close(both(L.clone().requires_grad_(), v, w), expected)


def test_what_rows_meet_follows_the_reach():
    """Kept from one pass to the next, but for the same reach only."""
    rule = Elementwise(ReLU(), (2,), torch.float32, "cpu")
    line = rule.lines((torch.tensor([[-1.0, -2.0]]), torch.tensor([[2.0, 1.0]])))
    L = torch.tensor([[[1.0, -1.0], [-3.0, 2.0]]])
    near, far = torch.tensor([[2.0, 2.0]]), torch.tensor([[2e6, 2e6]])
    first, wide, again = line.back(L, [near], 3)[1], line.back(L, [far], 3)[1], line.back(L, [near], 3)[1]
    assert torch.equal(first, again)
    assert (wide < first).all()


def test_what_rows_meet_is_not_kept_where_gradients_flow():
    """Nor from a pass that was made without them."""
    line = Elementwise(ReLU(), (2,), torch.float64, "cpu").lines((torch.tensor([[-1.0, -2.0]], dtype=torch.float64, requires_grad=True),
                                                                  torch.tensor([[2.0, 1.0]], dtype=torch.float64)))
    L, reach = torch.tensor([[[1.0, -1.0]]], dtype=torch.float64), torch.tensor([[2.0, 2.0]], dtype=torch.float64)
    with torch.no_grad():
        before = line.back(L, [reach], 3)[1]
    after = line.back(L, [reach], 3)[1]
    assert after.requires_grad
    assert torch.equal(before, after)
