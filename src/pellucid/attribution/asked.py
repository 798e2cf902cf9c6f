"""What EVA asks: of which rows, against which classes, over which sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataError, DomainError, NoDecision
from ..geometry.frames import in_named_order
from ..graph import Network
from ..graph.network import no_class
from .groups import Groups
from .scores import class_number, labels_of

ANY, ALL = -1, -2
"""Targets: the best of the other classes; each of them."""

SIGNS = (None, "+", "-")


@dataclass(frozen=True, eq=False)
class Sets:
    """The sets B, one a row: { x + delta : ||delta / eps||_p <= 1, delta's sign, clip }. X: (n, d). lower, upper: (n, d) their
    boxes, rounded outwards. radius: (n, d) eps of each feature. B_u is B with the features u at x.
    """

    X: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    radius: np.ndarray
    p: float

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, rows) -> Sets:
        return Sets(self.X[rows], self.lower[rows], self.upper[rows], self.radius[rows], self.p)


def sets_of(X: np.ndarray, eps, p, sign, clip) -> Sets:
    """The balls around the rows, their sign and clip as boxes. DomainError for what is no ball, and for rows outside clip."""
    if float(p) not in (1.0, 2.0, np.inf):
        raise DomainError(f"p={p!r}; it can be 1, 2 or inf")
    if sign not in SIGNS:
        raise DomainError(f"sign={sign!r}; it can be '+' (entries only grow), '-' or None")
    radius = for_rows(eps, X.shape, "eps").copy()
    if not ((radius >= 0) & np.isfinite(radius)).all():
        raise DomainError("eps must be finite and not negative")
    room = np.where(radius > 0, 2 * np.finfo(float).eps * (np.abs(X) + radius), 0.0)      # of the sum's rounding
    lower = X if sign == "+" else X - radius - room
    upper = X if sign == "-" else X + radius + room
    if clip is not None:
        low, high = (for_rows(c, X.shape, "clip") for c in clip)
        outside = ((low > X) | (high < X)).any(axis=1)
        if outside.any():
            raise DomainError(f"row {int(np.argmax(outside))} of X has entries outside clip={clip}. Scale the inputs, or say which range "
                              "exists: clip=(low, high); clip=None for no such range")
        lower, upper = np.maximum(lower, low), np.minimum(upper, high)
    return Sets(X, lower, upper, radius, float(p))


def by_feature(net: Network, eps, clip) -> tuple[Any, tuple[Any, Any] | None]:
    """eps and clip as arrays, what they say of each feature in the network's order: given by name, in an input's shape, by channel."""
    shape = net.input_shape

    def put(value):
        value = in_named_order(value, net.feature_names)
        a = np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value, dtype=np.float64)
        if a.ndim == 0:
            return float(a)
        by_channel = a.ndim == len(shape) > 2 and all(k in (1, m) for k, m in zip(a.shape, shape, strict=True))
        a = np.broadcast_to(a, shape) if by_channel else a
        return a.reshape(-1) if a.shape in (shape, (1, net.n_inputs)) else a

    if clip is None:
        return put(eps), None
    low, high = clip
    return put(eps), (put(low), put(high))


def for_rows(value, shape: tuple[int, int], name: str) -> np.ndarray:
    """(n, d) of one number, one a feature (in any shape of d entries but (d, 1)), one a row (n, 1), or one for each entry of each row.

    DomainError for any other shape.
    """
    n, d = shape
    a = np.asarray(value, dtype=np.float64)
    if a.size == 1:
        a = a.reshape(())
    elif a.shape != (n, 1):
        if (a.size != d or a.shape == (d, 1)) and (a.size != n * d or len(a) != n):
            raise DomainError(f"{name} has shape {a.shape}; one number is needed, one a feature ({d}), or one a row ({n}, 1)")
        a = a.reshape(-1, d)
    return np.broadcast_to(a, shape)


@dataclass(frozen=True, eq=False)
class Question:
    """Rows, their classes c and the rows of C: C[i, k] f = f_c' - f_c, whose largest over k counts (AO, EVA eq. 1).

    label: (n,) c. rival: (n, s) c' of each row of C: (n, s, outputs). counts: (n, s) whether the row counts towards an untargeted or
    targeted overlap. each: the overlap with every class is asked for.
    """

    net: Network
    sets: Sets
    groups: Groups
    label: np.ndarray
    rival: np.ndarray
    counts: np.ndarray
    C: np.ndarray
    each: bool

    def __getitem__(self, rows) -> Question:
        return Question(self.net, self.sets[rows], self.groups, self.label[rows], self.rival[rows], self.counts[rows], self.C[rows],
                        self.each)

    def gather(self, overlap: np.ndarray) -> np.ndarray:
        """Overlaps (n, s, ...) of the rows of C as (n, ...): the largest of those that count; of `each` as (n, classes, ...), at the
        row's own class the largest of all."""
        extra = overlap.ndim - 2
        best = np.where(self.counts.reshape(*self.counts.shape, *[1] * extra), overlap, -np.inf).max(axis=1)
        if not self.each:
            return best
        out = np.empty((len(overlap), self.net.n_classes, *overlap.shape[2:]))
        row = np.arange(len(overlap))
        out[row[:, None], self.rival] = overlap
        out[row, self.label] = best
        return out


def question_of(net: Network, X: np.ndarray, groups: Groups, sets: Sets, target, label) -> Question:
    """The rows of C for these targets: None (the best other class), a class, one a row, or "all".

    A target that is the row's own class asks as None does.
    """
    if net.n_classes == 0:
        raise NoDecision(no_class(net))
    label = labels_of(net, X, label)
    n, classes = len(X), net.n_classes
    wanted = np.full(n, ANY) if target is None or (isinstance(target, str) and target == "all" and "all" not in net.class_names) else \
        targets_of(net, target, n)
    each = target is not None and isinstance(target, str) and target == "all" and "all" not in net.class_names
    wanted = np.where(wanted == label, ANY, wanted)
    if (wanted != ANY).all() and n:
        rival = wanted[:, None]
        counts = np.ones((n, 1), dtype=bool)
    else:
        rival = np.arange(classes - 1)[None] + (np.arange(classes - 1)[None] >= label[:, None])
        counts = (wanted[:, None] == ANY) | (rival == wanted[:, None])
    return Question(net, sets, groups, label, rival, counts, differences(net, label, rival), each)


def targets_of(net: Network, target, n: int) -> np.ndarray:
    """(n,) class numbers."""
    if isinstance(target, str) or np.ndim(target) == 0:
        return np.full(n, class_number(net, target.item() if hasattr(target, "item") else target))
    target = [class_number(net, t.item() if hasattr(t, "item") else t) for t in target]
    if len(target) != n:
        raise DataError(f"target has {len(target)} entries, X has {n} rows")
    return np.array(target, dtype=np.int64)


def differences(net: Network, label: np.ndarray, rival: np.ndarray) -> np.ndarray:
    """(n, s, outputs): rows of f_rival - f_label. A single sigmoid output y stands for the decision logits (0, y)."""
    if net.n_outputs == 1:
        return np.where(rival == 1, 1.0, -1.0)[:, :, None]
    C = np.zeros((*rival.shape, net.n_outputs))
    np.put_along_axis(C, rival[:, :, None], 1.0, axis=2)
    np.put_along_axis(C, np.broadcast_to(label[:, None, None], (*rival.shape, 1)), -1.0, axis=2)
    return C
