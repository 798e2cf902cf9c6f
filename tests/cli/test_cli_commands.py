"""`pellucid regions` and `pellucid doctor`."""

from __future__ import annotations

import pandas as pd
import pytest

import pellucid as pel


def test_regions_prints_a_summary_and_saves_the_atlas(cli, files):
    result = cli("regions", files.several, "--box", "-2:2", "--free", "age,debt", "--fix", "income=0.5", "--by", "class",
                 "--out", files.out / "atlas")
    assert result.exit_code == 0, result.stderr
    atlas = pel.load_atlas(files.out / "atlas")
    assert f"{atlas.n_regions} linear regions" in result.stdout
    assert "age -2..2 x debt -2..2" in result.stdout
    assert "complete and exact" in result.stdout
    assert atlas.domain.x0[1] == 0.5
    assert atlas.by == "class"


@pytest.mark.parametrize("name", ["regions.csv", "regions.parquet"])
def test_regions_as_a_table(cli, files, name):
    result = cli("regions", files.number, "--data", files.data, "--target", "price", "--free", "age,debt", "--out", files.out / name)
    assert result.exit_code == 0, result.stderr
    frame = pd.read_csv(files.out / name) if name.endswith("csv") else pd.read_parquet(files.out / name)
    assert frame["share"].sum() == pytest.approx(1)
    assert {"age", "income", "debt", "rate", "intercept"} <= set(frame.columns)


@pytest.mark.parametrize(("options", "word"), [
    (["--free", "age,debt"], "either by --box"),
    (["--box", "0:1"], "two different features"),
    (["--box", "1:0", "--free", "age,debt"], "LOW:HIGH"),
    (["--box", "0:1", "--free", "age,debt", "--at", "median"], "--at median"),
    (["--box", "0:1", "--free", "age,debt", "--target", "price"], "rows of --data"),
    (["--box", "0:1", "--free", "age,debt", "--by", "class"], "regression"),
])
def test_regions_refuses_what_makes_no_sense(cli, files, options, word):
    result = cli("regions", files.number, *options)
    assert result.exit_code == 2
    assert word in " ".join(result.stderr.replace("│", " ").split())


def test_regions_within_a_budget(cli, files):
    result = cli("regions", files.several, "--box", "-2:2", "--free", "age,debt", "--max-regions", 3)
    assert result.exit_code == 3
    assert "done in part" in result.stderr


@pytest.mark.parametrize("free", ["age,debt", "all"])
def test_regions_streams_to_a_folder_and_resume_goes_on(cli, files, free):
    question = ("regions", files.several, "--box", "-2:2", "--free", free, "--fix", "income=0.5", "--by", "class")
    part = cli(*question, "--stream", "--to", files.out / "atlas", "--max-regions", 20)
    assert part.exit_code == 3, part.stderr
    assert "PARTIAL: max_regions" in part.stderr
    rest = cli("resume", files.out / "atlas")
    assert rest.exit_code == 0, rest.stderr
    assert "complete and exact" in rest.stdout
    assert "middle" in rest.stdout
    whole = cli(*question, "--to", files.out / "whole")
    streamed, kept = pel.load_atlas(files.out / "atlas"), pel.load_atlas(files.out / "whole")
    assert (len(streamed), streamed.domain.dim) == (len(kept), 2 if free != "all" else 3)
    assert rest.stdout.splitlines()[0] == whole.stdout.splitlines()[0]


def test_regions_can_be_estimated_and_stream_needs_a_folder(cli, files):
    result = cli("regions", files.several, "--box", "-2:2", "--free", "all", "--estimate")
    assert "regions, counted" in result.stdout
    refused = cli("regions", files.several, "--box", "-2:2", "--free", "all", "--stream")
    assert refused.exit_code == 2
    assert "--to" in refused.stderr
    assert cli("resume", files.out / "nothing").exit_code == 2


def test_progress_tells_what_is_left():
    from pellucid.cli.console import reached
    from pellucid.regions import Progress

    assert reached(Progress(5000, 0.25, 30.0)) == "5,000 regions of about 20,000, about 90 s left"
    assert reached(Progress(5000, 0.75, 3600.0, before=0.5)) == "5,000 regions of about 6,700, about 60 min left"
    assert reached(Progress(0, 0.0, 1.0)) == "0 regions"


def test_doctor(cli):
    result = cli("doctor")
    assert result.exit_code == 0, result.stdout
    for word in ("python", "native core", "self-test passed", "threads", "[torch]", "All is well."):
        assert word in result.stdout


def test_version_and_no_arguments(cli):
    assert cli("--version").stdout.startswith("pellucid ")
    assert "explain" in cli().output
    assert cli("expalin").exit_code == 2


def test_a_terminal_gets_a_progress_bar(monkeypatch):
    """What the engine reports is what the bar shows; without a terminal there is none."""
    from pellucid.cli.console import Console
    from pellucid.regions import Progress

    with Console().progress("finding") as report:
        assert report is None
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with Console().progress("finding") as report:
        report(Progress(1234, 0.5, 1.0))
    with Console(quiet=True).progress("finding") as report:
        assert report is None
