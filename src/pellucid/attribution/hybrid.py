"""EVA for networks of any size: ranges of a hidden layer by sampling, bounds from there on (EVA 3.4). An estimate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..certificate import Certificate, Status
from ..graph import Network
from .asked import Question, Sets, by_feature, question_of, sets_of
from .attribution import Attribution
from .cut import cut_network
from .eva import answer, collected
from .groups import groups_of
from .scores import samples as rows_of
from .torch_form import require_torch, torch_module


def eva_hybrid(net: Network, X, *, cut: str, samples: int = 8, groups: Sequence | Mapping | np.ndarray | None = None,
               grid: int | tuple[int, int] | None = None, eps, p: float = np.inf, method: str = "crown", target=None,
               sign: str | None = None, clip: tuple[Any, Any] | None = (0, 1), overlap: str = "difference", label=None, seed: int = 0,
               device: str = "cpu", memory: float = 2**30, progress: Callable[[int, int], None] | None = None) -> Attribution:
    """EVA with the range of layer `cut` found by sampling, and bounds of the network behind it: an estimate, which proves nothing.

    cut: the name of a node (`net.summary()` lists them) through which every path leads. samples: points of B; those of B_u are the
    same, put back to x on u, so that each image costs samples x (groups + 1) passes up to the cut. memory: bytes, about, for what is
    carried at a time. The rest as for `eva`.

    Needs     a classifier; g behind the cut of a size that bounds can take.
    Gives     Attribution, marked an estimate. Its `attained` are what the samples attain, and the centre.
    Sound     no: ranges that are sampled are inside the true ones.
    Source    EVA 3.4.
    Differs   samples are shared by all sets, the centre is one of them, and the ranges of B_u are cut to that of B: so scores come from
              freezing alone, and what does not matter scores 0.
    """
    torch = require_torch("EVA")
    if samples < 1:
        raise ValueError(f"samples={samples}: at least one is needed")
    rows, shape = rows_of(net, X)
    members = groups_of(shape, grid=grid, groups=groups, feature_names=net.feature_names)
    h, g = cut_network(net, cut)
    front, behind = (torch_module(part, dtype=torch.float32, device=device) for part in (Network(h), g))
    eps, clip = by_feature(net, eps, clip)
    question = question_of(net, rows, members, sets_of(rows, eps, p, sign, clip), target,
                           _decided(net, rows, front, behind, memory) if label is None else label)
    reached: list[tuple[np.ndarray, np.ndarray]] = []
    settings = {"eps": np.asarray(eps, dtype=float) if np.ndim(eps) else float(eps), "p": float(p), "method": method, "sign": sign,
                "clip": clip, "overlap": overlap, "quality": f"hybrid at {cut}, {samples} samples", "estimate": True, "cut": cut,
                "samples": samples}

    def found(whole, frozen) -> Attribution:
        claim = Certificate("no perturbation of the set makes the overlap larger than its bound", Status.UNKNOWN,
                            f"an estimate: the range of '{cut}' is that of {samples} samples", {"samples": samples})
        n, s = len(whole), question.C.shape[1]
        pairs = reached[:n]
        attained = (np.array([a for a, _ in pairs]).reshape(n, s), np.array([b for _, b in pairs]).reshape(n, len(members), s))
        return answer(question[:n], shape, whole, frozen, settings, claim, lambda rows: (attained[0][rows], attained[1][rows]))

    return collected(_each_row(question, front, behind, g, samples, method, overlap, seed, memory, reached), question, found, progress)


def _decided(net: Network, rows: np.ndarray, front, behind, memory: float) -> np.ndarray:
    """The predicted classes, in float32: in float64 and numpy an image network of this size would take seconds a row."""
    torch = require_torch("EVA")
    if net.n_classes == 0:
        return np.zeros(len(rows), dtype=np.int64)              # question_of says what is wrong
    with torch.no_grad():
        y = torch.cat([behind(front(part).reshape(len(part), *behind.input_shape))
                       for part in torch.as_tensor(rows).split(_at_once(front, memory))])
    return (y[:, 0] > 0).long().cpu().numpy() if y.shape[1] == 1 else y.argmax(dim=1).cpu().numpy()


def _at_once(module, memory: float) -> int:
    """Rows whose widest tensors, a few of them at a time, fit."""
    return int(max(1, memory / (4 * 6 * module.width)))


def _each_row(question: Question, front, behind, g: Network, samples: int, method: str, overlap: str, seed: int, memory: float,
              reached: list) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    torch = require_torch("EVA")
    from .overlap import box_bounds, engine_of

    engine = engine_of(g, method=method, quality="full", overlap=overlap, dtype=torch.float32, device=front.device, memory=memory)
    for i in range(len(question.sets)):
        part = question[i:i + 1]
        low, high, attained = _ranges(part, front, behind, samples, np.random.default_rng([seed, i]), memory)
        reached.append(attained)
        values = box_bounds(low, high, part, engine)
        yield values[None, 0], values[None, 1:]


def _ranges(question: Question, front, behind, samples: int, rng, memory: float):
    """(low, high): (G + 1, *layer) over B and each B_u, those of B_u cut to that of B; and what is attained, ((s,), (G, s))."""
    torch = require_torch("EVA")
    device, d = front.device, question.sets.X.shape[1]
    points = torch.as_tensor(drawn(question.sets, samples, rng), dtype=torch.float32, device=device)        # (N, d), the centre first
    held = torch.as_tensor(np.concatenate([np.zeros((1, d), dtype=bool), question.groups.masks]), device=device)
    C = torch.as_tensor(question.C[0], dtype=torch.float32, device=device)
    at_once = _at_once(front, memory)
    with torch.no_grad():
        centre = _range(front, behind, points[None, :1], C)
        parts = []
        for masks in held.split(max(1, at_once // samples)):
            found = tuple(v.expand(len(masks), *v.shape[1:]) for v in centre)
            for chunk in points[1:].split(at_once):
                low, high, top = _range(front, behind, torch.where(masks[:, None], points[0], chunk), C)
                found = found[0].minimum(low), found[1].maximum(high), found[2].maximum(top)
            parts.append(found)
    low, high, best = (torch.cat(v) for v in zip(*parts, strict=True))
    low, high, attained = low.maximum(low[:1]), high.minimum(high[:1]), best.double().cpu().numpy()
    return low, high, (attained.max(axis=0), attained[1:])


def _range(front, behind, x, C):
    """Least and largest of the layer's values over points x (m, N, d), and the largest of C f: (m, *layer) twice, (m, s)."""
    m, N = x.shape[:2]
    z = front(x.reshape(m * N, -1)).reshape(m * N, *behind.input_shape)
    value = (behind(z) @ C.T).reshape(m, N, -1)
    z = z.reshape(m, N, *behind.input_shape)
    return z.amin(dim=1), z.amax(dim=1), value.amax(dim=1)


def drawn(sets: Sets, samples: int, rng) -> np.ndarray:
    """(samples + 1, d): the centre of the one set, then points of it: uniform in its box, or in its ball and put into the box."""
    x, low, high, radius = sets.X[0], sets.lower[0], sets.upper[0], sets.radius[0]
    d = len(x)
    if sets.p == np.inf:
        points = rng.uniform(low, high, (samples, d))
    else:
        way = rng.laplace(size=(samples, d)) if sets.p == 1 else rng.standard_normal((samples, d))
        way /= np.maximum(np.linalg.norm(way, ord=sets.p, axis=1, keepdims=True), 1e-300)
        points = np.clip(x + radius * way * rng.random((samples, 1)) ** (1 / d), low, high)
    return np.concatenate([x[None], points])
