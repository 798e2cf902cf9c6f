"""(weights, biases) as networks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.errors import ModelError
from pellucid.importers.load import load
from pellucid.importers.raw import ACTIVATIONS


def test_a_tiny_network_computes_what_stands_beside_it():
    # 24 max(x + 1.5, 0) + 18.5
    net = load(([[[1.0]], [[24.0]]], [[1.5], [18.5]]), orientation="out_in")
    assert net([[2.0], [-3.0]]).ravel().tolist() == [24 * 3.5 + 18.5, 18.5]
    assert net.fidelity is None


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 5), min_size=2, max_size=5), seed=st.integers(0, 99))
def test_orientation_is_told_or_asked_for_but_never_guessed(sizes, seed):
    rng = np.random.default_rng(seed)
    W = [rng.normal(size=(o, i)) for i, o in pairwise(sizes)]
    b = [rng.normal(size=o) for o in sizes[1:]]
    x = rng.normal(size=(4, sizes[0]))
    expected = x
    for k, (w, v) in enumerate(zip(W, b, strict=True)):
        expected = expected @ w.T + v
        expected = np.maximum(expected, 0) if k < len(W) - 1 else expected
    for weights, way in ((W, "out_in"), ([w.T for w in W], "in_out")):
        np.testing.assert_allclose(load((weights, b), orientation=way)(x), expected, rtol=1e-12, atol=1e-12)
        try:
            np.testing.assert_allclose(load((weights, b))(x), expected, rtol=1e-12, atol=1e-12)
        except ModelError as e:
            assert "orientation='out_in'" in str(e)             # noqa: PT017
            assert len(set(sizes)) == 1


def test_square_layers_need_to_be_told():
    with pytest.raises(ModelError, match=r"chain as \(outputs, inputs\) and as"):
        load(([np.eye(2)], [np.zeros(2)]))


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_every_activation(name):
    net = load(([np.ones((3, 2)), np.ones((1, 3))], [np.zeros(3), np.zeros(1)]), activation=name)
    assert net([[0.3, -0.1]]).shape == (1, 1)


def test_leaky_relu_has_slope_one_percent():
    net = load(([[[1.0], [1.0]], [[1.0, 0.0]]], None), activation="leaky_relu", orientation="out_in")
    assert net([[-2.0]]).item() == pytest.approx(-0.02)


@pytest.mark.parametrize(("source", "message"), [
    (([np.ones((3, 2)), np.ones((1, 4))], [np.ones(3), np.ones(1)]), "layer 1 takes 4 inputs, layer 0 has 3 outputs"),
    (([np.ones((3, 2))], [np.ones(3), np.ones(1)]), "1 weight matrices and 2 bias vectors"),
    (([np.ones((3, 2, 1))], [np.ones(3)]), r"weights\[0\] has shape \(3, 2, 1\); a matrix is needed"),
    (([np.full((3, 2), np.nan)], [np.ones(3)]), "NaN"),
    (([["a"]], [np.ones(3)]), "no array of numbers"),
    (([], []), "0 weight matrices"),
])
def test_what_is_wrong_is_said_with_its_sizes(source, message):
    with pytest.raises(ModelError, match=message):
        load(source)


def test_unknown_words_are_answered_with_the_known_ones():
    with pytest.raises(ModelError, match="it can be one of relu, leaky_relu"):
        load(([np.ones((3, 2))], [np.ones(3)]), activation="rleu")
    with pytest.raises(ModelError, match="'out_in'"):
        load(([np.ones((3, 2))], [np.ones(3)]), orientation="rows")


def test_names_and_link_travel():
    net = load(([np.ones((3, 2))], [np.zeros(3)]), feature_names=["age", "income"], class_names="abc", units=["y", "EUR"], link="softmax")
    assert net.feature_names == ("age", "income")
    assert net.class_names == ("a", "b", "c")
    assert net.units == ("y", "EUR")
    assert net.predict([[1.0, 1.0]]).sum() == pytest.approx(1.0)
    with pytest.raises(ValueError, match="feature_names has 1 entries, the network needs 2"):
        load(([np.ones((3, 2))], [np.zeros(3)]), feature_names=["age"])
