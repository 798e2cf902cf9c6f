"""The EVA tables are made, and say so where their data are absent."""

from __future__ import annotations

import pandas as pd
import pytest
from test_examples import run


def test_eva_tables_say_so_where_their_data_are_absent(tmp_path):
    done = run("eva_tables.py", "--data", tmp_path, cwd=tmp_path)
    assert done.returncode != 0
    assert "is not there" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_eva_tables(tmp_path, shared):
    pytest.importorskip("captum")
    pytest.importorskip("mlxtend")
    done = run("eva_tables.py", "--quick", "--data", shared / "data", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "out/eva/mnist-2-small.csv").set_index("method")
    assert table.tightness["IBP"] > table.tightness["CROWN-IBP"] > table.tightness["Backward"]
