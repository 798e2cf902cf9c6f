"""What does a ReLU network know, how little of it is needed? Tables 1, 3, 5, 6 and 7 of UNWRAP, our figures beside the paper's.

A network is unwrapped into the local linear models that its training rows visit; these are merged to a few, and flattened to one hidden
layer. ChirpWave and CoCircles are simulated as in the paper, Boston comes with mlxtend, HELOC lies in the folder of data; the paper's
home-lending table is not public, SimuCredit (simulated credit approvals) stands in its place, with the paper's network and penalty.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import make_circles
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import mean_squared_error, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import MinMaxScaler

import pellucid as pel

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
HELOC, SIMU = "heloc.csv.gz", "simu_credit.csv.gz"
NETS = ("ReLU-Net", "Merge-Net", "FL-Net", "SLFN")
PAPER_1 = {                                         # Table 1: local linear models, training and test performance
    "ChirpWave": (64, 0.0113, 0.0117), "CoCircles": (530, 0.9215, 0.9320), "BostonHouse": (155, 0.0022, 0.0094),
    "FicoHeloc": (7423, 0.8325, 0.7980)}
PAPER_3 = {                                         # Table 3: mean (sd) of 100 replicates, in the order of NETS, then clusters
    "ChirpWave": ((0.0486, 0.0356), (0.0721, 0.0540), (0.0839, 0.0323), (0.3351, 0.1021), (10.28, 2.4498)),
    "CoCircles": ((0.9174, 0.0157), (0.8720, 0.0288), (0.8845, 0.0296), (0.8280, 0.1387), (9.38, 2.9691)),
    "BostonHouse": ((0.0074, 0.0027), (0.0079, 0.0021), (0.0087, 0.0031), (0.0132, 0.0087), (3.95, 1.2913)),
    "FicoHeloc": ((0.8002, 0.0091), (0.8050, 0.0088), (0.7962, 0.0107), (0.7545, 0.1102), (1.55, 1.0897))}
PAPER_7 = {"training": (0.8476, 0.8532, 0.8538), "test": (0.8316, 0.8388, 0.8368)}


# ---- data


@dataclass(frozen=True, eq=False)
class Task:
    """Rows to learn. layers: hidden units; penalty, strength: of the refitted models (C of a classifier, alpha of a regression)."""

    name: str
    X: np.ndarray
    y: np.ndarray
    classifier: bool
    layers: tuple[int, ...]
    penalty: str | None = None
    strength: float = 1.0
    features: tuple[str, ...] | None = None

    @property
    def metric(self) -> str:
        return "AUC" if self.classifier else "MSE"


def chirp_wave(seed: int = 0) -> Task:
    """y = sin(2 pi / (x + 0.2)) + N(0, 0.1^2), x uniform on [0, 1]."""
    rng = np.random.default_rng(seed)
    x = rng.random((2000, 1))
    return Task("ChirpWave", x, np.sin(2 * np.pi / (x[:, 0] + 0.2)) + 0.1 * rng.normal(size=2000), False, (40,) * 4)


def co_circles(seed: int = 0) -> Task:
    X, y = make_circles(n_samples=2000, noise=0.1, random_state=seed)
    return Task("CoCircles", X, y, True, (40,) * 4)


def boston() -> Task:
    """Prices are brought to [0, 1], as the paper's response means show (its Figure 11)."""
    from mlxtend.data import boston_housing_data

    X, y = boston_housing_data()
    return Task("BostonHouse", X, (y - y.min()) / np.ptp(y), False, (20, 20), "l1", 1e-3)


def heloc(folder: Path) -> Task:
    """9871 x 35: rows that are all -9 are dropped; each special value of a column (-7, -8, -9) becomes an indicator, 12 in all, and
    the median of the column in its place."""
    table = pd.read_csv(folder / HELOC)
    X = table.drop(columns="RiskPerformance")
    there = ~(X == -9).all(axis=1)
    X, y = X[there].astype(float), (table["RiskPerformance"][there] == "Bad").astype(int).to_numpy()
    special = {f"{c} = {v}": (X[c] == v).astype(float) for c in X for v in (-7, -8, -9) if (X[c] == v).any()}
    known = X.where(~X.isin([-7, -8, -9]))
    X = pd.concat([known.fillna(known.median()), pd.DataFrame(special)], axis=1)
    return Task("FicoHeloc", X.to_numpy(), y, True, (40,) * 4, "l2", 0.1, tuple(X.columns))


def simu_credit(folder: Path) -> Task:
    """Approvals turned round, so that 1 is the adverse outcome as in the paper; without gender and race."""
    table = pd.read_csv(folder / SIMU).drop(columns=["Gender", "Race"])
    X = table.drop(columns="Approved")
    return Task("SimuCredit", X.to_numpy(dtype=float), 1 - table["Approved"].to_numpy(), True, (5, 5), "l2", 0.1, tuple(X.columns))


# ---- one replicate


@dataclass(frozen=True, eq=False)
class Split:
    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def split(task: Task, seed: int, test: float = 0.2) -> Split:
    """A random fifth for testing; features to [0, 1] by the training rows."""
    X, X_test, y, y_test = train_test_split(task.X, task.y, test_size=test, random_state=seed, stratify=task.y if task.classifier else None)
    scale = MinMaxScaler().fit(X)
    return Split(scale.transform(X), y, scale.transform(X_test), y_test)


def train(task: Task, rows: Split, seed: int, epochs: int):
    """The paper's network: Adam, a fifth of the training rows to stop on, 100 epochs of patience, one fit."""
    kind = MLPClassifier if task.classifier else MLPRegressor
    model = kind(hidden_layer_sizes=task.layers, max_iter=epochs, early_stopping=True, validation_fraction=0.2, n_iter_no_change=100,
                 random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(rows.X, rows.y)


def performance(task: Task, model, X: np.ndarray, y: np.ndarray) -> float:
    return roc_auc_score(y, model.predict_proba(X)[:, 1]) if task.classifier else mean_squared_error(y, model.predict(X))


def merged(task: Task, net: pel.Network, rows: Split, seed: int):
    if task.classifier:
        return pel.MergedClassifier(net, penalty=task.penalty, C=task.strength, random_state=seed).fit(rows.X, rows.y)
    return pel.MergedRegressor(net, penalty=task.penalty, alpha=task.strength, random_state=seed).fit(rows.X, rows.y)


def flat(task: Task, merge_net, rows: Split, seed: int, init: str, epochs: int):
    kind = pel.FlatClassifier if task.classifier else pel.FlatRegressor
    return kind(merge_net, init=init, random_state=seed, max_epochs=epochs).fit(rows.X, rows.y)


@dataclass(frozen=True, eq=False)
class Replicate:
    """Performances in the order of NETS on training and test rows; models: of the unwrapper, clusters: of the merging."""

    training: tuple[float, ...]
    test: tuple[float, ...]
    models: int
    clusters: int
    units: int
    merge_net: object


def replicate(task: Task, seed: int, epochs: int, test: float = 0.2) -> Replicate:
    """A split, a network, and what is made of it."""
    rows = split(task, seed, test)
    net = train(task, rows, seed, epochs)
    merge_net = merged(task, pel.load(net, feature_names=task.features), rows, seed)
    nets = (net, merge_net, *(flat(task, merge_net, rows, seed, init, min(epochs, 500)) for init in ("merged", "random")))
    training = tuple(performance(task, n, rows.X, rows.y) for n in nets)
    test_ = tuple(performance(task, n, rows.X_test, rows.y_test) for n in nets)
    return Replicate(training, test_, merge_net.unwrapper_.n_regions_, merge_net.n_clusters_, nets[2].n_hidden_, merge_net)


# ---- tables


def table_1(runs: dict[str, tuple[Task, list[Replicate]]]) -> pd.DataFrame:
    """The first replicate beside the paper's one network, and the range over all replicates."""
    lines = {}
    for name, (task, found) in runs.items():
        first, counts = found[0], [r.models for r in found]
        paper = PAPER_1[name]
        lines[name] = {"data": f"{task.X.shape[0]} x {task.X.shape[1]}", "net": "-".join(map(str, task.layers)), "metric": task.metric,
                       "LLMs": first.models, "paper": paper[0], "LLMs, all": f"{min(counts)} to {max(counts)}",
                       "training": first.training[0], "paper ": paper[1], "test": first.test[0], "paper  ": paper[2]}
    return pd.DataFrame(lines).T


def table_3(runs: dict[str, tuple[Task, list[Replicate]]]) -> pd.DataFrame:
    """mean (sd) over the replicates, a line ours and a line the paper's."""
    lines = {}
    for name, (task, found) in runs.items():
        ours = [[r.test[k] for r in found] for k in range(4)] + [[r.clusters for r in found]]
        label = f"{name} ({task.metric})"
        lines[(label, f"ours, {len(found)}")] = [_mean_sd(v) for v in ours]
        lines[(label, "paper, 100")] = [f"{m:.4f} ({s:.4f})" for m, s in PAPER_3[name]]
    return pd.DataFrame(lines, index=[*NETS, "n_cluster"]).T


def _mean_sd(values: list[float]) -> str:
    return f"{np.mean(values):.4f} ({np.std(values, ddof=1) if len(values) > 1 else 0.0:.4f})"


def frame_of(models) -> pd.DataFrame:
    """Count, response and performance of each model (Tables 5 and 6)."""
    return pd.DataFrame({"Count": models.count, "Response Mean": models.response_mean[:, 0], "Response Std": models.response_std[:, 0],
                         "Local AUC": models.local_score, "Global AUC": models.global_score}, index=pd.Index(models.origin, name="region"))


def case_study(task: Task, seed: int, epochs: int) -> tuple[Replicate, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """(the run, Tables 5, 6 and 7) on a third of the rows for training and a third for testing."""
    rng = np.random.default_rng(seed)
    two = rng.permutation(len(task.X))[:2 * len(task.X) // 3]
    found = replicate(replace(task, X=task.X[two], y=task.y[two]), seed, epochs, test=0.5)
    unwrapper = found.merge_net.unwrapper_
    five = frame_of(unwrapper.local_models(top=15, scores=("local", "global")))
    six = frame_of(found.merge_net.local_models())
    seven = pd.DataFrame({"training": found.training[:3], "paper, its own data": PAPER_7["training"], "test": found.test[:3],
                          "paper, its own data ": PAPER_7["test"]}, index=NETS[:3])
    return found, five, six, seven


def tasks(folder: Path, quick: bool) -> list[Task]:
    found = [chirp_wave(), co_circles()]
    if find_spec("mlxtend"):
        found.append(boston())
    if (folder / HELOC).is_file() and not quick:
        found.append(heloc(folder))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help=f"folder of {HELOC} and {SIMU}")
    parser.add_argument("--replicates", type=int, default=20, help="splits and networks of each data set; the paper has 100")
    parser.add_argument("--only", nargs="*", help="names of data sets, to run them alone")
    parser.add_argument("--quick", action="store_true", help="two replicates, short training, no HELOC: does it run?")
    parser.add_argument("--out", type=Path, default=Path("out/unwrap_tables"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    replicates, epochs = (2, 30) if args.quick else (args.replicates, 2000)

    runs = {}
    for task in tasks(args.data, args.quick):
        if args.only and task.name not in args.only:
            continue
        runs[task.name] = (task, [replicate(task, seed, epochs) for seed in range(replicates)])
        lines = [{**dict(zip(NETS, r.test, strict=True)), "n_cluster": r.clusters, "LLMs": r.models} for r in runs[task.name][1]]
        pd.DataFrame(lines).to_csv(args.out / f"{task.name.lower()}.csv", index_label="replicate")
        print(f"{task.name}: {replicates} replicates", flush=True)
    if runs:
        for number, table in ((1, table_1(runs)), (3, table_3(runs))):
            print(f"\nTable {number}\n{table.to_string(float_format='{:.4f}'.format)}", flush=True)
            table.to_csv(args.out / f"table_{number}.csv")
    if (args.data / SIMU).is_file() and (not args.only or "SimuCredit" in args.only):
        found, five, six, seven = case_study(simu_credit(args.data), 0, epochs)
        total = found.merge_net.unwrapper_.local_models(scores=())
        print(f"\nSimuCredit, 5-5: {len(total)} regions, {int(total.single_class.sum())} of a single row or class; {found.clusters} merged")
        for number, table in ((5, five), (6, six), (7, seven)):
            print(f"\nTable {number}\n{table.to_string(float_format='{:.4f}'.format)}", flush=True)
            table.to_csv(args.out / f"table_{number}.csv")


if __name__ == "__main__":
    main()
