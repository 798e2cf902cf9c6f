"""A map with some regions marked, and the weights of all features in them (CEE Fig. 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..atlas import Atlas
from ..atlas.frame import interior_points
from ..errors import DataError
from ..explain import Description
from .colours import class_colours
from .rank_map import as_description
from .scene import Mark, Scene, class_borders, map_of, share

BESIDE = "#eeeeee"


@dataclass(frozen=True, eq=False)
class Bars:
    """Groups of horizontal bars. rows: names; values: (rows, series); series: names; colours: one a series."""

    rows: tuple[str, ...]
    values: np.ndarray
    series: tuple[str, ...]
    colours: tuple[str, ...]
    label: str
    note: str = ""


def weights(atlas: Atlas | Description, axes=None, *, regions: Sequence[int] | None = None, output: int | str = 0,
            versus: int | str | None = None, scale: str = "range", X=None, n: int = 12, title: str | None = None):
    """Draw the map with regions marked, and beside it the weights of the n heaviest features in them; two matplotlib Axes.

    axes: two Axes, None for a new figure. regions: rows of the atlas (at most 8), None for the four largest. Else as for
    `describe`.
    """
    from .matplotlib import draw_with_bars

    return draw_with_bars(*weights_scene(atlas, regions=regions, output=output, versus=versus, scale=scale, X=X, n=n, title=title), axes)


def weights_scene(atlas, *, regions=None, output=0, versus=None, scale="range", X=None, n=12, title=None) -> tuple[Scene, Bars]:
    """What `weights` draws: the map, and the bars."""
    told = as_description(atlas, output, versus, scale, X)
    atlas = told.atlas
    rows = _regions(atlas, regions)
    colours = class_colours(len(rows))
    colour = np.zeros(len(atlas), dtype=np.int64)
    colour[rows] = np.arange(1, len(rows) + 1)
    at = interior_points(atlas)[rows]
    marks = tuple(Mark(p, str(int(k)), c, float(atlas.volume[k])) for p, k, c in zip(at, rows, colours, strict=True))
    split = "" if atlas.by is None else f", split by {atlas.by}"
    heading = title if title is not None else f"{len(rows)} of {len(atlas)} regions{split}"
    scene = map_of(atlas, colour, (BESIDE, *colours), heading, marks=marks, edges=class_borders(atlas))
    return scene, _bars(told, rows, colours, n)


def _bars(told: Description, rows: np.ndarray, colours: tuple[str, ...], n: int) -> Bars:
    atlas, net = told.atlas, told.atlas.network
    w = told.weights[rows].T
    best = np.argsort(-np.abs(w).max(axis=1), kind="stable")[:n]
    best = best[np.abs(w[best]).max(axis=1) > 0] if np.abs(w).max(initial=0.0) > 0 else best
    names = [f"region {int(k)} ({_what(atlas, int(k))})" for k in rows]
    hidden = net.n_inputs - len(best)
    note = f"{hidden} features with smaller weights are not shown" if hidden else ""
    return Bars(tuple(net.feature_names[j] for j in best), w[best], tuple(names), colours,
                f"weight for {told.quantity.label}, {told.scale.words}", note)


def _what(atlas: Atlas, k: int) -> str:
    part = share(float(atlas.volume[k]) / atlas.domain.polygon.area)
    return part if atlas.cells.first is None else f"{atlas.class_label(int(atlas.first[k]))}, {part}"


def _regions(atlas: Atlas, regions: Sequence[int] | None) -> np.ndarray:
    if regions is None:
        return np.argsort(-atlas.volume, kind="stable")[:4]
    rows = np.array(regions, dtype=np.int64).ravel()
    if not 1 <= len(rows) <= 8 or len(np.unique(rows)) < len(rows):
        raise DataError(f"weights: 1 to 8 different regions can be told apart, got {len(rows)}: {rows.tolist()[:12]}")
    bad = rows[(rows < -len(atlas)) | (rows >= len(atlas))]
    if len(bad):
        raise DataError(f"weights: region {bad[0]}: the atlas has {len(atlas)}")
    return rows % len(atlas)
