"""Rows of numbers from whatever a user has: numpy, pandas, polars, pyarrow (through narwhals)."""

from __future__ import annotations

import numpy as np

from ..errors import DataError


def is_frame(X) -> bool:
    """A data frame or arrow table, not an array?"""
    return not isinstance(X, np.ndarray) and (hasattr(X, "columns") or hasattr(X, "column_names"))


def column_names(X) -> tuple[str, ...] | None:
    """The columns' names, None for arrays."""
    if not is_frame(X):
        return None
    import narwhals as nw

    return tuple(str(c) for c in nw.from_native(X, eager_only=True).columns)


def numeric_rows(X) -> np.ndarray:
    """(n, d) float64. DataError naming the column for text and missing values."""
    names = column_names(X)
    if names is not None:
        import narwhals as nw

        frame = nw.from_native(X, eager_only=True)
        columns = []
        for name in frame.columns:
            series = frame[name]
            if not (series.dtype.is_numeric() or series.dtype == nw.Boolean):
                raise DataError(f"column '{name}' holds {series.dtype}, not numbers: encode it first")
            columns.append(series.to_numpy().astype(np.float64))
        rows = np.column_stack(columns) if columns else np.zeros((len(frame), 0))
    else:
        rows = np.atleast_2d(np.asarray(X, dtype=np.float64))
        rows = rows.reshape(len(rows), -1)
    if np.isnan(rows).any():
        i, j = np.argwhere(np.isnan(rows))[0]
        raise DataError(f"row {i} has a missing value in column {names[j] if names else j}: fill or drop such rows first")
    return rows
