"""The chain equals its graph; local maps equal the chain; bounds contain samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import random_layers, relu_network

from pellucid import Box
from pellucid.chain import Elementwise, chain_of, local_maps, rounding_floors, unit_intervals, unit_maps
from pellucid.errors import NotPiecewiseLinear
from pellucid.geometry import as_slice
from pellucid.graph import INPUT, GraphBuilder, Network
from pellucid.ops.add import Add
from pellucid.ops.clip import Clip
from pellucid.ops.extremum import Extremum
from pellucid.ops.leaky_relu import LeakyReLU
from pellucid.ops.linear import Linear
from pellucid.ops.rearrange import Concat
from pellucid.ops.relu import ReLU
from pellucid.ops.tanh import Tanh


def branching_network(rng, d=3) -> Network:
    """Skips, concat, clips, max and min of tensors: every way in which tensors cross a stage."""
    b = GraphBuilder((d,))

    def linear(i, o):
        return Linear(rng.normal(size=(o, i)), rng.normal(size=o))

    a = b.add(ReLU(), b.add(linear(d, 4), INPUT))
    c = b.add(Clip(np.array(-0.5), np.array(1.0)), b.add(linear(d, 4), INPUT))
    s = b.add(Add((1.0, -2.0)), a, c)
    m = b.add(Extremum(1), s, b.add(linear(d, 4), INPUT))
    n = b.add(Extremum(-1), m, c)
    r = b.add(LeakyReLU(0.1), b.add(linear(4, 5), n))
    j = b.add(Concat(0, (None, None, None)), r, s, INPUT)
    return Network(b.graph(b.add(linear(5 + 4 + d, 2), j)))


def codes_at(chain, X):
    s, columns = X.T, []
    for stage, (_, outputs) in zip(chain.stages, chain.columns, strict=True):
        z = stage.A @ s + stage.a[:, None]
        columns.append(stage.phi.piece(z)[outputs])
        s = stage.phi(z)
    return np.vstack(columns).T


@given(st.integers(0, 10_000))
def test_the_chain_equals_the_graph_and_its_maps(seed):
    rng = np.random.default_rng(seed)
    net, X = branching_network(rng), rng.normal(size=(40, 3))
    chain, y = chain_of(net), net(X)
    assert np.allclose(chain(X), y, rtol=1e-12, atol=1e-12)
    codes = codes_at(chain, X)
    coef, intercept = local_maps(chain, codes)
    assert np.allclose(np.einsum("kcd,kd->kc", coef, X) + intercept, y, rtol=1e-11, atol=1e-11)
    G, g = unit_maps(chain, codes[0])[-1]
    assert np.allclose(G, coef[0])
    assert np.allclose(g, intercept[0])


@given(st.integers(0, 10_000))
def test_intervals_contain_every_unit(seed):
    rng = np.random.default_rng(seed)
    chain = chain_of(branching_network(rng))
    lower = rng.normal(size=3)
    upper = lower + rng.random(3)
    s = rng.uniform(lower, upper, (200, 3)).T
    bounds = unit_intervals(chain, lower, upper)
    for stage, (lo, up) in zip(chain.stages, bounds, strict=False):
        z = stage.A @ s + stage.a[:, None]
        assert (z >= lo[:, None] - 1e-12).all()
        assert (z <= up[:, None] + 1e-12).all()
        s = stage.phi(z)


@given(st.integers(0, 10_000), st.floats(-3, 8))
def test_rounding_floors_hold_against_exact_arithmetic(seed, far):
    """The engine's order of operations in float64 against the same in rationals, on the code of a random point."""
    from fractions import Fraction

    rng = np.random.default_rng(seed)
    net = relu_network(random_layers(rng, [3, 6, 6, 2], scale=2.0))
    chain, x0 = chain_of(net), 10.0**far * rng.normal(size=3)
    plane = as_slice(Box.around(x0, 1.0).slice(free=(0, 2), at=x0), net.feature_names)
    floors = rounding_floors(chain, plane)
    lower, upper = plane.polygon.bounds
    centre, half = (lower + upper) / 2, (upper - lower) / 2
    v = rng.uniform(-1, 1, 2)
    folded = chain.fold(plane.x0 + plane.P @ centre, plane.P * half)
    exact = [Fraction(a) for a in x0]
    for j, k in ((0, 0), (2, 1)):
        exact[j] = Fraction(centre[k]) + Fraction(half[k]) * Fraction(v[k])
    s = exact
    G, g = np.eye(2), np.zeros(2)
    layers = [(stage.A, stage.a) for stage in chain.stages] + [(chain.A, chain.a)]
    mine = [(stage.A, stage.a) for stage in folded.stages] + [(folded.A, folded.a)]
    for l, (A, a) in enumerate(layers):
        z = [sum((Fraction(w) * t for w, t in zip(row, s, strict=True)), Fraction(b)) for row, b in zip(A, a, strict=True)]
        G, g = mine[l][0] @ G, mine[l][0] @ g + mine[l][1]
        computed = G @ v + g
        error = [abs(Fraction(c) - t) for c, t in zip(computed, z, strict=True)]
        assert all(e <= Fraction(f) for e, f in zip(error, floors[l], strict=True))
        on = np.array([t >= 0 for t in z], dtype=float)
        s = [t if t >= 0 else Fraction(0) for t in z]
        G, g = on[:, None] * G, on * g


def test_parallel_nodes_share_a_stage(rng):
    chain = chain_of(branching_network(rng))
    assert isinstance(chain.stages[0].phi, Elementwise)
    assert chain.stages[0].phi.n_outputs == 4 + 4 + 3
    assert [type(s.phi).__name__ for s in chain.stages] == ["Elementwise", "Selection", "Selection", "Elementwise"]
    assert chain.unit_of(5) == ("clip", 1)


def test_a_network_without_hidden_layer_and_a_smooth_one(rng):
    assert chain_of(relu_network(random_layers(rng, [2, 3]))).n_columns == 0
    b = GraphBuilder((2,))
    with pytest.raises(NotPiecewiseLinear, match="Tanh"):
        chain_of(Network(b.graph(b.add(Tanh(), INPUT))))
