"""`UnwrapperClassifier` and `UnwrapperRegressor`: a network unwrapped on data, as scikit-learn estimators (UNWRAP 2.3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, Interrupted
from ..geometry.frames import column_names, is_frame
from ..graph import Network
from ..graph.network import apply_link, logit
from ..regions.budgets import thread_count
from .batches import Batches, Progress, as_batches
from .coarsen import coarsened
from .explanation import Explanation, explanation
from .groups import codes_at
from .inference import Inference, inference
from .model_of import as_classifier, as_regression, fitted, is_estimator, is_fitted, need_sklearn, network_of
from .models import LocalModels
from .native import maps_of
from .region_model import RegionModel, region_model
from .responses import as_values, class_numbers, classes_for, responses_of
from .rows import MemoryRows, as_inputs, batch_rows, plain
from .stream import StreamedUnwrapping, reader, unwrap_batches
from .summary import GOOD, Summary, summary
from .unwrapping import CHUNK, Unwrapping, chosen, coefficients, local_models, unwrap

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
    def fit(self, X, y=None, sample_weight=None, *, progress: Progress | None = None, checkpoint: str | Path | None = None,
            max_bytes: int | None = None):
        """Unwrap on rows X (n, d) with labels y (n,), or values y (n,) or (n, m). sample_weight: (n,), counts in means and
        scores.

        X may also be a Parquet file or folder or a dask frame (y and sample_weight are then names of columns), or something that gives
        batches (X, y) or (X, y, weight): an iterator, something to iterate anew, or a function that gives an iterator. Rows are then
        not kept, but for a sample.
        progress: called with the rows done. checkpoint: a folder; a run of batches that was ended by anything goes on from there.
        max_bytes: of the table of regions in memory, beyond which it goes to disk.

        Interrupted (Ctrl-C, of batches): `.partial` is this estimator with what was found.
        """
        return self._fit(X, y, sample_weight, progress, checkpoint, max_bytes)

    def _fit(self, X, y, sample_weight, progress, checkpoint, max_bytes):
        _refuse_sparse(X)
        if X is None:
            raise DataError("X is None: rows are needed")
        X = plain(X)
        source = as_batches(X, y, sample_weight, batch_rows(self.batch_size, 32))
        if source is not None:
            return self._fit_batches(source, progress, checkpoint, max_bytes)
        if checkpoint is not None or max_bytes is not None:
            raise ValueError("checkpoint and max_bytes are for rows that come in batches: Parquet, a dask frame, an iterator")
        model = self.network_or_model
        if not isinstance(model, Network) and is_estimator(model):
            model = self.model_ = fitted(model, X, y, sample_weight)
        net = self._as_task(network_of(model, X))
        data = MemoryRows(net, X)
        if not len(data):
            raise DataError("Found array with 0 sample(s) (there are no rows) while a minimum of 1 is required")
        weight = _weights(sample_weight, len(data))
        self._know_classes(net, model, y)
        values = self._read_y(net, y, len(data))
        self._note_columns(X, net)
        found = unwrap(net, data, values, weight, responses_of(net, getattr(self, "classes_", None)),
                       step=batch_rows(self.batch_size, net.n_inputs), threads=self._threads, progress=progress)
        return self._hold(net, found)

    def _fit_batches(self, source: Batches, progress, checkpoint, max_bytes):
        model = self.network_or_model
        if is_estimator(model) and not isinstance(model, Network) and not is_fitted(model):
            raise DataError(f"rows come in batches, and the {type(model).__name__} is not fitted: fit it first, then unwrap it")
        first = next(source.peek(), None)
        if first is None:
            raise DataError("Found array with 0 sample(s) (there are no rows) while a minimum of 1 is required")
        X, y, _ = first
        if is_estimator(model) and not isinstance(model, Network):
            self.model_ = model = getattr(model, "estimator", model) if type(model).__name__ == "FrozenEstimator" else model
        net = self._as_task(network_of(model, X))
        self._know_classes(net, model, y)
        self._note_columns(X, net)
        found, is_whole = unwrap_batches(net, source, reader(net, lambda y, n: self._read_y(net, y, n)),
                                         responses_of(net, getattr(self, "classes_", None)), step=batch_rows(self.batch_size, net.n_inputs),
                                         threads=self._threads, checkpoint=checkpoint, max_bytes=max_bytes, progress=progress)
        self._hold(net, found)
        if not is_whole:
            raise Interrupted(self)
        return self

    def _hold(self, net: Network, found: Unwrapping | StreamedUnwrapping):
        self.network_, self.unwrapping_ = net, found
        self.n_regions_, self.exactness_ = len(found.groups), found.exactness
        return self

    def _note_columns(self, X, net: Network) -> None:
        names = column_names(X)
        self.n_features_in_ = net.n_inputs if names is None else len(names)
        own = names if hasattr(X, "column_names") else getattr(X, "columns", ())
        if names is not None and all(isinstance(c, str) for c in own):
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
        X = plain(X)
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

    def summary(self, top: int | None = None, by: str = "count", *, test=None, expected: Mapping[str, int] | None = None,
                good: float = GOOD) -> Summary:
        """The table of regions (UNWRAP 4): count, response mean and std, local and global AUC or MSE, and what is to be known beside.

        top: the first so many. by: "count", "local" or "global", the order. test: rows, of which the share in unseen regions is given.
        expected: 1 or -1 for features that should work up or down, by name. good: share of the network's skill from which a model
        counts as good, in the column Extrapolation.
        """
        check_is_fitted(self, "unwrapping_")
        unseen = None if test is None else float((self.groups(test) < 0).mean())
        return summary(self.unwrapping_, top, by, unseen=unseen, expected=expected, good=good)

    def region(self, number: int) -> RegionModel:
        """One local model: coef_, intercept_, inequalities, rows."""
        check_is_fitted(self, "unwrapping_")
        u, at = self.unwrapping_, chosen(self.n_regions_, None, [number])
        codes = u.codes(at)
        return region_model(u, int(at[0]), maps_of(u.chain, codes), codes)

    def explain(self, X, *, reference: Any = "mean") -> Explanation:
        """Rows explained by the model of their region: contributions w_j (x_j - reference_j), exact in sum.

        reference: "mean" of the rows of the fit, "zero", or a row (d,), or one for each row (n, d).
        """
        rows, u = self._rows(X), self.unwrapping_
        codes, _, _ = codes_at(u.chain, rows, threads=1)
        if isinstance(reference, str):
            if reference not in ("mean", "zero"):
                raise ValueError(f"reference='{reference}': there are 'mean', 'zero', or a row of {u.network.n_inputs} numbers")
            at = u.centre if reference == "mean" else np.zeros(u.network.n_inputs)
        else:
            at = as_inputs(u.network, np.atleast_2d(reference) if not is_frame(reference) else reference)
            if len(at) not in (1, len(rows)):
                raise DataError(f"reference has {len(at)} rows: one, or one for each of the {len(rows)} rows, is needed")
        return explanation(u.network, rows, codes, u.groups.find(codes), maps_of(u.chain, codes, threads=1), at)

    def coarsen(self, *, layers: int | None = None, angle: float | None = None, offset: float = 0.25,
                scores: Sequence[str] = ("local",)) -> LocalModels:
        """Fewer, rougher models, for every table and picture: regions of the first `layers` layers made one, or models within `angle`
        degrees (of standardised features) and `offset` standard deviations of the output. Each is the mean of its regions' models.
        """
        check_is_fitted(self, "unwrapping_")
        return coarsened(self.unwrapping_, layers=layers, angle=angle, offset=offset, scores=scores)

    def coefficients(self, chunk: int = CHUNK) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(regions (k,), coef (k, c, d), intercept (k, c)) of all regions, some thousand at a time: for what does not fit in memory."""
        check_is_fitted(self, "unwrapping_")
        return coefficients(self.unwrapping_, chunk)

    def inference(self, region: int | None = None, *, row=None, method: str = "wald", level: float = 0.95, draws: int = 100, seed: int = 0,
                  reference=None, X=None, y=None, sample_weight=None) -> Inference:
        """Estimates, tests and intervals of a model refitted on a region's rows: see `pellucid.unwrap.inference.inference`."""
        check_is_fitted(self, "unwrapping_")
        return inference(self, region, row=row, method=method, level=level, draws=draws, seed=seed, reference=reference, X=X, y=y,
                         sample_weight=sample_weight)


class UnwrapperClassifier(ClassifierMixin, _Unwrapper):
    """A piecewise linear classifier as the local linear models that rows of data meet, one a region, each for every logit.

    network_or_model: a Network, a fitted or an unfitted scikit-learn MLP (alone or in a pipeline), a torch module, a path, or whatever
        `pellucid.load` takes. An unfitted one is fitted in `fit`; all else is held frozen and only unwrapped.
    batch_size: rows taken at once; "auto" keeps a batch at some MB. n_jobs: threads; None takes PELLUCID_THREADS or all cores.
        Neither changes the answer.

    Fitted: classes_, network_, n_regions_, exactness_ (local models against the network), n_features_in_, feature_names_in_.
    """

    def _as_task(self, net: Network) -> Network:
        return as_classifier(net)

    def _know_classes(self, net: Network, model, y) -> None:
        self.classes_ = np.arange(net.n_outputs) if net.is_multilabel else classes_for(net, y, getattr(model, "classes_", None))

    def _read_y(self, net: Network, y, n: int) -> np.ndarray:
        if not net.is_multilabel:
            return class_numbers(y, n, self.classes_)
        values = as_values(y, n, net.n_outputs)
        if not np.isin(values, (0, 1)).all():
            raise DataError("the network has several labels at once: y must hold 0 and 1, a column for each")
        return values

    def decision_function(self, X) -> np.ndarray:
        """Logits: (n,) of two classes, that of the second; (n, c) of more."""
        y = self._outputs(X)
        if self.network_.is_multilabel or len(self.classes_) > 2:
            return y
        return y[:, 0] if y.shape[1] == 1 else y[:, 1] - y[:, 0]

    def predict_proba(self, X) -> np.ndarray:
        """(n, classes) probabilities, as the model gives them."""
        y = self._outputs(X)
        net = self.network_
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

    def _as_task(self, net: Network) -> Network:
        return as_regression(net)

    def _know_classes(self, net: Network, model, y) -> None:
        pass

    def _read_y(self, net: Network, y, n: int) -> np.ndarray:
        return as_values(y, n, net.n_outputs)

    def predict(self, X) -> np.ndarray:
        """(n,), or (n, m) of several outputs."""
        y = self._outputs(X)
        return y[:, 0] if y.shape[1] == 1 else y


# ---- arguments
def _refuse_sparse(X) -> None:
    if hasattr(X, "tocsr"):
        raise TypeError("Sparse data was passed, but dense data is required: use X.toarray()")


def _weights(sample_weight, n: int) -> np.ndarray | None:
    if sample_weight is None:
        return None
    w = np.ascontiguousarray(sample_weight.to_numpy() if hasattr(sample_weight, "to_numpy") else plain(sample_weight), dtype=np.float64)
    if w.size == 1 and n > 1:
        w = np.full(n, float(w.ravel()[0]))
    if w.ndim != 1:
        raise DataError("Sample weights must be 1D array or scalar")
    if len(w) != n:
        raise DataError(f"sample_weight.shape == {w.shape}, expected ({n},)!")
    if not (np.isfinite(w).all() and (w >= 0).all() and w.sum() > 0):
        raise DataError("sample weights are finite, not negative, and not all 0")
    return w
