"""Local linear models as one value: what every table, picture, merging and inference of this folder takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..graph import Network

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of the data and the local linear model that each of them has.

    X: (n, d) inputs. y: (n,) class numbers or values, (n, m) of several outputs. weight: (n,) sample weights.
    model: (n,) position in the `LocalModels` that hold these rows, -1 where a row's model is not among them.
    complete: these are all the rows that the models were found on; False: a seeded uniform sample of them.
    """

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    model: np.ndarray
    complete: bool = True


@dataclass(frozen=True, eq=False, repr=False)
class LocalModels:
    """K local linear models y = coef x + intercept, largest first, each with the rows it holds for (UNWRAP 2.3, 4).

    c logits, d features, m responses: outputs of a regression, 1 for two classes (1 where the row is of the second),
    else one a class (1 where the row is of it).

    network: what was unwrapped; its names travel to every table and picture.
    coef: (K, c, d), intercept: (K, c); logits (classification) or values (regression), of the inputs as the network takes them.
    count: (K,) int, rows. weight: (K,) sum of their sample weights (equal to count without).
    response_mean, response_std: (K, m) weighted, population.
    centre, spread, low, high: (K, d) mean, population std, least and largest of the features over the model's rows.
    origin: (K,) int, number of the region in the unwrapper, or of the cluster for merged models.
    single_class: (K,) bool, all rows have one response (always so where count = 1); False throughout for regressions with count > 1.
    trivial: (K,) bool, a layer of the network is all off; False for merged models.
    local_score, global_score: (K,) or None where not computed; MSE or AUC (one against the rest, mean over the classes that are there).
    kind: "local" (read off the network) or "merged" (refitted).
    total_models, total_rows: of the whole unwrapping; more than K and sum(count) where these are the largest only.
    rows: a sample of rows, or all of them; None where none was kept.
    codes: (K, words) packed codes of the regions; None for models that are of no one region.
    """

    network: Network
    coef: np.ndarray
    intercept: np.ndarray
    count: np.ndarray
    weight: np.ndarray
    response_mean: np.ndarray
    response_std: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    low: np.ndarray
    high: np.ndarray
    origin: np.ndarray
    single_class: np.ndarray
    trivial: np.ndarray
    local_score: np.ndarray | None = None
    global_score: np.ndarray | None = None
    kind: str = "local"
    total_models: int = 0
    total_rows: int = 0
    rows: Rows | None = None
    codes: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.count)

    def contrast(self, first: int | str, second: int | str) -> tuple[np.ndarray, np.ndarray]:
        """(coef (K, d), intercept (K,)) of output `first` minus output `second`: what decides between two classes."""
        a, b = (self._output(o) for o in (first, second))
        return self.coef[:, a] - self.coef[:, b], self.intercept[:, a] - self.intercept[:, b]

    def to_frame(self, output: int | str | None = None) -> pd.DataFrame:
        """A row a model: its rows, intercept and weights, of one output or of all (output: number or name of a logit)."""
        import pandas as pd

        names = self.network.output_names
        chosen = range(len(names)) if output is None else [self._output(output)]
        columns: dict[str, np.ndarray] = {"count": self.count}
        for o in chosen:
            tail = f" of {names[o]}" if len(chosen) > 1 else ""
            columns[f"intercept{tail}"] = self.intercept[:, o]
            columns |= {f"{feature}{tail}": self.coef[:, o, j] for j, feature in enumerate(self.network.feature_names)}
        return pd.DataFrame(columns, index=pd.Index(self.origin, name="region"))

    def _output(self, output: int | str) -> int:
        names = self.network.output_names
        if isinstance(output, str):
            if output not in names:
                raise KeyError(f"no output is called '{output}'; there are: {', '.join(names)}")
            return names.index(output)
        if not -len(names) <= output < len(names):
            raise IndexError(f"output {output}: there are {len(names)}")
        return output % len(names)

    def __repr__(self) -> str:
        whole = "" if self.total_models == len(self) else f" of {self.total_models:,}"
        return f"LocalModels({len(self):,}{whole} {self.kind} models, {self.network.n_inputs} features, {self.coef.shape[1]} outputs)"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p>{escape(repr(self))}</p>{self.to_frame().head(20).to_html()}"
