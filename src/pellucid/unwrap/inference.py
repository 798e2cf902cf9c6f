"""What the rows of one region say of its coefficients: Wald tests, intervals, bootstrap (UNWRAP 5.2, Table 2, Fig. 19)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..errors import DataError
from .bootstrap import bootstrap_draws
from .glm import Glm
from .wald import wald

METHODS = ("wald", "bootstrap")


@dataclass(frozen=True, eq=False)
class Fitted:
    """The rows of one region and what is refitted on them: what both kinds of inference start from.

    X: (n, d). y: (n,) class numbers or (n, m) values. weight: (n,); plain: none were given. n_classes: 0 for a regression.
    """

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    plain: bool
    n_classes: int
    glm: Glm


@dataclass(frozen=True, eq=False)
class Inference:
    """Coefficients of one region's model, refitted on its rows, a line a term (UNWRAP Table 2).

    region: its number. method: "wald" or "bootstrap". level: of the intervals. terms: "intercept", then the features.
    responses: what is modelled, one a row of the arrays; for classes, the logit against the class `reference`.
    coef, std_err, statistic, p_value, low, high: (m, 1 + d). statistic: t (df degrees of freedom) or z (df infinite), NaN in a bootstrap.
    mean, share_zero: (m, 1 + d) over the draws; draws: (B, m, 1 + d); None for Wald.
    reasons: (m, 1 + d) why a line is NaN, "" where it is not. notes: what limits all of them.
    """

    region: int
    method: str
    level: float
    n_rows: int
    df: float
    terms: tuple[str, ...]
    responses: tuple[str, ...]
    reference: str | None
    coef: np.ndarray
    std_err: np.ndarray
    statistic: np.ndarray
    p_value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    reasons: np.ndarray
    notes: tuple[str, ...] = ()
    mean: np.ndarray | None = None
    share_zero: np.ndarray | None = None
    draws: np.ndarray | None = field(default=None, repr=False)

    @property
    def statistic_name(self) -> str:
        return "t" if np.isfinite(self.df) else "z"

    def to_frame(self):
        """A pandas table: coef, std_err, z | t, p-value and the interval's ends; of a bootstrap mean and share_zero in place of the test.

        Several responses are the first level of the index. Reasons, where a line is NaN, stand in the column "reason".
        """
        import pandas as pd

        ends = [f"[{(1 - self.level) / 2:g}", f"{(1 + self.level) / 2:g}]"]
        columns = {"coef": self.coef}
        if self.method == "bootstrap":
            columns |= {"mean": self.mean}
        columns |= {"std_err": self.std_err}
        if self.method == "wald":
            columns |= {self.statistic_name: self.statistic, "p-value": self.p_value}
        columns |= dict(zip(ends, (self.low, self.high), strict=True))
        if self.method == "bootstrap":
            columns |= {"share_zero": self.share_zero}
        index = (pd.Index(self.terms, name="term") if len(self.responses) == 1
                 else pd.MultiIndex.from_product([self.responses, self.terms], names=["response", "term"]))
        frame = pd.DataFrame({name: np.asarray(v).ravel() for name, v in columns.items()}, index=index)
        if (self.reasons != "").any():
            frame["reason"] = self.reasons.ravel()
        return frame

    def __repr__(self) -> str:
        known = int(np.isfinite(self.low).sum())
        return (f"Inference(region {self.region}, {self.n_rows} rows, {self.method}, {self.level:.0%} intervals of {known} of "
                f"{self.low.size} coefficients, {len(self.notes)} notes)")

    def _repr_html_(self) -> str:
        from html import escape

        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return f"<p>Region {self.region}, {self.n_rows} rows, {self.method}</p>{self.to_frame().to_html(float_format='%.4g')}{notes}"


def infer(rows: Fitted, *, region: int, method: str, level: float, draws: int, seed: int, feature_names, response_names,
          reference: int, notes: tuple[str, ...]) -> Inference:
    """The table of one region's rows. response_names: of the outputs, or of the classes.

    ValueError for arguments that are none; DataError where Wald is asked of a penalised fit.
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r}; it can be 'wald' or 'bootstrap'")
    if not 0 < level < 1:
        raise ValueError(f"level={level}: a share between 0 and 1 is needed, as 0.95")
    if method == "wald" and rows.glm.penalty is not None:
        raise DataError(f"Wald intervals of a model fitted with penalty={rows.glm.penalty!r} would be wrong: a penalty pulls coefficients "
                        "to zero, and the interval does not know (of 95% intervals with a ridge .15 held the truth).\n"
                        "  To go on       method='bootstrap', or refit with penalty=None")
    responses, against = _responses(rows, response_names, reference)
    terms = ("intercept", *feature_names)
    if method == "wald":
        found = wald(rows, level, reference)
        return Inference(region, method, level, len(rows.X), found.df, terms, responses, against, found.coef, found.std_err,
                         found.statistic, found.p_value, found.low, found.high, found.reasons, (*found.notes, *notes))
    found = bootstrap_draws(rows, draws=draws, level=level, seed=seed, reference=reference)
    nothing = np.full(found.coef.shape, np.nan)
    return Inference(region, method, level, len(rows.X), np.inf, terms, responses, against, found.coef, found.std_err, nothing, nothing,
                     found.low, found.high, found.reasons, (*found.notes, *notes), found.mean, found.share_zero, found.draws)


def _responses(rows: Fitted, names, reference: int) -> tuple[tuple[str, ...], str | None]:
    names = tuple(str(n) for n in names)
    if rows.n_classes == 0:
        return names, None
    if not 0 <= reference < len(names):
        raise ValueError(f"reference={reference}: there are {len(names)} classes")
    return tuple(n for k, n in enumerate(names) if k != reference), names[reference]


def inference(estimator, region: int | None = None, *, row=None, method: str = "wald", level: float = 0.95, draws: int = 100, seed: int = 0,
              reference=None, X=None, y=None, sample_weight=None) -> Inference:
    """Which coefficients of a region's model do its rows tell from zero: an `Inference`.

    estimator: a fitted unwrapper, or merged models. region: its number (largest first); or row: the region that holds it.
    method: "wald" (unpenalised refits only) or "bootstrap" (draws, seed). level: of the intervals.
    reference: the class (a label) that others are told against; default the first.
    X, y, sample_weight: other rows to fit on than those of the fit, as rows that had no say in the regions.

    DataError where there are no rows to go by; ValueError for arguments that are none.
    """
    region = _region(estimator, region, row)
    classes = getattr(estimator, "classes_", None)
    rows, notes = _own_rows(estimator, region) if X is None else _other_rows(estimator, region, X, y, sample_weight)
    names = classes if classes is not None else estimator.network_.output_names
    at = 0 if reference is None else _place(classes, reference)
    return infer(rows, region=region, method=method, level=level, draws=draws, seed=seed, feature_names=estimator.network_.feature_names,
                 response_names=names, reference=at, notes=notes)


def _region(estimator, region: int | None, row) -> int:
    if (region is None) == (row is None):
        raise ValueError("inference() wants a region's number, or row=x for the region that holds it: one of the two")
    if row is None:
        number = int(region)
    else:
        number = int(estimator.groups(row if hasattr(row, "columns") else np.asarray(row).reshape(1, -1))[0])
        if number < 0:
            raise DataError("the row lies in a region that no row of the fit visits, so that there are no rows to go by.\n"
                            "  To go on       merged models have a cluster for every row: MergedClassifier, MergedRegressor")
    n = estimator.n_clusters_ if hasattr(estimator, "n_clusters_") else estimator.n_regions_
    if not 0 <= number < n:
        raise ValueError(f"region {number}: there are {n}, from 0")
    return number


def _place(classes, reference) -> int:
    if classes is None:
        raise ValueError(f"reference={reference!r}: a regression has no classes")
    found = np.flatnonzero(np.asarray(classes) == reference)
    if not len(found):
        raise ValueError(f"reference={reference!r}; the classes are {', '.join(map(str, classes))}")
    return int(found[0])


def _own_rows(estimator, region: int) -> tuple[Fitted, tuple[str, ...]]:
    """The rows of the fit that the region holds."""
    held = estimator.local_models(index=[region], scores=()).rows
    if held is None or not held.complete:
        raise DataError("the fit did not keep all rows (it read a stream, or more than it keeps).\n"
                        "  To go on       inference(region, X=..., y=...) on rows at hand; those of the region are picked")
    mine = held.model == 0
    notes = estimator.inference_notes_ if hasattr(estimator, "inference_notes_") else (ON_FITTED_ROWS,)
    return _fitted(estimator, held.X[mine], held.y[mine], held.weight[mine]), notes


def _other_rows(estimator, region: int, X, y, sample_weight) -> tuple[Fitted, tuple[str, ...]]:
    if y is None:
        raise ValueError("inference(X=...) wants y too")
    from .estimating import read_data

    data = read_data(estimator.network_, getattr(estimator, "classes_", None), X, y, sample_weight)
    mine = np.flatnonzero(estimator.groups(data.X) == region)
    return _fitted(estimator, data.X[mine], data.y[mine], data.weight[mine]), (ON_OTHER_ROWS,)


ON_FITTED_ROWS = ("regions are those of a network: where it was trained on these rows, p-values are too small and intervals too short "
                  "(post-selection); pass rows that it has not seen as X, y")
ON_OTHER_ROWS = "valid where neither the network nor the regions were fitted on these rows"
AFTER_MERGING = ("the clusters were found on these same rows, so that p-values are too small and intervals too short (post-selection); "
                 "refit_on='holdout' fits on others")
AFTER_NETWORK = "the clusters had no say of these rows; valid where the network was not trained on them either"


def _fitted(estimator, X, y, weight) -> Fitted:
    glm = estimator.glm_ if hasattr(estimator, "glm_") else Glm()
    n_classes = len(estimator.classes_) if hasattr(estimator, "classes_") else 0
    y = y if n_classes or y.ndim == 2 else y[:, None]
    used = weight > 0
    X, y, weight = X[used], y[used], weight[used]
    return Fitted(X, y, weight, bool(len(weight) == 0 or np.ptp(weight) == 0), n_classes, glm)
