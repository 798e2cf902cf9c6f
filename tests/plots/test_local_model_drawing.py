"""Pictures of local models are drawn, of few and of thousands of models, on new and on given Axes, and their files stay small."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from naive_models import Unwrapper, random_net, toy, unwrap

import pellucid as pel

plt = pytest.importorskip("matplotlib.pyplot")

PICTURES = {
    "profile": pel.plot.profile, "intercept_profile": pel.plot.intercept_profile, "joint_importance": pel.plot.joint_importance,
    "parallel_coordinates": pel.plot.parallel_coordinates, "coefficients": pel.plot.coefficients, "polar": pel.plot.polar,
    "performance": pel.plot.performance, "local_models": pel.plot.local_models, "data_regions": pel.plot.data_regions,
    "region_rows": pel.plot.region_rows,
}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def few():
    return toy(n=200, hidden=(3,))


@pytest.fixture(scope="module")
def many():
    """5000 models and more: those of a network on a grid, a row each, with counts made up."""
    net = random_net((2, 40, 40, 1), 3)
    X = np.random.default_rng(0).normal(size=(12_000, 2))
    m = unwrap(net, X, (net(X)[:, 0] > 0).astype(int), scores=False)
    score = np.linspace(0.4, 0.9, len(m))
    return replace(m, local_score=score, global_score=score[::-1], single_class=np.arange(len(m)) % 3 == 0, count=m.count + 1)


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_of_few_models_is_drawn_on_axes_given_and_new(name, few, tmp_path):
    ax = PICTURES[name](few)
    size = pel.plot.save(ax, tmp_path / "a.png", dpi=60).stat().st_size
    assert 2_000 < size < 300_000
    _, given = plt.subplots(subplot_kw={"projection": "polar"} if name == "polar" else None)
    assert PICTURES[name](Unwrapper(few), ax=given) is given
    given.figure.canvas.draw()


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_of_thousands_of_models_is_drawn(name, many, tmp_path):
    assert len(many) > 1500
    size = pel.plot.save(PICTURES[name](many), tmp_path / "a.svg", dpi=60).stat().st_size
    assert size < 2_500_000


@pytest.mark.parametrize("case", ["no hidden layer", "one row", "one unit", "constant", "duplicates"])
@pytest.mark.parametrize("name", [n for n in PICTURES if n != "performance"])
def test_degenerate_networks_are_drawn(name, case):
    rng = np.random.default_rng(0)
    net = {"no hidden layer": random_net((2, 1)), "one unit": random_net((2, 1, 1))}.get(case, random_net((2, 5, 1)))
    if case == "constant":
        net = pel.load(([np.zeros((3, 2)), np.zeros((1, 3))], [np.zeros(3), np.ones(1)]), orientation="out_in", link="sigmoid")
    X = rng.normal(size=(1 if case == "one row" else 30, 2))
    X = np.repeat(X[:1], 30, axis=0) if case == "duplicates" else X
    PICTURES[name](unwrap(net, X, rng.integers(0, 2, size=len(X)))).figure.canvas.draw()


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("name", PICTURES)
def test_regressions_and_several_classes_are_drawn(name, classes):
    PICTURES[name](toy(classes=classes)).figure.canvas.draw()


def test_unseen_codes_are_drawn(few):
    pel.plot.unseen_codes(Unwrapper(few), np.random.default_rng(1).normal(size=(50, 2))).figure.canvas.draw()


def test_bootstraps_are_drawn_of_estimators_on_two_axes(few):
    pytest.importorskip("sklearn")
    net, rng = few.network, np.random.default_rng(0)
    X = rng.normal(size=(300, 2))
    fitted = pel.MergedClassifier(net, n_clusters=1).fit(X, (net(X)[:, 0] + 2 * rng.normal(size=300) > 0).astype(int))
    axes = pel.plot.bootstrap(fitted, draws=30)
    assert axes.shape == (2,)
    axes[0].figure.canvas.draw()
    pel.plot.intervals(fitted.inference(0)).figure.canvas.draw()


def test_estimators_are_drawn_as_their_local_models_are():
    pytest.importorskip("sklearn")
    net, rng = random_net((2, 6, 1), 2), np.random.default_rng(0)
    X = rng.normal(size=(300, 2))
    y = (net(X)[:, 0] + rng.normal(size=300) > 0).astype(int)
    fitted, merged = pel.UnwrapperClassifier(net).fit(X, y), pel.MergedClassifier(net, n_clusters=2).fit(X, y)
    coarse = fitted.coarsen(layers=1, scores=("local", "global"))
    for picture in PICTURES.values():
        for models in (fitted, merged, coarse):
            assert picture(models).get_title()
        plt.close("all")


def test_thirty_five_long_names_stay_apart():
    names = [f"a_rather_long_name_of_a_feature_{k:02d}" for k in range(35)]
    m = toy(d=35, hidden=(4,), feature_names=names)
    ax = pel.plot.parallel_coordinates(m)
    ax.figure.canvas.draw()
    assert len({t.get_text() for t in ax.get_xticklabels()}) == 35
    ends = sorted(t.get_window_extent().x1 for t in ax.get_xticklabels())
    assert np.diff(ends).min() > 5                                           # turned, each ends below its own place
    figure = ax.figure.get_window_extent()
    assert all(figure.y0 <= t.get_window_extent().y0 for t in ax.get_xticklabels())
    bars = pel.plot.coefficients(m)
    bars.figure.canvas.draw()
    boxes = sorted((t.get_window_extent() for t in bars.get_yticklabels()), key=lambda b: b.y0)
    assert all(a.y1 < b.y0 for a, b in pairwise(boxes))


def test_directions_need_polar_axes(few):
    with pytest.raises(ValueError, match="polar"):
        pel.plot.polar(few, ax=plt.subplot())


def test_the_same_picture_gives_the_same_bytes(few, tmp_path):
    first = pel.plot.save(pel.plot.profile(few), tmp_path / "a.svg").read_bytes()
    assert pel.plot.save(pel.plot.profile(few), tmp_path / "b.svg").read_bytes() == first
