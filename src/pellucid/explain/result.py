"""What the results of this folder share: how they inherit an atlas's claim, and how they show themselves."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from ..atlas import Adjacency, Atlas, adjacency
from ..atlas.neighbours import seam_label
from ..certificate import Certificate, Status

if TYPE_CHECKING:
    import pandas as pd


def over(atlas: Atlas) -> Certificate:
    """What may be said of "everywhere in the domain", given the atlas: what its own certificate says of the rows it has."""
    base = atlas.certificate
    covered = float(atlas.volume.sum()) / atlas.total_volume
    figures = {"share of the domain": covered}
    if base.status is Status.PROVED and atlas.is_selection:
        return Certificate(base.claim, Status.PROVED, f"holds on the {covered:.2%} of the domain that the atlas's rows cover", figures)
    return Certificate(base.claim, base.status, base.reason, figures)


def borders(atlas: Atlas) -> Adjacency:
    """Pairs of neighbouring rows; none in an atlas without rows."""
    if len(atlas):
        return adjacency(atlas)
    none = np.zeros(0, dtype=np.int64)
    return Adjacency(none, none, none, none, np.zeros((0, 2, 2)), np.zeros(0), none)


def seam_labels(atlas: Atlas, seams: np.ndarray) -> np.ndarray:
    """(n,) object: what makes each seam, in words; one look-up for each different line, not for each seam."""
    if len(seams) == 0:
        return np.zeros(0, dtype=object)
    _, first, which = np.unique(atlas.cells.seams[seams], axis=0, return_index=True, return_inverse=True)
    words = np.array([seam_label(atlas, int(s)) for s in seams[first]], dtype=object)
    return words[which.ravel()]


def segment_columns(atlas: Atlas, ends: np.ndarray) -> dict[str, np.ndarray]:
    """The ends (n, 2, 2) of segments as four columns, named by the axes."""
    return {f"{axis} {word}": ends[:, end, k] for end, word in enumerate(("from", "to")) for k, axis in enumerate(atlas.domain.axes)}


def scaled_length(atlas: Atlas, ends: np.ndarray) -> np.ndarray:
    """(n,) length of segments (n, 2, 2) in units in which the domain's bounding box is the unit square."""
    lower, upper = atlas.domain.polygon.bounds
    return np.linalg.norm((ends[:, 1] - ends[:, 0]) / (upper - lower), axis=1)


def html(title: str, frame: pd.DataFrame, notes: Sequence[str] = ()) -> str:
    """One line, a table, and what to know about it."""
    tail = "".join(f"<p><em>{escape(n)}</em></p>" for n in notes)
    return f"<p>{escape(title)}</p>{frame.to_html(index=False)}{tail}"
