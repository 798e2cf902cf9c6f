"""Tables of codes on disk: runs that are written when memory is full or for safety, and merged in the end.

A folder holds runs (columns of .npy files, rows in order of hash) and one manifest that names those that count. A run is complete
before the manifest names it, and both get their names by one renaming: whatever is interrupted, the manifest tells of whole runs
and of exactly the rows that are in them.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileFormatError

VERSION = 1
COLUMNS = ("hashes", "count", "first", "weight", "mean", "square", "loss", "codes")
PART_BYTES = 32 << 20
SLICES = 256
"""Parts of the range of hashes whose borders every run knows, so that runs can be merged a part at a time."""

Columns = dict[str, np.ndarray | None]


@dataclass(frozen=True, eq=False)
class Run:
    """A run on disk. cuts: (SLICES + 1,) first row of each part of the range of hashes. bytes: of all columns."""

    folder: Path
    cuts: np.ndarray
    bytes: int

    def read(self, start: int, stop: int) -> Columns:
        """The rows of some slices. By reading, not by mapping: mapped pages count as memory of the process."""
        a, b = int(self.cuts[start]), int(self.cuts[stop])
        return {key: _rows(path, a, b) if (path := self.folder / f"{key}.npy").is_file() else None for key in COLUMNS}


def _rows(path: Path, a: int, b: int) -> np.ndarray:
    """Rows a to b of a .npy file."""
    with open(path, "rb") as file:
        version = np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file) if version == (1, 0) else np.lib.format.read_array_header_2_0(file)
        width = int(np.prod(shape[1:], dtype=np.int64))
        file.seek(file.tell() + a * width * dtype.itemsize)
        return np.fromfile(file, dtype, (b - a) * width).reshape(b - a, *shape[1:])


def borders() -> np.ndarray:
    """(SLICES - 1,) the first hashes of the slices but the first."""
    return np.array([2**64 * p // SLICES for p in range(1, SLICES)], dtype=np.uint64)


def write_run(folder: Path, name: str, columns: Columns) -> None:
    """A run, in order of hash; there under its name only when it is complete."""
    order = np.argsort(columns["hashes"][:, 0], kind="stable")
    temporary = folder / f".{name}"
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(folder / name, ignore_errors=True)
    temporary.mkdir(parents=True)
    keys = columns["hashes"][order, 0]
    cuts = np.concatenate([[0], np.searchsorted(keys, borders()), [len(keys)]])
    for key, column in {**columns, "cuts": cuts}.items():
        if column is not None:
            with open(temporary / f"{key}.npy", "wb") as file:
                np.save(file, cuts if key == "cuts" else column[order])
                file.flush()
                os.fsync(file.fileno())
    os.replace(temporary, folder / name)


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    temporary = folder / ".manifest.json"
    with open(temporary, "w") as file:
        json.dump({"version": VERSION, **manifest}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, folder / "manifest.json")


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """None where there is none yet. FileFormatError."""
    path = folder / "manifest.json"
    if not path.is_file():
        return None
    try:
        manifest = json.loads(path.read_text())
    except ValueError as e:
        raise FileFormatError(f"{path} is broken ({e}): begin anew in another folder") from e
    if manifest.get("version") != VERSION:
        raise FileFormatError(f"{path} is of version {manifest.get('version')}, this pellucid reads {VERSION}: begin anew elsewhere")
    return manifest


def read_run(folder: Path, name: str) -> Run:
    """A run by its name. FileFormatError where it is gone."""
    path = folder / name
    try:
        return Run(path, np.load(path / "cuts.npy"), sum(f.stat().st_size for f in path.iterdir()))
    except (OSError, ValueError) as e:
        raise FileFormatError(f"{path} cannot be read ({e}): begin anew in another folder") from e


def merged(runs: list[Run]) -> Iterator[Columns]:
    """The runs added up, in order of hash, a part of the range of hashes at a time."""
    parts = int(min(SLICES, max(1, sum(r.bytes for r in runs) // PART_BYTES)))
    edges = [SLICES * p // parts for p in range(parts + 1)]
    for a, b in itertools.pairwise(edges):
        pieces = [run.read(a, b) for run in runs]
        whole = {key: None if pieces[0][key] is None else np.concatenate([piece[key] for piece in pieces]) for key in COLUMNS}
        del pieces
        if len(whole["hashes"]):
            yield _added(whole)


def _added(c: Columns) -> Columns:
    """Rows of one code made one (Chan, Golub, LeVeque 1979); rows of one response leave the mean exactly that."""
    h = c["hashes"]
    order = np.lexsort((c["first"], h[:, 2], h[:, 1], h[:, 0]))
    h = h[order]
    same = (h[1:] == h[:-1])
    new = np.concatenate([[True], ~same.all(axis=1)])
    if np.any(same[:, :2].all(axis=1) & ~same[:, 2]):
        raise RuntimeError("two codes share a hash of 128 bits")
    starts = np.flatnonzero(new)
    if len(starts) == len(order):
        return {key: None if v is None else v[order] for key, v in c.items()}
    segment = np.cumsum(new) - 1
    count, mean = c["count"][order], c["mean"][order]
    w = count.astype(np.float64) if c["weight"] is None else c["weight"][order]
    w = np.where(np.add.reduceat(w, starts)[segment] > 0, w, 1.0)
    total = np.add.reduceat(w, starts)
    out: Columns = {"hashes": h[starts], "count": np.add.reduceat(count, starts), "first": c["first"][order][starts],
                    "mean": np.add.reduceat(w[:, None] * mean, starts, axis=0) / total[:, None]}
    for key in ("weight", "loss"):
        out[key] = None if c[key] is None else np.add.reduceat(c[key][order], starts)
    out["square"] = None
    if c["square"] is not None:
        away = mean - out["mean"][segment]
        out["square"] = np.add.reduceat(c["square"][order] + w[:, None] * away * away, starts, axis=0)
    out["codes"] = None if c["codes"] is None else c["codes"][order][starts]
    return out


@dataclass(frozen=True, eq=False)
class OnDisk:
    """A column that lies in a file, asked for by region: entry k is that at order[k]. Nothing is read but what is asked for."""

    column: np.ndarray
    order: np.ndarray

    def __getitem__(self, regions) -> np.ndarray:
        return np.array(self.column[self.order[regions]])

    def __len__(self) -> int:
        return len(self.order)


def in_memory(runs: list[Run]) -> Columns:
    """All of `merged` as one, in order of hash."""
    parts = list(merged(runs))
    return {key: None if parts[0][key] is None else np.concatenate([p[key] for p in parts]) for key in COLUMNS}


def on_disk(runs: list[Run], folder: Path) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """(columns in order of size, then of the first row; hashes in their own order; place of each region in that order).

    In memory are the counts, the weights and that order: 12 bytes a region, 20 with weights.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shapes: dict[str, tuple[np.dtype, tuple[int, ...]]] = {}
    n = 0
    with contextlib.ExitStack() as opened:
        files = {}
        for part in merged(runs):
            part["keys"] = np.ascontiguousarray(part["hashes"][:, 0])
            for key, column in part.items():
                if column is not None:
                    if key not in files:
                        files[key] = opened.enter_context(open(folder / key, "wb"))
                        shapes[key] = column.dtype, column.shape[1:]
                    column.tofile(files[key])
            n += len(part["keys"])
    count, first = (np.fromfile(folder / key, dtype=np.int64) for key in ("count", "first"))
    if n and max(count.max(), first.max()) < 2**31:
        count, first = count.astype(np.int32), first.astype(np.int32)
    order = np.lexsort((first, -count)).astype(np.int32 if n < 2**31 else np.int64)
    del first
    columns: dict[str, Any] = dict.fromkeys(COLUMNS)
    for key in shapes:
        if key not in ("keys", "count", "weight"):
            dtype, shape = shapes[key]
            columns[key] = OnDisk(np.memmap(folder / key, dtype, "r", shape=(n, *shape)), order)
    columns["count"] = count[order].astype(np.int64)
    if "weight" in shapes:
        columns["weight"] = np.fromfile(folder / "weight", dtype=np.float64)[order]
    return columns, np.memmap(folder / "keys", np.uint64, "r", shape=(n,)), order
