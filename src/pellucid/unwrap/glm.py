"""The model that is refitted on the rows of a merged cluster: a generalised linear model, plain, l1 or l2 (UNWRAP 5.1).

scikit-learn fits on standardised features, so that a penalty does not depend on units; coefficients are given in those of the data.
Columns that are constant on the rows, or a combination of those before them, get no slope in a plain fit (as R's glm leaves them out).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from ..tolerance import COLLINEAR
from .merge import Scale
from .newton import logistic_fits

PENALTIES = (None, "l1", "l2")


@dataclass(frozen=True)
class Glm:
    """What to refit. penalty: None, "l1" or "l2". strength: scikit-learn's C of a classifier, alpha of a regression."""

    penalty: str | None = None
    strength: float = 1.0


def independent_columns(Z: np.ndarray) -> np.ndarray:
    """(d,) bool: which columns are no combination of the ones and of the columns before them.

    Gram-Schmidt, twice over; a column is left out where less than COLLINEAR of it is left.
    """
    basis = [np.full(len(Z), 1.0 / np.sqrt(max(len(Z), 1)))]
    keep = np.zeros(Z.shape[1], dtype=bool)
    for j, column in enumerate(Z.T):
        Q, rest = np.array(basis), column
        for _ in range(2):
            rest = rest - Q.T @ (Q @ rest)
        size = np.linalg.norm(rest)
        if size > COLLINEAR * np.linalg.norm(column) and len(basis) < len(Z):
            keep[j] = True
            basis.append(rest / size)
    return keep


def refit_linear(X: np.ndarray, Y: np.ndarray, weight: np.ndarray, glm: Glm, scale: Scale) -> tuple[np.ndarray, np.ndarray]:
    """coef (m, d), intercept (m,) of a linear model of Y (n, m) on X (n, d)."""
    from sklearn.linear_model import Lasso, LinearRegression, Ridge

    Z = scale.inwards(X)
    keep = independent_columns(Z) if glm.penalty is None else np.ones(Z.shape[1], dtype=bool)
    if not keep.any():
        return np.zeros((Y.shape[1], X.shape[1])), np.average(Y, axis=0, weights=weight)
    total = weight.sum()
    model = {None: LinearRegression(), "l1": Lasso(glm.strength, tol=1e-7, max_iter=20_000),
             "l2": Ridge(glm.strength * total)}[glm.penalty]                     # mean squared error / 2 + alpha |b|^2 / 2, as Lasso counts
    coef, intercept = np.zeros((Y.shape[1], X.shape[1])), np.zeros(Y.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k, y in enumerate(Y.T):
            model.fit(Z[:, keep], y, sample_weight=weight)
            coef[k, keep], intercept[k] = model.coef_, model.intercept_
    return scale.outwards(coef, intercept)


def refit_logistic(X: np.ndarray, y: np.ndarray, n_classes: int, weight: np.ndarray, glm: Glm,
                   scale: Scale) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a logistic model of the classes y (n,) in 0..n_classes - 1: coef (m, d), intercept (m,).

    m = 1 for two classes (the logit of the second), else one a class. A class without a row gets no slope, and at the mean row the
    share of half a row.
    """
    present, position = np.unique(y, return_inverse=True)
    total = weight.sum()
    m = 1 if n_classes == 2 else n_classes
    coef, intercept = np.zeros((m, X.shape[1])), np.zeros(m)
    if len(present) == 1:
        odds = np.log((total + 0.5) / 0.5)
        if n_classes == 2:
            intercept[0] = odds if present[0] == 1 else -odds
        elif n_classes > 2:
            intercept[present[0]] = odds
        return coef, intercept
    Z = scale.inwards(X)
    part, level = _logistic(Z, position, len(present), weight, glm)
    if n_classes == 2:
        return scale.outwards(part, level)
    if len(present) == 2:
        part, level = np.concatenate([-part, part]) / 2, np.concatenate([-level, level]) / 2
    coef[present], intercept[present] = part, level
    mean = np.average(Z, axis=0, weights=weight)
    absent = np.setdiff1d(np.arange(n_classes), present)
    intercept[absent] = np.logaddexp.reduce(part @ mean + level) + np.log(0.5 / total)
    return scale.outwards(coef, intercept)


def _logistic(Z, y, n_classes, weight, glm: Glm) -> tuple[np.ndarray, np.ndarray]:
    """The same where every class has rows, on standardised features; two classes: one line."""
    from sklearn.linear_model import LogisticRegression

    if glm.penalty == "l1":                      # scikit-learn's l1 solvers penalise the intercept or need minutes
        beta = logistic_fits(Z, y, n_classes, weight[None], penalty="l1", C=glm.strength).beta[0]
        return beta[:, 1:], beta[:, 0]
    keep = independent_columns(Z) if glm.penalty is None else np.ones(Z.shape[1], dtype=bool)
    coef = np.zeros((1 if n_classes == 2 else n_classes, Z.shape[1]))
    if not keep.any():
        share = np.bincount(y, weight, n_classes) / weight.sum()
        level = np.log(share) - np.log(share).mean()
        return coef, level[1:] - level[:1] if n_classes == 2 else level
    model = LogisticRegression(C=np.inf if glm.penalty is None else glm.strength, solver="newton-cholesky", tol=1e-8, max_iter=100)
    with warnings.catch_warnings():              # separable rows: the slopes stop where they are steep enough; inference says so
        warnings.simplefilter("ignore")
        model.fit(Z[:, keep], y, sample_weight=weight)
    coef[:, keep] = model.coef_
    return coef, model.intercept_
