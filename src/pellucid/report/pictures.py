"""The pictures of the report: drawn, written as PNG and SVG, and held as data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import plots
from .findings import listing, percent, quantity_name
from .study import Study

INLINE_SVG_BYTES = 400_000
"""Larger drawings go into the page as PNG: at some thousand polygons that is smaller, and it scrolls smoothly."""

MOST_SVG_ROWS = 20_000
"""Regions beyond which no SVG is written: a file of many MB that hardly any viewer opens."""

MOST_DOTS = 300
RANK_MAPS = 4
PNG_DPI = 160


@dataclass(frozen=True)
class Picture:
    """uri: the image as a data URI. alt: what it shows, for who cannot see it. width, height: in CSS pixels."""

    uri: str
    alt: str
    caption: str
    width: int
    height: int


def draw(study: Study, folder: Path) -> dict[str, list[Picture]]:
    """Draw all pictures of a study, write them into the folder, and give them for the page, by section."""
    folder.mkdir(parents=True, exist_ok=True)
    return {"maps": [_map(study, folder)], "importance": [_importance(study, folder)], "ranks": _ranks(study, folder)}


def _map(study: Study, folder: Path) -> Picture:
    """The class map, or for a number the value map."""
    atlas, (x, y) = study.atlas, study.axes
    X = _dots(study)
    if atlas.by:
        what = ", ".join(f"{name} {percent(share)}" for name, share in study.shares[:8])
        alt = f"Map of the class over {x} (horizontal) and {y} (vertical). Shares of the area: {what}."
        make = lambda ax: plots.class_map(atlas, ax=ax)  # noqa: E731
        name = "class_map"
    else:
        alt = f"Map of {quantity_name(study)} over {x} (horizontal) and {y} (vertical)."
        make = lambda ax: plots.value_map(atlas, ax=ax)  # noqa: E731
        name = "value_map"
    caption = f"{len(X)} of the data's rows as dots, laid onto the plane: their other features differ from the plane's, so a dot's own class may too."

    def with_dots(ax):
        make(ax)
        ax.scatter(X[:, study.question.free[0]], X[:, study.question.free[1]], s=5, c="black", alpha=0.35, linewidths=0, zorder=5)

    return _picture(folder, name, with_dots, alt, caption, size=(8.0, 5.4), vector=len(atlas) <= MOST_SVG_ROWS)


def _dots(study: Study) -> np.ndarray:
    """Some of the data's rows that lie over the plane's part of the two features."""
    X, box, free = study.question.rows.X, study.question.plane.box, list(study.question.free)
    inside = ((X[:, free] >= box.lower[free]) & (X[:, free] <= box.upper[free])).all(axis=1)
    from .focus import spread_rows

    return spread_rows(X[inside], MOST_DOTS)


def _importance(study: Study, folder: Path) -> Picture:
    top = study.main.top(5)
    alt = f"Bars of total weight for {quantity_name(study)}. The longest: {listing(f'{r.feature} {r.total:.3g}' for r in top.itertuples())}."
    n = min(study.question.network.n_inputs, 20)
    return _picture(folder, "importance", lambda ax: plots.importance(study.main, ax=ax), alt,
                    f"Total weight of each feature for {quantity_name(study)}.", size=(8.0, 1.2 + 0.3 * n))


def _ranks(study: Study, folder: Path) -> list[Picture]:
    """Rank maps of the two free features and of those of largest total weight."""
    names = study.question.network.feature_names
    order = [int(j) for j in np.argsort(-study.main.total, kind="stable") if study.main.total[j] > 0]
    chosen = list(dict.fromkeys([*order[:RANK_MAPS - 2], *study.question.free, *order[RANK_MAPS - 2:]]))[:RANK_MAPS]
    pictures = []
    for k, j in enumerate(chosen):
        first = percent(float(study.main.first_share[j]))
        alt = f"Map of the rank of {names[j]} among all features; it ranks first on {first} of the plane."
        pictures.append(_picture(folder, f"rank_{k + 1}", lambda ax, j=j: plots.rank_map(study.main, names[j], ax=ax), alt,
                                 f"{names[j]}: first on {first} of the plane.", size=(5.6, 4.2), vector=len(study.atlas) <= MOST_SVG_ROWS))
    return pictures


def _picture(folder: Path, name: str, make: Callable, alt: str, caption: str, *, size: tuple[float, float], vector: bool = True) -> Picture:
    """Draw onto one axes, write name.png and (vector) name.svg, and keep the smaller kind for the page."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    make(figure.add_subplot())
    png, svg = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png", dpi=PNG_DPI, facecolor="white")
    (folder / f"{name}.png").write_bytes(png.getvalue())
    if vector:
        figure.savefig(svg, format="svg", facecolor="white", metadata={"Date": None})
        (folder / f"{name}.svg").write_bytes(svg.getvalue())
    use_svg = vector and len(svg.getvalue()) <= INLINE_SVG_BYTES
    kind, data = ("svg+xml", svg.getvalue()) if use_svg else ("png", png.getvalue())
    uri = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return Picture(uri, alt, caption, round(size[0] * 96), round(size[1] * 96))
