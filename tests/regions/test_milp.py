"""The mixed-integer encoding equals the network; regions by blocking codes are those of the other engines."""

from __future__ import annotations

import numpy as np
import pytest
from networks import random_layers, relu_network

import pellucid as pel
from pellucid.chain.chain import Chain, Stage
from pellucid.geometry.milp import Program
from pellucid.regions import codes_of, enumerate_search, unpack_codes
from pellucid.regions.milp import encode, enumerate_milp

from .nets import groups, relu, relu_chain, rows, same

LEAKY = ([0.0], [0.1, 1.0], [0.0, 0.0])
HARD_TANH = ([-1.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 1.0])
STEPS = ([-0.5, 0.25, 1.0], [0.0, 1.0, 0.5, 2.0], [0.2, -0.3, 0.4, -1.0])      # jumps at each breakpoint
PASS = ([], [1.0], [0.0])
SCALED = ([], [-2.0], [0.5])


def random_chain(rng, d, phis, c=2):
    """Stages of the given functions, normal weights."""
    stages, n = [], d
    for phi in phis:
        rows_in = int(phi.members.max()) + 1 if hasattr(phi, "members") else phi.n_outputs
        stages.append(Stage(rng.normal(size=(rows_in, n)), 0.5 * rng.normal(size=rows_in), phi))
        n = phi.n_outputs
    return Chain(d, tuple(stages), rng.normal(size=(c, n)), rng.normal(size=c))


MIXED = {
    "relu": [relu(5), relu(4)],
    "leaky": [same(4, *LEAKY), same(3, *LEAKY)],
    "hard tanh": [same(4, *HARD_TANH), same(4, *HARD_TANH)],
    "jumps": [same(3, *STEPS), relu(3)],
    "passing": [rows([LEAKY, PASS, HARD_TANH, SCALED]), rows([PASS, PASS, STEPS])],
    "max": [groups([0, 1, 2], [2, 3], [4]), relu(3)],
    "max after": [relu(4), groups([0, 1], [1, 2, 3], [0])],
    "no hidden layer": [],
    "one unit": [relu(1)],
}


def programme(chain, **options):
    p = Program()
    d = chain.n_inputs
    x = p.add(d, -1.5, 1.5)
    return p, encode(chain, p, x, np.full(d, -1.5), np.full(d, 1.5), **options)


def held(p, encoding, point):
    """The programme with the inputs at this point."""
    q = p.copy()
    q.bound(encoding.inputs, point, point)
    return q


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("tighten", ["intervals", "lp"])
def test_with_its_inputs_held_the_programme_is_the_network(name, tighten, rng):
    chain = random_chain(rng, 3, MIXED[name])
    p, encoding = programme(chain, tighten=tighten)
    c = rng.normal(size=chain.n_outputs)
    points = rng.uniform(-1.5, 1.5, (6, 3))
    codes = unpack_codes(codes_of(chain, points), chain.n_pieces)
    for point, code in zip(points, codes, strict=True):
        q = held(p, encoding, point)
        for best in (q.maximise(c, encoding.outputs), q.minimise(c, encoding.outputs)):
            assert best.status == "optimal"
            np.testing.assert_allclose(best.x[encoding.outputs], chain(point[None])[0], atol=1e-6)
            np.testing.assert_array_equal(encoding.code(best.x), code)
        encoding.fix(q, code)
        assert q.maximise(c, encoding.outputs).status == "optimal"
        encoding.forbid(q, code)
        assert q.maximise(c, encoding.outputs).status == "infeasible"


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("tighten", ["intervals", "lp"])
def test_bounds_contain_every_value_and_lp_bounds_are_tighter(name, tighten, rng):
    chain = random_chain(rng, 2, MIXED[name])
    _, encoding = programme(chain, tighten=tighten)
    _, plain = programme(chain)
    s = rng.uniform(-1.5, 1.5, (400, 2)).T
    for layer, (low, up), (wide_low, wide_up) in zip((*chain.stages, chain), encoding.bounds, plain.bounds, strict=True):
        z = layer.A @ s + layer.a[:, None]
        assert (low[:, None] <= z).all()
        assert (z <= up[:, None]).all()
        assert (low >= wide_low - 1e-12).all()
        assert (up <= wide_up + 1e-12).all()
        s = layer.phi(z) if layer is not chain else s


def test_the_largest_output_is_that_of_a_dense_grid():
    rng = np.random.default_rng(3)
    chain = relu_chain(random_layers(rng, [2, 8, 6, 1]))
    p, encoding = programme(chain, tighten="lp")
    best = p.maximise([1.0], encoding.outputs)
    axis = np.linspace(-1.5, 1.5, 301)
    grid = chain(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)).max()
    assert grid <= best.bound + 1e-9
    np.testing.assert_allclose(best.value, chain(best.x[encoding.inputs][None])[0, 0], atol=1e-6)
    assert best.value - grid < 0.2


def test_stable_units_have_no_binaries(rng):
    chain = relu_chain([(rng.normal(size=(3, 2)), np.array([50.0, -50, 50])), (rng.normal(size=(2, 3)), np.zeros(2))])
    p, encoding = programme(chain)
    assert len(encoding.binaries) == 0
    assert not p.integer.any()
    np.testing.assert_array_equal(encoding.code(np.zeros(p.n_columns)), [1, 0, 1])
    assert encoding.values(np.array([0, 0, 1])) is None


# ---- enumeration by blocking codes
def box_rows(d, half=1.0):
    return np.vstack([np.eye(d), -np.eye(d)]), np.full(2 * d, half)


def same_codes(chain, d, G=None, h=None):
    G, h = box_rows(d) if G is None else (G, h)
    floors = [np.full(s.A.shape[0], 1e-14) for s in chain.stages] + [np.full(chain.n_outputs, 1e-14)]
    table, other = enumerate_milp(chain, G, h, floors=floors), enumerate_search(chain, G, h, floors=floors)
    np.testing.assert_array_equal(table.codes, other.codes)
    np.testing.assert_array_equal(codes_of(chain, table.points), table.codes)
    np.testing.assert_allclose(np.einsum("kcd,kd->kc", table.coef, table.points) + table.intercept, chain(table.points), atol=1e-9)
    assert table.complete
    return table


@pytest.mark.parametrize("name", [n for n in MIXED if n != "jumps"])
def test_codes_are_those_of_the_search_engine(name):
    rng = np.random.default_rng(5)
    same_codes(random_chain(rng, 2, MIXED[name]), 2)


@pytest.mark.parametrize("seed", range(3))
def test_codes_in_three_dimensions_under_a_further_constraint(seed):
    rng = np.random.default_rng(seed)
    chain = relu_chain(random_layers(rng, [3, 4, 3, 1]))
    G, h = box_rows(3)
    same_codes(chain, 3, np.vstack([G, [1.0, 1, 1]]), np.append(h, 0.5))


def degenerate(kind, rng):
    (W, b), (V, c), out = random_layers(rng, [2, 4, 3, 1])
    if kind == "zero biases":
        b, c = 0 * b, 0 * c
    elif kind == "twins":
        W[1], b[1], W[2], b[2] = W[0], b[0], -2 * W[0], -2 * b[0]
    elif kind == "dead layer":
        b = b - 50.0
    elif kind == "dead units behind zero biases":
        b, c, V[0] = 0 * b, 0 * c, -np.abs(V[0])
    elif kind == "through the corners":
        W, b = np.array([[1.0, 1], [1, -1], [1, 0], [0, 1]]), np.array([-2.0, 0, -1, -1])
    return relu_chain([(W, b), (V, c), out])


@pytest.mark.parametrize("kind", ["zero biases", "twins", "dead layer", "dead units behind zero biases", "through the corners"])
def test_codes_met_only_on_sets_without_volume_are_left_out(kind, rng):
    same_codes(degenerate(kind, rng), 2)


def test_an_atlas_by_the_milp_engine():
    rng = np.random.default_rng(0)
    net = relu_network(random_layers(rng, [3, 4, 3, 2]), "softmax")
    box = pel.Box(-np.ones(3), np.ones(3))
    atlas, other = pel.linear_regions(net, box, engine="milp"), pel.linear_regions(net, box)
    np.testing.assert_array_equal(atlas.cells.codes, other.cells.codes)
    assert atlas.certificate.status is pel.Status.PROVED
    assert "solver's tolerance" in atlas.certificate.claim
    points = rng.uniform(-1, 1, (50, 3))
    np.testing.assert_array_equal(atlas.locate(points), other.locate(points))
    seen = []
    part = pel.linear_regions(net, box, engine="milp", max_regions=3, progress=seen.append)
    assert isinstance(part, pel.PartialAtlas)
    assert len(part) == 3
    assert [p.regions for p in seen] == [1, 2, 3]
    assert part.certificate.status is pel.Status.UNKNOWN
    assert "3 found" in part.certificate.reason
    with pytest.raises(ValueError, match="whole regions only"):
        pel.linear_regions(net, box, engine="milp", by="class")


def test_a_domain_of_unlike_units_is_not_called_complete_where_the_solver_loses_regions():
    lost = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        units = np.array([1e-7, 1.0, 1e6])
        (A, a), *rest = random_layers(rng, [3, 4, 3, 2])
        net, box = relu_network([(A / units, a), *rest]), pel.Box(-units, units)
        atlas, other = pel.linear_regions(net, box, engine="milp"), pel.linear_regions(net, box)
        lost += len(atlas) < len(other)
        if atlas.certificate.status is pel.Status.PROVED:
            x = rng.uniform(-1, 1, (500, 3)) * units
            assert (atlas.locate(x) >= 0).mean() > 0.998
    assert lost                                                     # else this tests nothing
