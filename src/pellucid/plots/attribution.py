"""Attributions over their images: one scale for a row of maps; targeted maps in red (add) and blue (remove), as EVA's Fig. 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..attribution import Attribution
from ..attribution.groups import spatial
from ..errors import DataError
from .colours import EMPTY, INK, diverging

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 10
"""Panels side by side."""

VEIL = 0.85
"""How much a map of the largest score covers the image below it."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One image (height, width) or (height, width, 3) in 0..1, the map over it, (height, width), and what is written below."""

    image: np.ndarray
    map: np.ndarray
    title: str


@dataclass(frozen=True, eq=False)
class MapScene:
    """Panels on one scale. limit: the score at the end of the scale; signed: from -limit, else from 0."""

    panels: tuple[Panel, ...]
    limit: float
    signed: bool
    label: str
    heading: str


def attribution(found: Attribution, *, rows=None, sign_with: Attribution | None = None, title: str | None = None) -> Figure:
    """Draw the maps of an Attribution over their images, all on one scale; matplotlib Figure.

    rows: which rows (a list of numbers), by default the first twenty. With target "all" one row of X is shown against every class.
    sign_with: where `found` was made with sign="+", the same with sign="-": red where adding, blue where removing changes the decision
        more (EVA 4.3).
    """
    return draw_maps(attribution_scene(found, rows=rows, sign_with=sign_with, title=title))


def attribution_scene(found: Attribution, *, rows=None, sign_with=None, title=None) -> MapScene:
    """What `attribution` draws."""
    size, channel = spatial(found.X.shape[1:])
    if size is None:
        raise DataError(f"rows of shape {found.X.shape[1:]} are no images; found.to_frame() has the scores of a table's features")
    if sign_with is not None and (sign_with.frozen.shape != found.frozen.shape or found.settings["sign"] == sign_with.settings["sign"]):
        raise DataError("sign_with has to be the same maps with the other sign: eva(..., sign='+') and eva(..., sign='-')")
    each = found.scores.ndim == 3
    chosen = list(range(min(len(found), 1 if each else 20))) if rows is None else [int(r) for r in rows]
    maps = found.images if sign_with is None else _stronger(found.images, sign_with.images)
    panels = []
    for r in chosen:
        image, name = _picture(found.X[r], size, channel), found.class_names[found.label[r]]
        if each:
            targets = [k for k in range(maps.shape[1]) if k != found.label[r]]
            panels += [Panel(image, _flat(maps[r, k], size, channel), f"{name} against {found.class_names[k]}") for k in targets]
        else:
            against = "" if found.target[r] < 0 else f" against {found.class_names[found.target[r]]}"
            panels.append(Panel(image, _flat(maps[r], size, channel), f"{name}{against}"))
    signed = sign_with is not None or any((p.map < 0).any() for p in panels)
    limit = max((float(np.abs(p.map).max()) for p in panels), default=0.0) or 1.0
    what = "drop of the overlap's " + ("estimate" if found.is_estimate else "bound") + " [logits]"
    label = f"{what}\nred: by adding, blue: by removing" if sign_with is not None else what
    s = found.settings
    eps = f"eps {s['eps']:g}" if np.ndim(s["eps"]) == 0 else "eps by feature"
    heading = title if title is not None else f"EVA, {s['method']} {s['quality']}, L{s['p']:g} {eps}"
    return MapScene(tuple(panels), limit, signed, label, heading)


def _stronger(plus: np.ndarray, minus: np.ndarray) -> np.ndarray:
    """Of both signs' scores the larger one, that of removing negative."""
    return np.where(plus >= minus, np.maximum(plus, 0), -np.maximum(minus, 0))


def _picture(x: np.ndarray, size, channel) -> np.ndarray:
    """The row as an image in 0..1: colours where it has three channels, else the mean of its channels."""
    if channel is None:
        image = x.reshape(size)
    else:
        image = np.moveaxis(x, channel, 2)
        image = image if image.shape[2] == 3 else image.mean(axis=2)
    low, high = min(float(image.min()), 0.0), max(float(image.max()), 1.0)
    return (image - low) / (high - low)


def _flat(values: np.ndarray, size, channel) -> np.ndarray:
    """A map of the image's size: the mean over channels."""
    return values.reshape(size) if channel is None else values.mean(axis=channel)


def draw_maps(scene: MapScene, figure: Figure | None = None) -> Figure:
    """The panels on a figure, or on a new one of pyplot's, with one scale for all."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    n = len(scene.panels)
    columns = max(1, min(COLUMNS, n))
    lines = max(1, -(-n // columns))
    width, height = max(4.2, 1.25 * columns + 1.3), 1.5 * lines + 0.7
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(layout="constrained")
    figure.set_size_inches(width, height)
    fig, axes = figure, figure.subplots(lines, columns, squeeze=False)
    palette = diverging(257)[0 if scene.signed else 128:]       # unsigned: the red half, on pale images
    colours = LinearSegmentedColormap.from_list("map", palette)
    norm = Normalize(-scene.limit if scene.signed else 0.0, scene.limit)
    for ax, panel in zip(axes.flat, scene.panels, strict=False):
        grey = panel.image if panel.image.ndim == 2 else panel.image @ (0.299, 0.587, 0.114)
        dark = panel.image.ndim == 2 and grey.mean() < 0.4      # light strokes on black are drawn dark on white: colours show on it
        ax.imshow(grey, cmap="gray_r" if dark else "gray", vmin=0.0 if dark else -0.8, vmax=1.8 if dark else 1.0, interpolation="nearest")
        strength = np.clip(np.abs(panel.map) / scene.limit, 0, 1)
        ax.imshow(colours(norm(panel.map)), alpha=VEIL * np.sqrt(strength), interpolation="nearest")
        ax.set_title(panel.title, fontsize=8, color=INK, pad=3)
    for ax in axes.flat:
        ax.set_xticks([])
        ax.set_yticks([])
        for spine in ax.spines.values():
            spine.set_color("#8c8c8c")
            spine.set_linewidth(0.6)
    for ax in axes.flat[n:]:
        ax.set_axis_off()
    bar = fig.colorbar(ScalarMappable(norm, colours), ax=axes, shrink=min(1.0, 1.6 / height + 0.45), aspect=18, pad=0.015)
    bar.set_label(scene.label, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    fig.suptitle(scene.heading, fontsize=9.5, color=INK)
    fig.set_facecolor(EMPTY)
    return fig
