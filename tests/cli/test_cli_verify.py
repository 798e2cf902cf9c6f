"""`pellucid verify`: the verdict in words, in a file and in the exit code."""

import json

import numpy as np
import pytest
from networks import relu_network
from typer.testing import CliRunner

from pellucid.cli.app import app

pytest.importorskip("torch")

QUERY = "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (>= X_0 -1))(assert (<= X_0 1))(assert (>= Y_0 {}))"


@pytest.fixture
def model(tmp_path):
    return relu_network([(np.array([[1.0], [-1.0]]), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))]).save(tmp_path / "abs.npz")   # |x|


@pytest.mark.parametrize(("limit", "word", "code"), [(1.1, "proved", 0), (0.9, "refuted", 0), (1.0000000000000002, "unknown", 3)])
def test_verdicts(model, tmp_path, limit, word, code):
    (tmp_path / "q.vnnlib").write_text(QUERY.format(limit))
    asked = ["verify", str(model), str(tmp_path / "q.vnnlib"), "--max-nodes", "40", "--out", str(tmp_path / "v.json")]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == code, done.output
    assert f"Verdict({word}" in done.output
    answer = json.loads((tmp_path / "v.json").read_text())
    assert answer["status"] == word
    assert (answer["witness"] is None) == (word != "refuted")


def test_a_broken_property_is_wrong_input(model, tmp_path):
    (tmp_path / "q.vnnlib").write_text("(assert (<= X_0 1))")
    done = CliRunner().invoke(app, ["verify", str(model), str(tmp_path / "q.vnnlib")])
    assert done.exit_code == 2
    assert "q.vnnlib" in done.output


def test_help_names_the_extra():
    assert "[torch]" in " ".join(CliRunner().invoke(app, ["verify", "--help"]).output.split())
