"""The network that a user holds: a graph, its link, and the names that travel to every table and picture."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import NoDecision
from .graph import Graph, GraphBuilder, as_batch, is_piecewise_linear
from .op import AffineOp, Pick
from .rows import in_order
from .table import TableEncoder

LINKS = ("identity", "softmax", "log_softmax", "sigmoid")


@dataclass(frozen=True, eq=False)
class Network:
    """f: R^d -> R^c with names. Made by `pellucid.load`.

    graph: what is computed, up to the logits. link: what the model applies to them ("identity", "softmax",
    "log_softmax", "sigmoid"). feature_names: d strings. class_names: one a class (two for a single sigmoid output).
    units: of the features, "" where there is none. task: "classification", "regression" or None (unknown).
    fidelity: largest relative error against the original runtime, None where there was none to ask.
    table: how rows of a raw frame become inputs, for a model that takes categories (`net.table.encode(frame)`).
    """

    graph: Graph
    link: str = "identity"
    feature_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    task: str | None = None
    fidelity: Any = None
    source: str = ""
    table: TableEncoder | None = None

    def __post_init__(self):
        assert self.link in LINKS, self.link
        d = int(np.prod(self.graph.input_shape))
        _fill(self, "feature_names", d, [f"x{i}" for i in range(d)])
        _fill(self, "units", d, [""] * d)
        _fill(self, "class_names", self.n_classes or self.n_outputs, self._default_class_names())
        if len(set(self.feature_names)) < d:
            raise ValueError("feature_names holds a name twice")

    # ---- sizes
    @property
    def n_inputs(self) -> int:
        return int(np.prod(self.graph.input_shape))

    @property
    def n_outputs(self) -> int:
        return int(np.prod(self.graph.shape_of(self.graph.output)))

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.graph.input_shape

    @property
    def n_classes(self) -> int:
        """Classes to decide between; 0 for regression and for several labels at once (several sigmoid outputs)."""
        if self.task == "regression" or (self.link == "identity" and self.n_outputs == 1):
            return 0
        if self.link == "sigmoid":
            return 2 if self.n_outputs == 1 else 0
        return self.n_outputs

    @property
    def is_multilabel(self) -> bool:
        return self.link == "sigmoid" and self.n_outputs > 1

    @property
    def output_names(self) -> tuple[str, ...]:
        """One a logit: the class names, or the second of two where a single sigmoid output speaks for it."""
        return self.class_names if len(self.class_names) == self.n_outputs else (self.class_names[-1],)

    @cached_property
    def is_piecewise_linear(self) -> bool:
        return is_piecewise_linear(self.graph)

    # ---- evaluation
    def __call__(self, x) -> np.ndarray:
        """Logits, float64 (n, c), for rows (n, d) or (n, *input_shape), or a frame (columns by name, categories encoded)."""
        y = self.graph(as_batch(in_order(self, x), self.graph.input_shape))
        return np.ascontiguousarray(y.reshape(len(y), self.n_outputs))

    def predict(self, x) -> np.ndarray:
        """What the model answers: the link applied to the logits, (n, c)."""
        return apply_link(self.link, self(x))

    def decide(self, x, *, threshold: float = 0.5) -> np.ndarray:
        """Class of each row, (n,) int; first of equals. One sigmoid output: 1 where its probability exceeds `threshold`.

        NoDecision for regression and for several labels at once.
        """
        y = self(x)
        if self.n_classes == 0:
            raise NoDecision(no_class(self))
        check_threshold(self, threshold)
        if self.n_outputs == 1:
            return (y[:, 0] > logit(threshold)).astype(np.int64)
        return y.argmax(axis=1)

    # ---- other networks made of this one
    def unit(self, layer: int | str, i: int) -> Network:
        """The network whose one output is hidden unit i of a layer, after its activation (CEE III-C).

        layer: number of the activation layer (0 first; negative from the end) or its node's name; i: flat index in it.
        """
        hidden = [n for n in self.graph.nodes if not isinstance(n.op, AffineOp)]
        if isinstance(layer, str):
            chosen = self.graph.by_name.get(layer)
            if chosen is None:
                raise KeyError(f"no layer is called '{layer}'; there are: {', '.join(n.name for n in hidden)}")
        else:
            if not -len(hidden) <= layer < len(hidden):
                raise IndexError(f"layer {layer}: the network has {len(hidden)} activation layers")
            chosen = hidden[layer]
        width = int(np.prod(chosen.shape))
        if not 0 <= i < width:
            raise IndexError(f"unit {i}: layer '{chosen.name}' has {width} units")
        builder = GraphBuilder(self.graph.input_shape)
        cut = self.graph.until(chosen.name)
        builder.nodes, builder.shapes = list(cut.nodes), {**builder.shapes, **{n.name: n.shape for n in cut.nodes}}
        out = builder.add(Pick(np.array([i])), chosen.name, name="unit")
        return replace(self, graph=builder.graph(out), link="identity", class_names=(f"{chosen.name}[{i}]",), task="regression",
                       fidelity=None)

    # ---- description
    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that the function depends on: graph, constants, link."""
        from .store import canonical

        text, arrays = canonical(self)
        h = hashlib.sha256(text.encode())
        for name in sorted(arrays):
            a = np.ascontiguousarray(arrays[name])
            h.update(f"{name}{a.dtype.str}{a.shape}".encode())
            h.update(a.tobytes())
        return h.hexdigest()

    def summary(self) -> str:
        """A table of the nodes, as text."""
        rows = [("node", "op", "output", "from")]
        rows += [(n.name, type(n.op).__name__, "x".join(map(str, n.shape)) or "scalar", ", ".join(n.inputs)) for n in self.graph.nodes]
        widths = [max(len(r[k]) for r in rows) for k in range(4)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines.insert(1, "-" * max(map(len, lines)))
        head = repr(self)
        tail = "fidelity: " + ("not checked" if self.fidelity is None else f"{self.fidelity}")
        return "\n".join([head, *lines, tail])

    def save(self, path: str | Path) -> Path:
        """Write the network as one `.npz` file without pickle; `pellucid.load(path)` reads it back."""
        from .store import save_network

        return save_network(self, path)

    def __repr__(self) -> str:
        kind = "piecewise linear" if self.is_piecewise_linear else "smooth"
        return f"Network({self.n_inputs} inputs -> {self.n_outputs} outputs, {len(self.graph.nodes)} nodes, {kind}, link {self.link})"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(self.summary())}</pre>"

    def _default_class_names(self) -> list[str]:
        n = self.n_classes
        return [f"class {k}" for k in range(n)] if n else [f"y{k}" for k in range(self.n_outputs)]


def _fill(net: Network, field: str, n: int, default: Sequence[str]) -> None:
    """Set a tuple of n names, or say which length was wanted."""
    given = getattr(net, field)
    names = tuple(str(s) for s in given) if given is not None and len(given) else tuple(default)
    if len(names) != n:
        raise ValueError(f"{field} has {len(names)} entries, the network needs {n}")
    object.__setattr__(net, field, names)


def apply_link(link: str, y: np.ndarray) -> np.ndarray:
    """The link's value for logits y: (n, c)."""
    if link == "identity":
        return y
    if link == "sigmoid":
        return np.where(y >= 0, 1.0, np.exp(-np.abs(y))) / (1.0 + np.exp(-np.abs(y)))
    shifted = y - y.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted - log_sum if link == "log_softmax" else np.exp(shifted - log_sum)


def logit(p: float) -> float:
    """log(p / (1 - p)): where a probability threshold lies among logits."""
    if not 0.0 < p < 1.0:
        raise ValueError(f"threshold={p}: a probability strictly between 0 and 1 is needed")
    return float(np.log(p) - np.log1p(-p))


def check_threshold(net: Network, threshold: float) -> None:
    """Is this a probability, and does the network decide by one? NoDecision, ValueError."""
    logit(threshold)
    if threshold != 0.5 and net.link != "sigmoid":
        raise NoDecision(f"threshold={threshold}: only sigmoid outputs are compared with a threshold; this network "
                         + ("gives no class" if net.n_classes == 0 else "gives the class of its largest output: leave threshold out"))


def no_class(net: Network) -> str:
    if net.is_multilabel:
        return ("several sigmoid outputs are several labels at once: each is thresholded by itself, there is no one class. "
                "Split by one output: load the network with only that output, or use by=None and select(where=...)")
    return ("this network gives a number, not a class (regression), so nothing can be split by class. "
            "If it is a classifier, say so: a final softmax or sigmoid in the model, or link='sigmoid' to load()")
