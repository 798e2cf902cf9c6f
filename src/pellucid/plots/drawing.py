"""Draws charts with matplotlib, which is imported when the first one is drawn."""

from __future__ import annotations

import textwrap
from functools import singledispatch
from typing import TYPE_CHECKING

import numpy as np

from .chart import Area, Axis, Boxes, Chart, Curve, Label, Points, Segments, Shade
from .colours import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RASTER_ABOVE = 3000
"""Marks above which vector files hold them as an image."""


def draw_chart(chart: Chart, ax: Axes | None = None) -> Axes:
    """The chart on `ax`, or on a new figure."""
    ax = _axes(chart, ax)
    for n, layer in enumerate(chart.layers):
        _draw(layer, ax, 2 + n / len(chart.layers))                      # in their order, whatever their kind
    _settle(ax, chart)
    _legend(ax, chart)
    return ax


def draw_charts(charts: tuple[Chart, ...], axes=None) -> np.ndarray:
    """Charts side by side: an array of Axes."""
    if axes is None:
        import matplotlib.pyplot as plt

        width, height = sum(c.width for c in charts), max(c.height for c in charts)
        _, axes = plt.subplots(1, len(charts), figsize=(width, height), layout="constrained", width_ratios=[c.width for c in charts])
    axes = np.asarray(axes, dtype=object).ravel()
    if len(axes) != len(charts):
        raise ValueError(f"{len(charts)} Axes are drawn on, got {len(axes)}")
    for chart, ax in zip(charts, axes, strict=True):
        draw_chart(chart, ax)
    return axes


def _axes(chart: Chart, ax: Axes | None) -> Axes:
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(chart.width, chart.height), layout="constrained",
                             subplot_kw={"projection": "polar"} if chart.polar else None)
    elif chart.polar and ax.name != "polar":
        raise ValueError("this picture needs polar Axes: plt.subplot(projection='polar'), or ax=None for a new figure")
    return ax


# ---- layers


@singledispatch
def _draw(layer, ax: Axes, z: float) -> None:
    raise AssertionError(f"no rule draws a {type(layer).__name__}")


@_draw.register(Curve)
def _(layer: Curve, ax: Axes, z: float) -> None:
    ax.plot(layer.x, layer.y, color=layer.colour, linewidth=layer.width, linestyle=(0, (4, 1.6)) if layer.dashed else "-",
            alpha=layer.alpha, label=layer.name or None, solid_capstyle="round", zorder=z)


@_draw.register(Segments)
def _(layer: Segments, ax: Axes, z: float) -> None:
    from matplotlib.collections import LineCollection

    ax.add_collection(LineCollection(list(layer.ends), colors=layer.colour, linewidths=layer.width, alpha=layer.alpha,
                                     linestyles=(0, (4, 2)) if layer.dashed else "-", label=layer.name or None, zorder=z,
                                     rasterized=len(layer.ends) > RASTER_ABOVE))


@_draw.register(Area)
def _(layer: Area, ax: Axes, z: float) -> None:
    fill = ax.fill_between if layer.upright else ax.fill_betweenx
    fill(layer.x, layer.low, layer.high, color=layer.colour, alpha=layer.alpha, linewidth=0, label=layer.name or None, zorder=z)


@_draw.register(Points)
def _(layer: Points, ax: Axes, z: float) -> None:
    ax.scatter(layer.at[:, 0], layer.at[:, 1], s=layer.size, marker=layer.shape, facecolors="none" if layer.hollow else layer.colour,
               edgecolors=layer.colour, linewidths=0.9 if layer.hollow else 0.0, alpha=layer.alpha, label=layer.name or None, zorder=z,
               rasterized=len(layer.at) > RASTER_ABOVE)


@_draw.register(Boxes)
def _(layer: Boxes, ax: Axes, z: float) -> None:
    length = layer.end - layer.start
    if layer.flat:
        ax.barh(layer.place, length, layer.thick, left=layer.start, color=layer.colour, label=layer.name or None, zorder=z)
    else:
        ax.bar(layer.place, length, layer.thick, bottom=layer.start, color=layer.colour, label=layer.name or None, zorder=z)


@_draw.register(Shade)
def _(layer: Shade, ax: Axes, z: float) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    if not layer.level.size or not layer.level.max() > 0:
        return
    grey = LinearSegmentedColormap.from_list("grey", ["#ffffff", "#8a929c"])
    ax.imshow(layer.level, extent=layer.extent, origin="lower", aspect="auto", cmap=grey, vmin=0, vmax=1, interpolation="bilinear",
              zorder=0.5)


@_draw.register(Label)
def _(layer: Label, ax: Axes, z: float) -> None:
    side = {"left": "right", "right": "left", "centre": "center"}[layer.where]
    ax.text(layer.x, layer.y, layer.text, ha=side, va="center", fontsize=layer.size, color=layer.colour, zorder=5,
            transform=ax.get_yaxis_transform() if layer.inside else ax.transData)


# ---- frame


def _settle(ax: Axes, chart: Chart) -> None:
    width, height = _size(ax)
    if not chart.polar:
        if "x" in chart.zero:
            ax.axhline(0, color=INK, linewidth=0.7, zorder=1.8)
        if "y" in chart.zero:
            ax.axvline(0, color=INK, linewidth=0.7, zorder=1.8)
        ax.spines[["top", "right"]].set_visible(False)
    else:
        ax.set_rlabel_position(chart.ring_angle)
    ax.set_axisbelow(True)
    _settle_axis(ax, chart.x, "x", width)
    _settle_axis(ax, chart.y, "y", height)
    if chart.square:
        ax.set_aspect("equal", adjustable="box")
    ax.set_title(wrapped(chart.title, width), fontsize="medium")
    notes = (textwrap.fill(n, max(30, int(width / 4.4))) for n in chart.notes)
    ax.set_xlabel("\n".join([*([wrapped(chart.x.label, width)] if chart.x.label else []), *notes]), fontsize="small")
    ax.set_ylabel(wrapped(chart.y.label, height), fontsize="small")


def _settle_axis(ax: Axes, axis: Axis, which: str, points: float) -> None:
    one = getattr(ax, f"{which}axis")
    if axis.log:
        getattr(ax, f"set_{which}scale")("log")
    if axis.ends is not None:
        getattr(ax, f"set_{which}lim")(axis.ends)
    if axis.grid:
        ax.grid(axis=which, color="#d9d9d9", linewidth=0.6)
    one.set_tick_params(labelsize="small")
    if axis.names is not None and axis.ticks is not None:
        look = {"rotation": 60, "ha": "right", "rotation_mode": "anchor"} if axis.turned else {}
        one.set_ticks(axis.ticks, [short(n) for n in axis.names], **look)
        one.set_tick_params(length=0)
    elif axis.ticks is not None:
        one.set_ticks(axis.ticks)
    elif not axis.log and ax.name != "polar":
        from matplotlib.ticker import MaxNLocator

        one.set_major_locator(MaxNLocator(max(2, min(7, int(points / (55 if which == "x" else 26)))), steps=[1, 2, 2.5, 5, 10]))
        one.get_major_formatter().set_useOffset(False)
    if axis.ticks_above is not None:
        one.set_ticks([t for t in one.get_ticklocs() if t >= axis.ticks_above - 1e-12])
        if axis.ends is not None:
            getattr(ax, f"set_{which}lim")(axis.ends)


def _legend(ax: Axes, chart: Chart) -> None:
    from .matplotlib import key_handle

    handles, names = ax.get_legend_handles_labels()
    handles, names = [*handles, *(key_handle(k) for k in chart.keys)], [*names, *(k.label for k in chart.keys)]
    if not names:
        return
    x = 1.12 if chart.polar else 1.02
    ax.legend(handles, [textwrap.fill(n, 34) for n in names], loc="upper left", bbox_to_anchor=(x, 1.0), fontsize=7.5, frameon=False,
              borderaxespad=0.0, title=chart.key_title or None, title_fontsize=8, alignment="left", handlelength=1.6)


def wrapped(text: str, points: float) -> str:
    """The text in lines that fit this width in a small font."""
    return textwrap.fill(text, max(16, int(points / 5.3)))


def short(name: str, width: int = 30) -> str:
    """The name in at most this many letters: what is left out stands in its middle, since names often differ in their ends."""
    tail = width // 2 - 1
    return name if len(name) <= width else f"{name[:width - tail - 1]}…{name[-tail:]}"


def _size(ax: Axes) -> tuple[float, float]:
    """Width and height of the Axes in points."""
    box = ax.get_position()
    width, height = ax.figure.get_size_inches()
    return 72 * box.width * width, 72 * box.height * height
