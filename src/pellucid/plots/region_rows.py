"""The rows of chosen local models, over two features (UNWRAP Fig. 18)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import DataError
from ..explain.asked import feature_index
from ..unwrap.asked import effect, in_units, models_of, small
from ..unwrap.importance import joint_importance
from ..unwrap.models import LocalModels
from .cells import zero_segment
from .chart import LINES, Axis, Chart, Curve, Points
from .colours import INK
from .llm import name_of, with_unit, words
from .scene import Key

SHAPES = ("o", "^", "s", "D", "v", "P")

MOST_ROWS = 3000
"""Rows drawn of each group: more would only blacken it."""


def region_rows(models, regions: Sequence[int] | None = None, ax=None, *, features: tuple[int | str, int | str] | None = None,
                output: int | str | None = None, versus: int | str | None = None, original=None, title: str | None = None):
    """Draw the rows of chosen models over two features, the other rows in grey behind; matplotlib Axes.

    regions: numbers of the models (as in their tables: `origin`), at most 8; None: the two largest of more than one row and class.
    Colours tell the models apart, shapes up to six classes. features: two names or numbers; None: the two of largest joint
    importance. Of a network of two features, the line on which each model's logit is 0 is drawn too, over its rows' range.
    """
    from .drawing import draw_chart

    return draw_chart(region_rows_chart(models, regions, features=features, output=output, versus=versus, original=original,
                                        title=title), ax)


def region_rows_chart(models, regions=None, *, features=None, output=None, versus=None, original=None, title=None) -> Chart:
    """What `region_rows` draws."""
    held = in_units(models_of(models), original)
    if held.rows is None:
        raise DataError("region_rows: these local models hold no rows; give the fitted estimator, or fit it on data in memory")
    if held.network.n_inputs < 2:
        raise DataError("region_rows draws rows over two features, this network has one: pel.plot.local_models draws it")
    chosen = _positions(held, regions)
    i, j = _features(held, features, output, versus)
    X, y, model = held.rows.X, held.rows.y, held.rows.model
    classes = held.network.n_classes if held.network.n_classes <= len(SHAPES) else 0
    layers: list = [Points(_some(X[~np.isin(model, chosen)][:, [i, j]]), "#c9ccd1", "rows of other models", 7.0, alpha=0.7)]
    for n, k in enumerate(chosen):
        mine = model == k
        for c in range(classes or 1):
            of_class = mine & (y == c) if classes else mine
            if of_class.any():
                layers.append(_of_class(_some(X[of_class][:, [i, j]]), c, LINES[n]))
        layers += _decision(held, int(k), LINES[n], output, versus)
    keys = [Key(name_of(held, int(k)), LINES[n]) for n, k in enumerate(chosen)]
    shapes = [_of_class(np.zeros((0, 2)), c, INK, held.network.class_names[c]) for c in range(classes)]
    labels = [with_unit(held, f) if original is None else held.network.feature_names[f] for f in (i, j)]
    notes = () if held.rows.complete else ("drawn: a sample of the rows",)
    if classes < held.network.n_classes:
        notes = (*notes, f"{held.network.n_classes} classes are too many to be told apart by shapes")
    heading = title if title is not None else f"Rows of {len(chosen)} of {(n := max(held.total_models, len(held))):,} {words(held, n)}"
    return Chart(heading, Axis(labels[0]), Axis(labels[1]), (*layers, *shapes), notes, tuple(keys))


def _of_class(at: np.ndarray, c: int, colour: str, name: str = "") -> Points:
    return Points(at, colour, name, 24.0, SHAPES[c % len(SHAPES)], hollow=c % 2 == 1, alpha=0.85)


def _positions(held: LocalModels, regions) -> np.ndarray:
    if regions is None:
        kept = np.flatnonzero(~small(held))
        kept = kept if len(kept) else np.arange(len(held))
        return kept[np.argsort(-held.count[kept], kind="stable")[:2]]
    asked = np.asarray(regions, dtype=np.int64).ravel()
    if not 1 <= len(asked) <= 8 or len(np.unique(asked)) < len(asked):
        raise DataError(f"region_rows: 1 to 8 different models can be told apart, got {len(asked)}: {asked.tolist()[:12]}")
    place = {int(o): k for k, o in enumerate(held.origin)}
    absent = [int(k) for k in asked if int(k) not in place]
    if absent:
        raise DataError(f"region_rows: no model has the number {absent[0]}; there are {len(held)}, from {held.origin.min()} to "
                        f"{held.origin.max()}")
    return np.array([place[int(k)] for k in asked])


def _features(held: LocalModels, features, output, versus) -> tuple[int, int]:
    if features is None:
        if held.network.n_inputs == 2:
            return 0, 1
        best = joint_importance(held, output=output, versus=versus).order()
        return int(best[0]), int(best[1])
    if len(features) != 2:
        raise DataError(f"features has {len(features)} entries; two are drawn, one along each axis")
    i, j = (feature_index(held.network, f) for f in features)
    return i, j


def _decision(held: LocalModels, k: int, colour: str, output, versus) -> list:
    """Where the model's logit is 0, in a box a little wider than its rows."""
    if held.network.n_inputs != 2 or not held.network.n_classes:
        return []
    told = effect(held, output, versus)
    pad = 0.12 * (held.high[k] - held.low[k])
    ends = zero_segment(told.coef[k], float(told.intercept[k]), held.low[k] - pad, held.high[k] + pad)
    return [] if ends is None else [Curve(ends[:, 0], ends[:, 1], colour, "", 2.0)]


def _some(at: np.ndarray) -> np.ndarray:
    """At most MOST_ROWS of them, evenly."""
    return at if len(at) <= MOST_ROWS else at[np.linspace(0, len(at) - 1, MOST_ROWS).round().astype(int)]


