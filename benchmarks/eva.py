"""What an EVA map costs, in passes of CROWN: 144 cells of one MNIST image by each quality, over the margins of the same image, in one run.

    python benchmarks/eva.py [--quick]

One thread, float32, CPU time, the least of several turns; a pass and a map are timed in turn, so that a busy machine disturbs both.
"pass" is `pel.margins` by CROWN of one input. "many" is 20 images in one call, for each image. Memory is the process's largest.
"""

from __future__ import annotations

import argparse
import resource
import time
from itertools import pairwise

import numpy as np

import pellucid as pel

AIMS = {"shared": 6.0, "single-pass": 2.0}


def dense(widths=(784, 256, 256, 10), seed=0):
    rng = np.random.default_rng(seed)
    W = [rng.standard_normal((b, a)) * np.sqrt(2 / a) for a, b in pairwise(widths)]
    return pel.load((W, [0.1 * rng.standard_normal(b) for b in widths[1:]]), orientation="out_in", link="softmax")


def convolutional(seed=0):
    import torch
    from torch import nn

    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(1568, 100),
                          nn.ReLU(), nn.Linear(100, 10))
    return pel.load(model, input_shape=(1, 28, 28), link="softmax")


def seconds(call) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def compare(name: str, net, turns: int, eps: float) -> None:
    import torch

    X = np.random.default_rng(1).random((20, 1, 28, 28))
    x, label = X[:1], int(net.decide(X[:1].reshape(1, -1))[0])
    ball = pel.Ball(x.reshape(1, *net.input_shape), eps)
    calls = {"pass": lambda: pel.margins(net, ball, label, method="crown", dtype=torch.float32)}
    for quality in ("shared", "single-pass"):
        calls[quality] = lambda q=quality: pel.eva(net, x, grid=12, eps=eps, quality=q, dtype="float32")
        calls[f"{quality}, many"] = lambda q=quality: pel.eva(net, X, grid=12, eps=eps, quality=q, dtype="float32")
    least = dict.fromkeys(calls, np.inf)
    for call in calls.values():
        call()
    for _ in range(turns):
        for key, call in calls.items():
            least[key] = min(least[key], seconds(call) / (20 if "many" in key else 1))
    full = seconds(lambda: pel.eva(net, x, grid=12, eps=eps, quality="full", dtype="float32"))
    print(f"{name}, eps {eps}: one pass {1e3 * least['pass']:.2f} ms; full {full / least['pass']:.0f} passes")
    for quality, aim in AIMS.items():
        ratio, many = least[quality] / least["pass"], least[f"{quality}, many"] / least["pass"]
        print(f"  {quality:12} {ratio:6.2f} passes (aim: at most {aim:g}), of many images {many:6.2f} each"
              f"{'' if ratio <= aim else '   MISSED'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer turns, the dense network only")
    quick = parser.parse_args().quick
    import torch

    torch.set_num_threads(1)
    for eps in (0.02, 0.1):
        compare("784-256-256-10", dense(), 5 if quick else 20, eps)
        if not quick:
            compare("conv 16-32, dense 100", convolutional(), 5, eps)
    print(f"memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB")


if __name__ == "__main__":
    main()
