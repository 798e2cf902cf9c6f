"""Scale: y = weight * x + bias, entry by entry. What Mul, Div, Add, Sub with constants, Neg and BatchNormalization are."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from ..graph.arrays import exact, like
from ..graph.op import AffineOp, Op, Shape, size
from ..graph.registry import Record, Value, spelled, spelling, unsupported
from ..graph.rewrite import fuses, vanishes
from .add import Add
from .rearrange import Expand


@dataclass(frozen=True, eq=False)
class Scale(AffineOp):
    """y = weight * x + bias; both broadcast against one sample, aligned to the right, and do not enlarge it."""

    weight: np.ndarray
    bias: np.ndarray

    def shape(self, *inputs: Shape) -> Shape:
        if np.broadcast_shapes(inputs[0], self.weight.shape, self.bias.shape) != inputs[0]:
            raise ValueError(f"weight {self.weight.shape} and bias {self.bias.shape} do not fit a tensor of shape {inputs[0]}")
        return inputs[0]

    def __call__(self, *xs):
        return like(self.weight, xs[0]) * xs[0] + like(self.bias, xs[0])

    def matrices(self, *inputs: Shape):
        diagonal = np.broadcast_to(self.weight, inputs[0]).ravel()
        return [sp.csr_array(sp.dia_array((diagonal[None, :], [0]), shape=(size(inputs[0]),) * 2))], self._offset(inputs[0])

    def _offset(self, x: Shape) -> np.ndarray:
        return np.broadcast_to(self.bias, x).ravel().copy()


def scale(record: Record, weight, bias, x: Value | None = None) -> Op | tuple[Op, ...]:
    """Scale, after an Expand where the constants have more entries than the record's value."""
    shape = (x or record.values[0]).shape
    weight, bias = exact(weight), exact(bias)
    try:
        target = np.broadcast_shapes(shape, weight.shape, bias.shape)
    except ValueError:
        raise unsupported(record, f"constants of shape {np.broadcast_shapes(weight.shape, bias.shape)} do not broadcast") from None
    return Scale(weight, bias) if target == shape else (Expand(target), Scale(weight, bias))


@vanishes(Scale)
def _(op: Scale, shape: Shape) -> bool:
    return bool((op.weight == 1.0).all() and (op.bias == 0.0).all())


@fuses(Scale, Scale)
def _(first: Scale, second: Scale, shape: Shape):
    return Scale(second.weight * first.weight, second.weight * first.bias + second.bias)


@spelled("onnx", "Add", "Sub")
def _(record: Record):
    sign = 1.0 if record.kind == "Add" else -1.0
    if len(record.values) == 2:
        return _checked_ranks(record, Add((1.0, sign)))
    if isinstance(record.args[0], Value):
        return scale(record, 1.0, sign * record.sample_constant(1))
    return scale(record, sign, record.sample_constant(0))


@spelled("onnx", "Sum", "Mean")
def _(record: Record):
    """Several tensors added up; constants among them are one bias."""
    share = 1.0 if record.kind == "Sum" else 1.0 / len(record.args)
    ops: list[Op] = [_checked_ranks(record, Add((share,) * len(record.values)))]
    rank = max(len(v.shape) for v in record.values)
    constants = [record.sample_constant(k, rank) for k, a in enumerate(record.args) if not isinstance(a, Value)]
    if constants:
        result = Value(record.node, ops[0].shape(*(v.shape for v in record.values)))
        more = scale(record, 1.0, share * sum(constants[1:], constants[0]), result)
        ops.extend(more if isinstance(more, tuple) else (more,))
    return tuple(ops)


def _checked_ranks(record: Record, op: Op) -> Op:
    """Tensors of different rank broadcast against the batch axis."""
    if record.lead and len({len(v.shape) for v in record.values}) > 1:
        raise unsupported(record, "tensors of different numbers of axes: one is broadcast along the other's batch axis")
    return op


@spelled("onnx", "Mul")
def _(record: Record):
    if len(record.values) != 1:
        raise unsupported(record, "it multiplies two tensors that both depend on the input, which is not piecewise linear",
                          "replace the gate or attention by a piecewise linear one, or cut the model before it")
    return scale(record, record.sample_constant(1 if isinstance(record.args[0], Value) else 0), 0.0)


@spelled("onnx", "Div")
def _(record: Record):
    if len(record.values) != 1 or not isinstance(record.args[0], Value):
        raise unsupported(record, "it divides by something that depends on the input, which is not piecewise linear")
    divisor = record.sample_constant(1)
    if not divisor.all():
        raise unsupported(record, "it divides by zero")
    return scale(record, 1.0 / divisor, 0.0)


@spelled("onnx", "Neg")
def _(record: Record):
    return Scale(np.array(-1.0), np.array(0.0))


@spelled("onnx", "ai.onnx.ml.Scaler")
def _(record: Record):
    """(x - offset) * scale, as skl2onnx writes a StandardScaler."""
    weight = exact(record.get("scale", [1.0]))
    return scale(record, weight, -weight * exact(record.get("offset", [0.0])))


@spelled("onnx", "BatchNormalization")
def _(record: Record):
    """Per channel, with the statistics of training: scale (x - mean) / sqrt(variance + epsilon) + B."""
    if record.get("training_mode", 0):
        raise unsupported(record, "training_mode: its statistics depend on the batch", "export the model in evaluation mode")
    gamma, beta, mean, variance = (exact(record.constant(k)) for k in (1, 2, 3, 4))
    (x,) = record.values
    axis = 1 - record.lead                                      # of the channels, in a sample
    if record.get("spatial", 1) == 0:
        weight = gamma / np.sqrt(variance + record.get("epsilon", 1e-5))
        return Scale(weight, beta - mean * weight)
    return per_channel(gamma, beta, mean, variance, float(record.get("epsilon", 1e-5)), len(x.shape), axis)


def per_channel(gamma, beta, mean, variance, epsilon: float, rank: int, axis: int = 0) -> Scale:
    """Batch normalisation of samples of `rank` axes, channels along `axis`."""
    weight = gamma / np.sqrt(variance + epsilon)
    shape = [1] * rank
    shape[axis] = len(weight)
    return Scale(weight.reshape(shape), (beta - mean * weight).reshape(shape))


def minus() -> Scale:
    """x -> -x."""
    return Scale(np.array(-1.0), np.array(0.0))


@spelled("torch", "aten.add", "aten.sub", "aten.rsub")
def _(record: Record):
    """self +- alpha other; rsub is other - alpha self."""
    alpha = float(record.get("alpha", 1.0))
    packet = record.kind.rpartition(".")[0]
    weights = {"aten.add": (1.0, alpha), "aten.sub": (1.0, -alpha), "aten.rsub": (-alpha, 1.0)}[packet]
    if len(record.values) == 2:
        return _checked_ranks(record, Add(weights))
    k = 0 if isinstance(record.args[0], Value) else 1           # the one that depends on the input
    return scale(record, weights[k], weights[1 - k] * record.sample_constant(1 - k))


@spelled("torch", "aten.mul")
def _(record: Record):
    return spelling("onnx", "Mul")(record)


@spelled("torch", "aten.div")
def _(record: Record):
    if record.get("rounding_mode") is not None:
        raise unsupported(record, "it rounds, which is not continuous")
    return spelling("onnx", "Div")(record)


@spelled("torch", "aten.neg")
def _(record: Record):
    return minus()


@spelled("torch", "aten.batch_norm", "aten._native_batch_norm_legit_no_training", "aten.native_batch_norm",
         "aten.cudnn_batch_norm")
def _(record: Record):
    if record.get("training", False) or record.args[3] is None:
        raise unsupported(record, "its statistics depend on the batch", "call model.eval(); track_running_stats has to be on")
    if record.get("output", 0):
        raise unsupported(record, "statistics of the batch are asked for")
    (x,) = record.values
    mean, variance = exact(record.constant(3)), exact(record.constant(4))
    gamma, beta = (exact(record.constant(k, default=np.full(len(mean), v))) for k, v in ((1, 1.0), (2, 0.0)))
    return per_channel(gamma, beta, mean, variance, float(record.get("eps")), len(x.shape))


@spelled("keras", "Add", "Subtract", "Average", "ops.Add", "ops.Subtract")
def _(record: Record):
    kind = {"Add": "Sum", "Average": "Mean", "Subtract": "Sub"}[record.kind.removeprefix("ops.")]
    return spelling("onnx", kind)(replace(record, kind=kind))


@spelled("keras", "Multiply", "ops.Multiply")
def _(record: Record):
    return spelling("onnx", "Mul")(record)


@spelled("keras", "ops.TrueDivide", "ops.Divide")
def _(record: Record):
    return spelling("onnx", "Div")(record)


@spelled("keras", "ops.Negative")
def _(record: Record):
    return minus()


@spelled("keras", "Rescaling")
def _(record: Record):
    return scale(record, np.asarray(record.get("scale"), dtype=float), np.asarray(record.get("offset"), dtype=float))


@spelled("keras", "BatchNormalization")
def _(record: Record):
    (x,), weights = record.values, record.get("weights")
    mean, variance = weights["moving_mean"], weights["moving_variance"]
    given = record.get("axis", -1)
    axis = record.axis(int(given[0] if isinstance(given, list | tuple) else given))
    return per_channel(weights.get("gamma", np.ones(len(mean))), weights.get("beta", np.zeros(len(mean))), mean, variance,
                       float(record.get("epsilon")), len(x.shape), axis)


@spelled("keras", "Normalization")
def _(record: Record):
    """(x - mean) / max(sqrt(variance), 1e-7), along `axis`; statistics from adapt() or given."""
    (x,), given = record.values, record.get("axis")
    axes = [record.axis(int(a)) for a in ([given] if isinstance(given, int) else given or [])]
    shape = tuple(n if k in axes else 1 for k, n in enumerate(x.shape))
    stored = {k: record.get("weights").get(k, record.get(k)) for k in ("mean", "variance")}
    if any(v is None for v in stored.values()):
        raise unsupported(record, "its mean and variance were never set", "call adapt() on data, or give mean and variance")
    mean, variance = (np.broadcast_to(exact(v).reshape(-1), math.prod(shape)).reshape(shape) for v in stored.values())
    deviation = np.maximum(np.sqrt(variance), 1e-7)
    return Scale(deviation, mean) if record.get("invert", False) else Scale(1.0 / deviation, -mean / deviation)
