"""Features as a user counts them: a number is one, a category with all of its one-hot inputs is one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

import numpy as np

from ..errors import DataError
from ..graph import Network

OneHot = Mapping[str, Sequence[int | str]] | Iterable[Sequence[int | str]]
"""Groups of inputs of which exactly one is 1: {name: inputs}, or the groups alone."""


@dataclass(frozen=True, eq=False)
class Feature:
    """columns: (m,) the network inputs that it is made of.

    patterns: (K, m) the values that these inputs can take together, None for a number. labels: K, the patterns in words.
    """

    name: str
    columns: np.ndarray
    patterns: np.ndarray | None = None
    labels: tuple[str, ...] = ()

    @property
    def is_category(self) -> bool:
        return self.patterns is not None

    @cached_property
    def is_one_hot(self) -> bool:
        """Is each pattern one 1 among zeros, and each place taken once?"""
        P = self.patterns
        if P is None or P.shape[0] != P.shape[1]:
            return False
        return bool(np.isin(P, (0.0, 1.0)).all() and (P.sum(axis=0) == 1).all() and (P.sum(axis=1) == 1).all())

    def pattern_of(self, x: np.ndarray) -> int:
        """Which pattern the row x (d,) has, -1 for none."""
        assert self.patterns is not None
        same = np.flatnonzero((self.patterns == x[self.columns]).all(axis=1))
        return int(same[0]) if len(same) else -1

    def say(self, x: np.ndarray) -> str | float:
        """The feature's value in the row x (d,): a number, or the category in words."""
        if self.patterns is None:
            return float(x[self.columns[0]])
        k = self.pattern_of(x)
        return self.labels[k] if k >= 0 else ", ".join(f"{v:g}" for v in x[self.columns])


def features_of(net: Network, one_hot: OneHot = ()) -> tuple[Feature, ...]:
    """The features of a network, in the order of its inputs.

    Categories are those of `net.table` (models that take raw tables), and `one_hot`. DataError for groups that share an
    input, or cut through a category of the table.
    """
    groups = _from_table(net) + _from_user(net, one_hot)
    taken: dict[int, Feature] = {}
    for f in groups:
        for j in f.columns:
            if int(j) in taken:
                raise DataError(f"input '{net.feature_names[j]}' is in two groups of one_hot: '{taken[int(j)].name}' and '{f.name}'")
            taken[int(j)] = f
    plain = [Feature(net.feature_names[j], np.array([j])) for j in range(net.n_inputs) if j not in taken]
    return tuple(sorted([*groups, *plain], key=lambda f: int(f.columns[0])))


def feature_number(net: Network, features: Sequence[Feature], asked: int | str) -> int:
    """Which feature is meant: by its name, or by the name or number of one of its inputs. DataError for none."""
    names = [f.name for f in features]
    if isinstance(asked, str):
        if asked in names:
            return names.index(asked)
        if asked not in net.feature_names:
            near = get_close_matches(asked, names, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"
            raise DataError(f"no feature is called '{asked}'; {hint}")
        asked = net.feature_names.index(asked)
    if not -net.n_inputs <= int(asked) < net.n_inputs:
        raise DataError(f"feature {asked}: the network has {net.n_inputs} inputs")
    j = int(asked) % net.n_inputs
    return next(k for k, f in enumerate(features) if j in f.columns)


def feature_numbers(net: Network, features: Sequence[Feature], asked) -> list[int]:
    """Which features are meant by a name, a number, or a list of them; each once, sorted."""
    listed = [asked] if isinstance(asked, str | int | np.integer) else list(asked)
    return sorted({feature_number(net, features, a) for a in listed})


def _common_start(names: Sequence[str]) -> str:
    first, last = min(names), max(names)
    return first[:next((i for i, c in enumerate(first) if last[i:i + 1] != c), len(first))]


def _from_table(net: Network) -> list[Feature]:
    if net.table is None:
        return []
    found = [net.table.category(s) for s in net.table.sources]
    return [Feature(c.source, c.columns, c.patterns, c.labels) for c in found if c is not None]


def _from_user(net: Network, one_hot: OneHot) -> list[Feature]:
    named = one_hot.items() if isinstance(one_hot, Mapping) else ((None, group) for group in one_hot)
    return [_one_hot(net, name, list(group)) for name, group in named]


def _one_hot(net: Network, name: str | None, group: list[int | str]) -> Feature:
    from .asked import feature_index

    columns = sorted(feature_index(net, j) for j in group)
    names = [net.feature_names[j] for j in columns]
    if len(set(columns)) < max(len(group), 2):
        raise DataError(f"one_hot: a group needs two different inputs or more, got {group}")
    shared = _common_start(names)
    cut = max(shared.rfind(mark) for mark in "=_.: ") + 1               # 'purpose=car', 'purpose=radio' are told as 'car', 'radio'
    labels = tuple(n[cut:] for n in names) if all(n[cut:] for n in names) else tuple(names)
    return Feature(name or shared[:cut].rstrip("=_.: ") or " | ".join(names), np.array(columns), np.eye(len(columns)), labels)
