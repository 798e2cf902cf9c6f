"""Parts of an enumeration that can be done in any order, by anyone: cells of the first code columns (design/streaming.md).

A task is the part of the domain on which the first columns of the code are known. Its units are made linear there, so that every
region of a task has the task's pieces and no other task's, whatever rounding does at the border: tasks never share a region.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..chain.chain import Chain, Elementwise, Selection, Stage
from ..errors import DomainError
from ..geometry.polygon import shoelace
from ..tolerance import CHECK_AREA
from .codes import pack_codes, unpack_codes
from .planar import Cells, Progress, enumerate_planar
from .search import cut_rows, enumerate_search
from .split import Split
from .table import Table
from .vertex import enumerate_vertex

_UNPACKED = 16 << 20
"""Bytes of codes that are unpacked at once."""


@dataclass(frozen=True, eq=False)
class Work:
    """What all tasks of one enumeration share.

    chain: of u. floors: see `chain.rounding`. G, h: the domain's faces; polygon: (n, 2) its corners in the plane, else None.
    frame: its bounding box, which tolerances are relative to in every task. watched: as for the engines; factor: by how much the errors
        found in a part can be below those of who cut it out (`chain.part_factor`).
    """

    chain: Chain
    engine: str
    floors: Sequence[np.ndarray]
    split: Split
    G: np.ndarray
    h: np.ndarray
    polygon: np.ndarray | None
    frame: tuple[np.ndarray, np.ndarray]
    watched: np.ndarray | None = None
    factor: float = math.inf


@dataclass(frozen=True, eq=False)
class Task:
    """The part of the domain on which the first columns of the code are `pieces`.

    rows: (r, k + 1) [A | b], the part is where A u <= b too; point: inside it, None for the whole domain.
    polygon: (n, 2) in the plane, else None. edges: (n,) int64, what each of its edges lies on: -1 - f is face f of the domain,
        depth * 2^32 + s the seam s of the division at that depth (0: of the whole domain); walls: (n, 3) int32, those seams, as in
        `Cells`. size: share of the whole, for progress. depth: divisions that led to it.
    """

    pieces: np.ndarray
    rows: np.ndarray
    point: np.ndarray | None
    polygon: np.ndarray | None
    edges: np.ndarray | None
    walls: np.ndarray | None
    size: float = 1.0
    depth: int = 0


DEPTH = 2**32


def whole(work: Work) -> Task:
    """The domain as one task."""
    k = work.chain.n_inputs
    none = np.zeros(0, np.uint16), np.zeros((0, k + 1)), None
    if work.polygon is None:
        return Task(*none, None, None, None)
    n = len(work.polygon)
    return Task(*none, work.polygon, -1 - np.arange(n, dtype=np.int64), np.zeros((n, 3), np.int32))


# ---- one task
def run_task(work: Work, task: Task, *, max_regions: int | None = None, max_bytes: int | None = None, max_seconds: float | None = None,
             threads: int | None = None, progress: Callable[[Progress], object] | None = None, count_only: bool = False) -> Cells | Table:
    """The regions of one task, with whole codes. In the plane seams are the whole chain's columns, and an edge on face f of the
    task's polygon keeps the label -1 - f. count_only: by the search engine, whatever the task's own."""
    found = _run(work, task, max_regions, max_bytes, max_seconds, threads, progress, count_only)
    if found.errors is None or not len(task.pieces) or work.factor == 1:
        return found
    return replace(found, errors=tuple(work.factor * e for e in found.errors) if math.isfinite(work.factor) else None)


def _run(work: Work, task: Task, max_regions, max_bytes, max_seconds, threads, progress, count_only: bool) -> Cells | Table:
    chain = part_chain(work.chain, task.pieces)
    budgets = {"max_regions": max_regions, "max_bytes": max_bytes, "max_seconds": max_seconds, "threads": threads, "progress": progress,
               "watched": work.watched}
    if work.polygon is not None and not count_only:
        cells = enumerate_planar(chain, task.polygon, floors=work.floors, split=work.split, frame=work.frame, **budgets)
        seams = cells.seams.copy()
        seams[:, 0] += len(task.pieces)         # also the one behind the last, which is the split by outputs
        return replace(cells, codes=_with_pieces(work.chain, task.pieces, cells.codes), seams=seams)
    G, h = faces(work, task)
    inner = {} if task.point is None else {"frame": work.frame}
    if work.engine == "vertex" and not count_only:
        table = enumerate_vertex(chain, G, h, floors=work.floors, split=work.split, **inner, **budgets)
    else:
        if inner:
            inner["start"] = task.point
        table = enumerate_search(chain, G, h, floors=work.floors, split=work.split, count_only=count_only, **inner, **budgets)
    return table if count_only else replace(table, codes=_with_pieces(work.chain, task.pieces, table.codes))


def largest_errors(found: Iterable[Cells | Table]) -> tuple[np.ndarray, ...] | None:
    """The largest bound of each row of all runs; None where one has none."""
    errors = [f.errors for f in found]
    if not errors or any(e is None for e in errors):
        return None
    return tuple(np.max(np.stack(rows), axis=0) for rows in zip(*errors, strict=True))     # pyright: ignore[reportArgumentType]


def faces(work: Work, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """(G, h) of the task's polytope: the domain's rows, then its own."""
    return np.vstack([work.G, task.rows[:, :-1]]), np.concatenate([work.h, task.rows[:, -1]])


def explored(work: Work, cells: Cells | Table, task: Task) -> float:
    """The share of the task that an interrupted run has seen, 0 to 1."""
    if isinstance(cells, Cells):
        return float(cells.area.sum()) / shoelace(task.polygon)
    return 1.0 if cells.complete else 1.0 - cells.rest_share


def _with_pieces(chain: Chain, pieces: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Packed codes of the columns behind `pieces`, as codes of all columns."""
    if len(pieces) == 0:
        return codes
    n_pieces = chain.n_pieces
    rest = n_pieces[len(pieces):]
    step = max(1, _UNPACKED // (2 * len(n_pieces)))
    parts = []
    for start in range(0, len(codes), step):
        tail = unpack_codes(codes[start:start + step], rest) if len(rest) else np.zeros((len(codes[start:start + step]), 0), np.uint16)
        parts.append(pack_codes(np.hstack([np.tile(pieces, (len(tail), 1)), tail]), n_pieces))
    return np.vstack(parts) if parts else pack_codes(np.zeros((0, len(n_pieces)), np.uint16), n_pieces)


# ---- the chain of a task
def part_chain(chain: Chain, pieces: np.ndarray, until: int | None = None) -> Chain:
    """The chain whose first columns stand on `pieces`, and are columns no more; `until`: only the columns before that one, and an
    output of 0."""
    stages, last = [], None
    for stage, (start, outputs) in zip(chain.stages, chain.columns, strict=True):
        known = pieces[start:start + len(outputs)]
        phi = _fixed(stage.phi, outputs[:len(known)], known) if len(known) else stage.phi
        A, a = stage.A, stage.a
        if until is not None and start + len(outputs) >= until:
            last = int(outputs[until - start - 1]) + 1
            phi = _first(phi, last)
            if isinstance(phi, Elementwise):
                A, a = A[:last], a[:last]
        stages.append(stage if phi is stage.phi else Stage(A, a, phi, stage.labels))
        if last is not None:
            return Chain(chain.n_inputs, tuple(stages), np.zeros((1, last)), np.zeros(1))
    return Chain(chain.n_inputs, tuple(stages), chain.A, chain.a)


def _fixed(phi: Elementwise | Selection, outputs: np.ndarray, pieces: np.ndarray) -> Elementwise | Selection:
    """phi with these outputs on these pieces only."""
    n, counts = phi.n_outputs, np.asarray(phi.n_pieces)
    chosen = np.full(n, -1, dtype=np.int64)
    chosen[outputs] = pieces
    owner = np.repeat(np.arange(n), counts)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    keep = (chosen[owner] < 0) | (place == chosen[owner])
    left = np.where(chosen < 0, counts, 1)
    if isinstance(phi, Selection):
        return Selection(np.concatenate([[0], np.cumsum(left)]).astype(np.int32), phi.members[keep])
    breaks = phi.breaks[np.repeat(chosen < 0, counts - 1)]
    return Elementwise(np.concatenate([[0], np.cumsum(left - 1)]).astype(np.int32), breaks, phi.slopes[keep], phi.offsets[keep])


def _first(phi: Elementwise | Selection, n: int) -> Elementwise | Selection:
    """The first n outputs of phi."""
    end = int(phi.ptr[n])
    if isinstance(phi, Selection):
        return Selection(phi.ptr[:n + 1], phi.members[:end])
    return Elementwise(phi.ptr[:n + 1], phi.breaks[:end], phi.slopes[:end + n], phi.offsets[:end + n])


def _part_floors(work: Work, chain: Chain) -> list[np.ndarray]:
    """The floors of the stages of a chain that ends early."""
    return [floor[:len(stage.a)] for floor, stage in zip(work.floors, chain.stages, strict=False)] + [np.zeros(len(chain.a))]


# ---- dividing a task
def divide(work: Work, task: Task, wanted: int) -> tuple[Task, ...] | None:
    """The task divided into about `wanted` to 2 `wanted` parts, the cells of some more code columns; None where it cannot be.

    Needs     wanted >= 2.
    Gives     as few further columns as give `wanted` cells. Their union is the task: in the plane and by vertices that is checked by
              areas and volumes, and fewer columns are taken where it is not so within CHECK_AREA.
    Sound     the faces of a part are the cuts that the engine made, no others: a unit that only touches the task, or is constant on it,
              cuts nothing.
    """
    known, n = len(task.pieces), work.chain.n_columns
    few, many = known, n + 1                     # columns that give too few cells, or more than can be taken
    best, step = None, 4
    while few < n and many - few > 1:
        until = min(n, few + step) if many > n else (few + many) // 2
        found = _cells(work, task, until, 2 * wanted if until > few + 1 else None)
        if found is None:
            many = until
            continue
        best = found
        if len(found) >= wanted:
            break
        few, step = until, 2 * step
    return best if best is not None and len(best) > 1 else None


def _cells(work: Work, task: Task, until: int, most: int | None) -> tuple[Task, ...] | None:
    """The cells of the columns before `until` in a task; None where there are more than `most`, or they do not make up the task."""
    chain = part_chain(work.chain, task.pieces, until)
    try:
        parts = (_polytopes if work.polygon is None else _polygons)(work, task, chain, most)
    except RuntimeError:                           # the engine gave up: other columns may do
        return None
    return None if parts is None else _checked(work, task, parts)


def _polygons(work: Work, task: Task, chain: Chain, most: int | None) -> tuple[Task, ...] | None:
    cells = enumerate_planar(chain, task.polygon, floors=_part_floors(work, chain), frame=work.frame, max_regions=most, threads=1)
    if not cells.complete:
        return None
    known, area = _known(work, task, cells.codes, chain), shoelace(task.polygon)
    seams = cells.seams.copy()
    seams[:, 0] += len(task.pieces)
    parts = []
    for k, (i, j) in enumerate(zip(cells.vertex_ptr[:-1], cells.vertex_ptr[1:], strict=True)):
        seam = cells.edge_seam[i:j].astype(np.int64)
        inner, face = seam >= 0, np.where(seam < 0, -1 - seam, 0)
        edges = np.where(inner, task.depth * DEPTH + seam, task.edges[face])
        walls = np.where(inner[:, None], seams[np.where(inner, seam, 0)] if len(seams) else 0, task.walls[face]).astype(np.int32)
        size = task.size * float(cells.area[k]) / area
        parts.append(Task(known[k], task.rows, None, cells.vertices[i:j], edges, walls, size, task.depth + 1))
    return tuple(parts)


def _polytopes(work: Work, task: Task, chain: Chain, most: int | None) -> tuple[Task, ...] | None:
    inner = {} if task.point is None else {"frame": work.frame, "start": task.point}
    table, ptr, rows = cut_rows(chain, *faces(work, task), floors=_part_floors(work, chain), max_regions=most, **inner)
    if not table.complete:
        return None
    known = _known(work, task, table.codes, chain)
    return tuple(Task(known[k], np.vstack([task.rows, rows[ptr[k]:ptr[k + 1]]]), table.points[k], None, None, None,
                      task.size / len(known), task.depth + 1) for k in range(len(known)))


def _known(work: Work, task: Task, codes: np.ndarray, chain: Chain) -> np.ndarray:
    """(K, columns) uint16: the task's pieces and those of the cells."""
    tail = unpack_codes(codes, chain.n_pieces).astype(np.uint16)
    return np.hstack([np.tile(task.pieces, (len(tail), 1)), tail])


def _checked(work: Work, task: Task, parts: tuple[Task, ...]) -> tuple[Task, ...] | None:
    """The parts, if they make up the task and engines can start from each; by vertices with their volumes for sizes."""
    if work.polygon is not None:
        areas = [shoelace(part.polygon) for part in parts]
        holds = min(areas) > 0 and abs(sum(areas) - shoelace(task.polygon)) <= CHECK_AREA * shoelace(work.polygon)
        return parts if holds else None
    try:
        sizes = np.array([extent(work, part) for part in parts])
        if work.engine != "vertex":
            return parts
        if abs(sizes.sum() - extent(work, task)) > CHECK_AREA * extent(work, whole(work)):
            return None
    except (DomainError, RuntimeError):
        return None
    shares = task.size * sizes / sizes.sum()
    return tuple(replace(part, size=float(s)) for part, s in zip(parts, shares, strict=True))


def extent(work: Work, task: Task) -> float:
    """Volume of a task, by vertices; NaN by the search engine, which has none. DomainError where the engine finds no inside."""
    if work.polygon is not None:
        return shoelace(task.polygon)
    k = work.chain.n_inputs
    nothing = Chain(k, (), np.zeros((1, k)), np.zeros(1))
    alone = replace(work, chain=nothing, floors=[np.zeros(1)], split=None, watched=None)
    table = run_task(alone, replace(task, pieces=task.pieces[:0]), threads=1)
    return float("nan" if table.domain_volume is None else table.domain_volume)
