"""Small networks whose explanations are known, and one with many regions."""

from __future__ import annotations

import functools

import numpy as np
from networks import random_layers, relu_network

import pellucid as pel

ABS = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
"""Hidden units relu(x), relu(-x), relu(y), relu(-y): |x| is the sum of the first two."""


def diamonds(heights=(0.0, 1.5, 3.5), slopes=(0.0, 1.0, 5.0), by="class", **names):
    """Logits height - slope r with r = |x| + |y|: class 2 in r < 1/2, class 1 in the ring up to r = 3/2, class 0 outside."""
    W = -np.outer(slopes, np.ones(4))
    net = relu_network([(ABS, np.zeros(4)), (W, np.array(heights))], "softmax", **names)
    return pel.linear_regions(net, pel.Box([-2, -2], [2, 2]), by=by)


def random_atlas(seed=0, sizes=(2, 8, 8, 3), by="class", link="softmax", half=2.0, **names):
    rng = np.random.default_rng(seed)
    net = relu_network(random_layers(rng, list(sizes)), link, **names)
    return pel.linear_regions(net, pel.Box(-half * np.ones(sizes[0]), half * np.ones(sizes[0])), by=by)


def sliced_atlas(seed=0, d=6, c=3, by=None, **more):
    """A slice in features 1 and 4 of a network of d features, whose ranges differ."""
    rng = np.random.default_rng(seed)
    net = relu_network(random_layers(rng, [d, 10, 8, c]))
    upper = np.arange(1.0, d + 1)
    return pel.linear_regions(net, pel.Box(-upper, upper).slice(free=(1, 4), at=0.3 * upper), by=by, **more)


@functools.cache
def large_atlas(by="class"):
    """About fifty thousand regions."""
    return random_atlas(1, (2, 90, 90, 90, 90, 3), half=3.0, by=by)
