"""Examples and documents run as they are written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(script: str, *arguments, cwd: Path):
    return subprocess.run([sys.executable, str(ROOT / "examples" / script), *map(str, arguments)], capture_output=True, text=True, cwd=cwd)


def test_demo(tmp_path):
    pytest.importorskip("skops")
    done = run("demo.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "report: out/demo/report.html" in done.stdout
    assert (tmp_path / "out/demo/report.html").is_file()


def test_piecewise(tmp_path):
    pytest.importorskip("sklearn")
    done = run("piecewise.py", "--rows", 2000, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "bottom right" in done.stdout
    assert (tmp_path / "out/piecewise/ranks.png").is_file()


def test_pensieve(tmp_path, shared):
    done = run("pensieve.py", "--data", shared / "data/pensieve/pensieve_actor_mlp.npz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "complete and exact" in done.stdout
    assert re.search(r"750 kbit/s +1850 kbit/s", done.stdout)
    assert "Never chosen here: 1200 kbit/s" in done.stdout


def test_pensieve_says_so_where_its_data_are_absent(tmp_path):
    done = run("pensieve.py", "--data", tmp_path / "absent.npz", cwd=tmp_path)
    assert done.returncode != 0
    assert "is not there" in done.stderr
    assert "Traceback" not in done.stderr


def test_acasxu(tmp_path, shared):
    for name in ("ACASXU_run2a_1_9_batch_2000.onnx", "ACASXU_run2a_5_3_batch_2000.onnx", "prop_3.vnnlib", "prop_4.vnnlib"):
        (tmp_path / name).symlink_to(shared / "data/acasxu" / name)
    done = run("acasxu.py", tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^ *(\S+) +(\d) +(holds|fails|open) +proved", done.stdout, flags=re.MULTILINE) == [
        ("1_9", "3", "fails"), ("1_9", "4", "fails"), ("5_3", "3", "holds"), ("5_3", "4", "holds")]


def test_acasxu_says_so_where_its_data_are_absent(tmp_path):
    done = run("acasxu.py", tmp_path, cwd=tmp_path)
    assert done.returncode == 0
    assert "no ACASXU_*.onnx" in done.stdout


def test_decisions(tmp_path, shared):
    pytest.importorskip("sklearn")
    done = run("decisions.py", "--data", shared / "data", "--only", "german", "--rows", 1, "--seconds", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"'bad' -> 'good' at distance .*: proved", done.stdout)
    assert "with sex alone the decision changes" in done.stdout
    assert {p.name for p in (tmp_path / "out/decisions").iterdir()} == {"german_credit_changes.png", "german_credit_sex.png"}


def test_decisions_says_so_where_its_data_are_absent(tmp_path):
    pytest.importorskip("sklearn")
    done = run("decisions.py", "--data", tmp_path, cwd=tmp_path)
    assert done.returncode != 0
    assert "is not there, or holds none of german_credit.csv" in done.stderr
    assert "Traceback" not in done.stderr


def test_unwrap_tables(tmp_path):
    pytest.importorskip("torch")
    done = run("unwrap_tables.py", "--quick", "--only", "ChirpWave", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "paper, 100" in done.stdout
    assert {p.name for p in (tmp_path / "out/unwrap_tables").iterdir()} == {"chirpwave.csv", "table_1.csv", "table_3.csv"}


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{p.name}" for p in sorted((ROOT / "docs").glob("*.md")))])
def test_code_in_documents_runs(page, tmp_path, monkeypatch):
    """All python blocks of a page, in order, in one namespace and an empty folder."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names: dict = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)


def test_verify_vnncomp(tmp_path, shared):
    pytest.importorskip("torch")
    only = "1_9_batch_2000 prop_3,prop_1_0.05"
    done = run("verify_vnncomp.py", "--data", shared / "data", "--seconds", 120, "--only", only, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"ACAS Xu 1_9 +prop_3 +refuted .* agrees +refuted", done.stdout)
    assert re.search(r"MNIST 256x2 +prop_1_0.05 +refuted .* agrees +refuted", done.stdout)
    assert "2 of 2 decided" in done.stdout
    assert "no verdict contradicts a published one" in done.stdout


def test_verify_vnncomp_says_so_where_its_data_are_absent(tmp_path):
    pytest.importorskip("torch")
    done = run("verify_vnncomp.py", "--data", tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no queries in" in done.stdout
