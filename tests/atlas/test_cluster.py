"""Enumeration by the processes of a dask cluster, one of which is killed while it works."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
from networks import random_layers, relu_network
from streaming import same_atlas

import pellucid as pel
from pellucid.certificate import Status

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def client():
    with (distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
          distributed.Client(cluster) as client):
        yield client


def question(d, seed=0):
    rng = np.random.default_rng(seed)
    return relu_network(random_layers(rng, [d, 14, 12, 3]), "softmax"), pel.Box([-1] * d, [1] * d)


@pytest.mark.parametrize("d", [2, 6])
def test_the_atlas_of_a_cluster_is_that_of_one_process(client, d):
    net, box = question(d)
    whole = pel.linear_regions(net, box, by="class")
    atlas = pel.linear_regions(net, box, by="class", client=client)
    assert type(atlas) is pel.Atlas
    for column in ("codes", "first"):
        assert np.array_equal(getattr(atlas.cells, column), getattr(whole.cells, column))
    assert np.allclose(atlas.coef_u, whole.coef_u, rtol=1e-9, atol=1e-9)
    assert (atlas.certificate.status, atlas.certificate.reason) == (whole.certificate.status, whole.certificate.reason)
    assert atlas.check(points=300).status is Status.PROVED


def test_a_worker_killed_while_it_runs_changes_nothing(client, rng, tmp_path):
    net, box = question(4, seed=3)
    whole = pel.linear_regions(net, box)
    seen, killed = [], []

    def progress(p):
        seen.append(p)
        if len(seen) > 3 and not killed:        # in the middle, by the caller's own thread
            pids = client.run(os.getpid)
            os.kill(next(iter(pids.values())), signal.SIGKILL)
            killed.append(p.share)

    atlas = pel.linear_regions(net, box, client=client, to=tmp_path / "atlas", max_bytes=len(whole) * 20, progress=progress)
    assert killed
    assert killed[0] < 1
    same_atlas(atlas, whole, rng)
    again, seen[:], killed[:] = None, [], []
    client.wait_for_workers(2)
    again = pel.linear_regions(net, box, client=client, progress=progress)
    assert killed
    assert np.array_equal(again.cells.codes, whole.cells.codes)
    client.wait_for_workers(2)


def test_resume_works_on_a_cluster_too(client, rng, tmp_path):
    net, box = question(3)
    part = pel.linear_regions(net, box, to=tmp_path / "atlas", max_bytes=20_000, max_regions=250)
    assert not part.is_complete
    same_atlas(pel.resume(tmp_path / "atlas", client=client), pel.linear_regions(net, box), rng)


def test_ctrl_c_stops_the_cluster_and_keeps_what_came(client):
    net, box = question(6, seed=1)

    def progress(p):
        if p.share > 0:
            threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT)).start()
            time.sleep(1)

    with pytest.raises(pel.Interrupted) as stop:
        pel.linear_regions(net, box, client=client, progress=progress)
    assert isinstance(stop.value.partial, pel.PartialAtlas)
    assert stop.value.partial.certificate.status is Status.UNKNOWN


def test_budgets_hold_on_a_cluster(client, tmp_path):
    net, box = question(4)
    whole = pel.linear_regions(net, box)
    most = len(whole) // 2
    for to in (None, tmp_path / "part"):
        part = pel.linear_regions(net, box, client=client, max_regions=most, to=to)
        assert not part.is_complete
        assert 0 < len(part) <= most
    assert {tuple(c) for c in part.load().codes} <= {tuple(c) for c in whole.codes}
    assert not pel.linear_regions(net, box, client=client, max_seconds=0).is_complete


def test_what_is_no_client_is_told(monkeypatch):
    net, box = question(2)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(pel.MissingExtra, match="cluster"):
        pel.linear_regions(net, box, client=object())
    monkeypatch.undo()
    with pytest.raises(TypeError, match="Client"):
        pel.linear_regions(net, box, client="tcp://localhost")
