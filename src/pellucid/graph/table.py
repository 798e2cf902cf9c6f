"""Tables with categories: how rows of a frame become rows of network inputs (numbers and one-hot columns), and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS_NAMED = 5


@dataclass(frozen=True)
class TableColumn:
    """One network input. source: the frame's column it is made of.

    values: None for a number taken as it is; else the categories on which this input is 1 (it is 0 on the others).
        `None` among them stands for a missing value, where the model has learned that as a category of its own.
    """

    name: str
    source: str
    values: tuple[Any, ...] | None = None


@dataclass(frozen=True, eq=False)
class TableCategory:
    """All network inputs that one categorical column of the frame makes.

    columns: (m,) the inputs. patterns: (K, m) the values they can take together, each once. values: K tuples, the categories
    that each pattern stands for (several where the model does not tell them apart).
    """

    source: str
    columns: np.ndarray
    patterns: np.ndarray
    values: tuple[tuple[Any, ...], ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Each pattern in words."""
        return tuple(" or ".join("missing" if v is None else str(v) for v in group) for group in self.values)


@dataclass(frozen=True)
class TableEncoder:
    """From raw columns to network inputs. Part of a `Network` whose model takes raw tables.

    columns: one a network input, in order.
    known: for each categorical source every category that the model knows, also those without an input of their own.
    """

    columns: tuple[TableColumn, ...]
    known: Mapping[str, tuple[Any, ...]]

    def encode(self, frame) -> np.ndarray:
        """Rows of a frame (pandas, polars, arrow; columns by name) as network inputs, (n, d) float64.

        DataError, naming columns and rows, where a column is absent, a value is missing, a number is none, or a
        category is unknown to the model.
        """
        table = _as_pandas(frame)
        absent = [s for s in dict.fromkeys(c.source for c in self.columns) if s not in table.columns]
        if absent:
            raise DataError(f"the frame lacks the column{'s' * (len(absent) > 1)} {_quoted(absent)}; it has {_quoted(table.columns)}")
        numbers: dict[str, np.ndarray] = {}
        categories: dict[str, np.ndarray] = {}
        for c in self.columns:
            if c.values is None and c.source not in numbers:
                numbers[c.source] = _numbers(table[c.source], c.source)
            elif c.values is not None and c.source not in categories:
                categories[c.source] = _categories(table[c.source], c.source, self.known[c.source])
        out = np.empty((len(table), len(self.columns)))
        for j, c in enumerate(self.columns):
            if c.values is None:
                out[:, j] = numbers[c.source]
            else:                                               # categories[..] holds positions in known[..]
                mine = [k for k, v in enumerate(self.known[c.source]) if v in c.values]
                out[:, j] = np.isin(categories[c.source], mine)
        return out

    @property
    def sources(self) -> tuple[str, ...]:
        """The frame's columns that the network reads, in the order of its inputs."""
        return tuple(dict.fromkeys(c.source for c in self.columns))

    def category(self, source: str) -> TableCategory | None:
        """What a column's categories are as inputs; None for a column of numbers."""
        mine = np.array([j for j, c in enumerate(self.columns) if c.source == source], dtype=int)
        if source not in self.known:
            return None
        seen: dict[tuple[float, ...], list[Any]] = {}
        for v in self.known[source]:
            entries = (self.columns[j].values for j in mine)        # None: the category is read as a number, too
            seen.setdefault(tuple(float(v if e is None else v in e) for e in entries), []).append(v)
        return TableCategory(source, mine, np.array(list(seen)).reshape(len(seen), len(mine)), tuple(map(tuple, seen.values())))

    def decode(self, X) -> pd.DataFrame:
        """Rows of network inputs (n, d) as a frame of the original columns: `encode` turned round.

        Of categories that the model does not tell apart the first one is given. DataError where a row's one-hot inputs are
        those of no category.
        """
        import pandas as pd

        X = np.atleast_2d(np.asarray(X, dtype=np.float64))
        if X.shape[1] != len(self.columns):
            raise DataError(f"rows of {len(self.columns)} network inputs are needed, got {X.shape[1]}")
        frame = {}
        for source in self.sources:
            category = self.category(source)
            if category is None:
                frame[source] = X[:, [c.source for c in self.columns].index(source)]
                continue
            first = [group[0] for group in category.values]
            frame[source] = pd.Series([first[k] for k in _pattern_of(category, X)], dtype=None if len(X) else object)
        return pd.DataFrame(frame)

    def to_json(self) -> dict:
        """Plain lists and dicts; `from_json` reads them back."""
        return {"columns": [[c.name, c.source, None if c.values is None else list(c.values)] for c in self.columns],
                "known": {k: list(v) for k, v in self.known.items()}}

    @classmethod
    def from_json(cls, what: dict) -> TableEncoder:
        columns = tuple(TableColumn(n, s, None if v is None else tuple(v)) for n, s, v in what["columns"])
        return cls(columns, {k: tuple(v) for k, v in what["known"].items()})


def _pattern_of(category: TableCategory, X: np.ndarray) -> np.ndarray:
    """(n,) which pattern of the category each row has; DataError where it has none."""
    same = (X[:, None, category.columns] == category.patterns).all(axis=2)
    bad = np.flatnonzero(~same.any(axis=1))
    if len(bad):
        shown = ", ".join(f"{v:g}" for v in X[bad[0], category.columns])
        raise DataError(f"row {bad[0]}: the inputs of '{category.source}' are {shown}, which is none of its categories "
                        f"({_quoted(category.labels[:10])})")
    return same.argmax(axis=1)


def _as_pandas(frame):
    """Any frame that narwhals knows, as pandas; a mapping of columns too."""
    import narwhals as nw
    import pandas as pd

    if isinstance(frame, Mapping):
        return pd.DataFrame(dict(frame))
    try:
        table = nw.from_native(frame, eager_only=True).to_pandas()
    except TypeError as e:
        raise DataError(f"a frame with named columns is needed (pandas, polars, arrow), got a {type(frame).__name__}") from e
    return table.set_axis([str(c) for c in table.columns], axis=1)


def _numbers(series, name: str) -> np.ndarray:
    """A numeric column as float64; DataError where a value is missing or no finite number."""
    import pandas as pd

    _refuse(series.isna().to_numpy(), series, f"column '{name}' has missing values",
            "fill them first, as the model's imputer would, or leave those rows out")
    if not (pd.api.types.is_numeric_dtype(series) or series.dtype == object):
        raise DataError(f"column '{name}' holds {series.dtype}; the network takes numbers there")
    x = np.asarray(pd.to_numeric(series, errors="coerce"), dtype=np.float64)
    _refuse(~np.isfinite(x), series, f"column '{name}' holds values that are no finite numbers", "repair or drop those rows")
    return x


def _categories(series, name: str, known: tuple[Any, ...]) -> np.ndarray:
    """Positions of the column's values among the known categories, (n,) int; DataError for a value not among them."""
    missing = series.isna().to_numpy()
    place = {v: k for k, v in enumerate(known)}
    codes = np.array([place.get(None if gone else v, -1) for v, gone in zip(series.astype(object), missing, strict=True)], dtype=np.int64)
    _refuse(missing & (codes < 0), series, f"column '{name}' has missing values",
            "fill them first, as the model's imputer would, or leave those rows out")
    _refuse(codes < 0, series, f"column '{name}' has categories that the model was not trained on",
            f"the model knows {_quoted(v for v in known if v is not None)}")
    return codes


def _refuse(bad: np.ndarray, series, what: str, way_out: str) -> None:
    """DataError naming the bad rows (by the frame's index) and their values, if there are any."""
    rows = np.flatnonzero(bad)
    if len(rows):
        shown = ", ".join(f"{series.index[r]} ({series.iloc[r]})" for r in rows[:MOST_ROWS_NAMED])
        more = f" and {len(rows) - MOST_ROWS_NAMED} more" if len(rows) > MOST_ROWS_NAMED else ""
        raise DataError(f"{what}.\n  Rows           {shown}{more}\n  To go on       {way_out}")


def _quoted(names) -> str:
    return ", ".join(f"'{n}'" for n in names)
