"""Polygons by halfplanes: the set, its area, its faces."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.errors import DomainError
from pellucid.geometry.polygon import halfplane_polygon, shoelace


def test_the_unit_square():
    p = halfplane_polygon(np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]]), np.array([1.0, 1, 0, 0]))
    assert p.area == pytest.approx(1.0, rel=1e-15)
    assert sorted(p.faces) == [0, 1, 2, 3]


@given(st.integers(0, 10_000), st.floats(-6, 6), st.floats(-6, 6))
def test_vertices_satisfy_all_rows_and_lie_on_their_faces(seed, log_width, shift):
    rng = np.random.default_rng(seed)
    m = rng.integers(3, 12)
    angle = np.sort(rng.uniform(0, 2 * np.pi, m))
    G = np.vstack([np.c_[np.cos(angle), np.sin(angle)], np.eye(2), -np.eye(2)])
    h = np.concatenate([rng.uniform(0.2, 1, m), np.ones(4)])
    width, centre = np.array([10.0**log_width, 10.0 ** (-log_width)]), 10.0**shift * rng.normal(size=2)
    G = G / width
    h = h + G @ centre
    p = halfplane_polygon(G, h)
    slack = h[:, None] - G @ p.vertices.T
    scale = 1 + np.abs(G) @ np.abs(p.vertices).max(axis=0)
    assert (slack >= -1e-9 * scale[:, None]).all()
    for i, face in enumerate(p.faces):
        ends = [i, (i + 1) % len(p.faces)]
        assert np.all(np.abs(slack[face, ends]) <= 1e-9 * scale[face])
    assert p.area > 0


@pytest.mark.parametrize(("G", "h", "word"), [
    ([[1, 0], [-1, 0], [0, 1], [0, -1]], [0, -1, 1, 1], "empty"),
    ([[1, 0], [-1, 0], [0, 1], [0, -1]], [0, 0, 1, 1], "interior"),
    ([[1, 0], [0, 1]], [1, 1], "unbounded"),
    ([[1, 1], [-1, 0], [0, -1]], [-1, 0, 0], "empty"),
    ([[1, 1], [-1, -1], [1, -1], [-1, 1]], [0, 0, 1, 1], "interior"),
])
def test_sets_without_interior_are_refused(G, h, word):
    with pytest.raises(DomainError, match=word):
        halfplane_polygon(np.array(G, float), np.array(h, float))


def test_area_of_a_far_off_square_keeps_its_digits():
    v = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]) + 1e9
    assert shoelace(v) == 1.0
