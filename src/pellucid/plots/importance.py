"""Total weights of features as bars (CEE VI-E)."""

from __future__ import annotations

import numpy as np

from ..atlas import Atlas
from ..explain import Description, Importance, describe
from .weights import Bars

ARROWS = {"up": "↑", "down": "↓", "mixed": "↕", "none": "–"}


def importance(description: Description | Importance | Atlas, ax=None, *, n: int = 20, title: str | None = None):
    """Draw the mean |weight| of the n heaviest features, with their signed means; matplotlib Axes.

    An arrow behind each name tells whether the output rises, falls, or does both with the feature over the slice (of a Description
    or an Atlas; an `Importance` knows only totals, and its estimates are told as such).
    """
    from .matplotlib import draw_importance

    told = describe(description) if isinstance(description, Atlas) else description
    bars = importance_bars(told, n=n)
    return draw_importance(bars, ax, title if title is not None else f"Weights for {told.quantity.label}")


def importance_bars(told: Description | Importance, *, n: int = 20) -> Bars:
    """What `importance` draws: series 0 the mean |weight|, series 1 the signed mean."""
    names = told.atlas.network.feature_names
    total = np.asarray(told.value) if isinstance(told, Importance) else told.total
    arrows = [""] * len(names) if isinstance(told, Importance) else [f" {ARROWS[d]}" for d in told.direction]
    best = np.argsort(-total, kind="stable")[:n]
    best = best[total[best] > 0] if total.max(initial=0.0) > 0 else best
    hidden = len(names) - len(best)
    notes = [f"{hidden} features with smaller weights are not shown"] if hidden else []
    note = "; ".join(notes if told.weighing.is_exact else [*notes, told.weighing.words.partition(",")[0]])
    return Bars(tuple(f"{names[j]}{arrows[j]}" for j in best), np.column_stack([total[best], told.signed[best]]),
                ("mean |weight|", "mean weight, signed"), ("#56b4e9", "#1a1a1a"), f"weight {told.scale.words}", note)
