"""Packed codes: order, round trip, search, forward pass."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.chain.chain import Chain, Stage
from pellucid.regions import codes_of, match_codes, pack_codes, unpack_codes

from .nets import groups, relu, relu_chain, rows


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(2, 700), min_size=1, max_size=90), st.integers(0, 2**32))
def test_packing_keeps_values_and_lexicographic_order(n_pieces, seed):
    n_pieces = np.array(n_pieces)
    pieces = np.random.default_rng(seed).integers(0, n_pieces, size=(30, len(n_pieces)))
    codes = pack_codes(pieces, n_pieces)
    assert np.array_equal(unpack_codes(codes, n_pieces), pieces)
    assert unpack_codes(codes, n_pieces).dtype == (np.uint16 if n_pieces.max() > 256 else np.uint8)
    assert sorted(map(tuple, pieces.tolist())) == [tuple(p) for p in pieces[np.lexsort(codes.T[::-1])].tolist()]


def test_binary_columns_fill_words_from_the_top():
    assert pack_codes(np.array([[1, 0, 1]]), np.array([2, 2, 2])).tolist() == [[0b101 << 61]]


def test_a_chain_without_units_has_codes_of_no_words():
    chain = Chain(2, (), np.eye(2), np.zeros(2))
    codes = codes_of(chain, np.zeros((5, 2)))
    assert codes.shape == (5, 0)
    assert match_codes(codes[:1], codes).tolist() == [0] * 5


def test_match_gives_the_first_equal_row_or_minus_one():
    codes = np.array([[1, 2], [1, 3], [1, 3], [7, 0]], dtype=np.uint64)
    assert match_codes(codes, np.array([[1, 3], [7, 0], [7, 1], [1, 2]], dtype=np.uint64)).tolist() == [1, 3, -1, 0]


def test_codes_follow_the_definition():
    """The piece is the number of breakpoints <= z; of equal members the first wins."""
    wide = ([-1.0, 0.0, 1.0], [0.0, 1.0, 2.0, 0.0], [0.0, 1.0, 1.0, 3.0])
    first = Stage(np.eye(2), np.zeros(2), rows([wide, ([], [1.0], [0.0])]))
    second = Stage(np.array([[1.0, 0], [0, 1], [1, 0]]), np.zeros(3), groups([0, 1, 2], [2]))
    chain = Chain(2, (first, second), np.eye(2), np.zeros(2))
    x = np.array([[-1.0, 5], [-2, -1], [0, 1], [1, 3], [0.5, 2.0], [0.5, 2.5]])
    s0 = np.array([0.0, 0, 1, 3, 2, 2])
    expected = np.stack([[1, 0, 2, 3, 2, 2], np.where(x[:, 1] > s0, 1, 0)], axis=1)
    assert np.array_equal(unpack_codes(codes_of(chain, x), chain.n_pieces), expected)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 100])
def test_codes_of_any_number_of_points_in_any_dimension(n):
    rng = np.random.default_rng(n)
    chain = relu_chain([(rng.normal(size=(20, 7)), rng.normal(size=20)), (rng.normal(size=(70, 20)), rng.normal(size=70)),
                        (rng.normal(size=(1, 70)), np.zeros(1))])
    x = rng.normal(size=(n, 7))
    z1 = x @ chain.stages[0].A.T + chain.stages[0].a
    z2 = np.maximum(z1, 0) @ chain.stages[1].A.T + chain.stages[1].a
    assert np.array_equal(unpack_codes(codes_of(chain, x), chain.n_pieces), np.hstack([z1 >= 0, z2 >= 0]))


def test_points_of_the_wrong_dimension_are_told():
    with pytest.raises(ValueError, match=r"\(3, 4\).*2 inputs"):
        codes_of(Chain(2, (Stage(np.eye(2), np.zeros(2), relu(2)),), np.eye(2), np.zeros(2)), np.zeros((3, 4)))
