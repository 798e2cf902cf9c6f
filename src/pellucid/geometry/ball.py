"""Ball: points within eps of a centre in the 1-, 2- or max-norm, some features frozen, cut with the input domain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DomainError
from .frames import column_names, in_named_order, is_frame, named_row, numeric_rows

NORMS = (1, 2, math.inf)


@dataclass(frozen=True, eq=False, init=False)
class Ball:
    """{ x : ||(x - center) / eps||_p <= 1, x_j = center_j where not free, clip[0] <= x <= clip[1] }.

    center: one point or a batch, (d,), (*input_shape), (n, d) or (n, *input_shape): numbers or a torch tensor, which gradients
    flow back to. eps: one number; or one a feature, (d,) or (*input_shape): half axes; or one a channel of an image, (channels, 1, 1); or
    one a point, (n, 1) or (n, 1, 1, 1); 0 freezes. p: 1, 2 or inf. clip: the range of inputs that exist at all, (0, 1) for images;
    numbers, or arrays as of eps; None: no such range.
    free: True where a feature may move, shaped as center, with a batch axis of its own if there is one (many sets of one
    image); None: all move. n centres, n masks and n eps go together one by one; a single one of them serves all.

    A center that names its features (a frame, a Series, a mapping) is put in a network's order by these names, and what else is
    given per feature with it: eps, free and clip by their own names, arrays as the columns of the center.
    DomainError for what is no ball, for a center outside clip, and for names of eps, free or clip where the center has none.
    """

    center: Any
    eps: Any
    p: float
    clip: tuple[Any, Any] | None
    free: Any
    names: tuple[str, ...] | None

    def __init__(self, center, eps, p: float = math.inf, *, clip: tuple[Any, Any] | None = (0.0, 1.0), free=None):
        names = column_names(named_row(center))
        center = _array(center) if names is None else _numbers(center)
        eps, free = _beside(names, eps, "eps"), None if free is None else _beside(names, free, "free")
        norm = float(p)
        if norm not in NORMS:
            raise DomainError(f"Ball: p={p!r}; it can be 1, 2 or inf")
        if not _all(center == center) or not _all(abs(center) < math.inf):
            raise DomainError("Ball: center must be finite numbers")
        if not _all(eps >= 0) or not _all(eps < math.inf):
            raise DomainError("Ball: eps must be finite and not negative")
        if clip is not None:
            low, high = (_beside(names, side, "clip") for side in clip)
            if not _all(low <= high):
                raise DomainError(f"Ball: clip goes from {clip[0]} to {clip[1]}")
            if not (_fits(center, low, lambda c, b: c >= b) and _fits(center, high, lambda c, b: c <= b)):
                raise DomainError(f"Ball: the center lies outside clip ({clip[0]} to {clip[1]}). Scale the inputs, or say which range "
                                  "exists: clip=(low, high); clip=None for no such range")
            clip = (low, high)
        if free is not None and not _all((free == 0) | (free == 1)):
            raise DomainError("Ball: free must be a mask, True where a feature may move")
        for name, value in (("center", center), ("eps", eps), ("p", norm), ("clip", clip), ("free", free), ("names", names)):
            object.__setattr__(self, name, value)

    def in_order(self, names: Sequence[str]) -> Ball:
        """The ball with its features as a network's; itself where it names none, or none of these: it is taken as it comes.

        DomainError where some of the names are the ball's and some are not.
        """
        own, order = self.names, tuple(names)
        absent = [name for name in order if name not in (own or ())]
        if own is None or own == order or len(absent) == len(order):
            return self
        if absent:
            raise DomainError(f"Ball: the center lacks '{absent[0]}'; it has: {', '.join(own[:10])}. Rows that a pipeline encodes have to "
                              "be encoded first: net.table.encode(rows)")
        at = [own.index(name) for name in order]

        def put(value):
            if np.ndim(value) == 0 or value.shape[-1] == 1 < len(own):
                return value
            if value.shape[-1] != len(own):
                raise DomainError(f"Ball: the center names {len(own)} features, and what is given beside it has shape {tuple(value.shape)}")
            return value[..., at]

        ball = Ball(put(self.center), put(self.eps), self.p, clip=None if self.clip is None else tuple(put(c) for c in self.clip),
                    free=None if self.free is None else put(self.free))
        object.__setattr__(ball, "names", order)
        return ball

    def __repr__(self) -> str:
        norm = "inf" if math.isinf(self.p) else f"{self.p:g}"
        eps = f"{float(self.eps):g}" if np.ndim(self.eps) == 0 else "per feature"
        frozen = "" if self.free is None else ", some features frozen"
        return f"Ball(L{norm}, eps {eps}, center {tuple(self.center.shape)}{frozen})"


def _numbers(center) -> np.ndarray:
    """(n, d) of a frame, (d,) of a row that carries its names."""
    rows = numeric_rows(named_row(center))
    return rows if is_frame(center) else rows[0]


def _beside(names: tuple[str, ...] | None, value, what: str):
    """An array (or torch tensor) of eps, free or a side of clip; what carries names in the order of the center's."""
    own = column_names(named_row(value))
    if own is None:
        return _array(value)
    if names is None:
        raise DomainError(f"Ball: {what} names its features and the center does not: give the center with names too, or {what} as an array "
                          "in the order of the network's features")
    if not set(names) <= set(own):
        raise DomainError(f"Ball: {what} has the names {', '.join(own[:10])}, the center {', '.join(names[:10])}")
    return numeric_rows(in_named_order(value, names))


def _array(value):
    """numpy float64 (bool stays), or the torch tensor as it is."""
    if type(value).__module__.partition(".")[0] == "torch":
        return value
    a = np.asarray(value)
    return a if a.dtype == bool else a.astype(np.float64)


def _all(condition) -> bool:
    return bool(condition.all()) if hasattr(condition, "all") else bool(condition)


def _fits(center, bound, holds) -> bool:
    """Does the comparison hold where the shapes allow it to be made here? Else it is made when the ball meets a network."""
    try:
        return _all(holds(center, bound))
    except (RuntimeError, ValueError, TypeError):
        return True
