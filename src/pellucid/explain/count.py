"""How many linear regions there are, without keeping any."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..atlas import count_cells
from ..certificate import Certificate, Status
from ..errors import Interrupted
from ..geometry import Box, NamedSlice, Slice
from ..graph import Network
from ..regions import Progress, Table
from ..tolerance import GEOMETRIC
from .answer import Answer

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class RegionCount(Answer):
    """How many linear regions a domain has; split by class, how many pieces.

    value: the number found; where a budget ran out there are more. gap: 0 where the number is proved, else inf. witness: None.
    domain: the slice that was counted over. by: as asked. share: of the search that was done, 0 to 1.
    """

    domain: Slice
    by: str | None
    share: float

    def to_frame(self) -> pd.DataFrame:
        """One row: the number, whether all was counted, slivers left out, seconds."""
        import pandas as pd

        figures = self.certificate.figures
        return pd.DataFrame([{"regions" if self.by is None else "pieces": self.value, "status": str(self.status), "share": self.share,
                              "slivers": figures["unresolved"], "seconds": figures["seconds"]}])

    def _line(self) -> str:
        what = "regions" if self.by is None else f"pieces by {self.by}"
        return f"{'' if self.share == 1 else 'at least '}{self.value:,} {what}"


def count_regions(net: Network, domain: Box | Slice | NamedSlice, *, by: str | None = None, threshold: float = 0.5,
                  max_regions: int | None = None, max_seconds: float | None = None, threads: int | None = None,
                  progress: Callable[[Progress], object] | None = None) -> RegionCount:
    """The number of linear regions over an analysis set, in constant memory: nothing of a region is kept (CEE III).

    Arguments and errors are those of `linear_regions`; Ctrl-C gives Interrupted, `.partial` with what was counted.

    Needs     a piecewise linear network; at most 64 coordinates that move.
    Gives     RegionCount.
    Sound     as the search engine: no cell is lost; what is thinner than the tolerance is counted with its neighbour.
    Complete  every region thicker than the tolerance is counted once; a budget leaves a lower bound, and says so.
    """
    if not isinstance(net, Network):
        raise TypeError(f"count_regions takes a Network, got a {type(net).__name__}: load it first with pellucid.load(model)")
    try:
        found = count_cells(net, domain, by, threshold, max_regions=max_regions, max_seconds=max_seconds, threads=threads,
                            progress=progress)
    except Interrupted as stop:
        raise Interrupted(_answer(*stop.partial, by)) from None
    return _answer(*found, by)


def _answer(table: Table, domain: Slice, made: Certificate, by: str | None) -> RegionCount:
    what = "linear regions" if by is None else f"linear regions, split by {by},"
    number = table.n_regions if table.complete else f"at least {table.n_regions}"
    claim = f"the domain has {number} {what} thicker than {GEOMETRIC:g} of it, each counted once"
    certificate = Certificate(claim, made.status, made.reason, made.figures)
    gap = 0.0 if made.status is Status.PROVED else math.inf
    return RegionCount(table.n_regions, None, gap, certificate, domain, by, 1.0 if table.complete else 1 - table.rest_share)
