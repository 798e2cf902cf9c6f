"""What `verify` gives: proved, refuted with a counterexample, or unknown, with what was reached."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..certificate import Certificate, Status

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class Verdict:
    """Does a property hold at every point of a domain?

    status: PROVED, REFUTED or UNKNOWN (the certificate's reason says why). witness: (d,) a counterexample, None where there is none;
    outputs: (c,) what the network gives there, before its link; original: (c,) what the model's own runtime answers there, in its own
    precision; confirmed: whether that is unsafe too, None where there is no such runtime to ask. case: the number of the unsafe case
    that the witness is in.
    bound: no point has a smaller margin than this; attained: the smallest margin found. The margin of a point is by how much it
    misses being unsafe, in units of the outputs: the least over the unsafe cases of the largest excess of their rows; the property
    holds where it is positive. The search stops where positive margins are proved, so that a bound is no more than that.
    """

    certificate: Certificate
    witness: np.ndarray | None
    outputs: np.ndarray | None
    original: np.ndarray | None
    confirmed: bool | None
    case: int | None
    bound: float
    attained: float
    features: tuple[str, ...] = field(default=())

    @property
    def status(self) -> Status:
        return self.certificate.status

    @property
    def gap(self) -> float:
        """attained - bound: what is not known of the least margin."""
        return self.attained - self.bound

    @property
    def figures(self) -> Mapping[str, Any]:
        """What it took: nodes, leaves, seconds, how it was split."""
        return self.certificate.figures

    def to_frame(self) -> pd.DataFrame:
        """The witness: one row a feature; no row without one."""
        import pandas as pd

        x = np.zeros(0) if self.witness is None else self.witness
        return pd.DataFrame({"feature": self.features[: len(x)], "value": x})

    def save(self, path: str | Path) -> Path:
        """Write verdict, witness and figures as one JSON file."""
        path, claim = Path(path), self.certificate
        what = {"kind": "Verdict", "status": str(self.status), "claim": claim.claim, "reason": claim.reason,
                "witness": _plain(self.witness), "outputs": _plain(self.outputs), "original": _plain(self.original),
                "confirmed": self.confirmed, "case": self.case, "bound": _plain(self.bound), "attained": _plain(self.attained),
                "figures": {k: _plain(v) for k, v in claim.figures.items()}}
        path.write_text(json.dumps(what, indent=1) + "\n")
        return path

    def __repr__(self) -> str:
        if self.status is Status.REFUTED:
            what = f"margin {self.attained:.6g} attained"
        else:
            what = f"margin at least {self.bound:.6g}, {self.attained:.6g} attained"
        return f"Verdict({self.status}: {what}; {self.figures.get('nodes', 0)} nodes, {self.figures.get('seconds', 0.0):.2f} s)"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(repr(self))}\n{escape(str(self.certificate))}</pre>"


def _plain(value: Any) -> Any:
    """As JSON can hold it: numbers that are no numbers become words."""
    if isinstance(value, np.ndarray):
        return [_plain(v) for v in value.tolist()]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
