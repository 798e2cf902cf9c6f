"""Codes of the training data, of new data, and of both (UNWRAP 2.3, Fig. 3)."""

from __future__ import annotations

import numpy as np

from ..chain import chain_of
from ..errors import DataError
from ..regions import codes_of
from ..unwrap.asked import models_of
from .chart import Axis, Boxes, Chart, Label
from .colours import INK, is_dark

TRAIN, BOTH, NEW = "#56b4e9", "#0072b2", "#d55e00"


def unseen_codes(estimator, X, ax=None, *, title: str | None = None):
    """Draw which share of the codes of new rows, and of the rows, were seen in fitting; matplotlib Axes.

    estimator: a fitted Unwrapper. X: new rows, as the estimator takes them. A row of unseen code is answered by a linear model
    that no row of the fit has tried.
    """
    from .drawing import draw_chart

    return draw_chart(unseen_chart(estimator, X, title=title), ax)


def unseen_chart(estimator, X, *, title=None) -> Chart:
    """What `unseen_codes` draws."""
    held = models_of(estimator, top=1)
    if held.kind != "local":
        raise DataError(f"unseen_codes: a {held.kind} model is found for every row, seen or not.\n"
                        "  To go on       pel.plot.unseen_codes(estimator.unwrapper_, X)")
    group = np.asarray(estimator.groups(X))
    seen_codes = len(np.unique(group[group >= 0]))
    new_codes = _distinct(estimator.network_, X, group < 0)
    return _chart(max(held.total_models, 1), seen_codes, new_codes, int((group >= 0).sum()), len(group), title)


def _distinct(net, X, unseen: np.ndarray) -> int:
    """How many different codes the unseen rows have."""
    from ..unwrap.rows import as_inputs

    return len(np.unique(codes_of(chain_of(net), as_inputs(net, X)[unseen]), axis=0)) if unseen.any() else 0


def _chart(train: int, both: int, new: int, seen_rows: int, rows: int, title: str | None) -> Chart:
    codes, seen = ((train - both, TRAIN), (both, BOTH), (new, NEW)), ((seen_rows, BOTH), (rows - seen_rows, NEW))
    parts = (("distinct codes", codes), ("new rows", seen))
    names = {TRAIN: f"in the training data only: {train - both:,} codes", BOTH: f"in both: {both:,} codes, {seen_rows:,} rows",
             NEW: f"in the new data only: {new:,} codes, {rows - seen_rows:,} rows"}
    layers: list = []
    told: set[str] = set()
    for i, (_, counts) in enumerate(parts):
        total, at = max(sum(n for n, _ in counts), 1), 0.0
        for n, colour in counts:
            name = "" if colour in told else names[colour]
            told.add(colour)
            layers.append(Boxes(np.array([i]), np.array([at]), np.array([at + n / total]), colour, name, 0.62))
            if n / total > 0.075:
                ink = "#ffffff" if is_dark(colour) else INK
                layers.append(Label(at + n / total / 2, i, f"{n:,}\n({n / total:.1%})", colour=ink))
            at += n / total
    share = (rows - seen_rows) / max(rows, 1)
    heading = title if title is not None else f"{share:.1%} of {rows:,} new rows have a code that the fit has not seen"
    return Chart(heading, Axis("share", (0.0, 1.0)), Axis("", (1.55, -0.55), np.arange(2), tuple(name for name, _ in parts)), tuple(layers),
                 width=8.0, height=2.6)
