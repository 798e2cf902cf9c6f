"""Numbers at the ends of their ranges: denormal inputs, small weights before large ones, large rows, ends of balls between floats."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import pellucid as pel  # noqa: E402
from pellucid.bounding.piecewise import Elementwise  # noqa: E402
from pellucid.bounding.property import _sigmoid_row, property_of  # noqa: E402
from pellucid.bounding.smooth import Smooth  # noqa: E402
from pellucid.bounding.space import space_of  # noqa: E402
from pellucid.graph import INPUT, GraphBuilder, Network  # noqa: E402
from pellucid.graph.op import ElementwisePL  # noqa: E402
from pellucid.ops.linear import Linear  # noqa: E402
from pellucid.ops.relu import ReLU  # noqa: E402
from pellucid.ops.silu import SiLU  # noqa: E402

METHODS = ("interval", "crown-interval", "crown", "forward", "forward+crown", "alpha-crown", "best")


def _network(*layers: np.ndarray) -> Network:
    b, value = GraphBuilder((layers[0].shape[1],)), INPUT
    for i, W in enumerate(layers):
        value = b.add(Linear(W, np.zeros(len(W))), value if i == 0 else b.add(ReLU(), value))
    return Network(b.graph(value))


def _exactly(layers, x) -> list[Fraction]:
    z = [Fraction(float(t)) for t in x]
    for i, W in enumerate(layers):
        z = z if i == 0 else [max(t, Fraction(0)) for t in z]
        z = [sum(Fraction(float(w)) * t for w, t in zip(row, z, strict=True)) for row in W]
    return z


def _holds(low: float, value: Fraction, high: float) -> bool:
    return (low == -math.inf or Fraction(low) <= value) and (high == math.inf or value <= Fraction(high))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("x", "layers"), [
    ([5e-324], [np.array([[1e300]])]),                          # half of it is 0
    ([5e-324, 0.0], [np.array([[1e300, 3.0]]), np.array([[1.0]])]),
    ([1.4e-45, -4.2e-45], [np.array([[1e30, 3e29]])]),
    ([1e-20, -3e-20], [np.array([[1e-20, 2e-20], [3e-21, -1e-20]]), np.array([[1e30, -7e29]])]),
    ([1e-150, 2e-150], [np.array([[1e-160, 3e-170], [1e-161, -1e-160]]), np.array([[1e290, -7e280]])]),
], ids=["denormal", "denormal behind a unit", "denormal in float32", "small, then large", "small, then large in float64"])
def test_what_underflows_and_is_multiplied_again_stays_inside(x, layers, dtype):
    x, net = np.array(x), _network(*layers)
    rows = np.array([[1.0], [3e25]]) if dtype == "float32" else np.array([[1.0], [3e2]])
    y = _exactly(layers, x)[0]
    for method in METHODS:
        options = {"iterations": 2} if method in ("alpha-crown", "best") else {}
        found = pel.bounds(net, pel.Ball(x[None], 0.0, clip=None), method=method, dtype=dtype, spec=rows, **options)
        for k, row in enumerate(rows[:, 0]):
            low, high = float(found.lower[0, k]), float(found.upper[0, k])
            assert _holds(low, Fraction(row) * y, high), (method, row)


@pytest.mark.parametrize(("eps", "weight"), [(1e10, 1e-25), (1e15, 1e-24), (1e-30, 1e5)])
def test_the_dual_norm_of_rows_whose_squares_underflow(eps, weight):
    net = _network(np.full((1, 3), weight))
    for p, length in ((2, math.sqrt(3)), (1, 1.0)):
        found = pel.bounds(net, pel.Ball(np.zeros((1, 3)), eps, p, clip=None), method="interval", dtype="float32")
        assert float(found.upper[0, 0]) >= weight * eps * length * (1 - 1e-12)


class _Stairs(ElementwisePL):
    """A step of 1e-13 at 0, between 1 and a little more."""

    def pieces(self, shape):
        return np.array([0.0]), np.array([0.0, 0.0]), np.array([1.0 + 1e-13, 1.0])

    def __call__(self, z):
        return 1.0 + 1e-13 * (z < 0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_a_jump_too_small_to_count_as_one_is_paid_for(dtype):
    rule = Elementwise(_Stairs(), (1,), dtype, "cpu")
    l, u = torch.tensor([[-1.0]], dtype=dtype), torch.tensor([[1.0]], dtype=dtype)
    low, high = rule.interval((l, u))
    assert float(low) <= 1.0
    assert float(high) >= 1.0 + 1e-13
    for line in (rule.lines((l, u)), *rule.corner_lines((l, u))):
        for t, f in ((-1.0, 1.0 + 1e-13), (-1e-12, 1.0 + 1e-13), (0.0, 1.0), (1.0, 1.0)):
            assert float(line.below_slope) * t + float(line.below) <= f <= float(line.above_slope) * t + float(line.above)


def test_infinite_bounds_of_smooth_steps_are_no_bounds_but_numbers():
    rule = Smooth(SiLU(), torch.float64, "cpu")
    low, high = rule.interval((torch.tensor([[-math.inf, 0.0]]).double(), torch.tensor([[math.inf, math.inf]]).double()))
    assert not bool((low.isnan() | high.isnan()).any())


def test_an_iteration_without_numbers_does_not_take_the_bounds_before(monkeypatch):
    """Adam divides by what overflows; then bounds are those of the iterations before."""
    from pellucid.bounding import optimise

    rng = np.random.default_rng(0)
    net = _network(rng.normal(size=(5, 2)), rng.normal(size=(1, 5)))
    monkeypatch.setattr(optimise._Mixture, "project", lambda self: [t.detach().fill_(math.nan) for t in self.shares])
    ball = pel.Ball(np.zeros((1, 2)), 1.0, clip=None)
    found, plain = (pel.bounds(net, ball, method=m, **o) for m, o in (("alpha-crown", {"iterations": 2}), ("crown", {})))
    assert bool((found.lower >= plain.lower).all())
    assert bool((found.upper <= plain.upper).all())


@pytest.mark.parametrize("p", [1, 2, math.inf])
def test_the_boxes_of_cases_hold_the_whole_ball(p):
    """c - eps and c + eps are no floats: witnesses stay inside of them, bounds reach beyond."""
    net = _network(np.eye(3))
    centre, eps = np.array([0.1, 0.7, 1e-3]), np.array([0.3, 1e-17, 0.2])
    space = space_of(net, pel.Ball(centre, eps, p, clip=None, free=np.array([True, True, False])),
                     property_of(net, pel.never((np.array([[1.0, 0.0, 0.0]]), None, [0.0]))))
    (case,) = space.cases
    for k, e in enumerate((0.3, 1e-17, 0.0)):
        c, e = Fraction(float(centre[k])), Fraction(e)
        assert Fraction(case.lower[k]) <= c - e <= Fraction(space.sets.lower[0, k])
        assert Fraction(space.sets.upper[0, k]) <= c + e <= Fraction(case.upper[k])


def test_witnesses_at_the_end_of_a_ball_are_found_all_the_same():
    net = _network(np.array([[1.0]]))
    ball = pel.Ball(np.array([0.1]), 0.3, clip=None)
    end = float(space_of(net, ball, property_of(net, pel.never((np.array([[-1.0]]), None, [-1.0])))).sets.upper[0, 0])
    found = pel.verify(net, ball, pel.never((np.array([[-1.0]]), None, [-end])))
    assert found.witness is not None
    assert found.witness[0] == end


@pytest.mark.parametrize(("a", "p"), [(3.0, 1 - 1e-12), (7.0, 1 - 1e-9), (-3.0, 1 - 1e-12), (3.0, 1e-9), (-10.0, 0.3)])
def test_a_sigmoids_row_loses_no_point_by_its_division(a, p):
    """a sigmoid(z) <= b, in 50 digits."""
    mp = pytest.importorskip("mpmath").mp.clone()
    mp.dps = 50
    b = a * p
    row, bound = _sigmoid_row(np.array([a]), b, 0)
    q = mp.mpf(b) / mp.mpf(a)
    z = mp.log(q) - mp.log1p(-q)
    assert mp.mpf(float(bound)) >= (z if a > 0 else -z)
    assert row[0] == np.sign(a)


@pytest.mark.parametrize("whole", [False, True], ids=["oneDNN", "all"])
def test_bfloat16_products_are_off_however_they_were_switched_on(whole):
    """On processors that have them, they would be off by 2^-8 where 2^-24 is paid for."""
    from pellucid.bounding import plain_products

    mkldnn = torch.backends.mkldnn
    if not hasattr(mkldnn.conv, "fp32_precision"):
        pytest.skip("this torch has no such switches")
    parts = (mkldnn.matmul, mkldnn.conv)
    parent, before = torch.backends if whole else mkldnn, [p.fp32_precision for p in parts]
    old = parent.fp32_precision
    try:
        for p in parts:
            p.fp32_precision = "none"                           # the parent's
        parent.fp32_precision = "bf16"
        with plain_products():
            assert [p.fp32_precision for p in parts] == ["ieee", "ieee"]
        assert [p.fp32_precision for p in parts] == ["bf16", "bf16"]
    finally:
        parent.fp32_precision = old
        for p, value in zip(parts, before, strict=True):
            p.fp32_precision = value
    assert torch.get_float32_matmul_precision() == "highest"
