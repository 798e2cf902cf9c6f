"""`pellucid bounds`."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")

import pandas as pd

import pellucid as pel
from pellucid.cli.app import app


@pytest.fixture
def model(tmp_path):
    rng = np.random.default_rng(0)
    net = pel.load(([rng.normal(size=(6, 3)), rng.normal(size=(2, 6))], [np.zeros(6), np.zeros(2)]), orientation="out_in")
    return net, net.save(tmp_path / "net.npz")


def test_balls_around_rows_are_bounded_and_written(model, tmp_path):
    net, path = model
    X = np.random.default_rng(1).uniform(size=(4, 3))
    np.save(tmp_path / "x.npy", X)
    out = tmp_path / "b.csv"
    done = CliRunner().invoke(app, ["bounds", str(path), "--at", str(tmp_path / "x.npy"), "--eps", "0.1", "--norm", "2", "-o", str(out)])
    assert done.exit_code == 0, done.output
    table = pd.read_csv(out)
    assert len(table) == 8
    y = net(X).ravel()
    assert ((table["lower"] <= y) & (y <= table["upper"])).all()


def test_margins_say_how_many_rows_are_proved(model, tmp_path):
    _, path = model
    np.save(tmp_path / "x.npy", np.random.default_rng(1).uniform(size=(4, 3)))
    done = CliRunner().invoke(app, ["bounds", str(path), "--at", str(tmp_path / "x.npy"), "--eps", "1e-9", "--margins", "--clip", "0:1"])
    assert done.exit_code == 0, done.output
    assert "4 of 4 rows" in done.output


def test_a_box_is_bounded_and_wrong_input_is_refused(model):
    _, path = model
    done = CliRunner().invoke(app, ["bounds", str(path), "--box", "0:1", "--method", "interval"])
    assert done.exit_code == 0, done.output
    assert CliRunner().invoke(app, ["bounds", str(path)]).exit_code == 2


def test_columns_are_taken_by_name_and_text_is_refused_where_it_would_be_an_input(tmp_path):
    rng = np.random.default_rng(0)
    weights = ([rng.normal(size=(6, 3)), rng.normal(size=(2, 6))], [np.zeros(6), np.zeros(2)])
    named = pel.load(weights, orientation="out_in", feature_names=("a", "b", "c"))
    X = pd.DataFrame(rng.uniform(size=(4, 3)), columns=["a", "b", "c"])
    X[["c", "a", "b"]].assign(answer="yes").to_csv(tmp_path / "x.csv", index=False)
    args = ["--at", str(tmp_path / "x.csv"), "--eps", "0.1"]
    done = CliRunner().invoke(app, ["bounds", str(named.save(tmp_path / "named.npz")), *args, "-o", str(tmp_path / "b.csv")])
    assert done.exit_code == 0, done.output
    found = pel.bounds(named, pel.Ball(X.to_numpy(), 0.1, clip=None))
    np.testing.assert_allclose(pd.read_csv(tmp_path / "b.csv")["lower"], found.lower.numpy().ravel())
    unnamed = pel.load(weights, orientation="out_in").save(tmp_path / "net.npz")
    done = CliRunner().invoke(app, ["bounds", str(unnamed), *args])
    assert done.exit_code != 0
    assert "'answer'" in done.output
    assert "--drop" in done.output
    done = CliRunner().invoke(app, ["bounds", str(unnamed), *args, "--drop", "answer"])
    assert done.exit_code == 0, done.output


def test_margins_of_a_sigmoid_are_those_of_the_class_of_each_row(tmp_path):
    rng = np.random.default_rng(0)
    net = pel.load(([rng.normal(size=(6, 3)), rng.normal(size=(1, 6))], [np.zeros(6), np.zeros(1)]), orientation="out_in", link="sigmoid")
    X = rng.normal(size=(8, 3))
    assert len(set(net.decide(X))) == 2
    np.save(tmp_path / "x.npy", X)
    model = str(net.save(tmp_path / "net.npz"))
    done = CliRunner().invoke(app, ["bounds", model, "--at", str(tmp_path / "x.npy"), "--eps", "1e-6", "--margins"])
    assert done.exit_code == 0, done.output
    assert "8 of 8 rows keep their class" in done.output
