"""One region of an atlas."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..chain import Elementwise, local_maps, unit_maps
from ..graph.network import logit
from ..regions import unpack_codes
from ..tolerance import ON_FACE
from .neighbours import facet_labels
from .polytopes import facet_words, facets_of, vertices_of

if TYPE_CHECKING:
    from .atlas import Atlas


class Halfspaces(NamedTuple):
    """{ u : A u <= b }, minimal: every row is a facet. units: what makes each row, in words."""

    A: np.ndarray
    b: np.ndarray
    units: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Region:
    """Row k of an atlas: a polytope in u on which the network is y = coef x + intercept."""

    atlas: Atlas
    index: int

    @property
    def code(self) -> np.ndarray:
        """(units,) piece of each unit."""
        return unpack_codes(self.atlas.cells.codes[self.index:self.index + 1], self.atlas.chain.n_pieces)[0]

    @property
    def coef(self) -> np.ndarray:
        """(c, d)."""
        return self._map[0]

    @property
    def intercept(self) -> np.ndarray:
        """(c,)."""
        return self._map[1]

    @property
    def volume(self) -> float:
        return float(self.atlas.volume[self.index])

    @property
    def vertices(self) -> np.ndarray:
        """(n, k) in u; in the plane counter-clockwise. DomainError beyond 8 dimensions."""
        if not self.atlas.is_planar:
            return vertices_of(self.atlas, self.index)
        ptr = self.atlas.cells.vertex_ptr
        return self.atlas.cells.vertices[ptr[self.index]:ptr[self.index + 1]]

    @property
    def interior_point(self) -> np.ndarray:
        """(k,) in u, strictly inside: in the plane the mean of the vertices."""
        if not self.atlas.is_planar:
            return self.atlas.cells.points[self.index]
        return self.vertices.mean(axis=0)

    @property
    def interior_x(self) -> np.ndarray:
        """(d,) the interior point in the features' units."""
        return self.atlas.domain.point(self.interior_point)[0]

    @cached_property
    def halfspaces(self) -> Halfspaces:
        """The validity region, minimal (CEE III-D): rows A u <= b (in the plane in the order of the edges), the unit behind each."""
        if not self.atlas.is_planar:
            found = facets_of(self.atlas, [self.index])
            return Halfspaces(found.A, found.b, tuple(facet_words(self.atlas, found)))
        seams = self._seams
        rows = [self._row(i, int(s)) for i, s in enumerate(seams)]
        A, b = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
        return Halfspaces(A, b, tuple(facet_labels(self.atlas, self.index)))

    @property
    def _seams(self) -> np.ndarray:
        ptr = self.atlas.cells.vertex_ptr
        return self.atlas.cells.edge_seam[ptr[self.index]:ptr[self.index + 1]]

    @cached_property
    def _map(self) -> tuple[np.ndarray, np.ndarray]:
        coef, intercept = local_maps(self.atlas.chain, self.code[None])
        return coef[0], intercept[0]

    @cached_property
    def _unit_maps(self):
        return unit_maps(self.atlas.chain_u, self.code)

    def _row(self, edge: int, seam: int) -> tuple[np.ndarray, float]:
        """The facet's inequality: from the unit's own map, where the edge confirms it; else through the edge itself."""
        v = self.vertices
        p, q = v[edge], v[(edge + 1) % len(v)]
        drawn = np.array([q[1] - p[1], p[0] - q[0]])
        drawn = drawn / max(float(np.hypot(*drawn)), 1e-300)
        g, h = self._domain_row(-1 - seam) if seam < 0 else self._unit_row(seam)
        size = float(np.hypot(*g)) if g is not None else 0.0
        if size > 0:
            g, h = g / size, h / size
            if g @ drawn < 0:
                g, h = -g, -h
            lower, upper = self.atlas.domain.polygon.bounds
            if max(abs(g @ p - h), abs(g @ q - h)) <= 10 * ON_FACE * float(np.max(upper - lower)):
                return g, float(h)
        return drawn, float(max(drawn @ p, drawn @ q))

    def _domain_row(self, face: int):
        G, h, _ = self.atlas.domain.constraints
        i = int(self.atlas.domain.polygon.faces[face])
        return G[i], h[i]

    def _unit_row(self, seam: int):
        """g u = h on the seam, by the maps of this region's code; (None, 0) for seams made by `select`."""
        atlas = self.atlas
        column, low, high = (int(c) for c in atlas.cells.seams[seam])
        if column > atlas.chain.n_columns:
            return None, 0.0
        if column == atlas.chain.n_columns:
            G, g = self._unit_maps[-1]
            if atlas.network.is_multilabel or atlas.network.n_outputs == 1:
                j = low if atlas.network.is_multilabel else 0
                return G[j], logit(atlas.threshold) - g[j]
            return G[low] - G[high], g[high] - g[low]
        for l, (start, outputs) in enumerate(atlas.chain.columns):
            if column < start + len(outputs):
                phi, unit = atlas.chain.stages[l].phi, int(outputs[column - start])
                G, g = self._unit_maps[l]
                if isinstance(phi, Elementwise):
                    return G[unit], phi.breaks[phi.ptr[unit] + min(low, high)] - g[unit]
                i, j = phi.members[phi.ptr[unit] + low], phi.members[phi.ptr[unit] + high]
                return G[i] - G[j], g[j] - g[i]
        raise AssertionError("bug: a seam names a column that no stage has")

    def __repr__(self) -> str:
        label = "" if self.atlas.cells.first is None else f", {self.atlas.class_label(int(self.atlas.first[self.index]))}"
        if not self.atlas.is_planar:
            return f"Region({self.index} of {self.atlas.domain.dim} dimensions{label})"
        return f"Region({self.index}: {len(self.vertices)} facets, volume {self.volume:.4g}{label})"
