"""Total weights of features as bars (CEE VI-E)."""

from __future__ import annotations

import numpy as np

from ..atlas import Atlas
from ..explain import Description, describe
from .weights import Bars

ARROWS = {"up": "↑", "down": "↓", "mixed": "↕", "none": "–"}


def importance(description: Description | Atlas, ax=None, *, n: int = 20, title: str | None = None):
    """Draw the mean |weight| of the n heaviest features, with their signed means; matplotlib Axes.

    An arrow behind each name tells whether the output rises, falls, or does both with the feature over the slice.
    """
    from .matplotlib import draw_importance

    told = description if isinstance(description, Description) else describe(description)
    bars = importance_bars(told, n=n)
    return draw_importance(bars, ax, title if title is not None else f"Weights for {told.quantity.label}")


def importance_bars(told: Description, *, n: int = 20) -> Bars:
    """What `importance` draws: series 0 the mean |weight|, series 1 the signed mean."""
    names, total, direction = told.atlas.network.feature_names, told.total, told.direction
    best = np.argsort(-total, kind="stable")[:n]
    best = best[total[best] > 0] if total.max(initial=0.0) > 0 else best
    hidden = len(names) - len(best)
    note = f"{hidden} features with smaller weights are not shown" if hidden else ""
    return Bars(tuple(f"{names[j]} {ARROWS[direction[j]]}" for j in best), np.column_stack([total[best], told.signed[best]]),
                ("mean |weight|", "mean weight, signed"), ("#56b4e9", "#1a1a1a"), f"weight {told.scale.words}", note)
