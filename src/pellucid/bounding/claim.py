"""What bounds claim, and the second look: points of the sets whose values must lie inside."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ..certificate import Certificate, Status
from ..graph.network import Network
from ..tolerance import CHECK_VALUE
from .sets import InputSet

if TYPE_CHECKING:
    from .result import Bounds

POINTS = 256
"""Points of each set that `check` tries."""

CLAIM = "no point of a set has an output outside its bounds"


def claim(net: Network, inputs: InputSet, found: Bounds, rows: Tensor | None, link: bool) -> Certificate:
    """The certificate of bounds; rows: (1 or n, s, *output shape), None for probabilities."""
    dtype = str(inputs.dtype).removeprefix("torch.")
    open_ = int((~found.lower.isfinite() | ~found.upper.isfinite()).sum())
    figures = {"sets": len(inputs), "dtype": dtype, "method": found.method, "unbounded": open_, "link": link}
    why = f"{found.method}; rounding in {dtype} is part of the bounds" + (f"; {open_} overflowed and are infinite" if open_ else "")

    def recheck() -> Certificate:
        low, high = (t.detach().double().cpu().numpy() for t in (found.lower, found.upper))
        C = None if rows is None else rows.flatten(2).double().cpu().numpy()
        return _second_look(net, inputs, low, high, C, link)

    return Certificate(CLAIM, Status.PROVED, why, figures, recheck)


def _second_look(net: Network, inputs: InputSet, low: np.ndarray, high: np.ndarray, C: np.ndarray | None, link: bool) -> Certificate:
    """Values at the middle, at corners and at random points of each set, by the network itself in numpy: REFUTED with a witness, or
    UNKNOWN: points prove nothing."""
    rng = np.random.default_rng(0)
    for k in range(len(inputs)):
        x = _points(inputs, k, rng)
        y = (net.predict(x) if link else net(x))
        y = y if C is None else y @ C[k % len(C)].T
        room = CHECK_VALUE * (1 + np.abs(y))
        outside = (y < low[k] - room) | (y > high[k] + room)
        if outside.any():
            row, s = np.argwhere(outside)[0]
            figures = {"set": k, "row": int(s), "x": x[row], "value": float(y[row, s]), "bounds": (low[k, s], high[k, s])}
            return Certificate(CLAIM, Status.REFUTED, "a point of a set lies outside", figures)
    tried = {"points": POINTS * len(inputs)}
    return Certificate(CLAIM, Status.UNKNOWN, f"{POINTS} points of each set lie inside; points cannot prove it", tried)


def _points(inputs: InputSet, k: int, rng) -> np.ndarray:
    lower, upper = (t[k].detach().double().cpu().numpy().ravel() for t in (inputs.lower, inputs.upper))
    d = len(lower)
    share = rng.uniform(size=(POINTS, d))
    share[: POINTS // 2] = share[: POINTS // 2] > 0.5
    share[0] = 0.5
    x = lower + share * (upper - lower)
    if inputs.p != math.inf and inputs.centre is not None and inputs.scale is not None:
        centre, scale = (t[k].detach().double().cpu().numpy().ravel() for t in (inputs.centre, inputs.scale))
        away = np.where(scale > 0, (x - centre) / np.where(scale > 0, scale, 1.0), 0.0)
        length = np.linalg.norm(away, ord=inputs.p, axis=1, keepdims=True)
        x = np.clip(centre + away / np.maximum(length, 1.0) * scale, lower, upper)
    return x
