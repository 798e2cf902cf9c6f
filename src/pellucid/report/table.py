"""From a user's file to rows of network inputs: columns found by name, gaps and strangers refused with a message."""

from __future__ import annotations

import difflib
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError
from ..graph import Network
from ..graph.table import TableColumn, TableEncoder

if TYPE_CHECKING:
    import pandas as pd

MOST_NAMED = 6
"""Columns, rows or values spelled out in a message; the rest is counted."""


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a file as a network takes them.

    X: (n, d) inputs. frame: the same rows as read. target: name of the answer's column, or None.
    how: how columns became inputs, in words. ignored: columns that were not used. skipped: rows left out as unusable.
    names, table: names and encoder for the inputs in the file's words, where the model names none.
    """

    X: np.ndarray
    frame: pd.DataFrame
    target: str | None
    how: str
    ignored: tuple[str, ...]
    skipped: int
    names: tuple[str, ...] | None
    table: TableEncoder | None

    def __len__(self) -> int:
        return len(self.X)


def read_table(path: str | Path) -> pd.DataFrame:
    """A .csv, .tsv, .csv.gz or .parquet file as a frame. The separator is told by the header: comma, semicolon or tab."""
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            frame = pd.read_parquet(path)
        else:
            frame = pd.read_csv(path, sep=_separator(path), skipinitialspace=True)
    except Exception as e:              # a broken file can raise anything
        raise DataError(f"{path} cannot be read as a table: {e}\n"
                        "  It can be      .csv, .tsv, .csv.gz (with a header line) or .parquet") from e
    frame = frame.set_axis([str(c).strip() for c in frame.columns], axis=1)
    if frame.columns.has_duplicates:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise DataError(f"{path} has two columns called '{twice}': rename one")
    if len(frame) == 0:
        raise DataError(f"{path} has a header but no rows")
    return frame.reset_index(drop=True)


def _separator(path: Path) -> str:
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig", errors="replace") as file:
        header = file.readline()
    return max(",;\t", key=header.count)


def match_rows(net: Network, frame: pd.DataFrame, *, target: str | None = None, columns: Sequence[str] | None = None,
               drop: Sequence[str] = (), skip_unusable: bool = False) -> Rows:
    """The frame's rows as inputs of the network.

    Columns are found by the network's feature names (or by its table encoder, which also knows categories). A network
    without names takes `columns` in that order, or all columns but the target and `drop`, in file order, if the count fits.
    DataError where columns are absent, or text stands where numbers are needed; and, unless
    skip_unusable leaves those rows out, where values are missing or categories unknown.
    """
    _require(frame, [c for c in [target, *(columns or ()), *drop] if c is not None])
    inputs = frame.drop(columns=[c for c in [target, *drop] if c is not None])
    if columns:
        inputs = inputs[list(columns)]
    encoder, how = _encoder(net, inputs, target, ordered=bool(columns))
    sources = list(dict.fromkeys(c.source for c in encoder.columns))
    kept, skipped = _usable(inputs, encoder, skip_unusable)
    inputs, frame = inputs.loc[kept], frame.loc[kept]
    _refuse_text(inputs, encoder)
    ignored = tuple(c for c in frame.columns if c not in sources and c != target)
    own = encoder is net.table or all(c.name in net.feature_names for c in encoder.columns)
    return Rows(encoder.encode(inputs), frame, target, how, ignored, skipped, None if own else tuple(c.name for c in encoder.columns),
                None if own or net.table is None else encoder)


def _require(frame: pd.DataFrame, wanted: Sequence[str]) -> None:
    for name in wanted:
        if name not in frame.columns:
            raise DataError(f"the file has no column '{name}'{_near(name, frame.columns)}")


def _near(name: str, names) -> str:
    """A hint at the name that was meant, or a list of what there is."""
    lower = {str(n).lower(): str(n) for n in names}
    near = difflib.get_close_matches(name.lower(), lower, n=1)
    return f"; did you mean '{lower[near[0]]}'?" if near else f"; it has {quoted(names)}"


def _encoder(net: Network, frame: pd.DataFrame, target: str | None, *, ordered: bool) -> tuple[TableEncoder, str]:
    """How the frame's columns become inputs, and the same in words."""
    own = net.table or TableEncoder(tuple(TableColumn(n, n) for n in net.feature_names), {})
    sources = list(dict.fromkeys(c.source for c in own.columns))
    absent = [s for s in sources if s not in frame.columns]
    if not absent and not ordered:
        return own, "by name" + (", categories by the model's own encoder" if net.table else "")
    if ordered or _unnamed(sources):
        place = _places(sources, list(frame.columns), ordered, target)
        columns = tuple(TableColumn(_renamed(c, place), place[c.source], c.values) for c in own.columns)
        how = "in the order of --columns" if ordered else "in the order of the file"
        return TableEncoder(columns, {place[s]: v for s, v in own.known.items()}), how
    hint = ""
    if frame.shape[1] >= len(sources):
        hint = "\n  To go on       rename the columns, or give the model's inputs in its order with --columns a,b,..."
    raise DataError(f"the file lacks {len(absent)} of the {len(sources)} columns that the model takes: {quoted(absent)}"
                    f"{_near(absent[0], frame.columns)}{hint}")


def _unnamed(sources: Sequence[str]) -> bool:
    return all(s[:1] == "x" and s[1:].isdigit() for s in sources)


def _renamed(column: TableColumn, place: dict[str, str]) -> str:
    return place[column.source] + column.name.removeprefix(column.source)


def _places(sources: Sequence[str], columns: list[str], ordered: bool, target: str | None) -> dict[str, str]:
    """Which column each of the model's nameless sources is, by position."""
    position = {s: int(s[1:]) for s in sources} if _unnamed(sources) else {s: k for k, s in enumerate(sources)}
    width = max(position.values()) + 1
    if len(columns) != width:
        besides = f" besides the target '{target}'" if target else ""
        given = "--columns names" if ordered else f"the file has{besides}"
        raise DataError(f"the model takes {width} inputs and does not name them; {given} {len(columns)} columns: {quoted(columns)}\n"
                        "  To go on       leave columns out with --drop a,b, or give the model's inputs in its order with --columns a,b,..."
                        + ("" if target else "\n                 (is one of them the answer? then name it with --target)"))
    return {s: columns[k] for s, k in position.items()}


def _usable(frame: pd.DataFrame, encoder: TableEncoder, skip: bool) -> tuple[pd.Index, int]:
    """Rows (index labels) that have all values and known categories, and how many have not; DataError unless they may be skipped."""
    sources = list(dict.fromkeys(c.source for c in encoder.columns))
    gaps = frame[[s for s in sources if None not in encoder.known.get(s, ())]].isna()
    strange = {s: ~(frame[s].isin(known) | frame[s].isna()) for s, known in encoder.known.items()}
    unknown = frame[list(strange)].copy()
    for name, is_strange in strange.items():
        unknown[name] = is_strange
    if not skip:
        _refuse(gaps, len(frame), "missing values", "fill them as the model's training did")
        _refuse(unknown, len(frame), "categories that the model was not trained on", "map them to known ones", frame)
    bad = gaps.any(axis=1).to_numpy() | unknown.any(axis=1).to_numpy(dtype=bool)
    if bad.all():
        raise DataError("every row has a missing value or an unknown category in a column that the model takes: nothing is left")
    return frame.index[~bad], int(bad.sum())


def _refuse(bad: pd.DataFrame, n: int, what: str, way_out: str, frame: pd.DataFrame | None = None) -> None:
    """DataError naming the columns and rows that are bad; with the frame, their values too."""
    rows = bad.index[bad.any(axis=1).to_numpy(dtype=bool)]
    if len(rows) == 0:
        return
    counts = bad.sum()
    counts = counts[counts > 0]
    columns = ", ".join(f"'{c}' ({k})" for c, k in counts.head(MOST_NAMED).items()) + _more(len(counts))
    values = ""
    if frame is not None:
        name = counts.index[0]
        values = f"\n  Values         of '{name}': {quoted(frame[name][bad[name].astype(bool)].unique())}"
    raise DataError(f"{len(rows)} of {n} rows have {what}.\n  Columns        {columns}{values}\n  Rows           {numbered(rows)}\n"
                    f"  To go on       {way_out}, or leave those rows out with --skip-unusable")


def _refuse_text(frame: pd.DataFrame, encoder: TableEncoder) -> None:
    """DataError for text in a column that has to be a number; the encoder itself refuses the rest."""
    import pandas as pd

    for name in dict.fromkeys(c.source for c in encoder.columns if c.values is None):
        series = frame[name]
        if pd.api.types.is_numeric_dtype(series):
            continue
        bad = series[pd.to_numeric(series, errors="coerce").isna()]
        if len(bad):
            shown = ", ".join(f"{i} ({v!r})" for i, v in bad.head(MOST_NAMED).items())
            raise DataError(f"column '{name}' holds text where the model takes numbers.\n"
                            f"  Rows           {shown}{_more(len(bad))}\n"
                            "  To go on       encode it as the model's training did; or save the whole pipeline with its encoder "
                            "(scikit-learn: .skops)")
        frame[name] = pd.to_numeric(series)


def numbered(rows) -> str:
    """Row numbers for a message, counted from 0."""
    return ", ".join(str(r) for r in list(rows)[:MOST_NAMED]) + _more(len(rows)) + " (the first row after the header is 0)"


def quoted(names) -> str:
    names = [str(n) for n in names]
    return ", ".join(f"'{n}'" for n in names[:MOST_NAMED]) + _more(len(names))


def _more(n: int) -> str:
    return f" and {n - MOST_NAMED} more" if n > MOST_NAMED else ""
