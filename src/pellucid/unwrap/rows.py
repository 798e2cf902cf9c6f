"""Rows that lie in memory: arrays as they are, frames turned into numbers a batch at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DataError
from ..geometry.frames import column_names, is_frame
from ..graph import Network
from ..graph.rows import in_order

BATCH_ROWS = 65_536
WHOLE_BYTES = 64 << 20
"""Frames whose numbers take no more than this are turned into an array once."""


def batch_rows(asked: int | str, n_inputs: int) -> int:
    """Rows in a batch: what was asked for, else so many that a batch of them stays small."""
    if asked == "auto":
        return int(max(256, min(BATCH_ROWS, (32 << 20) // (8 * max(n_inputs, 1)))))
    if isinstance(asked, bool) or not isinstance(asked, int | np.integer) or asked < 1:
        raise ValueError(f"batch_size={asked!r}: a whole number of rows is needed, or 'auto'")
    return int(asked)


def as_inputs(net: Network, X) -> np.ndarray:
    """Rows as the network's inputs, (n, d) float64, in order of its features; finite. DataError."""
    rows = np.asarray(in_order(net, X))
    if rows.dtype.kind in "cOSU":
        rows = _numbers(rows)
    rows = np.ascontiguousarray(rows, dtype=np.float64)
    if rows.ndim == 1 and net.n_inputs == 1:
        rows = rows[:, None]
    if rows.ndim < 2:
        raise DataError(f"rows of {net.n_inputs} features are needed, got an array of shape {rows.shape}. Reshape your data: "
                        "X.reshape(-1, 1) for one feature, X.reshape(1, -1) for one row")
    rows = rows.reshape(len(rows), -1)
    if rows.shape[1] != net.n_inputs:
        raise DataError(f"X has {rows.shape[1]} features, the network takes {net.n_inputs}")
    if not np.isfinite(rows).all():
        i, j = np.argwhere(~np.isfinite(rows))[0]
        raise DataError(f"row {i} has {rows[i, j]} (NaN or infinity) in '{net.feature_names[j]}': fill or drop such rows first")
    return rows


def _numbers(rows: np.ndarray) -> np.ndarray:
    if rows.dtype.kind == "c":
        raise DataError("Complex data not supported: the network takes real numbers")
    try:
        return rows.astype(np.float64)
    except (TypeError, ValueError) as e:
        raise DataError(f"the rows hold what is no number ({e}): encode text first, or give a frame to a model of categories") from e


def plain(X: Any) -> Any:
    """What says that it is an array, as a numpy array; all else, frames among them, as it is."""
    return np.asarray(X) if hasattr(X, "__array__") and not is_frame(X) else X


class MemoryRows:
    """n rows, by position: `batch(a, b)`, `take(index)`, `whole()`, each float64 (., d)."""

    def __init__(self, net: Network, X):
        self.is_frame = column_names(X) is not None
        self.net, self.data, self.n = net, X, _length(X)
        if not self.is_frame:
            self.data = as_inputs(net, X)
        elif self.n * net.n_inputs * 8 <= WHOLE_BYTES:
            self.data, self.is_frame = as_inputs(net, X), False

    def __len__(self) -> int:
        return self.n

    def batch(self, start: int, stop: int) -> np.ndarray:
        if not self.is_frame:
            return self.data[start:stop]
        import narwhals as nw

        return as_inputs(self.net, nw.from_native(self.data, eager_only=True)[start:stop].to_native())

    def take(self, index: np.ndarray) -> np.ndarray:
        if not self.is_frame:
            return self.data[index]
        import narwhals as nw

        return as_inputs(self.net, nw.from_native(self.data, eager_only=True)[np.asarray(index).tolist()].to_native())

    def whole(self) -> np.ndarray:
        if self.is_frame:
            self.data, self.is_frame = np.vstack([self.batch(a, a + BATCH_ROWS) for a in range(0, self.n, BATCH_ROWS)]), False
        return self.data


def _length(X: Any) -> int:
    if column_names(X) is not None:
        import narwhals as nw

        return len(nw.from_native(X, eager_only=True))
    try:
        return len(X)
    except TypeError as e:
        raise DataError(f"rows are needed, got a {type(X).__name__}") from e
