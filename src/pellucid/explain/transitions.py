"""Which classes touch, along what (CEE VI-A: is there a jump from one output to another, past those between?)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..atlas import Atlas
from ..certificate import Certificate
from .result import borders, html, over_borders, scaled_length

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Transitions:
    """Every pair of classes that share a border of positive length (in three dimensions: area, and so on).

    pairs: (P, 2) classes, the smaller first. length: (P,) of the common border, in u. scaled_length: (P,) in units in which
    the domain's bounding box is the unit square; both NaN but in the plane (`decision_boundary` measures borders in any
    dimension). segments: (P,) straight (flat) pieces that it consists of.
    """

    atlas: Atlas
    pairs: np.ndarray
    length: np.ndarray
    scaled_length: np.ndarray
    segments: np.ndarray

    @property
    def is_jump(self) -> np.ndarray:
        """(P,) the classes are not consecutive numbers: for ordered classes, those between are passed over."""
        return self.pairs[:, 1] - self.pairs[:, 0] > 1

    @property
    def never_given(self) -> tuple[str, ...]:
        """Classes that no row of the atlas gives (none for several labels at once)."""
        atlas = self.atlas
        if atlas.network.is_multilabel:
            return ()
        given = np.unique(atlas.first)
        return tuple(name for k, name in enumerate(atlas.network.class_names) if k not in given)

    def matrix(self, *, scaled: bool = False) -> pd.DataFrame:
        """Length of the border between every two classes that are given; symmetric, 0 on the diagonal and where none touch.

        In other dimensions than two: the number of flat pieces of the border.
        """
        import pandas as pd

        classes = np.unique(self.atlas.first)
        table = np.zeros((len(classes), len(classes)))
        i, j = np.searchsorted(classes, self.pairs).T
        size = self.scaled_length if scaled else self.length
        table[i, j] = table[j, i] = size if self.atlas.is_planar else self.segments
        names = [self.atlas.class_label(int(k)) for k in classes]
        return pd.DataFrame(table, index=names, columns=names)

    @property
    def certificate(self) -> Certificate:
        """That these are all pairs which share a facet; classes that meet in less (in the plane: in a point) are not listed."""
        base = over_borders(self.atlas, borders(self.atlas))
        return Certificate("no other two classes share a facet of border in the domain", base.status, base.reason, base.figures)

    def to_frame(self) -> pd.DataFrame:
        """One row a pair, the longest border first."""
        import pandas as pd

        name = [self.atlas.class_label(int(k)) for k in self.pairs.ravel()]
        frame = pd.DataFrame({"from": name[::2], "to": name[1::2], "length": self.length, "scaled length": self.scaled_length,
                              "segments": self.segments, "jump": self.is_jump})
        largest = ["scaled length", "segments"]
        return frame.sort_values(largest, ascending=False, kind="stable", ignore_index=True)

    def __repr__(self) -> str:
        missing = f", never given: {', '.join(self.never_given)}" if self.never_given else ""
        return f"Transitions({len(self.pairs)} pairs of classes touch, {int(self.is_jump.sum())} of them jumps{missing})"

    def _repr_html_(self) -> str:
        return html(repr(self), self.to_frame())


def transitions(atlas: Atlas) -> Transitions:
    """Which classes touch, and along what length. The atlas has to be split by="class" or by="top2".

    Raises MissingColumn for an atlas that was not split.
    """
    first, border = atlas.first.astype(np.int64), borders(atlas)
    a, b = first[border.left], first[border.right]
    changes = np.flatnonzero(a != b)
    sides = np.sort(np.column_stack([a, b])[changes], axis=1)
    pairs, which = np.unique(sides, axis=0, return_inverse=True)
    which, n = which.ravel(), len(pairs)
    lengths = np.bincount(which, weights=border.length[changes], minlength=n)
    scaled = np.bincount(which, weights=scaled_length(atlas, border.take(changes)), minlength=n)
    return Transitions(atlas, pairs, lengths, scaled, np.bincount(which, minlength=n))
