"""Does the imported network compute what the original does? Asked of the original's own runtime, at every import."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import FidelityError
from ..graph.graph import as_batch
from ..graph.network import Network
from ..graph.op import size
from ..tolerance import FIDELITY

Original = Callable[[np.ndarray], np.ndarray]
"""(n, *input_shape) float64 -> (n, c): what the original answers, its own link (softmax, sigmoid) applied."""

SCALES = (0.1, 1.0, 10.0, 100.0)
ROWS_PER_SCALE = 16
MOST_ROWS_GIVEN = 256
MOST_ENTRIES = 2**22
"""Of the widest layer, for all rows of a batch: 32 MB, so that large image networks are checked on few rows. A pass of VGG-16 in float64
takes two seconds, twice, and its convolutions unfold a row to a quarter of a gigabyte: there it is one row of each scale."""


@dataclass(frozen=True)
class Fidelity:
    """The largest |difference| / (scale of the outputs), over how many points, against which runtime."""

    max_relative_error: float
    n_points: int
    runtime: str

    def __str__(self) -> str:
        return f"within {self.max_relative_error:.1e} of {self.runtime} on {self.n_points} points"


def check_fidelity(net: Network, original: Original, check_with=None, seed: int = 0, *, runtime: str = "the original") -> Fidelity:
    """Compare net.predict with the original on random inputs of several scales, and on up to 256 rows of `check_with`.

    Inputs are rounded to float32 first, so that a float32 original sees the very same ones.
    Rows on which the original overflows to infinity are left out. FidelityError where the two differ by more than
    tolerance.FIDELITY, or either gives NaN.
    """
    worst, n_points = 0.0, 0
    for what, x in _batches(net, check_with, np.random.default_rng(seed)):
        with np.errstate(over="ignore"):
            x = x.astype(np.float32).astype(np.float64)
        expected = np.asarray(original(x), dtype=np.float64).reshape(len(x), -1)
        got = net.predict(x)
        if got.shape != expected.shape:
            raise FidelityError(f"the imported network gives {got.shape[1]} outputs, {runtime} gives {expected.shape[1]}")
        kept = ~np.isinf(expected).any(axis=1)                  # a float32 original overflows far out, where we do not
        worst = max(worst, _compare(got[kept], expected[kept], net.link, f"{what} (seed {seed})", runtime))
        n_points += int(kept.sum())
    if not n_points:
        raise FidelityError(f"{runtime} gives nothing but infinities, on ordinary inputs too: there is nothing to compare with")
    return Fidelity(worst, n_points, runtime)


def _batches(net: Network, check_with, rng):
    widest = max(size(shape) for shape in (net.input_shape, *(n.shape for n in net.graph.nodes)))
    rows = max(1, min(ROWS_PER_SCALE, MOST_ENTRIES // widest))
    for scale in SCALES:
        yield f"normal inputs of scale {scale:g}", scale * rng.standard_normal((rows, *net.input_shape))
    yield "uniform inputs in [0, 1]", rng.random((rows, *net.input_shape))
    if check_with is not None:
        yield "the rows of check_with", as_batch(check_with, net.input_shape)[: max(rows, min(MOST_ROWS_GIVEN, MOST_ENTRIES // widest))]


def _compare(got, expected, link: str, what: str, runtime: str) -> float:
    """Largest relative error of a batch; the scale is the largest output of the batch (1 for probabilities)."""
    if not len(got):
        return 0.0
    difference = np.abs(got - expected)
    largest = float(np.abs(expected).max(initial=0.0))
    scale = 1.0 if link in ("softmax", "sigmoid") else (largest or 1.0)
    row, output = np.unravel_index(np.argmax(np.where(np.isnan(difference), np.inf, difference)), difference.shape)
    error = float(difference[row, output]) / scale
    if not error <= FIDELITY:                                   # also where it is NaN
        raise FidelityError(
            f"the imported network does not compute what the model does.\n"
            f"  On             {what}, row {row}, output {output}: {got[row, output]!r} here, {expected[row, output]!r} by {runtime}\n"
            f"  Relative       {error:.1e} of the scale of the outputs; {FIDELITY:.0e} is allowed\n"
            f"  To go on       this is a bug of the importer or of the model's runtime: please report it with the model's graph")
    return error
