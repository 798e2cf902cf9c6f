"""Rows of inputs from files, by name where both the model and the file name them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError
from ..graph.rows import in_order

if TYPE_CHECKING:
    from ..graph import Network


def read_rows(path: Path, net: Network, drop: list[str]) -> np.ndarray:
    """The rows of an array (.npy, .npz: its first) or a table (.csv, .csv.gz, .tsv, .parquet), as numbers.

    Columns are taken by the model's names where it has any, and others left alone; else as they come, without those of `drop`.
    DataError where there is no such file or column, or where a column that is taken holds no numbers.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    if path.suffix == ".npy":
        return np.asarray(np.load(path, allow_pickle=False))
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return np.asarray(file[file.files[0]])
    import pandas as pd

    frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
    if absent := [c for c in drop if c not in frame]:
        raise DataError(f"--drop {absent[0]}: the table has no such column; it has: {', '.join(map(str, frame.columns[:10]))}")
    frame = frame.drop(columns=drop)
    try:
        return np.asarray(in_order(net, frame), dtype=np.float64)
    except DataError:
        raise
    except ValueError:
        text = [str(c) for c in frame.columns if not pd.api.types.is_numeric_dtype(frame[c])]
        raise DataError(f"column '{text[0] if text else frame.columns[0]}' of {path} holds no numbers: if it is no input of the model, "
                        "leave it out with --drop") from None
