"""Flat networks: what they start from, that tuning does no harm, and that they leave as torch and ONNX."""

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils.estimator_checks import check_estimator

import pellucid as pel
from pellucid.unwrap.flatten import Shallow, Tuning, as_torch, fine_tuned, merged_units, output_layer

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def wave():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (500, 2)) * [1.0, 100.0]
    y = 10 * np.abs(X[:, 0]) + 0.5 * rng.normal(size=500)
    scaled = MLPRegressor(hidden_layer_sizes=(10,), max_iter=400, random_state=0, learning_rate_init=0.02)
    return X, y, pel.MergedRegressor(scaled, n_clusters=2).fit(X / [1.0, 100.0], y)


def classes(n_classes, n=400):
    rng = np.random.default_rng(n_classes)
    X = rng.normal(size=(n, 2))
    return X, np.array(list("abcd"))[np.digitize(X[:, 0] + 0.3 * rng.normal(size=n), np.linspace(-1, 1, n_classes + 1)[1:-1])]


def test_hidden_units_are_the_merged_models(wave):
    _, _, merged = wave
    hidden, bias = merged_units(merged.coef_, merged.intercept_, False)
    assert np.array_equal(hidden, merged.coef_[:, 0])
    assert np.array_equal(bias, merged.intercept_[:, 0])
    two = merged_units(np.array([[[1.0, 2.0], [4.0, 8.0]]]), np.array([[1.0, 5.0]]), True)
    assert np.array_equal(two[0], [[3.0, 6.0]])
    assert np.array_equal(two[1], [4.0])


def test_tuning_is_never_worse_on_the_rows_that_judge(wave):
    X, y, merged = wave
    X = X / [1.0, 100.0]
    flat = pel.FlatRegressor(merged, max_epochs=60).fit(X, y)
    assert min(flat.loss_curve_) <= flat.loss_curve_[0]
    assert flat.n_hidden_ == merged.n_clusters_
    assert flat.score(X, y) > 0.9
    none = pel.FlatRegressor(merged, max_epochs=0).fit(X, y)
    assert len(none.loss_curve_) == 1


def test_putting_a_layer_into_torch_and_back_changes_no_value(rng):
    from pellucid.unwrap.estimating import Data

    X = rng.normal(size=(50, 3)) * [1, 1e3, 1e-3] + [0, 1e4, 5]
    y = rng.normal(size=(50, 2)) * 100 + 7
    start = Shallow(rng.normal(size=(4, 3)), rng.normal(size=4), rng.normal(size=(2, 4)), rng.normal(size=2))
    data = Data(X, y, np.ones(50), True)
    same, history = fine_tuned(start, data, 0, Tuning(max_epochs=0), np.arange(40), np.arange(40, 50))
    assert np.allclose(same(X), start(X), rtol=1e-9)
    assert len(history) == 1
    dead = Shallow(np.zeros((4, 3)), np.zeros(4), np.zeros((2, 4)), np.zeros(2))
    assert np.allclose(fine_tuned(dead, data, 0, Tuning(max_epochs=0), np.arange(40), np.arange(40, 50))[0](X), 0, atol=1e-9)


def test_the_output_layer_is_least_squares(rng):
    X, hidden, bias = rng.normal(size=(300, 2)), rng.normal(size=(3, 2)), rng.normal(size=3)
    y = rng.normal(size=(300, 1))
    layer = output_layer(hidden, bias, X, y, np.ones(300), 0)
    act = np.column_stack([np.ones(300), layer.activations(X)])
    beta = np.linalg.lstsq(act, y, rcond=None)[0]
    assert np.allclose(layer(X), act @ beta, atol=1e-4)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_classifiers_leave_as_torch_and_onnx(n_classes, dtype, tmp_path):
    X, y = classes(n_classes)
    flat = pel.FlatClassifier(init="random", n_hidden=5, max_epochs=20).fit(X, y)
    p = flat.predict_proba(X)
    assert p.shape == (400, n_classes)
    assert np.allclose(p.sum(axis=1), 1)
    module = flat.to_torch(dtype=dtype)
    said = module(torch.tensor(X, dtype=getattr(torch, dtype))).detach().numpy()
    close = 1e-5 if dtype == "float32" else 1e-12
    assert np.allclose(said, p if n_classes > 2 else p[:, 1:], atol=close)
    import onnxruntime

    flat.to_onnx(tmp_path / "flat.onnx", dtype=dtype)
    run = onnxruntime.InferenceSession(tmp_path / "flat.onnx").run(None, {"x": X.astype(dtype)})[0]
    assert np.allclose(run, said, atol=close)
    for source, more in ((module, {"input_shape": (2,)}), (tmp_path / "flat.onnx", {})):
        net = pel.load(source, **more)
        assert np.allclose(net.predict(X), said, atol=1e-4)
    assert np.allclose(flat.network_.predict(X), p if n_classes > 2 else p[:, 1:])


def test_a_flat_network_is_a_network_to_explain(wave):
    X, y, merged = wave
    flat = pel.FlatRegressor(merged, max_epochs=5).fit(X / [1.0, 100.0], y)
    again = pel.UnwrapperRegressor(flat.network_).fit(X / [1.0, 100.0], y)
    assert again.n_regions_ <= 2 ** flat.n_hidden_
    assert np.allclose(again.predict(X / [1.0, 100.0]), flat.predict(X / [1.0, 100.0]))


def test_units_do_not_matter_to_a_random_start():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2))
    y = np.abs(X[:, 0])
    a, b = (pel.FlatRegressor(init="random", n_hidden=6, max_epochs=20).fit(X * u, y * v).predict(X * u) / v
            for u, v in (([1.0, 1.0], 1.0), ([1e4, 1e-3], 1e3)))
    assert np.allclose(a, b, atol=1e-6)


def test_what_flat_takes():
    X, y = classes(2, 200)
    net = MLPClassifier((5,), max_iter=60, random_state=0).fit(X, y)
    from_net = pel.FlatClassifier(net, n_clusters=2, max_epochs=5).fit(X, y)
    assert list(from_net.classes_) == ["a", "b"]
    assert from_net.n_hidden_ == from_net.merged_.n_clusters_
    same_size = pel.FlatClassifier(from_net.merged_, init="random", max_epochs=5).fit(X, y)
    assert same_size.n_hidden_ == from_net.n_hidden_
    for wrong, word in ((pel.FlatClassifier(), "n_hidden"), (pel.FlatClassifier(net, init="zeros"), "init"),
                        (pel.FlatClassifier(net, validation=1.0), "validation")):
        with pytest.raises(ValueError, match=word):
            wrong.fit(X, y)
    seen = []
    pel.FlatClassifier(init="random", n_hidden=2, max_epochs=3, progress=lambda e, loss: seen.append(e)).fit(X, y)
    assert seen == [1, 2, 3]


def test_the_same_seed_gives_the_same_network_and_leaves_torchs_seed_alone():
    X, y = classes(2, 150)
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    a = pel.FlatClassifier(init="random", n_hidden=4, max_epochs=5).fit(X, y)
    assert torch.equal(torch.rand(1), expected)
    b = pel.FlatClassifier(init="random", n_hidden=4, max_epochs=5).fit(X, y)
    assert np.array_equal(a.layer_.hidden, b.layer_.hidden)


def test_modules_end_in_their_link():
    layer = Shallow(np.ones((1, 2)), np.zeros(1), np.ones((1, 1)), np.zeros(1))
    assert [type(m).__name__ for m in as_torch(layer, "identity", "float32")] == ["Linear", "ReLU", "Linear"]
    assert type(as_torch(layer, "sigmoid", "float32")[-1]).__name__ == "Sigmoid"


@pytest.mark.parametrize("estimator", [pel.FlatClassifier(init="random", n_hidden=4, max_epochs=5),
                                       pel.FlatRegressor(init="random", n_hidden=4, max_epochs=40)], ids=["c", "r"])
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_own_checks(estimator):
    told = check_estimator(estimator, on_fail=None, on_skip=None)
    failed = {t["check_name"] for t in told if t["status"] == "failed"}
    assert failed <= {"check_sample_weight_equivalence_on_dense_data"}         # mini-batches: weights are no repeated rows
