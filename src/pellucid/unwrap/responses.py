"""What the rows answer: classes or numbers, as the means and scores of local models take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataError
from ..graph import Network


@dataclass(frozen=True, eq=False)
class Responses:
    """kind: "binary" (one response: the row is of the second class), "classes" (one a class), "labels" (one a label, 0 or 1) or
    "numbers" (one an output). n: how many responses. classes: values of y for each class; empty for numbers and labels."""

    kind: str
    n: int
    classes: np.ndarray

    @property
    def are_shares(self) -> bool:
        """Is each response 0 or 1?"""
        return self.kind != "numbers"

    def of(self, y: np.ndarray) -> np.ndarray:
        """(n, m) float64 of class numbers, values (n,) or (n, m)."""
        if self.kind == "binary":
            return (y == 1)[:, None].astype(np.float64)
        if self.kind == "classes":
            return (y[:, None] == np.arange(self.n)).astype(np.float64)
        return np.asarray(y, dtype=np.float64).reshape(len(y), self.n)

    def scores(self, outputs: np.ndarray) -> np.ndarray:
        """(..., m) from the network's or a local model's outputs (..., c): what ranks the rows by each response, or predicts it.

        Several classes: the logit of the class's probability, which orders rows as that does and does not saturate.
        """
        if self.kind == "binary":
            return outputs if outputs.shape[-1] == 1 else (outputs[..., 1] - outputs[..., 0])[..., None]
        if self.kind != "classes":
            return outputs
        return outputs - _log_sum_of_others(outputs)


def _log_sum_of_others(y: np.ndarray) -> np.ndarray:
    """log of the sum of exp of all entries of the last axis but each one."""
    c = y.shape[-1]
    out = np.empty_like(y)
    for k in range(c):
        rest = np.delete(y, k, axis=-1)
        top = rest.max(axis=-1, keepdims=True)
        out[..., k] = (top + np.log(np.exp(rest - top).sum(axis=-1, keepdims=True)))[..., 0]
    return out


def responses_of(net: Network, classes: np.ndarray | None) -> Responses:
    """What rows answer to this network. classes: values of y for each of its classes, None for a regression."""
    none = np.zeros(0)
    if classes is None:
        return Responses("numbers", net.n_outputs, none)
    if net.is_multilabel:
        return Responses("labels", net.n_outputs, none)
    return Responses("binary", 1, classes) if len(classes) == 2 else Responses("classes", len(classes), classes)


def as_values(y: Any, n_rows: int, n_outputs: int) -> np.ndarray:
    """Numbers to predict, (n,) or (n, m) float64, finite. DataError."""
    if y is None:
        raise DataError("fit requires y to be passed, but the target y is None: a value for each row is needed")
    values = np.asarray(_array(y))
    try:
        values = values.astype(np.float64)
    except (TypeError, ValueError) as e:
        raise DataError(f"y holds what is no number ({e}); a classifier takes labels: UnwrapperClassifier") from e
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if len(values) != n_rows:
        raise DataError(f"X has {n_rows} rows, y has {len(values)}")
    if not np.isfinite(values).all():
        raise DataError("y contains NaN or infinity")
    if (1 if values.ndim == 1 else values.shape[1]) != n_outputs:
        raise DataError(f"y has {1 if values.ndim == 1 else values.shape[1]} columns, the network gives {n_outputs} outputs")
    return values


def class_numbers(y: Any, n_rows: int, classes: np.ndarray) -> np.ndarray:
    """(n,) place of each row's class. DataError for a label that is none."""
    values = _labels(y)
    if len(values) != n_rows:
        raise DataError(f"X has {n_rows} rows, y has {len(values)}")
    order = np.argsort(classes, kind="stable")
    try:
        at = np.minimum(np.searchsorted(classes[order], values), len(classes) - 1)
        same = classes[order][at] == values
    except TypeError:
        at, same = np.zeros(len(values), dtype=int), np.zeros(len(values), dtype=bool)
    if not np.all(same):
        wrong = values[np.flatnonzero(~same)[0]]
        raise DataError(f"y holds {wrong!r}, which is no class of the network; there are: {', '.join(str(c) for c in classes[:10])}")
    return order[at]


def classes_for(net: Network, y: Any, known: np.ndarray | None) -> np.ndarray:
    """The values of y that the network's classes stand for, in their order.

    known: those of the model itself, where it has them. Else labels that are called as the classes, or numbers 0 to c - 1, or as
    many different labels as there are classes, in order. DataError where none of this fits.
    """
    if known is not None:
        return np.asarray(known)
    c, labels = net.n_classes, np.unique(_labels(y))
    names = list(net.class_names)
    if all(str(v) in names for v in labels):
        return _typed(names, labels)
    if labels.dtype.kind in "iufb" and np.isin(labels, np.arange(c)).all():
        return np.arange(c).astype(labels.dtype) if labels.dtype.kind != "b" else np.array([False, True])[:c]
    if len(labels) == c:
        return labels
    raise DataError(f"y has {len(labels)} different labels ({', '.join(str(v) for v in labels[:8])}), the network has {c} classes "
                    f"({', '.join(names[:8])}).\n  To go on       give labels 0 to {c - 1}, or load(model, class_names=...) with y's own")


def _typed(names: list[str], labels: np.ndarray) -> np.ndarray:
    """The class names as values of the labels' kind, where they are of it."""
    own = {str(v): v for v in labels}
    try:
        values = [own[s] if s in own else labels.dtype.type(s) for s in names]
        return np.array(values, dtype=None if labels.dtype.kind in "USO" else labels.dtype)
    except (TypeError, ValueError):
        return np.array([own.get(s, s) for s in names], dtype=object)


def _labels(y: Any) -> np.ndarray:
    if y is None:
        raise DataError("fit requires y to be passed, but the target y is None: a label for each row is needed")
    values = np.asarray(_array(y))
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if values.ndim != 1:
        raise DataError(f"y has shape {values.shape}: one label for each row is needed")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError("y contains NaN or infinity")
    return values.astype(str) if values.dtype == object and all(isinstance(v, str) for v in values) else values


def _array(y: Any):
    """y as numpy takes it: series and one-column frames of any library."""
    if isinstance(y, np.ndarray | list | tuple):
        return y
    return y.to_numpy() if hasattr(y, "to_numpy") else y
