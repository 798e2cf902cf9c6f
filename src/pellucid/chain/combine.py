"""Chains put together: two networks side by side on one input."""

from __future__ import annotations

from typing import cast

import numpy as np
import scipy.sparse as sp

from .chain import Chain, Elementwise, Matrix, Selection, Stage


def beside(f: Chain, g: Chain) -> Chain:
    """x -> (f(x), g(x)) as one chain: blocks of a stage each; where one has no stage of the kind, its values pass through.

    Code columns of a stage: f's, then g's.
    """
    if f.n_inputs != g.n_inputs:
        raise ValueError(f"networks of {f.n_inputs} and {g.n_inputs} inputs cannot stand side by side")
    stages: list[Stage] = []
    left, right = list(f.stages), list(g.stages)
    width_f = width_g = f.n_inputs
    shares = True                                  # both still read the input itself
    while left or right:
        take_f, take_g = _next(left, right)
        a = left.pop(0) if take_f else _passing(width_f)
        b = right.pop(0) if take_g else _passing(width_g)
        A = _stack(a.A, b.A) if shares else _block(a.A, b.A)
        labels = (*(a.labels or (("", a.phi.n_outputs),)), *(b.labels or (("", b.phi.n_outputs),)))
        stages.append(Stage(A, np.concatenate([a.a, b.a]), _join(a, b, take_f, take_g), labels))
        width_f, width_g, shares = a.phi.n_outputs, b.phi.n_outputs, False
    A = _stack(f.A, g.A) if shares else _block(f.A, g.A)
    return Chain(f.n_inputs, tuple(stages), A, np.concatenate([f.a, g.a]))


def _next(left: list[Stage], right: list[Stage]) -> tuple[bool, bool]:
    """Which of the two go on: both where their next stages are of one kind, else an elementwise one first."""
    if not left or not right:
        return bool(left), bool(right)
    first, second = (isinstance(s[0].phi, Elementwise) for s in (left, right))
    return (True, True) if first == second else (first, second)


def _passing(n: int) -> Stage:
    phi = Elementwise(np.zeros(n + 1, np.int32), np.zeros(0), np.ones(n), np.zeros(n))
    return Stage(sp.csr_array(sp.eye_array(n)) if n > 64 else np.eye(n), np.zeros(n), phi)


def _join(a: Stage, b: Stage, take_f: bool, take_g: bool) -> Elementwise | Selection:
    if isinstance((a if take_f else b).phi, Elementwise):
        p, q = cast(Elementwise, a.phi), cast(Elementwise, b.phi)
        return Elementwise(np.concatenate([p.ptr, p.ptr[-1] + q.ptr[1:]]).astype(np.int32), np.concatenate([p.breaks, q.breaks]),
                           np.concatenate([p.slopes, q.slopes]), np.concatenate([p.offsets, q.offsets]))
    p, q = (_selecting(s) for s in (a, b))
    return Selection(np.concatenate([p.ptr, p.ptr[-1] + q.ptr[1:]]).astype(np.int32),
                     np.concatenate([p.members, len(a.a) + q.members]).astype(np.int32))


def _selecting(stage: Stage) -> Selection:
    """The stage's selection, or groups of one where it lets its rows pass."""
    if isinstance(stage.phi, Selection):
        return stage.phi
    n = stage.phi.n_outputs
    return Selection(np.arange(n + 1, dtype=np.int32), np.arange(n, dtype=np.int32))


def _stack(A: Matrix, B: Matrix) -> Matrix:
    if isinstance(A, np.ndarray) and isinstance(B, np.ndarray):
        return np.vstack([A, B])
    return sp.csr_array(sp.vstack([sp.csr_array(A), sp.csr_array(B)], format="csr"))


def _block(A: Matrix, B: Matrix) -> Matrix:
    """Dense where that is small: the engines are faster so."""
    C = sp.csr_array(sp.block_diag([sp.csr_array(A), sp.csr_array(B)], format="csr"))
    return C.toarray() if C.shape[0] * C.shape[1] <= 1 << 16 else C
