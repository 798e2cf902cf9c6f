"""Queries of the verification competition (VNN-COMP 2021), one `verify` each: ACAS Xu properties 1 to 4, and robustness of an MNIST net.

Prints verdict, nodes and CPU seconds, whether onnxruntime, which the networks were made for, agrees with each counterexample, and the
verdict on which the tools of the competition agreed. Ends with an error where a verdict contradicts that one.

    python examples/verify_vnncomp.py [--data ../shared/data] [--seconds 60] [--only 1_1,mnist]
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path

import pandas as pd

import pellucid as pel

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"

# What most tools found, from output_voting.txt of github.com/stanleybak/vnncomp2021_results. All 45 networks of ACAS Xu: properties 3 and 4
# fail on the same three, property 2 holds on these six only, property 1 holds everywhere. The MNIST network 256x2, by radius.
_SAFE_BY_2 = ("1_1", "1_7", "1_8", "1_9", "3_3", "4_2")
_UNSAFE_BY_3_AND_4 = ("1_7", "1_8", "1_9")
_UNSAFE_256X2 = {"0.03": (7, 14), "0.05": (0, 1, 3, 5, 7, 8, 9, 12, 13, 14)}


def published(model: str, prop: str) -> str:
    """"proved", "refuted", or "" where nothing is on record here; of file names without suffix."""
    if acas := re.fullmatch(r"ACASXU_run2a_(\d_\d)_batch_2000", model):
        unsafe = {"prop_1": False, "prop_2": acas[1] not in _SAFE_BY_2, "prop_3": acas[1] in _UNSAFE_BY_3_AND_4,
                  "prop_4": acas[1] in _UNSAFE_BY_3_AND_4}.get(prop)
    elif (mnist := re.fullmatch(r"prop_(\d+)_(0\.\d+)", prop)) and model == "mnist-net_256x2" and mnist[2] in _UNSAFE_256X2:
        unsafe = int(mnist[1]) in _UNSAFE_256X2[mnist[2]]
    else:
        unsafe = None
    return {None: "", True: "refuted", False: "proved"}[unsafe]


def queries(folder: Path) -> list[tuple[str, Path, Path]]:
    """(name, model, property) of every query that is there."""
    found = []
    for model in sorted(folder.glob("acasxu/ACASXU_*.onnx")):
        name = model.stem.split("_batch")[0].removeprefix("ACASXU_run2a_")
        found += [(f"ACAS Xu {name}", model, prop) for prop in sorted(folder.glob("acasxu/prop_*.vnnlib"))]
    for model in sorted(folder.glob("mnistfc/*.onnx")):
        found += [(f"MNIST {model.stem.removeprefix('mnist-net_')}", model, prop) for prop in sorted(folder.glob("mnistfc/prop_*.vnnlib"))]
    return found


def main(folder: Path = DATA, seconds: float = 60.0, only: tuple[str, ...] = ()) -> pd.DataFrame | None:
    rows = []
    for name, model, prop in queries(folder):
        if only and not any(word in f"{model.stem} {prop.stem}" for word in only):
            continue
        started = time.process_time()
        verdict = pel.verify(pel.load(model), prop, max_seconds=seconds)
        rows.append({"network": name, "property": prop.stem, "verdict": str(verdict.status), "margin found": verdict.attained,
                     "nodes": verdict.figures["nodes"], "CPU s": round(time.process_time() - started, 2),
                     "onnxruntime": {None: "", True: "agrees", False: "differs"}[verdict.confirmed],
                     "published": published(model.stem, prop.stem)})
        print(f"{name}, {prop.stem}: {verdict.status}", flush=True)
    if not rows:
        print(f"no queries in {folder}: get them from the VNN-COMP 2021 benchmarks, and name the folder with --data")
        return None
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    print(f"{(table['verdict'] != 'unknown').sum()} of {len(table)} decided within {seconds:g} s each")
    against = table[(table["verdict"] != "unknown") & (table["published"] != "") & (table["verdict"] != table["published"])]
    if len(against):
        sys.exit(f"against the published verdicts:\n{against.to_string(index=False)}")
    print("no verdict contradicts a published one")
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with acasxu/ and mnistfc/")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each query")
    parser.add_argument("--only", default="", help="words, separated by commas: queries whose files' names hold one of them")
    given = parser.parse_args()
    main(given.data, given.seconds, tuple(w for w in given.only.split(",") if w))
