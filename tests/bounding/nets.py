"""Small networks of every kind that verification meets."""

from __future__ import annotations

import numpy as np
from networks import random_layers, relu_network

from pellucid.graph import INPUT, GraphBuilder, Network
from pellucid.ops.add import Add
from pellucid.ops.conv import Conv
from pellucid.ops.leaky_relu import LeakyReLU
from pellucid.ops.linear import Linear
from pellucid.ops.max_pool import MaxPool
from pellucid.ops.rearrange import Reshape
from pellucid.ops.relu import ReLU
from pellucid.ops.sigmoid import Sigmoid
from pellucid.ops.tanh import Tanh


def layered(rng, sizes, act, residual=False) -> Network:
    b, value = GraphBuilder((sizes[0],)), INPUT
    layers = random_layers(rng, list(sizes))
    for i, (W, bias) in enumerate(layers):
        before, value = value, b.add(Linear(W, bias), value)
        if i + 1 < len(layers):
            value = b.add(act(), value)
            if residual and b.shapes[before] == b.shapes[value]:
                value = b.add(Add((1.0, 1.0)), before, value)
    return Network(b.graph(value))


def convolutional(rng, pool=False) -> Network:
    b = GraphBuilder((1, 4, 4))
    value = b.add(Conv(rng.normal(size=(2, 1, 2, 2)), rng.normal(size=2), (1, 1), ((0, 0), (0, 0)), (1, 1)), INPUT)
    value = b.add(ReLU(), value)
    if pool:
        value = b.add(MaxPool((2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1)), value)
    n = int(np.prod(b.shapes[value]))
    value = b.add(Reshape((n,)), value)
    value = b.add(ReLU(), b.add(Linear(rng.normal(size=(5, n)) / 3, rng.normal(size=5)), value))
    return Network(b.graph(b.add(Linear(rng.normal(size=(3, 5)), rng.normal(size=3)), value)))


KINDS = {
    "relu": lambda rng: layered(rng, (3, 8, 6, 3), ReLU),
    "leaky": lambda rng: layered(rng, (3, 8, 6, 3), lambda: LeakyReLU(0.2)),
    "residual": lambda rng: layered(rng, (4, 4, 4, 3), ReLU, residual=True),
    "tanh": lambda rng: layered(rng, (2, 5, 4, 2), Tanh),
    "sigmoid": lambda rng: layered(rng, (2, 5, 4, 2), Sigmoid),
    "conv": lambda rng: convolutional(rng),
    "pool": lambda rng: convolutional(rng, pool=True),
}


def degenerate() -> dict[str, Network]:
    """Zero biases, duplicate and dead units, one unit, no hidden layer, constants, ties."""
    rng = np.random.default_rng(5)
    W1, W2 = rng.normal(size=(4, 2)), rng.normal(size=(2, 4))
    zero = np.zeros
    return {
        "zero biases": relu_network([(W1, zero(4)), (W2, zero(2))]),
        "duplicates": relu_network([(np.vstack([W1, W1]), zero(8)), (np.hstack([W2, -W2]), zero(2))]),
        "dead": relu_network([(zero((3, 2)), -np.ones(3)), (np.ones((2, 3)), np.array([0.0, 1.0]))]),
        "one unit": relu_network([(np.ones((1, 2)), zero(1)), (np.array([[1.0], [-1.0]]), zero(2))]),
        "no hidden layer": relu_network([(W1[:2], np.array([0.1, 0.2]))]),
        "constant": relu_network([(zero((2, 2)), np.array([1.0, 1.0]))]),
        "a face through a vertex": relu_network([(np.array([[1.0, 1.0], [1.0, -1.0]]), np.array([0.0, -2.0])), (np.eye(2), zero(2))]),
        "one output": relu_network([(W1, zero(4)), (W2[:1], zero(1))]),
    }
