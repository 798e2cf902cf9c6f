"""Attributions over their images: one scale for a row of maps; targeted maps in red (add) and blue (remove), as EVA's Fig. 4."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
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

STROKE, PHOTO = 0.25, 0.4
"""How much darker the image's darkest pixel makes the colour of its score: images are seen as shading, hues stay those of the scale.
Strokes are outlined as well, and images in colour stand above their maps."""

LOOSE = "*"
"""Marks maps whose bounds are too loose to rank any two groups for certain, where others of the figure are not."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One image (height, width) or (height, width, 3) in 0..1, the map over it, (height, width), and what is written below."""

    image: np.ndarray
    map: np.ndarray
    title: str


@dataclass(frozen=True, eq=False)
class MapScene:
    """Panels on one scale. limit: the score at the end of the scale; signed: from -limit, else from 0. sides: both ends are sizes, of
    what adding and what removing does."""

    panels: tuple[Panel, ...]
    limit: float
    signed: bool
    sides: bool
    label: str
    heading: str


def attribution(found: Attribution, *, rows=None, sign_with: Attribution | None = None, title: str | None = None) -> Figure:
    """Draw the maps of an Attribution over their images, all on one scale; matplotlib Figure.

    rows: which rows (a list of numbers), by default the first twenty. With target "all" one row of X is shown against every class.
    sign_with: where `found` was made with sign="+", the same with sign="-": red where adding, blue where removing changes the decision
        more (EVA 4.3).

    Titles are the classes that are explained. The heading says whether bounds are too loose to rank, for which `found` is attacked on
    these rows.
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
    shown = [_shown(f, chosen) for f in (found, sign_with) if f is not None]
    loose = np.logical_and.reduce([f.loose for f in shown]) if not found.is_estimate else np.zeros(shown[0].ordered.shape, dtype=bool)
    panels, marked = [], []
    for i, r in enumerate(chosen):
        image, name = _picture(found.X[r], size, channel), found.class_names[found.label[r]]
        if each:
            for k in (k for k in range(maps.shape[1]) if k != found.label[r]):
                panels.append(Panel(image, _flat(maps[r, k], size, channel), f"{name} against {found.class_names[k]}"))
                marked.append(bool(loose[i, k]))
        else:
            rest = "" if (found.target < 0).all() else " against the rest"
            against = rest if found.target[r] < 0 else f" against {found.class_names[found.target[r]]}"
            panels.append(Panel(image, _flat(maps[r], size, channel), f"{name}{against}"))
            marked.append(bool(loose[i]))
    if any(marked) and not all(marked):
        panels = [replace(p, title=p.title + LOOSE) if m else p for p, m in zip(panels, marked, strict=True)]
    signed = sign_with is not None or any((p.map < 0).any() for p in panels)
    limit = max((float(np.abs(p.map).max()) for p in panels), default=0.0) or 1.0
    label = "drop of the " + ("estimate" if found.is_estimate else "bound") + " [logits]"
    s = found.settings
    eps = f"eps {s['eps']:g}" if np.ndim(s["eps"]) == 0 else "eps by feature"
    told = [f"EVA, {s['method']} {s['quality']}, L{s['p']:g} {eps}"]
    if sign_with is not None:
        told.append("red: by adding, blue: by removing")
    if found.is_estimate:
        told.append("an estimate, no bound")
    elif any(marked):
        told.append(("" if all(marked) else f"{LOOSE} ") + "bounds too loose to rank for certain")
    return MapScene(tuple(panels), limit, signed, sign_with is not None, label, title if title is not None else "; ".join(told))


def _shown(found: Attribution, rows: list[int]) -> Attribution:
    """The rows that are drawn, so that no others are attacked."""
    return found if rows == list(range(len(found))) else found[np.array(rows, dtype=int)]


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
    from matplotlib.ticker import FuncFormatter

    n = len(scene.panels)
    columns = max(1, min(COLUMNS, n))
    lines, each = max(1, -(-n // columns)), 2 if any(p.image.ndim == 3 for p in scene.panels) else 1
    width, height = max(5.0, 1.25 * columns + 1.3), max(2.1, (0.2 + 1.25 * each) * lines + 0.55)
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(layout="constrained")
    figure.set_size_inches(width, height)
    fig, axes = figure, figure.subplots(lines * each, columns, squeeze=False)
    palette = diverging(257)[0 if scene.signed else 128:]       # unsigned: the red half
    colours = LinearSegmentedColormap.from_list("map", palette)
    norm = Normalize(-scene.limit if scene.signed else 0.0, scene.limit)
    for i, panel in enumerate(scene.panels):
        line, column = divmod(i, columns)
        above, ax = axes[line * each, column], axes[line * each + each - 1, column]
        strokes = panel.image.ndim == 2 and panel.image.mean() < 0.4        # light on black: drawn dark, that colours show around them
        ax.imshow(colours(norm(panel.map))[..., :3] * _shade(panel.image, strokes)[..., None], interpolation="nearest")
        if each == 2:
            above.imshow(panel.image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        if strokes and panel.image.min() < 0.5 < panel.image.max() and min(panel.image.shape) > 1:
            ax.contour(panel.image, levels=[0.5], colors=INK, linewidths=0.8)
        above.set_title(panel.title, fontsize=8, color=INK, pad=3)
    for ax in axes.flat:
        ax.set_xticks([])
        ax.set_yticks([])
        for spine in ax.spines.values():
            spine.set_color("#8c8c8c")
            spine.set_linewidth(0.6)
    for ax in axes[-each:, n - columns * (lines - 1):].flat:
        ax.set_axis_off()
    bar = fig.colorbar(ScalarMappable(norm, colours), ax=axes, shrink=min(1.0, 1.6 / height + 0.45), aspect=18, pad=0.015)
    bar.set_label(scene.label, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    if scene.sides:
        bar.formatter = FuncFormatter(lambda v, _: f"{abs(v):g}")
        bar.update_ticks()
    fig.suptitle("\n".join(textwrap.fill(line, int(12 * width)) for line in scene.heading.split("\n")), fontsize=9.5, color=INK)
    fig.set_facecolor(EMPTY)
    return fig


def _shade(image: np.ndarray, strokes: bool) -> np.ndarray:
    """(height, width) factors of the colours over the image: its own contrast, stretched."""
    grey = image if image.ndim == 2 else image @ (0.299, 0.587, 0.114)
    if strokes:
        return 1 - STROKE * grey
    return 1 - PHOTO * (grey.max() - grey) / max(float(np.ptp(grey)), 1e-12)
