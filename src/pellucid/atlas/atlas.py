"""The atlas: every linear region over an analysis set, in columns (SPEC 2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..certificate import Certificate
from ..chain import Chain, chain_of, local_maps, rounding
from ..errors import MissingColumn
from ..geometry import Slice
from ..graph import Network
from ..regions import Cells, Table, unpack_codes

if TYPE_CHECKING:
    import pandas as pd

    from .region import Region


LARGEST_COLUMN = 8 << 30
"""Bytes that the column `coef` may take."""


@dataclass(frozen=True, eq=False)
class Atlas:
    """Every linear region of `network` over `domain`, with its linear model y = coef x + intercept.

    Made by `pellucid.linear_regions`. Rows are regions, sorted by code; split by class (`by`) they are pieces of regions, and
    `parent` numbers the region. Geometry (vertices, halfspaces, volume) is in the k coordinates u of the slice x = x0 + P u,
    models act on the full x. `certificate` says what is proved of it. In the plane `cells` holds polygons, elsewhere codes
    and inner points, and halfspaces are made when they are asked for.
    """

    network: Network
    domain: Slice
    cells: Cells | Table
    by: str | None
    threshold: float
    certificate: Certificate
    is_selection: bool = False
    """Made by `select`: rows were left out or cut, on purpose."""

    # ---- columns
    def __len__(self) -> int:
        return len(self.cells.codes)

    @cached_property
    def codes(self) -> np.ndarray:
        """(K, units) piece of each unit with more than one piece, stage by stage (uint8)."""
        return unpack_codes(self.cells.codes, self.chain.n_pieces)

    @cached_property
    def _maps(self) -> tuple[np.ndarray, np.ndarray]:
        c, d = self.network.n_outputs, self.network.n_inputs
        if 8 * len(self) * c * d > LARGEST_COLUMN:
            raise MemoryError(f"coef of {len(self)} regions, {c} outputs and {d} features would take {8e-9 * len(self) * c * d:.0f} GB: "
                              "ask for single regions (atlas[k].coef), a selection, or coef_u, the slopes along the slice")
        return self.maps_of(self.chain)

    def maps_of(self, chain: Chain) -> tuple[np.ndarray, np.ndarray]:
        """Local maps, coef (K, outputs, inputs) and intercept (K, outputs), of a chain whose units are the network's."""
        rows = self._first_of_parent
        coef, intercept = np.empty((len(rows), chain.n_outputs, chain.n_inputs)), np.empty((len(rows), chain.n_outputs))
        for start in range(0, len(rows), 4096):        # codes are unpacked a part at a time: they can be wide
            part = slice(start, start + 4096)
            coef[part], intercept[part] = local_maps(chain, unpack_codes(self.cells.codes[rows[part]], chain.n_pieces))
        return (coef, intercept) if len(rows) == len(self) else (coef[self.parent], intercept[self.parent])

    @property
    def total_volume(self) -> float:
        """Of the domain, in u."""
        return self.domain.polygon.area if isinstance(self.cells, Cells) else float(self.cells.domain_volume or np.nan)

    @property
    def coef(self) -> np.ndarray:
        """(K, c, d): slope of every output in every feature, in output units per feature unit."""
        return self._maps[0]

    @property
    def intercept(self) -> np.ndarray:
        """(K, c): so that y = coef x + intercept."""
        return self._maps[1]

    @property
    def coef_u(self) -> np.ndarray:
        """(K, c, k): slope of every output along the slice's coordinates."""
        assert self.cells.coef is not None
        return self.cells.coef

    @property
    def intercept_u(self) -> np.ndarray:
        """(K, c): so that y = coef_u u + intercept_u."""
        assert self.cells.intercept is not None
        return self.cells.intercept

    @property
    def volume(self) -> np.ndarray:
        """(K,) Lebesgue measure in u: areas in the plane. MissingColumn where the engine gave none."""
        if isinstance(self.cells, Cells):
            return self.cells.area
        if self.cells.volume is None:
            raise MissingColumn(f"this atlas has no volumes of its regions in {self.domain.dim} dimensions: linear_regions(..., "
                                "engine='vertex') gives them up to some six; pellucid.importance measures or estimates them")
        return self.cells.volume

    @property
    def first(self) -> np.ndarray:
        """(K,) the class given on each piece (split by class or top2). Several labels: bit j is set where label j is given."""
        return self._split("first")

    @property
    def second(self) -> np.ndarray:
        """(K,) the runner-up on each piece (split by top2)."""
        return self._split("second")

    @cached_property
    def parent(self) -> np.ndarray:
        """(K,) number of the region that each piece is part of; 0..K-1 where nothing was split."""
        return np.cumsum(self._is_new_code) - 1

    @property
    def is_complete(self) -> bool:
        """No budget ran out: the rows cover the domain."""
        return self.cells.complete

    @property
    def is_planar(self) -> bool:
        """Two coordinates and polygons: maps, lengths, areas and enclaves are defined."""
        return isinstance(self.cells, Cells)

    @property
    def n_regions(self) -> int:
        """Linear regions (not pieces) met."""
        return int(self._is_new_code.sum())

    # ---- one region, points
    def __getitem__(self, k: int) -> Region:
        from .region import Region

        n = len(self)
        if not -n <= k < n:
            raise IndexError(f"region {k}: the atlas has {n}")
        return Region(self, int(k) % n)

    def __iter__(self) -> Iterator[Region]:
        return (self[k] for k in range(len(self)))

    def __call__(self, x) -> np.ndarray:
        """Values of the network by the regions' models, (n, c), for x (n, d), or for u (n, k); NaN outside the domain."""
        u, _ = self.coordinates(x)
        k = self.locate(x)
        y = np.full((len(u), self.network.n_outputs), np.nan)
        met = np.flatnonzero(k >= 0)
        y[met] = np.einsum("ncj,nj->nc", self.coef_u[k[met]], u[met]) + self.intercept_u[k[met]]
        return y

    def locate(self, x) -> np.ndarray:
        """Region of each point, (n,) int, -1 outside the domain (or in its unexplored rest), for x (n, d), or u (n, k).

        On a shared face: the region of the point's own code where that is one, else the smallest index (SPEC 2).
        """
        from .locate import locate

        return locate(self, x)

    def coordinates(self, x) -> tuple[np.ndarray, np.ndarray]:
        """(u (n, k), whether x lies in the slice's plane (n,)), for x (n, d), (n, *input_shape) or u (n, k)."""
        from .locate import coordinates

        return coordinates(self, x)

    def neighbours(self, k: int) -> pd.DataFrame:
        """What lies beyond each facet of region k: facet (row of its halfspaces), region (-1 outside), unit; length in the plane."""
        from .neighbours import neighbours

        return neighbours(self, int(k))

    # ---- other atlases, files, checks
    def select(self, *, first: int | str | Sequence | None = None, second: int | str | Sequence | None = None, where=None) -> Atlas:
        """The rows with these classes, cut to where A f(x) <= b for where=(A, b): A (m, c) or (c,), b (m,) (CEE IV-B)."""
        from .select import select

        return select(self, first=first, second=second, where=where)

    def to_frame(self, *, maps: bool = True) -> pd.DataFrame:
        """One row a region: volume, share, class, interior point, and (maps) every weight and intercept, by name."""
        from .frame import to_frame

        return to_frame(self, maps=maps)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the atlas as a directory of Parquet, the network and a manifest; `pellucid.load_atlas(path)` reads it back.

        PathInUse where something is there already; overwrite=True replaces an atlas (and nothing else).
        """
        from .store import save_atlas

        return save_atlas(self, path, overwrite=overwrite)

    def check(self, *, points: int = 10_000, seed: int = 0) -> Certificate:
        """Re-derive by other code: areas add up, random points are found, maps equal the network, and agree across facets."""
        from .check import check

        return check(self, points=points, seed=seed)

    # ---- names
    def class_label(self, k: int) -> str:
        """The name of class k as `first` and `second` give it."""
        if not self.network.is_multilabel:
            return self.network.class_names[k]
        given = [name for j, name in enumerate(self.network.output_names) if k >> j & 1]
        return " + ".join(given) or "none"

    # ---- inner
    @cached_property
    def chain(self) -> Chain:
        return chain_of(self.network)

    @cached_property
    def chain_u(self) -> Chain:
        """The chain of u -> f(x0 + P u)."""
        return self.chain.fold(self.domain.x0, self.domain.P)

    @cached_property
    def is_cut(self) -> bool:
        """Some polygons are parts of their region, cut by `select(where=...)`."""
        return isinstance(self.cells, Cells) and bool(np.any(self.cells.seams[:, 0] > self.chain.n_columns))

    @cached_property
    def _is_new_code(self) -> np.ndarray:
        words = self.cells.codes
        new = np.ones(len(words), dtype=bool)
        if self.by is not None and len(words):
            new[1:] = (words[1:] != words[:-1]).any(axis=1)
        return new

    @property
    def _first_of_parent(self) -> np.ndarray:
        return np.flatnonzero(self._is_new_code)

    @cached_property
    def _code_table(self):
        from .locate import code_table

        return code_table(self)

    @cached_property
    def _pair(self):
        from .locate import pair_key

        return pair_key(self)

    @cached_property
    def _grid(self):
        from .locate import make_grid

        return make_grid(self)

    @cached_property
    def _adjacency(self):
        from .neighbours import find_adjacency
        from .walls import find_walls

        return find_adjacency(self.cells) if isinstance(self.cells, Cells) else find_walls(self)

    @cached_property
    def _floors(self):
        return rounding(self.chain, self.domain).floors

    def _split(self, column: str) -> np.ndarray:
        value = getattr(self.cells, column)
        if value is None:
            wanted = "by='class' or by='top2'" if column == "first" else "by='top2'"
            raise MissingColumn(f"this atlas has no column '{column}': make it with linear_regions(..., {wanted})")
        return value

    def __repr__(self) -> str:
        n, pieces = self.n_regions, len(self)
        what = f"{n} regions" + (f" in {pieces} pieces by {self.by}" if self.by else "")
        return f"{type(self).__name__}({what} over {self.domain!r}, {self.certificate.reason})"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p>{escape(repr(self))}</p>" + self.to_frame(maps=False).head(10).to_html()


class PartialAtlas(Atlas):
    """An atlas whose budget ran out: its rows are right, but do not cover the domain. `unexplored` is the rest."""

    @property
    def unexplored(self) -> list[np.ndarray]:
        """The polygons (n, 2) in u that were not looked into (in the plane; elsewhere `cells` counts them)."""
        if not isinstance(self.cells, Cells):
            return []
        return [self.cells.rest_vertices[a:b] for a, b in zip(self.cells.rest_ptr[:-1], self.cells.rest_ptr[1:], strict=True)]
