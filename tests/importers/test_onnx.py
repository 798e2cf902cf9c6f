"""Whole ONNX models: exported by torch and skl2onnx, real files, links, batch axes, decomposed activations."""

from __future__ import annotations

import gzip
import io
import warnings

import numpy as np
import onnx
import pytest
from onnx_models import model, runtime

from pellucid.errors import FidelityError, ModelError, UnsupportedOp
from pellucid.importers.load import load
from pellucid.ops.gelu import GELU, GELUTanh
from pellucid.ops.leaky_relu import LeakyReLU
from pellucid.ops.silu import SiLU
from pellucid.ops.softplus import Softplus

i64 = np.int64
rng = np.random.default_rng(5)
W4, v4 = rng.normal(size=(4, 4)), rng.normal(size=4)


def kinds(net):
    return [type(n.op) for n in net.graph.nodes]


# ---- links
LINKS = {
    "softmax": ([("Softmax", "x", "y", {})], (4,), 17, "softmax"),
    "softmax-old": ([("Softmax", "x", "y", {})], (4,), 11, "softmax"),
    "softmax-old-flattens": ([("Softmax", "x", "y", {})], (2, 2), 11, "softmax"),
    "softmax-axis": ([("Softmax", "x", "y", {"axis": 1})], (4, 1, 1), 17, "softmax"),
    "log-softmax": ([("LogSoftmax", "x", "y", {"axis": 1})], (4,), 17, "log_softmax"),
    "log-of-softmax": ([("Softmax", "x", "s", {}), ("Log", "s", "y", {})], (4,), 17, "log_softmax"),
    "sigmoid": ([("Sigmoid", "x", "y", {})], (4,), 17, "sigmoid"),
    "sigmoid-squeezed": ([("Sigmoid", "x", "s", {}), ("Squeeze", "s one", "y", {})], (1,), 17, "sigmoid"),
    "behind": ([("Relu", "x", "h", {}), ("Softmax", "h", "s", {}), ("Identity", "s", "i", {}), ("Cast", "i", "c", {"to": 1}),
                ("Reshape", "c t", "y", {})], (4,), 17, "softmax"),
    "complement": ([("Sigmoid", "x", "p", {}), ("Sub", "u p", "q", {}), ("Concat", "q p", "y", {"axis": 1})], (1,), 17, "sigmoid"),
}


@pytest.mark.parametrize("name", LINKS)
def test_what_a_model_ends_in_becomes_the_link(name):
    nodes, sample, opset, link = LINKS[name]
    constants = {"t": np.array([-1, 2, 2], i64), "one": np.array([1], i64), "u": np.array(1.0)}
    m = model(nodes, (None, *sample), opset=opset, constants=constants)
    net = load(m)
    assert net.link == link
    assert net.task == "classification"
    assert all(k.__name__ != "Sigmoid" for k in kinds(net))
    x = rng.normal(size=(6, *sample)).astype(np.float32)
    expected = runtime(m, x).reshape(6, -1)
    np.testing.assert_allclose(net.predict(x), expected[:, -net.n_outputs:], rtol=1e-5, atol=1e-6)


def test_a_link_can_be_told():
    m = model([("Gemm", "x W", "y", {})], constants={"W": W4})
    net = load(m, link="softmax", class_names=["a", "b", "c", "d"])
    assert net.link == "softmax"
    assert net.predict(np.ones((2, 4))).sum(axis=1) == pytest.approx([1.0, 1.0])
    assert load(model([("Softmax", "x", "y", {})]), link="identity").link == "identity"
    with pytest.raises(ValueError, match="it can be one of identity, softmax"):
        load(m, link="logit")


def test_a_softmax_over_rows_of_a_sample_is_no_link():
    with pytest.raises(UnsupportedOp, match="Softmax"):
        load(model([("Softmax", "x", "y", {})], (None, 2, 2)))


def test_a_sigmoid_inside_is_an_op():
    net = load(model([("Sigmoid", "x", "s", {}), ("Gemm", "s W", "y", {})], constants={"W": W4}))
    assert [k.__name__ for k in kinds(net)] == ["Sigmoid", "Linear"]
    assert net.link == "identity"


# ---- inputs, outputs and the batch axis
def test_constant_subgraphs_of_exporters_are_folded():
    m = model([("Shape", "x", "s", {}), ("Gather", "s zero", "n", {}), ("Unsqueeze", "n axes", "n1", {}),
               ("Concat", "n1 minus", "t", {"axis": 0}),
               ("Reshape", "x t", "f", {}), ("ConstantOfShape", "s", "c", {}), ("Expand", "one s", "e", {}), ("Add", "c e", "ce", {}),
               ("Reshape", "ce t", "g", {}), ("Add", "f g", "y", {})], (None, 2, 3),
              constants={"zero": np.array(0, i64), "axes": np.array([0], i64), "minus": np.array([-1], i64), "one": np.array([0.25])})
    net = load(m)
    x = rng.normal(size=(3, 6))
    np.testing.assert_allclose(net(x), x + 0.25)
    assert len(net.graph.nodes) == 2


def test_a_model_without_a_batch_axis():
    net = load(model([("MatMul", "W x", "h", {}), ("Relu", "h", "y", {})], (4,), constants={"W": W4}))
    assert net.input_shape == (4,)
    x = rng.normal(size=(3, 4))
    np.testing.assert_allclose(net(x), np.maximum(x @ W4.astype(np.float32).T, 0), rtol=1e-12)
    net = load(model([("MatMul", "W x", "h", {}), ("ReduceSum", "h", "y", {"keepdims": 0})], (4, 2), constants={"W": W4}))
    assert net.input_shape == (4, 2)
    assert net.n_outputs == 1


def test_a_batch_of_one_that_was_baked_in():
    nodes = [("Reshape", "x t", "f", {}), ("MatMul", "W f", "h", {}), ("Add", "h c", "y", {})]
    constants = {"W": W4, "t": np.array([4, 1], i64), "c": v4[:, None]}
    for batch in (1, None):
        net = load(model(nodes, (batch, 2, 2), constants=constants))
        assert net.input_shape == (2, 2)
        x = rng.normal(size=(3, 2, 2))
        np.testing.assert_allclose(net(x), x.reshape(3, 4) @ W4.astype(np.float32).T + v4.astype(np.float32), rtol=1e-12)


def test_convolutions_with_a_baked_in_batch():
    """The last reshape drops the batch axis, so that the whole model is read without one."""
    m = model([("Conv", "x K", "h", {}), ("Relu", "h", "r", {}), ("Reshape", "r t", "f", {}), ("MatMul", "f W", "y", {})], (1, 1, 3, 3),
              constants={"K": rng.normal(size=(1, 1, 2, 2)), "t": np.array([-1], i64), "W": W4})
    net = load(m)
    assert net.input_shape == (1, 3, 3)
    x = rng.normal(size=(1, 1, 3, 3))
    np.testing.assert_allclose(net(x)[0], runtime(m, x), rtol=1e-5)


def test_rows_that_depend_on_each_other_are_refused():
    for sample in ((4,), (2, 4)):
        with pytest.raises(UnsupportedOp, match="along the batch axis"):
            load(model([("ReduceMean", "x", "m", {"axes": [0]}), ("Sub", "x m", "y", {})], (None, *sample), opset=13))


def test_shapes_that_a_file_leaves_open_are_asked_for():
    m = model([("Conv", "x K", "h", {}), ("Relu", "h", "y", {})], (None, 1, None, None), constants={"K": rng.normal(size=(2, 1, 2, 2))})
    with pytest.raises(ModelError, match=r"\(\?, 1, \?, \?\).*not known"):
        load(m)
    assert load(m, input_shape=(1, 4, 3)).input_shape == (1, 4, 3)
    with pytest.raises(ModelError, match="does not fit"):
        load(m, input_shape=(2, 4, 3))


def test_several_inputs_and_outputs():
    m = model([("Relu", "x", "y", {}), ("Abs", "x", "z", {})], output="y z")
    with pytest.raises(ModelError, match=r"2 outputs \(y, z\)"):
        load(m)
    m = model([("Add", "x w", "y", {})])
    m.graph.input.append(onnx.helper.make_tensor_value_info("w", 1, [None, 4]))
    with pytest.raises(ModelError, match=r"2 inputs \(x, w\)"):
        load(m)


def test_old_opsets_are_told_how_to_get_new():
    with pytest.raises(ModelError, match="version_converter"):
        load(model([("Relu", "x", "y", {})], opset=6))


# ---- decomposed activations
def gelu_nodes(order):
    """x / sqrt 2 -> Erf -> + 1, then the three factors in some order."""
    head = [("Div", "x root", "a", {}), ("Erf", "a", "e", {}), ("Add", "e one", "g", {})]
    tails = {"x-g-half": [("Mul", "x g", "p", {}), ("Mul", "p half", "y", {})],
             "half-x-g": [("Mul", "half x", "p", {}), ("Mul", "p g", "y", {})],
             "x-halfg": [("Mul", "g half", "p", {}), ("Mul", "x p", "y", {})],
             "x-g-div": [("Mul", "g x", "p", {}), ("Div", "p two", "y", {})]}
    return head + tails[order]


CONSTANTS = {"root": np.array(np.sqrt(2)), "one": np.array(1.0), "half": np.array(0.5), "two": np.array(2.0), "three": np.array(3.0),
             "k": np.array(0.044715), "c": np.array(np.sqrt(2 / np.pi)), "s": np.array(1.702), "W": W4}


@pytest.mark.parametrize("order", ["x-g-half", "half-x-g", "x-halfg", "x-g-div"])
def test_gelu_taken_apart(order):
    net = load(model(gelu_nodes(order), constants=CONSTANTS))
    assert kinds(net) == [GELU]


@pytest.mark.parametrize("cube", [[("Pow", "x three", "q", {})], [("Mul", "x x", "xx", {}), ("Mul", "xx x", "q", {})]])
def test_gelu_of_tanh_taken_apart(cube):
    net = load(model([*cube, ("Mul", "q k", "kq", {}), ("Add", "x kq", "t", {}), ("Mul", "t c", "u", {}), ("Tanh", "u", "th", {}),
                      ("Add", "th one", "g", {}), ("Mul", "half g", "hg", {}), ("Mul", "x hg", "y", {})], constants=CONSTANTS))
    assert kinds(net) == [GELUTanh]


def test_gelu_of_a_multiple():
    """The factor of the layer before cannot be told from the factors of the pattern: it is carried along."""
    nodes = [("Mul", "x two", "x2", {})] + [(o, i.replace("x ", "x2 ").replace(" x", " x2"), *r) for o, i, *r in gelu_nodes("x-g-half")]
    m = model(nodes, constants=CONSTANTS)
    net = load(m)
    assert GELU in kinds(net)
    x = rng.normal(size=(9, 4))
    np.testing.assert_allclose(net(x), runtime(m, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("wrong", ["root", "one", "half"])
def test_almost_a_gelu_is_none(wrong):
    m = model(gelu_nodes("x-g-half"), constants={**CONSTANTS, wrong: np.array(0.9)})
    if wrong == "one":
        with pytest.raises(UnsupportedOp, match="Erf"):
            load(m)
    else:                                                       # GELU between two factors: still the same function
        net = load(m)
        x = rng.normal(size=(9, 4))
        np.testing.assert_allclose(net(x), runtime(m, x), rtol=1e-5, atol=1e-6)


def test_silu_taken_apart():
    assert kinds(load(model([("Sigmoid", "x", "s0", {}), ("Mul", "x s0", "y", {})], constants=CONSTANTS))) == [SiLU]
    m = model([("Mul", "x s", "sx", {}), ("Sigmoid", "sx", "g", {}), ("Mul", "g x", "y", {})], constants=CONSTANTS)
    net = load(m)
    x = rng.normal(size=(9, 4))
    np.testing.assert_allclose(net(x), runtime(m, x), rtol=1e-5, atol=1e-6)
    with pytest.raises(UnsupportedOp, match="two tensors"):     # the gate of another tensor
        load(model([("Gemm", "x W", "h", {}), ("Sigmoid", "h", "g", {}), ("Mul", "x g", "y", {})], constants=CONSTANTS))


def test_softplus_taken_apart():
    m = model([("Exp", "x", "e", {}), ("Add", "one e", "p", {}), ("Log", "p", "y", {})], constants=CONSTANTS)
    assert kinds(load(m)) == [Softplus]


def test_leaky_relu_taken_apart():
    m = model([("Mul", "x half", "h", {}), ("Max", "x h", "y", {})], constants=CONSTANTS)
    assert kinds(load(m)) == [LeakyReLU]


# ---- Keras
def test_channels_last_as_keras_converters_write():
    """NHWC in, a Transpose before and behind the convolution, MatMul and Add for Dense, BatchNormalization between."""
    nodes = [("Transpose", "x", "t", {"perm": [0, 3, 1, 2]}), ("Conv", "t K b", "c", {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
             ("BatchNormalization", "c g b m v", "n", {"epsilon": 1e-3}), ("Relu", "n", "r", {}),
             ("Transpose", "r", "u", {"perm": [0, 2, 3, 1]}), ("Reshape", "u flat", "f", {}), ("MatMul", "f D", "d", {}),
             ("Add", "d b", "z", {}), ("Softmax", "z", "y", {})]
    m = model(nodes, (None, 5, 4, 2), constants={
        "K": rng.normal(size=(3, 2, 3, 3)), "b": rng.normal(size=3), "g": np.ones(3), "m": rng.normal(size=3), "v": np.ones(3),
        "flat": np.array([-1, 18], i64), "D": rng.normal(size=(18, 3))})
    net = load(m)
    assert [k.__name__ for k in kinds(net)] == ["Transpose", "Conv", "ReLU", "Transpose", "Reshape", "Linear"]
    x = rng.normal(size=(4, 5, 4, 2))
    np.testing.assert_allclose(net.predict(x), runtime(m, x), atol=1e-6)
    np.testing.assert_allclose(net.predict(x.reshape(4, -1)), net.predict(x))


# ---- torch
def torch_models():
    torch = pytest.importorskip("torch")
    nn = torch.nn
    torch.manual_seed(0)

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1, groups=2)
            self.pool, self.last = nn.MaxPool2d(2), nn.Linear(36, 3)
            self.norm.running_mean.normal_()
            self.norm.running_var.uniform_(0.5, 2)

        def forward(self, x):
            h = torch.relu(self.norm(self.first(x)))
            h = self.pool(h + torch.relu(self.second(h)))
            return torch.log_softmax(self.last(h.view(h.size(0), -1)), 1)

    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 2)

        def forward(self, x):
            first, last = torch.split(x, [3, 1], 1)
            h = torch.cat([torch.relu(self.a(x)), torch.tanh(self.b(x)), first, last.expand(-1, 2), x[:, ::2], 2 * x[:, 1:2] - 1], 1)
            return torch.maximum(h, 0.1 * h).mean(1, keepdim=True)

    smooth = nn.Sequential(*(layer for a in (nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Softplus(), nn.ELU(), nn.SELU(), nn.Sigmoid())
                             for layer in (nn.Linear(4, 4), a)), nn.Linear(4, 2))
    linear = nn.Sequential(*(layer for a in (nn.ReLU(), nn.LeakyReLU(0.1), nn.PReLU(4), nn.ReLU6(), nn.Hardtanh(), nn.Hardsigmoid())
                             for layer in (nn.Linear(4, 4), a)), nn.Linear(4, 3), nn.Softmax(-1))
    pools = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(2, 4, 3), nn.ReLU(), nn.ZeroPad2d((1, 0, 2, 1)), nn.AvgPool2d(2, ceil_mode=True),
                          nn.AdaptiveAvgPool2d(1), nn.Flatten())
    line = nn.Sequential(nn.Conv1d(2, 3, 3, padding=1, stride=2), nn.BatchNorm1d(3), nn.ReLU(), nn.AvgPool1d(2), nn.Flatten(),
                         nn.Linear(6, 2))
    return torch, {"residual": (Residual(), (2, 6, 6), "log_softmax"), "mixed": (Mixed(), (4,), "identity"),
                   "smooth": (smooth, (4,), "identity"), "linear": (linear, (4,), "softmax"), "pools": (pools, (2, 5, 5), "identity"),
                   "line": (line, (2, 8), "identity")}


@pytest.mark.parametrize(("name", "dynamo"), [
    ("residual", False), ("mixed", False), ("smooth", False), ("linear", False), ("pools", False), ("line", False),
    ("residual", True), ("mixed", True), ("smooth", True)])
@pytest.mark.filterwarnings("ignore")
def test_models_that_torch_exports(name, dynamo):
    torch, models = torch_models()
    module, sample, link = models[name]
    module.eval()
    x = torch.randn(2, *sample)
    if dynamo:
        shapes = ({0: torch.export.Dim.AUTO},)
        proto = torch.onnx.export(module, (x,), dynamo=True, verbose=False, dynamic_shapes=shapes).model_proto
    else:
        file = io.BytesIO()
        torch.onnx.export(module, (x,), file, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "n"}})
        proto = onnx.load_from_string(file.getvalue())
    net = load(proto, check_with=x.numpy())
    assert net.link == link
    assert net.input_shape == sample
    assert net.fidelity.runtime == "onnxruntime"
    expected = module.double()(x.double()).detach().numpy().reshape(2, -1)
    np.testing.assert_allclose(net.predict(x.numpy()), expected, rtol=1e-6, atol=1e-6)


# ---- scikit-learn
@pytest.mark.filterwarnings("ignore")
def test_classifiers_that_skl2onnx_writes():
    pytest.importorskip("skl2onnx")
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    two, three = X[:, 0] > 0, np.array(list("abc"))[(X[:, 0] > 0).astype(int) + (X[:, 1] > 0)]
    for estimator, y, link in ((MLPClassifier((5,), max_iter=5), two.astype(int), "sigmoid"),
                               (MLPClassifier((5,), max_iter=5), three, "softmax"),
                               (make_pipeline(StandardScaler(), MLPClassifier((5, 3), max_iter=5)), three, "softmax"),
                               (LogisticRegression(), two.astype(int), "sigmoid"), (LogisticRegression(), three, "softmax")):
        estimator.fit(X, y)
        net = load(to_onnx(estimator, X[:1]), check_with=X)
        assert net.link == link
        assert net.class_names == tuple(str(c) for c in estimator.classes_)
        p = estimator.predict_proba(X)
        np.testing.assert_allclose(net.predict(X), p[:, -net.n_outputs:], rtol=1e-4, atol=1e-6)
        assert (np.array(net.class_names)[net.decide(X)] == estimator.predict(X).astype(str)).mean() > 0.98


@pytest.mark.filterwarnings("ignore")
def test_regressors_that_skl2onnx_writes():
    pytest.importorskip("skl2onnx")
    from skl2onnx import to_onnx
    from sklearn.linear_model import LinearRegression
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler

    X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    for estimator in (make_pipeline(MinMaxScaler(), MLPRegressor(hidden_layer_sizes=(5,), max_iter=5)), LinearRegression()):
        estimator.fit(X, X[:, 0] - X[:, 1])
        np.testing.assert_allclose(load(to_onnx(estimator, X[:1]))(X)[:, 0], estimator.predict(X), rtol=1e-4, atol=1e-5)


# ---- real files
@pytest.mark.parametrize("name", ["1_1", "1_9", "2_1", "3_3", "5_3"])
def test_acas_xu(name, shared):
    path = shared / "data" / "acasxu" / f"ACASXU_run2a_{name}_batch_2000.onnx"
    if not path.is_file():
        pytest.skip("no ACAS Xu")
    net = load(path)
    assert net.input_shape == (1, 1, 5)
    assert [k.__name__ for k in kinds(net)] == ["Reshape"] + ["Linear", "ReLU"] * 6 + ["Linear"]
    assert [n.shape for n in net.graph.nodes if type(n.op).__name__ == "ReLU"] == [(50,)] * 6
    x = rng.uniform(-0.5, 0.5, size=(20, 5))
    m = onnx.load_model(path)
    expected = np.concatenate([runtime(m, row.reshape(1, 1, 1, 5)) for row in x])
    np.testing.assert_allclose(net(x), expected, atol=1e-5)


def test_mnist_has_its_published_accuracy(shared):
    folder = shared / "data"
    if not (folder / "mnistfc").is_dir():
        pytest.skip("no MNIST")
    net = load(folder / "mnistfc" / "mnist-net_256x2.onnx")
    images = np.frombuffer(gzip.decompress((folder / "mnist-t10k-images-idx3-ubyte.gz").read_bytes())[16:], np.uint8).reshape(-1, 784) / 255
    labels = np.frombuffer(gzip.decompress((folder / "mnist-t10k-labels-idx1-ubyte.gz").read_bytes())[8:], np.uint8)
    assert (net(images).argmax(axis=1) == labels).mean() == pytest.approx(0.9808)
    assert net.input_shape == (784, 1)


def test_pensieve(shared):
    path = shared / "data" / "pensieve" / "pensieve_small_simple.onnx"
    if not path.is_file():
        pytest.skip("no Pensieve")
    net = load(path)
    x = rng.random((4, 6, 8))
    m = onnx.load_model(path)
    expected = np.concatenate([runtime(m, row[None]) for row in x])
    np.testing.assert_allclose(net(x), expected, rtol=1e-5)
    assert net.is_piecewise_linear
    assert net.fidelity.max_relative_error < 1e-5


# ---- fidelity
def test_fidelity_says_where_a_network_differs():
    from dataclasses import replace

    from pellucid.importers.fidelity import check_fidelity

    net = load(model([("Gemm", "x W", "y", {})], constants={"W": W4}))
    with pytest.raises(FidelityError, match=r"row \d+, output 2: .* by the moon"):
        check_fidelity(net, lambda x: net(x) + np.array([0, 0, 1e-2, 0]), runtime="the moon")
    with pytest.raises(FidelityError, match="nan"):
        check_fidelity(net, lambda x: np.full((len(x), 4), np.nan))
    with pytest.raises(FidelityError, match=r"4 outputs.*3"):
        check_fidelity(net, lambda x: net(x)[:, :3])
    with pytest.raises(FidelityError, match="nothing but infinities"):
        check_fidelity(net, lambda x: np.full((len(x), 4), np.inf))
    found = check_fidelity(net, lambda x: net(x) * (1 + 1e-6), check_with=np.ones((3, 4)))
    assert 0.5e-6 < found.max_relative_error < 2e-6
    assert found.n_points == 83
    assert check_fidelity(net, net.predict).max_relative_error == 0
    assert str(replace(found, runtime="x")).startswith("within 1.0e-06 of x")


def test_where_onnxruntime_cannot_the_reference_runs(monkeypatch):
    from pellucid.importers import onnx_run

    def refuse(model):
        raise RuntimeError("not today")

    monkeypatch.setattr(onnx_run, "_onnxruntime", refuse)
    assert load(model([("Gemm", "x W", "y", {})], constants={"W": W4})).fidelity.runtime == "onnx.reference"


def test_half_precision_is_compared_in_single():
    m = model([("Gemm", "x W", "h", {}), ("Relu", "h", "r", {}), ("Cast", "r", "c", {"to": 1}), ("Cast", "c", "d", {"to": 10}),
               ("Add", "d b", "y", {})], constants={"W": W4, "b": v4}, dtype=np.float16)
    net = load(m)
    assert net.fidelity.max_relative_error < 1e-6
    x = rng.normal(size=(3, 4))
    np.testing.assert_allclose(net(x), np.maximum(x @ W4.astype(np.float16).astype(float), 0) + v4.astype(np.float16), rtol=1e-12)


def test_importing_load_is_light():
    import subprocess
    import sys

    code = ("import sys, pellucid.importers.load; "
            "print([m for m in ('onnx', 'onnxruntime', 'torch', 'keras', 'sklearn', 'pandas') if m in sys.modules])")
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_an_onnx_file_is_saved_and_read_back(tmp_path):
    (tmp_path / "m.onnx").write_bytes(model([("Gemm", "x W", "h", {}), ("Relu", "h", "r", {}), ("Softmax", "r", "y", {})],
                                            constants={"W": W4}).SerializeToString())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = load(str(tmp_path / "m.onnx"), feature_names=list("abcd"))
    again = load(net.save(tmp_path / "m.npz"))
    assert again.digest == net.digest
    assert again.feature_names == net.feature_names
    assert (again.link, again.task) == (net.link, net.task)
    assert f"{tmp_path}/m.onnx, opset 17" in again.source
