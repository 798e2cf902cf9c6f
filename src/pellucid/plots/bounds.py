"""Bounds of the outputs as intervals, one row a class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SOUND, FIRST = "#0072b2", "#d55e00"
"""Blue and vermilion of Okabe and Ito: told apart by all."""

MOST = 30


@dataclass(frozen=True, eq=False)
class Intervals:
    """Rows of a chart: names, lower and upper (k,); value: (k,) at the centre of the set or None; rival: the row that all others are
    compared with, or -1; note: what is left out."""

    names: tuple[str, ...]
    lower: np.ndarray
    upper: np.ndarray
    value: np.ndarray | None
    rival: int
    label: str
    note: str


def bounds(found, ax=None, *, row: int = 0, value=None, title: str | None = None,
           label: str | None = None):
    """Draw the bounds of one set (`row`) as intervals, one a class; matplotlib Axes.

    value: the outputs at a point of the set, such as net(x): drawn as dots, and the largest of them is the class that the others are
    compared with: its lower bound is a line, and where no other interval crosses it no other class can win.
    label: of the axis; default: that of logits, or of probabilities.
    """
    from .matplotlib import draw_intervals

    chart = bounds_intervals(found, row=row, value=value, label=label)
    return draw_intervals(chart, ax, title if title is not None else f"Outputs over the set, {found.method} bounds")


def bounds_intervals(found, *, row: int = 0, value=None, label: str | None = None) -> Intervals:
    """What `bounds` draws."""
    lower, upper = (np.asarray(t.detach().cpu(), dtype=float)[row] for t in (found.lower, found.upper))
    at = None if value is None else np.asarray(value, dtype=float).ravel()
    if at is not None and at.shape != lower.shape:
        raise ValueError(f"value has {at.size} numbers, the bounds have {len(lower)} rows")
    order = np.arange(len(lower))
    note = ""
    if len(order) > MOST:
        order = np.sort(np.argsort(-upper, kind="stable")[:MOST])
        note = f"{len(lower) - MOST} rows with smaller upper bounds are not shown"
    rival = -1 if at is None or len(lower) == 1 else int(np.flatnonzero(order == at.argmax())[0]) if at.argmax() in order else -1
    label = label or ("output (logit)" if found.certificate.figures.get("link") is not True else "probability")
    names, value = tuple(found.names[k] for k in order), None if at is None else at[order]
    return Intervals(names, lower[order], upper[order], value, rival, label, note)


def colours(chart: Intervals) -> list[str]:
    """One a row: the class that leads stands out."""
    return [FIRST if k == chart.rival else SOUND for k in range(len(chart.names))]

