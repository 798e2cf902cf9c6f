"""Does an explanation stay the same when it is asked for again, and what does it cost? Exact weights beside LIME and SHAP (CEE VI-C).

Part 1 (CEE Fig. 6): a point of each of three networks is explained many times. The error of an explanation is its squared distance to
the mean of the same method's explanations; here relative to the squared size of that mean, so that methods can be compared.

Part 2 (CEE Fig. 5): how x3 ranks in the Piecewise network, all over a plane. Where the exact map takes milliseconds, LIME and SHAP
explain points drawn at random for that time, and for longer; everywhere else the nearest explained point speaks.

All are asked about the same number: the network's output, before a sigmoid where there is one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import feature_selection
import numpy as np
import pandas as pd
import piecewise
from scipy.spatial import cKDTree
from scipy.stats import spearmanr

import pellucid as pel

METHODS = {"exact": "#0072b2", "LIME": "#e69f00", "SHAP": "#cc79a7", "SHAP, other background": "#009e73"}
LIME_SAMPLES, SHAP_BACKGROUND = 5000, 10            # LIME's default; the size of background that SHAP's manual suggests for k-means
ROUNDING = 1e-20                                    # relative errors below it are those of taking a mean
GRID = 200                                          # points a side at which ranks are compared


@dataclass(frozen=True, eq=False)
class Case:
    """A network to explain, the rows that explainers may know, and the point."""

    name: str
    net: pel.Network
    X: np.ndarray
    x: np.ndarray

    def f(self, x: np.ndarray) -> np.ndarray:
        return self.net(x)[:, 0]


def cases(folder: Path | None, quick: bool) -> list[Case]:
    """The Piecewise network, and the networks of the feature selection where there are data."""
    X = np.random.default_rng(1).random((1000, 5))
    model = piecewise.train(1000 if quick else 20_000, seed=0)
    net = pel.load(model, feature_names=piecewise.NAMES, class_names=["f"])
    found = [Case("Piecewise, 5 features", net, X, np.array([0.3, 0.6, 0.5, 0.5, 0.5]))]
    if folder is not None and not quick:
        for task in (feature_selection.wine(folder, "red"), feature_selection.german_credit(folder)):
            net = pel.load(feature_selection.fit(task, task.X, task.y, seed=0))
            found.append(Case(f"{task.name}, {net.n_inputs} features", net, task.X.to_numpy(), task.X.to_numpy()[0]))
    return found


# ---- explainers: (case, seed) -> a function from a point (d,) to the scores of its features (d,)

Explain = Callable[[np.ndarray], np.ndarray]


def exact(case: Case, seed: int) -> Explain:
    """Slope x standard deviation in the linear region of the point: CEE's weights, and what LIME estimates of a linear function."""
    std = case.X.std(axis=0)
    return lambda x: feature_selection.slopes(case.net, x[None])[0] * std


def lime(case: Case, seed: int) -> Explain:
    from lime.lime_tabular import LimeTabularExplainer

    explainer = LimeTabularExplainer(case.X, mode="regression", discretize_continuous=False, random_state=seed)

    def scores(x: np.ndarray) -> np.ndarray:
        told = explainer.explain_instance(x, case.f, num_features=len(x), num_samples=LIME_SAMPLES).as_map()[1]
        return np.array([w for _, w in sorted(told)])

    return scores


def shap(case: Case, seed: int) -> Explain:
    """Kernel SHAP with a background that stays the same."""
    return _shap(case, seed, _module_shap().kmeans(case.X, SHAP_BACKGROUND))


def shap_other_background(case: Case, seed: int) -> Explain:
    """Kernel SHAP with a background of rows drawn for each explanation: as from one study to the next."""
    rows = np.random.default_rng(seed).choice(len(case.X), SHAP_BACKGROUND, replace=False)
    return _shap(case, seed, case.X[rows])


def _shap(case: Case, seed: int, background) -> Explain:
    explainer = _module_shap().KernelExplainer(case.f, background)
    np.random.seed(seed)                            # noqa: NPY002  (shap draws its coalitions from the global generator)
    return lambda x: explainer.shap_values(x, silent=True)


def _module_shap():
    import shap

    return shap


EXPLAINERS = dict(zip(METHODS, (exact, lime, shap, shap_other_background), strict=True))


# ---- part 1: again and again


def repeated(case: Case, method: str, repeats: int) -> tuple[np.ndarray, float]:
    """(repeats, d) scores of the case's point, and seconds for one."""
    make = EXPLAINERS[method]
    again = method == "SHAP, other background"      # the others are set up once
    explain, scores, seconds = make(case, 0), [], []
    for k in range(repeats):
        if again:
            explain = make(case, k)
        started = time.perf_counter()
        scores.append(explain(case.x))
        seconds.append(time.perf_counter() - started)
    return np.array(scores), float(np.median(seconds))


def relative_errors(scores: np.ndarray) -> np.ndarray:
    """(repeats,) squared distance to the mean explanation (CEE VI-C2), over the squared size of that mean."""
    mean = scores.mean(axis=0)
    error = ((scores - mean) ** 2).sum(axis=1) / (mean ** 2).sum()
    return np.where(error < ROUNDING, 0.0, error)


def order_changes(scores: np.ndarray) -> float:
    """Share of the explanations that do not order the features as the mean explanation does."""
    order = np.argsort(-np.abs(scores), axis=1, kind="stable")
    return float(np.mean((order != np.argsort(-np.abs(scores.mean(axis=0)), kind="stable")).any(axis=1)))


def stability(case: Case, repeats: int) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """A line a method, and the errors of all its explanations."""
    truth = exact(case, 0)(case.x)
    lines, errors = {}, {}
    for method in METHODS:
        scores, seconds = repeated(case, method, repeats)
        errors[method] = relative_errors(scores)
        lines[method] = {"ms each": 1e3 * seconds, "total squared error": errors[method].sum() * (scores.mean(axis=0) ** 2).sum(),
                         "relative, mean": errors[method].mean(), "order differs": order_changes(scores),
                         "rank correlation with exact": float(spearmanr(np.abs(scores.mean(axis=0)), np.abs(truth)).statistic)}
    return pd.DataFrame(lines).T, errors


# ---- part 2: equal time


@dataclass(frozen=True, eq=False)
class Sampled:
    """Points (n, 2) of the plane in the order in which a method explained them, the rank that it gave the feature, when each was done."""

    at: np.ndarray
    rank: np.ndarray
    done: np.ndarray

    def within(self, seconds: float) -> int:
        return int(np.searchsorted(self.done, seconds, side="right"))

    def rank_near(self, u: np.ndarray, n: int) -> np.ndarray:
        """Rank at each u: that of the nearest of the first n points; 0 where there is none yet."""
        return self.rank[cKDTree(self.at[:n]).query(u)[1]] if n else np.zeros(len(u), dtype=int)


def explain_points(case: Case, atlas: pel.Atlas, method: str, feature: int, seconds: float, most: int = 20_000) -> Sampled:
    rng = np.random.default_rng(0)
    lower, upper = atlas.domain.bounds
    explain = EXPLAINERS[method](case, 0)
    at, rank, done = [], [], []
    started = time.perf_counter()
    while len(at) < most:
        u = rng.uniform(lower, upper)
        scores = np.abs(explain(atlas.domain.point(u[None])[0]))
        at.append(u)
        rank.append(1 + int(np.sum(scores > scores[feature])))
        done.append(time.perf_counter() - started)
        if done[-1] > seconds:
            break
    return Sampled(np.array(at), np.array(rank), np.array(done))


def map_seconds(net: pel.Network, plane, repeats: int = 5) -> tuple[pel.Atlas, pel.Description, float]:
    """The exact map, the ranks on it, and the median of the seconds that both take."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        atlas = pel.linear_regions(net, plane)
        told = pel.describe(atlas)
        told.ranks                                  # noqa: B018  (made when first asked for)
        seconds.append(time.perf_counter() - started)
    return atlas, told, float(np.median(seconds))


def grid_of(atlas: pel.Atlas) -> np.ndarray:
    lower, upper = atlas.domain.bounds
    centres = [lo + (np.arange(GRID) + 0.5) * (up - lo) / GRID for lo, up in zip(lower, upper, strict=True)]
    return np.stack(np.meshgrid(*centres), axis=-1).reshape(-1, 2)


def equal_time(case: Case, atlas, told, map_time: float, feature: int, seconds: float) -> tuple[pd.DataFrame, dict[str, Sampled]]:
    """Share of the plane with the right rank, for budgets of the map's own time, tenfold, a hundredfold, ..."""
    u = grid_of(atlas)
    truth = told.ranks[atlas.locate(u), feature]
    sampled = {m: explain_points(case, atlas, m, feature, seconds) for m in ("LIME", "SHAP", "exact")}
    lines = []
    factor = 1.0
    while factor == 1.0 or factor * map_time <= seconds:
        line = {"times the map's time": f"{factor:g}", "seconds": factor * map_time}
        for name, points in sampled.items():
            n = points.within(factor * map_time)
            line |= {f"{name} points": n, f"{name} right": float(np.mean(points.rank_near(u, n) == truth))}
        lines.append(line)
        factor *= 10
    return pd.DataFrame(lines), sampled


def best_guess(told: pel.Description, feature: int) -> float:
    """Share of the area that has the feature's commonest rank: what is right when that rank is claimed everywhere."""
    return float(np.bincount(told.ranks[:, feature], weights=told.atlas.volume).max() / told.atlas.volume.sum())


# ---- pictures


def draw_stability(errors: dict[str, dict[str, np.ndarray]], out: Path) -> Path:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(errors), figsize=(3 + 3.4 * len(errors), 3.2), sharex=True, sharey=True, squeeze=False,
                                layout="constrained")
    for ax, (name, by_method) in zip(axes[0], errors.items(), strict=True):
        for k, (method, colour) in enumerate(METHODS.items()):
            jitter = np.random.default_rng(0).uniform(-0.25, 0.25, len(by_method[method]))
            ax.scatter(by_method[method], k + jitter, s=9, color=colour, alpha=0.5, linewidths=0)
        ax.set_xscale("symlog", linthresh=1e-6)
        ax.set_xlim(-2e-7, 10)
        ax.set_xticks([0, 1e-6, 1e-4, 1e-2, 1])
        ax.set_yticks(range(len(METHODS)), METHODS)
        ax.set_title(name, fontsize="medium")
        ax.grid(axis="x", color="#d9d9d9", linewidth=0.6)
        ax.set_axisbelow(True)
    axes[0, 0].invert_yaxis()
    figure.supxlabel("squared distance to the method's mean explanation, relative to that mean (a dot a repetition)", fontsize="small")
    return pel.plot.save(figure, out / "stability.png", dpi=160)


def draw_equal_time(atlas, told, map_time: float, shares: pd.DataFrame, sampled: dict[str, Sampled], name: str, out: Path) -> Path:
    """The exact map, what LIME and SHAP make of it in their longest time, and how their shares of right ranks grow."""
    import matplotlib.pyplot as plt
    from matplotlib.colors import ListedColormap

    from pellucid.plots.colours import sequential

    figure, axes = plt.subplots(1, 4, figsize=(18, 4.6), layout="constrained", width_ratios=(1.15, 1, 1, 1.2))
    pel.plot.rank_map(told, name, axes[0], title=f"Rank of {name}, exact: {atlas.n_regions} regions in {1e3 * map_time:.1f} ms")
    (x0, y0), (x1, y1) = atlas.domain.bounds
    d = told.weights.shape[1]
    for ax, method in zip(axes[1:3], ("LIME", "SHAP"), strict=True):
        points = sampled[method]
        ranks = points.rank_near(grid_of(atlas), len(points.at)).reshape(GRID, GRID)
        colours = ListedColormap(list(sequential(d)))
        ax.imshow(ranks, origin="lower", extent=(x0, x1, y0, y1), aspect="auto", cmap=colours, vmin=0.5, vmax=d + 0.5)
        ax.set_title(f"{method}: {len(points.at)} points in {points.done[-1]:.1f} s", fontsize="medium")
        ax.set(xlabel=axes[0].get_xlabel(), ylabel=axes[0].get_ylabel(), xticks=axes[0].get_xticks(), xlim=(x0, x1))
    ax, guess = axes[3], 100 * best_guess(told, atlas.network.feature_names.index(name))
    ax.axhline(guess, color="#1a1a1a", linewidth=1, linestyle="--", label="the commonest rank, claimed everywhere")
    for method, label in (("exact", "exact weights, at points"), ("LIME", "LIME"), ("SHAP", "SHAP")):
        ax.plot(shares["seconds"], 100 * shares[f"{method} right"], marker="o", color=METHODS[method], label=label)
    ax.plot(map_time, 100, "*", markersize=15, color=METHODS["exact"], markeredgecolor="#1a1a1a", label="exact map")
    ax.set_xscale("log")
    ax.set(xlabel="time [s]", ylabel=f"area with the right rank of {name} [%]", ylim=(-3, 106))
    ax.grid(color="#d9d9d9", linewidth=0.6)
    ax.legend(frameon=False, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    return pel.plot.save(figure, out / "equal_time.png", dpi=160)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=feature_selection.DATA, help="folder of german_credit.csv and winequality-red.csv.gz")
    parser.add_argument("--repeats", type=int, default=200, help="explanations of one point; CEE has 200")
    parser.add_argument("--seconds", type=float, default=20.0, help="the longest time that LIME and SHAP get in part 2")
    parser.add_argument("--quick", action="store_true", help="one network, few repetitions, one second: does it run?")
    parser.add_argument("--out", type=Path, default=Path("out/stability"))
    args = parser.parse_args()
    if not all(find_spec(name) for name in ("lime", "shap")):
        raise SystemExit("LIME and SHAP are not installed: pip install '.[examples]'")
    args.out.mkdir(parents=True, exist_ok=True)
    repeats, seconds = (5, 0.5) if args.quick else (args.repeats, args.seconds)
    there = (args.data / "german_credit.csv").is_file()

    networks, errors = cases(args.data if there else None, args.quick), {}
    for case in networks:
        table, errors[case.name] = stability(case, repeats)
        print(f"\n{case.name}: one point explained {repeats} times\n{table.to_string(float_format='{:.3g}'.format)}", flush=True)
        table.to_csv(args.out / f"{case.name.split(',')[0].lower().replace(' ', '_').replace('(', '').replace(')', '')}.csv")
    if not there and not args.quick:
        print(f"\n{args.data} holds no german_credit.csv: the other networks were left out")

    case, name = networks[0], "x3"
    plane = pel.Box(np.zeros(5), np.ones(5), names=piecewise.NAMES).slice(free=("x1", "x2"), at=np.full(5, 0.5))
    atlas, told, map_time = map_seconds(case.net, plane)
    shares, sampled = equal_time(case, atlas, told, map_time, piecewise.NAMES.index(name), seconds)
    print(f"\nThe rank of {name} on a plane: {atlas.n_regions} regions in {1e3 * map_time:.1f} ms ({atlas.certificate.reason})")
    print(f"Its commonest rank, claimed everywhere, would be right on {best_guess(told, piecewise.NAMES.index(name)):.0%}.")
    print("Explained point by point, the nearest point speaking for the rest:")
    print(shares.to_string(index=False, float_format="{:.3g}".format))
    shares.to_csv(args.out / "equal_time.csv", index=False)
    print(f"\n{draw_stability(errors, args.out)}\n{draw_equal_time(atlas, told, map_time, shares, sampled, name, args.out)}")


if __name__ == "__main__":
    main()
