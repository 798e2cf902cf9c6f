"""EVA: which inputs can change the decision, by verified perturbation analysis (Fel et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..certificate import Certificate, Status
from ..errors import Interrupted
from ..graph import Network
from .asked import ANY, Question, by_feature, question_of, sets_of
from .attained import attained
from .attribution import Attribution
from .groups import groups_of
from .scores import samples
from .torch_form import require_torch

if TYPE_CHECKING:
    import torch

CLAIM = "no perturbation of the set makes the overlap larger than its bound"

def eva(net: Network, X, *, groups: Sequence | Mapping | np.ndarray | None = None, grid: int | tuple[int, int] | None = None, eps,
        p: float = np.inf, method: str = "crown", target=None, sign: str | None = None, clip: tuple[Any, Any] | None = (0, 1),
        overlap: str = "difference", quality: str = "full", label=None, iterations: int = 20, attack_steps: int = 20, seed: int = 0,
        dtype: torch.dtype | str = "float64", device: str = "cpu", memory: float = 2**30,
        progress: Callable[[int, int], None] | None = None) -> Attribution:
    """Importance of groups of inputs: how much freezing them lowers what perturbations within eps can do to the decision.

    X: rows, or images of any shape of that many entries (an MLP's 784 inputs may come as 28 x 28).
    grid, groups: which inputs are frozen together (channels together); neither: one a pixel, or one a feature of a table. grid: cells
        a side. groups: index arrays, {name: indices or feature names}, or an array of labels (superpixels).
    eps, p: the ball of perturbations; eps may be one number a feature (by name, or in the network's order), or one a row, (n, 1).
    clip: the range of inputs that exist at all. sign: "+" where entries may only grow, "-" where they may only shrink.
    target: against which class: None (the best other one), a class, one a row, or "all" (a map for each). label: the class that is
        explained, by default the predicted one.
    method: of the bounds, as for `bounds`; iterations: of alpha-crown. overlap: "difference" bounds f_c' - f_c, "paper" bounds both
        apart (EVA's own, looser).
    quality: "full" bounds every set by itself; "shared" reads hidden bounds off the linear forms of B; "single-pass" reads everything
        off its last form. All are upper bounds; the cheaper, the looser.
    attack_steps: of the inner estimate, which is made when it is first asked for (0: the point itself). dtype, device: of the bounds.
    memory: bytes, about. progress: called with (rows done, rows).

    Needs     a classifier; rows within clip.
    Gives     Attribution: scores, bounds, and the interval in which each true drop lies.
    Sound     AObar(B) and AObar(B_u) are upper bounds, rounding included. Their difference, the score, is no bound.
    Source    EVA eqs. 1 and 2, 4.3 (targets, half-balls). SPEC 7.
    Differs   differences of outputs are bounded themselves; the cheaper qualities; balls are cut with clip.
    """
    require_torch("EVA")
    from .overlap import engine_of, overlap_bounds

    rows, shape = samples(net, X)
    members = groups_of(shape, grid=grid, groups=groups, feature_names=net.feature_names)
    eps, clip = by_feature(net, eps, clip)
    sets = sets_of(rows, eps, p, sign, clip)
    question = question_of(net, rows, members, sets, target, label)
    engine = engine_of(net, method=method, quality=quality, overlap=overlap, dtype=dtype, device=device, memory=memory,
                       iterations=iterations)
    settings = {"eps": np.asarray(eps, dtype=float) if np.ndim(eps) else float(eps), "p": float(p), "method": engine.method, "sign": sign,
                "clip": clip, "overlap": overlap, "quality": quality, "estimate": False}

    def found(whole: np.ndarray, frozen: np.ndarray) -> Attribution:
        part = question[:len(whole)]
        precision = str(engine.run.dtype).removeprefix("torch.")
        claim = Certificate(CLAIM, Status.PROVED, f"{engine.method}, {quality}, rounding of {precision} included",
                            {"sets": len(whole) * (len(members) + 1)}, lambda: recheck(part, whole, frozen, seed))

        def attack(rows):
            return attained(part[rows], steps=attack_steps, seed=seed, device=device)

        return answer(part, shape, whole, frozen, settings, claim, attack)

    return collected(overlap_bounds(question, engine), question, found, progress)


def collected(chunks: Iterable[tuple[np.ndarray, np.ndarray]], question: Question, found: Callable[[np.ndarray, np.ndarray], Attribution],
              progress: Callable[[int, int], None] | None) -> Attribution:
    """The chunks put together. Interrupted holds the rows that were done."""
    n, s = question.C.shape[:2]
    whole, frozen, done = [np.zeros((0, s))], [np.zeros((0, len(question.groups), s))], 0
    try:
        for a, b in chunks:
            whole.append(a)
            frozen.append(b)
            done += len(a)
            if progress is not None:
                progress(done, n)
    except KeyboardInterrupt:
        raise Interrupted(found(np.concatenate(whole), np.concatenate(frozen))) from None
    return found(np.concatenate(whole), np.concatenate(frozen))


def answer(question: Question, shape, whole: np.ndarray, frozen: np.ndarray, settings, certificate, attack) -> Attribution:
    """From overlaps of the rows of C, (n, s) and (n, G, s), to those that were asked about."""
    def gathered(pair, rows=slice(None)):
        return question[rows].gather(pair[0]), question[rows].gather(pair[1].transpose(0, 2, 1))

    over, held = gathered((whole, frozen))
    net, n = question.net, len(question.sets)
    targeted = question.counts.sum(axis=1) == 1 if net.n_classes > 2 else np.zeros(n, dtype=bool)
    target = np.where(targeted, np.take_along_axis(question.rival, question.counts.argmax(axis=1)[:, None], axis=1)[:, 0], ANY)
    return Attribution(question.sets.X.reshape(n, *shape), question.label, target, question.groups, over, held, settings, certificate,
                       net.class_names, None if attack is None else lambda rows: gathered(attack(rows), rows))


def recheck(question: Question, whole: np.ndarray, frozen: np.ndarray, seed: int, points: int = 64) -> Certificate:
    """A second look by other code: corners and random points of the sets, by the network in numpy. It can refute, and proves nothing."""
    rng, sets, masks = np.random.default_rng(seed + 1), question.sets, question.groups.masks
    worst, count = -np.inf, 0
    for i in range(len(sets)):
        t = np.where(rng.random((points, 1)) < 0.5, rng.random((points, sets.X.shape[1])), rng.integers(0, 2, (points, sets.X.shape[1])))
        inner = sets.lower[i] + t * (sets.upper[i] - sets.lower[i])
        if sets.p != np.inf:
            far = np.linalg.norm((inner - sets.X[i]) / np.maximum(sets.radius[i], 1e-300), ord=sets.p, axis=1, keepdims=True)
            inner = sets.X[i] + (inner - sets.X[i]) / np.maximum(far, 1.0) * (1 - 1e-12)
        group = rng.integers(0, len(masks), points)
        held = np.where(masks[group], sets.X[i], inner)
        for at, bound in ((inner, whole[i]), (held, frozen[i, group])):
            value = question.net(at) @ question.C[i].T
            room = 1e-9 * (1 + np.abs(value))
            worst = max(worst, float((value - bound - room).max()))
            count += points
    if worst > 0:
        return Certificate(CLAIM, Status.REFUTED, f"a point exceeds its bound by {worst:.3g}", {"points": count})
    return Certificate(CLAIM, Status.UNKNOWN, f"none of {count} points contradicts it", {"points": count})


class EVA:
    """EVA in captum's convention: `EVA(net, eps=0.5, grid=12).attribute(inputs, target=labels)` gives a tensor of the inputs' shape.

    net: a Network, or a torch module, which is loaded at each call, as it is then. options: those of `eva`. target is
    captum's: the class that is explained (EVA's c), by default the predicted one; `against` is EVA's own target, the class c' that
    perturbations aim at.
    """

    def __init__(self, net: Network | Any, **options):
        self.net, self.options = net, {"eps": 0.5, **options}

    def attribute(self, inputs, target=None, *, against=None, **options):
        """Scores as a tensor of the inputs' shape, dtype and device."""
        torch = require_torch("EVA")
        net = self.net
        if isinstance(net, torch.nn.Module):
            from ..importers.load import load

            net = load(net, input_shape=tuple(inputs.shape[1:]))        # at each call: it may have been trained since
        found = eva(net, inputs, label=target, target=against, **{**self.options, **options})
        images = torch.as_tensor(found.images)
        if images.dim() > inputs.dim():
            return images.to(inputs.device, inputs.dtype)
        return images.reshape(inputs.shape).to(inputs.device, inputs.dtype)

    def has_convergence_delta(self) -> bool:
        """captum asks: scores do not add up to anything."""
        return False
