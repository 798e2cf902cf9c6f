"""Small ONNX models for tests, written node by node."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

F32, F64 = TensorProto.FLOAT, TensorProto.DOUBLE


def model(nodes, in_shape=(None, 4), *, constants=None, opset=17, dtype=np.float32, output="y", more_opsets=(), functions=()):
    """nodes: (op_type, inputs, outputs, attributes) each; the input is 'x'. Constants are cast to dtype if they are floats."""
    made = []
    for op, inputs, outputs, attrs in nodes:
        attrs = dict(attrs)
        domain = attrs.pop("domain", "")
        made.append(helper.make_node(op, inputs.split(), outputs.split(), domain=domain, name=f"{op}_{len(made)}", **attrs))
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    stored = []
    for name, value in (constants or {}).items():
        value = np.asarray(value)
        value = value.astype(dtype) if value.dtype.kind == "f" else value
        stored.append(numpy_helper.from_array(value, name))
    x = helper.make_tensor_value_info("x", element, ["N" if n is None else n for n in in_shape])
    outputs = [helper.make_tensor_value_info(o, element, None) for o in output.split()]
    graph = helper.make_graph(made, "g", [x], outputs, stored)
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, v) for d, v in more_opsets)]
    out = helper.make_model(graph, opset_imports=imports, ir_version=8 if opset < 21 else 10, functions=list(functions))
    return out


def runtime(m: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """onnxruntime's answer, in the model's own precision."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(m.SerializeToString(), options, providers=["CPUExecutionProvider"])
    dtype = np.float64 if session.get_inputs()[0].type == "tensor(double)" else np.float32
    return session.run(None, {session.get_inputs()[0].name: x.astype(dtype)})[0]
