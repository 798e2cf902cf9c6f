"""An enumeration on the disk: a folder with the question, the divisions of the domain and the finished parts (design/streaming.md).

    manifest.json, network.npz      the question: written once
    divisions/0.3.npz               task 0.3 was divided into 0.3.0, 0.3.1, ...
    parts/0.3.1.parquet             the regions of task 0.3.1, sorted by code; with a .seams.parquet beside it in the plane

Every file is written under another name, forced to the disk and renamed, so each is whole or not there, whenever the process or the
machine stops. What is left to do is read off the files that are there: tasks with neither a part nor a division. A task that two
processes do is written twice with the same contents.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..chain import Chain, Rounding, chain_of, own_share, part_factor, rounding
from ..errors import FileFormatError
from ..geometry import Slice
from ..graph import Network
from ..graph.store import load_network
from ..regions.parallel import Task, Work, whole
from ..regions.planar import Cells
from ..regions.stream import Part
from ..regions.table import Table
from .store import FORMAT, STREAMED, read_cells, read_domain, region_columns, seam_columns, versions, write_domain

PART_BYTES = 64 << 20
"""Bytes of regions that a part holds at most, unless `max_bytes` says otherwise."""

_QUICK = {"compression": "lz4", "use_dictionary": False, "write_statistics": False}
"""How parts are written: numbers of maps and vertices hardly shrink, and to write them must not take longer than to find them."""

_FIGURES = b"pellucid"          # in the metadata of a part's Parquet file


@dataclass(frozen=True, eq=False)
class Question:
    """What is enumerated, and how."""

    network: Network
    domain: Slice
    engine: str
    by: str | None
    threshold: float
    part_bytes: int

    @cached_property
    def work(self) -> Work:
        return work_of(self.network, self.domain, self.engine, self.by, self.threshold)


    @cached_property
    def decided(self) -> Rounding:
        return rounding(chain_of(self.network), self.domain)


def work_of(net: Network, domain: Slice, engine: str, by: str | None, threshold: float) -> Work:
    """The question as engines take it."""
    from .enumerate import split_of

    chain: Chain = chain_of(net)
    G, h, _ = domain.constraints
    polygon, decided = domain.polygon.vertices if engine == "planar" else None, rounding(chain, domain)
    return Work(chain.fold(domain.x0, domain.P), engine, decided.floors, split_of(net, by, threshold), G, h, polygon,
                domain.bounds, decided.watched, part_factor(chain))


def with_runner_up(question: Question, cells: Cells | Table) -> Cells | Table:
    """A single output's second class is the other one."""
    from dataclasses import replace

    if question.by == "top2" and question.network.n_outputs == 1 and cells.first is not None:
        return replace(cells, second=np.asarray(1 - cells.first, dtype=np.int32))
    return cells


@dataclass(frozen=True, eq=False)
class PartFile:
    """A finished part by its figures; rows are read when they are asked for."""

    name: str
    path: Path
    figures: dict[str, Any]

    def __len__(self) -> int:
        return self.figures["rows"]

    @property
    def first_code(self) -> np.ndarray:
        """(words,) the smallest code in the part."""
        return np.array(self.figures["first code"], dtype=np.uint64)


@dataclass(frozen=True, eq=False)
class Folder:
    """The folder of one enumeration."""

    path: Path
    question: Question

    # ---- the tree of tasks
    def tasks(self) -> Iterator[tuple[str, Task, bool]]:
        """(name, task, whether its part is there) of all tasks that are not divided, in the order of their codes."""
        stack = [("0", whole(self.question.work))]
        parts, divisions = self._names("parts", ".parquet"), self._names("divisions", ".npz")
        divided = {above for name in parts | divisions for above in _above(name)}
        while stack:
            name, task = stack.pop()
            if name not in parts and name in divisions:
                stack += reversed(self.division(name, task))
            elif name not in parts and name in divided:
                raise FileFormatError(f"{self.path}: divisions/{name}.npz is missing, and there are parts that it led to. Put it back, "
                                      f"or remove all of {name}.* in parts and divisions: pellucid.resume makes them again")
            else:
                yield name, task, name in parts

    def division(self, name: str, task: Task) -> list[tuple[str, Task]]:
        """The parts of a divided task."""
        path = self.path / "divisions" / f"{name}.npz"
        with _told(path):
            return number(name, unpack_division(task, read_arrays(path.read_bytes())))

    def _names(self, kind: str, suffix: str) -> set[str]:
        names = (entry.name for entry in os.scandir(self.path / kind))
        return {n[:-len(suffix)] for n in names if n.endswith(suffix) and not n.startswith(".") and not n.endswith(f".seams{suffix}")}

    # ---- finished parts
    def parts(self) -> list[PartFile]:
        """All finished parts, in the order of their codes."""
        return [self.part(name) for name in self._done()]

    def _done(self) -> list[str]:
        """Names of the finished parts: a division below a finished part counts for nothing."""
        parts = self._names("parts", ".parquet")
        return sorted((n for n in parts if not any(a in parts for a in _above(n))), key=lambda n: [int(i) for i in n.split(".")])

    def part(self, name: str) -> PartFile:
        import pyarrow.parquet as pq

        path = self.path / "parts" / f"{name}.parquet"
        with _told(path):
            figures = json.loads(pq.read_schema(path).metadata[_FIGURES])
            if figures["digest"] != self.question.network.digest:
                raise FileFormatError(f"{path} is a part of another network's atlas")
        return PartFile(name, path, figures)

    def read(self, part: PartFile) -> Part:
        """The rows of a part."""
        import pyarrow.parquet as pq

        net, k = self.question.network, self.question.domain.dim
        with _told(part.path):
            table = pq.read_table(part.path)
            if table.num_rows != len(part):
                raise FileFormatError(f"{part.path} speaks of {len(part)} rows and has {table.num_rows}")
            seams = pq.read_table(_seams(part.path)) if self.question.engine == "planar" else None
            cells = read_cells(table, (len(part), net.n_outputs, k, part.figures["words"]), part.figures["cells"] | _no_rest(seams), seams)
        return Part(part.name, cells, np.array(part.figures["borders"], dtype=np.int64).reshape(-1, 3))

    # ---- writing
    def write_part(self, part: Part, seconds: float) -> PartFile:
        """Make a part known; whole or not at all."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.path / "parts" / f"{part.name}.parquet"
        figures = figures_of(self.question, part, seconds)
        table = pa.table(region_columns(part.cells)).replace_schema_metadata({_FIGURES: json.dumps(figures)})
        if isinstance(part.cells, Cells):
            seams = pa.table(seam_columns(part.cells))
            publish(_seams(path), lambda file: pq.write_table(seams, file, **_QUICK))
        publish(path, lambda file: pq.write_table(table, file, **_QUICK))
        return PartFile(part.name, path, figures)

    def write_division(self, name: str, task: Task, parts: tuple[Task, ...]) -> list[tuple[str, Task]]:
        """Make a division known; the one that holds is the first, whoever made it."""
        arrays = pack_division(task, parts)
        publish(self.path / "divisions" / f"{name}.npz", lambda file: np.savez(file, **arrays), once=True)
        return self.division(name, task)

    def sweep(self) -> None:
        """Remove what processes of this machine that are no more left half written."""
        for path in self.path.glob("*/.*.tmp"):
            if _is_stale(path.name):
                path.unlink(missing_ok=True)


def _above(name: str) -> list[str]:
    """The tasks that a task is a part of."""
    levels = name.split(".")
    return [".".join(levels[:i]) for i in range(1, len(levels))]


def number(name: str, parts) -> list[tuple[str, Task]]:
    return [(f"{name}.{i}", part) for i, part in enumerate(parts)]


def figures_of(question: Question, part: Part, seconds: float) -> dict[str, Any]:
    """What is known of a part without its rows."""
    cells = part.cells
    new = np.ones(len(cells.codes), dtype=bool)
    new[1:] = (cells.codes[1:] != cells.codes[:-1]).any(axis=1)
    size = cells.area if isinstance(cells, Cells) else cells.volume
    return {"digest": question.network.digest, "rows": len(cells.codes), "regions": int(new.sum()), "words": int(cells.codes.shape[1]),
            "first code": cells.codes[0].tolist() if len(cells.codes) else [], "seconds": seconds,
            "volume": None if size is None else float(size.sum()), "classes": _classes(cells, size),
            "borders": part.borders.tolist(), "cells": _scalars(cells), "rounding share": _share(question, cells)}


def _share(question: Question, cells: Cells | Table) -> float | None:
    """How large the bounds of errors in the part are; None where there are none, or no number in JSON."""
    share = own_share(question.decided, chain_of(question.network), cells.errors, outputs=question.by is not None)
    return share if np.isfinite(share) else None


def _classes(cells: Cells | Table, size: np.ndarray | None) -> list[list]:
    """[class, rows, volume] of each class that is given."""
    if cells.first is None:
        return []
    names, at = np.unique(cells.first, return_inverse=True)
    rows, sizes = np.bincount(at.ravel()), np.bincount(at.ravel(), size) if size is not None else [None] * len(names)
    return [[int(n), int(r), None if s is None else float(s)] for n, r, s in zip(names, rows, sizes, strict=True)]


def _scalars(cells: Cells | Table) -> dict[str, Any]:
    from .store import _scalars as scalars

    return scalars(cells)


def _no_rest(seams) -> dict[str, Any]:
    return {} if seams is None else {"rest_ptr": np.zeros(1, np.int64), "rest_vertices": np.zeros((0, 2))}


def _seams(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".parquet") + ".seams.parquet")


# ---- divisions as arrays
def pack_division(task: Task, parts: tuple[Task, ...]) -> dict[str, np.ndarray]:
    """The parts of a task as arrays; what they share with it is left out."""
    known, faces = len(task.pieces), len(task.rows)
    arrays = {"pieces": np.stack([p.pieces[known:] for p in parts]), "size": np.array([p.size for p in parts])}
    if parts[0].polygon is not None:
        return arrays | {"ptr": _ptr([len(p.polygon) for p in parts]), "polygon": np.vstack([p.polygon for p in parts]),
                         "edges": np.concatenate([p.edges for p in parts]), "walls": np.vstack([p.walls for p in parts])}
    return arrays | {"ptr": _ptr([len(p.rows) - faces for p in parts]), "rows": np.vstack([p.rows[faces:] for p in parts]),
                     "point": np.stack([p.point for p in parts])}


def unpack_division(task: Task, arrays: dict[str, np.ndarray]) -> list[Task]:
    parts = []
    for k, (i, j) in enumerate(zip(arrays["ptr"][:-1], arrays["ptr"][1:], strict=True)):
        pieces, size = np.concatenate([task.pieces, arrays["pieces"][k]]), float(arrays["size"][k])
        if "polygon" in arrays:
            parts.append(Task(pieces, task.rows, None, arrays["polygon"][i:j], arrays["edges"][i:j], arrays["walls"][i:j], size,
                              task.depth + 1))
        else:
            rows = np.vstack([task.rows, arrays["rows"][i:j]])
            parts.append(Task(pieces, rows, arrays["point"][k], None, None, None, size, task.depth + 1))
    return parts


def read_arrays(data: bytes) -> dict[str, np.ndarray]:
    import io

    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return dict(file)


def _ptr(counts: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


# ---- the folder
def make_folder(path: str | Path, question: Question) -> Folder:
    """A folder with nothing done; FileExistsError where there is something already."""
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} exists: give another name, or go on with what is there by pellucid.resume('{path}')")
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if _is_stale(old.name):
            shutil.rmtree(old, ignore_errors=True)
    temporary = path.with_name(f".{path.name}.{_unique()}.tmp")
    try:
        for kind in ("parts", "divisions"):
            (temporary / kind).mkdir(parents=True)
        question.network.save(temporary / "network.npz")
        publish(temporary / "manifest.json", lambda file: file.write(json.dumps(manifest_of(question), indent=1).encode()))
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Folder(path, question)


def manifest_of(question: Question) -> dict[str, Any]:
    net = question.network
    return {"format": FORMAT, "kind": STREAMED, "digest": net.digest, "versions": versions(), "domain": write_domain(question.domain),
            "engine": question.engine, "by": question.by, "threshold": question.threshold, "part_bytes": question.part_bytes}


def open_folder(path: str | Path) -> Folder:
    """What `make_folder` made. FileFormatError for anything else."""
    path = Path(path)
    try:
        manifest = json.loads((path / "manifest.json").read_text())
    except (OSError, ValueError) as e:
        raise FileFormatError(f"{path} is not an atlas written by linear_regions(to=...): {e}") from e
    if not isinstance(manifest, dict) or manifest.get("kind") != STREAMED:
        raise FileFormatError(f"{path} is not an atlas written by linear_regions(to=...)")
    if manifest.get("format") != FORMAT:
        raise FileFormatError(f"{path} is an atlas of another format; this version reads {FORMAT}")
    return Folder(path, question_of(manifest, path / "network.npz"))


def question_of(manifest: dict[str, Any], network: Path) -> Question:
    """The question that a manifest tells, of the network in that file."""
    from .. import ops  # noqa: F401  (the classes that a saved network speaks of)

    net = load_network(network)
    if net.digest != manifest["digest"]:
        raise FileFormatError(f"{network} is not the network that the atlas was made of")
    with _told(network.with_name("manifest.json")):
        return Question(net, read_domain(manifest["domain"], net.n_inputs), manifest["engine"], manifest["by"], manifest["threshold"],
                        manifest["part_bytes"])


def publish(path: Path, write: Callable[[Any], object], *, once: bool = False) -> None:
    """A file that is there as a whole or not at all, also when the power fails. once: one that is there already stays."""
    temporary = path.with_name(f".{path.name}.{_unique()}.tmp")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if not once or not _linked(temporary, path):
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def _linked(temporary: Path, path: Path) -> bool:
    """Give the file its name unless there is one of that name; False where the file system has no links and there is none."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return True
    except (OSError, AttributeError):
        return path.exists()
    return True


def _sync(folder: Path) -> None:
    """The names in a folder, forced to the disk; where the system has no such thing (Windows) it does so by itself."""
    with contextlib.suppress(OSError, AttributeError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _unique() -> str:
    return f"{_host()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"


def _is_stale(name: str) -> bool:
    """Was what has this name left half written, by a process of this machine that is no more?"""
    host, pid = name.rsplit(".", 4)[-4:-2] if name.count(".") >= 4 else ("", "")
    return host == _host() and pid.isdigit() and not _alive(int(pid))


def _host() -> str:
    return "".join(c if c.isalnum() or c == "-" else "-" for c in socket.gethostname()) or "here"


def _alive(pid: int) -> bool:
    if os.name == "nt":            # there, signal 0 is no question but Ctrl-C
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Whatever goes wrong in reading a file of ours, told as such."""
    try:
        yield
    except FileFormatError:
        raise
    except (OSError, ValueError, KeyError, TypeError, IndexError) as e:
        raise FileFormatError(f"{path} is damaged: {type(e).__name__}: {e}. Remove it, and pellucid.resume makes it again") from e
