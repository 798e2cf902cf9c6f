"""Which regions of the plane have rows, and what is known of them (UNWRAP Figs 5, 15)."""

from __future__ import annotations

import numpy as np

from ..explain.result import borders
from ..unwrap.asked import effect, models_of
from ..unwrap.models import LocalModels
from .cells import Cells, cells_of
from .chart import LINES, quantiles
from .colours import sequential
from .llm import name_of, words
from .scene import Bar, Dots, Key, Scene, map_of, share, steps

UNCHARTED, OTHERS = "#e3e9ef", "#b9bec4"
"""Regions without rows; regions of models that are not told apart."""

FEW = 8
MOST_DOTS = 600


def data_regions(models, ax=None, *, by: str | None = None, rows: bool = False, output: int | str | None = None,
                 versus: int | str | None = None, title: str | None = None):
    """Draw the linear regions of a network of two features, those with rows coloured, the others pale; matplotlib Axes.

    models: LocalModels or a fitted Unwrapper or Merged estimator. by: "model" (a colour for each of the 8 largest), "response"
    (mean response of the model's rows) or "rows" (how many it has); None: "model" up to 8 models, "response" beyond. rows: draw
    some of the rows. Strong lines part different merged models.
    """
    from .matplotlib import draw

    return draw(data_regions_scene(models, by=by, rows=rows, output=output, versus=versus, title=title), ax)


def data_regions_scene(models, *, by=None, rows=False, output=None, versus=None, title=None) -> Scene:
    """What `data_regions` draws."""
    if by not in (None, "model", "response", "rows"):
        raise ValueError(f"by='{by}': 'model', 'response' or 'rows' can be taken")
    held = models_of(models)
    cells = cells_of(held, "data_regions")
    by = by or ("model" if len(held) <= FEW else "response")
    colour, palette, keys, bar = _by_model(cells, held) if by == "model" else _by_value(cells, held, by, output, versus)
    uncharted = 1 - cells.charted_share
    keys = (*keys, *([Key(f"no rows ({share(uncharted)})", UNCHARTED)] if uncharted > 1e-9 else []))
    count = len(np.unique(cells.owner[cells.charted]))
    on = f"on {int(cells.charted.sum()):,} of {len(cells.atlas):,} regions"
    edges = _between(cells) if held.kind != "local" else np.zeros((0, 2, 2))
    scene = map_of(cells.atlas, colour, palette, title if title is not None else f"{count:,} {words(held, count)} {on}", keys=keys, bar=bar,
                   edges=edges)
    return with_rows(scene, held) if rows else scene


def with_rows(scene: Scene, held: LocalModels) -> Scene:
    """Some rows as dots, coloured by class where there are classes."""
    if held.rows is None:
        return scene
    pick = np.linspace(0, len(held.rows.X) - 1, min(MOST_DOTS, len(held.rows.X))).round().astype(int)
    classes = held.network.n_classes
    label = held.rows.y[pick].astype(int) if classes else np.zeros(len(pick), dtype=int)
    names = held.network.class_names if classes else ("rows",)
    colours = [LINES[k % len(LINES)] for k in range(classes)] if classes else ["#ffffff"]
    dots = Dots(held.rows.X[pick], label + len(scene.palette))
    keys = tuple(Key(name, colour, marker=True) for name, colour in zip(names, colours, strict=True))
    return scene.with_(dots=dots, palette=(*scene.palette, *colours), keys=(*scene.keys, *keys))


def _by_model(cells: Cells, held: LocalModels):
    order = np.argsort(-held.count, kind="stable")[:FEW]
    place = np.full(len(held) + 1, 1)                                    # the last entry is for owner -1
    place[order] = np.arange(len(order)) + 2
    place[-1] = 0
    keys = [Key(name_of(held, int(k)), LINES[i]) for i, k in enumerate(order)]
    if len(held) > FEW:
        keys.append(Key(f"{len(held) - FEW:,} others", OTHERS))
    return place[cells.owner], (UNCHARTED, OTHERS, *LINES[:len(order)]), tuple(keys), None


def _by_value(cells: Cells, held: LocalModels, by: str, output, versus):
    if by == "rows":
        value, label = np.log10(held.count), "rows of the model"
        edges = np.linspace(0, max(float(value.max()), 0.3), 13)
        decades = np.arange(0, int(edges[-1]) + 1)
        ticks, names = tuple(map(float, decades)), tuple(f"{10 ** int(k):,}" for k in decades)
    else:
        told = effect(held, output, versus)
        column = 0 if told.column is None else told.column
        value = held.response_mean[:, column]
        names = ticks = None
        what = held.network.class_names[-1 if held.response_mean.shape[1] == 1 else column] if held.network.n_classes else told.label
        label = f"share of {what} among the model's rows" if held.network.n_classes else f"mean {what} of the model's rows"
        low, high = (0.0, 1.0) if held.network.n_classes else quantiles(value, held.weight, (0.01, 0.99))
        edges = steps(float(low), float(high), 10)
    band = np.clip(np.searchsorted(edges, value, side="right") - 1, 0, len(edges) - 2)
    place = np.append(band, len(edges) - 1)                              # owner -1 takes the last colour
    bar = Bar(edges, label, ticks=ticks, names=names)
    return place[cells.owner], (*sequential(len(edges) - 1), UNCHARTED), (), bar


def _between(cells: Cells) -> np.ndarray:
    """(m, 2, 2) borders between regions of different models."""
    border = borders(cells.atlas)
    left, right = cells.owner[border.left], cells.owner[border.right]
    return border.ends[(left != right) & (left >= 0) & (right >= 0)]


