"""Networks to test with."""

from itertools import pairwise

import numpy as np

from pellucid.graph import INPUT, GraphBuilder, Network
from pellucid.ops.linear import Linear
from pellucid.ops.relu import ReLU


def relu_network(layers, link="identity", **names) -> Network:
    """The ReLU network of [(W, b), ...], W (out, in), the last layer linear."""
    builder, value = GraphBuilder((layers[0][0].shape[1],)), INPUT
    for i, (W, b) in enumerate(layers):
        value = builder.add(Linear(np.asarray(W, float), np.asarray(b, float)), value)
        if i + 1 < len(layers):
            value = builder.add(ReLU(), value)
    return Network(builder.graph(value), link, **names)


def random_layers(rng, sizes, scale=1.0):
    """[(W, b), ...] with normal entries, He-like."""
    return [(scale * rng.normal(size=(o, i)) / np.sqrt(i / 2), 0.5 * rng.normal(size=o)) for i, o in pairwise(sizes)]
