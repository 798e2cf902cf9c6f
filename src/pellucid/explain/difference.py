"""`difference`: how far apart two networks are over an analysis set, exactly, and whether they ever decide differently."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..certificate import Certificate, Status
from ..chain import Chain, beside, chain_of
from ..errors import DataError, Interrupted
from ..geometry import Box, Hull, NamedSlice, Slice, as_slice
from ..graph import Network
from ..regions.search import MAX_DIM
from .answer import Answer
from .by_regions import Explored, explore, explore_if_cheap
from .linear import Objective, Rows
from .optimise import largest
from .question import Found, Question, Reached

if TYPE_CHECKING:
    import pandas as pd

SAMPLES = 20_000
"""Points at which both networks are asked for their class before anything is proved."""


@dataclass(frozen=True, eq=False, repr=False)
class Difference(Answer):
    """How far apart two networks f and g are over an analysis set.

    value: the largest |f_k - g_k| of any output k (before the link), attained at `witness` (d,); bound: it is not larger.
    above, below: (c,) the largest f_k - g_k and g_k - f_k; above_at, below_at: (c, d) where; gaps: (c,) of the larger.
    decisions: the claim that both networks give the same class everywhere: PROVED, REFUTED at `disagreement` (d,), or UNKNOWN;
    None where they give no classes. margin: at the disagreement, how far the two are from agreeing: the smaller of
    f_a - f_b and g_b - g_a, with a the class that f gives there and b that of g (0 at a tie); nan where there is none.
    """

    bound: float
    above: np.ndarray
    below: np.ndarray
    above_at: np.ndarray
    below_at: np.ndarray
    gaps: np.ndarray
    names: tuple[str, ...]
    decisions: Certificate | None
    disagreement: np.ndarray | None
    margin: float

    def to_frame(self) -> pd.DataFrame:
        """One row an output: the largest difference either way."""
        import pandas as pd

        return pd.DataFrame({"output": self.names, "f - g at most": self.above, "g - f at most": self.below,
                             "largest |f - g|": np.maximum(self.above, self.below), "gap": self.gaps})

    def _line(self) -> str:
        found = "nothing was found" if self.value is None else f"largest |f - g| = {self.value:.9g}, gap {self.gap:.2g}"
        return found if self.decisions is None else f"{found}; same class everywhere: {self.decisions.status}"


def difference(f: Network, g: Network, domain: Box | Slice | NamedSlice | Hull, *, engine: str = "auto", max_seconds: float | None = None,
               threads: int | None = None, solver: str = "highs", progress: Callable[[Reached], object] | None = None) -> Difference:
    """The exact maximum of |f - g| over a domain, output by output, and whether the two ever give different classes.

    The difference of two networks is one network, whose regions are the cuts of both. engine, solver, progress: as for
    `maximise`. max_seconds: for all of it; what is not decided by then is UNKNOWN, with bounds so far.
    Raises DataError where the two have different numbers of inputs or outputs, or features of different names.
    """
    _check_pair(f, g)
    plane = as_slice(domain, f.feature_names)
    _ = plane.bounds                         # DomainError where it is empty or unbounded
    deadline = np.inf if max_seconds is None else time.perf_counter() + max_seconds
    chain = beside(chain_of(f), chain_of(g))
    try:
        explored = _explored(chain, plane, engine, deadline, threads, progress)
    except Interrupted:
        raise Interrupted(None) from None
    work = _Pair(f, g, plane, chain, explored, engine, deadline, threads, solver, progress)
    n, d = f.n_outputs, f.n_inputs
    found = [[work.apart(k, sign) for k in range(n)] for sign in (1.0, -1.0)]
    values = np.array([[q.value for q in row] for row in found])
    bounds = np.array([[q.bound for q in row] for row in found])
    at = np.array([[np.full(d, np.nan) if q.x is None else q.x for q in row] for row in found])
    decisions, x, margin = work.decisions()
    flat = [q for row in found for q in row]
    value, bound = (float(np.nanmax(values)) if np.isfinite(values).any() else None), float(bounds.max())
    witness = None if value is None else at.reshape(-1, d)[int(np.nanargmax(values))]
    gap = np.inf if value is None else bound - value
    return Difference(value, witness, float(gap), _claim(flat, value, bound), bound, values[0], values[1], at[0], at[1],
                      bounds.max(axis=0) - values.max(axis=0), f.output_names, decisions, x, margin)


def _claim(found: list[Found], value: float | None, bound: float) -> Certificate:
    first = next((q for q in found if not q.is_complete), found[0])
    if not first.is_complete or value is None:
        return Certificate("the largest |f - g| over the domain", Status.UNKNOWN, first.reason or "no point was found", first.figures)
    return Certificate(f"the largest |f - g| over the domain lies in [{value:.12g}, {bound:.12g}], and {value:.12g} is attained",
                       Status.PROVED, first.terms, first.figures)


def _check_pair(f: Network, g: Network) -> None:
    for net in (f, g):
        if not isinstance(net, Network):
            raise TypeError(f"difference takes two Networks, got a {type(net).__name__}: load it first with pellucid.load(model)")
    if (f.n_inputs, f.n_outputs) != (g.n_inputs, g.n_outputs):
        raise DataError(f"difference: the first network has {f.n_inputs} inputs and {f.n_outputs} outputs, the second {g.n_inputs} and "
                        f"{g.n_outputs}; both must be the same")
    if f.feature_names != g.feature_names and set(f.feature_names) == set(g.feature_names):
        raise DataError("difference: both networks have the same features, but in another order")


def _explored(chain: Chain, plane: Slice, engine: str, deadline: float, threads, progress) -> Explored | None:
    if engine == "milp" or (engine == "auto" and plane.dim > MAX_DIM):
        return None
    find = explore if engine == "regions" else explore_if_cheap
    explored = find(chain, plane, deadline=deadline, threads=threads, progress=progress)
    return explored if explored.table.complete or engine == "regions" else None


class _Pair:
    """All questions about the two networks; the regions are the same for all of them."""

    def __init__(self, f: Network, g: Network, plane: Slice, chain: Chain, explored: Explored | None, engine: str, deadline: float,
                 threads, solver: str, progress):
        self.f, self.g, self.plane, self.chain, self.explored = f, g, plane, chain, explored
        self.engine = "milp" if explored is None else "regions"
        if engine not in ("auto", "regions", "milp"):
            raise ValueError(f"engine='{engine}': there are 'auto', 'regions' and 'milp'")
        self.deadline, self.options, self.progress = deadline, {"threads": threads, "solver": solver}, progress

    def _ask(self, outputs: np.ndarray, rows: Rows) -> Found:
        """The largest outputs . (f(x), g(x)) under the rows."""
        goal = Objective(outputs, np.zeros(self.f.n_inputs))
        asked = Question(self.chain, self._values, self.plane, goal, rows, np.zeros(0, int), (), None, self.deadline, self.progress)
        return largest(asked, self.engine, explored=self.explored, **self.options)

    def _values(self, X: np.ndarray) -> np.ndarray:
        return np.hstack([self.f(X), self.g(X)])

    def apart(self, k: int, sign: float) -> Found:
        """The largest sign (f_k - g_k)."""
        unit = sign * np.eye(self.f.n_outputs)[k]
        none = Rows(np.zeros((0, 2 * len(unit))), np.zeros((0, self.f.n_inputs)), np.zeros(0))
        return self._ask(np.concatenate([unit, -unit]), none)

    # ---- classes
    def decisions(self) -> tuple[Certificate | None, np.ndarray | None, float]:
        """(whether both give the same class everywhere, a point where not, its margin)."""
        n = self.f.n_classes
        claim = "both networks give the same class everywhere in the domain"
        if not n or n != self.g.n_classes:
            return None, None, float("nan")
        seen = self._sampled()
        if seen is not None:
            return Certificate(claim, Status.REFUTED, "the witness is re-evaluated by both networks"), *seen
        given = [[c for c in range(n) if self._possible(self._wins(c, which))] for which in (0, 1)]
        open_ = False
        for a in given[0]:
            for b in given[1]:
                if a == b:
                    continue
                rows = _both(self._wins(a, 0), self._wins(b, 1))
                found = self._ask(-rows.C.sum(axis=0), rows)
                if found.is_infeasible:
                    continue
                at = None if found.x is None else self._disagreement(found.x)
                if at is not None:
                    return Certificate(claim, Status.REFUTED, "the witness is re-evaluated by both networks", found.figures), found.x, at
                open_ = True
        if open_:
            return Certificate(claim, Status.UNKNOWN, "some classes can be told apart at ties only, or time ran out"), None, float("nan")
        terms = "no region holds a point with different classes, with the errors of the regions' models" if self.explored else \
            "no point, to the solver's tolerances"
        return Certificate(claim, Status.PROVED, terms), None, float("nan")

    def _wins(self, c: int, which: int) -> Rows:
        """Rows that hold where network `which` gives class c (or is tied)."""
        n = self.f.n_outputs
        if n == 1:
            C = np.array([[1.0 if c == 0 else -1.0]])
        else:
            C = np.delete(np.eye(n), c, axis=0) - np.eye(n)[c]
        wide = np.zeros((len(C), 2 * n))
        wide[:, which * n:(which + 1) * n] = C
        return Rows(wide, np.zeros((len(C), self.f.n_inputs)), np.zeros(len(C)))

    def _possible(self, rows: Rows) -> bool:
        return not self._ask(np.zeros(2 * self.f.n_outputs), rows).is_infeasible

    def _sampled(self) -> tuple[np.ndarray, float] | None:
        lower, upper = self.plane.bounds
        u = np.random.default_rng(0).uniform(lower, upper, (SAMPLES, self.plane.dim))
        G, h, _ = self.plane.constraints
        u = u[(u @ G.T <= h).all(axis=1)]
        if self.explored is not None:
            u = np.vstack([u, self.explored.table.points])
        if not len(u):
            return None
        X = self.plane.point(u)
        margin = self._margins(X)
        k = int(np.argmax(margin))
        return (X[k], float(margin[k])) if margin[k] >= 0 else None

    def _disagreement(self, x: np.ndarray) -> float | None:
        margin = float(self._margins(x[None])[0])
        return margin if margin >= 0 else None

    def _margins(self, X: np.ndarray) -> np.ndarray:
        """(n,) how far the classes of both are from agreeing, 0 where one of them is tied; -1 where they agree."""
        y, z = self.f(X), self.g(X)
        differ = self.f.decide(X) != self.g.decide(X)
        if y.shape[1] == 1:
            return np.where(differ, np.minimum(np.abs(y[:, 0]), np.abs(z[:, 0])), -1.0)
        row, a, b = np.arange(len(y)), y.argmax(axis=1), z.argmax(axis=1)
        return np.where(differ, np.minimum(y[row, a] - y[row, b], z[row, b] - z[row, a]), -1.0)


def _both(first: Rows, second: Rows) -> Rows:
    return Rows(np.vstack([first.C, second.C]), np.vstack([first.Q, second.Q]), np.concatenate([first.b, second.b]))
