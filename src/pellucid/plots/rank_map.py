"""How a feature ranks among all, region by region (CEE Fig. 4)."""

from __future__ import annotations

import numpy as np

from ..atlas import Atlas
from ..explain import Description, describe
from ..explain.asked import feature_index
from .colours import CHALK, NEUTRAL, sequential
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
    bins = rank_bins(d)
    colour = np.where(constant, len(bins), np.searchsorted(bins, told.ranks[:, j], side="right") - 1)
    keys = ()
    if constant.any():
        part = float(atlas.volume[constant].sum()) / atlas.domain.polygon.area
        keys = (Key(f"constant: no feature counts ({share(part)})", NEUTRAL),)
    by = "signed weight" if told.quantity.compares else "|weight|"
    heading = title if title is not None else f"Rank of {atlas.network.feature_names[j]} among {d} features, for {told.quantity.label}"
    places = tuple(np.arange(len(bins)) + 0.5)
    bar = Bar(np.arange(len(bins) + 1), f"rank by {by} (1 = largest)", ticks=places, names=_bin_names(bins, d), reverse=True)
    return map_of(atlas, colour, (*sequential(len(bins)), NEUTRAL), heading, keys=keys, bar=bar, ink=CHALK)


def as_description(atlas: Atlas | Description, output, versus, scale, X) -> Description:
    return atlas if isinstance(atlas, Description) else describe(atlas, output, versus, scale=scale, X=X)


def rank_bins(d: int) -> np.ndarray:
    """First rank of each colour: a colour a rank up to 12 features; beyond, the first ranks apart and later ones together."""
    if d <= 12:
        return np.arange(1, d + 1)
    starts = [1, 2, 3, 4, 6] + [10**k * m + 1 for k in range(1, 10) for m in (1, 2, 5)]
    return np.array([s for s in starts if s <= d])


def _bin_names(bins: np.ndarray, d: int) -> tuple[str, ...]:
    ends = [*(bins[1:] - 1), d]
    return tuple(f"{a}" if a == b else f"{a}–{b}" for a, b in zip(bins, ends, strict=True))
