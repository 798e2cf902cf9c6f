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


def _ways_to_say(row: np.ndarray, names):
    frame = pd.DataFrame([row], columns=names)
    turned = frame[[*names[1:], names[0]]]
    return {"frame": turned, "series": turned.iloc[0], "mapping": dict(turned.iloc[0]), "more columns": turned.assign(extra=9.0)}


@pytest.mark.parametrize("way", ["frame", "series", "mapping", "more columns"])
def test_one_row_is_taken_by_name_wherever_a_row_is_asked_for(rows, rng, way):
    W = [rng.standard_normal((6, 3)), rng.standard_normal((2, 6))]
    net = pel.load((W, [rng.standard_normal(6), np.zeros(2)]), orientation="out_in", feature_names=["a", "b", "c"], link="softmax")
    x = rows.to_numpy()[0]
    said = _ways_to_say(x, ["a", "b", "c"])[way]
    box = pel.Box(np.zeros(3), np.ones(3), names=["a", "b", "c"])
    assert np.array_equal(pel.robustness_radius(net, said, 2, box).x, x)
    assert np.array_equal(pel.nearest_regions(net, said, box, max_regions=1).x, x)
    assert np.array_equal(pel.local_explanation(net, said).x, x)
    assert np.array_equal(pel.counterfactual(net, said, domain=box).x, x)
    assert np.array_equal(pel.sufficient_reason(net, said, box).x, x)
    assert np.array_equal(net(said), net(x))
    assert pel.linear_regions(net, box).locate(said) == pel.linear_regions(net, box).locate(x)
    assert np.array_equal(box.slice(free=("b",), at=said).x0, [x[0], 0, x[2]])
    plane = pel.linear_regions(net, pel.Box(np.zeros(3), np.ones(3)).slice(free=("b", "c"), at=said)).domain
    assert np.array_equal(plane.x0, [x[0], 0, 0])
    if way != "more columns":
        near = pel.Box.around(said, dict(zip("cab", (0.3, 0.1, 0.2), strict=True)))
        domain = pel.linear_regions(net, near).domain
        assert np.allclose(domain.box.lower, x - [0.1, 0.2, 0.3], atol=1e-15)


def test_coordinates_of_a_slice_are_taken_by_name_too(net, rows):
    plane = pel.Box(np.zeros(3), np.ones(3), names=net.feature_names).slice(free=("a", "c"), at=np.full(3, 0.5))
    atlas = pel.linear_regions(net, plane)
    assert np.array_equal(atlas.locate(rows[["c", "a"]]), atlas.locate(rows[["a", "c"]].to_numpy()))


@pytest.mark.parametrize("ask", [pel.robustness_radius, pel.local_explanation, pel.counterfactual], ids=lambda f: f.__name__)
def test_a_row_that_lacks_a_column_or_has_too_many_numbers_is_refused(rng, ask):
    net = pel.load(([rng.standard_normal((2, 2))], [np.zeros(2)]), orientation="out_in", feature_names=["a", "b"], link="softmax")
    with pytest.raises(pel.DataError, match="lacks the column 'b'"):
        ask(net, {"a": 1.0, "beta": 2.0})
    with pytest.raises(pel.DataError, match="4 entries"):
        ask(net, np.ones((2, 2)))
    with pytest.raises(pel.DataError, match="finite number for 'b'"):
        ask(net, [1.0, np.nan])


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
    x = net.table.encode(table.iloc[[3]])[0]
    for row in (table.iloc[[3]], table.iloc[3], dict(table.iloc[3]), x, pd.DataFrame([x], columns=net.feature_names)):
        assert np.array_equal(pel.local_explanation(net, row).x, x)
        assert np.array_equal(pel.counterfactual(net, row).x, x)
    with pytest.raises(pel.DomainError, match="encode"):
        pel.linear_regions(net, pel.Box([0, 1], [1, 4], names=["town", "income"]))
