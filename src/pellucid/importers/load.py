"""`load`: any model that we can read, as a Network. Looks at the source's type by name, so that nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..graph.network import LINKS, Network
from ..graph.rewrite import compress
from .fidelity import Original, check_fidelity

Imported = tuple[Network, Original | None, str]
"""What an importer gives: the network (without fidelity), the original as a function, the name of its runtime."""

KINDS = """an .onnx file or onnx.ModelProto, a network saved by Network.save (.npz), a .keras or .skops file,
                 a live torch.nn.Module, Keras model, scikit-learn estimator or Pipeline, or a tuple (weights, biases)"""


def load(source: Any, *, input_shape: Sequence[int] | None = None, feature_names: Sequence[str] | None = None,
         class_names: Sequence[str] | None = None, units: Sequence[str] | None = None, activation: str = "relu",
         orientation: str | None = None, check_with=None, link: str | None = None) -> Network:
    """Read a model and check that the network computes what the model does.

    source: an .onnx, .npz (of Network.save), .keras or .skops file; an onnx.ModelProto; a live torch module, Keras model or
        scikit-learn estimator; or (weights, biases).
    input_shape: of one sample, where the model does not say (torch).
    feature_names, class_names, units: names that travel to every table and picture.
    activation, orientation ("out_in": W is (outputs, inputs), as in torch; "in_out": as in Keras): of (weights, biases).
    check_with: rows to compare on, besides random ones.
    link: what to take the outputs as, "identity", "softmax", "log_softmax" or "sigmoid"; default: what the model ends in.

    ModelError for a model that cannot be read, UnsupportedOp for one with an operation that we do not have, FidelityError
    where the original's runtime gives other values, MissingExtra where a framework is not installed.
    """
    if link is not None and link not in LINKS:
        raise ValueError(f"link={link!r}; it can be one of {', '.join(LINKS)}")
    net, original, runtime = _import(source, input_shape, activation, orientation)
    net = replace(net, graph=compress(net.graph))
    if original is not None:
        net = replace(net, fidelity=check_fidelity(net, original, check_with, runtime=runtime))
    return _named(net, link, feature_names, class_names, units)


def original_of(source: Any, *, like: Network | None = None) -> tuple[Original | None, str]:
    """The original of a source that `load` takes, as a function, and the name of its runtime; (None, "") where there is none.

    like: a network that was loaded before: (None, "") where the source is another one by now.
    """
    net, original, runtime = _import(source, None if like is None else like.input_shape, "relu", None)
    if like is not None and replace(net, graph=compress(net.graph), link=like.link, class_names=(), task=None).digest != like.digest:
        return None, ""
    return original, runtime


def _import(source, input_shape, activation, orientation) -> Imported:
    """Hand the source to its importer, told by file suffix or by the modules that its class comes from."""
    shape = None if input_shape is None else tuple(int(n) for n in input_shape)
    if isinstance(source, str | Path):
        return _import_file(Path(source), shape)
    if isinstance(source, Network):
        return source, None, ""
    if isinstance(source, tuple | list) and len(source) == 2:
        from .raw import import_raw

        return import_raw(*source, activation=activation, orientation=orientation)
    roots = {c.__module__.split(".")[0] for c in type(source).__mro__}
    if "onnx" in roots or type(source).__name__ == "ModelProto":
        from .onnx import import_onnx

        return import_onnx(source, input_shape=shape)
    if "keras" in roots:                                        # before torch: with that backend a Keras model is a Module too
        from .keras import import_keras

        return import_keras(source, input_shape=shape)
    if "torch" in roots:
        from .torch import import_torch

        return import_torch(source, input_shape=shape)
    if "sklearn" in roots:
        from .sklearn import import_sklearn

        return import_sklearn(source)
    raise ModelError(f"load() got a {type(source).__module__}.{type(source).__qualname__}.\n  It can take    {KINDS}")


def _import_file(path: Path, shape) -> Imported:
    suffix = path.suffix.lower()
    if suffix in (".pt", ".pth", ".ckpt", ".bin"):
        raise ModelError(
            f"{path} is a PyTorch file: it holds weights (or a pickle, which runs code), not a network.\n"
            f"  To go on       build the module, module.load_state_dict(torch.load({path.name!r}, weights_only=True)), load(module, "
            f"input_shape=...);\n                 or torch.onnx.export it and load the .onnx file")
    if suffix == ".pt2":
        raise ModelError(f"{path} is a torch.export archive.\n"
                         f"  To go on       load(torch.export.load({path.name!r}).module(), input_shape=...)")
    if suffix in (".pkl", ".pickle", ".joblib"):
        raise ModelError(f"{path} is a pickle, which runs code when it is read; pellucid reads none.\n"
                         f"  To go on       skops.io.dump(model, 'model.skops') where you trust it, or pass the live object")
    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    if suffix == ".onnx":
        from .onnx import import_onnx

        return import_onnx(path, input_shape=shape)
    if suffix == ".npz":
        from .. import ops  # noqa: F401  (the classes that a saved network speaks of)
        from ..graph.store import load_network

        return load_network(path), None, ""
    if suffix in (".keras", ".h5", ".hdf5"):
        from .keras import import_keras

        return import_keras(path, input_shape=shape)
    if suffix == ".skops":
        from .sklearn import import_sklearn

        return import_sklearn(path)
    raise ModelError(f"{path}: files of the kind '{suffix}' are not known.\n  load() takes   {KINDS}")


def _named(net: Network, link, feature_names, class_names, units) -> Network:
    """The network with the link and the names that the caller gave; its own where he gave none."""
    changes: dict[str, Any] = {}
    if link is not None and link != net.link:
        changes |= {"link": link, "class_names": (), "task": None if link == "identity" else "classification"}
    given = {"feature_names": feature_names, "class_names": class_names, "units": units}
    changes |= {k: tuple(str(s) for s in v) for k, v in given.items() if v is not None}
    return replace(net, **changes) if changes else net


