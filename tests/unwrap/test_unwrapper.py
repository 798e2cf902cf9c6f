"""The estimators: what can be passed, that they are the model, and scikit-learn's own checks."""

import pickle

import numpy as np
import pandas as pd
import pytest
from networks import random_layers, relu_network
from unwrapped import random_net, rows, unwrapped

import pellucid as pel

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import check_estimator

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")


def mlp(**more):
    return MLPClassifier((8, 8), max_iter=60, random_state=0, **more)


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True, as_frame=True)
    return X, np.array(["setosa", "versi", "virgin"])[y]


def checked(estimator):
    """{check: why it failed}."""
    results = check_estimator(estimator, on_fail=None)
    return {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [pel.UnwrapperClassifier(MLPClassifier((20,), max_iter=200, random_state=0)),
                                       pel.UnwrapperRegressor(MLPRegressor(hidden_layer_sizes=(20,), max_iter=200, random_state=0))])
def test_scikit_learns_own_checks_pass_without_exception(estimator):
    assert checked(estimator) == {}


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "numpy", "list", "shuffled"])
def test_rows_of_every_kind_give_the_same(iris, kind):
    X, y = iris
    model = mlp().fit(X, y)
    u = pel.UnwrapperClassifier(model).fit(X, y)
    if kind == "polars":
        other = pytest.importorskip("polars").from_pandas(X)
    elif kind == "pyarrow":
        other = pytest.importorskip("pyarrow").Table.from_pandas(X)
    else:
        other = {"pandas": X, "numpy": X.to_numpy(), "list": X.to_numpy().tolist(), "shuffled": X[X.columns[::-1]]}[kind]
    v = pel.UnwrapperClassifier(model).fit(other, pd.Series(y))
    np.testing.assert_array_equal(u.local_models().coef, v.local_models().coef)
    np.testing.assert_array_equal(u.groups(X), v.groups(other))
    np.testing.assert_array_equal(v.predict(other), model.predict(X))
    assert v.n_features_in_ == 4
    assert v.network_.feature_names == tuple(X.columns)
    assert hasattr(v, "feature_names_in_") == (kind not in ("numpy", "list"))


@pytest.mark.parametrize("labels", [["no", "yes"], ["a", "b", "c"], [1, 2], [-3, 0, 7], [False, True]])
def test_it_is_the_model(labels, rng):
    X = rng.normal(size=(200, 3))
    y = np.array(labels)[rng.integers(0, len(labels), 200)]
    u = pel.UnwrapperClassifier(mlp()).fit(X, y)
    np.testing.assert_array_equal(u.classes_, np.unique(y))
    np.testing.assert_array_equal(u.predict(X), u.model_.predict(X))
    np.testing.assert_allclose(u.predict_proba(X), u.model_.predict_proba(X), atol=1e-14)
    np.testing.assert_array_equal(u.decision_function(X), u.network_(X)[:, 0] if len(labels) == 2 else u.network_(X))
    assert u.score(X, y) == u.model_.score(X, y)
    assert u.local_models().response_mean.shape[1] == (1 if len(labels) == 2 else len(labels))


def test_a_fitted_model_is_held_frozen_and_an_unfitted_one_is_not_touched(iris):
    X, y = iris
    fresh, fitted = mlp(), mlp().fit(X.to_numpy(), y)
    before = [w.copy() for w in fitted.coefs_]
    u, v = pel.UnwrapperClassifier(fresh).fit(X, y), pel.UnwrapperClassifier(fitted).fit(X, y)
    assert not hasattr(fresh, "coefs_")
    assert v.model_ is fitted
    for a, b in zip(before, fitted.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)
    assert u.network_.n_inputs == 4
    assert hasattr(clone(u).network_or_model, "fit")
    with pytest.raises(NotFittedError):
        clone(u).predict(X)


def test_several_outputs_and_labels_at_once(rng):
    X = rng.normal(size=(150, 3))
    Y = np.column_stack([X @ [1, 2, 3], np.abs(X[:, 0])])
    u = pel.UnwrapperRegressor(MLPRegressor(hidden_layer_sizes=(10,), max_iter=300, random_state=0)).fit(X, Y)
    np.testing.assert_allclose(u.predict(X), u.model_.predict(X), atol=1e-12)
    models = u.local_models(scores=("local", "global"))
    assert models.coef.shape[1:] == (2, 3)
    assert models.response_mean.shape[1] == 2
    labels = (Y > 0).astype(int)
    v = pel.UnwrapperClassifier(mlp()).fit(X, labels)
    np.testing.assert_array_equal(v.predict(X), v.model_.predict(X))
    assert v.local_models(scores=("local", "global")).response_mean.shape[1] == 2


def test_tables_with_categories(rng):
    X = pd.DataFrame({"income": rng.normal(size=200), "home": rng.choice(["own", "rent", "other"], 200)})
    y = np.where(X["income"] + (X["home"] == "own") > 0, "yes", "no")
    model = make_pipeline(make_column_transformer((OneHotEncoder(), ["home"]), (StandardScaler(), ["income"])), mlp())
    u = pel.UnwrapperClassifier(model).fit(X, y)
    np.testing.assert_array_equal(u.predict(X), u.model_.predict(X))
    assert u.n_features_in_ == 2
    assert u.network_.n_inputs == 4
    assert list(u.feature_names_in_) == ["income", "home"]
    assert set(u.explain(X[:3]).to_frame()["feature"]) == set(u.network_.feature_names)


@pytest.mark.parametrize("out", [1, 3])
def test_outputs_of_a_torch_module_are_taken_as_logits(out, rng):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 6), torch.nn.ReLU(), torch.nn.Linear(6, out))
    X, y = rng.normal(size=(60, 3)), rng.integers(0, max(out, 2), 60)
    u = pel.UnwrapperClassifier(module).fit(X, y)
    with torch.no_grad():
        logits = module(torch.tensor(X, dtype=torch.float32)).numpy()
    expected = (logits[:, 0] > 0).astype(int) if out == 1 else logits.argmax(axis=1)
    np.testing.assert_array_equal(u.predict(X), expected)
    np.testing.assert_allclose(u.predict_proba(X).sum(axis=1), 1)


def test_a_path_and_a_pickle(tmp_path):
    net = random_net(0, (3, 5, 2), "softmax", class_names=("no", "yes"))
    X, y = rows(net, 80)
    u = pel.UnwrapperClassifier(net.save(tmp_path / "net.npz")).fit(X, np.array(["no", "yes"])[y])
    assert u.classes_.tolist() == ["no", "yes"]
    again = pickle.loads(pickle.dumps(unwrapped(net, X, y)))
    np.testing.assert_array_equal(again.groups(X), u.groups(X))


# ---- what is refused
def test_smooth_networks_are_refused_by_name_with_the_way_out(iris):
    X, y = iris
    with pytest.raises(pel.NotPiecewiseLinear, match=r"(?s)Tanh.*'tanh1'.*To go on.*relu"):
        pel.UnwrapperClassifier(mlp(activation="tanh")).fit(X, y)
    with pytest.raises(pel.NotPiecewiseLinear, match="Sigmoid"):
        pel.UnwrapperRegressor(MLPRegressor(activation="logistic", max_iter=5)).fit(X, np.arange(150))


def test_the_wrong_kind_is_refused(rng):
    layers = random_layers(rng, [2, 3, 1])
    X, y = rng.normal(size=(10, 2)), rng.integers(0, 2, 10)
    with pytest.raises(pel.DataError, match="UnwrapperClassifier"):
        pel.UnwrapperRegressor(relu_network(layers, "sigmoid")).fit(X, y)
    with pytest.raises(pel.DataError, match="UnwrapperRegressor"):
        pel.UnwrapperClassifier(MLPRegressor(max_iter=5)).fit(X, y)
    net = relu_network(layers, "sigmoid")
    with pytest.raises(pel.DataError, match="5 different labels"):
        pel.UnwrapperClassifier(net).fit(X, np.arange(10) % 5 + 2)
    with pytest.raises(pel.DataError, match="10 rows, y has 9"):
        pel.UnwrapperClassifier(net).fit(X, y[:9])
    with pytest.raises(pel.DataError, match="NaN"):
        pel.UnwrapperClassifier(net).fit(np.where(X > 1, np.nan, X) if (X > 1).any() else X * np.nan, y)
    with pytest.raises(pel.DataError, match="expecting 2 features"):
        pel.UnwrapperClassifier(net).fit(X, y).predict(X[:, :1])
    names = relu_network(layers, "sigmoid", feature_names=("a", "b"))
    with pytest.raises(pel.DataError, match="lacks the column"):
        pel.UnwrapperClassifier(names).fit(pd.DataFrame(X, columns=["a", "c"]), y)
    with pytest.raises(TypeError, match="dense"):
        pel.UnwrapperClassifier(net).fit(pytest.importorskip("scipy.sparse").csr_array(X), y)
    with pytest.raises(pel.DataError, match="weights"):
        pel.UnwrapperClassifier(net).fit(X, y, -np.ones(10))
