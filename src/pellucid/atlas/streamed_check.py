"""`StreamedAtlas.check`: the parts re-derived one by one, and that they are parts of one whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..certificate import Certificate, Status
from ..tolerance import CHECK_AREA, CHECK_VALUE
from .check import _sample_polytope, sample_polygon

if TYPE_CHECKING:
    from .atlas import Atlas
    from .stream import StreamedAtlas

CLAIM = "parts are sorted and have codes of their own, each passes its check, sizes add up, and maps equal the network at random points"


def check(atlas: StreamedAtlas, *, points: int, seed: int) -> Certificate:
    """REFUTED names the first law that fails; PROVED means that all held (values at random points)."""
    figures = {"points": points, "parts": len(atlas.parts)}
    last, some = None, []
    for part, chunk in zip(atlas.parts, atlas.chunks(), strict=True):
        fault = _fault(chunk, len(part), last, seed)
        if fault:
            return Certificate(CLAIM, Status.REFUTED, f"part {part.name}: {fault}", figures)
        last = _keys(chunk)[-1:] if len(chunk) else last
        some = some or [chunk][:len(chunk)]
    size = _size_difference(atlas)
    error = _value_error(atlas, some, points, seed)
    figures |= {"size difference": size, "value error": error}
    if size > CHECK_AREA or error > CHECK_VALUE:
        return Certificate(CLAIM, Status.REFUTED, f"sizes differ by {size:.3g}, values by {error:.3g} of their size", figures)
    return Certificate(CLAIM, Status.PROVED, f"re-derived, values at {points} random points", figures)


def _fault(chunk: Atlas, rows: int, last: np.ndarray | None, seed: int) -> str:
    keys = _keys(chunk)
    both = keys if last is None else np.concatenate([last, keys])
    if len(chunk) != rows:
        return f"{len(chunk)} rows, its figures speak of {rows}"
    if not (both[1:] > both[:-1]).all():
        return "its rows are not sorted, or are there twice"
    verdict = chunk.check(points=200, seed=seed)
    return "" if verdict.status is Status.PROVED else verdict.reason


def _keys(chunk: Atlas) -> np.ndarray:
    """What rows are sorted by, as comparable bytes."""
    columns = [chunk.cells.codes] + [c.astype(np.uint64)[:, None] for c in (chunk.cells.first, chunk.cells.second) if c is not None]
    words = np.ascontiguousarray(np.hstack(columns).astype(">u8"))
    return words.view(f"S{8 * words.shape[1]}").ravel() if words.shape[1] else np.zeros(len(words), "S1")


def _size_difference(atlas: StreamedAtlas) -> float:
    """Relative, 0 where the engine gives no sizes or the atlas is unfinished."""
    if not atlas.is_complete or any(part.figures["volume"] is None for part in atlas.parts):
        return 0.0
    return abs(atlas.found_volume - atlas.total_volume) / atlas.total_volume


def _value_error(atlas: StreamedAtlas, some: list[Atlas], points: int, seed: int) -> float:
    """Largest error of the value at random points, relative to the outputs' size; inf if a point of a whole atlas is in no region."""
    if not some:
        return 0.0
    rng = np.random.default_rng(seed)
    u = sample_polygon(atlas.domain.polygon.vertices, points, rng) if some[0].is_planar else _sample_polytope(some[0], points, rng)
    y, truth = atlas.values_u(u), atlas.network(atlas.domain.point(u))
    met = ~np.isnan(y).any(axis=1)
    if atlas.is_complete and not met.all():
        return float("inf")
    floor = float(some[0]._floors[-1].max(initial=0.0)) / CHECK_VALUE
    scale = max(float(np.abs(truth).max(initial=0.0)), floor, 1e-300)
    return float(np.abs(y[met] - truth[met]).max(initial=0.0)) / scale
