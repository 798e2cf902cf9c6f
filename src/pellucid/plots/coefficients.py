"""How the coefficients of each feature are distributed over local models (UNWRAP Fig. 21)."""

from __future__ import annotations

import numpy as np

from .chart import Area, Axis, Boxes, Chart, Label, Points, Segments, density, quantiles, span
from .llm import choose, scaled, words

DOTS_UP_TO = 400
"""Models up to which each is a dot; of more, the density alone is drawn."""


def coefficients(models, ax=None, *, n: int = 10, scale: str = "std", output: int | str | None = None, versus: int | str | None = None,
                 small: bool = False, original=None, title: str | None = None):
    """Draw how the coefficients of the n features of most weight are distributed over the models, weighted by rows: their
    density, the middle half of the rows and the median, and for few models each as a dot; matplotlib Axes.

    On the right, the shares of the rows on which the coefficient is below and above 0. Options as for `parallel_coordinates`.
    """
    from .drawing import draw_chart

    return draw_chart(coefficients_chart(models, n=n, scale=scale, output=output, versus=versus, small=small, original=original,
                                         title=title), ax)


def coefficients_chart(models, *, n=10, scale="std", output=None, versus=None, small=False, original=None, title=None) -> Chart:
    """What `coefficients` draws."""
    chosen = choose(models, top=0, small_too=small, output=output, versus=versus, original=original)
    coef, _, what = scaled(chosen, scale)
    held, rows = chosen.models, chosen.rest
    coef, weight = coef[rows], held.weight[rows]
    heavy = np.argsort(-(weight @ coef ** 2), kind="stable")[:n]
    all_of = coef[:, heavy].ravel()
    x = span(all_of, np.repeat(weight, len(heavy)), np.append(all_of if len(rows) <= DOTS_UP_TO else [], 0.0), 0.99)
    layers = [part for i, j in enumerate(heavy) for part in _row(i, coef[:, j], held.count[rows], weight, x)]
    layers.append(Label(1.01, -0.75, "rows < 0 | > 0", "right", "#595959", 7.0, inside=True))
    names = tuple(held.network.feature_names[j] for j in heavy)
    hidden = coef.shape[1] - len(heavy)
    notes = [f"{len(rows):,} {words(held, len(rows))}, weighted by their rows; box: middle half, line: median",
             *(note for note in chosen.notes if not note.startswith("grey"))]
    notes += [f"{hidden} features of less weight are not shown"] if hidden else []
    heading = title if title is not None else f"Distribution of coefficients for {chosen.told.label}"
    return Chart(heading, Axis(what, x, grid=True), Axis("", (len(heavy) - 0.4, -1.0), np.arange(len(heavy)), names), tuple(layers),
                 tuple(notes), zero="y", width=7.4, height=1.9 + 0.36 * len(heavy))


def _row(i: int, w: np.ndarray, count: np.ndarray, weight: np.ndarray, x: tuple[float, float]) -> list:
    """One feature: density upwards of the line, box and median on it, dots below."""
    if not len(w):
        return []
    grid = np.linspace(*x, 400)
    up = 0.55 * density(w, weight, grid)
    step = grid[1] - grid[0]
    up[(grid < w.min() - step) | (grid > w.max() + step)] = 0.0            # no density where there is no coefficient
    q1, middle, q3 = quantiles(w, weight, (0.25, 0.5, 0.75))
    below, above = (float(weight[side].sum() / weight.sum()) for side in (w < 0, w > 0))
    base = np.full(len(grid), i - 0.02)
    parts: list = [Area(grid, base - np.where(up > 1e-3, up, 0.0), base, "#0072b2", alpha=0.3)]
    if len(w) <= DOTS_UP_TO:
        size = 6 + 50 * count / max(count.max(), 1)
        parts.append(Points(np.column_stack([w, np.full(len(w), i + 0.2)]), "#0072b2", size=size, alpha=0.35))
    parts.append(Boxes(np.array([i + 0.05]), np.array([q1]), np.array([q3]), "#4d4d4d", thick=0.09))
    parts.append(Segments(np.array([[(middle, i - 0.1), (middle, i + 0.18)]]), "#000000", width=2.2))
    parts.append(Label(1.01, i, f"{below:.0%} | {above:.0%}", "right", size=7.5, inside=True))
    return parts
