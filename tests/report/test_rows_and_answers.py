"""How a file's columns become inputs and answers, and how the plane is chosen."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

import pellucid as pel
from pellucid.report.focus import anchor, category_groups, data_box, influence
from pellucid.report.question import ask
from pellucid.report.table import match_rows, read_table
from pellucid.report.target import read_answers, score_model


def network(W, link="identity", **words):
    """relu(x) - relu(-x) = x, then W x: linear, but with regions."""
    W = np.atleast_2d(np.asarray(W, dtype=float))
    d = W.shape[1]
    return pel.load(([np.vstack([np.eye(d), -np.eye(d)]), np.hstack([W, -W])], [np.zeros(2 * d), np.zeros(len(W))]), orientation="out_in",
                    link=link, **words)


# ---- files
@pytest.mark.parametrize(("name", "separator"), [("t.csv", ","), ("t.csv", ";"), ("t.tsv", "\t"), ("t.csv.gz", ",")])
def test_tables_are_read_whatever_their_separator(tmp_path, name, separator):
    text = separator.join(["a", " b"]) + "\n" + separator.join(["1", "2.5"]) + "\n"
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    frame = read_table(path)
    assert list(frame.columns) == ["a", "b"]
    assert frame.iloc[0].tolist() == [1, 2.5]


def test_parquet_is_read(tmp_path):
    pd.DataFrame({"a": [1.0]}).to_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet")["a"].tolist() == [1]


def test_empty_and_broken_files_are_refused(tmp_path):
    (tmp_path / "empty.csv").write_text("a,b\n")
    with pytest.raises(pel.DataError, match="no rows"):
        read_table(tmp_path / "empty.csv")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(pel.DataError, match="cannot be read as a table"):
        read_table(tmp_path / "broken.parquet")


# ---- columns
def test_columns_are_found_by_name_in_any_order():
    net = network([[1.0, 2.0]], feature_names=["a", "b"])
    rows = match_rows(net, pd.DataFrame({"b": [1, 2], "z": [0, 0], "a": [3, 4], "y": [5, 6]}), target="y")
    assert rows.X.tolist() == [[3, 1], [4, 2]]
    assert rows.ignored == ("z",)
    assert rows.names is None


def test_infinite_numbers_are_refused():
    net = network([[1.0, 2.0]], feature_names=["a", "b"])
    with pytest.raises(pel.DataError, match=r"'b'.*no finite numbers"):
        match_rows(net, pd.DataFrame({"a": [1.0], "b": [np.inf]}))


def test_a_target_is_never_an_input():
    net = network([[1.0, 2.0]], feature_names=["a", "b"])
    with pytest.raises(pel.DataError, match="lacks 1 of the 2"):
        match_rows(net, pd.DataFrame({"a": [1.0], "b": [2.0]}), target="b")


# ---- answers
def test_classes_are_matched_by_name():
    net = network([[1.0, 0], [0, 1]], link="softmax", class_names=["yes", "no"])
    answers = read_answers(net, pd.Series(["no", "yes", "no", None], name="t"))
    assert answers.y[:3].tolist() == [1, 0, 1]
    assert np.isnan(answers.y[3])
    assert answers.notes == ()


def test_names_may_be_given_to_a_model_that_has_others():
    net = network([[1.0, 0], [0, 1]], link="softmax", class_names=["A1", "A2"])
    answers = read_answers(net, pd.Series(["A2", "A1"], name="t"), ["good", "bad"])
    assert answers.y.tolist() == [1, 0]
    assert answers.class_names == ("good", "bad")


def test_classes_are_matched_by_number_and_get_the_targets_name():
    net = network([[1.0, 0], [0, 1]], link="softmax")
    answers = read_answers(net, pd.Series([1.0, 0.0], name="t"))
    assert answers.y.tolist() == [1, 0]
    assert answers.class_names == ("class 0", "class 1") or answers.class_names == ("t = 0", "t = 1")


def test_nameless_classes_are_taken_in_sorted_order_and_that_is_said():
    net = network([[1.0, 0], [0, 1], [1, 1]], link="softmax")
    answers = read_answers(net, pd.Series([7, 5, 3], name="quality"))
    assert answers.y.tolist() == [2, 1, 0]
    assert answers.class_names == ("quality = 3", "quality = 5", "quality = 7")
    assert "sorted order" in answers.notes[0]


def test_classes_that_do_not_fit_give_no_accuracy():
    """A model that knows its classes as 0 and 1 may mean either word by either."""
    net = network([[1.0, 0]], link="sigmoid", class_names=["0", "1"])
    answers = read_answers(net, pd.Series(["benign", "malignant"], name="t"))
    assert answers.y is None
    assert "--class-names" in answers.notes[0]
    assert read_answers(net, pd.Series(["benign", "malignant"]), ["malignant", "benign"]).y.tolist() == [1, 0]


def test_a_logit_without_link_is_pointed_out():
    net = network([[1.0, 0]])
    assert "--link sigmoid" in read_answers(net, pd.Series([0, 1, 1], name="t")).notes[0]


def test_scores():
    net = network([[1.0, 0]], link="sigmoid")
    X = np.array([[1.0, 0], [-1, 0], [2, 0], [3, 0]])
    score = score_model(net, X, np.array([1, 0, 0, np.nan]))
    assert (score.name, score.n_rows) == ("accuracy", 3)
    assert score.value == pytest.approx(2 / 3)
    assert score.baseline == pytest.approx(2 / 3)
    assert score_model(network([[1.0, 0]]), X, X[:, 0]).value == 1
    assert score_model(network([[1.0, 0]]), X, np.ones(4)) is None


# ---- the plane
def test_the_pair_is_strong_numeric_and_not_twice_the_same(rng):
    """y = 3a + 3a' + 2b + 9c + d with a' = a up to noise and c binary: a or a' beside b."""
    a, b, d = rng.normal(size=(3, 500))
    X = np.column_stack([a, a + 1e-3 * rng.normal(size=500), b, rng.integers(2, size=500), 0.1 * d])
    found = influence(network([[3.1, 3, 2, 9, 1]]), X)
    assert found.pair() == (0, 2)
    assert found.size == pytest.approx([3.1, 3, 2, 4.5, 0.1], rel=0.1)
    assert found.may_be_axis.tolist() == [True, True, True, False, True]


def test_a_pair_is_found_where_no_feature_may_be_an_axis():
    X = np.array([[0.0, 1, 0], [1, 0, 0], [1, 1, 1]])
    pair = influence(network([[1.0, 2, 3]]), X).pair()
    assert len(set(pair)) == 2


@pytest.mark.parametrize(("at", "expected"), [("median", [2, 1]), ("mean", [3, 1]), ("row:2", [6, 1])])
def test_anchor(at, expected):
    net = network([[1.0, 1]])
    x0, words = anchor(net, np.array([[1.0, 1], [2, 1], [6, 1]]), at)
    assert x0.tolist() == expected
    assert words.startswith("the " + at) or words == "row 2 of the data"


def test_categories_stand_at_the_most_frequent_one():
    """The median of three one-hot columns can be (0, 0, 0), which is no category."""
    from dataclasses import replace

    from pellucid.graph.table import TableColumn, TableEncoder

    columns = (TableColumn("n", "n"), *(TableColumn(f"c={v}", "c", (v,)) for v in "xyz"))
    net = replace(network([[1.0, 1, 1, 1]]), table=TableEncoder(columns, {"c": tuple("xyz")}))
    X = net.table.encode(pd.DataFrame({"n": range(5), "c": list("xyzzx")}))
    assert [g.tolist() for g in category_groups(net)] == [[1, 2, 3]]
    assert anchor(net, X, "median")[0][1:].sum() == 1
    assert anchor(net, X, "mean")[0].tolist() in ([2, 1, 0, 0], [2, 0, 0, 1])
    assert influence(net, X).may_be_axis.tolist() == [True, False, False, False]


def test_the_box_is_that_of_the_data_cut_and_stretched():
    net = network([[1.0, 1, 1]])
    X = np.column_stack([np.arange(101.0), np.arange(101) % 2, np.arange(101.0)])
    box = data_box(net, X, np.array([50.0, 0, 200]), trim=10, ranges={"x0": (20, 30)})
    assert box.lower.tolist() == [20, 0, 10]
    assert box.upper.tolist() == [50, 1, 200]              # x0 has to lie in it; two values are not cut


# ---- remarks
@pytest.mark.parametrize(("step", "told"), [(1.0, True), (0.5, False), (1000.0, False)])
def test_gaps_between_whole_numbers_are_told_where_they_show(tmp_path, step, told):
    """Ages are whole numbers; so are amounts of money, between which a map has nothing to hide."""
    network(np.array([[1.0, 2.0]]), feature_names=["a", "b"], class_names=["y"]).save(tmp_path / "net.npz")
    pd.DataFrame({"a": np.arange(20) * step, "b": np.linspace(0.1, 0.9, 20)}).to_csv(tmp_path / "rows.csv", index=False)
    notes = ask(tmp_path / "net.npz", tmp_path / "rows.csv").notes
    assert any("a takes whole numbers only" in note for note in notes) == told
