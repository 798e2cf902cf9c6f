"""The network unwrapped on the rows of the data: the local models that rows meet, and what the report tells of them (UNWRAP)."""

from __future__ import annotations

from collections.abc import Mapping
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

    from ..unwrap.summary import Summary

TOP = 15
"""Models whose scores on all rows are computed: a score costs a pass over the rows."""

FEW_ROWS_A_MODEL = 2.0
"""Rows a region on average, below which a reader is told that local models are nearly as many as rows."""


@dataclass(frozen=True, eq=False)
class Unwrapped:
    """estimator: the fitted Unwrapper. summary: the table of its largest regions. top: their models, with local and global scores.
    models: the largest MOST_MODELS, without scores.

    importance: joint importance over `models`. output, versus: the output that is spoken of.
    """

    estimator: Any
    summary: Summary
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
              versus: int | str | None = None, expected: Mapping[str, int] | None = None, threads: int | None = None) -> Unwrapped:
    """Unwrap the network on rows X (n, d) whose answers are y (n,), class numbers or values; NaN: unknown.

    expected: 1 or -1 for features that should work up or down.
    MissingExtra without scikit-learn, DataError without answers.
    """
    from ..unwrap.unwrapper import UnwrapperClassifier, UnwrapperRegressor

    X, values = answered(net, X, y)
    fitted = (UnwrapperClassifier if net.n_classes else UnwrapperRegressor)(net, n_jobs=threads).fit(X, values)
    models = fitted.local_models(top=MOST_MODELS, scores=())
    effect(models, output, versus)                                         # a wrong name is refused before any picture
    return Unwrapped(fitted, fitted.summary(top=top, expected=expected), fitted.local_models(top=top, scores=("local", "global")), models,
                     joint_importance(models, output=output, versus=versus), output, versus)


def meaning(net: Network) -> str:
    """What the response's mean is, where it is a share: "; response: 1 for 'granted'"."""
    return f"; response: 1 for '{net.class_names[1]}'" if net.n_classes == 2 else ""


def model_frame(models: LocalModels) -> pd.DataFrame:
    """The table of merged models, as that of regions (UNWRAP Table 6)."""
    import pandas as pd

    net = models.network
    measure = "AUC" if net.n_classes else "MSE"
    columns: dict[str, Any] = {"model": models.origin, "Count": models.count}
    m = models.response_mean.shape[1]
    for j in range(m):
        of = "" if m == 1 else f" {net.output_names[j]}"
        columns |= {f"Response Mean{of}": models.response_mean[:, j], f"Response Std{of}": models.response_std[:, j]}
    for name, score in (("Local", models.local_score), ("Global", models.global_score)):
        if score is not None:
            columns[f"{name} {measure}"] = score
    return pd.DataFrame(columns)


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


def sentences(told: Unwrapped) -> list[str]:
    """What the rows' models are like, in sentences."""
    s, net = told.summary, told.models.network
    n = s.n_regions
    out = [f"The {s.n_rows:,} rows lie in {n:,} linear region{'s' * (n != 1)} of the network; {s.exactness}."]
    one_class = s.single_classes - s.single_rows
    if s.single_classes > 0:
        also = f" and {one_class:.1%} rows of one class only" if net.n_classes else ""
        held = told.models.count[small(told.models)].sum() / s.n_rows
        rows = f", together {held:.1%} of the rows" if len(told.models) == n else ""
        out.append(f"{s.single_rows:.1%} of these regions hold one row{also}{rows}: their models say how the network fits, not how the "
                   "answer depends on the features.")
    if s.n_rows < FEW_ROWS_A_MODEL * n and s.n_rows > 1:
        out.append("There are nearly as many models as rows: no single one tells much. Their totals and densities still do; merged models "
                   "(pellucid unwrap --merge) are few, each refitted on its rows.")
    return out
