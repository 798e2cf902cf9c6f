"""Laws of the vertex engine on networks too large for exact arithmetic, and counts that other programs agree on."""

from __future__ import annotations

import _thread
import os
import subprocess
import sys
from dataclasses import fields
from itertools import pairwise, product

import numpy as np
import pytest

from pellucid.chain.chain import Chain, Stage
from pellucid.errors import DomainError, Interrupted
from pellucid.regions import Table, codes_of, enumerate_vertex, match_codes, pack_codes, unpack_codes

from .nets import bench_nets, floors, groups, relu, relu_chain, same
from .test_planar_laws import forward
from .test_vertex_exact import halfspaces, vertex

COUNTS = {"B1_3x32x32": 9832, "B2_3x64x64": 110728, "C1_piecewise_5d": 87949, "A1_2x32x32": 781, "C2_piecewise_2d": 483}


def random_layers(rng, *sizes, gain=1.5):
    return [(rng.normal(size=(o, i)) * gain / np.sqrt(i), rng.normal(size=o) / 2) for i, o in pairwise(sizes)]


@pytest.fixture(scope="module")
def wide() -> Chain:
    return relu_chain(random_layers(np.random.default_rng(5), 3, 20, 20, 4))


@pytest.fixture(scope="module")
def four() -> Chain:
    return relu_chain(random_layers(np.random.default_rng(8), 4, 14, 10, 3))


@pytest.fixture(scope="module")
def pooling() -> Chain:
    """A chain with every kind of stage, continuous."""
    rng = np.random.default_rng(6)
    (W, b), (V, c), (U, d), (T, e) = random_layers(rng, 3, 12, 10, 5, 4)
    hard = same(5, [-1.0, 1.0], [0.0, 1.0, 0.1], [-1.0, 0.0, 0.9])
    pool = groups(range(0, 4), range(3, 7), [8, 2], [9], [7, 0])                 # no two members meet in two groups
    return Chain(3, (Stage(W, b, relu(12)), Stage(V, c, pool), Stage(U[:, :5], d, hard)), T, e)


def cube(d):
    return -np.ones(d), np.ones(d)


def same_tables(a: Table, b: Table) -> bool:
    for f in fields(Table):
        p, q = getattr(a, f.name), getattr(b, f.name)
        if f.name == "facets" and p is not None:
            if not all(np.array_equal(getattr(p, g.name), getattr(q, g.name)) for g in fields(type(p))):
                return False
        elif f.name not in ("unresolved_volume", "rest_share") and p is not None and not np.array_equal(p, q):
            return False
    return True


# ---- volumes, codes, maps
@pytest.mark.parametrize("net", ["wide", "four", "pooling"])
@pytest.mark.parametrize("split", [None, "argmax", "top2", "labels"])
def test_volumes_add_up_and_points_have_the_codes_and_classes_of_their_rows(net, split, request):
    chain = request.getfixturevalue(net)
    thresholds = np.array([0.1, 0.0, -0.1, 0.2])[:chain.n_outputs]
    d = chain.n_inputs
    table = vertex(chain, *cube(d), split=("labels", thresholds) if split == "labels" else split)
    assert table.complete
    assert table.unresolved == 0
    assert abs(table.volume.sum() / 2**d - 1) < 1e-12
    assert table.domain_volume == pytest.approx(2**d, rel=1e-14)
    assert np.array_equal(codes_of(chain, table.points), table.codes)
    y = forward(chain, table.points)
    mine = np.einsum("kcj,kj->kc", table.coef, table.points) + table.intercept
    assert np.abs(mine - y).max() < 1e-11 * np.abs(y).max()
    order = np.argsort(-y, axis=1, kind="stable")
    if split == "labels":
        assert np.array_equal(table.first, (y > thresholds) @ (1 << np.arange(len(thresholds))))
    elif split:
        assert np.array_equal(table.first, order[:, 0])
    if split == "top2":
        assert np.array_equal(table.second, order[:, 1])
    words = [table.codes[:, w] for w in range(table.codes.shape[1])] + [c for c in (table.first, table.second) if c is not None]
    assert np.array_equal(np.lexsort(words[::-1]), np.arange(len(table)))


@pytest.mark.parametrize("net", ["wide", "four", "pooling"])
def test_every_random_point_has_the_code_of_a_region(net, request):
    chain = request.getfixturevalue(net)
    table = vertex(chain, *cube(chain.n_inputs))
    X = np.random.default_rng(1).uniform(-1, 1, (20000, chain.n_inputs))
    region = match_codes(table.codes, codes_of(chain, X))
    assert (region >= 0).all()
    share = np.bincount(region, minlength=len(table)) / len(X)
    big = table.volume / table.volume.sum() > 0.01
    assert np.abs(share - table.volume / table.volume.sum())[big].max(initial=0) < 0.01


@pytest.mark.parametrize("d", [2, 3, 4, 5, 6])
def test_volumes_are_those_of_the_convex_hulls(d):
    from scipy.spatial import ConvexHull

    chain = relu_chain(random_layers(np.random.default_rng(d), d, 6, 4, 1))
    table = vertex(chain, *cube(d), vertices=True)
    assert abs(table.volume.sum() / 2**d - 1) < 1e-12
    for k in np.random.default_rng(0).choice(len(table), size=min(40, len(table)), replace=False):
        hull = ConvexHull(table.vertices[table.vertex_ptr[k]:table.vertex_ptr[k + 1]])
        assert hull.volume == pytest.approx(table.volume[k], rel=1e-7, abs=1e-12)


def test_volumes_of_cells_with_many_vertices_that_are_not_simple():
    # |x_1| + ... + |x_5| <= 1 as the cell where 32 units are off: 10 vertices, each on 16 facets
    W = np.array(list(product([-1.0, 1.0], repeat=5)))
    chain = relu_chain([(W, np.full(32, -1.0)), (np.ones((1, 32)), np.zeros(1))])
    table = vertex(chain, -2 * np.ones(5), 2 * np.ones(5), vertices=True, facets=True)
    assert abs(table.volume.sum() / 4**5 - 1) < 1e-12
    k = int(match_codes(table.codes, np.zeros((1, 1), dtype=np.uint64))[0])
    assert table.volume[k] == pytest.approx(2**5 / 120, rel=1e-12)
    assert table.vertex_ptr[k + 1] - table.vertex_ptr[k] == 10
    assert table.facets.ptr[k + 1] - table.facets.ptr[k] == 32


def test_a_cell_with_more_facets_than_a_word_has_bits():
    rng = np.random.default_rng(3)
    W = rng.normal(size=(150, 3))
    W /= np.linalg.norm(W, axis=1)[:, None]
    chain = relu_chain([(W, np.full(150, -0.9)), (np.ones((1, 150)), np.zeros(1))])
    table = vertex(chain, *cube(3), facets=True, vertices=True, threads=2)
    sides = np.diff(table.facets.ptr)
    assert sides.max() > 64                              # the ball-like cell in the middle
    assert abs(table.volume.sum() / 8 - 1) < 1e-12
    assert np.array_equal(codes_of(chain, table.points), table.codes)
    # Euler: a simple polytope in space with V vertices has V / 2 + 2 facets
    assert np.array_equal(np.diff(table.vertex_ptr) // 2 + 2, sides)


def nearly_degenerate(rng) -> Chain:
    """Small integers, duplicates and hyperplanes through corners, moved by 1e-14 to 1e-7: around the tolerance and far below."""
    d, n, m = int(rng.integers(2, 7)), int(rng.integers(3, 8)), int(rng.integers(2, 6))
    kind, size = rng.integers(5), 10.0**rng.integers(-14, -6)
    W, b = rng.integers(-2, 3, size=(n, d)).astype(float), rng.integers(-1, 2, size=n).astype(float)
    if kind == 1:
        b[:] = 0
    elif kind == 2:
        W, b = rng.normal(size=(n, d)), rng.normal(size=n) / 3
        W[n // 2:], b[n // 2:] = W[:n - n // 2], b[:n - n // 2]
    elif kind == 3:
        W, b = np.sign(rng.normal(size=(n, d))), np.zeros(n)
    elif kind == 4:
        W, b = np.sign(rng.normal(size=(n, d))), rng.choice([0, 1, -1, 0.5], size=n)
    V, c = rng.integers(-2, 3, size=(m, n)).astype(float), rng.integers(-1, 2, size=m).astype(float)

    def moved(a):
        return a + size * rng.normal(size=a.shape) * (rng.random(a.shape) < 0.5)
    return relu_chain([(moved(W), moved(b)), (moved(V), c), (rng.normal(size=(2, m)), rng.normal(size=2))])


@pytest.mark.parametrize("split", [None, "argmax", "top2"])
def test_nothing_is_lost_where_hyperplanes_nearly_meet(split):
    for seed in range(100):
        chain = nearly_degenerate(np.random.default_rng(seed))
        d = chain.n_inputs
        table = vertex(chain, *cube(d), split=split)
        assert abs(table.volume.sum() / 2**d - 1) < 1e-8, seed
        keys = [table.codes[:, w] for w in range(table.codes.shape[1])] + [c for c in (table.first, table.second) if c is not None]
        assert len(np.unique(np.stack(keys, axis=1).astype(np.uint64), axis=0)) == len(table)
        if seed % 10 == 0:
            without = vertex(chain, *cube(d), split=split, volumes=False)
            assert np.array_equal(without.codes, table.codes)


# ---- facets
@pytest.mark.parametrize(("net", "split"), [("wide", None), ("wide", "argmax"), ("four", None), ("pooling", None), ("pooling", "top2")])
def test_facets_are_minimal_and_hold_the_region(net, split, request):
    chain = request.getfixturevalue(net)
    d = chain.n_inputs
    table = vertex(chain, *cube(d), split=split, facets=True, vertices=True)
    f = table.facets
    assert np.allclose(np.linalg.norm(f.A, axis=1), 1)
    for k in np.random.default_rng(0).choice(len(table), size=200):
        V = table.vertices[table.vertex_ptr[k]:table.vertex_ptr[k + 1]]
        part = slice(f.ptr[k], f.ptr[k + 1])
        slack = f.b[part] - V @ f.A[part].T
        assert slack.min() > -1e-12
        for on in (np.abs(slack) < 1e-11).T:
            assert np.linalg.matrix_rank(V[on] - V[on][0], tol=1e-12) == d - 1
        assert (np.abs(slack) < 1e-11).sum(axis=1).min() >= d


def test_facets_name_the_unit_and_the_pieces_on_both_sides(pooling):
    table = vertex(pooling, *cube(3), facets=True)
    f = table.facets
    row = np.repeat(np.arange(len(table)), np.diff(f.ptr))
    inner = f.column >= 0
    pieces = unpack_codes(table.codes, pooling.n_pieces)
    here = pieces[row[inner], f.column[inner]]
    assert np.array_equal(here, np.where(f.side, f.high, f.low)[inner])
    # across the facet only that unit changes: the neighbour is the row of that code
    pieces = pieces[row[inner]].astype(np.uint16)
    pieces[np.arange(inner.sum()), f.column[inner]] = np.where(f.side, f.low, f.high)[inner]
    beyond = match_codes(table.codes, pack_codes(pieces, pooling.n_pieces))
    assert (beyond >= 0).all()
    # the maps agree on the facet's plane: their difference is a multiple of its equation
    A, b = f.A[inner], f.b[inner]
    jump = table.coef[beyond] - table.coef[row[inner]]
    step = table.intercept[beyond] - table.intercept[row[inner]]
    along = np.einsum("fcj,fj->fc", jump, A)
    assert np.abs(jump - along[:, :, None] * A[:, None, :]).max() < 1e-10
    assert np.abs(step + along * b[:, None]).max() < 1e-10
    # seams: both sides are there, and each row is on its own side
    assert set(np.unique(f.seam[inner & (f.side == 0)])) == set(np.unique(f.seam[inner & (f.side == 1)]))


def test_faces_of_the_domain_are_named_by_their_rows(four):
    d = 4
    table = vertex(four, *cube(d), facets=True)
    f = table.facets
    G, h = halfspaces(*cube(d))
    outer = f.column < 0
    assert set(-1 - f.column[outer]) == set(range(2 * d))
    assert np.allclose(f.A[outer], G[-1 - f.column[outer]])
    assert np.allclose(f.b[outer], h[-1 - f.column[outer]])


# ---- domains
def test_a_domain_with_oblique_faces(wide):
    G, h = halfspaces(*cube(3))
    G = np.vstack([G, [[1.0, 1, 1], [1, -1, 0.5], [2, 0, 0]]])
    h = np.concatenate([h, [1.0, 0.25, 7.0]])
    bounds = floors(wide, np.array(cube(3)))
    whole = enumerate_vertex(wide, G[:6], h[:6], floors=bounds, facets=True)
    table = enumerate_vertex(wide, G, h, floors=bounds, facets=True)
    assert abs(table.volume.sum() / table.domain_volume - 1) < 1e-12
    assert (table.points @ G.T < h).all()
    assert (match_codes(whole.codes, table.codes) >= 0).all()
    assert set(-1 - table.facets.column[table.facets.column < 0]) == set(range(8))
    X = np.random.default_rng(0).uniform(-1, 1, (200000, 3))
    inside = (h - X @ G.T).min(axis=1) >= 0
    assert table.domain_volume / 8 == pytest.approx(inside.mean(), abs=0.005)
    assert (match_codes(table.codes, codes_of(wide, X[inside])) >= 0).all()


def test_a_simplex_without_a_box(wide):
    G = np.vstack([-np.eye(3), np.ones((1, 3))])
    table = enumerate_vertex(wide, G, np.array([0.0, 0, 0, 1]), floors=floors(wide, np.array(cube(3))), facets=True)
    assert table.domain_volume == pytest.approx(1 / 6, rel=1e-12)
    assert abs(table.volume.sum() * 6 - 1) < 1e-12
    assert set(-1 - table.facets.column[table.facets.column < 0]) == set(range(4))


@pytest.mark.parametrize(("centre", "half"), [((0, 0, 0), (1e-6,) * 3), ((0, 0, 0), (1e6,) * 3), ((0, 0, 0), (1e4, 1, 1e-3)),
                                              ((1e6, 1e6, -1e6), (1, 1, 1))])
def test_scaling_and_moving_the_box_changes_no_count(centre, half):
    (W, b), *others = random_layers(np.random.default_rng(3), 3, 14, 12, 1)
    count = len(vertex(relu_chain([(W, b), *others]), *cube(3)))
    centre, half = np.array(centre, float), np.array(half, float)
    moved = relu_chain([(W / half, b - (W / half) @ centre), *others])
    table = vertex(moved, centre - half, centre + half)
    assert len(table) == count
    assert abs(table.volume.sum() / (8 * np.prod(half)) - 1) < 1e-9


@pytest.mark.parametrize(("G", "h"), [(np.eye(3), np.ones(3)), (np.zeros((0, 3)), np.zeros(0)), (np.eye(2), np.ones(2)),
                                      (np.vstack([np.eye(3), -np.eye(3)]), np.array([1.0, 1, 1, 1, 1, -1])),
                                      (np.vstack([np.eye(3), -np.eye(3), [[1.0, 1, 1]]]), np.array([1.0, 1, 1, 1, 1, 1, -3.5])),
                                      (np.vstack([np.eye(3), -np.eye(3)]), np.array([1.0, 1, 1, 1, np.nan, 1]))])
def test_bad_domains_are_told(wide, G, h):
    with pytest.raises(DomainError):
        enumerate_vertex(wide, G, h, floors=floors(wide, np.array(cube(3))))


# ---- order, threads, budgets
@pytest.mark.parametrize("split", [None, "top2"])
def test_the_result_does_not_depend_on_threads(wide, split):
    options = {"split": split, "facets": True, "vertices": True}
    one = vertex(wide, *cube(3), **options)
    for threads in (2, 3, 8):
        assert same_tables(one, vertex(wide, *cube(3), threads=threads, **options))


def test_threads_give_the_same_result_in_a_long_run():
    layers, lo, hi = bench_nets().load("B2_3x64x64")
    chain = relu_chain(layers)
    one = vertex(chain, lo, hi)
    for threads in (2, 5):
        assert same_tables(one, vertex(chain, lo, hi, threads=threads))
        limited = vertex(chain, lo, hi, threads=threads, max_regions=50_000)
        assert np.array_equal(limited.codes, one.codes[:50_000])
        assert 0 < limited.rest_share < 1


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("budget", "reason"), [({"max_regions": 100}, "max_regions"), ({"max_bytes": 50_000}, "max_bytes"),
                                                ({"max_seconds": 0.0}, "max_seconds"), ({"max_regions": 1}, "max_regions")])
@pytest.mark.parametrize("split", [None, "top2"])
def test_a_budget_keeps_what_was_found_and_gives_the_rest(wide, budget, reason, threads, split):
    from scipy.spatial import ConvexHull

    whole = vertex(wide, *cube(3), split=split)
    table = vertex(wide, *cube(3), split=split, threads=threads, **budget)
    assert (table.complete, table.reason) == (False, reason)
    assert np.array_equal(table.codes, whole.codes[:len(table)])
    parts = zip(table.rest_ptr[:-1], table.rest_ptr[1:], strict=True)
    rest = sum(ConvexHull(table.rest_vertices[a:b], qhull_options="QJ").volume for a, b in parts)
    assert abs(table.volume.sum() + rest - 8) < 1e-6
    assert table.rest_share == pytest.approx(rest / 8, abs=1e-6)
    assert table.rest_cells == len(table.rest_ptr) - 1
    if reason == "max_regions":
        assert len(table) == budget["max_regions"]


def test_a_budget_that_is_just_enough_is_complete(wide):
    n = len(vertex(wide, *cube(3)))
    assert vertex(wide, *cube(3), max_regions=n).complete
    assert not vertex(wide, *cube(3), max_regions=n - 1).complete


def test_only_the_columns_asked_for_are_made(wide):
    table = vertex(wide, *cube(3), maps=False, volumes=False)
    assert (table.coef, table.intercept, table.volume, table.facets, table.vertices, table.vertex_ptr) == (None,) * 6
    assert len(table) == table.n_regions == len(vertex(wide, *cube(3)))


def test_ctrl_c_keeps_what_was_found():
    chain = relu_chain(random_layers(np.random.default_rng(0), 4, 200, 200, 200, 1))
    seen = []

    def interrupt(progress):
        seen.append(progress)
        if progress.regions > 1000:
            _thread.interrupt_main()

    with pytest.raises(KeyboardInterrupt) as stop:
        vertex(chain, *cube(4), progress=interrupt)
    assert isinstance(stop.value, Interrupted)
    table = stop.value.partial
    assert table.reason == "cancelled"
    assert 0 < table.rest_share <= 1
    assert seen
    assert 0 <= seen[-1].share <= 1


# ---- counts
@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_counts_of_the_shared_networks(name, count):
    layers, lo, hi = bench_nets().load(name)
    table = vertex(relu_chain(layers), lo, hi)
    assert (len(table), table.unresolved) == (count, 0)
    assert abs(table.volume.sum() / np.prod(hi - lo) - 1) < 1e-12


def test_tent_maps_in_each_of_three_coordinates_fold_the_cube_4096_times():
    n = 4                                                # 2^(3 n) regions
    first, between = np.kron(np.eye(3), [[1.0], [1]]), np.kron(np.eye(3), [[2.0, -4], [2, -4]])
    shift = np.tile([0.0, -0.5], 3)
    layers = [(first, shift)] + [(between, shift)] * (n - 1) + [(np.kron(np.eye(3), [[2.0, -4]]), np.zeros(3))]
    table = vertex(relu_chain(layers), np.zeros(3), np.ones(3))
    assert len(table) == 2**(3 * n)
    assert np.allclose(table.volume, 2.0**(-3 * n), rtol=1e-9)


def test_the_baseline_code_finds_the_same_regions():
    script = ("import numpy as np; from tests.regions.nets import *; from tests.regions.test_vertex import *; from pellucid import _core;"
              "t = vertex(relu_chain(random_layers(np.random.default_rng(5), 4, 12, 10, 5)), *cube(4));"
              "print(_core.cpu_level(), len(t), t.codes.sum())")
    here = os.path.join(os.path.dirname(__file__), "..", "..")
    path = os.pathsep.join([p for p in sys.path if p])
    out = [subprocess.run([sys.executable, "-c", script], cwd=here, env={**os.environ, "PYTHONPATH": path, "PELLUCID_CPU": level},
                          capture_output=True, text=True, check=True).stdout.split() for level in ("baseline", "")]
    assert out[0][0].endswith("baseline")
    assert out[0][1:] == out[1][1:]
