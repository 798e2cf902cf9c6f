"""Ops whose outputs are copies of inputs, or constants: Reshape, Transpose, Slice, Gather, Pad, Expand, Tile, Concat.

They share one index array, so each says only where its entries come from; none is a file of its own for that reason.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ..graph.arrays import exact, index_like, like, xp
from ..graph.op import AffineOp, Shape, size
from ..graph.registry import Record, Value, spelled, spelling, unsupported
from ..graph.rewrite import fuses, vanishes


class RearrangeOp(AffineOp):
    """Each output entry is an entry of an input, or a constant."""

    @property
    def values(self) -> np.ndarray:
        """(k,) the constants among the outputs."""
        return np.zeros(0)

    @abc.abstractmethod
    def source(self, *inputs: Shape) -> np.ndarray:
        """Of the output's shape: where each entry comes from, an index into (inputs.., values) laid one behind the other."""

    def __call__(self, *xs):
        n = len(xs[0])
        source = self.source(*(tuple(x.shape[1:]) for x in xs))
        flat = [x.reshape(n, -1) for x in xs]
        if len(self.values):
            flat.append(xp(xs[0]).broadcast_to(like(self.values, xs[0]), (n, len(self.values))))
        joined = flat[0] if len(flat) == 1 else xp(xs[0]).concatenate(flat, axis=1)
        return joined[:, index_like(source.ravel(), xs[0])].reshape(n, *source.shape)

    def matrices(self, *inputs: Shape):
        source = self.source(*inputs).ravel()
        ends = np.cumsum([size(s) for s in inputs])
        out = []
        for begin, end in zip(ends - [size(s) for s in inputs], ends, strict=True):
            rows = np.flatnonzero((begin <= source) & (source < end))
            entries = (np.ones(len(rows)), (rows, source[rows] - begin))
            out.append(sp.csr_array(entries, shape=(len(source), end - begin)))
        constant = source >= ends[-1]
        offset = np.zeros(len(source))
        offset[constant] = self.values[source[constant] - ends[-1]]
        return out, offset


def _positions(shape: Shape) -> np.ndarray:
    return np.arange(size(shape)).reshape(shape)


@dataclass(frozen=True)
class Reshape(RearrangeOp):
    """The same numbers, in C order, in another shape. Also Flatten, Squeeze, Unsqueeze."""

    target: Shape

    def shape(self, *inputs: Shape) -> Shape:
        if size(inputs[0]) != size(self.target):
            raise ValueError(f"a tensor of shape {inputs[0]} cannot be reshaped to {self.target}")
        return self.target

    def source(self, *inputs: Shape):
        return _positions(inputs[0]).reshape(self.target)

    def __call__(self, *xs):
        return xs[0].reshape(len(xs[0]), *self.target)


@dataclass(frozen=True)
class Transpose(RearrangeOp):
    """Axis k of the output is axis perm[k] of the input."""

    perm: tuple[int, ...]

    def shape(self, *inputs: Shape) -> Shape:
        if sorted(self.perm) != list(range(len(inputs[0]))):
            raise ValueError(f"perm {self.perm} for a tensor of shape {inputs[0]}")
        return tuple(inputs[0][p] for p in self.perm)

    def source(self, *inputs: Shape):
        return _positions(inputs[0]).transpose(self.perm)


@dataclass(frozen=True)
class Slice(RearrangeOp):
    """Along one axis the entries start, start + step, .., `count` of them. step may be negative."""

    axis: int
    start: int
    step: int
    count: int

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        last = self.start + self.step * (self.count - 1)
        if not 0 <= self.axis < len(x) or (self.count and not (0 <= self.start < x[self.axis] and 0 <= last < x[self.axis])):
            raise ValueError(f"entries {self.start}..{last} along axis {self.axis} of a tensor of shape {x}")
        return (*x[:self.axis], self.count, *x[self.axis + 1:])

    def source(self, *inputs: Shape):
        self.shape(*inputs)
        return np.take(_positions(inputs[0]), self.start + self.step * np.arange(self.count), axis=self.axis)


@dataclass(frozen=True, eq=False)
class Gather(RearrangeOp):
    """Entries `indices` along one axis, which becomes the axes of `indices` (none for a single index). Not negative."""

    axis: int
    indices: np.ndarray

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        if not 0 <= self.axis < len(x) or (self.indices.size and not 0 <= self.indices.min() <= self.indices.max() < x[self.axis]):
            raise ValueError(f"indices {self.indices.tolist()} along axis {self.axis} of a tensor of shape {x}")
        return (*x[:self.axis], *self.indices.shape, *x[self.axis + 1:])

    def source(self, *inputs: Shape):
        self.shape(*inputs)
        return np.take(_positions(inputs[0]), self.indices, axis=self.axis)


@dataclass(frozen=True)
class Pad(RearrangeOp):
    """More entries around. widths: (before, after) for each axis; mode: "constant" (then `value`), "edge", "reflect", "wrap"."""

    widths: tuple[tuple[int, int], ...]
    value: float = 0.0
    mode: str = "constant"

    @property
    def values(self):
        return np.array([self.value])

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        if len(x) != len(self.widths) or min(w for pair in self.widths for w in pair) < 0:
            raise ValueError(f"padding {self.widths} for a tensor of shape {x}")
        if self.mode == "reflect" and any(max(pair) >= n for pair, n in zip(self.widths, x, strict=True) if max(pair)):
            raise ValueError(f"reflecting {self.widths} entries of a tensor of shape {x}")
        return tuple(n + lo + hi for n, (lo, hi) in zip(x, self.widths, strict=True))

    def source(self, *inputs: Shape):
        options = {"constant_values": size(inputs[0])} if self.mode == "constant" else {}
        return np.pad(_positions(inputs[0]), self.widths, mode=self.mode, **options)


@dataclass(frozen=True)
class Expand(RearrangeOp):
    """Broadcast to `target`."""

    target: Shape

    def shape(self, *inputs: Shape) -> Shape:
        if np.broadcast_shapes(inputs[0], self.target) != tuple(self.target):
            raise ValueError(f"a tensor of shape {inputs[0]} does not broadcast to {self.target}")
        return self.target

    def source(self, *inputs: Shape):
        return np.broadcast_to(_positions(inputs[0]), self.target)


@dataclass(frozen=True)
class Tile(RearrangeOp):
    """The whole tensor repeated along each axis."""

    repeats: tuple[int, ...]

    def shape(self, *inputs: Shape) -> Shape:
        if len(self.repeats) != len(inputs[0]) or min(self.repeats, default=1) < 1:
            raise ValueError(f"{self.repeats} repeats of a tensor of shape {inputs[0]}")
        return tuple(n * r for n, r in zip(inputs[0], self.repeats, strict=True))

    def source(self, *inputs: Shape):
        return np.tile(_positions(inputs[0]), self.repeats)


@dataclass(frozen=True, eq=False)
class Concat(RearrangeOp):
    """Tensors one behind the other along `axis`. parts: one each, None for the next input, or a constant of sample shape."""

    axis: int
    parts: tuple[np.ndarray | None, ...]

    @property
    def values(self):
        constants = [p.ravel() for p in self.parts if p is not None]
        return np.concatenate(constants) if constants else np.zeros(0)

    def shape(self, *inputs: Shape) -> Shape:
        shapes = self._shapes(inputs)
        rest = {(len(s), s[:self.axis], s[self.axis + 1:]) for s in shapes}
        if len(rest) != 1 or not 0 <= self.axis < len(shapes[0]):
            raise ValueError(f"tensors of shapes {', '.join(map(str, shapes))} cannot be joined along axis {self.axis}")
        return (*shapes[0][:self.axis], sum(s[self.axis] for s in shapes), *shapes[0][self.axis + 1:])

    def source(self, *inputs: Shape):
        blocks, at_input, at_value = [], 0, sum(map(size, inputs))
        for part, shape in zip(self.parts, self._shapes(inputs), strict=True):
            begin = at_input if part is None else at_value
            blocks.append(begin + _positions(shape))
            if part is None:
                at_input += size(shape)
            else:
                at_value += size(shape)
        return np.concatenate(blocks, axis=self.axis)

    def _shapes(self, inputs: tuple[Shape, ...]) -> list[Shape]:
        rest = iter(inputs)
        return [next(rest) if p is None else p.shape for p in self.parts]


# ---- compression
@vanishes(Reshape)
@vanishes(Expand)
def _(op: Reshape | Expand, shape: Shape) -> bool:
    return op.target == shape


@vanishes(Transpose)
def _(op: Transpose, shape: Shape) -> bool:
    return op.perm == tuple(range(len(shape)))


@vanishes(Slice)
def _(op: Slice, shape: Shape) -> bool:
    return op.step == 1 and op.count == shape[op.axis]


@vanishes(Pad)
def _(op: Pad, shape: Shape) -> bool:
    return not any(w for pair in op.widths for w in pair)


@vanishes(Tile)
def _(op: Tile, shape: Shape) -> bool:
    return set(op.repeats) <= {1}


@fuses(Reshape, Reshape)
def _(first: Reshape, second: Reshape, shape: Shape):
    return second


# ---- ONNX
@spelled("onnx", "Reshape")
def _(record: Record):
    (x,) = record.values
    wanted = [int(n) for n in record.constant(1, default=record.get("shape"))]
    whole = record.whole(x)
    if not record.get("allowzero", 0):
        if any(n == 0 and k >= len(whole) for k, n in enumerate(wanted)):
            raise unsupported(record, f"target {wanted} copies an axis that a tensor of shape {whole} does not have")
        wanted = [whole[k] if n == 0 else n for k, n in enumerate(wanted)]
    if wanted.count(-1) > 1 or min(wanted, default=0) < -1:
        raise unsupported(record, f"target {wanted} is no shape")
    if -1 in wanted:
        known = -math.prod(wanted)
        if not known or math.prod(whole) % known:
            raise unsupported(record, f"a tensor of shape {whole} cannot be reshaped to {wanted}")
        wanted[wanted.index(-1)] = math.prod(whole) // known
    return Reshape(record.target(tuple(wanted)))


@spelled("onnx", "Flatten")
def _(record: Record):
    (x,) = record.values
    whole, axis = record.whole(x), int(record.get("axis", 1))
    axis = axis + len(whole) if axis < 0 else axis
    return Reshape(record.target((math.prod(whole[:axis]), math.prod(whole[axis:]))))


@spelled("onnx", "Squeeze", "Unsqueeze")
def _(record: Record):
    (x,) = record.values
    whole, axes = list(record.whole(x)), record.constant(1, default=record.get("axes"))
    if record.kind == "Unsqueeze":
        rank = len(whole) + np.size(axes)
        for a in sorted(int(a) % rank for a in np.ravel(axes)):
            whole.insert(a, 1)
    else:
        drop = {int(a) % len(whole) for a in np.ravel(axes)} if axes is not None else \
            {k for k, n in enumerate(whole) if n == 1 and k >= record.lead}
        whole = [n for k, n in enumerate(whole) if k not in drop]
    return Reshape(record.target(tuple(whole)))


@spelled("onnx", "Transpose")
def _(record: Record):
    (x,) = record.values
    rank = len(x.shape) + record.lead
    perm = [int(p) for p in record.get("perm", range(rank)[::-1])]
    if record.lead and perm[0] != 0:
        raise unsupported(record, f"perm {perm} moves the batch axis")
    return Transpose(tuple(p - record.lead for p in perm[record.lead:]))


@spelled("onnx", "Slice")
def _(record: Record):
    (x,) = record.values
    starts = np.ravel(record.constant(1, default=record.get("starts")))
    ends = np.ravel(record.constant(2, default=record.get("ends")))
    axes = np.ravel(record.constant(3, default=record.get("axes", np.arange(len(starts)))))
    steps = np.ravel(record.constant(4, default=np.ones(len(starts), dtype=np.int64)))
    out, whole = [], record.whole(x)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if not -len(whole) <= axis < len(whole) or step == 0:
            raise unsupported(record, f"axis {axis}, step {step} of a tensor of shape {whole}")
        n = whole[axis]
        where = _onnx_range(int(start), int(end), int(step), n)
        if len(where) == n and step == 1:
            continue                                            # everything, even along the batch axis
        out.append(Slice(record.axis(int(axis)), where.start if len(where) else 0, where.step, len(where)))
    return tuple(out) or None


def _onnx_range(start: int, end: int, step: int, n: int) -> range:
    """The entries that ONNX means. Backwards it differs from Python: a start before the first entry is the first."""
    start, end = (k + n if k < 0 else k for k in (start, end))
    if step > 0:
        return range(min(max(start, 0), n), min(max(end, 0), n), step)
    return range(min(max(start, 0), n - 1), min(max(end, -1), n - 1), step)


@spelled("onnx", "Gather")
def _(record: Record):
    if not isinstance(record.args[0], Value):
        raise unsupported(record, "it looks entries up by a computed index (an embedding), which is not piecewise linear")
    axis = record.axis(int(record.get("axis", 0)))
    n = record.values[0].shape[axis]
    indices = np.array(record.constant(1), dtype=np.int64)
    return Gather(axis, np.where(indices < 0, indices + n, indices))


@spelled("onnx", "Split")
def _(record: Record):
    """One record for each output; attribute `output` says which, `outputs` how many there are."""
    (x,) = record.values
    axis = record.axis(int(record.get("axis", 0)))
    n, parts = x.shape[axis], int(record.get("num_outputs", record.get("outputs")))
    sizes = record.constant(1, default=record.get("split"))
    if sizes is None:
        each = -(-n // parts)
        sizes = [each] * (parts - 1) + [n - each * (parts - 1)]
    begin, k = np.concatenate([[0], np.cumsum(sizes)]), int(record.get("output"))
    return Slice(axis, int(begin[k]), 1, int(sizes[k]))


@spelled("onnx", "Pad")
def _(record: Record):
    (x,) = record.values
    pads = np.ravel(record.constant(1, default=record.get("pads", record.get("paddings"))))
    value = float(np.ravel(record.constant(2, default=record.get("value", 0.0)))[0])
    rank = len(x.shape) + record.lead
    axes = record.constant(3)
    axes = range(rank) if axes is None else [int(a) % rank for a in np.ravel(axes)]
    widths = [(0, 0)] * rank
    half = len(pads) // 2
    for k, a in enumerate(axes):
        widths[a] = (int(pads[k]), int(pads[half + k]))
    if record.lead and widths[0] != (0, 0):
        raise unsupported(record, "it pads the batch axis")
    widths, mode = widths[record.lead:], record.get("mode", "constant")
    cut = tuple(Slice(a, max(-lo, 0), 1, x.shape[a] - max(-lo, 0) - max(-hi, 0)) for a, (lo, hi) in enumerate(widths) if min(lo, hi) < 0)
    padding = Pad(tuple((max(lo, 0), max(hi, 0)) for lo, hi in widths), value, mode)
    return (*cut, padding) if cut else padding


@spelled("onnx", "Expand")
def _(record: Record):
    (x,) = record.values
    whole = record.whole(x)
    target = np.broadcast_shapes(whole, tuple(int(n) for n in np.ravel(record.constant(1))))
    if len(target) > len(whole) and record.lead:
        raise unsupported(record, f"it expands {whole} to {target}, before the batch axis")
    return None if target == whole else Expand(record.target(target))


@spelled("onnx", "Tile")
def _(record: Record):
    repeats = [int(r) for r in np.ravel(record.constant(1))]
    if record.lead and repeats[0] != 1:
        raise unsupported(record, "it repeats the batch axis")
    return Tile(tuple(repeats[record.lead:]))


@spelled("onnx", "Concat")
def _(record: Record):
    axis, rank = record.axis(int(record.get("axis", 1))), len(record.values[0].shape)
    shapes = [len(a.shape) for a in record.args if isinstance(a, Value)]
    if len(set(shapes)) > 1:
        raise unsupported(record, "the tensors have different numbers of axes")
    parts = tuple(None if isinstance(a, Value) else _constant_part(record, k, axis, rank) for k, a in enumerate(record.args))
    return None if len(parts) == 1 else Concat(axis, parts)


def _constant_part(record: Record, k: int, axis: int, rank: int) -> np.ndarray:
    """Constant k of a Concat as one sample has it."""
    c = exact(record.constant(k))
    if record.lead and c.ndim == rank + 1 and len(c) in (1, record.batch) and (c == c[:1]).all():
        return c[0]
    if not record.lead and c.ndim == rank:
        return c
    raise unsupported(record, f"the constant of shape {c.shape} differs from row to row of the batch")


@spelled("onnx", "DepthToSpace")
def _(record: Record):
    """Blocks of channels become blocks of pixels."""
    (x,) = record.values
    (c, h, w), b = x.shape, int(record.get("blocksize"))
    if record.get("mode", "DCR") == "DCR":
        return Reshape((b, b, c // b**2, h, w)), Transpose((2, 3, 0, 4, 1)), Reshape((c // b**2, h * b, w * b))
    return Reshape((c // b**2, b, b, h, w)), Transpose((0, 3, 1, 4, 2)), Reshape((c // b**2, h * b, w * b))


@spelled("onnx", "Identity", "Dropout", "Cast", "CastLike")
def _(record: Record):
    """Nothing, at inference. A cast to an integer type rounds, which is not continuous."""
    if record.kind == "Cast" and int(record.get("to", 1)) not in (1, 10, 11, 16):    # FLOAT, FLOAT16, DOUBLE, BFLOAT16
        raise unsupported(record, "it rounds to integers, or compares with zero")
    return None


@spelled("sklearn", "identity")
def _(record: Record):
    return None


# ---- torch; `out` is the shape of the whole result
@spelled("torch", "aten.view", "aten.reshape", "aten._unsafe_view", "aten._reshape_copy", "aten.flatten", "aten.unflatten",
         "aten.squeeze", "aten.unsqueeze", "aten.view_as", "aten.reshape_as")
def _(record: Record):
    return Reshape(record.target(record.get("out")))


@spelled("torch", "aten.permute", "aten.transpose", "aten.t", "aten.swapaxes", "aten.swapdims", "aten.movedim", "aten.moveaxis",
         "aten.numpy_T", "aten.mT")
def _(record: Record):
    """By what it does to numbered axes, since there are many ways to say it."""
    (x,) = record.values
    rank = len(x.shape) + record.lead
    packet = record.kind.rpartition(".")[0]
    if packet == "aten.permute":
        perm = [int(p) % rank for p in record.get("dims")]
    elif packet == "aten.numpy_T":
        perm = list(range(rank))[::-1]
    elif packet == "aten.mT":
        perm = [*range(rank - 2), rank - 1, rank - 2]
    elif packet in ("aten.movedim", "aten.moveaxis"):
        ends = [[e] if isinstance(e, int) else list(e) for e in (record.get("source"), record.get("destination"))]
        perm = np.moveaxis(np.empty(range(1, rank + 1)), *ends)  # sizes 1, 2, .. name the axes
        perm = [n - 1 for n in perm.shape]
    else:
        a, b = (int(record.get(k, d)) % rank for k, d in (("dim0", 0), ("dim1", 1))) if packet != "aten.swapaxes" else \
            (int(record.get(k)) % rank for k in ("axis0", "axis1"))
        perm = list(range(rank))
        perm[a], perm[b] = perm[b], perm[a]
    if record.lead and perm[0] != 0:
        raise unsupported(record, f"it moves the batch axis (to {perm.index(0)})")
    return Transpose(tuple(p - record.lead for p in perm[record.lead:]))


@spelled("torch", "aten.slice", "aten.narrow")
def _(record: Record):
    (x,) = record.values
    axis, n = int(record.get("dim", 0)), len(record.whole(x))
    if "narrow" in record.kind:
        start = int(record.get("start", 0))
        start, end, step = start, start + int(record.get("length")), 1
    else:
        start, end, step = record.get("start"), record.get("end"), int(record.get("step", 1))
    where = range(record.whole(x)[axis % n])[slice(start, end, step)]
    if step == 1 and len(where) == record.whole(x)[axis % n]:
        return None                                             # everything, even along the batch axis
    return Slice(record.axis(axis), where.start if len(where) else 0, where.step, len(where))


@spelled("torch", "aten.select", "aten.unbind")
def _(record: Record):
    """One entry along an axis, which disappears; unbind gives them all, this is number `output`."""
    (x,) = record.values
    axis = record.axis(int(record.get("dim", 0)))
    index = int(record.get("index", record.get("output"))) % x.shape[axis]
    return Gather(axis, np.array(index, dtype=np.int64))


@spelled("torch", "aten.split", "aten.split_with_sizes", "aten.chunk", "aten.tensor_split")
def _(record: Record):
    """Part number `output` of those whose shapes are `outs`."""
    axis = record.axis(int(record.get("dim", 0)))
    sizes, k = [s[axis + record.lead] for s in record.get("outs")], int(record.get("output"))
    return Slice(axis, sum(sizes[:k]), 1, sizes[k])


@spelled("torch", "aten.index", "aten.index_select")
def _(record: Record):
    """x[:, indices] with one constant index array."""
    (x,) = record.values
    given = {k - 1: a for k, a in enumerate(record.args) if k and a is not None}
    if "index_select" in record.kind:
        given = {int(record.get("dim")): record.args[-1]}
    ((axis, indices),) = given.items() if len(given) == 1 else ((None, None),)
    if axis is None or isinstance(indices, Value):
        raise unsupported(record, "only one axis can be indexed, by a constant")
    axis, indices = record.axis(axis), np.asarray(indices)
    if indices.dtype == bool:
        indices = np.flatnonzero(indices)
    return Gather(axis, np.where(indices < 0, indices + x.shape[axis], indices).astype(np.int64))


@spelled("torch", "aten.flip", "aten.roll")
def _(record: Record):
    (x,), ops = record.values, []
    shifts = record.get("shifts", [])
    if not record.get("dims"):
        raise unsupported(record, "it works on all axes, the batch among them")
    for k, dim in enumerate(record.get("dims")):
        axis = record.axis(int(dim))
        order = np.arange(x.shape[axis])
        ops.append(Gather(axis, np.roll(order, shifts[k]) if "roll" in record.kind else order[::-1].copy()))
    return tuple(ops)


@spelled("torch", "aten.cat", "aten.concat", "aten.concatenate")
def _(record: Record):
    axis, rank = record.axis(int(record.get("dim", record.get("axis", 0)))), len(record.values[0].shape)
    parts = tuple(None if isinstance(a, Value) else _constant_part(record, k, axis, rank) for k, a in enumerate(record.args))
    return None if len(parts) == 1 else Concat(axis, parts)


@spelled("torch", "aten.pad", "aten.constant_pad_nd")
def _(record: Record):
    """Last axis first; negative widths cut."""
    (x,), pads = record.values, [int(p) for p in record.get("pad")]
    pairs = list(zip(pads[::2], pads[1::2], strict=True))
    widths = [(0, 0)] * (len(x.shape) + record.lead - len(pairs)) + pairs[::-1]
    if record.lead and (len(widths) > len(x.shape) + 1 or widths[0] != (0, 0)):
        raise unsupported(record, "it pads the batch axis")
    widths = widths[record.lead:]
    mode = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}.get(record.get("mode", "constant"))
    if mode is None:
        raise unsupported(record, f"mode {record.get('mode')!r}")
    cut = tuple(Slice(a, max(-lo, 0), 1, x.shape[a] - max(-lo, 0) - max(-hi, 0)) for a, (lo, hi) in enumerate(widths) if min(lo, hi) < 0)
    return (*cut, Pad(tuple((max(lo, 0), max(hi, 0)) for lo, hi in widths), float(record.get("value") or 0.0), mode))


@spelled("torch", "aten.expand", "aten.expand_as", "aten.broadcast_to")
def _(record: Record):
    (x,), out = record.values, record.get("out")
    if len(out) != len(record.whole(x)):
        raise unsupported(record, f"it expands {record.whole(x)} to {out}, before the batch axis")
    return None if out == record.whole(x) else Expand(record.target(out))


@spelled("torch", "aten.repeat", "aten.tile")
def _(record: Record):
    (x,), repeats = record.values, [int(r) for r in record.get("repeats", record.get("dims"))]
    repeats = [1] * (len(x.shape) + record.lead - len(repeats)) + repeats
    if len(repeats) > len(x.shape) + record.lead or (record.lead and repeats[0] != 1):
        raise unsupported(record, "it repeats the batch axis, or adds one before it")
    return Tile(tuple(repeats[record.lead:]))


@spelled("torch", "aten.clone", "aten.contiguous", "aten.alias", "aten.detach", "aten.lift_fresh_copy", "aten.positive", "aten.view_copy",
         "aten.to", "aten._to_copy", "aten.type_as", "aten.dropout", "aten.feature_dropout",
         "aten.alpha_dropout", "aten.feature_alpha_dropout", "aten.native_dropout")
def _(record: Record):
    """Nothing, in evaluation. A cast to an integer type rounds, which is not continuous."""
    if record.get("train", False):
        raise unsupported(record, "dropout that is on, though the module is in evaluation mode",
                          "give F.dropout its training=self.training, or use nn.Dropout")
    kind = str(record.get("dtype") or "float")
    if "float" not in kind and "double" not in kind and "half" not in kind:
        raise unsupported(record, f"a cast to {kind} rounds, or compares with zero")
    return None


@spelled("torch", "aten.upsample_nearest1d", "aten.upsample_nearest2d", "aten.upsample_nearest3d")
def _(record: Record):
    """Each entry repeated; only by whole factors, where all of torch's ways to round agree."""
    (x,), out = record.values, record.target(record.get("out"))
    if any(n % m for n, m in zip(out[1:], x.shape[1:], strict=True)):
        raise unsupported(record, f"it scales {x.shape[1:]} to {out[1:]}, which is no whole factor")
    return tuple(Gather(k, np.repeat(np.arange(m), n // m)) for k, (n, m) in enumerate(zip(out, x.shape, strict=True)) if n != m) or None


@spelled("torch", "aten.copy", "aten.select_scatter", "aten.slice_scatter", "aten.index_put")
def _(record: Record):
    raise unsupported(record, "a part of a tensor is assigned to", "put the parts together with torch.cat")


# ---- Keras; `out` is the shape of the whole result
@spelled("keras", "Flatten", "Reshape")
def _(record: Record):
    """Flatten puts channels last, wherever they are."""
    (x,), turn = record.values, ()
    if record.kind == "Flatten" and record.get("data_format") == "channels_first" and len(x.shape) > 1:
        turn = (Transpose((*range(1, len(x.shape)), 0)),)
    return *turn, Reshape(record.target(record.get("out")))


@spelled("keras", "Permute")
def _(record: Record):
    """Axes of a sample, the first one 1."""
    return Transpose(tuple(int(d) - 1 for d in record.get("dims")))


@spelled("keras", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", "Cropping1D", "Cropping2D", "Cropping3D")
def _(record: Record):
    (x,), crop = record.values, record.kind.startswith("Cropping")
    given = record.get("cropping" if crop else "padding")
    axes = len(x.shape) - 1
    given = [given] * axes if isinstance(given, int) else [given] if axes == 1 and isinstance(given[0], int) else given
    pairs = [(int(p), int(p)) if isinstance(p, int) else (int(p[0]), int(p[1])) for p in given]
    widths = [(0, 0), *pairs] if record.get("data_format") == "channels_first" else [*pairs, (0, 0)]
    if not crop:
        return Pad(tuple(widths))
    return tuple(Slice(k, lo, 1, x.shape[k] - lo - hi) for k, (lo, hi) in enumerate(widths) if lo or hi) or None


@spelled("keras", "UpSampling1D", "UpSampling2D", "UpSampling3D")
def _(record: Record):
    """Each entry repeated."""
    (x,), size_ = record.values, record.get("size")
    if record.get("interpolation", "nearest") != "nearest":
        raise unsupported(record, f"interpolation={record.get('interpolation')!r}")
    factors = [int(size_)] * (len(x.shape) - 1) if isinstance(size_, int) else [int(s) for s in size_]
    factors = [1, *factors] if record.get("data_format") == "channels_first" else [*factors, 1]
    return tuple(Gather(k, np.repeat(np.arange(n), f)) for k, (n, f) in enumerate(zip(x.shape, factors, strict=True)) if f > 1) or None


@spelled("keras", "RepeatVector")
def _(record: Record):
    (x,), n = record.values, int(record.get("n"))
    return Reshape((1, *x.shape)), Expand((n, *x.shape))


@spelled("keras", "Concatenate")
def _(record: Record):
    return spelling("onnx", "Concat")(record)


@spelled("keras", "Activation", "activation.linear", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout",
         "GaussianDropout", "GaussianNoise", "ActivityRegularization", "Identity")
def _(record: Record):
    """Nothing at inference; an Activation's function comes as a record of its own."""
    return None
