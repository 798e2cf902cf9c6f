"""Directions of the local models, as far out as they have rows (UNWRAP 4.1, Fig. 12)."""

from __future__ import annotations

import numpy as np

from ..unwrap.asked import small as small_ones
from .chart import SMALL, Area, Axis, Chart, Label, Points, Segments
from .llm import choose, scaled, words

STEMS_UP_TO = 150
"""Models up to which a line joins each to the centre."""

BIG = "#d55e00"


def polar(models, ax=None, *, scale: str | None = None, log: bool | None = None, centred: bool = False, names: int = 6,
          output: int | str | None = None, versus: int | str | None = None, original=None, title: str | None = None):
    """Draw each model at the angle of its coefficients and at the radius of its rows; polar matplotlib Axes.

    Needs    local or merged models, or a fitted estimator.
    Gives    two models in the same direction have the same coefficients up to a positive factor, in the plane shown.
             Models of one row or of one class are blue. names: how many of the largest are numbered.
    Source   UNWRAP 4.1. Two features: the two coefficients; more: the first two principal components.
    Differs  the components go through 0 (centred=False), else models that differ by a factor would not lie in one direction;
             centred=True takes the mean model off first, as PCA does: directions then tell how a model differs from the mean.
             Coefficients are per std of the feature where there are more than two (scale). log: rows on a log scale; None:
             where the largest model has over 50 times the rows of the middle one.
    """
    from .drawing import draw_chart

    return draw_chart(polar_chart(models, scale=scale, log=log, centred=centred, names=names, output=output, versus=versus,
                                  original=original, title=title), ax)


def polar_chart(models, *, scale=None, log=None, centred=False, names=6, output=None, versus=None, original=None, title=None) -> Chart:
    """What `polar` draws."""
    chosen = choose(models, top=0, small_too=True, output=output, versus=versus, original=original)
    held = chosen.models
    d = held.coef.shape[2]
    coef, _, what = scaled(chosen, scale or ("raw" if d == 2 else "std"))
    plane, kept = directions(coef, centred)
    still = np.hypot(plane[:, 0], plane[:, 1]) <= 1e-12 * max(float(np.abs(plane).max(initial=0.0)), 1e-300)
    angle = np.arctan2(plane[:, 1], plane[:, 0])
    if log is None:
        log = bool(len(held)) and held.count.max() > 50 * np.median(held.count)
    radius = held.count.astype(float)
    is_small = small_ones(held)
    most = float(radius.max(initial=1.0))
    floor = 0.8 if log else 0.0
    layers: list = []
    if len(held) > STEMS_UP_TO and not still.all():
        layers.append(_rose(angle[~still], held.weight[~still], floor, most))
    for group, colour, name in ((is_small, SMALL, "of one row or one class"), (~is_small, BIG, "of more")):
        mine = np.flatnonzero(group & ~still)
        at = np.column_stack([angle[mine], radius[mine]])
        if len(held) <= STEMS_UP_TO:
            foot = np.column_stack([angle[mine], np.full(len(mine), floor)])
            layers.append(Segments(np.stack([foot, at], axis=1), colour, width=0.9, alpha=0.6))
        label = f"{name}: {group.sum():,} of {len(held):,} {words(held)} ({group.mean() if len(held) else 0:.1%})"
        size = float(np.clip(9000 / max(len(held), 1), 9, 26))
        layers.append(Points(at, colour, label, size, alpha=0.9 if len(held) < 300 else 0.5))
    biggest = [k for k in np.argsort(-held.count, kind="stable")[:names] if not still[k] and not is_small[k]]
    layers += _numbers(held.origin[biggest], angle[biggest], radius[biggest], most, log)
    meaning = {1: "0° rises with the feature, 180° falls", 2: "direction of the two coefficients"}
    notes = [f"angle: {meaning.get(d, f'{what}, first two components ({kept:.0%} of the squares)')}; "
             f"radius: rows{' (log scale)' if log else ''}"]
    notes += [f"{int(still.sum()):,} constant models have no direction and are not shown"] if still.any() else []
    notes += [n for n in chosen.notes if n.startswith("of ")]
    heading = title if title is not None else f"Directions of the {words(held)}, {chosen.told.label}"
    rings = Axis("", (floor, most * (1.6 if log else 1.12)), log=log, ticks=_rings(most, log))
    numbers_at = _emptiest(angle[~still])
    return Chart(heading, Axis(""), rings, tuple(layers), tuple(notes), polar=True, ring_angle=numbers_at, width=7.6, height=5.4)


def _rose(angle: np.ndarray, weight: np.ndarray, floor: float, most: float) -> Area:
    """Rows by direction, as a grey rose: with many models their points lie on each other."""
    from scipy.ndimage import gaussian_filter1d

    n = 180
    heap = np.bincount(((angle + np.pi) / (2 * np.pi) * n).astype(np.int64) % n, weights=weight, minlength=n)
    heap = gaussian_filter1d(heap, 1.5, mode="wrap")
    level = heap / heap.max()
    out = floor * (most / floor) ** level if floor > 0 else most * level
    grid = np.linspace(-np.pi, np.pi, n + 1)
    return Area(grid, np.full(n + 1, floor), np.append(out, out[0]), "#8a929c", "rows by direction (own scale)", 0.35)


def _numbers(origin: np.ndarray, angle: np.ndarray, radius: np.ndarray, most: float, log: bool) -> list:
    """The numbers of these models beside their points, the first ones where several would cover each other."""
    reach = np.log(radius + 1) / np.log(most + 1) if log else radius / most
    place, layers = np.column_stack([reach * np.cos(angle), reach * np.sin(angle)]), []
    for i, at in enumerate(place):
        if all(np.hypot(*(at - place[j])) > 0.11 for j in range(i)):
            out = radius[i] * 1.4 if log else radius[i] + 0.07 * most
            layers.append(Label(float(angle[i]), float(out), str(int(origin[i]))))
    return layers


def _emptiest(angle: np.ndarray) -> float:
    """Degrees of the middle of the sixteenth of the circle where fewest models are: for the numbers of the rings."""
    count = np.bincount(((angle + np.pi) / (2 * np.pi) * 16).astype(np.int64) % 16, minlength=16)
    return float(np.argmin(count + np.roll(count, 1) + np.roll(count, -1)) * 22.5 + 11.25 - 180.0)


def directions(coef: np.ndarray, centred: bool = False) -> tuple[np.ndarray, float]:
    """((K, 2) the models in the plane shown, share of their squares that lies in it). Signs: each component's mean is positive."""
    K, d = coef.shape
    if d == 2 and not centred:
        return coef, 1.0
    X = coef - coef.mean(axis=0) if centred and K else coef
    total = float((X ** 2).sum())
    if not total > 0:
        return np.zeros((K, 2)), 1.0
    _, _, axes = np.linalg.svd(X / np.sqrt(total), full_matrices=False)
    axes = axes[:2]
    plane = X @ axes.T
    if plane.shape[1] < 2:
        plane = np.column_stack([plane, np.zeros(K)])
    turn = _largest_sign(axes) if centred else np.where((X @ axes.T).sum(axis=0) < 0, -1.0, 1.0)
    plane[:, :len(turn)] *= turn
    return plane, float((plane ** 2).sum() / total)


def _largest_sign(axes: np.ndarray) -> np.ndarray:
    """Of centred components the mean is 0: their largest loading is made positive."""
    return np.where(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)] < 0, -1.0, 1.0)


def _rings(most: float, log: bool) -> np.ndarray:
    if log:
        return 10.0 ** np.arange(0, np.floor(np.log10(max(most, 1.0))) + 1)
    step = max(most / 4, 1.0)
    unit = 10.0 ** np.floor(np.log10(step))
    step = next(m * unit for m in (1, 2, 5, 10) if m * unit >= step * (1 - 1e-9))
    return np.arange(step, most + step / 2, step)
