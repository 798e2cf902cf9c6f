"""Joint importance: how much each feature and the intercept count over all local models (UNWRAP eq. 18)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .asked import Unwrapped, effect, in_units, models_of, spread_of
from .models import LocalModels

if TYPE_CHECKING:
    import pandas as pd

INTERCEPT = "(intercept)"


@dataclass(frozen=True, eq=False)
class JointImportance:
    """Shares of the features and the intercept in the squared coefficients of all models, weighted by their rows.

    features: d names. raw, standardised: (d + 1,) the shares, the intercept's last; they add up to 1 (all 0 where every
    coefficient is 0). raw are of the features as they are, so they change with units; standardised are of features shifted
    and scaled to mean 0 and std 1 over the rows, with the intercept that belongs to them.
    mean, std: (d + 1,) of the coefficients over rows. positive, negative: (d + 1,) share of the rows on which the coefficient
    is above, and below 0.
    label: the output that is spoken of. n_models, n_rows: what the shares are of; total_models, total_rows: of the unwrapping.
    """

    features: tuple[str, ...]
    raw: np.ndarray
    standardised: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    positive: np.ndarray
    negative: np.ndarray
    label: str
    kind: str
    n_models: int
    n_rows: int
    total_models: int
    total_rows: int

    def order(self, *, standardised: bool = True) -> np.ndarray:
        """(d,) the features, the most important first."""
        return np.argsort(-(self.standardised if standardised else self.raw)[:-1], kind="stable")

    def to_frame(self) -> pd.DataFrame:
        """A row a feature, by standardised importance; the intercept last."""
        import pandas as pd

        rows = np.append(self.order(), len(self.features))
        names = np.array([*self.features, INTERCEPT], dtype=object)
        return pd.DataFrame({"feature": names[rows], "standardised": self.standardised[rows], "raw": self.raw[rows],
                             "mean coefficient": self.mean[rows], "std of coefficient": self.std[rows],
                             "positive on rows": self.positive[rows], "negative on rows": self.negative[rows]})

    def __repr__(self) -> str:
        best = ", ".join(f"{self.features[j]} {self.standardised[j]:.1%}" for j in self.order()[:3])
        return f"JointImportance({self.label}: {best}; {self.n_models} {self.kind} models, {self.n_rows} rows)"

    def _repr_html_(self) -> str:
        return self.to_frame().to_html(index=False, float_format=lambda v: f"{v:.4g}")


def joint_importance(models: LocalModels | Unwrapped, *, output: int | str | None = None, versus: int | str | None = None,
                     original=None) -> JointImportance:
    """How much each feature counts over all local models.

    Needs    local or merged models, or a fitted estimator; original: a scaler, where raw shares are wanted in its units.
    Gives    for feature j the sum over models of rows * w_j^2, and of rows * b^2 for the intercept, divided by their total.
    Source   UNWRAP eq. 18, over all models, single-row and single-class ones too.
    Differs  with sample weights, weight stands for rows; standardised shares stand beside the raw ones: w_j is multiplied by the
             std of x_j over the rows, and the intercept is the model's value at the mean row.
    """
    models = in_units(models_of(models), original)
    told = effect(models, output, versus)
    mean, std = spread_of(models)
    coef = np.column_stack([told.coef, told.intercept])
    scaled = np.column_stack([told.coef * std, told.intercept + told.coef @ mean])
    share = models.weight / max(float(models.weight.sum()), np.finfo(float).tiny)
    average = share @ coef
    far = coef - average
    top = np.abs(far).max(axis=0, initial=0.0)
    spread = top * np.sqrt(share @ np.divide(far, top, where=top > 0, out=np.zeros_like(far)) ** 2)
    return JointImportance(models.network.feature_names, _shares(share, coef), _shares(share, scaled), average, spread, share @ (coef > 0),
                           share @ (coef < 0), told.label, models.kind, len(models), int(models.count.sum()),
                           max(models.total_models, len(models)), max(models.total_rows, int(models.count.sum())))


def _shares(share: np.ndarray, coef: np.ndarray) -> np.ndarray:
    """(d + 1,) mean squares over the models, divided by their sum."""
    top = float(np.abs(coef).max(initial=0.0))
    squares = share @ (coef / top) ** 2 if top > 0 else np.zeros(coef.shape[1])       # divided first: squares do not overflow
    return squares / squares.sum() if squares.sum() > 0 else squares
