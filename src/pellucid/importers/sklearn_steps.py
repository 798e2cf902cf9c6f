"""scikit-learn's preprocessing steps as affine maps (and clips) of the inputs in the user's units.

A step is read only where its class is scikit-learn's own, not a subclass: a subclass may transform as it likes. What flows
through a pipeline is either `Raw` (columns of the table, untouched, possibly text) or a `Flow` (numbers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from ..errors import ModelError, UnsupportedOp
from ..graph.table import TableColumn

Affine = tuple[sp.csr_array, np.ndarray]
Clip = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Raw:
    """Columns of the table as they came, by position."""

    columns: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.columns)


@dataclass(frozen=True, eq=False)
class Flow:
    """Columns computed from the inputs: z = maps[0](x), then clip and map in turn.

    maps: (A, a), applied as A z + a; the columns of maps[0] are ids of `Inputs`.
    clips: (low, high) between maps[i] and maps[i + 1], infinite where a column is not clipped.
    """

    maps: tuple[Affine, ...]
    clips: tuple[Clip, ...] = ()

    def __len__(self) -> int:
        return len(self.maps[-1][1])


@dataclass
class Inputs:
    """The network inputs that the steps have asked for so far; an input's id is its place in `columns`.

    names: of the table's columns.
    """

    names: tuple[str, ...]
    columns: list[TableColumn] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)
    known: dict[str, tuple] = field(default_factory=dict)

    def number(self, source: int) -> int:
        """The id of the numeric input that is column `source`."""
        return self._id(TableColumn(self.names[source], self.names[source]), (source, -1))

    def category(self, source: int, order: int, label: str, values: tuple) -> int:
        """The id of the input that is 1 where column `source` holds one of `values`."""
        return self._id(TableColumn(f"{self.names[source]}={label}", self.names[source], values), (source, order))

    def _id(self, column: TableColumn, place: tuple[int, int]) -> int:
        if column not in self.columns:
            self.columns.append(column)
            self.places.append(place)
        return self.columns.index(column)

    def order(self) -> list[int]:
        """Ids in the order of the table's columns."""
        return sorted(range(len(self.columns)), key=self.places.__getitem__)

    def numbers(self, raw: Raw) -> Flow:
        """Raw columns taken as numbers."""
        return self.picked([self.number(c) for c in raw.columns])

    def picked(self, ids: list[int]) -> Flow:
        """The inputs with these ids."""
        k = len(ids)
        A = sp.csr_array((np.ones(k), (np.arange(k), np.array(ids, dtype=int))), shape=(k, len(self.columns)))
        return Flow(((A, np.zeros(k)),))


Reader = Callable[[object, "Raw | Flow", Inputs], "Raw | Flow"]
_READERS: dict[str, Reader] = {}


def _reads(*names: str) -> Callable[[Reader], Reader]:
    def register(reader: Reader) -> Reader:
        _READERS.update(dict.fromkeys(names, reader))
        return reader

    return register


def read_step(step, at: Raw | Flow, inputs: Inputs) -> Raw | Flow:
    """What the fitted step makes of the columns `at`.

    ModelError for an unfitted step, UnsupportedOp for one that is neither affine nor a clip.
    """
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return at
    if is_selector(step):
        return _select(at, np.flatnonzero(step.get_support()))
    reader = _READERS.get(own_name(step))
    if reader is None:
        raise not_affine(step)
    check_fitted(step)
    try:
        return reader(step, at, inputs)
    except ModelError:
        raise
    except (ValueError, IndexError) as e:
        raise ModelError(f"the step {type(step).__name__} was fitted on another number of columns than the {len(at)} "
                         "that come to it") from e


# ---- what a step is
def own_name(step) -> str:
    """The class's name where it is scikit-learn's own, else ''."""
    return type(step).__name__ if type(step).__module__.split(".")[0] == "sklearn" else ""


def is_selector(step) -> bool:
    """Feature selection: picks columns by `get_support()`."""
    from sklearn.feature_selection import SelectorMixin

    if not (own_name(step) and isinstance(step, SelectorMixin)):
        return False
    check_fitted(step)
    return True


def check_fitted(estimator) -> None:
    """ModelError where the estimator has not been fitted."""
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(estimator)
    except (NotFittedError, TypeError) as e:
        raise ModelError(f"the {type(estimator).__name__} is not fitted: call fit(X, y) before load()") from e


def not_affine(step, reason: str = "") -> UnsupportedOp:
    """The error for a step that cannot be folded into the network."""
    kind = f"{type(step).__module__}.{type(step).__qualname__}" if not own_name(step) else type(step).__name__
    return UnsupportedOp(
        f"the pipeline's step {kind} cannot be read" + (f": {reason}" if reason else ": it is not an affine map that is known here") + ".\n"
        f"  It can take    {', '.join(sorted(_READERS))}, feature selection, 'passthrough'\n"
        f"  To go on       transform the data first and load the rest of the pipeline: load(pipeline[k:]); the inputs are then\n"
        f"                 what that step gives, in its units")


# ---- algebra of flows
def widened(A: sp.csr_array, n: int) -> sp.csr_array:
    """A with zero columns behind, n in all: for inputs that were asked for later."""
    return sp.csr_array((A.data, A.indices, A.indptr), shape=(A.shape[0], n))


def then(flow: Flow, A, a) -> Flow:
    """The flow with z -> A z + a behind it."""
    B, b = flow.maps[-1]
    A = sp.csr_array(A)
    return Flow((*flow.maps[:-1], (sp.csr_array(A @ B), A @ b + np.asarray(a, dtype=np.float64))), flow.clips)


def scaled(flow: Flow, scale, offset) -> Flow:
    """z -> scale * z + offset, entry by entry."""
    n = len(flow)
    s = np.broadcast_to(np.asarray(scale, dtype=np.float64), (n,))
    return then(flow, sp.diags_array(s), np.broadcast_to(np.asarray(offset, dtype=np.float64), (n,)))


def clipped(flow: Flow, low: float, high: float) -> Flow:
    """z -> min(max(z, low), high)."""
    n = len(flow)
    return Flow((*flow.maps, (sp.csr_array(sp.eye_array(n)), np.zeros(n))), (*flow.clips, (np.full(n, low), np.full(n, high))))


def side_by_side(parts: list[Raw | Flow], inputs: Inputs) -> Raw | Flow:
    """Columns of all parts, one behind the other."""
    if all(isinstance(p, Raw) for p in parts):
        return Raw(tuple(c for p in parts for c in p.columns))
    flows = [inputs.numbers(p) if isinstance(p, Raw) else p for p in parts]
    depth = max(len(f.clips) for f in flows)
    flows = [_deepened(f, depth) for f in flows]
    n = len(inputs.columns)
    first = (sp.csr_array(sp.vstack([widened(f.maps[0][0], n) for f in flows])), np.concatenate([f.maps[0][1] for f in flows]))
    later = [(sp.csr_array(sp.block_diag([f.maps[k][0] for f in flows])), np.concatenate([f.maps[k][1] for f in flows]))
             for k in range(1, depth + 1)]
    clips = [tuple(np.concatenate([f.clips[k][end] for f in flows]) for end in (0, 1)) for k in range(depth)]
    return Flow((first, *later), tuple(clips))


def _deepened(flow: Flow, depth: int) -> Flow:
    """The same flow with idle clips at its end, `depth` clips in all."""
    while len(flow.clips) < depth:
        flow = clipped(flow, -np.inf, np.inf)
    return flow


def _select(at: Raw | Flow, kept: Iterable[int]) -> Raw | Flow:
    kept = np.asarray(list(kept), dtype=int)
    if isinstance(at, Raw):
        return Raw(tuple(at.columns[i] for i in kept))
    return then(at, sp.eye_array(len(at)).tocsr()[kept], np.zeros(len(kept)))


def _numeric(at: Raw | Flow, inputs: Inputs) -> Flow:
    return inputs.numbers(at) if isinstance(at, Raw) else at


# ---- scalers
@_reads("StandardScaler")
def _(step, at, inputs):
    scale = 1.0 if step.scale_ is None else 1.0 / np.asarray(step.scale_, dtype=np.float64)
    mean = 0.0 if not step.with_mean else np.asarray(step.mean_, dtype=np.float64)
    return scaled(_numeric(at, inputs), scale, -mean * scale)


@_reads("MinMaxScaler")
def _(step, at, inputs):
    flow = scaled(_numeric(at, inputs), step.scale_, step.min_)
    return clipped(flow, *map(float, step.feature_range)) if step.clip else flow


@_reads("MaxAbsScaler")
def _(step, at, inputs):
    flow = scaled(_numeric(at, inputs), 1.0 / np.asarray(step.scale_, dtype=np.float64), 0.0)
    return clipped(flow, -1.0, 1.0) if step.get_params().get("clip") else flow


@_reads("RobustScaler")
def _(step, at, inputs):
    scale = 1.0 / np.asarray(step.scale_, dtype=np.float64) if step.with_scaling else 1.0
    centre = np.asarray(step.center_, dtype=np.float64) if step.with_centering else 0.0
    return scaled(_numeric(at, inputs), scale, -centre * scale)


# ---- projections
@_reads("PCA", "IncrementalPCA")
def _(step, at, inputs):
    A = np.asarray(step.components_, dtype=np.float64)
    if step.whiten:
        spread = np.sqrt(step.explained_variance_)              # cut from below in the way PCA.transform does
        A = A / np.maximum(spread, np.finfo(spread.dtype).eps)[:, None]
    return then(_numeric(at, inputs), A, -A @ np.asarray(step.mean_, dtype=np.float64))


@_reads("TruncatedSVD", "GaussianRandomProjection", "SparseRandomProjection")
def _(step, at, inputs):
    A = sp.csr_array(step.components_, dtype=np.float64)
    return then(_numeric(at, inputs), A, np.zeros(A.shape[0]))


# ---- steps that do nothing to complete rows
@_reads("FunctionTransformer")
def _(step, at, inputs):
    if step.func is not None:
        raise not_affine(step, f"it calls the function {getattr(step.func, '__name__', step.func)!r}")
    return at


@_reads("SimpleImputer")
def _(step, at, inputs):
    """The identity: a network's inputs are numbers, so nothing is missing. Columns that were empty in training fall away."""
    if not _is_missing(step.missing_values):
        raise not_affine(step, f"it replaces the value {step.missing_values!r}, which is not affine; only NaN can be imputed")
    gone = np.zeros(len(at), dtype=bool)
    if step.strategy != "constant":
        gone = np.array([_is_missing(v) for v in step.statistics_])
    out = _select(at, np.flatnonzero(~gone | step.keep_empty_features))
    if not step.add_indicator:
        return out
    flow, k = _numeric(out, inputs), len(step.indicator_.features_)
    n = len(flow)
    return then(flow, sp.vstack([sp.eye_array(n), sp.csr_array((k, n))]), np.zeros(n + k))


def _is_missing(value) -> bool:
    return value is None or type(value).__name__ == "NAType" or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


# ---- categories
@_reads("OneHotEncoder")
def _(step, at, inputs):
    return inputs.picked(one_hot_ids(step, at, inputs))


def one_hot_ids(step, at: Raw | Flow, inputs: Inputs) -> list[int]:
    """Ids of the inputs that are a OneHotEncoder's columns."""
    ids: list[int] = []
    for i, source in enumerate(_table_columns(step, at)):
        groups = _groups(step, i)
        dropped = None if step.drop_idx_ is None else step.drop_idx_[i]
        gone = [] if dropped is None else [_plain(step.categories_[i][dropped])]
        _know(inputs, source, step, i)
        ids += [inputs.category(source, order, label, values)
                for order, (label, values) in enumerate(groups) if not set(gone) & set(values)]
    return ids


@_reads("OrdinalEncoder")
def _(step, at, inputs):
    """The code of a category is an affine function of its one-hot columns."""
    return then(inputs.picked(ordinal_ids(step, at, inputs)), ordinal_codes(step), np.zeros(len(at)))


def ordinal_ids(step, at: Raw | Flow, inputs: Inputs) -> list[int]:
    """Ids of the one-hot inputs of an OrdinalEncoder's columns, all categories."""
    ids: list[int] = []
    for i, source in enumerate(_table_columns(step, at)):
        if any(_is_missing(v) for v in step.categories_[i]):
            raise not_affine(step, "it has learned missing values as a category of their own")
        _know(inputs, source, step, i)
        ids += [inputs.category(source, order, label, values) for order, (label, values) in enumerate(_groups(step, i))]
    return ids


def ordinal_codes(step) -> sp.csr_array:
    """(columns, one-hot columns): the codes 0, 1, 2, ... of each column's categories."""
    return sp.csr_array(sp.block_diag([np.arange(float(len(_groups(step, i))))[None] for i in range(len(step.categories_))]))


def _groups(step, i: int) -> list[tuple[str, tuple]]:
    """(label, categories) of each code of column i: one a frequent category, then all infrequent ones together."""
    categories = [_plain(v) for v in step.categories_[i]]
    grouped = step.min_frequency is not None or step.max_categories is not None
    rare = step.infrequent_categories_ if grouped else None
    rare = [] if rare is None or rare[i] is None else [_plain(v) for v in rare[i]]
    groups = [("missing" if v is None else str(v), (v,)) for v in categories if v not in rare]
    return groups + ([("infrequent", tuple(rare))] if rare else [])


def _know(inputs: Inputs, source: int, step, i: int) -> None:
    """Note the categories of a column; all encoders of one column must agree on them."""
    name, values = inputs.names[source], tuple(_plain(v) for v in step.categories_[i])
    if inputs.known.setdefault(name, values) != values:
        raise not_affine(step, f"two encoders of the column '{name}' know different categories")


def _plain(value):
    """A category as a Python value; None for a missing one."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if _is_missing(value) else value


def _table_columns(step, at: Raw | Flow) -> tuple[int, ...]:
    if isinstance(at, Flow):
        raise not_affine(step, "its columns come out of another step; only columns of the table itself can be encoded")
    return at.columns


# ---- steps made of steps
@_reads("Pipeline")
def _(step, at, inputs):
    for _, part in step.steps:
        at = read_step(part, at, inputs)
    return at


@_reads("ColumnTransformer")
def _(step, at, inputs):
    parts = [_weighted(read_step(part, _select(at, kept), inputs), weight, inputs) for part, kept, weight in branches(step, len(at))]
    return side_by_side(parts, inputs) if parts else Raw(())


@_reads("FeatureUnion")
def _(step, at, inputs):
    parts = [_weighted(read_step(part, at, inputs), weight, inputs) for part, weight in union_branches(step)]
    return side_by_side(parts, inputs)


def _weighted(part: Raw | Flow, weight: float, inputs: Inputs) -> Raw | Flow:
    return part if weight == 1.0 else scaled(_numeric(part, inputs), weight, 0.0)


def branches(step, width: int) -> list[tuple[object, np.ndarray, float]]:
    """(transformer, its columns' positions, its weight) of a fitted ColumnTransformer; dropped and empty ones left out."""
    names = [str(n) for n in getattr(step, "feature_names_in_", ())]
    weights = step.transformer_weights or {}
    found = [(part, positions(spec, names, width), float(weights.get(name, 1.0))) for name, part, spec in step.transformers_]
    return [(part, kept, weight) for part, kept, weight in found if len(kept) and not (isinstance(part, str) and part == "drop")]


def union_branches(step) -> list[tuple[object, float]]:
    """(transformer, its weight) of a FeatureUnion; dropped ones left out."""
    weights = step.transformer_weights or {}
    return [(part, float(weights.get(name, 1.0))) for name, part in step.transformer_list if not (isinstance(part, str) and part == "drop")]


def positions(spec, names: list[str], width: int) -> np.ndarray:
    """Positions of the columns that a ColumnTransformer's specification names (a name, an int, a slice, a mask or a list)."""
    if isinstance(spec, slice):
        ends = [names.index(e) if isinstance(e, str) else e for e in (spec.start, spec.stop)]
        stop = ends[1] + 1 if isinstance(spec.stop, str) else ends[1]       # a slice of names holds its last one
        return np.arange(width)[slice(ends[0], stop, spec.step)]
    listed = [spec] if isinstance(spec, str | int | np.integer) else list(spec)
    if listed and isinstance(listed[0], bool | np.bool_):
        return np.flatnonzero(listed)
    return np.array([names.index(c) if isinstance(c, str) else int(c) % width for c in listed], dtype=int)
