"""numpy or torch, by the array: ops are written once for both."""

from __future__ import annotations

import contextlib
import contextvars
import sys
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np


def is_torch(x) -> bool:
    """Is x a torch tensor? Never imports torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


_HELD: contextvars.ContextVar[Mapping[int, Any] | None] = contextvars.ContextVar("held_constants", default=None)


@contextlib.contextmanager
def held_constants(tensors: Mapping[int, Any]) -> Iterator[None]:
    """Within it, `like` takes these tensors for the constants of these ids, instead of converting them at every call."""
    token = _HELD.set(tensors)
    try:
        yield
    finally:
        _HELD.reset(token)


def like(constant: np.ndarray, x):
    """The float64 constant as an array of x's kind (and, for torch, x's dtype and device)."""
    if is_torch(x):
        import torch

        held = _HELD.get()
        if held is not None and id(constant) in held:
            return held[id(constant)]
        return torch.as_tensor(np.array(constant), dtype=x.dtype, device=x.device)
    return constant


def index_like(indices: np.ndarray, x):
    """Integer indices that x can be indexed with."""
    if is_torch(x):
        import torch

        return torch.as_tensor(np.array(indices), device=x.device)
    return indices


def exact(a) -> np.ndarray:
    """The numbers as float64. From float16, bfloat16, float32 and integers below 2^53 nothing is lost."""
    with np.errstate(invalid="ignore"):                         # a NaN stays one, without a warning
        return np.array(a, dtype=np.float64)


def xp(x) -> SimpleNamespace:
    """The functions that ops need, for x's kind: exp, expm1, tanh, sigmoid, softplus, ndtr, where, maximum, minimum,
    concatenate, broadcast_to."""
    return _torch_functions() if is_torch(x) else _NUMPY


def _torch_functions() -> SimpleNamespace:
    import torch

    return SimpleNamespace(
        exp=torch.exp, expm1=torch.expm1, tanh=torch.tanh, sigmoid=torch.sigmoid, ndtr=torch.special.ndtr,
        softplus=lambda x: torch.logaddexp(x, torch.zeros((), dtype=x.dtype, device=x.device)), where=torch.where,
        maximum=torch.maximum, minimum=torch.minimum, concatenate=lambda xs, axis: torch.cat(list(xs), dim=axis),
        broadcast_to=torch.broadcast_to)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(x))                                  # never overflows
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def _ndtr(x: np.ndarray) -> np.ndarray:
    from scipy.special import ndtr

    return ndtr(x)


_NUMPY = SimpleNamespace(
    exp=np.exp, expm1=np.expm1, tanh=np.tanh, sigmoid=_sigmoid, ndtr=_ndtr, softplus=lambda x: np.logaddexp(x, 0.0),
    where=np.where, maximum=np.maximum, minimum=np.minimum, concatenate=lambda xs, axis: np.concatenate(list(xs), axis=axis),
    broadcast_to=np.broadcast_to)
