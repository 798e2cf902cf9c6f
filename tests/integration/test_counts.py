"""Reference counts, and the same count whatever framework the network comes from."""

import numpy as np
import pytest
from networks import random_layers

import pellucid as pel
from pellucid.certificate import Status

COUNTS = {"A1_2x32x32": 781, "A2_2x64x64x64": 4841, "A3_2x128^4": 25840}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_that_independent_programs_agree_on(name, bench_case):
    layers, lower, upper = bench_case(name)
    net = pel.load(([W for W, _ in layers], [b for _, b in layers]), orientation="out_in")
    atlas = pel.linear_regions(net, pel.Box(lower, upper))
    assert len(atlas) == COUNTS[name]
    assert atlas.check(points=20_000).status is Status.PROVED


def test_the_piecewise_network_over_a_slice(shared):
    z = np.load(shared / "bench" / "piecewise_5x32x32x1.npz")
    net = pel.load(([z[f"W{i}"] for i in range(3)], [z[f"b{i}"] for i in range(3)]), orientation="out_in")
    atlas = pel.linear_regions(net, pel.Box([0] * 5, [1] * 5).slice(free=(0, 1), at=[0.5] * 5))
    assert len(atlas) == 483
    x = atlas.domain.point(np.random.default_rng(0).random((100_000, 2)))
    assert np.allclose(atlas(x), net(x), rtol=1e-9, atol=1e-9 * np.abs(net(x)).max())


def test_the_toy_network_of_unwrap_equation_7_has_22_regions():
    W0 = np.array([[-1, 1], [1, 1]]) / np.sqrt(2)
    W1 = np.array([[1, 1 / 4], [1 / 2, 1 / 3], [1 / 3, 1 / 2], [1 / 4, 1]])
    net = pel.load(([W0, W1, np.ones((1, 4))], [np.zeros(2), np.full(4, -0.3), np.zeros(1)]), orientation="out_in")
    assert len(pel.linear_regions(net, pel.Box([-1, -1], [1, 1]))) == 22


# ---- one network, five spellings


def as_raw(layers):
    return [W for W, _ in layers], [b for _, b in layers]


def as_torch(layers):
    torch = pytest.importorskip("torch")
    modules = []
    for W, b in layers:
        linear = torch.nn.Linear(W.shape[1], W.shape[0]).double()
        linear.weight.data, linear.bias.data = torch.tensor(W), torch.tensor(b)
        modules += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*modules[:-1])


def as_onnx(layers):
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants, value = [], [], "x"
    for i, (W, b) in enumerate(layers):
        constants += [numpy_helper.from_array(W, f"W{i}"), numpy_helper.from_array(b, f"b{i}")]
        nodes.append(helper.make_node("Gemm", [value, f"W{i}", f"b{i}"], [f"z{i}"], transB=1))
        value = f"z{i}"
        if i + 1 < len(layers):
            nodes.append(helper.make_node("Relu", [value], [f"s{i}"]))
            value = f"s{i}"
    ends = [helper.make_tensor_value_info(n, TensorProto.DOUBLE, ["batch", w])
            for n, w in (("x", layers[0][0].shape[1]), (value, len(layers[-1][1])))]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def as_keras(layers):
    import os

    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((layers[0][0].shape[1],), dtype="float64")])
    for i, (W, b) in enumerate(layers):
        dense = keras.layers.Dense(len(b), activation="relu" if i + 1 < len(layers) else None, dtype="float64")
        model.add(dense)
        dense.set_weights([W.T, b])
    return model


def as_sklearn(layers):
    sklearn = pytest.importorskip("sklearn.neural_network")
    widths = tuple(len(b) for _, b in layers[:-1])
    model = sklearn.MLPRegressor(hidden_layer_sizes=widths, max_iter=1)
    d, c = layers[0][0].shape[1], len(layers[-1][1])
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(np.random.default_rng(0).normal(size=(20, d)), np.zeros((20, c)).squeeze())
    model.coefs_, model.intercepts_ = [W.T.copy() for W, _ in layers], [b.copy() for _, b in layers]
    return model


SPELLINGS = {"raw": as_raw, "torch": as_torch, "onnx": as_onnx, "keras": as_keras, "sklearn": as_sklearn}


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
def test_every_framework_gives_the_same_atlas(spell):
    layers = random_layers(np.random.default_rng(5), [2, 20, 20, 1])
    box = pel.Box([-1, -1], [1, 1])
    expected = pel.linear_regions(pel.load(as_raw(layers), orientation="out_in"), box)
    extra = {"orientation": "out_in"} if spell is as_raw else {}
    net = pel.load(spell(layers), **extra)
    atlas = pel.linear_regions(net, box)
    assert np.array_equal(atlas.codes, expected.codes)
    assert np.allclose(atlas.coef, expected.coef, rtol=1e-12, atol=1e-12)
    assert net.fidelity is None or net.fidelity.max_relative_error < 1e-6


@pytest.mark.parametrize("spell", [as_torch, as_onnx, as_sklearn], ids=["torch", "onnx", "sklearn"])
def test_reference_counts_by_framework(spell, bench_case):
    layers, lower, upper = bench_case("A2_2x64x64x64")
    assert len(pel.linear_regions(pel.load(spell(layers)), pel.Box(lower, upper))) == 4841
