"""The planar engine against regioncam (PyPI), in one run, as ratios; threads, memory, location of points.

    python benchmarks/planar.py [--quick]

Times are CPU microseconds a region of the whole Python call, the best of several; ours and regioncam's are taken in turn, so that a
busy machine disturbs both. "wall" is the wall time of one thread over that of two, each the best of many short runs in turn: where
the machine is busy there is no second core, and it says nothing. "CPU" is what two threads compute in all over what one computes, and
"serial" the share of it in the caller's thread, before the others start and after they end. regioncam computes in float32 and gives
a planar map; we compute in float64 and give codes, maps, polygons and seams.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import resource
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

import pellucid as pel
from pellucid import _core

TARGETS = {"A1 2-32-32": 3, "A2 2-64x3": 5, "A3 2-128x4": 8, "2-256x3": 12}     # times faster than regioncam


def torch_init(rng, sizes):
    """Weights and biases uniform in +-1/sqrt(fan in), the default of torch.nn.Linear."""
    return [(rng.uniform(-1, 1, (o, i)) / np.sqrt(i), rng.uniform(-1, 1, o) / np.sqrt(i)) for i, o in pairwise(sizes)]


def networks():
    """{name: layers}; those of ../shared/bench where it is there, else others of the same sizes."""
    path = Path(__file__).resolve().parents[2] / "shared" / "bench" / "gen_nets.py"
    cases = {"A1 2-32-32": ("A1_2x32x32", [2, 32, 32, 1]), "A2 2-64x3": ("A2_2x64x64x64", [2, 64, 64, 64, 1]),
             "A3 2-128x4": ("A3_2x128^4", [2, 128, 128, 128, 128, 1])}
    nets = {name: torch_init(np.random.default_rng(0), sizes) for name, (_, sizes) in cases.items()}
    if path.exists():
        spec = importlib.util.spec_from_file_location("gen_nets", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        nets = {name: module.load(case)[0] for name, (case, _) in cases.items()}
    nets["2-256x3"] = torch_init(np.random.default_rng(0), [2, 256, 256, 256, 1])
    return nets


SQUARE = pel.Box([-1, -1], [1, 1])


def network(layers):
    return pel.load(([W for W, _ in layers], [b for _, b in layers]), orientation="out_in")


def ours(net, threads=1):
    """Codes, polygons and slice maps as numpy arrays."""
    return pel.linear_regions(net, SQUARE, threads=threads)


def theirs(layers):
    import regioncam

    map_ = regioncam.Regioncam(size=1.0)
    for k, (W, b) in enumerate(layers):
        map_.linear(np.ascontiguousarray(W.T, dtype=np.float32), b.astype(np.float32))
        if k + 1 < len(layers):
            map_.relu()
    return map_


def best(call, repeats, clock=time.process_time):
    return best_in_turn([call], repeats, clock)[0]


def best_in_turn(calls, repeats, clock=time.process_time):
    """The least time of each call. Turns take some milliseconds: a call of one is slower behind another program's data."""
    least = [np.inf] * len(calls)
    for _ in range(repeats):
        for i, call in enumerate(calls):
            end = time.perf_counter() + 0.02
            while True:
                start = clock()
                call()
                least[i] = min(least[i], clock() - start)
                if time.perf_counter() > end:
                    break
    return least


def two_threads(net, repeats) -> tuple[float, float, float]:
    """(wall time of one thread over that of two, CPU time of two over that of one, share of it by the caller's thread)."""
    calls = [lambda t=t: ours(net, t) for t in (1, 2)]
    one, two = best_in_turn(calls, repeats, time.perf_counter)
    cpu_one, cpu_two = best_in_turn(calls, repeats)
    return one / two, cpu_two / cpu_one, best(calls[1], repeats, time.thread_time) / max(cpu_one, cpu_two)


def memory(net) -> tuple[float, float]:
    """(bytes a region, peak MB beyond the output), in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cells = ours(net).cells
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kept = sum(v.nbytes for v in vars(cells).values() if isinstance(v, np.ndarray))
    return kept / len(cells), (peak - before) / 1024 - kept / 2**20


def locate(net) -> float:
    """Seconds to locate 1e6 points."""
    atlas, points = ours(net), np.random.default_rng(0).uniform(-1, 1, (10**6, 2))
    return best(lambda: atlas.locate(points), 3, time.perf_counter)


def load() -> str:
    """How busy the machine is, of its cores."""
    return f"{os.getloadavg()[0]:.1f} of {os.cpu_count()}" if hasattr(os, "getloadavg") else "unknown"


def line(name: str, net, layers, quick: bool) -> str:
    """A line of the table."""
    start = time.process_time()
    count = len(ours(net))
    first = time.process_time() - start
    repeats = 2 if quick else max(4, min(20, 400_000 // count))
    mine, other = best_in_turn([lambda: ours(net), lambda: theirs(layers)], repeats if count < 10_000 else 3)
    wall, cpu, serial = two_threads(net, repeats)
    size, work = map(float, subprocess.run([sys.executable, __file__, "--memory", name], capture_output=True, text=True,
                                           check=True).stdout.split())
    return (f"{name:12} {count:8d} {mine / count * 1e6:7.3f} {first / count * 1e6:8.2f} {other / count * 1e6:9.2f} {other / mine:6.1f} "
            f"{TARGETS[name]:6d}x {wall:6.2f}x {cpu:5.2f}x {serial:7.1%} {size:8.0f} {max(work, 0):8.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    args = parser.parse_args()
    nets = {name: network(layers) for name, layers in networks().items()}
    if args.memory:
        ours(nets["A1 2-32-32"])
        print(*memory(nets[args.memory]))
        return
    print(f"kernels: {_core.cpu_level()}; load {load()}; 'first' is the first call on a network, "
          "which also brings it into the engine's form")
    print(f"{'':12} {'':>8} {'microseconds a region':^26} {'':6} {'':7} {'2 threads':^22} {'bytes':>7}")
    print(f"{'network':12} {'regions':>8} {'ours':>7} {'first':>8} {'regioncam':>9} {'ratio':>6} {'target':>7} {'wall':>7} {'CPU':>6} "
          f"{'serial':>7} {'a region':>8} {'work MB':>8}")
    for name, layers in networks().items():
        print(line(name, nets[name], layers, args.quick), flush=True)
    print(f"locate 1e6 points of A2: {locate(nets['A2 2-64x3']):.2f} s")


if __name__ == "__main__":
    main()
