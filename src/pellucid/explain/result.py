"""What the results of this folder share: how they inherit an atlas's claim, and how they show themselves."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from ..atlas import Adjacency, Atlas, adjacency
from ..atlas.neighbours import border_label, nothing
from ..certificate import Certificate, Status

if TYPE_CHECKING:
    import pandas as pd


def over(atlas: Atlas) -> Certificate:
    """What may be said of "everywhere in the domain", given the atlas: what its own certificate says of the rows it has."""
    base, volume = atlas.certificate, known_volume(atlas)
    covered = np.nan if volume is None else float(volume.sum()) / atlas.total_volume
    figures = {} if volume is None else {"share of the domain": covered}
    if base.status is Status.PROVED and atlas.is_selection:
        part = f"the {covered:.2%} of the domain" if volume is not None else "the part of the domain"
        return Certificate(base.claim, Status.PROVED, f"holds on {part} that the atlas's rows cover", figures)
    return Certificate(base.claim, base.status, base.reason, figures)


def over_borders(atlas: Atlas, border: Adjacency) -> Certificate:
    """`over`, for claims about all common facets: unknown where it is not known what lies behind some."""
    base = over(atlas)
    if border.unknown and base.status is Status.PROVED and not atlas.is_selection:
        return Certificate(base.claim, Status.UNKNOWN, f"what lies behind {border.unknown} facets is not known", base.figures)
    return base


def known_volume(atlas: Atlas) -> np.ndarray | None:
    """(K,) volumes of the rows, None where the engine gave none."""
    return atlas.volume if atlas.is_planar or atlas.cells.volume is not None else None


def borders(atlas: Atlas) -> Adjacency:
    """Pairs of neighbouring rows; none in an atlas without rows."""
    return adjacency(atlas) if len(atlas) else nothing(atlas.domain.dim)


def wall_labels(atlas: Atlas, border: Adjacency) -> np.ndarray:
    """(n,) object: what makes each common facet, in words; one look-up for each different one."""
    if len(border) == 0:
        return np.zeros(0, dtype=object)
    kinds, which = np.unique(border.made_by, axis=0, return_inverse=True)
    words = np.array([border_label(atlas, *(int(c) for c in kind)) for kind in kinds], dtype=object)
    return words[which.ravel()]


def wall_columns(atlas: Atlas, border: Adjacency) -> dict[str, np.ndarray]:
    """Where common facets lie, named by the axes: in the plane length and ends of each segment, elsewhere a point in it."""
    if not atlas.is_planar or border.ends is None:
        return {f"at {axis}": border.point[:, k] for k, axis in enumerate(atlas.domain.axes)}
    ends = border.ends
    places = {f"{axis} {word}": ends[:, end, k] for end, word in enumerate(("from", "to")) for k, axis in enumerate(atlas.domain.axes)}
    return {"length": border.length, "scaled length": scaled_length(atlas, border), **places}


def scaled_length(atlas: Atlas, border: Adjacency) -> np.ndarray:
    """(n,) length of segments in units in which the domain's bounding box is the unit square; NaN where they are none."""
    if not atlas.is_planar or border.ends is None:
        return np.full(len(border), np.nan)
    lower, upper = atlas.domain.bounds
    return np.linalg.norm((border.ends[:, 1] - border.ends[:, 0]) / (upper - lower), axis=1)


def told(border: Adjacency) -> str:
    """How many common facets, and how long they are, in words."""
    if border.ends is None:
        return f"{len(border)} facets"
    return f"{len(border)} segments, length {border.length.sum():.4g}"


def html(title: str, frame: pd.DataFrame, notes: Sequence[str] = ()) -> str:
    """One line, a table, and what to know about it."""
    tail = "".join(f"<p><em>{escape(n)}</em></p>" for n in notes)
    return f"<p>{escape(title)}</p>{frame.to_html(index=False)}{tail}"
