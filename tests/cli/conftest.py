"""Small networks and tables as files, for the command line."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import pellucid as pel
from pellucid.cli.app import app

NAMES = ("age", "income", "debt", "rate")


def make_network(outputs: int, link: str, width: int = 12, names=NAMES, **words) -> pel.Network:
    rng = np.random.default_rng(outputs)
    W = [rng.normal(size=(width, len(names))), rng.normal(size=(outputs, width))]
    b = [rng.normal(size=width), rng.normal(size=outputs)]
    return pel.load((W, b), orientation="out_in", link=link, feature_names=names, **words)


@pytest.fixture
def files(tmp_path) -> SimpleNamespace:
    """A binary, a three-class and a regression network (.npz), and a table that fits them."""
    binary = make_network(1, "sigmoid", class_names=["refused", "granted"])
    several = make_network(3, "softmax", class_names=["low", "middle", "high"])
    number = make_network(1, "identity", class_names=["price"])
    rng = np.random.default_rng(7)
    table = pd.DataFrame(rng.normal(size=(60, 4)), columns=NAMES)
    X = table.to_numpy()
    table["answer"] = np.array(binary.class_names)[binary.decide(X)]
    table["grade"] = np.array(several.class_names)[several.decide(X)]
    table["price"] = number(X)[:, 0]
    table.insert(0, "id", np.arange(60))
    table.to_csv(tmp_path / "data.csv", index=False)
    return SimpleNamespace(folder=tmp_path, data=str(tmp_path / "data.csv"), table=table, out=tmp_path / "out",
                           binary=str(binary.save(tmp_path / "binary.npz")), several=str(several.save(tmp_path / "several.npz")),
                           number=str(number.save(tmp_path / "number.npz")))


@pytest.fixture
def random_network():
    """random_network(outputs, link, width=, names=) -> a network with one hidden layer of random weights."""
    return make_network


@pytest.fixture
def cli():
    """cli("explain", ...) -> a result with exit_code, stdout, stderr."""
    def call(*arguments):
        return CliRunner().invoke(app, [str(a) for a in arguments])

    return call


@pytest.fixture
def save_table():
    def save(table: pd.DataFrame, path: Path) -> str:
        table.to_csv(path, index=False)
        return str(path)

    return save
