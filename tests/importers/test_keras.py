"""Keras models: values equal Keras's, files that hold code or reach out are refused before Keras opens them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import zipfile

import numpy as np
import pytest

os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND", "torch")
pytest.importorskip("keras")

import keras
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers as L

from pellucid.errors import MissingExtra, ModelError, UnsupportedOp
from pellucid.graph.registry import spellings
from pellucid.importers.keras import _left_to_us
from pellucid.importers.keras_file import LINKS, MODELS
from pellucid.importers.load import load

SINGLE = 1e-5
"""Keras computes in float32."""


def with_random_weights(model, seed=0):
    rng = np.random.default_rng(seed)
    model.set_weights([rng.uniform(0.5, 2.0, v.shape) if "variance" in v.name else rng.normal(size=v.shape) / np.sqrt(max(v.shape[0], 1))
                       for v in model.weights])
    return model


def sequential(shape, *layers, seed=0):
    return with_random_weights(keras.Sequential([L.Input(shape), *layers]), seed)


def assert_equal(net):
    """load() has compared with Keras on 80 points."""
    assert net.fidelity.max_relative_error < SINGLE
    assert "Keras" in net.fidelity.runtime
    return net


CASES = {
    "dense": ((4,), L.Dense(5), L.ReLU(), L.Dense(3, use_bias=False)),
    "dense on the last axis": ((3, 4), L.Dense(5, activation="relu")),
    "conv same": ((7, 6, 4), L.Conv2D(4, 3, strides=2, padding="same", activation="relu")),
    "conv grouped": ((7, 6, 4), L.Conv2D(4, (3, 2), dilation_rate=2, groups=2)),
    "conv one axis": ((7, 4), L.Conv1D(3, 3, padding="causal", dilation_rate=2), L.Conv1D(2, 2, padding="same")),
    "conv three axes": ((4, 3, 5, 2), L.Conv3D(2, 2)),
    "depthwise": ((7, 6, 4), L.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="relu")),
    "depthwise one axis": ((7, 4), L.DepthwiseConv1D(2, strides=2)),
    "separable": ((7, 6, 4), L.SeparableConv2D(5, 3, depth_multiplier=2, activation="tanh")),
    "separable one axis": ((7, 4), L.SeparableConv1D(3, 2)),
    "batch norm": ((7, 6, 4), L.BatchNormalization(), L.BatchNormalization(axis=1, scale=False), L.BatchNormalization(center=False)),
    "pools": ((7, 6, 4), L.MaxPooling2D(3, 2, padding="same"), L.AveragePooling2D(2, 1)),
    "uneven mean": ((7, 6, 4), L.AveragePooling2D(3, 2, padding="same")),
    "pools of one axis": ((8, 4), L.MaxPooling1D(2), L.AveragePooling1D(3, 1, padding="same"), L.GlobalMaxPooling1D()),
    "global": ((7, 6, 4), L.GlobalAveragePooling2D(keepdims=True), L.GlobalMaxPooling2D()),
    "shapes": ((7, 6, 4), L.ZeroPadding2D(((1, 2), (0, 3))), L.Cropping2D(1), L.UpSampling2D((1, 2)), L.Permute((3, 1, 2)),
               L.Reshape((-1, 2)), L.Flatten()),
    "shapes of one axis": ((7, 4), L.ZeroPadding1D((1, 2)), L.Cropping1D((1, 0)), L.UpSampling1D(2)),
    "repeated": ((4,), L.RepeatVector(3), L.Dense(2)),
    "rescaled": ((4,), L.Rescaling(1 / 255.0, offset=0.5), L.Rescaling([1.0, 2.0, 3.0, 4.0])),
    "normalised": ((5, 4), L.Normalization(mean=[1.0, 2.0, 3.0, 4.0], variance=[4.0, 9.0, 1.0, 0.25]),
                   L.Normalization(axis=None, mean=2.0, variance=4.0, invert=True)),
    "noise": ((4,), L.Dropout(0.5), L.GaussianNoise(1.0), L.GaussianDropout(0.2), L.AlphaDropout(0.1), L.ActivityRegularization(0.1),
              L.Identity(), L.Dense(2)),
    "rectifiers": ((5, 4), L.LeakyReLU(), L.PReLU(), L.PReLU(shared_axes=[1]), L.ReLU(4.0, negative_slope=0.1), L.ELU(0.5),
                   L.Activation("relu6")),
    "layer as activation": ((4,), L.Dense(3, activation=L.LeakyReLU(0.1)), L.Activation(keras.activations.gelu)),
}


@pytest.mark.parametrize("case", CASES)
def test_layers_equal_keras(case):
    shape, *layers = CASES[case]
    assert_equal(load(sequential(shape, *layers)))


@pytest.mark.parametrize("name", sorted(k.removeprefix("activation.") for k in spellings("keras") if k.startswith("activation.")))
def test_activations_equal_keras(name):
    model = sequential((4,), L.Dense(5, activation=name), L.Dense(2))
    if name in ("hard_silu", "hard_swish"):
        with pytest.raises(UnsupportedOp, match="quadratic"):
            load(model)
    else:
        assert_equal(load(model))


@pytest.mark.parametrize("layer", [L.Conv2D(4, 3, data_format="channels_first", strides=2), L.MaxPooling2D(2, data_format="channels_first"),
                                   L.AveragePooling2D(2, data_format="channels_first"), L.Flatten(data_format="channels_first"),
                                   L.GlobalAveragePooling2D(data_format="channels_first"), L.UpSampling2D(2, data_format="channels_first"),
                                   L.ZeroPadding2D((1, 2), data_format="channels_first")], ids=lambda layer: layer.name)
def test_channels_first(layer):
    assert_equal(load(sequential((3, 6, 8), layer)))


# ---- graphs
def branches():
    """Shared layers, a nested model, operators of tensors, every merge."""
    x = keras.Input((4,))
    shared = L.Dense(3, activation="relu")
    a, b = shared(x), L.Dense(3)(x)
    nested = keras.Sequential([L.Input((3,)), L.Dense(4, activation="leaky_relu"), L.Dropout(0.5), L.Dense(3)])
    merged = [L.Add()([a, b, nested(a)]), L.Subtract()([a, b]), L.Average()([a, b]), L.Maximum()([a, b]), L.Minimum()([nested(b), b])]
    y = L.Concatenate()([*merged, keras.ops.relu(2.0 * a - b / 4.0 + 1.0)])
    return with_random_weights(keras.Model(x, L.Dense(2, activation="softmax")(y)))


def residual_images():
    x = keras.Input((6, 6, 2))
    h = L.Conv2D(2, 3, padding="same", activation="relu")(x)
    h = L.Add()([x, L.BatchNormalization()(h)])
    y = L.Dense(1, activation="sigmoid")(L.Flatten()(L.Concatenate(axis=-1)([h, x])))
    return with_random_weights(keras.Model(x, y))


@pytest.mark.parametrize("make", [branches, residual_images])
def test_graphs_live_and_from_files(make, tmp_path):
    model = make()
    live = assert_equal(load(model))
    model.save(tmp_path / "model.keras")
    stored = assert_equal(load(tmp_path / "model.keras"))
    assert stored.digest == live.digest
    assert live.link == ("softmax" if make is branches else "sigmoid")
    assert live.task == "classification"


@settings(max_examples=12)
@given(widths=st.lists(st.integers(1, 6), min_size=1, max_size=4), data=st.data())
def test_random_stacks_equal_keras(widths, data):
    layers = []
    for width in widths:
        layers.append(L.Dense(width, activation=data.draw(st.sampled_from(["relu", "linear", "leaky_relu", "tanh", "relu6"]))))
        layers += data.draw(st.sampled_from([[], [L.BatchNormalization()], [L.Dropout(0.2)], [L.PReLU()]]))
    layers += data.draw(st.sampled_from([[], [L.Softmax()], [L.Activation("log_softmax")]]))
    assert_equal(load(sequential((3,), *layers)))


def test_weights_are_converted_exactly():
    model = sequential((3,), L.Dense(2))
    (node,) = load(model).graph.nodes
    kernel, bias = model.get_weights()
    assert (kernel.T.astype(np.float64) == node.op.W).all()
    assert (node.op.b == bias.astype(np.float64)).all()


def test_adapted_statistics(tmp_path):
    rows = np.random.default_rng(0).normal(3.0, 5.0, (50, 4)).astype(np.float32)
    layer = L.Normalization()
    layer.adapt(rows)
    model = keras.Sequential([L.Input((4,)), layer, L.Dense(2)])
    assert_equal(load(model, check_with=rows))
    model.save(tmp_path / "adapted.keras")
    assert_equal(load(tmp_path / "adapted.keras"))


def test_open_axes_are_asked_for():
    model = sequential((None, 4), L.Conv1D(3, 2), L.GlobalAveragePooling1D())
    with pytest.raises(ModelError, match=r"input_shape=\(\.\.\.\)"):
        load(model)
    assert assert_equal(load(model, input_shape=(5, 4))).input_shape == (5, 4)
    with pytest.raises(ModelError, match="does not fit"):
        load(model, input_shape=(5, 3))


# ---- refused
class Own(L.Layer):
    def call(self, x):
        return x


class Subclassed(keras.Model):
    def call(self, x):
        return x


def test_models_that_cannot_be_read():
    a, b = keras.Input((4,)), keras.Input((4,))
    for model, message in [(keras.Sequential([L.Dense(3)]), "not built"), (Subclassed(), r"its own call\(\)"),
                           (keras.Model([a, b], L.Add()([a, b])), "2 inputs"),
                           (keras.Model(a, [L.Dense(1)(a), L.Dense(2)(a)]), "2 outputs")]:
        with pytest.raises(ModelError, match=message):
            load(model)


@pytest.mark.parametrize(("layers", "message"), [
    ([L.LayerNormalization()], "LayerNormalization"), ([L.Lambda(lambda x: x)], "Lambda"), ([Own()], "layer of your own"),
    ([L.ReLU(threshold=1.0)], "jumps"), ([L.Softmax(), L.Dense(2)], "softmax inside"), ([L.RepeatVector(2), L.LSTM(3)], "LSTM"),
    ([L.Dense(2, activation=lambda x: x)], "function of your own"), ([L.Dense(2, activation="exponential")], "exponential"),
    ([L.RepeatVector(2), L.Softmax()], "one of several axes")])
def test_layers_that_are_not_ours(layers, message):
    with pytest.raises(UnsupportedOp, match=message) as e:
        load(keras.Sequential([L.Input((4,)), *layers]))
    assert "To go on" in str(e.value)


def test_products_of_tensors():
    x = keras.Input((4,))
    with pytest.raises(UnsupportedOp, match="both depend on the input"):
        load(keras.Model(x, L.Multiply()([x, L.Dense(4)(x)])))


def test_spellings_are_names_of_keras():
    """A misspelt name would never be found."""
    places = {"activation": keras.activations, "ops": __import__("keras.src.ops.numpy", fromlist=["x"])}
    for kind in spellings("keras"):
        place, _, name = kind.rpartition(".")
        found = hasattr(places.get(place, L), name) or hasattr(__import__("keras.src.ops.nn", fromlist=["x"]), name)
        assert found, kind


# ---- files
@pytest.fixture(scope="module")
def keras_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("keras") / "model.keras"
    sequential((4,), L.Dense(3, activation="relu"), L.Dense(2, activation="softmax")).save(path)
    return path


def changed(source, target, **members):
    """A copy of the archive with some members replaced (dots of their names as __)."""
    members = {k.replace("__", "."): v for k, v in members.items()}
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, members.pop(name, None) or old.read(name))
        for name, content in members.items():
            new.writestr(name, content)
    return target


def with_config(source, target, change):
    """A copy of the archive whose configuration of the first Dense went through `change`."""
    with zipfile.ZipFile(source) as old:
        config = json.loads(old.read("config.json"))
    change(config["config"]["layers"][1])
    return changed(source, target, config__json=json.dumps(config).encode())


HOSTILE = {
    "lambda": lambda c: c.update(class_name="Lambda", config={"function": {"class_name": "__lambda__", "config": {"code": "AAAA"}}}),
    "function of another module": lambda c: c["config"].update(activation={
        "module": "os", "class_name": "function", "config": "system", "registered_name": "system"}),
    "function of keras that reads files": lambda c: c["config"].update(activation={
        "module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "get_file"}),
    "class of another module": lambda c: c.update(module="subprocess", class_name="Popen"),
    "registered class": lambda c: c.update(registered_name="evil>Dense"),
    "pickled torch module": lambda c: c.update(class_name="TorchModuleWrapper", config={"module": {"code": "x"}}),
    "saved model of another file": lambda c: c.update(class_name="TFSMLayer", config={"filepath": "/etc"}),
    "object as initialiser": lambda c: c["config"].update(kernel_initializer={
        "module": "builtins", "class_name": "eval", "config": {"source": "1"}, "registered_name": None}),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_files_that_could_run_code(how, keras_file, tmp_path, monkeypatch):
    path = with_config(keras_file, tmp_path / "hostile.keras", HOSTILE[how])
    monkeypatch.setattr(keras.saving, "load_model", lambda *a, **k: pytest.fail("Keras was asked to read it"))
    with pytest.raises(ModelError, match=r"hostile\.keras"):
        load(path)


def test_weights_that_reach_out_of_the_file(keras_file, tmp_path):
    h5py = pytest.importorskip("h5py")

    def hdf5(write):
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as f:
            write(f)
        return buffer.getvalue()

    for write, message in [
            (lambda f: f.__setitem__("layers", h5py.ExternalLink("/etc/passwd", "x")), "link"),
            (lambda f: f.__setitem__("layers", h5py.SoftLink("/other")), "link"),
            (lambda f: f.create_dataset("x", (8,), "u1", external=[("/etc/hostname", 0, 8)]), "another file"),
            (lambda f: f.create_dataset("x", (2**50,), "f8", chunks=(1024,)), "declare more")]:
        with pytest.raises(ModelError, match=message):
            load(changed(keras_file, tmp_path / "out.keras", model__weights__h5=hdf5(write)))


def test_broken_files(keras_file, tmp_path):
    content, path = keras_file.read_bytes(), tmp_path / "broken.keras"
    for part in (b"", b"no archive", content[:len(content) // 2], content[:-30]):
        path.write_bytes(part)
        with pytest.raises(ModelError):
            load(path)
    for members in ({"config__json": b"{"}, {"config__json": b"[1, 2]"}, {"config__json": b'{"class_name": 3}'},
                    {"model__weights__h5": b"no hdf5"}, {"..__/outside": b"x"}, {"bomb": b"\0" * (80 * 2**20)}):
        with zipfile.ZipFile(keras_file) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
            names = {k.replace("__", "."): v for k, v in members.items()} if "..__/outside" not in members else {"../outside": b"x"}
            for name in old.namelist():
                new.writestr(name, names.pop(name, old.read(name)))
            for name, value in names.items():
                new.writestr(name, value)
        with pytest.raises(ModelError, match=r"broken\.keras"):
            load(path)
    with zipfile.ZipFile(path, "w") as new:
        new.writestr("config.json", "{}")
    with pytest.raises(ModelError, match=r"lacks metadata\.json, model\.weights\.h5"):
        load(path)


@settings(max_examples=30)
@given(where=st.integers(0, 10**6), byte=st.integers(1, 255))
def test_a_flipped_byte_gives_a_network_or_a_model_error(keras_file, tmp_path, where, byte):
    content, path = bytearray(keras_file.read_bytes()), tmp_path / "flipped.keras"
    content[where % len(content)] ^= byte
    path.write_bytes(content)
    with contextlib.suppress(ModelError):
        load(path)


def test_old_files_are_refused(tmp_path):
    (tmp_path / "model.h5").write_bytes(b"\x89HDF\r\n")
    with pytest.raises(ModelError, match=r"HDF5.*\n.*\.keras"):
        load(tmp_path / "model.h5")


def test_layers_are_checked_before_anything_is_built():
    assert not (set(spellings("keras")) | set(LINKS) | MODELS) & {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}


def test_without_keras(keras_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(MissingExtra, match=r"pellucid\[keras\]"):
        load(keras_file)


def test_a_backend_is_chosen_only_where_none_is(tmp_path, monkeypatch):
    """Keras itself would take tensorflow, there or not, and write that down."""
    pytest.importorskip("torch")
    config = tmp_path / "keras.json"
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND")
    assert not _left_to_us()                                    # Keras is imported
    monkeypatch.delitem(sys.modules, "keras")
    assert _left_to_us()
    config.write_text('{"backend": "torch"}')
    assert not _left_to_us()
    for useless in ('{"backend": "no_such_backend"}', "{", "[]"):
        config.write_text(useless)
        assert _left_to_us()
    monkeypatch.setenv("KERAS_BACKEND", "numpy")
    assert not _left_to_us()
