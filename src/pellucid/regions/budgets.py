"""Budgets and threads of a run, as the native core takes them."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

_NONE = 2**63 - 1


@dataclass(frozen=True)
class Progress:
    """What a run has reached: regions found, share of the area (of the search tree, of the tasks) done, 0 to 1, seconds since its
    start. `expected` and `remaining` are estimates from these, no bounds: regions are not spread evenly.
    """

    regions: int
    share: float
    seconds: float
    before: float = 0.0
    """The share that was there at the start, in a run that goes on with an earlier one."""

    @property
    def expected(self) -> float:
        """Regions at the end, if the rest is like what is done; NaN before anything is."""
        return self.regions / self.share if self.share > 0 else math.nan

    @property
    def remaining(self) -> float:
        """Seconds to the end, likewise."""
        return self.seconds * (1 - self.share) / (self.share - self.before) if self.share > self.before else math.nan


def native_budgets(max_regions: float | None, max_seconds: float | None, max_bytes: float | None,
                   threads: int | None) -> tuple[int, float, int, int]:
    """(rows, seconds, bytes, threads), a number for each; ValueError where one is negative, no number, or no thread is left."""
    return (_whole("max_regions", max_regions), _amount("max_seconds", max_seconds), _whole("max_bytes", max_bytes),
            thread_count(threads))


def _amount(name: str, budget: float | None) -> float:
    if budget is None:
        return math.inf
    if not budget >= 0:                            # also where it is NaN
        raise ValueError(f"{name}={budget}: a budget is a number, and not negative; None sets none")
    return float(budget)


def _whole(name: str, budget: float | None) -> int:
    amount = _amount(name, budget)
    return _NONE if amount >= _NONE else int(budget if isinstance(budget, int) else amount)


def thread_count(threads: int | None) -> int:
    """The threads asked for: by argument, by PELLUCID_THREADS, else one for each core that this process may use."""
    if threads is None:
        asked = os.environ.get("PELLUCID_THREADS", "")
        return int(asked) if asked.isdigit() and int(asked) > 0 else _cores()
    if not threads >= 1 or threads != int(threads):
        raise ValueError(f"threads={threads}: at least one is needed; None takes PELLUCID_THREADS or one for each core")
    return min(int(threads), 1024)


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:                         # not on macOS and Windows
        return os.cpu_count() or 1
