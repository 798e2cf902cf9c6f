"""scikit-learn: MLPClassifier and MLPRegressor, alone or behind affine steps, as networks in the user's units.

Steps behind which the network stands (scalers, projections, feature selection, ColumnTransformer with categories) are folded
into its first layer, so that inputs are what the user's data holds. A network's inputs are complete numbers: imputers are
the identity on such rows and are passed over; rows with missing values are no inputs of the network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from .. import ops  # noqa: F401  (registers how ops are spelled)
from ..errors import FidelityError, MissingExtra, ModelError, UnsupportedOp
from ..graph.graph import INPUT, GraphBuilder
from ..graph.network import Network
from ..graph.registry import Record, Value, spelling, unsupported
from ..graph.table import TableEncoder
from ..ops.linear import Linear
from ..ops.rearrange import Concat, Gather
from .archive import opened, reading
from .sklearn_original import as_fitted, raw_rows, run_step
from .sklearn_steps import Flow, Inputs, Raw, check_fitted, not_affine, own_name, read_step, then, widened

Original = Callable[[np.ndarray], np.ndarray]

TRUSTED = ("numpy.dtype", "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
           "sklearn.neural_network._stochastic_optimizers.SGDOptimizer")
"""Types beyond skops' own list that hold numbers only."""

SAFE_SKOPS = (0, 13)
"""Earlier versions trusted what they should not have (CVE-2025-54412, -54413, -54886)."""

TABLE_ROWS = 64
TABLE_TOLERANCE = 1e-6
"""Of the answers on raw rows: float64 on both sides, so only roundings of ill-scaled columns come near it."""


def import_sklearn(estimator_or_path) -> tuple[Network, Original, str]:
    """A fitted MLP, or a Pipeline (nested ones too, a search's best_estimator_, TransformedTargetRegressor) that ends in one.

    A path is read by skops; only types that can run no code are taken. ModelError for an unfitted estimator or a broken
    or hostile file, UnsupportedOp for steps that are not affine, MissingExtra without scikit-learn or skops.
    """
    try:
        import sklearn
    except ImportError as e:
        raise MissingExtra("scikit-learn", "sklearn", "reading scikit-learn models") from e
    estimator = read_skops(Path(estimator_or_path)) if isinstance(estimator_or_path, str | Path) else estimator_or_path
    model = _taken_apart(estimator)
    names = tuple(str(n) for n in getattr(model.whole, "feature_names_in_", ())) or tuple(
        f"x{i}" for i in range(_n_features(model)))
    inputs = Inputs(names)
    at: Raw | Flow = Raw(tuple(range(len(names))))
    for step in model.steps:
        at = read_step(step, at, inputs)
    flow, table = _on_all_inputs(at, inputs)
    network = _network(model, flow, table, names)
    runtime = f"scikit-learn {sklearn.__version__}"
    if table is None:
        return network, _original(model), runtime
    _check_on_raw_rows(model, network, names)
    return network, _original_on_encoded(model, inputs), runtime


# ---- taking a model apart
@dataclass(frozen=True, eq=False)
class _Model:
    """steps, then an MLP, then the inverse of `target` (a fitted transformer of the response, or None)."""

    whole: object
    steps: tuple[object, ...]
    mlp: object
    target: object | None = None


def _taken_apart(estimator) -> _Model:
    """Pipelines, searches and target transformers unwrapped down to the MLP."""
    if isinstance(estimator, type):
        raise ModelError(f"load() got the class {estimator.__name__}; it takes a fitted estimator: {estimator.__name__}(...).fit(X, y)")
    best = getattr(estimator, "best_estimator_", None)
    if best is not None and own_name(estimator):
        return _taken_apart(best)
    name = own_name(estimator)
    if name in ("MLPClassifier", "MLPRegressor"):
        check_fitted(estimator)
        return _Model(estimator, (), estimator)
    if name == "Pipeline":
        if not estimator.steps:
            raise ModelError("the Pipeline has no steps")
        last = _taken_apart(estimator.steps[-1][1])
        return replace(last, whole=estimator, steps=(*(part for _, part in estimator.steps[:-1]), *last.steps))
    if name == "TransformedTargetRegressor":
        check_fitted(estimator)
        inner = _taken_apart(estimator.regressor_)
        if inner.target is not None:
            raise UnsupportedOp("a TransformedTargetRegressor inside another one cannot be read")
        return replace(inner, whole=estimator, target=estimator.transformer_)
    raise UnsupportedOp(
        f"a {type(estimator).__module__}.{type(estimator).__qualname__} is no network that is known here.\n"
        f"  It can take    MLPClassifier or MLPRegressor, alone, as last step of a Pipeline, in a TransformedTargetRegressor,\n"
        f"                 or as best_estimator_ of a search\n"
        f"  To go on       pass that part of the model, or export it to ONNX (skl2onnx) and load the .onnx file")


def _n_features(model: _Model) -> int:
    width = getattr(model.whole, "n_features_in_", None)
    return int(model.mlp.n_features_in_ if width is None else width)


# ---- the network
def _on_all_inputs(at: Raw | Flow, inputs: Inputs) -> tuple[Flow, TableEncoder | None]:
    """The flow on the final inputs: in the table's order; without categories all of the table's columns, used or not."""
    flow = inputs.numbers(at) if isinstance(at, Raw) else at
    if not inputs.known:
        for source in range(len(inputs.names)):
            inputs.number(source)
    order = inputs.order()
    A = sp.csr_array(widened(flow.maps[0][0], len(order)).tocsc()[:, order])
    table = TableEncoder(tuple(inputs.columns[k] for k in order), dict(inputs.known)) if inputs.known else None
    return replace(flow, maps=((A, flow.maps[0][1]), *flow.maps[1:])), table


def _network(model: _Model, flow: Flow, table: TableEncoder | None, names: tuple[str, ...]) -> Network:
    mlp = model.mlp
    if len(flow) != mlp.coefs_[0].shape[0]:
        raise ModelError(f"the steps give {len(flow)} columns, the {type(mlp).__name__} takes {mlp.coefs_[0].shape[0]}")
    layers = [(np.asarray(W, dtype=np.float64).T, np.asarray(b, dtype=np.float64))
              for W, b in zip(mlp.coefs_, mlp.intercepts_, strict=True)]
    if not all(np.isfinite(part).all() for layer in layers for part in layer):
        raise ModelError(f"the {type(mlp).__name__} has weights that are not finite: its training diverged")
    if model.target is not None:
        layers[-1] = _undone(model.target, *layers[-1])
    flow = then(flow, *layers[0])
    d = len(table.columns) if table else len(names)
    builder, at = GraphBuilder((d,)), INPUT
    order: np.ndarray | slice = slice(None)
    for k, (A, a) in enumerate(flow.maps):
        at = builder.add(Linear(A.toarray()[:, order], a), at, name="layer1" if k == len(flow.clips) else f"prepare{k + 1}")
        if k < len(flow.clips):
            at, order = _clipped(builder, at, *flow.clips[k])
    for k, (W, b) in enumerate(layers[1:], start=2):
        at = _spelled(builder, mlp.activation, at, f"{mlp.activation}{k - 1}")
        at = builder.add(Linear(W, b), at, name=f"layer{k}")
    link, classes, task = _answer(mlp)
    columns = tuple(c.name for c in table.columns) if table else names
    return Network(builder.graph(at), link, columns, classes, task=task, source=_source(model), table=table)


def _clipped(builder: GraphBuilder, at: str, low: np.ndarray, high: np.ndarray) -> tuple[str, np.ndarray]:
    """Append the clip of those columns that have one, the others beside it; (node, which column each entry is)."""
    free = np.isinf(low)
    order = np.concatenate([np.flatnonzero(~free), np.flatnonzero(free)])
    low, high = low[~free], high[~free]
    if len(set(low)) == len(set(high)) == 1:
        low, high = low[0], high[0]                             # one bound for all units is one row of pieces
    if not free.any():
        return _spelled(builder, "clip", at, "clip", low=low, high=high), order
    kept, rest = (builder.add(Gather(0, np.flatnonzero(which)), at, name=name) for which, name in ((~free, "scaled"), (free, "others")))
    kept = _spelled(builder, "clip", kept, "clip", low=low, high=high)
    return builder.add(Concat(0, (None, None)), kept, rest, name="columns"), order


def _spelled(builder: GraphBuilder, kind: str, at: str, name: str, **attrs) -> str:
    """Append the op that scikit-learn calls `kind`."""
    record = Record("sklearn", kind, name, (Value(at, builder.shapes[at]),), attrs, origin="a scikit-learn model")
    speller = spelling("sklearn", kind)
    if speller is None:
        raise unsupported(record)
    op = speller(record)
    return at if op is None else builder.add(op, at, name=name)


def _answer(mlp) -> tuple[str, tuple[str, ...], str]:
    """(link, class names, task) of an MLP; UnsupportedOp for outputs that are none of ours."""
    links = {"identity": "identity", "softmax": "softmax", "logistic": "sigmoid"}
    if mlp.out_activation_ not in links:
        raise UnsupportedOp(f"the {type(mlp).__name__} ends in '{mlp.out_activation_}' (loss={getattr(mlp, 'loss', None)!r}); "
                            f"outputs can be {', '.join(links)}\n"
                            "  To go on       explain its logarithm: set model.out_activation_ = 'identity' on a copy")
    link = links[mlp.out_activation_]
    if type(mlp).__name__ == "MLPRegressor":
        return link, (), "regression"
    if len(mlp.classes_) < 2:
        raise ModelError(f"the MLPClassifier was fitted on a single class ({mlp.classes_[0]!r}): it decides nothing")
    return link, tuple(str(c) for c in mlp.classes_), "classification"


def _source(model: _Model) -> str:
    """What was read, in words."""
    parts = [type(s).__name__ for s in model.steps if s is not None and not isinstance(s, str)] + [type(model.mlp).__name__]
    return "scikit-learn " + " -> ".join(parts)


def _undone(transformer, W: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The last layer with the inverse of the response's transformer behind it; it has to scale and shift each output."""
    inputs = Inputs(tuple(f"y{k}" for k in range(len(b))))
    at = read_step(transformer, Raw(tuple(range(len(b)))), inputs)
    flow = inputs.numbers(at) if isinstance(at, Raw) else at
    A, a = flow.maps[0]
    s = A.diagonal() if A.shape == (len(b), len(b)) else np.zeros(len(b))
    diagonal = A.nnz == np.count_nonzero(s) == len(b)
    if flow.clips or not diagonal or getattr(transformer, "inverse_func", None) is not None:
        raise not_affine(transformer, "a response can only be scaled and shifted")
    return W / s[:, None], (b - a) / s


# ---- the original, and what it says
def _answers(estimator, mlp, rows) -> np.ndarray:
    """What the estimator predicts, as `Network.predict` has it: (n, c), one column for two classes."""
    if type(mlp).__name__ == "MLPRegressor":
        return np.asarray(estimator.predict(rows), dtype=np.float64).reshape(len(rows), -1)
    p = np.asarray(estimator.predict_proba(rows), dtype=np.float64)
    return p[:, 1:] if mlp.n_outputs_ == 1 else p


def _original(model: _Model) -> Original:
    """The whole estimator, asked in the way it was fitted: with a frame where it knows names."""
    def original(x: np.ndarray) -> np.ndarray:
        return _answers(model.whole, model.mlp, as_fitted(model.whole, x))

    return original


def _original_on_encoded(model: _Model, inputs: Inputs) -> Original:
    """The estimator's own steps on encoded rows: only its encoders are passed over, whose columns the inputs are."""
    columns = inputs.order()

    def original(x: np.ndarray) -> np.ndarray:
        at, by_id = Raw(tuple(range(len(inputs.names)))), np.empty_like(x)
        by_id[:, columns] = x
        for step in model.steps:
            at = run_step(step, at, inputs, by_id)
        y = _answers(model.mlp, model.mlp, as_fitted(model.mlp, at))
        return y if model.target is None else model.target.inverse_transform(y).reshape(len(y), -1)

    return original


def _check_on_raw_rows(model: _Model, network: Network, names: tuple[str, ...]) -> None:
    """FidelityError where the network on encoded rows differs from the estimator on the same rows, raw."""
    frame = raw_rows(names, network.table, TABLE_ROWS)
    rows = frame if hasattr(model.whole, "feature_names_in_") else frame.to_numpy()
    expected = _answers(model.whole, model.mlp, rows)
    got = network.predict(network.table.encode(frame))
    error = float(np.abs(got - expected).max() / (1.0 + np.abs(expected).max()))
    if not error <= TABLE_TOLERANCE:
        raise FidelityError(f"on raw rows the estimator and the network differ by {error:.1e}, {TABLE_TOLERANCE:.0e} is allowed.\n"
                            "  To go on       this is a bug of the importer: please report it with the pipeline's steps")


# ---- files
def read_skops(path: Path):
    """The estimator in a .skops file. ModelError where it is no such file, is broken, or asks for types that could run code."""
    if path.suffix.lower() in (".pkl", ".pickle", ".joblib"):
        raise ModelError(f"{path} is a pickle, which runs code when it is read; pellucid reads none.\n"
                         f"  To go on       skops.io.dump(model, 'model.skops') where you trust it, or pass the live object")
    try:
        import skops.io
    except ImportError as e:
        raise MissingExtra("skops", "sklearn", "reading .skops files") from e
    if tuple(int(n) for n in skops.__version__.split(".")[:2]) < SAFE_SKOPS:
        raise ModelError(f"skops {skops.__version__} can be made to run code by a file that it calls trusted, so {path} was not read.\n"
                         f"  To go on       pip install 'skops>={'.'.join(map(str, SAFE_SKOPS))}'")
    with opened(path, "a .skops file"):
        pass
    with reading(path, "a .skops file (skops.io.dump)"):
        untrusted = [t for t in skops.io.get_untrusted_types(file=path) if t not in TRUSTED]
        if untrusted:
            raise ModelError(f"{path} asks for types that are not trusted: {', '.join(untrusted)}.\n"
                             "  It may run code when it is read, so it was not.\n"
                             "  To go on       where you trust it: load(skops.io.load(path, trusted=[...those types...]))")
        return skops.io.load(path, trusted=list(TRUSTED))
