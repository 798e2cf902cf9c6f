"""Reading ONNX files that may be hostile: sizes are checked before anything is allocated, nothing outside the folder is read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from ..errors import ModelError

LARGEST_FILE = 2**31 - 1
"""Bytes of one protobuf, and of all external data together: protobuf's own limit, as the runtime is handed one buffer."""

MOST_NODES = 100_000


def read_model(path: Path):
    """The ModelProto in a file, external data embedded. ModelError where it is broken, too large or reaches outside its folder."""
    import onnx

    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise ModelError(f"{path} has {size} bytes; an ONNX file has less than 2 GB (larger weights are external data)")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except Exception as e:                                      # DecodeError of whichever protobuf there is
        raise ModelError(f"{path} is not an ONNX file, or is cut off or corrupted: {e}") from e
    return checked(model, path.parent, str(path))


def checked(model, folder: Path | None, name: str):
    """A ModelProto that holds a graph, with a known opset, all data inside and functions put in place of their calls."""
    try:
        if not model.HasField("graph") or not model.graph.output:
            raise ModelError(f"{name} holds no graph with an output; it is empty, cut off, or no ONNX model")
        opset = opset_of(model)
        if opset < 7:
            raise ModelError(f"{name} is of opset {opset}; opset 7 (2018) and later can be read.\n"
                             f"  To go on       onnx.version_converter.convert_version(model, 17)")
        model = _embedded(model, folder, name)
        return _inlined(model, name) if model.functions else model
    except (UnicodeDecodeError, TypeError) as e:
        raise ModelError(f"{name} is corrupted: {e}") from e


def opset_of(model) -> int:
    """Version of the default operator set."""
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1)


def to_array(tensor, what: str = "") -> np.ndarray:
    """The numbers of a TensorProto. ModelError where it claims another size than it has."""
    import onnx
    from onnx import numpy_helper

    name, dims = tensor.name or what, tuple(tensor.dims)
    if min(dims, default=0) < 0 or math.prod(dims) > LARGEST_FILE:
        raise ModelError(f"tensor '{name}' claims the shape {dims}")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise ModelError(f"tensor '{name}' lies in a file of its own; load the model from its .onnx file")
    try:
        held = _entries_held(tensor)
        if held is not None and held != math.prod(dims):
            raise ModelError(f"tensor '{name}' claims the shape {dims}, {math.prod(dims)} entries, and holds {held}: "
                             "the file is cut off or corrupted")
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as e:
        raise e if isinstance(e, ModelError) else ModelError(f"tensor '{name}' of shape {dims} is corrupted: {e}") from e


def _entries_held(tensor) -> int | None:
    """Entries that the data would fill; None for types packed several to a byte."""
    import onnx

    width = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
    if tensor.data_type in (onnx.TensorProto.STRING, *_packed(onnx)):
        return None
    if tensor.HasField("raw_data"):
        return len(tensor.raw_data) // width if len(tensor.raw_data) % width == 0 else -1
    complex_parts = 2 if tensor.data_type in (onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128) else 1
    fields = (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data, tensor.uint64_data)
    return sum(map(len, fields)) // complex_parts


def _packed(onnx) -> list[int]:
    return [getattr(onnx.TensorProto, t) for t in ("INT4", "UINT4", "INT2", "UINT2", "FLOAT4E2M1") if hasattr(onnx.TensorProto, t)]


# ---- external data
def tensors(graph, depth: int = 0) -> Iterator:
    """Every TensorProto of a graph: initialisers, attributes, graphs inside attributes."""
    if depth > 20:
        raise ModelError("graphs are nested more than 20 deep")
    yield from graph.initializer
    for node in graph.node:
        for a in node.attribute:
            if a.HasField("t"):
                yield a.t
            yield from a.tensors
            for inner in ([a.g] if a.HasField("g") else []) + list(a.graphs):
                yield from tensors(inner, depth + 1)


def _embedded(model, folder: Path | None, name: str):
    """The model with all external data inside; the same object where there is none."""
    import onnx

    outside = [t for t in tensors(model.graph) if t.data_location == onnx.TensorProto.EXTERNAL]
    if not outside:
        return model
    if folder is None:
        raise ModelError(f"{name} keeps weights in files of their own, and a ModelProto does not say where.\n"
                         "  To go on       load the model from its .onnx file, or onnx.load it with load_external_data=True")
    copy, total = onnx.ModelProto(), 0
    copy.CopyFrom(model)
    for tensor in tensors(copy.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            data = _external_bytes(tensor, folder, LARGEST_FILE - total)
            total += len(data)
            tensor.raw_data = data
            tensor.data_location = onnx.TensorProto.DEFAULT
            del tensor.external_data[:]
    return copy


def _external_bytes(tensor, folder: Path, most: int) -> bytes:
    """The bytes of a tensor in another file: inside the model's folder, not through a link, as many as its shape takes."""
    import onnx

    where = {e.key: e.value for e in tensor.external_data}
    path = inside(folder, where.get("location", ""), tensor.name)
    try:
        width = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
        offset, needed = int(where.get("offset", 0)), math.prod(tensor.dims) * width
        length = int(where.get("length", needed))
    except (KeyError, ValueError, TypeError) as e:
        raise ModelError(f"tensor '{tensor.name}': its external data is described wrongly: {e}") from e
    size = path.stat().st_size
    if min(offset, length, *tensor.dims) < 0 or offset + length > size or length != needed:
        raise ModelError(f"tensor '{tensor.name}' of shape {tuple(tensor.dims)} needs {needed} bytes, and claims {length} from byte "
                         f"{offset} of {path.name}, which has {size}")
    if length > most:
        raise ModelError(f"the external data is more than 2 GB; tensor '{tensor.name}' goes beyond")
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(length)


def inside(folder: Path, location: str, what: str) -> Path:
    """The file at a relative location below the folder. ModelError for anything that could lead out of it."""
    parts = PurePosixPath(location.replace("\\", "/")).parts
    path = folder
    if not parts or location.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in location:
        raise ModelError(f"tensor '{what}' points to the file {location!r}; only files below the model's own folder are read")
    for part in parts:
        path = path / part
        if path.is_symlink():
            raise ModelError(f"tensor '{what}' points to {location!r}, which goes through a symbolic link; those are not followed")
    if not path.is_file():
        raise ModelError(f"tensor '{what}' lies in the file {location!r}, which is not there (looked in {folder})")
    return path


# ---- functions
def _inlined(model, name: str):
    """The model with its own functions in place of their calls. ModelError where they call each other in a circle or explode."""
    from onnx import inliner

    bodies = {(f.domain, f.name): f for f in model.functions}
    sizes: dict[tuple[str, str], int | None] = {}

    def expanded(nodes, depth: int = 0) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key not in bodies:
                total += 1
                continue
            if key not in sizes:
                if depth > 100:
                    raise ModelError(f"{name}: functions call each other more than 100 deep")
                sizes[key] = None                               # being measured: met again, it is a circle
                sizes[key] = expanded(bodies[key].node, depth + 1)
            if (inside_it := sizes[key]) is None:
                raise ModelError(f"{name}: the function '{node.op_type}' calls itself")
            total += inside_it
            if total > MOST_NODES:
                raise ModelError(f"{name}: written out, its functions are more than {MOST_NODES} nodes")
        return total

    expanded(model.graph.node)
    try:
        return inliner.inline_local_functions(model)
    except Exception as e:                                      # the C++ inliner's own errors
        raise ModelError(f"{name}: its functions cannot be put in place of their calls: {e}") from e
