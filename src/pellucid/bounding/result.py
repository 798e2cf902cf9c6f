"""Bounds as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ..certificate import Certificate

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Forms:
    """lower_A x + lower_b <= c.f(x) <= upper_A x + upper_b for every x of the set; A: (n, s, d), b: (n, s)."""

    lower_A: Tensor
    lower_b: Tensor
    upper_A: Tensor
    upper_b: Tensor


@dataclass(frozen=True, eq=False)
class Bounds:
    """lower <= c.f(x) <= upper for every x of each set, rounding included: tensors (n sets, s rows).

    names: of the rows. method: what was asked, resolved. forms: linear bounds in x, where asked for.
    """

    lower: Tensor
    upper: Tensor
    names: tuple[str, ...]
    method: str
    certificate: Certificate
    forms: Forms | None = None

    @property
    def width(self) -> Tensor:
        return self.upper - self.lower

    def __len__(self) -> int:
        return len(self.lower)

    def to_frame(self) -> pd.DataFrame:
        """One row a set and output: set, output, lower, upper."""
        import pandas as pd

        n, s = self.lower.shape
        lower, upper = (t.detach().cpu().numpy().astype(float).ravel() for t in (self.lower, self.upper))
        return pd.DataFrame({"set": np.repeat(np.arange(n), s), "output": list(self.names) * n, "lower": lower, "upper": upper})

    def __repr__(self) -> str:
        n, s = self.lower.shape
        return f"Bounds({n} set{'s' * (n != 1)} x {s} outputs, {self.method}, mean width {float(self.width.mean()):.4g}, sound)"

    def _repr_html_(self) -> str:
        return self.to_frame().to_html(index=False)
