"""`pellucid explain`: what it writes, what it says, how it ends."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest

import pellucid as pel
from pellucid.cli.console import Console


@pytest.mark.parametrize(("model", "target", "picture"),
                         [("binary", "answer", "class_map"), ("several", "grade", "class_map"), ("number", "price", "value_map")])
def test_explain_writes_a_self_contained_report_pictures_atlas_and_table(cli, files, model, target, picture):
    result = cli("explain", getattr(files, model), files.data, "--target", target, "--drop", "id", "--out", files.out)
    assert result.exit_code == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert "100.0% on 60 rows" in result.stdout or "R2 1.000" in result.stdout
    assert (files.out / "pictures" / f"{picture}.png").stat().st_size > 5000
    assert (files.out / "pictures" / f"{picture}.svg").is_file()
    atlas = pel.load_atlas(files.out / "atlas")
    assert atlas.is_complete
    assert len(pd.read_parquet(files.out / "regions.parquet")) == len(atlas)
    assert {p.name for p in files.out.iterdir()} == {"report.html", "atlas", "pictures", "regions.parquet"}
    page = (files.out / "report.html").read_text()
    assert f"{atlas.n_regions:,} linear regions" in page
    assert len(page) < 10_000_000
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert "@import" not in page
    assert "url(" not in page
    assert page.count("<img") == page.count('alt="Map') + page.count('alt="Bars') + page.count('alt="Lines')
    assert not re.search(r">\s*(nan|None|inf)\s*<", page)


@pytest.fixture
def undrawn(monkeypatch):
    """Reports without pictures, which take most of the time."""
    monkeypatch.setattr("pellucid.report.page.draw", lambda study, folder: {"maps": [], "importance": [], "ranks": []})


def test_what_the_user_asks_for_is_done(cli, files, undrawn):
    result = cli("explain", files.binary, files.data, "-t", "answer", "--drop", "id", "--free", "age,debt", "--at", "row:3",
                 "--fix", "rate=0.5", "--range", "age=-1:2", "-o", files.out)
    assert result.exit_code == 0, result.stderr
    domain = pel.load_atlas(files.out / "atlas").domain
    assert domain.axes == ("age", "debt")
    assert domain.x0[1] == pytest.approx(files.table["income"][3])
    assert domain.x0[3] == 0.5
    assert domain.polygon.bounds[0][0] == -1
    assert domain.polygon.bounds[1][0] == 2


def test_it_says_which_columns_it_did_not_use(cli, files, undrawn):
    cli("explain", files.binary, files.data, "-t", "answer", "-o", files.out)
    assert "id, grade, price" in (files.out / "report.html").read_text()


def test_inputs_without_names_take_the_columns_in_file_order(cli, files, undrawn, save_table, random_network):
    net = random_network(1, "sigmoid", names=("x0", "x1", "x2", "x3"))
    model = net.save(files.folder / "nameless.npz")
    data = save_table(files.table[["age", "income", "debt", "rate", "answer"]], files.folder / "four.csv")
    result = cli("explain", model, data, "-t", "answer", "-o", files.out)
    assert result.exit_code == 0, result.stderr
    assert "in the order of the file" in result.stderr
    assert pel.load_atlas(files.out / "atlas").network.feature_names == ("age", "income", "debt", "rate")
    result = cli("explain", model, files.data, "-t", "answer", "-o", files.out)
    assert result.exit_code == 2
    assert "takes 4 inputs" in result.stderr
    assert "--drop" in result.stderr
    result = cli("explain", model, files.data, "-t", "answer", "--columns", "rate,debt,income,age", "-o", files.out)
    assert result.exit_code == 0, result.stderr
    assert pel.load_atlas(files.out / "atlas").network.feature_names == ("rate", "debt", "income", "age")


# ---- data that do not fit
def test_missing_values_are_refused_and_may_be_skipped(cli, files, undrawn, save_table):
    files.table.loc[[4, 9], "debt"] = np.nan
    data = save_table(files.table, files.folder / "gaps.csv")
    result = cli("explain", files.binary, data, "-t", "answer", "-o", files.out)
    assert result.exit_code == 2
    for word in ("2 of 60 rows", "'debt' (2)", "4, 9", "--skip-unusable"):
        assert word in result.stderr
    assert not files.out.exists()
    result = cli("explain", files.binary, data, "-t", "answer", "--skip-unusable", "-o", files.out)
    assert result.exit_code == 0
    assert "2 rows with missing values or unknown categories were left out" in result.stderr


def test_a_place_that_cannot_be_written_is_refused_before_the_work(cli, files, save_table):
    taken = files.folder / "taken"
    taken.write_text("a file")
    result = cli("explain", files.binary, save_table(files.table, files.folder / "rows.csv"), "-t", "answer", "-o", taken)
    assert result.exit_code == 2
    assert "cannot be made a folder" in result.stderr
    assert "reading" not in result.stdout


def test_text_among_numbers_is_refused(cli, files, save_table):
    files.table["debt"] = files.table["debt"].astype(object)
    files.table.loc[5, "debt"] = "much"
    result = cli("explain", files.binary, save_table(files.table, files.folder / "text.csv"), "-t", "answer", "-o", files.out)
    assert result.exit_code == 2
    assert "'debt' holds text" in result.stderr
    assert "5 ('much')" in result.stderr


@pytest.mark.parametrize(("change", "words"), [
    (["--target", "anwser"], ("no column 'anwser'", "did you mean 'answer'")),
    (["--free", "age,incom"], ("no feature is called 'incom'", "did you mean 'income'")),
    (["--free", "age"], ("two different features",)),
    (["--at", "row:60"], ("rows are numbered 0 to 59",)),
    (["--at", "middle"], ("median, mean or row:N",)),
    (["--fix", "age"], ("NAME=VALUE",)),
    (["--range", "age=2:1"], ("LOW:HIGH",)),
    (["--class-names", "a,b,c"], ("3 names",)),
])
def test_wrong_options_end_in_a_message(cli, files, change, words):
    result = cli("explain", files.binary, files.data, "-t", "answer", "-o", files.out, *change)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in " ".join(result.stderr.replace("│", " ").split())


def test_absent_columns_are_named(cli, files, save_table):
    data = save_table(files.table.drop(columns="rate"), files.folder / "few.csv")
    result = cli("explain", files.binary, data, "-t", "answer", "-o", files.out)
    assert result.exit_code == 2
    assert "lacks 1 of the 4 columns" in result.stderr
    assert "'rate'" in result.stderr


def test_files_that_are_not_there_or_broken(cli, files):
    assert "there is no file" in cli("explain", "absent.onnx", files.data).stderr
    assert "there is no file" in cli("explain", files.binary, "absent.csv").stderr
    broken = files.folder / "broken.npz"
    broken.write_bytes(b"no network")
    result = cli("explain", broken, files.data)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


# ---- endings
def test_a_budget_that_runs_out_gives_part_of_the_answer(cli, files, undrawn):
    result = cli("explain", files.several, files.data, "-t", "grade", "--max-regions", 5, "-o", files.out)
    assert result.exit_code == 3
    assert "done in part" in result.stderr
    page = (files.out / "report.html").read_text()
    assert "This map is not complete" in page
    assert "all of them, exactly" not in page
    assert "Share of the explored part" in page
    assert not pel.load_atlas(files.out / "atlas").is_complete


@pytest.mark.parametrize("command", ["explain", "regions"])
def test_interrupted_it_keeps_what_it_found(cli, files, monkeypatch, random_network, command):
    net = random_network(2, "softmax", width=900)
    model = net.save(files.folder / "wide.npz")

    @contextmanager
    def interrupting(self, what):
        yield lambda progress: signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Console, "progress", interrupting)
    monkeypatch.setattr("pellucid.regions.planar._TICK", 0.001)      # seconds: long before the end, however fast the machine
    data = [files.data] if command == "explain" else ["--data", files.data]
    out = files.out if command == "explain" else files.out / "atlas"
    result = cli(command, model, *data, "--threads", 1, "-o", out)
    assert result.exit_code == 130, result.stderr
    assert "interrupted" in result.stderr
    atlas = pel.load_atlas(files.out / "atlas")
    assert not atlas.is_complete
    assert atlas.check().status is not pel.Status.REFUTED


def test_interrupted_while_drawing_it_keeps_the_atlas(cli, files, monkeypatch):
    monkeypatch.setattr("pellucid.report.page.draw", lambda study, folder: signal.raise_signal(signal.SIGINT))
    result = cli("explain", files.binary, files.data, "-t", "answer", "-o", files.out)
    assert result.exit_code == 130
    assert pel.load_atlas(files.out / "atlas").is_complete
    assert not (files.out / "report.html").exists()


def test_as_a_process(files):
    """Exit codes, streams and silence of the real command."""
    def run(*arguments):
        command = [sys.executable, "-m", "pellucid.cli", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=files.folder)

    done = run("explain", files.binary, files.data, "-t", "answer", "--quiet", "-o", files.out)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    wrong = run("explain", files.binary, files.data, "-t", "nothing")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: ")
    assert "Traceback" not in wrong.stderr
    assert "Traceback" in run("explain", files.binary, files.data, "-t", "nothing", "--debug").stderr


def test_raw_tables_with_categories(cli, files, undrawn):
    pytest.importorskip("sklearn")
    skops = pytest.importorskip("skops.io")
    from sklearn.compose import make_column_transformer
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    table = files.table[["age", "income", "debt"]].assign(town=np.resize(["Ulm", "Rom", "Ulm"], 60), answer=files.table["answer"])
    model = make_pipeline(make_column_transformer((StandardScaler(), ["age", "income", "debt"]), (OneHotEncoder(), ["town"])),
                          MLPClassifier((8,), max_iter=30, random_state=0))
    model.fit(table.drop(columns="answer"), table["answer"])
    skops.dump(model, files.folder / "model.skops")
    table.to_csv(files.folder / "towns.csv", index=False)
    result = cli("explain", files.folder / "model.skops", files.folder / "towns.csv", "-t", "answer", "-o", files.out)
    assert result.exit_code == 0, result.stderr
    manifest = json.loads((files.out / "atlas" / "manifest.json").read_text())
    rome, ulm = (manifest["domain"]["box"]["names"].index(n) for n in sorted(n for n in manifest["domain"]["box"]["names"] if "town" in n))
    assert (manifest["domain"]["x0"][rome], manifest["domain"]["x0"][ulm]) == (0, 1)      # Ulm is the most frequent
    table.loc[7, "town"] = "Oz"
    table.to_csv(files.folder / "towns.csv", index=False)
    result = cli("explain", files.folder / "model.skops", files.folder / "towns.csv", "-t", "answer", "-o", files.out)
    assert result.exit_code == 2
    for word in ("1 of 60 rows", "'town' (1)", "'Oz'", "Rows           7 ", "--skip-unusable"):
        assert word in result.stderr
    result = cli("explain", files.folder / "model.skops", files.folder / "towns.csv", "-t", "answer", "--skip-unusable", "-o", files.out)
    assert result.exit_code == 0, result.stderr


def test_help_is_quick_and_has_examples(cli):
    page = cli("explain", "--help").stdout
    assert "pellucid explain model.skops loans.csv --target approved" in page
    code = "import sys; import pellucid.cli.app; print([m for m in ('numpy', 'pandas', 'torch', 'onnx', 'matplotlib') if m in sys.modules])"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert seen.stdout.strip() == "[]", seen.stderr


def test_the_report_has_a_section_and_says_why_where_it_has_none(cli, files, undrawn, monkeypatch):
    pytest.importorskip("torch")
    for model, target in (("binary", "answer"), ("several", "grade"), ("number", "price")):
        result = cli("explain", getattr(files, model), files.data, "-t", target, "--drop", "id", "-o", files.out)
        assert result.exit_code == 0, result.stderr
        page = (files.out / "report.html").read_text()
        assert page.count('id="bounds"') == page.count('href="#bounds"') == 1
        assert ("Which features can change it" in page) == (model != "number")
        assert "rounding in float64 is part of the bounds" in page
    for module in [m for m in sys.modules if m.startswith("pellucid.bounding")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "torch", None)
    result = cli("explain", files.binary, files.data, "-t", "answer", "--drop", "id", "-o", files.out)
    assert result.exit_code == 0, result.stderr
    page = (files.out / "report.html").read_text()
    assert "left out" in page
    assert "pellucid[torch]" in page
    result = cli("explain", files.binary, files.data, "-t", "answer", "--drop", "id", "-o", files.out, "--proof-seconds", "0")
    assert 'id="bounds"' not in (files.out / "report.html").read_text()
