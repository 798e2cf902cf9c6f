"""What is asked of local models: which of them, which output they speak of, in which units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from ..errors import DataError
from ..explain.asked import Quantity, quantity
from ..graph import Network
from .models import LocalModels, Rows

MOST_MODELS = 20_000
"""Local models that a picture or a total asks an estimator for: the largest; what is beyond them is counted, not drawn."""

MEAN = "mean"


@runtime_checkable
class Unwrapped(Protocol):
    """A fitted estimator that has local models: Unwrapper* and Merged*."""

    def local_models(self, top: int | None = None, *, scores: Sequence[str] = ()) -> LocalModels: ...


def models_of(what: LocalModels | Unwrapped, *, top: int | None = MOST_MODELS, scores: tuple[str, ...] = ()) -> LocalModels:
    """The local models of a fitted estimator (the `top` largest, with these scores), or those given."""
    if isinstance(what, LocalModels):
        return what
    if not isinstance(what, Unwrapped):
        raise TypeError(f"LocalModels, or a fitted Unwrapper or Merged estimator, are needed; got a {type(what).__name__}. "
                        "To go on: pel.UnwrapperClassifier(model).fit(X, y)")
    return what.local_models(top=top, scores=scores)


@dataclass(frozen=True, eq=False)
class Effect:
    """One number that each model gives, y = coef x + intercept. label: its name. coef: (K, d). intercept: (K,).

    column: of the models' responses that belongs to it, None where it is a difference of outputs. logit: of a classifier.
    """

    label: str
    coef: np.ndarray
    intercept: np.ndarray
    column: int | None
    logit: bool


def effect(models: LocalModels, output: int | str | None = None, versus: int | str | None = None) -> Effect:
    """Output `output` of the models, or `output` less `versus`; versus="mean": less the mean of all outputs.

    Without an output: the first of a regression; the second class against the first of two; of more classes the most frequent
    one against the mean, since a softmax sees nothing but differences of its logits.
    """
    net, c = models.network, models.coef.shape[1]
    if output is None and versus is None and net.n_classes >= 2 and c > 1:
        output, versus = (1, 0) if c == 2 else (_most_frequent(models), MEAN)
    asked = _one_of_two(net, output, versus) if c < net.n_outputs else quantity(net, output or 0, None if versus == MEAN else versus)
    direction, label = asked.direction - (1.0 / c if versus == MEAN else 0.0), asked.label
    if net.n_classes:
        label = f"logit of {label}" + (", less the mean logit" if versus == MEAN else "")
    column = 0 if models.response_mean.shape[1] == 1 else None if asked.compares else int(np.argmax(asked.direction))
    return Effect(label, models.coef.transpose(0, 2, 1) @ direction, models.intercept @ direction, column, bool(net.n_classes))


def _one_of_two(net: Network, output: int | str | None, versus: int | str | None) -> Quantity:
    """The one logit that refitted models of two classes have, by the network's names: of the second class, or turned round."""
    names = net.class_names
    first = output in (names[0], 0) if versus is None or output is not None else versus in (names[1], 1)
    return Quantity(names[0], np.array([-1.0]), False) if first else Quantity(names[1], np.array([1.0]), False)


def _most_frequent(models: LocalModels) -> int:
    """The output whose class most rows are of."""
    share = models.weight @ models.response_mean
    return int(np.argmax(share)) if len(share) == models.coef.shape[1] else 0


def small(models: LocalModels) -> np.ndarray:
    """(K,) bool: models of one row, or of rows of one class: they say how the network fits, not how the response depends on inputs."""
    return (models.count <= 1) | models.single_class


def spread_of(models: LocalModels) -> tuple[np.ndarray, np.ndarray]:
    """(mean (d,), population std (d,)) of the features over all rows of these models, from the models' own."""
    share = models.weight / max(float(models.weight.sum()), np.finfo(float).tiny)
    mean = share @ models.centre
    return mean, np.sqrt(share @ (models.spread ** 2 + (models.centre - mean) ** 2))


def in_units(models: LocalModels, original) -> LocalModels:
    """The models for inputs in other units: x = (x' - centre) / scale for each feature by itself.

    original: a fitted scaler (anything with inverse_transform that acts on each feature by itself, as StandardScaler and
    MinMaxScaler do), or a pair (centre (d,), scale (d,)); None leaves them as they are. DataError where it is not affine.
    """
    if original is None:
        return models
    centre, scale = _affine(original, models.coef.shape[2])
    rows = models.rows
    moved = None if rows is None else Rows(rows.X * scale + centre, rows.y, rows.weight, rows.model, rows.complete)
    ends = np.stack([models.low * scale + centre, models.high * scale + centre])
    return replace(models, coef=models.coef / scale, intercept=models.intercept - (models.coef / scale) @ centre,
                   centre=models.centre * scale + centre, spread=models.spread * np.abs(scale), low=ends.min(axis=0), high=ends.max(axis=0),
                   rows=moved)


def _affine(original, d: int) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(original, tuple):
        centre, scale = (np.broadcast_to(np.asarray(v, dtype=np.float64), (d,)) for v in original)
    else:
        probe = np.vstack([np.zeros(d), np.ones(d), np.full(d, 2.0), *np.eye(d)])
        back = np.asarray(original.inverse_transform(probe), dtype=np.float64)
        centre, scale = back[0], back[1] - back[0]
        own = np.isclose(back[2], centre + 2 * scale).all() and np.allclose(back[3:], centre + np.eye(d) * scale)
        if not own:
            raise DataError(f"original={type(original).__name__}: its inverse does not scale and shift each feature by itself; "
                            "give a StandardScaler, a MinMaxScaler or a pair (centre, scale)")
    if not (np.isfinite(centre).all() and np.isfinite(scale).all() and (scale != 0).all()):
        raise DataError("original: every scale has to be a finite number other than 0")
    return centre, scale
