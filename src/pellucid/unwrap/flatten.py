"""One hidden layer of ReLUs in place of a deep network: started from merged models or at random, then fine-tuned (UNWRAP, algorithm 2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import MissingExtra
from ..tolerance import OUTPUT_RIDGE
from .estimating import Data
from .glm import Glm, refit_linear, refit_logistic
from .merge import Scale


@dataclass(frozen=True, eq=False)
class Shallow:
    """y = out relu(hidden x + bias) + level. hidden (h, d), bias (h,), out (m, h), level (m,)."""

    hidden: np.ndarray
    bias: np.ndarray
    out: np.ndarray
    level: np.ndarray

    def __call__(self, X: np.ndarray) -> np.ndarray:
        return self.activations(X) @ self.out.T + self.level

    def activations(self, X: np.ndarray) -> np.ndarray:
        return np.maximum(X @ self.hidden.T + self.bias, 0.0)


@dataclass(frozen=True)
class Tuning:
    """How the layer is fine-tuned: Adam in mini-batches, until `patience` epochs bring nothing on held-out rows."""

    max_epochs: int = 500
    learning_rate: float = 0.01
    batch_size: int = 200
    patience: int = 50
    seed: int = 0
    progress: Callable[[int, float], None] | None = None


def merged_units(coef: np.ndarray, intercept: np.ndarray, classes: bool) -> tuple[np.ndarray, np.ndarray]:
    """Hidden weights (h, d) and biases (h,): one unit a merged model and output; of two class logits their difference.

    coef: (K, c, d), intercept: (K, c). Source: UNWRAP algorithm 2, steps 1 and 2.
    """
    if classes and coef.shape[1] == 2:
        coef, intercept = coef[:, 1:] - coef[:, :1], intercept[:, 1:] - intercept[:, :1]
    return coef.reshape(-1, coef.shape[2]), intercept.reshape(-1)


def random_units(n_hidden: int, d: int, scale: Scale, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The start of an ordinary network on standardised inputs (uniform, 1 / sqrt(d)), in the units of the data."""
    reach = 1.0 / np.sqrt(d)
    return scale.outwards(rng.uniform(-reach, reach, (n_hidden, d)), rng.uniform(-reach, reach, n_hidden))


def output_layer(hidden, bias, X, y, weight, n_classes: int) -> Shallow:
    """Step 3: the output by a generalised linear model on the activations; a ridge of OUTPUT_RIDGE decides where units say the same."""
    act = np.maximum(X @ hidden.T + bias, 0.0)
    scale = Scale.of(act, weight)
    if n_classes:
        out, level = refit_logistic(act, y, n_classes, weight, Glm("l2", 1.0 / OUTPUT_RIDGE), scale)
    else:
        out, level = refit_linear(act, y, weight, Glm("l2", OUTPUT_RIDGE / len(act)), scale)
    return Shallow(hidden, bias, out, level)


def fine_tuned(start: Shallow, data: Data, n_classes: int, tuning: Tuning, learn: np.ndarray,
               held_out: np.ndarray) -> tuple[Shallow, list[float]]:
    """Step 4: (the layer at its best epoch, loss on the held-out rows after each).

    Needs     learn, held_out: numbers of the rows that teach and that judge. Inputs and values are standardised inside.
    Gives     a layer no worse on the held-out rows than the start.
    Source    UNWRAP algorithm 2; Adam (Kingma & Ba 2015).
    """
    torch = _torch()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)                           # a layer of some units: threads would only wait for each other
    try:
        with torch.random.fork_rng(devices=[]):        # the caller's draws stay his
            return _tuned(torch, start, data, n_classes, tuning, learn, held_out)
    finally:
        torch.set_num_threads(threads)


def _tuned(torch, start: Shallow, data: Data, n_classes: int, tuning: Tuning, learn, held_out) -> tuple[Shallow, list[float]]:
    X, y, weight = data.X, data.y, data.weight
    scale, target = Scale.of(X, weight), Scale.of(y, weight) if n_classes == 0 else None
    module = torch.nn.Sequential(torch.nn.Linear(X.shape[1], len(start.bias)), torch.nn.ReLU(),
                                 torch.nn.Linear(len(start.bias), len(start.level))).double()
    _put(torch, module, start, scale, target)
    Z = torch.from_numpy(scale.inwards(X))
    Y = torch.from_numpy(np.asarray(y) if target is None else target.inwards(y))
    w = torch.from_numpy(weight / weight.mean())
    loss_of = _loss(torch, n_classes)
    valid, train = torch.from_numpy(held_out), torch.from_numpy(learn)

    def judge() -> float:
        with torch.no_grad():
            return float((loss_of(module(Z[valid]), Y[valid]) * w[valid]).sum() / w[valid].sum())

    optimiser = torch.optim.Adam(module.parameters(), lr=tuning.learning_rate)
    shuffle = torch.Generator().manual_seed(tuning.seed)
    history, best, since = [judge()], _copy(module), 0
    for epoch in range(tuning.max_epochs):
        for rows in train[torch.randperm(len(train), generator=shuffle)].split(tuning.batch_size):
            optimiser.zero_grad(set_to_none=True)
            (loss_of(module(Z[rows]), Y[rows]) * w[rows]).mean().backward()
            optimiser.step()
        history.append(judge())
        if tuning.progress is not None:
            tuning.progress(epoch + 1, history[-1])
        if history[-1] < min(history[:-1]):
            best, since = _copy(module), 0
        else:
            since += 1
            if since >= tuning.patience or not np.isfinite(history[-1]):
                break
    module.load_state_dict(best)
    return _taken(module, scale, target), history


def _loss(torch, n_classes: int):
    """(logits or values, y) -> (n,) losses."""
    F = torch.nn.functional
    if n_classes == 0:
        return lambda out, y: ((out - y) ** 2).mean(dim=1)
    if n_classes == 2:
        return lambda out, y: F.binary_cross_entropy_with_logits(out[:, 0], y.double(), reduction="none")
    return lambda out, y: F.cross_entropy(out, y, reduction="none")


def _put(torch, module, layer: Shallow, scale: Scale, target: Scale | None) -> None:
    """The layer's numbers, for standardised inputs and values, into the module.

    A unit's weights before and after it are made alike in size, which changes no value: Adam moves all of them by the same step, and a
    unit of a steep model would otherwise hardly turn.
    """
    hidden, bias = layer.hidden * scale.std, layer.bias + layer.hidden @ scale.mean
    out, level = layer.out, layer.level
    if target is not None:
        out, level = out / target.std[:, None], (level - target.mean) / target.std
    before, after = np.linalg.norm(np.column_stack([hidden, bias]), axis=1), np.linalg.norm(out, axis=0)
    alike = np.where((before > 0) & (after > 0), np.sqrt(np.where(before > 0, after / np.where(before > 0, before, 1.0), 1.0)), 1.0)
    hidden, bias, out = hidden * alike[:, None], bias * alike, out / np.where(alike > 0, alike, 1.0)
    with torch.no_grad():
        for parameter, value in zip(module.parameters(), (hidden, bias, out, level), strict=True):
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(value)))


def _taken(module, scale: Scale, target: Scale | None) -> Shallow:
    hidden, bias, out, level = (p.detach().numpy().copy() for p in module.parameters())
    hidden, bias = scale.outwards(hidden, bias)
    if target is not None:
        out, level = out * target.std[:, None], level * target.std + target.mean
    return Shallow(hidden, bias, out, level)


def _copy(module) -> dict:
    return {k: v.clone() for k, v in module.state_dict().items()}


def _torch():
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("torch", "torch", "fine-tuning a flat network") from error
    return torch


def as_torch(layer: Shallow, link: str, dtype: str):
    """torch.nn.Sequential(Linear, ReLU, Linear) and a Sigmoid or Softmax, in this precision."""
    torch = _torch()
    precision = getattr(torch, dtype)
    with torch.random.fork_rng(devices=[]):
        parts = [torch.nn.Linear(*reversed(layer.hidden.shape)), torch.nn.ReLU(), torch.nn.Linear(*reversed(layer.out.shape))]
    for part, (W, b) in ((parts[0], (layer.hidden, layer.bias)), (parts[2], (layer.out, layer.level))):
        part.weight = torch.nn.Parameter(torch.tensor(W, dtype=precision))
        part.bias = torch.nn.Parameter(torch.tensor(b, dtype=precision))
    ends = {"sigmoid": [torch.nn.Sigmoid()], "softmax": [torch.nn.Softmax(dim=1)], "identity": []}[link]
    return torch.nn.Sequential(*parts, *ends).eval()


def as_onnx(layer: Shallow, link: str, dtype: str):
    """The same as an onnx.ModelProto: Gemm, Relu, Gemm, and Sigmoid or Softmax; input "x" (rows, d), output "y"."""
    from onnx import TensorProto, checker, helper, numpy_helper

    kind = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}[dtype]
    arrays = {"hidden": layer.hidden, "bias": layer.bias, "out": layer.out, "level": layer.level}
    last = "y" if link == "identity" else "logits"
    nodes = [helper.make_node("Gemm", ["x", "hidden", "bias"], ["before"], "hidden_layer", transB=1),
             helper.make_node("Relu", ["before"], ["after"], "relu"),
             helper.make_node("Gemm", ["after", "out", "level"], [last], "output_layer", transB=1)]
    if link != "identity":
        nodes.append(helper.make_node({"sigmoid": "Sigmoid", "softmax": "Softmax"}[link], [last], ["y"], "link",
                                      **({"axis": 1} if link == "softmax" else {})))
    graph = helper.make_graph(nodes, "flat", [helper.make_tensor_value_info("x", kind, ["rows", layer.hidden.shape[1]])],
                              [helper.make_tensor_value_info("y", kind, ["rows", len(layer.level)])],
                              [numpy_helper.from_array(np.asarray(a, dtype=dtype), name) for name, a in arrays.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9, producer_name="pellucid")
    checker.check_model(model)
    return model
