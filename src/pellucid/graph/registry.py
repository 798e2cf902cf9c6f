"""How frameworks spell ops: each op's file says it, importers look it up. No list of ops stands anywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import UnsupportedOp
from .op import Op, Shape


@dataclass(frozen=True)
class Value:
    """A tensor that depends on the network's input: its node's name and per-sample shape."""

    name: str
    shape: Shape


@dataclass(frozen=True)
class Record:
    """One operation as a framework writes it down.

    framework: "onnx" | "torch" | "keras"; kind: the framework's name of the operation ("Gemm", "aten.relu", "Dense").
    args: by position, a `Value`, a float/int numpy constant, or None where left out.
    attrs: attributes and keyword arguments. `batch`: size of the batch axis while tracing (first axis of shapes in attrs
    or constants that speak of whole tensors, such as a Reshape's target); 0 where tensors have no batch axis at all, and
    per-sample shapes are whole shapes.
    """

    framework: str
    kind: str
    node: str
    args: tuple[Any, ...] = ()
    attrs: dict[str, Any] = field(default_factory=dict)
    batch: int = 1
    origin: str = ""

    def get(self, key: str, default=None):
        return self.attrs.get(key, default)

    @property
    def values(self) -> tuple[Value, ...]:
        """The arguments that depend on the input, in order."""
        return tuple(a for a in self.args if isinstance(a, Value))

    def constant(self, i: int, default=None):
        """Argument i where it is a constant; `default` where it is left out; an error where it depends on the input."""
        arg = self.args[i] if i < len(self.args) else None
        if arg is None:
            return default
        if isinstance(arg, Value):
            raise unsupported(self, f"argument {i} depends on the input; a constant is needed there")
        return np.asarray(arg)


    # ---- between whole tensors, of which frameworks speak, and samples, of which ops do
    @property
    def lead(self) -> int:
        """Leading axes that are batch: 1, or 0 where there is none."""
        return 1 if self.batch else 0

    def whole(self, value: Value) -> Shape:
        """The shape of the whole tensor, batch axis included."""
        return (self.batch, *value.shape) if self.batch else value.shape

    def axis(self, a: int, value: Value | None = None) -> int:
        """The sample's axis for axis `a` of the whole tensor (negative counts from the end)."""
        rank = len((value or self.values[0]).shape) + self.lead
        if not -rank <= a < rank:
            raise unsupported(self, f"axis {a} of a tensor of {rank} axes")
        a = a % rank - self.lead
        if a < 0:
            raise unsupported(self, "it works along the batch axis, so that rows would depend on each other")
        return a

    def target(self, shape: Shape) -> Shape:
        """The sample's shape for a whole tensor's target shape."""
        if self.batch and (not len(shape) or shape[0] != self.batch):
            raise unsupported(self, f"its result has shape {tuple(shape)} for a batch of {self.batch}: the batch axis is gone")
        return tuple(int(n) for n in shape[self.lead:])

    def sample_constant(self, i: int, rank: int | None = None) -> np.ndarray:
        """Constant argument i, float64, as it broadcasts against one sample of `rank` axes (default: the first value's)."""
        c = np.array(self.constant(i), dtype=np.float64)
        rank = len(self.values[0].shape) if rank is None else rank
        while c.ndim > rank and c.shape[0] == 1 and (self.lead or c.ndim > rank + self.lead):
            c = c[0]
        if c.ndim == rank + 1 and self.batch and len(c) == self.batch and (c == c[:1]).all():
            c = c[0]                                            # made from the traced batch size: every row the same
        if c.ndim > rank:
            raise unsupported(self, f"a constant of shape {c.shape} does not broadcast against one sample of {rank} axes")
        return c


Speller = Callable[[Record], "Op | tuple[Op, ...] | None"]
_SPELLINGS: dict[tuple[str, str], Speller] = {}


def spelled(framework: str, *kinds: str) -> Callable[[Speller], Speller]:
    """Register how `framework` spells an op. The function gets a Record and returns an Op (applied to the record's
    values in order), a tuple of Ops applied one after the other, or None for "does nothing" (the first value)."""

    def register(speller: Speller) -> Speller:
        for kind in kinds:
            assert (framework, kind) not in _SPELLINGS, f"{framework} {kind} is spelled twice"
            _SPELLINGS[framework, kind] = speller
        return speller

    return register


def spelling(framework: str, kind: str) -> Speller | None:
    return _SPELLINGS.get((framework, kind))


def spellings(framework: str) -> list[str]:
    return sorted(kind for f, kind in _SPELLINGS if f == framework)


def unsupported(record: Record, reason: str = "", way_out: str = "") -> UnsupportedOp:
    """The error for a record that no op can take, in the house form."""
    shapes = ", ".join(f"'{v.name}' of shape {v.shape}" for v in record.values) or "no input"
    lines = [f"node '{record.node}' is {'an' if record.framework[0] in 'aeiou' else 'a'} {record.framework} '{record.kind}'"
             + (f": {reason}" if reason else ", and no op here is spelled so."),
             f"  It came from   {record.origin or 'the model'}, input {shapes}",
             "  To go on       " + (way_out or f"cut the model before '{record.node}', or replace the operation by supported ones")]
    return UnsupportedOp("\n".join(lines))
