"""A scikit-learn pipeline's own code on rows that are encoded already: what a network of such rows is compared with."""

from __future__ import annotations

import numpy as np

from ..graph.table import TableEncoder
from .sklearn_steps import Inputs, Raw, branches, one_hot_ids, ordinal_codes, ordinal_ids, own_name, read_step, union_branches


def run_step(step, at: Raw | np.ndarray, inputs: Inputs, x: np.ndarray) -> Raw | np.ndarray:
    """What the step gives on the columns `at`, by its own transform; encoders give the inputs that stand for their columns.

    x: (n, d) values of the inputs by id. The steps have been read before (`read_step`), so they are ones that we know.
    """
    if step is None or isinstance(step, str):
        return at
    name = own_name(step)
    if name == "Pipeline":
        for _, part in step.steps:
            at = run_step(part, at, inputs, x)
        return at
    if name == "ColumnTransformer":
        return _beside([_weighted(run_step(part, _picked(at, kept), inputs, x), w, inputs, x)
                        for part, kept, w in branches(step, _width(at))], inputs, x)
    if name == "FeatureUnion":
        return _beside([_weighted(run_step(part, at, inputs, x), w, inputs, x) for part, w in union_branches(step)], inputs, x)
    if name == "OneHotEncoder":
        return x[:, one_hot_ids(step, at, inputs)]
    if name == "OrdinalEncoder":
        return x[:, ordinal_ids(step, at, inputs)] @ ordinal_codes(step).toarray().T
    if isinstance(at, Raw):
        after = read_step(step, at, inputs)
        if isinstance(after, Raw):                              # an imputer or a selection: the columns are still the table's
            return after
    out = step.transform(as_fitted(step, _numbers(at, inputs, x)))
    return out.toarray() if hasattr(out, "toarray") else np.asarray(out, dtype=np.float64)


def as_fitted(estimator, x):
    """Rows as the estimator wants them: a frame with its column names where it was fitted on one."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        return x
    import pandas as pd

    return pd.DataFrame(x, columns=names)


def raw_rows(names: tuple[str, ...], table: TableEncoder, n: int):
    """A frame of n random rows with these columns: known categories, and numbers elsewhere."""
    import pandas as pd

    rng = np.random.default_rng(0)
    columns = {}
    for name in names:
        values = [v for v in table.known.get(name, ()) if v is not None]
        columns[name] = [values[k] for k in rng.integers(len(values), size=n)] if values else rng.standard_normal(n)
    return pd.DataFrame(columns)


def _numbers(at: Raw | np.ndarray, inputs: Inputs, x: np.ndarray) -> np.ndarray:
    return x[:, [inputs.number(c) for c in at.columns]] if isinstance(at, Raw) else at


def _width(at: Raw | np.ndarray) -> int:
    return len(at) if isinstance(at, Raw) else at.shape[1]


def _picked(at: Raw | np.ndarray, kept: np.ndarray) -> Raw | np.ndarray:
    return Raw(tuple(at.columns[k] for k in kept)) if isinstance(at, Raw) else at[:, kept]


def _weighted(part, weight: float, inputs: Inputs, x: np.ndarray):
    return part if weight == 1.0 else weight * _numbers(part, inputs, x)


def _beside(parts: list, inputs: Inputs, x: np.ndarray) -> Raw | np.ndarray:
    if all(isinstance(p, Raw) for p in parts):
        return Raw(tuple(c for p in parts for c in p.columns))
    return np.hstack([_numbers(p, inputs, x) for p in parts])
