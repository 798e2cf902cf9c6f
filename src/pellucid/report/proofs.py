"""What the report proves beside the map: of one row, and over the ranges of all features."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ..atlas import linear_regions
from ..errors import PellucidError
from ..explain import (
    Counterfactual,
    Importance,
    LocalExplanation,
    MonotoneTable,
    counterfactual,
    importance,
    local_explanation,
    monotone_table,
)
from ..geometry import Box
from ..graph import Network
from ..graph.op import AffineOp, size
from .question import Question
from .subject import whole_columns

MOST_REGIONS = 200_000
"""Regions of the whole domain, up to which importance is made of all of them."""

MOST_PRODUCTS = 1 << 32
"""Products up to which slopes of all regions are made again for every feature: some seconds."""


@dataclass(frozen=True, eq=False)
class Proofs:
    """Answers of one row, and of the box in which all features take their ranges; None where there is none.

    row: its number among the rows read; x: its inputs. missing: for each answer that is None, why.
    """

    row: int
    x: np.ndarray
    local: LocalExplanation | None
    nearest: Counterfactual | None
    monotone: MonotoneTable | None
    importance: Importance | None
    missing: dict[str, str]


def prove(question: Question, output: int | str, versus: int | str | None, *, max_seconds: float = 15.0,
          threads: int | None = None) -> Proofs:
    """Explain the row that the plane goes through, else the one nearest to it; then the whole box, in about max_seconds."""
    net, box, missing = question.network, question.plane.box, {}
    row = _row(question, box)
    x = question.rows.X[row]
    around = Box(np.minimum(box.lower, x), np.maximum(box.upper, x), net.feature_names)
    ends = time.perf_counter() + max_seconds

    def attempt(what: str, ask: Callable[[float], Any]) -> Any:
        left = ends - time.perf_counter()
        if left <= 0:
            missing[what] = "the time allowed was used up"
            return None
        try:
            return ask(left)
        except PellucidError as e:
            missing[what] = str(e).splitlines()[0]
            return None

    def nearest(left: float) -> Counterfactual | None:
        if not net.n_classes:
            missing["nearest"] = "the model gives no classes"
            return None
        whole = [net.feature_names[j] for j in whole_columns(net, question.rows.X)]
        return counterfactual(net, x, domain=around, integer=whole, max_seconds=left / 2)

    def totals(left: float) -> Importance | None:
        atlas = linear_regions(net, box, max_regions=MOST_REGIONS, max_seconds=left / 3, threads=threads)
        if not atlas.is_complete:
            missing["importance"] = (f"the ranges of all {atlas.domain.dim} features that move hold more regions than were looked for "
                                     f"({atlas.n_regions:,} were found)")
            return None
        return importance(atlas, output, versus, max_seconds=left / 2)

    return Proofs(row, x, attempt("local", lambda left: local_explanation(net, x, around)), attempt("nearest", nearest),
                  attempt("monotone", lambda left: monotone_table(net, box, output=output, versus=versus, max_seconds=left / 2,
                                                                  max_regions=_fewer_regions(net), threads=threads)),
                  attempt("importance", totals), missing)


def _fewer_regions(net: Network) -> int:
    """As many regions as their slopes along every feature can be made of in MOST_PRODUCTS."""
    graph = net.graph
    hidden = dict.fromkeys(s for node in graph.nodes if not isinstance(node.op, AffineOp) for s in node.inputs)
    widths = [size(graph.shape_of(name)) for name in hidden] + [net.n_outputs]
    each = net.n_inputs * max(1, sum(a * b for a, b in pairwise(widths)))
    return int(min(MOST_REGIONS, max(1, MOST_PRODUCTS // each)))


def _row(question: Question, box: Box) -> int:
    """The row that the plane goes through, or the nearest to where the features stand, in ranges."""
    X, width = question.rows.X, box.upper - box.lower
    away = np.abs(X - question.plane.x0) / np.where(width > 0, width, 1.0)
    away[:, list(question.free)] = 0.0
    return int(away.sum(axis=1).argmin())
