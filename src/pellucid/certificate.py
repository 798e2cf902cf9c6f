"""Claims as values: what is proved, what is refuted, what is unknown and why."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


class Status(enum.Enum):
    """The three answers to "does this hold?"."""

    PROVED = "proved"
    REFUTED = "refuted"
    UNKNOWN = "unknown"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, eq=False)
class Certificate:
    """A claim, its status, the reason, and the figures it rests on. `check()` re-derives it by other code."""

    claim: str
    status: Status
    reason: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    recheck: Callable[[], Certificate] | None = field(default=None, repr=False)

    def check(self) -> Certificate:
        """Re-derive the claim by other code than the one that made it; a certificate of that second look."""
        if self.recheck is None:
            return Certificate(self.claim, Status.UNKNOWN, "this claim has no second derivation here", self.figures)
        return self.recheck()

    def __str__(self) -> str:
        return f"{self.claim}: {self.status}" + (f" ({self.reason})" if self.reason else "")
