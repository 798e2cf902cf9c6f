"""Which output a feature favours most, region by region (CEE IV-C)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..atlas import Atlas
from ..certificate import Certificate
from ..errors import DataError
from .asked import feature_index
from .result import html, over
from .weighing import weighing
from .weights import feature_slopes, weight_floor

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class FavouredOutput:
    """For each row the output that gains most when the feature grows.

    weights: (K, c) slope of every output in the feature. favoured: (K,) output of the largest slope, -1 where all outputs
    move alike up to rounding, so that no output gains on another.
    """

    atlas: Atlas
    feature: str
    weights: np.ndarray
    favoured: np.ndarray

    @property
    def certificate(self) -> Certificate:
        base = over(self.atlas)
        return Certificate(f"the outputs that {self.feature} favours", base.status, base.reason, base.figures)

    def to_frame(self) -> pd.DataFrame:
        """One row an output: share of the volume on which the feature favours it, mean slope over all of it.

        Above six dimensions estimated from uniform points.
        """
        import pandas as pd

        by, names = weighing(self.atlas), self.atlas.network.output_names
        given = np.bincount(self.favoured + 1, weights=by.share, minlength=len(names) + 1)
        frame = pd.DataFrame({"output": names, "favoured": given[1:], "mean weight": by.mean(self.weights)})
        if given[0] > 0:
            frame.loc[len(frame)] = ["none", given[0], np.nan]
        return frame

    def __repr__(self) -> str:
        frame = self.to_frame()
        most = frame.loc[frame["favoured"].idxmax()]
        where = "area" if self.atlas.is_planar else "volume"
        return f"FavouredOutput({self.feature}: favours {most['output']} on {most['favoured']:.1%} of the {where})"

    def _repr_html_(self) -> str:
        return html(repr(self), self.to_frame())


def favoured_output(atlas: Atlas, feature: int | str) -> FavouredOutput:
    """Which output a feature favours most on each row: the largest slope (before the link, whose order is the same).

    DataError for an unknown feature, or a network with one output.
    """
    net = atlas.network
    if net.n_outputs < 2:
        raise DataError("favoured_output compares outputs, and this network has one: see tipping_points and describe")
    j = feature_index(net, feature)
    weights = feature_slopes(atlas, j)
    floor = max(weight_floor(atlas.chain, c)[j] for c in np.eye(net.n_outputs))
    return FavouredOutput(atlas, net.feature_names[j], weights, np.where(np.ptp(weights, axis=1) > 2 * floor, weights.argmax(axis=1), -1))
