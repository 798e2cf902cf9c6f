"""Compression keeps the function and drops what it promises to drop."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid.graph import INPUT, GraphBuilder
from pellucid.graph.rewrite import compress
from pellucid.ops.clip import Clip
from pellucid.ops.conv import Conv
from pellucid.ops.extremum import Extremum
from pellucid.ops.leaky_relu import LeakyReLU
from pellucid.ops.linear import Linear
from pellucid.ops.rearrange import Expand, Pad, Reshape, Slice, Tile, Transpose
from pellucid.ops.relu import ReLU
from pellucid.ops.scale import Scale

rng = np.random.default_rng(0)


def normal(*shape):
    return rng.normal(size=shape)


def conv(padding=0, groups=1):
    return Conv(normal(4, 4 // groups, 3, 2), normal(4), (1, 2), ((padding, 0), (0, padding)), (1, 1), groups)


def line(shape, *ops):
    b, at = GraphBuilder(shape), INPUT
    for op in ops:
        at = b.add(op, at)
    return b.graph(at)


zero, one = np.array(0.0), np.array(1.0)
channels = (4, 1, 1)

RUNS = {
    # name: (input shape, ops, types that are left)
    "linear-linear": ((5,), [Linear(normal(4, 5), normal(4)), Linear(normal(3, 4), normal(3))], [Linear]),
    "bottleneck": ((9,), [Linear(normal(1, 9), normal(1)), Linear(normal(9, 1), normal(9))], [Linear, Linear]),
    "linear-scale": ((5,), [Linear(normal(4, 5), normal(4)), Scale(normal(4), normal(4))], [Linear]),
    "linear-scale-number": ((2, 5), [Linear(normal(4, 5), normal(4)), Scale(np.array(2.0), normal(1, 4))], [Linear]),
    "linear-scale-rows": ((2, 5), [Linear(normal(4, 5), normal(4)), Scale(normal(2, 1), zero)], [Linear, Scale]),
    "scale-linear": ((5,), [Scale(normal(5), np.array(3.0)), Linear(normal(4, 5), normal(4))], [Linear]),
    "linear-slice": ((5,), [Linear(normal(4, 5), normal(4)), Slice(0, 3, -2, 2)], [Linear]),
    "linear-slice-rows": ((2, 5), [Linear(normal(4, 5), normal(4)), Slice(0, 1, 1, 1)], [Linear, Slice]),
    "scale-scale": ((2, 3), [Scale(normal(3), normal(2, 1)), Scale(normal(2, 1), normal(3))], [Scale]),
    "conv-scale": ((4, 5, 6), [conv(), Scale(normal(*channels), normal(*channels))], [Conv]),
    "conv-scale-pixels": ((4, 5, 6), [conv(), Scale(normal(4, 3, 3), zero)], [Conv, Scale]),
    "scale-conv": ((4, 5, 6), [Scale(normal(*channels), normal(*channels)), conv()], [Conv]),
    "scale-conv-groups": ((4, 5, 6), [Scale(normal(*channels), np.array(0.5)), conv(groups=2)], [Conv]),
    "scale-conv-padded": ((4, 5, 6), [Scale(normal(*channels), normal(*channels)), conv(1)], [Scale, Conv]),
    "weight-conv-padded": ((4, 5, 6), [Scale(normal(*channels), zero), conv(1, 2)], [Conv]),
    "reshapes": ((6,), [Reshape((2, 3)), Reshape((3, 2)), ReLU(), Reshape((3, 2))], [Reshape, ReLU]),
    "nothing": ((2, 3), [Scale(one, zero), Transpose((0, 1)), Slice(0, 0, 1, 2), Pad(((0, 0), (0, 0))), Tile((1, 1)), Expand((2, 3)),
                         Reshape((2, 3)), Clip(None, None)], []),
    "clips": ((7,), [Clip(zero, np.array(6.0)), Clip(np.array(1.0), np.array(3.0))], [Clip]),
    "clips-apart": ((7,), [Clip(zero, one), Clip(np.array(2.0), np.array(3.0))], [Clip]),
    "clips-crossed": ((7,), [Clip(np.array(0.5), np.array(-0.5)), Clip(np.array(-0.2), None), Clip(None, np.array(0.1))], [Clip]),
    "relu6": ((7,), [ReLU(), Clip(None, np.array(1.0))], [Clip]),
}


@pytest.mark.parametrize("name", RUNS)
def test_runs_of_ops_become_one(name):
    shape, ops, left = RUNS[name]
    graph = line(shape, *ops)
    small = compress(graph)
    assert [type(n.op) for n in small.nodes] == left
    assert small.shape_of(small.output) == graph.shape_of(graph.output)
    x = 2.0 * normal(50, *shape)
    y = graph(x)
    np.testing.assert_allclose(small(x), y, rtol=1e-12, atol=1e-12 * np.abs(y).max())


def test_a_value_that_others_need_is_kept():
    b = GraphBuilder((3,))
    h = b.add(Linear(normal(3, 3), normal(3)), INPUT)
    s = b.add(Scale(np.array(2.0), zero), h)
    graph = b.graph(b.add(Extremum(), h, s))
    small = compress(graph)
    assert [type(n.op) for n in small.nodes] == [Linear, Scale, Extremum]      # slope 2: max(x, 2x) is no LeakyReLU
    np.testing.assert_array_equal(small(np.eye(3)), graph(np.eye(3)))


@pytest.mark.parametrize("turned", [False, True])
def test_max_with_a_share_of_itself_is_a_leaky_relu(turned):
    b = GraphBuilder((3,))
    s = b.add(Scale(np.array(0.1), zero), INPUT)
    graph = b.graph(b.add(Extremum(), *((s, INPUT) if turned else (INPUT, s))))
    small = compress(graph)
    assert [n.op for n in small.nodes] == [LeakyReLU(0.1)]
    x = normal(20, 3)
    np.testing.assert_allclose(small(x), graph(x), rtol=1e-15)


def test_the_output_may_be_the_input():
    small = compress(line((2,), Scale(one, zero)))
    assert small.output == INPUT
    assert not small.nodes


def test_a_vanished_node_hands_its_users_on():
    """Two users of an identity are two users of what stands before it, which must not be merged into one of them."""
    b = GraphBuilder((3,))
    h = b.add(Linear(normal(3, 3), normal(3)), INPUT)
    i = b.add(Scale(one, zero), h)
    left, right = b.add(Linear(normal(1, 3), normal(1)), i), b.add(ReLU(), i)
    graph = b.graph(b.add(Extremum(), left, right))
    small = compress(graph)
    assert [type(n.op) for n in small.nodes] == [Linear, Linear, ReLU, Extremum]
    x = normal(20, 3)
    np.testing.assert_allclose(small(x), graph(x), rtol=1e-12)
