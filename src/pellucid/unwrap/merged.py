"""MergedClassifier, MergedRegressor: the network's many local linear models merged to a few, refitted on their rows (UNWRAP 5.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from ..errors import DataError
from ..graph.network import apply_link
from .batches import as_batches
from .estimating import Data, copied, frozen, n_rows, read_data, seed_of, split, taken, unwrapped_data, unwrapper_for
from .glm import PENALTIES, Glm, refit_linear, refit_logistic
from .inference import AFTER_MERGING, AFTER_NETWORK, Inference, inference
from .merge import Scale
from .merged_models import merged_models, merged_summary
from .model_of import need_sklearn
from .models import LocalModels, Rows
from .partition import Partition, partition, visit, without_models
from .responses import responses_of
from .summary import GOOD, Summary
from .unwrapping import chosen

need_sklearn()

from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone  # noqa: E402
from sklearn.utils.validation import check_is_fitted  # noqa: E402

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
        data, build, refit = self._read(X, y, sample_weight)
        regions = _Regions.of(self.unwrapper_, data.X, self._is_classifier)
        self.scale_ = Scale.of(data.X[build], data.weight[build])
        self.validation_loss_ = self._validated(data, regions, build)
        self.chosen_ = min(self.validation_loss_, key=self.validation_loss_.__getitem__)  # the smallest of equals: they are ascending
        visited = self._visit(data, regions, build)
        found = partition(visited, self.chosen_, self.tau)
        self.partition_ = Partition(without_models(visited), found.cluster)
        self.n_neighbors_, self.n_clusters_ = visited.tree.n_neighbors, found.n_clusters
        self.labels_ = self.partition_.of(data.X, regions.number)
        own, label = data.take(refit), self.labels_[refit]
        self.coef_, self.intercept_ = self._refit(own, label, self.n_clusters_, {})
        self.rows_ = Rows(own.X, own.y, own.weight, label)
        return self

    def inference(self, region: int | None = None, *, row=None, method: str = "wald", level: float = 0.95, draws: int = 100, seed: int = 0,
                  reference=None, X=None, y=None, sample_weight=None) -> Inference:
        """Estimates, tests and intervals of one cluster's coefficients: see `pellucid.unwrap.inference.inference`."""
        check_is_fitted(self)
        return inference(self, region, row=row, method=method, level=level, draws=draws, seed=seed, reference=reference, X=X, y=y,
                         sample_weight=sample_weight)

    # ---- what users ask
    @property
    def network_(self):
        """What was unwrapped."""
        check_is_fitted(self)
        return self.unwrapper_.network_

    @property
    def glm_(self) -> Glm:
        """What was refitted."""
        return Glm(self.penalty, self.C if self._is_classifier else self.alpha)

    @property
    def inference_notes_(self) -> tuple[str, ...]:
        """What limits p-values and intervals: on which rows the clusters were found."""
        if self.refit_on == "all":
            return (AFTER_MERGING,)
        return (AFTER_NETWORK,) if frozen(self.model) else ()

    def groups(self, X) -> np.ndarray:
        """(n,) number of the cluster that each row belongs to: that of its region, or by its position where its region is new."""
        check_is_fitted(self)
        X = self.unwrapper_._rows(X)
        return self.partition_.of(X, self.unwrapper_.groups(X))

    def local_models(self, top: int | None = None, *, index: Sequence[int] | None = None,
                     scores: Sequence[str] = ("local", "global")) -> LocalModels:
        """The merged models, largest first, with the rows that they were refitted on; every table and picture takes them.

        top: the k largest only; index: these clusters only. scores: which of "local" and "global" to compute.
        """
        check_is_fitted(self)
        keep = chosen(self.n_clusters_, top, index)
        return merged_models(self.network_, self.coef_, self.intercept_, self.rows_, keep, self._responses, tuple(scores))

    def summary(self, top: int | None = None, by: str = "count", *, expected: Mapping[str, int] | None = None,
                good: float = GOOD) -> Summary:
        """The table of the merged models (UNWRAP Table 6): as of an unwrapper, on the rows that they were refitted on.

        Its performance is that of the merged models together.
        """
        models = self.local_models()
        return merged_summary(models, self._responses, self._logits, self.unwrapper_.exactness_, top, by, expected, good)

    @property
    def _responses(self):
        return responses_of(self.network_, self.classes_ if self._is_classifier else None)

    def _logits(self, X) -> np.ndarray:
        """(n, c) what the merged models say, in the network's outputs."""
        check_is_fitted(self)
        X = self.unwrapper_._rows(X)
        label = self.partition_.of(X, self.unwrapper_.groups(X))
        out = np.empty((len(X), self.intercept_.shape[1]))
        for k in np.unique(label):
            mine = label == k
            out[mine] = X[mine] @ self.coef_[k].T + self.intercept_[k]
        return out

    # ---- the parts of fit
    def _validated(self, data: Data, regions: _Regions, build: np.ndarray) -> dict[int, float]:
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

    def _visit(self, data: Data, regions: _Regions, rows: np.ndarray):
        rows = rows[regions.number[rows] >= 0]
        n_classes = len(self.classes_) if self._is_classifier else 0
        return visit(data.X[rows], data.y[rows], regions.number[rows], regions.coef, regions.intercept, scale=self.scale_,
                     n_classes=n_classes, n_neighbors=self.n_neighbors, max_models=self.max_models, seed=seed_of(self.random_state))

    def _refit(self, data: Data, label: np.ndarray, K: int, fitted: dict) -> tuple[np.ndarray, np.ndarray]:
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

    def _folds(self, data: Data, build: np.ndarray):
        """(rows to learn from, rows to judge by), a share held out once or folds in turn."""
        if isinstance(self.validation, Integral):
            order = np.random.default_rng(seed_of(self.random_state)).permutation(build)
            folds = np.array_split(order, min(self.validation, len(build)))
            return [(np.sort(np.concatenate(folds[:i] + folds[i + 1:])), np.sort(f)) for i, f in enumerate(folds)]
        return [split(build, data.y[build] if self._is_classifier else None, self.validation, seed_of(self.random_state))]

    def _read(self, X, y, sample_weight) -> tuple[Data, np.ndarray, np.ndarray]:
        """(rows, those that find the clusters, those that the models are fitted on); the unwrapper is fitted on the way."""
        if X is not None and not hasattr(X, "tocsr") and as_batches(X, y, sample_weight, 1) is not None:
            raise DataError("merging wants the rows in memory: it refits models on them.\n"
                            "  To go on       fit on a sample; the merged models then take any row")
        unwrapper = unwrapper_for(self.model, self._is_classifier)
        if self.refit_on == "all":
            self.unwrapper_ = unwrapper.fit(X, y, sample_weight=sample_weight)
            data = unwrapped_data(self.unwrapper_)
            build = refit = None
        else:
            group = np.asarray(y).ravel() if self._is_classifier else None
            mine, other = split(np.arange(n_rows(X)), group, self.holdout, seed_of(self.random_state) + 1)
            self.unwrapper_ = unwrapper.fit(taken(X, mine), taken(y, mine), sample_weight=taken(sample_weight, mine))
            data = unwrapped_data(self.unwrapper_).that_count()
            held = read_data(self.network_, getattr(self.unwrapper_, "classes_", None), taken(X, other), taken(y, other),
                             taken(sample_weight, other)).that_count()
            build, refit = np.arange(len(data)), len(data) + np.arange(len(held))
            data = data.and_also(held)
        self._take_over(self.unwrapper_)
        data = data.that_count()
        every = np.arange(len(data))
        return data, every if build is None else build, every if refit is None else refit

    def _take_over(self, unwrapper) -> None:
        """Names and classes are the unwrapper's."""
        if self.network_.is_multilabel:
            raise DataError("the network gives several labels at once, for which no merging is defined.\n"
                            "  To go on       load the network with one of its outputs")
        for name in ("classes_", "n_features_in_", "feature_names_in_"):
            if hasattr(unwrapper, name):
                setattr(self, name, getattr(unwrapper, name))
            elif hasattr(self, name):
                delattr(self, name)

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
            if not (name == "validation" and isinstance(value, Integral) and int(value) > 1) and not 0 < float(value) < 1:
                raise ValueError(f"{name}={value!r}; it is a share of the rows, between 0 and 1"
                                 + (", or a number of folds, from 2" if name == "validation" else ""))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = not self._is_classifier
        return tags

    def __sklearn_clone__(self):
        """A copy with the same arguments, unfitted; a model that is fitted stays as it is (it is held frozen)."""
        arguments = self.get_params(deep=False)
        return type(self)(copied(arguments.pop("model")), **{k: clone(v, safe=False) for k, v in arguments.items()})


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
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X) -> np.ndarray:
        """(n, classes)"""
        y = self._logits(X)
        p = apply_link("sigmoid" if y.shape[1] == 1 else "softmax", y)
        return np.column_stack([1 - p, p]) if y.shape[1] == 1 else p

    def decision_function(self, X) -> np.ndarray:
        """(n,) logit of the second class where there are two, else (n, classes)."""
        y = self._logits(X)
        return y[:, 0] if y.shape[1] == 1 else y[:, 1] - y[:, 0] if y.shape[1] == 2 else y

    def _glm(self, data: Data) -> tuple[np.ndarray, np.ndarray]:
        coef, intercept = refit_logistic(data.X, data.y, len(self.classes_), data.weight, self.glm_, self.scale_)
        if len(coef) == 1 and self.network_.n_outputs == 2:
            return np.concatenate([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
        return coef, intercept

    def _loss(self, logits: np.ndarray, data: Data) -> float:
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

    def predict(self, X) -> np.ndarray:
        """(n,), or (n, outputs) where y had several columns."""
        y = self._logits(X)
        return y[:, 0] if y.shape[1] == 1 else y

    def _glm(self, data: Data) -> tuple[np.ndarray, np.ndarray]:
        return refit_linear(data.X, data.y, data.weight, self.glm_, self.scale_)

    def _loss(self, values: np.ndarray, data: Data) -> float:
        return float(data.weight @ ((values - data.y) ** 2).mean(axis=1))


@dataclass(frozen=True, eq=False)
class _Regions:
    """number: (n,) region of each row, -1 where it is new to the unwrapper. coef, intercept: of each region, by its number."""

    number: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray

    @staticmethod
    def of(unwrapper, X: np.ndarray, classes: bool) -> _Regions:
        models = unwrapper.local_models(scores=())
        order = np.argsort(models.origin)
        coef, intercept = models.coef[order], models.intercept[order]
        if classes:                                  # only differences of logits decide: compare models by them
            coef, intercept = _centred(coef), _centred(intercept)
        return _Regions(unwrapper.groups(X), coef, intercept)


def _centred(logits: np.ndarray) -> np.ndarray:
    return logits if logits.shape[1] == 1 else logits - logits.mean(axis=1, keepdims=True)
