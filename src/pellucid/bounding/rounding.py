"""Rounding: what floating point arithmetic can be wrong by, whatever the order in which sums are made (design/bounds-rounding.md)."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import torch


def unit(dtype: torch.dtype) -> float:
    """u: fl(a op b) = (a op b)(1 + d), |d| <= u, but for underflow."""
    return torch.finfo(dtype).eps / 2


def tiny(dtype: torch.dtype) -> float:
    """More than what one product loses by underflow, also where denormal numbers are flushed to zero."""
    return 2 * torch.finfo(dtype).tiny


def gamma(n: int, dtype: torch.dtype) -> float:
    """n u / (1 - n u): relative error of a sum of n products, in any order, with or without fused multiply-add (Higham 2002, 3.1).

    inf where the theory says nothing (n u >= 1/8): then bounds are infinite, not wrong.
    """
    nu = n * unit(dtype)
    return nu / (1 - nu) if nu < 0.125 else math.inf


@contextlib.contextmanager
def plain_products() -> Iterator[None]:
    """Products of matrices and convolutions by sums of products, each rounded once in the tensors' own precision.

    Off: TF32 and bfloat16 inside float32 products, autocast, and algorithms whose error is not entrywise (Winograd and Fourier
    transforms, in cuDNN and NNPACK; oneDNN is asked for direct convolutions by torch). The settings before come back afterwards.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.backends.nnpack.flags(enabled=False))
        if torch.cuda.is_available():
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        try:
            precision = torch.get_float32_matmul_precision()
        except RuntimeError:                                    # set by the newer switches, which the older name cannot say
            precision = "highest"
        if precision != "highest":
            stack.callback(torch.set_float32_matmul_precision, precision)
            torch.set_float32_matmul_precision("highest")
        for switch in (torch.backends.mkldnn.matmul, torch.backends.mkldnn.conv, torch.backends.cuda.matmul):
            value = getattr(switch, "fp32_precision", "none")
            if value not in ("none", "ieee"):
                stack.callback(setattr, switch, "fp32_precision", value)
                switch.fp32_precision = "ieee"
        yield


def no_nan(lower: torch.Tensor, upper: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where overflow left no number, there is no bound: -inf and inf."""
    if math.isfinite((lower.sum() + upper.sum()).item()):
        return lower, upper                                     # the common case, by two sums
    return torch.where(lower.isfinite(), lower, -math.inf), torch.where(upper.isfinite(), upper, math.inf)
