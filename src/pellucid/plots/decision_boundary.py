"""The boundary between two classes, drawn over what they cover (CLIME, definition 3)."""

from __future__ import annotations

import numpy as np

from ..errors import DomainError
from ..explain import DecisionBoundary
from .class_map import data_points
from .colours import NEUTRAL, class_colours, lighter
from .scene import Dots, Key, Scene, map_of, share

TIED = "#f0e442"
"""Where both classes' outputs are equal and highest over an area."""


def decision_boundary(boundary: DecisionBoundary, ax=None, *, data=None, title: str | None = None):
    """Draw the segments of a boundary over the areas of its two classes, others grey; matplotlib Axes.

    data: rows (n, d), a frame, or u (n, 2), drawn as white dots where they project onto the slice.
    DomainError where the boundary is not of the plane.
    """
    from .matplotlib import draw

    return draw(boundary_scene(boundary, data=data, title=title), ax)


def boundary_scene(boundary: DecisionBoundary, *, data=None, title: str | None = None) -> Scene:
    """What `decision_boundary` draws."""
    atlas = boundary.atlas
    if not atlas.is_planar:
        raise DomainError(f"pictures are of the plane; this boundary lies in {atlas.domain.dim} dimensions. Slice the domain first")
    first, a, b = atlas.first.astype(np.int64), boundary.a, boundary.b
    if atlas.network.is_multilabel:
        colour = np.where(first & a != 0, 0, 1)
    else:
        colour = np.where(first == a, 0, np.where(first == b, 1, 2))
    colour[boundary.ties] = 3
    palette = (*(lighter(c, 0.55) for c in class_colours(2)), NEUTRAL, TIED, "#ffffff")
    area = np.bincount(colour, weights=atlas.volume, minlength=4) / atlas.domain.polygon.area
    words = (atlas.class_label(a), atlas.class_label(b) if b or not atlas.network.is_multilabel else "not", "other classes", "tie of both")
    keys = [Key(f"{word} ({share(part)})", palette[k]) for k, (word, part) in enumerate(zip(words, area, strict=True)) if part > 0]
    dots = None
    if data is not None:
        u = data_points(atlas, data)
        dots, keys = Dots(u, np.full(len(u), 4)), [*keys, Key(f"data ({len(u)} rows)", "#ffffff", marker=True)]
    n = len(boundary)
    heading = title if title is not None else f"Boundary of {words[0]} and {words[1]}: {n} segment{'s' if n != 1 else ''}"
    assert boundary.ends is not None
    scene = map_of(atlas, colour, palette, heading, edges=boundary.ends, keys=tuple(keys), dots=dots, edge_width=2.0)
    return scene.with_(borders=np.zeros((0, 2, 2)))
