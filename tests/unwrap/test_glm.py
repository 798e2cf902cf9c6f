"""Refitted models against scikit-learn, many fits at once against one at a time, designs that are not of full rank."""

import numpy as np
import pytest
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression, Ridge

from pellucid.unwrap.glm import Glm, independent_columns, refit_linear, refit_logistic
from pellucid.unwrap.merge import Scale
from pellucid.unwrap.newton import linear_fits, logistic_fits


@pytest.fixture
def rows(rng):
    Z = rng.normal(size=(300, 5))
    Z = (Z - Z.mean(axis=0)) / Z.std(axis=0)
    return Z


def labels(Z, n_classes, rng):
    logits = Z @ rng.normal(size=(Z.shape[1], n_classes))
    return (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def draws(n, B, rng):
    return np.concatenate([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), B)]).astype(float)


def by_sklearn(Z, y, weight, penalty, C):
    ratio = {} if penalty is None else {"l1_ratio": 1.0 if penalty == "l1" else 0.0}
    model = LogisticRegression(C=np.inf if penalty is None else C, solver="saga" if penalty == "l1" else "lbfgs", tol=1e-9,
                               max_iter=50_000, **ratio)
    model.fit(Z, y, sample_weight=weight)
    return np.column_stack([model.intercept_, model.coef_])


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("penalty", [None, "l1", "l2"])
def test_many_logistic_fits_are_those_of_scikit_learn(rows, rng, n_classes, penalty):
    y, weight = labels(rows, n_classes, rng), draws(len(rows), 2, rng)
    found = logistic_fits(rows, y, n_classes, weight, penalty=penalty, C=0.2)
    assert found.converged.all()
    for w, beta in zip(weight, found.beta, strict=True):
        theirs = by_sklearn(rows, y, w, penalty, 0.2)
        if n_classes > 2:
            theirs[:, 0] -= theirs[:, 0].mean()
        assert np.allclose(beta, theirs, atol=2e-6)


@pytest.mark.parametrize(("penalty", "model"), [(None, LinearRegression()), ("l1", Lasso(0.1, tol=1e-10)), ("l2", Ridge(0.1))])
def test_many_linear_fits_are_those_of_scikit_learn(rows, rng, penalty, model):
    Y, weight = rng.normal(size=(len(rows), 2)) + rows[:, :2], draws(len(rows), 2, rng)
    found = linear_fits(rows, Y, weight, penalty=penalty, alpha=0.1)
    assert found.converged.all()
    for w, beta in zip(weight, found.beta, strict=True):
        if penalty == "l2":
            model.set_params(alpha=0.1 * w.sum())
        for k in range(2):
            model.fit(rows, Y[:, k], sample_weight=w)
            assert np.allclose(beta[k], np.r_[model.intercept_, model.coef_], atol=1e-7)


def test_l1_leaves_exact_zeros(rows, rng):
    y = (rows[:, 0] + 0.5 * rng.normal(size=len(rows)) > 0).astype(int)
    beta = logistic_fits(rows, y, 2, np.ones((1, len(rows))), penalty="l1", C=0.02).beta[0, 0]
    assert (beta[2:] == 0).all()
    assert beta[1] > 0


def test_fits_without_a_maximum_are_told(rows):
    y = (rows[:, 0] > 0).astype(int)                                           # separable
    assert not logistic_fits(rows, y, 2, np.ones((1, len(rows)))).converged[0]
    assert logistic_fits(rows, y, 2, np.ones((1, len(rows))), penalty="l2").converged[0]
    part = np.where(rows[:, 0] > 1, 1, np.arange(len(rows)) % 2)               # in part: a dummy whose rows are of one class
    Z = np.column_stack([rows[:, 1], rows[:, 0] > 1])
    assert not logistic_fits(Z, part, 2, np.ones((1, len(rows)))).converged[0]
    lacking = np.where(y == 0, 1.0, 0.0)[None]                                 # a draw without the second class
    assert not logistic_fits(rows, y, 2, lacking).converged[0]


def test_steep_logits_are_no_runaway(rng):
    x = np.sort(rng.normal(size=2000))
    y = (rng.random(2000) < 1 / (1 + np.exp(-15 * x))).astype(int)
    found = logistic_fits(x[:, None], y, 2, np.ones((1, 2000)))
    assert np.abs(found.beta[0, 0, 0] + found.beta[0, 0, 1] * x).max() > 30
    assert found.converged[0]


@pytest.mark.parametrize("penalty", [None, "l1", "l2"])
def test_a_refit_does_not_depend_on_units(rows, rng, penalty):
    y, w = labels(rows, 2, rng), np.ones(len(rows))
    unit, shift = np.array([1e-3, 1.0, 1e3, 10.0, 1.0]), np.array([0.0, 100.0, -5.0, 0.0, 2.0])
    X = rows * unit + shift
    a = refit_logistic(rows, y, 2, w, Glm(penalty, 0.3), Scale.of(rows))
    b = refit_logistic(X, y, 2, w, Glm(penalty, 0.3), Scale.of(X))
    assert np.allclose(rows @ a[0][0] + a[1], X @ b[0][0] + b[1], atol=1e-5)


def test_collinear_and_constant_columns_get_no_slope_in_a_plain_fit(rows, rng):
    X = np.column_stack([rows[:, 0], np.full(len(rows), 0.1), 3 * rows[:, 0] + 1, rows[:, 1], rows[:, 0] - rows[:, 1]])
    scale = Scale.of(X)
    assert independent_columns(scale.inwards(X)).tolist() == [True, False, False, True, False]
    y = rows[:, 0] - 2 * rows[:, 1] + rng.normal(size=len(rows))
    coef, intercept = refit_linear(X, y[:, None], np.ones(len(y)), Glm(), scale)
    theirs = LinearRegression().fit(X[:, [0, 3]], y)
    assert np.allclose(coef[0], [theirs.coef_[0], 0, 0, theirs.coef_[1], 0])
    assert intercept[0] == pytest.approx(theirs.intercept_)


def test_fewer_rows_than_columns_are_fitted_without_error(rng):
    X, y = rng.normal(size=(4, 9)), rng.normal(size=(4, 1))
    assert independent_columns(X).sum() == 3
    coef, intercept = refit_linear(X, y, np.ones(4), Glm(), Scale.of(X))
    assert np.allclose(X @ coef.T + intercept, y)


def test_a_class_without_rows_is_improbable_and_flat(rows, rng):
    y = labels(rows, 2, rng) * 2                                               # classes 0 and 2 of three
    coef, intercept = refit_logistic(rows, y, 3, np.ones(len(y)), Glm(), Scale.of(rows))
    two = refit_logistic(rows, y // 2, 2, np.ones(len(y)), Glm(), Scale.of(rows))
    assert np.allclose(coef[2] - coef[0], two[0][0], atol=1e-6)
    assert (coef[1] == 0).all()
    logits = rows.mean(axis=0) @ coef.T + intercept
    p = np.exp(logits - logits.max())
    assert (p / p.sum())[1] == pytest.approx(0.5 / (len(y) + 0.5))


@pytest.mark.parametrize("only", [0, 1])
def test_one_class_is_a_constant(rows, only):
    coef, intercept = refit_logistic(rows, np.full(len(rows), only), 2, np.ones(len(rows)), Glm(), Scale.of(rows))
    assert (coef == 0).all()
    assert np.sign(intercept[0]) == (1 if only else -1)
