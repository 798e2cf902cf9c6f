"""FlatClassifier, FlatRegressor: one hidden layer from merged models, or from a random start to compare with (UNWRAP 5.3)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..graph.network import apply_link
from ..importers.load import load
from .estimating import Data, copied, frozen, plain_data, plain_rows, read_data, seed_of, split
from .flatten import Shallow, Tuning, as_onnx, as_torch, fine_tuned, merged_units, output_layer, random_units
from .merge import Scale
from .merged import MergedClassifier, MergedRegressor
from .model_of import need_sklearn

need_sklearn()

from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone  # noqa: E402
from sklearn.utils.validation import check_is_fitted  # noqa: E402

INITS = ("merged", "random")


class _Flat(BaseEstimator):
    """What both estimators share.

    Source    UNWRAP algorithm 2.
    Differs   with several outputs or classes a merged model gives one hidden unit for each of its outputs; the output layer is fitted
              with a slight ridge, since units can say the same; the best epoch on held-out rows is kept, the start among them.
    """

    def fit(self, X, y, sample_weight=None):
        """Hidden layer from the merged models (or at random), output by a GLM, then fine-tuned."""
        self._check_arguments()
        seed = seed_of(self.random_state)
        self.merged_ = None if self.init == "random" and self.n_hidden is not None else self._merged(X, y, sample_weight)
        data = self._read(X, y, sample_weight)
        n_classes = len(self.classes_) if self._is_classifier else 0
        if self.init == "merged":
            hidden, bias = self._units
        else:
            size = self.n_hidden or len(self._units[1])
            hidden, bias = random_units(size, data.X.shape[1], Scale.of(data.X, data.weight), np.random.default_rng(seed))
        learn, held = split(np.arange(len(data)), data.y if n_classes else None, self.validation, seed)
        known = data.take(learn)
        start = output_layer(hidden, bias, known.X, known.y, known.weight, n_classes)
        tuning = Tuning(self.max_epochs, self.learning_rate, self.batch_size, self.patience, seed, self.progress)
        self.layer_, self.loss_curve_ = fine_tuned(start, data, n_classes, tuning, learn, held)
        self.n_hidden_ = len(self.layer_.bias)
        self.network_ = self._network(self.layer_)
        return self

    @property
    def _units(self) -> tuple[np.ndarray, np.ndarray]:
        return merged_units(self.merged_.coef_, self.merged_.intercept_, self._is_classifier)

    def _read(self, X, y, sample_weight) -> Data:
        """Rows by the merged models' network, or as they come where there is none."""
        if self.merged_ is None:
            data, self.classes_ = plain_data(self, X, y, sample_weight, self._is_classifier)
            return data.that_count()
        for name in ("classes_", "n_features_in_", "feature_names_in_"):
            if hasattr(self.merged_, name):
                setattr(self, name, getattr(self.merged_, name))
        return read_data(self.merged_.network_, self.merged_.classes_ if self._is_classifier else None, X, y, sample_weight).that_count()

    def to_torch(self, *, dtype: str = "float32"):
        """torch.nn.Sequential(Linear, ReLU, Linear[, Sigmoid | Softmax]); gives probabilities, or values. dtype: "float32" or "float64"."""
        check_is_fitted(self)
        return as_torch(self.layer_, self.network_.link, dtype)

    def to_onnx(self, path: str | Path | None = None, *, dtype: str = "float32"):
        """The same as an onnx.ModelProto, written to `path` where one is given."""
        check_is_fitted(self)
        model = as_onnx(self.layer_, self.network_.link, dtype)
        if path is not None:
            Path(path).write_bytes(model.SerializeToString())
        return model

    def _network(self, layer: Shallow):
        names = getattr(self, "feature_names_in_", None) if self.merged_ is None else self.merged_.network_.feature_names
        link = "identity" if not self._is_classifier else "sigmoid" if len(self.classes_) == 2 else "softmax"
        return load(([layer.hidden, layer.out], [layer.bias, layer.level]), orientation="out_in", link=link, feature_names=names,
                    class_names=[str(c) for c in self.classes_] if self._is_classifier else None)

    def _merged(self, X, y, sample_weight):
        kind = MergedClassifier if self._is_classifier else MergedRegressor
        if self.model is None:
            raise ValueError(f"{type(self).__name__} wants a model to flatten: a network, an unwrapper or merged models; "
                             "or init='random' and n_hidden=, for a baseline without one")
        if isinstance(self.model, MergedClassifier | MergedRegressor):
            merged = copied(self.model)
        else:
            merged = kind(copied(self.model), n_clusters=self.n_clusters, random_state=self.random_state)
        return merged if frozen(merged) else merged.fit(X, y, sample_weight=sample_weight)

    def _check_arguments(self) -> None:
        if self.init not in INITS:
            raise ValueError(f"init={self.init!r}; it can be 'merged' or 'random'")
        if not 0 < self.validation < 1:
            raise ValueError(f"validation={self.validation!r}; it is a share of the rows, between 0 and 1")

    def _outputs(self, X) -> np.ndarray:
        check_is_fitted(self)
        return self.layer_(self._rows(X))

    def _rows(self, X) -> np.ndarray:
        return plain_rows(self, X) if self.merged_ is None else self.merged_.unwrapper_._rows(X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = not self._is_classifier
        return tags

    def __sklearn_clone__(self):
        """A copy with the same arguments, unfitted; a model that is fitted stays as it is (it is held frozen)."""
        arguments = self.get_params(deep=False)
        return type(self)(copied(arguments.pop("model")), **{k: clone(v, safe=False) for k, v in arguments.items()})


class FlatClassifier(ClassifierMixin, _Flat):
    """A classifier with one hidden layer of ReLUs, a unit for each merged model of a network (UNWRAP, algorithm 2).

    model: a MergedClassifier (fitted: taken as it is), or what it takes. n_clusters: of the merging, where `model` is none yet.
    init: "merged", or "random" for the baseline of the same size (n_hidden, or as many units as the merging would give).
    max_epochs, learning_rate, batch_size, patience, validation: of the fine-tuning (Adam, early stopping on a held-out share).
    progress: a function of (epoch, loss on the held-out rows).

    Fitted: layer_ (weights and biases), network_ (a `Network`), n_hidden_, loss_curve_, merged_, classes_.
    """

    def __init__(self, model=None, *, init="merged", n_hidden=None, n_clusters="auto", max_epochs=500, learning_rate=0.01, batch_size=200,
                 patience=50, validation=0.2, random_state=0, progress=None):
        self.model = model
        self.init = init
        self.n_hidden = n_hidden
        self.n_clusters = n_clusters
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.patience = patience
        self.validation = validation
        self.random_state = random_state
        self.progress = progress

    _is_classifier = True

    def predict(self, X) -> np.ndarray:
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X) -> np.ndarray:
        """(n, classes)"""
        y = self._outputs(X)
        p = apply_link(self.network_.link, y)
        return np.column_stack([1 - p, p]) if len(self.classes_) == 2 else p

    def decision_function(self, X) -> np.ndarray:
        """(n,) logit of the second class where there are two, else (n, classes)."""
        y = self._outputs(X)
        return y[:, 0] if len(self.classes_) == 2 else y


class FlatRegressor(RegressorMixin, _Flat):
    """A regression with one hidden layer of ReLUs, a unit for each merged model and output of a network (UNWRAP, algorithm 2).

    Arguments as of `FlatClassifier`.
    """

    def __init__(self, model=None, *, init="merged", n_hidden=None, n_clusters="auto", max_epochs=500, learning_rate=0.01, batch_size=200,
                 patience=50, validation=0.2, random_state=0, progress=None):
        self.model = model
        self.init = init
        self.n_hidden = n_hidden
        self.n_clusters = n_clusters
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.patience = patience
        self.validation = validation
        self.random_state = random_state
        self.progress = progress

    _is_classifier = False

    def predict(self, X) -> np.ndarray:
        """(n,), or (n, outputs) where y had several columns."""
        y = self._outputs(X)
        return y[:, 0] if y.shape[1] == 1 else y
