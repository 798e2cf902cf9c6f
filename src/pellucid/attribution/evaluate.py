"""The paper's Table 1 for a network of one's own: attribution methods beside each other, by several metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, Interrupted
from ..graph import Network
from .asked import by_feature, question_of, sets_of
from .baselines import BASELINES, last_convolution
from .eva import eva
from .groups import Groups, groups_of, spatial
from .metrics import deletion, insertion, mu_fidelity
from .perturbed import eva_sampled, greedy_ao, greedy_as, rise
from .robustness import robustness_sr
from .scores import Subject, samples, subject_of

if TYPE_CHECKING:
    import pandas as pd

METRICS: dict[str, tuple[Callable[..., np.ndarray], int]] = {
    "deletion": (deletion, -1), "insertion": (insertion, 1), "mu_fidelity": (mu_fidelity, 1), "robustness": (robustness_sr, -1)}
"""Each with the direction of good values."""

SLOW = ("Greedy-AS", "Greedy-AO", "EVA (sampled)")
"""Left out unless they are named: they take a hundred times as long as the others."""

APART = 2.0
"""Standard errors of their mean difference from which on two methods are told apart: 95%, for one comparison."""


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """Maps of several methods for the same rows, and what metrics say of them.

    maps: {method: (n, d)}; values: {method: {metric: (n,)}}; seconds: {method: CPU seconds for all rows}; skipped: {method: why it gives
    none}. better: for each metric, 1 where large values are good, -1 where small ones are.
    """

    maps: dict[str, np.ndarray] = field(repr=False)
    values: dict[str, dict[str, np.ndarray]] = field(repr=False)
    seconds: dict[str, float]
    skipped: dict[str, str]
    better: dict[str, int]
    shape: tuple[int, ...]

    def __or__(self, other: Evaluation) -> Evaluation:
        """The methods of both, which were evaluated on the same rows by the same metrics."""
        rows = {len(m) for e in (self, other) for m in e.maps.values()}
        if self.better != other.better or self.shape != other.shape or len(rows) > 1:
            raise DataError(f"{self!r} and {other!r} are not of the same rows and metrics")
        return Evaluation(self.maps | other.maps, self.values | other.values, self.seconds | other.seconds, self.skipped | other.skipped,
                          self.better, self.shape)

    def to_frame(self, *, errors: bool = False) -> pd.DataFrame:
        """One row a method: the mean of each metric, and CPU seconds for all rows. errors: each mean's standard error beside it."""
        import pandas as pd

        columns = [c for k in self.better for c in ([k, f"{k}_se"] if errors else [k])]
        rows = [{"method": m, **{k: _mean(v) for k, v in found.items()}, **{f"{k}_se": _error(v) for k, v in found.items()},
                 "seconds": self.seconds[m]} for m, found in self.values.items()]
        return pd.DataFrame(rows, columns=["method", *columns, "seconds"])

    def compare(self, reference: str) -> pd.DataFrame:
        """Every other method against one, row by row: the mean difference of each metric, its standard error, and what that says.

        Differences are paired: all methods see the same rows, and metrics replace pixels by the same random ones, so that they are
        told apart long before their own standard errors do. verdict: "better" or "worse" than the reference from APART standard
        errors on, else "alike".
        """
        import pandas as pd

        if reference not in self.values:
            raise DataError(f"no method is called '{reference}'; there are: {', '.join(self.values)}")
        rows = []
        for m, found in self.values.items():
            for k, values in found.items() if m != reference else ():
                apart = values - self.values[reference][k]
                mean, error = _mean(apart), _error(apart)
                gain = mean * self.better[k]
                verdict = "alike" if not abs(gain) > APART * error else "better" if gain > 0 else "worse"
                rows.append((m, k, mean, error, verdict))
        return pd.DataFrame(rows, columns=["method", "metric", "difference", "standard_error", "verdict"])

    def best(self, metric: str, place: int = 1) -> str:
        """The method that is first (or second, ...) by a metric."""
        order = sorted(self.values, key=lambda m: -self.better[metric] * np.nan_to_num(_mean(self.values[m][metric]), nan=-np.inf))
        return order[place - 1]

    def __repr__(self) -> str:
        n = len(next(iter(self.maps.values()))) if self.maps else 0
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        return f"Evaluation({len(self.maps)} methods{skipped}, {n} rows, {', '.join(self.better)})"

    def _repr_html_(self) -> str:
        from html import escape

        notes = "".join(f"<p>{escape(m)}: {escape(why)}</p>" for m, why in self.skipped.items())
        return self.to_frame().to_html(index=False, float_format=lambda v: f"{v:.3f}") + notes


def _mean(v: np.ndarray) -> float:
    return float(np.nanmean(v)) if np.isfinite(v).any() else float("nan")


def _error(v: np.ndarray) -> float:
    """The standard error of the mean of the values there are; NaN of fewer than two."""
    v = v[np.isfinite(v)]
    return float(v.std(ddof=1) / np.sqrt(len(v))) if len(v) > 1 else float("nan")


def evaluate_attribution(net: Network, X, methods: Sequence[str] | Mapping[str, Any] | None = None, *,
                         metrics: Sequence[str] = tuple(METRICS), eps=0.5, p: float = np.inf, grid: int | tuple[int, int] | None = 12,
                         groups=None, clip: tuple[Any, Any] | None = (0, 1), method: str = "crown", quality: str = "single-pass",
                         dtype="float32", label=None, seed: int = 0, metric_options: Mapping[str, Mapping[str, Any]] | None = None,
                         progress: Callable[[str], None] | None = None) -> Evaluation:
    """Explain the rows by several methods and score the maps: EVA's Table 1.

    methods: names ("Saliency", "GradInput", "SmoothGrad", "VarGrad", "InteGrad", "Occlusion", "GradCAM", "GradCAM++" by captum; "RISE",
        "Greedy-AS", "Greedy-AO", "EVA (sampled)", "EVA", "random"), or {name: a name, a function of (net, X, labels), maps, or an
        Attribution}. Default: all but the slow ones (Greedy-AS and -AO, EVA by sampling).
    metrics: of "deletion", "insertion", "mu_fidelity", "robustness"; metric_options: {metric: its own options}.
    eps, p, grid, groups, clip, method, quality, dtype: of EVA and of what is made like it.

    Methods that a network does not allow (GradCAM without a convolution) are skipped, and the reason is kept. Ctrl-C raises Interrupted,
    whose `partial` holds the methods that were done.
    """
    unknown = [m for m in metrics if m not in METRICS]
    if unknown:
        raise DataError(f"no metric is called '{unknown[0]}'; there are: {', '.join(METRICS)}")
    subject = subject_of(net, X, label=label)
    eps, clip = by_feature(net, eps, clip)
    known = _methods(net, X, subject, eps=eps, p=p, grid=grid, groups=groups, clip=clip, method=method, quality=quality, dtype=dtype,
                     seed=seed)
    chosen = _chosen(methods, known, net, subject)
    extra = {"robustness": {"p": p if p != 1 else np.inf, "clip": clip}}
    options = {m: {**extra.get(m, {}), **dict((metric_options or {}).get(m, {}))} for m in metrics}
    done = Evaluation({}, {}, {}, {}, {m: METRICS[m][1] for m in metrics}, subject.shape)
    try:
        for name, explain in chosen.items():
            if progress is not None:
                progress(name)
            start = time.process_time()
            try:
                found = explain()
            except DataError as e:
                done.skipped[name] = str(e)
                continue
            seconds = time.process_time() - start
            maps = np.asarray(getattr(found, "images", found), dtype=np.float64).reshape(len(subject.X), -1)
            values = {m: METRICS[m][0](net, X, maps, subject=subject, seed=seed, **options[m]) for m in metrics}
            done.maps[name], done.values[name], done.seconds[name] = maps, values, seconds
    except KeyboardInterrupt:
        raise Interrupted(done) from None
    return done


def _chosen(methods, known: dict[str, Callable], net: Network, subject: Subject) -> dict[str, Callable]:
    if methods is None:
        return {m: f for m, f in known.items() if m not in SLOW}
    if isinstance(methods, Mapping):
        X, label = subject.X.double().cpu().numpy(), subject.label
        return {str(m): (lambda f=f: f(net, X, label)) if callable(f) else known[f] if isinstance(f, str) else (lambda f=f: f)
                for m, f in methods.items()}
    absent = [m for m in methods if m not in known]
    if absent:
        raise DataError(f"no method is called '{absent[0]}'; there are: {', '.join(known)}")
    return {m: known[m] for m in methods}


def _methods(net: Network, X, subject: Subject, *, eps, p, grid, groups, clip, method, quality, dtype, seed) -> dict[str, Callable]:
    """{name: () -> maps}, in the order of the paper's table."""
    image = spatial(subject.shape)[0] is not None
    cells = groups_of(subject.shape, grid=None if groups is not None or not image else grid, groups=groups, feature_names=net.feature_names)

    def by_library(name: str):
        if name.startswith("GradCAM"):
            last_convolution(subject)                           # says so where there is none
        if name == "Occlusion" and not image:
            raise DataError("Occlusion slides a window over an image, and the samples are rows of a table")
        return BASELINES[name](subject, seed)

    def by_rise():
        if not image:
            raise DataError("RISE masks images, and the samples are rows of a table")
        return rise(subject, seed)

    def by_eva():
        return eva(net, X, eps=eps, p=p, clip=clip, method=method, quality=quality, dtype=dtype, label=subject.label,
                   groups=list(cells.members))

    made: dict[str, Callable] = {name: lambda name=name: by_library(name) for name in BASELINES}
    made["RISE"] = by_rise
    made["Greedy-AS"] = lambda: greedy_as(subject, seed, cells=cells, p=p if p != 1 else np.inf, clip=clip)
    made["Greedy-AO"] = lambda: greedy_ao(subject, _overlaps(net, subject, cells, eps, p, clip, dtype), seed, cells=cells)
    made["EVA (sampled)"] = lambda: eva_sampled(subject, seed, cells=cells, eps=eps, clip=clip)
    made["EVA"] = by_eva
    made["random"] = lambda: np.random.default_rng(seed).random((len(subject.X), len(subject.pixel)))
    return made


def _overlaps(net: Network, subject: Subject, cells: Groups, eps, p, clip, dtype) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Bounds of the overlap with any features frozen, for Greedy-AO: rows' numbers and masks to values. It asks for very many."""
    from .overlap import engine_of, frozen_bounds

    rows, _ = samples(net, subject.X.double())
    question = question_of(net, rows, cells, sets_of(rows, eps, p, None, clip), None, subject.label)
    engine = engine_of(net, method="crown-interval", quality="full", overlap="difference", dtype=dtype, device="cpu", memory=2**30)
    return lambda numbers, frozen: frozen_bounds(question, engine, numbers, frozen)
