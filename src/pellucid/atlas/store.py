"""Atlases as directories: Parquet columns, the network, a JSON manifest. No pickle."""

from __future__ import annotations

import json
import math
import os
import shutil
from dataclasses import fields
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..certificate import Certificate, Status
from ..errors import FileFormatError, PathInUse
from ..geometry import Box, Slice
from ..graph.store import load_network
from ..regions import Cells, Table

if TYPE_CHECKING:
    from .atlas import Atlas
    from .stream import StreamedAtlas

FORMAT = 1
KIND = "pellucid atlas"
STREAMED = "pellucid streamed atlas"
"""What the manifest of an atlas in parts says it is."""


def save_atlas(atlas: Atlas, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write under a temporary name beside `path`, then rename: a crash leaves the old atlas or none.

    PathInUse where `path` is something else than an atlas, or an atlas that is not to be overwritten.
    """
    path = Path(path)
    if path.exists() and not _is_atlas(path):
        raise PathInUse(f"{path} exists and is not an atlas: give another name, or remove it")
    if path.exists() and not overwrite:
        raise PathInUse(f"{path} holds an atlas: give another name, or save(..., overwrite=True) to replace it")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        _write(atlas, temporary)
        old = path.with_name(f".{path.name}.{os.getpid()}.old")
        if path.exists():
            os.replace(path, old)
        os.replace(temporary, path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return path


def _is_atlas(path: Path) -> bool:
    """Is this a folder that `save_atlas` wrote, of whatever version, and nothing else?"""
    try:
        return json.loads((path / "manifest.json").read_text()).get("kind") == KIND
    except (OSError, ValueError, AttributeError):
        return False


def _write(atlas: Atlas, folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    cells = atlas.cells
    # reading the network back gives class names and all
    atlas.network.save(folder / "network.npz")
    pq.write_table(pa.table(region_columns(cells)), folder / "regions.parquet", compression="zstd")
    if isinstance(cells, Cells):
        pq.write_table(pa.table(seam_columns(cells)), folder / "seams.parquet", compression="zstd")
        pq.write_table(pa.table({"vertices": _ragged(_fixed(cells.rest_vertices), cells.rest_ptr)}), folder / "unexplored.parquet")
    (folder / "manifest.json").write_text(json.dumps(_manifest(atlas), indent=1))


def region_columns(cells: Cells | Table) -> dict[str, Any]:
    """What there is of each row, as columns of a table."""
    import pyarrow as pa

    columns: dict[str, Any] = {"code": _fixed(cells.codes), "coef_u": _fixed(cells.coef), "intercept_u": _fixed(cells.intercept)}
    if isinstance(cells, Cells):
        columns |= {"vertices": _ragged(_fixed(cells.vertices), cells.vertex_ptr),
                    "edge_seam": _ragged(pa.array(cells.edge_seam), cells.vertex_ptr), "volume": pa.array(cells.area)}
    else:
        columns |= {"point": _fixed(cells.points)}
        columns |= {name: pa.array(value) for name in ("clearance", "volume") if (value := getattr(cells, name)) is not None}
    for name in ("first", "second"):
        if getattr(cells, name) is not None:
            columns[name] = pa.array(getattr(cells, name))
    return columns


def seam_columns(cells: Cells) -> dict[str, np.ndarray]:
    return {name: cells.seams[:, i] for i, name in enumerate(("column", "low", "high"))}


def _fixed(a: np.ndarray):
    """(n, ...) numbers as a column of fixed-size lists."""
    import pyarrow as pa

    width = math.prod(a.shape[1:])
    if width == 0:
        return pa.array([[]] * len(a), pa.list_(pa.null()))
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(a).ravel()), width)


def _ragged(values, ptr: np.ndarray):
    import pyarrow as pa

    return pa.LargeListArray.from_arrays(pa.array(np.asarray(ptr, dtype=np.int64)), values)


def _manifest(atlas: Atlas) -> dict:
    certificate = atlas.certificate
    return {
        "format": FORMAT, "kind": KIND, "digest": atlas.network.digest, "versions": versions(), "rows": len(atlas),
        "outputs": atlas.network.n_outputs, "words": int(atlas.cells.codes.shape[1]), "by": atlas.by, "threshold": atlas.threshold,
        "selection": atlas.is_selection,
        "domain": write_domain(atlas.domain),
        "kind of cells": type(atlas.cells).__name__,
        "cells": _scalars(atlas.cells),
        "certificate": {"claim": certificate.claim, "status": certificate.status.value, "reason": certificate.reason,
                        "figures": {k: _plain(v) for k, v in certificate.figures.items()}},
    }


def write_domain(domain: Slice) -> dict:
    """The slice and its box as JSON; numbers keep all their digits."""
    box = domain.box
    return {"x0": domain.x0.tolist(), "P": domain.P.tolist(), "A": domain.A.tolist(), "b": domain.b.tolist(), "free": domain.free,
            "box": {"lower": box.lower.tolist(), "upper": box.upper.tolist(), "names": box.names, "A": box.A.tolist(), "b": box.b.tolist()}}


def read_domain(d: dict, n_inputs: int) -> Slice:
    box = Box(d["box"]["lower"], d["box"]["upper"], d["box"]["names"], A=_rows(d["box"]["A"], n_inputs), b=d["box"]["b"])
    P = np.array(d["P"])
    free = None if d["free"] is None else tuple(tuple(f) for f in d["free"])
    return Slice(d["x0"], P, box, A=_rows(d["A"], P.shape[1]), b=d["b"], free=free)


def versions() -> dict[str, str]:
    return {name: _version(name) for name in ("pellucid", "numpy", "pyarrow")}


def _scalars(cells: Cells | Table) -> dict:
    """The fields that are numbers, words or truth values."""
    values = {f.name: getattr(cells, f.name) for f in fields(cells)}
    return {name: _plain(v) for name, v in values.items() if isinstance(v, bool | int | float | str)}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:        # run from a source tree
        return "unknown"


def _plain(v):
    return v.item() if isinstance(v, np.generic) else v


def load_atlas(path: str | Path) -> Atlas | StreamedAtlas:
    """Read what `Atlas.save` or `linear_regions(to=...)` wrote: an Atlas, or a StreamedAtlas, which stays on the disk.

    FileFormatError for anything else, and where the network is not the atlas's own.
    """
    path = Path(path)
    try:
        manifest = json.loads((path / "manifest.json").read_text())
    except (OSError, ValueError) as e:
        raise FileFormatError(f"{path} is not an atlas written by Atlas.save: {e}") from e
    if isinstance(manifest, dict) and manifest.get("kind") == STREAMED:
        from .stream import open_streamed

        return open_streamed(path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT or manifest.get("kind") != KIND:
        raise FileFormatError(f"{path} is an atlas of another format; this version reads {FORMAT}")
    from .. import ops  # noqa: F401  (the classes that a saved network speaks of)

    net = load_network(path / "network.npz")
    if net.digest != manifest["digest"]:
        raise FileFormatError(f"{path}: network.npz is not the network that the atlas was made of")
    try:
        return _read(path, manifest, net)
    except FileFormatError:
        raise
    except Exception as e:
        raise FileFormatError(f"{path} is damaged: {e}") from e


def _read(path: Path, manifest: dict, net) -> Atlas:
    import pyarrow.parquet as pq

    from .atlas import Atlas, PartialAtlas

    domain = read_domain(manifest["domain"], net.n_inputs)
    table = pq.read_table(path / "regions.parquet")
    K, words = manifest["rows"], manifest["words"]
    if table.num_rows != K:
        raise FileFormatError(f"{path}: the manifest speaks of {K} rows, regions.parquet has {table.num_rows}")

    shape = K, manifest["outputs"], domain.dim, words
    if manifest["kind of cells"] == "Table":
        cells = read_cells(table, shape, manifest["cells"])
    else:
        rest = pq.read_table(path / "unexplored.parquet").column("vertices").combine_chunks()
        rest = {"rest_ptr": np.array(rest.offsets, dtype=np.int64),
                "rest_vertices": np.array(rest.flatten().flatten().to_numpy(zero_copy_only=False), dtype=float).reshape(-1, 2)}
        cells = read_cells(table, shape, manifest["cells"] | rest, pq.read_table(path / "seams.parquet"))
    said = manifest["certificate"]
    certificate = Certificate(said["claim"], Status(said["status"]), said["reason"], said["figures"])
    return (Atlas if cells.complete else PartialAtlas)(net, domain, cells, manifest["by"], manifest["threshold"], certificate,
                                                       manifest["selection"])


def read_cells(table, shape: tuple[int, int, int, int], more: dict, seams=None) -> Cells | Table:
    """Cells of the columns that `region_columns` and `seam_columns` made; shape: rows, outputs, coordinates, words of a code;
    more: the other fields."""
    K, c, k, words = shape

    def flat(name: str, dtype) -> np.ndarray:
        column = table.column(name).combine_chunks()
        while hasattr(column, "flatten") and str(column.type).find("list") >= 0:
            column = column.flatten()
        return np.array(column.to_numpy(zero_copy_only=False), dtype=dtype)

    def optional(name: str):
        return flat(name, np.int32) if name in table.column_names else None

    common = {"codes": flat("code", np.uint64).reshape(K, words) if words else np.zeros((K, 0), np.uint64),
              "coef": flat("coef_u", float).reshape(K, c, k), "intercept": flat("intercept_u", float).reshape(K, c),
              "first": optional("first"), "second": optional("second")} | more
    if seams is None:
        sizes = {name: flat(name, float) for name in ("clearance", "volume") if name in table.column_names}
        return Table(**common, **sizes, points=flat("point", float).reshape(K, k))
    vertices = table.column("vertices").combine_chunks()
    return Cells(**common, vertex_ptr=np.array(vertices.offsets, dtype=np.int64), vertices=flat("vertices", float).reshape(-1, 2),
                 edge_seam=flat("edge_seam", np.int32),
                 seams=np.column_stack([np.array(seams.column(k), dtype=np.int32) for k in ("column", "low", "high")]).reshape(-1, 3),
                 area=flat("volume", float))


def _rows(A: list, width: int) -> np.ndarray:
    return np.array(A, dtype=float).reshape(-1, width)
