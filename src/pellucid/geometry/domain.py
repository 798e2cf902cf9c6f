"""From whatever a user gives as analysis set to a Slice in the network's feature order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import DomainError
from .box import Box, replace_box
from .hull import Hull
from .slice import NamedSlice, Slice, slice_of_box


def as_slice(domain: Box | Slice | NamedSlice | Hull, names: Sequence[str]) -> Slice:
    """The domain as a Slice, its features in the order of `names` (the network's).

    A Box becomes the slice of the features that move (lower < upper), a Hull that of the flat it lies in. DomainError where the
    sizes or names do not fit.
    """
    if isinstance(domain, Hull):
        _check_width(domain.box, names)
        domain = domain.as_slice()
    if isinstance(domain, NamedSlice):
        _check_width(domain.box, names)
        domain = domain.resolve(names)
    if isinstance(domain, Box):
        _check_width(domain, names)
        box = _reordered_box(domain, names)
        return slice_of_box(box)
    if isinstance(domain, Slice):
        _check_width(domain.box, names)
        order = _order(domain.box, names)
        if order is None:
            box = domain.box if domain.box.names else replace_box(domain.box, names=tuple(names))
            return domain if box is domain.box else Slice(domain.x0, domain.P, box, A=domain.A, b=domain.b, free=domain.free)
        where = np.argsort(order)
        free = None if domain.free is None else tuple(tuple(int(where[j]) for j in group) for group in domain.free)
        return Slice(domain.x0[order], domain.P[order], _reordered_box(domain.box, names), A=domain.A, b=domain.b, free=free)
    raise DomainError(f"a Box, a Slice or a Hull is needed as analysis set, got a {type(domain).__name__}")


def _check_width(box: Box, names: Sequence[str]) -> None:
    if box.n_inputs != len(names):
        categories = any(n.rpartition("=")[0] in (box.names or ()) for n in names)
        way_out = ": categories are several features, box encoded rows: Box.of(net.table.encode(frame))" if categories else ""
        raise DomainError(f"the box has {box.n_inputs} features, the network takes {len(names)}{way_out}")


def _order(box: Box, names: Sequence[str]) -> np.ndarray | None:
    """order[j] = place in the box of the network's feature j; None if nothing moves."""
    if box.names is None or tuple(box.names) == tuple(names):
        return None
    missing = [n for n in names if n not in box.names]
    if missing:
        extra = [n for n in box.names if n not in names]
        unknown = f", '{extra[0]}' is unknown" if extra else ""
        raise DomainError(f"the box's names are not the network's: '{missing[0]}' is missing{unknown}. "
                          f"The network's are: {', '.join(names)}")
    return np.array([box.names.index(n) for n in names])


def _reordered_box(box: Box, names: Sequence[str]) -> Box:
    order = _order(box, names)
    if order is None:
        return box if box.names else replace_box(box, names=tuple(names))
    return Box(box.lower[order], box.upper[order], names, A=box.A[:, order], b=box.b)
