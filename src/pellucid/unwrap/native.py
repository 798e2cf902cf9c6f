"""The native side of unwrapping: rows to codes, codes to models, areas under ROC curves (native/rows.hpp, groups.hpp, ranks.hpp)."""

from __future__ import annotations

import atexit
from weakref import WeakKeyDictionary

import numpy as np

from .. import _core
from ..chain import Chain
from ..regions.native import native_chain
from ..tolerance import ON_BREAKPOINT

_ENCODERS: WeakKeyDictionary[Chain, _core.RowEncoder] = WeakKeyDictionary()
_MAPS: WeakKeyDictionary[Chain, _core.RowMaps] = WeakKeyDictionary()
atexit.register(_ENCODERS.clear)            # what is kept when the interpreter ends would be reported as leaked
atexit.register(_MAPS.clear)


def encode(chain: Chain, X: np.ndarray, *, outputs: bool = False, threads: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(codes (n, words) uint64, face (n,) bool, y (n, c) or (n, 0)) of rows X (n, d).

    Units that are constant at a breakpoint have their lower piece already; face: some other unit is on a breakpoint at this row,
    so that its code may be that of no region (faces.py).
    """
    encoder = _ENCODERS.get(chain)
    if encoder is None:
        encoder = _ENCODERS[chain] = _core.row_encoder(native_chain(chain), ON_BREAKPOINT)
    codes, face, y = encoder.encode(np.ascontiguousarray(X, dtype=np.float64), outputs, threads)
    return codes, face.astype(bool), y


def maps_of(chain: Chain, codes: np.ndarray, *, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """(coef (K, c, d), intercept (K, c)) of packed codes (K, words)."""
    maps = _MAPS.get(chain)
    if maps is None:
        maps = _MAPS[chain] = _core.row_maps(native_chain(chain))
    return maps.maps(native_chain(chain), np.ascontiguousarray(codes, dtype=np.uint64), threads)


def roc_areas(scores: np.ndarray, second: np.ndarray, *, threads: int = 1) -> np.ndarray:
    """(K,) areas under the ROC curve of scores (K, n) for rows of the second class (n,); NaN where there is one class only."""
    return _core.roc_areas(np.ascontiguousarray(scores, dtype=np.float64), np.ascontiguousarray(second, dtype=np.uint8), threads)
