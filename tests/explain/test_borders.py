"""Transitions, enclaves, tipping points, abrupt changes: on networks with known answers, and by brute force on random ones."""

import numpy as np
import pandas as pd
import pytest
from networks import relu_network
from toys import ABS, diamonds, large_atlas, random_atlas, sliced_atlas

import pellucid as pel
from pellucid.atlas import adjacency
from pellucid.certificate import Status
from pellucid.errors import DataError
from pellucid.explain.enclaves import _separators


def test_transitions_of_nested_diamonds():
    found = pel.transitions(diamonds())
    assert found.pairs.tolist() == [[0, 1], [1, 2]]
    side = 4 * np.sqrt(2)
    np.testing.assert_allclose(found.length, [1.5 * side, 0.5 * side])
    np.testing.assert_allclose(found.scaled_length, found.length / 4)
    assert found.segments.tolist() == [4, 4]
    assert not found.is_jump.any()


def test_a_class_that_is_passed_over_is_a_jump_and_never_given():
    found = pel.transitions(diamonds(heights=(0.0, -10.0, 3.5)))
    assert found.pairs.tolist() == [[0, 2]]
    assert found.is_jump.tolist() == [True]
    assert found.never_given == ("class 1",)
    assert found.to_frame()["jump"].tolist() == [True]


def test_the_matrix_of_transitions_is_symmetric_and_holds_every_length_once():
    atlas = random_atlas(3)
    found = pel.transitions(atlas)
    table = found.matrix().to_numpy()
    np.testing.assert_array_equal(table, table.T)
    border = adjacency(atlas)
    changes = atlas.first[border.left] != atlas.first[border.right]
    assert table.sum() / 2 == pytest.approx(border.length[changes].sum())
    assert (np.diag(table) == 0).all()


def test_transitions_need_classes():
    with pytest.raises(AttributeError, match="by='class'"):
        pel.transitions(random_atlas(by=None))


def test_enclaves_of_nested_diamonds():
    found = pel.enclaves(diamonds())
    frame = found.to_frame().set_index("class")
    assert frame.loc["class 2", "area"] == pytest.approx(0.5)
    assert frame.loc["class 1", "area"] == pytest.approx(4.0)
    assert frame["enclosed"].to_dict() == {"class 0": False, "class 1": True, "class 2": True}
    assert frame.loc["class 2", "inside"] == frame.loc["class 1", "part"]
    assert len(found) == len(found.to_frame(enclosed_only=True)) == 2
    assert found.area.sum() == pytest.approx(16.0)
    assert found.certificate.status is Status.PROVED


def test_a_part_on_the_border_or_beside_something_unknown_is_no_enclave():
    atlas = diamonds()
    assert len(pel.enclaves(pel.linear_regions(atlas.network, pel.Box([0.1, -2], [2, 2]), by="class"))) == 0
    without_outside = atlas.select(first=[1, 2])
    assert pel.enclaves(without_outside).to_frame().set_index("class")["enclosed"].to_dict() == {"class 1": False, "class 2": True}


def test_between_two_others_is_no_enclave():
    # logits relu(-x - 1), 0.1, relu(x - 1): three stripes
    layers = [(np.array([[1.0, 0], [-1, 0]]), np.array([-1.0, -1])), (np.array([[0.0, 1], [0, 0], [1, 0]]), np.array([0, 0.1, 0]))]
    net = relu_network(layers, "softmax")
    found = pel.enclaves(pel.linear_regions(net, pel.Box([-2, -2], [2, 2]), by="class"))
    assert len(found.decided) == 3
    assert len(found) == 0


@pytest.mark.parametrize("seed", range(20))
def test_separators_are_what_cuts_a_node_off(seed):
    rng = np.random.default_rng(seed)
    n = 9
    edges = {(min(e), max(e)) for e in rng.integers(0, n, (5, 2)).tolist() if e[0] != e[1]}
    edges |= {(int(rng.integers(0, i)), i) for i in range(1, n)}            # a tree: everything is connected
    touching = np.array(sorted([*edges, *((b, a) for a, b in edges)]))
    rim = np.zeros(n, dtype=bool)
    rim[0] = True

    def reached(without):
        seen = {0} - {without}
        while True:
            more = {b for a, b in touching.tolist() if a in seen and b != without} - seen
            if not more:
                return seen
            seen |= more

    inside = _separators(n, touching, rim)
    cut = {v: set(range(n)) - reached(v) - {v} for v in range(n)}
    for w in range(n):
        mine = [v for v in range(n) if w in cut[v]]          # nested: the innermost cuts off least
        assert inside[w] == (min(mine, key=lambda v: len(cut[v])) if mine else -1)


def test_tipping_points_of_an_absolute_value():
    net = relu_network([(ABS, np.zeros(4)), (np.array([[1.0, 1, 0.5, 0]]), np.zeros(1))])       # |x| + max(y, 0) / 2
    atlas = pel.linear_regions(net, pel.Box([-1, -2], [1, 2]))
    found = pel.tipping_points(atlas, "x0")
    assert found.length.sum() == pytest.approx(4.0)
    np.testing.assert_allclose(found.ends[:, :, 0], 0, atol=1e-12)
    np.testing.assert_allclose(found.weight_rising, 1)
    np.testing.assert_allclose(found.weight_falling, -1)
    assert found.to_frame()["unit"].str.startswith("relu").all()
    assert len(pel.tipping_points(atlas, "x1")) == 0
    assert pel.tipping_points(atlas, "x1", flat=True).length.sum() == pytest.approx(2.0)


@pytest.mark.parametrize("versus", [None, 2])
def test_tipping_points_are_all_facets_with_two_signs(versus):
    atlas = random_atlas(5, by=None)
    found = pel.tipping_points(atlas, 1, 0, versus)
    w = atlas.coef[:, 0, 1] - (0 if versus is None else atlas.coef[:, versus, 1])
    border = adjacency(atlas)
    differs = w[border.left] * w[border.right] < -1e-20
    assert len(found) == differs.sum() > 0
    assert (found.weight_rising > 0).all()
    assert (found.weight_falling < 0).all()
    np.testing.assert_allclose(w[found.rising], found.weight_rising, atol=1e-12)
    middle = found.ends.mean(axis=1)
    for side in (found.rising, found.falling):
        value = np.einsum("kcj,kj->kc", atlas.coef_u[side], middle) + atlas.intercept_u[side]
        np.testing.assert_allclose(atlas.network(middle), value, atol=1e-9)


def test_abrupt_changes_are_the_largest_differences_of_neighbours():
    atlas = sliced_atlas()
    found = pel.abrupt_changes(atlas, 2, n=None)
    w = pel.describe(atlas, 2).weights
    border = adjacency(atlas)
    truth = np.linalg.norm(w[border.left] - w[border.right], axis=1)
    np.testing.assert_allclose(np.sort(truth)[::-1], found.change)
    np.testing.assert_allclose(np.linalg.norm(w[found.left] - w[found.right], axis=1), found.change)
    assert (found.feature == np.abs(w[found.left] - w[found.right]).argmax(axis=1)).all()
    assert len(pel.abrupt_changes(atlas, 2, n=3)) == 3


def test_favoured_output_is_the_largest_slope():
    atlas = sliced_atlas()
    found = pel.favoured_output(atlas, 3)
    np.testing.assert_allclose(found.weights, atlas.coef[:, :, 3], atol=1e-12)
    assert (found.favoured == atlas.coef[:, :, 3].argmax(axis=1)).all()
    assert found.to_frame()["favoured"].sum() == pytest.approx(1.0)
    with pytest.raises(DataError, match="one"):
        pel.favoured_output(random_atlas(sizes=(2, 4, 1), link="sigmoid"), 0)
    with pytest.raises(DataError, match="no feature is called 'X0'; did you mean 'x0'"):
        pel.favoured_output(atlas, "X0")


def test_every_result_shows_itself_on_one_line_and_as_tables():
    atlas = random_atlas(3)
    results = [pel.transitions(atlas), pel.enclaves(atlas)]
    for result in [*results, pel.tipping_points(atlas, 0), pel.abrupt_changes(atlas), pel.favoured_output(atlas, 0)]:
        assert "\n" not in repr(result)
        assert isinstance(result.to_frame(), pd.DataFrame)
        assert "<table" in result._repr_html_()
        assert result.certificate.status is Status.PROVED


def test_an_empty_selection_has_no_borders():
    nothing = diamonds().select(where=([1.0, 0, 0], -99.0))
    assert len(pel.transitions(nothing).pairs) == 0
    assert len(pel.enclaves(nothing).decided) == 0
    assert len(pel.tipping_points(nothing, 0)) == 0


def test_fifty_thousand_regions():
    atlas = large_atlas()
    assert atlas.n_regions > 40_000
    told = pel.describe(atlas)
    assert told.total.min() > 0
    assert pel.enclaves(atlas).area.sum() == pytest.approx(36.0)
    assert pel.transitions(atlas).length.sum() > 0
    assert len(pel.tipping_points(atlas, 0)) > 1000
