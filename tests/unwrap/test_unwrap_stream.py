"""Rows that come in batches: as rows in memory, whatever the source, the budget, and the interruptions."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unwrapped import random_net, rows, unwrapped

import pellucid as pel
from pellucid.unwrap import runs
from pellucid.unwrap.batches import ParquetBatches
from pellucid.unwrap.sample import Sample

NETS = {"binary": (3, 10, 10, 1, "sigmoid"), "classes": (3, 8, 8, 4, "softmax"), "numbers": (3, 9, 9, 2, "identity")}


@pytest.fixture(params=list(NETS))
def case(request):
    *sizes, link = NETS[request.param]
    net = random_net(7, tuple(sizes), link)
    return net, *rows(net, 3000)


def batches(X, y, w=None, step=170):
    def read():
        for a in range(0, len(X), step):
            b = slice(a, a + step)
            yield (X[b], y[b]) if w is None else (X[b], y[b], w[b])
    return read


def streamed(net, source, y=None, w=None, **more):
    kind = pel.UnwrapperRegressor if net.link == "identity" else pel.UnwrapperClassifier
    options = {k: more.pop(k) for k in ("batch_size", "n_jobs") if k in more}
    return kind(net, **options).fit(source, y, w, **more)


def same(a, b, X):
    """Two unwrappers say the same of the same rows."""
    assert a.n_regions_ == b.n_regions_
    np.testing.assert_array_equal(a.groups(X), b.groups(X))
    m, n = a.local_models(scores=("local", "global")), b.local_models(scores=("local", "global"))
    for name in ("count", "origin", "single_class", "trivial", "coef", "intercept", "low", "high"):
        np.testing.assert_array_equal(getattr(m, name), getattr(n, name), err_msg=name)
    for name in ("weight", "response_mean", "response_std", "centre", "spread", "local_score", "global_score"):
        np.testing.assert_allclose(getattr(m, name), getattr(n, name), rtol=1e-7, atol=1e-7, err_msg=name)
    np.testing.assert_allclose(a.unwrapping_.centre, b.unwrapping_.centre)
    np.testing.assert_allclose(a.explain(X[:5]).base, b.explain(X[:5]).base)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("max_bytes", [None, 1])
def test_batches_are_as_rows_in_memory(case, weighted, max_bytes, rng):
    net, X, y = case
    w = rng.random(len(X)) if weighted else None
    whole = unwrapped(net, X, y, w)
    same(whole, streamed(net, batches(X, y, w), max_bytes=max_bytes), X)          # max_bytes=1: every batch is a run, all on disk
    same(whole, streamed(net, iter(list(batches(X, y, w)())), max_bytes=max_bytes), X)


def test_a_data_loader_is_a_source(case):
    torch = pytest.importorskip("torch")
    net, X, y = case
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(y)), batch_size=400)
    same(unwrapped(net, X, y), streamed(net, loader), X)


@pytest.mark.parametrize("weighted", [False, True])
def test_parquet_files_and_dask_frames(case, weighted, tmp_path, rng):
    net, X, y = case
    if net.link == "identity":
        pytest.skip("one column is the target")
    w = rng.random(len(X)) if weighted else None
    frame = pd.DataFrame(X, columns=["x0", "x1", "x2"]).assign(answer=y, **({"w": w} if weighted else {}))
    for k, part in enumerate(np.array_split(np.arange(len(X)), 3)):
        frame.iloc[part].to_parquet(tmp_path / f"part{k}.parquet", row_group_size=190)
    whole = unwrapped(net, X, y, w)
    same(whole, streamed(net, tmp_path, "answer", "w" if weighted else None, batch_size=250), X)
    dask = pytest.importorskip("dask.dataframe")
    same(whole, streamed(net, dask.from_pandas(frame, npartitions=5), "answer", "w" if weighted else None), X)
    with pytest.raises(pel.DataError, match="no column 'target'"):
        streamed(net, tmp_path, "target")


@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(1, 25), st.integers(1, 30))
def test_a_source_of_parquet_can_be_entered_anywhere(tmp_path_factory, sizes, batch, group):
    folder = tmp_path_factory.mktemp("rows")
    start = 0
    for k, n in enumerate(sizes):
        pd.DataFrame({"x": np.arange(start, start + n, dtype=float), "y": 0}).to_parquet(folder / f"{k}.parquet", row_group_size=group)
        start += n
    source = ParquetBatches(folder, "y", None, batch)
    whole = [b[0]["x"].to_numpy() for b in source.read(0)]
    np.testing.assert_array_equal(np.concatenate(whole), np.arange(start))
    for k in range(len(whole) + 1):
        rest = [b[0]["x"].to_numpy() for b in source.read(k)]
        assert len(rest) == len(whole) - k
        for a, b in zip(rest, whole[k:], strict=True):
            np.testing.assert_array_equal(a, b)


# ---- interrupted
class Stopped(Exception):
    pass


@pytest.mark.parametrize("stops", [[1], [4, 9], [0, 1, 2, 3], [17]])
def test_a_run_that_was_ended_goes_on_without_a_wrong_count(case, stops, tmp_path, monkeypatch):
    monkeypatch.setattr("pellucid.unwrap.stream.CHECKPOINT_SECONDS", 0.0)
    net, X, y = case
    read, taken = batches(X, y), []

    def until(stop):
        def some():
            for k, batch in enumerate(read()):
                if k == stop:
                    raise Stopped
                taken.append(k)
                yield batch
        return some

    for stop in stops:
        with pytest.raises(Stopped):
            streamed(net, until(stop), checkpoint=tmp_path / "here")
    u = streamed(net, read, checkpoint=tmp_path / "here")
    same(unwrapped(net, X, y), u, X)
    same(u, streamed(net, read, checkpoint=tmp_path / "here"), X)           # once more: nothing is left to read, nothing changes


@pytest.mark.parametrize("step", ["write_run", "write_manifest"])
def test_an_end_within_a_checkpoint_is_harmless(case, step, tmp_path, monkeypatch):
    """The process ends before a run, or before the manifest, is written; then after it."""
    monkeypatch.setattr("pellucid.unwrap.stream.CHECKPOINT_SECONDS", 0.0)
    net, X, y = case
    real, calls = getattr(runs, step), []

    def failing(*args):
        calls.append(args)
        if len(calls) == 3:
            raise Stopped
        real(*args)
        if len(calls) == 5:
            raise Stopped

    monkeypatch.setattr(f"pellucid.unwrap.stream.{step}", failing)
    for _ in range(2):
        with pytest.raises(Stopped):
            streamed(net, batches(X, y), checkpoint=tmp_path)
    same(unwrapped(net, X, y), streamed(net, batches(X, y), checkpoint=tmp_path), X)


KILLED = """
import sys, time; sys.path[:0] = {paths!r}
import numpy as np, pellucid as pel
import pellucid.unwrap.stream as stream
from unwrapped import random_net, rows
stream.CHECKPOINT_SECONDS = 0.0
net = random_net(7, (3, 10, 10, 1))
X, y = rows(net, 6000)
def batches():
    for a in range(0, 6000, 100):
        print(a, flush=True)
        time.sleep(0.02)
        yield X[a:a + 100], y[a:a + 100]
pel.UnwrapperClassifier(net).fit(batches, checkpoint={folder!r})
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_process_leaves_a_run_that_goes_on(tmp_path):
    tests = os.path.dirname(os.path.dirname(__file__))
    code = KILLED.format(paths=[tests, os.path.join(tests, "unwrap")], folder=str(tmp_path / "run"))
    for lines in (8, 15):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        for _ in range(lines):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    net = random_net(7, (3, 10, 10, 1))
    X, y = rows(net, 6000)
    manifest = runs.read_manifest(tmp_path / "run")
    assert manifest is not None
    assert 0 < manifest["rows"] < 6000
    same(unwrapped(net, X, y), streamed(net, batches(X, y, step=100), checkpoint=tmp_path / "run"), X)


def test_ctrl_c_keeps_what_was_found(case):
    net, X, y = case

    def interrupted():
        for k, batch in enumerate(batches(X, y)()):
            if k == 5:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.01)
            yield batch

    with pytest.raises(pel.Interrupted) as stop:
        streamed(net, interrupted)
    found = stop.value.partial
    assert found.unwrapping_.n_rows == 6 * 170             # the batch at hand is taken as a whole
    part = unwrapped(net, X[:1020], y[:1020])
    np.testing.assert_array_equal(part.local_models().count, found.local_models().count)


def test_a_checkpoint_belongs_to_one_run(case, tmp_path):
    net, X, y = case
    streamed(net, batches(X, y), checkpoint=tmp_path / "a")
    other = random_net(8, (3, *NETS["numbers"][1:3], net.n_outputs), net.link)
    with pytest.raises(pel.PathInUse, match="another"):
        streamed(other, batches(X, y), checkpoint=tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").write_text("x")
    with pytest.raises(pel.PathInUse, match="something else"):
        streamed(net, batches(X, y), checkpoint=tmp_path / "b")
    (tmp_path / "a" / "manifest.json").write_text("{")
    with pytest.raises(pel.FileFormatError, match="broken"):
        streamed(net, batches(X, y), checkpoint=tmp_path / "a")


def test_what_streams_refuse(case):
    net, X, y = case
    with pytest.raises(pel.DataError, match="pair"):
        streamed(net, iter([X]))
    with pytest.raises(pel.DataError, match="no rows"):
        streamed(net, iter([]))
    with pytest.raises(pel.DataError, match="weights"):
        streamed(net, iter([(X, y), (X, y, np.ones(len(X)))]))
    with pytest.raises(ValueError, match="batches"):
        streamed(net, X, y, checkpoint="somewhere")
    with pytest.raises(pel.DataError, match="no file"):
        streamed(net, "nowhere.parquet", "y")
    sklearn = pytest.importorskip("sklearn.neural_network")
    with pytest.raises(pel.DataError, match="not fitted"):
        pel.UnwrapperClassifier(sklearn.MLPClassifier()).fit(batches(X, y))


# ---- the parts
@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.integers(1, 40))
def test_a_sample_does_not_depend_on_batches(sizes, most):
    n = sum(sizes)
    X = np.arange(n, dtype=float)[:, None]
    one, many = Sample(most), Sample(most)
    one.add(X, X[:, 0], X[:, 0])
    start = 0
    for size in sizes:
        b = slice(start, start + size)
        many.add(X[b], X[b, 0], X[b, 0])
        start += size
    assert one.complete == many.complete == (n <= most)
    np.testing.assert_array_equal(one.X if one.X is not None else [], many.X if many.X is not None else [])


def test_a_sample_is_uniform():
    X = np.arange(20_000.0)[:, None]
    sample = Sample(4000)
    sample.add(X, X[:, 0], X[:, 0])
    counts, _ = np.histogram(sample.X[:, 0], bins=20)
    assert (np.abs(counts - 200) < 5 * np.sqrt(200)).all()


def test_two_codes_of_one_hash_are_told(tmp_path):
    columns = {"hashes": np.array([[1, 2, 3], [1, 2, 4]], dtype=np.uint64), "count": np.ones(2, int), "first": np.arange(2),
               "weight": None, "mean": np.zeros((2, 1)), "square": None, "loss": None, "codes": np.zeros((2, 1), np.uint64)}
    runs.write_run(tmp_path, "run", columns)
    with pytest.raises(RuntimeError, match="share a hash"):
        list(runs.merged([runs.read_run(tmp_path, "run")]))
    with pytest.raises(pel.FileFormatError, match="cannot be read"):
        runs.read_run(tmp_path, "another")
