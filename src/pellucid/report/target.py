"""The answer's column: which output each of its values stands for, and how well the model does on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..graph import Network
from .table import quoted

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Score:
    """How well the model answers on the data. name: "accuracy" or "R2"; baseline: what a constant answer reaches."""

    name: str
    value: float
    baseline: float
    n_rows: int

    def __str__(self) -> str:
        if self.name == "accuracy":
            return f"accuracy {self.value:.1%} on {self.n_rows} rows (always the most frequent class: {self.baseline:.1%})"
        return f"R2 {self.value:.3f} on {self.n_rows} rows (always the mean: {self.baseline:.3f})"


@dataclass(frozen=True, eq=False)
class Answers:
    """The target column as the network counts: class numbers or values (NaN where unknown), class names, and remarks."""

    y: np.ndarray | None
    class_names: tuple[str, ...] | None
    notes: tuple[str, ...]


def read_answers(net: Network, column: pd.Series | None, class_names: Sequence[str] | None = None) -> Answers:
    """What the target column says, for this network: classes matched by name, else by number, else (nameless ones) in sorted order."""
    if class_names is not None and net.n_classes and len(class_names) != net.n_classes:
        raise ValueError(f"--class-names has {len(class_names)} names, the model has {net.n_classes} classes")
    names = None if class_names is None else tuple(class_names)
    if column is None:
        return Answers(None, names, ())
    if net.is_multilabel:
        return Answers(None, names, ("the model gives several labels at once: its accuracy on one target column was not computed",))
    if net.n_classes == 0:
        return _values(net, column, names)
    return _classes(net, column, names)


def _values(net: Network, column: pd.Series, names) -> Answers:
    import pandas as pd

    y = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    notes = []
    if net.n_outputs > 1:
        return Answers(None, names, (f"the model gives {net.n_outputs} numbers: no score was computed on one target column",))
    if np.isnan(y).all():
        return Answers(None, names, (f"the target '{column.name}' holds no numbers: no score was computed",))
    if net.task is None and len(np.unique(y[~np.isnan(y)])) == 2:
        notes.append("the target has two values and the model one output without a link, so it was taken as a regression; "
                     "if the output is a logit, say --link sigmoid")
    default = net.class_names == ("y0",) and names is None
    return Answers(y, (str(column.name),) if default else names, tuple(notes))


def _classes(net: Network, column: pd.Series, names) -> Answers:
    labels = column.map(label, na_action="ignore")
    values = sorted(column.dropna().unique(), key=lambda v: (isinstance(v, str), v))
    present = [label(v) for v in values]
    known = names or net.class_names
    number, notes = _class_numbers(net, present, known)
    if number is None:
        return Answers(None, names, (f"the target '{column.name}' has the values {quoted(present)}, which are not the model's "
                                     f"{net.n_classes} classes ({quoted(known)}): no accuracy was computed. If they are the same under "
                                     "other names, give --class-names in the order of the model's classes",))
    y = labels.map(number).to_numpy(dtype=np.float64)
    if names is None:
        names = _speaking_names(net, present, number, str(column.name))
    return Answers(y, names, notes)


def _class_numbers(net: Network, present: list[str], known: Sequence[str]) -> tuple[dict[str, int] | None, tuple[str, ...]]:
    """Value of the target -> class number, and how it was found where that is a guess."""
    for names in (known, net.class_names):          # the names that the user gave, then the model's own
        if set(present) <= set(names):
            return {v: list(names).index(v) for v in present}, ()
    if set(present) <= {str(k) for k in range(net.n_classes)}:
        return {v: int(v) for v in present}, ()
    nameless = list(net.class_names) == [f"class {k}" for k in range(net.n_classes)]
    if len(present) == net.n_classes and nameless:
        pairs = ", ".join(f"output {k} is '{v}'" for k, v in enumerate(present)) if net.n_outputs > 1 else f"'{present[1]}' is the output's"
        note = f"the model does not name its classes; the target's values were taken for them in sorted order: {pairs}"
        return {v: k for k, v in enumerate(present)}, (f"{note}. If that is not theirs, give --class-names",)
    return None, ()


def _speaking_names(net: Network, present: list[str], number: dict[str, int], target: str) -> tuple[str, ...]:
    """Class names that say what they are: those of the data where the model has none; bare numbers get the target's name."""
    names = list(net.class_names)
    default = [f"class {k}" for k in range(net.n_classes)]
    if names == default:
        for v in present:
            names[number[v]] = v
    return tuple(f"{target} = {name}" if name.lstrip("-").isdigit() else name for name in names)


def label(value) -> str:
    """A value of the target as a class name: 1.0 and 1 are both "1"."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def score_model(net: Network, X: np.ndarray, y: np.ndarray | None) -> Score | None:
    """Accuracy of the classes, or R2 of the values, on the rows whose answer is known."""
    if y is None:
        return None
    known = ~np.isnan(y)
    X, y = X[known], y[known]
    if net.n_classes:
        right = float(np.mean(net.decide(X) == y))
        return Score("accuracy", right, float(np.bincount(y.astype(int)).max() / len(y)), len(y))
    spread = float(np.sum((y - y.mean()) ** 2))
    if spread == 0:
        return None
    return Score("R2", 1 - float(np.sum((net.predict(X)[:, 0] - y) ** 2)) / spread, 0.0, len(y))
