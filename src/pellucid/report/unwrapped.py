"""The network unwrapped on the rows of the data: the local models that rows meet, and what the report tells of them (UNWRAP)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from ..graph import Network
from ..unwrap.asked import MOST_MODELS, effect, small
from ..unwrap.importance import JointImportance, joint_importance
from ..unwrap.models import LocalModels

if TYPE_CHECKING:
    import pandas as pd

TOP = 15
"""Models whose scores on all rows are computed: a score costs a pass over the rows."""

FEW_ROWS_A_MODEL = 2.0
"""Rows a region on average, below which a reader is told that local models are nearly as many as rows."""


@dataclass(frozen=True, eq=False)
class Unwrapped:
    """estimator: the fitted Unwrapper. top: its largest models, with local and global scores. models: the largest MOST_MODELS, without.

    importance: joint importance over `models`. output, versus: the output that is spoken of.
    """

    estimator: Any
    top: LocalModels
    models: LocalModels
    importance: JointImportance
    output: int | str | None
    versus: int | str | None


def answered(net: Network, X: np.ndarray, y: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The rows whose answer is known, and the answers: class names, or values. DataError where there are none."""
    if y is None:
        raise DataError("unwrapping compares local models with right answers, and there is no usable target column.\n"
                        "  To go on       --target COLUMN")
    known = ~np.isnan(y)
    if not known.any():
        raise DataError("no row has a known answer in the target column")
    values = np.array(net.class_names, dtype=object)[y[known].astype(int)] if net.n_classes else y[known]
    return X[known], values


def unwrapped(net: Network, X: np.ndarray, y: np.ndarray | None, *, top: int = TOP, output: int | str | None = None,
              versus: int | str | None = None, threads: int | None = None) -> Unwrapped:
    """Unwrap the network on rows X (n, d) whose answers are y (n,), class numbers or values; NaN: unknown.

    MissingExtra without scikit-learn, DataError without answers.
    """
    from ..unwrap.unwrapper import UnwrapperClassifier, UnwrapperRegressor

    X, values = answered(net, X, y)
    fitted = (UnwrapperClassifier if net.n_classes else UnwrapperRegressor)(net, n_jobs=threads).fit(X, values)
    models = fitted.local_models(top=MOST_MODELS, scores=())
    effect(models, output, versus)                                         # a wrong name is refused before any picture
    return Unwrapped(fitted, fitted.local_models(top=top, scores=("local", "global")), models,
                     joint_importance(models, output=output, versus=versus), output, versus)


def region_frame(models: LocalModels) -> pd.DataFrame:
    """The table of regions (UNWRAP 4): a row a model, largest first."""
    import pandas as pd

    net = models.network
    measure = "AUC" if net.n_classes else "MSE"
    columns: dict[str, Any] = {"Region": models.origin, "Count": models.count}
    m = models.response_mean.shape[1]
    for j in range(m):
        of = "" if m == 1 else f" {net.output_names[j]}"
        columns |= {f"Response Mean{of}": models.response_mean[:, j], f"Response Std{of}": models.response_std[:, j]}
    for name, score in (("Local", models.local_score), ("Global", models.global_score)):
        if score is not None:
            columns[f"{name} {measure}"] = score
    return pd.DataFrame(columns)


def all_regions(told: Unwrapped) -> pd.DataFrame:
    """Every region, with its local score; the global one where it was computed, which is for the largest."""
    frame = region_frame(told.estimator.local_models(scores=("local",)))
    measure = "AUC" if told.top.network.n_classes else "MSE"
    frame[f"Global {measure}"] = np.nan
    frame.loc[np.searchsorted(frame["Region"], told.top.origin), f"Global {measure}"] = told.top.global_score
    return frame


def meaning(models: LocalModels) -> str:
    """What the response's mean is, where it is a share: "; response: share of 'granted'"."""
    net = models.network
    return f"; response: 1 for '{net.class_names[1]}'" if net.n_classes == 2 else ""


def coefficient_frame(models: LocalModels) -> pd.DataFrame:
    """Every model's intercept and coefficients: a row a model and output."""
    import pandas as pd

    net, (K, c, d) = models.network, models.coef.shape
    names = net.output_names if c == net.n_outputs else net.class_names[-c:]
    columns: dict[str, Any] = {"region": np.repeat(models.origin, c), "count": np.repeat(models.count, c)}
    if c > 1:
        columns["output"] = np.tile(np.array(names, dtype=object), K)
    columns["intercept"] = models.intercept.ravel()
    coef = models.coef.reshape(K * c, d)
    return pd.concat([pd.DataFrame(columns), pd.DataFrame(coef, columns=list(net.feature_names))], axis=1)


def shares(models: LocalModels) -> dict[str, float]:
    """What is told of all models: how many, and how many are of one row or of one class; shares of models and of rows."""
    rows = max(int(models.count.sum()), 1)
    gone, single = small(models), models.count <= 1
    return {"models": max(models.total_models, len(models)), "rows": max(models.total_rows, rows), "single row": float(single.mean()),
            "one class": float((gone & ~single).mean()), "rows in small": float(models.count[gone].sum() / rows),
            "largest": float(models.count.max() / rows)}


def sentences(told: Unwrapped) -> list[str]:
    """What the rows' models are like, in sentences."""
    of = shares(told.models)
    whole = told.models.total_models <= len(told.models)
    n = int(of["models"])
    out = [f"The {int(of['rows']):,} rows lie in {n:,} linear region{'s' * (n != 1)} of the network; {told.estimator.exactness_}."]
    one = f"{of['single row']:.1%} of {'them' if whole else f'the {len(told.models):,} largest'} hold one row"
    also = f" and {of['one class']:.1%} more rows of one class" if told.models.network.n_classes else ""
    if of["single row"] + of["one class"] > 0:
        out.append(f"{one}{also}, together {of['rows in small']:.1%} of the rows: their models say how the network fits, not how the "
                   "answer depends on the features.")
    if of["rows"] < FEW_ROWS_A_MODEL * n:
        out.append("There are nearly as many models as rows: no single one tells much. Their totals and densities still do; merged models "
                   "(pellucid unwrap --merge) are few, each refitted on its rows.")
    return out
