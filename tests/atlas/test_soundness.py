"""Networks on which rounding bounds are wide: answers stay right, and certificates do not claim what is not proved."""

from itertools import pairwise

import numpy as np
import pytest
from networks import relu_network

import pellucid as pel
from pellucid.atlas.frame import interior_points
from pellucid.certificate import Status
from pellucid.tolerance import OWN_SHARE


def he_network(depth, width, seed):
    rng = np.random.default_rng(seed)
    sizes = [2, *[width] * depth, 3]
    return relu_network([(rng.uniform(-1, 1, (o, i)) * np.sqrt(6 / i), rng.uniform(-0.3, 0.3, o))
                         for i, o in pairwise(sizes)], "softmax")


def wrong_classes(atlas):
    """Rows whose class at their inner point is not the network's, where the network's margin is not rounding."""
    y = atlas.network(atlas.domain.point(interior_points(atlas)))
    best = np.sort(y, axis=1)
    return np.flatnonzero((y.argmax(axis=1) != atlas.first) & (best[:, -1] - best[:, -2] > 1e-9 * np.abs(y).max()))


@pytest.mark.parametrize(("depth", "width"), [(20, 16), (40, 16), (8, 40)])
def test_deep_networks_are_mapped_right_and_called_proved_only_where_bounds_are_narrow(depth, width):
    for seed in (0, 1):
        atlas = pel.linear_regions(he_network(depth, width, seed), pel.Box([-1, -1], [1, 1]), by="class")
        assert atlas.check(points=3000).status is Status.PROVED
        assert len(wrong_classes(atlas)) == 0
        figures, proved = atlas.certificate.figures, atlas.certificate.status is Status.PROVED
        assert proved == (figures["rounding"] <= 1e-7 * (1 + 1e-9) and figures.get("rounding share", 0) <= OWN_SHARE)
        assert proved or "estimated" in repr(atlas)
    assert pel.linear_regions(he_network(3, 16, 0), pel.Box([-1, -1], [1, 1])).certificate.status is Status.PROVED


def test_acas_xu_is_given_the_network_s_own_classes(shared):
    net = pel.load(shared / "data" / "acasxu" / "ACASXU_run2a_1_1_batch_2000.onnx")
    at = np.random.default_rng(1).uniform(-0.3, 0.3, 5)
    atlas = pel.linear_regions(net, pel.Box([-0.5] * 5, [0.5] * 5).slice(free=(0, 1), at=at), by="class")
    assert len(wrong_classes(atlas)) == 0
    assert atlas.certificate.figures["ties"] == 0


@pytest.mark.parametrize(("size", "gap"), [(1e10, 1e-3), (1e6, 1e-8), (1e14, 0.5)])
def test_a_unit_lost_in_cancellation_is_not_called_exact(size, gap):
    # h1 - h2 + h3 - 2 and h1 - h2 + h3 - 2 - gap, with h1 = h2 of the given size
    first = np.array([[size, 0], [size, 0], [0, 1.0]]), np.array([2 * size, 2 * size, 2.0])
    second = np.array([[1.0, -1, 1], [1, -1, 1]]), np.array([-2, -2 - gap])
    net = relu_network([first, second, (np.ones((1, 2)), np.zeros(1))])
    atlas = pel.linear_regions(net, pel.Box([-1, -1], [1, 1]))
    assert len(atlas) == 3 or atlas.certificate.status is Status.UNKNOWN
