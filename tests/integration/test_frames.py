"""Rows of data frames are taken by the names of their columns, in whatever order these come."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import pellucid as pel


@pytest.fixture
def net(rng):
    W = [rng.standard_normal((6, 3)), rng.standard_normal((1, 6))]
    return pel.load((W, [rng.standard_normal(6), np.zeros(1)]), orientation="out_in", feature_names=["a", "b", "c"])


@pytest.fixture
def rows(rng):
    return pd.DataFrame(rng.random((20, 3)), columns=["a", "b", "c"])


@pytest.mark.parametrize("columns", [["a", "b", "c"], ["c", "a", "b"], ["b", "extra", "c", "a"]])
def test_a_network_and_its_atlas_take_columns_by_name(net, rows, columns):
    frame = rows.assign(extra=9.0)[columns]
    assert np.array_equal(net(frame), net(rows.to_numpy()))
    assert np.array_equal(net.predict(frame), net.predict(rows.to_numpy()))
    atlas = pel.linear_regions(net, pel.Box(np.zeros(3), np.ones(3)))
    assert np.array_equal(atlas.locate(frame), atlas.locate(rows.to_numpy()))
    np.testing.assert_allclose(atlas(frame), net(frame), atol=1e-12)


def test_other_names_are_taken_by_position_and_half_of_the_names_are_refused(net, rows):
    assert np.array_equal(net(rows.set_axis([0, 1, 2], axis=1)), net(rows.to_numpy()))
    with pytest.raises(pel.DataError, match="lacks the column 'b'"):
        net(rows.rename(columns={"b": "beta"}))


def test_coordinates_of_a_slice_may_be_a_frame(net, rows):
    plane = pel.Box(np.zeros(3), np.ones(3), names=net.feature_names).slice(free=("a", "c"), at=np.full(3, 0.5))
    atlas = pel.linear_regions(net, plane)
    assert np.array_equal(atlas.locate(rows[["a", "c"]]), atlas.locate(rows[["a", "c"]].to_numpy()))


def test_a_row_of_a_frame_places_a_slice_by_name(rows):
    box = pel.Box.of(rows)
    plane, turned = (box.slice(free=("a", "b"), at=row) for row in (rows.iloc[0], rows[["c", "a", "b"]].iloc[0]))
    assert np.array_equal(plane.x0, turned.x0)


def test_categories_are_encoded():
    pytest.importorskip("sklearn")
    from sklearn.compose import make_column_transformer
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    table = pd.DataFrame({"town": ["Ulm", "Rom"] * 20, "income": [1.0, 2.0, 3.0, 4.0] * 10})
    model = make_pipeline(make_column_transformer((OneHotEncoder(), ["town"]), remainder="passthrough"),
                          MLPClassifier((4,), max_iter=20, random_state=0)).fit(table, table.income > 2)
    net = pel.load(model)
    assert np.array_equal(net.decide(table), model.predict(table))
    assert np.array_equal(net(table[["income", "town"]]), net(net.table.encode(table)))
    with pytest.raises(pel.DomainError, match="encode"):
        pel.linear_regions(net, pel.Box([0, 1], [1, 4], names=["town", "income"]))
