"""Answers with proof: the value, what shows it, whether it is proved, and how far from it the truth can be."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..certificate import Certificate, Status
from .result import html

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class Answer(ABC):
    """What a question with proof gives; each question has its own kind, with fields of its own beside these.

    value: the number, set or verdict asked for; None where nothing was found.
    witness: the point, pair or region that shows it; None where the answer is that there is none.
    gap: how far the value can be from the true one, in its own units: 0 where it is exact, inf where nothing is known.
    certificate: the claim, its status and reason.
    """

    value: Any
    witness: Any
    gap: float
    certificate: Certificate

    @property
    def status(self) -> Status:
        """PROVED, REFUTED or UNKNOWN: that of the certificate's claim."""
        return self.certificate.status

    @abstractmethod
    def to_frame(self) -> pd.DataFrame:
        """The answer as a table, in the user's features, classes and units."""

    @abstractmethod
    def _line(self) -> str:
        """The answer in a line, without its kind and status."""

    def save(self, path: str | Path) -> Path:
        """Write the table and the certificate as one JSON file."""
        path, claim = Path(path), self.certificate
        what = {"kind": type(self).__name__, "answer": repr(self), "table": json.loads(self.to_frame().to_json(orient="records")),
                "gap": _plain(self.gap), "claim": claim.claim, "status": str(claim.status), "reason": claim.reason,
                "figures": {k: _plain(v) for k, v in claim.figures.items()}}
        path.write_text(json.dumps(what, indent=1) + "\n")
        return path

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._line()}: {self.status})"

    def _repr_html_(self) -> str:
        return html(repr(self), self.to_frame().head(20), [str(self.certificate)])


def _plain(value: Any) -> Any:
    """As JSON can hold it: numbers that are no numbers become words."""
    if isinstance(value, np.ndarray):
        return [_plain(v) for v in value.tolist()]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
