"""The local models themselves, over one or two features (UNWRAP Figs 4, 5, 14, 15)."""

from __future__ import annotations

import numpy as np

from ..errors import DomainError
from ..unwrap.asked import effect, models_of
from .bands import bands
from .cells import cells_of, level_lines, values_at_vertices
from .chart import MOST_KEYS, Axis, Chart, Curve, Points, Segments, line_colour, quantiles, span
from .colours import INK, diverging, sequential
from .data_regions import UNCHARTED, with_rows
from .llm import choose, name_of, widths, with_unit, words
from .scene import Bar, Faces, Key, Scene, map_of, share, steps

MOST_DOTS = 1500


def local_models(models, ax=None, *, top: int = 8, rows: bool = True, small: bool = True, output: int | str | None = None,
                 versus: int | str | None = None, original=None, title: str | None = None):
    """Draw the local models over the features of a network of one or two; matplotlib Axes.

    One feature: each model over its rows' range, the `top` largest in colours, with the rows and the network's own curve.
    Two: the value of the model of each region with rows in bands, and, of a classifier, the line on which its logit is 0;
    regions without rows are pale. rows: draw some of the rows. original: of one feature, as for `profile`.
    """
    held = models_of(models)
    d = held.network.n_inputs
    if d == 1:
        from .drawing import draw_chart

        return draw_chart(curve_chart(held, top=top, rows=rows, small=small, output=output, versus=versus, original=original,
                                      title=title), ax)
    if d == 2:
        from .matplotlib import draw

        return draw(plane_scene(held, rows=rows, output=output, versus=versus, title=title), ax)
    raise DomainError(f"local_models draws networks of one or two features, this one has {d}: pel.plot.parallel_coordinates and "
                      "pel.plot.profile show models of many")


# ---- one feature


def curve_chart(models, *, top=8, rows=True, small=True, output=None, versus=None, original=None, title=None) -> Chart:
    """What `local_models` draws of one feature."""
    chosen = choose(models, top=top, small_too=small, output=output, versus=versus, original=original)
    held, told = chosen.models, chosen.told
    both = chosen.both
    x = np.column_stack([held.low[both, 0], held.high[both, 0]])
    y = told.coef[both] * x + told.intercept[both][:, None]
    ends = np.stack([x, y], axis=2)
    layers: list = []
    if rows and held.rows is not None and not told.logit:
        pick = np.linspace(0, len(held.rows.X) - 1, min(MOST_DOTS, len(held.rows.X))).round().astype(int)
        at = np.column_stack([held.rows.X[pick, 0], _column(held.rows.y, told.column)[pick]])
        layers.append(Points(at, "#b8bcc2", "rows", 7.0, alpha=0.6))
    layers.append(Segments(ends[len(chosen.line):], "#595959", "", 1.2))
    for n, (k, wide) in enumerate(zip(chosen.line, widths(held, chosen.line), strict=True)):
        colour, dashed = line_colour(n)
        name = name_of(held, int(k)) if len(chosen.line) <= MOST_KEYS else ""
        layers.append(Curve(ends[n, :, 0], ends[n, :, 1], colour, name, float(wide), dashed) if x[n, 0] < x[n, 1]
                      else Points(ends[n, :1], colour, name, 18))
    tall = np.concatenate([y.ravel(), *(layer.at[:, 1] for layer in layers if isinstance(layer, Points))])
    heading = title if title is not None else f"{told.label} by {len(both):,} {words(held, len(both))}"
    label = with_unit(held, 0) if original is None else held.network.feature_names[0]
    notes = tuple(note.replace(", darker where more rows are", "") for note in chosen.notes)
    return Chart(heading, Axis(label), Axis(told.label, span(tall, np.ones(len(tall)), y.ravel(), 0.998)), tuple(layers), notes,
                 zero="x" if told.logit else "")


def _column(y: np.ndarray, column: int | None) -> np.ndarray:
    return y if y.ndim == 1 else y[:, column or 0]


# ---- two features


def plane_scene(models, *, rows=True, output=None, versus=None, title=None) -> Scene:
    """What `local_models` draws of two features."""
    held = models_of(models)
    cells, told = cells_of(held, "local_models"), effect(held, output, versus)
    polygons = cells.atlas.cells
    value = values_at_vertices(cells, told)
    seen = value[np.isfinite(value)]
    edges = _edges(value, told.logit)
    palette = _palette(edges, told.logit)
    levels = edges.copy()                                              # the outermost bands hold all that lies beyond
    levels[0], levels[-1] = min(edges[0], float(seen.min())) - 1.0, max(edges[-1], float(seen.max())) + 1.0
    ptr, vertices, band, cell = bands(polygons.vertex_ptr, polygons.vertices, np.where(np.isfinite(value), value, edges[0]), levels)
    colour = np.where(cells.charted[cell], band, len(palette))
    uncharted = 1 - cells.charted_share
    keys = (Key(f"no rows ({share(uncharted)})", UNCHARTED),) if uncharted > 1e-9 else ()
    lines = level_lines(polygons.vertex_ptr, polygons.vertices, value, 0.0) if told.logit else np.zeros((0, 2, 2))
    count = len(np.unique(cells.owner[cells.charted]))
    heading = title if title is not None else f"{told.label} by {count:,} {words(held, count)}" + ("; line: 0" if told.logit else "")
    beyond = ("neither", "min", "max", "both")[int(seen.min() < edges[0]) + 2 * int(seen.max() > edges[-1])]
    scene = map_of(cells.atlas, np.zeros(len(cells.atlas), dtype=int), (*palette, UNCHARTED), heading, keys=keys, edges=lines,
                   bar=Bar(edges, told.label, beyond=beyond), ink=INK).with_(faces=Faces(ptr, vertices, colour), edge_width=1.6)
    return with_rows(scene, held) if rows else scene


def _edges(value: np.ndarray, logit: bool) -> np.ndarray:
    """Ends of the bands: the middle 96 % of the values, even to both sides of 0 for logits."""
    seen = value[np.isfinite(value)]
    low, high = (float(v) for v in quantiles(seen, np.ones(len(seen)), (0.02, 0.98)))
    if logit:
        high = max(abs(low), abs(high))
        low = -high
    return steps(low, high, 12)


def _palette(edges: np.ndarray, logit: bool) -> tuple[str, ...]:
    n = len(edges) - 1
    return tuple(diverging(n)) if logit else tuple(sequential(n))
