"""PyTorch modules, by torch.export: the ATen graph that a module runs in evaluation mode, on a batch of a telling size.

With a batch of 7 rows the first axis of a tensor that depends on the input is the batch axis, or the operation mixed rows.
The user's module is not changed: training flags are put back, in-place operations are made functional in the graph only.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import operator
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..errors import MissingExtra, ModelError
from ..graph.graph import Graph
from ..graph.network import Network
from ..graph.op import Shape
from ..graph.registry import Record, Value, unsupported
from .trace import Tracer, check_finite

BATCHES = (7, 1)
"""Sizes of the batch to trace with: one that stands out among shapes, then 1 for modules that fix it."""

LINKS = {"aten.softmax.int": "softmax", "aten._softmax.default": "softmax",
         "aten.log_softmax.int": "log_softmax", "aten._log_softmax.default": "log_softmax"}

FILLED = {"aten.zeros_like.default": 0, "aten.new_zeros.default": 0, "aten.ones_like.default": 1, "aten.new_ones.default": 1,
          "aten.full_like.default": None, "aten.new_full.default": None}
"""Calls that take a tensor's shape only, with what they fill it with (None: an argument): constants, whatever the tensor."""


def import_torch(module, *, input_shape: Shape | None = None) -> tuple[Network, Callable[[np.ndarray], np.ndarray], str]:
    """A live torch.nn.Module (or torch.export.ExportedProgram) that takes one tensor and gives one.

    input_shape: of one sample, without the batch axis; taken from the first Linear where it is not given.
    ModelError for a module that cannot be traced or takes or gives several tensors, UnsupportedOp for an operation that we
    do not have, MissingExtra without torch.
    """
    try:
        import torch
    except ImportError as e:
        raise MissingExtra("torch", "torch", "reading torch modules") from e
    if isinstance(module, torch.export.ExportedProgram):
        program, shape, batch = _given(module)
        module = program.module()
    else:
        module = _unwrapped(module)
        shape = _input_shape(module) if input_shape is None else tuple(int(n) for n in input_shape)
        with _evaluating(module):
            program, batch = _exported(module, shape)
    graph, link = _read(program, shape, batch, type(module).__name__)
    check_finite(graph, f"the torch module {type(module).__name__}")
    task = None if link == "identity" else "classification"
    network = Network(graph, link, task=task, source=f"torch {type(module).__name__}")
    return network, _original(module, batch), f"torch {torch.__version__}"


# ---- the module
def _unwrapped(module):
    """The plain module inside a compiled or data-parallel one. ModelError for what is no live module."""
    import torch

    if isinstance(module, torch.jit.ScriptModule):
        raise ModelError("load() got a TorchScript module, of which only compiled code is left.\n"
                         "  To go on       pass the Python module that it was made of, or torch.onnx.export it and load the .onnx file")
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"load() got a {type(module).__module__}.{type(module).__qualname__} of torch; it takes a torch.nn.Module")
    if isinstance(module, torch.nn.DataParallel | torch.nn.parallel.DistributedDataParallel):
        return _unwrapped(module.module)
    if type(module).__name__ == "OptimizedModule":              # torch.compile
        return _unwrapped(module._orig_mod)
    return module


def _input_shape(module) -> Shape:
    """(in_features,) where a Linear is the first layer with weights; ModelError asking for it otherwise."""
    import torch

    name, layer = "", module
    for name, layer in module.named_modules():                  # noqa: B007 (the error below speaks of the last one)
        if isinstance(layer, torch.nn.Linear) and layer.in_features:
            return (layer.in_features,)
        if next(layer.parameters(recurse=False), None) is not None and not isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            break
    raise ModelError(f"the shape of one sample cannot be told from the {type(module).__name__}: its first layer with weights is no Linear"
                     + (f", but '{name}', a {type(layer).__name__}" if name else "")
                     + ".\n  To go on       say it: load(module, input_shape=(channels, height, width))")


@contextlib.contextmanager
def _evaluating(module) -> Iterator[None]:
    """Evaluation mode, no gradients; each submodule's own flag afterwards as it was (eval() could be overridden)."""
    import torch

    flags = [(m, m.training) for m in module.modules()]
    try:
        for m, _ in flags:
            m.training = False
        with torch.no_grad():
            yield
    finally:
        for m, training in flags:
            m.training = training


def _tensors(module) -> dict[str, Any]:
    """Parameters and buffers by name."""
    return {**dict(module.named_parameters(remove_duplicate=False)), **dict(module.named_buffers(remove_duplicate=False))}


def _home(module):
    """(dtype, device) of the module's floating-point weights; torch's default on the CPU where it has none."""
    import torch

    for t in _tensors(module).values():
        if t.is_floating_point():
            return t.dtype, t.device
    return torch.get_default_dtype(), torch.device("cpu")


# ---- tracing
def _exported(module, shape: Shape):
    """(ExportedProgram, batch) in functional ATen operations. ModelError with torch's own words where it cannot be traced."""
    import torch

    _check_signature(module)
    dtype, device = _home(module)
    failures: list[Exception] = []
    for batch in BATCHES:
        x = torch.linspace(-1.0, 1.0, int(batch * np.prod(shape)), dtype=torch.float64).to(dtype).to(device).reshape(batch, *shape)
        try:
            with _quiet():
                return _functional(torch.export.export(module, (x,), strict=False)), batch
        except Exception as e:                                  # torch raises everything here
            failures.append(e)
    first = str(failures[0]).strip().splitlines() or [type(failures[0]).__name__]
    raise ModelError(
        f"torch.export cannot trace the {type(module).__name__} on a sample of shape {shape}: {type(failures[0]).__name__}: {first[0]}\n"
        "  Likely cause   another input_shape is needed, or forward() branches on the values of tensors\n"
        f"  To go on       check that module(torch.zeros(1, {', '.join(map(str, shape))})) runs, or torch.onnx.export it and load\n"
        "                 the .onnx file"
    ) from failures[0]


def _given(program):
    """(functional program, shape of a sample, batch) of a program that the user exported with a batch of fixed size."""
    (name,) = program.graph_signature.user_inputs if len(program.graph_signature.user_inputs) == 1 else ("",)
    inputs = [n for n in program.graph.nodes if n.op == "placeholder" and n.name == name]
    whole = tuple(inputs[0].meta["val"].shape) if inputs else ()
    if not whole or not all(isinstance(n, int) for n in whole):
        raise ModelError("this ExportedProgram takes several tensors, or one of dynamic shape.\n"
                         "  To go on       load(program.module(), input_shape=...), or export it with one batch size")
    return _functional(program), whole[1:], whole[0]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's remarks on its exporter, and the graphs that it prints where tracing fails: our errors say it."""
    loggers = [logging.getLogger(f"torch.{name}") for name in ("_subclasses.fake_tensor", "fx.experimental.symbolic_shapes", "export")]
    before = [log.disabled for log in loggers]
    try:
        for log in loggers:
            log.disabled = True
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, disabled in zip(loggers, before, strict=True):
            log.disabled = disabled


def _check_signature(module) -> None:
    """ModelError where forward() needs another number of arguments than one."""
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if len(needed) > 1:
        raise ModelError(f"{type(module).__name__}.forward takes {len(needed)} arguments ({', '.join(needed)}); "
                         "a network here takes one tensor.\n"
                         "  To go on       wrap it in a module whose forward takes one tensor, split inside, or holds the others fixed")


def _functional(program):
    """The program without in-place operations and nested graphs; run through torch's passes only where it has some."""
    import torch

    targets = {n.target for n in program.graph.nodes if n.op == "call_function" and n.target is not operator.getitem}
    taken_apart = {torch.ops.aten.stack.default: _stack}
    plain = all(isinstance(t, torch._ops.OpOverload) and not t._schema.is_mutable and t not in taken_apart for t in targets)
    return program if plain else program.run_decompositions(taken_apart)


def _stack(tensors, dim=0):
    """torch.stack in the operations that ops here are spelled as."""
    import torch

    return torch.cat([t.unsqueeze(dim) for t in tensors], dim)


# ---- reading the graph
def _read(program, shape: Shape, batch: int, model: str) -> tuple[Graph, str]:
    """The exported program as a Graph, and its link."""
    import torch

    spec = torch.export.graph_signature.InputKind
    tracer = Tracer(shape, LINKS)
    constants = {s.arg.name: s.target for s in program.graph_signature.input_specs if s.kind is not spec.USER_INPUT}
    stored = {**program.constants, **program.state_dict}
    values: dict[Any, Any] = {}                                 # fx node -> Value, torch tensor or number
    live = _needed(program.graph)
    for node in program.graph.nodes:
        if node not in live:
            continue
        if node.op == "placeholder":
            values[node] = stored[constants[node.name]] if node.name in constants else tracer.input
        elif node.op == "get_attr":
            values[node] = getattr(program.graph_module, node.target)
        elif node.op == "call_function":
            values[node] = _step(tracer, node, values, batch, model)
    return tracer.finish(_output(program, values, tracer, batch, model))


def _needed(graph) -> set:
    """The fx nodes that the output depends on: assertions and dead code are left out."""
    live, stack = set(), [n for n in graph.nodes if n.op == "output"]
    while stack:
        node = stack.pop()
        if node not in live:
            live.add(node)
            stack.extend(node.all_input_nodes)
    return live


def _output(program, values: dict, tracer: Tracer, batch: int, model: str) -> Value:
    """The one tensor that forward() gives; what an in-place operation wrote into the input is given beside it and not wanted."""
    import torch

    wanted = torch.export.graph_signature.OutputKind.USER_OUTPUT
    (given,) = next(n for n in program.graph.nodes if n.op == "output").args
    outputs = [n for n, spec in zip(given, program.graph_signature.output_specs, strict=True) if spec.kind is wanted]
    form = program.call_spec.out_spec
    if not form.is_leaf() or len(outputs) != 1:
        kind = getattr(form.type, "__name__", "a structure")
        raise ModelError(f"{model}.forward returns {kind} of {len(outputs)} values; a network here gives one tensor.\n"
                         "  To go on       wrap it in a module whose forward returns the one to explain")
    out = values[outputs[0]]
    if not isinstance(out, Value):
        raise ModelError(f"the output of {model} does not depend on its input")
    return out


def _step(tracer: Tracer, node, values: dict, batch: int, model: str):
    """The value of one call: computed by torch where it depends on constants only, else a node of the graph."""
    import torch

    if not any(_depends(n, values) for n in node.all_input_nodes):
        return _constant(node, values, batch, model)
    if str(node.target) in FILLED:
        like, fill = node.meta["val"], FILLED[str(node.target)]
        fill = node.args[-1] if fill is None else fill
        return torch.full(tuple(like.shape), fill, dtype=like.dtype)
    if node.target is operator.getitem:
        source, k = node.args
        record = _record(source, values, batch, model)
        record.attrs.update(output=int(k), out=_shape(node), outs=[_shape(v) for v in source.meta["val"]])
        return _checked(tracer, record, node, batch)
    record = _record(node, values, batch, model)
    if not isinstance(node.target, torch._ops.OpOverload):
        raise unsupported(record)
    if isinstance(node.meta["val"], tuple | list):
        return _Several()                                       # its getitems bring the values
    record.attrs.update(out=_shape(node))
    return _checked(tracer, record, node, batch)


class _Several:
    """Stands for the list that an operation gives, until its entries are taken."""


def _depends(node, values: dict) -> bool:
    return isinstance(values.get(node), Value | _Several)


def _constant(node, values: dict, batch: int, model: str):
    """A call that does not depend on the input, done by torch. UnsupportedOp for random numbers."""
    import torch

    record = Record("torch", str(node.target), node.name, batch=batch, origin=model)
    tags = node.target.tags if isinstance(node.target, torch._ops.OpOverload) else ()
    if torch.Tag.nondeterministic_seeded in tags and "dropout" not in record.kind:
        raise unsupported(record, "random numbers, so the module is no function of its input")
    args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
    with torch.no_grad():
        return node.target(*args, **kwargs)


def _record(node, values: dict, batch: int, model: str) -> Record:
    """The call as a record. args: its tensors (lists laid out), and numbers that stand for tensors; attrs: all else, by name."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return Record("torch", str(node.target), node.name, tuple(values[n] for n in node.all_input_nodes if isinstance(values[n], Value)),
                      batch=batch, origin=f"torch module {model}")
    args: list[Any] = []
    attrs: dict[str, Any] = {}
    for k, a in enumerate(schema.arguments):
        given = node.args[k] if k < len(node.args) and not a.kwarg_only else node.kwargs.get(a.name, a.default_value)
        if "Tensor" in str(a.type) or a.name == "other":
            args += [_argument(g, values) for g in (given if isinstance(given, list | tuple) else [given])]
        else:
            attrs[a.name] = given
    return Record("torch", str(node.target), node.name, tuple(args), attrs, batch, f"torch module {model}")


def _argument(given, values: dict):
    """A Value, a numpy constant (float64 where it is not integer), or None."""
    import torch

    given = values[given] if isinstance(given, torch.fx.Node) else given
    if given is None or isinstance(given, Value):
        return given
    if not isinstance(given, torch.Tensor):
        return np.array(given)
    t = given.detach().cpu()
    return (t.double() if t.is_floating_point() else t).numpy()


def _shape(node_or_value) -> Shape:
    value = node_or_value.meta["val"] if hasattr(node_or_value, "meta") and isinstance(node_or_value.meta, dict) else node_or_value
    return tuple(int(n) for n in value.shape)


def _checked(tracer: Tracer, record: Record, node, batch: int) -> Value:
    """The record's value, its shape compared with the one that torch found."""
    value = tracer.add(record)
    if record.whole(value) != _shape(node):
        raise unsupported(record, f"its result has shape {_shape(node)} for a batch of {batch}, but one sample's is {value.shape}",
                          "please report this: the operation was misread")
    return value


# ---- the original
def _original(module, batch: int) -> Callable[[np.ndarray], np.ndarray]:
    """The module on float64 rows: with its weights taken as float64 (the same numbers) where it runs so, else in its own dtype."""
    import torch

    def run(x: np.ndarray, dtype) -> np.ndarray:
        tensors = {k: t.to(dtype) if t.is_floating_point() else t for k, t in _tensors(module).items()}
        rows = torch.tensor(x, dtype=dtype, device=_home(module)[1])    # a copy: modules may work in place
        n = len(rows)
        at_once = n if batch == BATCHES[0] else batch           # else it takes batches of this size only: the last is filled up
        rows = torch.cat([rows, rows[:1].expand(-n % at_once, *rows.shape[1:])])
        with _evaluating(module):
            parts = [torch.func.functional_call(module, tensors, (part,)) for part in rows.split(at_once)]
        y = torch.cat([part.reshape(at_once, -1) for part in parts])
        return y[:n].double().cpu().numpy()

    def original(x: np.ndarray) -> np.ndarray:
        try:
            return run(x, torch.float64)
        except RuntimeError:                                    # constants or casts in forward() that hold it to its own dtype
            return run(x, _home(module)[0])

    return original
