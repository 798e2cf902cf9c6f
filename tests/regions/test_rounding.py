"""Engines bound the rounding errors of all maps that they decide by; certificates rest on nothing less (design/rounding.md)."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from networks import relu_network

import pellucid as pel
from pellucid.chain import chain_of, confirmed, own_share, part_factor, rounding, unit_maps
from pellucid.chain.chain import Chain, Elementwise, Stage
from pellucid.geometry import as_slice
from pellucid.regions import enumerate_planar, enumerate_search, enumerate_vertex, unpack_codes
from pellucid.tolerance import OWN_SHARE

from . import exact
from .nets import SQUARE, UNIT, floors, groups, relu, rows, same
from .test_planar_exact import ABSOLUTE, HARD, JUMP, LEAKY, PASS, RELU, WIDE

BOX = {k: (np.vstack([np.eye(k), -np.eye(k)]), np.ones(2 * k)) for k in (2, 3, 4)}


def layers(rng, *sizes):
    return [(rng.normal(size=(o, i)) * np.sqrt(2 / i), 0.3 * rng.normal(size=o)) for i, o in pairwise(sizes)]


def stages(k, widths, seed, phi):
    *inner, (W, b) = layers(np.random.default_rng(seed), k, *widths, 2)
    return Chain(k, tuple(Stage(A, a, phi(len(a))) for A, a in inner), W, b)


def plain(k, seed):
    return stages(k, (6, 5, 5, 4), seed, relu)


def wide(k, seed):                                          # codes of two words
    return stages(k, (6, 60, 4), seed, relu)


def mixed(k, seed):
    kinds = [RELU, LEAKY, ABSOLUTE, HARD, JUMP, PASS, WIDE]
    return stages(k, (7, 5), seed, lambda n: rows([kinds[(seed + i) % 7] for i in range(n)]))


def pooled(k, seed):
    (A, a), (B, b), (C, c) = layers(np.random.default_rng(seed), k, 6, 4, 2)
    pool = groups([0, 1, 2], [2, 3], [4], [5, 0])
    (D, d), = layers(np.random.default_rng(seed), 4, 4)
    return Chain(k, (Stage(A, a, pool), Stage(B[:, :4], b, relu(4)), Stage(D, d, groups([0, 1], [3, 2], [2], [1]))), C, c)


def sparse(k, seed):
    rng = np.random.default_rng(seed)
    (A, a), (B, b), (C, c) = layers(rng, k, 9, 8, 2)
    B = sp.csr_array(np.where(rng.uniform(size=B.shape) < 0.2, B, 0.0))
    return Chain(k, (Stage(A, a, relu(9)), Stage(B, b, relu(8))), C, c)


def degenerate(k, seed):                                    # no biases, dead, constant and duplicate units
    *inner, (W, b) = layers(np.random.default_rng(seed), k, 6, 6, 6, 2)
    made = []
    for A, a in inner:
        A, a = A.copy(), np.zeros_like(a)
        A[1], A[2], a[3] = A[0], 0, -100.0
        made.append(Stage(A, a, relu(6)))
    return Chain(k, tuple(made), W, 0 * b)


def none(k, seed):
    return stages(k, (), seed, relu)


CHAINS = [plain, wide, mixed, pooled, sparse, degenerate, none]


def found(engine, chain, first, *, floor=None, split=None, threads=1, **more):
    k, at = chain.n_inputs, {"floors": floor or floors(chain, np.ones((2, chain.n_inputs))), "watched": first, "split": split}
    if engine == "planar":
        return enumerate_planar(chain, SQUARE, threads=threads, **at, **more)
    run = enumerate_vertex if engine == "vertex" else enumerate_search
    return run(chain, *BOX[k], threads=threads, **at, **more)


def bounds(chain, code, first):
    """The recursion of native/rounding.hpp for one code, with maps by numpy: for each stage and the outputs, (rows,)."""
    out, k = [], chain.n_inputs
    e, terms, count = first, None, None
    for l, (layer, (G, g)) in enumerate(zip((*chain.stages, chain), unit_maps(chain, code), strict=True)):
        A = abs(layer.A)
        if l:
            n = (count + 9) * UNIT
            e = A @ (e + n / (1 - n) * terms) + n / (1 - n) * np.abs(layer.a)
        m = np.abs(G).sum(axis=1) + np.abs(g)
        out.append(e + (k + 4) * UNIT * m)
        if isinstance(layer, Chain):
            return out
        phi = layer.phi
        piece = np.zeros(phi.n_outputs, dtype=int)
        start, outputs = chain.columns[l]
        piece[outputs] = code[start:start + len(outputs)]
        m = m + 2 * e
        if not isinstance(phi, Elementwise):
            winners = phi.members[phi.ptr[:-1] + piece]
            e, terms, count = e[winners], m[winners], len(winners)
            continue
        terms, count, slope = np.zeros(phi.n_outputs), 0, np.zeros(phi.n_outputs)
        for i, p in enumerate(piece):
            at = phi.ptr[i] + i
            s, o, t = phi.slopes[at:at + p + 1], phi.offsets[at:at + p + 1], phi.breaks[phi.ptr[i]:phi.ptr[i] + p]
            jumps = np.abs(np.diff(s))
            terms[i] = (abs(s[0]) + jumps.sum()) * m[i] + abs(o[0]) + np.abs(np.diff(o)).sum() + 2 * (jumps * np.abs(t)).sum()
            count += (int(s[0] != 0 or o[0] != 0) + int(p)) * int(terms[i] > 0)
            slope[i] = abs(s[p])
        e = slope * e
    raise AssertionError


def largest(chain, codes, first, floor):
    """Of all codes; a row whose bound is not small beside what is decided against counts only where it can come near a breakpoint."""
    out = [np.zeros(len(f)) for f in floor]
    for code in unpack_codes(codes, chain.n_pieces):
        maps = unit_maps(chain, code)
        for l, b in enumerate(bounds(chain, code, first)):
            counts = np.ones(len(b), dtype=bool)
            if l < len(chain.stages) and isinstance(chain.stages[l].phi, Elementwise):
                (G, g), phi = maps[l], chain.stages[l].phi
                away = np.abs(phi.padded[0] - g[:, None]).min(axis=1, initial=np.inf) - np.abs(G).sum(axis=1)
                counts = (b <= floor[l]) | ~(away > 2 * b)
            out[l] = np.maximum(out[l], np.where(counts, b, 0))
    return out


@pytest.mark.parametrize("kind", CHAINS)
@pytest.mark.parametrize(("engine", "k", "split"), [("planar", 2, None), ("planar", 2, "top2"), ("vertex", 3, None),
                                                    ("vertex", 2, "argmax"), ("search", 2, None), ("search", 4, "argmax")])
@pytest.mark.parametrize("narrow", [False, True])
def test_what_is_found_is_the_largest_bound_of_all_regions(kind, engine, k, split, narrow):
    """So: no map is missed, and none is decided by that is no prefix of a region's code."""
    if kind is wide and (k > 2 or narrow):
        pytest.skip("many regions: nothing else than in the plane")
    chain = kind(k, 3)
    floor = floors(chain, np.ones((2, k))) if narrow else [np.full(len(s.a), 1e-10) for s in (*chain.stages, chain)]
    first = 1e-14 * np.arange(1, len((chain.stages[0] if chain.stages else chain).a) + 1)
    cells = found(engine, chain, first, split=split, floor=floor)
    for mine, theirs in zip(cells.errors, largest(chain, np.unique(cells.codes, axis=0), first, floor), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-300)


@pytest.mark.parametrize("kind", [wide, pooled, mixed])
@pytest.mark.parametrize(("engine", "k"), [("planar", 2), ("vertex", 3), ("search", 3)])
def test_threads_and_constant_memory_find_the_same(kind, engine, k):
    """A cell that another thread takes over brings no path along."""
    chain = kind(2 if kind is wide else k, 5)
    first = np.full(len(chain.stages[0].a), 1e-14)
    alone = found(engine if engine == "planar" or kind is not wide else "search", chain, first)
    for again in (found("planar" if chain.n_inputs == 2 else engine, chain, first, threads=4),
                  found("search", chain, first, count_only=True, threads=3)):
        for mine, theirs in zip(alone.errors, again.errors, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-300)


def test_nothing_is_found_where_nothing_is_asked():
    chain = plain(2, 0)
    assert found("planar", chain, None).errors is found("search", chain, None).errors is None


def exact_maps(chain, code):
    """`unit_maps` in fractions: for each stage and the outputs, rows of k + 1."""
    k, out = chain.n_inputs, []
    S = [[Fraction(int(i == j)) for j in range(k + 1)] for i in range(k)]
    for l, layer in enumerate((*chain.stages, chain)):
        A = exact._exact(layer.A)
        z = []
        for row, a in zip(A, layer.a, strict=True):
            z.append([sum((v * S[j][c] for j, v in row), Fraction(0)) for c in range(k + 1)])
            z[-1][k] += Fraction(float(a))
        out.append(z)
        if isinstance(layer, Chain):
            return out
        phi, piece = layer.phi, np.zeros(layer.phi.n_outputs, dtype=int)
        start, outputs = chain.columns[l]
        piece[outputs] = code[start:start + len(outputs)]
        if isinstance(phi, Elementwise):
            S = []
            for i, p in enumerate(piece):
                m, o = (Fraction(float(v[phi.ptr[i] + i + p])) for v in (phi.slopes, phi.offsets))
                S.append([m * v + (o if c == k else 0) for c, v in enumerate(z[i])])
        else:
            S = [z[w] for w in phi.members[phi.ptr[:-1] + piece]]
    raise AssertionError


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", [plain, mixed, pooled, sparse, degenerate])
@pytest.mark.parametrize("size", [1.0, 1e3])
def test_no_map_is_farther_from_the_exact_one_than_its_bound(kind, seed, size):
    chain = kind(2, seed)
    chain = Chain(2, tuple(Stage(size * s.A, size * s.a, s.phi) for s in chain.stages), chain.A, chain.a)
    floor = [1e3 * f for f in floors(chain, SQUARE)]
    first = 1e-3 * floor[0]
    for engine in ("planar", "search"):
        cells = found(engine, chain, first, floor=floor)
        codes = unpack_codes(cells.codes, chain.n_pieces)
        for k in range(0, len(cells), max(1, len(cells) // 8)):
            true = exact_maps(chain, codes[k])
            for bound, M, (G, g) in zip(cells.errors, true, unit_maps(chain, codes[k]), strict=True):
                off = [sum(abs(Fraction(float(v)) - w) for v, w in zip((*r, o), t, strict=True)) for r, o, t in zip(G, g, M, strict=True)]
                assert all(o <= Fraction(float(b)) for o, b in zip(off, bound, strict=True))
            mine = np.column_stack([cells.coef[k], cells.intercept[k]])                     # of the engine itself
            off = [sum(abs(Fraction(float(v)) - w) for v, w in zip(r, t, strict=True)) for r, t in zip(mine, true[-1], strict=True)]
            assert all(o <= Fraction(float(b)) for o, b in zip(off, cells.errors[-1], strict=True))


# ---- what certificates make of it
def he(depth, width, seed, d=2, outputs=3):
    return relu_network(layers(np.random.default_rng(seed), d, *[width] * depth, outputs), "softmax")


BOX2 = pel.Box([-1, -1], [1, 1])


@pytest.mark.parametrize("engine", ["planar", "vertex", "search"])
@pytest.mark.parametrize("by", [None, "class", "top2"])
def test_deep_networks_are_proved(engine, by):
    net = he(8, 12, 0)
    assert not rounding(chain_of(net), as_slice(BOX2, net.feature_names)).is_proved
    claim = pel.linear_regions(net, BOX2, by=by, engine=engine).certificate
    assert claim.status is pel.Status.PROVED
    assert claim.figures["rounding share"] <= OWN_SHARE
    assert claim.figures["rounding"] <= 1e-7


def test_what_is_proved_is_what_rational_arithmetic_finds():
    checked = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        made = [(np.round(rng.normal(size=(o, i)) * 40) / 16, np.round(rng.normal(size=o) * 8) / 16)
                for i, o in pairwise([2, *[4] * 9, 2])]
        net = relu_network(made, "softmax")
        atlas = pel.linear_regions(net, BOX2, by="class")
        if rounding(atlas.chain, atlas.domain).is_proved or atlas.certificate.status is not pel.Status.PROVED:
            continue
        checked += 1
        known = exact.regions(atlas.chain, SQUARE, "argmax")
        codes = unpack_codes(atlas.cells.codes, atlas.chain.n_pieces)
        mine = {(tuple(c.tolist()), int(f), -1): v for c, f, v in zip(codes, atlas.first, atlas.volume, strict=True)}
        for key in known.keys() | mine.keys():
            assert abs(mine.get(key, 0.0) - float(known.get(key, 0))) < 1e-6
    assert checked >= 3


def test_errors_that_are_too_large_are_not_called_proved():
    """Sums of large units that cancel but for 1e-3 in the eighth layer: what could be decided there is little."""
    rng = np.random.default_rng(0)
    made = layers(rng, 2, *[8] * 6)
    made[-1] = (1e6 * made[-1][0], made[-1][1])
    pair = np.vstack([np.ones(8), np.ones(8)]) * 1e3, np.array([0.0, 1e-3])
    net = relu_network([*made, pair, (np.array([[1.0, -1], [1, -1]]), np.array([1e-4, -1e-4])), (np.ones((1, 2)), np.zeros(1))])
    claim = pel.linear_regions(net, BOX2).certificate
    assert claim.status is pel.Status.UNKNOWN
    assert claim.figures["rounding share"] > OWN_SHARE or claim.figures["rounding"] > 1e-7
    assert "estimated" in claim.reason
    assert "cells' own" in claim.reason


def test_deep_thin_networks_are_not_called_proved():
    for seed in (0, 1):
        claim = pel.linear_regions(he(40, 16, seed), BOX2).certificate
        assert claim.status is pel.Status.UNKNOWN
        assert claim.figures["rounding share"] > OWN_SHARE or claim.figures["rounding"] > 1e-7


def test_only_rows_that_decide_count():
    chain = Chain(2, (Stage(np.eye(2), np.zeros(2), rows([RELU, PASS])),), np.eye(2), np.zeros(2))
    domain = as_slice(BOX2, ("a", "b"))
    decided = rounding(chain, domain)
    decided = type(decided)(decided.floors, False, 1.0, decided.floors[0], [np.ones(2), np.ones(2)])
    f = decided.floors

    def share(first, last, outputs=False):
        return own_share(decided, chain, [first * f[0], last * f[1]], outputs=outputs)

    assert share(np.array([1.0, 1e6]), 1e6) == pytest.approx(1.001 / 16)
    assert share(np.array([8.0, 0]), 1e6) == pytest.approx(1.001 / 2)
    assert share(np.array([1.0, 1e6]), 2, outputs=True) == pytest.approx(1.001 / 8)
    assert confirmed(decided, chain, 0.2, outputs=False).is_proved
    assert not confirmed(decided, chain, 0.3, outputs=False).is_proved
    assert not confirmed(decided, chain, own_share(decided, chain, None, outputs=False), outputs=False).is_proved


@pytest.mark.parametrize(("function", "factor"), [(RELU, 1), (LEAKY, 2), (ABSOLUTE, 6), (HARD, np.inf), (PASS, 1)])
def test_parts_of_a_domain_allow_for_how_they_were_cut_out(function, factor):
    chain = Chain(2, (Stage(np.eye(2), np.zeros(2), same(2, *function)),), np.eye(2), np.zeros(2))
    assert part_factor(chain) == factor


def test_atlases_on_the_disk_are_proved_too(tmp_path):
    net = he(8, 12, 0)
    whole = pel.linear_regions(net, BOX2, by="class")
    streamed = pel.linear_regions(net, BOX2, by="class", to=tmp_path / "atlas", max_bytes=60_000)
    assert len(streamed.parts) > 3
    assert streamed.certificate.status is pel.Status.PROVED
    assert streamed.certificate.figures["rounding share"] == pytest.approx(whole.certificate.figures["rounding share"], rel=1e-3)
    assert pel.resume(tmp_path / "atlas").load().certificate.status is pel.Status.PROVED


def test_nearest_regions_radii_counts_and_local_models_are_proved_too():
    net, x = he(8, 12, 1, d=4), np.array([0.2, -0.1, 0.3, 0.1])
    box = pel.Box([-1] * 4, [1] * 4)
    assert not rounding(chain_of(net), as_slice(box, net.feature_names)).is_proved
    assert pel.nearest_regions(net, x, box, max_regions=20).certificate.status is pel.Status.PROVED
    assert pel.robustness_radius(net, x, domain=box).status is pel.Status.PROVED
    assert pel.local_explanation(net, x, box).status is pel.Status.PROVED
    small = pel.Box(x - 0.05, x + 0.05)
    assert pel.estimate_regions(net, small).status is pel.Status.PROVED


def test_acas_xu_is_proved(shared):
    net = pel.load(shared / "data" / "acasxu" / "ACASXU_run2a_1_1_batch_2000.onnx")
    at = np.random.default_rng(1).uniform(-0.3, 0.3, 5)
    for r, free in ((0.5, (0, 1)), (0.05, (1, 4))):
        atlas = pel.linear_regions(net, pel.Box(np.maximum(at - r, -0.5), np.minimum(at + r, 0.5)).slice(free=free, at=at), by="class")
        assert atlas.certificate.status is pel.Status.PROVED


def test_a_chain_of_units_without_breakpoints_has_no_code_to_read():
    chain = Chain(2, (Stage(np.eye(2), np.zeros(2), rows([PASS, PASS])), Stage(np.eye(2), np.ones(2), rows([PASS, PASS]))),
                  np.eye(2), np.zeros(2))
    for engine in ("planar", "vertex", "search"):
        cells = found(engine, chain, np.full(2, 1e-16), split="argmax")
        assert len(cells) == 2
        np.testing.assert_allclose(cells.errors[-1], largest(chain, cells.codes, np.full(2, 1e-16), floors(chain, SQUARE))[-1], rtol=1e-6)
