"""What a question is asked of: a network, fitted to the rows of a file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..geometry import Box
from ..graph import Network
from ..importers import load
from .focus import anchor, data_box, spread_rows
from .table import Rows, match_rows, read_table
from .target import Answers, Score, read_answers, score_model

FIDELITY_ROWS = 256
"""Rows of the data on which the model's own runtime is asked too."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A network and the rows that it is asked about.

    answers: the target column as the network counts. score: how well the model does on the rows. notes: remarks that a reader has to see.
    """

    model: Path
    data: Path
    network: Network
    rows: Rows
    answers: Answers
    score: Score | None
    notes: tuple[str, ...]

    def box(self, *, trim: float = 0.0, ranges: Mapping[str, tuple[float, float]] | None = None) -> Box:
        """The bounding box of the rows, in all features."""
        x0, _ = anchor(self.network, self.rows.X, "median")
        return data_box(self.network, self.rows.X, x0, trim=trim, ranges=ranges)


def read(model: str | os.PathLike, data: str | os.PathLike, *, target: str | None = None, class_names: Sequence[str] | None = None,
         columns: Sequence[str] | None = None, drop: Sequence[str] = (), skip_unusable: bool = False, link: str | None = None) -> Subject:
    """Read the model and the data, and fit them to each other.

    The model is read twice: its own names are needed to find its columns, and then its runtime is asked about those rows.
    """
    model, data = Path(model), Path(data)
    net = load(model, link=link)
    rows = match_rows(net, read_table(data), target=target, columns=columns, drop=drop, skip_unusable=skip_unusable)
    answers = read_answers(net, None if target is None else rows.frame[target], class_names)
    net = load(model, link=link, feature_names=rows.names, class_names=answers.class_names, check_with=spread_rows(rows.X, FIDELITY_ROWS))
    if rows.table is not None:
        net = replace(net, table=rows.table)
    return Subject(model, data, net, rows, answers, score_model(net, rows.X, answers.y), _remarks(rows, answers))


def whole_features(subject: Subject) -> tuple[str, ...]:
    """Names of the features that are numbers, move, and are whole in every row; categories are known apart."""
    return tuple(subject.network.feature_names[j] for j in whole_columns(subject.network, subject.rows.X))


def whole_columns(net: Network, X: np.ndarray) -> list[int]:
    """The same by number, for rows X (n, d)."""
    number = [True] * net.n_inputs if net.table is None else [c.values is None for c in net.table.columns]
    return [j for j in range(net.n_inputs) if number[j] and X[:, j].min() < X[:, j].max() and counts(X[:, j])]


def counts(column: np.ndarray) -> bool:
    """Whether all values are whole numbers."""
    return bool(np.all(column == np.round(column)))


def _remarks(rows: Rows, answers: Answers) -> tuple[str, ...]:
    notes = list(answers.notes)
    if rows.names is not None:
        notes.append(f"the model does not name its inputs: the columns were taken {rows.how}; check that this is theirs")
    if rows.skipped:
        notes.append(f"{rows.skipped} rows with missing values or unknown categories were left out")
    return tuple(notes)
