"""Laws of atlases: regions cover the domain once, maps equal the network, save then load changes nothing."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import random_layers, relu_network

import pellucid as pel
from pellucid.atlas import adjacency
from pellucid.atlas.check import sample_polygon
from pellucid.certificate import Status
from pellucid.graph import INPUT, GraphBuilder, Network
from pellucid.ops.add import Add
from pellucid.ops.conv import Conv
from pellucid.ops.linear import Linear
from pellucid.ops.max_pool import MaxPool
from pellucid.ops.rearrange import Reshape
from pellucid.ops.relu import ReLU

DEGENERATE = ("plain", "zero bias", "duplicate units", "dead units", "one unit", "no hidden layer", "integer weights")


def degenerate_layers(kind, rng, d=2, c=3):
    sizes = {"one unit": [d, 1, c], "no hidden layer": [d, c]}.get(kind, [d, 8, 8, c])
    layers = random_layers(rng, sizes)
    if kind == "zero bias":
        layers = [(W, 0 * b) for W, b in layers]
    if kind == "duplicate units":
        layers[0][0][4:], layers[0][1][4:] = 2 * layers[0][0][:4], 2 * layers[0][1][:4]
    if kind == "dead units":
        layers[1][0][:4], layers[1][1][:4] = 0, rng.choice([-1, 0, 1], 4)
    if kind == "integer weights":
        layers = [(np.round(2 * W), np.round(2 * b)) for W, b in layers]
    return layers


def plane_of(rng, d):
    if d == 2:
        return pel.Box([-1, -1], [1, 1])
    return pel.Slice(0.1 * rng.normal(size=d), rng.normal(size=(d, 2)), pel.Box([-2] * d, [2] * d))


@pytest.mark.parametrize("by", [None, "class", "top2"])
@pytest.mark.parametrize("kind", DEGENERATE)
@pytest.mark.parametrize("d", [2, 5])
def test_an_atlas_passes_its_own_check_and_equals_the_network(kind, by, d, rng):
    net = relu_network(degenerate_layers(kind, rng, d), "softmax")
    atlas = pel.linear_regions(net, plane_of(rng, d), by=by)
    verdict = atlas.check(points=2000)
    assert verdict.status is Status.PROVED, verdict
    assert atlas.volume.sum() == pytest.approx(atlas.domain.polygon.area, rel=1e-9)
    u = sample_polygon(atlas.domain.polygon.vertices, 3000, rng)
    x = atlas.domain.point(u)
    assert np.allclose(atlas(x), net(x), rtol=1e-9, atol=1e-9)
    k = atlas.locate(x)
    full = np.einsum("ncd,nd->nc", atlas.coef[k], x) + atlas.intercept[k]
    assert np.allclose(full, net(x), rtol=1e-9, atol=1e-9)
    if by:
        assert np.array_equal(atlas.first[k], net(x).argmax(axis=1)) or _only_ties(net, x, atlas.first[k])
    assert np.all(np.diff(atlas.parent) >= 0)


def _only_ties(net, x, first):
    y = net(x)
    return np.allclose(y[np.arange(len(y)), first], y.max(axis=1), atol=1e-12)


@pytest.mark.parametrize("kind", DEGENERATE)
def test_regions_have_minimal_halfspaces_and_symmetric_neighbours(kind, rng):
    net = relu_network(degenerate_layers(kind, rng), "softmax")
    atlas = pel.linear_regions(net, pel.Box([-1, -1], [1, 1]), by="class")
    for k in range(0, len(atlas), max(1, len(atlas) // 25)):
        region = atlas[k]
        A, b, units = region.halfspaces
        assert (A @ region.interior_point < b).all()
        assert (b[:, None] + 1e-9 >= A @ region.vertices.T).all()
        assert len(A) == len(units) == len(region.vertices)
        on_row = np.abs(A @ region.vertices.T - b[:, None]) <= 1e-9
        assert (on_row.sum(axis=1) >= 2).all()                       # every row is a facet
        for row in atlas.neighbours(k).itertuples():
            if row.region >= 0:
                back = atlas.neighbours(row.region)
                assert k in set(back.region)
                assert back.length[back.region == k].sum() == pytest.approx(
                    atlas.neighbours(k).query(f"region == {row.region}").length.sum(), abs=1e-9)
        perimeter = np.hypot(*(np.roll(region.vertices, -1, axis=0) - region.vertices).T).sum()
        assert atlas.neighbours(k).length.sum() == pytest.approx(perimeter, rel=1e-6)


@pytest.mark.parametrize("by", [None, "class"])
def test_planes_of_two_inputs_in_other_coordinates_pass_their_check(by, rng):
    net, box = relu_network(random_layers(rng, [2, 8, 3])), pel.Box([-1, 2], [1, 9])
    for domain in (pel.Slice([0.1, 5.0], [[0.5, 1.0], [2.0, -1.0]], box), box.slice(free=(1, 0), at=[0, 3])):
        atlas = pel.linear_regions(net, domain, by=by)
        assert atlas.check(points=200).status is Status.PROVED
        x = domain.point(sample_polygon(atlas.domain.polygon.vertices, 50, rng))
        assert np.allclose(atlas(x), net(x), rtol=0, atol=1e-9)


def test_a_facet_names_the_unit_that_makes_it():
    # 1 max(x - 0.5, 0) - 2 max(y, 0)
    net = relu_network([(np.eye(2), np.array([-0.5, 0])), (np.array([[1.0, -2.0]]), np.zeros(1))], feature_names=("x", "y"))
    atlas = pel.linear_regions(net, pel.Box([-1, -1], [1, 1]))
    assert len(atlas) == 4
    assert atlas.codes.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    A, b, units = atlas[3].halfspaces
    rows = {u: (a.round(12).tolist(), round(v, 12)) for a, v, u in zip(A, b, units, strict=True)}
    assert rows == {"relu[0]": ([-1, 0], -0.5), "relu[1]": ([0, -1], 0.0), "x <= 1": ([1, 0], 1.0), "y <= 1": ([0, 1], 1.0)}
    assert atlas[3].coef.tolist() == [[1, -2]]
    assert set(atlas.neighbours(3).region) == {-1, 1, 2}


@given(st.integers(0, 1000))
@settings(max_examples=15)
def test_every_adjacent_pair_shares_its_segment_and_value(seed):
    rng = np.random.default_rng(seed)
    net = relu_network(degenerate_layers(DEGENERATE[seed % len(DEGENERATE)], rng), "softmax")
    atlas = pel.linear_regions(net, pel.Box([-1, -1], [1, 1]), by="class")
    pairs = adjacency(atlas)
    mid = pairs.ends.mean(axis=1)
    for rows in (pairs.left, pairs.right):
        values = np.einsum("pcj,pj->pc", atlas.coef_u[rows], mid) + atlas.intercept_u[rows]
        assert np.allclose(values, net(mid), atol=1e-9)
    # what is not shared is the border of the domain
    inner = 2 * pairs.length.sum()
    v, ptr = atlas.cells.vertices, atlas.cells.vertex_ptr
    total = sum(np.hypot(*(np.roll(v[a:b], -1, axis=0) - v[a:b]).T).sum() for a, b in pairwise(ptr))
    assert total - inner == pytest.approx(8, abs=1e-6)


def test_points_on_faces_belong_to_the_region_of_their_code_else_to_the_smallest_index():
    net = relu_network([(np.array([[1.0, 0], [0, 1]]), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    atlas = pel.linear_regions(net, pel.Box([-1, -1], [1, 1]))
    assert atlas.locate([[0.0, 0.0]]).tolist() == [3]          # on at 0 (SPEC 2)
    assert atlas.locate([[1.0, 1.0], [-1, -1], [1.1, 0], [np.nan, 0]]).tolist() == [3, 0, -1, -1]
    dead = relu_network([(np.array([[1.0, 0], [0.0, 0]]), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    atlas = pel.linear_regions(dead, pel.Box([-1, -1], [1, 1]))
    assert atlas.codes.tolist() == [[0, 0], [1, 0]]            # constant at its breakpoint: the lower piece
    assert atlas.locate([[0.5, 0.5], [-0.5, 0.5], [0.0, 0.0]]).tolist() == [1, 0, 0]


def test_values_outside_the_domain_are_nan(rng):
    net = relu_network(random_layers(rng, [3, 4, 1]))
    atlas = pel.linear_regions(net, pel.Box([-1] * 3, [1] * 3).slice(free=(0, 1), at=[0, 0, 0.5]))
    y = atlas([[0, 0, 0.5], [0, 0, 0.6], [2, 0, 0.5]])
    assert np.isnan(y).ravel().tolist() == [False, True, True]


def conv_network(rng) -> Network:
    """6 x 6 image: conv, ReLU, residual add, max pooling 2 x 2, linear."""
    b = GraphBuilder((1, 6, 6))
    h = b.add(ReLU(), b.add(Conv(rng.normal(size=(2, 1, 3, 3)), rng.normal(size=2), (1, 1), ((1, 1), (1, 1)), (1, 1)), INPUT))
    g = b.add(Conv(rng.normal(size=(2, 2, 3, 3)) / 3, rng.normal(size=2), (1, 1), ((1, 1), (1, 1)), (1, 1)), h)
    r = b.add(ReLU(), b.add(Add((1.0, 1.0)), g, h))
    p = b.add(MaxPool((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)), r)
    f = b.add(Reshape((18,)), p)
    return Network(b.graph(b.add(Linear(rng.normal(size=(3, 18)), rng.normal(size=3)), f)), "softmax")


def test_a_small_conv_network_against_dense_sampling_of_codes(rng):
    net = conv_network(rng)
    plane = pel.Slice(0.2 * rng.normal(size=36), rng.normal(size=(36, 2)), pel.Box([-1] * 36, [1] * 36))
    atlas = pel.linear_regions(net, plane)
    assert atlas.check(points=5000).status is Status.PROVED
    u = sample_polygon(plane.polygon.vertices, 200_000, rng)
    k = atlas.locate(u)
    assert (k >= 0).all()
    met = np.bincount(k, minlength=len(atlas))
    # regions that 200 000 points do not meet are small ones, and no other
    assert atlas.volume[met == 0].max(initial=0) < 20 * plane.polygon.area / 200_000
    from pellucid.regions import codes_of, match_codes

    own = match_codes(atlas.cells.codes, codes_of(atlas.chain_u, u))
    assert (own == k).mean() > 0.999
    assert np.allclose(atlas(u), net(plane.point(u)), rtol=1e-9, atol=1e-9)


def test_selection_by_class_and_by_outputs(rng):
    net = relu_network(random_layers(rng, [2, 10, 10, 3]), "softmax", class_names=("a", "b", "c"))
    atlas = pel.linear_regions(net, pel.Box([-1, -1], [1, 1]), by="class")
    shares = [atlas.select(first=name).volume.sum() for name in ("a", "b", "c")]
    assert sum(shares) == pytest.approx(4, rel=1e-12)
    assert atlas.select(first=["a", 2]).volume.sum() == pytest.approx(shares[0] + shares[2])
    row = np.array([1.0, -1.0, 0.0])
    part, other = atlas.select(where=(row, 0.1)), atlas.select(where=(-row, -0.1))
    assert part.volume.sum() + other.volume.sum() == pytest.approx(4, rel=1e-9)
    u = rng.uniform(-1, 1, (20_000, 2))
    holds = net(u) @ row <= 0.1
    assert np.array_equal(part.locate(u) >= 0, holds)
    nothing = atlas.select(where=(row, -1e9))
    assert len(nothing) == len(adjacency(nothing)) == len(nothing.to_frame()) == 0
    assert nothing.locate(u).max() == -1
    assert np.isnan(nothing(u)).all()
    assert len(adjacency(part)) > 0
    assert part[0].halfspaces.A.shape[1] == 2
    with pytest.raises(pel.DataError, match="no class is called 'z'"):
        atlas.select(first="z")


@pytest.mark.parametrize("by", [None, "class", "top2"])
def test_save_then_load_changes_nothing(by, rng, tmp_path):
    net = relu_network(random_layers(rng, [3, 8, 8, 3]), "softmax", feature_names=("a", "b", "c"))
    atlas = pel.linear_regions(net, pel.Box([-1] * 3, [1] * 3).slice(free=("a", "c"), at=[0, 0.3, 0]).where([1, 0, 1], 1.2), by=by)
    back = pel.load_atlas(atlas.save(tmp_path / "atlas"))
    pd.testing.assert_frame_equal(atlas.to_frame(), back.to_frame())
    assert back.certificate.status is atlas.certificate.status
    assert repr(back) == repr(atlas)
    x = atlas.domain.point(rng.uniform(-1, 0.2, (500, 2)))
    assert np.array_equal(atlas.locate(x), back.locate(x))
    assert back.check(points=500).status is Status.PROVED
    assert back.neighbours(0).equals(atlas.neighbours(0))
    atlas.save(tmp_path / "atlas", overwrite=True)                   # over itself
    assert len(pel.load_atlas(tmp_path / "atlas")) == len(atlas)


def test_a_saved_atlas_is_read_by_a_process_that_has_loaded_no_network(rng, tmp_path):
    path = pel.linear_regions(relu_network(random_layers(rng, [2, 3, 1])), pel.Box([-1, -1], [1, 1])).save(tmp_path / "atlas")
    code = f"import pellucid as pel; print(len(pel.load_atlas({str(path)!r})))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.stdout.strip().isdigit(), answer.stderr


def test_damaged_atlases_are_refused(rng, tmp_path):
    atlas = pel.linear_regions(relu_network(random_layers(rng, [2, 5, 1])), pel.Box([-1, -1], [1, 1]))
    path = atlas.save(tmp_path / "atlas")
    (path / "regions.parquet").write_bytes((path / "regions.parquet").read_bytes()[:200])
    with pytest.raises(pel.FileFormatError, match="damaged"):
        pel.load_atlas(path)
    (path / "manifest.json").write_text("{}")
    with pytest.raises(pel.FileFormatError, match="format"):
        pel.load_atlas(path)
    with pytest.raises(pel.FileFormatError):
        pel.load_atlas(tmp_path / "nothing")
    (tmp_path / "mine").mkdir()
    with pytest.raises(FileExistsError, match="not an atlas"):
        atlas.save(tmp_path / "mine")


def test_a_budget_gives_a_partial_atlas_that_says_so(rng):
    net = relu_network(random_layers(rng, [2, 40, 40, 40, 1]))
    box = pel.Box([-1, -1], [1, 1])
    whole, part = pel.linear_regions(net, box), pel.linear_regions(net, box, max_regions=100, threads=1)
    assert isinstance(part, pel.PartialAtlas)
    assert not part.is_complete
    assert part.certificate.status is Status.UNKNOWN
    assert "PARTIAL" in repr(part)
    rest = sum(abs(pel.geometry.polygon.shoelace(p)) for p in part.unexplored)
    assert part.volume.sum() + rest == pytest.approx(4, rel=1e-9)
    u = rng.uniform(-1, 1, (5000, 2))
    k = part.locate(u)
    assert np.allclose(part(u)[k >= 0], net(u)[k >= 0], atol=1e-9)
    assert 0 < (k >= 0).mean() < 1
    assert {tuple(c) for c in part.codes} <= {tuple(c) for c in whole.codes}
    assert part.check(points=500).status is Status.PROVED


def test_a_single_sigmoid_output_is_split_at_its_threshold(rng):
    net = relu_network(random_layers(rng, [2, 10, 1]), "sigmoid", class_names=("no", "yes"))
    u = rng.uniform(-1, 1, (4000, 2))
    for threshold in (0.5, 0.8):
        atlas = pel.linear_regions(net, pel.Box([-1, -1], [1, 1]), by="class", threshold=threshold)
        assert np.array_equal(atlas.first[atlas.locate(u)], net.decide(u, threshold=threshold))
        two = pel.linear_regions(net, pel.Box([-1, -1], [1, 1]), by="top2", threshold=threshold)
        assert np.array_equal(two.second, 1 - two.first)
        assert atlas.check().status is two.check().status is Status.PROVED


def test_several_labels_are_split_each_by_itself(rng):
    net = relu_network(random_layers(rng, [2, 10, 3]), "sigmoid", class_names=("red", "hot", "big"))
    atlas = pel.linear_regions(net, pel.Box([-1, -1], [1, 1]), by="class")
    u = rng.uniform(-1, 1, (4000, 2))
    given = net.predict(u) > 0.5
    assert np.array_equal(atlas.first[atlas.locate(u)], given @ [1, 2, 4])
    assert atlas.class_label(5) == "red + big"
    assert atlas.check().status is Status.PROVED


def test_full_dimensional_ties_go_to_the_lowest_index_and_are_counted():
    # both outputs are max(x, 0): equal everywhere
    net = relu_network([(np.array([[1.0, 0]]), np.zeros(1)), (np.ones((2, 1)), np.zeros(2))], "softmax")
    atlas = pel.linear_regions(net, pel.Box([-1, -1], [1, 1]), by="class")
    assert atlas.first.tolist() == [0, 0]
    assert atlas.certificate.figures["ties"] == 2


@pytest.mark.parametrize(("call", "error", "word"), [
    (lambda net: pel.linear_regions("net", pel.Box([0], [1])), TypeError, "load it first"),
    (lambda net: pel.linear_regions(net, pel.Box([0] * 3, [1] * 3), engine="planar"), pel.DomainError, "3 coordinates move"),
    (lambda net: pel.linear_regions(net, pel.Box([0] * 2, [1] * 2)), pel.DomainError, "2 features"),
    (lambda net: pel.linear_regions(net, pel.Box([0] * 3, [1, 1, 0]), by="class"), pel.NoDecision, "regression"),
    (lambda net: pel.linear_regions(net, pel.Box([0] * 3, [1, 1, 0]), by="klass"), ValueError, "'class'"),
    (lambda net: pel.linear_regions(net, pel.Box([0] * 3, [1, 1, 0]), engine="magic"), ValueError, "planar"),
    (lambda net: pel.linear_regions(net, pel.Box([0] * 3, [1, 1, 0]), max_regions=-1), ValueError, "max_regions=-1"),
    (lambda net: pel.linear_regions(net, pel.Box([0] * 3, [1, 1, 0]), max_seconds=np.nan), ValueError, "max_seconds=nan"),
    (lambda net: pel.linear_regions(net, pel.Box([0] * 3, [1, 1, 0])).first, AttributeError, "by='class'"),
])
def test_wrong_calls_are_refused_in_words(call, error, word, rng):
    with pytest.raises(error, match=word):
        call(relu_network(random_layers(rng, [3, 4, 1])))
