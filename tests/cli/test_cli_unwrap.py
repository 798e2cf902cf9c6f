"""`pellucid unwrap` and the report's section: what they write and say is what the estimators give."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import pellucid as pel

pytest.importorskip("sklearn")


@pytest.fixture
def rows(files, random_network, save_table):
    """A table of 400 rows with noisy answers, as CSV and Parquet, and more of the kind to test on."""
    rng = np.random.default_rng(1)
    names = list(files.table.columns[1:5])
    table = pd.DataFrame(rng.normal(size=(600, 4)), columns=names)
    net = pel.load(files.binary)
    table["answer"] = np.where(net(table.to_numpy())[:, 0] + rng.normal(size=600) > 0, "granted", "refused")
    table["price"] = pel.load(files.number)(table[names].to_numpy())[:, 0] + 0.1 * rng.normal(size=600)
    table["grade"] = np.array(["low", "middle", "high"])[pel.load(files.several).decide(table[names].to_numpy())]
    table[:400].to_parquet(files.folder / "rows.parquet")
    files.csv, files.test = save_table(table[:400], files.folder / "rows.csv"), save_table(table[400:], files.folder / "test.csv")
    files.parquet, files.rows = str(files.folder / "rows.parquet"), table[:400]
    return files


def estimator(rows, model="binary", target="answer"):
    net, X = pel.load(getattr(rows, model)), rows.rows[["age", "income", "debt", "rate"]].to_numpy()
    return (pel.UnwrapperClassifier if net.n_classes else pel.UnwrapperRegressor)(net).fit(X, rows.rows[target].to_numpy())


@pytest.mark.parametrize("data", ["csv", "parquet"])
def test_tables_are_those_of_the_estimator(cli, rows, data):
    result = cli("unwrap", rows.binary, getattr(rows, data), "-t", "answer", "--drop", "price,grade", "-o", rows.out, "--no-pictures",
                 "--top", 5)
    assert result.exit_code == 0, result.stderr
    models = estimator(rows).local_models()
    regions = pd.read_csv(rows.out / "regions.csv")
    np.testing.assert_array_equal(regions["Count"], models.count)
    np.testing.assert_allclose(regions["Response Mean"], models.response_mean[:, 0])
    np.testing.assert_allclose(regions["Local AUC"], models.local_score)
    assert list(regions["region"]) == list(range(len(models)))
    coefficients = pd.read_csv(rows.out / "coefficients.csv")
    np.testing.assert_allclose(coefficients[["age", "income", "debt", "rate"]], models.coef[:, 0])
    np.testing.assert_allclose(coefficients["intercept"], models.intercept[:, 0])
    importance = pd.read_csv(rows.out / "importance.csv")
    assert importance["standardised"].sum() == pytest.approx(1)
    assert f"5 largest of {len(models)} regions; response: 1 for 'granted'" in result.stdout
    assert not (rows.out / "pictures").exists()


def test_new_rows_are_scored_and_their_unseen_codes_counted(cli, rows):
    result = cli("unwrap", rows.binary, rows.csv, "-t", "answer", "--test", rows.test, "--merge", 2)
    assert result.exit_code == 0, result.stderr
    new = pd.read_csv(rows.test)
    X = new[["age", "income", "debt", "rate"]].to_numpy()
    fitted = estimator(rows)
    assert f"{(fitted.groups(X) < 0).mean():.1%} of the 200 rows" in result.stdout
    assert f"accuracy on --test: network {fitted.score(X, new['answer'].to_numpy()):.4f}" in result.stdout
    assert "merged models, refitted by a logistic model" in result.stdout or "1 merged model" in result.stdout


@pytest.mark.parametrize(("model", "target"), [("binary", "answer"), ("several", "grade"), ("number", "price")])
def test_pictures_are_drawn_of_classes_and_numbers(cli, rows, model, target):
    result = cli("unwrap", getattr(rows, model), rows.csv, "-t", target, "-o", rows.out, "--merge", 2, "--penalty", "l2", "--test",
                 rows.test)
    assert result.exit_code == 0, result.stderr
    drawn = {p.stem for p in (rows.out / "pictures").glob("*.png")}
    assert drawn >= {"profile", "intercepts", "importance", "parallel", "coefficients", "polar", "performance", "rows", "merged_parallel",
                     "merged_profile", "unseen_codes"}
    assert {p.name for p in rows.out.glob("*.csv")} == {"regions.csv", "importance.csv", "coefficients.csv", "merged_models.csv",
                                                        "merged_coefficients.csv"}
    if model == "several":
        assert set(pd.read_csv(rows.out / "coefficients.csv")["output"]) == {"low", "middle", "high"}


@pytest.mark.parametrize(("arguments", "message"), [
    (["-t", "absent"], "absent"), ([], "--target"), (["-t", "answer", "--output", "nobody"], "nobody"),
    (["-t", "answer", "--merge", "several"], "--merge"), (["-t", "answer", "--merge", "0"], "--merge"),
    (["-t", "answer", "--penalty", "l3"], "--penalty"), (["-t", "answer", "--expect", "age=sideways"], "--expect")])
def test_wrong_input_ends_with_two_and_says_what_to_do(cli, rows, arguments, message):
    result = cli("unwrap", rows.binary, rows.csv, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_signs_that_were_expected_are_compared(cli, rows):
    result = cli("unwrap", rows.binary, rows.csv, "-t", "answer", "--expect", "age=up", "--expect", "rate=down")
    assert result.exit_code == 0, result.stderr
    signs = estimator(rows).summary(expected={"age": 1, "rate": -1}).signs
    told = result.stdout.partition("sign is expected")[2].splitlines()
    lines = [line for line in told if line.split()[:1] in (["age"], ["rate"])]
    assert len(lines) == 2
    assert f"{signs.against[0, 0]:.4g}" in lines[0]


def test_a_smooth_network_is_refused_by_name(cli, rows, tmp_path):
    torch = pytest.importorskip("torch")
    net = pel.load(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1)), input_shape=(4,), link="sigmoid",
                   feature_names=["age", "income", "debt", "rate"], class_names=["refused", "granted"])
    result = cli("unwrap", net.save(tmp_path / "smooth.npz"), rows.csv, "-t", "answer")
    assert result.exit_code == 2
    assert "Tanh" in result.stderr


def test_the_report_has_a_section_on_the_rows_models(cli, rows, monkeypatch):
    drawn, nothing = [], {"maps": [], "importance": [], "ranks": []}
    monkeypatch.setattr("pellucid.report.page.draw", lambda study, folder: drawn.append(study) or nothing)
    result = cli("explain", rows.binary, rows.csv, "-t", "answer", "-o", rows.out, "--proof-seconds", 0)
    assert result.exit_code == 0, result.stderr
    page = (rows.out / "report.html").read_text()
    models = estimator(rows).local_models()
    assert f"lie in {len(models)} linear regions" in page
    assert f"<th scope=\"row\" class=\"num\">0</th><td class=\"num\">{models.count[0]}</td>" in page
    assert "Joint importance for logit of granted" in page
    np.testing.assert_array_equal(drawn[0].unwrapped.models.count, models.count)


def test_without_answers_the_report_says_why_the_section_is_empty(cli, rows, monkeypatch):
    monkeypatch.setattr("pellucid.report.page.draw", lambda study, folder: {"maps": [], "importance": [], "ranks": []})
    result = cli("explain", rows.binary, rows.csv, "-o", rows.out, "--proof-seconds", 0)
    assert result.exit_code == 0, result.stderr
    assert "no column of right answers was read" in (rows.out / "report.html").read_text()
