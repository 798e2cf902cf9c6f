"""One local linear model, with its region and its rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..chain import chain_of
from ..graph import Network
from ..regions import unpack_codes
from .halfspaces import Validity, validity

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class RegionModel:
    """The network in one region: coef_ (c, d), intercept_ (c,). number: of the region, the largest is 0. count: its rows.
    rows: numbers of those rows in the data of the fit; None where they were not kept. code: (columns,) pieces."""

    network: Network
    number: int
    coef_: np.ndarray
    intercept_: np.ndarray
    count: int
    rows: np.ndarray | None
    code: np.ndarray

    @cached_property
    def inequalities(self) -> Validity:
        """Where the model holds: { x : A x <= b }."""
        return validity(chain_of(self.network), self.code)

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """(n, c) of the linear model, also outside its region."""
        return np.atleast_2d(X) @ self.coef_.T + self.intercept_

    def to_frame(self) -> pd.DataFrame:
        """A row a feature, and the intercept; a column an output."""
        import pandas as pd

        table = np.column_stack([self.intercept_, self.coef_]).T
        return pd.DataFrame(table, index=["intercept", *self.network.feature_names], columns=list(self.network.output_names))

    def __repr__(self) -> str:
        return f"RegionModel(region {self.number}, {self.count} rows, {len(self.inequalities)} inequalities)"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p>{escape(repr(self))}</p>{self.to_frame().to_html()}"


def region_model(u, number: int, maps: tuple[np.ndarray, np.ndarray], codes: np.ndarray) -> RegionModel:
    """Of an Unwrapping, or of a streamed one (without rows)."""
    rows = None
    if u.groups.labels is not None:
        order, ptr = u.groups.rows
        rows = order[ptr[number]:ptr[number + 1]]
    return RegionModel(u.network, number, maps[0][0], maps[1][0], int(u.groups.count[number]), rows,
                       unpack_codes(codes, chain_of(u.network).n_pieces)[0])
