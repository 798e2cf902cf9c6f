"""How regions are split by the network's outputs, as a user of the engines says it and as the native core takes it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..chain.chain import Chain

Split = str | tuple[str, Sequence[float]] | None
"""None, "argmax" (by the highest output), "top2" (by the two highest) or ("labels", a threshold for each output)."""

MOST_LABELS = 31


def split_mode(chain: Chain, split: Split) -> tuple[str, np.ndarray]:
    """(the core's word for it, thresholds). ValueError for what the chain's outputs do not allow."""
    mode, thresholds = split if isinstance(split, tuple) else (split or "none", np.zeros(0))
    if mode not in ("none", "argmax", "top2", "labels") or (mode == "top2" and chain.n_outputs < 2):
        raise ValueError(f"split={split!r} of {chain.n_outputs} outputs")
    thresholds = np.ascontiguousarray(thresholds, dtype=np.float64)
    if mode == "labels" and not len(thresholds) == chain.n_outputs <= MOST_LABELS:
        raise ValueError(f"{len(thresholds)} thresholds for {chain.n_outputs} outputs: one each, at most {MOST_LABELS}, are needed")
    return mode, thresholds
