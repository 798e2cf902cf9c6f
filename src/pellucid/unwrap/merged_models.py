"""Merged models as `LocalModels`: with the counts, responses, ranges and scores of the rows that they were refitted on."""

from __future__ import annotations

import numpy as np

from ..graph import Network
from .models import LocalModels, Rows
from .responses import Responses
from .scores import global_scores, local_scores


def merged_models(network: Network, coef: np.ndarray, intercept: np.ndarray, rows: Rows, keep: np.ndarray, kind: Responses,
                  scores: tuple[str, ...]) -> LocalModels:
    """The clusters `keep`; rows.model holds cluster numbers. scores: of "local" and "global"."""
    K = len(coef)
    place = np.full(K, -1)
    place[keep] = np.arange(len(keep))
    response = kind.of(rows.y)
    count, weight = np.bincount(rows.model, minlength=K), np.bincount(rows.model, rows.weight, K)
    mean, std = _moments(response, rows, weight, K)
    centre, spread = _moments(rows.X, rows, weight, K)
    low, high = np.full(centre.shape, np.nan), np.full(centre.shape, np.nan)
    for k in np.flatnonzero(count):
        mine = rows.X[rows.model == k]
        low[k], high[k] = mine.min(axis=0), mine.max(axis=0)
    single = (std == 0).all(axis=1) if kind.are_shares else count == 1
    local = glob = None
    if "local" in scores:
        said = np.einsum("nd,ncd->nc", rows.X, coef[rows.model]) + intercept[rows.model]
        local = local_scores(kind, rows.model, said, rows.y, rows.weight, K)[keep]
    if "global" in scores:
        glob = global_scores(kind, coef[keep], intercept[keep], rows.X, rows.y, rows.weight)
    return LocalModels(network, coef[keep], intercept[keep], count[keep], weight[keep], mean[keep], std[keep], centre[keep], spread[keep],
                       low[keep], high[keep], origin=keep, single_class=single[keep], trivial=np.zeros(len(keep), dtype=bool),
                       local_score=local, global_score=glob, kind="merged", total_models=K, total_rows=len(rows.X),
                       rows=Rows(rows.X, rows.y, rows.weight, place[rows.model], rows.complete))


def _moments(values: np.ndarray, rows: Rows, weight: np.ndarray, K: int) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and population standard deviation of each cluster, (K, m) each; NaN where it has no row."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.stack([np.bincount(rows.model, rows.weight * v, K) for v in values.T], axis=1) / weight[:, None]
        off = (values - mean[rows.model]) ** 2
        return mean, np.sqrt(np.stack([np.bincount(rows.model, rows.weight * v, K) for v in off.T], axis=1) / weight[:, None])
