"""What pictures of local linear models share: which are drawn one by one, which as a density, and what is said of the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..unwrap.asked import Effect, Unwrapped, effect, in_units, models_of, small, spread_of
from ..unwrap.importance import joint_importance
from ..unwrap.models import LocalModels
from .chart import LINES_UP_TO

FEW_ROWS = 2
"""Rows of the largest model up to which no model is drawn by itself, where all are of one row or class."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """models: all that came. told: the output they speak of. line: (k,) those drawn one by one, largest first; rest: (r,) those that
    only a density shows; notes: what was left out. all_small: there are none but of one row or class."""

    models: LocalModels
    told: Effect
    line: np.ndarray
    rest: np.ndarray
    notes: tuple[str, ...]
    all_small: bool = False

    @property
    def both(self) -> np.ndarray:
        return np.concatenate([self.line, self.rest])


def choose(what: LocalModels | Unwrapped, *, top: int, small_too: bool = False, output=None, versus=None, original=None) -> Chosen:
    """The `top` largest models as lines, the others as rest; those of one row or class left out, unless there are no others."""
    if top < 0:
        raise ValueError(f"top={top}: the number of models drawn one by one is 0 or more")
    models = in_units(models_of(what), original)
    order = np.argsort(-models.count, kind="stable")
    left = np.zeros(len(models), dtype=bool) if small_too else small(models)
    none_else = left.all() and len(models) > 0
    kept = order if none_else else order[~left[order]]
    notes = _notes(models, left, none_else) + _beyond(models)
    if none_else and models.count.max() <= FEW_ROWS:                      # no model is larger than another: none is picked out
        top = 0
    line, rest = kept[:top], kept[top:]
    if len(rest):
        notes = (f"grey: {'the other' if top else 'all'} {len(rest):,} {words(models, len(rest))} "
                 f"({models.count[rest].sum() / _rows(models):.0%} of the rows)"
                 + (", darker where more rows are" if len(rest) > LINES_UP_TO else ""), *notes)
    return Chosen(models, effect(models, output, versus), line, rest, notes, none_else)


def words(models: LocalModels, n: int = 2) -> str:
    """What one model, or n of them, are called."""
    one = "LLM" if models.kind == "local" else f"{models.kind} model"
    return one if n == 1 else f"{one}s"


def _notes(models: LocalModels, left: np.ndarray, none_else: bool) -> tuple[str, ...]:
    if not left.any():
        return ()
    single, one_class = int((models.count <= 1).sum()), int((left & (models.count > 1)).sum())
    parts = [f"{single:,} of one row" if single else "", f"{one_class:,} of one class" if one_class else ""]
    what = " and ".join(p for p in parts if p)
    if none_else:
        return (f"all {len(left):,} {words(models)} are small ({what}), so they are shown",)
    rows = models.count[left].sum() / _rows(models)
    return (f"not shown: {what}, together {left.mean():.0%} of the {len(left):,} {words(models)} with {rows:.0%} of the rows",)


def _rows(models: LocalModels) -> int:
    """All rows of the unwrapping."""
    return max(models.total_rows, int(models.count.sum()), 1)


def _beyond(models: LocalModels) -> tuple[str, ...]:
    if models.total_models > len(models):
        return (f"of {models.total_models:,} {words(models)} these are the {len(models):,} largest, with {models.count.sum():,} of "
                f"{models.total_rows:,} rows",)
    return ()


def name_of(models: LocalModels, k: int, *, long: bool = True) -> str:
    """What a model is called: its number in the unwrapping, and its rows."""
    head = f"{words(models, 1)} {int(models.origin[k])}"
    n = int(models.count[k])
    return f"{head} ({n:,} row{'s' * (n != 1)})" if long else head


def widths(models: LocalModels, line: np.ndarray, low: float = 1.0, high: float = 3.6) -> np.ndarray:
    """(k,) points: the line's area grows with the rows that the model holds for."""
    n = np.sqrt(models.count[line].astype(float))
    return low + (high - low) * n / max(float(n.max(initial=1.0)), 1.0)


def scaled(chosen: Chosen, scale: str) -> tuple[np.ndarray, np.ndarray, str]:
    """(coef (K, d), intercept (K,), words) for scale "std" (per standard deviation of the feature) or "raw"."""
    if scale not in ("std", "raw"):
        raise ValueError(f"scale='{scale}': 'std' (coefficient times the feature's std over the rows) or 'raw' can be taken")
    told = chosen.told
    if scale == "raw":
        return told.coef, told.intercept, "coefficient"
    mean, std = spread_of(chosen.models)
    return told.coef * std, told.intercept + told.coef @ mean, "coefficient × std of the feature"


def heaviest(chosen: Chosen, n: int | None, scale: str) -> np.ndarray:
    """The n features of most weight over the rows, in their own order; all where n is None."""
    d = chosen.told.coef.shape[1]
    if n is None or n >= d:
        return np.arange(d)
    coef, _, _ = scaled(chosen, scale)
    share = chosen.models.weight[chosen.both]
    return np.sort(np.argsort(-(share @ coef[chosen.both] ** 2), kind="stable")[:n])


def with_unit(models: LocalModels, j: int) -> str:
    """A feature's name with its unit."""
    unit = models.network.units[j]
    return f"{models.network.feature_names[j]} [{unit}]" if unit else models.network.feature_names[j]


def best_feature(models: LocalModels, output, versus) -> int:
    """The feature of largest standardised joint importance."""
    return int(joint_importance(models, output=output, versus=versus).order()[0])
