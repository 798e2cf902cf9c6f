"""The inputs that there can be: a box with linear constraints, whole numbers, and categories."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import DataError, DomainError
from ..geometry import Box, NamedSlice, Slice, as_slice
from ..geometry.milp import Program
from ..graph import Network
from ..tolerance import ON_PLANE
from .features import Feature, OneHot, feature_number, feature_numbers, features_of

WHOLE_IN_FLOAT = 2.0**53


@dataclass(frozen=True, eq=False)
class Space:
    """{ x : lower <= x <= upper, A x <= b, x_j whole for j in integer, each category one of its allowed patterns }.

    lower, upper: (d,). A: (m, d), b: (m,). integer: (d,) bool. allowed: for each feature the numbers of the patterns that it
    may take, None for a number. units: (d,) which feature each input belongs to.
    """

    net: Network
    features: tuple[Feature, ...]
    lower: np.ndarray
    upper: np.ndarray
    A: np.ndarray
    b: np.ndarray
    integer: np.ndarray
    allowed: tuple[np.ndarray | None, ...]

    # ---- which feature
    def number(self, asked: int | str) -> int:
        return feature_number(self.net, self.features, asked)

    def numbers(self, asked) -> list[int]:
        return feature_numbers(self.net, self.features, asked)

    def say(self, name: int | str, x: np.ndarray) -> float | str:
        """A feature's value in the row x, in the original categories."""
        return self.features[self.number(name)].say(x)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.features)

    @property
    def moving(self) -> list[int]:
        """The features that can take more than one value."""
        return [k for k, f in enumerate(self.features) if self._moves(k, f)]

    def _moves(self, k: int, f: Feature) -> bool:
        allowed = self.allowed[k]
        return len(allowed) > 1 if allowed is not None else bool(self.lower[f.columns[0]] < self.upper[f.columns[0]])

    # ---- parts of it
    def held(self, x: np.ndarray, features: Iterable[int]) -> Space:
        """The part with these features as in x. DataError where x has a value there that the space does not hold."""
        lower, upper, allowed = self.lower.copy(), self.upper.copy(), list(self.allowed)
        for k in features:
            f = self.features[k]
            self.check_value(x, k)
            lower[f.columns] = upper[f.columns] = x[f.columns]
            if f.is_category:
                allowed[k] = np.array([f.pattern_of(x)])
        return replace(self, lower=lower, upper=upper, allowed=tuple(allowed))

    def within(self, lower: np.ndarray, upper: np.ndarray) -> Space:
        """The part inside another box; DomainError where there is none."""
        lo, up = np.maximum(self.lower, lower), np.minimum(self.upper, upper)
        lo, up = np.where(self.integer, np.ceil(lo), lo), np.where(self.integer, np.floor(up), up)
        if np.any(lo > up):
            j = int(np.flatnonzero(lo > up)[0])
            raise DomainError(f"no value is left for '{self.net.feature_names[j]}': [{lo[j]:g}, {up[j]:g}]")
        return replace(self, lower=lo, upper=up)

    def around(self, x: np.ndarray, scale: np.ndarray, radius: float) -> Space:
        """The part within so many scales (one a feature) of x in each number; categories stay free."""
        lower, upper = self.lower.copy(), self.upper.copy()
        for f, s in zip(self.features, scale, strict=True):
            j = f.columns[0]
            if f.is_category:
                continue
            near, far = x[j] - radius * s, x[j] + radius * s
            if self.integer[j]:
                near, far = np.floor(near), np.ceil(far)
            lower[j], upper[j] = max(self.lower[j], min(near, self.upper[j])), min(self.upper[j], max(far, self.lower[j]))
        return replace(self, lower=lower, upper=upper)

    def check_value(self, x: np.ndarray, k: int) -> None:
        """DataError where feature k of x lies outside of the space."""
        f = self.features[k]
        inside = bool(((self.lower[f.columns] <= x[f.columns]) & (x[f.columns] <= self.upper[f.columns])).all())
        allowed = self.allowed[k]
        if allowed is not None and not (inside and f.pattern_of(x) in allowed):
            raise DataError(f"'{f.name}' is {f.say(x)}, which is none of the categories of the domain")
        j = f.columns[0]
        if not inside:
            raise DataError(f"'{f.name}' is {x[j]:g}, outside of the domain's [{self.lower[j]:g}, {self.upper[j]:g}]")
        if self.integer[j] and x[j] != np.round(x[j]):
            raise DataError(f"'{f.name}' is to be a whole number, and is {x[j]:g}")

    def contains(self, X: np.ndarray) -> np.ndarray:
        """(n,) whether rows (n, d) are in the space; linear constraints to a few roundings."""
        X = np.atleast_2d(X)
        inside = ((self.lower <= X) & (self.upper >= X)).all(axis=1) & (X[:, self.integer] == np.round(X[:, self.integer])).all(axis=1)
        inside &= (self.b + self.slack(X) >= X @ self.A.T).all(axis=1)
        for f, allowed in zip(self.features, self.allowed, strict=True):
            if f.is_category:
                inside &= (X[:, None, f.columns] == f.patterns[allowed]).all(axis=2).any(axis=1)
        return inside

    def slack(self, X: np.ndarray) -> np.ndarray:
        """(n, m) what roundings may do to A x - b."""
        return ON_PLANE * (np.abs(X) @ np.abs(self.A.T) + np.abs(self.b))

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """At most n rows of the space, by uniform draws; fewer where linear constraints refuse some."""
        X = rng.uniform(self.lower, self.upper, (n, len(self.lower)))
        whole = self.integer & (self.lower < self.upper)
        X[:, whole] = rng.integers(self.lower[whole].astype(np.int64), self.upper[whole].astype(np.int64) + 1, (n, int(whole.sum())))
        for f, allowed in zip(self.features, self.allowed, strict=True):
            if f.is_category:
                X[:, f.columns] = f.patterns[rng.choice(allowed, n)]
        return X[(self.b + self.slack(X) >= X @ self.A.T).all(axis=1)]


def space_of(net: Network, domain: Box | Slice | NamedSlice, *, integer=(), one_hot: OneHot = ()) -> Space:
    """The inputs of a domain that a user means: with the network's categories, and whole numbers where told.

    integer: features that are whole numbers. one_hot: groups of inputs of which exactly one is 1, beside those that the
    network's table knows. DomainError where the domain is unbounded, or leaves a feature no value.
    """
    features = features_of(net, one_hot)
    lower, upper, A, b = _box(net, domain)
    whole = np.zeros(net.n_inputs, dtype=bool)
    for k in feature_numbers(net, features, integer):
        if features[k].is_category:
            raise DataError(f"integer: '{features[k].name}' is a category")
        whole[features[k].columns] = True
    lower, upper = np.where(whole, np.ceil(lower), lower), np.where(whole, np.floor(upper), upper)
    allowed = []
    for f in features:
        C = f.columns
        if not f.is_category:
            _check_number(f, float(lower[C[0]]), float(upper[C[0]]))
            allowed.append(None)
            continue
        keep = np.flatnonzero(((lower[C] <= f.patterns) & (f.patterns <= upper[C])).all(axis=1))
        if not len(keep):
            raise DomainError(f"the domain leaves '{f.name}' none of its categories")
        lower[C], upper[C] = f.patterns[keep].min(axis=0), f.patterns[keep].max(axis=0)
        allowed.append(keep)
    return Space(net, features, lower, upper, A, b, whole, tuple(allowed))


def _check_number(f: Feature, lower: float, upper: float) -> None:
    if not (np.isfinite(lower) and np.isfinite(upper)) or max(abs(lower), abs(upper)) > WHOLE_IN_FLOAT:
        raise DomainError(f"the domain is unbounded: give '{f.name}' finite bounds, it has [{lower:g}, {upper:g}]")
    if lower > upper:
        raise DomainError(f"the domain leaves '{f.name}' no whole number")


def _box(net: Network, domain) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(lower, upper, A, b) in the network's order."""
    if isinstance(domain, Box) and bool((domain.lower == domain.upper).all()):
        domain = domain if domain.names is None else as_slice(_nudged(domain), net.feature_names).box
        if domain.n_inputs != net.n_inputs:
            raise DomainError(f"the box has {domain.n_inputs} features, the network takes {net.n_inputs}")
        return domain.lower.copy(), domain.lower.copy(), domain.A, domain.b
    plane = as_slice(domain, net.feature_names)
    lower, upper = plane.box.lower.copy(), plane.box.upper.copy()
    moves = (plane.P != 0).any(axis=1)
    if not (np.isin(plane.P, (0.0, 1.0)).all() and (plane.P.sum(axis=0) == 1).all()):
        raise DomainError("this question is about features that move by themselves: give a Box, or a slice without ties")
    lower[~moves] = upper[~moves] = plane.x0[~moves]
    if plane.x0[moves].any():
        raise DomainError("give a Box instead of a slice with an origin of its own")
    return lower, upper, np.vstack([plane.box.A, plane.A @ plane.P.T]), np.concatenate([plane.box.b, plane.b])


def _nudged(box: Box) -> Box:
    """A box in which something moves, for its names to be looked up."""
    return Box(box.lower, box.upper + 1.0, box.names, A=box.A, b=box.b)


@dataclass(frozen=True, eq=False)
class Columns:
    """A space's inputs in a programme. x: (d,) columns. picks: for each category the columns (K,) of its allowed patterns'
    binaries, None for a number."""

    x: np.ndarray
    picks: tuple[np.ndarray | None, ...]


def enter(space: Space, program: Program, shared: Columns | None = None, own: Sequence[int] = ()) -> Columns:
    """Add a space's inputs and what binds them to a programme.

    shared: columns of a copy that is in already; only the features `own` then get columns of their own.
    """
    d = len(space.lower)
    x = np.full(d, -1) if shared is None else shared.x.copy()
    picks: list[np.ndarray | None] = [None] * len(space.features) if shared is None else list(shared.picks)
    for k, f in enumerate(space.features):
        if shared is not None and k not in own:
            continue
        C, allowed = f.columns, space.allowed[k]
        if allowed is None:
            x[C] = program.add(1, space.lower[C], space.upper[C], space.integer[C])
            continue
        picks[k] = program.add(len(allowed), 0.0, 1.0, True)
        program.constrain(np.ones((1, len(allowed))), picks[k], 1.0, 1.0)
        x[C] = _patterned(program, f, allowed, picks[k], space)
    if len(space.b):
        program.constrain(space.A, x, -np.inf, space.b)
    return Columns(x, tuple(picks))


def _patterned(program: Program, f: Feature, allowed: np.ndarray, picks: np.ndarray, space: Space) -> np.ndarray:
    """The columns of a category's inputs: the binaries themselves where each input is one of them."""
    P = f.patterns[allowed]
    if f.is_one_hot and len(allowed) == len(f.columns):
        return picks[P.argmax(axis=0)]
    x = program.add(len(f.columns), space.lower[f.columns], space.upper[f.columns])
    program.constrain(np.hstack([np.eye(len(x)), -P.T]), np.concatenate([x, picks]), 0.0, 0.0)
    return x


def rounded(space: Space, x: np.ndarray) -> np.ndarray:
    """x (d,) with whole numbers whole, each category the allowed pattern nearest to it, and all inside the bounds."""
    x = np.clip(x, space.lower, space.upper)
    x[space.integer] = np.round(x[space.integer])
    for f, allowed in zip(space.features, space.allowed, strict=True):
        if f.is_category:
            P = f.patterns[allowed]
            x[f.columns] = P[np.abs(P - x[f.columns]).sum(axis=1).argmin()]
    return x
