"""Unwrapping: time and memory against the targets, and beside SHAP's KernelExplainer and DeepExplainer on the same rows, in one run.

    python benchmarks/unwrap.py [--quick] [--parquet ROWS]

Times are CPU seconds of the whole Python call, memory is what the process took beyond the data at its peak, each case in a process of its
own. SHAP explains the outputs of one network for the same rows with 100 background rows; it estimates (Kernel) or propagates by rules
(Deep), the local models are exact. --parquet: so many rows from Parquet (10000000 take some
minutes and 2 GB of disk).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np

import pellucid as pel

TARGETS = {"fit": 4.0, "fit MB": 200.0, "all coefficients": 8.0, "top 100 with global": 30.0, "moons: whole table": 20.0,
           "small: fit and table": 0.3, "100 rows explained": 0.01, "bootstrap, 100 draws": 1.0, "parquet MB": 1024.0,
           "parquet MB with top 5": 1024.0}


def network(rng, sizes, link="sigmoid"):
    weights = [rng.normal(size=(o, i)) * np.sqrt(2 / i) for i, o in pairwise(sizes)]
    return pel.load((weights, [0.1 * rng.normal(size=len(w)) for w in weights]), orientation="out_in", link=link)


def resident() -> float:
    """MB, the largest so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def timed(work):
    started = time.process_time()
    answer = work()
    return time.process_time() - started, answer


def large(rows: int) -> dict[str, float]:
    """20 features, 4 x 40 units: nearly every row has its own region."""
    rng = np.random.default_rng(0)
    net = network(rng, [20, 40, 40, 40, 40, 1])
    X, y = rng.normal(size=(rows, 20)), (rng.random(rows) < 0.4).astype(int)
    pel.UnwrapperClassifier(net).fit(X[:100], y[:100]).summary()
    before = resident()
    fit, u = timed(lambda: pel.UnwrapperClassifier(net).fit(X, y))
    found = {"rows": rows, "regions": u.n_regions_, "fit": fit, "fit MB": resident() - before, "largest error": u.exactness_.largest}
    found["all coefficients"], _ = timed(lambda: sum(len(k) for k, _, _ in u.coefficients()))
    found["top 100 with global"], _ = timed(lambda: u.local_models(top=100, scores=("local", "global")))
    found["summary(top=100)"], _ = timed(lambda: u.summary(top=100))
    u.explain(X[:100])
    found["100 rows explained"], _ = timed(lambda: u.explain(X[:100]))
    return found


def moons(rows: int) -> dict[str, float]:
    from sklearn.datasets import make_moons
    from sklearn.neural_network import MLPClassifier

    X, y = make_moons(rows, noise=0.2, random_state=0)
    model = MLPClassifier((40,) * 4, max_iter=20, random_state=0).fit(X[:5000], y[:5000])
    u = pel.UnwrapperClassifier(model).fit(X, y)
    seconds, table = timed(lambda: u.summary())
    assert not np.isnan(table.global_score).any()
    few = X[:2000], y[:2000]
    pel.UnwrapperClassifier(model).fit(*few).summary()
    small, _ = timed(lambda: pel.UnwrapperClassifier(model).fit(*few).summary())
    draws, _ = timed(lambda: u.inference(0, method="bootstrap", draws=100))
    return {"rows": rows, "regions": u.n_regions_, "moons: whole table": seconds, "small: fit and table": small,
            "bootstrap, 100 draws": draws}


def beside_shap(rows: int) -> dict[str, float]:
    """Seconds a row; and how far SHAP's sums and effects are from the network."""
    import shap
    import torch

    torch.manual_seed(0)
    layers = [torch.nn.Linear(20, 40), torch.nn.ReLU()]
    for _ in range(3):
        layers += [torch.nn.Linear(40, 40), torch.nn.ReLU()]
    module = torch.nn.Sequential(*layers, torch.nn.Linear(40, 1)).double()
    rng = np.random.default_rng(0)
    background, X = rng.normal(size=(100, 20)), rng.normal(size=(rows, 20))
    u = pel.UnwrapperRegressor(module).fit(background, np.zeros(100))
    u.explain(X)
    ours, e = timed(lambda: u.explain(X))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kernel, k = timed(lambda: shap.KernelExplainer(u.predict, background).shap_values(X, silent=True))
        deep, d = timed(lambda: shap.DeepExplainer(module, torch.tensor(background)).shap_values(torch.tensor(X), check_additivity=False))
    base, y = u.predict(background).mean(), u.predict(X)
    return {"rows": rows, "ours": ours / rows, "KernelExplainer": kernel / rows, "DeepExplainer": deep / rows,
            "ours: largest error of the sum": float(np.abs(e.outputs[:, 0] - y).max()),
            "KernelExplainer: same": float(np.abs(np.asarray(k).reshape(rows, -1).sum(axis=1) + base - y).max()),
            "DeepExplainer: same": float(np.abs(np.asarray(d).reshape(rows, -1).sum(axis=1) + base - y).max())}


def parquet(rows: int) -> dict[str, float]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    net = network(np.random.default_rng(0), [20, 40, 40, 40, 40, 1])
    with tempfile.TemporaryDirectory() as folder:
        for part in range(0, rows, 1_000_000):
            n, rng = min(1_000_000, rows - part), np.random.default_rng(part)
            columns = {f"x{j}": rng.normal(size=n).astype(np.float32) for j in range(20)}
            pq.write_table(pa.table({**columns, "y": rng.integers(0, 2, n)}), Path(folder) / f"{part:010d}.parquet", row_group_size=131_072)
            del columns
        seconds, u = timed(lambda: pel.UnwrapperClassifier(net).fit(folder, "y"))
        assert u.unwrapping_.n_rows == rows
        found = {"rows": rows, "regions": u.n_regions_, "parquet fit": seconds, "parquet MB": resident()}
        found["top 5 of them"], _ = timed(lambda: u.local_models(top=5))
        return found | {"parquet MB with top 5": resident()}


CASES = {"large": large, "moons": moons, "shap": beside_shap, "parquet": parquet}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--parquet", type=int, default=1_000_000, help="rows to unwrap from Parquet")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(CASES[args.case](args.rows)))
        return
    share = 10 if args.quick else 1
    sizes = {"large": 1_000_000, "moons": 100_000, "shap": 100, "parquet": args.parquet}
    for case, whole in sizes.items():
        rows = whole // share
        done = subprocess.run([sys.executable, __file__, "--case", case, "--rows", str(rows)], capture_output=True, text=True)
        if done.returncode:
            print(f"{case}: {done.stderr.strip().splitlines()[-1]}")
            continue
        print(case)
        for name, value in json.loads(done.stdout.splitlines()[-1]).items():
            target = f"   (target {TARGETS[name]:g})" if name in TARGETS and not args.quick else ""
            print(f"  {name:32}{value:12,.6g}{target}")


if __name__ == "__main__":
    main()
