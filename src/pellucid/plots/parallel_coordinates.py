"""Coefficients of many local models side by side, a line each (UNWRAP 3.2, Figs 8, 9, 16, 17, 20, 23)."""

from __future__ import annotations

import numpy as np

from .chart import LINES_UP_TO, MOST_KEYS, Axis, Chart, Curve, Segments, Shade, line_colour, quantiles, run_density, span
from .llm import choose, heaviest, name_of, scaled, widths

BETWEEN = 12
"""Columns of the density between two features."""


def parallel_coordinates(models, ax=None, *, top: int = 8, intercept: bool = False, scale: str = "std", n: int | None = 40,
                         output: int | str | None = None, versus: int | str | None = None, small: bool = False, original=None,
                         title: str | None = None):
    """Draw the coefficients of each local model as a line from feature to feature, as wide as it has rows; matplotlib Axes.

    top: models drawn as lines; the others are a grey density behind them, darker where more rows are. intercept: as the first
    place. scale: "std" multiplies each coefficient by its feature's std over the rows, so that features can be compared (the
    intercept is then the value at the mean row); "raw" leaves them. n: features shown, those of most weight, in their own order;
    None for all. small: also models of one row or one class, left out and counted otherwise. original: as for `profile`.
    """
    from .drawing import draw_chart

    return draw_chart(parallel_chart(models, top=top, intercept=intercept, scale=scale, n=n, output=output, versus=versus, small=small,
                                     original=original, title=title), ax)


def parallel_chart(models, *, top=8, intercept=False, scale="std", n=40, output=None, versus=None, small=False, original=None,
                   title=None) -> Chart:
    """What `parallel_coordinates` draws."""
    chosen = choose(models, top=top, small_too=small, output=output, versus=versus, original=original)
    coef, constant, what = scaled(chosen, scale)
    shown = heaviest(chosen, n, scale)
    names = [chosen.models.network.feature_names[j] for j in shown]
    height = coef[:, shown]
    if intercept:
        names, height = ["intercept" if scale == "raw" else "value at the mean row", *names], np.column_stack([constant, height])
    at, weight = np.arange(len(names)), chosen.models.weight
    low, high = span(height[chosen.rest].ravel(), np.repeat(weight[chosen.rest], len(names)), np.append(height[chosen.line].ravel(), 0.0))
    layers: list = [_rest(height[chosen.rest], weight[chosen.rest], (low, high))]
    layers.append(Segments(np.array([[(x, low), (x, high)] for x in at]), "#d9d9d9", width=0.6))
    if isinstance(layers[0], Shade):
        middle = np.array([quantiles(height[chosen.rest, j], weight[chosen.rest], [0.5])[0] for j in range(len(names))])
        layers.append(Curve(at.astype(float), middle, "#4d4d4d", "median of the grey, by rows", 1.6, True))
    for k in range(len(chosen.line)):                                  # the largest are the widest, so the thin ones lie on top
        colour, dashed = line_colour(k)
        m = int(chosen.line[k])
        name = name_of(chosen.models, m) if len(chosen.line) <= MOST_KEYS else ""
        y = height[m]
        width = float(widths(chosen.models, chosen.line)[k])
        layers.append(Curve(at.astype(float), y, colour, name, width, dashed) if len(at) > 1
                      else Curve(np.array([-0.2, 0.2]), np.repeat(y, 2), colour, name, width, dashed))
    hidden = coef.shape[1] - len(shown)
    notes = (*chosen.notes, *([f"{hidden} features of less weight are not shown"] if hidden else []), *_cut(height[chosen.rest], low, high))
    heading = title if title is not None else f"Coefficients for {chosen.told.label}"
    return Chart(heading, Axis("", (-0.3, len(names) - 0.7), at, tuple(names), turned=len(names) > 4 or max(map(len, names)) > 14),
                 Axis(what, (low, high)), tuple(layers), notes, zero="x",
                 width=float(np.clip(3.6 + 0.27 * len(names), 6.4, 15)), height=5.0 if max(map(len, names)) < 16 else 5.8)


def _cut(height: np.ndarray, low: float, high: float) -> tuple[str, ...]:
    beyond = int(((height < low) | (height > high)).any(axis=1).sum())
    return (f"{beyond:,} of the grey ones leave the picture",) if beyond else ()


def _rest(height: np.ndarray, weight: np.ndarray, ends: tuple[float, float]) -> Segments | Shade:
    """The other models: thin lines of few; of many a density, each line interpolated between features as it would be drawn."""
    d = height.shape[1]
    if d == 1 or len(height) <= LINES_UP_TO:
        at = np.tile(np.arange(d, dtype=float), (len(height), 1)) if d > 1 else np.tile([-0.2, 0.2], (len(height), 1))
        points = np.stack([at, np.broadcast_to(height, at.shape)], axis=2)
        return Segments(np.stack([points[:, :-1], points[:, 1:]], axis=2).reshape(-1, 2, 2), "#b3b3b3", width=0.7)
    at = np.linspace(0, d - 1, (d - 1) * BETWEEN + 1)
    half = 0.5 / BETWEEN
    level = np.zeros((120, len(at)))
    for c, x in enumerate(at):                                           # column by column: K x columns would not fit in memory
        sides = [_along(height, min(max(x + step, 0.0), d - 1.0)) for step in (-half, 0.0, half)]
        level[:, c] = run_density(np.min(sides, axis=0), np.max(sides, axis=0), weight, ends)
    return Shade(np.sqrt(level / np.maximum(level.max(axis=0), 1e-300)), (-half, d - 1 + half, *ends))


def _along(height: np.ndarray, x: float) -> np.ndarray:
    """(K,) where the drawn lines are at a place between the features."""
    k = min(int(x), height.shape[1] - 2)
    return (1 - (x - k)) * height[:, k] + (x - k) * height[:, k + 1]
