"""Explanations of single rows by the local model of their region: exact, additive, valid in a stated region."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..chain import chain_of
from ..errors import MissingExtra
from ..graph import Network
from ..regions import unpack_codes
from .halfspaces import Validity, validity

if TYPE_CHECKING:
    import pandas as pd

_ROWS = ("X", "contributions", "base", "coef", "intercept", "region", "reference", "codes")


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Of n rows: output o at row i is base[i, o] + sum of contributions[i, o, :], exactly what the network gives.

    X: (n, d). contributions: (n, c, d) w_j (x_j - reference_j). base: (n, c) the local model at the reference. coef (n, c, d) and
    intercept (n, c): the local model. region: (n,) its number, -1 where no row of the fit was in it (the model is exact all the same).
    reference: (n, d). codes: (n, words) packed.
    """

    network: Network
    X: np.ndarray
    contributions: np.ndarray
    base: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    region: np.ndarray
    reference: np.ndarray
    codes: np.ndarray

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, rows: Any) -> Explanation:
        """Some of the rows: a number, a slice, numbers or a mask."""
        if isinstance(rows, int | np.integer):
            if not -len(self) <= rows < len(self):
                raise IndexError(f"row {rows}: there are {len(self)}")
            rows = [int(rows)]
        return replace(self, **{name: getattr(self, name)[rows] for name in _ROWS})

    @property
    def outputs(self) -> np.ndarray:
        """(n, c): logits or values."""
        return self.base + self.contributions.sum(axis=2)

    def validity(self, row: int = 0) -> Validity:
        """Where the model of this row holds."""
        chain = chain_of(self.network)
        return validity(chain, unpack_codes(self.codes[row][None], chain.n_pieces)[0])

    def to_frame(self, output: int | str | None = None) -> pd.DataFrame:
        """A row for each row and feature. output: number or name of a logit; default: all, or the only one."""
        import pandas as pd

        names = self.network.output_names
        chosen = range(len(names)) if output is None else [_output(names, output)]
        n, d, k = len(self), self.network.n_inputs, len(chosen)
        feature = list(self.network.feature_names)
        frame = {"row": np.repeat(np.arange(n), k * d), "region": np.repeat(self.region, k * d)}
        if len(names) > 1:
            frame["output"] = np.tile(np.repeat([names[o] for o in chosen], d), n)
        frame |= {"feature": np.tile(feature, n * k), "value": np.repeat(self.X, k, axis=0).ravel(),
                  "reference": np.repeat(self.reference, k, axis=0).ravel(), "weight": self.coef[:, chosen].ravel(),
                  "contribution": self.contributions[:, chosen].ravel(), "base": np.repeat(self.base[:, chosen].ravel(), d)}
        return pd.DataFrame(frame)

    def to_shap(self):
        """As a shap.Explanation, for shap's plots: values (n, d), or (n, d, c) of several outputs. MissingExtra without shap."""
        try:
            import shap
        except ImportError as e:
            raise MissingExtra("shap", "examples", "explanations for shap's plots") from e
        one = self.network.n_outputs == 1
        values = self.contributions[:, 0] if one else np.moveaxis(self.contributions, 1, 2)
        return shap.Explanation(values=values, base_values=self.base[:, 0] if one else self.base, data=self.X,
                                feature_names=list(self.network.feature_names),
                                output_names=None if one else list(self.network.output_names))

    def __repr__(self) -> str:
        unseen = int((self.region < 0).sum())
        tail = f", {unseen} in regions that no row of the fit was in" if unseen else ""
        return f"Explanation({len(self)} rows, {self.network.n_inputs} features, {self.network.n_outputs} outputs{tail})"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p>{escape(repr(self))}</p>{self[:3].to_frame().to_html(index=False)}"


def _output(names: tuple[str, ...], output: int | str) -> int:
    if isinstance(output, str):
        if output not in names:
            raise KeyError(f"no output is called '{output}'; there are: {', '.join(names)}")
        return names.index(output)
    if not -len(names) <= output < len(names):
        raise IndexError(f"output {output}: there are {len(names)}")
    return output % len(names)


def explanation(net: Network, X: np.ndarray, codes: np.ndarray, region: np.ndarray, maps: tuple[np.ndarray, np.ndarray],
                reference: np.ndarray) -> Explanation:
    """Rows (n, d) by their local models `maps`. reference: (d,) or (n, d)."""
    coef, intercept = maps
    at = np.broadcast_to(reference, X.shape)
    base = np.einsum("ncd,nd->nc", coef, at) + intercept
    return Explanation(net, X, coef * (X - at)[:, None, :], base, coef, intercept, region, at, codes)
