"""What the tests of streamed atlases share: the question, and a process that is there to be killed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from networks import random_layers, relu_network

import pellucid as pel

CHILD = """
import sys
sys.path[:0] = {paths!r}
from streaming import question
import pellucid as pel
from pathlib import Path
net, box = question({d})
path = Path({path!r})
print("go", flush=True)
if path.exists():
    pel.resume(path, threads=1)
else:
    pel.linear_regions(net, box, by="class", to=path, max_bytes={part}, threads=1)
print("done", flush=True)
"""


def question(d: int = 3):
    rng = np.random.default_rng(5)
    return relu_network(random_layers(rng, [d, 12, 10, 3]), "softmax"), pel.Box([-1] * d, [1] * d)


def killed(path: Path, d: int, part: int, after: float) -> bool:
    """A process that begins or goes on with the atlas, killed so many seconds after it began; whether it was done before."""
    code = CHILD.format(paths=[p for p in sys.path if p], d=d, path=str(path), part=part)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "go\n"
        time.sleep(after)
        child.send_signal(signal.SIGKILL)
        return child.stdout.read() == "done\n"


def kill_often(path: Path, times: int, d: int, part: int, seed: int, longest: float) -> int:
    """Kill so many processes that work on one atlas after the other; starts a new atlas when one is done. Atlases completed."""
    chance, completed = random.Random(seed), 0
    for _ in range(times):
        if killed(path, d, part, chance.uniform(0.0, longest)):
            completed += 1
    return completed


def same_atlas(streamed, whole, rng) -> None:
    """Codes, pieces, maps and the rows of points are those of the atlas in memory, each once."""
    assert streamed.is_complete
    assert len(streamed) == len(whole)
    mine = streamed.load()
    for column in ("codes", "first", "second"):
        assert np.array_equal(getattr(mine.cells, column), getattr(whole.cells, column)), column
    scale = np.abs(whole.coef_u).max()
    assert np.allclose(mine.coef_u, whole.coef_u, rtol=1e-9, atol=1e-9 * scale)
    assert np.allclose(mine.intercept_u, whole.intercept_u, rtol=1e-9, atol=1e-9 * scale)
    lower, upper = whole.domain.bounds
    x = whole.domain.point(rng.uniform(lower, upper, (400, whole.domain.dim)))
    assert np.array_equal(streamed.locate(x), whole.locate(x))
