"""How many regions there are, before they are enumerated: counts of some parts of the domain, drawn at random (design/streaming.md)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.stats import t as student

from ..regions.parallel import Task, Work, divide, largest_errors, run_task, whole
from ..regions.table import Table

STRATA = 64
"""Parts that the domain is divided into at first, at least."""

PILOT = 200
"""Regions looked at in each part to guess its size: the guess only steers which parts are drawn."""

LEAF = 5_000
"""A part with no more regions is counted; a larger one is divided again, and one of its parts drawn."""

EVENLY = 0.2
"""Share of the draws that does not follow the guesses, so that a part that was guessed far too small is no rare giant."""

FIRST_TRY = 25_000
"""Regions for each second asked for that are counted in the hope that these are all."""


@dataclass(frozen=True)
class Sampled:
    """The number of regions, estimated. low, high: an interval that holds the number with probability `level`, about.

    errors: as in `Cells`, of all runs.
    at_least: regions seen, a proved lower bound (up to slivers). draws: 0 where all were counted. seconds: a region's, one thread.
    """

    value: float
    low: float
    high: float
    at_least: int
    draws: int
    seconds: float
    unresolved: int
    errors: tuple[np.ndarray, ...] | None = None


@dataclass(eq=False)
class _Part:
    """A part of the domain: its size guessed, and its regions seen so far; exact where all were."""

    task: Task
    guess: float
    seen: int
    is_exact: bool
    parts: list[_Part] | None = None


@dataclass(eq=False)
class _Meter:
    """Regions counted and the time that took, and slivers met."""

    regions: int = 0
    seconds: float = 0.0
    unresolved: int = 0
    runs: list[Table] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def count(self, work: Work, task: Task, most: int, max_seconds: float | None = None) -> Table:
        before = time.perf_counter()
        table: Any = run_task(work, task, count_only=True, max_regions=most, max_seconds=max_seconds, threads=1)
        self.seconds += time.perf_counter() - before
        self.regions += table.n_regions
        self.unresolved += table.unresolved
        self.runs.append(table)
        return table

    @property
    def elapsed(self) -> float:
        return time.perf_counter() - self.started


def sample_count(work: Work, *, seed: int, max_seconds: float, level: float, draws: int | None = None) -> Sampled:
    """The number of regions of a work, from parts of the domain drawn at random.

    Needs     max_seconds: time for drawing; draws: how many instead, for an answer that depends on the seed alone.
    Gives     the mean of independent unbiased estimates, each from one chain of draws: a part of the domain, if that is large one of its
              parts, and so on, with the number of regions counted there divided by the probability of coming there; and an interval from
              their spread, Student's t on a logarithmic scale.
    Sound     no: an estimate. `at_least` is what was seen.
    Source    Knuth 1975 (Estimating the efficiency of backtrack programs), stratified, with probabilities in proportion to guessed sizes
              (Hansen & Hurwitz 1943).
    """
    work = replace(work, engine="search", polygon=None)
    meter, rng = _Meter(), np.random.default_rng(seed)
    first = meter.count(work, whole(work), max(int(FIRST_TRY * max_seconds), PILOT), max_seconds / 2)
    root = _Part(whole(work), 0.0, first.n_regions, first.complete)
    if not first.complete and not _divided(work, root, STRATA, meter):
        first = meter.count(work, root.task, 2**62)         # a single code: nothing to draw from
        root.seen, root.is_exact = first.n_regions, True
    values: list[float] = []
    while not root.is_exact and not _enough(values, meter, max_seconds, draws):
        values.append(_draw(work, root, rng, meter))
    pace = meter.seconds / max(meter.regions, 1)
    if root.is_exact:
        return Sampled(root.seen, root.seen, root.seen, root.seen, 0, pace, meter.unresolved, largest_errors(meter.runs))
    low, high = interval(np.array(values), level)
    at_least = _seen(root)
    value, low, high = (max(float(v), at_least) for v in (np.mean(values), low, high))
    return Sampled(value, low, high, at_least, len(values), pace, meter.unresolved)


def interval(values: np.ndarray, level: float) -> tuple[float, float]:
    """An interval for the mean of what the values are drawn from; symmetric on a logarithmic scale, as the values are skew."""
    if len(values) < 2:
        return 0.0, float("inf")
    mean = float(values.mean())
    reach = student.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)) / mean
    return mean * float(np.exp(-reach)), mean * float(np.exp(min(reach, 700.0)))


def _enough(values: list[float], meter: _Meter, max_seconds: float, draws: int | None) -> bool:
    return len(values) >= draws if draws is not None else len(values) >= 8 and meter.elapsed > max_seconds


def _draw(work: Work, part: _Part, rng: np.random.Generator, meter: _Meter) -> float:
    """One unbiased estimate of the regions of a part: what is known exactly below it, and one of the other parts, drawn."""
    if part.is_exact:
        return part.seen
    if part.parts is None:
        table = meter.count(work, part.task, LEAF)
        part.seen = max(part.seen, table.n_regions)
        if table.complete or not _divided(work, part, STRATA // 4, meter):
            part.seen = table.n_regions if table.complete else meter.count(work, part.task, 2**62).n_regions
            part.is_exact = True
            return part.seen
    known = sum(p.seen for p in part.parts if p.is_exact)
    others = [p for p in part.parts if not p.is_exact]
    if not others:
        part.seen, part.is_exact = known, True
        return known
    guess = np.array([p.guess for p in others])
    chance = (1 - EVENLY) * guess / guess.sum() + EVENLY / len(others)
    i = int(rng.choice(len(others), p=chance))
    return known + _draw(work, others[i], rng, meter) / chance[i]


def _divided(work: Work, part: _Part, wanted: int, meter: _Meter) -> bool:
    """Divide a part, and look into each of its parts; False where it cannot be."""
    tasks = divide(work, part.task, wanted)
    if tasks is None:
        return False
    part.parts = []
    for task in tasks:
        table = meter.count(work, task, PILOT)
        share = 1.0 if table.complete else max(1.0 - table.rest_share, 1e-9)
        part.parts.append(_Part(task, table.n_regions / share, table.n_regions, table.complete))
    return True


def _seen(part: _Part) -> int:
    """Regions met in disjoint parts."""
    return part.seen if part.is_exact or part.parts is None else max(part.seen, sum(_seen(p) for p in part.parts))
