"""A point that is decided otherwise, found quickly: it is in the domain, decided otherwise, and no nearer than the radius."""

from __future__ import annotations

import numpy as np
import pytest
from distances import KINDS, small_network
from networks import random_layers, relu_network

import pellucid as pel
from pellucid.atlas.enumerate import split_of
from pellucid.atlas.nearest import Near
from pellucid.certificate import Status
from pellucid.explain import robustness

NORMS = (1, 2, np.inf)


def seen_of(net, x, p, domain, threshold=0.5, asked=np.inf):
    question = Near(net, x, domain, p, split_of(net, "class", threshold))
    return robustness._seen(question, int(net.decide(question.x, threshold=threshold)[0]), threshold, asked)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("p", NORMS)
def test_it_is_in_the_domain_and_no_nearer_than_the_radius(kind, p):
    met = finite = 0
    for seed in range(16):
        net, box, x = small_network(seed, kind, (1, 5))
        domain = box if seed % 2 else box.where(np.ones(net.n_inputs), float(x.sum()) + 0.1)
        seen, exact = seen_of(net, x, p, domain), pel.robustness_radius(net, x, p, domain)
        finite += np.isfinite(exact.value)
        if seen is None:
            continue
        met += 1
        decision = net.decide(x)[0]
        assert net.decide(seen.witness)[0] != decision
        assert robustness._margin(net, seen.tie[None], decision, 0.5)[0] <= 0
        assert (seen.witness >= domain.lower).all()
        assert (seen.witness <= domain.upper).all()
        assert (domain.A @ seen.witness <= domain.b + 1e-12).all()
        assert seen.distance == np.linalg.norm(seen.witness - x, ord=p) >= exact.lower * (1 - 1e-12)
    assert finite / 2 <= met <= finite


def test_thresholds_and_slices(rng):
    net = relu_network(random_layers(rng, [4, 9, 1]), "sigmoid")
    X = rng.uniform(-1, 1, (200, 4))
    threshold = float(np.quantile(net.predict(X), 0.7))
    x = X[0]
    seen = seen_of(net, x, 2, pel.Box([-1] * 4, [1] * 4), threshold)
    assert net.decide(seen.witness, threshold=threshold)[0] != net.decide(x, threshold=threshold)[0]
    for ties in ({}, {2: (3,)}):
        plane = pel.Box([-1] * 4, [1] * 4).slice(free=(0, 2), at=np.where([0, 0, 0, 1], x[2], x) if ties else x, ties=ties)
        at = plane.point(np.array([[x[0], x[2]]]))[0]
        seen = seen_of(net, at, 2, plane, threshold)
        if seen is not None:
            u, off = plane.coordinates(seen.witness)
            assert off[0] < 1e-12
            assert (np.abs(u) <= 1).all()


@pytest.mark.parametrize("p", NORMS)
def test_with_it_the_radius_is_the_same(p, monkeypatch):
    for seed in range(6):
        net, box, x = small_network(seed, KINDS[seed % len(KINDS)], (2, 6))
        plain = pel.robustness_radius(net, x, p, box)
        with monkeypatch.context() as patch:
            patch.setattr(robustness, "FIRST_SECONDS", 0.0)
            again = pel.robustness_radius(net, x, p, box)
        assert again.status is plain.status
        assert again.value == plain.value or np.isclose(again.value, plain.value, atol=1e-8)
        assert again.lower <= plain.value * (1 + 1e-9)


def test_a_radius_that_is_not_proved_in_time_has_bounds_on_both_sides(rng):
    net = relu_network(random_layers(rng, [30, 64, 64, 3]), "softmax")
    x = rng.standard_normal(30)
    answer = pel.robustness_radius(net, x, max_seconds=0.1)
    assert answer.status is Status.UNKNOWN
    assert 0 < answer.lower < answer.upper < np.inf
    assert net.decide(answer.witness)[0] == answer.other != answer.decision
    assert np.isclose(answer.gap, answer.upper - answer.lower)
    assert "max_seconds" in answer.certificate.reason
    short = pel.robustness_radius(net, x, radius=0.9 * answer.lower)
    assert short.status is Status.PROVED
    assert short.value is None
