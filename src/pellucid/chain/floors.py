"""What signs are decided against: bounds of rounding errors where they are narrow, else values that each cell's own bound can confirm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from ..geometry.slice import Slice
from ..tolerance import OWN_SHARE, OWN_WIDTH, PROOF_WIDTH, ROUNDING_FACTOR
from .chain import Chain, Elementwise, Selection, Stage
from .intervals import UNIT, gamma, piece_terms, rounding_floors

_POINTS = 16                      # cells whose own bounds are looked at before a run
_ROOM = 8.0                       # floors are so many times their largest, where that is narrow: other cells have larger ones


@dataclass(frozen=True, eq=False)
class Rounding:
    """What signs are decided against. floors: for each stage, then the outputs, (rows,); a pre-activation within
    ROUNDING_FACTOR times its floor of a breakpoint counts as on it.

    is_proved: the errors are proved to be small beside that. The floors are `rounding_floors`, or the engine has found a bound for each
    cell that it came to (`confirmed`).
    width: the largest ROUNDING_FACTOR * proved floor, relative to the size of its unit on the domain; with a `share`, of what was
    decided by.
    watched: what the engine is to begin with to find the cells' own bounds, (rows of the first layer,); empty where there is no need.
    sizes: of each pre-activation. share: the largest bound of a cell, relative to what was decided by; nan where there are none.
    """

    floors: list[np.ndarray]
    is_proved: bool
    width: float
    watched: np.ndarray = field(default_factory=lambda: np.zeros(0))
    sizes: list[np.ndarray] = field(default_factory=list)
    share: float = float("nan")

    def why(self) -> str:
        """In words, why the errors are not proved."""
        if np.isnan(self.share):
            return f"their proved bound over the domain reaches {self.width:.1g} of the size of a unit"
        return (f"signs were decided against up to {self.width:.1g} of the size of a unit ({OWN_WIDTH:g} is taken for exact), and the "
                f"cells' own bounds reach {self.share:.1g} of that (up to {OWN_SHARE:g} would be a proof)")


def rounding(chain: Chain, domain: Slice) -> Rounding:
    """The proved floors where they are narrow (PROOF_WIDTH), else smaller ones, which the cells' own bounds may turn out to be within.

    Norms bound the worst case over the domain: over many layers they grow far beyond the errors that occur, and signs decided against
    them would be wrong wherever a unit is smaller. So they only serve where they are small beside the units, each beside itself: one
    that is small by cancellation is not measured by its layer.
    """
    proved = rounding_floors(chain, domain)
    sizes = _sizes(chain, domain.point(_points(domain, 8)).T)
    width = ROUNDING_FACTOR * max(float((f / s).max(initial=0.0)) for f, s in zip(proved, sizes, strict=True))
    if width <= PROOF_WIDTH:
        return Rounding(proved, True, width)
    floors = []
    for f, s, (estimate, own) in zip(proved, sizes, _along_paths(chain, domain, proved[0]), strict=True):
        narrow, wide = (w * s / ROUNDING_FACTOR for w in (PROOF_WIDTH, OWN_WIDTH))
        likely = np.where(OWN_SHARE * own <= wide, np.maximum(np.minimum(own, wide), np.minimum(_ROOM * own, narrow)), 0.0)
        floors.append(np.where(f <= narrow, f, np.minimum(f, np.maximum(estimate, likely))))
    return Rounding(floors, False, width, np.ascontiguousarray(proved[0]), sizes)


def own_share(decided: Rounding, chain: Chain, errors: Sequence[np.ndarray] | None, *, outputs: bool) -> float:
    """How large the bounds that an engine found are, relative to what it decided signs by; nan where it found none.

    errors: for each stage and the outputs, the largest bound of each row on all cells that the engine came to. outputs: they were
    decided by as well.
    """
    if errors is None:
        return float("nan")
    share = 0.0
    for by, e, f in zip(_deciding(chain, outputs), errors, decided.floors, strict=True):
        # 1.001: roundings of the bounds themselves, and the little by which an engine's box is larger than the domain's
        own = 1.001 * e[by] / np.maximum(ROUNDING_FACTOR * f[by], 1e-300)
        share = max(share, float(np.where(np.isnan(own), np.inf, own).max(initial=0.0)))       # no number: overflow, nothing is known
    return share


def confirmed(decided: Rounding, chain: Chain, share: float, *, outputs: bool) -> Rounding:
    """The same, proved if the bounds that the engine found are small enough. share, outputs: see `own_share`.

    Sound     design/rounding.md: every map that is decided by is that of a cell the engine came to. Decisions hold if the errors are at
              most OWN_SHARE of what they were made against; where that is more than OWN_WIDTH, what is proved is too little.
    """
    if decided.is_proved or np.isnan(share):
        return decided
    width = max(float((ROUNDING_FACTOR * f[by] / s[by]).max(initial=0.0))
                for by, f, s in zip(_deciding(chain, outputs), decided.floors, decided.sizes, strict=True))
    holds = share <= OWN_SHARE and width <= OWN_WIDTH * (1 + 1e-9)
    return replace(decided, is_proved=holds, width=width, share=share)


def part_factor(chain: Chain) -> float:
    """How many times larger bounds can be where all pieces of a chain are known from the beginning than where they are found.

    Needs     bounds by `piece_terms` of a chain whose first units are linear (`regions.parallel`): these are summed up of one term, their
              own piece, when those who cut the part out may have summed jumps.
    Gives     a factor: of the sizes of terms, times that of their number; inf where there is none (a piece that is 0 above a kink).
    """
    factor, count = 1.0, 1.0
    for stage in chain.stages:
        if isinstance(stage.phi, Elementwise):
            _, slopes, offsets = stage.phi.padded
            within = np.arange(slopes.shape[1]) < stage.phi.n_pieces[:, None]
            for terms, own in zip(piece_terms(stage.phi), (np.abs(slopes), np.abs(offsets)), strict=False):
                with np.errstate(divide="ignore", invalid="ignore"):
                    factor = max(factor, float(np.where(within & (terms > 0), terms / own, 0.0).max(initial=0.0)))
            count = max(count, float(np.where(within, piece_terms(stage.phi)[2], 1).max(initial=1)))
    return factor * count


def _deciding(chain: Chain, outputs: bool) -> list[np.ndarray]:
    """For each stage and the outputs, (rows,) bool: rows that have a breakpoint or a rival; others are never decided by."""
    return [*(_rows_that_decide(stage) for stage in chain.stages), np.full(chain.n_outputs, outputs)]


def _rows_that_decide(stage: Stage) -> np.ndarray:
    if isinstance(stage.phi, Elementwise):
        return stage.phi.n_pieces > 1
    rows = np.zeros(len(stage.a), dtype=bool)
    rows[stage.phi.members[np.repeat(stage.phi.n_pieces > 1, stage.phi.n_pieces)]] = True
    return rows


@lru_cache(maxsize=64)
def _directions(dim: int, n: int) -> np.ndarray:
    """Where in the domain units are looked at: always the same places."""
    return np.random.default_rng(0).uniform(-1, 1, (n, dim))


def _points(domain: Slice, n: int) -> np.ndarray:
    lower, upper = domain.bounds
    return _directions(domain.dim, n) * ((upper - lower) / 2) + (lower + upper) / 2


def _sizes(chain: Chain, s: np.ndarray) -> list[np.ndarray]:
    """How large each pre-activation gets at the points s (d, n); a thousandth of the largest of its stage where it is 0 at all of them.

    A unit is 0 there because all that enters it is off, and has no error then. What is left of a cancellation is not 0.
    """
    sizes = []
    for layer in (*chain.stages, chain):
        z = layer.A @ s
        z += layer.a[:, None]
        own = np.abs(z).max(axis=1, initial=0.0)
        sizes.append(np.maximum(np.where(own > 0, own, 1e-3 * own.max(initial=0.0)), 1e-300))
        if isinstance(layer, Stage):
            s = layer.phi(z)
    return sizes


def _along_paths(chain: Chain, domain: Slice, first: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each stage and the outputs, (rows,): how large rounding errors are, and their largest bound in the cells of some points.

    Source    Higham & Mary 2019 (probabilistic rounding error analysis): errors of a sum of n terms grow with sqrt(n), not n. The
              bound is the engines' own (native/rounding.hpp).
    Differs   sizes of the local maps are the largest at some points of the domain; no proof of anything.
    """
    lower, upper = domain.bounds
    half, centre = (upper - lower) / 2, (upper + lower) / 2
    n, d, width = _POINTS, len(domain.x0), domain.dim + 1
    maps = np.repeat(np.column_stack([domain.P * half, domain.x0 + domain.P @ centre])[:, :, None], n, axis=2)    # [G | g] at each point
    v = np.vstack([_directions(domain.dim, n).T, np.ones(n)])
    terms, variance, held, found = np.abs(maps).sum(axis=1), np.zeros(d), np.zeros((d, n)), []
    count = np.full(n, d)
    for l, layer in enumerate((*chain.stages, chain)):
        sums, magnitude = layer.A.shape[1] + 4, abs(layer.A)
        size = np.abs(maps).sum(axis=1).max(axis=1)
        variance = (layer.A * layer.A) @ (variance + UNIT**2 * sums * size**2) + UNIT**2 * sums * layer.a**2
        each = gamma(count + 9)
        held = magnitude @ (held + each * terms) + each * np.abs(layer.a)[:, None]
        if l == 0:
            variance, held = first**2, np.repeat(first[:, None], n, axis=1)
        z = np.asarray(layer.A @ maps.reshape(len(maps), -1)).reshape(-1, width, n)
        z[:, -1] += layer.a[:, None]
        size = np.abs(z).sum(axis=1)
        found.append((first if l == 0 else 2.0 * np.sqrt(variance), (held + gamma(width + 3) * size).max(axis=1)))
        if isinstance(layer, Stage):
            maps, terms, held, variance, count = _through(layer.phi, z, np.einsum("rkn,kn->rn", z, v), size + 2 * held, held, variance)
    return found


def _through(phi: Elementwise | Selection, z, at, size, held, variance):
    """(maps, sizes of terms, bounds, variances, numbers of terms) behind phi; `at`: (rows, n), the pre-activations at the points."""
    piece, n = phi.piece(at), np.arange(at.shape[1])
    if isinstance(phi, Selection):
        winners = phi.members[phi.ptr[:-1, None] + piece]
        return (z[winners, :, n].transpose(0, 2, 1), size[winners, n], held[winners, n], variance[winners].max(axis=1),
                np.full(len(n), len(winners)))
    _, slopes, offsets = phi.padded
    of_terms, level, count = piece_terms(phi)
    rows = np.arange(len(at))[:, None]
    steep = slopes[rows, piece]
    z = z * steep[:, None, :]
    z[:, -1] += offsets[rows, piece]
    return (z, of_terms[rows, piece] * size + level[rows, piece], np.abs(steep) * held, variance * (slopes**2).max(axis=1),
            count[rows, piece].sum(axis=0))
