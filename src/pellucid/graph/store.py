"""Networks as files: JSON and arrays in one .npz, no pickle."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileFormatError
from .graph import Graph, GraphBuilder
from .network import Network
from .op import LARGEST_TENSOR, Op, size
from .table import TableEncoder

FORMAT = 1


def canonical(net: Network) -> tuple[str, dict[str, np.ndarray]]:
    """What the function depends on, as (JSON, arrays), the same for equal networks."""
    arrays: dict[str, np.ndarray] = {}
    nodes = []
    for i, node in enumerate(net.graph.nodes):
        fields = {}
        for f in dataclasses.fields(node.op):  # type: ignore[arg-type]
            fields[f.name] = _encode(getattr(node.op, f.name), f"{i}.{f.name}", arrays)
        nodes.append({"name": node.name, "op": type(node.op).__name__, "inputs": list(node.inputs), "shape": list(node.shape),
                      "fields": fields})
    what = {"format": FORMAT, "input_shape": list(net.graph.input_shape), "nodes": nodes, "output": net.graph.output, "link": net.link}
    return json.dumps(what, sort_keys=True), arrays


def save_network(net: Network, path: str | Path) -> Path:
    """Write to a temporary name beside `path`, then rename: a crash leaves the old file or none."""
    path = Path(path)
    if path.suffix != ".npz":
        path = path.with_name(path.name + ".npz")
    text, arrays = canonical(net)
    names = {k: getattr(net, k) for k in ("feature_names", "class_names", "units", "task", "source")}
    names["table"] = None if net.table is None else net.table.to_json()
    fidelity = dataclasses.asdict(net.fidelity) if dataclasses.is_dataclass(net.fidelity) else net.fidelity
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            np.savez(file, **{"graph.json": np.frombuffer(text.encode(), np.uint8),
                              "names.json": np.frombuffer(json.dumps({**names, "fidelity": fidelity}).encode(), np.uint8),
                              **{f"array/{k}": v for k, v in arrays.items()}})
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def load_network(path: str | Path) -> Network:
    """Read what `save_network` wrote. FileFormatError for anything else: nothing is unpacked, allocated or run on its word."""
    path = Path(path)
    try:
        arrays = _members(path)
        what = json.loads(arrays.pop("graph.json").tobytes())
        names = json.loads(arrays.pop("names.json").tobytes())
        version = what["format"]
    except Exception as e:                                      # zip, header or JSON: whatever is broken, it is not ours
        raise FileFormatError(f"{path} is not a network written by Network.save: {e}") from e
    if version != FORMAT:
        raise FileFormatError(f"{path} is of format {version}; this version reads {FORMAT}")
    try:
        graph = _graph(what, {k.removeprefix("array/"): v for k, v in arrays.items()})
        table = names.pop("table", None)
        return Network(graph, what["link"], **{k: tuple(v) if isinstance(v, list) else v for k, v in names.items()},
                       table=None if table is None else TableEncoder.from_json(table))
    except Exception as e:                                      # fields of the wrong kind can fail anywhere in an op
        raise FileFormatError(f"{path} does not describe a network of this version: {e!r}") from e


def _members(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz without compression, which `save_network` never uses: so none is larger than the file."""
    out = {}
    with zipfile.ZipFile(path) as file:
        for member in file.infolist():
            if member.compress_type != zipfile.ZIP_STORED or member.file_size > path.stat().st_size:
                raise ValueError(f"'{member.filename}' is compressed")
            out[member.filename.removesuffix(".npy")] = _array(file.read(member))
    return out


def _array(data: bytes) -> np.ndarray:
    """An .npy whose header claims as many bytes as there are, of plain numbers."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(stream)
    rest = data[stream.tell():]
    if dtype.kind not in "fiub" or min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(rest):
        raise ValueError(f"an array of shape {shape} and type {dtype} in {len(rest)} bytes")
    return np.frombuffer(rest, dtype).reshape(shape, order="F" if fortran else "C").copy()


def _graph(what: dict, arrays: dict[str, np.ndarray]) -> Graph:
    """The graph, every shape worked out anew. ValueError where nodes are out of order or shapes are not those written."""
    ops, builder = op_classes(), GraphBuilder(what["input_shape"])
    if not all(n > 0 for n in builder.input_shape):
        raise ValueError(f"input shape {builder.input_shape}")
    for n in what["nodes"]:
        op = ops[n["op"]](**{k: _decode(v, arrays) for k, v in n["fields"].items()})
        shape = tuple(op.shape(*(builder.shapes[s] for s in n["inputs"])))
        if shape != tuple(n["shape"]) or not 0 < size(shape) <= LARGEST_TENSOR:
            raise ValueError(f"node '{n['name']}' has the shape {shape}, the file says {tuple(n['shape'])}")
        if builder.add(op, *n["inputs"], name=n["name"]) != n["name"]:
            raise ValueError(f"two nodes are called '{n['name']}'")
    builder.shapes[what["output"]]                              # KeyError where there is no such node
    return Graph(builder.input_shape, tuple(builder.nodes), what["output"])


def op_classes() -> dict[str, type[Op]]:
    """Every concrete op class that has been imported, by name."""
    found: dict[str, type[Op]] = {}
    stack = [Op]
    while stack:
        cls = stack.pop()
        stack.extend(cls.__subclasses__())
        if dataclasses.is_dataclass(cls):
            found[cls.__name__] = cls
    return found


def _encode(value: Any, key: str, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, np.ndarray):
        arrays[key] = value
        return {"array": key}
    if isinstance(value, tuple | list):
        return {"tuple": [_encode(v, f"{key}.{i}", arrays) for i, v in enumerate(value)]}
    if isinstance(value, np.generic):
        return value.item()
    assert value is None or isinstance(value, bool | int | float | str), f"an op holds a {type(value)}"
    return value


def _decode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, dict):
        return arrays[value["array"]] if "array" in value else tuple(_decode(v, arrays) for v in value["tuple"])
    return value
