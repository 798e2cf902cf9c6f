"""Parts of an atlas: by class, and by constraints on the outputs (CEE IV-B)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DomainError
from ..regions import Cells, Table
from ..tolerance import GEOMETRIC

if TYPE_CHECKING:
    from .atlas import Atlas


def select(atlas: Atlas, *, first=None, second=None, where=None) -> Atlas:
    """`Atlas.select`; see there."""
    keep = np.ones(len(atlas), dtype=bool)
    for column, wanted in (("first", first), ("second", second)):
        if wanted is not None:
            keep &= np.isin(getattr(atlas, column), class_numbers(atlas, wanted))
    cells = take(atlas.cells, np.flatnonzero(keep))
    if where is not None:
        if not atlas.is_planar:
            raise DomainError(f"select(where=...) cuts polygons; this atlas has {atlas.domain.dim} dimensions. Slice the domain first")
        A, b = _output_rows(atlas, *where)
        for row, offset in zip(A, b, strict=True):
            cells = _cut(cells, row, offset, atlas.chain.n_columns)
    whole = atlas.certificate
    certificate = whole if atlas.is_selection else replace(whole, reason=f"a selection of an atlas that is {whole.reason}")
    return replace(atlas, cells=cells, certificate=certificate, is_selection=True)


def class_numbers(atlas: Atlas, wanted) -> list[int]:
    """Class numbers for one class or several, by number or name; KeyError telling the names."""
    many = wanted if isinstance(wanted, Sequence | np.ndarray) and not isinstance(wanted, str) else [wanted]
    names = list(atlas.network.class_names)
    numbers = []
    for one in many:
        if isinstance(one, str):
            if one not in names:
                raise KeyError(f"no class is called '{one}'; there are: {', '.join(names)}")
            numbers.append(names.index(one))
        else:
            numbers.append(int(one))
    return numbers


def _output_rows(atlas: Atlas, A, b) -> tuple[np.ndarray, np.ndarray]:
    A, b = np.atleast_2d(np.asarray(A, dtype=np.float64)), np.atleast_1d(np.asarray(b, dtype=np.float64))
    c = atlas.network.n_outputs
    if A.shape[1] != c or len(A) != len(b):
        raise ValueError(f"where=(A, b): A has shape {A.shape}, b has {len(b)} entries; rows of {c} outputs and one bound each are needed")
    return A, b


def take(cells: Cells | Table, rows: np.ndarray) -> Cells | Table:
    """The cells of these rows, in this order."""
    if isinstance(cells, Table):
        columns = ("codes", "points", "clearance", "coef", "intercept", "first", "second", "volume")
        return replace(cells, n_regions=len(rows), **{c: None if getattr(cells, c) is None else getattr(cells, c)[rows] for c in columns})
    counts = np.diff(cells.vertex_ptr)[rows]
    ptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    at = np.repeat(cells.vertex_ptr[rows] - ptr[:-1], counts) + np.arange(ptr[-1])
    return replace(cells, codes=cells.codes[rows], vertex_ptr=ptr, vertices=cells.vertices[at], edge_seam=cells.edge_seam[at],
                   coef=cells.coef[rows], intercept=cells.intercept[rows], area=cells.area[rows],
                   first=None if cells.first is None else cells.first[rows], second=None if cells.second is None else cells.second[rows])


def _cut(cells: Cells, row: np.ndarray, offset: float, n_columns: int) -> Cells:
    """The part of every cell where row . y <= offset, y the outputs; all cells at once.

    A value within GEOMETRIC of the largest on the cells counts as on the cut; cells with no vertex beyond that inside are dropped.
    """
    if len(cells.codes) == 0:
        return cells
    g, h = np.einsum("c,kcj->kj", row, cells.coef), cells.intercept @ row - offset
    counts = np.diff(cells.vertex_ptr)
    owner = np.repeat(np.arange(len(counts)), counts)
    value = np.einsum("ij,ij->i", g[owner], cells.vertices) + h[owner]
    lower, upper = cells.vertices.min(axis=0), cells.vertices.max(axis=0)
    tolerance = GEOMETRIC * (np.abs(g) @ (upper - lower) + np.abs(cells.intercept) @ np.abs(row) * 1e-3)
    sign = np.where(value > tolerance[owner], 1, np.where(value < -tolerance[owner], -1, 0))
    alive = np.logical_or.reduceat(sign < 0, cells.vertex_ptr[:-1])
    alive |= ~np.logical_or.reduceat(sign != 0, cells.vertex_ptr[:-1])      # constant at the bound: satisfied
    follower = np.arange(len(value)) + 1
    follower[cells.vertex_ptr[1:] - 1] = cells.vertex_ptr[:-1]
    new_seam = len(cells.seams)
    seams = np.vstack([cells.seams, [[n_columns + 1, 0, 0]]]).astype(cells.seams.dtype)
    stays, crosses = sign <= 0, sign * sign[follower] < 0
    t = np.where(crosses, value / np.where(crosses, value - value[follower], 1.0), 0.0)
    cut = cells.vertices + t[:, None] * (cells.vertices[follower] - cells.vertices)
    # every edge gives its first vertex if that stays, then its cut point if it crosses
    points = np.stack([cells.vertices, cut], axis=1).reshape(-1, 2)
    leaves = (sign == 0) & (sign[follower] > 0)
    labels = np.stack([np.where(leaves, new_seam, cells.edge_seam), np.where(sign < 0, new_seam, cells.edge_seam)], axis=1).ravel()
    emitted = np.stack([stays, crosses], axis=1) & alive[owner][:, None]
    per_cell = np.add.reduceat(emitted.sum(axis=1), cells.vertex_ptr[:-1])
    keep = per_cell >= 3
    emitted &= keep[owner][:, None]
    flat = emitted.ravel()
    ptr = np.concatenate([[0], np.cumsum(per_cell[keep])]).astype(np.int64)
    rows = np.flatnonzero(keep)
    vertices = points[flat]
    return replace(cells, codes=cells.codes[rows], vertex_ptr=ptr, vertices=vertices, edge_seam=labels[flat].astype(cells.edge_seam.dtype),
                   seams=seams, coef=cells.coef[rows], intercept=cells.intercept[rows], area=areas(vertices, ptr),
                   first=None if cells.first is None else cells.first[rows], second=None if cells.second is None else cells.second[rows])


def areas(vertices: np.ndarray, ptr: np.ndarray) -> np.ndarray:
    """Area of each polygon, (K,), by the shoelace formula relative to its first vertex."""
    if len(ptr) < 2:
        return np.zeros(0)
    counts = np.diff(ptr)
    d = vertices - np.repeat(vertices[ptr[:-1]], counts, axis=0)
    follower = np.arange(len(d)) + 1
    follower[ptr[1:] - 1] = ptr[:-1]
    return 0.5 * np.add.reduceat(d[:, 0] * d[follower, 1] - d[follower, 0] * d[:, 1], ptr[:-1])
