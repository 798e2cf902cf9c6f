"""The signed weight of a feature, region by region."""

from __future__ import annotations

import numpy as np

from ..atlas import Atlas
from ..explain import Description
from ..explain.asked import feature_index
from .colours import diverging
from .rank_map import as_description
from .scene import Bar, Scene, map_of

N_COLOURS = 255
"""Odd, so that weight 0 has a colour of its own."""


def weight_map(atlas: Atlas | Description, feature: int | str, ax=None, *, output: int | str = 0, versus: int | str | None = None,
               scale: str = "range", X=None, limit: float | None = None, title: str | None = None):
    """Draw the weight of a feature on every region: blue below 0, red above; matplotlib Axes.

    atlas: or a description of one, whose output and scale are then taken. limit: weight of the strongest colours; None:
    the largest, or that which 99 % of the area stay below if the largest is far above it. Else as for `describe`.
    """
    from .matplotlib import draw

    return draw(weight_scene(atlas, feature, output=output, versus=versus, scale=scale, X=X, limit=limit, title=title), ax)


def weight_scene(atlas, feature, *, output=0, versus=None, scale="range", X=None, limit=None, title=None) -> Scene:
    """What `weight_map` draws."""
    told = as_description(atlas, output, versus, scale, X)
    atlas = told.atlas
    j = feature_index(atlas.network, feature)
    w = told.weights[:, j]
    top = limit if limit is not None else _limit(w, atlas.volume)
    place = np.floor((w / (2 * top) + 0.5) * N_COLOURS)
    colour = np.clip(place, 0, N_COLOURS - 1).astype(np.int64)
    name = atlas.network.feature_names[j]
    heading = title if title is not None else f"Weight of {name} for {told.quantity.label}"
    label = f"weight of {name}, {_words(atlas, told, j)}"
    beyond = "both" if np.abs(w).max() > top * (1 + 1e-9) else "neither"
    bar = Bar(np.linspace(-top, top, N_COLOURS + 1), label, beyond=beyond)
    return map_of(atlas, colour, diverging(N_COLOURS), heading, bar=bar)


def _limit(w: np.ndarray, area: np.ndarray) -> float:
    """The largest |w|; or its 99 % quantile by area, where a few slivers would else leave all the rest pale."""
    size = np.abs(w)
    order = np.argsort(size)
    most = size[order[np.searchsorted(np.cumsum(area[order]), 0.99 * area.sum()).clip(max=len(w) - 1)]]
    top = float(size.max())
    top = float(most) if 0 < most < top / 1.5 else top
    return top if top > 0 else 1.0


def _words(atlas: Atlas, told: Description, j: int) -> str:
    unit = atlas.network.units[j]
    if told.scale.kind == "none":
        return f"per {unit}" if unit else "per unit"
    return told.scale.words
