"""The search engine: time and programmes a region, threads, facets, memory; against affinitree (PyPI) and the planar engine.

    python benchmarks/search.py [--quick] [--affinitree]

CPU seconds of the whole Python call, the best of several; two threads are wall time against wall time. Delivered are codes, an inner
point and the affine map of every region. `--affinitree` builds the same networks there too (half a minute; it gives a decision
tree with the affine maps at its leaves, and no facets).
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from pellucid.chain.chain import Chain, Elementwise, Stage
from pellucid.regions import chebyshev, enumerate_planar, enumerate_search, facets

UNIT = 2.0**-53
TARGETS = {"C1 5-32-32": 5.0, "D1 10-50-50": 8.0, "D4 13-20-20": 8.0}                 # microseconds a region
CASES = {"A2 2-64x3": ("A2_2x64x64x64", [2, 64, 64, 64, 1], 1.0), "B1 3-32-32": ("B1_3x32x32", [3, 32, 32, 1], 1.0),
         "B2 3-64-64": ("B2_3x64x64", [3, 64, 64, 1], 1.0), "C1 5-32-32": ("C1_piecewise_5d", [5, 32, 32, 1], 1.0),
         "D1 10-50-50": ("D1_10x50x50_r.05", [10, 50, 50, 1], 0.05), "D4 13-20-20": ("D4_13x20x20_r.1", [13, 20, 20, 1], 0.1)}


def torch_init(rng, sizes):
    """Weights and biases uniform in +-1/sqrt(fan in), the default of torch.nn.Linear."""
    return [(rng.uniform(-1, 1, (o, i)) / np.sqrt(i), rng.uniform(-1, 1, o) / np.sqrt(i)) for i, o in pairwise(sizes)]


def networks():
    """{name: (layers, lower, upper)}; those of ../shared/bench where it is there, else others of the same sizes."""
    path = Path(__file__).resolve().parents[2] / "shared" / "bench" / "gen_nets.py"
    if path.exists():
        spec = importlib.util.spec_from_file_location("gen_nets", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return {name: module.load(case) for name, (case, _, _) in CASES.items()}
    return {name: (torch_init(np.random.default_rng(0), sizes), np.full(sizes[0], -r), np.full(sizes[0], r))
            for name, (_, sizes, r) in CASES.items()}


class Problem:
    """A network over a box, as the engines take it."""

    def __init__(self, layers, lo, hi):
        def relu(n):
            return Elementwise(np.arange(n + 1, dtype=np.int32), np.zeros(n), np.tile([0.0, 1.0], n), np.zeros(2 * n))
        self.layers, self.lo, self.hi = layers, lo, hi
        self.chain = Chain(len(lo), tuple(Stage(W, b, relu(len(b))) for W, b in layers[:-1]), *layers[-1])
        eye = np.eye(len(lo))
        self.domain = np.vstack([eye, -eye]), np.concatenate([hi, -lo])
        size, e, self.floors = np.maximum(np.abs(lo), np.abs(hi)), np.zeros(len(lo)), []
        for W, b in layers:                                            # a-priori rounding bounds by intervals
            z = abs(W) @ size + abs(b)
            size, e = z, abs(W) @ e + (W.shape[1] + 4) * UNIT * z
            self.floors.append(e)

    def search(self, **options):
        return enumerate_search(self.chain, *self.domain, floors=self.floors, **({"threads": 1} | options))

    def planar(self):
        (a, b), (c, d) = self.lo, self.hi
        return enumerate_planar(self.chain, np.array([[a, b], [c, b], [c, d], [a, d]]), floors=self.floors, threads=1)


def best(call, repeats, clock=time.process_time):
    times = []
    for _ in range(repeats):
        start = clock()
        call()
        times.append(clock() - start)
    return min(times)


def affinitree_seconds(problem) -> tuple[float, int]:
    """CPU seconds and leaves of its decision tree over the same box, in one go."""
    import affinitree as at

    net = at.Architecture(len(problem.lo))
    for k, (W, b) in enumerate(problem.layers):
        net.linear(at.AffFunc.from_mats(np.ascontiguousarray(W), b))
        if k + 1 < len(problem.layers):
            net.relu()
    box = at.Polytope.hyperrectangle(len(problem.lo), list(zip(problem.lo, problem.hi, strict=True)))
    start = time.process_time()
    tree = at.builder.from_layers(net, precondition=at.AffTree.from_poly(box, at.AffFunc.identity(len(problem.lo))))
    return time.process_time() - start, tree.num_terminals()


def million() -> Problem:
    return Problem(torch_init(np.random.default_rng(0), [10, 50, 50, 1]), np.full(10, -0.2), np.full(10, 0.2))


def memory(count_only: bool):
    """Prints (regions, MB of output, MB beyond it at the peak), in a process of its own."""
    problem = million()
    problem.search(max_regions=1000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    table = problem.search(max_regions=1_000_000 * (5 if count_only else 1), count_only=count_only, threads=2)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kept = sum(v.nbytes for v in vars(table).values() if isinstance(v, np.ndarray)) / 2**20
    print(table.n_regions, kept, (peak - before) / 1024 - kept)


def measured(name: str, p: Problem, repeats: int, with_affinitree: bool) -> str:
    """A line of the table."""
    table = p.search()
    K = len(table)
    seconds = best(p.search, repeats * (10 if K < 1000 else 1))
    walls = [best(lambda t=t: p.search(threads=t), repeats, time.perf_counter) for t in (1, 2)]
    n = min(K, 20_000)
    some = np.random.default_rng(0).permutation(K)[:n]
    asked = {"floors": p.floors, "threads": 1}
    found = facets(p.chain, *p.domain, table, some, **asked)
    facet_seconds = best(lambda: facets(p.chain, *p.domain, table, some, **asked), 2)
    ball_seconds = best(lambda: chebyshev(p.chain, *p.domain, table, some, **asked), 2)
    peer = ""
    if name.startswith("A2"):
        peer = f"{best(p.planar, repeats) / seconds:.2f} planar"
    elif with_affinitree and name[:2] in ("B1", "D1", "D4"):
        theirs, leaves = affinitree_seconds(p)
        peer = f"{theirs / seconds:.0f}x ({leaves} leaves)"
    target = TARGETS.get(name, "")
    return (f"{name:14s} {K:8d} {seconds * 1e6 / K:9.2f} {target:>6} {table.programmes / K:5.2f} "
            f"{table.pivots / max(1, table.programmes):6.2f} {walls[0] / walls[1]:9.2f} {facet_seconds * 1e6 / n:9.1f} "
            f"{len(found) / n:6.2f} {ball_seconds * 1e6 / n:8.1f} {peer:>9s}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--affinitree", action="store_true")
    parser.add_argument("--memory", choices=["rows", "count"])
    asked = parser.parse_args()
    if asked.memory:
        return memory(asked.memory == "count")
    repeats = 2 if asked.quick else 7
    nets = {name: Problem(*net) for name, net in networks().items()}
    print(f"{'network':14s} {'regions':>8s} {'us/region':>9s} {'target':>6s} {'LPs':>5s} {'pivots':>6s} {'2 threads':>9s} "
          f"{'facets us':>9s} {'number':>6s} {'balls us':>8s} {'peer':>9s}")
    for name, problem in nets.items():
        print(measured(name, problem, repeats, asked.affinitree), flush=True)
    for what in ("rows", "count"):
        out = subprocess.run([sys.executable, __file__, "--memory", what], capture_output=True, text=True, check=True).stdout.split()
        print(f"memory, {what}: {int(out[0])} regions, {float(out[1]):.0f} MB of output, {float(out[2]):.0f} MB beyond it at the peak")


if __name__ == "__main__":
    main()
