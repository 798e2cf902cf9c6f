""".keras files from strangers, looked through before Keras builds anything of what they describe.

Keras's safe mode has been got around before: by functions named in a configuration, by layers that load other files, by
HDF5 links out of the archive. So only layers that we can read at all, and Keras's own functions in the places where they
belong, get through to it.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import ModelError, UnsupportedOp
from ..graph.registry import spellings
from .archive import MOST_BYTES, opened, reading

LINKS = {"Softmax": "softmax", "activation.softmax": "softmax", "activation.log_softmax": "log_softmax", "ops.Softmax": "softmax",
         "ops.LogSoftmax": "log_softmax"}
"""Keras's normalisations that can be links."""

MODELS = {"Sequential", "Functional", "Model", "InputLayer"}

HARMLESS = ("keras.initializers", "keras.regularizers", "keras.constraints", "keras.dtype_policies", "keras.activations")
"""Modules whose objects compute numbers when they are built, and read no file."""

CODE = {"Lambda", "__lambda__", "__class__", "__typespec__"}
LAYERS = ("keras.src.models", "keras.src.layers", "keras.src.ops")

MEMBERS = {"config.json", "metadata.json", "model.weights.h5"}


def check_file(path: Path) -> None:
    """ModelError where the archive is broken or holds what could run code or reach other files; UnsupportedOp for a layer
    that no op here is spelled as. Nothing of it is built."""
    with opened(path, "a .keras file") as archive:
        names = set(archive.namelist())
        if lacking := MEMBERS - names:
            raise ModelError(f"{path} is no .keras file: it lacks {', '.join(sorted(lacking))}")
        with reading(path, "a .keras file"):
            config = json.loads(archive.read("config.json"))
            if not isinstance(config, dict):
                raise ValueError("config.json holds no object")
            for part in _objects(config):
                _check_object(part, path)
            _check_weights(archive, path)


def _objects(config: Any) -> Iterator[dict]:
    """Every serialised object in a configuration; what concerns training is left out, since it is not built."""
    stack = [config]
    while stack:
        what = stack.pop()
        if isinstance(what, dict):
            if "class_name" in what:
                yield what
            stack.extend(v for k, v in what.items() if k != "compile_config")
        elif isinstance(what, list):
            stack.extend(what)


def _check_object(what: dict, path: Path) -> None:
    name, module, registered = what.get("class_name"), what.get("module") or "keras.layers", what.get("registered_name")
    if not isinstance(name, str) or not isinstance(module, str):
        raise ModelError(f"{path}: an object without a proper class_name and module")
    if name in ("__tensor__", "__numpy__", "__keras_tensor__", "__ellipsis__", "__slice__"):
        return
    code = f"{path} holds the {module}.{name}"
    if name in CODE or (name == "function" and module != "keras.activations"):
        raise ModelError(f"{code}, which is code to be run; it was not read.\n"
                         "  To go on       replace it by Keras's own layers (Rescaling, Reshape, ...), or export the model to ONNX")
    if not module.startswith("keras") or (isinstance(registered, str) and ">" in registered):
        raise ModelError(f"{code} ({registered}), a class of its author's own; it was not read.\n"
                         "  To go on       where you trust it, and its layers are Keras's: load it with Keras and pass the live object")
    if module in HARMLESS or (module == "keras" and name == "DTypePolicy"):
        return
    kind = f"ops.{name}" if module.startswith("keras.src.ops") or module == "keras.ops" else name
    layer = module in ("keras.layers", "keras", "keras.models") or module.startswith(LAYERS)
    if not layer or not (kind in MODELS or kind in LINKS or kind in spellings("keras")):
        raise UnsupportedOp(f"{code}, and no op here is spelled so.\n"
                            f"  It can take    {', '.join(k for k in spellings('keras') if '.' not in k)}\n"
                            "  To go on       replace the layer, or cut the model before it")


def _check_weights(archive: zipfile.ZipFile, path: Path) -> None:
    """ModelError for links out of the HDF5 file, data stored elsewhere, or more declared than can be meant."""
    import h5py

    declared = 0
    with h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r") as file:
        stack: list[Any] = [file]
        while stack:
            group = stack.pop()
            for name in group:
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise ModelError(f"{path}: its weights hold a link ('{name}') to other data; it was not read")
                item = group[name]
                if isinstance(item, h5py.Group):
                    stack.append(item)
                    continue
                if item.external or item.is_virtual:
                    raise ModelError(f"{path}: its weights ('{name}') are kept in another file; it was not read")
                declared += item.size * item.dtype.itemsize
                if declared > MOST_BYTES:
                    raise ModelError(f"{path}: its weights declare more than {MOST_BYTES:,} bytes; it was not read")
