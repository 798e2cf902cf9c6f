"""Packed codes: one row of uint64 words a code, so that comparing words compares codes column by column (native)."""

from __future__ import annotations

import numpy as np

from .. import _core
from ..chain.chain import Chain
from .native import native_chain


def unpack_codes(codes: np.ndarray, n_pieces: np.ndarray) -> np.ndarray:
    """(K, columns) pieces, uint8 (uint16 where a column has more than 256), of packed codes (K, words)."""
    return _core.unpack_codes(np.ascontiguousarray(codes, dtype=np.uint64), np.ascontiguousarray(n_pieces, dtype=np.int64))


def pack_codes(pieces: np.ndarray, n_pieces: np.ndarray) -> np.ndarray:
    """(K, words) uint64 of pieces (K, columns): first column highest, ceil(log2(n_pieces)) bits each, none across two words."""
    return _core.pack_codes(np.ascontiguousarray(pieces, dtype=np.uint16), np.ascontiguousarray(n_pieces, dtype=np.int64))


def match_codes(sorted_codes: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """(q,) int64: for each query the first row of `sorted_codes` equal to it, -1 where there is none."""
    return _core.match_codes(np.ascontiguousarray(sorted_codes, dtype=np.uint64), np.ascontiguousarray(queries, dtype=np.uint64))


def codes_of(chain: Chain, X: np.ndarray) -> np.ndarray:
    """(n, words) packed codes of points (n, n_inputs), by a forward pass in float64.

    No tolerance: the piece is the number of breakpoints <= z, the winner the first of equals. Points on faces, and units that
    are constant at a breakpoint over a region, can so get the code of no region (SPEC 2, canonical code).
    """
    X = np.ascontiguousarray(X, dtype=np.float64)
    if X.ndim != 2 or X.shape[1] != chain.n_inputs:
        raise ValueError(f"points of shape {X.shape}: the chain has {chain.n_inputs} inputs")
    return native_chain(chain).codes_of(X)


def column_bits(n_pieces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each column lies in a packed code: its word, and its bits there (uint64 with those bits set)."""
    words, bits, word, used = [], [], 0, 0
    for pieces in np.asarray(n_pieces).tolist():
        width = max(1, (pieces - 1).bit_length())
        if used + width > 64:
            word, used = word + 1, 0
        used += width
        words.append(word)
        bits.append(((1 << width) - 1) << (64 - used))
    return np.array(words, dtype=int), np.array(bits, dtype=np.uint64)
