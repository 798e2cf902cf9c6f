"""Sufficient and contrastive reasons: equal to trying all sets of features on complete atlases."""

from itertools import combinations

import brute
import numpy as np
import pytest
from decisions import Case
from networks import random_layers, relu_network

import pellucid as pel

PROVED = pel.Status.PROVED


def is_forced(case, space, held, now):
    """Is class `now` the only one where these features are held? On sets with an interior, and at the row itself."""
    return brute.classes(case.net, space.held(case.x, held)) <= {now}


@pytest.mark.parametrize("block", [0, 1, *(pytest.param(k, marks=pytest.mark.slow) for k in range(2, 8))])
def test_reasons_are_those_of_complete_atlases(block):
    for seed in range(25 * block, 25 * (block + 1)):
        case = Case(seed)
        if case.degenerate:
            continue
        space, box, asked = case.space, case.box, case.asked
        every, now = range(len(space.features)), int(case.net.decide(case.x[None])[0])
        subsets = [s for r in range(len(every) + 1) for s in combinations(every, r)]
        forced = {s: is_forced(case, space, s, now) for s in subsets}

        enough = pel.sufficient_reason(case.net, case.x, box, **asked)
        fewest = pel.sufficient_reason(case.net, case.x, box, smallest=True, **asked)
        for found in (enough, fewest):
            held = tuple(space.number(name) for name in found.value)
            note = f"seed {seed}: {found!r}"
            assert found.status is PROVED, note
            assert forced[held], note
            assert not any(forced[tuple(k for k in held if k != left)] for left in held), note
            for name, row in zip(found.value, found.witness, strict=True):
                others = [k for k in held if k != space.number(name)]
                assert space.held(case.x, others).contains(row)[0], note
                assert case.net.decide(row[None])[0] != now, note
        assert len(fewest.value) == min(len(s) for s in subsets if forced[s])

        change = pel.contrastive_reason(case.net, case.x, box, **asked)
        assert change.status is PROVED
        freed = [s for s in subsets if not forced[tuple(k for k in every if k not in s)]]
        if change.value is None:
            assert not freed
        else:
            assert len(change.value) == min(map(len, freed))
            assert case.net.decide(change.witness[None])[0] != now
            assert set(change.to_frame()["feature"]) == set(change.value)


def test_an_order_is_followed():
    # class 1 where a + b > 0.5 or so: either feature alone is enough at (1, 1)
    net = relu_network([(np.array([[1.0, 1.0]]), np.array([-0.5]))], "sigmoid", feature_names=("a", "b"))
    box = pel.Box([0, 0], [1, 1])
    assert pel.sufficient_reason(net, [1.0, 1.0], box, order=["a"]).value == ("b",)
    assert pel.sufficient_reason(net, [1.0, 1.0], box, order=["b"]).value == ("a",)
    change = pel.contrastive_reason(net, [1.0, 1.0], box)
    assert change.value == ("a", "b")                          # one alone changes nothing
    assert "because b = 1" in repr(pel.sufficient_reason(net, [1.0, 1.0], box, order=["a"]))


def test_a_constant_network_needs_no_feature():
    net = relu_network([(np.zeros((2, 2)), np.array([1.0, 0.0]))], "softmax")
    box = pel.Box([0, 0], [1, 1])
    reason, change = pel.sufficient_reason(net, [0.5, 0.5], box), pel.contrastive_reason(net, [0.5, 0.5], box)
    assert reason.value == ()
    assert reason.status is PROVED
    assert len(reason.to_frame()) == 0
    assert change.value is None
    assert change.status is PROVED


def test_several_contrastive_reasons_come_in_order_of_size(rng):
    net = relu_network(random_layers(rng, [6, 8, 2]), "softmax")
    found = pel.contrastive_reason(net, np.zeros(6), pel.Box(-np.ones(6), np.ones(6)), n=4)
    sets = [set(one.value) for one in (found, *found.others) if one.value is not None]
    assert [len(s) for s in sets] == sorted(len(s) for s in sets)
    assert not any(a <= b for i, a in enumerate(sets) for b in sets[i + 1:])
    # each reason to keep the decision meets each reason to change it (Ignatiev et al. 2019)
    kept = set(pel.sufficient_reason(net, np.zeros(6), pel.Box(-np.ones(6), np.ones(6))).value)
    assert all(kept & s for s in sets)


def test_rows_outside_of_the_domain_are_refused():
    net = relu_network([(np.array([[1.0, 1.0]]), np.array([-0.5]))], "sigmoid", feature_names=("a", "b"))
    with pytest.raises(pel.DataError, match=r"'b' is 2, outside of the domain's \[0, 1\]"):
        pel.sufficient_reason(net, [1.0, 2.0], pel.Box([0, 0], [1, 1]))
    with pytest.raises(pel.DataError, match="x has 3 entries"):
        pel.contrastive_reason(net, [1.0, 2.0, 3.0], pel.Box([0, 0], [1, 1]))


def test_time_that_runs_out_keeps_what_is_proved(rng):
    net = relu_network(random_layers(rng, [8, 20, 20, 2]), "softmax")
    found = pel.sufficient_reason(net, np.zeros(8), pel.Box(-0.2 * np.ones(8), 0.2 * np.ones(8)), max_seconds=0.0)
    assert found.status in (PROVED, pel.Status.UNKNOWN)
    assert found.gap == sum(np.isnan(row).any() for row in found.witness)
