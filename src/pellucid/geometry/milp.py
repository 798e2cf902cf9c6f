"""Mixed-integer linear programmes: the one door to HiGHS, and to SCIP or Gurobi where a user has them."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import current_thread, main_thread

import numpy as np
import scipy.sparse as sp

from ..errors import Interrupted, MissingExtra
from ..tolerance import SECOND_SOLVER, SOLVER

Stop = Callable[[float, float], bool]
"""Asked while a solver works, with the best value found and the best bound (inf or -inf where there is none): True ends it."""


@dataclass(frozen=True, eq=False)
class Optimum:
    """What a solver says of one programme.

    x: every column's value at the best point found, or None. value: the objective there, nan without a point.
    bound: no feasible point is better than this, as the solver states it, to its tolerances; +-inf where it states nothing.
    status: "optimal", "infeasible", "unbounded" or "limit" (time ran out, or `stop` ended it; x and bound are the best so far).
    gap: |value - bound|, inf without a point.
    duals: multipliers of the rows (HiGHS, programmes without integers, else None).
    """

    x: np.ndarray | None
    value: float
    bound: float
    status: str
    seconds: float
    gap: float
    duals: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class _Rows:
    """lower <= A x[columns] <= upper, A in CSR over the programme's columns."""

    A: sp.csr_array
    lower: np.ndarray
    upper: np.ndarray


class Program:
    """Columns with bounds, some of them integers, and rows lower <= A x <= upper; grown step by step, solved as often as wanted.

        p = Program()
        x = p.add(3, 0.0, 1.0)
        p.constrain(A, x, -np.inf, b)
        best = p.maximise(c, x)

    A copy shares the rows that are there (they never change) and has no solver of its own yet.
    """

    def __init__(self) -> None:
        self.lower = np.zeros(0)
        self.upper = np.zeros(0)
        self.integer = np.zeros(0, dtype=bool)
        self._rows: list[_Rows] = []
        self._solvers: dict[tuple[str, bool, bool], _Highs | _Scip | _Gurobi] = {}
        self._matrix: tuple[tuple[int, int], tuple] | None = None

    @property
    def n_columns(self) -> int:
        return len(self.lower)

    @property
    def n_rows(self) -> int:
        return sum(len(r.lower) for r in self._rows)

    def copy(self) -> Program:
        other = Program()
        other.lower, other.upper, other.integer = self.lower.copy(), self.upper.copy(), self.integer.copy()
        other._rows = list(self._rows)
        return other

    __copy__ = copy

    def add(self, n: int, lower, upper, integer=False) -> np.ndarray:
        """n new columns with these bounds (numbers, or one a column); their indices."""
        start = self.n_columns
        self.lower = np.concatenate([self.lower, np.broadcast_to(np.asarray(lower, float), n)])
        self.upper = np.concatenate([self.upper, np.broadcast_to(np.asarray(upper, float), n)])
        self.integer = np.concatenate([self.integer, np.broadcast_to(np.asarray(integer, bool), n)])
        return np.arange(start, start + n)

    def bound(self, columns, lower, upper) -> None:
        """Other bounds for columns that are there; solvers follow at the next call."""
        self.lower[columns], self.upper[columns] = lower, upper

    def constrain(self, A, columns, lower, upper) -> None:
        """Rows lower <= A x[columns] <= upper; A (m, len(columns)) dense or sparse, -inf and inf for a side that is open."""
        columns = np.asarray(columns, dtype=np.int64).ravel()
        A = sp.coo_array(np.atleast_2d(A)) if not sp.issparse(A) else sp.coo_array(A)
        if A.shape[1] != len(columns):
            raise ValueError(f"A has {A.shape[1]} columns, {len(columns)} columns of the programme are named")
        m = A.shape[0]
        if m == 0:
            return
        wide = sp.csr_array((A.data, (A.coords[0], columns[A.coords[1]])), shape=(m, self.n_columns))
        wide.sum_duplicates()
        lower, upper = (np.broadcast_to(np.asarray(side, float), m).copy() for side in (lower, upper))
        self._rows.append(_Rows(wide, lower, upper))

    def matrix(self) -> tuple[sp.csr_array, np.ndarray, np.ndarray]:
        """All rows so far: (A, lower, upper)."""
        state, n = (len(self._rows), self.n_columns), self.n_columns
        if self._matrix is None or self._matrix[0] != state:
            parts = [sp.csr_array((r.A.data, r.A.indices, r.A.indptr), shape=(len(r.lower), n)) for r in self._rows]
            none = np.zeros(0)
            A = sp.csr_array(sp.vstack(parts, format="csr")) if parts else sp.csr_array((0, n))
            self._matrix = state, (A, np.concatenate([none, *(r.lower for r in self._rows)]),
                                   np.concatenate([none, *(r.upper for r in self._rows)]))
        return self._matrix[1]

    def minimise(self, c, columns, *, offset: float = 0.0, max_seconds: float | None = None, relative_gap: float = 0.0,
                 solver: str = "highs", stop: Stop | None = None, relaxed: bool = False, start: np.ndarray | None = None,
                 second: bool = False) -> Optimum:
        """The smallest c . x[columns] + offset.

        solver: "highs", "scip" or "gurobi". relaxed: without integrality. stop: see `Stop`. start: values of all columns (nan where
        unknown) to begin from. relative_gap: |value - bound| / |value| that is enough. second: HiGHS with other settings (presolve, a
        wider tolerance, another seed), whose faults are not the same: to hold a first answer against.
        """
        cost = np.zeros(self.n_columns)
        np.add.at(cost, np.asarray(columns, dtype=np.int64).ravel(), np.asarray(c, float).ravel())
        engine = self._solver(solver, relaxed, second)
        began = time.perf_counter()
        found = engine.solve(self, cost, offset, np.inf if max_seconds is None else max(max_seconds, 0.0), relative_gap, stop, start)
        return _optimum(found, time.perf_counter() - began)

    def maximise(self, c, columns, *, offset: float = 0.0, max_seconds: float | None = None, relative_gap: float = 0.0,
                 solver: str = "highs", stop: Stop | None = None, relaxed: bool = False, start: np.ndarray | None = None,
                 second: bool = False) -> Optimum:
        """The largest c . x[columns] + offset; arguments as for `minimise`."""
        turned = None if stop is None else (lambda value, bound: stop(-value, -bound))
        try:
            return _turned(self.minimise(-np.asarray(c, float), columns, offset=-offset, max_seconds=max_seconds,
                                         relative_gap=relative_gap, solver=solver, stop=turned, relaxed=relaxed, start=start,
                                         second=second))
        except Interrupted as partial:
            raise Interrupted(_turned(partial.partial)) from None

    def minimise_twice(self, c, columns, *, offset: float = 0.0, max_seconds: float | None = None, solver: str = "highs",
                       stop: Stop | None = None) -> Optimum:
        """`minimise`, asked of HiGHS with two settings: the lower bound and the better point of both answers.

        Infeasible only where both say so, "limit" where either was stopped. HiGHS's faults are lost optima, which its two settings
        have not been seen to share (design/milp-presolve.md); other solvers are asked once.
        """
        first = self.minimise(c, columns, offset=offset, max_seconds=max_seconds, solver=solver, stop=stop)
        if solver != "highs" or not self.integer.any() or first.status == "unbounded":
            return first
        left = None if max_seconds is None else max(max_seconds - first.seconds, 0.0)
        try:
            other = self.minimise(c, columns, offset=offset, max_seconds=left, solver=solver, stop=stop, second=True)
        except Interrupted as end:
            other = end.partial
            raise Interrupted(_joined(first, other)) from None
        return _joined(first, other)

    def maximise_twice(self, c, columns, *, offset: float = 0.0, max_seconds: float | None = None, solver: str = "highs",
                       stop: Stop | None = None) -> Optimum:
        """The same for the largest."""
        turned = None if stop is None else (lambda value, bound: stop(-value, -bound))
        try:
            return _turned(self.minimise_twice(-np.asarray(c, float), columns, offset=-offset, max_seconds=max_seconds, solver=solver,
                                               stop=turned))
        except Interrupted as partial:
            raise Interrupted(_turned(partial.partial)) from None

    def proved_bound(self, c, columns, duals: np.ndarray, *, offset: float = 0.0) -> float:
        """A lower bound of c . x + offset over the programme, by multipliers of its rows; valid for any multipliers.

        Needs     finite bounds of every column that the rows and c reach.
        Sound     yes, rounding of this computation included; independent of the solver's tolerances.
        Source    weak duality; Neumaier & Shcherbina 2004 (safe bounds in linear and mixed-integer programming).
        """
        A, low, high = self.matrix()
        y = np.where(duals > 0, np.where(np.isfinite(low), duals, 0.0), np.where(np.isfinite(high), duals, 0.0))
        cost = np.zeros(self.n_columns)
        np.add.at(cost, np.asarray(columns, dtype=np.int64).ravel(), np.asarray(c, float).ravel())
        reduced = cost - A.T @ y
        side = np.where(y > 0, np.where(np.isfinite(low), low, 0.0), np.where(np.isfinite(high), high, 0.0))
        lower, upper = (np.where((reduced == 0) & ~np.isfinite(b), 0.0, b) for b in (self.lower, self.upper))
        terms = np.where(reduced > 0, reduced * lower, np.where(reduced < 0, reduced * upper, 0.0))
        size = np.maximum(np.abs(lower), np.abs(upper))
        wobble = (np.abs(cost) + abs(A).T @ np.abs(y)) * size       # |error of reduced| |x|
        units = (A.shape[0] + self.n_columns + 8) * np.finfo(float).eps
        slack = units * float(np.sum(wobble) + np.sum(np.abs(y * side)) + abs(offset))
        value = float(y @ side + terms.sum() + offset - slack)
        return value if np.isfinite(value) else -np.inf

    def dual_margin(self) -> float:
        """How much a solver's bound may be too tight where each of its multipliers keeps its sign to SOLVER only.

        A wrong multiplier of a column or row is paid with the range of that column or row (weak duality). Primal tolerances need
        no margin: they only add points.
        """
        A, *_ = self.matrix()
        lower, upper = (np.where(np.isfinite(b), b, 0.0) for b in (self.lower, self.upper))
        width = upper - lower
        activity = abs(A) @ width
        return SOLVER * float(1 + width.sum() + activity.sum())

    def _solver(self, name: str, relaxed: bool, second: bool = False):
        kinds = {"highs": _Highs, "scip": _Scip, "gurobi": _Gurobi}
        if name not in kinds:
            raise ValueError(f"solver='{name}': there are {', '.join(map(repr, kinds))}")
        key = (name, relaxed, second)
        if key not in self._solvers:
            self._solvers[key] = _Highs(relaxed, second) if name == "highs" else kinds[name](relaxed)
        return self._solvers[key]


def _optimum(found: _Found, seconds: float) -> Optimum:
    x, value, bound, status, duals = found
    return Optimum(x, value, bound, status, seconds, float(abs(value - bound)) if x is not None else np.inf, duals)


def _joined(one: Optimum, two: Optimum) -> Optimum:
    """What two answers to one question say together: neither's bound is trusted beyond the other's."""
    seconds = one.seconds + two.seconds
    feasible = [o for o in (one, two) if o.status != "infeasible"]
    if not feasible:
        return replace(one, seconds=seconds)
    points = [o for o in feasible if o.x is not None]
    best = min(points, key=lambda o: o.value) if points else feasible[0]
    bound = min(o.bound for o in feasible)
    status = "optimal" if all(o.status in ("optimal", "infeasible") for o in (one, two)) else "limit"
    return replace(best, bound=bound, status=status, seconds=seconds, gap=abs(best.value - bound) if points else np.inf)


def _turned(least: Optimum) -> Optimum:
    duals = None if least.duals is None else -least.duals
    return Optimum(least.x, -least.value, -least.bound, least.status, least.seconds, least.gap, duals)


@contextmanager
def _ctrl_c() -> Iterator[list[int]]:
    """A list that Ctrl-C puts something into, in place of an exception in the midst of a solver's callback."""
    pressed: list[int] = []
    if current_thread() is not main_thread() or signal.getsignal(signal.SIGINT) in (None, signal.SIG_IGN):
        yield pressed                              # signals are another's business
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


_Found = tuple[np.ndarray | None, float, float, str, np.ndarray | None]


class _Highs:
    """A HiGHS model that follows a Program: rows and columns that were added since are passed on, the basis is kept."""

    def __init__(self, relaxed: bool, second: bool = False) -> None:
        try:
            import highspy
        except ImportError:
            raise MissingExtra("highspy", "all", "mixed-integer optimisation") from None
        self.api, self.relaxed, self.second = highspy, relaxed, second
        self.model = highspy.Highs()
        tolerance = SECOND_SOLVER if second else SOLVER
        self.n_columns = self.n_blocks = 0
        self.lower = self.upper = np.zeros(0)
        self.is_integer = False
        for name, value in (("output_flag", False), ("primal_feasibility_tolerance", tolerance), ("dual_feasibility_tolerance", SOLVER),
                            ("mip_feasibility_tolerance", tolerance), ("mip_abs_gap", 0.0), ("random_seed", int(second))):
            self.model.setOptionValue(name, value)

    def _follow(self, program: Program) -> None:
        none = np.zeros(0)
        new = program.n_columns - self.n_columns
        if new:
            start = self.n_columns
            lower, upper = program.lower[start:], program.upper[start:]
            self.model.addCols(new, np.zeros(new), lower, upper, 0, np.zeros(new, np.int32), none.astype(np.int32), none)
            whole = np.flatnonzero(program.integer[start:]) + start
            if len(whole) and not self.relaxed:
                kind = np.full(len(whole), int(self.api.HighsVarType.kInteger), dtype=np.uint8)
                self.model.changeColsIntegrality(len(whole), whole.astype(np.int32), kind)
                self.is_integer = True
            self.lower, self.upper = np.append(self.lower, lower), np.append(self.upper, upper)
            self.n_columns = program.n_columns
        moved = np.flatnonzero((self.lower != program.lower) | (self.upper != program.upper))
        if len(moved):
            self.model.changeColsBounds(len(moved), moved.astype(np.int32), program.lower[moved], program.upper[moved])
            self.lower, self.upper = program.lower.copy(), program.upper.copy()
        for rows in program._rows[self.n_blocks:]:
            A = rows.A
            self.model.addRows(len(rows.lower), rows.lower, rows.upper, A.nnz, A.indptr[:-1].astype(np.int32),
                               A.indices.astype(np.int32), A.data)
        self.n_blocks = len(program._rows)

    def solve(self, program: Program, cost, offset, max_seconds, relative_gap, stop, start) -> _Found:
        self._follow(program)
        model = self.model
        everything = np.arange(self.n_columns, dtype=np.int32)
        model.changeColsCost(self.n_columns, everything, cost)
        model.changeObjectiveOffset(offset)
        model.setOptionValue("mip_rel_gap", float(relative_gap))
        model.setOptionValue("time_limit", float(min(max_seconds, 1e9)) + (0.0 if self.is_integer else model.getRunTime()))
        if start is not None and self.is_integer:
            known = np.flatnonzero(~np.isnan(start)).astype(np.int32)
            model.setSolution(len(known), known, start[known])
        if self.is_integer:
            # HiGHS's presolve loses optima of such programmes (seen in 1.15.1: 0.3826 'optimal', 0.2598 without presolve and by SCIP;
            # also its issues 1725, 1958, 3094); restarts presolve again
            model.setOptionValue("presolve", "choose" if self.second else "off")
            model.setOptionValue("mip_allow_restart", self.second)
            self._run_watched(stop, cost, offset)
        else:
            model.run()
        return self._answer(cost, offset)

    def _run_watched(self, stop: Stop | None, cost, offset) -> None:
        """HiGHS asks now and then whether to go on; so `stop` and Ctrl-C are heard."""
        kinds, model, failed = self.api.cb.HighsCallbackType, self.model, []
        best = [np.inf, -np.inf]

        def ask(kind, message, seen, reply, data) -> None:
            try:
                if kind == kinds.kCallbackMipInterrupt:
                    best[:] = float(seen.mip_primal_bound), float(seen.mip_dual_bound)
                if failed or pressed or (stop is not None and stop(*best)):
                    reply.user_interrupt = True
            except Exception as error:
                failed.append(error)
                reply.user_interrupt = True

        model.setCallback(ask, None)
        watched = (kinds.kCallbackMipInterrupt, kinds.kCallbackSimplexInterrupt)
        for kind in watched:
            model.startCallback(kind)
        with _ctrl_c() as pressed:
            model.run()
        for kind in watched:
            model.stopCallback(kind)
        if failed:
            raise failed[0]
        if pressed:
            raise Interrupted(_optimum(self._answer(cost, offset), float("nan")))

    def _answer(self, cost, offset) -> _Found:
        model, state = self.model, self.api.HighsModelStatus
        info, status = model.getInfo(), model.getModelStatus()
        if status == state.kUnboundedOrInfeasible:
            model.setOptionValue("presolve", "off")
            model.run()
            model.setOptionValue("presolve", "off" if self.is_integer else "choose")
            info, status = model.getInfo(), model.getModelStatus()
        if status == state.kInfeasible:
            return None, np.nan, np.inf, "infeasible", None
        if status in (state.kUnbounded, state.kUnboundedOrInfeasible):
            return None, np.nan, -np.inf, "unbounded", None
        done = status == state.kOptimal
        solution = model.getSolution()
        has_point = info.primal_solution_status == 2            # feasible
        x = np.array(solution.col_value) if has_point else None
        value = float(cost @ x) + offset if x is not None else np.nan
        if self.is_integer:
            bound, duals = float(info.mip_dual_bound), None
        else:
            duals = np.array(solution.row_dual) if solution.dual_valid else None
            bound = value if done else -np.inf
        if done and not np.isfinite(bound):
            bound = value
        return x, value, bound, "optimal" if done else "limit", duals


class _Scip:
    """SCIP by pyscipopt; the model is made anew for each call."""

    def __init__(self, relaxed: bool) -> None:
        try:
            import pyscipopt
        except ImportError:
            raise MissingExtra("pyscipopt", "mip", "solver='scip'") from None
        self.api, self.relaxed = pyscipopt, relaxed

    def solve(self, program: Program, cost, offset, max_seconds, relative_gap, stop, start) -> _Found:
        api, model = self.api, self.api.Model()
        model.hideOutput()
        for name, value in (("numerics/feastol", SOLVER), ("numerics/dualfeastol", SOLVER), ("limits/gap", float(relative_gap)),
                            ("limits/time", float(min(max_seconds, 1e9)))):
            model.setParam(name, value)
        kinds = np.where(program.integer & (not self.relaxed), "I", "C")
        x = [model.addVar(vtype=str(k), lb=_side(lo), ub=_side(up))
             for k, lo, up in zip(kinds, program.lower, program.upper, strict=True)]
        A, low, high = program.matrix()
        for r in range(A.shape[0]):
            span = slice(A.indptr[r], A.indptr[r + 1])
            row = api.quicksum(float(v) * x[j] for v, j in zip(A.data[span], A.indices[span], strict=True))
            if np.isfinite(low[r]) and low[r] == high[r]:
                model.addCons(row == float(low[r]))
                continue
            if np.isfinite(low[r]):
                model.addCons(row >= float(low[r]))
            if np.isfinite(high[r]):
                model.addCons(row <= float(high[r]))
        model.setObjective(api.quicksum(float(cost[j]) * x[j] for j in np.flatnonzero(cost)) + float(offset), "minimize")
        if stop is not None:
            _scip_stop(api, model, stop)
        model.optimize()
        return self._answer(model, x)

    @staticmethod
    def _answer(model, x) -> _Found:
        status = model.getStatus()
        if status == "infeasible":
            return None, np.nan, np.inf, "infeasible", None
        if status in ("unbounded", "inforunbd"):
            return None, np.nan, -np.inf, "unbounded", None
        bound = float(model.getDualbound())
        if model.getNSols() == 0:
            return None, np.nan, bound, "limit", None
        best = model.getBestSol()
        point = np.array([best[v] for v in x])
        return point, float(model.getSolObjVal(best)), bound, "optimal" if status in ("optimal", "gaplimit") else "limit", None


def _scip_stop(api, model, stop: Stop) -> None:
    class Ask(api.Eventhdlr):
        def eventinit(self):
            self.model.catchEvent(api.SCIP_EVENTTYPE.NODESOLVED, self)
            self.model.catchEvent(api.SCIP_EVENTTYPE.BESTSOLFOUND, self)

        def eventexec(self, event):
            if stop(float(self.model.getPrimalbound()), float(self.model.getDualbound())):
                self.model.interruptSolve()

    model.includeEventhdlr(Ask(), "stop", "ends the search when asked to")


def _side(bound: float) -> float | None:
    return float(bound) if np.isfinite(bound) else None


class _Gurobi:
    """Gurobi by gurobipy; the model is made anew for each call."""

    def __init__(self, relaxed: bool) -> None:
        try:
            import gurobipy
        except ImportError:
            raise MissingExtra("gurobipy", "all", "solver='gurobi' (a licence of its own)") from None
        self.api, self.relaxed = gurobipy, relaxed

    def solve(self, program: Program, cost, offset, max_seconds, relative_gap, stop, start) -> _Found:
        api = self.api
        with api.Env(params={"OutputFlag": 0}) as env, api.Model(env=env) as model:
            for name, value in (("FeasibilityTol", SOLVER), ("OptimalityTol", SOLVER), ("IntFeasTol", SOLVER),
                                ("MIPGap", float(relative_gap)), ("TimeLimit", float(min(max_seconds, 1e9)))):
                model.setParam(name, value)
            kinds = np.where(program.integer & (not self.relaxed), "I", "C")
            x = model.addMVar(program.n_columns, lb=program.lower, ub=program.upper, vtype=kinds, obj=cost)
            model.ObjCon = offset
            A, low, high = program.matrix()
            for rows, sense, side in ((np.isfinite(low), ">", low), (np.isfinite(high), "<", high)):
                if rows.any():
                    model.addMConstr(sp.csr_matrix(A[rows]), x, sense, side[rows])

            def ask(model_, where):
                if where == api.GRB.Callback.MIP:
                    seen = model_.cbGet(api.GRB.Callback.MIP_OBJBST), model_.cbGet(api.GRB.Callback.MIP_OBJBND)
                    if stop(*map(float, seen)):
                        model_.terminate()

            model.optimize(None if stop is None else ask)
            status = model.Status
            if status == api.GRB.INFEASIBLE:
                return None, np.nan, np.inf, "infeasible", None
            if status in (api.GRB.UNBOUNDED, api.GRB.INF_OR_UNBD):
                return None, np.nan, -np.inf, "unbounded", None
            bound = float(model.ObjBound) if model.IsMIP or status == api.GRB.OPTIMAL else -np.inf
            if model.SolCount == 0:
                return None, np.nan, bound, "limit", None
            return np.array(x.X), float(model.ObjVal), bound, "optimal" if status == api.GRB.OPTIMAL else "limit", None
