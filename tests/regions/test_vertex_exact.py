"""The vertex engine finds the regions of exact rational arithmetic in 1 to 5 dimensions, and in the plane those of the planar
engine; degenerate networks included."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp

from pellucid.chain.chain import Chain, Stage
from pellucid.regions import Table, enumerate_planar, enumerate_search, enumerate_vertex, unpack_codes

from . import exact_polytopes as exact
from . import test_planar_exact as planar_kinds
from .nets import box, floors, groups, relu, rows, same
from .test_planar_exact import ABSOLUTE, DOUBLE, HARD, JUMP, LEAKY, PASS, RELU, STEP, WIDE, offsets, weights


def halfspaces(lo, hi):
    d = len(lo)
    return np.vstack([np.eye(d), -np.eye(d)]), np.concatenate([np.asarray(hi, float), -np.asarray(lo, float)])


def vertex(chain: Chain, lo, hi, **options) -> Table:
    options.setdefault("threads", 1)
    return enumerate_vertex(chain, *halfspaces(lo, hi), floors=floors(chain, np.array([lo, hi], float)), **options)


def keys_of(table, chain) -> list[tuple]:
    none = np.full(len(table), -1)
    first = none if table.first is None else table.first
    second = none if table.second is None else table.second
    codes = unpack_codes(table.codes, chain.n_pieces).tolist()
    return [(tuple(c), f, s) for c, f, s in zip(codes, first.tolist(), second.tolist(), strict=True)]


# ---- kinds of networks of d inputs
def layers(rng, d, *widths):
    sizes = [d, *widths]
    return [(weights(rng, o, i), offsets(rng, o)) for i, o in pairwise(sizes)]


def chain_of(layers, phi=relu) -> Chain:
    return Chain(layers[0][0].shape[1], tuple(Stage(W, b, phi(len(b))) for W, b in layers[:-1]), *layers[-1])


def plain(rng, d):
    return chain_of(layers(rng, d, 4, 3, 2))


def deep(rng, d):
    return chain_of(layers(rng, d, 2, 2, 2, 2, 1))


def one_unit(rng, d):
    return chain_of(layers(rng, d, 1, 1))


def one_layer(rng, d):
    return chain_of(layers(rng, d, 5, 3))


def no_layer(rng, d):
    return chain_of(layers(rng, d, 3))


def zero_biases(rng, d):
    return chain_of([(W, 0 * b) for W, b in layers(rng, d, 5, 3, 2)])


def integers(rng, d):
    def small(*shape):
        return rng.integers(-2, 3, size=shape).astype(float)
    return chain_of([(small(5, d), small(5)), (small(3, 5), small(3)), (small(2, 3), small(2))])


def signs(rng, d):
    """Weights -1, 0, 1 and no bias: hyperplanes through many vertices of the box at once."""
    W = rng.integers(-1, 2, size=(5, d)).astype(float)
    (V, c), last = layers(rng, 5, 3, 2)
    return chain_of([(W, np.zeros(5)), (V, c), last])


def duplicates(rng, d):
    (W, b), (V, c), last = layers(rng, d, 6, 4, 2)
    W[3:], b[3:] = np.array([[1], [-2], [0.5]]) * W[:3], np.array([1, -2, 0.5]) * b[:3]
    V[2:], c[2:] = V[:2], c[:2]
    return chain_of([(W, b), (V, c), last])


def dead(rng, d):
    (W, b), (V, c), last = layers(rng, d, 5, 4, 2)
    W[0], b[0], W[1], b[1] = 0, 0, 0, -1
    V[0], c[0], V[1], c[1] = 0, 0, -np.abs(V[1]), 0
    return chain_of([(W, b), (V, c), last])


def scaled(rng, d):
    (W, b), (V, c), last = layers(rng, d, 4, 3, 2)
    k = 2.0 ** rng.integers(-30, 31, size=4)
    return chain_of([(W * k[:, None], b * k), (V / k, c), last])


def near_parallel(rng, d):
    (W, b), second, last = layers(rng, d, 4, 2, 2)
    W[1:3], b[1:3] = W[0], b[0]
    W[1, 0] += 2.0**-12
    W[2, 1 % d] -= 2.0**-12
    return chain_of([(W, b), second, last])


def mixed_units(rng, d):
    kinds = [RELU, LEAKY, ABSOLUTE, HARD, STEP, JUMP, PASS, DOUBLE, WIDE]
    return chain_of(layers(rng, d, 3, 2, 2), lambda n: rows([kinds[k] for k in rng.integers(len(kinds), size=n)]))


def many_pieces(rng, d):
    return chain_of(layers(rng, d, 2, 1, 1), lambda n: same(n, *WIDE))


def winners(rng, d):
    m = int(rng.integers(2, 6))
    first = Stage(weights(rng, m, d), offsets(rng, m), groups(range(m), range(m // 2, m)))
    second = Stage(weights(rng, 4, 2), offsets(rng, 4), groups([3, 0], [1], [2, 1, 0]))
    return Chain(d, (first, second), weights(rng, 2, 3), offsets(rng, 2))


def pooled(rng, d):
    (W, b), (V, c), last = layers(rng, d, 3, 4, 2)
    return Chain(d, (Stage(W, b, relu(3)), Stage(V, c, groups([0, 1], [2, 3]))), last[0][:, :2].copy(), last[1])


def tied_winners(rng, d):
    W = rng.integers(-1, 2, size=(6, d)).astype(float)
    return Chain(d, (Stage(W, np.zeros(6), groups(range(6), [5, 2, 1])),), weights(rng, 2, 2), offsets(rng, 2))


def sparse(rng, d):
    (W, b), (V, c), last = layers(rng, d, 4, 12, 2)
    V[:] = 0
    V[np.arange(6), np.arange(6) % 4] = weights(rng, 6, 1)[:, 0]
    last[0][:, 2:] = 0
    return Chain(d, (Stage(W, b, relu(4)), Stage(sp.csr_array(V), c, relu(12))), sp.csr_array(last[0]), last[1])


KINDS = [plain, deep, one_unit, one_layer, no_layer, zero_biases, integers, signs, duplicates, dead, scaled, near_parallel, mixed_units,
         many_pieces, winners, pooled, tied_winners, sparse]
SPLITS = [None, "argmax", "top2", "labels"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
@pytest.mark.parametrize(("d", "rounds"), [(1, 4), (2, 4), (3, 5), (4, 2), (5, 1)])
def test_regions_are_the_exact_ones(kind, d, rounds):
    for seed in range(rounds):
        rng = np.random.default_rng([KINDS.index(kind), d, seed])
        chain = kind(rng, d)
        split = SPLITS[seed % len(SPLITS)]
        if split == "top2" and chain.n_outputs < 2:
            split = "argmax"
        if split == "labels":
            split = ("labels", offsets(rng, chain.n_outputs))
        lo, hi = -np.ones(d), np.ones(d)
        table = vertex(chain, lo, hi, split=split, facets=True)
        found, expected = keys_of(table, chain), exact.regions(chain, exact.box_cell(lo, hi), split)
        assert found == sorted(expected), (seed, split)
        assert table.unresolved == 0
        assert abs(table.volume.sum() / 2**d - 1) < 1e-12
        assert (table.volume > 0).all()


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_it_equals_the_search_engine(kind):
    agree_with_search(kind, range(1, 8))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_it_equals_the_search_engine_in_eight_dimensions(kind):
    agree_with_search(kind, [8])


def agree_with_search(kind, dims):
    for d in dims:
        for seed in range(2):
            rng = np.random.default_rng([KINDS.index(kind), d, 100 + seed])
            chain, split = kind(rng, d), SPLITS[(d + seed) % 2]
            lo, hi = -np.ones(d), np.ones(d)
            table = vertex(chain, lo, hi, split=split)
            other = enumerate_search(chain, *halfspaces(lo, hi), floors=floors(chain, np.array([lo, hi])), split=split, threads=1)
            assert keys_of(table, chain) == keys_of(other, chain), (d, seed)
            assert abs(table.volume.sum() / 2**d - 1) < 1e-9


# ---- the plane
@pytest.mark.parametrize("kind", planar_kinds.KINDS, ids=lambda k: k.__name__)
def test_in_the_plane_it_equals_the_planar_engine(kind):
    for seed in range(12):
        rng = np.random.default_rng([planar_kinds.KINDS.index(kind), seed, 7])
        chain, polygon = kind(rng)
        split = planar_kinds.SPLITS[seed % 5]
        if split == "top2" and chain.n_outputs < 2:
            split = "argmax"
        if split == "labels":
            split = ("labels", offsets(rng, chain.n_outputs))
        edges = np.roll(polygon, -1, axis=0) - polygon
        G = np.stack([edges[:, 1], -edges[:, 0]], axis=1)
        h = (G * polygon).sum(axis=1)
        bounds = floors(chain, polygon)
        cells = enumerate_planar(chain, polygon, floors=bounds, split=split, threads=1)
        table = enumerate_vertex(chain, G, h, floors=bounds, split=split, threads=1)
        assert keys_of(table, chain) == keys_of(cells, chain), (seed, split)
        assert np.allclose(table.volume, cells.area, rtol=1e-9, atol=1e-12 * cells.area.sum())
        assert np.allclose(table.coef, cells.coef, rtol=1e-12, atol=1e-12 * np.abs(cells.coef).max())
        assert (table.unresolved, table.ties) == (cells.unresolved, cells.ties)


def test_one_dimension():
    chain = chain_of([(np.array([[1.0], [1.0]]), np.array([0.0, -0.5])), (np.array([[1.0, -2.0]]), np.zeros(1))])
    table = vertex(chain, [-1.0], [1.0], vertices=True, facets=True)
    assert unpack_codes(table.codes, chain.n_pieces).tolist() == [[0, 0], [1, 0], [1, 1]]
    assert table.volume.tolist() == [1, 0.5, 0.5]
    assert np.array_equal(box([0, 0], [1, 1]).shape, (4, 2))
