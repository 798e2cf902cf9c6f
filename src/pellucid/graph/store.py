"""Networks as files: JSON and arrays in one .npz, no pickle (DESIGN 8)."""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileFormatError
from .graph import Graph
from .network import Network
from .op import Node, Op
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
    """Read what `save_network` wrote. FileFormatError for anything else."""
    try:
        with np.load(path, allow_pickle=False) as file:
            what = json.loads(file["graph.json"].tobytes())
            names = json.loads(file["names.json"].tobytes())
            arrays = {k.removeprefix("array/"): file[k] for k in file.files if k.startswith("array/")}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, EOFError) as e:
        raise FileFormatError(f"{path} is not a network written by Network.save: {e}") from e
    if what.get("format") != FORMAT:
        raise FileFormatError(f"{path} is of format {what.get('format')}; this version reads {FORMAT}")
    ops = op_classes()
    try:
        nodes = []
        for n in what["nodes"]:
            fields = {k: _decode(v, arrays) for k, v in n["fields"].items()}
            nodes.append(Node(n["name"], ops[n["op"]](**fields), tuple(n["inputs"]), tuple(n["shape"])))
        graph = Graph(tuple(what["input_shape"]), tuple(nodes), what["output"])
        table = names.pop("table", None)
        return Network(graph, what["link"], **{k: tuple(v) if isinstance(v, list) else v for k, v in names.items()},
                       table=None if table is None else TableEncoder.from_json(table))
    except (KeyError, TypeError, ValueError) as e:
        raise FileFormatError(f"{path} does not describe a network of this version: {e!r}") from e


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
