"""How many linear regions there are: an estimate before a long run, with an interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..atlas.enumerate import _engine
from ..atlas.estimate import sample_count
from ..atlas.parts import work_of
from ..certificate import Certificate, Status
from ..chain import chain_of, confirmed, own_share, rounding
from ..geometry import Box, NamedSlice, Slice, as_slice
from ..graph import Network
from .answer import Answer

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class RegionEstimate(Answer):
    """The number of linear regions (of pieces, split by class): `value`, estimated from `draws` samples unless all were counted.

    low, high: hold the number with probability `level`, about; no bounds. at_least: regions seen, which is one. gap: half of high - low.
    seconds: how long one thread would take to enumerate them; bytes: what the atlas would take in memory; both about.
    """

    low: float
    high: float
    level: float
    at_least: int
    draws: int
    seconds: float
    bytes: float

    @property
    def is_estimate(self) -> bool:
        """False where all regions were counted."""
        return self.draws > 0

    def to_frame(self) -> pd.DataFrame:
        """One row: the number, its interval, and what an enumeration would cost."""
        import pandas as pd

        return pd.DataFrame({"regions": [self.value], "low": [self.low], "high": [self.high], "level": [self.level],
                             "at least": [self.at_least], "is estimate": [self.is_estimate], "seconds": [self.seconds],
                             "gigabytes": [self.bytes / 1e9]})

    def _line(self) -> str:
        if not self.is_estimate:
            return f"{self.value:.0f} regions, counted"
        return (f"about {self.value:.3g} regions, {self.level:.0%} interval {self.low:.3g} to {self.high:.3g}, "
                f"estimated from {self.draws} draws")


def estimate_regions(net: Network, domain: Box | Slice | NamedSlice, *, seed: int = 0, max_seconds: float = 5.0, level: float = 0.95,
                     by: str | None = None, threshold: float = 0.5, draws: int | None = None) -> RegionEstimate:
    """About how many linear regions `linear_regions` would find, and what that would cost; before a long run.

    Needs     max_seconds: the time to spend, about, on one thread; draws: the number of samples instead, for an answer that depends on the
              seed alone. by, threshold: as for `linear_regions`; then pieces are counted.
    Gives     RegionEstimate: an estimate with an interval, UNKNOWN; where there are so few regions that they were all counted, PROVED.
    Sound     no, but `at_least`, which is proved up to rounding.
    Source    Knuth 1975 (Estimating the efficiency of backtrack programs), on cells of the first units; see `atlas/estimate.py`.
    """
    if not max_seconds > 0 or not 0 < level < 1:
        raise ValueError(f"max_seconds={max_seconds}, level={level}: a positive time, and a level between 0 and 1, are needed")
    plane = as_slice(domain, net.feature_names)
    _engine("search", plane.dim)
    work = work_of(net, plane, "search", by, threshold)
    found = sample_count(work, seed=seed, max_seconds=max_seconds, level=level, draws=draws)
    chain = chain_of(net)
    decided = rounding(chain, plane)
    share = own_share(decided, chain, found.errors, outputs=by is not None)
    claim = _certificate(found, confirmed(decided, chain, share, outputs=by is not None).is_proved)
    return RegionEstimate(value=round(found.value), witness=None, gap=(found.high - found.low) / 2, certificate=claim, low=found.low,
                          high=found.high, level=level, at_least=found.at_least, draws=found.draws, seconds=found.seconds * found.value,
                          bytes=found.value * _row_bytes(net, plane))


def _certificate(found, is_proved: bool) -> Certificate:
    claim = f"there are {found.value:.0f} linear regions"
    figures = {"low": found.low, "high": found.high, "at least": found.at_least, "draws": found.draws, "unresolved": found.unresolved}
    if found.draws:
        return Certificate(claim, Status.UNKNOWN, f"an estimate from {found.draws} draws; {found.at_least} regions were seen", figures)
    if found.unresolved or not is_proved:
        return Certificate(claim, Status.UNKNOWN, "counted, up to slivers and rounding errors that double precision cannot decide", figures)
    return Certificate(claim, Status.PROVED, "all were counted", figures)


def _row_bytes(net: Network, plane: Slice) -> int:
    """Memory of a region, about: its code, its inner point or polygon, its maps."""
    words = (len(chain_of(net).n_pieces) + 63) // 64
    return 8 * (words + (net.n_outputs + 1) * (plane.dim + 1)) + (80 if plane.dim == 2 else 0)
