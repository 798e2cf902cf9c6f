"""ACAS Xu: is "clear of conflict" ever the advice where an intruder is straight ahead? (Katz et al. 2017, properties 3 and 4)

The networks score five advices, and the smallest score is given. Properties 3 and 4 say that over a box of positions and speeds the
score of "clear of conflict" is never the smallest. Each is one call of `maximise` under constraints on the outputs: if no point of
the box has that score at or below all others, the property is proved; if one has, it is the counterexample.

    python examples/acasxu.py [folder with ACASXU_*.onnx and prop_*.vnnlib]
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

import pellucid as pel

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "acasxu"

ADVICES = ("clear of conflict", "weak left", "weak right", "strong left", "strong right")
INPUTS = ("distance", "angle", "heading", "own speed", "intruder speed")


def read_property(path: Path) -> tuple[pel.Box, list]:
    """The box of a simple vnnlib file, and its constraints on the outputs as `where` takes them."""
    lower, upper, where = np.full(len(INPUTS), -np.inf), np.full(len(INPUTS), np.inf), []
    for relation, left, right in re.findall(r"\(assert \((<=|>=) (\S+) (\S+)\)\)", path.read_text()):
        if relation == ">=" and right[:2] == "Y_":
            left, right = right, left
        if right[:2] == "Y_":
            where.append(pel.output(int(left[2:])) <= pel.output(int(right[2:])))
        else:
            (upper if relation == "<=" else lower)[int(left[2:])] = float(right)
    return pel.Box(lower, upper, INPUTS), where


def decide(net: pel.Network, box: pel.Box, where: list) -> dict:
    """Whether any point of the box has the unsafe outputs."""
    started = time.perf_counter()
    unsafe = pel.maximise(net, pel.output(1) - pel.output(0), box, where)
    verdict = "fails" if unsafe.witness is not None else "holds" if unsafe.status is pel.Status.PROVED else "open"
    return {"verdict": verdict, "proof": str(unsafe.status), "regions": unsafe.certificate.figures.get("regions"),
            "engine": unsafe.certificate.figures["engine"], "seconds": round(time.perf_counter() - started, 2),
            "counterexample": None if unsafe.witness is None else np.round(unsafe.witness, 4).tolist()}


def main(folder: Path = DATA) -> pd.DataFrame | None:
    models = sorted(folder.glob("ACASXU_*.onnx"))
    if not models:
        print(f"no ACASXU_*.onnx in {folder}: get them from the VNN-COMP benchmarks (CC BY 4.0), and name the folder")
        return None
    rows = []
    for model in models:
        net = pel.load(model, feature_names=INPUTS, class_names=ADVICES)
        for k in (3, 4):
            box, where = read_property(folder / f"prop_{k}.vnnlib")
            rows.append({"network": model.stem.split("_batch")[0].removeprefix("ACASXU_run2a_"), "property": k} | decide(net, box, where))
            print(f"network {rows[-1]['network']}, property {rows[-1]['property']}: {rows[-1]['verdict']}", flush=True)
    table = pd.DataFrame(rows)
    print(table.drop(columns="counterexample").to_string(index=False))
    return table


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
