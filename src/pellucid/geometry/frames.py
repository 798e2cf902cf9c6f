"""Rows of numbers from whatever a user has: numpy, pandas, polars, pyarrow (through narwhals)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


def named_row(x):
    """A row that carries its names (a pandas Series labelled by strings, a mapping) as a frame of one row; anything else as it is."""
    values = x if isinstance(x, Mapping) else x.to_dict() if hasattr(x, "to_dict") and hasattr(x, "index") and not is_frame(x) else {}
    if not values or not all(isinstance(name, str) for name in values):
        return x
    import pandas as pd

    return pd.DataFrame([values])


def in_named_order(x, order: Sequence[str]):
    """The columns of a frame (or of a row that carries its names) in this order, as an array; arrays and other names as they are.

    DataError where some of the names are there and some are missing: by position such columns would silently be taken for others.
    """
    frame = named_row(x)
    names = column_names(frame)
    absent = [name for name in order if name not in (names or ())]
    if names is None or (len(absent) == len(order) and not isinstance(x, Mapping)):
        return x
    if absent:
        raise DataError(f"the frame lacks the column '{absent[0]}'; it has: {', '.join(names[:10])}")
    import narwhals as nw

    table = nw.from_native(frame, eager_only=True)
    own = dict(zip(names, table.columns, strict=True))              # columns may be called by numbers
    return table.select([nw.col(own[name]) for name in order]).to_numpy()


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
