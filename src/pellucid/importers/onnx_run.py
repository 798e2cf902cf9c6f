"""The original as a function: onnxruntime on one thread, or onnx's own reference where that cannot run the model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .fidelity import Original


def original(model, output: str, in_shape: tuple[int, ...], batch: int,
             finish: Callable[[np.ndarray, int], np.ndarray]) -> tuple[Original | None, str]:
    """The model as a function of (n, *sample) float64, and the runtime's name; (None, "") where nothing can run it.

    output: the tensor asked for. in_shape: whole input shape with -1 for a free batch; batch: rows it takes at once, 0 for a
    free number. finish: from the tensor and the number of rows to (n, c).
    """
    import onnx

    model = _widened(model)
    graph_input = _only_input(model)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(graph_input.type.tensor_type.elem_type)
    for name, start in (("onnxruntime", _onnxruntime), ("onnx.reference", _reference)):
        try:
            run = start(_asking_for(model, output))
            answer = _rows(lambda x, run=run: run({graph_input.name: x.astype(dtype)}), in_shape, batch, finish)
            answer(np.zeros((2, *(n for n in in_shape if n != -1))) if batch == 0 else np.zeros((1, int(np.prod(in_shape)) // batch)))
            return answer, name
        except Exception:                                       # a runtime may refuse what we can read; the next is asked
            continue
    return None, ""


def _rows(run, in_shape: tuple[int, ...], batch: int, finish) -> Original:
    """The runtime on any number of rows, `batch` at a time where the model has a fixed batch."""

    def answer(x: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            if not batch:
                return finish(run(x.reshape(in_shape)), len(x))
            out = []
            for begin in range(0, len(x), batch):
                rows = x[begin : begin + batch]
                block = np.concatenate([rows, np.repeat(rows[-1:], batch - len(rows), axis=0)])
                out.append(finish(run(block.reshape(in_shape)), batch)[: len(rows)])
            return np.concatenate(out)

    return answer


def _only_input(model):
    stored = {t.name for t in model.graph.initializer}
    return next(i for i in model.graph.input if i.name not in stored)


def _asking_for(model, output: str):
    """The model with that tensor as its one output (a ZipMap behind it would give dicts)."""
    import onnx

    if [o.name for o in model.graph.output] == [output]:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    kept = [o for o in copy.graph.output if o.name == output] or [onnx.ValueInfoProto(name=output)]
    kept = [onnx.ValueInfoProto.FromString(o.SerializeToString()) for o in kept]
    del copy.graph.output[:]
    copy.graph.output.extend(kept)
    _drop_unneeded(copy.graph, output)
    return copy


def _widened(model):
    """The model in float32 where it is in half precision, which has three digits: too few to tell a wrong import by."""
    import onnx
    from onnx import numpy_helper

    from .onnx_file import tensors, to_array

    half = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    if not any(t.data_type in half for t in tensors(model.graph)) and _only_input(model).type.tensor_type.elem_type not in half:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in tensors(copy.graph):
        if tensor.data_type in half:
            tensor.CopyFrom(numpy_helper.from_array(to_array(tensor).astype(np.float32), tensor.name))
    for node in copy.graph.node:
        for a in node.attribute:
            if node.op_type == "Cast" and a.name == "to" and a.i in half:
                a.i = onnx.TensorProto.FLOAT
    for value in (*copy.graph.input, *copy.graph.output):
        if value.type.tensor_type.elem_type in half:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    del copy.graph.value_info[:]
    return copy


def _drop_unneeded(graph, output: str) -> None:
    """Without the nodes that the output does not depend on; a runtime checks those too."""
    maker = {name: k for k, node in enumerate(graph.node) for name in node.output}
    needed, stack = set(), [output]
    while stack:
        k = maker.get(stack.pop())
        if k is not None and k not in needed:
            needed.add(k)
            stack.extend(graph.node[k].input)
    for k in reversed(range(len(graph.node))):
        if k not in needed:
            del graph.node[k]


def _onnxruntime(model):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"], enable_fallback=0)
    return lambda feeds: session.run(None, feeds)[0]


def _reference(model):
    from onnx.reference import ReferenceEvaluator

    session = ReferenceEvaluator(model)
    return lambda feeds: np.asarray(session.run(None, feeds)[0])
