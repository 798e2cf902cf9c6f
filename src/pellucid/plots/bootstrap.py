"""Coefficients refitted on rows drawn again, or with their tested intervals (UNWRAP 5.2, Table 2, Fig. 19)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError
from .chart import Area, Axis, Boxes, Chart, Label, Points, Segments, density, span

if TYPE_CHECKING:
    from ..unwrap.inference import Inference

CLEAR, UNCLEAR = "#0072b2", "#8c8c8c"
"""Intervals without 0 in them; those with it."""


def intervals(inference: Inference, ax=None, *, n: int = 20, intercept: bool = True, response: int | str = 0, title: str | None = None):
    """Draw estimates and intervals of the coefficients of one region, and of a bootstrap how its draws lie; matplotlib Axes.

    inference: what `estimator.inference(...)` gives. n: terms shown, those whose estimate is largest against its standard error, in
    the features' order. response: of several, the one that is drawn (number or name).
    """
    from .drawing import draw_chart

    return draw_chart(intervals_chart(inference, n=n, intercept=intercept, response=response, title=title), ax)


def bootstrap(inference, axes=None, *, region: int | None = None, n: int = 20, intercept: bool = True, response: int | str = 0,
              title: str | None = None, **more):
    """Draw a bootstrap of one region's coefficients, and beside it the share of the draws in which each is zero; two matplotlib Axes.

    inference: an Inference by method="bootstrap", or a fitted estimator, which is asked for that of `region` (default the largest);
    more: passed on, such as draws, level, seed. Else as for `intervals`.
    """
    from ..unwrap.inference import Inference
    from .drawing import draw_charts

    if not isinstance(inference, Inference):
        inference = inference.inference(0 if region is None else region, method="bootstrap", **more)
    return draw_charts(bootstrap_charts(inference, n=n, intercept=intercept, response=response, title=title), axes)


def intervals_chart(inference: Inference, *, n=20, intercept=True, response=0, title=None) -> Chart:
    """What `intervals` draws."""
    m = _response(inference, response)
    rows = _terms(inference, m, n, intercept)
    centre = inference.coef if inference.mean is None else inference.mean
    middle, low, high = (a[m, rows] for a in (centre, inference.low, inference.high))
    draws = None if inference.draws is None else inference.draws[:, m, :][:, rows]
    told = np.isfinite(low)
    everything = np.concatenate([v[np.isfinite(v)] for v in (middle, low, high)]) if draws is None else draws[:, told]
    everything = everything[np.isfinite(everything)]
    x = span(everything, np.ones(len(everything)), np.concatenate([low, high, [0.0]]), 0.99)
    layers: list = []
    reasons = [str(r) for r in inference.reasons[m, rows]]
    same = len(set(reasons)) == 1 and reasons[0] != ""                     # told once, below
    clear = np.isfinite(low) & ((low > 0) | (high < 0))
    for i in range(len(rows)):
        colour = CLEAR if clear[i] else UNCLEAR
        if draws is not None and np.isfinite(low[i]):
            layers.append(_violin(i, draws[:, i], x, colour))
        layers += _interval(i, low[i], high[i], middle[i], colour, "" if same else reasons[i])
    kinds = ((CLEAR, "interval without 0", clear), (UNCLEAR, "interval with 0 in it", ~clear & np.isfinite(low)))
    layers += [Points(np.zeros((0, 2)), colour, name, 30) for colour, name, there in kinds if there.any()]
    of = f", {inference.responses[m]}" if len(inference.responses) > 1 or inference.reference is not None else ""
    heading = title if title is not None else (f"Region {inference.region}{of}: {_method(inference)}")
    label = f"{'mean of the draws' if draws is not None else 'coefficient'} and {inference.level:.0%} interval"
    hidden = inference.coef.shape[1] - len(rows)
    notes = [f"{hidden} terms are not shown"] if hidden else []
    notes += [f"no interval: {reasons[0]}"] if same else []
    names = tuple(inference.terms[t] for t in rows)
    return Chart(heading, Axis(label, x, grid=True), Axis("", (len(rows) - 0.4, -0.6), np.arange(len(rows)), names),
                 tuple(layers), (*notes, *inference.notes), zero="y", width=7.4, height=2.1 + 0.3 * len(rows))


def bootstrap_charts(inference: Inference, *, n=20, intercept=True, response=0, title=None) -> tuple[Chart, Chart]:
    """What `bootstrap` draws: the intervals, and the shares of zero coefficients."""
    if inference.draws is None:
        raise DataError(f"bootstrap: this inference is by method='{inference.method}' and has no draws.\n"
                        "  To go on       estimator.inference(region, method='bootstrap'), or pel.plot.intervals for what there is")
    left = intervals_chart(inference, n=n, intercept=intercept, response=response, title=title)
    m = _response(inference, response)
    rows = _terms(inference, m, n, intercept)
    zero, place = inference.share_zero[m, rows], np.arange(len(rows))
    seen = np.isfinite(zero)
    bars = Boxes(place[seen], np.zeros(seen.sum()), zero[seen], "#56b4e9")
    words = [Label(float(z) + 0.02, float(i), f"{z:.0%}", "right", size=7.5) for i, z in zip(place[seen], zero[seen], strict=True) if z > 0]
    right = Chart("Share of draws that are zero", Axis("share", (0.0, 1.16), np.array([0, 0.5, 1.0]), ("0", "0.5", "1")),
                  Axis("", left.y.ends, place, ("",) * len(rows)), (bars, *words), width=3.2, height=left.height)
    return left, right


def _method(inference: Inference) -> str:
    if inference.draws is not None:
        return f"{len(inference.draws)} bootstrap draws of {inference.n_rows:,} rows"
    return f"Wald intervals from {inference.n_rows:,} rows"


def _response(inference: Inference, response: int | str) -> int:
    if isinstance(response, str):
        if response not in inference.responses:
            raise DataError(f"no response is called '{response}'; there are: {', '.join(inference.responses[:10])}")
        return inference.responses.index(response)
    if not -len(inference.responses) <= response < len(inference.responses):
        raise DataError(f"response {response}: there are {len(inference.responses)}")
    return response % len(inference.responses)


def _terms(inference: Inference, m: int, n: int, intercept: bool) -> np.ndarray:
    """The terms of largest estimate against its error, in their order; the intercept first where it is wanted."""
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.abs(inference.coef[m] / inference.std_err[m])
    size = np.nan_to_num(size[1:], nan=-1.0, posinf=np.finfo(float).max)
    best = 1 + np.sort(np.argsort(-size, kind="stable")[:n])
    return np.append(0, best) if intercept else best


def _violin(i: int, draws: np.ndarray, x: tuple[float, float], colour: str) -> Area:
    grid = np.linspace(*x, 400)
    seen = draws[np.isfinite(draws)]
    up = 0.4 * density(seen, np.ones(len(seen)), grid)
    return Area(grid, np.full(len(grid), float(i)) - np.where(up > 1e-3, up, 0.0), np.full(len(grid), float(i)), colour, alpha=0.3)


def _interval(i: int, low: float, high: float, middle: float, colour: str, reason: str) -> list:
    if not np.isfinite(low):
        return [Label(0.02, float(i), reason or "no interval", "right", "#b2182b", 7.0, inside=True)]
    return [Segments(np.array([[(low, i), (high, i)]]), colour, width=2.4), Points(np.array([[middle, i]]), colour, "", 30)]
