"""What a chart shows, as values: lines, points, bars, areas, densities on two axes. No drawing library is needed to make one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .colours import INK
from .scene import Key


@dataclass(frozen=True, eq=False)
class Curve:
    """A line through x (n,), y (n,). A name that is not empty stands in the legend."""

    x: np.ndarray
    y: np.ndarray
    colour: str
    name: str = ""
    width: float = 1.5
    dashed: bool = False
    alpha: float = 1.0


@dataclass(frozen=True, eq=False)
class Segments:
    """Many lines of one colour: ends (n, 2, 2), points (x, y) of each."""

    ends: np.ndarray
    colour: str
    name: str = ""
    width: float = 1.0
    dashed: bool = False
    alpha: float = 1.0


@dataclass(frozen=True, eq=False)
class Area:
    """What lies between low (n,) and high (n,) over x (n,); upright=False: over y, for violins that lie."""

    x: np.ndarray
    low: np.ndarray
    high: np.ndarray
    colour: str
    name: str = ""
    alpha: float = 0.25
    upright: bool = True


@dataclass(frozen=True, eq=False)
class Points:
    """Marks at (n, 2). size: (n,) or one area in square points. shape: o, s, ^, v, D, P. hollow: only their outline."""

    at: np.ndarray
    colour: str
    name: str = ""
    size: np.ndarray | float = 20.0
    shape: str = "o"
    hollow: bool = False
    alpha: float = 1.0


@dataclass(frozen=True, eq=False)
class Boxes:
    """Bars from start (n,) to end (n,), at places (n,), thick wide. flat: they lie (along x); else they stand."""

    place: np.ndarray
    start: np.ndarray
    end: np.ndarray
    colour: str
    name: str = ""
    thick: float = 0.7
    flat: bool = True


@dataclass(frozen=True, eq=False)
class Shade:
    """A density as grey levels: level (ny, nx) in 0..1, over extent (x0, x1, y0, y1), its first row lowest."""

    level: np.ndarray
    extent: tuple[float, float, float, float]
    name: str = ""


@dataclass(frozen=True)
class Label:
    """Words at a point; where: "left", "centre" or "right" of the point they stand on."""

    x: float
    y: float
    text: str
    where: str = "centre"
    colour: str = INK
    size: float = 8.0
    inside: bool = False
    """Between x = 0 and 1 of the Axes instead of the data's x."""


Layer = Curve | Segments | Area | Points | Boxes | Shade | Label


@dataclass(frozen=True, eq=False)
class Axis:
    """label: what is measured, with its unit. ends: what is shown, None: what is there. ticks and names: None for numbers.

    ticks_above: numbers are written only from there on (below stands something without a scale).
    """

    label: str = ""
    ends: tuple[float, float] | None = None
    ticks: np.ndarray | None = None
    names: tuple[str, ...] | None = None
    log: bool = False
    turned: bool = False
    ticks_above: float | None = None
    grid: bool = False


@dataclass(frozen=True, eq=False)
class Chart:
    """One pair of axes. layers: drawn in this order. keys: entries of the legend beside those that layers name.

    notes: what a reader has to know, below. zero: "x", "y": a line at 0 along that axis. polar: x is an angle, y a radius, whose
    numbers stand at ring_angle (degrees). width, height: inches of a new figure.
    """

    title: str
    x: Axis
    y: Axis
    layers: tuple[Layer, ...]
    notes: tuple[str, ...] = ()
    keys: tuple[Key, ...] = ()
    key_title: str = ""
    zero: str = ""
    polar: bool = False
    ring_angle: float = 22.5
    width: float = 7.2
    height: float = 4.6
    square: bool = False

    def with_(self, **changes) -> Chart:
        return replace(self, **changes)

    def find(self, kind: type, name: str | None = None) -> list:
        """The layers of one kind (and name)."""
        return [layer for layer in self.layers if isinstance(layer, kind) and (name is None or getattr(layer, "name", "") == name)]


LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1a1a1a", "#8a7a00")
"""Okabe & Ito's colours in an order in which neighbours differ in lightness, their yellow dark enough to be seen as a line."""

QUIET, SMALL = "#8c8c8c", "#0072b2"
"""What stands back; models of one row or one class (UNWRAP 4.1 has them blue)."""

LINES_UP_TO = 150
"""Models beside the largest up to which each is a thin grey line; of more, lines would be a hairball, and a density is drawn."""

MOST_KEYS = 12
"""Lines up to which each has an entry in the legend."""


def line_colour(k: int) -> tuple[str, bool]:
    """(colour, dashed) of line k: the eight colours solid, then dashed, then again."""
    return LINES[k % len(LINES)], k // len(LINES) % 2 == 1


def density(values: np.ndarray, weight: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """(n,) kernel density of weighted values on an even grid, largest 1; 0 everywhere without values in it.

    Gaussian kernels of Scott's width (on the effective number of rows), at least one step of the grid, of a histogram on it:
    as quick for a million values as for ten.
    """
    from scipy.ndimage import gaussian_filter1d

    step = float(grid[1] - grid[0])
    inside = np.isfinite(values) & (values >= grid[0] - step / 2) & (values <= grid[-1] + step / 2)
    values, weight = values[inside], weight[inside]
    total = float(weight.sum())
    if not total > 0:
        return np.zeros(len(grid))
    place = np.clip(np.round((values - grid[0]) / step).astype(np.int64), 0, len(grid) - 1)
    heap = np.bincount(place, weights=weight, minlength=len(grid))
    mean = float(weight @ values) / total
    std = float(np.sqrt(weight @ (values - mean) ** 2 / total))
    effective = total ** 2 / float(weight @ weight)
    smooth = gaussian_filter1d(heap, max(1.0, std * effective ** -0.2 / step), mode="constant")
    return smooth / smooth.max()


def run_density(low: np.ndarray, high: np.ndarray, weight: np.ndarray, ends: tuple[float, float], bins: int = 120) -> np.ndarray:
    """(bins,) weight of the runs from low (K,) to high (K,) that cover each of the bins between the ends; NaN is no run.

    A run counts wholly in every bin that it touches, as a line that is drawn does: by differences, so that long runs cost nothing.
    """
    seen = np.isfinite(low) & np.isfinite(high) & (high >= ends[0]) & (low <= ends[1])
    scale = bins / (ends[1] - ends[0])
    first, last = (np.clip(np.floor((v[seen] - ends[0]) * scale), 0, bins - 1).astype(np.int64) for v in (low, high))
    steps = np.bincount(first, weights=weight[seen], minlength=bins + 1) - np.bincount(last + 1, weights=weight[seen], minlength=bins + 1)
    return np.maximum(np.cumsum(steps)[:bins], 0.0)


def line_density(height: np.ndarray, weight: np.ndarray, ends: tuple[float, float], bins: int = 120) -> np.ndarray:
    """(bins, columns) in 0..1: how much weight of many lines (K, columns) passes each field; NaN heights are no line.

    Roots of the shares of the fullest field: faint traces stay visible.
    """
    columns = height.shape[1]
    out = np.zeros((bins, columns))
    for c in range(columns):                                                  # columns are few, lines are many
        y = height[:, c]
        halves = [(y + height[:, k]) / 2 for k in (c - 1, c + 1) if 0 <= k < columns]     # up to halfway to the next columns
        low, high = np.fmin.reduce([y, *halves]), np.fmax.reduce([y, *halves])
        out[:, c] = run_density(np.where(np.isnan(y), y, low), high, weight, ends, bins)
    top = out.max(initial=0.0)
    return np.sqrt(out / top) if top > 0 else out


def span(values: np.ndarray, weight: np.ndarray, always: np.ndarray, share: float = 0.98) -> tuple[float, float]:
    """Ends that hold all of `always` and the middle `share` of the weighted values, with a margin of 4 %."""
    always = always[np.isfinite(always)]
    low, high = (float(always.min()), float(always.max())) if len(always) else (np.inf, -np.inf)
    seen = np.isfinite(values)
    if seen.any():
        a, b = quantiles(values[seen], weight[seen], ((1 - share) / 2, (1 + share) / 2))
        low, high = min(low, a), max(high, b)
    if not low <= high:
        low, high = -1.0, 1.0
    pad = 0.04 * (high - low) or 0.05 * max(abs(high), 1.0)
    return low - pad, high + pad


def quantiles(values: np.ndarray, weight: np.ndarray, at) -> np.ndarray:
    """Weighted quantiles: the least value with at least this share of the weight at or below it."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    place = np.searchsorted(reached, np.asarray(at) * reached[-1] * (1 - 1e-12))
    return values[order][np.minimum(place, len(values) - 1)]
