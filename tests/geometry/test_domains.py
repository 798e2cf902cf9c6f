"""Boxes and slices: names, ties, constraints, and every wrong use told in words."""

import numpy as np
import pandas as pd
import pytest

from pellucid import Box, Slice
from pellucid.errors import DataError, DomainError
from pellucid.geometry import as_slice

NAMES = ("age", "income", "debt", "years")


def test_a_slice_by_network_names_equals_one_by_index():
    box, x0 = Box([0, 0, 0, 0], [1, 2, 3, 4]), [0.5, 0.5, 0.5, 0.5]
    a = as_slice(box.slice(free=("income", "years"), at=x0), NAMES)
    b = as_slice(box.slice(free=(1, 3), at=x0), NAMES)
    assert a.axes == b.axes == ("income", "years")
    assert np.array_equal(a.P, b.P)
    assert np.array_equal(a.x0, b.x0)
    assert a.polygon.area == pytest.approx(8)


def test_a_box_in_another_order_of_names_means_the_same_set():
    names = ("debt", "age", "years", "income")
    box = Box([3, 1, 4, 2], [30, 10, 40, 20], names)
    s = as_slice(box.slice(free=("age", "debt"), at=dict(income=5, years=6)).where([0, 1, 0, 0], 8), NAMES)
    assert s.box.lower.tolist() == [1, 2, 3, 4]
    assert s.point([7.0, 9.0]).tolist() == [[7, 5, 9, 6]]
    assert s.polygon.area == pytest.approx((8 - 1) * 27)


def test_tied_features_move_together_and_keep_all_their_bounds():
    s = as_slice(Box([0, 0, 0, 0], [1, 1, 0.5, 1]).slice(free=("age", "years"), at=[0.2] * 4, ties={"age": ["debt"]}), NAMES)
    assert s.point([0.3, 0.4]).tolist() == [[0.3, 0.2, 0.3, 0.4]]
    assert s.polygon.area == pytest.approx(0.5)
    assert s.axes == ("age (and 1 tied)", "years")


def test_constraints_before_and_after_slicing_cut_the_same():
    box, at = Box(np.zeros(4), np.ones(4)), [0.1, 0.2, 0.3, 0.4]
    before = as_slice(box.where([1, 1, 1, 0], 0.8).slice(free=(0, 2), at=at), NAMES)
    after_x = as_slice(box.slice(free=(0, 2), at=at), NAMES).where([1, 1, 1, 0], 0.8)
    after_u = as_slice(box.slice(free=(0, 2), at=at), NAMES).where([1, 1], 0.6)
    by_name = as_slice(box.slice(free=("age", "debt"), at=at).where([1, 1], 0.6), NAMES)
    for s in (before, after_x, after_u, by_name):
        assert s.polygon.area == pytest.approx(0.18)


def test_a_general_slice_and_a_box_with_fixed_features():
    s = as_slice(Slice([0, 0, 0], [[1, 0], [1, 1], [0, 1]], Box([-1] * 3, [1] * 3)), "abc")
    assert s.polygon.area == pytest.approx(3)
    t = as_slice(Box([0, 5, 0], [1, 5, 2]), "abc")
    assert t.axes == ("a", "c")
    assert t.x0.tolist() == [0, 5, 0]


def test_the_box_of_a_data_frame_has_its_names():
    box = Box.of(pd.DataFrame({"a": [1, 2, 3], "b": [True, False, True]}))
    assert box.names == ("a", "b")
    assert box.upper.tolist() == [3, 1]


@pytest.mark.parametrize(("make", "word"), [
    (lambda: Box([0, 1], [1]), "shape"),
    (lambda: Box([0, 2], [1, 1]), "above"),
    (lambda: Box([0, np.nan], [1, 1]), "NaN"),
    (lambda: Box([0, 0], [1, 1], ("a", "a")), "names"),
    (lambda: as_slice(Box([0] * 3, [1] * 3), "ab"), "3 features"),
    (lambda: as_slice(Box([0, 0], [1, 1], ("a", "c")), "ab"), "'b' is missing"),
    (lambda: as_slice(Box([0, 0], [1, 1]).slice(free=("agee", "b"), at=[0, 0]), ("age", "b")), "did you mean 'age'"),
    (lambda: as_slice(Box([0] * 3, [1] * 3).slice(free=(0, 1), at=[0, 0, 5]), "abc").polygon, "outside the box"),
    (lambda: as_slice(Box([0] * 3, [np.inf] * 3).slice(free=(0, 1), at=[0, 0, 0]), "abc").polygon, "unbounded"),
    (lambda: Box([0, 0], [1, 1]).where([[1, 2, 3]], [1]), "A has shape"),
    (lambda: Box([0, 0], [1, 1]).where([[1, 2]], [1, 2]), "rows"),
    (lambda: Box([0] * 3, [1] * 3).slice(free=(0, 1), at=[0, 0]), "at has 2"),
    (lambda: Box([0] * 3, [1] * 3).slice(free=(0, 0), at=[0, 0, 0]), "two coordinates at once"),
    (lambda: Slice([0, 0, 0], [[1, 1], [1, 1], [0, 0]], Box([0] * 3, [1] * 3)), "independent"),
    (lambda: as_slice("box", "ab"), "Slice or a Hull"),
    (lambda: Box.around([0, 0], -1), "negative"),
])
def test_wrong_domains_are_refused_in_words(make, word):
    with pytest.raises(DomainError, match=word):
        make()


def test_missing_values_are_named():
    with pytest.raises(DataError, match="row 1 has a missing value in column b"):
        Box.of(pd.DataFrame({"a": [1.0, 2], "b": [1.0, np.nan]}))
