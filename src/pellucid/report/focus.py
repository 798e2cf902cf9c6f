"""Where to look: which two features move, at what values the others stand, over what ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..chain import chain_of, local_maps
from ..errors import DataError, DomainError
from ..geometry import Box
from ..graph import Network
from ..regions import codes_of, unpack_codes

MOST_ROWS = 1000
"""Rows whose linear models decide which features matter: a mean over a thousand is steady to a few per cent."""


@dataclass(frozen=True, eq=False)
class Influence:
    """How far each feature moves the answer near the data: mean |local weight| x standard deviation, (d,).

    may_be_axis: (d,) features that take more than two values and are no category: only those make sense as an axis.
    """

    size: np.ndarray
    may_be_axis: np.ndarray
    n_rows: int

    def strongest(self, n: int = 2) -> tuple[int, ...]:
        """The n features to look at: those of largest influence that may be an axis, then any."""
        order = np.lexsort((-self.size, ~self.may_be_axis))
        return tuple(int(j) for j in order[:n])


def influence(net: Network, X: np.ndarray) -> Influence:
    """Influence of every feature, by the exact linear model at each of up to 1000 rows spread evenly over X.

    Of a classifier the margin counts: the highest output minus the second (one output: its logit); of several numbers
    each of them, averaged.
    """
    rows = spread_rows(X, MOST_ROWS)
    chain = chain_of(net)
    coef, _ = local_maps(chain, unpack_codes(codes_of(chain, rows), chain.n_pieces))
    if net.n_classes > 1 and net.n_outputs > 1:
        first, second = np.argsort(-net(rows), axis=1, kind="stable")[:, :2].T
        n = np.arange(len(rows))
        coef = (coef[n, first] - coef[n, second])[:, None]
    size = np.abs(coef).mean(axis=(0, 1)) * X.std(axis=0)
    return Influence(size, axis_features(net, X), len(rows))


def axis_features(net: Network, X: np.ndarray) -> np.ndarray:
    """(d,) whether a feature can be an axis: a number with more than two values in the data."""
    number = np.array([c.values is None for c in net.table.columns]) if net.table else np.ones(X.shape[1], dtype=bool)
    varies = (X > X.min(axis=0)) & (X < X.max(axis=0))
    return number & varies.any(axis=0)


def spread_rows(X: np.ndarray, n: int) -> np.ndarray:
    """At most n rows, evenly spread over the file."""
    return X if len(X) <= n else X[np.linspace(0, len(X) - 1, n).round().astype(int)]


def chosen_features(net: Network, wanted: Sequence[str]) -> tuple[int, ...]:
    """Feature numbers of names or numbers, given one by one or separated by commas. DomainError unless they are two."""
    names = list(net.feature_names)
    parts: list[str] = []
    for w in wanted:
        parts += [w] if w in names else [p.strip() for p in w.split(",") if p.strip()]
    chosen = tuple(feature_number(net, p) for p in parts)
    if len(set(chosen)) != 2:
        raise DomainError(f"--free needs two different features, got {', '.join(parts) or 'none'}")
    return chosen


def feature_number(net: Network, name: str) -> int:
    """The place of a feature given by its name, or by its number."""
    names = list(net.feature_names)
    if name in names:
        return names.index(name)
    if name.isdigit() and int(name) < len(names):
        return int(name)
    from .table import _near

    raise DomainError(f"no feature is called '{name}'{_near(name, names)}")


def anchor(net: Network, X: np.ndarray, at: str) -> tuple[np.ndarray, str]:
    """Values (d,) at which features stand, and what they are in words. at: "median", "mean" or "row:N" (from 0)."""
    if at.startswith("row:"):
        number = at[4:]
        if not number.isdigit() or int(number) >= len(X):
            raise DataError(f"--at {at}: rows are numbered 0 to {len(X) - 1}")
        return X[int(number)].copy(), f"row {number} of the data"
    if at not in ("median", "mean"):
        raise ValueError(f"--at {at}: it can be median, mean or row:N")
    x0 = np.median(X, axis=0) if at == "median" else X.mean(axis=0)
    groups = category_groups(net)
    for group in groups:                # the median of one-hot columns is often no category at all
        x0[group] = _most_frequent(X[:, group])
    return x0, f"the {at} of the data" + (" (categories: the most frequent one)" if groups else "")


def category_groups(net: Network) -> list[np.ndarray]:
    """The inputs that stand for one categorical column together, column by column."""
    if net.table is None:
        return []
    sources = [c.source for c in net.table.columns if c.values is not None]
    return [np.array([j for j, c in enumerate(net.table.columns) if c.source == s]) for s in dict.fromkeys(sources)]


def _most_frequent(rows: np.ndarray) -> np.ndarray:
    values, counts = np.unique(rows, axis=0, return_counts=True)
    return values[counts.argmax()]


def data_box(net: Network, X: np.ndarray, x0: np.ndarray, *, trim: float = 0.0, ranges: Mapping[str, tuple[float, float]] | None = None) -> Box:
    """The bounding box of the rows, numbers cut to their trim..100-trim percentiles, then `ranges`; stretched to hold x0."""
    if not 0 <= trim < 50:
        raise ValueError(f"--trim {trim:g}: a percentage from 0 to below 50 is needed")
    lower, upper = X.min(axis=0), X.max(axis=0)
    if trim:
        may = axis_features(net, X)
        low, high = np.percentile(X, [trim, 100 - trim], axis=0)
        lower, upper = np.where(may, low, lower), np.where(may, high, upper)
    for name, (low, high) in (ranges or {}).items():
        j = feature_number(net, name)
        lower[j], upper[j] = low, high
    return Box(np.minimum(lower, x0), np.maximum(upper, x0), net.feature_names)
