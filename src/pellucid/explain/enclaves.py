"""Enclaves: connected parts of the domain with one class, inside another class (CEE VI-A: outputs abnormal among their
surroundings)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..atlas import Atlas
from ..atlas.neighbours import Adjacency
from ..certificate import Certificate
from ..tolerance import ON_FACE
from .result import borders, html, known_volume, over_borders

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Enclaves:
    """The connected parts of equal class, and which of them are enclosed.

    component: (K,) part of each row. decided: (C,) class of each part. area: (C,) volume in u, NaN where the atlas has
    none. on_border: (C,) touches the domain's border, or something that the atlas does not cover. inside: (C,) the
    innermost part that separates it from the border, -1 for none. touching: (E, 2) parts that share a facet, both ways, sorted.
    """

    atlas: Atlas
    component: np.ndarray
    decided: np.ndarray
    area: np.ndarray
    on_border: np.ndarray
    inside: np.ndarray
    touching: np.ndarray

    def __len__(self) -> int:
        return int(self.enclosed.sum())

    @cached_property
    def enclosed(self) -> np.ndarray:
        """(C,) off the border, and outwards in touch with one other class only (parts inside of it do not count)."""
        part, other = self.touching.T
        outwards = self.inside[other] != part
        part, other = part[outwards], self.decided[other[outwards]]
        low = np.full(len(self.decided), np.iinfo(np.int64).max)
        high = np.full(len(self.decided), -1)
        np.minimum.at(low, part, other)
        np.maximum.at(high, part, other)
        return ~self.on_border & (low == high)

    @property
    def certificate(self) -> Certificate:
        """That these are all enclaves of the domain; only parts off the border of an explored area can be."""
        base = over_borders(self.atlas, borders(self.atlas))
        return Certificate(f"{len(self)} enclaves, and no other in the domain", base.status, base.reason, base.figures)

    def rows(self, part: int) -> np.ndarray:
        """The atlas's rows that make up a part."""
        return np.flatnonzero(self.component == part)

    def to_frame(self, *, enclosed_only: bool = False) -> pd.DataFrame:
        """One row a part, the largest first."""
        import pandas as pd

        names = {int(k): self.atlas.class_label(int(k)) for k in np.unique(self.decided)}
        part, other = self.touching.T
        ends = np.searchsorted(part, np.arange(len(self.decided) + 1))
        touched = [", ".join(names[int(k)] for k in np.unique(self.decided[other[a:b]])) for a, b in pairwise(ends)]
        rows = np.bincount(self.component, minlength=len(self.decided))
        frame = pd.DataFrame({"part": np.arange(len(self.decided)), "class": [names[int(k)] for k in self.decided], "area": self.area,
                              "share": self.area / self.atlas.total_volume, "rows": rows,
                              "touches": touched, "on border": self.on_border, "enclosed": self.enclosed, "inside": self.inside})
        frame = frame.sort_values("area", ascending=False, kind="stable", ignore_index=True)
        return frame.loc[frame["enclosed"]].reset_index(drop=True) if enclosed_only else frame

    def __repr__(self) -> str:
        share = float(self.area[self.enclosed].sum()) / self.atlas.total_volume
        part = f", {share:.2%} of the domain" if np.isfinite(share) else ""
        return f"Enclaves({len(self)} of {len(self.decided)} connected parts are enclosed{part})"

    def _repr_html_(self) -> str:
        return html(repr(self), self.to_frame().sort_values("enclosed", ascending=False, kind="stable").head(20))


def enclaves(atlas: Atlas) -> Enclaves:
    """Connected parts of equal class; which lie enclosed in one other class. The atlas has to be split by class.

    Parts that meet in less than a facet (in the plane: in a point) are not connected. In any dimension.
    Raises MissingColumn for an atlas that was not split.
    """
    if len(atlas) == 0:
        none = np.zeros(0, dtype=np.int64)
        return Enclaves(atlas, none, none, np.zeros(0), none > 0, none, np.zeros((0, 2), dtype=np.int64))
    first, border, K = atlas.first.astype(np.int64), borders(atlas), len(atlas)
    same = first[border.left] == first[border.right]
    C, component = connected_components(_graph(border.left[same], border.right[same], K), directed=False)
    component = component.astype(np.int64)
    decided = np.zeros(C, dtype=np.int64)
    decided[component] = first
    volume = known_volume(atlas)
    area = np.full(C, np.nan) if volume is None else np.bincount(component, weights=volume, minlength=C)
    on_border = np.zeros(C, dtype=bool)
    on_border[component[_open_rows(atlas, border)]] = True
    across = np.column_stack([component[border.left[~same]], component[border.right[~same]]])
    touching = np.unique(np.vstack([across, across[:, ::-1]]), axis=0).reshape(-1, 2)
    return Enclaves(atlas, component, decided, area, on_border, _separators(C, touching, on_border), touching)


def _graph(a: np.ndarray, b: np.ndarray, n: int) -> coo_array:
    return coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(n, n))


def _open_rows(atlas: Atlas, border: Adjacency) -> np.ndarray:
    """Rows with an edge on the domain's border, or one whose other side is not in the atlas (partial, or selected)."""
    if border.outer is not None:
        return border.outer
    cells = atlas.cells
    v, ptr = cells.vertices, cells.vertex_ptr
    row = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))
    follower = np.arange(1, len(v) + 1)
    follower[ptr[1:] - 1] = ptr[:-1]
    length = np.linalg.norm(v[follower] - v, axis=1)
    shared = np.bincount(border.edge_left, weights=border.length, minlength=len(v))
    shared += np.bincount(border.edge_right, weights=border.length, minlength=len(v))
    span = np.ptp(v, axis=0).max(initial=0.0)
    alone = length - shared > 10 * ON_FACE * span
    return np.unique(row[(cells.edge_seam < 0) | alone])


def _separators(n: int, touching: np.ndarray, on_border: np.ndarray) -> np.ndarray:
    """(n,) for each node the last node that every path to the border passes, -1 where there is none.

    Source    Hopcroft & Tarjan 1973: node w's block hangs on its parent v if no back edge from below w leads above v; the
              node on which the block of w hangs separates w from the root. The root is the border.
    """
    rim = np.flatnonzero(on_border)
    edges = np.vstack([touching, np.column_stack([np.full(len(rim), n), rim]), np.column_stack([rim, np.full(len(rim), n)])])
    edges = edges[np.argsort(edges[:, 0], kind="stable")]
    ptr, to = np.searchsorted(edges[:, 0], np.arange(n + 2)).tolist(), edges[:, 1].tolist()
    entered, low, parent = [-1] * (n + 1), [0] * (n + 1), [-1] * (n + 1)
    at, order, stack = ptr[:-1].copy(), [], [n]
    entered[n] = 0
    while stack:
        v = stack[-1]
        if at[v] == ptr[v]:
            low[v] = entered[v]
            order.append(v)
        if at[v] < ptr[v + 1]:
            w = to[at[v]]
            at[v] += 1
            if entered[w] < 0:
                parent[w], entered[w] = v, len(order)
                stack.append(w)
            elif w != parent[v]:
                low[v] = min(low[v], entered[w])
        else:
            stack.pop()
            if stack:
                low[stack[-1]] = min(low[stack[-1]], low[v])
    head = [-1] * (n + 1)
    for w in order[1:]:                        # parents come first
        v = parent[w]
        hangs = low[w] >= entered[v]
        head[w] = v if hangs else head[v]
    inside = np.array(head[:n], dtype=np.int64)
    inside[inside == n] = -1
    return inside
