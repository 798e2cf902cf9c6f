"""Rows grouped by code: the table of the regions that data visits (UNWRAP 2.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .. import _core
from ..chain import Chain
from .faces import FaceRows, settle
from .native import encode

KEPT_WORDS = 4
"""Codes of up to so many words are kept in the table; of longer ones only the hashes, and the number of a row that has the code."""

NOTHING = np.zeros(0)


@dataclass(frozen=True, eq=False)
class Groups:
    """The K regions that rows were found in, largest first, then in the order of their first rows.

    hashes: (K, 3) uint64, 128 bits of hash and a second one that is compared at every meeting. count: (K,) rows. first: (K,) number
    of a row of each. weight: (K,) sum of sample weights, None without. mean: (K, m) of the responses; square: (K, m) weighted
    sums of squared deviations from it, None where they are 0 or 1. loss: (K,) sums of squared errors, where they were kept.
    codes: (K, words), None where the rows give them. labels: (n,) region of each row, where rows lie in memory. faces: rows on faces.
    """

    hashes: np.ndarray
    count: np.ndarray
    first: np.ndarray
    weight: np.ndarray | None
    mean: np.ndarray
    square: np.ndarray | None
    loss: np.ndarray | None
    codes: np.ndarray | None
    labels: np.ndarray | None
    faces: FaceRows
    keys: np.ndarray | None = None
    order: np.ndarray | None = None
    """Of groups on disk: the first hashes, ascending, and the place of each region among them."""

    def __len__(self) -> int:
        return len(self.count)

    @property
    def n_rows(self) -> int:
        return int(self.count.sum())

    @property
    def weights(self) -> np.ndarray:
        """(K,) float64."""
        return self.count.astype(np.float64) if self.weight is None else self.weight

    @cached_property
    def by_hash(self) -> np.ndarray:
        """(K,) the regions in order of the first hash."""
        if self.order is None:
            return np.argsort(self.hashes[:, 0], kind="stable")
        number = np.empty_like(self.order)
        number[self.order] = np.arange(len(self.order), dtype=number.dtype)
        return number

    def only(self, at: np.ndarray) -> Groups:
        """Some of the regions, in this order."""
        columns = {name: None if (column := getattr(self, name)) is None else column[at]
                   for name in ("hashes", "count", "first", "weight", "mean", "square", "loss", "codes")}
        return Groups(**columns, labels=None, faces=self.faces)

    @cached_property
    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """(order (n,), ptr (K + 1,)): the rows of region k are order[ptr[k]:ptr[k + 1]]."""
        assert self.labels is not None, "bug: rows were asked of groups without labels"
        order = np.argsort(self.labels, kind="stable")
        return order, np.concatenate([[0], np.cumsum(self.count)])

    def find(self, codes: np.ndarray) -> np.ndarray:
        """(q,) region of each code, -1 where no row had it."""
        found = np.full(len(codes), -1, dtype=np.int64)
        if not len(self) or not len(codes):
            return found
        asked = _core.hash_codes(np.ascontiguousarray(codes))
        keys = self._sorted_keys
        at = np.searchsorted(keys, asked[:, 0])
        open_ = np.flatnonzero(at < len(keys))
        while len(open_):                          # one turn, but for codes that share 64 bits
            region = self.by_hash[at[open_]]
            same = (self.hashes[region] == asked[open_]).all(axis=1)
            found[open_[same]] = region[same]
            open_ = open_[~same & (keys[at[open_]] == asked[open_, 0])]
            at[open_] += 1
            open_ = open_[at[open_] < len(keys)]
        return found

    @cached_property
    def _sorted_keys(self) -> np.ndarray:
        return self.hashes[self.by_hash, 0] if self.keys is None else self.keys


def codes_at(chain: Chain, X: np.ndarray, *, outputs: bool = False, threads: int = 1) -> tuple[np.ndarray, np.ndarray, FaceRows]:
    """(canonical codes (n, words), y (n, c) or (n, 0), rows on faces) of rows X."""
    codes, face, y = encode(chain, X, outputs=outputs, threads=threads)
    codes, faces = settle(chain, X, codes, face)
    return codes, y, faces


class Table:
    """Codes met so far. `add` batches of rows in order, then `take` what was found."""

    def __init__(self, chain: Chain, n_responses: int, *, weighted: bool, squares: bool, losses: bool, keep_codes: bool | None = None):
        self.words = max(1, _words(chain))
        keep = self.words <= KEPT_WORDS if keep_codes is None else keep_codes
        self.native = _core.group_table(_words(chain), n_responses, keep, weighted, squares, losses)
        self.has_loss, self.faces = losses, FaceRows()

    def __len__(self) -> int:
        return self.native.size()

    @property
    def bytes(self) -> int:
        return self.native.bytes()

    def add(self, codes: np.ndarray, responses: np.ndarray, weight: np.ndarray | None, loss: np.ndarray | None, start: int,
            faces: FaceRows) -> np.ndarray:
        """(n,) the place of each row's code in this table. start: number of the first of these rows."""
        self.faces += faces
        return self.native.add(codes, np.ascontiguousarray(responses, dtype=np.float64), NOTHING if weight is None else weight,
                               NOTHING if loss is None else loss, start)

    def take(self) -> dict[str, np.ndarray | None]:
        """The columns of `Groups`, in the order of first meeting; the table is empty afterwards."""
        return self.native.take()


def _words(chain: Chain) -> int:
    return encode(chain, np.zeros((1, chain.n_inputs)))[0].shape[1]


def largest_first(columns: dict[str, np.ndarray | None], labels: np.ndarray | None, faces: FaceRows) -> Groups:
    """Groups in order of size, then of the first row; the columns are used up, one after the other."""
    count, first = columns["count"], columns["first"]
    assert count is not None
    assert first is not None
    if np.any((count[1:] > count[:-1]) | ((count[1:] == count[:-1]) & (first[1:] < first[:-1]))):
        order = np.lexsort((first, -count))
        del count, first
        for name, column in columns.items():
            columns[name] = None if column is None else column[order]
        if labels is not None:
            number = np.empty(len(order), dtype=labels.dtype)
            number[order] = np.arange(len(order))
            labels = number[labels]
    return Groups(**columns, labels=labels, faces=faces)


def group(chain: Chain, n: int, batch: Callable[[int, int], np.ndarray], responses: Callable[[int, int], np.ndarray],
          weight: np.ndarray | None, *, step: int, n_responses: int, squares: bool, threads: int,
          progress: Callable[[int], object] | None = None) -> Groups:
    """Group n rows that lie in memory. batch, responses: (a, b) -> rows a to b. step: rows taken at once; changes nothing."""
    table = Table(chain, n_responses, weighted=weight is not None, squares=squares, losses=False)
    labels = np.empty(n, dtype=np.int32 if n < 2**31 else np.int64)
    for a in range(0, n, step):
        b = min(n, a + step)
        codes, _, faces = codes_at(chain, batch(a, b), threads=threads)
        labels[a:b] = table.add(codes, responses(a, b), None if weight is None else weight[a:b], None, a, faces)
        if progress is not None:
            progress(b)
    return largest_first(table.take(), labels, table.faces)
