"""Local linear profile: what a feature does in each local model, over the range of its rows (UNWRAP eq. 17, Figs 4-7, 22, 24)."""

from __future__ import annotations

import numpy as np

from ..explain.asked import feature_index
from .chart import (
    LINES_UP_TO,
    MOST_KEYS,
    Area,
    Axis,
    Chart,
    Curve,
    Label,
    Points,
    Segments,
    Shade,
    density,
    line_colour,
    line_density,
    quantiles,
    span,
)
from .llm import Chosen, best_feature, choose, name_of, widths, with_unit, words

STRIP = 0.26
"""Share of the picture's height below the lines that shows how the rows lie."""

GRID = 240

FAR_OUT = 2.0
"""How many times wider than the middle 98 % of the rows a feature may be to be shown whole."""


def profile(models, feature: int | str | None = None, ax=None, *, top: int = 8, output: int | str | None = None,
            versus: int | str | None = None, small: bool = False, slopes: bool | None = None, original=None, title: str | None = None):
    """Draw the local linear profile of a feature: w (x - mean of x) of each model over its rows' range; matplotlib Axes.

    models: LocalModels or a fitted Unwrapper or Merged estimator. feature: name or number, None: of largest joint importance.
    top: models drawn as lines, the others as a grey density behind. Below the lines, how the rows of each line are spread over
    the feature, each scaled to the same height. small: also models of one row or of one class. slopes: draw the coefficient w
    itself over the feature, in place of the effect; None: where every model is of one row or class, since the effect of a row by
    itself is 0. original: a fitted scaler, or (centre, scale), to draw inputs in the units they had before it.
    """
    from .drawing import draw_chart

    return draw_chart(profile_chart(models, feature, top=top, output=output, versus=versus, small=small, slopes=slopes,
                                    original=original, title=title), ax)


def profile_chart(models, feature=None, *, top=8, output=None, versus=None, small=False, slopes=None, original=None, title=None) -> Chart:
    """What `profile` draws."""
    chosen = choose(models, top=top, small_too=small, output=output, versus=versus, original=original)
    held = chosen.models
    j = best_feature(held, output, versus) if feature is None else feature_index(held.network, feature)
    slopes = chosen.all_small if slopes is None else slopes
    x, beyond = _extent(chosen, j)
    grid = np.linspace(*x, GRID)
    height = _heights(chosen, j, grid, slopes)
    own = _ends(chosen, j, chosen.line, slopes)[..., 1].ravel()
    low, high = span(height.ravel(), np.repeat(held.weight[chosen.rest], GRID), np.append(own, 0.0))
    floor = low - STRIP / (1 - STRIP) * (high - low)
    layers: list = [_rest(chosen, j, x, height, (low, high), slopes), *_lines(chosen, j, slopes), *_strips(chosen, j, x, floor, low)]
    name, told = held.network.feature_names[j], chosen.told.label
    heading = title if title is not None else f"Local {'slopes' if slopes else 'linear profile'} of {name}"
    label = f"slope of {told} along {name}" if slopes else f"effect of {name} on {told}, centred"
    along = Axis(with_unit(held, j) if original is None else name, x)
    return Chart(heading, along, Axis(label, (floor, high), ticks_above=low), tuple(layers), (*chosen.notes, *beyond), zero="x")


def _extent(chosen: Chosen, j: int) -> tuple[tuple[float, float], tuple[str, ...]]:
    """What of the feature is shown: all of it, or the middle 98 % of the rows where a few lie far out (then a note says so)."""
    held, both = chosen.models, chosen.both
    if not len(both):
        return (-1.0, 1.0), ()
    low, high = float(held.low[both, j].min()), float(held.high[both, j].max())
    values, weight = held.centre[both, j], held.weight[both]
    if held.rows is not None:
        mine = np.isin(held.rows.model, both)
        values, weight = (held.rows.X[mine, j], held.rows.weight[mine]) if mine.any() else (values, weight)
    a, b = (float(v) for v in quantiles(values, weight, (0.01, 0.99)))
    notes = ()
    if b > a and high - low > FAR_OUT * (b - a):
        low, high, notes = max(low, a - 0.1 * (b - a)), min(high, b + 0.1 * (b - a)), (f"shown: the middle 98% of the rows; the feature "
                                                                                        f"runs from {low:.4g} to {high:.4g}",)
    pad = 0.02 * (high - low) or 0.05 * max(abs(low), 1.0)
    return (low - pad, high + pad), notes


def _ends(chosen: Chosen, j: int, line: np.ndarray, slopes: bool) -> np.ndarray:
    """(k, 2, 2) where the line of each of these models begins and ends."""
    held, w = chosen.models, chosen.told.coef[line, j][:, None]
    x = np.column_stack([held.low[line, j], held.high[line, j]])
    return np.stack([x, np.broadcast_to(w, x.shape) if slopes else w * (x - held.centre[line, j][:, None])], axis=2)


def _heights(chosen: Chosen, j: int, grid: np.ndarray, slopes: bool) -> np.ndarray:
    """(r, n) the other models' lines on a grid, NaN outside their rows' range (at the nearest place for a single row)."""
    held, rest = chosen.models, chosen.rest
    low, high = held.low[rest, j][:, None], held.high[rest, j][:, None]
    half, w = (grid[1] - grid[0]) / 2, chosen.told.coef[rest, j][:, None]
    return np.where((grid >= low - half) & (grid <= high + half), w if slopes else w * (grid - held.centre[rest, j][:, None]), np.nan)


def _rest(chosen: Chosen, j: int, x: tuple[float, float], height: np.ndarray, y: tuple[float, float], slopes: bool) -> Segments | Shade:
    """The other models: thin lines of few, a density of many."""
    if len(chosen.rest) <= LINES_UP_TO:
        return Segments(_above(_ends(chosen, j, chosen.rest, slopes), y[0]), "#b3b3b3", "", 0.8)
    return Shade(line_density(height, chosen.models.weight[chosen.rest], y), (*x, *y))


def _above(ends: np.ndarray, low: float) -> np.ndarray:
    """The parts of lines (n, 2, 2) above `low`: below it stand the densities."""
    ends = ends[(ends[..., 1] >= low).any(axis=1)].copy()
    for near, far in ((0, 1), (1, 0)):
        under = ends[:, near, 1] < low
        t = (low - ends[under, far, 1]) / (ends[under, near, 1] - ends[under, far, 1])
        ends[under, near] = ends[under, far] + t[:, None] * (ends[under, near] - ends[under, far])
    return ends


def _lines(chosen: Chosen, j: int, slopes: bool) -> list:
    layers, ends = [], _ends(chosen, j, chosen.line, slopes)
    for n, (k, width) in enumerate(zip(chosen.line, widths(chosen.models, chosen.line), strict=True)):
        colour, dashed = line_colour(n)
        name = name_of(chosen.models, int(k)) if len(chosen.line) <= MOST_KEYS else ""
        if ends[n, 0, 0] == ends[n, 1, 0]:                            # its rows all have one value: a place, not a slope
            layers.append(Points(ends[n, :1], colour, name, 10 * width))
        else:
            layers.append(Curve(ends[n, :, 0], ends[n, :, 1], colour, name, float(width), dashed))
    return layers


def _strips(chosen: Chosen, j: int, x: tuple[float, float], floor: float, low: float) -> list:
    """Below the lines: the spread of each model's rows, from the rows where they were kept, else their ranges."""
    held, rows = chosen.models, chosen.models.rows
    layers: list = [Segments(np.array([[(x[0], low), (x[1], low)]]), "#bfbfbf", width=0.7)]
    grid, tall = np.linspace(*x, GRID), 0.8 * (low - floor)
    what = "how all these rows lie" if not len(chosen.line) else "rows of each line (equal heights)"
    if rows is None:
        what = "ranges of each line's rows"
    elif not len(chosen.line):
        mine = np.isin(rows.model, chosen.rest)
        up = floor + tall * density(rows.X[mine, j], rows.weight[mine], grid)
        layers.append(Area(grid, np.full(GRID, floor), up, "#8a929c", alpha=0.5))
    layers.append(Label(0.008, low - 0.1 * (low - floor), what, "right", "#595959", 7.0, inside=True))
    for n, k in enumerate(chosen.line):
        colour, _ = line_colour(n)
        if rows is None:
            y = floor + tall * (1 - (n + 0.5) / max(len(chosen.line), 1))
            layers.append(Curve(np.array([held.low[k, j], held.high[k, j]]), np.array([y, y]), colour, width=2.0))
            continue
        mine = rows.model == k
        up = floor + tall * density(rows.X[mine, j], rows.weight[mine], grid)
        inside = up > floor + 1e-3 * tall
        layers.append(Area(grid, np.full(GRID, floor), up, colour, alpha=0.16))
        layers.append(Curve(np.where(inside, grid, np.nan), up, colour, width=1.0))
    return layers


# ---- the intercept


def intercept_profile(models, ax=None, *, top: int = 8, output: int | str | None = None, versus: int | str | None = None,
                      small: bool = False, original=None, title: str | None = None):
    """Draw the local intercepts (UNWRAP def. 2): a stem each of the `top` largest models, as high as it has rows, over the density of
    all intercepts, weighted by rows; matplotlib Axes. Options as for `profile`."""
    from .drawing import draw_chart

    return draw_chart(intercept_chart(models, top=top, output=output, versus=versus, small=small, original=original, title=title), ax)


def intercept_chart(models, *, top=8, output=None, versus=None, small=False, original=None, title=None) -> Chart:
    """What `intercept_profile` draws."""
    chosen = choose(models, top=top, small_too=small, output=output, versus=versus, original=original)
    held, b = chosen.models, chosen.told.intercept
    x = span(b[chosen.both], held.weight[chosen.both], b[chosen.line])
    most = float(held.count[chosen.both].max(initial=1))
    grid = np.linspace(*x, GRID)
    layers: list = [Area(grid, np.zeros(GRID), most * density(b[chosen.both], held.weight[chosen.both], grid), "#8a929c",
                         f"all {len(chosen.both):,} {words(held, len(chosen.both))}, weighted by rows (own scale)", 0.35)]
    for n, k in enumerate(chosen.line):
        colour, _ = line_colour(n)
        at = np.array([[b[k], held.count[k]]])
        name = name_of(held, int(k)) if len(chosen.line) <= MOST_KEYS else ""
        layers += [Curve(np.array([b[k], b[k]]), np.array([0.0, held.count[k]]), colour, width=1.6), Points(at, colour, name, 34)]
    notes = tuple(n for n in chosen.notes if not n.startswith("grey"))
    heading = title if title is not None else "Local intercept profile"
    return Chart(heading, Axis(f"intercept for {chosen.told.label}", x), Axis("rows of the model", (0, 1.08 * most)), tuple(layers), notes)


