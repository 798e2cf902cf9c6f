"""Coefficients refitted on rows drawn again, all draws at once (UNWRAP 5.2, Fig. 19)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..tolerance import DRAW_STEP, GLM_STEP, LOST_DRAWS
from .glm import independent_columns
from .merge import Scale
from .newton import Fits, linear_fits, logistic_fits

if TYPE_CHECKING:
    from .inference import Fitted

DRAWS_AT_ONCE = 20_000_000          # weights held at a time: 160 MB


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """(m, 1 + d) each, intercept first; draws (B, m, 1 + d), NaN where a draw had no answer."""

    coef: np.ndarray
    mean: np.ndarray
    std_err: np.ndarray
    low: np.ndarray
    high: np.ndarray
    share_zero: np.ndarray
    draws: np.ndarray
    reasons: np.ndarray
    notes: tuple[str, ...] = ()


def bootstrap_draws(rows: Fitted, *, draws: int, level: float, seed: int, reference: int = 0) -> Bootstrap:
    """Coefficients of the model, refitted with its penalty on `draws` samples of the rows with replacement.

    Needs     rows of one region. The penalty's strength is that of the fit, which is not chosen again.
    Gives     mean, standard deviation, percentile interval and share of zero coefficients over the draws.
    Sound     as an estimate, for many rows. Draws without an answer (a class missing, separable) are counted; where more than
              LOST_DRAWS of them are, intervals would speak of the rest only and are NaN, with the reason.
    Source    Efron 1979; with l1 UNWRAP Fig. 19, where the percentile interval describes the estimator (Knight & Fu 2000: it is
              not a valid confidence interval at zero).
    """
    if draws < 2:
        raise ValueError(f"draws={draws}: at least 2 are needed")
    n, d = rows.X.shape
    m = rows.n_classes - 1 if rows.n_classes else rows.y.shape[1]
    names = ("coef", "mean", "std_err", "low", "high", "share_zero")
    reasons = np.full((m, 1 + d), "", dtype=object)
    if n == 0 or (rows.n_classes and len(np.unique(rows.y)) < rows.n_classes):
        reasons[:] = "there is no row" if n == 0 else "not all classes have rows here"
        return Bootstrap(*[np.full((m, 1 + d), np.nan) for _ in names], draws=np.full((draws, m, 1 + d), np.nan), reasons=reasons)
    scale = Scale.of(rows.X, rows.weight)
    Z = scale.inwards(rows.X)
    keep = independent_columns(Z) if rows.glm.penalty is None else np.ptp(Z, axis=0) > 0
    fits = _fits(rows, Z[:, keep], draws, seed)
    beta = _against(fits.beta, rows.n_classes, reference)
    full = np.zeros((draws + 1, m, 1 + d))
    full[:, :, np.r_[0, 1 + np.flatnonzero(keep)]] = beta
    coef, intercept = scale.outwards(full[:, :, 1:], full[:, :, 0])
    full = np.concatenate([intercept[:, :, None], coef], axis=2)
    full[~fits.converged] = np.nan
    return _told(full[0], full[1:], level, keep, rows)


def _fits(rows: Fitted, Z: np.ndarray, draws: int, seed: int) -> Fits:
    """The fit of all rows, then those of the draws."""
    penalty, strength, rng, n = rows.glm.penalty, rows.glm.strength, np.random.default_rng(seed), len(Z)

    def fit(weight, start):
        if rows.n_classes == 0:
            return linear_fits(Z, rows.y, weight, penalty=penalty, alpha=strength)
        return logistic_fits(Z, rows.y, rows.n_classes, weight, penalty=penalty, C=strength, start=start,
                             step=GLM_STEP if len(weight) == 1 else DRAW_STEP)

    found = [fit(rows.weight[None], None)]
    start = _free(found[0].beta[0], rows, penalty)
    step = max(1, DRAWS_AT_ONCE // n)
    for first in range(0, draws, step):
        counts = rng.multinomial(n, np.full(n, 1.0 / n), size=min(step, draws - first))
        found.append(fit(counts * rows.weight, start))
    return Fits(np.concatenate([f.beta for f in found]), np.concatenate([f.converged for f in found]))


def _free(beta: np.ndarray, rows: Fitted, penalty: str | None) -> np.ndarray | None:
    """The fit of all rows as a start for those of the draws, in the lines that the solver moves; None where it ran away."""
    if np.abs(beta).max() > 20:
        return None
    return beta if rows.n_classes == 2 or penalty is not None else beta[1:] - beta[:1]


def _against(beta: np.ndarray, n_classes: int, reference: int) -> np.ndarray:
    """Logits of the other classes against the reference: (B, m, p)."""
    if n_classes == 0:
        return beta
    if n_classes == 2:
        return beta if reference == 0 else -beta
    return np.delete(beta - beta[:, reference:reference + 1], reference, axis=1)


def _told(coef: np.ndarray, draws: np.ndarray, level: float, keep: np.ndarray, rows: Fitted) -> Bootstrap:
    there = np.isfinite(draws).all(axis=(1, 2))
    used, lost = draws[there], float(1 - there.mean())
    reasons = np.full(coef.shape, "", dtype=object)
    notes = []
    if rows.glm.penalty == "l1":
        notes.append("intervals describe the l1 estimator over draws; they are not tests of zero coefficients")
    if lost:
        notes.append(f"{lost:.0%} of the draws had no answer (a class missing, separable or collinear rows) and are left out")
    if lost > LOST_DRAWS or len(used) < 2:
        reasons[:] = f"{lost:.0%} of the draws had no answer: the rows are too few, or nearly separable"
        nothing = np.full(coef.shape, np.nan)
        return Bootstrap(coef, *[nothing.copy() for _ in range(5)], draws=draws, reasons=reasons, notes=tuple(notes))
    low, high = np.quantile(used, [(1 - level) / 2, (1 + level) / 2], axis=0)
    out = Bootstrap(coef.copy(), used.mean(axis=0), used.std(axis=0, ddof=1), low, high, (used == 0).mean(axis=0), draws, reasons,
                    tuple(notes))
    gone = 1 + np.flatnonzero(~keep)
    for name in ("coef", "mean", "std_err", "low", "high", "share_zero"):
        getattr(out, name)[:, gone] = np.nan
    constant = np.ptp(rows.X, axis=0) == 0
    reasons[:, gone] = np.where(constant[~keep], "constant on these rows", "on these rows a combination of the features before it")
    return out
