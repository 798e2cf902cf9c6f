"""Rows that come in batches: Parquet files, dask frames, iterators. Read once to group them, once more for some of their models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import DataError, MissingExtra
from ..geometry.frames import is_frame

Batch = tuple[Any, Any, Any]
"""(X, y, sample weights or None), as the source gives them: arrays or frames."""


class Batches(ABC):
    """A source of batches in a fixed order. again: can it be read a second time? words: what it is, to know it again after a stop."""

    again: bool
    words: str

    def peek(self) -> Iterator[Batch]:
        """The first batches, which are still there for `read`."""
        return self.read(0)

    @abstractmethod
    def read(self, skip: int) -> Iterator[Batch]:
        """The batches from number `skip` on."""


class ParquetBatches(Batches):
    """A Parquet file, or a folder of them in the order of their names. target, weight: columns."""

    again = True

    def __init__(self, path: str | Path, target: str, weight: str | None, rows: int):
        if not isinstance(target, str):
            raise DataError(f"rows come from {path}, so y is the name of the column to predict, not a {type(target).__name__}")
        self.path, self.target, self.weight, self.rows = Path(path), target, weight, rows
        if not self.path.exists():
            raise DataError(f"there is no file or folder {self.path}")
        self.files = sorted(self.path.rglob("*.parquet")) if self.path.is_dir() else [self.path]
        if not self.files:
            raise DataError(f"the folder {self.path} holds no .parquet file")
        sizes = [(f.name, f.stat().st_size) for f in self.files]
        self.words = f"parquet {sizes} target={target} weight={weight} rows={rows}"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(n for n in self._columns() if n not in (self.target, self.weight))

    def _columns(self) -> list[str]:
        import pyarrow.parquet as pq

        names = pq.ParquetFile(self.files[0]).schema_arrow.names
        for wanted in (self.target, self.weight):
            if wanted is not None and wanted not in names:
                raise DataError(f"{self.files[0].name} has no column '{wanted}'; it has: {', '.join(names[:20])}")
        return names

    def read(self, skip: int) -> Iterator[Batch]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._columns()
        for path in self.files:
            with pq.ParquetFile(path) as file:
                mine = -(-file.metadata.num_rows // self.rows)
                if skip >= mine:
                    skip -= mine
                    continue
                yield from self._of(file, skip)
                skip = 0
            pa.default_memory_pool().release_unused()

    def _of(self, file, skip: int) -> Iterator[Batch]:
        """Batches of one file; row groups that lie before them are not read."""
        start, group = skip * self.rows, 0
        while group < file.metadata.num_row_groups and start >= file.metadata.row_group(group).num_rows:
            start -= file.metadata.row_group(group).num_rows
            group += 1
        groups = list(range(group, file.metadata.num_row_groups))
        held = None
        import pyarrow as pa

        for part in file.iter_batches(batch_size=self.rows, row_groups=groups, use_threads=False):
            table = pa.Table.from_batches([part])
            if start:                              # within the first group
                cut = min(start, len(table))
                table, start = table.slice(cut), start - cut
            held = table if held is None else pa.concat_tables([held, table])
            while len(held) >= self.rows:
                yield self._batch(held.slice(0, self.rows))
                held = held.slice(self.rows)
        if held is not None and len(held):
            yield self._batch(held)

    def _batch(self, table) -> Batch:
        weight = None if self.weight is None else table[self.weight].to_numpy()
        return table.select([n for n in table.column_names if n not in (self.target, self.weight)]), table[self.target].to_numpy(), weight


class DaskBatches(Batches):
    """A dask frame, a partition a batch. y, weight: columns."""

    again = True

    def __init__(self, frame, target, weight):
        if not isinstance(target, str) or not (weight is None or isinstance(weight, str)):
            raise DataError("rows come from a dask frame, so y (and sample_weight) are the names of columns of it")
        for name in (target, weight):
            if name is not None and name not in frame.columns:
                raise DataError(f"the dask frame has no column '{name}'; it has: {', '.join(map(str, frame.columns))}")
        self.frame, self.target, self.weight = frame, target, weight
        self.words = f"dask {list(map(str, frame.columns))} in {frame.npartitions} partitions target={target} weight={weight}"

    def read(self, skip: int) -> Iterator[Batch]:
        for k in range(skip, self.frame.npartitions):
            part = self.frame.partitions[k].compute()
            weight = None if self.weight is None else part[self.weight].to_numpy()
            yield part.drop(columns=[n for n in (self.target, self.weight) if n is not None]), part[self.target].to_numpy(), weight


class IteratorBatches(Batches):
    """(X, y) or (X, y, weight) from an iterator (read once), from something that can be iterated anew, or from a function that gives
    an iterator."""

    def __init__(self, source):
        self.source, self.again, self.words = source, not hasattr(source, "__next__"), "iterator"
        self.taken: list[Any] = []                 # what `peek` took from an iterator

    def peek(self) -> Iterator[Batch]:
        if self.again:
            return self.read(0)
        self.taken = self.taken or [b for b in [next(self.source, None)] if b is not None]
        return iter([self._checked(0, b) for b in self.taken])

    def read(self, skip: int) -> Iterator[Batch]:
        source = self.source() if callable(self.source) else self.source
        for k, batch in enumerate(chain(self.taken, source)):
            if k >= skip:
                yield self._checked(k, batch)
            if k == 0:
                self.taken = []

    @staticmethod
    def _checked(k: int, batch) -> Batch:
        if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
            raise DataError(f"batch {k} is a {type(batch).__name__}; a pair (X, y) or a triple (X, y, sample weights) is needed")
        X, y, *weight = batch
        return X, y, weight[0] if weight else None


def as_batches(X: Any, y: Any, sample_weight: Any, rows: int) -> Batches | None:
    """The source that X is, None where X is rows in memory."""
    if isinstance(X, str | Path):
        return ParquetBatches(X, y, sample_weight, rows)
    if type(X).__module__.split(".")[0] in ("dask", "dask_expr"):
        if not hasattr(X, "npartitions"):
            raise DataError(f"a dask frame is needed, got a {type(X).__name__}: pass delayed batches as an iterator of (X, y)")
        try:
            import dask.dataframe  # noqa: F401
        except ImportError as e:
            raise MissingExtra("dask", "cluster", "rows from a dask frame") from e
        return DaskBatches(X, y, sample_weight)
    if is_frame(X) or hasattr(X, "__array__") or hasattr(X, "__getitem__"):
        return None
    if callable(X) or hasattr(X, "__iter__"):
        if y is not None or sample_weight is not None:
            raise DataError("X gives batches (X, y) or (X, y, weight), so y and sample_weight are not passed beside it")
        return IteratorBatches(X)
    return None


Progress = Callable[[int], object]
