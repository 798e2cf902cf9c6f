"""Parts of an enumeration that stand for themselves, and how they make one table again (design/streaming.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .parallel import DEPTH, Task, Work, largest_errors, run_task, whole
from .planar import Cells
from .table import Table


@dataclass(frozen=True, eq=False)
class Part:
    """The regions of one finished task.

    name: its place in the tree of tasks: "0" is the whole domain, "0.3" the fourth part of that, and so on.
    borders: (b, 3) int64, in the plane: the seams of `cells` that lie between tasks: number, then depth and seam of the division that
        made it.
    """

    name: str
    cells: Cells | Table
    borders: np.ndarray


NO_BORDERS = np.zeros((0, 3), dtype=np.int64)


def close(name: str, task: Task, cells: Cells | Table) -> Part:
    """What `run_task` found, with edges that speak of the domain's faces and of seams only: borders of the task become seams."""
    if not isinstance(cells, Cells):
        return Part(name, cells, NO_BORDERS)
    keys, first, number = np.unique(task.edges, return_index=True, return_inverse=True)
    inner = keys >= 0
    rank = np.cumsum(inner) - 1
    label = np.where(inner, len(cells.seams) + rank, keys)[number.ravel()]         # of each edge of the task's polygon
    at = np.where(cells.edge_seam < 0, -1 - cells.edge_seam, 0)
    edge_seam = np.where(cells.edge_seam < 0, label[at], cells.edge_seam).astype(np.int32)
    seams = np.vstack([cells.seams, task.walls[first[inner]]]).astype(np.int32)
    borders = np.column_stack([len(cells.seams) + np.arange(int(inner.sum())), keys[inner] // DEPTH, keys[inner] % DEPTH])
    return Part(name, replace(cells, edge_seam=edge_seam, seams=seams), borders)


def empty(work: Work) -> Cells | Table:
    """No regions, in columns of the right shapes."""
    return run_task(work, whole(work), max_regions=0, threads=1)


def join(work: Work, parts: Sequence[Part], rest: Sequence[Task], reason: str, extent: float | None) -> Cells | Table:
    """One table of parts, which stand in the order of their codes. rest: tasks that were not done, and why; extent: volume of the
    domain."""
    none = empty(work)
    cells = [part.cells for part in parts] or [none]
    rows = {name: np.concatenate([getattr(c, name) for c in cells])
            for name in ("codes", "coef", "intercept") + (("area",) if isinstance(none, Cells) else ("points",))}
    for name in ("first", "second", *(() if isinstance(none, Cells) else ("volume", "clearance"))):
        rows[name] = None if getattr(cells[0], name) is None else np.concatenate([getattr(c, name) for c in cells])
    sums = {name: sum(getattr(c, name) for c in cells) for name in ("unresolved", "ties")}
    state = {"complete": not rest, "reason": "" if not rest else reason, "errors": largest_errors(part.cells for part in parts)}
    if isinstance(none, Cells):
        return replace(none, **rows, **sums, **state, **_polygons(parts, none), **_rest_polygons(rest),
                       unresolved_area=sum(c.unresolved_area for c in cells))
    return replace(none, **rows, **sums, **state, **_table_figures(cells, none, rest), domain_volume=extent,
                   n_regions=len(rows["codes"]), rest_cells=len(rest), rest_share=float(sum(task.size for task in rest)))


def _table_figures(cells: Sequence[Table], none: Table, rest: Sequence[Task]) -> dict:
    counts = {name: sum(getattr(c, name) for c in cells) for name in ("programmes", "pivots", "cells", "rescued")}
    if none.unresolved_thickness is not None:
        counts["unresolved_thickness"] = max(c.unresolved_thickness for c in cells)
    if none.unresolved_volume is not None:
        counts["unresolved_volume"] = sum(c.unresolved_volume for c in cells)
    if none.rest_ptr is not None:
        counts |= {"rest_ptr": np.zeros(1, np.int64), "rest_vertices": none.rest_vertices[:0]}
    return counts


def _polygons(parts: Sequence[Part], none: Cells) -> dict:
    """Vertices, edges and seams of all parts: the borders between tasks first, each once, then the seams of each part."""
    borders: dict[tuple[str, int], int] = {}
    between: list[np.ndarray] = []
    names = [_border_names(part) for part in parts]
    for part, keys in zip(parts, names, strict=True):
        for key, row in zip(keys, part.cells.seams[part.borders[:, 0]], strict=True):
            if key not in borders:
                borders[key] = len(between)
                between.append(row)
    seams, edges, ptrs = [np.array(between, dtype=np.int32).reshape(-1, 3)], [none.edge_seam[:0]], [np.zeros(1, np.int64)]
    start, corners = len(between), 0
    for part, keys in zip(parts, names, strict=True):
        own = np.ones(len(part.cells.seams), dtype=bool)
        own[part.borders[:, 0]] = False
        number = start - 1 + np.cumsum(own)
        number[part.borders[:, 0]] = [borders[key] for key in keys]
        edge = part.cells.edge_seam
        edges.append(np.where(edge >= 0, number[np.where(edge >= 0, edge, 0)] if len(number) else 0, edge).astype(np.int32))
        seams.append(part.cells.seams[own])
        ptrs.append(part.cells.vertex_ptr[1:] + corners)
        start, corners = start + int(own.sum()), corners + len(edge)
    vertices = [part.cells.vertices for part in parts] or [none.vertices[:0]]
    return {"vertices": np.concatenate(vertices), "edge_seam": np.concatenate(edges), "seams": np.concatenate(seams),
            "vertex_ptr": np.concatenate(ptrs)}


def _border_names(part: Part) -> list[tuple[str, int]]:
    """(the task that was divided, seam) of each border: the same for the parts on both sides of it."""
    levels = part.name.split(".")
    return [(".".join(levels[:depth + 1]), seam) for _, depth, seam in part.borders.tolist()]


def _rest_polygons(rest: Sequence[Task]) -> dict:
    counts = [len(task.polygon) for task in rest]
    return {"rest_ptr": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            "rest_vertices": np.vstack([np.zeros((0, 2)), *(task.polygon for task in rest)])}
