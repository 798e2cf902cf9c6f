"""Wald tests of a model refitted on some rows, by statsmodels (UNWRAP 5.2)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from ..errors import MissingExtra
from ..tolerance import COLLINEAR, PERFECT_FIT, SEPARATED
from .glm import independent_columns
from .merge import Scale

if TYPE_CHECKING:
    from .inference import Fitted

SUSPECT = 12.0          # a logit beyond which separation is looked for: where rows are separable, Newton's logits pass it before it stops
SEPARABLE = "the classes are separable on these rows: a plane tells some of them apart without error, so that the likelihood has no maximum"
ALIASED = "on these rows a combination of the intercept and of the features before it"
FEW = 10                # rows of the rarer response for each coefficient, below which the normal approximation is known to be poor


@dataclass(frozen=True, eq=False)
class Wald:
    """(m, 1 + d) each, intercept first. df: degrees of freedom of t, infinite for z. reasons: why a line is NaN."""

    coef: np.ndarray
    std_err: np.ndarray
    statistic: np.ndarray
    p_value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    df: float
    reasons: np.ndarray
    notes: tuple[str, ...] = ()


def wald(rows: Fitted, level: float, reference: int = 0) -> Wald:
    """Estimates, tests and intervals of the model refitted, without penalty, on these rows.

    Needs     rows of one region. Weights are taken as those of a sample: their scale does not matter.
    Gives     for a regression t with n - rank degrees of freedom (rank of the design with its ones), for classes z; classes are
              told against `reference`. With weights, the covariance is the robust one (HC1; HC0 for classes).
    Sound     where there is no answer it is NaN, with the reason: too few rows, one response, separable classes, columns that
              are combinations of others on these rows (the later ones get no coefficient, as in R's glm).
    Source    UNWRAP 5.2; Wald 1943, by statsmodels, on standardised columns and mapped back.
    Differs   the paper's degrees of freedom n - d - 1 are those of full rank; whether classes are separable is decided by linear
              programming (Konis 2007), not by the size of the coefficients.
    """
    d = rows.X.shape[1]
    m = rows.n_classes - 1 if rows.n_classes else rows.y.shape[1]
    scale = Scale.of(rows.X) if len(rows.X) else Scale(np.zeros(d), np.ones(d))
    Z = scale.inwards(rows.X)
    keep = independent_columns(Z)
    reason = _no_answer(rows, keep)
    if reason:
        return _nothing(m, d, reason)
    design = np.column_stack([np.ones(len(Z)), Z[:, keep]])
    if rows.n_classes:
        if len(np.unique(rows.y)) < rows.n_classes:
            return _some_classes(rows, level, reference)
        return _of_classes(rows, design, keep, scale, level, reference)
    return _table(*_linear(design, rows), keep, scale, level, rows)


def _of_classes(rows: Fitted, design: np.ndarray, keep: np.ndarray, scale: Scale, level: float, reference: int) -> Wald:
    """Where all classes have rows. Of two classes that are separable in part, coefficients that do not run away are given.

    In the limit the rows that are told apart say nothing, and the others are fitted without them (Geyer 2009); a coefficient is finite
    where these determine it.
    """
    y = _recoded(rows.y, reference, rows.n_classes)
    fit = _logit(design, y, rows)
    if fit is not None:
        return _table(*fit, keep, scale, level, rows)
    m, d, apart = rows.n_classes - 1, len(keep), separable(design, y, rows.n_classes)
    if not apart.any():
        return _nothing(m, d, "the likelihood's maximum was not reached")
    left = np.flatnonzero(~apart)
    if m > 1 or len(np.unique(y[left])) < 2:
        return _nothing(m, d, SEPARABLE)
    inner = wald(replace(rows, X=rows.X[left], y=rows.y[left], weight=rows.weight[left]), level, reference)
    free = _determined(np.column_stack([np.ones(len(left)), scale.inwards(rows.X[left])[:, keep]]), keep, scale)
    for name in ("coef", "std_err", "statistic", "p_value", "low", "high"):
        getattr(inner, name)[:, ~free] = np.nan
    inner.reasons[:, ~free] = SEPARABLE
    gone = 1 + np.flatnonzero(~keep)
    inner.reasons[:, gone] = ALIASED
    note = f"{int(apart.sum())} of {len(apart)} rows are told apart without error by a plane; what the others determine is given"
    return replace(inner, notes=(note, *inner.notes))


def _determined(design: np.ndarray, keep: np.ndarray, scale: Scale) -> np.ndarray:
    """(1 + d,) bool: which raw coefficients the rows of a standardised design determine: those that no b with design b = 0 moves."""
    _, size, across = np.linalg.svd(design, full_matrices=True)
    rank = int((size > COLLINEAR * size.max(initial=0.0)).sum())
    null = across[rank:] @ _to_raw(keep, scale).T
    out = np.zeros(1 + len(keep), dtype=bool)
    out[np.r_[0, 1 + np.flatnonzero(keep)]] = (np.abs(null * _raw_size(keep, scale)) < 1e-6).all(axis=0)
    return out


def _no_answer(rows: Fitted, keep: np.ndarray) -> str:
    n, p = len(rows.X), 1 + int(keep.sum())
    if n == 0:
        return "there is no row"
    if rows.n_classes and len(np.unique(rows.y)) == 1:
        return "all rows are of one class"
    if len(np.unique(rows.y)) > 2 and rows.n_classes and not rows.plain:
        return "with weights there are no Wald tests of more than two classes; method='bootstrap' takes weights"
    if n <= p:
        return f"{n} rows are too few for {p} coefficients: no degree of freedom is left"
    return ""


def _linear(design: np.ndarray, rows: Fitted):
    """beta (m, p), covariance (m, p, p), df of m least-squares fits."""
    sm = _statsmodels()
    fits = []
    for y in rows.y.T:
        model = sm.OLS(y, design) if rows.plain else sm.WLS(y, design, weights=rows.weight)
        result = model.fit() if rows.plain else model.fit(cov_type="HC1")
        perfect = result.ssr <= PERFECT_FIT ** 2 * (rows.weight @ y ** 2)
        fits.append((result.params, np.full((design.shape[1],) * 2, np.nan) if perfect else result.cov_params()))
    return np.array([f[0] for f in fits]), np.array([f[1] for f in fits]), float(len(design) - design.shape[1])


def _logit(design: np.ndarray, y: np.ndarray, rows: Fitted):
    """beta (m, p), covariance (m, p, p), inf; None where there is, or seems to be, no maximum. y: 0 is the reference."""
    sm = _statsmodels()
    m = rows.n_classes - 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if m == 1 and not rows.plain:
                weight = rows.weight * (len(y) / rows.weight.sum())
                result = sm.GLM(y, design, family=sm.families.Binomial(), freq_weights=weight).fit(tol=1e-12, cov_type="HC0")
            elif m == 1:
                result = sm.Logit(y, design).fit(method="newton", maxiter=50, tol=1e-12, disp=0)
            else:
                result = sm.MNLogit(y, design).fit(method="newton", maxiter=50, tol=1e-12, disp=0)
        except (np.linalg.LinAlgError, sm.tools.sm_exceptions.PerfectSeparationError):
            result = None
    if result is None:
        return None
    beta = np.asarray(result.params).reshape(design.shape[1], m, order="F").T if m > 1 else np.asarray(result.params)[None]
    if not np.isfinite(beta).all() or (np.abs(design @ beta.T).max() > SUSPECT and separable(design, y, rows.n_classes).any()):
        return None
    return beta, _blocks(np.asarray(result.cov_params()), m), np.inf


def _blocks(covariance: np.ndarray, m: int) -> np.ndarray:
    """(m, p, p) from the covariance of all m lines together, line by line."""
    p = len(covariance) // m
    return np.array([covariance[k * p:(k + 1) * p, k * p:(k + 1) * p] for k in range(m)])


def separable(design: np.ndarray, y: np.ndarray, n_classes: int) -> np.ndarray:
    """(n,) bool: the rows that some plane b tells apart, (b_y - b_k).x >= 0 for all rows x and classes k, and > 0 for this row and some k.

    None: the likelihood has its maximum. All: complete separation. Some: quasi-complete.
    Source    Albert & Anderson 1984; as a linear programme (Konis 2007). Margins are asked for up to 1 each, which finds all such rows.
    """
    from scipy.optimize import linprog

    blocks, who = [], []
    for k in range(n_classes):
        rows = np.flatnonzero(y != k)
        of_y = np.zeros((len(rows), n_classes))
        of_y[np.arange(len(rows)), y[rows]] = 1.0
        of_y[:, k] -= 1.0
        blocks.append((of_y[:, 1:, None] * design[rows][:, None, :]).reshape(len(rows), -1))        # b of the reference is 0
        who.append(rows)
    A, who = np.concatenate(blocks), np.concatenate(who)
    size = np.abs(A).max(axis=1, keepdims=True)
    A = A / np.where(size > 0, size, 1.0)
    n, p = A.shape
    found = linprog(np.r_[np.zeros(p), -np.ones(n)], A_ub=sp.hstack([-sp.csr_array(A), sp.eye_array(n)]), b_ub=np.zeros(n),
                    bounds=[(None, None)] * p + [(0, 1)] * n, method="highs")
    out = np.zeros(len(design), dtype=bool)
    if found.status != 0:                              # not solved: nothing is proved, so that nothing is claimed
        out[:] = True
    else:
        out[who[found.x[p:] > SEPARATED]] = True
    return out


def _recoded(y: np.ndarray, reference: int, n_classes: int) -> np.ndarray:
    """Class numbers with the reference first."""
    order = np.r_[reference, np.setdiff1d(np.arange(n_classes), reference)]
    return np.argsort(order)[y]


def _some_classes(rows: Fitted, level: float, reference: int) -> Wald:
    """Classes that no row is of get NaN; the others are told among themselves."""
    m, d = rows.n_classes - 1, rows.X.shape[1]
    present, y = np.unique(rows.y, return_inverse=True)
    if reference not in present:
        return _nothing(m, d, "no row is of the class that the others are told against")
    inner = wald(replace(rows, y=y, n_classes=len(present)), level, int(np.searchsorted(present, reference)))
    out = _nothing(m, d, "no row is of this class")
    others = np.setdiff1d(np.arange(rows.n_classes), reference)
    lines = np.flatnonzero(np.isin(others, present))
    for name in ("coef", "std_err", "statistic", "p_value", "low", "high", "reasons"):
        getattr(out, name)[lines] = getattr(inner, name)
    return replace(out, df=inner.df, notes=inner.notes)


def _to_raw(keep: np.ndarray, scale: Scale) -> np.ndarray:
    """raw coefficients = this @ standardised ones, of the kept columns, intercept first."""
    back = np.eye(1 + int(keep.sum()))
    back[1:, 1:] /= scale.std[keep]
    back[0, 1:] = -scale.mean[keep] / scale.std[keep]
    return back


def _raw_size(keep: np.ndarray, scale: Scale) -> np.ndarray:
    """What raw coefficients are to be multiplied by to be of the size of standardised ones."""
    std = scale.std[keep]
    return np.r_[1.0 / (1.0 + np.abs(scale.mean[keep] / std).max(initial=0.0)), std]


def _table(beta, covariance, df: float, keep: np.ndarray, scale: Scale, level: float, rows: Fitted) -> Wald:
    """From standardised, kept columns to all terms in the units of the data."""
    from scipy.stats import norm, t

    m, d = len(beta), len(keep)
    back = _to_raw(keep, scale)
    at = np.r_[0, 1 + np.flatnonzero(keep)]
    out = _nothing(m, d, ALIASED)
    constant = np.flatnonzero(np.ptp(rows.X, axis=0) == 0)
    out.reasons[:, 1 + constant] = "constant on these rows"
    coef = beta @ back.T
    std_err = np.sqrt(np.einsum("ip,mpq,iq->mi", back, covariance, back))
    law = t(df) if np.isfinite(df) else norm()
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = coef / std_err
    reach = law.ppf((1 + level) / 2) * std_err
    for name, value in (("coef", coef), ("std_err", std_err), ("statistic", statistic), ("p_value", 2 * law.sf(np.abs(statistic))),
                        ("low", coef - reach), ("high", coef + reach)):
        getattr(out, name)[:, at] = value
    out.reasons[:, at] = np.where(np.isfinite(std_err), "", "the model is without error on these rows, so that none can be estimated")
    return Wald(out.coef, out.std_err, out.statistic, out.p_value, out.low, out.high, df, out.reasons, _notes(rows, 1 + int(keep.sum())))


def _notes(rows: Fitted, p: int) -> tuple[str, ...]:
    notes = []
    if rows.n_classes:
        rarest = int(np.bincount(rows.y, minlength=rows.n_classes).min())
        if rarest < FEW * p:
            notes.append(f"{rarest} rows of the rarest class for {p} coefficients: z is an approximation for many rows")
    if not rows.plain:
        notes.append("rows are weighted: standard errors are the robust ones (sandwich)")
    return tuple(notes)


def _nothing(m: int, d: int, reason: str) -> Wald:
    blank = [np.full((m, 1 + d), np.nan) for _ in range(6)]
    return Wald(*blank, df=np.nan, reasons=np.full((m, 1 + d), reason, dtype=object))


def _statsmodels():
    try:
        import statsmodels.api as sm
    except ImportError as error:
        raise MissingExtra("statsmodels", "unwrap", "inference") from error
    return sm
