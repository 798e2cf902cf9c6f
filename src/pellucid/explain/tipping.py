"""Tipping points: where more of a feature stops to raise a quantity and starts to lower it (CEE IV-C)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..atlas import Adjacency, Atlas
from ..certificate import Certificate
from .asked import Quantity, feature_index, quantity
from .result import borders, html, over_borders, told, wall_columns, wall_labels
from .weights import feature_slopes, signs, weight_floor

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class TippingPoints:
    """The facets (in the plane: segments) on which the weight of a feature changes its sign.

    rising, falling: (T,) rows of the atlas on the two sides, with weight > 0 and < 0 (one may be 0 where flat sides were
    asked for). weight_rising, weight_falling: (T,) raw weights, in output units per feature unit. border: the facets.
    """

    atlas: Atlas
    feature: str
    quantity: Quantity
    rising: np.ndarray
    falling: np.ndarray
    weight_rising: np.ndarray
    weight_falling: np.ndarray
    border: Adjacency

    def __len__(self) -> int:
        return len(self.rising)

    @property
    def ends(self) -> np.ndarray | None:
        """(T, 2, 2) in u: the segments, in the plane."""
        return self.border.ends

    @property
    def length(self) -> np.ndarray:
        """(T,) of the segments in u; NaN in other dimensions."""
        return self.border.length

    @property
    def certificate(self) -> Certificate:
        """That the weight changes its sign on no other facet, rounding apart."""
        base = over_borders(self.atlas, borders(self.atlas))
        return Certificate(f"the weight of {self.feature} for {self.quantity.label} changes its sign on these facets only",
                           base.status, base.reason, base.figures)

    def to_frame(self) -> pd.DataFrame:
        """One row a facet, the longest segment first."""
        import pandas as pd

        frame = pd.DataFrame({"rising": self.rising, "falling": self.falling, "unit": wall_labels(self.atlas, self.border),
                              "weight rising": self.weight_rising, "weight falling": self.weight_falling,
                              **wall_columns(self.atlas, self.border)})
        if "scaled length" in frame:
            return frame.sort_values("scaled length", ascending=False, kind="stable", ignore_index=True)
        return frame

    def __repr__(self) -> str:
        return f"TippingPoints({self.feature} for {self.quantity.label}: {told(self.border)})"

    def _repr_html_(self) -> str:
        return html(repr(self), self.to_frame().head(20))


def tipping_points(atlas: Atlas, feature: int | str, output: int | str = 0, versus: int | str | None = None, *,
                   flat: bool = False) -> TippingPoints:
    """Facets on which the slope of an output (or of `output` - `versus`) in a feature changes its sign.

    flat: also facets from a slope to none. Signs of weights below the rounding floor count as 0.
    Raises DataError for a feature or an output that is not there.
    """
    net = atlas.network
    asked, j = quantity(net, output, versus), feature_index(net, feature)
    weight = feature_slopes(atlas, j) @ asked.direction
    sign = signs(weight, weight_floor(atlas.chain, asked.direction)[j])
    border = borders(atlas)
    change = sign[border.right].astype(int) - sign[border.left]
    rows = np.flatnonzero(np.abs(change) >= (1 if flat else 2))
    up = np.where(change[rows] > 0, border.right[rows], border.left[rows])
    down = np.where(change[rows] > 0, border.left[rows], border.right[rows])
    return TippingPoints(atlas, net.feature_names[j], asked, up, down, weight[up], weight[down], border.take(rows))
