"""Activations that exporters take apart, recognised by what they multiply: GELU (both forms), SiLU, Softplus.

A pattern looks up from one node along the inputs. `term(name)` gives (op_type, inputs) of the node that makes a tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..graph.registry import Value

SAME = 1e-5
"""Relative difference at which a constant in a file is still taken for sqrt(2) and the like: it is float32, or typed by hand."""


class Expressions:
    """What stands above a tensor, as far as a pattern needs it."""

    def __init__(self, producer: dict[str, Any], values: dict[str, Any]):
        self.producer, self.values = producer, values

    def constant(self, name: str) -> float | None:
        """The one number that a tensor holds, None where it is none."""
        value = self.values.get(name)
        return float(value.ravel()[0]) if isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "fiu" else None

    def is_number(self, name: str, number: float) -> bool:
        c = self.constant(name)
        return c is not None and abs(c - number) <= SAME * abs(number)

    def base(self, name: str) -> str | None:
        """The node behind a tensor: one and the same for copies of it."""
        value = self.values.get(name)
        return value.name if isinstance(value, Value) else None

    def node(self, name: str, *kinds: str):
        """The node that makes a tensor, if it is one of these kinds."""
        node = self.producer.get(name)
        return node if node is not None and node.op_type in kinds else None

    def factors(self, name: str, depth: int = 0) -> tuple[float, list[str]]:
        """The tensor as number * tensor * tensor ..: Mul and Div by numbers taken apart."""
        c = self.constant(name)
        if c is not None:
            return c, []
        node = self.node(name, "Mul", "Div", "Neg")
        if node is None or depth > 6:
            return 1.0, [name]
        if node.op_type == "Neg":
            number, rest = self.factors(node.input[0], depth + 1)
            return -number, rest
        a, b = node.input
        if node.op_type == "Div":
            by = self.constant(b)
            if not by:
                return 1.0, [name]
            number, rest = self.factors(a, depth + 1)
            return number / by, rest
        (p, left), (q, right) = self.factors(a, depth + 1), self.factors(b, depth + 1)
        return p * q, left + right

    def times(self, name: str) -> tuple[float, str] | None:
        """(number, base) where the tensor is number * base."""
        number, rest = self.factors(name)
        base = self.base(rest[0]) if len(rest) == 1 else None
        return None if base is None else (number, base)

    def plus_number(self, name: str, number: float) -> str | None:
        """The other term where the tensor is `number + other`."""
        node = self.node(name, "Add")
        if node is None:
            return None
        a, b = node.input
        return a if self.is_number(b, number) else b if self.is_number(a, number) else None


@dataclass(frozen=True)
class Found:
    """The node is after * kind(before * base)."""

    kind: str
    attrs: dict
    base: str
    before: float = 1.0
    after: float = 1.0


def recognise(node, expressions: Expressions) -> Found | None:
    """What a node is that ends a decomposed activation, or None."""
    for pattern in _PATTERNS.get(node.op_type, ()):
        found = pattern(node, expressions)
        if found is not None:
            return found
    return None


def _gate(node, e: Expressions, *kinds: str):
    """(number, base, gate) where the node is number * base * gate and the gate is made by a node of these kinds."""
    number, rest = e.factors(node.output[0])
    if len(rest) != 2:
        return None
    for x, gate in (rest, rest[::-1]):
        if e.base(x) is not None and (made := e.node(gate, *kinds)) is not None:
            return number, e.base(x), made
    return None


def _gelu(node, e: Expressions) -> Found | None:
    """z / 2 * (1 + erf(z / sqrt 2)), or with tanh(sqrt(2 / pi) (z + 0.044715 z^3)) in the place of erf; z = s * base."""
    gate = _gate(node, e, "Add")
    inner = e.plus_number(gate[2].output[0], 1.0) if gate else None
    if gate is None or inner is None:
        return None
    number, base, _ = gate
    erf, tanh = e.node(inner, "Erf"), e.node(inner, "Tanh")
    if erf is not None:
        scaled = e.times(erf.input[0])
        s, attrs = (scaled[0] / math.sqrt(0.5) if scaled and scaled[1] == base else 0.0), {}
    elif tanh is not None:
        s, attrs = _cubic(tanh.input[0], base, e), {"approximate": "tanh"}
    else:
        return None
    s = 1.0 if abs(s - 1.0) <= SAME else s
    if not s:
        return None
    after = number / (0.5 * s)
    return Found("Gelu", attrs, base, s, 1.0 if abs(after - 1.0) <= SAME else after)


def _cubic(name: str, base: str, e: Expressions) -> float:
    """s where the tensor is sqrt(2 / pi) (z + 0.044715 z^3), z = s * base; 0 where it is not."""
    number, rest = e.factors(name)
    total = e.node(rest[0], "Add") if len(rest) == 1 else None
    if total is None or abs(number - math.sqrt(2 / math.pi)) > SAME:
        return 0.0
    for line, cube in (total.input, list(total.input)[::-1]):
        linear, (k, powers) = e.times(line), e.factors(cube)
        if linear and linear[1] == base and _degree(powers, base, e) == 3 and abs(k / linear[0]**3 - 0.044715) <= SAME:
            return linear[0]
    return 0.0


def _degree(names: list[str], base: str, e: Expressions) -> float:
    """n where the product of the tensors is base^n; nan where it is none."""
    total = 0.0
    for name in names:
        power = e.node(name, "Pow")
        if e.base(name) == base:
            total += 1
        elif power is not None and e.base(power.input[0]) == base and (n := e.constant(power.input[1])) is not None:
            total += n
        else:
            return math.nan
    return total


def _silu(node, e: Expressions) -> Found | None:
    """x sigmoid(alpha x)."""
    gate = _gate(node, e, "Sigmoid")
    scaled = e.times(gate[2].input[0]) if gate else None
    if gate is None or scaled is None or scaled[1] != gate[1] or not scaled[0]:
        return None
    return Found("Swish", {"alpha": scaled[0]}, gate[1], after=gate[0])


def _softplus(node, e: Expressions) -> Found | None:
    """log(1 + exp(x))."""
    inner = e.plus_number(node.input[0], 1.0)
    exp = e.node(inner, "Exp") if inner else None
    base = e.base(exp.input[0]) if exp is not None else None
    return None if base is None else Found("Softplus", {}, base)


def _guarded_softplus(node, e: Expressions) -> Found | None:
    """beta x > 20 ? x : softplus(beta x) / beta, as torch computes it: within 2.1e-9 / beta of the softplus alone."""
    condition = e.node(node.input[0], "Greater", "GreaterOrEqual")
    line, (share, soft) = e.times(node.input[1]), e.factors(node.input[2])
    inner = e.node(soft[0], "Softplus") if len(soft) == 1 else None
    if condition is None or inner is None or line is None or line[0] != 1.0:
        return None
    scaled, left, limit = e.times(inner.input[0]), e.times(condition.input[0]), e.constant(condition.input[1])
    same = scaled is not None and left is not None and scaled[1] == left[1] == line[1]
    if not same or limit is None or limit < 20.0 or left[0] != scaled[0] or abs(share * scaled[0] - 1.0) > SAME:
        return None
    return Found("Identity", {}, e.base(node.input[2]))


Pattern = Callable[[Any, Expressions], "Found | None"]
_PATTERNS: dict[str, tuple[Pattern, ...]] = {"Mul": (_gelu, _silu), "Div": (_gelu,), "Log": (_softplus,), "Where": (_guarded_softplus,)}
