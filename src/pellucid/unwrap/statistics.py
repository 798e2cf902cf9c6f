"""The merged models with what their rows say: counts, responses, ranges, performance."""

from __future__ import annotations

import numpy as np

from ..graph import Network
from .models import LocalModels, Rows


def merged_models(network: Network, coef: np.ndarray, intercept: np.ndarray, rows: Rows, keep: np.ndarray, n_classes: int,
                  scores: tuple[str, ...]) -> LocalModels:
    """The clusters `keep` as `LocalModels`; rows.model holds cluster numbers. scores: of "local", "global"."""
    K = len(coef)
    place = np.full(K, -1)
    place[keep] = np.arange(len(keep))
    response = responses(rows.y, n_classes)
    count = np.bincount(rows.model, minlength=K)
    weight = np.bincount(rows.model, rows.weight, K)
    mean, std = _moments(response, rows, weight, K)
    centre, spread = _moments(rows.X, rows, weight, K)
    low, high = np.full(centre.shape, np.nan), np.full(centre.shape, np.nan)
    single = np.zeros(K, dtype=bool)
    for k in np.flatnonzero(count):
        X, r = rows.X[rows.model == k], response[rows.model == k]
        low[k], high[k] = X.min(axis=0), X.max(axis=0)
        single[k] = len(X) == 1 or (n_classes > 0 and (r == r[0]).all())
    local = glob = None
    if "local" in scores:
        mine = [rows.model == k for k in keep]
        local = np.array([performance(coef[k], intercept[k], rows.X[m], response[m], rows.weight[m], n_classes)
                          for k, m in zip(keep, mine, strict=True)])
    if "global" in scores:
        glob = np.array([performance(coef[k], intercept[k], rows.X, response, rows.weight, n_classes) for k in keep])
    return LocalModels(network, coef[keep], intercept[keep], count[keep], weight[keep], mean[keep], std[keep], centre[keep], spread[keep],
                       low[keep], high[keep], origin=keep, single_class=single[keep], trivial=np.zeros(len(keep), dtype=bool),
                       local_score=local, global_score=glob, kind="merged", total_models=K, total_rows=len(rows.X),
                       rows=Rows(rows.X, rows.y, rows.weight, place[rows.model], rows.complete))


def responses(y: np.ndarray, n_classes: int) -> np.ndarray:
    """(n, m): values, 1 for the second of two classes, or one column a class."""
    if n_classes == 0:
        return y[:, None] if y.ndim == 1 else y
    if n_classes <= 2:
        return (y == 1).astype(float)[:, None]
    return (y[:, None] == np.arange(n_classes)).astype(float)


def _moments(values: np.ndarray, rows: Rows, weight: np.ndarray, K: int) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and population standard deviation of each cluster, (K, m) each; NaN where it has no row."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.stack([np.bincount(rows.model, rows.weight * v, K) for v in values.T], axis=1) / weight[:, None]
        off = (values - mean[rows.model]) ** 2
        return mean, np.sqrt(np.stack([np.bincount(rows.model, rows.weight * v, K) for v in off.T], axis=1) / weight[:, None])


def performance(coef: np.ndarray, intercept: np.ndarray, X: np.ndarray, response: np.ndarray, weight: np.ndarray, n_classes: int) -> float:
    """MSE of a linear model, or its AUC: one class against the rest, mean over the classes that some rows are of and some are not."""
    if not len(X):
        return np.nan
    said = X @ coef.T + intercept
    if n_classes == 0:
        return float(np.average(((said - response) ** 2).mean(axis=1), weights=weight))
    from sklearn.metrics import roc_auc_score

    if said.shape[1] == 2:
        said = said[:, 1:] - said[:, :1]
    mixed = [k for k in range(response.shape[1]) if 0 < response[:, k].sum() < len(response)]
    return float(np.mean([roc_auc_score(response[:, k], said[:, k], sample_weight=weight) for k in mixed])) if mixed else np.nan
