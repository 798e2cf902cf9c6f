"""The vertex engine on the shared networks: time a region, with and without volumes, vertices and facets; two threads against one.

    python benchmarks/vertex.py [--quick]

Times are CPU microseconds a region of the whole Python call (codes, interior points, affine maps), the best of several, taken in turn
so that a noisy machine disturbs all alike; the two-thread figure is a ratio of wall times.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from pathlib import Path

import numpy as np

from pellucid import _core
from pellucid.chain.chain import Chain, Elementwise, Stage
from pellucid.regions import enumerate_vertex

UNIT = 2.0**-53
CASES = {"B1 3-32-32": "B1_3x32x32", "B2 3-64-64": "B2_3x64x64", "C1 5-32-32": "C1_piecewise_5d"}
TARGETS = {"B1 3-32-32": 1.5, "B2 3-64-64": 1.5, "C1 5-32-32": 5.0}           # microseconds a region
WAYS = {"maps": {"volumes": False}, "+volumes": {}, "+vertices": {"vertices": True}, "facets": {"volumes": False, "facets": True}}


def networks():
    """{name: (layers, lower, upper)} of ../shared/bench."""
    path = Path(__file__).resolve().parents[2] / "shared" / "bench" / "gen_nets.py"
    if not path.exists():
        sys.exit(f"the networks are not there: {path}")
    spec = importlib.util.spec_from_file_location("gen_nets", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: module.load(case) for name, case in CASES.items()}


def chain_of(layers) -> Chain:
    def relu(n):
        return Elementwise(np.arange(n + 1, dtype=np.int32), np.zeros(n), np.tile([0.0, 1.0], n), np.zeros(2 * n))
    return Chain(layers[0][0].shape[1], tuple(Stage(W, b, relu(len(b))) for W, b in layers[:-1]), *layers[-1])


def floors(layers, lo, hi):
    """A-priori rounding bounds by intervals."""
    size, e, out = np.maximum(np.abs(lo), np.abs(hi)), np.zeros(len(lo)), []
    for W, b in layers:
        z = abs(W) @ size + abs(b)
        e = abs(W) @ e + (W.shape[1] + 4) * UNIT * z
        size = z
        out.append(e)
    return out


def caller(layers, lo, hi):
    chain, bounds, d = chain_of(layers), floors(layers, lo, hi), len(lo)
    G, h = np.vstack([np.eye(d), -np.eye(d)]), np.concatenate([hi, -lo])
    return lambda threads=1, **options: enumerate_vertex(chain, G, h, floors=bounds, threads=threads, **options)


def best_in_turn(calls, repeats, clock):
    """The least time of each call."""
    least = [np.inf] * len(calls)
    for _ in range(repeats):
        for i, call in enumerate(calls):
            start = clock()
            call()
            least[i] = min(least[i], clock() - start)
    return least


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    repeats = 3 if parser.parse_args().quick else 12
    print(f"kernels: {_core.cpu_level()}")
    ways = " ".join(f"{w:>9}" for w in WAYS)
    print(f"{'network':11} {'regions':>8} {ways} {'target':>7} {'all/maps':>9} {'2 threads':>10}  volume")
    for name, net in networks().items():
        run = caller(*net)
        table = run()
        calls = [lambda o=o, run=run: run(**o) for o in WAYS.values()]
        times = best_in_turn(calls, repeats, time.process_time)
        one, two = best_in_turn([lambda t=t, run=run: run(threads=t, volumes=False) for t in (1, 2)], repeats, time.perf_counter)
        off = table.volume.sum() / table.domain_volume - 1
        print(f"{name:11} {len(table):8d} " + " ".join(f"{t / len(table) * 1e6:9.3f}" for t in times)
              + f" {TARGETS[name]:7.1f} {times[2] / times[0]:8.2f}x {one / two:9.2f}x  {off:+.0e}", flush=True)


if __name__ == "__main__":
    main()
