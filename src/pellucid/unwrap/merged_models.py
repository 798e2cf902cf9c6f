"""Merged models as `LocalModels`: with the counts, responses, ranges and scores of the rows that they were refitted on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..graph import Network
from .models import LocalModels, Rows
from .responses import Responses
from .scores import global_scores, local_scores
from .signs import signs
from .summary import Summary, extrapolation, performance_of
from .unwrapping import Exactness


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


@dataclass(frozen=True, eq=False)
class _Said:
    """The merged models as one function, for scores of the whole."""

    kind: Responses
    logits: Callable[[np.ndarray], np.ndarray]
    class_names: tuple[str, ...]

    @property
    def network(self) -> _Said:
        return self

    def __call__(self, X: np.ndarray) -> np.ndarray:
        return self.logits(X)


def merged_summary(models: LocalModels, kind: Responses, logits: Callable[[np.ndarray], np.ndarray], exactness: Exactness,
                   top: int | None, by: str, expected: Mapping[str, int] | None, good: float) -> Summary:
    """The table of merged models (UNWRAP Table 6). models: all of them, with both scores. exactness: of the network's own models."""
    if by not in ("count", "local", "global"):
        raise ValueError(f"by='{by}': the table is in order of 'count', 'local' or 'global'")
    rows, net = models.rows, models.network
    if rows is None or models.local_score is None or models.global_score is None:
        raise AssertionError("bug: a summary was asked of models without rows or scores")
    performance, skill = performance_of(_Said(kind, logits, net.class_names), rows, rows.weight)
    order = np.arange(len(models))
    if by != "count":
        score = models.local_score if by == "local" else models.global_score
        order = np.lexsort((order, -score if kind.are_shares else score, np.isnan(score)))
    at = order[:top]
    local, overall = models.local_score[at], models.global_score[at]
    names = net.output_names if kind.kind != "binary" else (net.class_names[-1],)
    single = models.single_class | (models.count == 1)
    return Summary(net, "AUC" if kind.are_shares else "MSE", models.origin[at], models.count[at], models.weight[at],
                   models.response_mean[at], models.response_std[at], local, overall, models.single_class[at], models.trivial[at],
                   extrapolation(kind, local, overall, skill, good), tuple(names), len(models), len(rows.X), float(models.weight.sum()),
                   float((models.count == 1).mean()), float(single.mean()), performance, None,
                   signs(net, [(models.coef, models.weight)], rows.X.std(axis=0), expected), exactness, ("models are merged and refitted",))
