"""Does an output, a probability or a decision only ever rise (or fall) with a feature? Proved, or refuted by points (SPEC 4)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..atlas import Atlas, adjacency, linear_regions
from ..atlas.check import steps
from ..atlas.frame import interior_points
from ..certificate import Certificate, Status
from ..chain import Chain, chain_of, local_maps, rounding
from ..errors import DataError, Interrupted, NoDecision
from ..geometry import Box, Hull, NamedSlice, Slice, as_slice
from ..graph import Network
from ..graph.network import check_threshold, logit, no_class
from ..regions import Cells, Progress, codes_of, unpack_codes
from ..tolerance import GEOMETRIC, ON_FACE
from .answer import Answer
from .asked import feature_index, quantity
from .lines import Pair, along, show
from .probability import settle
from .slope_bounds import slope_bounds
from .weighing import uniform_points
from .weights import signs, towards, weight_floor

if TYPE_CHECKING:
    import pandas as pd

OF = ("output", "probability", "decision")
DIRECTIONS = ("up", "down")
SAMPLES = 1024
"""Points at which a refutation is looked for before any region is enumerated."""

LARGEST_MAPS = 1 << 24
"""Entries of the slopes at all sample points that are kept for all features."""

SHOWN = 64
"""Places at which a rise or a fall is tried to be shown by points."""


@dataclass(frozen=True, eq=False, repr=False)
class Monotone(Answer):
    """How something moves with a feature over a domain.

    value: "up", "down", "constant", "mixed" (both ways), None where that is not known; with status UNKNOWN it is what was found,
    unproved. status: of the claim that it never moves against `direction` ("up" or "down"; None: in one of them). witness: the fall
    (asked for "down": the rise) that refutes it. rise, fall: pairs of points on lines along the feature, by the network itself,
    where they are known. slopes: (lowest, highest) slope on any region, for outputs. names: of all features.
    """

    feature: str
    of: str
    about: str
    direction: str | None
    rise: Pair | None
    fall: Pair | None
    slopes: tuple[float, float] | None = None
    names: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """One row; the columns of `monotone_table`."""
        import pandas as pd

        return pd.DataFrame([self._row()])

    def points(self) -> pd.DataFrame:
        """The points that show a rise and a fall, all features and what was asked about: one row a point, before and after."""
        import pandas as pd

        rows = []
        for word, pair in (("rise", self.rise), ("fall", self.fall)):
            for k, when in enumerate(("before", "after")):
                if pair is not None:
                    rows.append({"shows": word, "point": when, **dict(zip(self.names, pair.x[k], strict=True)), self.about: pair.values[k]})
        return pd.DataFrame(rows, columns=None if rows else ["shows", "point", *self.names, self.about])

    def _row(self) -> dict[str, Any]:
        row: dict[str, Any] = {"feature": self.feature, "of": self.about, "moves": self.value or "unknown", "status": str(self.status)}
        if self.slopes is not None:
            row |= {"lowest slope": self.slopes[0], "highest slope": self.slopes[1]}
        for word, pair in (("rise", self.rise), ("fall", self.fall)):
            where, what = np.full(2, np.nan) if pair is None else pair.x[:, self.names.index(self.feature)], [np.nan] * 2
            what = what if pair is None else pair.values.tolist()
            row |= {f"{word} between": float(where[0]), f"{word} and": float(where[1]), f"{word} from": what[0], f"{word} to": what[1]}
        return row

    def _line(self) -> str:
        if self.direction is not None and self.witness is not None:
            return f"{self.about} {'falls' if self.direction == 'up' else 'rises'} somewhere as {self.feature} grows"
        asked = f"{self.about} moves {self.value or 'unknown'} with {self.feature}"
        return asked if self.direction is None else f"{asked}, asked for {self.direction}"


@dataclass(frozen=True, eq=False, repr=False)
class MonotoneTable(Answer):
    """How something moves with each feature that moves in a domain. value: {feature: "up", "down", "constant", "mixed" or None};
    answers: a `Monotone` for each, by place or name (`table["age"]`). status: PROVED where every answer is proved or refuted.
    """

    answers: tuple[Monotone, ...]

    def __len__(self) -> int:
        return len(self.answers)

    def __getitem__(self, feature: int | str) -> Monotone:
        """The answer for a feature by name, or by its place in the table."""
        if isinstance(feature, str):
            names = [a.feature for a in self.answers]
            if feature not in names:
                raise DataError(f"no feature '{feature}' in this table; there are: {', '.join(names[:10])}")
            return self.answers[names.index(feature)]
        return self.answers[feature]

    def to_frame(self) -> pd.DataFrame:
        """One row a feature: how it moves, proved or not, and what shows a rise and a fall: between which values of the feature, from
        which value of what was asked about to which."""
        import pandas as pd

        return pd.DataFrame([a._row() for a in self.answers])

    def _line(self) -> str:
        words = [f"{a.feature} {a.value or 'unknown'}" for a in self.answers[:6]]
        return f"{self.answers[0].about}: {', '.join(words)}{', ...' if len(self) > 6 else ''}"


def monotone(net: Network, feature: int | str, domain: Box | Slice | NamedSlice | Hull, of: str = "output", *, output: int | str = 0,
             versus: int | str | None = None, direction: str | None = None, order: Sequence[int | str] | None = None,
             threshold: float = 0.5, engine: str = "auto", max_regions: int | None = None, max_seconds: float | None = None,
             threads: int | None = None, progress: Callable[[Progress], object] | None = None, seed: int = 0) -> Monotone:
    """Does `of` move one way only as the feature grows, everything else equal, anywhere in the domain?

    of: "output" (`output`, or `output` - `versus`), "probability" (of class `output`, behind softmax or sigmoid) or "decision" (the
    place of the class given in `order`: classes by number or name, lowest first; None: as they are numbered).
    direction: "up" or "down", None for either. threshold: of sigmoid outputs, for decisions.

    Points are tried first, then bounds, then all regions (budgets as for `linear_regions`): PROVED where the enumeration is;
    REFUTED with points that show it; UNKNOWN where the budget ended first, or what is found is too small to be shown.
    Raises DataError (no such feature or output; the domain does not let it move), NoDecision (no class, or no probability).
    """
    return _Study(net, domain, of, output, versus, order, threshold, seed, _budgets(engine, max_regions, max_seconds, threads, progress)
                  ).answer(feature, direction)


def monotone_table(net: Network, domain: Box | Slice | NamedSlice | Hull, of: str = "output", *,
                   features: Sequence[int | str] | None = None, output: int | str = 0,
                   versus: int | str | None = None, direction: str | None = None, order: Sequence[int | str] | None = None,
                   threshold: float = 0.5, engine: str = "auto", max_regions: int | None = None, max_seconds: float | None = None,
                   threads: int | None = None, progress: Callable[[Progress], object] | None = None, seed: int = 0) -> MonotoneTable:
    """`monotone` for several features (None: all that move by themselves in the domain), with one enumeration for all.

    max_seconds: for all together. Features whose turn comes later are UNKNOWN, unless points refute them.
    """
    began = time.perf_counter()
    study = _Study(net, domain, of, output, versus, order, threshold, seed, _budgets(engine, max_regions, max_seconds, threads, progress))
    names = net.feature_names
    if features is not None:
        movable = [feature_index(net, f) for f in features]
    elif study.domain.free is not None:
        movable = sorted(group[0] for group in study.domain.free)
    else:
        movable = [j for j in range(net.n_inputs) if _can_move(study.domain, j, names)]
    if not movable:
        raise DataError("features is empty: name some, or leave it out for all" if features is not None else
                        "no feature moves by itself in this domain, whose directions mix features: give a box, or a slice along features")
    answers = []
    for j in movable:
        study.is_late = bool(answers) and max_seconds is not None and time.perf_counter() - began > max_seconds
        answers.append(study.answer(j, direction))
    answers = tuple(answers)
    return MonotoneTable({a.feature: a.value for a in answers}, None, max(a.gap for a in answers), _together(answers), answers)


def _together(answers: tuple[Monotone, ...]) -> Certificate:
    """What is claimed of all features at once: that each is as its own row says."""
    counts = {status: sum(a.status is status for a in answers) for status in Status}
    words = ", ".join(f"{n} {status}" for status, n in counts.items() if n)
    status = Status.UNKNOWN if counts[Status.UNKNOWN] else Status.PROVED
    return Certificate(f"{answers[0].about} moves with each feature as its row tells", status, f"features: {words}",
                       dict(max((a.certificate for a in answers), key=lambda c: len(c.figures)).figures))


def _can_move(domain: Slice, j: int, names: tuple[str, ...]) -> bool:
    try:
        along(domain, j, names)
    except DataError:
        return False
    return True


def _budgets(engine, max_regions, max_seconds, threads, progress) -> dict[str, Any]:
    return {"engine": engine, "max_regions": max_regions, "max_seconds": max_seconds, "threads": threads, "progress": progress}


@dataclass(frozen=True, eq=False)
class _Moves:
    """What an analysis found. rises, falls: (m, k) points in u around which it moves so, the clearest first. is_settled: nothing else
    can be there, to what `reason` says. is_complete: nothing else was found everywhere, though that is no proof. slopes: as in
    Monotone."""

    rises: np.ndarray
    falls: np.ndarray
    is_settled: bool
    reason: str
    slopes: tuple[float, float] | None = None
    is_complete: bool = False


class _Study:
    """One question for several features: the points, the bounds and the atlas are made once, when they are needed."""

    is_late = False                                             # only points are looked at, then

    def __init__(self, net, domain, of, output, versus, order, threshold, seed, budgets):
        if of not in OF:
            raise ValueError(f"of='{of}': there are {', '.join(map(repr, OF))}")
        if of != "output" and versus is not None:
            raise ValueError(f"of='{of}' takes no versus: only outputs are compared")
        self.net: Network = net
        self.chain, self.domain = chain_of(net), as_slice(domain, net.feature_names)
        self.of, self.threshold, self.seed, self.budgets = of, threshold, seed, budgets
        self.asked = quantity(net, output if of != "decision" or net.is_multilabel else 0, versus)
        self.place = _places(net, order) if of == "decision" else None
        if of == "decision":
            check_threshold(net, threshold)
        if of == "probability" and net.link == "identity":
            raise NoDecision("this network gives no probabilities (its link is identity): ask of='output', or load it with its softmax or "
                             "sigmoid, link='softmax'")
        self.is_softmax = of == "probability" and net.link in ("softmax", "log_softmax")
        self.label = int(np.abs(self.asked.direction).argmax())
        if self.is_softmax and net.n_outputs == 1:
            raise NoDecision("a softmax of one output is always 1")

    # ---- one feature
    def answer(self, feature: int | str, direction: str | None) -> Monotone:
        if direction not in (None, *DIRECTIONS):
            raise ValueError(f"direction='{direction}': there are 'up', 'down' and None (either)")
        j = feature_index(self.net, feature)
        try:
            return self._answered(j, direction)
        except Interrupted:
            raise
        except KeyboardInterrupt:
            raise Interrupted(self.__dict__.get("atlas")) from None

    def _answered(self, j: int, direction: str | None) -> Monotone:
        du = along(self.domain, j, self.net.feature_names)
        shown = self._shown(du, self._tried(du), [None, None])
        none = np.zeros((0, len(du)))
        if not self._is_refuted(shown, direction) and self.is_late:
            found = _Moves(none, none, False, "time ran out before its regions were looked at")
        elif not self._is_refuted(shown, direction):
            found = self._found(du)
            shown = self._shown(du, found, shown)
        else:
            found = _Moves(none, none, False, "shown by points")
        return self._told(j, direction, found, *shown)

    def _is_refuted(self, shown, direction: str | None) -> bool:
        rise, fall = shown
        return {"up": fall is not None, "down": rise is not None, None: rise is not None and fall is not None}[direction]

    def _shown(self, du, moves: _Moves, known):
        """(rise, fall): pairs of points, those known kept."""
        pairs = []
        for pair, at, sign in zip(known, (moves.rises, moves.falls), (+1, -1), strict=True):
            pairs.append(pair if pair is not None else show(self.domain, du, at[:SHOWN], self.value, sign, self.visible))
        return pairs

    def _told(self, j: int, direction: str | None, found: _Moves, rise: Pair | None, fall: Pair | None) -> Monotone:
        name, what = self.net.feature_names[j], self.words
        rises, falls = rise is not None or len(found.rises) > 0, fall is not None or len(found.falls) > 0
        value = None
        if rise is not None and fall is not None:
            value = "mixed"
        elif (found.is_settled or found.is_complete) and not (rises and falls):
            value = "up" if rises else "down" if falls else "constant"
        against = {"up": fall, "down": rise, None: fall if rise is not None else None}[direction]
        claim = f"{what} {_never(direction)} as {name} grows, everywhere in the domain, {self._apart_from()}"
        could = {"up": falls, "down": rises, None: rises and falls}[direction]
        if against is not None:
            status, reason = Status.REFUTED, "points on lines along the feature show it, by the network itself"
        elif found.is_settled and not could:
            status, reason = Status.PROVED, found.reason
        else:
            status = Status.UNKNOWN
            reason = "regions move against it, by too little to be shown by points" if could else found.reason
        gap = 0.0 if status is not Status.UNKNOWN else np.inf
        return Monotone(value, against, gap, Certificate(claim, status, reason, self._figures), name, self.of, what, direction, rise, fall,
                        found.slopes, self.net.feature_names)

    @property
    def _figures(self) -> dict[str, Any]:
        return dict(self.atlas.certificate.figures) if "atlas" in self.__dict__ else {}

    def _apart_from(self) -> str:
        if self.of == "decision":
            return f"but in what is thinner than {ON_FACE:g} of it, and points on borders between classes counting to either side"
        return f"but in what is thinner than {GEOMETRIC:g} of it, and slopes within rounding of 0 counting as 0"

    # ---- what is asked about
    @property
    def words(self) -> str:
        if self.of == "decision":
            return f"the decision for label {self.asked.label}" if self.net.is_multilabel else "the decision"
        return self.asked.label if self.of == "output" else f"the probability of {self.asked.label}"

    def value(self, x: np.ndarray) -> np.ndarray:
        """(n,) for rows x, by the network itself."""
        if self.of == "output":
            return self.net(x) @ self.asked.direction
        if self.of == "probability":
            p = self.net.predict(x)
            return p[:, self.label] if self.asked.direction[self.label] > 0 else 1 - p[:, self.label]
        if self.net.is_multilabel:
            return (self.net(x)[:, self.label] > logit(self.threshold)).astype(float)
        return self.place[self.net.decide(x, threshold=self.threshold)].astype(float)

    @cached_property
    def visible(self) -> float:
        """A change that rounding cannot make."""
        if self.of == "decision":
            return 0.5
        if self.of == "probability":
            return 64 * np.finfo(float).eps
        return 8 * float(rounding(self.chain, self.domain).floors[-1] @ np.abs(self.asked.direction))

    # ---- points
    @cached_property
    def _points(self) -> np.ndarray:
        return uniform_points(self.domain, SAMPLES, self.seed)[0]

    @cached_property
    def _codes(self) -> np.ndarray:
        return unpack_codes(codes_of(self._chain_u, self._points), self.chain.n_pieces)

    @cached_property
    def _sample_maps(self) -> np.ndarray | None:
        """(SAMPLES, c, k) slopes at the sample points, for all features at once; None where that would be large."""
        if len(self._points) * self.chain.n_outputs * self.domain.dim > LARGEST_MAPS:
            return None
        return local_maps(self._chain_u, self._codes)[0]

    @cached_property
    def _chain_u(self) -> Chain:
        return self.chain.fold(self.domain.x0, self.domain.P)

    def _tried(self, du: np.ndarray) -> _Moves:
        """Sample points where it rises and falls; nothing is settled."""
        u = self._points
        if self.of == "decision":
            rate = self._decision_rate(du)
        else:
            slopes = self._sample_maps @ du if self._sample_maps is not None else local_maps(self._along(du), self._codes)[0][:, :, 0]
            rate = self._rate(slopes, self.net(self.domain.point(u)))
            rate = np.where(np.abs(rate) > self._largest_floor(du), rate, 0.0)
        rises, falls = (np.flatnonzero(sign * rate > 0) for sign in (1, -1))
        rises, falls = rises[np.argsort(-rate[rises], kind="stable")], falls[np.argsort(rate[falls], kind="stable")]
        return _Moves(u[rises[:SHOWN]], u[falls[:SHOWN]], False, "")

    def _decision_rate(self, du: np.ndarray) -> np.ndarray:
        """(n,) +1, -1, 0: which way the decision moves from each sample point to a random other one on its line."""
        rng = np.random.default_rng(self.seed + 1)
        lower, upper = self.domain.bounds
        G, h, _ = self.domain.constraints
        reach = float(np.min((upper - lower)[du != 0] / np.abs(du[du != 0])))
        other = self._points + rng.uniform(0, reach, len(self._points))[:, None] * du
        inside = (other @ G.T <= h).all(axis=1)
        change = self.value(self.domain.point(other)) - self.value(self.domain.point(self._points))
        return np.where(inside, change, 0.0)

    def _along(self, du: np.ndarray) -> Chain:
        """The chain of t -> f(x0 + t P du), one input: its maps are slopes along the feature."""
        return self.chain.fold(self.domain.x0, (self.domain.P @ du)[:, None])

    def _rate(self, slopes: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(n,) the rate of change, up to a positive factor, for slopes (n, c) of the outputs and outputs y (n, c)."""
        if not self.is_softmax:
            return slopes @ self.asked.direction
        odds = np.exp(y - y.max(axis=1, keepdims=True))
        return np.einsum("nk,nk->n", odds, slopes[:, [self.label]] - slopes) / odds.sum(axis=1)

    # ---- bounds, regions
    def _found(self, du: np.ndarray) -> _Moves:
        if any(steps(stage.phi) for stage in self.chain.stages):
            none = np.zeros((0, len(du)))
            return _Moves(none, none, False, "a unit of the network jumps, and regions say nothing of jumps")
        if self.of == "decision":
            return self._by_walls(du)
        return self._by_bounds(du) or (self._by_margins(du) if self.is_softmax else self._by_slopes(du))

    @cached_property
    def atlas(self) -> Atlas:
        """Every region, or as many as the budgets allow."""
        by = "class" if self.of == "decision" else None
        return linear_regions(self.net, self.domain, by=by, threshold=self.threshold, **self.budgets)

    def _claimed(self) -> tuple[bool, str]:
        """What the atlas allows to claim."""
        certificate = self.atlas.certificate
        return certificate.status is Status.PROVED, f"all {self.atlas.n_regions} regions, {certificate.reason}"

    @cached_property
    def _slope_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        chain = self.chain
        if self.is_softmax:                  # margins over every other class: each must move one way
            rest = np.delete(np.eye(chain.n_outputs), self.label, axis=0)
            chain = Chain(chain.n_inputs, chain.stages, (np.eye(chain.n_outputs)[self.label] - rest) @ chain.A,
                          (np.eye(chain.n_outputs)[self.label] - rest) @ chain.a)
        else:
            chain = towards(chain, self.asked.direction)
        return slope_bounds(chain, self.domain)

    def _by_bounds(self, du: np.ndarray) -> _Moves | None:
        """Where bounds on the slopes settle it, without regions; None where they do not."""
        low, high = self._slope_bounds
        low, high = (np.minimum(low * du, high * du)).sum(axis=1), (np.maximum(low * du, high * du)).sum(axis=1)
        if not ((low >= 0).all() or (high <= 0).all()):
            return None
        some, none = self._points[:1], np.zeros((0, len(du)))
        rises, falls = (some if (low >= 0).all() and (high > 0).any() else none), (some if (high <= 0).all() and (low < 0).any() else none)
        return _Moves(self._tried(du).rises if len(rises) else none, self._tried(du).falls if len(falls) else none, True,
                      "by bounds on the slopes over the whole domain", None if self.is_softmax else (float(low.min()), float(high.max())))

    def _slopes(self, du: np.ndarray) -> np.ndarray:
        """(K, c) of every output along the feature."""
        return self.atlas.maps_of(self._along(du))[0][:, :, 0]

    def _floor(self, du: np.ndarray, direction: np.ndarray) -> float:
        return float(weight_floor(self._along(du), direction)[0])

    def _largest_floor(self, du: np.ndarray) -> float:
        """Of the rounding floors of the slopes that count."""
        if not self.is_softmax:
            return self._floor(du, self.asked.direction)
        return self._floor(du, np.ones(self.net.n_outputs)) * 2

    def _by_slopes(self, du: np.ndarray) -> _Moves:
        slope = self._slopes(du) @ self.asked.direction
        sign = signs(slope, self._floor(du, self.asked.direction))
        settled, reason = self._claimed()
        clear = np.abs(slope) * self._room()
        rises, falls = (self._clearest(sign == s, clear) for s in (1, -1))
        slopes = (float(slope.min()), float(slope.max())) if len(slope) else None
        return _Moves(rises, falls, settled, reason, slopes, self.atlas.is_complete)

    def _room(self) -> np.ndarray:
        """(K,) how large each region is, roughly: where a change is best shown."""
        cells = self.atlas.cells
        volume = cells.area if isinstance(cells, Cells) else cells.volume
        if volume is not None:
            return np.maximum(volume, 1e-300) ** (1.0 / self.atlas.domain.dim)
        return cells.clearance if cells.clearance is not None else np.ones(len(self.atlas))

    def _clearest(self, rows: np.ndarray, clear: np.ndarray) -> np.ndarray:
        """(m, k) inner points of these rows (a mask), the clearest first."""
        rows = np.flatnonzero(rows)
        rows = rows[np.argsort(-clear[rows], kind="stable")][:SHOWN]
        return interior_points(self.atlas)[rows]

    def _by_margins(self, du: np.ndarray) -> _Moves:
        """Probability behind softmax: by the signs of all margins f_c - f_k where they agree, elsewhere by the sum that is its rate."""
        slopes, c = self._slopes(du), self.label
        others = np.delete(np.arange(slopes.shape[1]), c)
        margins = slopes[:, [c]] - slopes[:, others]
        eye = np.eye(slopes.shape[1])
        floors = np.array([self._floor(du, eye[c] - eye[k]) for k in others])
        sign = signs(margins, floors)
        up, down = (sign > 0).any(axis=1), (sign < 0).any(axis=1)
        settled, reason = self._claimed()
        clear = np.abs(margins).max(axis=1, initial=0.0) * self._room()
        rises, falls = self._clearest(up & ~down, clear), self._clearest(down & ~up, clear)
        mixed, complete = np.flatnonzero(up & down), self.atlas.is_complete
        if len(mixed):
            seconds = self.budgets["max_seconds"]
            known = settle(self.atlas, mixed, np.where(sign == 0, 0.0, margins)[mixed], others, bool(len(rises)), bool(len(falls)), seconds)
            rises, falls = np.vstack([known.rises, rises]), np.vstack([known.falls, falls])
            settled, complete = settled and known.is_settled, complete and known.is_settled
            reason = f"{reason}; {known.reason}"
        return _Moves(rises, falls, settled, reason, is_complete=complete)

    def _by_walls(self, du: np.ndarray) -> _Moves:
        """Decisions: by the classes on the two sides of every facet that a line along the feature crosses."""
        atlas, border = self.atlas, adjacency(self.atlas)
        place = self._place_of_rows(atlas)
        lower, upper = atlas.domain.bounds
        across = border.normal * ((upper - lower) / 2)
        reach = (border.normal @ du) * float(np.min((upper - lower)[du != 0] / np.abs(du[du != 0])))
        crosses = np.abs(reach) > ON_FACE * np.linalg.norm(across, axis=1)      # others: no line gets farther than that across
        change = np.where(crosses, np.sign(reach), 0.0) * (place[border.right] - place[border.left])
        order = np.argsort(-np.abs(change * reach), kind="stable")
        usable = order[~np.isnan(border.point[order]).any(axis=1)]
        rises, falls = (border.point[usable[s * change[usable] > 0][:SHOWN]] for s in (1, -1))
        thin = [bool((s * change > 0).any()) and not len(found) for s, found in ((1, rises), (-1, falls))]
        settled, reason = self._claimed()
        if border.unknown:
            settled, reason = False, f"{reason}; what lies behind {border.unknown} facets is not known"
        if any(thin):
            settled, reason = False, f"{reason}; a facet on which the class changes is thinner than {GEOMETRIC:g} of the domain"
        reason = f"{reason}, and the classes on both sides of all {len(border)} facets between them"
        return _Moves(rises, falls, settled, reason, is_complete=atlas.is_complete and not border.unknown and not any(thin))

    def _place_of_rows(self, atlas: Atlas) -> np.ndarray:
        first = atlas.first.astype(np.int64)
        if self.net.is_multilabel:
            return first >> self.label & 1
        return self.place[first]


def _never(direction: str | None) -> str:
    return {"up": "never falls", "down": "never rises", None: "never falls, or never rises,"}[direction]


def _places(net: Network, order: Sequence[int | str] | None) -> np.ndarray:
    """(classes,) the place of each class in the order, 0 lowest."""
    if net.is_multilabel:
        if order is not None:
            raise DataError("several labels at once have no order: name the label, output=...")
        return np.arange(2)
    if net.n_classes == 0:
        raise NoDecision(no_class(net))
    n = net.n_classes
    if order is None:
        return np.arange(n)
    names = list(net.class_names)
    unknown = [c for c in order if (c not in names if isinstance(c, str) else not 0 <= int(c) < n)]
    if unknown:
        raise DataError(f"order: no class is called {unknown[0]!r}; there are: {', '.join(names)}")
    numbers = [names.index(c) if isinstance(c, str) else int(c) for c in order]
    if sorted(numbers) != list(range(n)):
        raise DataError(f"order names {len(set(numbers))} different classes; all {n} are needed, each once: {', '.join(names)}")
    place = np.empty(n, dtype=np.int64)
    place[numbers] = np.arange(n)
    return place
