"""Distances from a point to polytopes { u : A u <= b }, by other code than the library's."""

from __future__ import annotations

import numpy as np
from networks import random_layers, relu_network
from scipy.optimize import linprog, nnls

import pellucid as pel


def distance(A, b, x, p) -> float:
    """min |u - x|_p over A u <= b: least distance programming (p = 2), a linear programme by HiGHS (p = 1, inf)."""
    d, I, m = len(x), np.eye(len(x)), len(b)
    if p == 2:
        E = np.vstack([-A.T, -(b - A @ x)[None]])
        f = np.append(np.zeros(d), 1.0)
        r = E @ nnls(E, f, maxiter=10_000)[0] - f
        return float(np.linalg.norm(r[:-1] / r[-1]))
    t = I if p == 1 else np.ones((d, 1))
    rows = np.block([[A, np.zeros((m, t.shape[1]))], [I, -t], [-I, -t]])
    cost = np.append(np.zeros(d), np.ones(t.shape[1]))
    return float(linprog(cost, A_ub=rows, b_ub=np.concatenate([b, x, -x]), bounds=[(None, None)] * len(cost)).fun)


def distances(atlas, u, p, rows=None) -> np.ndarray:
    """Of all rows of an atlas over a box."""
    rows = range(len(atlas)) if rows is None else rows
    return np.array([distance(h.A, h.b, u, p) for h in (atlas[int(k)].halfspaces for k in rows)])


KINDS = ("plain", "zero biases", "whole numbers", "twins", "dead", "one layer", "no layer", "one unit")


def small_network(seed: int, kind: str, dims=(1, 7), link: str | None = None):
    """(net, box, x): a small network of 1 to 6 inputs, degenerate in the way of its kind, and a point of the box."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    d, c = int(rng.integers(*dims)), int(rng.integers(2, 4))
    widths = {"one layer": [5], "no layer": [], "one unit": [1]}.get(kind, [int(rng.integers(2, 6)), int(rng.integers(2, 5))])
    link = link or ("sigmoid" if seed % 3 == 0 else "softmax")
    layers = random_layers(rng, [d, *widths, 1 if link == "sigmoid" else c])
    if kind == "zero biases":
        layers = [(W, 0 * b) for W, b in layers]
    if kind == "whole numbers":
        layers = [(np.round(W), np.round(b)) for W, b in layers]
    if kind == "twins":
        W, b = layers[0]
        W[1], b[1] = -W[0], -b[0]
    if kind == "dead":
        W, b = layers[1]
        W[0], b[0] = 0.0, 0.0
        W[-1], b[-1] = -abs(W[-1]), -1.0
    x = rng.uniform(-1, 1, d)
    if seed % 4 == 0:
        x = np.round(x)                          # corners and faces
    return relu_network(layers, link), pel.Box(-np.ones(d), np.ones(d)), x
