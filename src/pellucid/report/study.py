"""The answer to a question: an atlas, and what is made of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..atlas import Atlas
from ..certificate import Certificate
from ..errors import PellucidError
from ..explain import (
    AbruptChanges,
    Description,
    Enclaves,
    TippingPoints,
    Transitions,
    abrupt_changes,
    describe,
    enclaves,
    tipping_points,
    transitions,
)
from .bounded import Bounded, bounded
from .proofs import Proofs, prove
from .question import Question
from .unwrapped import Unwrapped, unwrapped

MOST_OUTPUTS = 12
"""Outputs whose total weights are tabled one by one; more make no readable table."""

CHECK_POINTS = 10_000


@dataclass(frozen=True, eq=False)
class Study:
    """What is reported. main: the weights of the quantity that tells the plane's two main classes apart (or of the output).

    outputs: one description an output. transitions, enclaves: None where no class is given. tipping: of the two free
    features. check: the atlas re-derived by other code. proofs: of one row and of all features' ranges, where asked for.
    unwrapped: the local models that the rows meet, None where no answers are known; not_unwrapped: why there is none.
    bounded: sound bounds around rows and over all ranges, beside the proofs; not_bounded: why there is none.
    """

    question: Question
    atlas: Atlas
    main: Description
    outputs: tuple[Description, ...]
    transitions: Transitions | None
    enclaves: Enclaves | None
    tipping: tuple[TippingPoints, ...]
    abrupt: AbruptChanges
    check: Certificate
    proofs: Proofs | None = None
    unwrapped: Unwrapped | None = None
    not_unwrapped: str = ""
    bounded: Bounded | None = None
    not_bounded: str = ""

    @property
    def axes(self) -> tuple[str, str]:
        """Names of the two features that move."""
        i, j = self.question.free
        return self.question.network.feature_names[i], self.question.network.feature_names[j]

    @cached_property
    def shares(self) -> list[tuple[str, float]]:
        return class_shares(self.atlas) if self.atlas.by else []

    @cached_property
    def findings(self) -> tuple[str, ...]:
        """What was found, in sentences that hold."""
        from .findings import findings

        return findings(self)


def study(question: Question, atlas: Atlas, *, proof_seconds: float = 0.0, threads: int | None = None) -> Study:
    """Describe the atlas for this question; proof_seconds: about how long to spend on what is proved beside it (0: nothing)."""
    net = question.network
    output, versus = _contrast(question, atlas)
    main = _by_size(describe(atlas, output, versus))
    several = net.n_outputs > 1
    local, why = _unwrapped(question, output, versus, threads)
    proofs = prove(question, output, versus, max_seconds=proof_seconds, threads=threads) if proof_seconds > 0 else None
    around, why_not = _bounded(question, proofs, main, proof_seconds)
    outputs = tuple(describe(atlas, o) for o in range(net.n_outputs)) if several and net.n_outputs <= MOST_OUTPUTS else ()
    return Study(question, atlas, main, outputs,
                 transitions(atlas) if atlas.by else None, enclaves(atlas) if atlas.by else None,
                 tuple(tipping_points(atlas, j, output, versus) for j in question.free),
                 abrupt_changes(atlas, output, 5, versus=versus), atlas.check(points=CHECK_POINTS),
                 proofs, local, why, around, why_not)


def _unwrapped(question: Question, output, versus, threads: int | None) -> tuple[Unwrapped | None, str]:
    """The rows' local models, or why there are none."""
    net = question.network
    if question.answers.y is None:
        return None, "no column of right answers was read"
    try:
        return unwrapped(net, question.rows.X, question.answers.y, output=output, versus=versus, threads=threads), ""
    except PellucidError as e:                                            # such as scikit-learn that is not installed
        return None, str(e).splitlines()[0]


def _bounded(question: Question, proofs: Proofs | None, main: Description, max_seconds: float) -> tuple[Bounded | None, str]:
    """Sound bounds, or why there are none."""
    if proofs is None:
        return None, ""
    try:
        X, box = question.rows.X, question.plane.box
        return bounded(question.network, X, proofs.row, box, main.quantity.direction, max_seconds=max_seconds), ""
    except PellucidError as e:                                            # such as torch that is not installed
        return None, str(e).splitlines()[0]


def _contrast(question: Question, atlas: Atlas) -> tuple[int | str, int | str | None]:
    """The quantity that decides on this plane: the second class's logit, or the logits of the two largest classes compared."""
    net = question.network
    if not net.n_classes or net.n_outputs == 1:
        return 0, None
    area = np.bincount(atlas.first, weights=atlas.volume, minlength=net.n_outputs)
    order = np.argsort(-area, kind="stable")
    if area[order[1]] > 0:
        a, b = sorted(int(k) for k in order[:2])
        return b, a
    a = int(order[0])                   # one class only: against its nearest rival where the other features stand
    centre = atlas.domain.point(atlas.domain.polygon.vertices.mean(axis=0))
    rivals = np.argsort(-net(centre)[0], kind="stable")
    return a, int(next(k for k in rivals if k != a))


def _by_size(description: Description) -> Description:
    """Ranked by the size of weights, also in a comparison: which features count, whichever side they speak for."""
    return replace(description, quantity=replace(description.quantity, compares=False))


def class_shares(atlas: Atlas) -> list[tuple[str, float]]:
    """(class, share of the area), the largest first."""
    classes, place = np.unique(atlas.first, return_inverse=True)
    area = np.bincount(place.ravel(), weights=atlas.volume) / max(float(atlas.volume.sum()), 1e-300)
    return [(atlas.class_label(int(classes[k])), float(area[k])) for k in np.argsort(-area, kind="stable")]
