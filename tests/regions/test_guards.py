"""Arguments without sense are refused, at the public door and by the native core itself."""

import numpy as np
import pytest
from networks import random_layers, relu_network

import pellucid as pel
from pellucid import _core
from pellucid.chain import chain_of
from pellucid.errors import DomainError
from pellucid.regions import enumerate_planar, enumerate_search, enumerate_vertex
from pellucid.regions.native import native_chain


@pytest.fixture
def net(rng):
    return relu_network(random_layers(rng, (2, 4, 1)))


SQUARE = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
HALVES = np.vstack([np.eye(2), -np.eye(2)]), np.ones(4)
NONSENSE = [{"threads": 0}, {"threads": -3}, {"threads": 1.5}, {"max_regions": -1}, {"max_seconds": -0.1},
            {"max_seconds": float("nan")}, {"max_regions": float("nan")}]


@pytest.mark.parametrize("options", [*NONSENSE, {"max_bytes": -1}], ids=str)
@pytest.mark.parametrize("engine", ["planar", "vertex", "search", "milp"])
def test_nonsense_is_a_value_error_that_names_the_argument(net, engine, options):
    with pytest.raises(ValueError, match=next(iter(options))) as caught:
        pel.linear_regions(net, pel.Box([-1, -1], [1, 1]), engine=engine, **options)
    assert not isinstance(caught.value, DomainError)


@pytest.mark.parametrize("options", NONSENSE, ids=str)
def test_counting_refuses_it_too(net, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        pel.count_regions(net, pel.Box([-1, -1], [1, 1]), **options)


@pytest.mark.parametrize("enumerate_", [lambda c, e, o: enumerate_planar(c, SQUARE, floors=e, **o),
                                        lambda c, e, o: enumerate_vertex(c, *HALVES, floors=e, **o),
                                        lambda c, e, o: enumerate_search(c, *HALVES, floors=e, **o)], ids=["planar", "vertex", "search"])
@pytest.mark.parametrize("options", NONSENSE, ids=str)
def test_engines_refuse_it_themselves(net, enumerate_, options):
    chain = chain_of(net)
    with pytest.raises(ValueError, match=next(iter(options))):
        enumerate_(chain, [np.zeros(4), np.zeros(1)], options)


def test_budgets_may_be_whole_floats_and_infinite(net):
    box = pel.Box([-1, -1], [1, 1])
    whole = pel.linear_regions(net, box)
    assert len(pel.linear_regions(net, box, max_regions=1e6, max_seconds=np.inf, max_bytes=float("inf"))) == len(whole)
    assert not pel.linear_regions(net, box, max_regions=0).is_complete


# ---- the native core by itself
def planar(chain, **changes):
    given = {"polygon": SQUARE, "frame": np.zeros(0), "floors": [np.zeros(4), np.zeros(1)], "factor": 16.0, "geometric": 1e-10,
             "mode": "none", "thresholds": np.zeros(0), "watched": np.zeros(0), "rows": 100, "seconds": 1.0, "bytes": 10**9,
             "threads": 1} | changes
    return _core.planar_run(native_chain(chain), *given.values())


@pytest.mark.parametrize("changes", [
    {"frame": np.zeros(3)},
    {"rows": -1}, {"bytes": -1}, {"seconds": -1.0}, {"seconds": np.nan}, {"threads": 0}, {"threads": -1}, {"factor": -1.0},
    {"factor": np.nan}, {"geometric": -1e-9}, {"geometric": np.nan}, {"geometric": 1.0}, {"mode": "classes"}, {"mode": "top2"},
    {"mode": "labels"}, {"mode": "labels", "thresholds": np.zeros(2)}, {"floors": [np.zeros(4)]}, {"floors": [np.zeros(3), np.zeros(1)]},
    {"floors": [-np.ones(4), np.zeros(1)]}, {"floors": [np.full(4, np.nan), np.zeros(1)]}, {"polygon": SQUARE[:2]},
    {"watched": np.zeros(3)}, {"watched": -np.ones(4)}, {"watched": np.full(4, np.nan)},
    {"polygon": SQUARE[::-1].copy()}, {"polygon": np.full((4, 2), np.nan)}, {"polygon": np.zeros((4, 2))},
], ids=str)
def test_the_core_refuses_nonsense(net, changes):
    assert planar(chain_of(net)) is not None
    with pytest.raises(ValueError, match=r"\w{4}"):
        planar(chain_of(net), **changes)


def affine():
    return _core.dense(np.ones((2, 2)), np.zeros(2))


@pytest.mark.parametrize("make", [
    lambda: _core.dense(np.ones((2, 2)), np.zeros(3)),
    lambda: _core.csr(np.array([0, 2, 1]), np.zeros(1, np.int32), np.ones(1), np.zeros(2), 2),          # falls
    lambda: _core.csr(np.array([0, 1, 9]), np.zeros(1, np.int32), np.ones(1), np.zeros(2), 2),          # too far
    lambda: _core.csr(np.array([0, 0, 1]), np.array([2], np.int32), np.ones(1), np.zeros(2), 2),        # no such column
    lambda: _core.csr(np.array([0, 0, 1]), np.array([-1], np.int32), np.ones(1), np.zeros(2), 2),
    lambda: _core.elementwise(affine(), np.array([0, 1, 9], np.int32), np.zeros(2), np.zeros(4), np.zeros(4)),
    lambda: _core.elementwise(affine(), np.array([0, 3, 2], np.int32), np.zeros(2), np.zeros(4), np.zeros(4)),
    lambda: _core.selection(affine(), np.zeros(0, np.int32), np.zeros(0, np.int32)),
    lambda: _core.selection(affine(), np.array([0, 5], np.int32), np.zeros(2, np.int32)),
    lambda: _core.selection(affine(), np.array([0, 2], np.int32), np.array([0, 7], np.int32)),
], ids=range(10))
def test_the_core_refuses_parts_that_do_not_fit(make):
    with pytest.raises(ValueError, match=r"\w{4}"):
        make()


def test_an_affine_map_serves_one_stage_only():
    taken, ptr = affine(), np.array([0, 1, 2], np.int32)
    _core.elementwise(taken, ptr, np.zeros(2), np.zeros(4), np.zeros(4))
    with pytest.raises(ValueError, match="taken"):
        _core.elementwise(taken, ptr, np.zeros(2), np.zeros(4), np.zeros(4))
