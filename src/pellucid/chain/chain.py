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

    @cached_property
    def padded(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(breaks (n, k) padded with inf, slopes (n, k + 1), offsets (n, k + 1)), k the most breaks of any row."""
        n, k = self.n_outputs, int(self.n_pieces.max(initial=1)) - 1
        breaks = np.full((n, k), np.inf)
        slopes, offsets = np.zeros((n, k + 1)), np.zeros((n, k + 1))
        row = np.repeat(np.arange(n), self.n_pieces - 1)
        breaks[row, np.arange(len(self.breaks)) - self.ptr[row]] = self.breaks
        row = np.repeat(np.arange(n), self.n_pieces)
        place = np.arange(len(self.slopes)) - (self.ptr[row] + row)
        slopes[row, place], offsets[row, place] = self.slopes, self.offsets
        return breaks, slopes, offsets

    def piece(self, z: np.ndarray) -> np.ndarray:
        """Piece of each entry of z: (n, batch)."""
        breaks, _, _ = self.padded
        p = np.zeros(z.shape, dtype=np.intp)
        for t in breaks.T:
            p += t[:, None] <= z
        return p

    @cached_property
    def is_relu(self) -> bool:
        """Every row is max(z, 0)."""
        n = self.n_outputs
        return (len(self.breaks) == n and not self.breaks.any() and not self.offsets.any() and bool((self.n_pieces == 2).all())
                and not self.slopes[0::2].any() and bool((self.slopes[1::2] == 1).all()))

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """phi(z) for z: (n, batch)."""
        if self.is_relu:
            return np.maximum(z, 0.0)
        _, slopes, offsets = self.padded
        p, row = self.piece(z), np.arange(len(z))[:, None]
        return slopes[row, p] * z + offsets[row, p]


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

    @cached_property
    def padded(self) -> np.ndarray:
        """(g, m) rows of each group, short groups repeat their first."""
        place = np.arange(int(self.n_pieces.max(initial=1)))
        index = self.ptr[:-1, None] + np.where(place < self.n_pieces[:, None], place, 0)
        return self.members[index]

    def piece(self, z: np.ndarray) -> np.ndarray:
        """Winner's place in each group, the first of equals, for z: (rows, batch)."""
        return z[self.padded].argmax(axis=1)

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """phi(z): (g, batch) for z: (rows, batch)."""
        return np.maximum.reduceat(z[self.members], self.ptr[:-1], axis=0) if self.n_outputs else z[:0]


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

    @cached_property
    def columns(self) -> tuple[tuple[int, np.ndarray], ...]:
        """For each stage: its first code column, and the outputs (indices) that have columns."""
        spans, start = [], 0
        for stage in self.stages:
            outputs = np.flatnonzero(stage.phi.n_pieces > 1)
            spans.append((start, outputs))
            start += len(outputs)
        return tuple(spans)

    def unit_of(self, column: int) -> tuple[str, int]:
        """(node of the graph, flat index in it) that a code column speaks of."""
        for stage, (start, outputs) in zip(self.stages, self.columns, strict=True):
            if column < start + len(outputs):
                index = int(outputs[column - start])
                for node, count in stage.labels:
                    if index < count:
                        return node, index
                    index -= count
                return "", index
        raise IndexError(f"column {column} of {self.n_columns}")

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """y for rows x: (n, n_inputs) -> (n, n_outputs)."""
        s = x.T
        for stage in self.stages:
            s = stage.phi(stage.A @ s + stage.a[:, None])
        return (self.A @ s + self.a[:, None]).T

    def fold(self, x0: np.ndarray, P: np.ndarray) -> Chain:
        """The chain of u -> f(x0 + P u): the first affine layer composed with the slice, all else shared."""
        if not self.stages:
            return Chain(P.shape[1], (), self.A @ P, self.A @ x0 + self.a)
        first = self.stages[0]
        head = Stage(np.ascontiguousarray(first.A @ P), first.A @ x0 + first.a, first.phi, first.labels)
        return Chain(P.shape[1], (head, *self.stages[1:]), self.A, self.a)
