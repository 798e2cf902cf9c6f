"""Which inputs can a network do without? Feature selection by total weights, Table II of CEE, on German credit and Wine Quality.

A ReLU network is trained on all features. The total weight of a feature is the mean, by volume, of |slope| x range over the linear
regions of a box (CEE VI-E). Networks trained again on the heaviest features only say what the ranking is worth: on rows that no
training saw, several times, beside rankings by other means and by chance.

The box has 11 or 24 dimensions and holds more regions than can be listed. So the mean is estimated: the exact linear models at
points drawn uniformly, with a 95% interval. Nothing else is approximate.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.inspection import permutation_importance
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import pellucid as pel
from pellucid.chain import chain_of, local_maps
from pellucid.regions import codes_of, unpack_codes

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
WIDTH = 32                                          # two hidden layers of this width; the paper does not say which it took
TRIM = 1.0                                          # percent of the rows that may lie beyond either end of the box, a feature
TOTAL, SIGNED = "total weight over the box (CEE)", "total signed weight over the box"
RANDOM = 3                                          # random choices a split
PAPER = {                                           # Table II: "all", "half", "10%", "50%"; None where its text gives no figure
    "German credit": {"test": (0.740, 0.684, 0.680, 0.680), "training": (0.706, 0.816, 0.706, 0.706)},
    "Wine Quality": {"test": (0.437, 0.500, 0.487, 0.635), "training": (0.268, 0.290, 0.388, 0.606)},
}


# ---- data


@dataclass(frozen=True, eq=False)
class Task:
    """A table to learn. paper: the row of Table II that it belongs to; metric: what is measured; epochs: how long is trained."""

    name: str
    paper: str
    X: pd.DataFrame
    y: pd.Series
    metric: str
    epochs: int

    @property
    def file(self) -> str:
        return self.name.lower().replace(" ", "_").replace("(", "").replace(")", "")

    @property
    def classifies(self) -> bool:
        return self.metric == "accuracy"


def german_credit(folder: Path) -> Task:
    """24 numbers a row, after the numeric version of the set (`german.data-numeric`), which the paper's 24 features point to."""
    t = pd.read_csv(folder / "german_credit.csv")

    def level(column: str, prefix: str) -> pd.Series:
        return t[column].str.removeprefix(prefix).astype(int)

    def is_(column: str, code: str) -> pd.Series:
        return (t[column] == code).astype(int)

    X = pd.DataFrame({
        "checking account": level("checking_status", "A1"), "duration": t.duration_months, "credit history": level("credit_history", "A3"),
        "amount": t.credit_amount, "savings": level("savings", "A6"), "employed since": level("employment_since", "A7"),
        "sex and status": level("personal_status_sex", "A9"), "residence since": t.residence_since, "property": level("property", "A12"),
        "age": t.age, "other plans": level("other_installment_plans", "A14"), "other credits": t.existing_credits,
        "dependants": t.people_liable, "telephone": level("telephone", "A19"), "foreign worker": level("foreign_worker", "A20"),
        "for a new car": is_("purpose", "A40"), "for a used car": is_("purpose", "A41"), "no guarantor": is_("other_debtors", "A101"),
        "co-applicant": is_("other_debtors", "A102"), "rents": is_("housing", "A151"), "owns home": is_("housing", "A152"),
        "unskilled, abroad": is_("job", "A171"), "unskilled": is_("job", "A172"), "skilled": is_("job", "A173")})
    return Task("German credit", "German credit", X.astype(float), (t.credit_risk == 1).astype(int), "accuracy", 150)


def wine(folder: Path, colour: str) -> Task:
    """Trained until red wine gives the paper's errors on all features, seen and unseen: 0.268 and 0.437."""
    t = pd.read_csv(folder / f"winequality-{colour}.csv.gz")
    X, y = t.drop(columns="quality"), t["quality"].astype(float)
    return Task(f"Wine Quality ({colour})", "Wine Quality", X, y, "mean squared error", 400)


# ---- one network


def fit(task: Task, X: pd.DataFrame, y: pd.Series, seed: int):
    kind = MLPClassifier if task.classifies else MLPRegressor
    network = kind(hidden_layer_sizes=(WIDTH, WIDTH), alpha=1e-3, max_iter=task.epochs, n_iter_no_change=task.epochs, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make_pipeline(StandardScaler(), network).fit(X, y)


def measure(task: Task, model, X: pd.DataFrame, y: pd.Series) -> float:
    return float(model.score(X, y)) if task.classifies else float(mean_squared_error(y, model.predict(X)))


# ---- what a network weighs


def analysis_region(X: pd.DataFrame) -> pel.Box:
    low, high = np.percentile(X, [TRIM, 100 - TRIM], axis=0)
    flat = low == high                              # a rare yes: its whole range is taken
    return pel.Box(np.where(flat, X.min(), low), np.where(flat, X.max(), high), names=list(X))


def slopes(net: pel.Network, x: np.ndarray) -> np.ndarray:
    """(n, d) exact slopes of the first output in the linear regions that the rows of x lie in."""
    chain = chain_of(net)
    return local_maps(chain, unpack_codes(codes_of(chain, x), chain.n_pieces))[0][:, 0]


def total_weights(net: pel.Network, box: pel.Box, rng: np.random.Generator, n: int, *,
                  signed: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """(d,) mean of |slope| x range over the box, and half the width of its 95% interval.

    A point drawn uniformly lies in a region with probability its share of the volume, so the mean over points is CEE's total.
    signed: the size of the mean of the slopes with their signs, which cancel where a feature works both ways.
    """
    w = slopes(net, rng.uniform(box.lower, box.upper, (n, box.n_inputs))) * (box.upper - box.lower)
    w = w if signed else np.abs(w)
    return np.abs(w.mean(axis=0)), 1.96 * w.std(axis=0, ddof=1) / np.sqrt(n)


def weights_on_planes(net: pel.Network, box: pel.Box, X: pd.DataFrame, rng: np.random.Generator, planes: int) -> np.ndarray:
    """(d,) the same totals without sampling inside: exact atlases of planes through training rows, two features of it free."""
    inside = X.clip(box.lower, box.upper, axis=1).to_numpy()
    totals = []
    for row in inside[rng.choice(len(inside), planes, replace=len(inside) < planes)]:
        plane = box.slice(free=tuple(int(j) for j in rng.choice(box.n_inputs, 2, replace=False)), at=row)
        totals.append(pel.describe(pel.linear_regions(net, plane)).total)
    return np.mean(totals, axis=0)


# ---- rankings


def by_lime(task: Task, model, X: pd.DataFrame, rows: np.ndarray, seed: int) -> np.ndarray:
    from lime.lime_tabular import LimeTabularExplainer

    mode = "classification" if task.classifies else "regression"
    explainer = LimeTabularExplainer(X.to_numpy(), mode=mode, discretize_continuous=False, random_state=seed)
    f = model.predict_proba if task.classifies else model.predict
    scores = np.zeros(X.shape[1])
    for row in rows:
        told = explainer.explain_instance(row, lambda x: f(_named(x, X)), num_features=X.shape[1], num_samples=1000)
        for j, w in next(iter(told.as_map().values())):
            scores[j] += abs(w)
    return scores


def by_shap(task: Task, model, X: pd.DataFrame, rows: np.ndarray, seed: int) -> np.ndarray:
    import shap

    f = (lambda x: model.predict_proba(_named(x, X))[:, 1]) if task.classifies else (lambda x: model.predict(_named(x, X)))
    np.random.seed(seed)                            # noqa: NPY002  (shap draws its coalitions from the global generator)
    explainer = shap.KernelExplainer(f, shap.kmeans(X.to_numpy(), 10))
    return np.abs(explainer.shap_values(rows, nsamples=300, silent=True)).sum(axis=0)


def _named(x: np.ndarray, X: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(x, columns=X.columns)


def by_correlation(X: pd.DataFrame, y: pd.Series) -> np.ndarray:
    return X.corrwith(y).abs().fillna(0.0).to_numpy()


def rankings(task: Task, model, net: pel.Network, box: pel.Box, X, y, seed: int, quick: bool) -> dict[str, np.ndarray]:
    """A score for each feature by each method; the larger, the sooner it is kept."""
    rng = np.random.default_rng(seed)
    rows = X.to_numpy()[rng.choice(len(X), min(len(X), 5 if quick else 40), replace=False)]
    width, n = box.upper - box.lower, 500 if quick else 10_000
    scores: dict[str, Callable[[], np.ndarray]] = {
        TOTAL: lambda: total_weights(net, box, rng, n)[0],
        SIGNED: lambda: total_weights(net, box, rng, n, signed=True)[0],
        "total weight over planes through rows, exact": lambda: weights_on_planes(net, box, X, rng, 5 if quick else 60),
        "mean weight at the training rows, exact": lambda: (np.abs(slopes(net, X.to_numpy())) * width).mean(axis=0),
        "mean |LIME|": lambda: by_lime(task, model, X, rows, seed),
        "mean |SHAP|": lambda: by_shap(task, model, X, rows, seed),
        "permutation importance": lambda: permutation_importance(model, X, y, n_repeats=5, random_state=seed).importances_mean,
        "correlation with the target": lambda: by_correlation(X, y),
    }
    return {name: score() for name, score in scores.items()}


def kept(score: np.ndarray, rule: str) -> np.ndarray:
    """Features kept by a rule of Table II, in the table's order."""
    if rule == "half":
        return np.sort(np.argsort(-score, kind="stable")[:(len(score) + 1) // 2])
    return np.flatnonzero(score > float(rule.rstrip("%")) / 100 * score.max())


# ---- the study


def study(task: Task, seed: int, quick: bool) -> pd.DataFrame:
    """One split of the rows: a line for every ranking and rule, with the metric on seen and unseen rows."""
    seen, unseen, y_seen, y_unseen = train_test_split(task.X, task.y, test_size=0.25, random_state=seed,
                                                      stratify=task.y if task.classifies else None)

    def line(ranking: str, rule: str, columns: list[str], model) -> dict:
        return {"ranking": ranking, "rule": rule, "features": len(columns), "seed": seed, "names": ", ".join(columns),
                "training": measure(task, model, seen[columns], y_seen), "test": measure(task, model, unseen[columns], y_unseen)}

    model = fit(task, seen, y_seen, seed)
    net, box = pel.load(model), analysis_region(seen)
    lines = [line("all features", "all", list(seen), model)]
    chance = [("random", score) for score in np.random.default_rng(seed).random((RANDOM, seen.shape[1]))]
    for ranking, score in [*rankings(task, model, net, box, seen, y_seen, seed, quick).items(), *chance]:
        for rule in ("half", "10%", "50%") if ranking in (TOTAL, SIGNED) else ("half",):
            columns = [seen.columns[j] for j in kept(score, rule)]
            lines.append(line(ranking, rule, columns, fit(task, seen[columns], y_seen, seed)))
    return pd.DataFrame(lines)


def like_table_2(task: Task, results: pd.DataFrame) -> pd.DataFrame:
    """Our figures, mean ± standard deviation over the splits, beside the paper's: by |weights|, and by weights with their signs."""
    table = {}
    for k, rule in enumerate(("all", "half", "10%", "50%")):
        chosen = {name: results[results.ranking.isin(["all features", ranking]) & (results.rule == rule)]
                  for name, ranking in (("ours", TOTAL), ("ours, signed", SIGNED))}
        column = {f"features kept, {name}": spread(rows.features, 1) for name, rows in chosen.items()}
        for part in ("test", "training"):
            column |= {f"{part} {task.metric}, {name}": spread(rows[part]) for name, rows in chosen.items()}
            column[f"{part} {task.metric}, CEE"] = f"{PAPER[task.paper][part][k]:.3f}"
        table[{"all": "all features", "half": "top 50%"}.get(rule, f"w > {rule} of max")] = column
    return pd.DataFrame(table)


def spread(values: pd.Series, digits: int = 3) -> str:
    return f"{values.mean():.{digits}f} ± {values.std(ddof=0):.{digits}f}"


def heaviest(task: Task, n: int) -> pd.DataFrame:
    """Total weights of a network trained on all rows, with their intervals, the heaviest first."""
    net = pel.load(fit(task, task.X, task.y, 0))
    rng, box = np.random.default_rng(0), analysis_region(task.X)
    (total, within), (signed, signed_within) = (total_weights(net, box, rng, n, signed=signed) for signed in (False, True))
    table = pd.DataFrame({"feature": task.X.columns, "total weight": total, "±": within, "signed, its size": signed, "± ": signed_within})
    return table.sort_values("total weight", ascending=False, ignore_index=True)


def by_ranking(task: Task, results: pd.DataFrame) -> pd.DataFrame:
    """Half of the features, chosen by each ranking: test metric, and in how many splits it beats the mean of random choices."""
    half = results[results.rule.isin(["half", "all"])]
    test = half.pivot_table(index="seed", columns="ranking", values="test")[list(half.ranking.unique())]
    better = test.gt(test["random"], axis=0) if task.classifies else test.lt(test["random"], axis=0)
    wins = [f"{better[c].sum()} of {len(test)}" if c != "random" else "" for c in test]
    return pd.DataFrame({f"test {task.metric}": [spread(test[c]) for c in test], "better than random": wins}, index=test.columns)


def draw(studies: dict[str, tuple[Task, pd.DataFrame]], out: Path) -> Path:
    """Test metric of half of the features by each ranking, a dot a split; a line for all features."""
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    figure, axes = plt.subplots(1, len(studies), figsize=(4.2 + 3.2 * len(studies), 4.2), sharey=True, layout="constrained", squeeze=False)
    for ax, (name, (task, results)) in zip(axes[0], studies.items(), strict=True):
        half = results[results.rule == "half"]
        names = list(half.ranking.unique())
        everything = results[results.rule == "all"].test.mean()
        ax.axvline(everything, color="#1a1a1a", linewidth=1, linestyle="--", label="all features (mean)")
        for k, ranking in enumerate(names):
            test = half[half.ranking == ranking].test
            colour = "#0072b2" if k < 4 else "#999999" if ranking == "random" else "#e69f00"
            ax.scatter(test, np.full(len(test), k), s=26, color=colour, alpha=0.6, linewidths=0)
            ax.scatter(test.mean(), k, marker="|", s=260, color=colour, linewidths=2.5)
        ax.set_yticks(range(len(names)), names)
        ax.set_title(f"{name}: half of {task.X.shape[1]} features", fontsize="medium")
        ax.set_xlabel(f"test {task.metric}" + (" (more is better)" if task.classifies else " (less is better)"))
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.grid(axis="x", color="#d9d9d9", linewidth=0.6)
        ax.set_axisbelow(True)
    axes[0, 0].invert_yaxis()
    handles, labels = axes[0, 0].get_legend_handles_labels()
    handles += [Line2D([], [], marker="o", linestyle="none", color=c) for c in ("#0072b2", "#e69f00", "#999999")]
    labels += ["exact slopes of the network", "other methods", "chance"]
    mean = Line2D([], [], marker="|", linestyle="none", markersize=12, markeredgewidth=2.5, color="#1a1a1a")
    figure.legend([*handles, mean], [*labels, "mean over the splits"], loc="outside lower center", ncols=5, frameon=False, fontsize="small")
    return pel.plot.save(figure, out / "feature_selection.png", dpi=160)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of german_credit.csv and winequality-*.csv.gz")
    parser.add_argument("--wine", choices=("red", "white"), default="red", help="the paper does not say which; red fits its figures")
    parser.add_argument("--splits", type=int, default=5, help="how often rows are split and networks trained anew")
    parser.add_argument("--quick", action="store_true", help="one set, two splits, small samples: does it run?")
    parser.add_argument("--out", type=Path, default=Path("out/feature_selection"))
    args = parser.parse_args()
    if not (args.data / "german_credit.csv").is_file():
        raise SystemExit(f"{args.data / 'german_credit.csv'} is not there: give the folder of the data with --data")
    if not all(find_spec(name) for name in ("lime", "shap")):
        raise SystemExit("LIME and SHAP are not installed: pip install '.[examples]'")
    args.out.mkdir(parents=True, exist_ok=True)

    tasks = [german_credit(args.data)] if args.quick else [german_credit(args.data), wine(args.data, args.wine)]
    studies = {}
    for task in [replace(t, epochs=5) for t in tasks] if args.quick else tasks:
        splits = [study(task, seed, args.quick) for seed in range(2 if args.quick else args.splits)]
        results = pd.concat(splits, ignore_index=True)
        weights = heaviest(task, 500 if args.quick else 10_000)
        results.to_csv(args.out / f"{task.file}.csv", index=False)
        weights.to_csv(args.out / f"{task.file}_weights.csv", index=False)
        studies[task.name] = task, results
        print(f"\n{task.name}: {len(task.X)} rows, {task.X.shape[1]} features, a {WIDTH}-{WIDTH} network, {len(splits)} splits\n")
        print(like_table_2(task, results).to_string())
        print("\nThe heaviest features of a network trained on all rows, with 95% intervals\n"
              + weights.head(6).to_string(index=False, float_format="{:.3f}".format))
        print("\nHalf of the features, chosen by\n" + by_ranking(task, results).to_string(), flush=True)
    print(f"\n{draw(studies, args.out)}")


if __name__ == "__main__":
    main()
