"""Networks and rows that the tests of unwrapping share."""

from __future__ import annotations

import numpy as np
from networks import random_layers, relu_network

import pellucid as pel


def random_net(seed=0, sizes=(3, 10, 10, 1), link="sigmoid", **names):
    return relu_network(random_layers(np.random.default_rng(seed), list(sizes)), link, **names)


def rows(net, n=500, seed=0):
    """(X, y): random inputs, and classes (or values) that have little to do with them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, net.n_inputs))
    if net.link == "identity":
        y = net(X) + rng.normal(size=(n, net.n_outputs))
        return X, y[:, 0] if net.n_outputs == 1 else y
    return X, rng.integers(0, net.n_classes, n)


def unwrapped(net, X, y, weight=None, **more):
    kind = pel.UnwrapperRegressor if net.link == "identity" else pel.UnwrapperClassifier
    return kind(net, **more).fit(X, y, weight)


def naive_groups(net, X):
    """{code: rows} by a forward pass in numpy, unit by unit."""
    from pellucid.chain import chain_of

    found: dict = {}
    for i, x in enumerate(X):
        s, code = x[:, None], []
        for stage in chain_of(net).stages:
            z = stage.A @ s + stage.a[:, None]
            code += [int(p) for p, k in zip(stage.phi.piece(z)[:, 0], stage.phi.n_pieces, strict=True) if k > 1]
            s = stage.phi(z)
        found.setdefault(tuple(code), []).append(i)
    return found


def same_partition(labels, groups) -> bool:
    """Do the labels part the rows as these groups do?"""
    named = {frozenset(np.flatnonzero(labels == k)) for k in np.unique(labels)}
    return named == {frozenset(v) for v in groups.values()}
