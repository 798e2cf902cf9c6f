"""The chain: the normal form that every exact engine eats (SPEC 1).

    z_1 = A_1 x + a_1,  s_l = phi_l(z_l),  z_{l+1} = A_{l+1} s_l + a_{l+1},  ...,  y = A_out s_L + a_out

phi_l is either `Elementwise` (each row its own piecewise linear function) or `Selection` (the largest of each group of rows).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

Matrix = np.ndarray | sp.csr_array


@dataclass(frozen=True, eq=False)
class Elementwise:
    """One piecewise linear function a row; a row without breakpoints is a pass-through.

    On piece p of row i:  s = slopes[ptr[i] + i + p] * z + offsets[ptr[i] + i + p],
    and p = number of breakpoints t of the row with t <= z (SPEC 2).

    ptr: (n + 1,) int32, the breakpoints of row i are breaks[ptr[i]:ptr[i + 1]], ascending.
    breaks: (B,), slopes: (B + n,), offsets: (B + n,).
    """

    ptr: np.ndarray
    breaks: np.ndarray
    slopes: np.ndarray
    offsets: np.ndarray

    @property
    def n_outputs(self) -> int:
        return len(self.ptr) - 1

    @cached_property
    def n_pieces(self) -> np.ndarray:
        """(n,) pieces of each row; 1 for a pass-through."""
        return np.diff(self.ptr) + 1


@dataclass(frozen=True, eq=False)
class Selection:
    """Output g is the largest of the rows members[ptr[g]:ptr[g + 1]]; its piece is the winner's place in that list,
    the first of equals. A group of one row is a pass-through. A row may be in several groups (overlapping pools).

    ptr: (g + 1,) int32; members: int32 row indices.
    """

    ptr: np.ndarray
    members: np.ndarray

    @property
    def n_outputs(self) -> int:
        return len(self.ptr) - 1

    @cached_property
    def n_pieces(self) -> np.ndarray:
        """(g,) members of each group; 1 for a pass-through."""
        return np.diff(self.ptr)


@dataclass(frozen=True, eq=False)
class Stage:
    """z = A s + a, then phi. A: (rows, inputs), dense or CSR, float64; a: (rows,). `labels`: (n_outputs,) names, for display."""

    A: Matrix
    a: np.ndarray
    phi: Elementwise | Selection
    labels: tuple[tuple[str, int], ...] = ()
    """Which node of the graph, and which flat index in it, each span of outputs comes from: ((node, count), ...)."""


@dataclass(frozen=True, eq=False)
class Chain:
    """Stages and the output layer y = A s_L + a. Code columns are the outputs with more than one piece, stage by stage."""

    n_inputs: int
    stages: tuple[Stage, ...]
    A: Matrix
    a: np.ndarray

    @property
    def n_outputs(self) -> int:
        return len(self.a)

    @cached_property
    def n_pieces(self) -> np.ndarray:
        """(columns,) pieces of each code column, int."""
        counts = [s.phi.n_pieces for s in self.stages]
        counts = np.concatenate(counts) if counts else np.zeros(0, dtype=int)
        return counts[counts > 1].astype(np.int64)

    @property
    def n_columns(self) -> int:
        return len(self.n_pieces)
