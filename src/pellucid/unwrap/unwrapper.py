"""`UnwrapperClassifier` and `UnwrapperRegressor`: a network unwrapped on data, as scikit-learn estimators (UNWRAP 2.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import DataError
from ..geometry.frames import column_names, is_frame
from ..graph import Network
from ..graph.network import apply_link, logit
from ..regions.budgets import thread_count
from .groups import codes_at
from .model_of import as_classifier, as_regression, fitted, is_estimator, need_sklearn, network_of
from .models import LocalModels
from .responses import as_values, class_numbers, classes_for, responses_of
from .rows import MemoryRows, as_inputs, batch_rows
from .unwrapping import CHUNK, Unwrapping, coefficients, local_models, unwrap

need_sklearn()

from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin  # noqa: E402
from sklearn.utils.validation import check_is_fitted  # noqa: E402


class _Unwrapper(BaseEstimator):
    """What both have in common. Fitted attributes: network_ (Network), model_ (the fitted estimator, where one was given),
    n_regions_, n_features_in_, feature_names_in_ (of frames), unwrapping_ (the table of regions), exactness_."""

    def __init__(self, network_or_model: Any, *, batch_size: int | str = "auto", n_jobs: int | None = None):
        self.network_or_model = network_or_model
        self.batch_size = batch_size
        self.n_jobs = n_jobs

    # ---- fitting
    def _fit(self, X, y, sample_weight, progress):
        _refuse_sparse(X)
        model = self.network_or_model
        if not isinstance(model, Network) and is_estimator(model):
            _demand_rows(X)
            model = self.model_ = fitted(model, _as_given(X), y, sample_weight)
        net = self._as_task(network_of(model, X))
        data = MemoryRows(net, X)
        if not len(data):
            raise DataError("Found array with 0 sample(s) (there are no rows) while a minimum of 1 is required")
        weight = _weights(sample_weight, len(data))
        values = self._read_y(net, model, y, len(data))
        self._note_columns(X, data)
        kind = responses_of(net, getattr(self, "classes_", None))
        self.network_ = net
        self.unwrapping_ = unwrap(net, data, values, weight, kind, step=batch_rows(self.batch_size, net.n_inputs), threads=self._threads,
                                  progress=progress)
        self.n_regions_ = len(self.unwrapping_.groups)
        self.exactness_ = self.unwrapping_.exactness
        return self

    def _note_columns(self, X, data: MemoryRows) -> None:
        names = column_names(X)
        self.n_features_in_ = len(names) if names is not None else data.net.n_inputs
        if names is not None and all(isinstance(c, str) for c in _raw_columns(X)):
            self.feature_names_in_ = np.array(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    @property
    def _threads(self) -> int:
        return thread_count(None if self.n_jobs is None or self.n_jobs < 0 else self.n_jobs)

    def _rows(self, X) -> np.ndarray:
        """X as the network's inputs."""
        check_is_fitted(self, "unwrapping_")
        _refuse_sparse(X)
        if not is_frame(X):
            shape = np.shape(X)
            width = int(np.prod(shape[1:])) if len(shape) > 1 else None
            if width is not None and width != self.network_.n_inputs:
                raise DataError(f"X has {width} features, but {type(self).__name__} is expecting {self.network_.n_inputs} features as "
                                "input")
        return as_inputs(self.network_, X)

    def _outputs(self, X) -> np.ndarray:
        """(n, c) of the network, some thousand rows at a time."""
        rows, step = self._rows(X), batch_rows(self.batch_size, self.network_.n_inputs)
        return np.vstack([self.network_(rows[a:a + step]) for a in range(0, max(len(rows), 1), step)])

    # ---- what was found
    def groups(self, X) -> np.ndarray:
        """(n,) number of each row's region, the largest is 0; -1 where no row of the fit was in it."""
        rows, u = self._rows(X), self.unwrapping_
        step = batch_rows(self.batch_size, self.network_.n_inputs)
        return np.concatenate([u.groups.find(codes_at(u.chain, rows[a:a + step], threads=u.threads)[0])
                               for a in range(0, max(len(rows), 1), step)])

    def local_models(self, top: int | None = None, index: Sequence[int] | np.ndarray | None = None,
                     scores: Sequence[str] = ("local",)) -> LocalModels:
        """The local linear models of all regions, the `top` largest, or those numbered in `index`; largest first.

        scores: of "local" and "global", those to compute (UNWRAP 4): AUC of classifiers, mean squared error of regressions.
        """
        check_is_fitted(self, "unwrapping_")
        return local_models(self.unwrapping_, top=top, index=index, scores=scores)

    def coefficients(self, chunk: int = CHUNK) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(regions (k,), coef (k, c, d), intercept (k, c)) of all regions, some thousand at a time: for what does not fit in memory."""
        check_is_fitted(self, "unwrapping_")
        return coefficients(self.unwrapping_, chunk)

    @property
    def _unwrapping(self) -> Unwrapping:
        check_is_fitted(self, "unwrapping_")
        return self.unwrapping_


class UnwrapperClassifier(ClassifierMixin, _Unwrapper):
    """A piecewise linear classifier as the local linear models that rows of data meet, one a region, each for every logit.

    network_or_model: a Network, a fitted or an unfitted scikit-learn MLP (alone or in a pipeline), a torch module, a path, or whatever
        `pellucid.load` takes. An unfitted one is fitted in `fit`; all else is held frozen and only unwrapped.
    batch_size: rows taken at once; "auto" keeps a batch at some MB. n_jobs: threads; None takes PELLUCID_THREADS or all cores.
        Neither changes the answer.

    Fitted: classes_, network_, n_regions_, exactness_ (local models against the network), n_features_in_, feature_names_in_.
    """

    def fit(self, X, y=None, sample_weight=None, *, progress: Callable[[int], object] | None = None):
        """Unwrap on rows X (n, d) with labels y. sample_weight: (n,), counts in means and scores. progress: called with the rows done."""
        return self._fit(X, y, sample_weight, progress)

    def _as_task(self, net: Network) -> Network:
        return as_classifier(net)

    def _read_y(self, net: Network, model, y, n: int) -> np.ndarray:
        if net.is_multilabel:
            values = as_values(y, n, net.n_outputs)
            if not np.isin(values, (0, 1)).all():
                raise DataError("the network has several labels at once: y must hold 0 and 1, a column for each")
            self.classes_ = np.arange(net.n_outputs)
            return values
        self.classes_ = classes_for(net, y, getattr(model, "classes_", None))
        return class_numbers(y, n, self.classes_)

    def decision_function(self, X) -> np.ndarray:
        """Logits: (n,) of two classes, that of the second; (n, c) of more."""
        y = self._outputs(X)
        if self.network_.is_multilabel or len(self.classes_) > 2:
            return y
        return y[:, 0] if y.shape[1] == 1 else y[:, 1] - y[:, 0]

    def predict_proba(self, X) -> np.ndarray:
        """(n, classes) probabilities, as the model gives them."""
        net = self.network_ if hasattr(self, "network_") else None
        y = self._outputs(X)
        assert net is not None
        p = np.exp(apply_link(net.link, y)) if net.link == "log_softmax" else apply_link(net.link, y)
        return p if p.shape[1] > 1 else np.column_stack([1 - p, p])

    def predict(self, X) -> np.ndarray:
        """(n,) class of each row; (n, c) zeros and ones where several labels are given at once."""
        y = self._outputs(X)
        if self.network_.is_multilabel:
            return (y > logit(0.5)).astype(int)
        return self.classes_[(y[:, 0] > 0).astype(int) if y.shape[1] == 1 else y.argmax(axis=1)]


class UnwrapperRegressor(RegressorMixin, _Unwrapper):
    """A piecewise linear regression as the local linear models that rows of data meet, one a region, each for every output.

    Arguments and fitted attributes as of UnwrapperClassifier.
    """

    def fit(self, X, y=None, sample_weight=None, *, progress: Callable[[int], object] | None = None):
        """Unwrap on rows X (n, d) with values y, (n,) or (n, m). sample_weight: (n,), counts in means and scores."""
        return self._fit(X, y, sample_weight, progress)

    def _as_task(self, net: Network) -> Network:
        return as_regression(net)

    def _read_y(self, net: Network, model, y, n: int) -> np.ndarray:
        return as_values(y, n, net.n_outputs)

    def predict(self, X) -> np.ndarray:
        """(n,), or (n, m) of several outputs."""
        y = self._outputs(X)
        return y[:, 0] if y.shape[1] == 1 else y


# ---- arguments
def _as_given(X):
    """What scikit-learn's own checks are to see."""
    return X


def _raw_columns(X) -> list:
    return list(getattr(X, "columns", None) if getattr(X, "columns", None) is not None and not callable(X.columns)
                and not hasattr(X, "column_names") else X.column_names)


def _refuse_sparse(X) -> None:
    if hasattr(X, "tocsr"):
        raise TypeError("Sparse data was passed, but dense data is required: use X.toarray()")


def _demand_rows(X) -> None:
    if X is None:
        raise DataError("X is None: rows are needed")


def _weights(sample_weight, n: int) -> np.ndarray | None:
    if sample_weight is None:
        return None
    if np.ndim(sample_weight) == 0:
        return np.full(n, float(sample_weight))
    w = np.ascontiguousarray(sample_weight.to_numpy() if hasattr(sample_weight, "to_numpy") else sample_weight, dtype=np.float64)
    if w.ndim != 1:
        raise DataError("Sample weights must be 1D array or scalar")
    if len(w) != n:
        raise DataError(f"sample_weight.shape == {w.shape}, expected ({n},)!")
    if not (np.isfinite(w).all() and (w >= 0).all() and w.sum() > 0):
        raise DataError("sample weights are finite, not negative, and not all 0")
    return w
