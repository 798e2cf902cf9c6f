"""Constant sub-graphs, as exporters leave them: computed by onnx's reference, after a look at how large the result would be."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ModelError

LARGEST_CONSTANT = 2**26
"""Entries of a constant that is computed rather than stored: half a GB of float64, far above any shape or mask."""


def fold(node, inputs: list[np.ndarray | None], attrs: dict[str, Any], opset: int) -> list[np.ndarray]:
    """The values of a node whose inputs are all constants.

    ModelError where the result would be huge, or the node is none that shapes and constants are made with.
    """
    rule = _SIZE.get(node.op_type)
    if node.domain not in ("", "ai.onnx") or rule is None:
        raise ModelError(f"node '{node.name}' is a constant '{node.domain or 'onnx'}' '{node.op_type}', which is not computed at import")
    try:
        entries = rule(inputs, attrs)
        if entries > LARGEST_CONSTANT:
            raise ModelError(f"node '{node.name}', a constant '{node.op_type}', would have {entries} entries")
        return _reference(node, inputs, opset)
    except ModelError:
        raise
    except Exception as e:                                      # whatever numpy or the reference say of nonsense
        raise ModelError(f"node '{node.name}', a constant '{node.op_type}', cannot be computed: {e}") from e


def _reference(node, inputs: list[np.ndarray | None], opset: int) -> list[np.ndarray]:
    from onnx.reference import ReferenceEvaluator

    feeds = {name: value for name, value in zip(node.input, inputs, strict=True) if name}
    with np.errstate(all="ignore"):
        return [np.asarray(v) for v in ReferenceEvaluator(node, opsets={"": opset}).run(None, feeds)]


Sizer = Callable[[list, dict], int]


def _same(xs, attrs) -> int:
    """No more than what goes in."""
    return sum(np.size(x) for x in xs if x is not None)


def _broadcast(xs, attrs) -> int:
    return math.prod(np.broadcast_shapes(*(np.shape(x) for x in xs if x is not None)))


def _target(xs, attrs) -> int:
    """ConstantOfShape: its input is the shape."""
    return math.prod(max(int(n), 0) for n in np.ravel(xs[0]))


def _expand(xs, attrs) -> int:
    return math.prod(np.broadcast_shapes(np.shape(xs[0]), tuple(int(n) for n in np.ravel(xs[1]))))


def _tile(xs, attrs) -> int:
    return np.size(xs[0]) * math.prod(max(int(n), 0) for n in np.ravel(xs[1]))


def _range(xs, attrs) -> int:
    start, limit, step = (float(np.ravel(x)[0]) for x in xs)
    return max(math.ceil((limit - start) / step), 0)


def _pad(xs, attrs) -> int:
    pads = np.ravel(attrs["pads"] if len(xs) < 2 else xs[1]).astype(object)
    if len(xs) > 3 and xs[3] is not None:
        return LARGEST_CONSTANT + 1                             # axes: no exporter pads constants so
    return math.prod(n + int(a) + int(b) for n, a, b in
                     zip(np.shape(xs[0]), pads[: len(pads) // 2], pads[len(pads) // 2:], strict=True))


def _gather(xs, attrs) -> int:
    axis = int(attrs.get("axis", 0))
    return np.size(xs[0]) // max(np.shape(xs[0])[axis], 1) * np.size(xs[1])


def _matmul(xs, attrs) -> int:
    a, b = np.shape(xs[0]), np.shape(xs[1])
    return max(math.prod(a[:-1]), 1) * max(math.prod((*b[:-2], b[-1])), 1)


def _one_hot(xs, attrs) -> int:
    return np.size(xs[0]) * int(np.ravel(xs[1])[0])


def _transposable(xs, attrs) -> int:
    return max(np.size(xs[0]), 1) * max(np.size(xs[1]), 1) if np.size(xs[0]) * np.size(xs[1]) <= LARGEST_CONSTANT else \
        max(np.shape(xs[0])) * max(np.shape(xs[1]))


_SIZE: dict[str, Sizer] = {
    **dict.fromkeys(("Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Slice", "Concat", "Split",
                     "Shape", "Size", "ReduceSum", "ReduceMean", "ReduceProd", "ReduceMax", "ReduceMin", "ArgMax", "CumSum", "Neg",
                     "Abs", "Sqrt", "Reciprocal", "Exp", "Log", "Floor", "Ceil", "Round", "Sign", "Not", "Relu", "Sigmoid", "Tanh",
                     "Erf", "Trilu", "Dropout", "Softplus", "Sin", "Cos"), _same),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Max", "Min", "Sum", "Mean", "Where", "Equal", "Less", "Greater",
                     "LessOrEqual", "GreaterOrEqual", "And", "Or", "Xor", "Clip", "CastLike", "BatchNormalization"), _broadcast),
    "NonZero": lambda xs, attrs: np.size(xs[0]) * max(np.ndim(xs[0]), 1),
    "ConstantOfShape": _target, "Expand": _expand, "Tile": _tile, "Range": _range, "Pad": _pad, "Gather": _gather,
    "MatMul": _matmul, "Gemm": _transposable, "OneHot": _one_hot,
}
