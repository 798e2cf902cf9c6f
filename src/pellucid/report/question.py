"""What `pellucid explain` asks: which network, on which rows, over which plane."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DomainError
from ..geometry import Box, Slice
from ..graph import Network
from .focus import Influence, anchor, axis_features, chosen_features, data_box, feature_number, influence
from .subject import counts, read
from .table import Rows, quoted
from .target import Answers, Score

MOST_STEPS = 100
"""Whole numbers between the ends of a feature's range, up to which a reader is told that there is nothing in between."""


@dataclass(frozen=True, eq=False)
class Question:
    """A network, the rows that it was asked about, and the plane to explain it over.

    free: the two features that move; chosen: whether the user chose them. at: where the others stand, in words.
    fixed, ranges: features that stand elsewhere, and whose range is another, as asked; trim: percent cut off the others' ranges.
    notes: remarks that a reader has to see.
    """

    model: Path
    data: Path
    network: Network
    rows: Rows
    answers: Answers
    score: Score | None
    influence: Influence
    plane: Slice
    free: tuple[int, int]
    chosen: bool
    at: str
    fixed: tuple[str, ...]
    ranges: tuple[str, ...]
    trim: float
    notes: tuple[str, ...]

    @property
    def decides(self) -> bool:
        """The network gives classes (or labels), so that the plane can be split by them."""
        return self.network.n_classes > 0 or self.network.is_multilabel


def ask(model: str | os.PathLike, data: str | os.PathLike, *, free: Sequence[str] = (), at: str = "median",
        fix: Mapping[str, float] | None = None, ranges: Mapping[str, tuple[float, float]] | None = None, trim: float = 0.0,
        **how) -> Question:
    """Read the model and the data (`how`: as in `read`), and choose the plane."""
    subject = read(model, data, **how)
    net, rows = subject.network, subject.rows
    size = influence(net, rows.X)
    pair = _pair(net, size, free)
    x0, words = anchor(net, rows.X, at)
    for name, value in (fix or {}).items():
        x0[feature_number(net, name)] = value
    box = data_box(net, rows.X, x0, trim=trim, ranges=ranges)
    _refuse_flat(box, pair)
    plane = box.slice(free=pair, at=x0)
    assert isinstance(plane, Slice)
    fixed = tuple(f"{k} = {v:g}" for k, v in (fix or {}).items())
    return Question(subject.model, subject.data, net, rows, subject.answers, subject.score, size, plane, pair, bool(free), words,
                    fixed, tuple(ranges or ()), trim, (*subject.notes, *_remarks(net, rows, pair, trim)))


def _pair(net: Network, size: Influence, free: Sequence[str]) -> tuple[int, int]:
    """The two features that move: those asked for, else the two of largest influence."""
    if net.n_inputs < 2:
        raise DomainError("the model has one input; a plane needs two")
    i, j = chosen_features(net, free) if free else size.pair()
    return i, j


def _refuse_flat(box: Box, pair: tuple[int, int]) -> None:
    for j in pair:
        if box.lower[j] == box.upper[j]:
            raise DomainError(f"'{box.names[j]}' is {box.lower[j]:g} in every row: choose another feature with --free, "
                              f"or give it a range with --range '{box.names[j]}=LOW:HIGH'")


def _remarks(net: Network, rows: Rows, pair: tuple[int, int], trim: float) -> tuple[str, ...]:
    notes = []
    stretched = [net.feature_names[j] for j in _stretched(net, rows.X)] if trim == 0 else []
    if stretched:
        notes.append(f"most of the range of {quoted(stretched)} holds 2% of the rows only, so weights over that range are large; "
                     "--trim 1 leaves such values out")
    whole = [net.feature_names[j] for j in pair if counts(rows.X[:, j]) and np.ptp(rows.X[:, j]) <= MOST_STEPS]
    if whole:
        notes.append(f"{' and '.join(whole)} {'take' if len(whole) > 1 else 'takes'} whole numbers only in the data; "
                     "the map is continuous and also shows what lies between them")
    return tuple(notes)


def _stretched(net: Network, X: np.ndarray) -> np.ndarray:
    """Features whose range is mostly made by their outermost 1% on either side."""
    low, bottom, top, high = np.percentile(X, [0, 1, 99, 100], axis=0)
    return np.flatnonzero(axis_features(net, X) & (top - bottom < 0.5 * (high - low)))
