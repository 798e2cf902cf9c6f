"""Neighbouring regions whose linear models differ most (CEE IV-C: where behaviour changes rapidly)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..atlas import Adjacency, Atlas
from ..certificate import Certificate
from .asked import Quantity, quantity
from .result import borders, html, over_borders, told, wall_columns, wall_labels
from .weights import Scale, scale_of, slopes

if TYPE_CHECKING:
    import pandas as pd

BATCH_BYTES = 32 << 20


@dataclass(frozen=True, eq=False)
class AbruptChanges:
    """The facets (in the plane: segments) across which the weights of a quantity change most, the largest change first.

    left, right: (n,) rows of the atlas; change: (n,) Euclidean norm of the difference of their scaled weights;
    feature: (n,) the feature whose weight changes most; border: the facets.
    """

    atlas: Atlas
    quantity: Quantity
    scale: Scale
    left: np.ndarray
    right: np.ndarray
    change: np.ndarray
    feature: np.ndarray
    border: Adjacency

    def __len__(self) -> int:
        return len(self.left)

    @property
    def ends(self) -> np.ndarray | None:
        """(n, 2, 2) in u: the segments, in the plane."""
        return self.border.ends

    @property
    def length(self) -> np.ndarray:
        """(n,) of the segments in u; NaN in other dimensions."""
        return self.border.length

    @property
    def certificate(self) -> Certificate:
        """That no two other neighbours differ more."""
        base = over_borders(self.atlas, borders(self.atlas))
        least = f"{self.change[-1]:.4g}" if len(self) else "0"
        return Certificate(f"no other two neighbours differ by more than {least}", base.status, base.reason, base.figures)

    def to_frame(self) -> pd.DataFrame:
        """One row a facet, the largest change first."""
        import pandas as pd

        names = np.array(self.atlas.network.feature_names, dtype=object)
        return pd.DataFrame({"left": self.left, "right": self.right, "change": self.change, "feature": names[self.feature],
                             "unit": wall_labels(self.atlas, self.border), **wall_columns(self.atlas, self.border)})

    def __repr__(self) -> str:
        most = f"{self.change[0]:.4g} at most" if len(self) else "none"
        return f"AbruptChanges({self.quantity.label}: {told(self.border)}, weights {self.scale.words} change by {most})"

    def _repr_html_(self) -> str:
        return html(repr(self), self.to_frame().head(20))


def abrupt_changes(atlas: Atlas, output: int | str = 0, n: int | None = 10, *, versus: int | str | None = None,
                   scale: str = "range", X=None) -> AbruptChanges:
    """The n facets (None: all) across which an output's scaled weights change most; ties: the longest first.

    Raises as `describe` does.
    """
    asked, ruler = quantity(atlas.network, output, versus), scale_of(atlas, scale, X)
    weights = slopes(atlas, asked.direction)[0] * ruler.width
    border = borders(atlas)
    change, feature = np.zeros(len(border)), np.zeros(len(border), dtype=np.int64)
    step = max(1, BATCH_BYTES // (8 * max(1, weights.shape[1])))
    for start in range(0, len(border), step):
        part = slice(start, start + step)
        difference = np.abs(weights[border.left[part]] - weights[border.right[part]])
        change[part], feature[part] = np.linalg.norm(difference, axis=1), difference.argmax(axis=1)
    best = np.lexsort((-border.length, -change))[:n]
    return AbruptChanges(atlas, asked, ruler, border.left[best], border.right[best], change[best], feature[best],
                         border.take(best))
