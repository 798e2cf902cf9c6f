"""MergedClassifier, MergedRegressor: the network's many local linear models merged to a few, refitted on their rows (UNWRAP 5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted

from ..graph.network import apply_link
from .glm import PENALTIES, Glm, refit_linear, refit_logistic
from .merge import Scale
from .models import LocalModels, Rows
from .partition import Partition, partition, visit, without_models
from .statistics import merged_models

CANDIDATES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 15, 20)


class _Merged(BaseEstimator):
    """What both estimators share.

    Source    UNWRAP algorithm 1.
    Differs   likeness and place are measured in units that do not depend on those of the features; the graph of neighbours starts at
              1% of the models, at most 30; above `max_models` models they are grouped before the tree is built; a new row goes by
              the vote of the nearest centres, nearer ones counting more.
    """

    def fit(self, X, y, sample_weight=None):
        """Merge the local linear models that the rows visit, and refit one model a cluster. `model` is fitted first where it is not."""
        self._check_arguments()
        data = self._read(X, y, sample_weight)
        build, hold = self._held_out(data)
        self.unwrapper_ = self._unwrap(data, build)
        data = self._encode(data)
        regions = _Regions.of(self.unwrapper_, data.X, self.n_classes_)
        self.scale_ = Scale.of(data.X[build], data.weight[build])
        self.validation_loss_ = self._validated(data, regions, build)
        self.chosen_ = min(self.validation_loss_, key=self.validation_loss_.get)        # the smallest of equals: they are ascending
        visited = self._visit(data, regions, build)
        found = partition(visited, self.chosen_, self.tau)
        self.partition_ = Partition(without_models(visited), found.cluster)
        self.n_neighbors_ = visited.tree.n_neighbors
        self.n_clusters_ = found.n_clusters
        refit = build if hold is None else hold
        label = self.partition_.of(data.X[refit], regions.number[refit])
        self.labels_ = self.partition_.of(data.X, regions.number)
        self.coef_, self.intercept_ = self._refit(data.take(refit), label, self.n_clusters_, {})
        self.rows_ = Rows(data.X[refit], data.y[refit], data.weight[refit], label)
        self.n_features_in_ = data.X.shape[1]
        return self

    # ---- what users ask
    @property
    def network_(self):
        check_is_fitted(self)
        return self.unwrapper_.network_

    def groups(self, X) -> np.ndarray:
        """(n,) number of the cluster that each row belongs to: that of its region, or by its position where its region is new."""
        check_is_fitted(self)
        X = self._rows(X)
        return self.partition_.of(X, self.unwrapper_.groups(X))

    def local_models(self, top: int | None = None, *, index: Sequence[int] | None = None,
                     scores: Sequence[str] = ("local", "global")) -> LocalModels:
        """The merged models, largest first, with the rows that they were refitted on; every table and picture takes them.

        top: the k largest only; index: these clusters only. scores: which of "local" and "global" to compute.
        """
        check_is_fitted(self)
        keep = np.arange(self.n_clusters_)[:top] if index is None else np.asarray(index, dtype=np.intp)
        return merged_models(self.network_, self.coef_, self.intercept_, self.rows_, keep, self.n_classes_, tuple(scores))

    def _logits(self, X) -> np.ndarray:
        """(n, c) what the merged models say, in the network's outputs."""
        check_is_fitted(self)
        X = self._rows(X)
        label = self.partition_.of(X, self.unwrapper_.groups(X))
        out = np.empty((len(X), self.intercept_.shape[1]))
        for k in np.unique(label):
            mine = label == k
            out[mine] = X[mine] @ self.coef_[k].T + self.intercept_[k]
        return out

    # ---- the parts of fit
    def _validated(self, data: _Data, regions: _Regions, build: np.ndarray) -> dict[int, float]:
        """Loss on rows that were neither merged nor refitted on, for each K; one K without a loss where there is nothing to choose."""
        candidates = self._candidates()
        if len(candidates) == 1:
            return {candidates[0]: np.nan}
        losses = np.zeros(len(candidates))
        for part, valid in self._folds(data, build):
            visited, known, new = self._visit(data, regions, part), data.take(part), data.take(valid)
            fitted: dict = {}
            for i, K in enumerate(candidates):
                found = partition(visited, K, self.tau)
                coef, intercept = self._refit(known, found.of(known.X, regions.number[part]), found.n_clusters, fitted)
                label = found.of(new.X, regions.number[valid])
                logits = np.einsum("nd,ncd->nc", new.X, coef[label]) + intercept[label]
                losses[i] += self._loss(logits, new)
        return {K: float(loss) for K, loss in zip(candidates, losses, strict=True)}

    def _visit(self, data: _Data, regions: _Regions, rows: np.ndarray):
        rows = rows[regions.number[rows] >= 0]
        y = data.y[rows] if self.n_classes_ else None
        return visit(data.X[rows], y, regions.number[rows], regions.coef, regions.intercept, scale=self.scale_, n_classes=self.n_classes_,
                     n_neighbors=self.n_neighbors, max_models=self.max_models, seed=_seed(self.random_state))

    def _refit(self, data: _Data, label: np.ndarray, K: int, fitted: dict) -> tuple[np.ndarray, np.ndarray]:
        """coef (K, c, d), intercept (K, c). fitted: models by their rows, kept between cuts of one tree, which share clusters."""
        models = []
        for k in range(K):
            rows = np.flatnonzero(label == k)
            key = rows.tobytes()
            if key not in fitted:
                fitted[key] = self._glm(data.take(rows if len(rows) else np.arange(len(label))))     # none held out: the model of all
            models.append(fitted[key])
        return np.array([m[0] for m in models]), np.array([m[1] for m in models])

    def _candidates(self) -> list[int]:
        if isinstance(self.n_clusters, str):
            return list(CANDIDATES)
        return [int(self.n_clusters)] if isinstance(self.n_clusters, Integral) else sorted({int(k) for k in self.n_clusters})

    def _folds(self, data: _Data, build: np.ndarray):
        """(rows to learn from, rows to judge by), a share held out once or folds in turn."""
        if isinstance(self.validation, Integral):
            order = np.random.default_rng(_seed(self.random_state)).permutation(build)
            folds = np.array_split(order, min(self.validation, len(build)))
            return [(np.sort(np.concatenate(folds[:i] + folds[i + 1:])), np.sort(f)) for i, f in enumerate(folds)]
        part, valid = _split(build, data.y if self.n_classes_ else None, self.validation, _seed(self.random_state))
        return [(part, valid)]

    def _held_out(self, data: _Data) -> tuple[np.ndarray, np.ndarray | None]:
        """Rows that find the clusters, and rows that the models are fitted on (None: the same)."""
        every = np.arange(len(data.X))
        if self.refit_on == "all":
            return every, None
        build, hold = _split(every, data.y if self._is_classifier else None, self.holdout, _seed(self.random_state) + 1)
        return build, hold

    def _unwrap(self, data: _Data, build: np.ndarray):
        estimator = frozen_unwrapper(self.model, self._is_classifier)
        weight = None if data.plain else data.weight[build]
        return estimator.fit(data.X[build], data.y[build], sample_weight=weight)

    def _rows(self, X) -> np.ndarray:
        from sklearn.utils.validation import validate_data

        return validate_data(self, X, reset=False, dtype=np.float64)

    def _read(self, X, y, sample_weight) -> _Data:
        from sklearn.utils.validation import _check_sample_weight, validate_data

        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=not self._is_classifier, y_numeric=not self._is_classifier)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        used = weight > 0
        return _Data(X[used], y[used], weight[used], sample_weight is None)

    def _check_arguments(self) -> None:
        if self.penalty not in PENALTIES:
            raise ValueError(f"penalty={self.penalty!r}; it can be None, 'l1' or 'l2'")
        if self.refit_on not in ("all", "holdout"):
            raise ValueError(f"refit_on={self.refit_on!r}; it can be 'all' (the rows that found the clusters) or 'holdout' (others)")
        if isinstance(self.n_clusters, str) and self.n_clusters != "auto":
            raise ValueError(f"n_clusters={self.n_clusters!r}; it can be 'auto', a number, or the numbers to choose from")
        if not self._candidates() or min(self._candidates()) < 1:
            raise ValueError(f"n_clusters={self.n_clusters!r}: at least one cluster is needed")
        for name in ("validation", "holdout"):
            value = getattr(self, name)
            if not (name == "validation" and isinstance(value, Integral) and value > 1) and not 0 < value < 1:
                raise ValueError(f"{name}={value!r}; it is a share of the rows, between 0 and 1"
                                 + (", or a number of folds, from 2" if name == "validation" else ""))

    def __sklearn_clone__(self):
        """A copy with the same arguments, unfitted; a model that is fitted stays as it is (it is held frozen)."""
        keep = clone if not is_fitted(self.model) else lambda model, safe: model
        arguments = self.get_params(deep=False)
        return type(self)(keep(arguments.pop("model"), safe=False), **{k: clone(v, safe=False) for k, v in arguments.items()})


class MergedClassifier(ClassifierMixin, _Merged):
    """A classifier made of a few logistic models, each for a cluster of linear regions of a network (UNWRAP, algorithm 1).

    model: an unfitted scikit-learn MLP (fitted in `fit`), a fitted one, a torch module, a Network or an unwrapper: held frozen.
    n_clusters: K, several to choose from, or "auto" (1 to 8, 10, 15, 20), by the log loss on held-out rows; small clusters go after that.
    n_neighbors: T, a number or a share (float) of the models; raised until all hang together. Default 1%, at most 30.
    tau: clusters of at most so many rows, or of one class, join the nearest larger one.
    penalty: None, "l1" or "l2" on standardised slopes, C its inverse strength. Inference by Wald needs None.
    refit_on: "all" rows, or "holdout": a share `holdout` that had no say in the clusters, so that intervals are valid.
    validation: share of the rows that K is chosen on, or a number of folds. max_models: above so many, models are grouped first.

    Fitted: coef_ (K, c, d) and intercept_ (K, c) in the network's logits, n_clusters_ (what is left), chosen_ (K as cut),
    validation_loss_ (by K), n_neighbors_, labels_ (cluster of each row), unwrapper_, network_, classes_.
    """

    def __init__(self, model, *, n_clusters="auto", n_neighbors=None, tau=30, penalty=None, C=1.0, refit_on="all", holdout=0.5,
                 validation=0.2, max_models=10_000, random_state=0):
        self.model = model
        self.n_clusters = n_clusters
        self.n_neighbors = n_neighbors
        self.tau = tau
        self.penalty = penalty
        self.C = C
        self.refit_on = refit_on
        self.holdout = holdout
        self.validation = validation
        self.max_models = max_models
        self.random_state = random_state

    _is_classifier = True

    def predict(self, X) -> np.ndarray:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def predict_proba(self, X) -> np.ndarray:
        """(n, classes)"""
        y = self._logits(X)
        p = apply_link("sigmoid" if y.shape[1] == 1 else "softmax", y)
        return np.column_stack([1 - p, p]) if y.shape[1] == 1 else p

    def decision_function(self, X) -> np.ndarray:
        """(n,) logit of the second class where there are two, else (n, classes)."""
        y = self._logits(X)
        return y[:, 0] if y.shape[1] == 1 else y[:, 1] - y[:, 0] if y.shape[1] == 2 else y

    def _encode(self, data: _Data) -> _Data:
        self.classes_ = self.unwrapper_.classes_
        self.n_classes_ = len(self.classes_)
        at = np.minimum(np.searchsorted(self.classes_, data.y), self.n_classes_ - 1)
        return _Data(data.X, at.astype(np.intp), data.weight, data.plain)

    def _glm(self, data: _Data) -> tuple[np.ndarray, np.ndarray]:
        coef, intercept = refit_logistic(data.X, data.y, self.n_classes_, data.weight, Glm(self.penalty, self.C), self.scale_)
        if len(coef) == 1 and self.network_.n_outputs == 2:
            return np.concatenate([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
        return coef, intercept

    def _loss(self, logits: np.ndarray, data: _Data) -> float:
        full = np.column_stack([np.zeros(len(logits)), logits]) if logits.shape[1] == 1 else logits
        loss = np.logaddexp.reduce(full, axis=1) - full[np.arange(len(full)), data.y]
        return float(data.weight @ loss)


class MergedRegressor(RegressorMixin, _Merged):
    """A regression made of a few linear models, each for a cluster of linear regions of a network (UNWRAP, algorithm 1).

    As `MergedClassifier`, with the squared error in place of the log loss, and alpha as strength of the penalty on standardised
    slopes: mean squared error / 2 + alpha |b| ("l1") or + alpha b^2 / 2 ("l2").
    """

    def __init__(self, model, *, n_clusters="auto", n_neighbors=None, tau=30, penalty=None, alpha=1.0, refit_on="all", holdout=0.5,
                 validation=0.2, max_models=10_000, random_state=0):
        self.model = model
        self.n_clusters = n_clusters
        self.n_neighbors = n_neighbors
        self.tau = tau
        self.penalty = penalty
        self.alpha = alpha
        self.refit_on = refit_on
        self.holdout = holdout
        self.validation = validation
        self.max_models = max_models
        self.random_state = random_state

    _is_classifier = False
    n_classes_ = 0

    def predict(self, X) -> np.ndarray:
        """(n,), or (n, outputs) where y had several columns."""
        y = self._logits(X)
        return y[:, 0] if self._one_column else y

    def _encode(self, data: _Data) -> _Data:
        self._one_column = data.y.ndim == 1
        return _Data(data.X, np.asarray(data.y, dtype=float), data.weight, data.plain)

    def _glm(self, data: _Data) -> tuple[np.ndarray, np.ndarray]:
        return refit_linear(data.X, _as_columns(data.y), data.weight, Glm(self.penalty, self.alpha), self.scale_)

    def _loss(self, values: np.ndarray, data: _Data) -> float:
        return float(data.weight @ ((values - _as_columns(data.y)) ** 2).mean(axis=1))


def is_fitted(model) -> bool:
    """Is this held frozen: anything but a scikit-learn estimator that has not been fitted."""
    from sklearn.exceptions import NotFittedError

    if not isinstance(model, BaseEstimator):
        return True
    try:
        check_is_fitted(model)
    except (NotFittedError, TypeError):
        return False
    return True


def frozen_unwrapper(model, classifier: bool):
    """A new unwrapper of the model; of the network of one that is fitted, of a copy of the model of one that is not."""
    from .unwrapper import UnwrapperClassifier, UnwrapperRegressor

    kind = UnwrapperClassifier if classifier else UnwrapperRegressor
    if isinstance(model, UnwrapperClassifier | UnwrapperRegressor):
        return kind(model.network_) if is_fitted(model) else clone(model)
    return kind(model)


@dataclass(frozen=True, eq=False)
class _Data:
    """Rows, their class numbers or values, their weights; plain: no weights were given."""

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    plain: bool

    def take(self, rows: np.ndarray) -> _Data:
        return _Data(self.X[rows], self.y[rows], self.weight[rows], self.plain)


@dataclass(frozen=True, eq=False)
class _Regions:
    """number: (n,) region of each row, -1 where it is new to the unwrapper. coef, intercept: of each region, by its number."""

    number: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray

    @staticmethod
    def of(unwrapper, X: np.ndarray, n_classes: int) -> _Regions:
        models = unwrapper.local_models(scores=())
        order = np.argsort(models.origin)
        coef, intercept = models.coef[order], models.intercept[order]
        if n_classes:                                # only differences of logits decide: compare models by them
            coef, intercept = _centred(coef), _centred(intercept)
        return _Regions(unwrapper.groups(X), coef, intercept)


def _centred(logits: np.ndarray) -> np.ndarray:
    return logits if logits.shape[1] == 1 else logits - logits.mean(axis=1, keepdims=True)


def _as_columns(y: np.ndarray) -> np.ndarray:
    return y[:, None] if y.ndim == 1 else y


def _seed(random_state) -> int:
    if isinstance(random_state, Integral):
        return int(random_state)
    from sklearn.utils import check_random_state

    return int(check_random_state(random_state).randint(2 ** 31 - 2))


def _split(rows: np.ndarray, y: np.ndarray | None, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(rest, share) of the rows, by class where y is given; each ascending. At least one row stays on each side."""
    rng = np.random.default_rng(seed)
    draw = rng.random(len(rows))
    taken = np.zeros(len(rows), dtype=bool)
    group = np.zeros(len(rows), dtype=np.intp) if y is None else np.unique(y[rows], return_inverse=True)[1]
    for g in range(group.max() + 1):
        mine = np.flatnonzero(group == g)
        taken[mine[np.argsort(draw[mine], kind="stable")[:round(share * len(mine))]]] = True
    if taken.all() or not taken.any():
        taken[:] = False
        taken[np.argmin(draw)] = len(rows) > 1
    return (rows[~taken], rows[taken]) if taken.any() else (rows, rows)
