"""Robustness radii: equal to the nearest piece of another class, with a witness, and never refuted by samples."""

from __future__ import annotations

import numpy as np
import pytest
from distances import KINDS, distances, small_network
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import random_layers, relu_network

import pellucid as pel
from pellucid.certificate import Status

NORMS = (1, 2, np.inf)


def check(answer, net, box, x, p, threshold=0.5):
    """By the complete atlas, and by the network at the witness."""
    decision = net.decide(x, threshold=threshold)[0]
    atlas = pel.linear_regions(net, box, engine="search", by="class", threshold=threshold)
    other = np.flatnonzero(atlas.first != decision)
    true = distances(atlas, x, p, other).min(initial=np.inf)
    assert answer.decision == decision
    if np.isinf(true):
        assert answer.value == np.inf
        assert answer.witness is None
        assert answer.gap == 0
        return
    assert np.isclose(answer.value, true, atol=1e-8)
    assert answer.lower <= true * (1 + 1e-9) + 1e-12
    assert answer.gap <= 1e-7
    assert net.decide(answer.witness, threshold=threshold)[0] == answer.other != decision
    assert answer.upper == np.linalg.norm(answer.witness - x, ord=p) >= answer.lower
    assert (np.abs(answer.witness) <= 1).all()
    assert np.isclose(np.linalg.norm(answer.tie - x, ord=p), answer.value, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("p", NORMS)
def test_it_is_the_distance_of_the_nearest_piece_of_another_class(kind, p):
    for seed in range(8 if p == 2 else 4):
        net, box, x = small_network(seed, kind, (1, 7 if p == 2 else 5))
        check(pel.robustness_radius(net, x, p, box), net, box, x, p)


@pytest.mark.slow
@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("seed", range(9, 34))
def test_the_same_on_two_hundred_networks(seed, p):
    for kind in KINDS:
        net, box, x = small_network(seed, kind)
        check(pel.robustness_radius(net, x, p, box), net, box, x, p)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**20), st.sampled_from(NORMS), st.sampled_from(KINDS))
def test_no_sample_of_the_ball_refutes_it(seed, p, kind):
    net, _, x = small_network(seed, kind, (1, 4))
    answer, rng = pel.robustness_radius(net, x, p), np.random.default_rng(seed)
    z = rng.normal(size=(100_000, len(x)))
    z *= (rng.uniform(size=len(z)) ** (1 / len(x)) * min(answer.lower, 1e3) * (1 - 1e-9) / np.linalg.norm(z, ord=p, axis=1))[:, None]
    y = net(x + z)
    margin = np.abs(y[:, 0]) if net.n_outputs == 1 else np.ptp(np.sort(y, axis=1)[:, -2:], axis=1)
    refuted = (net.decide(x + z) != answer.decision) & (margin > 1e-12)
    assert not refuted.any()


def test_a_threshold_moves_the_tie():
    net = relu_network([(np.array([[1.0, 0.0]]), np.array([5.0])), (np.array([[1.0]]), np.array([-5.0]))], "sigmoid")      # y = x0
    answer = pel.robustness_radius(net, [0.0, 3.0], threshold=0.9)
    assert np.isclose(answer.value, np.log(9))
    assert (answer.decision, answer.other) == (0, 1)
    assert np.isclose(pel.robustness_radius(net, [0.5, 3.0]).value, 0.5)


def test_a_tie_at_x_is_radius_zero():
    net = relu_network([(np.eye(2), np.ones(2) * 9), (np.eye(2), np.zeros(2))], "softmax")                                # x0 against x1
    answer = pel.robustness_radius(net, [0.25, 0.25])
    assert answer.value == pytest.approx(0, abs=1e-12)
    assert answer.upper < 1e-9
    assert answer.status is Status.PROVED


def test_one_class_everywhere_in_a_domain_is_proved_and_without_end_unknown():
    net = relu_network([(np.array([[1.0]]), np.zeros(1)), (np.array([[1.0], [0.0]]), np.array([0.0, -1.0]))], "softmax")  # relu(x) > -1
    inside = pel.robustness_radius(net, [0.5], domain=pel.Box([-2], [2]))
    assert inside.value == np.inf
    assert inside.status is Status.PROVED
    assert "everywhere in the domain" in repr(inside)
    everywhere = pel.robustness_radius(net, [0.5])
    assert everywhere.value is None
    assert everywhere.status is Status.UNKNOWN
    assert everywhere.lower > 1e4


def test_a_radius_to_look_within_is_proved_by_itself():
    net = relu_network([(np.array([[1.0, 0.0]]), np.array([5.0])), (np.array([[1.0]]), np.array([-5.0]))], "sigmoid")
    answer = pel.robustness_radius(net, [1.0, 0.0], radius=0.75)
    assert answer.value is None
    assert answer.lower == pytest.approx(0.75)
    assert answer.status is Status.PROVED
    assert pel.robustness_radius(net, [1.0, 0.0], radius=1.5).value == pytest.approx(1)


def test_a_budget_gives_bounds():
    net = relu_network(random_layers(np.random.default_rng(1), [8, 40, 40, 3]), "softmax")
    x = np.full(8, 0.2)
    exact = pel.robustness_radius(net, x, max_seconds=60)
    assert exact.status is Status.PROVED
    for seconds in (0.0, 0.002, 0.01):
        short = pel.robustness_radius(net, x, max_seconds=seconds, threads=1)
        assert short.lower <= exact.value * (1 + 1e-9)
        assert short.upper >= exact.value * (1 - 1e-9)
        if short.value is None or short.gap > 1e-6:
            assert short.status is Status.UNKNOWN


def test_a_second_look_by_samples_refutes_what_is_wrong():
    from pellucid.atlas.nearest import Near
    from pellucid.explain.robustness import _second_look

    net = relu_network([(np.array([[1.0, 0.0]]), np.array([5.0])), (np.array([[1.0]]), np.array([-5.0]))], "sigmoid")      # y = x0
    answer = pel.robustness_radius(net, [0.5, 3.0])
    assert answer.certificate.check().status is Status.UNKNOWN
    wrong = _second_look(Near(net, [0.5, 3.0], None, 2, None), answer.certificate, answer.decision, 0.5, 1.5, 0.0)
    assert wrong.status is Status.REFUTED


def test_the_answer_as_a_table_and_a_file(tmp_path):
    net, box, x = small_network(1, "plain", (3, 4), link="softmax")
    answer = pel.robustness_radius(net, x, domain=box)
    frame = answer.to_frame()
    assert frame["feature"].tolist() == list(net.feature_names)
    assert np.isclose(np.linalg.norm(frame["change"]), answer.upper)
    assert "RobustnessRadius" in answer.save(tmp_path / "r.json").read_text()


def test_numbers_and_many_labels_have_no_decision():
    layers = random_layers(np.random.default_rng(0), [2, 3, 1])
    with pytest.raises(pel.NoDecision):
        pel.robustness_radius(relu_network(layers), [0.0, 0.0])
    with pytest.raises(pel.NoDecision):
        pel.robustness_radius(relu_network(random_layers(np.random.default_rng(0), [2, 3, 2]), "sigmoid"), [0.0, 0.0])
