"""Linear expressions of outputs and inputs, by name: what is optimised, and under which constraints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DataError
from ..graph import Network
from .asked import feature_index, quantity


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear expression of a network's outputs and features, and a constant: sums, multiples, and comparisons of such.

        pel.output("approved") - pel.output("refused") >= 0.5
        2 * pel.feature("income") + pel.feature("savings") <= 10
    """

    terms: tuple[tuple[str, int | str, float], ...]
    constant: float = 0.0

    def __add__(self, other: Linear | float) -> Linear:
        other = _linear(other)
        return Linear(self.terms + other.terms, self.constant + other.constant)

    __radd__ = __add__

    def __neg__(self) -> Linear:
        return self * -1.0

    def __sub__(self, other: Linear | float) -> Linear:
        return self + -_linear(other)

    def __rsub__(self, other: float) -> Linear:
        return _linear(other) + -self

    def __mul__(self, factor: float) -> Linear:
        factor = float(factor)
        return Linear(tuple((kind, which, factor * value) for kind, which, value in self.terms), factor * self.constant)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Linear:
        return self * (1.0 / float(divisor))

    def __le__(self, other: Linear | float) -> Constraint:
        return Constraint(self - other)

    def __ge__(self, other: Linear | float) -> Constraint:
        return Constraint(_linear(other) - self)

    def __str__(self) -> str:
        parts = [f"{value:+g} {kind}({which!r})" for kind, which, value in self.terms]
        return " ".join([*parts, f"{self.constant:+g}"] if self.constant or not parts else parts)

    def over(self, net: Network) -> Objective:
        """In the network's own order; DataError for a name that it does not have."""
        c, q = np.zeros(net.n_outputs), np.zeros(net.n_inputs)
        for kind, which, value in self.terms:
            if kind == "output":
                c += value * quantity(net, which).direction
            else:
                q[feature_index(net, which)] += value
        return Objective(c, q, self.constant)


@dataclass(frozen=True, eq=False)
class Constraint:
    """expression <= 0; made by comparing two expressions."""

    expression: Linear

    def __str__(self) -> str:
        return f"{self.expression} <= 0"

    def __bool__(self) -> bool:
        raise TypeError("a constraint has no truth value: write a <= x and x <= b as two constraints, not as a <= x <= b")


@dataclass(frozen=True, eq=False)
class Objective:
    """outputs . f(x) + inputs . x + constant; outputs: (c,) or None, inputs: (d,) or None."""

    outputs: np.ndarray | None = None
    inputs: np.ndarray | None = None
    constant: float = 0.0


def output(name: int | str) -> Linear:
    """An output of a network (before its link: the logit of a class), by name or number."""
    return Linear((("output", name, 1.0),))


def feature(name: int | str) -> Linear:
    """A feature of a network, by name or number, in its own units."""
    return Linear((("feature", name, 1.0),))


def _linear(value: Linear | float) -> Linear:
    return value if isinstance(value, Linear) else Linear((), float(value))


# ---- in the network's own order
@dataclass(frozen=True, eq=False)
class Rows:
    """C f(x) + Q x <= b."""

    C: np.ndarray
    Q: np.ndarray
    b: np.ndarray

    def __len__(self) -> int:
        return len(self.b)

    def excess(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """(n,) by how much points miss the rows, at most; -inf without rows."""
        return (y @ self.C.T + x @ self.Q.T - self.b).max(axis=1, initial=-np.inf)


def objective_of(net: Network, asked) -> tuple[str, Objective]:
    """(label, Objective with both vectors) of an output, a pair, a vector, an expression or an Objective."""
    if isinstance(asked, Linear):
        return str(asked), asked.over(net)
    if isinstance(asked, Objective):
        c, q = (_vector(v, n, what) for v, n, what in ((asked.outputs, net.n_outputs, "outputs"), (asked.inputs, net.n_inputs, "inputs")))
        return "the objective", Objective(c, q, float(asked.constant))
    zero = np.zeros(net.n_inputs)
    if isinstance(asked, str | int | np.integer):
        found = quantity(net, asked)
    elif isinstance(asked, tuple) and len(asked) == 2 and all(isinstance(k, str | int | np.integer) for k in asked):
        found = quantity(net, asked[0], asked[1])
    else:
        return "the objective", Objective(_vector(asked, net.n_outputs, "outputs"), zero)
    return found.label, Objective(found.direction, zero)


def _vector(value, n: int, what: str) -> np.ndarray:
    vector = np.zeros(n) if value is None else np.asarray(value, dtype=np.float64).ravel()
    if vector.shape != (n,) or not np.isfinite(vector).all():
        raise DataError(f"an objective on the {what} needs {n} finite numbers, got {np.shape(value)}: name an output, a pair of outputs, "
                        "or write an expression such as pel.output('a') - pel.output('b')")
    return vector


def rows_of(net: Network, where) -> Rows:
    """`where` as arrays: None, a Constraint, (C, Q, b), or a list of them."""
    parts = [] if where is None else list(where) if isinstance(where, list) else [where]
    C, Q, b = [np.zeros((0, net.n_outputs))], [np.zeros((0, net.n_inputs))], [np.zeros(0)]
    for part in parts:
        if isinstance(part, Constraint):
            row = part.expression.over(net)
            part = (row.outputs, row.inputs, -row.constant)
        if not (isinstance(part, tuple) and len(part) == 3):
            raise DataError(f"where: constraints are comparisons such as pel.output('a') <= 3, or arrays (C, Q, b) for C f(x) + Q x <= b; "
                            f"got a {type(part).__name__}")
        offsets = np.atleast_1d(np.asarray(part[2], dtype=np.float64))
        C.append(_matrix(part[0], len(offsets), net.n_outputs, "C"))
        Q.append(_matrix(part[1], len(offsets), net.n_inputs, "Q"))
        b.append(offsets)
    rows = Rows(np.vstack(C), np.vstack(Q), np.concatenate(b))
    if not (np.isfinite(rows.C).all() and np.isfinite(rows.Q).all() and np.isfinite(rows.b).all()):
        raise DataError("where: numbers must be finite")
    says = rows.C.any(axis=1) | rows.Q.any(axis=1) | (rows.b < 0)       # not 0 <= b
    return Rows(rows.C[says], rows.Q[says], rows.b[says])


def _matrix(value, m: int, n: int, what: str) -> np.ndarray:
    matrix = np.zeros((m, n)) if value is None else np.atleast_2d(np.asarray(value, dtype=np.float64))
    if matrix.shape != (m, n):
        raise DataError(f"where: {what} has shape {matrix.shape}, b has {m} entries; {what} must be ({m}, {n})")
    return matrix


def columns_of(net: Network, features: Sequence[int | str]) -> np.ndarray:
    """Numbers of features given by name or number."""
    return np.array([feature_index(net, f) for f in features], dtype=int)
