"""Ball: points within eps of a centre in the 1-, 2- or max-norm, some features frozen, cut with the input domain."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DomainError

NORMS = (1, 2, math.inf)


@dataclass(frozen=True, eq=False, init=False)
class Ball:
    """{ x : ||(x - center) / eps||_p <= 1, x_j = center_j where not free, clip[0] <= x <= clip[1] }.

    center: one point or a batch, (d,), (*input_shape), (n, d) or (n, *input_shape): numbers or a torch tensor, which gradients
    flow back to. eps: one number; or one a feature, (d,) or (*input_shape): half axes; or one a point, (n, 1, ..); 0 freezes. p: 1,
    2 or inf. clip: the range of inputs that exist at all, (0, 1) for images; numbers or arrays; None: no such range.
    free: True where a feature may move, shaped as center, with a batch axis of its own if there is one (many sets of one
    image); None: all move. n centres, n masks and n eps go together one by one; a single one of them serves all.
    """

    center: Any
    eps: Any
    p: float
    clip: tuple[Any, Any] | None
    free: Any

    def __init__(self, center, eps, p: float = math.inf, *, clip: tuple[Any, Any] | None = (0.0, 1.0), free=None):
        center, eps, free = _array(center), _array(eps), None if free is None else _array(free)
        norm = float(p)
        if norm not in NORMS:
            raise DomainError(f"Ball: p={p!r}; it can be 1, 2 or inf")
        if not _all(center == center) or not _all(abs(center) < math.inf):
            raise DomainError("Ball: center must be finite numbers")
        if not _all(eps >= 0) or not _all(eps < math.inf):
            raise DomainError("Ball: eps must be finite and not negative")
        if clip is not None:
            low, high = (_array(c) for c in clip)
            if not _all(low <= high):
                raise DomainError(f"Ball: clip goes from {clip[0]} to {clip[1]}")
            if not (_fits(center, low, lambda c, b: c >= b) and _fits(center, high, lambda c, b: c <= b)):
                raise DomainError(f"Ball: the center lies outside clip ({clip[0]} to {clip[1]}). Scale the inputs, or say which range "
                                  "exists: clip=(low, high); clip=None for no such range")
            clip = (low, high)
        if free is not None and not _all((free == 0) | (free == 1)):
            raise DomainError("Ball: free must be a mask, True where a feature may move")
        for name, value in (("center", center), ("eps", eps), ("p", norm), ("clip", clip), ("free", free)):
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        norm = "inf" if math.isinf(self.p) else f"{self.p:g}"
        eps = f"{float(self.eps):g}" if np.ndim(self.eps) == 0 else "per feature"
        frozen = "" if self.free is None else ", some features frozen"
        return f"Ball(L{norm}, eps {eps}, center {tuple(self.center.shape)}{frozen})"


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
