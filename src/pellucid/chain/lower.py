"""Graph -> Chain: every feed-forward graph of affine, elementwise PWL and selection ops has one (SPEC 1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from weakref import WeakKeyDictionary

import numpy as np
import scipy.sparse as sp

from ..errors import NotPiecewiseLinear
from ..graph.graph import INPUT, Graph, smooth_nodes
from ..graph.network import Network
from ..graph.op import AffineOp, ElementwisePL, Node, Op, SelectionOp, SmoothOp, size
from .chain import Chain, Elementwise, Matrix, Selection, Stage

_CHAINS: WeakKeyDictionary[Network, Chain] = WeakKeyDictionary()


def chain_of(net: Network) -> Chain:
    """The network's chain, made once. NotPiecewiseLinear for a network with a smooth activation."""
    chain = _CHAINS.get(net)
    if chain is None:
        chain = _CHAINS[net] = lower(net.graph)
    return chain


@dataclass(frozen=True, eq=False)
class _Affine:
    """A tensor of the graph as an affine function of the outputs of the newest stage: A s + a."""

    A: sp.csr_array
    a: np.ndarray


def lower(graph: Graph) -> Chain:
    """The chain normal form of a piecewise linear graph.

    Needs     affine, elementwise PWL and selection ops only (else NotPiecewiseLinear names the smooth ones).
    Gives     a Chain equal to the graph; nodes that can act at the same time share a stage; tensors that skip a stage
              cross it as pass-through units.
    Source    SPEC 1.
    """
    smooth = smooth_nodes(graph)
    if smooth:
        kinds = ", ".join(sorted({type(n.op).__name__ for n in smooth}))
        raise NotPiecewiseLinear(f"the network has smooth activations ({kinds}; first at node '{smooth[0].name}'), and linear regions "
                                 "exist for piecewise linear ones only (ReLU, LeakyReLU, max pooling, ...)")
    pending = list(graph.nodes)
    d = size(graph.input_shape)
    live = {INPUT: _Affine(sp.eye_array(d, format="csr"), np.zeros(d))}
    stages: list[Stage] = []
    while True:
        pending = _push_affine(graph, pending, live)
        if not pending:
            break
        ready = [n for n in pending if all(s in live for s in n.inputs)]
        first = [n for n in ready if isinstance(n.op, ElementwisePL)] or ready
        acting = {n.name for n in first}
        pending = [n for n in pending if n.name not in acting]
        wanted = {s for n in pending for s in n.inputs} | {graph.output}
        stage, live = _stage(graph, first, {k: v for k, v in live.items() if k in wanted}, live)
        stages.append(stage)
    y = live[graph.output]
    return Chain(d, tuple(stages), _compact(y.A), y.a)


def _push_affine(graph: Graph, pending: list[Node], live: dict[str, _Affine]) -> list[Node]:
    """Compose every affine node whose inputs are known; the nodes that are left."""
    left = []
    for node in pending:
        if isinstance(node.op, AffineOp) and all(s in live for s in node.inputs):
            matrices, a = node.op.matrices(*(graph.shape_of(s) for s in node.inputs))
            parts = [_compose(M, live[s].A) for M, s in zip(matrices, node.inputs, strict=True)]
            offset = a + sum(M @ live[s].a for M, s in zip(matrices, node.inputs, strict=True))
            live[node.name] = _Affine(sp.csr_array(sum(parts[1:], parts[0])), np.asarray(offset, dtype=np.float64))
        else:
            left.append(node)
    return left


def _compose(M: sp.csr_array, A: sp.csr_array) -> sp.csr_array:
    """M A, dense inside where both are (sparse products of full matrices are slow)."""
    if M.nnz > 0.2 * np.prod(M.shape) and A.nnz > 0.2 * np.prod(A.shape) and M.nnz > 4096:
        return sp.csr_array(M.toarray() @ A.toarray())
    return sp.csr_array(M @ A)


def _stage(graph: Graph, acting: list[Node], skipping: dict[str, _Affine], live: dict[str, _Affine]) -> tuple[Stage, dict[str, _Affine]]:
    """The stage at which the nodes `acting` act, and all live tensors in terms of its outputs."""
    blocks = [_acts(node.op, [graph.shape_of(s) for s in node.inputs], [live[s] for s in node.inputs]) for node in acting]
    carried, recover = _carry(skipping, blocks[0].rows.A.shape[1])
    rows = [b.rows for b in blocks] + [carried]
    A, a = sp.vstack([r.A for r in rows], format="csr"), np.concatenate([r.a for r in rows])
    phi = _join(blocks, len(carried.a))
    n, start, after = phi.n_outputs, 0, {}
    for node, block in zip(acting, blocks, strict=True):
        k = block.phi.n_outputs
        after[node.name] = _Affine(_columns(block.sign * sp.eye_array(k, format="csr"), start, n), np.zeros(k))
        start += k
    for name, value in recover.items():
        after[name] = _Affine(_columns(value.A, start, n), value.a)
    labels = tuple((node.name, b.phi.n_outputs) for node, b in zip(acting, blocks, strict=True))
    return Stage(_compact(A), a, phi, (*labels, ("", n - start))), after


@dataclass(frozen=True, eq=False)
class _Acts:
    """What an op does at a stage: the rows that enter, phi on them, and the sign of what comes out."""

    rows: _Affine
    phi: Elementwise | Selection
    sign: float = 1.0


@singledispatch
def _acts(op: Op, shapes: list, inputs: list[_Affine]) -> _Acts:
    raise AssertionError(f"bug: {type(op).__name__} has no rule in lowering")


@_acts.register
def _(op: ElementwisePL, shapes, inputs):
    n = size(shapes[0])
    breaks, slopes, offsets = (np.broadcast_to(np.atleast_2d(p), (n, np.shape(p)[-1])) for p in op.pieces(shapes[0]))
    k = breaks.shape[1]
    ptr = np.arange(n + 1, dtype=np.int32) * k
    return _Acts(inputs[0], Elementwise(ptr, breaks.ravel().copy(), slopes.ravel().copy(), offsets.ravel().copy()))


@_acts.register
def _(op: SelectionOp, shapes, inputs):
    ptr, members = op.groups(*shapes)
    rows = _Affine(sp.csr_array(op.sign * sp.vstack([v.A for v in inputs], format="csr")), op.sign * np.concatenate([v.a for v in inputs]))
    return _Acts(rows, Selection(np.asarray(ptr, np.int32), np.asarray(members, np.int32)), float(op.sign))


@_acts.register
def _(op: SmoothOp, shapes, inputs):
    raise AssertionError("bug: smooth ops are refused before lowering")


def _carry(skipping: dict[str, _Affine], n: int) -> tuple[_Affine, dict[str, _Affine]]:
    """Rows that carry the skipping tensors across a stage, and each tensor in terms of those rows.

    Either the sources that they depend on, or the tensors themselves: whichever are fewer.
    """
    if not skipping:
        return _Affine(sp.csr_array((0, n)), np.zeros(0)), {}
    A = sp.vstack([v.A for v in skipping.values()], format="csr")
    sources = np.unique(A.indices[A.data != 0])
    if len(sources) <= A.shape[0]:
        k = len(sources)
        rows = _Affine(sp.csr_array((np.ones(k), (np.arange(k), sources)), shape=(k, n)), np.zeros(k))
        return rows, {name: _Affine(sp.csr_array(v.A[:, sources]), v.a) for name, v in skipping.items()}
    recover, start = {}, 0
    for name, v in skipping.items():
        recover[name] = _Affine(_columns(sp.eye_array(len(v.a), format="csr"), start, A.shape[0]), np.zeros(len(v.a)))
        start += len(v.a)
    return _Affine(A, np.concatenate([v.a for v in skipping.values()])), recover


def _join(blocks: list[_Acts], n_passing: int) -> Elementwise | Selection:
    """The blocks' phis side by side, and pass-throughs behind them."""
    if isinstance(blocks[0].phi, Elementwise):
        parts, one = [b.phi for b in blocks], np.ones(n_passing)
        ptr = _joined_ptr([p.ptr for p in parts], np.zeros(n_passing, np.int32))
        return Elementwise(ptr, np.concatenate([p.breaks for p in parts]),
                           np.concatenate([*(p.slopes for p in parts), one]), np.concatenate([*(p.offsets for p in parts), 0 * one]))
    first_row = np.cumsum([0, *(len(b.rows.a) for b in blocks)])
    members = [b.phi.members + start for b, start in zip(blocks, first_row, strict=False)]
    ptr = _joined_ptr([b.phi.ptr for b in blocks], np.ones(n_passing, np.int32))
    return Selection(ptr, np.concatenate([*members, first_row[-1] + np.arange(n_passing)]).astype(np.int32))


def _joined_ptr(ptrs: list[np.ndarray], lengths: np.ndarray) -> np.ndarray:
    """Offsets of all parts' spans, then of spans of the given lengths."""
    return np.concatenate([[0], np.cumsum(np.concatenate([*(np.diff(p) for p in ptrs), lengths]))]).astype(np.int32)


def _columns(M, start: int, n: int) -> sp.csr_array:
    """M as a block of n columns, beginning at column `start`."""
    M = sp.csr_array(M)
    return sp.csr_array((M.data, M.indices + start, M.indptr), shape=(M.shape[0], n))


def _compact(A: sp.csr_array) -> Matrix:
    """Dense where that is smaller or faster."""
    A.sum_duplicates()
    return A.toarray() if A.shape[0] * A.shape[1] <= 4096 or A.nnz > 0.2 * A.shape[0] * A.shape[1] else A
