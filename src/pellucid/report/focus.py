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
    """How far each feature moves the answer near the data: mean |local weight| x spread, (d,).

    Spread is the standard deviation of the values clipped to their 1st and 99th percentile: a few outliers make no axis.
    may_be_axis: (d,) features that take more than two values and are no category: only those make sense as an axis.
    own: (d,) share of each feature's spread that the strongest one does not explain, sqrt(1 - r^2).
    """

    size: np.ndarray
    may_be_axis: np.ndarray
    own: np.ndarray
    n_rows: int

    def pair(self) -> tuple[int, int]:
        """The strongest feature that may be an axis, and the one that is strongest beside it.

        Of two features that say the same, one is enough: their plane would consist of points that no data come near.
        """
        first = strongest(self.size, self.may_be_axis)
        beside = self.size * self.own
        beside[first] = -1.0                    # whatever happens, two different ones
        may = self.may_be_axis & (np.arange(len(beside)) != first)
        return first, strongest(beside, may)


def strongest(size: np.ndarray, may: np.ndarray) -> int:
    """The largest of those that may, else of all."""
    return int(np.lexsort((-size, ~may))[0])


def influence(net: Network, X: np.ndarray) -> Influence:
    """Influence of every feature, by the exact linear model at each of up to 1000 rows spread evenly over X.

    Of a classifier the margin counts: the highest output minus the second (one output: its logit); of several numbers
    each of them, averaged.
    """
    rows = spread_rows(X, MOST_ROWS)
    chain = chain_of(net)
    coef, _ = local_maps(chain, unpack_codes(codes_of(chain, _off_faces(rows, X.std(axis=0))), chain.n_pieces))
    if net.n_classes > 1 and net.n_outputs > 1:
        first, second = np.argsort(-net(rows), axis=1, kind="stable")[:, :2].T
        n = np.arange(len(rows))
        coef = (coef[n, first] - coef[n, second])[:, None]
    clipped = np.clip(X, *np.percentile(X, [1, 99], axis=0))
    size = np.abs(coef).mean(axis=(0, 1)) * clipped.std(axis=0)
    may = axis_features(net, X)
    return Influence(size, may, _own_share(clipped, strongest(size, may)), len(rows))


def _own_share(X: np.ndarray, j: int) -> np.ndarray:
    """sqrt(1 - r^2) of every column with column j; 1 for constant ones."""
    centred = X - X.mean(axis=0)
    norms = np.linalg.norm(centred, axis=0)
    safe = np.where(norms > 0, norms, 1.0)
    r = (centred.T @ centred[:, j]) / (safe * safe[j])
    return np.sqrt(np.clip(1 - r * r, 0.0, 1.0))


def _off_faces(rows: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """The rows moved by a millionth: whole numbers often lie on faces, where the code of the point is that of no region."""
    return rows + 1e-6 * spread * np.random.default_rng(0).uniform(-1, 1, rows.shape)


def axis_features(net: Network, X: np.ndarray) -> np.ndarray:
    """(d,) whether a feature can be an axis: a number with more than two values in the data."""
    number = np.array([c.values is None for c in net.table.columns]) if net.table else np.ones(X.shape[1], dtype=bool)
    low, high = X.min(axis=0), X.max(axis=0)
    return number & ((low < X) & (high > X)).any(axis=0)


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


def data_box(net: Network, X: np.ndarray, x0: np.ndarray, *, trim: float = 0.0,
             ranges: Mapping[str, tuple[float, float]] | None = None) -> Box:
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
