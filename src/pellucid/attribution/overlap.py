"""Upper bounds of the adversarial overlap over B and over all B_u, in three qualities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..bounding.backward import Form, Trace, Units, backward, lowest
from ..bounding.forward import push, start
from ..bounding.hidden import OPTIMISED, crown, forward, intervals, undecided
from ..bounding.interval import interval, meet
from ..bounding.optimise import better_form, optimised
from ..bounding.program import Program, Step, program
from ..bounding.rounding import plain_products, unit
from ..bounding.sets import InputSet
from ..graph.graph import INPUT
from ..graph.op import size
from .asked import Question, Sets
from .frozen import Family, family, input_sets

METHODS = ("auto", "interval", "crown-interval", "crown", "forward", "forward+crown", "alpha-crown")
QUALITIES = ("full", "shared", "single-pass")
OVERLAPS = ("difference", "paper")
ENTRIES = 1 << 22
"""Coefficients of the widest tensor that are carried at a time on a CPU: more leave the cache and gain nothing."""


@dataclass(frozen=True, eq=False)
class Engine:
    """How bounds are made: of what network, in what arithmetic, by what method, within what memory (bytes); iterations: of alpha-crown."""

    run: Program
    method: str
    quality: str
    overlap: str
    memory: float
    iterations: int = 20

    def trace(self, inputs: InputSet) -> Trace:
        """What is known of the tensors inside."""
        if self.method in ("crown", "alpha-crown"):
            return crown(self.run, inputs, iterations=self.iterations if self.method == "alpha-crown" else 0)
        return (forward if self.method.startswith("forward") else intervals)(self.run, inputs)

    def last(self, trace: Trace, C: Tensor) -> Tensor:
        """(n, k) least values of rows C of the output: the method's last pass."""
        least, _ = lowest(trace, self.run.output, C, until_nonlinear=self.method in ("interval", "forward"))
        if self.method == "alpha-crown" and self.run.output in self.run.place:
            least = least.maximum(optimised(trace, self.run.output, C, self.iterations)[0])
        return least

    def form(self, trace: Trace, C: Tensor) -> Form:
        """Linear forms below rows C: of the method's last pass."""
        form = backward(trace, self.run.output, C, until_nonlinear=self.method == "forward")
        if self.method != "alpha-crown" or self.run.output not in self.run.place:
            return form
        least = form.least(trace.inputs, self.run.sums)
        better, other = optimised(trace, self.run.output, C, self.iterations, keep=True)
        return form if other is None else better_form(form, other, better > least)

    def rows(self, question: Question) -> Tensor:
        """(n, k, c) rows whose least values give the overlaps: f_c - f_c', or f_c and then each -f_c' apart."""
        C = -question.C
        if self.overlap == "paper" and question.net.n_outputs > 1:
            own = np.where(C > 0, 1.0, 0.0)[:, :1]
            C = np.concatenate([own, np.where(C < 0, -1.0, 0.0)], axis=1)
        rows = torch.as_tensor(C, dtype=self.run.dtype, device=self.run.device)
        return rows.reshape(*rows.shape[:2], *self.run.shapes[self.run.output])

    def overlaps(self, least: Tensor, question: Question) -> np.ndarray:
        """(..., s) upper bounds of the overlaps from the least values (..., k) of `rows`. NaN is no bound: inf."""
        least_ = least.double().cpu().numpy()
        if self.overlap == "paper" and question.net.n_outputs > 1:
            least_ = np.nextafter(least_[..., :1] + least_[..., 1:], -np.inf)
        return np.where(np.isnan(least_), np.inf, -least_)

    def share(self, question: Question, sets: int) -> int:
        """How many rows of X at a time, if each makes so many sets."""
        rows = question.C.shape[1] + 1
        width, total = self.run.widest, sum(int(np.prod(s)) for s in self.run.shapes.values())
        carried = 8 * rows * width
        if self.method.startswith("forward"):                   # every tensor's lines in terms of all inputs, two, and those made of them
            inner = max((int(np.prod(s)) for name, s in self.run.shapes.items() if name != INPUT), default=1)
            rows, width = int(np.prod(self.run.shapes[INPUT])), inner
            carried += 12 * rows * width
        if self.method == "alpha-crown":                        # what gradients go back through
            carried += 24 * (rows + self._optimised()) * width
        item = torch.finfo(self.run.dtype).bits // 8
        fit = self.memory / (item * sets * (carried + 12 * total + 10 * self.run.widest))
        cached = ENTRIES / (sets * rows * width) if str(self.run.device) == "cpu" else np.inf
        return int(max(1, min(fit, cached)))

    def _optimised(self) -> int:
        """Rows at most whose lines are optimised together: two a unit of a hidden tensor."""
        most, before = 0, 0
        for step in self.run.steps:
            if before and step.name in self.run.hidden:
                most = max(most, 2 * min(size(step.shape), OPTIMISED // (2 * before)))
            before += 0 if step.is_affine else size(step.shape)
        return most


def overlap_bounds(question: Question, engine: Engine) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Some rows at a time, ((m, s), (m, G, s)): upper bounds of C f over B and over each B_u.

    Needs     any network that bounds take.
    Gives     full: bounds of each set by itself. shared: hidden bounds of B_u read off the linear forms of B, a last pass of its own.
              single-pass: read off the last form of B.
    Sound     a form that holds on B holds on B_u, which lies in it; its least value there is exact but for rounding, which is paid for.
              "shared" gives the lesser of its last pass and of "single-pass": so scores are never negative.
    Source    EVA 3.3; the two cheaper ones are ours.
    """
    bounder = {"full": _full, "shared": _shared, "single-pass": _single_pass}[engine.quality]
    each = engine.share(question, 1 if engine.quality == "single-pass" else len(question.groups) + 1)
    for k in range(0, len(question.sets), each):
        part = question[k:k + each]
        with plain_products(), torch.no_grad():
            whole, frozen = bounder(part, engine)
            found = engine.overlaps(whole, part), engine.overlaps(frozen, part)
        yield found                                             # outside: what torch is set to here is nobody else's business


def _base(question: Question, engine: Engine):
    run = engine.run
    return input_sets(question.sets, run.shapes[INPUT], None, run.dtype, run.device)


def _full(question: Question, engine: Engine) -> tuple[Tensor, Tensor]:
    """Each set bounded by itself, some at a time where one row has more of them than memory holds."""
    run, G = engine.run, len(question.groups)
    C = engine.rows(question)
    values, each = [], max(1, engine.share(question, 1) // len(question.sets))
    masks = np.concatenate([np.zeros((1, question.groups.n_inputs), dtype=bool), question.groups.masks])
    for k in range(0, G + 1, each):
        part = masks[k:k + each]
        inputs = input_sets(question.sets, run.shapes[INPUT], part, run.dtype, run.device)
        found = engine.last(engine.trace(inputs), C.repeat_interleave(len(part), dim=0) if len(C) > 1 else C)
        values.append(found.reshape(len(question.sets), len(part), -1))
    least = torch.cat(values, dim=1)
    return least[:, 0], least[:, 1:]


def frozen_bounds(question: Question, engine: Engine, numbers: np.ndarray, frozen: np.ndarray) -> np.ndarray:
    """(m,) upper bounds of the overlap of rows `numbers` (m,) over their sets with the features of `frozen` (m, d) bool at their values."""
    out = np.empty(len(numbers))
    each = engine.share(question, 1)
    with plain_products(), torch.no_grad():
        for k in range(0, len(numbers), each):
            part, still = question[numbers[k:k + each]], frozen[k:k + each]
            sets = part.sets
            held = Sets(sets.X, np.where(still, sets.X, sets.lower), np.where(still, sets.X, sets.upper), sets.radius, sets.p)
            inputs = input_sets(held, engine.run.shapes[INPUT], None, engine.run.dtype, engine.run.device)
            least = engine.last(engine.trace(inputs), engine.rows(part))
            out[k:k + each] = part.gather(engine.overlaps(least, part))
    return out


def box_bounds(low: Tensor, high: Tensor, question: Question, engine: Engine) -> np.ndarray:
    """(m, s) upper bounds of the overlap of one row over m boxes of inputs of the engine's network."""
    values, each = [], engine.share(question, 1)
    with plain_products(), torch.no_grad():
        for a, b in zip(low.split(each), high.split(each), strict=True):
            inputs = InputSet(a.to(engine.run.dtype), b.to(engine.run.dtype))
            least = engine.last(engine.trace(inputs), engine.rows(question))
            values.append(engine.overlaps(least, question))
    return np.concatenate(values)


def _single_pass(question: Question, engine: Engine) -> tuple[Tensor, Tensor]:
    inputs = _base(question, engine)
    return _read(engine, engine.trace(inputs), engine.rows(question), family(inputs, question.groups, question.sets.X))


def _read(engine: Engine, trace: Trace, C: Tensor, u: Family) -> tuple[Tensor, Tensor]:
    return u.least(engine.form(trace, C), trace.program.sums)


def _shared(question: Question, engine: Engine) -> tuple[Tensor, Tensor]:
    run, G = engine.run, len(question.groups)
    inputs = _base(question, engine)
    u = family(inputs, question.groups, question.sets.X)
    frozen_inputs = input_sets(question.sets, run.shapes[INPUT], question.groups.masks, run.dtype, run.device)
    if engine.method == "crown-interval":
        base, frozen = intervals(run, inputs), intervals(run, frozen_inputs)
    else:
        base, frozen = _hidden(run, inputs, frozen_inputs, u, engine.method.startswith("forward"))
    C = engine.rows(question)
    whole, read = _read(engine, base, C, u)
    if C.shape[1] > 2 and engine.overlap == "difference" and bool(question.counts.all()) and not question.each:
        return whole, _deciding(engine, frozen, C, read)
    fresh = engine.last(frozen, C.repeat_interleave(G, dim=0) if len(C) > 1 else C)
    return whole, fresh.reshape(read.shape).maximum(read)


def _deciding(engine: Engine, frozen: Trace, C: Tensor, read: Tensor) -> Tensor:
    """(n, G, s) lower bounds of rows C over each B_u, made better than those read off where that changes the least of the rows.

    Of each image the row with the least values read goes first. A row whose values read are no less than what that one then has in
    the same sets cannot be the least of them, and is left as it is.
    """
    n, G, _ = read.shape
    first = read.amin(dim=1).argmin(dim=1, keepdim=True)                                        # (n, 1)
    read = _fresh(engine, frozen, C, read, first)
    now = read.gather(2, first[:, None].expand(n, G, 1))
    matters = (read < now).any(dim=1)                                                           # (n, s)
    count = int(matters.sum(dim=1).max())
    if count:
        read = _fresh(engine, frozen, C, read, matters.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :count])
    return read


def _fresh(engine: Engine, frozen: Trace, C: Tensor, read: Tensor, rows: Tensor) -> Tensor:
    """`read` met with a last pass over each B_u for these rows of each image, (n, k)."""
    n, G, _ = read.shape
    chosen = C[torch.arange(n, device=C.device)[:, None], rows]
    found = engine.last(frozen, chosen.repeat_interleave(G, dim=0) if n > 1 else chosen)
    at = rows[:, None].expand(n, G, rows.shape[1])
    return read.scatter(2, at, found.reshape(n, G, -1).maximum(read.gather(2, at)))


def _hidden(run: Program, inputs, frozen_inputs, u: Family, pairs: bool) -> tuple[Trace, Trace]:
    """What is known of the tensors inside over each B, as `crown` (pairs: as `forward`) does, and over each B_u, by the same forms.

    Tensors of B_u that no form bounds have the bounds of B, which hold there too; first layers and cheap steps their own intervals.
    """
    G, hidden = len(u), set(run.hidden)
    base = Trace(run, inputs, {INPUT: (inputs.lower, inputs.upper)})
    frozen = Trace(run, frozen_inputs, {INPUT: (frozen_inputs.lower, frozen_inputs.upper)})
    exact = {INPUT}
    if pairs:
        base.pairs[INPUT] = start(inputs)
    for step in run.steps:
        found = interval(step, [base.bounds[s] for s in step.inputs], inputs)
        base.bounds[step.name] = tuple(b.expand(len(inputs), *b.shape[1:]) for b in found)
        first = step.is_affine and inputs.p == np.inf and all(s in exact for s in step.inputs) and (
            step.inputs == (INPUT,) or step.rule.copies)
        if first:
            exact.add(step.name)
        if first or not step.is_affine or step.rule.terms <= 4:
            found = interval(step, [frozen.bounds[s] for s in step.inputs], frozen_inputs)
            frozen.bounds[step.name] = tuple(b.expand(len(frozen_inputs), *b.shape[1:]) for b in found)
        else:
            frozen.bounds[step.name] = tuple(_each(b, G) for b in base.bounds[step.name])
        if pairs:
            _by_pairs(base, frozen, step, u, step.name in hidden and not first)
        elif step.is_affine and step.name in hidden and not first:
            _tighten(base, frozen, step.name, u)
        if step.is_affine and (spoil := base.spoil(step)) is not None:
            frozen.spoils[step.name] = spoil if len(spoil) == 1 else _each(spoil, G)
    return base, frozen


def _each(b: Tensor, G: int) -> Tensor:
    return b.repeat_interleave(G, dim=0)


def _tighten(base: Trace, frozen: Trace, name: str, u: Family) -> None:
    """Meet the bounds of a tensor's undecided units, over B and over each B_u, with those read off their forms.

    Units that B decides are decided in B_u too."""
    index = undecided(base, name)
    at_a_time = max(1, ENTRIES // (2 * len(base.inputs) * base.program.widest))
    # written where they belong: many small tensors kept between large ones that come and go would spread over the whole heap
    ends = [[b.flatten(1).clone() for b in trace.bounds[name]] for trace in (base, frozen)]
    for part in index.split(at_a_time) if len(index) else ():
        k = len(part)
        for (low, high), read in zip(ends, u.least(backward(base, name, Units(name, part)), base.program.sums), strict=True):
            read = read.reshape(-1, 2 * k)
            low[:, part], high[:, part] = read[:, :k], -read[:, k:]
    for trace, (low, high) in zip((base, frozen), ends, strict=True):
        l, h = trace.bounds[name]
        trace.bounds[name] = meet((l, h), (low.reshape(l.shape), high.reshape(h.shape)))


def _by_pairs(base: Trace, frozen: Trace, step: Step, u: Family, bounded: bool) -> None:
    """The step's pair of forward linear bounds over B, and what it says of the tensor over B and over each B_u."""
    nodes, reach, name = base.program.sums, base.inputs.reach, step.name
    pair = push(step, [base.pairs[s] for s in step.inputs], None if step.is_affine else base.lines_of(step), reach, nodes)
    base.pairs[name] = pair
    if not bounded:
        return
    low, high = ((pair.middle + sign * pair.half).flatten(2).transpose(1, 2) for sign in (-1, 1))
    L = torch.cat([low, -high], dim=1)
    room = 4 * unit(L.dtype) * pair.size(reach).flatten(1)
    d = torch.cat([(pair.offset - pair.gap).flatten(1) - room, -(pair.offset + pair.gap).flatten(1) - room], dim=1)
    whole, held = u.least(Form(L.reshape(*L.shape[:2], *base.inputs.shape), d), nodes)
    for trace, value in ((base, whole), (frozen, held.reshape(-1, L.shape[1]))):
        l, h = trace.bounds[name]
        k = l[0].numel()
        trace.bounds[name] = meet((l, h), (value[:, :k].reshape(l.shape), -value[:, k:].reshape(h.shape)))


def engine_of(net, *, method, quality, overlap, dtype, device, memory, iterations=20) -> Engine:
    """Checked; ValueError says what there is."""
    if method not in METHODS:
        raise ValueError(f"method={method!r}; it can be one of {', '.join(METHODS)}")
    method = "crown" if method == "auto" else method
    if quality not in QUALITIES:
        raise ValueError(f"quality={quality!r}; it can be one of {', '.join(QUALITIES)}")
    if overlap not in OVERLAPS:
        raise ValueError(f"overlap={overlap!r}; it can be one of {', '.join(OVERLAPS)}")
    if method == "interval" and quality != "full":
        raise ValueError(f"quality={quality!r} reads linear forms, and method='interval' makes none: take quality='full' or method='crown'")
    if method == "forward" and quality == "shared":
        raise ValueError("quality='shared' ends in a backward pass, and method='forward' has none: take method='forward+crown'")
    dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    return Engine(program(net.graph, dtype, device), method, quality, overlap, memory, iterations)
