"""Fewer models where every row has its own region: regions of the first layers, or models that are alike, made one."""

from __future__ import annotations

import numpy as np

from .. import _core
from ..chain import Chain
from ..errors import DataError
from ..regions.codes import column_bits
from .evidence import Moments
from .models import LocalModels, Rows
from .scores import global_scores, local_scores
from .unwrapping import coefficients

MOST_LEADERS = 2000
"""Models that others are put to, at most; what is like none of them then joins the nearest."""

BLOCK = 2048


def coarsened(u, *, layers: int | None = None, angle: float | None = None, offset: float = 0.25, scores=("local",)) -> LocalModels:
    """Models of groups of regions: each the mean of its regions' models, weighted by rows (not refitted).

    layers: regions that share the code of the first so many layers are one. angle: degrees; models within this angle of each other (in
    standardised features), and within `offset` standard deviations of the outputs at the middle of the data, are one, the largest leads.

    Gives     LocalModels of kind "coarse"; `origin` numbers the groups.
    Sound     no: a mean of models is no model of the network. How far it is off is in its scores, beside the network's.
    """
    if (layers is None) == (angle is None):
        raise ValueError("coarsen takes either layers=1, 2, ... or angle=degrees")
    cluster = by_layers(u, layers) if layers is not None else by_likeness(u, float(angle), offset)
    return _pooled(u, cluster, scores)


def by_layers(u, layers: int) -> np.ndarray:
    """(K,) group of each region: those of one code in the first layers."""
    spans = [start for start, outputs in u.chain.columns if len(outputs)]
    if layers != int(layers) or not 1 <= layers <= max(len(spans), 1):
        raise ValueError(f"layers={layers}: the network has {len(spans)} layers of units that switch")
    end = spans[layers] if layers < len(spans) else u.chain.n_columns
    mask = _mask(u.chain, end)
    hashes = np.vstack([_core.hash_codes(np.ascontiguousarray(u.codes(part) & mask)) for part in _parts(len(u.groups))])
    _, cluster = np.unique(hashes, axis=0, return_inverse=True)
    return cluster.ravel()


def _mask(chain: Chain, end: int) -> np.ndarray:
    """(words,) the bits of the code columns before `end`."""
    word, bits = column_bits(chain.n_pieces)
    mask = np.zeros(int(word.max(initial=-1)) + 1, dtype=np.uint64)
    np.bitwise_or.at(mask, word[:end], bits[:end])
    return mask


def _parts(n: int):
    return (np.arange(a, min(n, a + 16_384)) for a in range(0, n, 16_384))


def by_likeness(u, angle: float, offset: float) -> np.ndarray:
    """(K,) group of each region. Source: leader clustering (Hartigan 1975), the largest regions first; one pass."""
    if not 0 < angle < 180 or not offset > 0:
        raise ValueError(f"angle={angle}, offset={offset}: degrees between 0 and 180, and a positive number of standard deviations")
    sample = u.sample_of(np.arange(0))
    spread = sample.X.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    outputs = np.vstack([u.network(sample.X[a:a + 16_384]) for a in range(0, len(sample.X), 16_384)])
    scale = np.where(outputs.std(axis=0) > 0, outputs.std(axis=0), 1.0)
    centre, least = u.centre, np.cos(np.radians(angle))
    cluster = np.empty(len(u.groups), dtype=np.int64)
    directions, levels = np.zeros((0, u.network.n_outputs * u.network.n_inputs)), np.zeros((0, u.network.n_outputs))
    for part, coef, intercept in coefficients(u, BLOCK):
        flat = (coef * spread / scale[:, None]).reshape(len(part), -1)
        size = np.linalg.norm(flat, axis=1)
        v = flat / np.where(size > 0, size, 1.0)[:, None]
        level = (np.einsum("kcd,d->kc", coef, centre) + intercept) / scale
        found = _first_like(v, level, directions, levels, least, offset)
        for i in np.flatnonzero(found < 0):                          # the block's own leaders
            if found[i] >= 0:
                continue
            new = len(directions)
            if len(directions) >= MOST_LEADERS:
                found[i] = int((v[i] @ directions.T - np.abs(level[i] - levels).max(axis=1)).argmax())
                continue
            directions, levels = np.vstack([directions, v[i]]), np.vstack([levels, level[i]])
            rest = np.flatnonzero(found < 0)
            same = _like(v[rest], level[rest], v[i][None], level[i][None], least, offset)[:, 0]
            found[rest[same]] = new
            found[i] = new
        cluster[part] = found
    return cluster


def _like(v, level, directions, levels, least, offset) -> np.ndarray:
    """(k, leaders) bool. Models that are constant are like each other."""
    cosine = v @ directions.T
    still = ~v.any(axis=1)[:, None] & ~directions.any(axis=1)[None]
    apart = np.abs(level[:, None, :] - levels[None]).max(axis=2)
    return ((cosine >= least) | still) & (apart <= offset)


def _first_like(v, level, directions, levels, least, offset) -> np.ndarray:
    if not len(directions):
        return np.full(len(v), -1)
    like = _like(v, level, directions, levels, least, offset)
    return np.where(like.any(axis=1), like.argmax(axis=1), -1)


def _pooled(u, cluster: np.ndarray, scores) -> LocalModels:
    """The groups of regions as models, the largest first."""
    g, kind, net = u.groups, u.kind, u.network
    count = np.bincount(cluster, g.count).astype(np.int64)
    order = np.lexsort((np.arange(len(count)), -count))
    number = np.empty(len(count), dtype=np.int64)
    number[order] = np.arange(len(count))
    cluster, count, K = number[cluster], count[order], len(count)
    w = np.where(np.bincount(cluster, g.weights)[cluster] > 0, g.weights, g.count)
    total = np.bincount(cluster, w)
    coef, intercept = np.zeros((K, net.n_outputs, net.n_inputs)), np.zeros((K, net.n_outputs))
    for part, C, b in coefficients(u):
        np.add.at(coef, cluster[part], w[part, None, None] * C)
        np.add.at(intercept, cluster[part], w[part, None] * b)
    coef, intercept = coef / total[:, None, None], intercept / total[:, None]
    means = g.mean[np.arange(len(g))]
    mean = np.column_stack([np.bincount(cluster, w * means[:, r]) / total for r in range(kind.n)])
    if kind.are_shares:
        for edge in (0, 1):                        # a group of one class has exactly that mean
            pure = np.column_stack([np.bincount(cluster, means[:, r] != edge) == 0 for r in range(kind.n)])
            mean[pure] = edge
        std = np.sqrt(np.maximum(mean * (1 - mean), 0.0))
        single = ((mean == 0) | (mean == 1)).all(axis=1)
    else:
        away = g.square[np.arange(len(g))] + w[:, None] * (means - mean[cluster]) ** 2
        square = np.column_stack([np.bincount(cluster, away[:, r]) for r in range(kind.n)])
        std, single = np.sqrt(np.maximum(square, 0.0) / total[:, None]), count == 1
    found, held = Moments(K, net.n_inputs), []
    to = np.append(cluster, -1)
    for X, y, weight, region in u.rows():
        place = to[region]
        rows = np.argsort(place, kind="stable")
        rows = rows[place[rows] >= 0]
        found.add(X[rows], place[rows], None if weight is None else weight[rows])
        if "local" in scores:
            outputs = np.einsum("ncd,nd->nc", coef[place[rows]], X[rows]) + intercept[place[rows]]
            held.append((place[rows], outputs, y[rows], np.zeros(0) if weight is None else weight[rows]))
    sample: Rows = u.sample
    weighted = None if g.weight is None else sample.weight
    local = overall = None
    if held:
        place, outputs, y, own = (np.concatenate(v) for v in zip(*held, strict=True))
        local = local_scores(kind, place, outputs, y, None if g.weight is None else own, K)
    if "global" in scores:
        overall = global_scores(kind, coef, intercept, sample.X, sample.y, weighted, threads=u.threads)
    seen = found.evidence()
    if not len(count):
        raise DataError("there are no regions to coarsen")
    return LocalModels(net, coef, intercept, count, np.bincount(cluster, g.weights), mean, std, seen.centre, seen.spread, seen.low,
                       seen.high, np.arange(K), single, np.zeros(K, dtype=bool), local, overall, kind="coarse", total_models=K,
                       total_rows=u.n_rows,
                       rows=Rows(sample.X, sample.y, sample.weight, to[sample.model], sample.complete))


