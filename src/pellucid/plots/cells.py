"""The regions of a plane and the local models that hold on them: for pictures of networks of two features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..atlas import Atlas, linear_regions
from ..errors import DataError, DomainError
from ..geometry import Box
from ..unwrap.asked import Effect
from ..unwrap.models import LocalModels

MARGIN = 0.04
"""Share of the data's range by which the picture goes beyond it."""

MOST_REGIONS = 400_000


@dataclass(frozen=True, eq=False)
class Cells:
    """Every linear region of the plane around the rows. owner: (regions,) position of the model that holds on it, -1 where no row lies."""

    atlas: Atlas
    owner: np.ndarray

    @property
    def charted(self) -> np.ndarray:
        return self.owner >= 0

    @property
    def charted_share(self) -> float:
        """Share of the picture's area on which some row lies in the region."""
        return float(self.atlas.volume[self.charted].sum() / max(self.atlas.volume.sum(), 1e-300))


def cells_of(models: LocalModels, what: str) -> Cells:
    """The plane's regions with their models: by the centre of a model's rows, which lies in its region since that is convex, or by
    the rows of merged models."""
    net = models.network
    if net.n_inputs != 2:
        raise DomainError(f"{what} draws networks of two features, this one has {net.n_inputs}: pel.plot.region_rows shows the rows of "
                          "regions in any two of them, pel.plot.profile one feature at a time")
    if not len(models):
        raise DataError(f"{what}: there are no local models")
    low, high = models.low.min(axis=0), models.high.max(axis=0)
    pad = np.where(high > low, MARGIN * (high - low), 0.5)
    atlas = linear_regions(net, Box(low - pad, high + pad, net.feature_names), max_regions=MOST_REGIONS)
    owner = np.full(len(atlas), -1, dtype=np.int64)
    at, model = models.centre, np.arange(len(models))
    if models.kind != "local":
        if models.rows is None:
            raise DataError(f"{what}: merged models say where they hold by their rows, and these hold none")
        kept = models.rows.model >= 0
        at, model = models.rows.X[kept], models.rows.model[kept]
    place = atlas.locate(at)
    owner[place[place >= 0]] = model[place >= 0]
    return Cells(atlas, owner)


def values_at_vertices(cells: Cells, told: Effect) -> np.ndarray:
    """(V,) what the model of each cell gives at the cell's vertices; NaN where there is none."""
    k = np.repeat(cells.owner, np.diff(cells.atlas.cells.vertex_ptr))
    x = cells.atlas.cells.vertices[:, _columns(cells.atlas)]
    y = np.einsum("vj,vj->v", told.coef[k], x) + told.intercept[k]
    return np.where(k >= 0, y, np.nan)


def _columns(atlas: Atlas) -> list[int]:
    """The plane's coordinate of each feature."""
    free = [f[0] for f in atlas.domain.free] if atlas.domain.free is not None else [0, 1]
    return [free.index(0), free.index(1)]


def level_lines(ptr: np.ndarray, vertices: np.ndarray, values: np.ndarray, level: float) -> np.ndarray:
    """(m, 2, 2) where an affine function of each convex cell, given at its vertices, takes this value."""
    n = np.diff(ptr)
    following = np.arange(len(vertices)) + 1
    following[ptr[1:] - 1] = ptr[:-1]
    cell = np.repeat(np.arange(len(n)), n)
    with np.errstate(invalid="ignore"):
        a, b = values - level, values[following] - level
        up, down = (a < 0) & (b >= 0), (a >= 0) & (b < 0)             # a convex cell that is crossed has one edge of each kind

    def crossing(edge: np.ndarray) -> np.ndarray:
        t = (a[edge] / (a[edge] - b[edge]))[:, None]
        return (1 - t) * vertices[edge] + t * vertices[following[edge]]

    first, second = np.flatnonzero(up), np.flatnonzero(down)
    both = np.intersect1d(cell[first], cell[second])
    first, second = first[np.isin(cell[first], both)], second[np.isin(cell[second], both)]
    return np.stack([crossing(first), crossing(second)], axis=1)


def zero_segment(w: np.ndarray, b: float, low: np.ndarray, high: np.ndarray) -> np.ndarray | None:
    """(2, 2) the ends of the line w.x + b = 0 in a box of the plane; None where it misses it."""
    hits = []
    for k in (0, 1):
        if w[1 - k] != 0:
            for at in (low[k], high[k]):
                other = -(b + w[k] * at) / w[1 - k]
                if low[1 - k] <= other <= high[1 - k]:
                    hits.append((at, other) if k == 0 else (other, at))
    if len(hits) < 2:
        return None
    hits = np.array(hits)
    far = np.argmax(np.linalg.norm(hits - hits[0], axis=1))
    return np.stack([hits[0], hits[far]]) if far else None
