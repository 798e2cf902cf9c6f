"""Draws scenes with matplotlib. The only file that knows it, and only once something is drawn."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .colours import CHALK, EMPTY, INK
from .scene import BORDERS_UP_TO, Bar, Dots, Faces, Key, Mark, Name, Scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .bounds import Intervals
    from .weights import Bars

RASTER_ABOVE = 5000
"""Faces above which vector files hold them as an image: their axes, lines and words stay vectors."""

POLYGONS_A_PATH = 4000
"""Agg fills one path with at most some million cells; this many polygons stay far below at any resolution."""

HATCH = "////"


def draw(scene: Scene, ax: Axes | None = None) -> Axes:
    """The scene on `ax`, or on a new figure."""
    ax = _new_axes() if ax is None else ax
    many = len(scene.faces) > RASTER_ABOVE
    _draw_faces(ax, scene.faces, scene.palette, many)
    _draw_unexplored(ax, scene.unexplored)
    width = border_width(ax, scene.n_cells)
    if width:
        _draw_lines(ax, scene.borders, scene.ink, width, 2.2, alpha=0.65)
    _draw_lines(ax, scene.edges, INK, scene.edge_width + width, 2.4, rasterized=len(scene.edges) > RASTER_ABOVE)
    _draw_outline(ax, scene.outline)
    if scene.dots is not None:
        _draw_dots(ax, scene.dots, scene.palette)
    _frame(ax, scene)
    _draw_names(ax, scene.names)
    _draw_marks(ax, scene.marks)
    if scene.bar is not None:
        _draw_bar(ax, scene.bar, scene.palette)
    _draw_keys(ax, scene.keys, scene.key_title, below=scene.bar is not None)
    return ax


def border_width(ax: Axes, n_cells: int) -> float:
    """Points: a few hundredths of the size of an average cell, at most 0.7; 0 where it would not be seen."""
    if n_cells > BORDERS_UP_TO:
        return 0.0
    width, height = _size(ax)
    line = min(0.7, 0.035 * float(np.sqrt(width * height / max(1, n_cells))))
    return line if line >= 0.08 else 0.0


def _new_axes(width: float = 6.4, height: float = 4.8) -> Axes:
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return ax


# ---- areas


def _draw_faces(ax: Axes, faces: Faces, palette: tuple[str, ...], rasterized: bool) -> None:
    """All faces of one colour as one path, so that no seams show between them; twice: below with a hairline around, which
    closes the seams between colours, above without, so that no colour grows at the cost of another."""
    from matplotlib.collections import PathCollection

    if not len(faces):
        return
    paths, colours = _paths(faces, palette)
    for zorder, line in ((1.0, 0.6), (1.1, 0.0)):
        ax.add_collection(PathCollection(paths, facecolors=colours, edgecolors=colours if line else "none", linewidths=line,
                                         joinstyle="round", zorder=zorder, rasterized=rasterized), autolim=False)


def _paths(faces: Faces, palette: tuple[str, ...]):
    """(paths, colours): the polygons of each colour as compound paths of some thousand."""
    from matplotlib.path import Path as Outline

    order = np.argsort(faces.colour, kind="stable")
    sizes = np.diff(faces.ptr)[order]
    ptr = np.concatenate([[0], np.cumsum(sizes + 1)])              # one vertex more, to close each
    local = np.arange(ptr[-1]) - np.repeat(ptr[:-1], sizes + 1)
    closing = local == np.repeat(sizes, sizes + 1)
    vertices = faces.vertices[np.repeat(faces.ptr[order], sizes + 1) + np.where(closing, 0, local)]
    codes = np.where(closing, Outline.CLOSEPOLY, np.where(local == 0, Outline.MOVETO, Outline.LINETO)).astype(np.uint8)
    colour = faces.colour[order]
    starts = np.flatnonzero(np.diff(colour, prepend=-1))
    cuts = [k for a, b in zip(starts, [*starts[1:], len(colour)], strict=True) for k in range(a, b, POLYGONS_A_PATH)]
    spans = zip(cuts, [*cuts[1:], len(colour)], strict=True)
    paths = [Outline(vertices[ptr[a]:ptr[b]], codes[ptr[a]:ptr[b]]) for a, b in spans]
    return paths, [palette[int(colour[a])] for a in cuts]


def _draw_unexplored(ax: Axes, polygons: tuple[np.ndarray, ...]) -> None:
    from matplotlib.collections import PathCollection
    from matplotlib.path import Path as Outline

    if not polygons:
        return
    closed = [np.vstack([p, p[:1]]) for p in polygons]
    codes = np.concatenate([[Outline.MOVETO, *[Outline.LINETO] * (len(p) - 2), Outline.CLOSEPOLY] for p in closed])
    one = Outline(np.concatenate(closed), codes)                   # one path: the hatching runs on from polygon to polygon
    ax.add_collection(PathCollection([one], facecolors=EMPTY, edgecolors="#8c8c8c", linewidths=0.0, hatch=HATCH, zorder=1.2),
                      autolim=False)


# ---- lines and points


def _draw_lines(ax: Axes, ends: np.ndarray, colour: str, width: float, zorder: float, rasterized: bool = False, alpha: float = 1.0) -> None:
    from matplotlib.collections import PathCollection
    from matplotlib.path import Path as Outline

    if not len(ends):
        return
    codes = np.array([Outline.MOVETO, Outline.LINETO], dtype=np.uint8)      # few long paths: small files, and no darker crossings
    spans = [ends[k:k + POLYGONS_A_PATH] for k in range(0, len(ends), POLYGONS_A_PATH)]
    paths = [Outline(part.reshape(-1, 2), np.tile(codes, len(part))) for part in spans]
    ax.add_collection(PathCollection(paths, facecolors="none", edgecolors=colour, linewidths=width, capstyle="round", zorder=zorder,
                                     alpha=alpha, rasterized=rasterized), autolim=False)


def _draw_outline(ax: Axes, outline: np.ndarray) -> None:
    from matplotlib.patches import Polygon

    ax.add_patch(Polygon(outline, closed=True, fill=False, edgecolor=INK, linewidth=0.8, zorder=2.6))


def _draw_dots(ax: Axes, dots: Dots, palette: tuple[str, ...]) -> None:
    size = float(np.clip(6000 / max(1, len(dots.at)), 4, 26))
    many, colours = len(dots.at) > RASTER_ABOVE, [palette[int(k)] for k in dots.colour]
    # a white ring between two dark ones around each, since a dot may have the colour of the area that it lies on
    ax.scatter(*dots.at.T, c="white", s=2.6 * size, edgecolors=INK, linewidths=0.7, zorder=3, rasterized=many)
    ax.scatter(*dots.at.T, c=colours, s=size, edgecolors=INK, linewidths=0.5, zorder=3.1, rasterized=many)


def _draw_names(ax: Axes, names: tuple[Name, ...]) -> None:
    from matplotlib.patheffects import withStroke

    for name in names:
        around = CHALK if name.colour == INK else INK
        ax.text(*name.at, name.text, color=name.colour, ha="center", va="center", fontsize=8.5, zorder=4.5, clip_on=True,
                path_effects=[withStroke(linewidth=1.8, foreground=around, alpha=0.75)])


def _draw_marks(ax: Axes, marks: tuple[Mark, ...]) -> None:
    """Numbered signs, moved apart where they would cover each other, with a line to what they mark."""
    if not marks:
        return
    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    at = np.array([m.at for m in marks])
    places = (at - [x0, y0]) / [x1 - x0, y1 - y0]
    size = np.array([m.size / ((x1 - x0) * (y1 - y0)) for m in marks])
    hidden, tiny = size < 0.006, size < 0.0005                      # the sign would cover what it marks; nothing would be seen of it
    upwards = np.where(places[:, 1] < 0.8, 0.12, -0.12)
    spread = _apart(places + np.column_stack([np.zeros(len(marks)), np.where(hidden, upwards, 0.0)]))
    for mark, place, dot in zip(marks, spread, tiny, strict=True):
        if dot:
            ax.plot(*mark.at, "o", color=mark.colour, markeredgecolor=INK, markeredgewidth=0.5, markersize=4, zorder=4.9)
        ax.annotate(mark.text, xy=mark.at, xytext=place, textcoords="axes fraction", ha="center", va="center", fontsize=8, zorder=5,
                    bbox={"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": mark.colour, "linewidth": 1.4},
                    arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 0})


def _apart(places: np.ndarray, width: float = 0.13, height: float = 0.08) -> np.ndarray:
    """Places (n, 2) in the unit square, pushed apart until no two signs of this size overlap."""
    places = places.copy()
    for _ in range(200):
        moved = False
        for i in range(len(places)):
            for j in range(i):
                gap = places[i] - places[j]
                lack = np.array([width, height]) - np.abs(gap)
                if (lack > 1e-9).all():
                    axis = int(lack[1] <= lack[0])
                    push = lack[axis] / 2 * (1.0 if gap[axis] >= 0 else -1.0)
                    places[i, axis] += push
                    places[j, axis] -= push
                    moved = True
        places = np.clip(places, [width / 2, height / 2], [1 - width / 2, 1 - height / 2])
        if not moved:
            break
    return places


# ---- frame, keys, bars


def _frame(ax: Axes, scene: Scene) -> None:
    lower, upper = scene.outline.min(axis=0), scene.outline.max(axis=0)
    width, height = _size(ax)
    ax.set(xlim=(lower[0], upper[0]), ylim=(lower[1], upper[1]))
    ax.set(xlabel=_wrapped(scene.axes[0], width), ylabel=_wrapped(scene.axes[1], height))
    ax.set_title(_wrapped(scene.title, width), fontsize="medium")
    ax.tick_params(direction="out")
    from matplotlib.ticker import MaxNLocator

    digits = max(len(f"{end:.4g}".replace("e+0", "0" * 4)) for end in (lower[0], upper[0]))
    ax.xaxis.set_major_locator(MaxNLocator(max(1, min(8, int(width / (6.5 * digits + 16))))))     # labels must not touch


def _wrapped(text: str, points: float) -> str:
    """The text in lines that fit this width in a font of about ten points."""
    return textwrap.fill(text, max(16, int(points / 5.6)))


def _size(ax: Axes) -> tuple[float, float]:
    """Width and height of the Axes in points."""
    box = ax.get_position()
    width, height = ax.figure.get_size_inches()
    return 72 * box.width * width, 72 * box.height * height


def _draw_keys(ax: Axes, keys: tuple[Key, ...], title: str, below: bool) -> None:
    """The legend outside the map: to its right, or below it where a colour bar stands on the right."""
    from matplotlib.transforms import ScaledTranslation

    if not keys:
        return
    handles = [key_handle(key) for key in keys]
    style = {"fontsize": "small", "frameon": False, "title": title or None, "borderaxespad": 0.0}
    if below:
        shift = ScaledTranslation(0, -42 / 72, ax.figure.dpi_scale_trans)
        ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), bbox_transform=ax.transAxes + shift, ncols=2, **style)
    else:
        ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1.0), **style)


def key_handle(key: Key):
    """What stands before the words of a legend's entry."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    if key.marker:
        return Line2D([], [], linestyle="none", marker="o", markersize=5, markerfacecolor=key.colour, markeredgecolor=INK,
                      markeredgewidth=0.6, label=key.label)
    return Patch(facecolor=key.colour, edgecolor="#8c8c8c", hatch=HATCH if key.hatched else None, linewidth=0.5, label=key.label)


def _draw_bar(ax: Axes, bar: Bar, palette: tuple[str, ...]) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap, Normalize

    n = len(bar.edges) - 1
    colours = ListedColormap(list(palette[:n]))
    norm = BoundaryNorm(bar.edges, n) if n <= 64 else Normalize(bar.edges[0], bar.edges[-1])
    beside = ax.inset_axes((1.03, 0.0, 12 / _size(ax)[0], 1.0))     # part of the map: stays beside it in any grid of pictures
    scale = ax.figure.colorbar(ScalarMappable(norm, colours), cax=beside, extend=bar.beyond, spacing="proportional")
    if bar.ticks is not None:
        scale.set_ticks(list(bar.ticks), labels=list(bar.names) if bar.names else [f"{t:g}".replace("-", "−") for t in bar.ticks])
    scale.ax.minorticks_off()
    scale.ax.tick_params(labelsize="small")
    scale.set_label(_wrapped(bar.label, _size(ax)[1]), fontsize="small")
    if bar.reverse:
        scale.ax.invert_yaxis()


# ---- bars


def draw_with_bars(scene: Scene, bars: Bars, axes=None) -> np.ndarray:
    """The map and the bars side by side: (2,) Axes."""
    if axes is None:
        import matplotlib.pyplot as plt

        height = max(4.2, 1.6 + 0.1 * (len(bars.series) + 1) * len(bars.rows))
        _, axes = plt.subplots(1, 2, figsize=(11, height), layout="constrained", width_ratios=(1.15, 1))
    axes = np.asarray(axes, dtype=object).ravel()
    if len(axes) != 2:
        raise ValueError(f"weights draws on two Axes, got {len(axes)}")
    draw(scene, axes[0])
    _draw_groups(axes[1], bars)
    return axes


def _draw_groups(ax: Axes, bars: Bars) -> None:
    n, m = bars.values.shape
    thick = 0.8 / m
    for k in range(m):
        ax.barh(np.arange(n) + (k - (m - 1) / 2) * thick, bars.values[:, k], thick, color=bars.colours[k], label=bars.series[k])
    _finish_bars(ax, bars)


def draw_importance(bars: Bars, ax: Axes | None, title: str) -> Axes:
    """Bars of the first series, diamonds of the second."""
    if ax is None:
        ax = _new_axes(6.4, 1.7 + 0.26 * len(bars.rows))
    rows = np.arange(len(bars.rows))
    ax.barh(rows, bars.values[:, 0], 0.7, color=bars.colours[0], label=bars.series[0])
    ax.scatter(bars.values[:, 1], rows, marker="D", s=22, color=bars.colours[1], label=bars.series[1], zorder=3)
    ax.set_title(_wrapped(title, _size(ax)[0]), fontsize="medium")
    arrows = any(row[-2:] in (" ↑", " ↓", " ↕", " –") for row in bars.rows)
    _finish_bars(ax, bars, "↑ rises, ↓ falls with the feature everywhere; ↕ both; – neither" if arrows else "")
    return ax


def _finish_bars(ax: Axes, bars: Bars, legend: str = "") -> None:
    from matplotlib.transforms import ScaledTranslation

    ax.axvline(0, color=INK, linewidth=0.8)
    ax.set_yticks(np.arange(len(bars.rows)), [_short(r) for r in bars.rows], fontsize="small")
    ax.set_ylim(len(bars.rows) - 0.4, -0.6)
    ax.grid(axis="x", color="#d9d9d9", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    lines = [_wrapped(bars.label, 1.1 * _size(ax)[0]), *([legend] if legend else []), *([bars.note] if bars.note else [])]
    ax.set_xlabel("\n".join(lines), fontsize="small")
    shift = ScaledTranslation(0, -(24 + 13 * sum(line.count("\n") + 1 for line in lines)) / 72, ax.figure.dpi_scale_trans)
    handles, names = ax.get_legend_handles_labels()
    order = [names.index(s) for s in bars.series]
    ax.legend([handles[i] for i in order], bars.series, loc="upper center", bbox_to_anchor=(0.5, 0.0), bbox_transform=ax.transAxes + shift,
              ncols=1 if max(map(len, bars.series)) > 34 else 2, fontsize="small", frameon=False, borderaxespad=0.0)


def draw_intervals(chart: Intervals, ax: Axes | None, title: str) -> Axes:
    """Horizontal intervals, the first row on top; dots where values are given, a line at the leader's lower bound."""
    from .bounds import colours

    ax = _new_axes(height=max(2.2, 0.9 + 0.3 * len(chart.names))) if ax is None else ax
    y = np.arange(len(chart.names))
    ax.hlines(y, chart.lower, chart.upper, colors=colours(chart), linewidth=5, alpha=0.85, zorder=2)
    for end in (chart.lower, chart.upper):
        ax.plot(end, y, "|", color=INK, markersize=9, zorder=3, linestyle="none")
    if chart.value is not None:
        ax.plot(chart.value, y, "o", color=INK, markersize=4, zorder=4, linestyle="none", label="value at the centre")
    if chart.rival >= 0:
        ax.axvline(chart.lower[chart.rival], color=colours(chart)[chart.rival], linewidth=1, linestyle="--", zorder=1,
                   label=f"least value of {_short(chart.names[chart.rival])}")
    ax.set_yticks(y, [_short(name) for name in chart.names])
    ax.set_ylim(len(y) - 0.5, -0.5)
    ax.set_xlabel(chart.label + (f"\n{chart.note}" if chart.note else ""))
    ax.set_title(title)
    ax.grid(axis="x", alpha=0.3)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    if chart.value is not None:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12 - 0.9 / (1 + len(y))), ncols=2, frameon=False, fontsize="small")
    return ax


def _short(name: str, width: int = 34) -> str:
    return name if len(name) <= width else name[:width - 1] + "…"


# ---- files


def save(what, path: str | Path, *, dpi: int = 300) -> Path:
    """Write an Axes (several, or a Figure) as PNG, SVG or PDF, by the file's suffix; the same picture gives the same bytes."""
    import matplotlib

    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".png", ".svg", ".pdf"):
        raise ValueError(f"save: {path.name} ends in '{suffix}'; .png, .svg and .pdf can be written")
    first = what if hasattr(what, "savefig") else np.asarray(what, dtype=object).ravel()[0]
    figure = first if hasattr(first, "savefig") else first.figure
    stamp = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[suffix]
    with matplotlib.rc_context({"svg.hashsalt": "pellucid"}):
        figure.savefig(path, dpi=dpi, bbox_inches="tight", metadata=stamp)
    return path
