"""Which way each feature works, over all local models: up, down, mixed or weak (UNWRAP 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..graph import Network

if TYPE_CHECKING:
    import pandas as pd

WEAK = 0.05
"""A feature is weak where its root mean square weight, times its spread, is below this share of the strongest feature's."""

CONSISTENT = 0.95
"""A feature works one way where at least this share of the rows that it matters to have models of one sign."""


@dataclass(frozen=True, eq=False, repr=False)
class Signs:
    """Of each logit and feature (c, d): share of rows whose model's weight is positive, and negative; strength: root mean square
    of weight times the feature's spread. verdict: (c, d) "up", "down", "mixed" or "weak". expected: (d,) 1, -1, 0 (none).
    against: (c, d) share of rows whose model has the sign that was not expected, NaN where none was."""

    network: Network
    positive: np.ndarray
    negative: np.ndarray
    strength: np.ndarray
    verdict: np.ndarray
    expected: np.ndarray
    against: np.ndarray

    def to_frame(self) -> pd.DataFrame:
        import pandas as pd

        c, d = self.verdict.shape
        frame = {"feature": list(self.network.feature_names) * c}
        if c > 1:
            frame = {"output": np.repeat(self.network.output_names, d), **frame}
        frame |= {"positive": self.positive.ravel(), "negative": self.negative.ravel(), "strength": self.strength.ravel(),
                  "effect": self.verdict.ravel()}
        if self.expected.any():
            words = np.array(["", "up", "down"], dtype=object)
            frame |= {"expected": list(words[self.expected]) * c, "against": self.against.ravel()}
        return pd.DataFrame(frame)

    def __repr__(self) -> str:
        kinds = {v: int((self.verdict == v).sum()) for v in ("up", "down", "mixed", "weak")}
        return "Signs(" + ", ".join(f"{n} {v}" for v, n in kinds.items() if n) + ")"

    def _repr_html_(self) -> str:
        return self.to_frame().to_html(index=False)


def signs(network: Network, parts, spread: np.ndarray, expected: Mapping[str, int] | None = None) -> Signs:
    """parts: (coef (k, c, d), weight (k,) rows) of all models, some thousand at a time. spread: (d,) of the features over all rows.

    expected: 1 or -1 for some features, by name.
    """
    c, d = network.n_outputs, network.n_inputs
    positive, negative, square, total = np.zeros((c, d)), np.zeros((c, d)), np.zeros((c, d)), 0.0
    for coef, weight in parts:
        positive += np.einsum("k,kcd->cd", weight, coef > 0)
        negative += np.einsum("k,kcd->cd", weight, coef < 0)
        square += np.einsum("k,kcd->cd", weight, coef**2)
        total += float(weight.sum())
    total = max(total, np.finfo(float).tiny)
    strength = np.sqrt(square / total) * spread
    matters = np.maximum(positive + negative, np.finfo(float).tiny)
    verdict = np.full((c, d), "mixed", dtype=object)
    verdict[positive / matters >= CONSISTENT] = "up"
    verdict[negative / matters >= CONSISTENT] = "down"
    verdict[strength <= WEAK * strength.max(axis=1, keepdims=True)] = "weak"
    wanted = _expected(network, expected)
    against = np.where(wanted == 0, np.nan, np.where(wanted > 0, negative, positive) / total)
    return Signs(network, positive / total, negative / total, strength, verdict, wanted, against)


def _expected(network: Network, expected: Mapping[str, int] | None) -> np.ndarray:
    out = np.zeros(network.n_inputs, dtype=np.int64)
    for name, sign in (expected or {}).items():
        if name not in network.feature_names:
            raise KeyError(f"expected: no feature is called '{name}'; there are: {', '.join(network.feature_names[:20])}")
        if sign not in (1, -1):
            raise ValueError(f"expected[{name!r}] = {sign!r}: 1 (up) or -1 (down) is needed")
        out[network.feature_names.index(name)] = sign
    return out
