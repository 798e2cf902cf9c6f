"""Estimates of the number of regions: right on average, honest about their spread, and exact where all were counted."""

import numpy as np
import pytest
from networks import random_layers, relu_network
from test_atlas import DEGENERATE, degenerate_layers

import pellucid as pel
from pellucid.certificate import Status


def question(d, width, seed, half=0.6):
    rng = np.random.default_rng(seed)
    return relu_network(random_layers(rng, [d, width, width, 2])), pel.Box([-half] * d, [half] * d)


@pytest.mark.parametrize("kind", DEGENERATE)
@pytest.mark.parametrize("d", [1, 2, 4])
def test_few_regions_are_counted(kind, d, rng):
    net, box = relu_network(degenerate_layers(kind, rng, d), "softmax"), pel.Box([-1] * d, [1] * d)
    for by in (None, "class"):
        answer = pel.estimate_regions(net, box, by=by, max_seconds=1)
        assert answer.value == len(pel.linear_regions(net, box, by=by))
        assert (answer.status, answer.gap, answer.draws, answer.is_estimate) == (Status.PROVED, 0, 0, False)


def test_intervals_hold_the_number_about_as_often_as_they_say():
    held, errors = [], []
    for seed, (d, width) in enumerate([(3, 40), (5, 16), (7, 13)]):
        net, box = question(d, width, seed)
        truth = len(pel.linear_regions(net, box))
        for draw in range(10):
            answer = pel.estimate_regions(net, box, seed=draw, max_seconds=0.01, draws=10)
            assert answer.is_estimate
            assert answer.status is Status.UNKNOWN
            assert answer.at_least <= min(truth, answer.low)
            assert answer.low <= answer.value <= answer.high
            held.append(answer.low <= truth <= answer.high)
            errors.append(answer.value / truth - 1)
    assert np.mean(held) >= 0.8
    assert abs(np.mean(errors)) < 0.1            # no bias


def test_the_same_seed_gives_the_same_estimate():
    net, box = question(5, 16, 1)
    one, same, other = (pel.estimate_regions(net, box, seed=s, max_seconds=0.01, draws=8) for s in (3, 3, 4))
    assert (one.value, one.low, one.high) == (same.value, same.low, same.high)
    assert one.value != other.value
    wide = pel.estimate_regions(net, box, seed=3, max_seconds=0.01, draws=8, level=0.99)
    assert wide.low <= one.low <= one.high < wide.high


def test_an_estimate_tells_itself_and_its_cost(tmp_path):
    net, box = question(5, 16, 1)
    answer = pel.estimate_regions(net, box, max_seconds=0.01, draws=8)
    frame = answer.to_frame()
    assert frame["is estimate"].tolist() == [True]
    assert frame["seconds"][0] > 0
    assert "estimated from 8 draws" in repr(answer)
    assert answer.save(tmp_path / "answer.json").exists()
    with pytest.raises(ValueError, match="positive time"):
        pel.estimate_regions(net, box, max_seconds=0)
    with pytest.raises(ValueError, match="level"):
        pel.estimate_regions(net, box, level=1.5)


def test_a_single_code_split_into_pieces_is_counted(rng):
    net = relu_network([(rng.normal(size=(40, 3)), rng.normal(size=40))], "softmax")
    box = pel.Box([-1] * 3, [1] * 3)
    answer = pel.estimate_regions(net, box, by="top2", max_seconds=0.0001)
    assert answer.value == len(pel.linear_regions(net, box, by="top2", engine="search"))
