"""Counterexamples, replayed: in the precision and the runtime that the model was made for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..graph import Network
from ..importers.load import Original
from .property import Property


def in_float32(x: np.ndarray, holds: Callable[[np.ndarray], bool]) -> np.ndarray:
    """x rounded such that float32 holds it, where it is a counterexample still: then a float32 runtime gets this very point."""
    near = x.astype(np.float32)
    for candidate in (near, np.nextafter(near, np.float32(-np.inf)), np.nextafter(near, np.float32(np.inf))):
        rounded = candidate.astype(np.float64)
        if np.isfinite(rounded).all() and holds(rounded):
            return rounded
    toward = [np.where(near.astype(np.float64) < x, np.nextafter(near, np.float32(np.inf)), near),
              np.where(near.astype(np.float64) > x, np.nextafter(near, np.float32(-np.inf)), near)]
    for candidate in toward:
        rounded = candidate.astype(np.float64)
        if np.isfinite(rounded).all() and holds(rounded):
            return rounded
    return x


def asked_of_original(net: Network, p: Property, answered: Property | None, x: np.ndarray, original: Original | None
                      ) -> tuple[np.ndarray | None, bool | None]:
    """(what the original answers at x, whether that is unsafe); None where there is no original, or no way to tell from its answer."""
    if original is None:
        return None, None
    answer = np.asarray(original(x.reshape(1, *net.input_shape)), dtype=np.float64).reshape(1, -1)
    if answered is not None:
        return answer[0], bool(answered.unsafe_in(answer, x[None])[0] >= 0)
    y = _before(net.link, answer)
    is_shifted = net.link in ("softmax", "log_softmax") and any(np.abs(c.C.sum(axis=1)).max(initial=0.0) > 0 for c in p.unsafe)
    return answer[0], None if is_shifted else bool(p.unsafe_in(y, x[None])[0] >= 0)


def _before(link: str, answer: np.ndarray) -> np.ndarray:
    """Logits that give this answer (of a softmax, those of sum-exp 1)."""
    with np.errstate(divide="ignore"):
        if link == "softmax":
            return np.log(answer)
        return np.log(answer) - np.log1p(-answer) if link == "sigmoid" else answer
