"""The search engine: the same regions as the planar engine and as slow references, in every dimension; facets; budgets."""

from __future__ import annotations

import _thread
from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import linprog

from pellucid import _core
from pellucid.chain.chain import Chain, Stage
from pellucid.chain.local_maps import local_maps, unit_maps
from pellucid.errors import DomainError, Interrupted
from pellucid.regions import Table, chebyshev, codes_of, enumerate_search, facets, match_codes, pack_codes, unpack_codes

from .nets import UNIT, bench_nets, groups, planar, relu, relu_chain, rows, same
from .nets import floors as planar_floors
from .polytopes import box_rows, radius, regions, sweep
from .test_planar_exact import JUMP, KINDS, LEAKY, SPLITS, WIDE, offsets

COUNTS = {"A1_2x32x32": 781, "A2_2x64x64x64": 4841, "C2_piecewise_2d": 483, "B1_3x32x32": 9832, "C1_piecewise_5d": 87949,
          "D1_10x50x50_r.05": 7012, "D4_13x20x20_r.1": 316, "B2_3x64x64": 110728}


def floors(chain: Chain, G, h) -> list[np.ndarray]:
    """A-priori rounding bounds of ReLU-like chains, by intervals."""
    size = np.array([max(abs(linprog(s * e, A_ub=G, b_ub=h, bounds=[(None, None)] * len(e)).fun) for s in (1, -1))
                     for e in np.eye(chain.n_inputs)])
    e, out = 4 * UNIT * size, []
    for A, a in [(s.A, s.a) for s in chain.stages] + [(chain.A, chain.a)]:
        gamma = (A.shape[1] + 4) * UNIT
        z = abs(A) @ size + np.abs(a)
        e = abs(A) @ e + gamma * z
        out.append(e)
        phi = chain.stages[len(out) - 1].phi if len(out) <= len(chain.stages) else None
        if phi is not None and hasattr(phi, "members"):
            parts = list(pairwise(phi.ptr))
            size, e = np.array([z[phi.members[i:j]].max() for i, j in parts]), np.array([e[phi.members[i:j]].max() for i, j in parts])
        elif phi is not None:
            slope, offset = np.abs(phi.padded[1]).max(axis=1), np.abs(phi.padded[2]).max(axis=1)
            size, e = slope * z + offset, slope * e + UNIT * (slope * z + offset)
    return out


def search(chain: Chain, G, h, **options) -> Table:
    return enumerate_search(chain, G, h, floors=floors(chain, G, h), **options)


def cube(d: int, half: float = 1.0):
    return box_rows(np.full(d, -half), np.full(d, half))


def random_layers(rng, *sizes, gain=1.5):
    return [(rng.normal(size=(o, i)) * gain / np.sqrt(i), rng.normal(size=o) / 2) for i, o in pairwise(sizes)]


def halfplanes(polygon):
    edge = np.roll(polygon, -1, axis=0) - polygon
    n = np.stack([edge[:, 1], -edge[:, 0]], axis=1)
    n /= np.linalg.norm(n, axis=1)[:, None]
    return n, (n * polygon).sum(axis=1)


def code_set(table: Table, chain: Chain) -> set[tuple[int, ...]]:
    found = [tuple(c) for c in unpack_codes(table.codes, chain.n_pieces).tolist()]
    assert found == sorted(found)
    assert len(set(found)) == len(found)
    return set(found)


def check_points(table: Table, chain: Chain, G, h):
    """Each point lies inside the domain and has its region's code, but for units that are constant at a breakpoint."""
    assert (table.clearance > 0).all()
    assert (h - table.points @ G.T >= table.clearance[:, None] * np.linalg.norm(G, axis=1) * (1 - 1e-6)).all()
    pieces, own = unpack_codes(table.codes, chain.n_pieces), unpack_codes(codes_of(chain, table.points), chain.n_pieces)
    spans = [(start, outputs) for start, outputs in chain.columns]
    for k in np.flatnonzero((pieces != own).any(axis=1)):
        maps = unit_maps(chain, pieces[k])
        for column in np.flatnonzero(pieces[k] != own[k]):
            stage = max(i for i, (start, outputs) in enumerate(spans) if start <= column and len(outputs))
            start, outputs = spans[stage]
            phi, (Z, z) = chain.stages[stage].phi, maps[stage]
            i = outputs[column - start]
            if hasattr(phi, "members"):
                a, b = phi.members[phi.ptr[i] + pieces[k, column]], phi.members[phi.ptr[i] + own[k, column]]
                flat, gap = Z[a] - Z[b], z[a] - z[b]
            else:
                t = phi.breaks[phi.ptr[i] + min(pieces[k, column], own[k, column])]
                flat, gap = Z[i], z[i] - t
            assert np.abs(flat).max() < 1e-9
            assert abs(gap) < 1e-9


# ---- counts
@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_counts_of_the_shared_networks(name, count):
    layers, lo, hi = bench_nets().load(name)
    chain, (G, h) = relu_chain(layers), box_rows(lo, hi)
    table = search(chain, G, h)
    assert (len(table), table.n_regions, table.complete, table.unresolved) == (count, count, True, 0)
    assert np.array_equal(match_codes(table.codes, codes_of(chain, table.points)), np.arange(count))
    X = lo + (hi - lo) * np.random.default_rng(0).random((100_000, len(lo)))
    found = match_codes(table.codes, codes_of(chain, X))
    assert (found >= 0).all()
    y = np.einsum("kcj,kj->kc", table.coef[found], X) + table.intercept[found]
    assert np.abs(y - chain(X)).max() < 1e-12 * max(1, np.abs(y).max())


# ---- references
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_regions_are_those_of_the_planar_engine(kind):
    for seed in range(16):
        rng = np.random.default_rng([KINDS.index(kind), seed])
        chain, polygon = kind(rng)
        split = SPLITS[(seed // 3) % len(SPLITS)]
        if split == "top2" and chain.n_outputs < 2:
            split = "argmax"
        if split == "labels":
            split = ("labels", offsets(rng, chain.n_outputs))
        cells, (G, h) = planar(chain, polygon, split=split), halfplanes(polygon)
        table = enumerate_search(chain, G, h, floors=planar_floors(chain, polygon), split=split)
        for column in ("codes", "first", "second"):
            assert np.array_equal(getattr(table, column), getattr(cells, column)), (seed, split, column)
        assert (table.ties, table.unresolved > 0) == (cells.ties, cells.unresolved > 0)
        assert np.allclose(table.coef, cells.coef, rtol=1e-9, atol=1e-9 * np.abs(cells.coef).max())
        check_points(table, chain, G, h)


@pytest.mark.parametrize("seed", range(6))
def test_on_a_line_regions_are_those_of_a_sweep(seed):
    rng = np.random.default_rng(seed)
    phi = [relu, lambda n: same(n, *LEAKY), lambda n: same(n, *WIDE)][seed % 3]
    layers = random_layers(rng, 1, 6, 5, 4, 2)
    chain = Chain(1, tuple(Stage(W, b, phi(len(b))) for W, b in layers[:-1]), *layers[-1])
    table = search(chain, *box_rows([-2.0], [3.0]))
    expected = sweep(chain, -2.0, 3.0)
    order = np.argsort(table.points[:, 0])
    assert [tuple(c) for c in unpack_codes(table.codes, chain.n_pieces)[order].tolist()] == _merged(expected)


def _merged(codes):
    """A code can come back later, behind a jump; then it names one region to us as to the planar engine."""
    assert len(set(codes)) == len(codes)
    return codes


def plain(rng, d):
    return relu_chain(random_layers(rng, d, 4, 4, 2))


def zero_biases(rng, d):
    return relu_chain([(W, 0 * b) for W, b in random_layers(rng, d, 5, 3, 1)])


def integers(rng, d):
    def small(*shape):
        return rng.integers(-2, 3, size=shape).astype(float)
    return relu_chain([(small(4, d), small(4)), (small(3, 4), small(3)), (small(1, 3), small(1))])


def duplicates(rng, d):
    (W, b), (V, c), last = random_layers(rng, d, 5, 4, 1)
    W[3:], b[3:], V[2:], c[2:] = np.array([[-1], [0.3]]) * W[:2], np.array([-1, 0.3]) * b[:2], V[:2], c[:2]
    return relu_chain([(W, b), (V, c), last])


def dead(rng, d):
    (W, b), (V, c), last = random_layers(rng, d, 4, 4, 1)
    W[0], b[0], V[0], c[0], V[1], c[1] = 0, 0, 0, 0, -np.abs(V[1]), 0
    return relu_chain([(W, b), (V, c), last])


def along_faces(rng, d):
    """Hyperplanes that hold faces, corners and the centre of the cube."""
    W, b = rng.choice([-1.0, 0, 1], size=(5, d)), rng.choice([-1.0, 0, 1], size=5)
    W[0], b[0] = np.eye(d)[0], -1
    return relu_chain([(W, b), *random_layers(rng, 5, 3, 1)])


def multi(rng, d):
    layers = random_layers(rng, d, 3, 2, 1)
    kinds = [rows([WIDE, LEAKY, ([], [1.0], [0.0])]), rows([JUMP, ([0.0], [0.0, 1.0], [0.0, 0.0])])]
    return Chain(d, tuple(Stage(W, b, phi) for (W, b), phi in zip(layers, kinds, strict=False)), *layers[-1])


def winners(rng, d):
    (W, b), (V, c), last = random_layers(rng, d, 5, 4, 2)
    first = Stage(W, b, groups([0, 1, 2], [3, 4], [4], [0, 4]))
    return Chain(d, (first, Stage(V[:, :4], c, relu(4))), *last)


def tied_winners(rng, d):
    W = rng.integers(-1, 2, size=(5, d)).astype(float)
    return Chain(d, (Stage(W, np.zeros(5), groups(range(5), [4, 1])),), rng.normal(size=(2, 2)), np.zeros(2))


@pytest.mark.parametrize("kind", [plain, zero_biases, integers, duplicates, dead, along_faces, multi, winners, tied_winners],
                         ids=lambda k: k.__name__)
@pytest.mark.parametrize("d", [3, 4, 6, 8])
def test_regions_are_those_of_linear_programmes(kind, d):
    rng = np.random.default_rng([d, 7])
    chain, (G, h) = kind(rng, d), cube(d)
    table = search(chain, G, h)
    assert code_set(table, chain) == regions(chain, G, h)
    check_points(table, chain, G, h)


@pytest.mark.parametrize("split", ["argmax", "top2", ("labels", [0.1, -0.2, 0.0])], ids=str)
@pytest.mark.parametrize("d", [3, 5, 9])
def test_pieces_have_the_winners_at_their_points_and_cover_the_domain(split, d):
    rng = np.random.default_rng(d)
    chain, (G, h) = relu_chain(random_layers(rng, d, 7, 6, 3)), cube(d)
    table = search(chain, G, h, split=split)
    y = chain(table.points)
    first, second = _winners(y, split)
    assert np.array_equal(table.first, first)
    assert split != "top2" or np.array_equal(table.second, second)
    X = rng.uniform(-1, 1, (20_000, d))
    first, second = _winners(chain(X), split)
    codes = codes_of(chain, X)
    known = set(zip(map(bytes, table.codes), table.first, table.second if split == "top2" else table.first, strict=True))
    met = set(zip(map(bytes, codes), first, second if split == "top2" else first, strict=True))
    assert met <= known


def _winners(y, split):
    if isinstance(split, tuple):
        return (y > split[1]) @ (1 << np.arange(y.shape[1])), None
    order = np.argsort(-y, axis=1, kind="stable")
    return order[:, 0], order[:, 1]


# ---- domains
def test_scaling_and_moving_the_box_changes_no_count():
    (W, b), *others = random_layers(np.random.default_rng(3), 4, 12, 12, 1)
    count = len(search(relu_chain([(W, b), *others]), *cube(4)))
    for centre, half in (([0, 0, 0, 0], [1e-6] * 4), ([0, 0, 0, 0], [1e4, 1e-3, 1, 1e6]), ([1e6, -1e5, 0, 3], [1, 10, 1, 0.1])):
        c, s = np.array(centre, float), np.array(half, float)
        moved = relu_chain([(W / s, b - (W / s) @ c), *others])
        assert len(search(moved, *box_rows(c - s, c + s))) == count


@pytest.mark.parametrize("d", [3, 5])
def test_a_simplex_and_a_cut_box_as_domains(d):
    rng = np.random.default_rng(d)
    chain = relu_chain(random_layers(rng, d, 4, 3, 1))
    simplex = np.vstack([-np.eye(d), np.ones((1, d))]), np.concatenate([np.zeros(d), [1.0]])
    G, h = cube(d)
    cut = np.vstack([G, rng.normal(size=(3, d))]), np.concatenate([h, [0.5, 0.1, 2.0]])
    for domain in (simplex, cut):
        table = search(chain, *domain)
        assert code_set(table, chain) == regions(chain, *domain)
        check_points(table, chain, *domain)


@pytest.mark.parametrize(("G", "h"), [(np.eye(2), np.ones(2)),                                    # unbounded
                                      (np.vstack([np.eye(2), -np.eye(2)]), [1, 1, -1, 0]),         # flat
                                      (np.vstack([np.eye(2), -np.eye(2)]), [1, 1, -2, 0]),         # empty
                                      (np.vstack([np.eye(2), -np.eye(2), [[1, 1]]]), [1, 1, 1, 1, -2]),  # one corner
                                      (np.eye(3), np.ones(3))])                                    # another dimension
def test_bad_domains_are_told(G, h):
    chain = relu_chain(random_layers(np.random.default_rng(0), 2, 3, 1))
    with pytest.raises(DomainError):
        enumerate_search(chain, G, h, floors=[np.zeros(3), np.zeros(1)])


def test_a_chain_without_stages_and_one_of_pass_throughs_have_one_region():
    layers = random_layers(np.random.default_rng(0), 3, 2, 2)
    through = Chain(3, (Stage(*layers[0], rows([([], [2.0], [1.0])] * 2)),), *layers[1])
    for chain in (relu_chain(layers[:1]), through):
        table = search(chain, *cube(3))
        assert len(table) == 1
        X = np.random.default_rng(1).uniform(-1, 1, (10, 3))
        assert np.allclose(X @ table.coef[0].T + table.intercept[0], chain(X))


def test_the_largest_dimension():
    rng = np.random.default_rng(0)
    chain, (G, h) = relu_chain(random_layers(rng, 64, 16, 8, 2)), cube(64, 0.1)
    table = search(chain, G, h, max_regions=500)
    assert len(table) == 500
    assert np.array_equal(codes_of(chain, table.points), table.codes)
    found = facets(chain, G, h, table, [0, 17], floors=floors(chain, G, h))
    assert np.diff(found.ptr).min() > 64


# ---- order, threads, budgets
@pytest.fixture(scope="module")
def wide():
    return relu_chain(random_layers(np.random.default_rng(5), 4, 24, 24, 5)), *cube(4)


def same_tables(a: Table, b: Table, but=()) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(Table)
               if f.name not in but and getattr(a, f.name) is not None)


def test_rows_do_not_depend_on_threads(wide):
    one = search(*wide, threads=1)
    assert len(one) > 10_000
    for threads in (2, 5):
        assert same_tables(one, search(*wide, threads=threads))
        few = search(*wide, threads=threads, max_regions=3000)
        assert same_tables(search(*wide, threads=1, max_regions=3000), few,
                           but=("rest_cells", "rest_share", "programmes", "pivots", "cells", "rescued"))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("budget", "reason"), [({"max_regions": 100}, "max_regions"), ({"max_bytes": 50_000}, "max_bytes"),
                                                ({"max_seconds": 0.0}, "max_seconds"), ({"max_regions": 1}, "max_regions")])
def test_a_budget_keeps_what_was_found_and_counts_the_rest(wide, budget, reason, threads):
    part, whole = search(*wide, threads=threads, **budget), search(*wide)
    assert (part.complete, part.reason) == (False, reason)
    assert part.rest_cells > 0
    assert 0 < part.rest_share <= 1
    assert (match_codes(whole.codes, part.codes) >= 0).all()
    if reason == "max_regions":
        assert len(part) == part.n_regions == budget["max_regions"]
    if reason == "max_bytes":
        assert 0.5 < sum(v.nbytes for v in vars(part).values() if isinstance(v, np.ndarray)) / budget["max_bytes"] <= 1


def test_a_budget_that_is_just_enough_is_complete(wide):
    n = len(search(*wide))
    assert search(*wide, max_regions=n).complete
    assert not search(*wide, max_regions=n - 1).complete


@pytest.mark.parametrize("threads", [1, 2])
def test_counting_only_gives_no_rows(wide, threads):
    whole, count = search(*wide), search(*wide, count_only=True, threads=threads)
    assert (count.n_regions, len(count), count.complete) == (len(whole), 0, True)
    part = search(*wide, count_only=True, threads=threads, max_regions=1000)
    assert not part.complete
    assert 1000 <= part.n_regions < len(whole)


def test_without_maps(wide):
    table = search(*wide, maps=False)
    assert table.coef is None
    assert table.intercept is None
    assert np.array_equal(table.codes, search(*wide).codes)


def test_maps_are_those_of_the_codes(wide):
    chain, G, h = wide
    table = search(chain, G, h)
    coef, intercept = local_maps(chain, unpack_codes(table.codes, chain.n_pieces))
    assert np.abs(table.coef - coef).max() < 1e-12
    assert np.abs(table.intercept - intercept).max() < 1e-12


def test_wide_stages_keep_one_map_for_many_cells():
    rng = np.random.default_rng(8)
    (W, b), (V, c), (U, e), last = random_layers(rng, 20, 6, 6, 1000, 3)
    e[6:] = np.sign(e[6:]) * 20                      # most units never cross
    first, second = Stage(W, b, relu(6)), Stage(V, c, groups([0, 1, 2], [3, 4, 5]))
    third = Stage(U[:, :2].copy(), e, same(1000, *LEAKY))
    chain, (G, h) = Chain(20, (first, second, third), *last), cube(20, 0.3)
    table = search(chain, G, h, split="argmax")
    coef, intercept = local_maps(chain, unpack_codes(table.codes, chain.n_pieces))
    assert np.abs(table.coef - coef).max() < 1e-10
    assert np.abs(table.intercept - intercept).max() < 1e-10
    X = rng.uniform(-0.3, 0.3, (20_000, 20))
    assert (match_codes(table.codes, codes_of(chain, X)) >= 0).all()
    assert np.array_equal(codes_of(chain, table.points), table.codes)
    assert len(np.unique(table.codes, axis=0)) > 50


def test_ctrl_c_keeps_what_was_found():
    chain, (G, h) = relu_chain(random_layers(np.random.default_rng(0), 8, 60, 60, 1)), cube(8)
    e = floors(chain, G, h)
    seen = []

    def interrupt(progress):
        seen.append(progress)
        if progress.regions > 1000:
            _thread.interrupt_main()

    with pytest.raises(KeyboardInterrupt) as stop:
        enumerate_search(chain, G, h, floors=e, progress=interrupt)
    assert isinstance(stop.value, Interrupted)
    table = stop.value.partial
    assert table.reason == "cancelled"
    assert len(table) > 1000
    assert seen
    assert 0 <= seen[-1].share <= 1
    assert np.array_equal(match_codes(table.codes, codes_of(chain, table.points)), np.arange(len(table)))


# ---- facets
@pytest.fixture(scope="module", params=[(3, "plain"), (5, "plain"), (8, "plain"), (4, "zero"), (3, "duplicates"), (3, "pool")],
                ids=lambda p: f"{p[1]} in {p[0]}")
def case(request):
    d, kind = request.param
    rng = np.random.default_rng([d, 11])
    make = {"plain": lambda: relu_chain(random_layers(rng, d, 6, 5, 2)), "zero": lambda: zero_biases(rng, d),
            "duplicates": lambda: duplicates(rng, d), "pool": lambda: winners(rng, d)}
    chain, (G, h) = make[kind](), cube(d)
    return chain, G, h, search(chain, G, h)


def sides(found):
    return np.repeat(np.arange(len(found.ptr) - 1), np.diff(found.ptr))


def test_facets_hold_the_region_and_none_can_be_left_out(case):
    chain, G, h, table = case
    found = facets(chain, G, h, table, floors=floors(chain, G, h))
    own = sides(found)
    assert np.allclose(np.linalg.norm(found.A, axis=1), 1)
    assert (np.sum(found.A * table.points[own], axis=1) < found.b).all()
    for k in np.random.default_rng(0).permutation(len(table))[:12]:
        A, b = found.A[own == k], found.b[own == k]
        every, offset = _all_rows(chain, G, h, unpack_codes(table.codes[k:k + 1], chain.n_pieces)[0])
        for row, t in zip(every, offset, strict=True):                    # no halfspace of the region cuts the facets' set
            assert _top(row, A, b) <= t + 1e-8
        for i in range(len(b)):                                           # and that grows without any of them
            others = np.arange(len(b)) != i
            assert _top(A[i], np.vstack([A[others], A[i]]), np.append(b[others], b[i] + 1)) > b[i] + 1e-9


def _top(c, A, b):
    answer = linprog(-c, A_ub=A, b_ub=b, bounds=[(None, None)] * len(c), method="highs")
    return np.inf if answer.status == 3 else -answer.fun


def _all_rows(chain, G, h, code):
    A, b = list(G), list(h)
    column = 0
    for stage, (Z, z) in zip(chain.stages, unit_maps(chain, code), strict=False):
        phi = stage.phi
        for i in range(phi.n_outputs):
            if phi.n_pieces[i] == 1:
                continue
            piece, column = code[column], column + 1
            if hasattr(phi, "members"):
                members = phi.members[phi.ptr[i]:phi.ptr[i + 1]]
                pairs = [(Z[m] - Z[members[piece]], z[members[piece]] - z[m]) for m in members]
            else:
                t = phi.breaks[phi.ptr[i]]
                pairs = [(-Z[i], z[i] - t)] if piece else [(Z[i], t - z[i])]
            for row, offset in pairs:
                if np.linalg.norm(row) > 1e-9:
                    A.append(row / np.linalg.norm(row))
                    b.append(offset / np.linalg.norm(row))
    return np.array(A), np.array(b)


def test_neighbours_are_regions_and_see_each_other(case):
    chain, G, h, table = case
    found = facets(chain, G, h, table, floors=floors(chain, G, h), neighbours=True, threads=2)
    own, inner = sides(found), found.column >= 0
    beyond = match_codes(table.codes, found.beyond)
    assert (beyond >= 0).all()
    assert np.array_equal(beyond[~inner], own[~inner])
    pairs = set(zip(own[inner], beyond[inner], strict=True))
    assert pairs == {(b, a) for a, b in pairs}
    assert not any(a == b for a, b in pairs)
    pieces = unpack_codes(table.codes, chain.n_pieces)
    column = found.column[inner]
    here, there = pieces[own[inner], column], pieces[beyond[inner], column]
    assert np.array_equal(np.sort([here, there], axis=0), [found.low[inner], found.high[inner]])
    domain = -1 - found.column[~inner]
    assert np.allclose(found.A[~inner], G[domain])
    assert np.allclose(found.b[~inner], h[domain])


def test_facets_of_some_rows_and_of_bare_codes(wide):
    chain, G, h = wide
    table, e = search(chain, G, h), floors(chain, G, h)
    some = np.array([5, 0, 999])
    whole, part = facets(chain, G, h, table, floors=e), facets(chain, G, h, table, some, floors=e, threads=1)
    bare = facets(chain, G, h, (table.codes[some], table.points[some]), floors=e)
    for i, k in enumerate(some):
        for other in (part, bare):
            assert np.array_equal(whole.A[whole.ptr[k]:whole.ptr[k + 1]], other.A[other.ptr[i]:other.ptr[i + 1]])
    strange = pack_codes(1 - unpack_codes(table.codes[:50], chain.n_pieces), chain.n_pieces)
    strange = strange[match_codes(table.codes, strange) < 0]
    with pytest.raises(ValueError, match="no region"):
        facets(chain, G, h, (strange, table.points[:len(strange)]), floors=e)


def test_facets_between_classes(wide):
    chain, G, h = wide
    for split in ("argmax", "top2"):
        table = search(chain, G, h, split=split)
        some = np.random.default_rng(0).permutation(len(table))[:300]
        found = facets(chain, G, h, table, some, floors=floors(chain, G, h), split=split)
        own, border = some[sides(found)], found.column == chain.n_columns
        assert border.any()
        named = np.stack([table.first[own]] + ([table.second[own]] if split == "top2" else []))
        assert ((named == found.low) | (named == found.high)).any(axis=0)[border].all()
        k, a, b = own[border], found.low[border], found.high[border]
        normal = table.coef[k, a] - table.coef[k, b]
        cosine = np.sum(normal * found.A[border], axis=1) / np.linalg.norm(normal, axis=1)
        assert np.allclose(np.abs(cosine), 1)


def test_facets_of_slivers_are_given_too():
    """Pairs of units a ten-millionth apart: facets that hardly have an inside."""
    rng = np.random.default_rng(0)
    (W, b), *others = random_layers(rng, 6, 8, 6, 1)
    W[4:] = W[:4] + 1e-7 * rng.normal(size=(4, 6))
    b[4:] = b[:4]
    chain, (G, h) = relu_chain([(W, b), *others]), cube(6)
    table = search(chain, G, h)
    found = facets(chain, G, h, table, floors=floors(chain, G, h), neighbours=True)
    assert (np.sum(found.A * table.points[sides(found)], axis=1) < found.b).all()
    assert np.diff(found.ptr).min() > 6
    assert (match_codes(table.codes, found.beyond) >= 0).mean() > 0.99


def test_volumes_of_the_facets_sets_add_up():
    from scipy.spatial import ConvexHull, HalfspaceIntersection

    chain, (G, h) = relu_chain(random_layers(np.random.default_rng(2), 3, 10, 8, 1)), cube(3)
    table = search(chain, G, h)
    found = facets(chain, G, h, table, floors=floors(chain, G, h))
    inner, _ = chebyshev(chain, G, h, table, floors=floors(chain, G, h))
    volume = sum(ConvexHull(HalfspaceIntersection(np.column_stack([found.A[i:j], -found.b[i:j]]), x).intersections).volume
                 for (i, j), x in zip(pairwise(found.ptr), inner, strict=True))
    assert abs(volume - 8) < 1e-9 * 8


def test_the_largest_balls_are_those_of_highs(case):
    chain, G, h, table = case
    centres, radii = chebyshev(chain, G, h, table, floors=floors(chain, G, h), threads=2)
    assert (radii >= table.clearance * (1 - 1e-9)).all()
    for k in np.random.default_rng(1).permutation(len(table))[:20]:
        A, b = _all_rows(chain, G, h, unpack_codes(table.codes[k:k + 1], chain.n_pieces)[0])
        assert abs(radii[k] - radius(A, b)) < 1e-9
        assert abs((b - A @ centres[k]).min() - radii[k]) < 1e-9


def test_balls_and_facets_are_those_of_u_in_an_uneven_box():
    (W, b), *others = random_layers(np.random.default_rng(4), 3, 5, 4, 1)
    s = np.array([100.0, 0.01, 1])
    chain, (G, h) = relu_chain([(W / s, b), *others]), box_rows(-s, s)
    table = search(chain, G, h)
    centres, radii = chebyshev(chain, G, h, table, floors=floors(chain, G, h))
    found = facets(chain, G, h, table, floors=floors(chain, G, h))
    for k in range(len(table)):
        A, t = found.A[found.ptr[k]:found.ptr[k + 1]], found.b[found.ptr[k]:found.ptr[k + 1]]
        assert abs((t - A @ centres[k]).min() - radii[k]) < 1e-9
        assert abs(radii[k] - radius(A, t)) < 1e-9
        assert (t - A @ table.points[k]).min() >= table.clearance[k] * (1 - 1e-9)


# ---- the simplex by itself
def polytope(rng, d, m, kind):
    """A bounded { A x <= b } around 0, with redundant, double and nearly double rows, or many rows through one vertex."""
    A = np.vstack([np.eye(d), -np.eye(d), rng.normal(size=(m, d))])
    b = np.concatenate([np.ones(2 * d), rng.uniform(0.1, 3, m)])
    if kind == "double":
        A, b = np.vstack([A, A[::2] * 3, A[::3] * (1 + 1e-13)]), np.concatenate([b, b[::2] * 3, b[::3]])
    if kind == "cone":
        A, b = np.vstack([A, rng.normal(size=(3 * d, d))]), np.append(b, np.zeros(3 * d))
    if kind == "integer":
        A, b = np.vstack([A, rng.integers(-1, 2, size=(4 * d, d))]), np.append(b, np.ones(4 * d))
    return A, b


@pytest.mark.parametrize("kind", ["plain", "double", "cone", "integer"])
@pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 8, 13, 32, 64])
def test_maxima_are_those_of_highs(d, kind):
    rng = np.random.default_rng(d)
    for _ in range(12 if d < 32 else 2):
        A, b = polytope(rng, d, int(rng.integers(0, 3 * d + 2)), kind)
        c = rng.normal(size=d)
        status, value, x = _core.lp_maximise(A, b, c, np.zeros(d), np.inf)
        assert status == "optimal"
        assert abs(value - _top(c, A, b)) < 1e-9
        assert (A @ x <= b + 1e-10).all()
        assert abs(c @ x - value) < 1e-10
        status, early, y = _core.lp_maximise(A, b, c, np.zeros(d), value / 2 - 1e-6)
        assert value / 2 - 1e-6 <= early <= value + 1e-9
        assert (A @ y <= b + 1e-10).all()


@pytest.mark.parametrize("kind", ["plain", "double", "cone", "integer"])
@pytest.mark.parametrize("d", [1, 2, 3, 5, 13, 40, 64])
def test_largest_balls_are_found_from_anywhere(d, kind):
    rng = np.random.default_rng(d)
    A, b = polytope(rng, d, d, kind)
    centre, r = _core.lp_chebyshev(A, b, 5 * rng.normal(size=d))
    assert abs(r - radius(A, b)) < 1e-9
    norms = np.linalg.norm(A, axis=1)
    assert (A @ centre + r * norms <= b + 1e-9).all()


def test_unbounded_and_empty_sets_are_told():
    assert _core.lp_maximise(np.eye(2), np.ones(2), np.array([-1.0, 0]), np.zeros(2), np.inf)[0] == "unbounded"
    assert _core.lp_chebyshev(np.eye(2), np.ones(2), np.zeros(2)) is None
    _, r = _core.lp_chebyshev(np.array([[1.0], [-1.0]]), np.array([0.0, -1.0]), np.zeros(1))
    assert r == pytest.approx(-0.5)
