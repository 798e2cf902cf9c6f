"""Descriptions: weights are slopes of the network, ranks are ranks, totals are means by area."""

import numpy as np
import pandas as pd
import pytest
from networks import relu_network
from toys import diamonds, random_atlas, sliced_atlas

import pellucid as pel
from pellucid.atlas.frame import interior_points
from pellucid.certificate import Status
from pellucid.chain import chain_of, local_maps
from pellucid.errors import DataError, DomainError
from pellucid.explain.weights import weight_floor
from pellucid.graph import INPUT, GraphBuilder, Network
from pellucid.ops.conv import Conv
from pellucid.ops.linear import Linear
from pellucid.ops.max_pool import MaxPool
from pellucid.ops.rearrange import Reshape
from pellucid.ops.relu import ReLU


def slopes_by_differences(atlas, direction, step=1e-7):
    """(K, d) central differences at the regions' interior points, through the graph; NaN where a step leaves the region."""
    x = atlas.domain.point(interior_points(atlas))
    d = x.shape[1]
    e = step * np.eye(d)
    here = atlas.network(x) @ direction
    up, down = ((atlas.network((x[:, None] + s * e).reshape(-1, d)) @ direction).reshape(len(x), d) for s in (1, -1))
    straight = np.abs(up + down - 2 * here[:, None]) < 1e-12
    return np.where(straight, (up - down) / (2 * step), np.nan)


@pytest.mark.parametrize("output", [0, 2])
@pytest.mark.parametrize("versus", [None, 1])
def test_weights_are_slopes_times_the_ranges_of_the_parent_box(output, versus):
    atlas = sliced_atlas()
    told = pel.describe(atlas, output, versus)
    direction = np.eye(3)[output] - (0 if versus is None else np.eye(3)[versus])
    slopes = slopes_by_differences(atlas, direction)
    seen = np.isfinite(slopes)
    assert seen.mean() > 0.9
    np.testing.assert_allclose((told.weights / (2 * np.arange(1, 7)))[seen], slopes[seen], atol=1e-6)


def test_constants_and_weights_give_the_value_on_the_unit_cube():
    atlas = sliced_atlas()
    told = pel.describe(atlas, 1)
    box = atlas.domain.box
    x = atlas.domain.point(interior_points(atlas))
    unit = (x - box.lower) / (box.upper - box.lower)
    np.testing.assert_allclose(told.constants + (told.weights * unit).sum(axis=1), atlas.network(x)[:, 1], atol=1e-10)


@pytest.mark.parametrize("by", [None, "class", "top2"])
def test_totals_are_naive_sums(by):
    atlas = random_atlas(by=by)
    told = pel.describe(atlas, 1)
    total, signed = np.zeros(2), np.zeros(2)
    for region in atlas:
        w = region.coef[1] * 4.0
        total += region.volume * np.abs(w) / 16
        signed += region.volume * w / 16
    np.testing.assert_allclose(told.total, total, rtol=1e-9)
    np.testing.assert_allclose(told.signed, signed, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(told.lowest, atlas.coef[:, 1].min(axis=0) * 4)
    np.testing.assert_allclose(told.highest, atlas.coef[:, 1].max(axis=0) * 4)


def test_splitting_by_class_changes_no_total():
    np.testing.assert_allclose(pel.describe(random_atlas(by="class")).total, pel.describe(random_atlas(by=None)).total, rtol=1e-9)


def test_ranks_are_permutations_ordered_by_weight():
    told, compared = pel.describe(sliced_atlas(), 0), pel.describe(sliced_atlas(), 0, 1)
    for one, key in ((told, np.abs(told.weights)), (compared, compared.weights)):
        assert (np.sort(one.ranks, axis=1) == np.arange(1, 7)).all()
        in_order = np.take_along_axis(key, np.argsort(one.ranks, axis=1), axis=1)
        assert (np.diff(in_order, axis=1) <= 0).all()
    shares = told.first_share
    assert shares.sum() == pytest.approx(1 - told.atlas.volume[told.is_constant].sum() / told.atlas.volume.sum())


def test_the_weight_floor_bounds_the_difference_of_two_orders_of_summation():
    atlas = random_atlas(sizes=(2, 40, 40, 40, 3))
    chain, c = chain_of(atlas.network), np.array([1.0, -1, 0])
    short = pel.describe(atlas, 0, 1, scale="none").weights
    long = np.einsum("c,kcd->kd", c, local_maps(chain, atlas.codes)[0])
    assert (np.abs(short - long) <= 2 * weight_floor(chain, c)).all()
    assert weight_floor(chain, c).max() < 1e-10


def test_directions_are_those_of_the_extremes():
    # y = |x0| + 2 x1 + 0 x2, with x1 = relu(x1 + 9) - 9 and x2 unused
    hidden = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0]]), np.array([0.0, 0, 9])
    layers = [hidden, (np.array([[1.0, 1, 2], [-1, -1, -2]]), np.array([-18.0, 18]))]
    box = pel.Box([-1, -1, -1], [1, 1, 1])
    atlas = pel.linear_regions(relu_network(layers), box.slice(free=(0, 1), at=[0, 0, 0.5]))
    assert pel.describe(atlas, 0).direction == ("mixed", "up", "none")
    assert pel.describe(atlas, 1).direction == ("mixed", "down", "none")
    assert pel.describe(atlas, 0).first_share.tolist() == [0, 1, 0]


def test_scales():
    atlas = sliced_atlas()
    raw = pel.describe(atlas, scale="none")
    np.testing.assert_allclose(raw.weights, atlas.coef[:, 0], atol=1e-12)
    X = np.random.default_rng(0).normal(size=(50, 6)) * np.arange(1, 7)
    names = list(atlas.network.feature_names)
    spread = pel.describe(atlas, scale="std", X=X)
    np.testing.assert_allclose(spread.weights, raw.weights * X.std(axis=0), atol=1e-12)
    shuffled = pd.DataFrame(X, columns=names)[names[::-1]]
    np.testing.assert_allclose(pel.describe(atlas, scale="std", X=shuffled).weights, spread.weights)
    assert spread.certificate.check().status is Status.PROVED


def test_arguments_that_do_not_fit_are_told_what_does():
    atlas = sliced_atlas()
    wrong = [({"scale": "std"}, "X=rows"), ({"scale": "std", "X": np.ones((3, 2))}, r"\(3, 2\)"), ({"output": 7}, "has 3"),
             ({"output": "Class 2"}, "did you mean 'class 2'"), ({"output": "z"}, "there are: class 0"), ({"versus": 0}, "itself")]
    for arguments, message in wrong:
        with pytest.raises(DataError, match=message):
            pel.describe(atlas, **arguments)
    with pytest.raises(ValueError, match="'range', 'std' and 'none'"):
        pel.describe(atlas, scale="Range")
    endless = pel.Box([-np.inf, -1, -1], [np.inf, 1, 1]).slice(free=(1, 2), at=[0, 0, 0])
    net = relu_network([(np.ones((1, 3)), np.zeros(1))])
    with pytest.raises(DomainError, match="no finite range"):
        pel.describe(pel.linear_regions(net, endless))
    with pytest.raises(DomainError, match="no rows"):
        pel.describe(diamonds().select(where=([1.0, 0, 0], -99.0)))


def test_features_that_the_box_fixes_weigh_nothing_by_range_and_are_named():
    net = relu_network([(np.ones((2, 3)), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    told = pel.describe(pel.linear_regions(net, pel.Box([0, 0, 5], [1, 1, 5])))
    assert told.weights[0].tolist() == [2, 2, 0]
    assert "x2" in told.notes[0]
    assert "1 of them fixed" in repr(told)
    assert pel.describe(told.atlas, scale="none").weights[0].tolist() == [2, 2, 2]


def test_one_sigmoid_output_answers_for_both_of_its_classes():
    atlas = random_atlas(sizes=(2, 6, 1), link="sigmoid", class_names=("no", "yes"))
    yes, no = pel.describe(atlas, "yes"), pel.describe(atlas, "no")
    np.testing.assert_array_equal(yes.weights, -no.weights)
    np.testing.assert_array_equal(pel.describe(atlas, "yes", "no").weights, yes.weights)


def test_a_description_shows_itself_and_its_certificate_holds():
    told = pel.describe(sliced_atlas(), 0)
    frame = told.to_frame()
    assert len(frame) == 6
    assert told.top(2)["total"].tolist() == sorted(frame["total"])[::-1][:2]
    assert "\n" not in repr(told)
    assert "<table" in told._repr_html_()
    assert told.certificate.status is Status.PROVED
    assert told.certificate.check().status is Status.PROVED
    wrong = type(told)(told.atlas, told.quantity, told.scale, told.weights * 1.001, told.constants, told.floor)
    assert wrong.certificate.check().status is Status.REFUTED


def test_a_partial_atlas_claims_nothing_of_the_whole():
    told = pel.describe(sliced_atlas(max_regions=5), 0)
    assert told.certificate.status is Status.UNKNOWN


def test_weights_of_a_network_with_convolution_and_pooling(rng):
    b = GraphBuilder((1, 6, 6))
    h = b.add(ReLU(), b.add(Conv(rng.normal(size=(2, 1, 3, 3)), rng.normal(size=2), (1, 1), ((1, 1), (1, 1)), (1, 1)), INPUT))
    p = b.add(MaxPool((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)), h)
    net = Network(b.graph(b.add(Linear(rng.normal(size=(3, 18)), rng.normal(size=3)), b.add(Reshape((18,)), p))), "softmax")
    plane = pel.Slice(0.2 * rng.normal(size=36), rng.normal(size=(36, 2)), pel.Box([-1] * 36, [1] * 36))
    told = pel.describe(pel.linear_regions(net, plane), 2)
    np.testing.assert_allclose(told.weights, 2 * told.atlas.coef[:, 2], atol=1e-12)
    assert told.certificate.check().status is Status.PROVED
    assert 0 < told.floor.max() < 1e-10
    one = pel.tipping_points(told.atlas, 7, 2)
    assert (one.weight_rising > 0).all()
    assert (one.weight_falling < 0).all()
    assert len(one) > 0
