"""Laws of the planar engine on networks too large for exact arithmetic, and counts that other programs agree on."""

from __future__ import annotations

import _thread
import os
import subprocess
import sys
from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest

from pellucid.chain.chain import Chain, Stage
from pellucid.errors import DomainError, Interrupted
from pellucid.regions import Cells, codes_of, match_codes, unpack_codes

from .nets import SQUARE, bench_nets, box, groups, planar, relu, relu_chain, same

COUNTS = {"A1_2x32x32": 781, "A2_2x64x64x64": 4841, "A3_2x128^4": 25840, "C2_piecewise_2d": 483}


def random_layers(rng, *widths, gain=1.5):
    sizes = [2, *widths]
    return [(rng.normal(size=(o, i)) * gain / np.sqrt(i), rng.normal(size=o) / 2) for i, o in pairwise(sizes)]


@pytest.fixture(scope="module")
def wide() -> Chain:
    return relu_chain(random_layers(np.random.default_rng(5), 40, 40, 40, 5))


@pytest.fixture(scope="module")
def pooling() -> Chain:
    """A chain with every kind of stage, continuous."""
    rng = np.random.default_rng(6)
    (W, b), (V, c), (U, d), (T, e) = random_layers(rng, 24, 20, 8, 4)
    hard = same(8, [-1.0, 1.0], [0.0, 1.0, 0.1], [-1.0, 0.0, 0.9])
    pool = groups(*(range(i, i + 5) for i in range(0, 20, 5)), [3, 7], [0, 1, 2], [11], [19, 0])
    return Chain(2, (Stage(W, b, relu(24)), Stage(V, c, pool), Stage(U[:, :8], d, hard)), T, e)


def total(vertices, ptr) -> float:
    parts = [vertices[a:b] for a, b in pairwise(ptr)]
    return sum(0.5 * float(np.sum(p[:, 0] * np.roll(p[:, 1], -1) - p[:, 1] * np.roll(p[:, 0], -1))) for p in parts)


def same_cells(a: Cells, b: Cells) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(Cells)
               if f.name != "unresolved_area" and getattr(a, f.name) is not None)


# ---- areas, codes, maps
@pytest.mark.parametrize("split", [None, "argmax", "top2", ("labels", [0.1, 0.0, -0.1, 0.2])], ids=str)
def test_areas_add_up_and_are_those_of_the_polygons(pooling, split):
    cells = planar(pooling, split=split)
    assert cells.complete
    assert abs(cells.area.sum() - 4) < 4e-12
    assert abs(total(cells.vertices, cells.vertex_ptr) - 4) < 4e-12
    assert (cells.area > 0).all()


@pytest.mark.parametrize("net", ["wide", "pooling"])
def test_every_random_point_has_the_code_of_a_region_and_the_value_of_its_map(net, request):
    chain = request.getfixturevalue(net)
    cells = planar(chain)
    X = np.random.default_rng(1).uniform(-1, 1, (20000, 2))
    region = match_codes(cells.codes, codes_of(chain, X))
    assert (region >= 0).all()
    y = np.einsum("kcj,kj->kc", cells.coef[region], X) + cells.intercept[region]
    assert np.abs(y - forward(chain, X)).max() < 1e-12 * np.abs(y).max() * 100


def forward(chain: Chain, X) -> np.ndarray:
    s = X.T
    for stage in chain.stages:
        z, phi = stage.A @ s + stage.a[:, None], stage.phi
        if hasattr(phi, "members"):
            s = np.array([z[phi.members[a:b]].max(axis=0) for a, b in pairwise(phi.ptr)])
            continue
        out = []
        for i, row in enumerate(z):
            p = np.searchsorted(phi.breaks[phi.ptr[i]:phi.ptr[i + 1]], row, side="right")
            at = phi.ptr[i] + i + p
            out.append(phi.slopes[at] * row + phi.offsets[at])
        s = np.array(out)
    return (chain.A @ s + chain.a[:, None]).T


@pytest.mark.parametrize("split", ["argmax", "top2", ("labels", [0.1, 0.0, -0.1, 0.2])], ids=str)
def test_pieces_carry_the_winners_at_their_middle(pooling, split):
    cells = planar(pooling, split=split)
    middle = np.add.reduceat(cells.vertices, cells.vertex_ptr[:-1]) / np.diff(cells.vertex_ptr)[:, None]
    y = forward(pooling, middle)
    order = np.argsort(-y, axis=1, kind="stable")
    if isinstance(split, tuple):
        assert np.array_equal(cells.first, (y > split[1]) @ (1 << np.arange(4)))
        return
    assert np.array_equal(cells.first, order[:, 0])
    if split == "top2":
        assert np.array_equal(cells.second, order[:, 1])


# ---- seams
def sides(cells: Cells):
    """For each seam its sub-edges: (seam, start, end, row)."""
    ptr = cells.vertex_ptr
    follower = np.arange(len(cells.vertices)) + 1
    follower[ptr[1:] - 1] = ptr[:-1]
    row = np.repeat(np.arange(len(cells)), np.diff(ptr))
    return cells.edge_seam, cells.vertices, cells.vertices[follower], row


@pytest.mark.parametrize(("net", "split"), [("wide", None), ("wide", "argmax"), ("pooling", None), ("pooling", "top2")])
def test_both_sides_of_a_seam_cover_the_same_segment(net, split, request):
    cells = planar(request.getfixturevalue(net), split=split)
    seam, start, end, _ = sides(cells)
    inner = seam >= 0
    assert seam.max() < len(cells.seams)
    # walked counter-clockwise the two sides run in opposite directions: sums of the vectors cancel, on each side lengths add up
    loop = np.zeros((len(cells.seams), 2))
    np.add.at(loop, seam[inner], (end - start)[inner])
    assert np.abs(loop).max() < 1e-12
    used = np.unique(seam[inner])
    length = np.zeros(len(cells.seams))
    np.add.at(length, seam[inner], np.hypot(*(end - start)[inner].T))
    points = [np.concatenate([start[k], end[k]]) for k in _by_seam(seam, inner)]
    reach = np.array([np.hypot(*np.ptp(p.reshape(-1, 2), axis=0)) for p in points])
    assert np.abs(length[used] - 2 * reach).max() < 1e-12


def _by_seam(seam, inner):
    at = np.flatnonzero(inner)
    at = at[np.argsort(seam[at], kind="stable")]
    return np.split(at, np.flatnonzero(np.diff(seam[at])) + 1)


def test_edges_on_the_faces_cover_the_boundary(wide):
    seam, start, end, _ = sides(planar(wide))
    length = np.hypot(*(end - start).T)
    assert np.allclose(np.bincount(-1 - seam[seam < 0], length[seam < 0]), 2, atol=1e-12)


def test_maps_agree_across_seams_and_codes_differ_there_in_the_seams_column(pooling):
    cells = planar(pooling)
    pieces = unpack_codes(cells.codes, pooling.n_pieces)
    seam, start, end, row = sides(cells)
    checked = 0
    for edges in _by_seam(seam, seam >= 0):
        column, lo, hi = cells.seams[seam[edges[0]]]
        assert set(pieces[row[edges], column]) == {lo, hi}
        # the whole seam lies in the closure of every row on it only where there are two: compare those
        if len(edges) == 2:
            a, b = row[edges]
            ends = np.stack([start[edges[0]], end[edges[0]]])
            ya, yb = (ends @ cells.coef[k].T + cells.intercept[k] for k in (a, b))
            assert np.abs(ya - yb).max() < 1e-11
            checked += 1
    assert checked > 100


# ---- order, threads, budgets
@pytest.mark.parametrize("split", [None, "top2"])
def test_rows_are_sorted_and_do_not_depend_on_threads(wide, split):
    one = planar(wide, split=split, threads=1)
    words = [one.codes[:, w] for w in range(one.codes.shape[1])] + ([one.first, one.second] if split else [])
    assert np.array_equal(np.lexsort(words[::-1]), np.arange(len(one)))
    for threads in (2, 3, 8):
        assert same_cells(one, planar(wide, split=split, threads=threads))


def test_threads_give_the_same_result_in_a_long_run():
    layers, lo, hi = bench_nets().load("A3_2x128^4")
    chain = relu_chain(layers)
    one = planar(chain, box(lo, hi), threads=1)
    for threads in (2, 5):
        assert same_cells(one, planar(chain, box(lo, hi), threads=threads))
        limited = planar(chain, box(lo, hi), threads=threads, max_regions=9000)
        assert np.array_equal(limited.codes, one.codes[:9000])
        assert np.array_equal(limited.edge_seam, one.edge_seam[:len(limited.edge_seam)])
        assert np.array_equal(limited.seams, one.seams[:len(limited.seams)])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("budget", "reason"), [({"max_regions": 100}, "max_regions"), ({"max_bytes": 50_000}, "max_bytes"),
                                                ({"max_seconds": 0.0}, "max_seconds"), ({"max_regions": 1}, "max_regions")])
def test_a_budget_keeps_what_was_found_and_gives_the_rest(wide, budget, reason, threads):
    cells, whole = planar(wide, threads=threads, **budget), planar(wide)
    assert not cells.complete
    assert cells.reason == reason
    assert np.array_equal(cells.codes, whole.codes[:len(cells)])
    assert abs(cells.area.sum() + total(cells.rest_vertices, cells.rest_ptr) - 4) < 1e-12
    if reason == "max_regions":
        assert len(cells) == budget["max_regions"]


def test_a_budget_that_is_just_enough_is_complete(wide):
    n = len(planar(wide))
    assert planar(wide, max_regions=n).complete
    assert not planar(wide, max_regions=n - 1).complete


def test_ctrl_c_keeps_what_was_found():
    chain = relu_chain(random_layers(np.random.default_rng(0), 800, 800, 800, 1))
    seen = []

    def interrupt(progress):
        seen.append(progress)
        if progress.regions > 1000:
            _thread.interrupt_main()

    with pytest.raises(KeyboardInterrupt) as stop:
        planar(chain, progress=interrupt)
    assert isinstance(stop.value, Interrupted)
    cells = stop.value.partial
    assert cells.reason == "cancelled"
    assert abs(cells.area.sum() + total(cells.rest_vertices, cells.rest_ptr) - 4) < 1e-10
    assert seen
    assert 0 <= seen[-1].share <= 1


# ---- counts
@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_counts_of_the_shared_networks(name, count):
    layers, lo, hi = bench_nets().load(name)
    cells = planar(relu_chain(layers), box(lo, hi))
    assert (len(cells), cells.unresolved) == (count, 0)
    assert abs(cells.area.sum() / np.prod(hi - lo) - 1) < 1e-12


def test_the_toy_network_of_unwrap_has_22_regions():
    W0 = np.array([[-1.0, 1], [1, 1]]) / np.sqrt(2)
    W1 = np.array([[1, 1 / 4], [1 / 2, 1 / 3], [1 / 3, 1 / 2], [1 / 4, 1]])
    chain = relu_chain([(W0, np.zeros(2)), (W1, np.full(4, -0.3)), (np.ones((1, 4)), np.zeros(1))])
    assert len(planar(chain)) == 22


def test_a_tent_map_of_12_layers_folds_the_square_4096_times():
    # tent(x) = 2 relu(x) - 4 relu(x - 1/2), 12 times
    first, between = np.array([[1.0, 0], [1, 0]]), np.array([[2.0, -4], [2, -4]])
    layers = [(first, np.array([0.0, -0.5]))] + [(between, np.array([0.0, -0.5]))] * 11 + [(np.array([[2.0, -4]]), np.zeros(1))]
    cells = planar(relu_chain(layers), box([0, 0], [1, 1]))
    assert len(cells) == 4096
    assert np.allclose(cells.area, 1 / 4096, rtol=1e-9)


@pytest.mark.parametrize(("centre", "half"), [((0, 0), (1e-6, 1e-6)), ((0, 0), (1e6, 1e6)), ((0, 0), (1e4, 1e-3)),
                                              ((1e6, 1e6), (1, 1)), ((-3e5, 7), (1e-2, 1e3))])
def test_scaling_and_moving_the_box_changes_no_count(centre, half):
    (W, b), *others = random_layers(np.random.default_rng(3), 32, 32, 1)
    count = len(planar(relu_chain([(W, b), *others])))
    centre, half = np.array(centre, float), np.array(half, float)
    moved = [(W / half, b - (W / half) @ centre), *others]
    cells = planar(relu_chain(moved), box(centre - half, centre + half))
    assert len(cells) == count
    assert abs(cells.area.sum() / (4 * np.prod(half)) - 1) < 1e-9


def test_scaling_weights_changes_no_count():
    (W, b), (V, c), last = random_layers(np.random.default_rng(3), 32, 32, 1)
    count = len(planar(relu_chain([(W, b), (V, c), last])))
    for k in (1e-9, 1e9):
        assert len(planar(relu_chain([(W * k, b * k), (V, c * k), last]))) == count


# ---- dispatch, memory, errors
def test_the_baseline_code_finds_the_same_regions():
    script = ("import numpy as np; from tests.regions.nets import *; from tests.regions.test_planar_laws import random_layers;"
              "from pellucid import _core;"
              "c = planar(relu_chain(random_layers(np.random.default_rng(5), 40, 40, 40, 5)));"
              "print(_core.cpu_level(), len(c), c.codes.sum())")
    here = os.path.join(os.path.dirname(__file__), "..", "..")
    path = os.pathsep.join([p for p in sys.path if p])
    out = [subprocess.run([sys.executable, "-c", script], cwd=here, env={**os.environ, "PYTHONPATH": path, "PELLUCID_CPU": level},
                          capture_output=True, text=True, check=True).stdout.split() for level in ("baseline", "")]
    assert out[0][0] == "baseline"
    assert out[0][1:] == out[1][1:]


def test_a_region_takes_at_most_400_bytes(wide):
    cells = planar(wide)
    size = sum(v.nbytes for v in (getattr(cells, f.name) for f in fields(Cells)) if isinstance(v, np.ndarray))
    assert size / len(cells) <= 400


@pytest.mark.parametrize("polygon", [SQUARE[::-1], SQUARE * [1, 0], SQUARE[:2], SQUARE * np.nan])
def test_bad_polygons_are_told(wide, polygon):
    with pytest.raises(DomainError):
        planar(wide, polygon)
