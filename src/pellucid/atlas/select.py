"""Parts of an atlas: by class, and by constraints on the outputs (CEE IV-B)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np

from ..certificate import Status
from ..errors import DataError
from ..graph import GraphBuilder, Network
from ..graph.op import Pick
from ..ops.add import Add
from ..ops.leaky_relu import LeakyReLU
from ..ops.linear import Linear
from ..regions import Cells, Table, match_codes, pack_codes
from ..tolerance import GEOMETRIC

if TYPE_CHECKING:
    from .atlas import Atlas


def select(atlas: Atlas, *, first=None, second=None, where=None) -> Atlas:
    """`Atlas.select`; see there."""
    keep = np.ones(len(atlas), dtype=bool)
    for column, wanted in (("first", first), ("second", second)):
        if wanted is not None:
            keep &= _given(atlas, column, wanted)
    whole = atlas.certificate
    certificate = whole if atlas.is_selection else replace(whole, reason=f"a selection of an atlas that is {whole.reason}")
    part = replace(atlas, cells=take(atlas.cells, np.flatnonzero(keep)), certificate=certificate, is_selection=True)
    if where is None:
        return part
    A, b = _output_rows(atlas, *where)
    if not atlas.is_planar:
        return _cut_polytopes(part, A, b)
    cells = part.cells
    for row, offset in zip(A, b, strict=True):
        cells = _cut(cells, row, offset, atlas.chain.n_columns)
    return replace(part, cells=cells)


def _given(atlas: Atlas, column: str, wanted) -> np.ndarray:
    """(K,) the rows that have one of these classes in a column; a label by its name: the rows on which it is given."""
    value = getattr(atlas, column)
    if not atlas.network.is_multilabel:
        return np.isin(value, class_numbers(atlas, wanted))
    many = wanted if isinstance(wanted, Sequence | np.ndarray) and not isinstance(wanted, str) else [wanted]
    keep = np.zeros(len(atlas), dtype=bool)
    for one in many:
        keep |= (value >> class_numbers(atlas, one)[0] & 1).astype(bool) if isinstance(one, str) else value == int(one)
    return keep


def class_numbers(atlas: Atlas, wanted) -> list[int]:
    """Class numbers for one class or several, by number or name; DataError telling the names."""
    many = wanted if isinstance(wanted, Sequence | np.ndarray) and not isinstance(wanted, str) else [wanted]
    names = list(atlas.network.output_names if atlas.network.is_multilabel else atlas.network.class_names)
    numbers = []
    for one in many:
        if isinstance(one, str):
            if one not in names:
                near = get_close_matches(one, names, n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(names[:20])}"
                raise DataError(f"no class is called '{one}'; {hint}")
            numbers.append(names.index(one))
        elif not 0 <= int(one) < len(names):
            raise DataError(f"class {one}: there are {len(names)}, numbered from 0")
        else:
            numbers.append(int(one))
    return numbers


def _cut_polytopes(atlas: Atlas, A: np.ndarray, b: np.ndarray) -> Atlas:
    """The rows of an atlas of polytopes cut to A f(x) <= b.

    The network is given one more layer that watches A f(x) - b and changes nothing: its regions are those of the network cut by
    the constraints, so engines, facets and look-ups hold as they are. They are enumerated anew.
    """
    from .enumerate import linear_regions

    engine = "vertex" if atlas.cells.volume is not None else "search"
    cut = linear_regions(watching(atlas.network, A, b), atlas.domain, engine=engine, by=atlas.by, threshold=atlas.threshold)
    codes, n = cut.codes, len(b)
    inside = np.flatnonzero((codes[:, codes.shape[1] - n:] == 0).all(axis=1))
    known = match_codes(_keys(atlas.cells, atlas.cells.codes),
                        _keys(take(cut.cells, inside), pack_codes(codes[inside, :codes.shape[1] - n], atlas.chain.n_pieces)))
    cells = replace(take(cut.cells, inside[known >= 0]), complete=atlas.cells.complete, reason=atlas.cells.reason)
    status = atlas.certificate.status if cut.certificate.status is Status.PROVED else cut.certificate.status
    certificate = replace(atlas.certificate, status=status)
    return replace(atlas, network=cut.network, cells=cells, certificate=certificate, is_selection=True)


def _keys(cells: Cells | Table, codes: np.ndarray) -> np.ndarray:
    """Code and classes of each row as words, sorted as rows are."""
    columns = [c.astype(np.uint64)[:, None] for c in (cells.first, cells.second) if c is not None]
    keys = np.hstack([codes, *columns])
    return keys if keys.shape[1] else np.zeros((len(cells), 1), dtype=np.uint64)


def watching(net: Network, A: np.ndarray, b: np.ndarray) -> Network:
    """The same function, with one more layer of a unit a row of A f(x) - b: off (piece 0) where A f(x) <= b, on elsewhere."""
    builder = GraphBuilder(net.graph.input_shape)
    builder.nodes = list(net.graph.nodes)
    builder.shapes |= {node.name: node.shape for node in net.graph.nodes}
    y = builder.add(Pick(np.arange(net.n_outputs)), net.graph.output, name="outputs")
    seen = builder.add(LeakyReLU(1.0), builder.add(Linear(A, -b), y), name="where")
    same = builder.add(Add((1.0, 1.0)), y, builder.add(Linear(np.zeros((net.n_outputs, len(b))), np.zeros(net.n_outputs)), seen))
    return replace(net, graph=builder.graph(same))


def _output_rows(atlas: Atlas, A, b) -> tuple[np.ndarray, np.ndarray]:
    A, b = np.atleast_2d(np.asarray(A, dtype=np.float64)), np.atleast_1d(np.asarray(b, dtype=np.float64))
    c = atlas.network.n_outputs
    if A.shape[1] != c or len(A) != len(b):
        raise DataError(f"where=(A, b): A has shape {A.shape}, b has {len(b)} entries; rows of {c} outputs and one bound each are needed")
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
