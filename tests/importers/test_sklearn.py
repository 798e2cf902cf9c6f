"""scikit-learn networks and pipelines: values equal scikit-learn's, inputs are the user's."""

from __future__ import annotations

import contextlib
import sys
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("sklearn")

from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.random_projection import GaussianRandomProjection

from pellucid.errors import DataError, MissingExtra, ModelError, UnsupportedOp
from pellucid.graph.store import load_network
from pellucid.importers.load import load

TIGHT = 1e-9


def classifier(**options):
    return MLPClassifier((6, 5), **{"max_iter": 8, "random_state": 0, **options})


def regressor(**options):
    return MLPRegressor(**{"hidden_layer_sizes": (6, 5), "max_iter": 8, "random_state": 0, **options})


def fit(model, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")                         # not converged, which no test here needs
        return model.fit(X, y)


def answers(model, X):
    """What scikit-learn says, as Network.predict has it."""
    if not hasattr(model, "predict_proba"):
        return model.predict(X).reshape(len(X), -1)
    p = model.predict_proba(X)
    return p[:, 1:] if p.shape[1] == 2 else p


def assert_equal(net, model, X, rows=None):
    """Values on the data itself, and the fidelity that load measured."""
    got, expected = net.predict(np.asarray(X) if rows is None else rows), answers(model, X)
    assert np.abs(got - expected).max() <= TIGHT * (1 + np.abs(expected).max())
    assert net.fidelity.max_relative_error < TIGHT
    assert "scikit-learn" in net.fidelity.runtime


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 6)) * [1, 10, 100, 1, 0.1, 1] + 5
    return X, (X[:, 0] > 5).astype(int)


STEPS = [StandardScaler(), StandardScaler(with_mean=False), StandardScaler(with_std=False), MinMaxScaler((-1, 2)), MinMaxScaler(clip=True),
         MaxAbsScaler(), RobustScaler(), RobustScaler(with_centering=False), RobustScaler(with_scaling=False), PCA(3), PCA(3, whiten=True),
         IncrementalPCA(2), TruncatedSVD(3), GaussianRandomProjection(4, random_state=0), VarianceThreshold(0.5), SelectKBest(k=3),
         SimpleImputer(), SimpleImputer(add_indicator=True), FunctionTransformer(), "passthrough", make_pipeline(StandardScaler(), PCA(2)),
         FeatureUnion([("a", PCA(2)), ("b", MinMaxScaler(clip=True)), ("c", "passthrough"), ("d", "drop")], transformer_weights={"c": 2.0})]


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_a_step_is_folded(step, data):
    X, y = data
    model = fit(make_pipeline(step, classifier()), X, y)
    net = load(model)
    assert_equal(net, model, X)
    assert net.n_inputs == X.shape[1]


def affine_steps():
    """Steps that keep the number of columns, and ones that change it."""
    return st.lists(st.sampled_from([StandardScaler(), MinMaxScaler(clip=True), MinMaxScaler((0, 3)), MaxAbsScaler(), RobustScaler(), PCA(),
                                     PCA(2), SelectKBest(k=2), SimpleImputer()]), max_size=4)


@settings(max_examples=15)
@given(steps=affine_steps(), activation=st.sampled_from(["relu", "tanh", "logistic", "identity"]), classes=st.sampled_from([0, 2, 4]),
       hidden=st.lists(st.integers(1, 7), max_size=3), seed=st.integers(0, 999))
def test_pipelines_equal_scikit_learn(steps, activation, classes, hidden, seed):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((40, 5)) * 10.0 ** rng.integers(-2, 3, 5)
    options = {"hidden_layer_sizes": tuple(hidden), "activation": activation, "max_iter": 2, "random_state": seed}
    mlp = MLPClassifier(**options) if classes else MLPRegressor(**options)
    y = np.arange(40) % classes if classes else rng.standard_normal(40)
    model = fit(Pipeline([(f"s{k}", clone(s)) for k, s in enumerate(steps)] + [("mlp", mlp)]), X, y)
    assert_equal(load(model), model, X)


@pytest.mark.parametrize("source", [load_iris, load_breast_cancer, load_wine])
def test_real_data_with_its_names(source):
    bunch = source(as_frame=True)
    labels = bunch.target_names[bunch.target]
    model = fit(make_pipeline(StandardScaler(), classifier(max_iter=40)), bunch.data, labels)
    net = load(model)
    assert_equal(net, model, bunch.data)
    assert net.feature_names == tuple(bunch.data.columns)
    assert net.class_names == tuple(model.classes_)
    assert net.task == "classification"
    assert (np.array(net.class_names)[net.decide(bunch.data)] == model.predict(bunch.data)).all()


def test_regression_and_its_transformed_target():
    X, y = load_diabetes(return_X_y=True)
    for target in (StandardScaler(), MinMaxScaler((1, 3)), None):
        model = fit(TransformedTargetRegressor(make_pipeline(StandardScaler(), regressor()), transformer=target), X, y)
        net = load(model)
        assert_equal(net, model, X)
        assert net.task == "regression"
        assert net.n_classes == 0
    both = fit(regressor(), X, np.stack([y, -y], axis=1))
    assert load(both).n_outputs == 2
    with pytest.raises(UnsupportedOp, match="sqrt"):
        load(fit(TransformedTargetRegressor(regressor(), func=np.sqrt, inverse_func=np.square), X, y))


def test_several_labels(data):
    X, y = data
    model = fit(classifier(), X, np.stack([y, 1 - y, X[:, 1] > 5], axis=1).astype(int))
    net = load(model)
    assert net.is_multilabel
    assert_equal(net, model, X)


def test_a_search_is_its_best_estimator(data):
    X, y = data
    search = fit(GridSearchCV(make_pipeline(StandardScaler(), classifier()), {"mlpclassifier__alpha": [0.1]}, cv=2), X, y)
    assert_equal(load(search), search, X)


def test_exact_weights_of_a_tiny_network():
    X = np.array([[0.0, 10.0], [4.0, 30.0]])                    # means 2, 20; scales 2, 10
    model = fit(make_pipeline(StandardScaler(), regressor(hidden_layer_sizes=())), X, [0.0, 1.0])
    W, b = model[-1].coefs_[0][:, 0], model[-1].intercepts_[0][0]
    net = load(model)                                           # w1 (x1 - 2) / 2 + w2 (x2 - 20) / 10 + b
    assert net([[3.0, 7.0]])[0, 0] == pytest.approx(W[0] * 0.5 + W[1] * -1.3 + b, rel=1e-14)
    assert len(net.graph.nodes) == 1


# ---- tables with categories
@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(1)
    f = pd.DataFrame(rng.standard_normal((60, 5)) * 10, columns=list("abcde"))
    f["colour"] = rng.choice(["red", "green", "blue"], 60)
    f.insert(1, "kind", rng.integers(0, 3, 60))
    f["note"] = "text that no step reads"
    return f, rng.integers(0, 3, 60)


def columns():
    return ColumnTransformer(
        [("n", make_pipeline(SimpleImputer(), MinMaxScaler(clip=True)), make_column_selector(pattern="^[ab]$")),
         ("o", make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(drop="first")), ["colour", "kind"]),
         ("p", "passthrough", slice("c", "d")), ("q", OrdinalEncoder(), ["kind"]), ("gone", "drop", ["e"])],
        transformer_weights={"o": 0.5})


def test_categories_are_one_hot_inputs(frame):
    f, y = frame
    model = fit(make_pipeline(columns(), StandardScaler(), classifier()), f, y)
    net = load(model)
    assert net.feature_names == ("a", "kind=0", "kind=1", "kind=2", "b", "c", "d", "colour=green", "colour=red")
    assert_equal(net, model, f, net.table.encode(f))
    assert set(np.unique(net.table.encode(f)[:, 1:4])) == {0.0, 1.0}


def test_the_table_is_stored_but_does_not_change_the_digest(frame, tmp_path):
    f, y = frame
    net = load(fit(make_pipeline(columns(), classifier()), f, y))
    again = load_network(net.save(tmp_path / "net"))
    assert (again.table.encode(f) == net.table.encode(f)).all()
    assert again.digest == net.digest


@pytest.mark.parametrize("encoder", [OneHotEncoder(), OneHotEncoder(drop="if_binary"), OneHotEncoder(min_frequency=0.34),
                                     OneHotEncoder(max_categories=2, drop="first", handle_unknown="ignore"), OrdinalEncoder()], ids=str)
def test_encoders(encoder, frame):
    f, y = frame
    model = fit(make_pipeline(ColumnTransformer([("o", encoder, ["kind", "colour"])], remainder="drop"), classifier()), f, y)
    net = load(model)
    assert_equal(net, model, f, net.table.encode(f))


def test_arrays_without_names(frame):
    f, y = frame
    X = f.drop(columns="note").to_numpy()
    model = fit(make_pipeline(ColumnTransformer([("o", OneHotEncoder(), [1, -1]), ("s", StandardScaler(), [0, 2])]), classifier()), X, y)
    net = load(model)
    assert net.feature_names[:3] == ("x0", "x1=0", "x1=1")
    raw = pd.DataFrame(X, columns=[f"x{k}" for k in range(X.shape[1])])
    assert_equal(net, model, X, net.table.encode(raw))


def test_frames_as_pandas_has_them(frame):
    """Nullable integers, categoricals, truth values; missing ones imputed in training; frames between the steps."""
    f, y = frame
    f = pd.DataFrame({"age": f["a"].astype("float32").where(f.index != 3), "paid": f["b"] > 0, "shop": pd.Categorical(f["colour"]),
                      "kind": f["kind"].astype("Int64"), "town": f["colour"].astype("string")})
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    steps = ColumnTransformer([("n", numbers, ["age"]), ("o", OneHotEncoder(sparse_output=False), ["paid", "shop", "kind", "town"])])
    complete = f.dropna()
    for output in ("default", "pandas"):
        model = fit(make_pipeline(clone(steps), MinMaxScaler(), classifier()).set_output(transform=output), f, y)
        net = load(model)
        assert_equal(net, model, complete, net.table.encode(complete))
        assert net.feature_names[:3] == ("age", "paid=False", "paid=True")


def test_a_missing_value_can_be_a_category_of_its_own(frame):
    f, y = frame
    f = f.assign(colour=f["colour"].where(np.arange(60) > 5, None))
    net = load(fit(make_pipeline(ColumnTransformer([("o", OneHotEncoder(), ["colour"])]), classifier()), f, y))
    assert "colour=missing" in net.feature_names
    assert net.table.encode(f)[:, net.feature_names.index("colour=missing")].sum() == 6


def test_numeric_columns_alone_need_no_table(frame):
    f, y = frame
    f = f[list("abcde")]
    model = fit(make_pipeline(ColumnTransformer([("s", StandardScaler(), ["a", "c"]), ("m", "drop", ["b"])], remainder=MaxAbsScaler()),
                              classifier()), f, y)
    net = load(model)
    assert net.table is None
    assert net.feature_names == tuple("abcde")
    assert_equal(net, model, f)


def test_rows_that_do_not_fit_are_named(frame):
    f, y = frame
    table = load(fit(make_pipeline(columns(), classifier()), f, y)).table
    with pytest.raises(DataError, match=r"'colour' has categories that the model was not trained on.*\n.*7 .mauve"):
        table.encode(f.assign(colour=f["colour"].where(f.index != 7, "mauve")))
    with pytest.raises(DataError, match=r"'a' has missing values.*\n.*3 .nan"):
        table.encode(f.assign(a=f["a"].where(f.index != 3)))
    with pytest.raises(DataError, match="'colour' has missing values"):
        table.encode(f.assign(colour=f["colour"].where(f.index != 3, None)))
    with pytest.raises(DataError, match="lacks the columns 'b', 'd'"):
        table.encode(f.drop(columns=["b", "d"]))
    with pytest.raises(DataError, match="no finite numbers"):
        table.encode(f.assign(a=np.inf))
    with pytest.raises(DataError, match="frame with named columns"):
        table.encode(f.to_numpy())


# ---- refused
class Halved(StandardScaler):
    """A subclass may do anything."""

    def transform(self, X):
        return super().transform(X) / 2


@pytest.mark.parametrize("step", [PolynomialFeatures(), KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf"),
                                  QuantileTransformer(n_quantiles=9), FunctionTransformer(np.log1p), Halved(),
                                  SimpleImputer(missing_values=0.0)], ids=str)
def test_steps_that_are_not_affine(step, data):
    X, y = data
    with pytest.raises(UnsupportedOp, match="To go on"):
        load(fit(make_pipeline(step, classifier()), abs(X), y))


def test_estimators_that_are_no_networks(data):
    X, y = data
    with pytest.raises(ModelError, match="not fitted: call fit"):
        load(classifier())
    with pytest.raises(ModelError, match="not fitted"):
        load(Pipeline([("s", StandardScaler()), ("m", fit(classifier(), X, y))]))
    with pytest.raises(UnsupportedOp, match="LogisticRegression is no network"):
        load(fit(make_pipeline(StandardScaler(), LogisticRegression()), X, y))
    with pytest.raises(ModelError, match="single class"):
        load(fit(classifier(), X, np.zeros(len(X))))
    with pytest.raises(UnsupportedOp, match="poisson"):
        load(fit(regressor(loss="poisson"), X, abs(y)))
    with pytest.raises(ModelError, match=r"the steps give|fitted"):
        load(Pipeline([("s", fit(PCA(2), X, y)), ("m", fit(classifier(), X, y))]))


# ---- files
@pytest.fixture(scope="module")
def skops_file(data, tmp_path_factory):
    skops = pytest.importorskip("skops.io")
    path = tmp_path_factory.mktemp("skops") / "model.skops"
    skops.dump(fit(make_pipeline(StandardScaler(), classifier(solver="sgd")), *data), path)
    return path


def test_a_skops_file(skops_file, data):
    net = load(skops_file)
    assert net.fidelity.max_relative_error < TIGHT


def test_packages_that_are_missing_or_too_old(skops_file, monkeypatch):
    import skops

    with monkeypatch.context() as m:
        m.setattr(skops, "__version__", "0.11.0")
        with pytest.raises(ModelError, match=r"pip install 'skops>=0\.13'"):
            load(skops_file)
    for package in ("skops.io", "sklearn"):
        with monkeypatch.context() as m:
            m.setitem(sys.modules, package, None)
            with pytest.raises(MissingExtra, match=r"pellucid\[sklearn\]"):
                load(skops_file)


def test_broken_skops_files(skops_file, tmp_path):
    content, broken = skops_file.read_bytes(), tmp_path / "broken.skops"
    for change in (content[:len(content) // 2], b"", b"no zip at all", content[:200] + b"\0" * 50 + content[250:]):
        broken.write_bytes(change)
        with pytest.raises(ModelError):
            load(broken)
    with pytest.raises(ModelError, match="no file"):
        load(tmp_path / "absent.skops")
    with zipfile.ZipFile(broken, "w") as archive:
        archive.writestr("../outside", "x")
    with pytest.raises(ModelError, match="outside"):
        load(broken)
    with zipfile.ZipFile(broken, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b"\0" * (80 * 2**20))
    with pytest.raises(ModelError, match="unpacks to"):
        load(broken)


@settings(max_examples=40)
@given(where=st.integers(0, 10**6), byte=st.integers(1, 255))
def test_a_flipped_byte_gives_a_network_or_a_model_error(skops_file, tmp_path, where, byte):
    content, changed = bytearray(skops_file.read_bytes()), tmp_path / "changed.skops"
    content[where % len(content)] ^= byte
    changed.write_bytes(content)
    with contextlib.suppress(ModelError):
        load(changed)


def test_a_skops_file_that_could_run_code(data, tmp_path):
    import skops.io

    path = tmp_path / "hostile.skops"
    skops.io.dump(make_pipeline(FunctionTransformer(classifier), fit(classifier(), *data)), path)
    with pytest.raises(ModelError, match=r"not trusted.*classifier"):
        load(path)


@pytest.mark.parametrize("name", ["model.pkl", "model.joblib", "model.pickle"])
def test_pickles_are_refused(name, tmp_path):
    (tmp_path / name).write_bytes(b"cos\nsystem\n")
    with pytest.raises(ModelError, match=r"runs code.*\n.*skops"):
        load(tmp_path / name)
