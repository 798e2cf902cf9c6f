"""Broken and hostile files: an error of ours, soon, with little memory. Never a crash, never another library's traceback."""

from __future__ import annotations

import io
import json
import os
import zipfile

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx_models import model

from pellucid.errors import ModelError, PellucidError, UnsupportedOp
from pellucid.graph import Network
from pellucid.importers.load import load

i64 = np.int64


def cnn():
    rng = np.random.default_rng(0)
    return model([("Conv", "x W b", "h", {"pads": [1, 1, 0, 0]}), ("Relu", "h", "r", {}),
                  ("MaxPool", "r", "p", {"kernel_shape": [2, 2]}),
                  ("Shape", "p", "s", {}), ("Gather", "s zero", "n", {}), ("Unsqueeze", "n axes", "n1", {}),
                  ("Concat", "n1 minus", "t", {"axis": 0}), ("Reshape", "p t", "f", {}), ("Gemm", "f V c", "z", {}),
                  ("Softmax", "z", "y", {})],
                 (None, 1, 4, 4), constants={
                     "W": rng.normal(size=(2, 1, 2, 2)), "b": rng.normal(size=2), "zero": np.array(0, i64), "axes": np.array([0], i64),
                     "minus": np.array([-1], i64), "V": rng.normal(size=(18, 3)), "c": rng.normal(size=3)})


def mlp():
    rng = np.random.default_rng(0)
    return model([("MatMul", "x W", "h", {}), ("Add", "h b", "a", {}), ("Relu", "a", "r", {}), ("Slice", "r s e", "q", {}),
                  ("Pad", "q p", "w", {}), ("Concat", "w r", "y", {"axis": 1})],
                 constants={"W": rng.normal(size=(4, 3)), "b": rng.normal(size=3), "s": np.array([0, 1], i64), "e": np.array([99, 3], i64),
                            "p": np.array([0, 1, 0, 1], i64)})


def answers_or_refuses(path):
    """A network that can be asked, or an error of ours."""
    try:
        net = load(path)
    except PellucidError as e:
        assert str(e)                                           # noqa: PT017
        return
    with np.errstate(all="ignore"):
        assert net(np.zeros((1, net.n_inputs))).shape == (1, net.n_outputs)


@pytest.mark.parametrize("make", [cnn, mlp])
@settings(max_examples=150)
@given(data=st.data())
def test_flipped_bytes_of_onnx(make, data, tmp_path):
    raw = bytearray(make().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "m.onnx").write_bytes(raw)
    answers_or_refuses(tmp_path / "m.onnx")


@pytest.mark.parametrize("make", [cnn, mlp])
def test_truncated_onnx(make, tmp_path):
    raw = make().SerializeToString()
    for end in range(0, len(raw), max(1, len(raw) // 80)):
        (tmp_path / "m.onnx").write_bytes(raw[:end])
        answers_or_refuses(tmp_path / "m.onnx")


def test_noise_is_no_onnx(tmp_path):
    for k in range(20):
        (tmp_path / "m.onnx").write_bytes(np.random.default_rng(k).bytes(200))
        with pytest.raises(ModelError):
            load(tmp_path / "m.onnx")


def saved(tmp_path) -> bytes:
    load(mlp()).save(tmp_path / "good.npz")
    return (tmp_path / "good.npz").read_bytes()


@settings(max_examples=150)
@given(data=st.data())
def test_flipped_bytes_of_npz(data, tmp_path):
    raw = bytearray(saved(tmp_path))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "m.npz").write_bytes(raw)
    answers_or_refuses(tmp_path / "m.npz")


def test_truncated_npz(tmp_path):
    raw = saved(tmp_path)
    for end in range(0, len(raw), len(raw) // 60):
        (tmp_path / "m.npz").write_bytes(raw[:end])
        with pytest.raises(PellucidError):
            load(tmp_path / "m.npz")


def rewritten(tmp_path, change, compression=zipfile.ZIP_STORED):
    """A saved network whose graph.json went through `change`, with a right checksum."""
    source, path = io.BytesIO(saved(tmp_path)), tmp_path / "m.npz"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", compression) as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "graph.json.npy":
                what = json.loads(np.load(io.BytesIO(data)).tobytes())
                change(what)
                buffer = io.BytesIO()
                np.save(buffer, np.frombuffer(json.dumps(what).encode(), np.uint8))
                data = buffer.getvalue()
            new.writestr(name, data)
    return path


CHANGES = {
    "none": lambda w: None,
    "unknown op": lambda w: w["nodes"][0].update(op="Sandwich"),
    "abstract op": lambda w: w["nodes"][0].update(op="AffineOp"),
    "field": lambda w: w["nodes"][0].update(fields={"W": "x", "b": 3}),
    "missing field": lambda w: w["nodes"][0].update(fields={}),
    "array": lambda w: w["nodes"][0]["fields"].update(W={"array": "no"}),
    "deep": lambda w: w["nodes"][0]["fields"].update(W=json.loads('{"tuple": [' * 400 + "]}" * 400)),
    "circle": lambda w: w["nodes"][0].update(inputs=[w["nodes"][-1]["name"]]),
    "shape": lambda w: w["nodes"][0].update(shape=[10**9]),
    "huge": lambda w: w["nodes"].append({"name": "e", "op": "Expand", "inputs": ["input"], "shape": [10**6, 10**6, 4],
                                         "fields": {"target": {"tuple": [10**6, 10**6, 4]}}}),
    "huge input": lambda w: w.update(input_shape=[10**15]),
    "negative": lambda w: w.update(input_shape=[-4]),
    "twice": lambda w: w["nodes"][1].update(name=w["nodes"][0]["name"]),
    "output": lambda w: w.update(output="no"),
    "link": lambda w: w.update(link="__import__"),
    "version": lambda w: w.update(format=99),
    "list": lambda w: w.update(nodes=7),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_network_file(name, tmp_path):
    path = rewritten(tmp_path, CHANGES[name])
    if name == "none":
        assert isinstance(load(path), Network)
    else:
        with pytest.raises(PellucidError, match=r"m\.npz"):
            load(path)


def test_a_compressed_network_file_is_refused(tmp_path):
    with pytest.raises(PellucidError, match="is compressed"):
        load(rewritten(tmp_path, CHANGES["none"], zipfile.ZIP_DEFLATED))


def test_a_pickle_in_an_npz_is_not_run(tmp_path):
    ran = tmp_path / "ran"

    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(ran),)

    np.savez(tmp_path / "m.npz", **{"graph.json": np.array([Payload()], dtype=object)})
    with pytest.raises(PellucidError):
        load(tmp_path / "m.npz")
    assert not ran.exists()


def test_an_array_that_claims_terabytes(tmp_path):
    what = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,)}"
    header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + what.ljust(117) + b"\n"
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as file:
        file.writestr("graph.json.npy", header)
    with pytest.raises(PellucidError, match=r"\(1099511627776,\)"):
        load(tmp_path / "m.npz")


# ---- ONNX that is well formed and wrong
def big(*dims):
    return np.array(dims, dtype=i64)


COLUMN_AND_ROW = [("ConstantOfShape", "s", "c", {}), ("Transpose", "c", "d", {})]
HOSTILE = {
    "huge pad": ([("Pad", "x p", "y", {})], {"p": big(0, 2**40, 0, 0)}),
    "huge expand": ([("Expand", "x s", "y", {})], {"s": big(1, 2**20, 2**20, 4)}),
    "huge tile": ([("Tile", "x r", "y", {})], {"r": big(1, 2**40)}),
    "huge constant": ([("ConstantOfShape", "s", "c", {}), ("Add", "x c", "y", {})], {"s": big(2**20, 2**20)}),
    "huge range": ([("Range", "a b c", "r", {}), ("Add", "x r", "y", {})],
                   {"a": np.array(0, i64), "b": np.array(2**40, i64), "c": np.array(1, i64)}),
    "huge outer product": ([*COLUMN_AND_ROW, ("MatMul", "c d", "e", {}), ("Add", "x e", "y", {})], {"s": big(2**20, 1)}),
    "huge broadcast": ([*COLUMN_AND_ROW, ("Add", "c d", "e", {}), ("Add", "x e", "y", {})], {"s": big(2**20, 1)}),
    "huge gather": ([("Gather", "d i", "e", {"axis": 1}), ("Add", "x e", "y", {})],
                    {"d": np.zeros((2**14, 1)), "i": np.zeros(2**14, i64)}),
    "huge one-hot": ([("OneHot", "i d v", "e", {}), ("Add", "x e", "y", {})], {"i": np.zeros(9, i64), "d": big(2**40), "v": np.zeros(2)}),
    "huge conv padding": ([("Unsqueeze", "x a", "u", {}), ("Conv", "u W", "y", {"pads": [2**40, 0]})],
                          {"a": big(1), "W": np.ones((1, 1, 1))}),
    "huge pool padding": ([("Unsqueeze", "x a", "u", {}), ("MaxPool", "u", "y", {"kernel_shape": [2**40], "pads": [2**40, 2**40]})],
                          {"a": big(1)}),
    "huge pool": ([("Pad", "x p", "h", {}), ("Unsqueeze", "h a", "u", {}), ("MaxPool", "u", "y", {"kernel_shape": [10**6]})],
                  {"a": big(1), "p": big(0, 10**6, 0, 10**6)}),
    "doubling": ([("Concat", f"h{k} h{k}" if k else "x x", f"h{k + 1}", {"axis": 1}) for k in range(50)] + [("Neg", "h50", "y", {})], {}),
    "zero stride": ([("Unsqueeze", "x a", "u", {}), ("MaxPool", "u", "y", {"kernel_shape": [1], "strides": [0]})], {"a": big(1)}),
    "negative kernel": ([("Unsqueeze", "x a", "u", {}), ("MaxPool", "u", "y", {"kernel_shape": [-1]})], {"a": big(1)}),
    "no kernel": ([("Unsqueeze", "x a", "u", {}), ("MaxPool", "u", "y", {})], {"a": big(1)}),
    "zero groups": ([("Unsqueeze", "x a", "u", {}), ("Conv", "u W", "y", {"group": 0})], {"a": big(1), "W": np.ones((1, 1, 1))}),
    "zero slice step": ([("Slice", "x s e a k", "y", {})], {"s": big(0), "e": big(1), "a": big(1), "k": big(0)}),
    "axis": ([("Concat", "x x", "y", {"axis": 99})], {}),
    "perm": ([("Transpose", "x", "y", {"perm": [0, 7]})], {}),
    "two unknowns": ([("Reshape", "x s", "y", {})], {"s": big(-1, -1)}),
    "negative shape": ([("Reshape", "x s", "y", {})], {"s": big(-5, -5)}),
    "empty": ([("Reshape", "x s", "y", {"allowzero": 1})], {"s": big(7, 0)}),
    "index": ([("Gather", "x i", "y", {"axis": 1})], {"i": big(99)}),
    "wrong sizes": ([("Gemm", "x W", "y", {})], {"W": np.ones((9, 2))}),
    "string attribute": ([("Concat", "x x", "y", {"axis": "one"})], {}),
    "no inputs": ([("Relu", "", "y", {})], {}),
    "missing tensor": ([("Add", "x nowhere", "y", {})], {}),
    "circle": ([("Add", "x b", "a", {}), ("Relu", "a", "b", {}), ("Relu", "b", "y", {})], {}),
    "self": ([("Relu", "y", "y", {})], {}),
    "made twice": ([("Relu", "x", "y", {}), ("Abs", "x", "y", {})], {}),
    "overwrites the input": ([("Relu", "x", "x", {}), ("Relu", "x", "y", {})], {}),
    "no output": ([("Relu", "x", "z", {})], {}),
    "constant output": ([("Identity", "c", "y", {})], {"c": np.ones(3)}),
    "random": ([("RandomNormal", "", "r", {"shape": [2**20, 2**20]}), ("Add", "x r", "y", {})], {}),
    "unknown domain": ([("Relu", "x", "y", {"domain": "evil.com"})], {}),
    "division by zero": ([("Div", "x c", "y", {})], {"c": np.zeros(4)}),
    "nan weight": ([("Mul", "x c", "y", {})], {"c": np.full(4, np.nan)}),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("batch", [None, 1, 3])
def test_hostile_graphs(name, batch):
    nodes, constants = HOSTILE[name]
    with pytest.raises(ModelError):
        load(model(nodes, (batch, 4), constants=constants))


def test_deep_graphs_do_not_exhaust_the_stack():
    n = 5000
    nodes = [("Neg", f"h{k}" if k else "x", f"h{k + 1}", {}) for k in range(n)] + [("Relu", f"h{n}", "y", {})]
    assert len(load(model(nodes[::-1])).graph.nodes) == 1       # (-1)^5000 = 1, whatever order the nodes come in


def test_deep_products_do_not_explode():
    nodes = [("Mul", f"h{k} h{k}" if k else "x x", f"h{k + 1}", {}) for k in range(60)]
    with pytest.raises(UnsupportedOp, match="two tensors that both depend"):
        load(model([*nodes, ("Neg", "h60", "y", {})]))


@pytest.mark.parametrize(("dims", "message"), [((2**62, 2**62), "claims the shape"), ((-1, 4), "claims the shape"), ((4, 3, 9), "holds 12"),
                                               ((2,), "holds 12")])
def test_tensors_that_claim_another_size(dims, message):
    m = mlp()
    m.graph.initializer[0].dims[:] = dims
    with pytest.raises(ModelError, match=message):
        load(m)


def test_unknown_element_types():
    m = mlp()
    m.graph.initializer[0].data_type = 99
    with pytest.raises(ModelError, match="corrupted"):
        load(m)


def test_huge_inputs_and_odd_inputs():
    for shape in ((None, 2**40), (1, 2**20, 2**20)):
        with pytest.raises(ModelError, match="more than"):
            load(model([("Relu", "x", "y", {})], shape))
    m = model([("Relu", "x", "y", {})])
    m.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    with pytest.raises(ModelError, match="real numbers"):
        load(m)
    m.graph.input[0].ClearField("type")
    with pytest.raises(ModelError):
        load(m)


def test_empty_models():
    for m in (onnx.ModelProto(), helper.make_model(helper.make_graph([], "g", [], []))):
        with pytest.raises(ModelError, match="no graph with an output"):
            load(m)


# ---- external data
def outside(tmp_path, location, *, size=None, **more):
    """mlp() with its first weights in another file."""
    m = mlp()
    t = m.graph.initializer[0]
    data = t.raw_data
    t.ClearField("raw_data")
    t.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "length": str(len(data)), **more}.items():
        entry = t.external_data.add()
        entry.key, entry.value = key, str(value)
    folder = tmp_path / "models"
    folder.mkdir(exist_ok=True)
    (folder / "m.onnx").write_bytes(m.SerializeToString())
    (folder / "w.bin").write_bytes(data if size is None else bytes(size))
    (tmp_path / "secret.bin").write_bytes(data)
    return folder / "m.onnx"


def test_external_data_beside_the_model_is_read(tmp_path):
    x = np.random.default_rng(1).normal(size=(5, 4))
    net = load(outside(tmp_path, "w.bin"))
    np.testing.assert_array_equal(net(x), load(mlp())(x))
    assert net.fidelity.runtime == "onnxruntime"


@pytest.mark.parametrize("location", ["../secret.bin", "a/../../secret.bin", "..\\secret.bin", "", "C:\\secret.bin", "w.bin\0"])
def test_external_data_stays_in_the_folder(location, tmp_path):
    with pytest.raises(ModelError, match="only files below the model's own folder"):
        load(outside(tmp_path, location))


def test_external_data_not_by_absolute_path(tmp_path):
    with pytest.raises(ModelError, match="only files below"):
        load(outside(tmp_path, str(tmp_path / "secret.bin")))


def test_external_data_not_through_links(tmp_path):
    path = outside(tmp_path, "link.bin")
    (path.parent / "link.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(ModelError, match="symbolic link"):
        load(path)
    path = outside(tmp_path, "folder/secret.bin")
    (path.parent / "folder").symlink_to(tmp_path)
    with pytest.raises(ModelError, match="symbolic link"):
        load(path)


@pytest.mark.parametrize("more", [{"offset": 10**12}, {"offset": -8}, {"length": 4}, {"length": 10**12}, {"length": "much"}])
def test_external_data_of_another_size(more, tmp_path):
    with pytest.raises(ModelError, match=r"claims|described wrongly"):
        load(outside(tmp_path, "w.bin", **more))


def test_external_data_that_is_missing(tmp_path):
    with pytest.raises(ModelError, match="not there"):
        load(outside(tmp_path, "no.bin"))
    with pytest.raises(ModelError, match=r"from its \.onnx file"):
        load(onnx.load_model(outside(tmp_path, "w.bin"), load_external_data=False))


# ---- functions
def function(name, nodes, domain="f"):
    return helper.make_function(domain, name, ["a"], ["z"], nodes, [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)])


def test_functions_are_written_out():
    double = function("Double", [helper.make_node("Add", ["a", "a"], ["z"])])
    m = model([("Double", "x", "h", {"domain": "f"}), ("Relu", "h", "y", {})], functions=[double], more_opsets=[("f", 1)])
    assert load(m)([[1.0, -1.0, 2.0, 0.5]]).tolist() == [[2.0, 0.0, 4.0, 1.0]]


def test_functions_that_call_themselves():
    circle = function("Loop", [helper.make_node("Loop", ["a"], ["z"], domain="f")])
    with pytest.raises(ModelError, match="calls itself"):
        load(model([("Loop", "x", "y", {"domain": "f"})], functions=[circle], more_opsets=[("f", 1)]))


def test_functions_that_explode():
    levels = [function("F0", [helper.make_node("Relu", ["a"], ["z"])])]
    for k in range(1, 40):
        call = f"F{k - 1}"
        twice = [helper.make_node(call, ["a"], ["b"], domain="f"), helper.make_node(call, ["b"], ["z"], domain="f")]
        levels.append(function(f"F{k}", twice))
    with pytest.raises(ModelError, match="more than 100000 nodes"):
        load(model([("F39", "x", "y", {"domain": "f"})], functions=levels, more_opsets=[("f", 1)]))


# ---- what is no model
@pytest.mark.parametrize(("name", "message"), [("m.pt", "weights_only=True"), ("m.pkl", "which runs code"), ("m.txt", "not known"),
                                               ("m.pt2", "torch.export")])
def test_other_files_say_the_way_out(name, message, tmp_path):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ModelError, match=message):
        load(tmp_path / name)


def test_nothing_there(tmp_path):
    with pytest.raises(ModelError, match="there is no file"):
        load(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"load\(\) got a builtins\.int"):
        load(3)
