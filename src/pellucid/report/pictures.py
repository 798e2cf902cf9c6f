"""The pictures of the report: drawn, written as PNG and SVG, and held as data URIs."""

from __future__ import annotations

import base64
import io
import itertools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import plots
from ..attribution.groups import spatial
from .findings import capital, listing, percent, quantity_name
from .study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INLINE_SVG_BYTES = 400_000
"""Larger drawings go into the page as PNG: at some thousand polygons that is smaller, and it scrolls smoothly."""

MOST_SVG_ROWS = 20_000
"""Regions beyond which no SVG is written: a file of many MB that hardly any viewer opens."""

MOST_SVG_MODELS = 5_000
"""Local models beyond which their pictures are PNG only."""

MOST_AXES = 16
"""Features whose coefficients stand side by side: more would not be readable on a narrow page."""

MOST_DOTS = 300
RANK_MAPS = 4
MAPS = 6
PNG_DPI = 160
MAP = (6.8, 4.9)
"""Inches: small, so that words stay readable where the page is as narrow as a phone."""


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
    return {"maps": [_map(study, folder)], "importance": [_importance(study, folder)], "ranks": _ranks(study, folder),
            "unwrapped": _unwrapped(study, folder), "bounded": _bounded(study, folder)}


def _map(study: Study, folder: Path) -> Picture:
    """The class map with the data's rows on top, or for a number the value map."""
    atlas, (x, y) = study.atlas, study.axes
    vector = len(atlas) <= MOST_SVG_ROWS
    if not atlas.by:
        alt = f"Map of {quantity_name(study)} over {x} (horizontal) and {y} (vertical)."
        return _picture(folder, "value_map", lambda ax: plots.value_map(atlas, ax), alt,
                        f"{capital(quantity_name(study))}; the lines between bands are exact.", size=MAP, vector=vector)
    what = ", ".join(f"{name} {percent(share)}" for name, share in study.shares[:8])
    alt = f"Map of the class over {x} (horizontal) and {y} (vertical). Shares of the area: {what}."
    X, labels = _dots(study)
    caption = (f"Dots: {len(X)} of the data's rows{', coloured by their true class' if labels is not None else ''}, laid onto the plane. "
               "Their other features differ from the plane's, so the map does not say how the network answers them.")
    colours = "ordered" if _in_order(study.question.network.class_names) else None
    return _picture(folder, "class_map", lambda ax: plots.class_map(atlas, ax, data=X, labels=labels, colours=colours), alt, caption,
                    size=MAP, vector=vector)


def _dots(study: Study) -> tuple[np.ndarray, np.ndarray | None]:
    """Some of the data's rows that lie over the plane's part of the two features, and their true classes if known."""
    question, box = study.question, study.question.plane.box
    X, free, y = question.rows.X, list(question.free), question.answers.y
    inside = ((X[:, free] >= box.lower[free]) & (X[:, free] <= box.upper[free])).all(axis=1)
    if y is not None:
        inside &= ~np.isnan(y)
    rows = np.flatnonzero(inside)
    rows = rows[np.linspace(0, len(rows) - 1, MOST_DOTS).round().astype(int)] if len(rows) > MOST_DOTS else rows
    return X[rows], None if y is None or not question.network.n_classes else y[rows].astype(np.int64)


def _in_order(names) -> bool:
    """Several classes that are consecutive numbers, such as grades: their colours should run from dark to light."""
    tails = [name.rpartition(" ")[2] for name in names]
    return len(names) > 2 and all(t.lstrip("-").isdigit() for t in tails) and all(int(b) > int(a) for a, b in itertools.pairwise(tails))


def _importance(study: Study, folder: Path) -> Picture:
    top = study.main.top(5)
    longest = listing(f"{r.feature} {r.total:.3g}" for r in top.itertuples())
    alt = f"Bars of total weight for {quantity_name(study)}. The longest: {longest}."
    n = min(study.question.network.n_inputs, 20)
    title = f"Total weights for {quantity_name(study)}"
    return _picture(folder, "importance", lambda ax: plots.importance(study.main, ax, n=n, title=title), alt,
                    "Bars: mean size of the weight over the plane. Diamonds: its mean with sign.", size=(MAP[0], 1.7 + 0.26 * n))


def _ranks(study: Study, folder: Path) -> list[Picture]:
    """Rank maps of the features of largest total weight, the two free ones among them."""
    names = study.question.network.feature_names
    order = [int(j) for j in np.argsort(-study.main.total, kind="stable") if study.main.total[j] > 0]
    chosen = list(dict.fromkeys([*order[:RANK_MAPS - 2], *study.question.free, *order[RANK_MAPS - 2:]]))[:RANK_MAPS]
    return [_rank(study, folder, k + 1, names[j], j) for k, j in enumerate(chosen)]


def _rank(study: Study, folder: Path, number: int, name: str, j: int) -> Picture:
    first = percent(float(study.main.first_share[j]))
    alt = f"Map of the rank of {name} among all features; it ranks first on {first} of the plane."
    return _picture(folder, f"rank_{number}", lambda ax: plots.rank_map(study.main, name, ax, title=f"Rank of {name}"), alt,
                    f"{name}: first on {first} of the plane.", size=(5.6, 4.2), vector=len(study.atlas) <= MOST_SVG_ROWS)


def _unwrapped(study: Study, folder: Path) -> list[Picture]:
    """The rows' local models: coefficients, the profile of the most important feature, local against global performance."""
    told = study.unwrapped
    if told is None:
        return []
    net, asked = told.models.network, {"output": told.output, "versus": told.versus}
    best = net.feature_names[int(told.importance.order()[0])]
    few = len(told.models) <= MOST_SVG_MODELS
    return [
        _picture(folder, "unwrapped_coefficients", lambda ax: plots.parallel_coordinates(told.models, ax, n=MOST_AXES, **asked),
                 f"Lines of the largest local models' coefficients for {told.importance.label}, with all others behind.",
                 "Each line is one local model, as wide as it has rows: its coefficients times the features' spreads.",
                 size=(MAP[0], 5.4), vector=few),
        _picture(folder, "unwrapped_profile", lambda ax: plots.profile(told.models, best, ax, **asked),
                 f"Lines of the effect of {best} in the largest local models, each over the range of its rows.",
                 f"What {best} does in each local model, over the rows that it holds for.", size=MAP, vector=few),
        _picture(folder, "unwrapped_performance", lambda ax: plots.performance(told.top, ax),
                 "Bars of the performance of the largest local models, on their own rows and on all rows.",
                 "How well each local model does on its own rows, and on all.", size=MAP),
    ]


def _bounded(study: Study, folder: Path) -> list[Picture]:
    """Intervals of the outputs around the row; of images, maps of what can change the answer."""
    told, net = study.bounded, study.question.network
    if told is None:
        return []
    value, n = net(told.x)[0], net.n_outputs
    low, high = (t[0].double().cpu().numpy() for t in (told.at_row.lower, told.at_row.upper))
    ends = listing(f"{name} {a:.3g} to {b:.3g}" for name, a, b in zip(told.at_row.names[:8], low, high, strict=False))
    words = f"row {told.row}, each feature moving by at most {100 * told.radius:g}% of its range"
    reading = " Where no other interval reaches beyond the dashed line, no other class can win." if n > 1 and net.n_classes else (
        f" Above 0 the answer is '{net.class_names[1]}'." if net.n_classes else "")
    label = "output" if net.link == "identity" and not net.n_classes else None
    found = [_picture(folder, "bounds", lambda ax: plots.bounds(told.at_row, ax, value=value, title=f"Outputs around row {told.row}",
                                                                      label=label),
                      f"Bars of the outputs' bounds around {words}: {ends}.", f"Bounds of the outputs around {words}.{reading}",
                      size=(MAP[0], 1.7 + 0.26 * min(n, 30)))]
    if told.important is not None and spatial(told.important.X.shape[1:])[0] is not None:
        from ..plots.attribution import attribution_scene, draw_maps

        scene = attribution_scene(told.important, rows=range(min(MAPS, len(told.important))), title="What can change the answer (EVA)")
        figure = draw_maps(scene, _blank())
        found.append(_written(folder, "importance_maps", figure, "Maps of the images' cells that can change the answer.",
                              f"Each row asked about, within {100 * told.radius:g}% of the ranges, row {told.row} first; one scale.",
                              vector=False))
    return found


def _blank(size: tuple[float, float] = MAP) -> Figure:
    """A figure of no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _picture(folder: Path, name: str, make: Callable, alt: str, caption: str, *, size: tuple[float, float], vector: bool = True) -> Picture:
    """Draw onto one axes, write name.png and (vector) name.svg, and keep one of them for the page."""
    figure = _blank(size)
    make(figure.add_subplot())
    return _written(folder, name, figure, alt, caption, vector=vector)


def _written(folder: Path, name: str, figure: Figure, alt: str, caption: str, *, vector: bool = True) -> Picture:
    """The same of a figure that is drawn already."""
    import matplotlib

    data = {}
    with matplotlib.rc_context({"svg.hashsalt": "pellucid"}):
        for kind, stamp in (("png", {"Software": None}), ("svg", {"Date": None})):
            if kind == "png" or vector:
                buffer = io.BytesIO()
                figure.savefig(buffer, format=kind, dpi=PNG_DPI, facecolor="white", bbox_inches="tight", metadata=stamp)
                data[kind] = buffer.getvalue()
                (folder / f"{name}.{kind}").write_bytes(data[kind])
    width, height = struct.unpack(">II", data["png"][16:24])
    kind = "svg" if vector and len(data["svg"]) <= INLINE_SVG_BYTES else "png"
    uri = f"data:image/{'svg+xml' if kind == 'svg' else 'png'};base64,{base64.b64encode(data[kind]).decode()}"
    return Picture(uri, alt, caption, round(width * 96 / PNG_DPI), round(height * 96 / PNG_DPI))
