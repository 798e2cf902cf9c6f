"""The planar engine finds the same regions as exact rational arithmetic, degenerate networks included."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp

from pellucid.chain.chain import Chain, Stage
from pellucid.regions import unpack_codes

from . import exact
from .nets import SQUARE, box, groups, planar, relu, rows, same

RELU, LEAKY, ABSOLUTE = ([0.0], [0.0, 1.0], [0.0, 0.0]), ([0.0], [0.125, 1.0], [0.0, 0.0]), ([0.0], [-1.0, 1.0], [0.0, 0.0])
HARD = ([-1.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 1.0])
STEP, JUMP = ([0.0], [0.0, 0.0], [0.0, 1.0]), ([-0.5, 0.25], [1.0, 0.5, -1.0], [0.0, 1.0, 0.5])
PASS, DOUBLE = ([], [1.0], [0.0]), ([], [2.0], [0.5])
WIDE = ([-1.0, -0.5, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, -1.0, 2.0, 0.0], [0.0, 0.25, 0.5, 0.5, -1.0, 1.0])


def weights(rng, o, i):
    """Sixty-fourths, so that float64 holds them and the exact program stays quick."""
    return np.round(rng.normal(size=(o, i)) * 64) / 64


def offsets(rng, o):
    return np.round(rng.normal(size=o) * 32) / 64


def layers(rng, *widths):
    sizes = [2, *widths]
    return [(weights(rng, o, i), offsets(rng, o)) for i, o in pairwise(sizes)]


def chain_of(layers, phi=relu) -> Chain:
    return Chain(2, tuple(Stage(W, b, phi(len(b))) for W, b in layers[:-1]), *layers[-1])


# ---- kinds of networks; each gives (chain, polygon)
def plain(rng):
    return chain_of(layers(rng, 5, 4, 2)), SQUARE


def deep(rng):
    return chain_of(layers(rng, 3, 3, 3, 3, 1)), SQUARE


def one_unit(rng):
    return chain_of(layers(rng, 1, 1)), SQUARE


def one_layer(rng):
    return chain_of(layers(rng, 7, 3)), SQUARE


def no_layer(rng):
    return chain_of(layers(rng, 3)), SQUARE


def zero_biases(rng):
    return chain_of([(W, 0 * b) for W, b in layers(rng, 5, 4, 2)]), SQUARE


def integers(rng):
    def small(*shape):
        return rng.integers(-2, 3, size=shape).astype(float)
    return chain_of([(small(5, 2), small(5)), (small(4, 5), small(4)), (small(2, 4), small(2))]), SQUARE


def duplicates(rng):
    (W, b), (V, c), last = layers(rng, 6, 4, 2)
    W[3:], b[3:] = np.array([[1], [-2], [0.5]]) * W[:3], np.array([1, -2, 0.5]) * b[:3]
    V[2:], c[2:] = V[:2], c[:2]
    return chain_of([(W, b), (V, c), last]), SQUARE


def dead(rng):
    (W, b), (V, c), last = layers(rng, 5, 4, 2)
    W[0], b[0], W[1], b[1] = 0, 0, 0, -1
    V[0], c[0], V[1], c[1] = 0, 0, -np.abs(V[1]), 0
    return chain_of([(W, b), (V, c), last]), SQUARE


def scaled(rng):
    (W, b), (V, c), last = layers(rng, 5, 4, 2)
    k = 2.0 ** rng.integers(-30, 31, size=5)
    return chain_of([(W * k[:, None], b * k), (V / k, c), last]), SQUARE


def through_vertices(rng):
    """All first lines pass through corners or the middle of the square, or run along an edge."""
    W = np.array([[1.0, 1], [1, -1], [1, 0], [0, 1], [1, 2], [2, 1]])
    b = np.array([0.0, 0, 1, -1, 1, -1])
    _, (V, c), last = layers(rng, 6, 3, 2)
    order = rng.permutation(6)
    return chain_of([(W[order], b[order]), (V, c), last]), SQUARE


def near_parallel(rng):
    (W, b), second, last = layers(rng, 5, 3, 2)
    W[1:3], b[1:3] = W[0] + np.array([[2.0**-12, 0], [0, -(2.0**-12)]]), b[0]
    return chain_of([(W, b), second, last]), SQUARE


def mixed_units(rng):
    kinds = [RELU, LEAKY, ABSOLUTE, HARD, STEP, JUMP, PASS, DOUBLE, WIDE]

    def phi(n):
        return rows([kinds[k] for k in rng.integers(len(kinds), size=n)])
    return chain_of(layers(rng, 4, 3, 2), phi), SQUARE


def leaky(rng):
    return chain_of(layers(rng, 4, 4, 2), lambda n: same(n, *LEAKY)), SQUARE


def jumps(rng):
    return chain_of(layers(rng, 3, 3, 1), lambda n: same(n, *JUMP)), SQUARE


def many_pieces(rng):
    return chain_of(layers(rng, 2, 2, 1), lambda n: same(n, *WIDE)), SQUARE


def winners(rng):
    m = int(rng.integers(2, 7))
    first = Stage(weights(rng, m, 2), offsets(rng, m), groups(range(m), range(m // 2, m)))
    second = Stage(weights(rng, 4, 2), offsets(rng, 4), groups([3, 0], [1], [2, 1, 0]))
    return Chain(2, (first, second), weights(rng, 2, 3), offsets(rng, 2)), SQUARE


def pooled(rng):
    (W, b), (V, c), last = layers(rng, 4, 4, 2)
    first, second = Stage(W, b, relu(4)), Stage(V, c, groups([0, 1], [2, 3]))
    return Chain(2, (first, second), last[0][:, :2].copy(), last[1]), SQUARE


def tied_winners(rng):
    W, b = rng.integers(-1, 2, size=(6, 2)).astype(float), np.zeros(6)
    return Chain(2, (Stage(W, b, groups(range(6), [5, 2, 1])),), weights(rng, 2, 2), offsets(rng, 2)), SQUARE


def sparse(rng):
    (W, b), (V, c), last = layers(rng, 6, 12, 2)
    V[:] = 0
    V[np.arange(12), np.arange(12) % 6] = weights(rng, 12, 1)[:, 0]
    last[0][:, 2:] = 0
    second = Stage(sp.csr_array(V), c, relu(12))
    return Chain(2, (Stage(W, b, relu(6)), second), sp.csr_array(last[0]), last[1]), SQUARE


def polygons(rng):
    chain, _ = plain(rng)
    n = int(rng.integers(3, 9))
    angles = np.sort(rng.uniform(0, 2 * np.pi, n))
    p = np.round(np.stack([2 * np.cos(angles), np.sin(angles)], axis=1) * 256) / 256 + [0.5, -0.25]
    area = exact.area([tuple(map(exact.Fraction, v)) for v in p.tolist()])
    return chain, p if area > 0.1 else SQUARE


def collinear_corners(rng):
    return plain(rng)[0], np.array([[-1.0, -1], [0, -1], [1, -1], [1, 0.5], [1, 1], [-1, 1], [-1, 0]])


def thin_box(rng):
    (W, b), *others = layers(rng, 4, 4, 2)
    return chain_of([(W / [2.0**13, 2.0**-10], b), *others]), box([-(2.0**13), -(2.0**-10)], [2.0**13, 2.0**-10])


def far_box(rng):
    (W, b), *others = layers(rng, 4, 4, 2)
    centre = np.array([2.0**20, -(2.0**18)])
    return chain_of([(W, b - W @ centre), *others]), box(centre - 1, centre + 1)


KINDS = [plain, deep, one_unit, one_layer, no_layer, zero_biases, integers, duplicates, dead, scaled, through_vertices,
         near_parallel, mixed_units, leaky, jumps, many_pieces, winners, pooled, tied_winners, sparse, polygons, collinear_corners,
         thin_box, far_box]
SPLITS = [None, None, "argmax", "top2", "labels"]
ROUNDS = 84                                                    # 24 kinds of 84 networks: 2016


def rows_of(cells, chain) -> dict[tuple, float]:
    codes = unpack_codes(cells.codes, chain.n_pieces)
    none = np.full(len(cells), -1)
    first = none if cells.first is None else cells.first
    second = none if cells.second is None else cells.second
    keys = [(tuple(c), f, s) for c, f, s in zip(codes.tolist(), first.tolist(), second.tolist(), strict=True)]
    assert len(set(keys)) == len(keys), "a region was given twice"
    assert keys == sorted(keys)
    return dict(zip(keys, cells.area.tolist(), strict=True))


def agree(chain, polygon, split=None):
    cells = planar(chain, polygon, split=split)
    assert cells.complete
    found, expected = rows_of(cells, chain), exact.regions(chain, polygon, split)
    assert set(found) == set(expected)
    whole = float(sum(expected.values()))
    for key, size in expected.items():
        assert abs(found[key] - float(size)) <= 1e-9 * whole
    assert abs(sum(found.values()) - whole) <= 1e-12 * whole
    return cells


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_regions_and_areas_are_the_exact_ones(kind, part):
    for seed in range(part, ROUNDS, 4):
        rng = np.random.default_rng([KINDS.index(kind), seed])
        chain, polygon = kind(rng)
        split = SPLITS[(seed // 4) % len(SPLITS)]
        if split == "top2" and chain.n_outputs < 2:
            split = "argmax"
        if split == "labels":
            split = ("labels", offsets(rng, chain.n_outputs))
        try:
            agree(chain, polygon, split)
        except AssertionError as error:
            raise AssertionError(f"{kind.__name__}, seed {seed}, split {split}") from error


def test_ties_over_a_whole_piece_go_to_the_lowest_class_and_are_counted():
    # y_0 = y_1 = relu(x), y_2 = relu(y): where x > max(y, 0) classes 0 and 1 are tied, where both are < 0 all three
    chain = Chain(2, (Stage(np.eye(2), np.zeros(2), relu(2)),), np.array([[1.0, 0], [1, 0], [0, 1]]), np.zeros(3))
    cells = agree(chain, SQUARE, "argmax")
    assert set(cells.first.tolist()) == {0, 2}
    assert cells.ties == 3


def test_a_dead_unit_is_on_its_lower_piece():
    chain = Chain(2, (Stage(np.zeros((1, 2)), np.zeros(1), relu(1)),), np.ones((1, 1)), np.zeros(1))
    assert unpack_codes(planar(chain).codes, chain.n_pieces).tolist() == [[0]]
