"""The value of an output over the slice, in exact bands between level lines."""

from __future__ import annotations

import numpy as np

from ..atlas import Atlas
from ..explain.asked import quantity
from .bands import bands
from .colours import diverging, sequential
from .scene import Bar, Faces, Scene, map_of, steps


def value_map(atlas: Atlas, ax=None, *, output: int | str = 0, versus: int | str | None = None, levels: int = 16,
              title: str | None = None):
    """Draw an output (before softmax or sigmoid), or the difference of two, in bands between round values; matplotlib Axes.

    levels: about how many bands. The lines between bands are where the network takes these values: exact, not interpolated.
    """
    from .matplotlib import draw

    return draw(value_scene(atlas, output=output, versus=versus, levels=levels, title=title), ax)


def value_scene(atlas, *, output=0, versus=None, levels=16, title=None) -> Scene:
    """What `value_map` draws."""
    asked = quantity(atlas.network, output, versus)
    cells = atlas.cells
    row = np.repeat(np.arange(len(atlas)), np.diff(cells.vertex_ptr))
    slope, offset = atlas.coef_u.transpose(0, 2, 1) @ asked.direction, atlas.intercept_u @ asked.direction
    values = np.einsum("vj,vj->v", slope[row], cells.vertices) + offset[row]
    edges = steps(float(values.min()), float(values.max()), levels) if versus is None else _about_zero(values, levels)
    ptr, vertices, band, _ = bands(cells.vertex_ptr, cells.vertices, values, edges)
    what = asked.label if atlas.network.link == "identity" else f"logit of {asked.label}" if versus is None else f"logits {asked.label}"
    heading = title if title is not None else f"Value of {asked.label}"
    palette = sequential(len(edges) - 1) if versus is None else diverging(len(edges) - 1)
    scene = map_of(atlas, np.zeros(len(atlas), dtype=int), palette, heading, bar=Bar(edges, what))
    return scene.with_(faces=Faces(ptr, vertices, band))


def _about_zero(values: np.ndarray, levels: int) -> np.ndarray:
    """Levels symmetric about 0, with 0 one of them, so that the line between two colours is where the outputs tie."""
    top = float(np.abs(values).max()) or 1.0
    upper = steps(0.0, top, max(2, levels // 2))
    return np.concatenate([-upper[:0:-1], upper])
