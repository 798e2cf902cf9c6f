"""Rows as a network takes them, from whatever a user has: arrays by position, what carries names by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError
from ..geometry.frames import column_names, in_named_order, named_row

if TYPE_CHECKING:
    from .network import Network


def in_order(net: Network, x):
    """The rows of a frame (or one row: a Series, a mapping) as an array with the network's features in their order.

    Arrays, and frames of other names, as they are: a model that does not name its inputs takes the columns as they come.
    DataError where some names are the network's and some are missing: by position such columns would silently be taken for others.
    """
    frame = named_row(x)
    names = column_names(frame)
    if names is not None and net.table is not None and not set(net.feature_names) <= set(names):
        return net.table.encode(frame)
    return in_named_order(x, net.feature_names)


def row_of(net: Network, x) -> np.ndarray:
    """One row of network inputs, (d,): from numbers, or by name from a frame of one row, a Series or a mapping, raw or encoded.

    DataError for several rows, for another width, for what is no finite number.
    """
    try:
        rows = np.asarray(in_order(net, x), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"x is no row of numbers: {error}") from None
    if rows.size != net.n_inputs:
        raise DataError(f"x has {rows.size} entries, one row of {net.n_inputs} network inputs is needed"
                        + (" (or a row of the raw frame)" if net.table is not None else ""))
    row = rows.ravel().copy()
    if not np.isfinite(row).all():
        raise DataError(f"x has no finite number for '{net.feature_names[int(np.flatnonzero(~np.isfinite(row))[0])]}'")
    return row
