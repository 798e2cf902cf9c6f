"""(weights, biases): a plain network from arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import ModelError
from ..graph.arrays import exact
from ..graph.graph import INPUT, GraphBuilder
from ..graph.network import Network
from ..graph.op import Op
from ..ops.abs import Abs
from ..ops.clip import Clip
from ..ops.elu import ELU
from ..ops.gelu import GELU, GELUTanh
from ..ops.hard_sigmoid import HardSigmoid
from ..ops.leaky_relu import LeakyReLU
from ..ops.linear import Linear
from ..ops.relu import ReLU
from ..ops.sigmoid import Sigmoid
from ..ops.silu import SiLU
from ..ops.softplus import Softplus
from ..ops.tanh import Tanh
from .fidelity import Original

ACTIVATIONS: dict[str, Op | None] = {
    "relu": ReLU(), "leaky_relu": LeakyReLU(0.01), "relu6": Clip(np.array(0.0), np.array(6.0)),
    "hardtanh": Clip(np.array(-1.0), np.array(1.0)), "hard_sigmoid": HardSigmoid(1 / 6, 0.5), "abs": Abs(),
    "tanh": Tanh(), "sigmoid": Sigmoid(), "logistic": Sigmoid(), "softplus": Softplus(), "elu": ELU(), "gelu": GELU(),
    "gelu_tanh": GELUTanh(), "silu": SiLU(), "swish": SiLU(), "identity": None,
}
"""What `activation=` can be. "logistic" is scikit-learn's word, "swish" Keras'."""


def import_raw(weights: Sequence, biases: Sequence, *, activation: str = "relu",
               orientation: str | None = None) -> tuple[Network, Original | None, str]:
    """y = W_L s(.. s(W_1 x + b_1) ..) + b_L, the last layer linear.

    weights: one matrix a layer, (out, in) ("out_in", as in torch) or (in, out) ("in_out", as in Keras); told apart by how
    the layers chain. biases: one vector a layer, or None for zeros.
    ModelError where sizes do not chain, or chain both ways.
    """
    if activation not in ACTIVATIONS:
        raise ModelError(f"activation={activation!r}; it can be one of {', '.join(ACTIVATIONS)}")
    if orientation not in (None, "out_in", "in_out"):
        raise ModelError(f"orientation={orientation!r}; it can be 'out_in' (W is (outputs, inputs)) or 'in_out'")
    W, b = _arrays(weights, biases)
    way = orientation or _orientation(W, b)
    W = W if way == "out_in" else [w.T for w in W]
    problem = _misfit(W, b)
    if problem:
        raise ModelError(f"the layers do not chain with orientation={way!r}: {problem}")
    return _network(W, b, ACTIVATIONS[activation]), None, ""


def _arrays(weights, biases) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
    """float64 matrices and vectors, checked for kind and number."""
    biases = [None] * len(weights) if biases is None else list(biases)
    if not len(weights) or len(weights) != len(biases):
        raise ModelError(f"{len(weights)} weight matrices and {len(biases)} bias vectors; one of each a layer is needed")
    W = [_array(w, f"weights[{k}]", 2) for k, w in enumerate(weights)]
    b = [None if v is None else _array(v, f"biases[{k}]", 1) for k, v in enumerate(biases)]
    return W, b


def _array(a, name: str, ndim: int) -> np.ndarray:
    a = getattr(a, "detach", lambda: a)()                       # a torch parameter
    try:
        a = exact(a)
    except (TypeError, ValueError) as e:
        raise ModelError(f"{name} is no array of numbers: {e}") from e
    if ndim == 1 and a.ndim == 2 and 1 in a.shape:
        a = a.reshape(-1)
    if a.ndim != ndim or not a.size:
        raise ModelError(f"{name} has shape {a.shape}; a {'matrix' if ndim == 2 else 'vector'} is needed")
    if not np.isfinite(a).all():
        raise ModelError(f"{name} holds NaN or infinity")
    return a


def _misfit(W: list[np.ndarray], b: list[np.ndarray | None]) -> str:
    """What does not chain, with W as (out, in); "" where everything does."""
    for k, (w, v) in enumerate(zip(W, b, strict=True)):
        if v is not None and len(v) != len(w):
            return f"layer {k} has {len(w)} outputs, biases[{k}] has {len(v)} entries"
        if k and w.shape[1] != len(W[k - 1]):
            return f"layer {k} takes {w.shape[1]} inputs, layer {k - 1} has {len(W[k - 1])} outputs"
    return ""


def _orientation(W: list[np.ndarray], b: list[np.ndarray | None]) -> str:
    """The one way in which the layers chain. ModelError where both do, or neither."""
    shapes = ", ".join(f"{w.shape}" for w in W) + "; biases " + ", ".join("none" if v is None else f"({len(v)},)" for v in b)
    problems = {"out_in": _misfit(W, b), "in_out": _misfit([w.T for w in W], b)}
    fitting = [way for way, problem in problems.items() if not problem]
    if len(fitting) == 2:
        raise ModelError(f"weights {shapes} chain as (outputs, inputs) and as (inputs, outputs).\n"
                         "  To go on       say orientation='out_in' (torch) or orientation='in_out' (Keras)")
    if not fitting:
        raise ModelError(f"weights {shapes} chain in neither orientation.\n"
                         f"  As 'out_in'    {problems['out_in']}\n  As 'in_out'    {problems['in_out']}")
    return fitting[0]


def _network(W: list[np.ndarray], b: list[np.ndarray | None], activation: Op | None) -> Network:
    builder, at = GraphBuilder((W[0].shape[1],)), INPUT
    for k, (w, v) in enumerate(zip(W, b, strict=True)):
        at = builder.add(Linear(np.ascontiguousarray(w), np.zeros(len(w)) if v is None else v), at, name=f"linear_{k}")
        if k < len(W) - 1 and activation is not None:
            at = builder.add(activation, at, name=f"{type(activation).__name__.lower()}_{k}")
    return Network(builder.graph(at), source="(weights, biases)")
