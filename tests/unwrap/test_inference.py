"""Wald tables against statsmodels on the same rows, reasons where there is no answer, bootstrap against refits one by one."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from sklearn.linear_model import LogisticRegression

import pellucid as pel
from pellucid.unwrap.glm import Glm
from pellucid.unwrap.inference import Fitted, infer
from pellucid.unwrap.wald import separable


def table(X, y, *, n_classes=0, weight=None, glm=None, method="wald", level=0.95, draws=100, reference=0):
    rows = Fitted(X, y if n_classes or y.ndim == 2 else y[:, None], np.ones(len(X)) if weight is None else weight, weight is None,
                  n_classes, glm or Glm())
    names = [f"c{k}" for k in range(n_classes)] or [f"y{k}" for k in range(rows.y.shape[1])]
    return infer(rows, region=0, method=method, level=level, draws=draws, seed=0, feature_names=[f"x{j}" for j in range(X.shape[1])],
                 response_names=names, reference=reference, notes=())


def same(found, result, line=0, rtol=1e-7):
    """coef, errors, statistics, p-values and intervals are those of statsmodels."""
    assert np.allclose(found.coef[line], result.params, rtol=rtol, atol=1e-9)
    assert np.allclose(found.std_err[line], result.bse, rtol=rtol)
    assert np.allclose(found.statistic[line], result.tvalues, rtol=10 * rtol, atol=1e-7)
    assert np.allclose(found.p_value[line], result.pvalues, rtol=1e-5, atol=1e-12)
    assert np.allclose(np.column_stack([found.low[line], found.high[line]]), result.conf_int(), rtol=rtol, atol=1e-7)


@pytest.fixture
def X(rng):
    return rng.normal(size=(200, 3)) * [1.0, 50.0, 0.01] + [0.0, 1000.0, -3.0]


def test_a_regression_is_ols_of_statsmodels(X, rng):
    y = X @ [1.0, 0.02, 30.0] + rng.normal(size=200)
    found = table(X, y)
    result = sm.OLS(y, sm.add_constant(X)).fit()
    same(found, result)
    assert found.df == result.df_resid == 196
    assert found.statistic_name == "t"
    assert list(found.to_frame().columns) == ["coef", "std_err", "t", "p-value", "[0.025", "0.975]"]
    assert list(found.to_frame().index) == ["intercept", "x0", "x1", "x2"]


def test_two_classes_are_logit_of_statsmodels(X, rng):
    y = (rng.random(200) < 1 / (1 + np.exp(-X[:, 0]))).astype(int)
    found = table(X, y, n_classes=2, level=0.9)
    result = sm.Logit(y, sm.add_constant(X)).fit(disp=0, tol=1e-12)
    assert np.allclose(found.coef[0], result.params, rtol=1e-6)
    assert np.allclose(found.std_err[0], result.bse, rtol=1e-6)
    assert np.allclose(np.column_stack([found.low[0], found.high[0]]), result.conf_int(alpha=0.1), rtol=1e-5, atol=1e-6)
    assert list(found.to_frame().columns) == ["coef", "std_err", "z", "p-value", "[0.05", "0.95]"]
    turned = table(X, y, n_classes=2, level=0.9, reference=1)
    assert np.allclose(turned.coef, -found.coef)
    assert (found.responses, found.reference, turned.reference) == (("c1",), "c0", "c1")


def test_several_classes_are_mnlogit_of_statsmodels(X, rng):
    y = (X[:, :1] * [0.0, 1.0, -1.0] + rng.gumbel(size=(200, 3))).argmax(axis=1)
    found = table(X, y, n_classes=3)
    result = sm.MNLogit(y, sm.add_constant(X)).fit(disp=0, tol=1e-12)
    assert np.allclose(found.coef, np.asarray(result.params).T, rtol=1e-5, atol=1e-7)
    assert np.allclose(found.std_err, np.asarray(result.bse).T, rtol=1e-5)
    assert found.to_frame().index.names == ["response", "term"]
    other = table(X, y, n_classes=3, reference=2)
    assert np.allclose(other.coef[0], -found.coef[1])
    assert np.allclose(other.std_err[0], found.std_err[1])


def test_several_outputs_are_fitted_each_by_itself(X, rng):
    Y = rng.normal(size=(200, 2))
    found = table(X, Y)
    for k in range(2):
        same(found, sm.OLS(Y[:, k], sm.add_constant(X)).fit(), k)


def test_weights_are_those_of_a_sample_so_that_their_scale_does_not_matter(X, rng):
    w = rng.uniform(0.2, 3, 200)
    y = X[:, 0] + rng.normal(size=200)
    same(table(X, y, weight=w), sm.WLS(y, sm.add_constant(X), weights=w).fit(cov_type="HC1", use_t=True), rtol=1e-6)
    label = (y > 0).astype(int)
    one, ten = table(X, label, n_classes=2, weight=w), table(X, label, n_classes=2, weight=10 * w)
    assert np.allclose(one.std_err, ten.std_err)
    result = sm.GLM(label, sm.add_constant(X), family=sm.families.Binomial(), freq_weights=w).fit(tol=1e-12)
    assert np.allclose(one.coef[0], result.params, rtol=1e-5)
    assert any("sandwich" in note for note in one.notes)


def test_weighted_tests_of_several_classes_are_left_to_the_bootstrap(X, rng):
    y, w = rng.integers(0, 3, 200), rng.uniform(0.5, 2, 200)
    found = table(X, y, n_classes=3, weight=w)
    assert np.isnan(found.coef).all()
    assert "bootstrap" in found.reasons[0, 0]
    assert np.isfinite(table(X, y, n_classes=3, weight=w, method="bootstrap", draws=20).low).all()


def test_degrees_of_freedom_are_those_of_the_rank(X, rng):
    y = rng.normal(size=200)
    full = np.column_stack([X, 2 * X[:, 0] - 5, np.full(200, 7.0)])            # a combination, and a constant
    found = table(full, y)
    result = sm.OLS(y, sm.add_constant(full, has_constant="add")).fit()
    assert found.df == result.df_resid == 196
    same(replace(found, **{k: getattr(found, k)[:, :4] for k in ("coef", "std_err", "statistic", "p_value", "low", "high")}),
         sm.OLS(y, sm.add_constant(X)).fit())
    assert np.isnan(found.coef[0, 4:]).all()
    assert "combination" in found.reasons[0, 4]
    assert "constant" in found.reasons[0, 5]
    assert found.to_frame()["reason"].iloc[:4].eq("").all()


@pytest.mark.parametrize(("n", "says"), [(0, "no row"), (1, "too few"), (4, "too few")])
def test_too_few_rows_have_no_answer(X, n, says):
    found = table(X[:n], np.arange(n, dtype=float))
    assert np.isnan(found.low).all()
    assert all(says in r for r in found.reasons.ravel())


def test_a_perfect_fit_has_no_errors_to_estimate(X):
    for y in (X @ [1.0, 2.0, 3.0] + 1, np.full(200, 3.0), np.zeros(200)):
        found = table(X, y)
        assert np.isnan(found.p_value).all()
        assert "without error" in found.reasons[0, 0]


def test_one_class_and_separable_classes_have_no_answer(X):
    assert "one class" in table(X, np.zeros(200, dtype=int), n_classes=2).reasons[0, 0]
    found = table(X, (X[:, 0] > 0).astype(int), n_classes=2)
    assert np.isnan(found.coef).all()
    assert np.isnan(found.p_value).all()
    assert all("separable" in r for r in found.reasons.ravel())
    three = table(X, np.digitize(X[:, 0], [-0.5, 0.5]), n_classes=3)
    assert all("separable" in r for r in three.reasons.ravel())


def test_where_a_dummy_separates_the_others_keep_their_answer(rng):
    x, dummy = rng.normal(size=300), (np.arange(300) < 20).astype(float)
    y = np.where(dummy == 1, 1, rng.random(300) < 1 / (1 + np.exp(-x))).astype(int)
    found = table(np.column_stack([x, dummy]), y, n_classes=2)
    rest = sm.Logit(y[20:], sm.add_constant(x[20:])).fit(disp=0, tol=1e-12)
    assert np.allclose(found.coef[0, :2], rest.params, rtol=1e-6)
    assert np.allclose(found.std_err[0, :2], rest.bse, rtol=1e-6)
    assert np.isnan(found.low[0, 2])
    assert "separable" in found.reasons[0, 2]
    turned = table(np.column_stack([x, 1 - dummy]), y, n_classes=2)            # the same, told from the other side
    assert np.isnan(turned.coef[0, [0, 2]]).all()                              # the intercept is now the dummy's
    assert turned.coef[0, 1] == pytest.approx(rest.params[1], rel=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_separation_is_found_exactly_in_one_dimension(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 6, 8).astype(float), rng.integers(0, 2, 8)
    y[:2] = [0, 1]
    up, down = x[y == 1].min() >= x[y == 0].max(), x[y == 1].max() <= x[y == 0].min()
    expected = bool((up or down) and np.ptp(x) > 0)
    assert separable(np.column_stack([np.ones(8), x]), y, 2).any() == expected


def test_large_logits_are_no_separation(rng):
    x = np.r_[np.linspace(-1, 1, 300), 60.0]
    y = np.r_[(rng.random(300) < 1 / (1 + np.exp(-3 * x[:300]))), 1].astype(int)
    found = table(x[:, None], y, n_classes=2)
    assert np.isfinite(found.std_err).all()
    assert np.allclose(found.std_err[0], sm.Logit(y, sm.add_constant(x)).fit(disp=0, tol=1e-12).bse, rtol=1e-5)


def test_a_class_that_is_missing_gets_no_answer_and_the_others_do(X, rng):
    y = rng.integers(0, 2, 200) * 2
    found = table(X, y, n_classes=3)
    assert np.isnan(found.coef[0]).all()
    assert "class" in found.reasons[0, 0]
    assert np.allclose(found.coef[1], sm.Logit(y // 2, sm.add_constant(X)).fit(disp=0, tol=1e-12).params, rtol=1e-5)


def test_wald_of_a_penalised_model_is_refused(X):
    with pytest.raises(pel.DataError, match="bootstrap"):
        table(X, X[:, 0], glm=Glm("l1", 0.1))


@pytest.mark.parametrize("kw", [{"method": "exact"}, {"level": 1.0}, {"level": 0}, {"method": "bootstrap", "draws": 1}])
def test_arguments_that_are_none_are_refused(X, kw):
    with pytest.raises(ValueError, match=r"method|level|draws"):
        table(X, X[:, 0], **kw)


# ---- bootstrap


def test_draws_are_refits_of_drawn_rows(X, rng):
    y = (rng.random(200) < 1 / (1 + np.exp(-X[:, 0]))).astype(int)
    found = table(X, y, n_classes=2, method="bootstrap", draws=3)
    counts = np.random.default_rng(0).multinomial(200, np.full(200, 1 / 200), 3)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    for draw, count in zip(found.draws, counts, strict=True):
        again = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(np.repeat(Z, count, axis=0), np.repeat(y, count))
        assert np.allclose(draw[0, 1:] * X.std(axis=0), again.coef_[0], rtol=1e-4, atol=1e-4)
    assert np.allclose(found.mean[0], found.draws[:, 0].mean(axis=0))


def test_bootstrap_errors_are_near_those_of_theory(rng):
    X = rng.normal(size=(2000, 2))
    y = X[:, 0] + rng.normal(size=2000)
    found = table(X, y, method="bootstrap", draws=400)
    assert np.allclose(found.std_err, table(X, y).std_err, rtol=0.15)
    assert (found.low < found.mean).all()
    assert (found.mean < found.high).all()


def test_l1_tells_the_share_of_zeros(rng):
    X = rng.normal(size=(300, 4))
    y = X[:, 0] + rng.normal(size=300)
    found = table(X, y, method="bootstrap", glm=Glm("l1", 0.1))
    assert found.share_zero[0, 1] == 0
    assert (found.share_zero[0, 2:] > 0.3).all()
    assert (found.share_zero[0] == (found.draws[:, 0] == 0).mean(axis=0)).all()
    assert list(found.to_frame().columns) == ["coef", "mean", "std_err", "[0.025", "0.975]", "share_zero"]
    assert any("l1" in note for note in found.notes)


def test_the_same_seed_gives_the_same_draws(X):
    a, b = (table(X, X[:, 0] ** 2, method="bootstrap", draws=20) for _ in range(2))
    assert np.array_equal(a.draws, b.draws)


def test_where_draws_are_lost_there_is_no_interval(rng):
    X, y = rng.normal(size=(40, 2)), np.r_[1, 1, np.zeros(38)].astype(int)
    found = table(X, y, n_classes=2, method="bootstrap")
    assert np.isnan(found.low).all()
    assert "no answer" in found.reasons[0, 0]
    assert np.isfinite(table(X, y, n_classes=2, method="bootstrap", glm=Glm("l2", 1.0), draws=50).coef).all()


def test_constant_and_collinear_columns_are_told_by_the_bootstrap_too(rng):
    x = rng.normal(size=100)
    found = table(np.column_stack([x, np.full(100, 2.0), -x]), x + rng.normal(size=100), method="bootstrap")
    assert np.isfinite(found.low[0, :2]).all()
    assert "constant" in found.reasons[0, 2]
    assert "combination" in found.reasons[0, 3]
    assert isinstance(found.to_frame(), pd.DataFrame)
