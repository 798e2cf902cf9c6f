"""Atlases in parts: the same as those in memory, wherever the run was cut short."""

from __future__ import annotations

import errno
import os
import signal

import numpy as np
import pandas as pd
import pytest
from networks import random_layers, relu_network
from streaming import kill_often, question, same_atlas
from test_atlas import DEGENERATE, conv_network, degenerate_layers

import pellucid as pel
from pellucid.atlas import adjacency
from pellucid.certificate import Status

PART = {1: 400, 2: 4000, 3: 12_000, 4: 40_000, 5: 150_000, 6: 300_000}
"""Bytes of a part, so that small atlases have several."""


@pytest.fixture(autouse=True)
def _quick_disk(request, monkeypatch):
    """These tests end no machine: waiting for the disk would be most of their time."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.mark.parametrize("kind", DEGENERATE)
@pytest.mark.parametrize(("d", "by"), [(1, None), (2, "class"), (2, "top2"), (3, "class"), (4, None), (5, "class"), (6, "top2")])
def test_an_atlas_in_parts_is_the_atlas_in_memory(kind, d, by, rng, tmp_path):
    net = relu_network(degenerate_layers(kind, rng, d), "softmax")
    box = pel.Box([-1] * d, [1] * d)
    whole = pel.linear_regions(net, box, by=by)
    streamed = pel.linear_regions(net, box, by=by, to=tmp_path / "atlas", max_bytes=PART[d])
    same_atlas(streamed, whole, rng)
    assert streamed.n_regions == whole.n_regions
    assert (streamed.certificate.status, streamed.certificate.reason) == (whole.certificate.status, whole.certificate.reason)
    assert streamed.check(points=200).status is Status.PROVED
    x = np.vstack([rng.uniform(-1, 1, (50, d)), np.zeros(d), np.ones(d), np.full(d, 1.1), -np.ones(d)])
    assert np.array_equal(streamed.locate(x), whole.locate(x))            # corners and faces too
    assert np.allclose(streamed(x), whole(x), rtol=1e-9, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize("engine", ["planar", "vertex", "search"])
def test_every_engine_streams_over_domains_with_oblique_faces(engine, rng, tmp_path):
    for i, kind in enumerate(DEGENERATE):
        net = relu_network(degenerate_layers(kind, rng, 2), "softmax")
        box = pel.Box([-1, -1], [1, 1]).where([[1, 1], [1, -2]], [0.7, 1.5])
        whole = pel.linear_regions(net, box, by="class", engine=engine)
        streamed = pel.linear_regions(net, box, by="class", engine=engine, to=tmp_path / str(i), max_bytes=3000)
        same_atlas(streamed, whole, rng)


@pytest.mark.parametrize("by", [None, "class", "top2"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_single_and_several_labels_stream(by, outputs, rng, tmp_path):
    for d in (2, 3):
        net = relu_network(random_layers(rng, [d, 10, 8, outputs]), "sigmoid")
        if by == "top2" and outputs > 1:
            continue
        box = pel.Box([-1] * d, [1] * d)
        whole = pel.linear_regions(net, box, by=by, threshold=0.4)
        streamed = pel.linear_regions(net, box, by=by, threshold=0.4, to=tmp_path / str(d), max_bytes=10_000)
        assert len(streamed.parts) > 2
        same_atlas(streamed, whole, rng)
        if by:
            assert streamed.by_class()["pieces"].sum() == len(whole)
            assert len(streamed.select(first=1)) == len(whole.select(first=1))


def test_a_slice_through_a_conv_network_with_pooling(rng, tmp_path):
    net, x0 = conv_network(rng), 0.2 * rng.normal(size=36)
    for dim, part in ((2, 40_000), (3, 100_000)):
        domain = pel.Slice(x0, rng.normal(size=(36, dim)), pel.Box(x0 - 0.3, x0 + 0.3))
        whole = pel.linear_regions(net, domain)
        streamed = pel.linear_regions(net, domain, to=tmp_path / f"conv{dim}", max_bytes=part)
        assert len(streamed.parts) > 3
        same_atlas(streamed, whole, rng)


def test_borders_between_parts_are_borders_of_the_atlas(rng, tmp_path):
    net = relu_network(random_layers(rng, [2, 16, 16, 3]), "softmax")
    box = pel.Box([-1, -1], [1, 1])
    whole = pel.linear_regions(net, box, by="class")
    streamed = pel.linear_regions(net, box, by="class", to=tmp_path / "atlas", max_bytes=8000)
    assert len(streamed.parts) > 5
    mine, theirs = adjacency(streamed.load()), adjacency(whole)
    def pairs(a):
        return {(min(p), max(p)) for p in zip(a.left.tolist(), a.right.tolist(), strict=True)}

    assert pairs(mine) == pairs(theirs)
    assert mine.length.sum() == pytest.approx(theirs.length.sum(), rel=1e-9)
    assert streamed.load().check(points=500).status is Status.PROVED
    assert streamed.select(first=[0, 1], where=([1.0, -1.0, 0.0], 0.1)).volume.sum() == pytest.approx(
        whole.select(first=[0, 1], where=([1.0, -1.0, 0.0], 0.1)).volume.sum(), rel=1e-9)


def test_tables_classes_and_single_regions(rng, tmp_path):
    net = relu_network(random_layers(rng, [3, 10, 10, 3]), "softmax", class_names=("a", "b", "c"))
    box = pel.Box([-1] * 3, [1] * 3)
    whole = pel.linear_regions(net, box, by="class")
    pel.linear_regions(net, box, by="class", to=tmp_path / "atlas", max_bytes=30_000)
    streamed = pel.load_atlas(tmp_path / "atlas")
    assert isinstance(streamed, pel.StreamedAtlas)
    assert len(streamed.parts) > 3
    pd.testing.assert_frame_equal(streamed.to_frame().drop(columns=["at x0", "at x1", "at x2"]),
                                  whole.to_frame().drop(columns=["at x0", "at x1", "at x2"]), rtol=1e-6)
    table = streamed.by_class()
    for row in table.itertuples():
        assert row.pieces == len(whole.select(first=row[1]))
        assert row.volume == pytest.approx(whole.select(first=row[1]).volume.sum(), rel=1e-9)
    assert table["share"].sum() == pytest.approx(1, rel=1e-9)
    with pytest.raises(AttributeError, match=r"chunks\(\)"):
        pel.describe(streamed)
    assert streamed.found_volume == pytest.approx(8, rel=1e-9)
    for k in (0, len(whole) // 2, -1):
        assert np.array_equal(streamed[k].code, whole[k].code)
        assert np.allclose(streamed[k].coef, whole[k].coef)
    with pytest.raises(IndexError):
        streamed[len(whole)]
    with pytest.raises(FileExistsError, match="resume"):
        pel.linear_regions(net, box, to=tmp_path / "atlas")
    assert "complete" in repr(streamed)


# ---- budgets, and going on
def test_what_is_kept_in_memory_is_bounded(rng, tmp_path):
    net = relu_network(random_layers(rng, [4, 14, 14, 2]))
    box = pel.Box([-1] * 4, [1] * 4)
    part = 100_000
    streamed = pel.linear_regions(net, box, to=tmp_path / "atlas", max_bytes=part)
    per_row = max(sum(v.nbytes for v in vars(chunk.cells).values() if isinstance(v, np.ndarray)) / len(chunk)
                  for chunk in streamed.chunks())
    assert len(streamed) * per_row > 5 * part                     # it would not have fitted
    assert max(len(p) for p in streamed.parts) * per_row <= 1.1 * part


@pytest.mark.parametrize("d", [2, 3, 6])
def test_a_budget_of_regions_leaves_a_valid_part_and_resume_completes_it(d, rng, tmp_path):
    net = relu_network(random_layers(rng, [d, 12, 8, 3]), "softmax")
    box = pel.Box([-1] * d, [1] * d)
    whole = pel.linear_regions(net, box, by="class")
    most = len(whole) // 3
    part = pel.linear_regions(net, box, by="class", to=tmp_path / "atlas", max_regions=most)
    assert 0 < len(part) <= most
    assert not part.is_complete
    assert part.certificate.status is Status.UNKNOWN
    assert "max_regions" in part.certificate.reason
    partial = part.load()
    assert isinstance(partial, pel.PartialAtlas)
    assert {tuple(c) for c in partial.codes} <= {tuple(c) for c in whole.codes}
    x = rng.uniform(-1, 1, (300, d))
    k = part.locate(x)
    assert (k < 0).any()
    assert np.array_equal(partial.codes[k[k >= 0]], whole.codes[whole.locate(x)[k >= 0]])
    again = pel.resume(tmp_path / "atlas", max_regions=most)
    assert len(part) < len(again) <= 2 * most
    seen = []
    done = pel.resume(tmp_path / "atlas", progress=seen.append)
    same_atlas(done, whole, rng)
    assert seen[-1].share == pytest.approx(1)
    assert seen[-1].regions == len(whole)
    assert seen[0].before > 0
    assert len(pel.resume(tmp_path / "atlas")) == len(whole)                 # nothing left to do


def test_no_time_gives_no_regions_and_little_time_comes_to_the_end_at_last(rng, tmp_path):
    net = relu_network(random_layers(rng, [5, 12, 10, 3]))
    box = pel.Box([-1] * 5, [1] * 5)
    atlas = pel.linear_regions(net, box, to=tmp_path / "atlas", max_seconds=0)
    assert (len(atlas), atlas.is_complete) == (0, False)
    assert atlas.locate(np.zeros((1, 5))).tolist() == [-1]
    for _ in range(20):
        atlas = pel.resume(tmp_path / "atlas", max_seconds=0.03, threads=1)
        if atlas.is_complete:
            break
    same_atlas(pel.resume(tmp_path / "atlas"), pel.linear_regions(net, box), rng)
    with pytest.raises(ValueError, match="negative"):
        pel.resume(tmp_path / "atlas", max_seconds=-1)


def test_ctrl_c_keeps_what_was_found(rng, tmp_path):
    net, box = question(4)
    whole = pel.linear_regions(net, box, by="class")

    def press(progress):
        if progress.share > 0.2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(pel.Interrupted) as stop:
        pel.linear_regions(net, box, by="class", to=tmp_path / "atlas", max_bytes=20_000, progress=press)
    assert isinstance(stop.value.partial, pel.StreamedAtlas)
    assert 0 < len(stop.value.partial) < len(whole)
    same_atlas(pel.resume(stop.value.partial.path), whole, rng)


@pytest.mark.parametrize("d", [2, 4])
def test_a_run_that_dies_at_any_step_of_writing_goes_on(d, rng, tmp_path, monkeypatch):
    net, box = question(d)
    whole = pel.linear_regions(net, box, by="class")
    real, calls = {name: getattr(os, name) for name in ("fsync", "replace", "link")}, [0]

    class Died(BaseException):
        pass

    def dying(name, at):
        def call(*args, **kwargs):
            calls[0] += 1
            if calls[0] == at:
                raise Died
            return real[name](*args, **kwargs)
        return call

    path, at, deaths = tmp_path / "atlas", 1, 0
    while True:
        calls[0] = 0
        for name in real:
            monkeypatch.setattr(os, name, dying(name, at))
        try:
            done = (pel.resume(path) if path.exists() else
                    pel.linear_regions(net, box, by="class", to=path, max_bytes=len(whole) * 30))
            break
        except Died:
            at, deaths = at % 9 + 1, deaths + 1
        finally:
            for name, function in real.items():
                monkeypatch.setattr(os, name, function)
    assert deaths > 10
    same_atlas(done, whole, rng)
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_full_disk_is_told_with_the_way_on(rng, tmp_path, monkeypatch):
    net, box = question(3)
    real, calls = os.fsync, [0]

    def full(handle):
        calls[0] += 1
        if calls[0] > 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="space") as stop:
        pel.linear_regions(net, box, by="class", to=tmp_path / "atlas", max_bytes=20_000)
    assert "pellucid.resume" in "".join(stop.value.__notes__)
    monkeypatch.setattr(os, "fsync", real)
    part = pel.load_atlas(tmp_path / "atlas")
    assert len(part) > 0
    assert not part.is_complete
    same_atlas(pel.resume(tmp_path / "atlas"), pel.linear_regions(net, box, by="class"), rng)


def test_damaged_folders_are_told(tmp_path):
    net, box = question(3)
    atlas = pel.linear_regions(net, box, to=tmp_path / "atlas", max_bytes=20_000)
    part = atlas.parts[1].path
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(pel.FileFormatError, match="damaged"):
        pel.load_atlas(tmp_path / "atlas")
    part.unlink()
    part = pel.load_atlas(tmp_path / "atlas")
    assert not part.is_complete
    again = pel.resume(tmp_path / "atlas")
    assert len(again) == len(atlas)
    (tmp_path / "atlas" / "divisions" / "0.npz").unlink()
    with pytest.raises(pel.FileFormatError, match="missing"):
        pel.load_atlas(tmp_path / "atlas")
    (tmp_path / "atlas" / "manifest.json").write_text("{}")
    with pytest.raises(pel.FileFormatError):
        pel.resume(tmp_path / "atlas")


# ---- killed
def test_killed_at_random_times_it_resumes_to_the_same_atlas(rng, tmp_path):
    net, box = question(3)
    kill_often(tmp_path / "atlas", 3, 3, 16_000, seed=1, longest=0.7)
    assert (tmp_path / "atlas").exists()
    same_atlas(pel.resume(tmp_path / "atlas"), pel.linear_regions(net, box, by="class"), rng)


@pytest.mark.slow
@pytest.mark.parametrize(("d", "part"), [(2, 2500), (3, 4000), (6, 60_000)])
def test_killed_many_times_it_resumes_to_the_same_atlas(d, part, rng, tmp_path):
    net, box = question(d)
    whole = pel.linear_regions(net, box, by="class")
    killed = 0
    for atlas in range(100):
        path = tmp_path / str(atlas)
        completed = kill_often(path, 6, d, part, seed=atlas, longest=0.8)
        killed += 6 - completed
        if path.exists():
            same_atlas(pel.resume(path), whole, rng)
        if killed >= 17:
            break
    assert killed >= 17
