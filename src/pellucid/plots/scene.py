"""What a picture shows, as values: polygons, lines, keys, marks. No drawing library is needed to make or to test one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..atlas import Atlas, PartialAtlas
from ..atlas.select import areas
from ..explain.result import borders
from ..tolerance import ON_FACE
from .colours import EMPTY, INK

BORDERS_UP_TO = 6000
"""Regions above which their borders are not drawn: they would be under a tenth of a point wide and cover the colours."""


@dataclass(frozen=True, eq=False)
class Faces:
    """Convex polygons, one colour each. vertices: (V, 2) in u, polygon p is vertices[ptr[p]:ptr[p + 1]]; colour: (P,) numbers
    in the scene's palette."""

    ptr: np.ndarray
    vertices: np.ndarray
    colour: np.ndarray

    def __len__(self) -> int:
        return len(self.colour)


@dataclass(frozen=True)
class Key:
    """An entry of the legend. hatched: as unexplored areas are; marker: a point rather than an area."""

    label: str
    colour: str
    hatched: bool = False
    marker: bool = False


@dataclass(frozen=True, eq=False)
class Bar:
    """The colour scale beside the map. edges: (n + 1,) values between which each of the n colours stands; reverse: small
    values on top; beyond: "neither", "min", "max", "both": values outside are shown in the outermost colours. names: of the
    ticks, where they are no numbers."""

    edges: np.ndarray
    label: str
    ticks: tuple[float, ...] | None = None
    reverse: bool = False
    beyond: str = "neither"
    names: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Dots:
    """Points of data: at (n, 2) in u, colour (n,) numbers in the palette."""

    at: np.ndarray
    colour: np.ndarray


@dataclass(frozen=True, eq=False)
class Mark:
    """A small numbered sign at a point (2,) in u; size: area of what it marks."""

    at: np.ndarray
    text: str
    colour: str
    size: float


@dataclass(frozen=True, eq=False)
class Name:
    """What an area is called, written on it around a point (2,) in u."""

    at: np.ndarray
    text: str
    colour: str


@dataclass(frozen=True, eq=False)
class Scene:
    """One map. palette: hex colours; n_cells: how many regions fill the domain (borders thin out with it); outline: (n, 2) the
    domain; borders: (m, 2, 2) between regions; edges: (m, 2, 2) drawn strongly (between classes); unexplored: polygons."""

    title: str
    axes: tuple[str, str]
    outline: np.ndarray
    faces: Faces
    palette: tuple[str, ...]
    n_cells: int
    borders: np.ndarray = field(default_factory=lambda: np.zeros((0, 2, 2)))
    edges: np.ndarray = field(default_factory=lambda: np.zeros((0, 2, 2)))
    keys: tuple[Key, ...] = ()
    key_title: str = ""
    bar: Bar | None = None
    unexplored: tuple[np.ndarray, ...] = ()
    dots: Dots | None = None
    marks: tuple[Mark, ...] = ()
    names: tuple[Name, ...] = ()
    edge_width: float = 1.0
    """Of the strong lines, in points."""
    ink: str = INK
    """Colour of the borders between regions."""

    def with_(self, **changes) -> Scene:
        return replace(self, **changes)


def map_of(atlas: Atlas, colour: np.ndarray, palette: tuple[str, ...], title: str, **more) -> Scene:
    """The atlas's rows as faces of these colours, with borders between regions and what is not covered."""
    cells = atlas.cells
    scene = Scene(title, axis_labels(atlas), atlas.domain.polygon.vertices, Faces(cells.vertex_ptr, cells.vertices, colour), palette,
                  _density(atlas), borders=region_borders(atlas), **more)
    return with_gaps(atlas, scene)


def _density(atlas: Atlas) -> int:
    """How many regions the whole domain would have if it were all like the part that the atlas covers."""
    covered = float(atlas.volume.sum()) / atlas.domain.polygon.area
    return round(atlas.n_regions / covered) if covered > 0 else 0


def region_borders(atlas: Atlas) -> np.ndarray:
    """(m, 2, 2) segments between different regions (not between the pieces of one); none where there are too many to be seen."""
    if atlas.n_regions > BORDERS_UP_TO:
        return np.zeros((0, 2, 2))
    border = borders(atlas)
    return border.ends[atlas.parent[border.left] != atlas.parent[border.right]]


def class_borders(atlas: Atlas) -> np.ndarray:
    """(m, 2, 2) segments on which the class changes; none for an atlas that is not split."""
    if atlas.cells.first is None:
        return np.zeros((0, 2, 2))
    border = borders(atlas)
    return border.ends[atlas.first[border.left] != atlas.first[border.right]]


def with_gaps(atlas: Atlas, scene: Scene) -> Scene:
    """The scene with what the atlas does not cover: unexplored (hatched), or left out by a selection (empty)."""
    area = atlas.domain.polygon.area
    gap = 1.0 - float(atlas.volume.sum()) / area
    keys, rest = list(scene.keys), ()
    if isinstance(atlas, PartialAtlas) and len(atlas.unexplored):
        rest = tuple(atlas.unexplored)
        unknown = float(areas(atlas.cells.rest_vertices, atlas.cells.rest_ptr).sum()) / area
        keys.append(Key(f"not explored ({share(unknown)})", EMPTY, hatched=True))
        gap -= unknown
    if atlas.is_selection and gap > 1e3 * ON_FACE:
        keys.append(Key(f"left out ({share(gap)})", EMPTY))
    return scene.with_(unexplored=rest, keys=tuple(keys))


def axis_labels(atlas: Atlas) -> tuple[str, str]:
    """The names of the slice's axes with their units."""
    units, free = atlas.network.units, atlas.domain.free
    labels = []
    for k, name in enumerate(atlas.domain.axes):
        unit = units[free[k][0]] if free is not None else ""
        labels.append(f"{name} [{unit}]" if unit else name)
    return labels[0], labels[1]


def share(part: float) -> str:
    """A share of the area in words: "42.1 %", "< 0.1 %"."""
    percent = 100 * part
    if 0 < percent < 0.05:
        return "< 0.1 %"
    return f"{percent:.1f} %" if percent < 99.95 or part >= 1 - 1e-12 else "> 99.9 %"


def steps(low: float, high: float, n: int = 16) -> np.ndarray:
    """Round values that enclose [low, high], at most about n steps apart by 1, 2, 2.5 or 5 times a power of ten."""
    if not high > low:
        pad = max(abs(low), 1.0) * 0.5
        low, high = low - pad, high + pad
    raw = (high - low) / n
    unit = 10.0 ** np.floor(np.log10(raw))
    step = next(m * unit for m in (1, 2, 2.5, 5, 10) if m * unit >= raw * (1 - 1e-9))
    return step * np.arange(np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9) + 1)
