"""Joint importance of features and intercept as bars (UNWRAP eq. 18, Figs 6, 7)."""

from __future__ import annotations

import numpy as np

from ..unwrap.importance import INTERCEPT, JointImportance
from ..unwrap.importance import joint_importance as importance_of
from .chart import Axis, Boxes, Chart, Points


def joint_importance(models, ax=None, *, n: int = 20, intercept: bool = True, sort: str = "standardised", output: int | str | None = None,
                     versus: int | str | None = None, original=None, title: str | None = None):
    """Draw the joint importance of the n most important features: bars of the standardised shares, diamonds of the raw ones;
    matplotlib Axes.

    models: LocalModels, a fitted Unwrapper or Merged estimator, or a JointImportance. sort: "standardised" or "raw".
    """
    from .drawing import draw_chart

    return draw_chart(joint_chart(models, n=n, intercept=intercept, sort=sort, output=output, versus=versus, original=original,
                                  title=title), ax)


def joint_chart(models, *, n=20, intercept=True, sort="standardised", output=None, versus=None, original=None, title=None) -> Chart:
    """What `joint_importance` draws."""
    if sort not in ("standardised", "raw"):
        raise ValueError(f"sort='{sort}': 'standardised' or 'raw' can be taken")
    told = models if isinstance(models, JointImportance) else importance_of(models, output=output, versus=versus, original=original)
    shown = told.order(standardised=sort == "standardised")[:n]
    rows = np.append(shown, len(told.features)) if intercept else shown
    names = tuple(INTERCEPT if j == len(told.features) else f"{told.features[j]}{_sign(told.positive[j], told.negative[j])}" for j in rows)
    place = np.arange(len(rows))
    bars = Boxes(place, np.zeros(len(rows)), told.standardised[rows], "#56b4e9", "standardised features")
    marks = Points(np.column_stack([told.raw[rows], place]), "#1a1a1a", "features as they are (depends on units)", 26, "D")
    hidden = len(told.features) - len(shown)
    notes = ["↑ no local model falls, ↓ none rises with the feature; ↕ some do either; – no effect"]
    notes += [f"{hidden} features of less importance are not shown"] if hidden else []
    if told.total_models > told.n_models:
        notes.append(f"over the {told.n_models:,} largest of {told.total_models:,} models, {told.n_rows:,} of {told.total_rows:,} rows")
    heading = title if title is not None else f"Joint importance for {told.label}"
    most = float(max(told.standardised[rows].max(initial=0.0), told.raw[rows].max(initial=0.0), 1e-9))
    return Chart(heading, Axis("share of the squared coefficients, weighted by rows", (0, 1.05 * most), grid=True),
                 Axis("", (len(rows) - 0.4, -0.6), place, names), (bars, marks), tuple(notes), width=7.6, height=1.8 + 0.25 * len(rows))


def _sign(positive: float, negative: float) -> str:
    return {(True, True): " ↕", (True, False): " ↑", (False, True): " ↓", (False, False): " –"}[(bool(positive > 0), bool(negative > 0))]
