"""How steep a network is at most: its Lipschitz constant, exactly, and where it is attained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..atlas import Atlas, linear_regions
from ..atlas.check import steps
from ..atlas.frame import interior_points
from ..atlas.nearest import norm_of
from ..certificate import Certificate, Status
from ..chain import Chain, chain_of, local_maps
from ..errors import NotPiecewiseLinear
from ..geometry import Box, Hull, NamedSlice, Slice
from ..graph import Network
from ..regions import Progress, unpack_codes
from ..tolerance import CHECK_VALUE
from .answer import Answer
from .asked import quantity
from .lines import STEPS
from .slope_bounds import slope_bounds
from .weights import towards, weight_floor

if TYPE_CHECKING:
    import pandas as pd

NORMS = {1: "1", 2: "2", np.inf: "inf"}
BATCH = 4096
SVD_BATCH = 256


@dataclass(frozen=True, eq=False, repr=False)
class Lipschitz(Answer):
    """The largest |f(x') - f(x)|_p / |u' - u|_p over all pairs of points of a domain, u their coordinates in it.

    value: max_k |C_k P|_p over the regions, operator norms from p to p; where a budget ended the run, the largest found so far.
    witness: (2, d) two points of one region between which it is attained (but for rounding). region: its row in the atlas, None where
    there is no region. direction: (k,) in u, along which it is steepest. gap: the constant is at most value + gap.
    """

    p: float
    what: str
    atlas: Atlas
    region: int | None
    direction: np.ndarray | None
    quotient: float

    def to_frame(self) -> pd.DataFrame:
        """One row: the constant, its bounds, where it is attained."""
        import pandas as pd

        names = self.atlas.network.feature_names
        at = {} if self.witness is None else dict(zip((f"at {n}" for n in names), self.witness.mean(axis=0), strict=True))
        return pd.DataFrame([{"of": self.what, "norm": NORMS[self.p], "constant": self.value, "at most": self.value + self.gap,
                              "quotient shown": self.quotient, "region": self.region, **at}])

    def _line(self) -> str:
        most = "" if self.gap <= CHECK_VALUE * max(1.0, self.value) else f" to {self.value + self.gap:.6g}"
        return f"{self.what}: {self.value:.6g}{most} in the {NORMS[self.p]}-norm"


def lipschitz(net: Network, domain: Box | Slice | NamedSlice | Hull, p: float | str = 2, *, output: int | str | None = None,
              versus: int | str | None = None, engine: str = "auto", max_regions: int | None = None, max_seconds: float | None = None,
              threads: int | None = None, progress: Callable[[Progress], object] | None = None) -> Lipschitz:
    """The Lipschitz constant of the network before its link over a domain: the largest operator norm of any region's slopes.

    p: 1, 2 or inf, for outputs and inputs alike. In a slice the inputs are its coordinates u (tied features count once); in a box,
    the features that move. output: one output only (or minus `versus`); None: all of them together.
    Needs     a piecewise linear network; budgets as for `linear_regions`.
    Sound     the domain is convex and f continuous, so the largest norm of any region is the constant; singular values are
              computed for those regions only whose Frobenius norm exceeds the best found.
    Complete  yes, within `gap` (rounding), for regions thicker than the atlas tells; after a budget, `gap` reaches to a bound by intervals.
    """
    order = norm_of(p)
    chain, what = chain_of(net), "all outputs"
    if any(steps(stage.phi) for stage in chain.stages):
        raise NotPiecewiseLinear("lipschitz: a unit of the network jumps, so no constant bounds its slope")
    if output is not None or versus is not None:
        asked = quantity(net, 0 if output is None else output, versus)
        chain, what = towards(chain, asked.direction), asked.label
    atlas = linear_regions(net, domain, engine=engine, max_regions=max_regions, max_seconds=max_seconds, threads=threads, progress=progress)
    chain_u = chain.fold(atlas.domain.x0, atlas.domain.P)
    row, value, C = _steepest(atlas, chain_u, order)
    floor = _floor(chain_u, order)
    if row is None:
        most = _ceiling(chain, atlas, order)
        return Lipschitz(0.0, None, most, _certificate(atlas, what, order, 0.0, most), order, what, atlas, None, None, 0.0)
    direction = _direction(C, order)
    pair, quotient = _attained(atlas, chain, row, direction, order)
    gap = floor if atlas.is_complete else max(_ceiling(chain, atlas, order) - value, floor)
    return Lipschitz(value, pair, gap, _certificate(atlas, what, order, value, gap), order, what, atlas, row, direction, quotient)


def _steepest(atlas: Atlas, chain_u: Chain, p: float) -> tuple[int | None, float, np.ndarray]:
    """(row, norm, map) of the region of largest norm; the first of equals."""
    most, best, row = np.empty(len(atlas)), 0.0, None
    for start in range(0, len(atlas), BATCH):
        C = _maps(atlas, chain_u, np.arange(start, min(start + BATCH, len(atlas))))
        most[start:start + BATCH] = _upper_norm(C, p)
        best = max(best, float(_lower_norm(C, p).max(initial=0.0)))
    if not len(atlas):
        return None, 0.0, np.zeros((0, 0))
    if p != 2:
        row = int(most.argmax())
        return row, float(most[row]), _maps(atlas, chain_u, np.array([row]))[0]
    order = np.argsort(-most, kind="stable")
    value, best = 0.0, best * (1 - 1e-12)
    for start in range(0, len(order), SVD_BATCH):
        rows = order[start:start + SVD_BATCH]
        if most[rows[0]] < max(best, value):
            break
        norms = np.linalg.norm(_maps(atlas, chain_u, rows), ord=2, axis=(1, 2))
        if norms.max() > value:
            value, row = float(norms.max()), int(rows[norms.argmax()])
    if row is None:
        row = int(order[0])
    return row, value, _maps(atlas, chain_u, np.array([row]))[0]


def _maps(atlas: Atlas, chain_u: Chain, rows: np.ndarray) -> np.ndarray:
    return local_maps(chain_u, unpack_codes(atlas.cells.codes[rows], atlas.chain.n_pieces))[0]


def _upper_norm(C: np.ndarray, p: float) -> np.ndarray:
    """(K,) the operator norm for p = 1 and inf; its upper bound by the Frobenius norm for p = 2."""
    if p == 2:
        return np.sqrt(np.einsum("kij,kij->k", C, C))
    return np.abs(C).sum(axis=1 if p == 1 else 2).max(axis=1)


def _lower_norm(C: np.ndarray, p: float) -> np.ndarray:
    """(K,) a lower bound: for p = 2 the longest row or column."""
    if p != 2:
        return _upper_norm(C, p)
    square = C * C
    return np.sqrt(np.maximum(square.sum(axis=1).max(axis=1), square.sum(axis=2).max(axis=1)))


def _floor(chain_u: Chain, p: float) -> float:
    """How far a computed norm can be from the true one."""
    F = np.array([weight_floor(chain_u, e) for e in np.eye(chain_u.n_outputs)])
    return float(np.linalg.norm(F) if p == 2 else np.linalg.norm(F, ord=p)) * (1 + CHECK_VALUE)


def _ceiling(chain: Chain, atlas: Atlas, p: float) -> float:
    """An upper bound of the constant by intervals: |C| <= M for every region, so |C|_p <= |M|_p."""
    M = np.maximum(*(np.abs(end) for end in slope_bounds(chain, atlas.domain)))
    return float(np.linalg.norm(M, ord=p)) * (1 + CHECK_VALUE)


def _direction(C: np.ndarray, p: float) -> np.ndarray:
    """(k,) of p-norm 1, along which C stretches most."""
    if p == 2:
        return np.linalg.svd(C)[2][0]
    if p == 1:
        return np.eye(C.shape[1])[np.abs(C).sum(axis=0).argmax()]
    row = C[np.abs(C).sum(axis=1).argmax()]
    return np.where(row < 0, -1.0, 1.0)


def _attained(atlas: Atlas, chain: Chain, row: int, direction: np.ndarray, p: float) -> tuple[np.ndarray, float]:
    """Two points around the region's inner point, and the quotient between them by the network; the farthest apart of the best."""
    u = interior_points(atlas)[row]
    G, h, _ = atlas.domain.constraints
    slack, speed = h - G @ u, np.abs(G @ direction)
    reach = float(np.min(np.where(speed > 0, slack / np.where(speed > 0, speed, 1.0), np.inf)))
    t = reach * 0.5 ** np.arange(STEPS)[:, None]
    ends = np.stack([u - t * direction, u + t * direction], axis=1)
    x = atlas.domain.point(ends.reshape(-1, len(u)))
    y = _values(atlas.network, chain, x).reshape(STEPS, 2, -1)
    far = np.linalg.norm(ends[:, 1] - ends[:, 0], ord=p, axis=1)
    quotient = np.linalg.norm(y[:, 1] - y[:, 0], ord=p, axis=1) / np.maximum(far, np.finfo(float).tiny)
    best = int(np.flatnonzero(quotient >= np.median(quotient[STEPS // 8:STEPS // 2]) * (1 - CHECK_VALUE))[0])
    k = atlas.locate(x).reshape(STEPS, 2)
    same = np.flatnonzero((k == row).all(axis=1))
    best = int(same[0]) if len(same) else best
    return x.reshape(STEPS, 2, -1)[best], float(quotient[best])


def _values(net: Network, chain: Chain, x: np.ndarray) -> np.ndarray:
    return net(x) if chain.n_outputs == net.n_outputs else chain(x)


def _certificate(atlas: Atlas, what: str, p: float, value: float, gap: float) -> Certificate:
    base = atlas.certificate
    claim = (f"|f(x') - f(x)|_{NORMS[p]} <= {value + gap:.9g} |u' - u|_{NORMS[p]} for {what} before the link, and the least such constant "
             f"is at least {value - min(gap, value):.9g}, over all regions thicker than the atlas tells")
    figures: dict[str, Any] = {"regions": len(atlas), "gap": gap, **base.figures}
    if base.status is Status.PROVED:
        return Certificate(claim, Status.PROVED, f"all {len(atlas)} regions, {base.reason}", figures)
    return Certificate(claim, Status.UNKNOWN, base.reason, figures)
