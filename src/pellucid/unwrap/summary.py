"""The table of regions, and what it says of the network as a whole (UNWRAP 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph import Network
from .native import maps_of
from .responses import Responses
from .scores import global_scores, over_classes, segment_areas, squared_errors
from .signs import Signs, signs
from .unwrapping import Exactness, chosen, coefficients, is_single_class, is_trivial, spread_of

if TYPE_CHECKING:
    import pandas as pd

GLOBAL_PAIRS = 400_000_000
"""Models times rows times responses that are scored for the global column; beyond, it is made for the first models only."""

GOOD = 0.8
"""A model is good where its skill (2 AUC - 1, or 1 - MSE / variance) is at least this share of the whole network's."""

NEARLY_EVERY = 0.5
"""Regions for each row, from which on a table of single regions says little."""


@dataclass(frozen=True, eq=False, repr=False)
class Summary:
    """K regions, one a row, and figures of the whole.

    region: (K,) numbers. count, weight, response_mean and response_std (K, m), single_class and trivial: as in LocalModels.
    local_score, global_score: (K,) AUC or MSE (metric); NaN where a group is of one class or the column was not made.
    extrapolation: (K,) "poor", "good" or "extraordinary" (4.2), "" where a score is missing.
    n_regions, n_rows: of the whole. single_rows, single_classes, trivial_share: shares of all regions.
    performance: of the network itself on these rows, by name. unseen: share of the rows in `test` whose region has no row of the fit.
    signs: which way each feature works. notes: what to know about this table.
    """

    network: Network
    metric: str
    region: np.ndarray
    count: np.ndarray
    weight: np.ndarray
    response_mean: np.ndarray
    response_std: np.ndarray
    local_score: np.ndarray
    global_score: np.ndarray
    single_class: np.ndarray
    trivial: np.ndarray
    extrapolation: np.ndarray
    response_names: tuple[str, ...]
    n_regions: int
    n_rows: int
    total_weight: float
    single_rows: float
    single_classes: float
    performance: Mapping[str, float]
    unseen: float | None
    signs: Signs
    exactness: Exactness
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.region)

    @property
    def coverage(self) -> np.ndarray:
        """(K,) share of the rows (by their weights) in each region."""
        return self.weight / self.total_weight

    def to_frame(self) -> pd.DataFrame:
        """The table; its index is the number of the region."""
        import pandas as pd

        one = self.response_mean.shape[1] == 1
        of = [""] if one else [f" {name}" for name in self.response_names]
        columns: dict[str, Any] = {"Count": self.count}
        columns |= {f"Response Mean{s}": self.response_mean[:, r] for r, s in enumerate(of)}
        columns |= {f"Response Std{s}": self.response_std[:, r] for r, s in enumerate(of)}
        single = "Single Class" if self.metric == "AUC" else "Single Row"
        columns |= {f"Local {self.metric}": self.local_score, f"Global {self.metric}": self.global_score, "Coverage": self.coverage,
                    single: self.single_class, "Trivial": self.trivial, "Extrapolation": self.extrapolation}
        return pd.DataFrame(columns, index=pd.Index(self.region, name="region"))

    def __repr__(self) -> str:
        top = float(self.coverage[:3].sum())
        return (f"Summary({self.n_regions:,} regions of {self.n_rows:,} rows; the first {min(3, len(self))} hold {top:.1%}; "
                f"{self.single_rows:.0%} have one row, {self.single_classes:.0%} one class or row"
                + ("" if self.unseen is None else f"; {self.unseen:.1%} of the test rows are in none of them")
                + "; " + ", ".join(f"{k} {v:.4g}" for k, v in list(self.performance.items())[:2]) + ")")

    def _repr_html_(self) -> str:
        from html import escape

        notes = "".join(f"<p><em>{escape(n)}</em></p>" for n in (*self.notes, str(self.exactness)))
        return f"<p>{escape(repr(self))}</p>{self.to_frame().head(20).to_html()}{notes}"


def summary(u, top: int | None, by: str, *, unseen: float | None, expected: Mapping[str, int] | None, good: float = GOOD) -> Summary:
    """u: an Unwrapping or a StreamedUnwrapping; otherwise as the method of the estimators."""
    if by not in ("count", "local", "global"):
        raise ValueError(f"by='{by}': the table is in order of 'count', 'local' or 'global'")
    g, kind, net = u.groups, u.kind, u.network
    everything = np.arange(len(g))
    at = chosen(len(g), top if by == "count" else None, None)
    local = u.local_scores(at)
    sample = u.sample_of(at[:0])
    weight = None if g.weight is None else sample.weight
    notes = []
    few = max(1, GLOBAL_PAIRS // max(1, len(sample.X) * kind.n))
    scored = at[:few]
    overall = np.full(len(at), np.nan)
    codes = u.codes(scored)
    overall[:len(scored)] = global_scores(kind, *maps_of(u.chain, codes, threads=u.threads), sample.X, sample.y, weight, threads=u.threads)
    if len(scored) < len(at):
        notes.append(f"the global column was made for the {len(scored):,} largest of {len(at):,} regions; for others: "
                     "local_models(index=[...], scores=('local', 'global'))")
    if not sample.complete:
        notes.append("global scores and the network's performance are estimates, from a uniform sample of "
                     f"{len(sample.X):,} of {u.n_rows:,} rows")
    if by != "count":
        score, falling = local if by == "local" else overall, kind.are_shares
        order = np.lexsort((at, -score if falling else score, np.isnan(score)))[:len(at) if top is None else top]
        at, local, overall = at[order], local[order], overall[order]
    performance, skill = performance_of(u, sample, weight)
    spread = sample.X.std(axis=0)
    one_class = is_single_class(g, everything, kind)
    if len(g) > NEARLY_EVERY * u.n_rows and u.n_rows > 1:
        notes.append(f"nearly every row has a region of its own ({len(g):,} regions, {u.n_rows:,} rows): single regions say little. "
                     "What helps: coarsen(layers=1) (regions of the first layer), coarsen(angle=15) (models that are alike), "
                     "pel.MergedClassifier or MergedRegressor, or a smaller or regularised network")
    parts = ((coef, g.weights[part]) for part, coef, _ in coefficients(u))
    trivial = np.concatenate([is_trivial(u.chain, u.codes(at[a:a + 65_536])) for a in range(0, max(len(at), 1), 65_536)])
    names = net.output_names if kind.kind != "binary" else (net.class_names[-1],)
    return Summary(net, "AUC" if kind.are_shares else "MSE", at, np.asarray(g.count[at]), np.asarray(g.weights[at]), np.asarray(g.mean[at]),
                   spread_of(g, at, kind), local, overall, is_single_class(g, at, kind), trivial,
                   extrapolation(kind, local, overall, skill, good), tuple(names), len(g), u.n_rows, float(g.weights.sum()),
                   float((g.count == 1).mean()), float((one_class | (g.count == 1)).mean()), performance, unseen,
                   signs(net, parts, spread, expected), u.exactness, tuple(notes))


@dataclass(frozen=True, eq=False)
class Skill:
    """Of the whole network: 2 AUC - 1, or 1 - MSE / variance. variance: of the responses (1 for classes)."""

    network: float
    variance: float

    def of(self, kind: Responses, score: np.ndarray) -> np.ndarray:
        return 2 * score - 1 if kind.are_shares else 1 - score / self.variance


def extrapolation(kind: Responses, local: np.ndarray, overall: np.ndarray, skill: Skill, good: float) -> np.ndarray:
    """(K,) str: how a model does beyond its own rows.

    Source   UNWRAP 4.2: good locally and poor globally is poor, good in both is good, poor locally and good globally is extraordinary.
    Differs  the paper leaves open what good is; here a share `good` of the network's own skill. Poor in both is called poor, too.
    """
    least = good * skill.network
    is_local, is_global = skill.of(kind, local) >= least, skill.of(kind, overall) >= least
    words = np.where(is_global, np.where(is_local, "good", "extraordinary"), "poor").astype(object)
    words[np.isnan(local) | np.isnan(overall)] = ""
    return words


def performance_of(u, sample, weight: np.ndarray | None) -> tuple[dict[str, float], Skill]:
    """What the network itself reaches on the rows (or their sample): AUC and accuracy, or MSE and R2, by name; and its skill."""
    kind: Responses = u.kind
    step = 16_384
    outputs = np.vstack([u.network(sample.X[a:a + step]) for a in range(0, max(len(sample.X), 1), step)])
    scores, truth = kind.scores(outputs), kind.of(sample.y)
    if not kind.are_shares:
        mse = float(np.average(squared_errors(scores, truth), weights=weight))
        centre = np.average(truth, axis=0, weights=weight)
        variance = float(np.average(squared_errors(truth, centre), weights=weight))
        r2 = 1 - mse / variance if variance > 0 else np.nan
        return {"MSE": mse, "R2": r2}, Skill(r2, variance if variance > 0 else np.nan)
    zero = np.zeros(len(truth), dtype=np.intp)
    areas = np.array([segment_areas(zero, scores[:, r], truth[:, r] == 1, weight, 1)[0] for r in range(kind.n)])
    area = float(over_classes(areas[None])[0])
    found = {"AUC": area, "accuracy": float(np.average(_is_right(kind, scores, sample.y), weights=weight))}
    if kind.kind == "classes":
        found |= {f"AUC {name}": float(a) for name, a in zip(u.network.class_names, areas, strict=True)}
    return found, Skill(2 * area - 1, 1.0)


def _is_right(kind: Responses, scores: np.ndarray, y: np.ndarray) -> np.ndarray:
    if kind.kind == "classes":
        return scores.argmax(axis=1) == y
    return (scores[:, 0] > 0) == (y == 1) if kind.kind == "binary" else ((scores > 0) == (y == 1)).all(axis=1)
