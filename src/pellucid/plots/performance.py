"""How well the largest local models do on their own rows and on all rows (UNWRAP 4.2, Fig. 13)."""

from __future__ import annotations

import numpy as np

from ..errors import MissingColumn
from ..unwrap.asked import models_of
from .chart import Axis, Boxes, Chart, Label, Points, Segments
from .llm import words

OWN, ALL = "#0072b2", "#e69f00"

FAR = 40.0
"""Ratio of the largest to the smallest error beyond which they stand on a log scale, as dots (bars have no foot there)."""


def performance(models, ax=None, *, top: int = 10, title: str | None = None):
    """Draw the local and the global performance of the `top` largest models side by side: AUC of a classifier, MSE of a regression;
    matplotlib Axes.

    models: a fitted Unwrapper or Merged estimator, or LocalModels with both scores (`local_models(scores=("local", "global"))`).
    Good on its rows and poor on all: the model does not extrapolate; good on both: it does; better on all than on its own: its
    region is hard, its coefficients are those of most others (UNWRAP 4.2).
    """
    from .drawing import draw_chart

    return draw_chart(performance_chart(models, top=top, title=title), ax)


def performance_chart(models, *, top=10, title=None) -> Chart:
    """What `performance` draws."""
    held = models_of(models, top=top, scores=("local", "global"))
    if held.local_score is None or held.global_score is None:
        raise MissingColumn("performance: these local models hold no local and global scores; ask for them: "
                            "estimator.local_models(top=10, scores=('local', 'global')), or give the estimator")
    line = np.argsort(-held.count, kind="stable")[:top]
    own, everywhere = held.local_score[line].astype(float), held.global_score[line].astype(float)
    measure = "AUC" if held.network.n_classes else "MSE"
    place, finite = np.arange(len(line)), np.concatenate([own, everywhere])
    finite = finite[np.isfinite(finite)]
    log = measure == "MSE" and len(finite) > 0 and finite.min() > 0 and finite.max() > FAR * finite.min()
    layers, y = (_dots if log else _bars)(place, own, everywhere, measure, finite)
    if (~np.isfinite(own)).any():
        foot = y.ends[0] if y.ends else 0.0
        layers += [Label(float(k) - 0.19, foot + 0.03 * (y.ends[1] - foot), "×", size=9.0, colour=OWN) for k in place[~np.isfinite(own)]]
    names = tuple(f"{int(held.origin[k])}\n{int(held.count[k]):,}" for k in line)
    notes = [f"×: no {measure}, its rows are of one class"] if (~np.isfinite(own)).any() and measure == "AUC" else []
    if measure == "AUC":
        layers.append(Segments(np.array([[(-0.6, 0.5), (len(line) - 0.4, 0.5)]]), "#4d4d4d", "0.5: no better than chance", 1.0, True))
    heading = title if title is not None else (
        f"{measure} of {len(line)} {words(held, len(line))}" if len(line) >= max(held.total_models, len(held)) else
        f"{measure} of the {len(line)} largest {words(held, len(line))}")
    return Chart(heading, Axis(f"{words(held, 1)}, and its rows", (-0.6, len(line) - 0.4), place, names), y, tuple(layers), tuple(notes),
                 width=max(6.4, 2.6 + 0.55 * len(line)))


def _bars(place, own, everywhere, measure, finite):
    top = 1.0 if measure == "AUC" else 1.08 * float(finite.max(initial=0.0)) or 1.0
    layers: list = []
    for value, shift, colour, name in ((own, -0.19, OWN, "on its own rows (local)"), (everywhere, 0.19, ALL, "on all rows (global)")):
        seen = np.isfinite(value)
        layers.append(Boxes(place[seen] + shift, np.zeros(seen.sum()), value[seen], colour, name, 0.36, flat=False))
    return layers, Axis(measure, (0.0, top), grid=True)


def _dots(place, own, everywhere, measure, finite):
    both = np.isfinite(own) & np.isfinite(everywhere)
    ends = np.stack([np.column_stack([place[both], own[both]]), np.column_stack([place[both], everywhere[both]])], axis=1).astype(float)
    layers: list = [Segments(ends, "#bfbfbf", width=2.0)]
    for value, colour, shape, name in ((own, OWN, "o", "on its own rows (local)"), (everywhere, ALL, "s", "on all rows (global)")):
        seen = np.isfinite(value)
        layers.append(Points(np.column_stack([place[seen], value[seen]]), colour, name, 46, shape))
    return layers, Axis(f"{measure} (log scale)", (0.6 * float(finite.min()), 1.7 * float(finite.max())), log=True, grid=True)
