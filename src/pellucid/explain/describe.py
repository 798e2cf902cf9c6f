"""Descriptions: normalised weights of every feature on every region, ranks and totals (CEE IV-A, VI-E)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..atlas import Atlas
from ..certificate import Certificate, Status
from ..chain import unit_maps
from ..errors import DomainError
from ..tolerance import CHECK_VALUE
from .asked import Quantity, quantity
from .result import html, over
from .weighing import Weighing, weighing
from .weights import Scale, scale_of, slopes, weight_floor

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Description:
    """The quantity h = constant + sum_j weights_j xbar_j on every region, xbar the features on `scale` (CEE IV-A).

    weights: (K, d) wbar; on the scale "range" the change of h while feature j crosses its range.
    constants: (K,): h at the scale's origin, so intercept + sum_j w_j a_j (the paper leaves the sum out).
    floor: (d,) rounding floor of the weights; smaller ones have no sign.
    """

    atlas: Atlas
    quantity: Quantity
    scale: Scale
    weights: np.ndarray
    constants: np.ndarray
    floor: np.ndarray
    points: int = 20_000
    seed: int = 0

    @cached_property
    def weighing(self) -> Weighing:
        """How rows count in the totals: by exact volumes up to six dimensions, beyond by uniform points (an estimate)."""
        return weighing(self.atlas, points=self.points, seed=self.seed)

    @cached_property
    def ranks(self) -> np.ndarray:
        """(K, d) 1 = largest |weight|; in a comparison 1 = largest weight with its sign. Ties go to the first feature."""
        key = self.weights if self.quantity.compares else np.abs(self.weights)
        order = np.argsort(-key, axis=1, kind="stable")
        ranks = np.empty(order.shape, dtype=np.int32)
        np.put_along_axis(ranks, order, np.arange(1, order.shape[1] + 1, dtype=np.int32)[None], axis=1)
        return ranks

    @property
    def is_constant(self) -> np.ndarray:
        """(K,) regions on which no feature counts: every weight is below the rounding floor. Their ranks say nothing."""
        return np.all(np.abs(self.weights) <= self.floor, axis=1)

    @property
    def total(self) -> np.ndarray:
        """(d,) mean of |weight| over the volume (CEE VI-E; signed weights would cancel)."""
        return self._mean(np.abs(self.weights))

    @property
    def signed(self) -> np.ndarray:
        """(d,) mean of the weight over the area."""
        return self._mean(self.weights)

    @property
    def lowest(self) -> np.ndarray:
        """(d,) smallest weight on any region."""
        return self.weights.min(axis=0)

    @property
    def highest(self) -> np.ndarray:
        """(d,) largest weight on any region."""
        return self.weights.max(axis=0)

    @property
    def first_share(self) -> np.ndarray:
        """(d,) share of the area on which each feature has rank 1; regions on which no feature counts go to none."""
        counts = ~self.is_constant
        winner = self.ranks.argmin(axis=1)
        return np.bincount(winner[counts], weights=self.weighing.share[counts], minlength=self.weights.shape[1])

    @property
    def direction(self) -> tuple[str, ...]:
        """For each feature "up", "down", "mixed" or "none": how the quantity moves with it over the whole slice.

        "up": no region has a weight below -floor and some has one above; so it holds of the network up to that floor.
        """
        falls, rises = self.lowest < -self.floor, self.highest > self.floor
        return tuple(np.array(["none", "up", "down", "mixed"])[rises + 2 * falls])

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know: totals that are estimates, features that cannot weigh anything on this scale."""
        if self.weighing.is_exact:
            return self._fixed_notes()
        return (f"totals, signed means and shares are {self.weighing.words}: see pellucid.importance", *self._fixed_notes())

    def _fixed_notes(self) -> tuple[str, ...]:
        fixed = self.scale.fixed
        if not len(fixed):
            return ()
        names = [self.atlas.network.feature_names[j] for j in fixed[:3]]
        shown = ", ".join(names) + (f" and {len(fixed) - 3} more" if len(fixed) > 3 else "")
        if self.scale.kind == "range":
            return (f"{shown}: the box fixes {'it' if len(fixed) == 1 else 'them'} (lower == upper), so the weight is 0 by definition. "
                    "Give the box their ranges and fix them by slice(free=..., at=...), or use scale='none' or 'std'",)
        return (f"{shown}: constant in the samples, so the weight is 0 by definition",)

    @property
    def certificate(self) -> Certificate:
        """That these are the network's own weights on every region of the atlas; check() derives them forwards."""
        base = over(self.atlas)
        claim = f"the weights of {self.quantity.label} are the network's slopes, within {self.floor.max(initial=0.0):.2g}, on every region"
        figures = {"regions": len(self.weights), "largest rounding floor": float(self.floor.max(initial=0.0)), **base.figures}
        return Certificate(claim, base.status, base.reason, figures, recheck=lambda: _recheck(self))

    def top(self, n: int = 10) -> pd.DataFrame:
        """The n features of largest total weight."""
        return self.to_frame().sort_values("total", ascending=False, kind="stable").head(n)

    def to_frame(self) -> pd.DataFrame:
        """One row a feature: total |weight|, signed mean, min, max, share of the area where it ranks first, direction."""
        import pandas as pd

        net = self.atlas.network
        return pd.DataFrame({"feature": net.feature_names, "unit": net.units, "total": self.total, "signed": self.signed,
                             "min": self.lowest, "max": self.highest, "first": self.first_share, "direction": self.direction,
                             "width": self.scale.width})

    def _mean(self, weights: np.ndarray) -> np.ndarray:
        return self.weighing.mean(weights)

    def __repr__(self) -> str:
        K, d = self.weights.shape
        best = self.atlas.network.feature_names[int(self.total.argmax())] if d and K else "-"
        notes = f"; {len(self.scale.fixed)} of them fixed, weighing 0" if len(self.scale.fixed) else ""
        return f"Description({self.quantity.label}: {d} features on {K} rows, weights {self.scale.words}, heaviest {best}{notes})"

    def _repr_html_(self) -> str:
        return html(repr(self), self.top(20), self.notes)


def describe(atlas: Atlas, output: int | str = 0, versus: int | str | None = None, *, scale: str = "range", X=None,
             points: int = 20_000, seed: int = 0) -> Description:
    """Normalised weights of all features on every region, for an output or the difference of two (CEE IV-A, IV-B).

    output, versus: number or name. scale: "range" (of the parent box, sliced or not), "std" (of the rows X) or "none".
    Totals are means by volume over the rows of the atlas, above six dimensions estimated from so many uniform points.
    Raises DataError (no such output; X missing or of another width), DomainError (a range that is not finite).
    """
    asked, ruler = quantity(atlas.network, output, versus), scale_of(atlas, scale, X)
    if len(atlas) == 0:
        raise DomainError("describe: the atlas has no rows (nothing was selected), so there is no weight to report")
    w, e = slopes(atlas, asked.direction)
    constants = e + w @ ruler.origin
    w *= ruler.width
    return Description(atlas, asked, ruler, w, constants, weight_floor(atlas.chain, asked.direction) * np.abs(ruler.width),
                       points, seed)


def _recheck(description: Description, regions: int = 200, seed: int = 0) -> Certificate:
    """Weights of some regions by accumulating maps forwards, and values at their interior points by the graph itself."""
    from ..atlas.frame import interior_points

    atlas, c = description.atlas, description.quantity.direction
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(atlas), min(regions, len(atlas)), replace=False))
    raw = np.array([c @ unit_maps(atlas.chain, atlas.codes[k])[-1][0] for k in rows])
    off = np.abs(raw * description.scale.width - description.weights[rows])
    x = atlas.domain.point(interior_points(atlas)[rows])
    scale = description.scale
    xbar = np.divide(x - scale.origin, scale.width, out=np.zeros_like(x), where=scale.width != 0)
    here = (x - scale.origin) * (scale.width == 0)          # a feature of width 0 may still lie off the origin ("std")
    value = description.constants[rows] + np.einsum("kj,kj->k", description.weights[rows], xbar) + np.einsum("kj,kj->k", raw, here)
    truth = atlas.network(x) @ c
    size = np.abs(description.constants[rows]) + np.abs(description.weights[rows] * xbar).sum(axis=1) + np.abs(raw * here).sum(axis=1)
    error = np.abs(value - truth) / np.maximum(size, np.finfo(float).tiny)
    worst = float(error.max(initial=0.0))
    figures = {"regions": len(rows), "difference of weights": float(off.max(initial=0.0)), "relative error of values": worst}
    claim = f"on {len(rows)} of {len(atlas)} regions the weights are the same when derived forwards, and their values the network's"
    wrong = (off > 2 * description.floor).any(axis=1) | (error > CHECK_VALUE)
    if wrong.any():
        return Certificate(claim, Status.REFUTED, f"region {int(rows[wrong.argmax()])} has other weights or values", figures)
    return Certificate(claim, Status.PROVED, "re-derived", figures)

