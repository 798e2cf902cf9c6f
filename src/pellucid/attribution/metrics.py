"""How good is a map? Deletion, Insertion and MuFidelity; robustness is in its own file.

Each gives one value a row; `evaluate_attribution` averages them. Ours and no library's: those at hand remove pixels for black or for
blurred ones and watch other values, where the paper (EVA 4) replaces them by random ones and watches the class's probability.
"""

from __future__ import annotations

import numpy as np

from ..graph import Network
from .attribution import Attribution
from .groups import groups_of, spatial
from .scores import Subject, baseline_rows, pixel_maps, ranks, subject_of
from .torch_form import require_torch

ROWS = 2048
"""Images that are evaluated at once."""


def deletion(net: Network, X, maps, *, steps: int = 10, baseline="random", draws: int = 1, value: str = "probability", label=None,
             seed: int = 0, subject: Subject | None = None) -> np.ndarray:
    """(n,) area under the class's probability as pixels are replaced, the most important first; small is good (Petsiuk et al. 2018).

    steps: pixels go in so many equal parts. baseline: what replaces them; draws: of a random one, averaged.
    value: "probability" or "logit".
    """
    return _curve(net, X, maps, steps, baseline, draws, value, label, seed, subject, inserting=False)


def insertion(net: Network, X, maps, *, steps: int = 10, baseline="random", draws: int = 1, value: str = "probability", label=None,
              seed: int = 0, subject: Subject | None = None) -> np.ndarray:
    """(n,) area under the class's probability as pixels come back into a replaced image, the most important first; large is good."""
    return _curve(net, X, maps, steps, baseline, draws, value, label, seed, subject, inserting=True)


def _curve(net, X, maps, steps, baseline, draws, value, label, seed, subject, *, inserting: bool) -> np.ndarray:
    torch = require_torch("metrics of attribution")
    s = subject or subject_of(net, X, label=label)
    rng = np.random.default_rng(seed)
    place = torch.as_tensor(ranks(pixel_maps(s, maps), rng)[:, s.pixel], device=s.X.device)     # of each entry: (n, d)
    taken = np.round(np.linspace(0, s.n_pixels, steps + 1)).astype(int)
    total = np.zeros(len(s.X))
    for _ in range(draws):
        other = baseline_rows(s, baseline, rng)
        curve = np.empty((steps + 1, len(s.X)))
        for k, count in enumerate(taken):
            first = place < int(count)
            rows = torch.where(first, s.X, other) if inserting else torch.where(first, other, s.X)
            curve[k] = s.value(rows, s.label, value).cpu().numpy()
        total += np.diff(taken / s.n_pixels) @ (curve[1:] + curve[:-1]) / 2
    return total / draws


def mu_fidelity(net: Network, X, maps, *, grid: int = 9, subset: float = 0.2, samples: int = 200, baseline="random",
                correlation: str = "spearman", value: str = "probability", label=None, seed: int = 0,
                subject: Subject | None = None) -> np.ndarray:
    """(n,) correlation of the importance of random sets of cells with what the class loses by them (Bhatt, Weller & Moura 2020).

    subset: share of the cells in a set. correlation: "spearman" (that of the paper's toolbox) or "pearson". NaN where a map or the loss
    is constant. A table's features are its cells.
    """
    torch = require_torch("metrics of attribution")
    s = subject or subject_of(net, X, label=label)
    rng = np.random.default_rng(seed)
    values = pixel_maps(s, maps)
    cells = groups_of(s.shape, grid=grid) if spatial(s.shape)[0] is not None else groups_of(s.shape)
    G, n = len(cells), len(s.X)
    size = max(1, round(subset * G))
    sets = np.argsort(rng.random((samples, G)), axis=1)[:, :size]
    chosen = np.zeros((samples, G), dtype=bool)
    np.put_along_axis(chosen, sets, True, axis=1)
    entries = torch.as_tensor(chosen @ cells.masks, device=s.X.device)                          # (samples, d)
    pixel_count = np.bincount(s.pixel, minlength=s.n_pixels)
    of_pixel = np.zeros((samples, s.n_pixels))
    np.add.at(of_pixel.T, s.pixel, entries.cpu().numpy().T)
    importance = values @ (of_pixel / pixel_count).T                                            # (n, samples)
    other, loss = baseline_rows(s, baseline, rng), np.empty((n, samples))
    before = s.value(s.X, s.label, value).cpu().numpy()
    each = max(1, ROWS // samples)
    for a in range(0, n, each):
        part, put = s.X[a:a + each, None], other[a:a + each, None]
        rows = torch.where(entries[None], put, part).reshape(-1, s.X.shape[1])
        after = s.value(rows, np.repeat(s.label[a:a + each], samples), value)
        loss[a:a + each] = before[a:a + each, None] - after.cpu().numpy().reshape(-1, samples)
    return correlations(importance, loss, correlation)


def correlations(a: np.ndarray, b: np.ndarray, kind: str = "spearman") -> np.ndarray:
    """(n,) correlation of each row of a with that of b; NaN where one is constant."""
    if kind not in ("spearman", "pearson"):
        raise ValueError(f"correlation='{kind}': 'spearman' or 'pearson' is needed")
    if kind == "spearman":
        from scipy.stats import rankdata

        a, b = rankdata(a, axis=1), rankdata(b, axis=1)
    flat = (np.ptp(a, axis=1) == 0) | (np.ptp(b, axis=1) == 0)
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        out = (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.where(flat, np.nan, out)


def tightness(attribution: Attribution) -> float:
    """The mean bound of the adversarial overlap over the rows: small where bounds are tight (EVA table 2)."""
    return float(np.mean(attribution.overlap))
