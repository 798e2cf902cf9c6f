"""Total weights: which features count, over a whole domain (CEE VI-E)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..atlas import Atlas
from ..certificate import Certificate, Status
from ..errors import DomainError
from .answer import Answer
from .asked import Quantity, quantity
from .result import over
from .weighing import Weighing, weighing
from .weights import Scale, scale_of, slopes, weight_floor

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class Importance(Answer):
    """How heavy each feature is: the mean size of its weight over the volume of an atlas.

    value: (d,) totals, sum_k V_k |wbar_kj| / sum_k V_k. signed: (d,) the same with signs, where rising and falling cancel.
    ranks: (d,) 1 = the largest total, equal ones in the order of the features. low, high: (d,) the interval of the totals
    (equal to them where volumes are exact), signed_low, signed_high that of the signed means. weighing: what they rest on.
    """

    atlas: Atlas
    quantity: Quantity
    scale: Scale
    signed: np.ndarray
    ranks: np.ndarray
    low: np.ndarray
    high: np.ndarray
    signed_low: np.ndarray
    signed_high: np.ndarray
    weighing: Weighing

    @property
    def is_estimate(self) -> bool:
        """The volumes were sampled."""
        return not self.weighing.is_exact

    def to_frame(self) -> pd.DataFrame:
        """One row a feature, the heaviest first; the share is that of the sum of all totals."""
        import pandas as pd

        net, total = self.atlas.network, np.asarray(self.value)
        columns = {"feature": net.feature_names, "unit": net.units, "rank": self.ranks, "total": total,
                   "share": total / max(float(total.sum()), np.finfo(float).tiny), "signed": self.signed}
        if self.is_estimate:
            columns |= {"low": self.low, "high": self.high, "signed low": self.signed_low, "signed high": self.signed_high}
        return pd.DataFrame(columns).sort_values("rank", kind="stable", ignore_index=True)

    def _line(self) -> str:
        names = self.atlas.network.feature_names
        best = ", ".join(f"{names[j]} {self.value[j]:.4g}" for j in np.argsort(self.ranks)[:3])
        return f"{self.quantity.label}: {best}{', ...' if len(names) > 3 else ''}, {self.weighing.words}"


def importance(atlas: Atlas, output: int | str = 0, versus: int | str | None = None, *, scale: str = "range", X=None, volumes: str = "auto",
               points: int = 20_000, confidence: float = 0.95, seed: int = 0, max_seconds: float | None = 60.0) -> Importance:
    """Total weight of every feature for an output, or the difference of two (CEE VI-E; the paper leaves the sign open).

    scale, X: as for `describe`. volumes: "exact" (the atlas's; made anew up to six dimensions, in at most max_seconds), "sampled"
    (so many uniform `points`, by `seed`, with intervals of this confidence for each entry) or "auto".
    PROVED only where volumes are exact and the atlas is proved; an estimate is UNKNOWN and its gap inf.
    Raises DataError (no such output; X missing), DomainError (no rows; a range that is not finite; exact volumes not to be had).
    """
    asked, ruler = quantity(atlas.network, output, versus), scale_of(atlas, scale, X)
    if len(atlas) == 0:
        raise DomainError("importance: the atlas has no rows (nothing was selected), so there is no weight to report")
    weights = slopes(atlas, asked.direction)[0] * ruler.width
    by = weighing(atlas, volumes=volumes, points=points, confidence=confidence, seed=seed, max_seconds=max_seconds)
    total, signed = by.mean(np.abs(weights)), by.mean(weights)
    ranks = np.empty(len(total), dtype=np.int64)
    ranks[np.argsort(-total, kind="stable")] = np.arange(1, len(total) + 1)
    (low, high), (signed_low, signed_high) = by.interval(np.abs(weights)), by.interval(weights)
    floor = float((weight_floor(atlas.chain, asked.direction) * np.abs(ruler.width)).max(initial=0.0))
    gap = floor if by.is_exact else np.inf
    return Importance(total, None, gap, _certificate(atlas, asked, by, floor), atlas, asked, ruler, signed, ranks, low, high, signed_low,
                      signed_high, by)


def _certificate(atlas: Atlas, asked: Quantity, by: Weighing, floor: float) -> Certificate:
    base = over(atlas)
    figures = {"rows": len(atlas), "rounding floor": floor, **base.figures}
    if by.is_exact:
        claim = f"the totals are the means of |weight| for {asked.label} over the volume of the atlas's rows, within {max(floor, 1e-9):.1g}"
        return Certificate(claim, base.status, base.reason, figures)
    claim = f"the totals are estimates of the means of |weight| for {asked.label} over the volume of the atlas's rows"
    how = ("intervals hold at their level for any number of points" if by.chain is None else
           "intervals hold at their level for long walks, by Student's t of independent walks")
    return Certificate(claim, Status.UNKNOWN, f"{by.words}; {how}", figures | {"points": by.points, "confidence": by.confidence})
