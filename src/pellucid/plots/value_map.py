"""The value of an output over the slice, in exact bands between level lines."""

from __future__ import annotations

import numpy as np

from ..atlas import Atlas
from ..errors import DomainError
from ..explain.asked import quantity
from .bands import bands
from .colours import CHALK, INK, diverging, sequential
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
    if len(atlas) == 0:
        raise DomainError("value_map: the atlas has no rows (nothing was selected), so there is no value to draw")
    asked = quantity(atlas.network, output, versus)
    cells = atlas.cells
    row = np.repeat(np.arange(len(atlas)), np.diff(cells.vertex_ptr))
    slope, offset = atlas.coef_u.transpose(0, 2, 1) @ asked.direction, atlas.intercept_u @ asked.direction
    values = np.einsum("vj,vj->v", slope[row], cells.vertices) + offset[row]
    edges = steps(float(values.min()), float(values.max()), levels)
    ptr, vertices, band, _ = bands(cells.vertex_ptr, cells.vertices, values, edges)
    what = asked.label if atlas.network.link == "identity" else f"logit of {asked.label}" if versus is None else f"logits {asked.label}"
    heading = title if title is not None else f"Value of {asked.label}"
    palette = sequential(len(edges) - 1) if versus is None else _about_zero(edges)
    bar, ink = Bar(edges, what, ticks=_ticks(edges)), CHALK if versus is None else INK
    scene = map_of(atlas, np.zeros(len(atlas), dtype=int), palette, heading, bar=bar, ink=ink)
    return scene.with_(faces=Faces(ptr, vertices, band))


def _about_zero(edges: np.ndarray) -> tuple[str, ...]:
    """Colours of bands: blue below 0, red above, equally strong at equal distance; 0 is one of the edges."""
    step = edges[1] - edges[0]
    first, last = round(edges[0] / step), round(edges[-1] / step)
    top = max(-first, last, 1)
    everything = diverging(2 * top)
    return everything[top + first:top + last]


def _ticks(edges: np.ndarray) -> tuple[float, ...]:
    """Every edge, or every other one (0 among them) where there are many."""
    step = edges[1] - edges[0]
    numbers = np.round(edges / step).astype(np.int64)
    return tuple(float(e) for e in (edges if len(edges) <= 11 else edges[numbers % 2 == 0]))
