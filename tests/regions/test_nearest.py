"""The search pruned by distance, against polygons in the plane: networks of every kind, in all norms."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid.regions import near_regions

from .nets import floors as planar_floors
from .nets import planar
from .test_planar_exact import KINDS, offsets
from .test_search import halfplanes

NORMS = (1, 2, np.inf)


def distances(cells, x, p) -> np.ndarray:
    """From x to each polygon: 0 inside, else the least over the edges, where |a + t e|_p is least at a kink or an end."""
    away = np.empty(len(cells))
    for k, (i, j) in enumerate(zip(cells.vertex_ptr[:-1], cells.vertex_ptr[1:], strict=True)):
        v = cells.vertices[i:j]
        a, e = v - x, np.roll(v, -1, axis=0) - v
        if (e[:, 0] * a[:, 1] - e[:, 1] * a[:, 0] <= 0).all():
            away[k] = 0
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.stack([-(a * e).sum(1) / (e * e).sum(1), -a[:, 0] / e[:, 0], -a[:, 1] / e[:, 1],
                          -(a[:, 0] - a[:, 1]) / (e[:, 0] - e[:, 1]), -(a[:, 0] + a[:, 1]) / (e[:, 0] + e[:, 1]), 0 * a[:, 0]])
        t = np.clip(np.nan_to_num(t, posinf=0, neginf=0), 0, 1)
        away[k] = np.linalg.norm(a + t[:, :, None] * e, ord=p, axis=2).min()
    return away


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_rows_up_to_the_radius_are_the_polygons_within_it(kind):
    for seed in range(6):
        rng = np.random.default_rng([KINDS.index(kind), seed])
        chain, polygon = kind(rng)
        split = [None, "argmax", ("labels", offsets(rng, chain.n_outputs))][seed % 3]
        cells, (G, h) = planar(chain, polygon, split=split), halfplanes(polygon)
        w = rng.dirichlet(np.ones(len(polygon)))
        x = w @ polygon if seed % 2 else polygon[0]                         # a corner, or inside
        fixed = {"floors": planar_floors(chain, polygon), "split": split, "threads": 1}
        span = np.ptp(polygon, axis=0).max()
        weight = 1 / np.ptp(polygon, axis=0) if kind.__name__ == "thin_box" else np.ones(2)
        true = {p: distances(scaled(cells, weight), x * weight, p) for p in NORMS}
        room = 1e-9 * (1 if kind.__name__ == "thin_box" else span) + 1e-15 * np.abs(x).max()
        for p in NORMS:
            near = near_regions(chain, G, h, x, weight, norm=p, radius=np.inf, **fixed)
            assert near.table.complete
            assert np.array_equal(near.table.codes, cells.codes)
            assert np.abs(near.distance - true[p]).max() <= room
            assert np.abs(np.linalg.norm((near.feet - x) * weight, ord=p, axis=1) - near.distance).max() <= room
            radius = float(np.median(true[p])) * 1.01
            near = near_regions(chain, G, h, x, weight, norm=p, radius=radius, **fixed)
            assert (true[p] < radius - room).sum() <= len(near.distance) <= (true[p] <= radius + room).sum()
            for keep in (1, 3):
                near = near_regions(chain, G, h, x, weight, norm=p, radius=np.inf, keep=keep, **fixed)
                assert np.abs(np.sort(near.distance)[:keep] - np.sort(true[p])[:keep]).max() <= room
            if split is not None:
                check_classes(chain, G, h, x, weight, p, cells, true[p], room, fixed)


def check_classes(chain, G, h, x, weight, p, cells, true, room, fixed):
    """The nearest piece without one class, or of one class alone; margins are bounded on the way."""
    for k in np.unique(cells.first):
        for name, wanted in (("avoid", cells.first != k), ("only", cells.first == k)):
            near = near_regions(chain, G, h, x, weight, norm=p, radius=np.inf, keep=1, **{name: int(k)}, **fixed)
            assert near.table.complete
            assert len(near.distance) > 0 or not wanted.any()
            if wanted.any():
                assert abs(near.distance.min() - true[wanted].min()) <= room
            assert set(near.table.first.tolist()) <= set(cells.first[wanted].tolist())


def scaled(cells, weight):
    from dataclasses import replace

    return replace(cells, vertices=cells.vertices * weight)
