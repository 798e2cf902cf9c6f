"""MergedClassifier and MergedRegressor as estimators, on data and on networks of every kind."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from sklearn.base import clone
from sklearn.datasets import make_moons
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils.estimator_checks import check_estimator

import pellucid as pel


@pytest.fixture(scope="module")
def moons():
    X, y = make_moons(1200, noise=0.2, random_state=0)
    return X, y, MLPClassifier((12, 12), max_iter=300, random_state=0, tol=1e-3).fit(X, y)


@pytest.fixture(scope="module")
def wave():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (800, 2))
    y = np.abs(X[:, 0]) + 0.05 * rng.normal(size=800)
    return X, y, MLPRegressor(hidden_layer_sizes=(20,), max_iter=400, random_state=0, learning_rate_init=0.01, tol=1e-5).fit(X, y)


def three_classes(seed=0, n=600):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    return X, np.array(["low", "mid", "top"])[np.digitize(X[:, 0] + 0.5 * rng.normal(size=n), [-0.5, 0.5])]


def test_a_bent_line_needs_two_models(wave):
    X, y, net = wave
    found = pel.MergedRegressor(net, n_clusters=(1, 2)).fit(X, y)
    assert found.n_clusters_ == 2
    assert sorted(np.round(found.coef_[:, 0, 0])) == [-1, 1]
    assert found.score(X, y) > 0.95 > pel.MergedRegressor(net, n_clusters=1).fit(X, y).score(X, y)


def test_one_cluster_is_the_model_of_all_rows(moons):
    X, y, net = moons
    found = pel.MergedClassifier(net, n_clusters=1).fit(X, y)
    result = sm.Logit(y, sm.add_constant(X)).fit(disp=0, tol=1e-12)
    assert np.allclose(np.r_[found.intercept_[0], found.coef_[0, 0]], result.params, rtol=1e-6)
    assert np.allclose(found.predict_proba(X)[:, 1], result.predict(), atol=1e-7)


def test_each_cluster_says_what_its_rows_say(moons):
    X, y, net = moons
    found = pel.MergedClassifier(net, n_clusters=6, tau=20).fit(X, y)
    assert 1 <= found.n_clusters_ <= 6
    models = found.local_models()
    assert (models.kind, models.total_models, models.total_rows) == ("merged", found.n_clusters_, 1200)
    assert models.count.sum() == 1200
    assert (np.diff(models.count) <= 0).all()
    assert np.array_equal(found.groups(X), found.labels_)
    for k in range(found.n_clusters_):
        mine = found.labels_ == k
        assert models.count[k] == mine.sum() > 20
        assert 0 < y[mine].mean() < 1
        assert models.response_mean[k, 0] == pytest.approx(y[mine].mean())
        assert models.response_std[k, 0] == pytest.approx(y[mine].std())
        assert np.allclose(models.centre[k], X[mine].mean(axis=0))
        assert np.allclose(models.spread[k], X[mine].std(axis=0))
        assert np.allclose(models.low[k], X[mine].min(axis=0))
        assert np.allclose(models.high[k], X[mine].max(axis=0))
        logit = X @ models.coef[k, 0] + models.intercept[k, 0]
        assert models.local_score[k] == pytest.approx(roc_auc_score(y[mine], logit[mine]))
        assert models.global_score[k] == pytest.approx(roc_auc_score(y, logit))
        assert np.allclose(found.decision_function(X[mine]), logit[mine])
    top = found.local_models(top=1, scores=())
    assert len(top) == 1
    assert top.local_score is None
    assert (top.rows.model == 0).sum() == models.count[0]


def test_the_summary_is_the_table_of_the_merged_models(moons):
    X, y, net = moons
    found = pel.MergedClassifier(net, n_clusters=4, tau=20).fit(X, y)
    told, models = found.summary(), found.local_models()
    assert told.to_frame()["Local AUC"].to_numpy() == pytest.approx(models.local_score)
    assert told.performance["AUC"] == pytest.approx(roc_auc_score(y, found.decision_function(X)))
    assert told.coverage.sum() == pytest.approx(1)
    best = found.summary(top=1, by="local")
    assert best.local_score[0] == max(models.local_score)
    with pytest.raises(pel.DataError, match="memory"):
        found.fit(iter([(X, y)]), None)


def test_the_chosen_k_has_the_least_loss(moons):
    X, y, net = moons
    found = pel.MergedClassifier(net, n_clusters=[1, 2, 4]).fit(X, y)
    assert list(found.validation_loss_) == [1, 2, 4]
    assert found.validation_loss_[found.chosen_] == min(found.validation_loss_.values())
    folds = pel.MergedClassifier(net, n_clusters=[1, 4], validation=3).fit(X, y)
    assert folds.validation_loss_[4] < folds.validation_loss_[1]


@pytest.mark.parametrize("penalty", [None, "l1", "l2"])
def test_several_classes_with_labels_of_text(penalty):
    X, y = three_classes()
    net = MLPClassifier((8,), max_iter=150, random_state=0).fit(X, y)
    found = pel.MergedClassifier(net, n_clusters=3, penalty=penalty).fit(X, y)
    assert list(found.classes_) == ["low", "mid", "top"]
    assert found.coef_.shape[1:] == (3, 2)
    p = found.predict_proba(X)
    assert np.allclose(p.sum(axis=1), 1)
    assert found.score(X, y) > 0.65
    assert found.local_models().response_mean.shape == (found.n_clusters_, 3)
    told = found.inference(0, reference="mid", method="bootstrap", draws=20)
    assert (told.reference, told.responses) == ("mid", ("low", "top"))


def test_two_logits_are_merged_like_one(moons):
    X, y, net = moons
    W, b = [w.T for w in net.coefs_], list(net.intercepts_)
    two = pel.load(([*W[:-1], np.concatenate([-W[-1] / 2, W[-1] / 2])], [*b[:-1], np.r_[-b[-1] / 2, b[-1] / 2]]), orientation="out_in",
                   link="softmax")
    a, c = (pel.MergedClassifier(m, n_clusters=4).fit(X, y) for m in (net, two))
    assert c.coef_.shape[1] == 2
    assert np.allclose(a.decision_function(X), c.decision_function(X), atol=1e-6)


def test_several_outputs():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    Y = np.column_stack([np.abs(X[:, 0]), X[:, 1]])
    found = pel.MergedRegressor(MLPRegressor(hidden_layer_sizes=(10,), max_iter=300, random_state=0), n_clusters=(1, 2, 3)).fit(X, Y)
    assert found.predict(X).shape == (400, 2)
    assert found.score(X, Y) > 0.8
    assert found.inference(0).coef.shape == (2, 3)


@pytest.mark.parametrize("frame", [pd.DataFrame, "polars"])
def test_frames_are_taken_by_name(moons, frame):
    X, y, _ = moons
    if frame == "polars":
        import polars

        frame = lambda X, columns: polars.DataFrame(X, schema=columns)  # noqa: E731
    rows = frame(X, columns=["a", "b"]) if frame is pd.DataFrame else frame(X, ["a", "b"])
    found = pel.MergedClassifier(MLPClassifier((6,), max_iter=50, random_state=0), n_clusters=3, refit_on="holdout").fit(rows, y)
    assert list(found.feature_names_in_) == ["a", "b"]
    turned = rows[["b", "a"]]
    assert np.array_equal(found.predict_proba(rows), found.predict_proba(turned))
    assert list(found.inference(0).to_frame().index) == ["intercept", "a", "b"]


def test_rows_of_no_weight_do_not_count(moons):
    X, y, net = moons
    w = np.where(np.arange(1200) % 3 == 0, 0.0, 1.0)
    a = pel.MergedClassifier(net, n_clusters=4).fit(X, y, sample_weight=w)
    b = pel.MergedClassifier(net, n_clusters=4).fit(X[w > 0], y[w > 0])
    assert np.allclose(a.predict_proba(X), b.predict_proba(X), atol=1e-7)


def test_a_holdout_has_no_say_in_the_clusters(moons):
    X, y, net = moons
    found = pel.MergedClassifier(net, n_clusters=4, refit_on="holdout").fit(X, y)
    rows = found.local_models().rows
    assert len(rows.X) == pytest.approx(600, abs=2)
    told = found.inference(0)
    mine = rows.model == 0
    result = sm.Logit(rows.y[mine], sm.add_constant(rows.X[mine])).fit(disp=0, tol=1e-12)
    assert np.allclose(told.coef[0], result.params, rtol=1e-6)
    assert np.allclose(told.std_err[0], result.bse, rtol=1e-6)
    assert "trained" in told.notes[-1]
    fresh = pel.MergedClassifier(MLPClassifier((6,), max_iter=50, random_state=0), n_clusters=2, refit_on="holdout").fit(X, y)
    assert not any("trained" in n or "post" in n for n in fresh.inference(0).notes)
    assert "post-selection" in pel.MergedClassifier(net, n_clusters=2).fit(X, y).inference(0).notes[-1]


def test_inference_by_row_by_region_and_on_other_rows(moons):
    X, y, net = moons
    found = pel.MergedClassifier(net, n_clusters=4).fit(X, y)
    k = int(found.groups(X[:1])[0])
    assert np.array_equal(found.inference(row=X[0]).coef, found.inference(k).coef)
    half = found.inference(k, X=X[::2], y=y[::2])
    mine = found.labels_[::2] == k
    assert half.n_rows == mine.sum()
    assert np.allclose(half.coef[0], sm.Logit(y[::2][mine], sm.add_constant(X[::2][mine])).fit(disp=0, tol=1e-12).params, rtol=1e-5)
    for wrong in ({"region": 99}, {}, {"region": 0, "row": X[0]}, {"region": 0, "reference": "nobody"}, {"region": 0, "X": X}):
        with pytest.raises(ValueError, match=r"region|row|reference|y too"):
            found.inference(**wrong)


def test_inference_of_an_unwrapper(moons, wave):
    X, y, net = moons
    found = pel.UnwrapperClassifier(net).fit(X, y)
    for k in range(4):
        told, mine = found.inference(k), found.groups(X) == k
        if np.isfinite(told.std_err).all():
            result = sm.Logit(y[mine], sm.add_constant(X[mine])).fit(disp=0, tol=1e-12)
            assert np.allclose(told.coef[0], result.params, rtol=1e-5)
        else:
            assert "class" in told.reasons[0, 0]
    X, y, net = wave
    found = pel.UnwrapperRegressor(net).fit(X, y)
    told, mine = found.inference(0), found.groups(X) == 0
    assert np.allclose(told.p_value[0], sm.OLS(y[mine], sm.add_constant(X[mine])).fit().pvalues, rtol=1e-6)
    with pytest.raises(pel.DataError, match="no row of the fit"):
        pel.UnwrapperRegressor(net).fit(X[:2], y[:2]).inference(row=[99.0, -99.0])


def test_wald_is_refused_and_bootstrap_given_where_a_penalty_shrinks(moons):
    X, y, net = moons
    found = pel.MergedClassifier(net, n_clusters=2, penalty="l1", C=0.05).fit(X, y)
    with pytest.raises(pel.DataError, match="bootstrap"):
        found.inference(0)
    told = found.inference(0, method="bootstrap")
    assert np.allclose(told.coef[0], np.r_[found.intercept_[0], found.coef_[0, 0]], rtol=0.3, atol=0.3)


def test_clones_keep_what_is_fitted_and_searches_work(moons):
    X, y, net = moons
    found = clone(pel.MergedClassifier(net, tau=5))
    assert found.model is net
    assert found.tau == 5
    fresh = clone(pel.MergedClassifier(MLPClassifier((3,))))
    assert not hasattr(fresh.model, "coefs_")
    grid = {"n_clusters": [1, 5], "penalty": [None, "l2"]}
    search = GridSearchCV(pel.MergedClassifier(pel.load(net)), grid, cv=3, scoring="roc_auc").fit(X, y)
    assert search.best_params_["n_clusters"] == 5
    assert pel.MergedClassifier(pel.UnwrapperClassifier(net).fit(X, y), n_clusters=2).fit(X, y).n_clusters_ <= 2


@pytest.mark.parametrize("kw", [{"penalty": "l3"}, {"refit_on": "test"}, {"n_clusters": "best"}, {"n_clusters": 0}, {"n_clusters": []},
                                {"validation": 1.5}, {"holdout": 0}])
def test_arguments_that_are_none_are_refused(moons, kw):
    X, y, net = moons
    with pytest.raises(ValueError, match=next(iter(kw))):
        pel.MergedClassifier(net, **kw).fit(X, y)


@pytest.mark.parametrize("net", [
    ([np.zeros((3, 2)), np.ones((1, 3))], [np.zeros(3), np.zeros(1)]),                       # dead
    ([np.ones((3, 2)), np.ones((1, 3))], [np.zeros(3), np.zeros(1)]),                        # duplicates through the origin
    ([np.array([[1.0, 0.0]]), np.ones((1, 1))], [np.zeros(1), np.zeros(1)]),                 # one unit
    ([np.array([[1.0, 2.0]])], [np.zeros(1)]),                                               # no hidden layer
])
def test_degenerate_networks(net, rng):
    X = rng.integers(-2, 3, (150, 2)).astype(float)
    y = X[:, 0] + rng.normal(size=150)
    found = pel.MergedRegressor(pel.load(net, orientation="out_in")).fit(X, y)
    assert np.isfinite(found.predict(X)).all()
    label = (y > 0).astype(int)
    merged = pel.MergedClassifier(pel.load(net, orientation="out_in", link="sigmoid")).fit(X, label)
    assert np.isfinite(merged.predict_proba(X)).all()
    one = pel.MergedRegressor(pel.load(net, orientation="out_in")).fit(X[:1], y[:1])
    assert one.predict(X[:1])[0] == pytest.approx(y[0])
    assert "too few" in one.inference(0).reasons[0, 0]


def test_an_unwrapper_of_the_other_kind_is_refused(wave):
    X, y, net = wave
    with pytest.raises(ValueError, match="MergedRegressor"):
        pel.MergedClassifier(pel.UnwrapperRegressor(net)).fit(X, y > 1)


def test_smooth_networks_are_refused(moons):
    X, y, _ = moons
    with pytest.raises(pel.NotPiecewiseLinear):
        pel.MergedClassifier(MLPClassifier((3,), activation="tanh", max_iter=5)).fit(X, y)


SMALL = {"hidden_layer_sizes": (4,), "max_iter": 20, "random_state": 0}


@pytest.mark.parametrize("estimator", [pel.MergedClassifier(MLPClassifier(**SMALL), n_clusters=(1, 2)),
                                       pel.MergedRegressor(MLPRegressor(**SMALL), n_clusters=(1, 2))], ids=["c", "r"])
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_own_checks(estimator):
    told = check_estimator(estimator, on_fail=None, on_skip=None)
    failed = {t["check_name"] for t in told if t["status"] == "failed"}
    assert not failed
    assert sum(t["status"] == "passed" for t in told) > 45
