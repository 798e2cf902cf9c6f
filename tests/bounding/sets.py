"""Random networks around an op, sets of every kind, points in them: what the laws of bounds are tried on."""

from __future__ import annotations

import math

import numpy as np

from pellucid.graph import GraphBuilder, Network
from pellucid.graph.op import size
from pellucid.ops.linear import Linear
from pellucid.ops.rearrange import Reshape
from pellucid.ops.relu import ReLU


def around(op, shapes, rng, d=3, outputs=2) -> Network:
    """inputs -> affine -> op -> affine -> ReLU -> affine; zero biases and dead units among them."""
    b = GraphBuilder((d,))
    parts = []
    for s in shapes:
        W = rng.normal(size=(size(s), d)) * rng.choice([0.1, 1.0, 10.0])
        W[rng.random(len(W)) < 0.1] = 0.0
        parts.append(b.add(Reshape(s), b.add(Linear(W, rng.normal(size=size(s)) * rng.choice([0.0, 1.0])), "input")))
    o = b.add(op, *parts)
    k = size(b.shapes[o])
    o = b.add(Linear(rng.normal(size=(5, k)), rng.normal(size=5)), b.add(Reshape((k,)), o))
    return Network(b.graph(b.add(Linear(rng.normal(size=(outputs, 5)), rng.normal(size=outputs)), b.add(ReLU(), o))))


def mlp(sizes, rng, act=ReLU, scale=1.0, zero_bias=False) -> Network:
    b = GraphBuilder((sizes[0],))
    at = "input"
    for k in range(len(sizes) - 1):
        W = rng.normal(size=(sizes[k + 1], sizes[k])) * scale * np.sqrt(2 / sizes[k])
        at = b.add(Linear(W, np.zeros(len(W)) if zero_bias else rng.normal(size=len(W)) * 0.3), at)
        if k < len(sizes) - 2:
            at = b.add(act(), at)
    return Network(b.graph(at))


def points(x, eps, p, n, rng, clip=None) -> np.ndarray:
    """(len(x), n, d) points of the balls around the rows x: corners, on the surface, inside."""
    d = x.shape[1]
    e = rng.normal(size=(len(x), n, d))
    if p == math.inf:
        e = e.clip(-1, 1)
        e[:, : n // 2] = np.sign(e[:, : n // 2])
    else:
        e /= np.maximum(np.linalg.norm(e, ord=p, axis=2, keepdims=True), 1e-300) * (1 + 1e-15)
        e[:, : min(d, n)] = np.eye(d)[: min(d, n)] * rng.choice([-1, 1])
    e[:, -n // 4:] *= rng.random((len(x), e[:, -n // 4:].shape[1], 1))
    out = x[:, None] + eps * e
    return out if clip is None else out.clip(*clip)


def outside(bounds, y) -> float:
    """By how much the values y (n, points, s) leave the bounds, at most; their own rounding in numpy allowed for."""
    low, high = (t.detach().double().numpy()[:, None] for t in (bounds.lower, bounds.upper))
    return float(np.max(np.maximum(low - y, y - high) - 4e-16 * np.abs(y).max(initial=0.0)))
