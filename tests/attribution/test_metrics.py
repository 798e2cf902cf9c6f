"""Metrics of maps, on networks of which the answer is known; baselines and their table."""

from __future__ import annotations

import numpy as np
import pytest

import pellucid as pel
from pellucid.attribution.groups import groups_of, spatial
from pellucid.attribution.metrics import correlations
from pellucid.attribution.scores import pixel_maps, subject_of

torch = pytest.importorskip("torch")


@pytest.fixture
def linear() -> pel.Network:
    """Class 1 leads by 4 x0 + 2 x1 + x2 - 0.1 of 16 features, seen as a 4 x 4 image: what counts is known."""
    w = np.zeros((2, 16))
    w[1, :3] = 4, 2, 1
    return pel.load(([w], [np.array([0.1, 0.0])]), orientation="out_in", link="softmax")


ORDER = np.array([[4.0, 2.0, 1.0] + [0.0] * 13])


def test_deletion_and_insertion_know_the_order(linear):
    X = np.concatenate([np.ones((1, 16)), np.ones((1, 16))])
    maps = np.concatenate([ORDER, -ORDER])
    down, up = (m(linear, X, maps, steps=16, baseline=0.0) for m in (pel.deletion, pel.insertion))
    assert down[0] < down[1]
    assert up[0] > up[1]
    # by hand: the class's probability with the first k features gone
    lead = np.array([7.0, 3.0, 1.0, *[0.0] * 14]) - 0.1
    p = 1 / (1 + np.exp(-lead))
    assert down[0] == pytest.approx(float((p[1:] + p[:-1]).sum() / 32), abs=1e-6)


def test_what_is_removed_does_not_depend_on_the_scale_of_the_map(linear, rng):
    X, maps = rng.random((4, 16)), rng.random((4, 16))
    for metric in (pel.deletion, pel.insertion, pel.mu_fidelity, pel.robustness_sr):
        np.testing.assert_allclose(metric(linear, X, maps), metric(linear, X, 3 * maps), atol=1e-6)


def test_mu_fidelity_of_the_true_losses_is_one(linear):
    X = np.ones((1, 16))
    value = pel.mu_fidelity(linear, X, ORDER, grid=4, baseline=0.0, value="logit", correlation="pearson")
    assert value[0] == pytest.approx(1.0, abs=1e-6)
    value = pel.mu_fidelity(linear, X, -ORDER, grid=4, baseline=0.0, value="logit", correlation="pearson")
    assert value[0] == pytest.approx(-1.0, abs=1e-6)
    assert np.isnan(pel.mu_fidelity(linear, X, np.zeros((1, 16)))[0])


def test_correlations_are_those_of_scipy(rng):
    from scipy.stats import pearsonr, spearmanr

    a, b = rng.integers(0, 5, (6, 20)).astype(float), rng.standard_normal((6, 20))
    np.testing.assert_allclose(correlations(a, b), [spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)], atol=1e-12)
    np.testing.assert_allclose(correlations(a, b, "pearson"), [pearsonr(x, y).statistic for x, y in zip(a, b, strict=True)], atol=1e-12)


def test_robustness_finds_the_least_change_of_a_linear_network(linear):
    x = np.full((1, 16), 0.5)
    # the lead is 3.4: to undo it with the three features that count, each has to move by 3.4 / 7
    value = pel.robustness_sr(linear, x, ORDER, shares=(3 / 16,), clip=(0, 1))
    assert value[0] == pytest.approx(3.4 / 7, rel=0.02)
    assert pel.robustness_sr(linear, x, -ORDER, shares=(3 / 16,), clip=(0, 1))[0] == 1.0       # nothing that counts may move
    two = pel.robustness_sr(linear, x, ORDER, shares=(3 / 16,), p=2, clip=None, largest=4.0)
    assert two[0] == pytest.approx(3.4 / np.sqrt(21), rel=0.03)


def test_baselines_and_clips_go_by_the_names_of_features(linear, rng):
    import pandas as pd

    names, X, maps = list(linear.feature_names), rng.random((3, 16)), rng.random((3, 16))
    mean, low = X.mean(axis=0), np.linspace(-1, 0, 16)
    for metric, name, plain, named in ((pel.deletion, "baseline", mean, pd.Series(mean, index=names)[::-1]),
                                       (pel.insertion, "baseline", mean, pd.Series(mean, index=names)[::-1]),
                                       (pel.mu_fidelity, "baseline", mean, pd.Series(mean, index=names)[::-1]),
                                       (pel.robustness_sr, "clip", (low, 1.0), (pd.Series(low, index=names)[::-1], 1.0))):
        np.testing.assert_array_equal(*(metric(linear, X, maps, **{name: value}) for value in (plain, named)))


def test_maps_of_any_shape_mean_the_same(rng):
    from torch import nn

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    net = pel.load(model.eval(), input_shape=(3, 4, 4), link="softmax")
    X, maps = rng.random((2, 3, 4, 4)), rng.random((2, 3, 4, 4))
    s = subject_of(net, X)
    expected = maps.mean(axis=1).reshape(2, 16)
    for given in (maps, maps.reshape(2, -1), maps.mean(axis=1), torch.as_tensor(maps)):
        np.testing.assert_allclose(pixel_maps(s, given), expected)
    with pytest.raises(pel.DataError, match="maps have shape"):
        pixel_maps(s, maps[:, :1, :2])


@pytest.mark.parametrize(("shape", "grid", "count"), [((28, 28), 12, 144), ((1, 28, 28), 12, 144), ((3, 5, 7), 3, 9), ((5, 7, 3), 3, 9),
                                                      ((3, 4, 4), 9, 16), ((784,), 12, 144), ((7,), 3, 3), ((7,), None, 7),
                                                      ((2, 3), (1, 3), 3)])
def test_cells_are_a_partition_of_nearly_equal_parts(shape, grid, count):
    groups = groups_of(shape, grid=grid)
    assert len(groups) == count
    np.testing.assert_array_equal(np.sort(np.concatenate(groups.members)), np.arange(int(np.prod(shape))))
    size, _ = spatial(shape)
    if size is not None:
        sides = [len(np.unique(np.stack(np.unravel_index(m, shape))[-2:], axis=1).T) for m in groups.members]
        assert max(sides) <= 4 * max(1, min(sides))
    painted = groups.paint(np.arange(count, dtype=float)[None])
    assert painted.shape == (1, *shape)
    for k, m in enumerate(groups.members):
        assert (painted.reshape(-1)[m] == k).all()


# ---- methods and their table


@pytest.fixture(scope="module")
def small():
    from torch import nn

    torch.manual_seed(1)
    return pel.load(nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Flatten(),
                                  nn.Linear(256, 3)).eval(), input_shape=(1, 8, 8), link="softmax")


def test_the_table_of_all_methods(small, rng):
    pytest.importorskip("captum")
    X = rng.random((3, 1, 8, 8))
    names = ["Saliency", "GradInput", "SmoothGrad", "VarGrad", "InteGrad", "Occlusion", "GradCAM", "GradCAM++", "RISE", "Greedy-AS",
             "Greedy-AO", "EVA (sampled)", "EVA", "random"]
    found = pel.evaluate_attribution(small, X, names, grid=4, eps=0.1)
    frame = found.to_frame()
    assert list(frame.method) == names
    assert found.skipped == {}
    assert np.isfinite(frame.drop(columns="method").to_numpy()).all()
    assert frame[["deletion", "insertion"]].stack().between(0, 1).all()
    assert found.best("deletion") == frame.method[frame.deletion.argmin()]
    for maps in found.maps.values():
        assert maps.shape == (3, 64)
    assert "14 methods" in repr(found)
    again = pel.evaluate_attribution(small, X, names[2:4], grid=4, eps=0.1)
    np.testing.assert_array_equal(again.maps["SmoothGrad"], found.maps["SmoothGrad"])


def test_saliency_is_the_gradient_and_gradcam_lights_what_feeds_the_class(small, rng):
    pytest.importorskip("captum")
    X = rng.random((2, 1, 8, 8))
    found = pel.evaluate_attribution(small, X, ["Saliency", "GradCAM", "GradCAM++"], metrics=["deletion"])
    label, step = small.decide(X), 1e-5
    for i in range(2):
        slope = [(small(X[i].ravel() + step * e)[0] - small(X[i].ravel() - step * e)[0])[label[i]] / (2 * step) for e in np.eye(64)]
        np.testing.assert_allclose(found.maps["Saliency"][i], np.abs(slope), atol=1e-4)
    assert (found.maps["GradCAM"] >= 0).all()
    assert (found.maps["GradCAM++"] >= 0).all()


def test_what_a_network_does_not_allow_is_skipped_with_its_reason(linear, rng):
    pytest.importorskip("captum")
    found = pel.evaluate_attribution(linear, rng.random((2, 16)), ["Saliency", "GradCAM"], metrics=["deletion"])
    assert list(found.maps) == ["Saliency"]
    assert "convolution" in found.skipped["GradCAM"]
    own = pel.evaluate_attribution(linear, rng.random((2, 16)), {"mine": lambda net, X, label: np.abs(X)}, metrics=["insertion"])
    assert list(own.values) == ["mine"]
    with pytest.raises(pel.DataError, match="no metric"):
        pel.evaluate_attribution(linear, rng.random((2, 16)), metrics=["beauty"])
    with pytest.raises(pel.DataError, match="no method"):
        pel.evaluate_attribution(linear, rng.random((2, 16)), ["Tea leaves"])


def test_methods_are_compared_row_by_row(linear, rng):
    X = np.ones((40, 16)) - 0.2 * rng.random((40, 16))
    maps = {"right": np.repeat(ORDER, 40, 0), "wrong": -np.repeat(ORDER, 40, 0), "right again": 2 * np.repeat(ORDER, 40, 0)}
    found = pel.evaluate_attribution(linear, X, {k: (lambda *a, m=m: m) for k, m in maps.items()}, metrics=["deletion", "insertion"],
                                     metric_options={m: {"baseline": 0.0} for m in ("deletion", "insertion")})
    apart = found.compare("right").set_index(["method", "metric"])
    assert list(apart.loc["wrong"].verdict) == ["worse", "worse"]
    assert list(apart.loc["right again"].verdict) == ["alike", "alike"]
    assert (apart.loc["right again"].difference == 0).all()
    assert list(found.compare("wrong").verdict[:2]) == ["better", "better"]
    by_hand = found.values["wrong"]["deletion"] - found.values["right"]["deletion"]
    assert apart.difference["wrong", "deletion"] == pytest.approx(by_hand.mean())
    assert apart.standard_error["wrong", "deletion"] == pytest.approx(np.std(by_hand, ddof=1) / np.sqrt(40))
    frame = found.to_frame(errors=True).set_index("method")
    assert frame.deletion_se["wrong"] == pytest.approx(np.std(found.values["wrong"]["deletion"], ddof=1) / np.sqrt(40))
    with pytest.raises(pel.DataError, match="no method is called 'left'"):
        found.compare("left")


def test_parts_of_a_table_join_and_what_is_done_survives_ctrl_c(linear, rng):
    X = rng.random((3, 16))
    whole = pel.evaluate_attribution(linear, X, ["random", "EVA"], metrics=["deletion"])
    parts = [pel.evaluate_attribution(linear, X, [m], metrics=["deletion"]) for m in ("random", "EVA")]
    both = parts[0] | parts[1]
    assert both.to_frame().drop(columns="seconds").equals(whole.to_frame().drop(columns="seconds"))
    with pytest.raises(pel.DataError, match="same rows"):
        both | pel.evaluate_attribution(linear, X[:2], ["random"], metrics=["deletion"])

    def stop(name):
        if name == "EVA":
            raise KeyboardInterrupt

    with pytest.raises(pel.Interrupted) as caught:
        pel.evaluate_attribution(linear, X, ["random", "EVA"], metrics=["deletion"], progress=stop)
    np.testing.assert_array_equal(caught.value.partial.values["random"]["deletion"], whole.values["random"]["deletion"])
    assert list(caught.value.partial.maps) == ["random"]


def test_tightness_is_the_mean_bound(small, rng):
    X = rng.random((3, 1, 8, 8))
    loose, tight = (pel.eva(small, X, eps=0.1, grid=2, method=m) for m in ("interval", "crown"))
    assert pel.tightness(tight) == pytest.approx(tight.overlap.mean())
    assert pel.tightness(tight) < pel.tightness(loose)
