"""numpy or torch, by the array: ops are written once for both."""

from __future__ import annotations

import sys

import numpy as np


def is_torch(x) -> bool:
    """Is x a torch tensor? Never imports torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def like(constant: np.ndarray, x):
    """The float64 constant as an array of x's kind (and, for torch, x's dtype and device)."""
    if is_torch(x):
        import torch

        return torch.as_tensor(np.array(constant), dtype=x.dtype, device=x.device)
    return constant
