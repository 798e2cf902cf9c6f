"""What a question is about: a feature, an output, a difference of outputs; by number or by name."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from ..errors import DataError
from ..graph import Network


@dataclass(frozen=True, eq=False)
class Quantity:
    """The number c . f(x) that is explained: an output, or a difference of two.

    label: its name. direction: (c,). compares: whether two outputs are compared (then weights rank with their sign).
    """

    label: str
    direction: np.ndarray
    compares: bool


def quantity(net: Network, output: int | str = 0, versus: int | str | None = None) -> Quantity:
    """Output `output` of the network, or `output` minus `versus` (CEE IV-B).

    A single sigmoid output speaks for two classes with the decision logits (0, y): asked by the name of its first class it
    is -y. DataError for an output that is not there, or compared with itself.
    """
    label, c = _output(net, output)
    if versus is None:
        return Quantity(label, c, False)
    other, b = _output(net, versus)
    if other == label:
        raise DataError(f"output '{label}' is compared with itself: versus has to be another one")
    if net.n_outputs == 1:                     # y - 0, or 0 - y: one logit carries both classes
        return Quantity(f"{label} - {other}", c, True)
    return Quantity(f"{label} - {other}", c - b, True)


def _output(net: Network, output: int | str) -> tuple[str, np.ndarray]:
    names = net.output_names
    if isinstance(output, str):
        if net.n_outputs == 1 and len(net.class_names) == 2 and output == net.class_names[0]:
            return output, np.array([-1.0])
        k = _by_name(output, names, "output")
    else:
        k = _by_number(output, len(names), "output")
    return names[k], np.eye(len(names))[k]


def feature_index(net: Network, feature: int | str) -> int:
    """Number of a feature given by number (negative: from the end) or name. DataError where there is none."""
    if isinstance(feature, str):
        return _by_name(feature, net.feature_names, "feature")
    return _by_number(feature, net.n_inputs, "feature")


def _by_name(name: str, names: tuple[str, ...], what: str) -> int:
    if name in names:
        return names.index(name)
    lowered = {n.lower(): n for n in names}
    near = [lowered[n] for n in get_close_matches(name.lower(), lowered, n=1)]
    shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    raise DataError(f"no {what} is called '{name}'" + (f"; did you mean '{near[0]}'?" if near else f"; there are: {shown}"))


def _by_number(k: int, n: int, what: str) -> int:
    if not -n <= int(k) < n:
        raise DataError(f"{what} {k}: the network has {n}")
    return int(k) % n
