"""The planar engine against regioncam (PyPI), in one run, as ratios; threads, memory, location of points.

    python benchmarks/planar.py [--quick]

Times are CPU seconds of the whole Python call, the best of several, but for the two-thread figure, which is wall time. regioncam
computes in float32 and gives a planar map; we compute in float64 and give codes, maps, polygons and seams.
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

from pellucid import _core
from pellucid.chain.chain import Chain, Elementwise, Stage
from pellucid.regions import codes_of, enumerate_planar, match_codes

UNIT = 2.0**-53
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


def chain_of(layers) -> Chain:
    def relu(n):
        return Elementwise(np.arange(n + 1, dtype=np.int32), np.zeros(n), np.tile([0.0, 1.0], n), np.zeros(2 * n))
    return Chain(2, tuple(Stage(W, b, relu(len(b))) for W, b in layers[:-1]), *layers[-1])


def floors(layers):
    """A-priori rounding bounds on [-1, 1]^2 by intervals."""
    size, e, out = np.ones(2), np.zeros(2), []
    for W, b in layers:
        gamma = (W.shape[1] + 4) * UNIT
        z = abs(W) @ size + abs(b)
        e = abs(W) @ e + gamma * z
        size = z
        out.append(e)
    return out


SQUARE = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])


def ours(layers, threads=1):
    return enumerate_planar(chain_of(layers), SQUARE, floors=floors(layers), threads=threads)


def theirs(layers):
    import regioncam

    map_ = regioncam.Regioncam(size=1.0)
    for k, (W, b) in enumerate(layers):
        map_.linear(np.ascontiguousarray(W.T, dtype=np.float32), b.astype(np.float32))
        if k + 1 < len(layers):
            map_.relu()
    return map_


def best(call, repeats, clock=time.process_time):
    times = []
    for _ in range(repeats):
        start = clock()
        call()
        times.append(clock() - start)
    return min(times)


def memory(layers) -> tuple[float, float]:
    """(bytes a region, peak MB beyond the output), in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cells = ours(layers)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kept = sum(v.nbytes for v in vars(cells).values() if isinstance(v, np.ndarray))
    return kept / len(cells), (peak - before) / 1024 - kept / 2**20


def locate(layers) -> tuple[float, float]:
    """(seconds to find the codes of 1e6 points, seconds to match them)."""
    chain, cells = chain_of(layers), ours(layers)
    points = np.random.default_rng(0).uniform(-1, 1, (10**6, 2))
    codes = codes_of(chain, points)
    return best(lambda: codes_of(chain, points), 2), best(lambda: match_codes(cells.codes, codes), 3)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    args = parser.parse_args()
    nets = networks()
    if args.memory:
        ours(nets["A1 2-32-32"])
        print(*memory(nets[args.memory]))
        return
    print(f"kernels: {_core.cpu_level()}")
    print("network       regions  us/region  regioncam  ratio  target  2 threads  bytes  work MB")
    for name, layers in nets.items():
        count = len(ours(layers))
        repeats = 1 if args.quick else max(2, min(30, 100_000 // count))
        mine = best(lambda net=layers: ours(net), repeats)
        other = best(lambda net=layers: theirs(net), max(1, min(5, repeats // 4)))
        wall = [best(lambda net=layers, t=t: ours(net, t), repeats, time.perf_counter) for t in (1, 2)]
        size, work = map(float, subprocess.run([sys.executable, __file__, "--memory", name], capture_output=True, text=True,
                                               check=True).stdout.split())
        print(f"{name:12} {count:8d} {mine / count * 1e6:10.3f} {other / count * 1e6:10.2f} {other / mine:6.1f} "
              f"{TARGETS[name]:6d}x {wall[0] / wall[1]:9.2f}x {size:6.0f} {max(work, 0):8.1f}", flush=True)
    forward, match = locate(nets["A2 2-64x3"])
    print(f"1e6 points of A2: codes {forward:.2f} s, matched to regions {match:.3f} s")


if __name__ == "__main__":
    main()
