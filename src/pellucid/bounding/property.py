"""What is to be verified: the unsafe points, as a union of cases, each a system of linear inequalities of outputs and inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from ..errors import DataError, NoDecision
from ..graph import Network
from ..graph.network import no_class


@dataclass(frozen=True, eq=False)
class Case:
    """One way to be unsafe: { x : C f(x) + Q x <= b }, with < in the rows that are strict, and lower <= x <= upper.

    C: (m, c), Q: (m, d), b and strict: (m,). lower, upper: (d,), infinite where the case says nothing of a feature.
    """

    C: np.ndarray
    Q: np.ndarray
    b: np.ndarray
    strict: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    def excess(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """(n, m) left side minus right side, at points x (n, d) with outputs y (n, c)."""
        return y @ self.C.T + x @ self.Q.T - self.b

    def holds(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """(n,) whether points are unsafe in this way."""
        g = self.excess(y, x)
        inside = ((x >= self.lower) & (x <= self.upper)).all(axis=1)
        return np.asarray(inside & np.where(self.strict, g < 0.0, g <= 0.0).all(axis=1))


@dataclass(frozen=True, eq=False)
class Property:
    """A network is safe at x unless one of the `unsafe` cases holds there. text: the property in words.

    Made by `pellucid.load_vnnlib`, or by what `verify` is given: a class, comparisons, `never(...)`.
    """

    unsafe: tuple[Case, ...]
    n_inputs: int
    n_outputs: int
    text: str

    def unsafe_in(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """(n,) the number of the first case that holds at each point, -1 where it is safe. y: (n, c), x: (n, d)."""
        found = np.full(len(x), -1)
        for k in reversed(range(len(self.unsafe))):
            found[self.unsafe[k].holds(y, x)] = k
        return found

    def __repr__(self) -> str:
        return f"Property({self.text}; {len(self.unsafe)} unsafe case{'' if len(self.unsafe) == 1 else 's'})"


@runtime_checkable
class Comparison(Protocol):
    """A comparison of expressions in `pellucid.output` and `pellucid.feature`, as explain/linear.py makes it: expression <= 0."""

    @property
    def expression(self): ...


@dataclass(frozen=True, eq=False)
class Never:
    """The property that these comparisons never hold all at once."""

    comparisons: tuple


def never(*comparisons) -> Never:
    """The property that these comparisons do not hold all at once at any point of the domain.

    Comparisons such as pel.output("clear") <= pel.output("left"), or arrays (C, Q, b) for C f(x) + Q x <= b (Q None: outputs only).
    """
    return Never(comparisons)


def property_of(net: Network, asked) -> Property:
    """Whatever `verify` is given as a property, in the network's own order. DataError, NoDecision for what it cannot be."""
    if isinstance(asked, Property):
        _check_sizes(net, asked)
        return asked
    if isinstance(asked, Never):
        C, Q, b = _stacked([rows_of(net, part) for part in asked.comparisons] or [_nothing(net)])
        return Property((case(C, Q, b),), net.n_inputs, net.n_outputs, f"never {_words(asked.comparisons, ' and ')}")
    if isinstance(asked, str | int | np.integer) and not isinstance(asked, bool):
        return _leading(net, asked)
    parts = list(asked) if isinstance(asked, list) else [asked]
    C, Q, b = _stacked([rows_of(net, part) for part in parts] or [_nothing(net)])
    cases = tuple(case(-C[k : k + 1], -Q[k : k + 1], -b[k : k + 1], strict=True) for k in range(len(b)))
    return Property(cases, net.n_inputs, net.n_outputs, f"always {_words(parts, ' and ')}")


def case(C, Q, b, strict: bool | np.ndarray = False, lower=None, upper=None) -> Case:
    """A case from its rows; on the whole space unless bounds are given."""
    d = Q.shape[1]
    low = np.full(d, -np.inf) if lower is None else lower
    up = np.full(d, np.inf) if upper is None else upper
    return Case(C, Q, b, np.broadcast_to(np.asarray(strict), b.shape).copy(), low, up)


def _leading(net: Network, label: str | int | np.integer) -> Property:
    """A class leads all others; where it ties with another it does not."""
    k, n = class_index(net, label), net.n_outputs
    if n == 1:
        C = np.array([[1.0 if k else -1.0]])
    else:
        others = [j for j in range(n) if j != k]
        C = np.zeros((n - 1, n))
        C[:, k] = 1.0
        C[range(n - 1), others] = -1.0
    zero = np.zeros((1, net.n_inputs))
    cases = tuple(case(C[i : i + 1], zero, np.zeros(1)) for i in range(len(C)))
    return Property(cases, net.n_inputs, n, f"always '{net.class_names[k]}'")


def class_index(net: Network, label: str | int | np.integer) -> int:
    """Number of a class given by name or number."""
    if net.n_classes == 0:
        raise NoDecision(no_class(net))
    if isinstance(label, str):
        if label not in net.class_names:
            raise DataError(f"no class is called '{label}'; there are: {', '.join(net.class_names)}")
        return net.class_names.index(label)
    if not 0 <= label < net.n_classes:
        raise DataError(f"class {label}: the network has {net.n_classes} classes, 0 to {net.n_classes - 1}")
    return int(label)


def rows_of(net: Network, part) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(C, Q, b) of a comparison or of such a tuple, checked."""
    if isinstance(part, Comparison):
        goal = part.expression.over(net)
        part = (goal.outputs, goal.inputs, -goal.constant)
    if not (isinstance(part, tuple) and len(part) == 3):
        raise DataError("a property is a class, comparisons such as pel.output('a') <= 3 (all of which have to hold), pel.never(...), "
                        f"arrays (C, Q, b) for C f(x) + Q x <= b, or a .vnnlib file; got a {type(part).__name__}")
    b = np.atleast_1d(np.asarray(part[2], dtype=np.float64))
    C, Q = (_matrix(m, len(b), n, name) for m, n, name in ((part[0], net.n_outputs, "C"), (part[1], net.n_inputs, "Q")))
    if not all(np.isfinite(a).all() for a in (C, Q, b)):
        raise DataError("a property's numbers must be finite")
    return C, Q, b


def _matrix(value, m: int, n: int, name: str) -> np.ndarray:
    matrix = np.zeros((m, n)) if value is None else np.atleast_2d(np.asarray(value, dtype=np.float64))
    if matrix.shape != (m, n):
        raise DataError(f"a property's {name} has shape {matrix.shape}, b has {m} entries; {name} must be ({m}, {n})")
    return matrix


def _nothing(net: Network):
    return np.zeros((0, net.n_outputs)), np.zeros((0, net.n_inputs)), np.zeros(0)


def _stacked(parts: Sequence[tuple]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.vstack([p[0] for p in parts]), np.vstack([p[1] for p in parts]), np.concatenate([p[2] for p in parts])


def _words(parts: Sequence, between: str) -> str:
    words = between.join(str(p) if isinstance(p, Comparison) else f"{len(np.atleast_1d(p[2]))} rows of C f(x) + Q x <= b" for p in parts)
    return words if len(words) <= 120 else f"{len(parts)} comparisons"


def _check_sizes(net: Network, p: Property) -> None:
    for have, want, what in ((net.n_inputs, p.n_inputs, "inputs"), (net.n_outputs, p.n_outputs, "outputs")):
        if have != want:
            raise DataError(f"the property speaks of {want} {what}, the network has {have}")


def before_link(net: Network, p: Property) -> Property:
    """The property of what the model answers, as one of the logits. DataError where no linear constraint on logits says the same.

    Softmax keeps the order of its logits, so that y_i <= y_j is kept; log-softmax their differences, so that y_i - y_j <= d is;
    a sigmoid by itself is increasing, so that y <= p becomes y <= logit(p), rounded such that no unsafe point is lost.
    """
    if net.link == "identity":
        return p
    return Property(tuple(_unlinked(net.link, c) for c in p.unsafe), p.n_inputs, p.n_outputs, p.text)


def _unlinked(link: str, c: Case) -> Case:
    C, b = c.C.copy(), c.b.copy()
    for i in range(len(b)):
        if not C[i].any():
            continue
        used = np.flatnonzero(C[i])
        if c.Q[i].any():
            raise _nonlinear(link)
        balanced = len(used) == 2 and C[i, used[0]] == -C[i, used[1]]
        if balanced and (link == "log_softmax" or b[i] == 0.0):
            continue
        if link != "sigmoid" or len(used) != 1:
            raise _nonlinear(link)
        C[i], b[i] = _sigmoid_row(C[i], b[i], int(used[0]))
    return Case(C, c.Q, b, c.strict, c.lower, c.upper)


def _sigmoid_row(row: np.ndarray, b: float, k: int) -> tuple[np.ndarray, float]:
    """a sigmoid(z) <= b, that is sigmoid(z) <= p = b / a for a > 0 and >= p for a < 0, as a row of z."""
    a = row[k]
    p, side, out = b / a, float(np.sign(a)), np.zeros_like(row)
    if not 0.0 < p < 1.0:                                       # always, or never: 0 z <= 1, 0 z <= -1
        return out, 1.0 if (p >= 1.0) == (side > 0) else -1.0
    out[k] = side
    z = side * (np.log(p) - np.log1p(-p))
    slip = 0.0 if abs(a) == 1.0 else 2.0 * np.spacing(p) / (p * (1.0 - p))      # of the division; the logit is steep near 0 and 1
    return out, z + 8 * np.spacing(1.0 + abs(z)) + slip


def _nonlinear(link: str) -> DataError:
    return DataError(f"the model ends in a {link}, and the property compares its outputs in a way that is not linear before it: compare "
                     "two outputs with each other, or load the model with link='identity' if the property means the logits")
