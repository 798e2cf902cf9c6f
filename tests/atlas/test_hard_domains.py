"""Domains in unlike units, thin, far from the origin; nets whose hyperplanes nearly coincide: nothing is lost, nothing is overclaimed."""

import numpy as np
import pytest
from networks import random_layers, relu_network
from scipy.optimize import linprog

import pellucid as pel
from pellucid.certificate import Status
from pellucid.geometry.halfspaces import bounding_box

UNITS = [[1e-3, 1e6, 1.0], [1e-9, 1.0, 1.0], [1e-7, 1e-7, 1e-7], [1e9, 1e-6, 1e2], [1.0, 1.0, 1.0]]


def in_units(rng, scale, offset, sizes):
    """A network of x = offset + scale v, written in x, and the same in v."""
    (W, b), *others = random_layers(rng, sizes)
    return relu_network([(W / scale, b - (W / scale) @ offset), *others]), relu_network([(W, b), *others])


def code_set(atlas):
    columns = [c[:, None] for c in (atlas.cells.first, atlas.cells.second) if c is not None]
    return {tuple(row) for row in np.hstack([atlas.cells.codes, *columns]).tolist()}


@pytest.mark.parametrize("engine", ["vertex", "search"])
@pytest.mark.parametrize("units", UNITS)
def test_units_of_the_features_do_not_change_what_is_found_under_constraints(units, engine, rng):
    scale = np.array(units)
    for offset in (0 * scale, 10 * scale):
        net, plain = in_units(rng, scale, offset, [3, 6, 5, 2])
        a, b = rng.normal(size=(2, 3)), np.array([0.3, 0.5])
        mine = pel.linear_regions(net, pel.Box(offset - scale, offset + scale).where(a / scale, b + (a / scale) @ offset), engine=engine)
        atlas = pel.linear_regions(plain, pel.Box([-1] * 3, [1] * 3).where(a, b), engine=engine)
        assert code_set(mine) == code_set(atlas)
        assert mine.check(points=500).status is Status.PROVED
        if engine == "vertex":
            assert mine.volume.sum() == pytest.approx(atlas.volume.sum() * np.prod(scale), rel=1e-9)


def test_polygons_do_not_depend_on_units(rng):
    for scale in (np.array([1e-9, 1e-9]), np.array([1e-3, 1e6]), np.array([1e8, 1e-8])):
        net, plain = in_units(rng, scale, 0 * scale, [2, 6, 5, 2])
        P, x0 = np.array([[1.0, 0.3], [-0.2, 1.0]]), np.zeros(2)       # a slice that no single row bounds
        mine = pel.linear_regions(net, pel.Slice(x0, scale[:, None] * P, pel.Box(-scale, scale)))
        small = pel.linear_regions(net, pel.Slice(x0, scale[:, None] * P * 1e7, pel.Box(-scale, scale)))
        atlas = pel.linear_regions(plain, pel.Slice(x0, P, pel.Box([-1, -1], [1, 1])))
        assert code_set(mine) == code_set(atlas) == code_set(small)
        assert mine.volume.sum() == pytest.approx(atlas.volume.sum(), rel=1e-9)


@pytest.mark.parametrize("thickness", [1e-3, 1e-6, 1e-9])
def test_bounding_boxes_are_tight_and_hold_their_set(thickness, rng):
    for d in (2, 3, 5):
        G = np.vstack([np.eye(d), -np.eye(d), np.ones((1, d))])
        h = np.append(np.ones(2 * d), thickness - d)                    # a small simplex at a corner
        lower, upper = bounding_box(G, h)
        assert np.all(lower == -1)
        assert np.allclose(upper, -1 + thickness, rtol=0, atol=1e-8 * thickness + 1e-14)
        assert (upper >= -1 + thickness - 1e-15).all()
        atlas = pel.linear_regions(relu_network(random_layers(rng, [d, 4, 1])), pel.Box(-np.ones(d), np.ones(d)).where(*_last(G, h)))
        assert len(atlas) == 1
        assert len(atlas[0].halfspaces.b) == d + 1


def _last(G, h):
    return G[-1], h[-1]


@pytest.mark.parametrize("far", [1e2, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("d", [1, 3, 6, 23])
def test_faces_of_a_domain_far_from_the_origin_are_facets(far, d, rng):
    net = relu_network(random_layers(rng, [d, 3, 1]))
    x = far * rng.uniform(1, 2, d)
    atlas = pel.linear_regions(net, pel.Box(x - 1, x + 1), engine="search", max_regions=200)
    for k in range(min(len(atlas), 4)):
        A, b, _ = atlas[k].halfspaces
        p = atlas[k].interior_point
        assert (A @ p <= b).all()
        for j in range(d):                              # bounded in every direction
            for sign in (-1, 1):
                assert linprog(sign * np.eye(d)[j], A_ub=A, b_ub=b - A @ p, bounds=(None, None)).status == 0


@pytest.mark.parametrize("engine", ["planar", "vertex", "search"])
@pytest.mark.parametrize(("size", "gap"), [(1e10, 1e-3), (1e14, 0.5), (1e6, 1e-8)])
def test_a_large_unit_in_its_layer_does_not_hide_one_that_is_lost_in_cancellation(engine, size, gap):
    first = np.array([[size, 0], [size, 0], [0, 1.0]]), np.array([2 * size, 2 * size, 2.0])
    second = np.array([[1.0, -1, 1], [1, -1, 1], [1, 1, 0]]), np.array([-2, -2 - gap, 1])
    net = relu_network([first, second, (np.ones((1, 3)), np.zeros(1))])
    atlas = pel.linear_regions(net, pel.Box([-1, -1], [1, 1]), engine=engine)
    assert len(atlas) == 3 or atlas.certificate.status is Status.UNKNOWN


def test_units_that_are_off_everywhere_do_not_cost_the_proof():
    net = relu_network([(np.eye(2), np.zeros(2)), (np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.ones(1))])
    for engine in ("planar", "vertex", "search"):
        atlas = pel.linear_regions(net, pel.Box([-2, -1], [-1, 1]), engine=engine)
        assert (len(atlas), atlas.certificate.status) == (2, Status.PROVED)


def test_programmes_end_where_rounding_hides_which_way_is_up():
    # three hyperplanes within 1e-7 of each other, in the coordinates of the box: two vertices each looked better from the other
    W = np.array([[-3.81469728e-06, 2.55999988e+02, -4.88281250e-04, -4.0], [3.81469727e-06, 256.0, -4.88281110e-04, 4.0],
                  [-3.81469704e-06, -256.0, 4.88281250e-04, -4.0]])
    half = np.array([2.0**17, 2.0**-9, 2.0**10, 2.0**-3])
    for seed in range(200):
        rng = np.random.default_rng(seed)
        normals = np.sign(rng.normal(size=4)) / 2 + 10.0**-rng.integers(6, 10) * rng.normal(size=(4, 4))
        corner = np.sign(rng.normal(size=4))
        second = rng.integers(-1, 3, size=(3, 4)).astype(float), np.zeros(3)
        layers = [(normals, -(normals @ corner)), second, (np.ones((1, 3)), np.zeros(1))]
        atlas = pel.linear_regions(relu_network(layers), pel.Box([-1] * 4, [1] * 4), engine="search", threads=1)
        assert atlas.is_complete
    net = relu_network([(W, np.array([-278.00000014, -881.99983348, 882.0])), (np.array([[0.0, 1, 1], [2, 0, 1]]), np.zeros(2)),
                        (np.ones((1, 2)), np.zeros(1))])
    assert pel.linear_regions(net, pel.Box(-half, half), engine="search").is_complete


@pytest.mark.parametrize("by", ["class", "top2"])
@pytest.mark.parametrize("power", [-200, -40, 0, 40, 200])
@pytest.mark.parametrize("engine", ["planar", "vertex", "search"])
def test_the_size_of_the_outputs_does_not_change_classes(engine, power, by, rng):
    d = 2 if engine == "planar" else 4
    for _ in range(4):
        layers = random_layers(rng, [d, 6, 5, 3])
        layers[1] = layers[1][0], layers[1][1] - 2              # there are regions on which the outputs are constant
        last = layers[-1][0] * 2.0**power, layers[-1][1] * 2.0**power
        whole = pel.linear_regions(relu_network(layers, "softmax"), pel.Box([-1] * d, [1] * d), by=by, engine=engine)
        atlas = pel.linear_regions(relu_network([*layers[:-1], last], "softmax"), pel.Box([-1] * d, [1] * d), by=by, engine=engine)
        assert np.array_equal(atlas.cells.codes, whole.cells.codes)
        assert np.array_equal(atlas.first, whole.first)
        x = np.vstack([whole[k].interior_x for k in range(len(whole))])
        y = whole.network(x)
        clear = np.sort(y, axis=1)[:, -1] - np.sort(y, axis=1)[:, -2] > 1e-9 * np.abs(y).max()
        for one in (whole, atlas):
            assert np.array_equal(one.first[one.locate(x)][clear], y.argmax(axis=1)[clear])


def test_a_slice_in_unlike_units_holds_what_lies_in_it(rng):
    units = np.array([1e-9, 1e6, 1.0, 1e-12])
    (W, b), *others = random_layers(rng, [4, 6, 2])
    net = relu_network([(W / units, b), *others])
    atlas = pel.linear_regions(net, pel.Box(-units, units).slice(free=(0, 1, 2), at=0.2 * units))
    x = rng.uniform(-1, 1, (200, 4)) * units
    x[:, 3] = 0.2 * units[3]
    assert (atlas.locate(x) >= 0).all()
    x[:, 3] = 0.3 * units[3]
    assert (atlas.locate(x) == -1).all()
