"""Regions by blocking codes (CEE III-B) against the native engines, and optima by regions against mixed-integer programming.

    python benchmarks/milp.py [--regions 40]

CPU seconds a region, in the same run: of the native engine over all regions, of the MILP over the first ones (later ones take longer,
since every code that was found adds a row). The networks are those of ../shared/bench where it is there, else of the same sizes.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

import pellucid as pel

CASES = {"C1 5-32-32": ("C1_piecewise_5d", [5, 32, 32, 1]), "C2 2-32-32": ("C2_piecewise_2d", [2, 32, 32, 1])}
TARGET = 10_000                                    # times faster a region, on C2


def networks():
    """{name: (network, box)}."""
    path = Path(__file__).resolve().parents[2] / "shared" / "bench" / "gen_nets.py"
    if path.exists():
        spec = importlib.util.spec_from_file_location("gen_nets", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found = {name: module.load(next(c for c in module.CASES if c.startswith(case[:2]))) for name, (case, _) in CASES.items()}
    else:
        rng = np.random.default_rng(0)
        found = {name: ([(rng.uniform(-1, 1, (o, i)) * np.sqrt(6 / i), rng.uniform(-1, 1, o) / np.sqrt(i)) for i, o in pairwise(sizes)],
                        np.zeros(sizes[0]), np.ones(sizes[0])) for name, (_, sizes) in CASES.items()}
    return {name: (pel.load(([W for W, _ in layers], [b for _, b in layers]), orientation="out_in"), pel.Box(lower, upper))
            for name, (layers, lower, upper) in found.items()}


def seconds(call, clock=time.process_time):
    started = clock()
    answer = call()
    return clock() - started, answer


def enumeration(name, net, box, n) -> None:
    pel.linear_regions(net, box, max_regions=2)                        # the chain is made once
    runs = [seconds(lambda: pel.linear_regions(net, box, threads=1)) for _ in range(5)]
    native, atlas = min(runs, key=lambda run: run[0])
    blocking, part = seconds(lambda: pel.linear_regions(net, box, engine="milp", max_regions=n))
    a, b = native / len(atlas), blocking / len(part)
    goal = f"  (asked for: {TARGET})" if name.startswith("C2") else ""
    print(f"{name}: native {1e6 * a:.2f} us a region ({len(atlas)} regions), blocking {b:.3f} s a region (the first {len(part)}): "
          f"{b / a:,.0f} times faster{goal}", flush=True)


def optima(name, net, box) -> None:
    answers = {}
    for engine in ("regions", "milp"):
        spent, answers[engine] = seconds(lambda engine=engine: pel.maximise(net, 0, box, engine=engine, max_seconds=120, threads=1))
        print(f"{name}: {engine}: {answers[engine]} in {spent:.2f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--regions", type=int, default=40, help="how many the MILP is given to find")
    n = parser.parse_args().regions
    for name, (net, box) in networks().items():
        enumeration(name, net, box, n)
        optima(name, net, box)


if __name__ == "__main__":
    main()
