"""From what a user passes to an unwrapper to the network that is unwrapped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import DataError, MissingExtra, NotPiecewiseLinear
from ..geometry.frames import column_names, is_frame
from ..graph import Network
from ..importers.load import load


def is_estimator(model: Any) -> bool:
    """A scikit-learn estimator (also a pipeline or a search)?"""
    return hasattr(model, "get_params") and hasattr(model, "fit") and not isinstance(model, type)


def is_fitted(model: Any) -> bool:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(model)
    except NotFittedError:
        return False
    return True


def fitted(model: Any, X: Any, y: Any, sample_weight) -> Any:
    """The estimator itself where it is fitted (it is held frozen), else a clone of it fitted to these rows."""
    from sklearn.base import clone
    from sklearn.utils.validation import has_fit_parameter

    model = getattr(model, "estimator", model) if type(model).__name__ == "FrozenEstimator" else model
    if is_fitted(model):
        return model
    if is_frame(X):
        import narwhals as nw

        X = nw.from_native(X, eager_only=True).to_pandas()
    fresh = clone(model)
    if sample_weight is None:
        return _decides(fresh.fit(X, y))
    if not has_fit_parameter(fresh, "sample_weight"):
        raise DataError(f"sample_weight was given, and {type(fresh).__name__}.fit takes none: fit the model first and pass it fitted; "
                        "weights then count in the tables")
    return _decides(fresh.fit(X, y, sample_weight=sample_weight))


def _decides(model: Any) -> Any:
    classes = getattr(model, "classes_", None)
    if classes is not None and len(classes) == 1:
        raise DataError(f"y holds 1 class only ({classes[0]}), so there is nothing to decide: rows of two classes at least are needed")
    return model


def network_of(model: Any, X: Any) -> Network:
    """The network, with the frame's column names where it has none of its own. NotPiecewiseLinear with the way out."""
    if isinstance(model, Network):
        net = model
    else:
        roots = {c.__module__.split(".")[0] for c in type(model).__mro__}
        shape = np.shape(X)[1:] if "torch" in roots and not is_frame(X) and len(np.shape(X)) > 1 else None
        if "torch" in roots and is_frame(X):
            shape = (len(column_names(X) or ()),)
        net = load(model, input_shape=shape)
    if not net.is_piecewise_linear:
        raise NotPiecewiseLinear(smooth_words(net))
    names = column_names(X)
    if names is not None and len(names) == net.n_inputs and net.feature_names == tuple(f"x{i}" for i in range(net.n_inputs)):
        net = replace(net, feature_names=names)
    return net


def smooth_words(net: Network) -> str:
    """Which nodes are smooth, and what can be done."""
    from ..graph.graph import smooth_nodes

    nodes = smooth_nodes(net.graph)
    kinds = ", ".join(sorted({type(n.op).__name__ for n in nodes}))
    where = ", ".join(f"'{n.name}'" for n in nodes[:5])
    return (f"the network has smooth activations ({kinds}; at {where}): it is linear in no region, so there are no local linear models.\n"
            "  It can take    piecewise linear networks: ReLU, LeakyReLU, hard tanh, hard sigmoid, max pooling, ...\n"
            "  To go on       train with activation='relu' (scikit-learn), or with torch.nn.ReLU, LeakyReLU, Hardtanh (for Tanh) or\n"
            "                 Hardsigmoid (for Sigmoid); a sigmoid or softmax that ends the network may stay")


def as_classifier(net: Network) -> Network:
    """A network of logits as a classifier: outputs of no known kind are taken as logits. DataError for a regression."""
    if net.task == "regression" or (net.link == "identity" and net.task is not None and net.n_classes == 0):
        raise DataError("the network is a regression, which has no classes.\n  To go on       pel.UnwrapperRegressor(model)")
    if net.link != "identity":
        return net
    names = net.class_names if len(net.class_names) == net.n_outputs > 1 else None
    return load(net, link="sigmoid" if net.n_outputs == 1 else "softmax", class_names=names)


def as_regression(net: Network) -> Network:
    if net.link != "identity" or net.task == "classification":
        raise DataError(f"the network is a classifier (its outputs go through a {net.link}).\n"
                        "  To go on       pel.UnwrapperClassifier(model)")
    return net if net.task == "regression" else replace(net, task="regression", class_names=_numbers_names(net))


def _numbers_names(net: Network) -> tuple[str, ...]:
    default = tuple(f"class {k}" for k in range(net.n_outputs))
    return tuple(f"y{k}" for k in range(net.n_outputs)) if net.class_names == default else net.class_names


def need_sklearn() -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError as e:
        raise MissingExtra("scikit-learn", "unwrap", "unwrapping") from e
