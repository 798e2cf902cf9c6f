"""How well models predict: mean squared error, or area under the ROC curve, in their own rows and in all rows (UNWRAP 4)."""

from __future__ import annotations

import numpy as np

from .native import roc_areas
from .responses import Responses

BLOCK_BYTES = 32 << 20


def segment_areas(segment: np.ndarray, score: np.ndarray, second: np.ndarray, weight: np.ndarray | None, K: int) -> np.ndarray:
    """(K,) area under the ROC curve of the rows of each segment (n,) in 0..K-1; NaN where all are of one class (or of no weight)."""
    score = score + 0.0
    order = np.lexsort((score, segment))
    segment, score, second = segment[order], score[order], second[order].astype(bool)
    w = np.ones(len(order)) if weight is None else weight[order]
    area = np.full(K, np.nan)
    if not len(order):
        return area
    new = np.concatenate([[True], (segment[1:] != segment[:-1]) | (score[1:] != score[:-1])])
    ties = np.flatnonzero(new)                                       # rows of one segment and one score
    above, below = np.add.reduceat(np.where(second, w, 0.0), ties), np.add.reduceat(np.where(second, 0.0, w), ties)
    at = segment[ties]
    starts = np.flatnonzero(np.concatenate([[True], at[1:] != at[:-1]]))
    before = np.cumsum(below) - below
    before -= np.repeat(before[starts], np.diff(np.append(starts, len(at))))
    wins, ones, zeros = (np.add.reduceat(v, starts) for v in (above * (before + 0.5 * below), above, below))
    with np.errstate(invalid="ignore", divide="ignore"):
        area[at[starts]] = np.where((ones > 0) & (zeros > 0), wins / (ones * zeros), np.nan)
    return area


def over_classes(areas: np.ndarray) -> np.ndarray:
    """(K, m) areas of one class against the rest -> (K,) their mean over those that are there; NaN where none is."""
    there = ~np.isnan(areas)
    count = there.sum(axis=1)
    return np.where(count > 0, np.where(there, areas, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)


def squared_errors(scores: np.ndarray, responses: np.ndarray) -> np.ndarray:
    """(...,) mean over the outputs of squared errors (..., m)."""
    return ((scores - responses) ** 2).mean(axis=-1)


def local_scores(kind: Responses, segment: np.ndarray, outputs: np.ndarray, y: np.ndarray, weight: np.ndarray | None,
                 K: int) -> np.ndarray:
    """(K,) of rows and the outputs (n, c) of their own models, which are the network's."""
    scores, responses = kind.scores(outputs), kind.of(y)
    if not kind.are_shares:
        w = np.ones(len(y)) if weight is None else weight
        total = np.bincount(segment, w, minlength=K)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.bincount(segment, w * squared_errors(scores, responses), minlength=K) / total
    return over_classes(np.column_stack([segment_areas(segment, scores[:, r], responses[:, r] == 1, weight, K) for r in range(kind.n)]))


def global_scores(kind: Responses, coef: np.ndarray, intercept: np.ndarray, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, *,
                  threads: int = 1) -> np.ndarray:
    """(K,) of every model (coef (K, c, d), intercept (K, c)) on all rows X (n, d), a block of models at a time."""
    K, c, d = coef.shape
    n, out = len(X), np.full(len(coef), np.nan)
    if n == 0:
        return out
    responses = kind.of(y)
    step = max(1, BLOCK_BYTES // (8 * c * n))
    for k in range(0, K, step):
        block = slice(k, min(K, k + step))
        outputs = (coef[block].reshape(-1, d) @ X.T + intercept[block].reshape(-1, 1)).reshape(-1, c, n)
        if not kind.are_shares:
            error = np.zeros((len(outputs), n))
            for r in range(c):
                error += (outputs[:, r] - responses[:, r]) ** 2
            out[block] = np.average(error, axis=1, weights=weight) / c
        else:
            out[block] = over_classes(np.column_stack([_areas(s, responses[:, r] == 1, weight, threads)
                                                       for r, s in enumerate(_rank_by(kind, outputs))]))
    return out


def _rank_by(kind: Responses, outputs: np.ndarray):
    """For each response (models, n) scores, from outputs (models, c, n)."""
    if kind.kind == "binary":
        return [outputs[:, 0] if outputs.shape[1] == 1 else outputs[:, 1] - outputs[:, 0]]
    if kind.kind == "labels":
        return [outputs[:, r] for r in range(kind.n)]
    scores = kind.scores(np.moveaxis(outputs, 1, 2))
    return [scores[..., r] for r in range(kind.n)]


def _areas(scores: np.ndarray, second: np.ndarray, weight: np.ndarray | None, threads: int) -> np.ndarray:
    if weight is None:
        return roc_areas(scores, second, threads=threads)
    zero = np.zeros(len(second), dtype=np.intp)
    return np.array([segment_areas(zero, s, second, weight, 1)[0] for s in scores])
