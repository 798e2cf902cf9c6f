"""Linear expressions in text: "2 * age - income <= 30", with the names of a network's features and outputs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import DataError

if TYPE_CHECKING:
    from ..explain import Constraint, Linear
    from ..graph import Network

_NUMBER = re.compile(r"\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?")
_KINDS = ("output", "feature")


def constraint(net: Network, text: str) -> Constraint:
    """LEFT <= RIGHT or LEFT >= RIGHT. DataError where it cannot be read."""
    parts = re.split(r"(<=|>=)", text)
    if len(parts) != 3:
        raise DataError(f"--where '{text}': one <= or >= between two sums is needed, such as 'income <= 3 * age'")
    left, right = expression(net, parts[0]), expression(net, parts[2])
    return left <= right if parts[1] == "<=" else left >= right


def expression(net: Network, text: str) -> Linear:
    """A sum of numbers, names and multiples of names. A name that both a feature and an output have needs output: or feature:."""
    from ..explain import Linear

    total, rest = Linear(()), text.strip()
    if not rest:
        raise DataError("a sum of names and numbers is needed where nothing stands")
    while rest:
        sign = -1.0 if rest[0] == "-" else 1.0
        rest = rest[rest[0] in "+-":].lstrip()
        found = _NUMBER.match(rest)
        factor = sign * (float(found.group()) if found else 1.0)
        rest = rest[found.end():].lstrip() if found else rest
        times = rest.startswith("*")
        rest = rest[times:].lstrip()
        if found and not times and (not rest or rest[0] in "+-"):
            total = total + factor
        else:
            term, rest = _name(net, rest, text)
            total = total + factor * term
        if rest and rest[0] not in "+-":
            raise DataError(f"'{text}' cannot be read from '{rest}' on: names and numbers are joined by +, - and *")
    return total


def _name(net: Network, rest: str, text: str) -> tuple[Linear, str]:
    """The longest name that the text begins with, and what follows it."""
    from ..explain import feature, output

    makers = {"output": output, "feature": feature}
    names = {"output": (*net.output_names, *net.class_names), "feature": net.feature_names}
    known = {(f"{kind}:{n}" if marked else n): (kind, n) for marked in (True, False) for kind in _KINDS for n in names[kind]}
    fits = [n for n in known if rest.startswith(n) and not re.match(r"\w", rest[len(n):])]
    if not fits:
        raise DataError(f"'{text}': no feature or output is called as in '{rest}'; there are: {', '.join(known_names(net)[:12])}")
    name = max(fits, key=len)
    if name in names["output"] and name in names["feature"]:
        raise DataError(f"'{name}' is both a feature and an output: write feature:{name} or output:{name}")
    kind, plain = known[name]
    return makers[kind](plain), rest[len(name):].lstrip()


def known_names(net: Network) -> list[str]:
    return [*net.feature_names, *(f"output:{n}" for n in net.output_names)]
