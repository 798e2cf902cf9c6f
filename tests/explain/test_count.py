"""Counting regions without keeping them."""

import numpy as np
import pytest
from networks import random_layers, relu_network

import pellucid as pel


def boxed(rng, sizes):
    return relu_network(random_layers(rng, sizes)), pel.Box(-np.ones(sizes[0]), np.ones(sizes[0]))


@pytest.mark.parametrize("sizes", [(1, 6, 1), (2, 8, 8, 1), (3, 6, 6, 2), (6, 5, 1)], ids=str)
@pytest.mark.parametrize("by", [None, "class"])
def test_the_count_is_the_number_of_rows_of_the_atlas(rng, sizes, by):
    net, box = boxed(rng, sizes)
    if by and sizes[-1] == 1:
        net = relu_network(random_layers(rng, sizes), link="sigmoid")
    atlas, count = pel.linear_regions(net, box, by=by), pel.count_regions(net, box, by=by)
    assert count.value == len(atlas)
    assert count.status is pel.Status.PROVED
    assert count.gap == 0
    assert count.share == 1
    assert count.to_frame().iloc[0, 0] == len(atlas)
    assert str(count.value) in count.certificate.claim


@pytest.mark.parametrize("layers", [
    [(np.eye(2), np.zeros(2))],                                                        # no hidden layer
    [(np.zeros((3, 2)), np.zeros(3)), (np.ones((1, 3)), np.zeros(1))],                 # dead units
    [(np.ones((4, 2)), np.zeros(4)), (np.ones((1, 4)), np.zeros(1))],                  # duplicate units, no biases
    [(np.ones((1, 2)), np.ones(1)), (np.ones((1, 1)), np.zeros(1))],                   # one unit
], ids=["affine", "dead", "duplicates", "one unit"])
def test_degenerate_networks_are_counted_like_they_are_enumerated(layers):
    net, box = relu_network(layers), pel.Box([-1, -1], [1, 1])
    assert pel.count_regions(net, box).value == len(pel.linear_regions(net, box))


def test_a_slice_is_counted_and_threads_change_nothing(rng):
    net, box = boxed(rng, (5, 12, 12, 1))
    plane = box.slice(free=(0, 3), at=np.zeros(5))
    expected = len(pel.linear_regions(net, plane))
    assert [pel.count_regions(net, plane, threads=t).value for t in (1, 2, 5)] == [expected] * 3


def test_a_budget_gives_a_lower_bound_that_says_so(rng):
    net, box = boxed(rng, (4, 16, 16, 1))
    whole, part = pel.count_regions(net, box), pel.count_regions(net, box, max_regions=50)
    assert 50 <= part.value < whole.value
    assert part.status is pel.Status.UNKNOWN
    assert np.isinf(part.gap)
    assert 0 < part.share < 1
    assert "at least" in repr(part)
    assert "at least" in part.certificate.claim
    assert "max_regions" in part.certificate.reason
    stopped = pel.count_regions(net, box, max_seconds=0)
    assert stopped.value < whole.value
    assert stopped.status is pel.Status.UNKNOWN


def test_progress_is_told_and_an_error_in_it_ends_the_run(rng):
    net, box = boxed(rng, (9, 40, 40, 1))

    def stop(progress):
        raise RuntimeError(f"{progress.regions} so far")

    with pytest.raises(RuntimeError, match="so far"):
        pel.count_regions(net, box, progress=stop)


def test_what_is_no_network_is_refused():
    with pytest.raises(TypeError, match=r"pellucid\.load"):
        pel.count_regions("model.onnx", pel.Box([0], [1]))  # type: ignore[arg-type]
