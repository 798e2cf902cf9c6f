"""What the estimators beside the unwrappers share: rows as arrays, splits, and models that are held frozen."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from ..errors import DataError
from ..geometry.frames import column_names, is_frame
from .model_of import is_estimator, is_fitted
from .responses import as_values, class_numbers
from .rows import as_inputs
from .unwrapper import UnwrapperClassifier, UnwrapperRegressor


@dataclass(frozen=True, eq=False)
class Data:
    """Rows (n, d), their class numbers (n,) or values (n, m), and weights (n,), all above 0. plain: no weights were given."""

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    plain: bool

    def __len__(self) -> int:
        return len(self.X)

    def take(self, rows: np.ndarray) -> Data:
        return Data(self.X[rows], self.y[rows], self.weight[rows], self.plain)

    def and_also(self, other: Data) -> Data:
        return Data(*(np.concatenate([getattr(self, k), getattr(other, k)]) for k in ("X", "y", "weight")), plain=self.plain)

    def that_count(self) -> Data:
        """Without the rows of weight 0."""
        return self if (self.weight > 0).all() else self.take(np.flatnonzero(self.weight > 0))


def unwrapped_data(unwrapper) -> Data:
    """The rows that an unwrapper was fitted on."""
    u = unwrapper.unwrapping_
    return Data(u.data.whole(), _columns_of_numbers(u.y, u.kind.are_shares), np.ones(u.n_rows) if u.weight is None else u.weight,
                u.weight is None)


def read_data(net, classes: np.ndarray | None, X, y, sample_weight) -> Data:
    """Rows, answers and weights for a network whose classes are known (None: numbers). DataError."""
    rows = as_inputs(net, X)
    values = as_values(y, len(rows), net.n_outputs) if classes is None else class_numbers(y, len(rows), classes)
    weight = np.ones(len(rows)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    if len(weight) != len(rows):
        raise DataError(f"X has {len(rows)} rows, sample_weight has {len(weight)}")
    return Data(rows, _columns_of_numbers(values, classes is not None), weight, sample_weight is None)


def _columns_of_numbers(y: np.ndarray, classes: bool) -> np.ndarray:
    return y if classes or y.ndim == 2 else y[:, None]


def taken(rows: Any, index: np.ndarray):
    """Some rows of an array, a frame or a column of any library; None of None."""
    if rows is None:
        return None
    if is_frame(rows):
        import narwhals as nw

        return nw.from_native(rows, eager_only=True)[index.tolist()].to_native()
    return np.asarray(rows)[index]


def n_rows(X) -> int:
    if column_names(X) is not None:
        import narwhals as nw

        return len(nw.from_native(X, eager_only=True))
    return len(X)


def frozen(model) -> bool:
    """Anything but a scikit-learn estimator that has not been fitted."""
    return not is_estimator(model) or is_fitted(model)


def copied(model):
    """A clone of an estimator that is to be fitted; what is frozen stays as it is."""
    from sklearn.base import clone

    return model if frozen(model) else clone(model)


def unwrapper_for(model, classifier: bool):
    """A new unwrapper: of the network of one that is fitted, a clone of one that is not, of a model or network."""
    if isinstance(model, UnwrapperClassifier | UnwrapperRegressor):
        if isinstance(model, UnwrapperClassifier) != classifier:
            raise ValueError(f"a {type(model).__name__} was given: MergedClassifier merges classifiers, MergedRegressor regressions")
        if frozen(model):
            return type(model)(getattr(model, "model_", model.network_), batch_size=model.batch_size, n_jobs=model.n_jobs)
        return copied(model)
    return (UnwrapperClassifier if classifier else UnwrapperRegressor)(model)


def seed_of(random_state) -> int:
    if isinstance(random_state, Integral):
        return int(random_state)
    from sklearn.utils import check_random_state

    return int(check_random_state(random_state).randint(2 ** 31 - 2))


def split(rows: np.ndarray, group: np.ndarray | None, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(rest, share) of the rows, each ascending; alike in every group (a label for each of `rows`) where given.

    At least one row goes to each side where there are two; one row alone stands on both.
    """
    draw = np.random.default_rng(seed).random(len(rows))
    gone = np.zeros(len(rows), dtype=bool)
    label = np.zeros(len(rows), dtype=np.intp) if group is None else np.unique(group, return_inverse=True)[1]
    for g in range(label.max() + 1):
        mine = np.flatnonzero(label == g)
        gone[mine[np.argsort(draw[mine], kind="stable")[:round(share * len(mine))]]] = True
    if len(rows) == 1:
        return rows, rows
    if gone.all() or not gone.any():
        gone[:] = False
        gone[draw.argmin()] = True
    return rows[~gone], rows[gone]


def plain_data(estimator, X, y, sample_weight, classifier: bool) -> tuple[Data, np.ndarray | None]:
    """Rows for an estimator without a network, by scikit-learn's own checks, and the classes."""
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import _check_sample_weight, validate_data

    X, y = validate_data(estimator, _as_pandas(X), y, dtype=np.float64, multi_output=not classifier, y_numeric=not classifier)
    weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    classes = None
    if classifier:
        check_classification_targets(y)
        classes, y = np.unique(y, return_inverse=True)
    return Data(X, _columns_of_numbers(np.asarray(y), classifier), weight, sample_weight is None), classes


def plain_rows(estimator, X) -> np.ndarray:
    from sklearn.utils.validation import validate_data

    return validate_data(estimator, _as_pandas(X), reset=False, dtype=np.float64)


def _as_pandas(X):
    if not is_frame(X):
        return X
    import narwhals as nw

    return nw.from_native(X, eager_only=True).to_pandas()
