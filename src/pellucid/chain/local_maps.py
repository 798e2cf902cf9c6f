"""Codes -> affine maps, in batches: row k of (coef, intercept) is the network's linear model on the region of code k."""

from __future__ import annotations

import numpy as np

from .chain import Chain, Elementwise

BATCH_BYTES = 32 << 20


def local_maps(chain: Chain, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Linear models y = coef x + intercept of the regions with these codes.

    codes: (K, columns) pieces. Gives coef (K, c, d), intercept (K, c).
    Source: C = A_out D_L A_L ... D_1 A_1 (UNWRAP thm 1; CEE eq. 1-3), taken from the output backwards, since c is small.
    """
    codes = np.asarray(codes)
    c, d = chain.n_outputs, chain.n_inputs
    coef, intercept = np.empty((len(codes), c, d)), np.empty((len(codes), c))
    widest = max([s.A.shape[0] for s in chain.stages] + [d, 1])
    step = max(1, BATCH_BYTES // (8 * c * widest * 3))
    for start in range(0, len(codes), step):
        part = slice(start, start + step)
        coef[part], intercept[part] = _backwards(chain, codes[part])
    return coef, intercept


def _backwards(chain: Chain, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    K, c = len(codes), chain.n_outputs
    A = chain.A if isinstance(chain.A, np.ndarray) else chain.A.toarray()
    W = np.broadcast_to(A, (K, *A.shape))              # y = W s + e, s the outputs of the stage that comes next
    e = np.broadcast_to(chain.a, (K, c)).copy()
    for stage, (first, outputs) in zip(reversed(chain.stages), reversed(chain.columns), strict=True):
        pieces = np.zeros((K, stage.phi.n_outputs), dtype=np.intp)
        pieces[:, outputs] = codes[:, first:first + len(outputs)]
        if isinstance(stage.phi, Elementwise):
            index = stage.phi.ptr[:-1] + np.arange(stage.phi.n_outputs) + pieces
            slopes, offsets = stage.phi.slopes[index], stage.phi.offsets[index]
            if stage.phi.offsets.any():
                e += np.einsum("kcn,kn->kc", W, offsets)
            W = W * slopes[:, None, :]
        else:
            W = _to_winners(W, stage.phi.members[stage.phi.ptr[:-1] + pieces], stage.A.shape[0])
        e += W @ stage.a
        flat = W.reshape(K * c, stage.A.shape[0])
        W = (flat @ stage.A if isinstance(stage.A, np.ndarray) else (stage.A.T @ flat.T).T).reshape(K, c, stage.A.shape[1])
    return W, e


def _to_winners(W: np.ndarray, winners: np.ndarray, n_rows: int) -> np.ndarray:
    """Move the weight of each group, W (K, c, g), to the row that won it, winners (K, g)."""
    K, c, _ = W.shape
    target = (np.arange(K * c)[:, None] * n_rows + np.repeat(winners, c, axis=0)).ravel()
    return np.bincount(target, weights=W.reshape(-1), minlength=K * c * n_rows).reshape(K, c, n_rows)


def unit_maps(chain: Chain, code: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """For one code (columns,): the pre-activations of every stage, then the outputs, as affine maps of the input.

    [(G (rows, d), g (rows,)), ...].
    """
    code = np.asarray(code)
    S, s = np.eye(chain.n_inputs), np.zeros(chain.n_inputs)
    maps = []
    for stage, (first, outputs) in zip(chain.stages, chain.columns, strict=True):
        G, g = stage.A @ S, stage.A @ s + stage.a
        maps.append((G, g))
        pieces = np.zeros(stage.phi.n_outputs, dtype=np.intp)
        pieces[outputs] = code[first:first + len(outputs)]
        if isinstance(stage.phi, Elementwise):
            index = stage.phi.ptr[:-1] + np.arange(stage.phi.n_outputs) + pieces
            slopes = stage.phi.slopes[index]
            S, s = slopes[:, None] * G, slopes * g + stage.phi.offsets[index]
        else:
            winners = stage.phi.members[stage.phi.ptr[:-1] + pieces]
            S, s = G[winners], g[winners]
    maps.append((chain.A @ S, chain.A @ s + chain.a))
    return maps
