"""Small chains and their rounding floors, for the tests of the engines."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from pellucid.chain.chain import Chain, Elementwise, Selection, Stage
from pellucid.regions import Cells, enumerate_planar

UNIT = 2.0**-53
SQUARE = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])


def relu(n: int) -> Elementwise:
    return same(n, [0.0], [0.0, 1.0], [0.0, 0.0])


def same(n: int, breaks, slopes, offsets) -> Elementwise:
    """n rows with one function."""
    ptr = np.arange(n + 1, dtype=np.int32) * len(breaks)
    return Elementwise(ptr, np.tile(np.asarray(breaks, float), n), np.tile(np.asarray(slopes, float), n),
                       np.tile(np.asarray(offsets, float), n))


def rows(functions) -> Elementwise:
    """One row for each (breaks, slopes, offsets)."""
    ptr = np.cumsum([0] + [len(f[0]) for f in functions]).astype(np.int32)
    return Elementwise(ptr, *(np.concatenate([np.asarray(f[k], float) for f in functions]) for k in range(3)))


def groups(*members) -> Selection:
    ptr = np.cumsum([0] + [len(m) for m in members]).astype(np.int32)
    return Selection(ptr, np.concatenate([np.asarray(m) for m in members]).astype(np.int32))


def relu_chain(layers) -> Chain:
    stages = tuple(Stage(np.asarray(W, float), np.asarray(b, float), relu(len(b))) for W, b in layers[:-1])
    W, b = layers[-1]
    return Chain(layers[0][0].shape[1], stages, np.asarray(W, float), np.asarray(b, float))


def box(lo, hi) -> np.ndarray:
    return np.array([[lo[0], lo[1]], [hi[0], lo[1]], [hi[0], hi[1]], [lo[0], hi[1]]], dtype=float)


def floors(chain: Chain, polygon: np.ndarray) -> list[np.ndarray]:
    """A-priori rounding bounds by intervals: e' = |A| e + gamma (|A| |s| + |a|). Simple; the library has sharper ones."""
    size, e, out = np.abs(polygon).max(axis=0), np.zeros(polygon.shape[1]), []
    for A, a, phi in [(s.A, s.a, s.phi) for s in chain.stages] + [(chain.A, chain.a, None)]:
        B, n = abs(A), A.shape[1] + 4
        gamma = n * UNIT / (1 - n * UNIT)
        z = B @ size + np.abs(a)
        e = B @ e + gamma * z
        out.append(e)
        if isinstance(phi, Elementwise):
            slope = np.array([np.abs(phi.slopes[phi.ptr[i] + i:phi.ptr[i + 1] + i + 1]).max() for i in range(phi.n_outputs)])
            offset = np.array([np.abs(phi.offsets[phi.ptr[i] + i:phi.ptr[i + 1] + i + 1]).max() for i in range(phi.n_outputs)])
            size, e = slope * z + offset, slope * e + UNIT * (slope * z + offset)
        elif phi is not None:
            parts = [phi.members[phi.ptr[g]:phi.ptr[g + 1]] for g in range(phi.n_outputs)]
            size, e = np.array([z[p].max() for p in parts]), np.array([e[p].max() for p in parts])
    return out


def planar(chain: Chain, polygon: np.ndarray = SQUARE, **options) -> Cells:
    return enumerate_planar(chain, polygon, floors=floors(chain, polygon), **options)


def bench_nets():
    """../shared/bench/gen_nets.py, by path; the test is skipped where it is not there."""
    path = Path(__file__).resolve().parents[3] / "shared" / "bench" / "gen_nets.py"
    if not path.exists():
        pytest.skip("shared/bench is not beside the repository")
    spec = importlib.util.spec_from_file_location("gen_nets", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
