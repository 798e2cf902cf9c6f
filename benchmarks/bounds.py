"""Bounds against the bare matrix products of their own passes, in one run, as ratios.

    python benchmarks/bounds.py [--quick]

CPU seconds of one thread, float32, the network 784-256-256-10 with ReLU, max-norm balls of .01. "products" multiplies matrices of the
very shapes that the method's passes multiply, with nothing else around: for crown the rows of both signs of every unit of the second
layer and of every output, each through the layers before it; for interval the middles by W and the radii by |W|. Best of several,
taken in turn, so that a busy machine disturbs both. Below: L1 and L2 balls around sparse rows in [0, 1], on that network and one of
convolutions, cut by clip=(0, 1) against the same balls not cut: seconds, and mean widths.
"""

from __future__ import annotations

import argparse
import itertools
import time

import numpy as np
import torch

import pellucid as pel

SIZES = (784, 256, 256, 10)
TARGET = 2.5


def network(rng):
    W = [rng.normal(size=(o, i)) * np.sqrt(2 / i) for i, o in itertools.pairwise(SIZES)]
    return pel.load((W, [rng.normal(size=len(w)) * 0.1 for w in W]), orientation="out_in")


def convolutions(rng):
    layers = [torch.nn.Conv2d(1, 8, 4, 2, 1), torch.nn.ReLU(), torch.nn.Conv2d(8, 16, 4, 2, 1), torch.nn.ReLU(), torch.nn.Flatten(),
              torch.nn.Linear(784, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)]
    torch.manual_seed(int(rng.integers(2**31)))
    return pel.load(torch.nn.Sequential(*layers), input_shape=(1, 28, 28))


def cut_balls(rng, quick: bool) -> None:
    X = rng.uniform(size=(4, SIZES[0])) * (rng.uniform(size=(4, SIZES[0])) < 0.25)
    print(f"\n{'network':13} {'method':15} {'p':>2} {'cut':>9} {'not cut':>9} {'ratio':>6} {'widths':>7}")
    for name, make in (("linear layers", network), ("convolutions", convolutions)):
        net = make(rng)
        for method in ("interval", "crown-interval", "crown"):
            for p in (1, 2):
                balls = [pel.Ball(X, 0.5, p=p, clip=clip) for clip in ((0, 1), None)]
                run, plain = (lambda b=b, net=net, method=method: pel.bounds(net, b, method=method, dtype="float32") for b in balls)
                width = float(run().width.mean() / plain().width.mean())
                ours, theirs = best_of(2 if quick else 6, run, plain)
                print(f"{name:13} {method:15} {p:2d} {ours:9.5f} {theirs:9.5f} {ours / theirs:6.2f} {width:7.3f}")


def products(method: str, n: int):
    """A function that makes the bare products."""
    W = [torch.randn(o, i) for i, o in itertools.pairwise(SIZES)]
    if method == "interval":
        A = [w.abs() for w in W]
        x = [torch.randn(n, w.shape[1]) for w in W]
        return lambda: [(v @ w.T, v @ a.T) for v, w, a in zip(x, W, A, strict=True)]
    hidden = torch.randn(n * 2 * SIZES[2], SIZES[1])            # second layer's units, through the first
    last = [torch.randn(n * 2 * SIZES[3], SIZES[2]), torch.randn(n * 2 * SIZES[3], SIZES[1])]
    return lambda: (hidden @ W[0], last[0] @ W[1], last[1] @ W[0])


def best_of(runs: int, *functions):
    """CPU seconds of each, the best of several in turn."""
    best = [np.inf] * len(functions)
    for _ in range(runs):
        for k, f in enumerate(functions):
            start = time.process_time()
            f()
            best[k] = min(best[k], time.process_time() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    net, X = network(rng), rng.uniform(size=(100, SIZES[0]))
    print(f"{'method':10} {'batch':>5} {'seconds':>9} {'products':>9} {'ratio':>6}  target")
    for method, n in (("crown", 1), ("crown", 100), ("interval", 1), ("interval", 100)):
        ball, bare = pel.Ball(X[:n], 0.01), products(method, n)
        def run(ball=ball, method=method):
            return pel.bounds(net, ball, method=method, dtype="float32")
        run()
        runs = (3 if quick else 10) * (1 if n > 1 and method == "crown" else 10)
        ours, theirs = best_of(runs, run, bare)
        target = f"<= {TARGET}" if method == "crown" or n > 1 else ""
        print(f"{method:10} {n:5d} {ours:9.5f} {theirs:9.5f} {ours / theirs:6.2f}  {target}")
    cut_balls(rng, quick)


if __name__ == "__main__":
    main()
