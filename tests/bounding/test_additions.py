"""What rows come to is added up over many steps: every addition may round one way, and all of them together stay inside the bounds."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import pellucid as pel  # noqa: E402
from pellucid.bounding import crown, input_set, plain_products, program  # noqa: E402
from pellucid.graph import INPUT, GraphBuilder, Network  # noqa: E402
from pellucid.ops.add import Add  # noqa: E402
from pellucid.ops.leaky_relu import LeakyReLU  # noqa: E402
from pellucid.ops.linear import Linear  # noqa: E402

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
ONE, BIAS = np.ones((1, 1)), 1.5


def _ended(b: GraphBuilder, at: str) -> tuple[Network, str]:
    """+ 1.5, and a nonlinear step that wants to know its bounds."""
    z = b.add(Linear(ONE, np.array([BIAS])), at)
    return Network(b.graph(b.add(Linear(ONE, np.zeros(1)), b.add(LeakyReLU(0.5), z)))), z


def _check(net: Network, z: str, centre: float, p: float, dtype: str, exact: Fraction, more: Fraction) -> None:
    """exact: z at the centre; more: by how much it moves from there."""
    ball, kind = pel.Ball(np.array([centre]), 2.0**-100, p=p, clip=None), getattr(torch, dtype)
    run = program(net.graph, kind)
    with plain_products():
        low, high = crown(run, input_set(net, ball, kind)).bounds[z]
    found = [(low, high)] + [(f.lower, f.upper) for m in ("interval", "crown", "crown-interval", "forward", "forward+crown", "alpha-crown")
                             for f in (pel.bounds(net, ball, method=m, dtype=dtype, iterations=1),)]
    for lower, upper in found:
        assert Fraction(lower.item()) <= exact - more
        assert Fraction(upper.item()) >= exact + more


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("p", [1, 2, math.inf])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_bias_to_which_numbers_are_added_that_round_away(side, p, dtype):
    """The last bias is the first that rows meet; each of those behind it is less than half an ulp of it."""
    small = side * 0.98 * UNIT[dtype]
    for n in (30, 150):
        b, at = GraphBuilder((1,)), INPUT
        for _ in range(n):
            at = b.add(Linear(ONE, np.array([small])), at)
        _check(*_ended(b, at), 0.0, p, dtype, Fraction(BIAS) + n * Fraction(small), Fraction(2) ** -100)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("p", [1, 2, math.inf])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_tensor_with_many_consumers_whose_rows_round_away(side, p, dtype):
    """Rows 1, and many times less than half an ulp of 1, meet at the inputs; what each meeting costs rounds away beside the bias."""
    small, centre = 0.98 * UNIT[dtype], side * 0.4
    for n in (40, 200):
        b = GraphBuilder((1,))
        at = b.add(Add((1.0, *[small] * n)), *[INPUT] * (n + 1))
        slope = 1 + n * Fraction(small)
        _check(*_ended(b, at), centre, p, dtype, Fraction(BIAS) + slope * Fraction(centre), slope * Fraction(2) ** -100)
