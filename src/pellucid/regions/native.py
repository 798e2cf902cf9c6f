"""The chain as the native core keeps it: converted once, kept as long as the stages live."""

from __future__ import annotations

import atexit
from weakref import WeakKeyDictionary

import numpy as np

from .. import _core
from ..chain.chain import Chain, Matrix, Selection, Stage

_STAGES: WeakKeyDictionary[Stage, _core.Stage] = WeakKeyDictionary()
_CHAINS: WeakKeyDictionary[Chain, _core.Chain] = WeakKeyDictionary()
atexit.register(_CHAINS.clear)              # what is kept when the interpreter ends would be reported as leaked
atexit.register(_STAGES.clear)


def native_chain(chain: Chain) -> _core.Chain:
    """Chains that share stages (a network folded with several slices) share their native form too."""
    found = _CHAINS.get(chain)
    if found is None:
        found = _core.chain(chain.n_inputs, [_native_stage(s) for s in chain.stages], _affine(chain.A, chain.a))
        _CHAINS[chain] = found
    return found


def _native_stage(stage: Stage) -> _core.Stage:
    found = _STAGES.get(stage)
    if found is None:
        found = _STAGES[stage] = _convert(stage)
    return found


def _convert(stage: Stage) -> _core.Stage:
    affine, phi = _affine(stage.A, stage.a), stage.phi
    ptr = np.ascontiguousarray(phi.ptr, dtype=np.int32)
    if isinstance(phi, Selection):
        return _core.selection(affine, ptr, np.ascontiguousarray(phi.members, dtype=np.int32))
    pieces = (np.ascontiguousarray(v, dtype=np.float64) for v in (phi.breaks, phi.slopes, phi.offsets))
    return _core.elementwise(affine, ptr, *pieces)


def _affine(A: Matrix, a: np.ndarray) -> _core.Affine:
    a = np.ascontiguousarray(a, dtype=np.float64)
    if isinstance(A, np.ndarray):
        return _core.dense(np.ascontiguousarray(A, dtype=np.float64), a)
    return _core.csr(A.indptr.astype(np.int64), np.ascontiguousarray(A.indices, dtype=np.int32),
                     np.ascontiguousarray(A.data, dtype=np.float64), a, A.shape[1])
