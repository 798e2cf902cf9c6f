"""Commands that ask one question: what they say is what the library proves."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import pellucid as pel
from pellucid.cli.expressions import constraint, expression
from pellucid.errors import DataError


@pytest.fixture
def asked(files):
    X = files.table[["age", "income", "debt", "rate"]].to_numpy()
    return files, pel.load(files.binary), X, pel.Box.of(X)


def test_counterfactual_is_the_nearest_and_keeps_what_has_to_stay(cli, asked):
    files, net, X, box = asked
    out = files.folder / "answer.json"
    result = cli("counterfactual", files.binary, files.data, "-t", "answer", "--row", 4, "--fixed", "age", "-o", out)
    assert result.exit_code == 0, result.stderr
    expected = pel.counterfactual(net, X[4], domain=box, fixed=["age"])
    saved = json.loads(out.read_text())
    assert saved["status"] == "proved"
    assert {row["feature"] for row in saved["table"]} == {c.feature for c in expected.changes}
    assert f"{expected.value:.4g}" in result.stdout
    assert "age" not in {row["feature"] for row in saved["table"]}
    assert cli("counterfactual", files.binary, files.data, "-t", "answer", "--row", 99).exit_code == 2
    assert cli("counterfactual", files.number, files.data, "-t", "price", "--row", 1).exit_code == 2


def test_local_shows_the_model_at_the_row(cli, asked):
    files, net, X, _ = asked
    out = files.folder / "weights.csv"
    result = cli("local", files.binary, files.data, "-t", "answer", "--row", 7, "-o", out)
    assert result.exit_code == 0, result.stderr
    frame = pd.read_csv(out)
    parts = frame[next(c for c in frame.columns if c.startswith("part of"))]
    assert parts.sum() == pytest.approx(float(net(X[7])[0, 0]))
    facets = cli("local", files.binary, files.data, "-t", "answer", "--row", 7, "--of", "facets")
    assert "distance" in facets.stdout


def test_monotone_gives_a_row_for_each_feature_that_was_asked_for(cli, asked):
    files, net, _, box = asked
    out = files.folder / "monotone.csv"
    result = cli("monotone", files.binary, files.data, "-t", "answer", "-f", "age", "-f", "debt", "-o", out)
    assert result.exit_code == 0, result.stderr
    frame = pd.read_csv(out)
    assert list(frame["feature"]) == ["age", "debt"]
    assert list(frame["moves"]) == [pel.monotone(net, f, box).value for f in ("age", "debt")]


def test_fair_shows_two_rows_or_proves_that_there_are_none(cli, asked):
    files, net, _, box = asked
    result = cli("fair", files.binary, files.data, "-t", "answer", "--protected", "rate")
    expected = pel.fair(net, "rate", box)
    assert result.exit_code == 0, result.stderr
    assert str(expected.status) in result.stdout


def test_query_finds_the_optimum_under_conditions(cli, asked):
    files, _, _, box = asked
    net = pel.load(files.several)
    out = files.folder / "optimum.csv"
    result = cli("query", files.several, files.data, "-t", "grade", "--maximise", "high - low", "--where", "age <= 0.5 * income",
                 "--where", "middle >= -1", "-o", out)
    assert result.exit_code == 0, result.stderr
    x = pd.read_csv(out)["value"].to_numpy()
    where = [pel.feature("age") <= 0.5 * pel.feature("income"), pel.output("middle") >= -1]
    best = pel.maximise(net, ("high", "low"), box, where)
    y = net(x)[0]
    assert y[2] - y[0] == pytest.approx(best.value, abs=1e-6)
    given = cli("query", files.several, files.data, "-t", "grade", "--given", "middle")
    assert given.exit_code == 0, given.stderr
    assert cli("query", files.several, files.data, "--maximise", "high", "--minimise", "low").exit_code == 2


def test_expressions_are_read_as_they_are_written(asked):
    _, net, _, _ = asked
    goal = expression(net, "2*age - income + 0.5 granted - 3").over(net)
    assert np.allclose(goal.inputs, [2, -1, 0, 0])
    assert np.allclose(goal.outputs, [0.5])
    assert goal.constant == -3
    row = constraint(net, "feature:debt >= 1e-1").expression.over(net)
    assert np.allclose(row.inputs, [0, 0, -1, 0])
    assert row.constant == pytest.approx(0.1)
    for wrong in ("ages", "2 age 3", "", "age ** 2", "age *"):
        with pytest.raises(DataError):
            expression(net, wrong)
    for wrong in ("age < 3", "age", "1 <= age <= 2"):
        with pytest.raises(DataError):
            constraint(net, wrong)


def test_the_report_explains_a_row_and_proves_what_holds_over_all_ranges(cli, files):
    result = cli("explain", files.several, files.data, "-t", "grade", "--drop", "id", "-o", files.out)
    assert result.exit_code == 0, result.stderr
    page = (files.out / "report.html").read_text()
    for words in ("term by term", "Where that model ends", "The least change from", "moves with each feature",
                  "Total weights over the ranges of all features"):
        assert words in page
    cli("explain", files.several, files.data, "-t", "grade", "--drop", "id", "-o", files.out, "--proof-seconds", 0)
    assert "One row" not in (files.out / "report.html").read_text()
