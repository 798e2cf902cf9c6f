"""Bounds in the report: what it says of rows holds for points around them."""

from __future__ import annotations

import numpy as np
import pytest

import pellucid as pel
from pellucid.geometry import Box
from pellucid.report.bounded import bounded

pytest.importorskip("torch")


def network(outputs: int, link: str, rng, width: int = 10, d: int = 4) -> pel.Network:
    W = [rng.normal(size=(width, d)), rng.normal(size=(width, width)) / 2, rng.normal(size=(outputs, width))]
    b = [rng.normal(size=width), rng.normal(size=width), rng.normal(size=outputs)]
    return pel.load((W, b), orientation="out_in", link=link)


def rows(rng, n: int = 30, d: int = 4) -> np.ndarray:
    X = rng.normal(size=(n, d))
    X[:, -1] = X[:, -1] > 0                                     # two values: stands still
    return X


def told(net, X, row=0, direction=None, **words):
    direction = np.eye(net.n_outputs)[0] if direction is None else direction
    return bounded(net, X, row, Box(X.min(axis=0), X.max(axis=0)), direction, **words)


def answers(net, x) -> np.ndarray:
    """(n, k): the class, or each label."""
    return net(x) > 0 if net.is_multilabel else net.decide(x)[:, None]


@pytest.mark.parametrize(("outputs", "link"), [(1, "sigmoid"), (3, "softmax"), (2, "sigmoid")])
def test_rows_that_are_said_to_keep_their_class_keep_it(outputs, link):
    rng = np.random.default_rng(outputs)
    net, X = network(outputs, link, rng), rows(rng)
    found = told(net, X)
    width = np.where(np.arange(4) < 3, np.ptp(X, axis=0), 0)
    for level in found.levels:
        inside = X[:, None] + rng.uniform(-1, 1, size=(len(X), 400, 4)) * level.share * width
        inside = np.clip(inside, X.min(axis=0), X.max(axis=0))
        stays = (answers(net, inside.reshape(-1, 4)).reshape(len(X), 400, -1) == answers(net, X)[:, None]).all(axis=(1, 2))
        assert level.kept <= stays.sum()
        assert level.changed + level.kept <= len(X)
    kept, changed = [v.kept for v in found.levels], [v.changed for v in found.levels]
    assert kept == sorted(kept, reverse=True)
    assert changed == sorted(changed)
    assert kept[0] > 0
    assert changed[-1] > 0
    assert found.still == (net.feature_names[3],)


def test_a_number_goes_as_far_as_was_found_and_no_farther_than_proved():
    rng = np.random.default_rng(5)
    net, X = network(1, "identity", rng), rows(rng)
    found = told(net, X, direction=np.array([-2.0]))
    width = np.where(np.arange(4) < 3, np.ptp(X, axis=0), 0)
    here = net(X) @ [-2]
    for level in found.levels:
        inside = np.clip(X[:, None] + rng.choice([-1, 1], size=(len(X), 64, 4)) * level.share * width, X.min(axis=0), X.max(axis=0))
        far = np.abs((net(inside.reshape(-1, 4)) @ [-2]).reshape(len(X), -1) - here[:, None]).max(axis=1).mean()
        assert far <= level.at_most
        assert 0 < level.at_least <= level.at_most
    assert found.important is None
    assert "no classes" in found.not_important
    assert (found.seen[0] >= found.whole.lower[0].numpy()).all()
    assert (found.seen[1] <= found.whole.upper[0].numpy()).all()


def test_degenerate_rows_and_ranges():
    rng = np.random.default_rng(1)
    net = network(3, "softmax", rng)
    one = told(net, rng.normal(size=(1, 4)))                    # nothing moves
    assert all(v.kept == 1 for v in one.levels)
    assert one.important is None
    X = rows(rng)
    narrow = bounded(net, X, 2, Box(X.min(axis=0) + 10, X.max(axis=0) + 10), np.eye(3)[0])
    assert np.isnan(narrow.seen).all()                          # no row lies within these ranges
    brief = told(net, X, max_seconds=0.0)
    assert len(brief.levels) == 1


def test_an_image_gets_maps_and_a_large_network_fewer_rows():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 3))
    net = pel.load(model, input_shape=(1, 8, 8), link="softmax")
    X = np.random.default_rng(0).uniform(size=(20, 64))
    found = told(net, X)
    assert found.important.images.shape == (8, 1, 8, 8)
    assert found.n_rows == 20
    model = torch.nn.Sequential(torch.nn.Linear(4, 9000), torch.nn.ReLU(), torch.nn.Linear(9000, 3))
    assert told(pel.load(model, input_shape=(4,), link="softmax"), rows(np.random.default_rng(0))).n_rows == 3
