"""Summary, explanations, single regions and coarsening."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import relu_network
from toys import ABS
from unwrapped import random_net, rows, unwrapped

import pellucid as pel
from pellucid.unwrap.summary import Skill, extrapolation


@pytest.fixture(scope="module")
def binary():
    net = random_net(2, (3, 8, 8, 1), class_names=("no", "yes"), feature_names=("age", "income", "debt"))
    X, _ = rows(net, 900)
    return unwrapped(net, X, (net(X)[:, 0] + np.random.default_rng(1).normal(size=900) > 0).astype(int)), X


# ---- summary
def test_the_table_is_the_papers(binary):
    u, X = binary
    table, models = u.summary(), u.local_models(scores=("local", "global"))
    frame = table.to_frame()
    assert list(frame.columns[:5]) == ["Count", "Response Mean", "Response Std", "Local AUC", "Global AUC"]
    np.testing.assert_array_equal(frame["Count"], models.count)
    np.testing.assert_allclose(frame["Local AUC"], models.local_score)
    np.testing.assert_allclose(frame["Global AUC"], models.global_score)
    np.testing.assert_array_equal(frame["Trivial"], models.trivial)
    assert frame["Coverage"].sum() == pytest.approx(1)
    assert table.single_rows == pytest.approx((models.count == 1).mean())
    assert table.single_classes == pytest.approx(models.single_class.mean())
    assert table.performance["accuracy"] == pytest.approx((u.predict(X) == u.unwrapping_.y).mean())
    assert "\n" not in repr(table)
    assert "Local AUC" in table._repr_html_()


@pytest.mark.parametrize("by", ["local", "global"])
def test_the_table_in_other_orders(binary, by):
    u, _ = binary
    whole, part = u.summary(), u.summary(top=4, by=by)
    score = whole.local_score if by == "local" else whole.global_score
    assert len(part) == 4
    np.testing.assert_allclose(part.local_score if by == "local" else part.global_score, np.sort(score[~np.isnan(score)])[::-1][:4])
    np.testing.assert_array_equal(part.count, whole.count[part.region])


def test_unseen_rows_and_expected_signs(binary):
    u, X = binary
    far = 5 * X[:200]
    table = u.summary(top=3, test=far, expected={"debt": -1})
    assert table.unseen == pytest.approx((u.groups(far) < 0).mean())
    assert 0 < table.unseen < 1
    models = u.local_models()
    share = models.count @ (models.coef[:, 0, 2] > 0) / len(X)
    frame = table.signs.to_frame().set_index("feature")
    assert frame.loc["debt", "against"] == pytest.approx(share)
    assert np.isnan(frame.loc["age", "against"])
    with pytest.raises(KeyError, match="no feature"):
        u.summary(expected={"rent": 1})


def test_signs_are_up_down_mixed_or_weak():
    """x0 - |x1| + 0.001 x2"""
    W = np.array([[1.0, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1]])
    net = relu_network([(W, np.array([10.0, 0, 0, 10])), (np.array([[1.0, -1, -1, 0.001]]), np.zeros(1))])
    X = np.random.default_rng(0).normal(size=(300, 3))
    u = pel.UnwrapperRegressor(net).fit(X, X[:, 0])
    assert u.summary().signs.verdict.tolist() == [["up", "mixed", "weak"]]


def test_extrapolation_is_the_papers():
    kind = type("Kind", (), {"are_shares": True})()
    local, overall = np.array([0.95, 0.95, 0.6, 0.6, np.nan]), np.array([0.5, 0.93, 0.93, 0.5, 0.9])
    words = extrapolation(kind, local, overall, Skill(0.9, 1.0), 0.8)
    assert words.tolist() == ["poor", "good", "extraordinary", "poor", ""]


def test_many_single_rows_are_told_with_what_helps():
    net = random_net(0, (15, 40, 40, 1))
    X, y = rows(net, 300)
    u = unwrapped(net, X, y)
    table = u.summary()
    assert u.n_regions_ > 250
    assert any("coarsen" in n and "Merged" in n for n in table.notes)
    assert len(u.coarsen(layers=1)) <= u.n_regions_
    assert len(u.coarsen(angle=60, offset=2.0)) < u.n_regions_ / 2


def test_a_global_column_that_is_too_long_is_cut_and_says_so(binary, monkeypatch):
    monkeypatch.setattr("pellucid.unwrap.summary.GLOBAL_PAIRS", 900 * 3)
    table = binary[0].summary()
    assert (~np.isnan(table.global_score)).sum() == 3
    assert any("3 largest" in n for n in table.notes)


@pytest.mark.parametrize(("link", "c"), [("softmax", 3), ("identity", 1), ("identity", 2)])
def test_tables_of_other_tasks(link, c):
    net = random_net(4, (3, 7, c), link)
    X, y = rows(net, 200)
    table = unwrapped(net, X, y).summary()
    metric = "MSE" if link == "identity" else "AUC"
    assert {f"Local {metric}", f"Global {metric}"} <= set(table.to_frame().columns)
    assert sum(n.startswith("Response Mean") for n in table.to_frame().columns) == c
    if c == 3:
        assert {"AUC class 0", "AUC class 2"} <= set(table.performance)


def test_one_row_one_region():
    net = random_net(4, (2, 3, 1), "identity")
    table = pel.UnwrapperRegressor(net).fit([[1.0, 2.0]], [0.5]).summary()
    assert len(table.to_frame()) == 1
    assert table.coverage.tolist() == [1.0]
    assert "1 regions of 1 rows" in repr(table)


# ---- explanations
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_contributions_add_up_to_the_network(seed, c):
    net = random_net(seed, (3, 6, 5, c), "identity")
    X, y = rows(net, 40, seed)
    u = unwrapped(net, X, y)
    new = 3 * np.random.default_rng(seed).normal(size=(15, 3))
    for reference in ("mean", "zero", X[0], X[:15]):
        e = u.explain(new, reference=reference)
        np.testing.assert_allclose(e.outputs, net(new), rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(e.region, u.groups(new))
    e = u.explain(new)
    np.testing.assert_allclose(e.reference[0], X.mean(axis=0))
    for i in range(0, 15, 5):
        place = e.validity(i)
        assert place.holds(new[i:i + 1], 1e-9).all()
        inside = new[i] + 1e-4 * np.random.default_rng(0).normal(size=(50, 3))
        inside = inside[place.holds(inside)]
        np.testing.assert_allclose(inside @ e.coef[i].T + e.intercept[i], net(inside), rtol=1e-9, atol=1e-9)


def test_explanations_slice_and_travel(binary):
    u, X = binary
    e = u.explain(X[:10])
    assert len(e[2:5]) == 3
    assert len(e[3]) == 1
    np.testing.assert_array_equal(e[-1].contributions, e.contributions[9:])
    np.testing.assert_array_equal(e[e.region == e.region[0]].X, e.X[e.region == e.region[0]])
    frame = e.to_frame()
    assert len(frame) == 30
    assert frame["feature"].tolist()[:3] == ["age", "income", "debt"]
    total = frame.groupby("row")["contribution"].sum() + frame.groupby("row")["base"].first()
    np.testing.assert_allclose(total, u.decision_function(X[:10]))
    with pytest.raises(IndexError):
        e[10]
    with pytest.raises(ValueError, match="'mean', 'zero'"):
        u.explain(X, reference="median")


def test_explanations_for_shap(binary):
    pytest.importorskip("shap")
    u, X = binary
    given_ = u.explain(X[:6]).to_shap()
    np.testing.assert_allclose(given_.values.sum(axis=1) + given_.base_values, u.decision_function(X[:6]))
    net = random_net(1, (3, 5, 4), "softmax")
    assert unwrapped(net, *rows(net, 50)).explain(X[:2]).to_shap().shape == (2, 3, 4)


def test_a_region_by_its_number(binary):
    u, X = binary
    for k in (0, 3, u.n_regions_ - 1):
        region, models = u.region(k), u.local_models(index=[k])
        np.testing.assert_array_equal(region.coef_, models.coef[0])
        np.testing.assert_array_equal(region.intercept_, models.intercept[0])
        np.testing.assert_array_equal(np.sort(region.rows), np.flatnonzero(u.groups(X) == k))
        np.testing.assert_allclose(region(X[region.rows]), u.network_(X[region.rows]), atol=1e-9)
        assert region.inequalities.holds(X[region.rows], 1e-9).all()
        others = X[u.groups(X) != k]
        assert not region.inequalities.holds(others, -1e-9).any()
        small = region.inequalities.minimal(X[region.rows[0]])
        probe = np.random.default_rng(0).normal(size=(500, 3)) + X[region.rows[0]]
        np.testing.assert_array_equal(small.holds(probe), region.inequalities.holds(probe))
    assert list(u.region(0).to_frame().index) == ["intercept", "age", "income", "debt"]
    with pytest.raises(IndexError):
        u.region(u.n_regions_)


# ---- coarsening
def test_coarsening_by_all_layers_changes_nothing(binary):
    u, _ = binary
    fine, coarse = u.local_models(scores=("local", "global")), u.coarsen(layers=2, scores=("local", "global"))
    assert len(coarse) == len(fine)

    def key(m):
        return np.lexsort((m.centre[:, 0], m.count))

    a, b = key(fine), key(coarse)
    for name in ("count", "coef", "intercept", "centre", "spread", "response_mean", "response_std", "local_score", "global_score"):
        np.testing.assert_allclose(getattr(fine, name)[a], getattr(coarse, name)[b], atol=1e-9, err_msg=name)


@pytest.mark.parametrize("how", [{"layers": 1}, {"angle": 25.0}, {"angle": 170.0, "offset": 1e9}])
def test_coarse_models_are_means_of_their_regions(binary, how):
    u, X = binary
    coarse = u.coarsen(**how)
    assert coarse.count.sum() == len(X)
    assert (np.diff(coarse.count) <= 0).all()
    fine = u.local_models()
    for k in range(len(coarse)):
        mine = coarse.rows.model == k
        assert mine.sum() == coarse.count[k]
        np.testing.assert_allclose(coarse.coef[k], fine.coef[fine.rows.model[mine]].mean(axis=0), atol=1e-9)
        np.testing.assert_allclose(coarse.centre[k], X[mine].mean(axis=0), atol=1e-9)
        assert coarse.response_mean[k, 0] == pytest.approx(u.unwrapping_.y[mine].mean())
    with pytest.raises(ValueError, match="either"):
        u.coarsen()
    with pytest.raises(ValueError, match="2 layers"):
        u.coarsen(layers=3)


def test_regions_of_one_layer_are_its_half_planes():
    net = relu_network([(ABS, np.zeros(4)), (np.ones((2, 4)), -np.ones(2)), (np.ones((1, 2)), np.zeros(1))])
    X = np.random.default_rng(0).normal(size=(400, 2))
    u = pel.UnwrapperRegressor(net).fit(X, X[:, 0])
    assert u.n_regions_ == 8
    assert len(u.coarsen(layers=1)) == 4
    assert isinstance(u.coarsen(layers=1).rows.X, np.ndarray)
    assert isinstance(u.summary().to_frame(), pd.DataFrame)


def test_contrasts_and_frames_of_models():
    net = random_net(1, (3, 5, 3), "softmax", class_names=("a", "b", "c"))
    X, y = rows(net, 60)
    models = unwrapped(net, X, y).local_models()
    coef, intercept = models.contrast("a", 2)
    labels = models.rows.model
    np.testing.assert_allclose((coef[labels] * X).sum(axis=1) + intercept[labels], net(X)[:, 0] - net(X)[:, 2], atol=1e-9)
    assert len(models.to_frame(output="b").columns) == 5
    assert len(models.to_frame().columns) == 13
    with pytest.raises(KeyError, match="there are: a, b, c"):
        models.contrast("a", "d")
