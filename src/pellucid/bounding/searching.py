"""What a search for unsafe points carries with it: its budget, the least margin, the witness, what was proved and what is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .property import Case
from .space import Space


@dataclass(frozen=True)
class Reached:
    """What a verification has reached: nodes bounded, nodes left open, share of the domain (of the tree) done, seconds."""

    nodes: int
    open: int
    share: float
    seconds: float


@dataclass(eq=False)
class Budget:
    """deadline in seconds of time.perf_counter; nodes that may be bounded. pressed: Ctrl-C was."""

    max_seconds: float | None
    max_nodes: int | None
    progress: Callable[[Reached], object] | None = None
    began: float = field(default_factory=time.perf_counter)
    nodes: int = 0
    pressed: bool = False

    def __post_init__(self):
        for name in ("max_seconds", "max_nodes"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name}={value}: a budget is a number, and not negative; None sets none")

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began

    @property
    def is_over(self) -> bool:
        return self.pressed or (self.max_seconds is not None and self.seconds > self.max_seconds) or self.nodes_left <= 0

    @property
    def nodes_left(self) -> int:
        return 2**62 if self.max_nodes is None else int(self.max_nodes) - self.nodes

    @property
    def reason(self) -> str:
        if self.pressed:
            return "Ctrl-C ended it"
        return "the budget of nodes is used up" if self.nodes_left <= 0 else "time ran out"

    def tell(self, n_open: int, share: float) -> None:
        if self.progress is not None:
            self.progress(Reached(self.nodes, n_open, share, self.seconds))


@dataclass(eq=False)
class Search:
    """The state of one verification. margin: of the point found that is nearest to unsafe, v: that point, case: its case.

    is_witness(x) says of inputs (n, d) whether they are unsafe by the network itself.
    proved: the least margin that holds where the search is done. undecided: why something is left for good, "" where nothing is.
    """

    space: Space
    budget: Budget
    is_witness: Callable[[np.ndarray], np.ndarray]
    margin: float = np.inf
    v: np.ndarray | None = None
    case: int | None = None
    witness: np.ndarray | None = None
    proved: float = np.inf
    open_bound: float = np.inf
    undecided: str = ""
    n_left: int = 0
    leaves: int = 0
    boxes: int = 0
    kept: list[Any] = field(default_factory=list)

    @property
    def is_decided(self) -> bool:
        return self.witness is not None

    def try_points(self, v: np.ndarray, cases: tuple[Case, ...] | None = None) -> bool:
        """Look at points (n, k): keep the nearest to unsafe, and the first witness. Whether there is one now."""
        if self.is_decided or not len(v):
            return self.is_decided
        v = self.space.sets.inside(v)                       # boxes that bounds hold on reach beyond a ball
        y = self.outputs(v)
        for k, c in enumerate(self.space.cases if cases is None else cases):
            excess = c.C @ y.T - c.b[:, None]
            inside = ((v >= c.lower) & (v <= c.upper)).all(axis=1)
            m = np.where(inside, excess.max(axis=0, initial=-np.inf), np.inf)
            m = np.where(np.isnan(m), np.inf, m)
            i = int(m.argmin())
            if m[i] < self.margin:
                self.margin, self.v, self.case = float(m[i]), v[i].copy(), k
            unsafe = np.flatnonzero(m <= 0.0)
            for i in unsafe[np.argsort(m[unsafe])][:16]:
                if self.is_unsafe(v[i]):
                    self.witness, self.v, self.margin, self.case = v[i].copy(), v[i].copy(), float(m[i]), k
                    return True
        return False

    def is_unsafe(self, v: np.ndarray) -> bool:
        """Is this point (k,) one of the domain, in a case, and unsafe by the network itself?"""
        sets, v = self.space.sets, v[None]
        if not np.array_equal(sets.inside(v), v):
            return False
        y = self.outputs(v)
        return any(c.holds(y, v)[0] for c in self.space.cases) and bool(self.is_witness(self.space.lift(v))[0])

    def outputs(self, v: np.ndarray) -> np.ndarray:
        """(n, outputs) of the space's graph, float64."""
        graph = self.space.graph
        return np.asarray(graph(v.reshape(len(v), *graph.input_shape))).reshape(len(v), -1)


def excluded(lower: np.ndarray, rows_of_case: list[np.ndarray], strict: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(which cases are excluded (n, cases), their margins (n, cases)) from lower bounds (n, rows) of C f - b.

    A case is excluded where one of its rows is positive throughout; zero suffices for a strict row.
    """
    out = np.empty((len(lower), len(rows_of_case)), dtype=bool)
    margin = np.empty((len(lower), len(rows_of_case)))
    for k, rows in enumerate(rows_of_case):
        part = lower[:, rows]
        out[:, k] = ((part > 0.0) | (strict[rows] & (part >= 0.0))).any(axis=1)
        margin[:, k] = part.max(axis=1, initial=-np.inf)
    return out, margin
