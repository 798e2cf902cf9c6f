"""Keras 3 models, on any backend: layers by their configuration and weights, in the order of the functional graph.

Keras tensors have no known batch size; records speak of one of a single row, which no layer here mixes with another.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MissingExtra, ModelError
from ..graph.network import Network
from ..graph.op import Shape
from ..graph.registry import Record, Value, unsupported
from .archive import reading
from .keras_file import LINKS, check_file
from .trace import Tracer, check_finite


def import_keras(model_or_path, *, input_shape: Shape | None = None) -> tuple[Network, Callable[[np.ndarray], np.ndarray], str]:
    """A Sequential or functional Keras model, live or a .keras file, with one input and one output.

    input_shape: of one sample, where the model leaves axes open. Files are looked through before Keras opens them, and are
    read in safe mode: ModelError for one that is broken or holds code. UnsupportedOp for a layer that we do not have.
    """
    keras = _keras()
    path = Path(model_or_path) if isinstance(model_or_path, str | Path) else None
    model = model_or_path if path is None else _loaded(keras, path)
    graph_model = _functional(keras, model)
    shape = _input_shape(graph_model, input_shape)
    tracer = Tracer(shape, LINKS)
    output = _read(keras, graph_model, tracer, tracer.input)
    graph, link = tracer.finish(output)
    check_finite(graph, f"the Keras model {model.name}")
    task = None if link == "identity" else "classification"
    network = Network(graph, link, task=task, source=f"Keras {type(model).__name__} {model.name}")
    return network, _original(keras, model), f"Keras {keras.__version__} ({keras.backend.backend()})"


# ---- Keras and its models
def _keras():
    """The keras package; with torch behind it where nothing says which backend to take."""
    if choose := _left_to_us():
        os.environ["KERAS_BACKEND"] = "torch"
    try:
        import keras
    except ImportError as e:
        if e.name not in ("keras", None):                       # the backend, or something it needs
            raise ModelError(f"Keras cannot be imported: {e}\n  To go on       install its backend, or choose another one: "
                             "KERAS_BACKEND=torch") from e
        raise MissingExtra("keras", "keras", "reading Keras models") from e
    finally:
        if choose:
            os.environ.pop("KERAS_BACKEND", None)
    return keras


def _left_to_us() -> bool:
    """Is Keras not imported yet, no backend chosen, and torch there to be one?"""
    return "keras" not in sys.modules and "KERAS_BACKEND" not in os.environ and not _configured() and _installed("torch")


def _configured() -> bool:
    """Does keras.json name a backend that is there? Keras writes one by itself that names tensorflow, wanted or not."""
    path = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json"
    try:
        return _installed(json.loads(path.read_text())["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _loaded(keras, path: Path):
    if path.suffix.lower() in (".h5", ".hdf5"):
        raise ModelError(f"{path} is an HDF5 file: in that old format Keras runs code that a file may hold, so pellucid reads none.\n"
                         "  To go on       where you trust it: keras.models.load_model(path).save('model.keras'), and load that file")
    check_file(path)
    with reading(path, "a .keras file"):
        return keras.saving.load_model(path, compile=False, safe_mode=True)


def _functional(keras, model):
    """The functional model inside: a Sequential holds one when it is built. ModelError for a subclass with its own call()."""
    if isinstance(model, keras.Sequential):
        if not model.built or model._functional is None:
            raise ModelError("the Sequential model is not built: the shape of its input is not known.\n"
                             "  To go on       give it a keras.Input(shape) as first layer, or call model.build((None, ...))")
        model = model._functional
    if not hasattr(model, "_nodes_by_depth"):                   # Functional's graph, which keras gives no public name
        raise ModelError(f"a {type(model).__module__}.{type(model).__qualname__} has its own call(), of which Keras keeps no graph.\n"
                         "  To go on       build it as a functional model, or model.export(path, format='onnx') and load the .onnx file")
    for what, tensors in (("inputs", model.inputs), ("outputs", model.outputs)):
        if len(tensors) != 1:
            raise ModelError(f"the Keras model has {len(tensors)} {what}; a network here has one.\n"
                             "  To go on       keras.Model(one_input, one_output) of the same layers, inputs joined by Concatenate")
    return model


def _input_shape(model, given: Shape | None) -> Shape:
    """Of one sample; open axes from the argument."""
    known = tuple(model.inputs[0].shape)[1:]
    if given is not None and (len(given) != len(known) or any(k not in (None, g) for k, g in zip(known, given, strict=True))):
        raise ModelError(f"input_shape={given} does not fit the model's input {known}")
    shape = known if given is None else tuple(given)
    if None in shape:
        raise ModelError(f"the model leaves axes of its input open: {shape}\n  To go on       say them: load(model, input_shape=(...))")
    return tuple(int(n) for n in shape)


# ---- reading the graph
def _read(keras, model, tracer: Tracer, x: Value) -> Value:
    """The functional model's value on x. Shared layers and nested models come as they are called."""
    values: dict[int, Any] = {id(model.inputs[0]): x}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if node.is_input or any(id(t) not in values for t in node.input_tensors):
                continue                                        # the latter: calls of shared layers in other models
            args, kwargs = node.arguments.fill_in(values)
            out = _call(keras, node.operation, [*_flat(args), *(v for v in _flat(list(kwargs.values())) if isinstance(v, Value))], tracer)
            values[id(node.outputs[0])] = out
    out = values.get(id(model.outputs[0]))
    if not isinstance(out, Value):
        raise ModelError(f"the output of the Keras model {model.name} does not depend on its input")
    return out


def _flat(args) -> Iterator[Any]:
    for a in args:
        if isinstance(a, list | tuple):
            yield from _flat(a)
        else:
            yield a


def _call(keras, operation, args: list, tracer: Tracer) -> Value:
    """One operation: a nested model, a layer, or one of keras.ops."""
    if isinstance(operation, keras.Sequential) or hasattr(operation, "_nodes_by_depth"):
        if len([a for a in args if isinstance(a, Value)]) != 1:
            raise ModelError(f"the nested model {operation.name} takes several tensors, or a constant; one is needed")
        return _read(keras, _functional(keras, operation), tracer, args[0])
    is_layer = isinstance(operation, keras.Layer)
    kind = type(operation).__name__ if is_layer else f"ops.{type(operation).__name__}"
    arguments = tuple(a if isinstance(a, Value) else np.asarray(keras.ops.convert_to_numpy(a), dtype=np.float64)
                      for a in args if isinstance(a, Value) or (a is not None and not isinstance(a, bool | str)))
    record = Record("keras", kind, operation.name, arguments, batch=1, origin="a Keras model")
    if not is_layer:
        return tracer.add(record)
    if not type(operation).__module__.startswith("keras."):
        raise unsupported(record, f"a layer of your own ({type(operation).__module__}.{kind}) does what its call() says",
                          "build it of Keras's own layers, or model.export(path, format='onnx') and load the .onnx file")
    value = tracer.add(_with_configuration(keras, operation, record))
    activation = getattr(operation, "activation", None)
    return value if activation is None else _activated(keras, operation, activation, value, tracer)


def _with_configuration(keras, layer, record: Record) -> Record:
    """The record with the layer's configuration, its weights by name (float64), and the result's shape `out`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")                         # that a function cannot be serialised: nothing is
        record.attrs.update(layer.get_config(), backend=keras.backend.backend())
    record.attrs["weights"] = {v.name: np.asarray(keras.ops.convert_to_numpy(v)).astype(np.float64) for v in layer.weights}
    shapes = [record.whole(v) for v in record.values]
    try:
        out = layer.compute_output_shape(shapes if len(shapes) > 1 else shapes[0])
        record.attrs["out"] = tuple(int(n) for n in out)
    except (TypeError, ValueError, NotImplementedError):
        pass                                                    # a layer that says none is none of ours, or needs none
    return record


def _activated(keras, layer, activation, value: Value, tracer: Tracer) -> Value:
    """A layer's `activation=`, a function of Keras or a layer in its place."""
    if isinstance(activation, keras.Layer):
        return _call(keras, activation, [value], tracer)
    name = getattr(activation, "__name__", type(activation).__name__)
    record = Record("keras", f"activation.{name}", f"{layer.name}.{name}", (value,), batch=1, origin="a Keras model")
    if getattr(keras.activations, name, None) is not activation:
        raise unsupported(record, "a function of your own as activation")
    return tracer.add(record)


# ---- the original
def _original(keras, model) -> Callable[[np.ndarray], np.ndarray]:
    """The model itself, at inference, in its own precision."""
    def original(x: np.ndarray) -> np.ndarray:
        y = model(keras.ops.convert_to_tensor(x, dtype=model.inputs[0].dtype), training=False)
        return np.asarray(keras.ops.convert_to_numpy(y), dtype=np.float64).reshape(len(x), -1)

    return original
