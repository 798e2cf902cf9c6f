"""Tasks: together they have the regions of one run, each once, whatever the chain and however they are cut."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid.geometry.polygon import shoelace
from pellucid.regions import match_codes
from pellucid.regions.parallel import Work, divide, extent, part_chain, run_task, whole
from pellucid.regions.stream import close, join

from .nets import floors as planar_floors
from .nets import relu_chain
from .test_planar_exact import KINDS, SPLITS, offsets
from .test_search import cube, floors, halfplanes, random_layers


def leaves(work, task, wanted, levels):
    parts = divide(work, task, wanted) if levels else None
    return [task] if parts is None else [leaf for part in parts for leaf in leaves(work, part, wanted, levels - 1)]


def planar_work(chain, polygon, split, engine):
    G, h = halfplanes(polygon)
    frame = polygon.min(axis=0), polygon.max(axis=0)
    return Work(chain, engine, planar_floors(chain, polygon), split, G, h, polygon if engine == "planar" else None, frame)


def cube_work(chain, engine, split=None):
    d = chain.n_inputs
    G, h = cube(d)
    return Work(chain, engine, floors(chain, G, h), split, G, h, None, (-np.ones(d), np.ones(d)))


def same_rows(found, one):
    for column in ("codes", "first", "second"):
        if getattr(one, column) is not None:
            assert np.array_equal(np.concatenate([getattr(f, column) for f in found]), getattr(one, column)), column
    coef = np.concatenate([f.coef for f in found])
    assert np.allclose(coef, one.coef, rtol=1e-9, atol=1e-9 * max(1, np.abs(one.coef).max(initial=0)))


@pytest.mark.parametrize("engine", ["planar", "vertex", "search"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_chains_of_every_kind(kind, engine):
    for seed in range(6):
        rng = np.random.default_rng([KINDS.index(kind), seed])
        chain, polygon = kind(rng)
        split = SPLITS[(seed // 3) % len(SPLITS)]
        if split == "top2" and chain.n_outputs < 2:
            split = "argmax"
        if split == "labels":
            split = ("labels", offsets(rng, chain.n_outputs))
        work = planar_work(chain, polygon, split, engine)
        one = run_task(work, whole(work), threads=1)
        found = [run_task(work, task, threads=1) for task in leaves(work, whole(work), 3, 2)]
        same_rows(found, one)
        assert sum(f.ties for f in found) == one.ties


@pytest.mark.parametrize(("d", "engine"), [(1, "search"), (3, "vertex"), (3, "search"), (5, "vertex"), (8, "search"), (12, "search")])
def test_more_dimensions(d, engine, rng):
    work = cube_work(relu_chain(random_layers(rng, d, 7, 6, 2)), engine, "argmax")
    tasks = leaves(work, whole(work), 4, 3)
    assert len(tasks) > 4
    same_rows([run_task(work, task, threads=1) for task in tasks], run_task(work, whole(work), threads=1))
    assert sum(task.size for task in tasks) == pytest.approx(1)
    if engine == "vertex":
        assert sum(extent(work, task) for task in tasks) == pytest.approx(2.0**d, rel=1e-9)


@pytest.mark.parametrize(("d", "engine"), [(2, "planar"), (3, "vertex"), (3, "search")])
def test_nearly_degenerate_chains_differ_in_slivers_only(d, engine):
    same = 0
    for seed in range(24):
        rng = np.random.default_rng(seed)
        layers = random_layers(rng, d, 6, 6, 2)
        W, b = layers[0]
        W[3:], b[3:] = 2 * W[:3], 2 * b[:3]                             # twins, but for
        W[3:] += 10.0 ** -rng.uniform(5, 14) * rng.normal(size=W[3:].shape)
        if d == 2:
            square = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
            work = planar_work(relu_chain(layers), square, None, engine)
        else:
            work = cube_work(relu_chain(layers), engine)
        one = run_task(work, whole(work), threads=1)
        tasks = leaves(work, whole(work), 4, 2)
        found = [run_task(work, task, threads=1) for task in tasks]
        codes = np.vstack([f.codes for f in found])
        assert len(np.unique(codes, axis=0)) == len(codes)
        if one.unresolved == 0:
            same_rows(found, one)
            same += 1
        if engine == "planar":
            assert sum(shoelace(t.polygon) for t in tasks) == pytest.approx(4, rel=1e-9)
        if engine != "search":
            size = np.concatenate([f.area if engine == "planar" else f.volume for f in found])
            assert size.sum() == pytest.approx(2.0**d, rel=1e-9)
            assert size[match_codes(one.codes, codes) < 0].sum() < 1e-8
    assert same > 3


def test_a_task_fixes_its_units_and_leaves_the_others(rng):
    chain = relu_chain(random_layers(rng, 3, 5, 4, 2))
    part = part_chain(chain, np.array([1, 0, 1, 1, 0, 1]))
    assert part.n_columns == chain.n_columns - 6
    cut = part_chain(chain, np.array([1, 0]), 7)
    assert (cut.n_columns, len(cut.stages), cut.n_outputs) == (5, 2, 1)
    # where the fixed units stand as they are fixed, nothing changes
    x = rng.uniform(-1, 1, (2000, 3))
    z = x @ chain.stages[0].A.T + chain.stages[0].a
    here = x[((z > 0) == np.array([1, 0, 1, 1, 0], bool)).all(axis=1)]
    five = part_chain(chain, np.array([1, 0, 1, 1, 0]))
    assert np.allclose(five(here), chain(here))


def test_what_cannot_be_divided_is_told(rng):
    one = cube_work(relu_chain(random_layers(rng, 3, 2)), "search")           # no units at all
    assert divide(one, whole(one), 8) is None
    dead = random_layers(rng, 3, 4, 2)
    dead[0][1][:] = 100.0                                                     # always on
    work = cube_work(relu_chain(dead), "vertex")
    assert divide(work, whole(work), 8) is None


def test_joined_parts_are_one_table_with_the_rest_counted(rng):
    square = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    work = planar_work(relu_chain(random_layers(rng, 2, 8, 6, 2)), square, None, "planar")
    tasks = divide(work, whole(work), 6)
    parts = [close(f"0.{i}", task, run_task(work, task, threads=1)) for i, task in enumerate(tasks)]
    joined = join(work, parts[:3], tasks[3:], "max_seconds", None)
    assert (joined.complete, joined.reason) == (False, "max_seconds")
    rest = sum(shoelace(joined.rest_vertices[i:j]) for i, j in zip(joined.rest_ptr[:-1], joined.rest_ptr[1:], strict=True))
    assert joined.area.sum() + rest == pytest.approx(4, rel=1e-12)
    nothing = join(work, [], tasks, "max_seconds", None)
    assert (len(nothing), nothing.codes.shape[1]) == (0, joined.codes.shape[1])
