"""How a feature ranks among all, region by region (CEE Fig. 4)."""

from __future__ import annotations

import numpy as np

from ..atlas import Atlas
from ..explain import Description, describe
from ..explain.asked import feature_index
from .colours import NEUTRAL, sequential
from .scene import Bar, Key, Scene, map_of, share


def rank_map(atlas: Atlas | Description, feature: int | str, ax=None, *, output: int | str = 0, versus: int | str | None = None,
             scale: str = "range", X=None, title: str | None = None):
    """Draw the rank of a feature's weight on every region, the most important (1) darkest; matplotlib Axes.

    atlas: or a description of one, whose output and scale are then taken. Other arguments as for `describe`. Regions on
    which no feature counts are grey.
    """
    from .matplotlib import draw

    return draw(rank_scene(atlas, feature, output=output, versus=versus, scale=scale, X=X, title=title), ax)


def rank_scene(atlas, feature, *, output=0, versus=None, scale="range", X=None, title=None) -> Scene:
    """What `rank_map` draws."""
    told = as_description(atlas, output, versus, scale, X)
    atlas = told.atlas
    j, d = feature_index(atlas.network, feature), atlas.network.n_inputs
    constant = told.is_constant
    colour = np.where(constant, d, told.ranks[:, j] - 1)
    keys = ()
    if constant.any():
        part = float(atlas.volume[constant].sum()) / atlas.domain.polygon.area
        keys = (Key(f"constant: no feature counts ({share(part)})", NEUTRAL),)
    by = "signed weight" if told.quantity.compares else "|weight|"
    heading = title if title is not None else f"Rank of {atlas.network.feature_names[j]} among {d} features, for {told.quantity.label}"
    bar = Bar(np.arange(d + 1) + 0.5, f"rank by {by} (1 = largest)", ticks=_ticks(d), reverse=True)
    return map_of(atlas, colour, (*sequential(d), NEUTRAL), heading, keys=keys, bar=bar)


def as_description(atlas: Atlas | Description, output, versus, scale, X) -> Description:
    return atlas if isinstance(atlas, Description) else describe(atlas, output, versus, scale=scale, X=X)


def _ticks(d: int) -> tuple[float, ...]:
    if d <= 12:
        return tuple(range(1, d + 1))
    step = next(s for s in (5, 10, 20, 50, 100, 200, 500, 1000, 10**9) if d / s <= 10)
    return (1, *range(step, d + 1, step))
