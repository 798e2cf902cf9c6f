"""numpy or torch, by the array: ops are written once for both."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from types import SimpleNamespace

import numpy as np


def is_torch(x) -> bool:
    """Is x a torch tensor? Never imports torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


_KEPT: ContextVar[dict | None] = ContextVar("_KEPT", default=None)
MOST_KEPT = 4096


@contextlib.contextmanager
def kept_constants(kept: dict | None = None) -> Iterator[None]:
    """Inside, constants are turned into tensors once, and not at every call: for functions that run a network many times.

    kept: where the tensors stay, to be used again by a later block; left out, they are gone with this one.
    """
    token = _KEPT.set({} if kept is None else kept)
    try:
        yield
    finally:
        _KEPT.reset(token)


def like(constant: np.ndarray, x):
    """The float64 constant as an array of x's kind (and, for torch, x's dtype and device)."""
    if not is_torch(x):
        return constant
    import torch

    kept = _KEPT.get()
    if kept is None:
        return torch.as_tensor(np.array(constant), dtype=x.dtype, device=x.device)
    key = id(constant), x.dtype, x.device
    if key not in kept:
        made = torch.as_tensor(np.array(constant), dtype=x.dtype, device=x.device)
        if len(kept) >= MOST_KEPT:
            return made
        kept[key] = constant, made              # the constant too: its id is its own only while it lives
    return kept[key][1]


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
