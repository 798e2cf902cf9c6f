"""How long a question may take, and whether somebody pressed Ctrl-C: either way it ends with the best so far."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ..errors import Interrupted
from ..geometry.milp import Optimum

T = TypeVar("T")


@dataclass(eq=False)
class Clock:
    """deadline: in seconds of time.perf_counter. pressed: Ctrl-C was; from then on time is over."""

    deadline: float = np.inf
    pressed: bool = False

    @classmethod
    def of(cls, max_seconds: float | None) -> Clock:
        """A clock that starts now. ValueError for a negative time."""
        if max_seconds is not None and not max_seconds >= 0:
            raise ValueError(f"max_seconds={max_seconds}: a budget cannot be negative")
        return cls(np.inf if max_seconds is None else time.perf_counter() + max_seconds)

    @property
    def is_over(self) -> bool:
        return self.pressed or time.perf_counter() > self.deadline

    @property
    def left(self) -> float | None:
        """Seconds, None without end."""
        if self.pressed:
            return 0.0
        return None if np.isinf(self.deadline) else max(self.deadline - time.perf_counter(), 0.0)

    @property
    def reason(self) -> str:
        """Why it is over."""
        return "Ctrl-C ended it" if self.pressed else "time ran out"

    def solved(self, solve: Callable[[], Optimum]) -> Optimum:
        """What a solver gives; after Ctrl-C its best so far."""
        try:
            return solve()
        except Interrupted as stop:
            self.pressed = True
            best: Any = stop.partial
            return best

    def told(self, answer: T) -> T:
        """The answer; after Ctrl-C as `Interrupted.partial`."""
        if self.pressed:
            raise Interrupted(answer)
        return answer
