"""Local models by the shortest code there is: what pictures are tested on, apart from the estimators."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

import pellucid as pel
from pellucid.chain import chain_of, local_maps
from pellucid.regions import codes_of, unpack_codes
from pellucid.unwrap.models import LocalModels, Rows


def random_net(sizes, seed=0, link=None, **words):
    rng = np.random.default_rng(seed)
    W = [rng.normal(size=(b, a)) for a, b in pairwise(sizes)]
    b = [rng.normal(size=n) for n in sizes[1:]]
    return pel.load((W, b), orientation="out_in", link=link or "sigmoid", **words)


def auc(positive, score):
    """Share of pairs in order, ties half; NaN of one class."""
    if positive.all() or not positive.any():
        return np.nan
    gap = score[positive][:, None] - score[~positive][None, :]
    return float((gap > 0).mean() + 0.5 * (gap == 0).mean())


def unwrap(net, X, y, *, scores=True):
    """Every code of X with its model, largest first."""
    X, y, chain = np.asarray(X, dtype=float), np.asarray(y), chain_of(net)
    codes, group, count = np.unique(codes_of(chain, X), axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(-count, kind="stable")
    group = np.argsort(order)[group.ravel()]
    coef, intercept = local_maps(chain, unpack_codes(codes[order], chain.n_pieces))
    K, c = len(order), net.n_classes
    response = y.reshape(len(y), -1).astype(float) if c <= 2 else (y[:, None] == np.arange(c)).astype(float)
    parts = [np.flatnonzero(group == k) for k in range(K)]
    per = {name: np.array([f(part) for part in parts]) for name, f in {
        "response_mean": lambda p: response[p].mean(axis=0), "response_std": lambda p: response[p].std(axis=0),
        "centre": lambda p: X[p].mean(axis=0), "spread": lambda p: X[p].std(axis=0), "low": lambda p: X[p].min(axis=0),
        "high": lambda p: X[p].max(axis=0)}.items()}
    count = count[order]
    single = (count == 1) | ((per["response_std"] == 0).all(axis=1) if c else False)
    local = everywhere = None
    if scores:
        local, everywhere = (np.array([_score(net, coef[k], intercept[k], X[p], y[p]) for k, p in enumerate(which)])
                             for which in (parts, [np.arange(len(X))] * K))
    return LocalModels(net, coef, intercept, count, count.astype(float), origin=np.arange(K), single_class=single,
                       trivial=np.zeros(K, dtype=bool), local_score=local, global_score=everywhere, total_models=K, total_rows=len(X),
                       rows=Rows(X, y, np.ones(len(X)), group), **per)


def _score(net, W, b, X, y):
    f = X @ W.T + b
    if not net.n_classes:
        return float(((f[:, 0] - y) ** 2).mean())
    if net.n_classes == 2:
        return auc(y == 1, f[:, 0] if f.shape[1] == 1 else f[:, 1] - f[:, 0])
    each = [auc(y == k, f[:, k]) for k in range(net.n_classes) if (y == k).any() and (y != k).any()]
    return float(np.mean(each)) if each else np.nan


def toy(n=400, d=2, hidden=(6,), seed=0, classes=2, **words):
    """Models of a random network on random rows; classes: 0 for a regression."""
    link = {0: "identity", 2: "sigmoid"}.get(classes, "softmax")
    net = random_net((d, *hidden, max(1, classes if classes > 2 else 1)), seed, link, **words)
    rng = np.random.default_rng(seed + 1)
    X = rng.normal(size=(n, d))
    f = net(X) + 0.5 * rng.normal(size=(n, net.n_outputs))
    y = f[:, 0] if not classes else f.argmax(axis=1) if classes > 2 else (f[:, 0] > 0).astype(int)
    return unwrap(net, X, y)


class Unwrapper:
    """The part of a fitted estimator that pictures ask."""

    def __init__(self, models):
        self.models, self.network_, self.asked = models, models.network, []

    def local_models(self, top=None, **more):
        self.asked.append((top, more))
        return self.models

    def groups(self, X):
        chain, rows = chain_of(self.network_), self.models.rows
        known = {tuple(c): int(k) for c, k in zip(codes_of(chain, rows.X), rows.model, strict=True)}
        return np.array([known.get(tuple(c), -1) for c in codes_of(chain, np.asarray(X, dtype=float))])
