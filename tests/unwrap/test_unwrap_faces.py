"""Rows that lie on faces are in the region that `locate` of an atlas answers (SPEC 2)."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import relu_network
from toys import ABS
from unwrapped import unwrapped

import pellucid as pel
from pellucid.regions import codes_of, pack_codes
from pellucid.unwrap.groups import codes_at


def code_of_row(u, x):
    return codes_at(u.unwrapping_.chain, np.atleast_2d(np.asarray(x, float)))[0][0]


def test_a_row_at_the_vertex_of_many_faces_is_in_a_region():
    net = relu_network([(ABS, np.zeros(4)), (np.ones((1, 4)), np.zeros(1))])                  # |x| + |y|
    X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, -2.0], [1.0, 1.0], [-1.0, -1.0]])
    u = unwrapped(net, X, np.zeros(5))
    atlas = pel.linear_regions(net, pel.Box([-3, -3], [3, 3]))
    faces = u.unwrapping_.groups.faces
    assert faces.on == 3
    assert faces.moved == 3                                # relu(x) and relu(-x) both on is the code of no region
    for x in X:
        located = int(atlas.locate(x[None])[0])
        assert (pack_codes(atlas.codes[located][None], atlas.chain.n_pieces)[0] == code_of_row(u, x)).all()


@given(st.integers(0, 10**6), st.integers(1, 2), st.booleans())
def test_rows_on_faces_by_construction_are_in_a_region_that_holds_them(seed, layers, zero_bias):
    """Whole weights, biases and inputs: rows on faces and vertices are common."""
    rng = np.random.default_rng(seed)
    sizes = [2, *rng.integers(1, 5, layers), 1]
    net = relu_network([(rng.integers(-2, 3, size=(o, i)), np.zeros(o) if zero_bias else rng.integers(-1, 2, size=o))
                        for i, o in pairwise(sizes)])
    X = rng.integers(-3, 4, size=(25, 2)).astype(float)
    u = unwrapped(net, X, np.zeros(25))
    atlas = pel.linear_regions(net, pel.Box([-4, -4], [4, 4]))
    regions = {code.tobytes(): k for k, code in enumerate(pack_codes(atlas.codes, atlas.chain.n_pieces))}
    for x in X:
        mine = regions[code_of_row(u, x).tobytes()]        # KeyError: the code of no region
        plain = regions.get(codes_of(atlas.chain, x[None])[0].tobytes())
        if plain is not None:
            assert mine == plain == int(atlas.locate(x[None])[0])
        else:                                              # constant units aside, the first of the regions that touch x
            assert mine >= int(atlas.locate(x[None])[0])
    assert u.exactness_.largest < 1e-9
    labels = u.groups(X)
    for k in range(u.n_regions_):
        assert u.region(k).inequalities.holds(X[labels == k], 1e-9).all()


def test_what_is_not_looked_at_is_counted(monkeypatch):
    monkeypatch.setattr("pellucid.unwrap.faces.MOST_POINTS", 1)
    net = relu_network([(ABS, np.zeros(4)), (np.ones((1, 4)), np.zeros(1))])
    X = np.array([[0.0, 1.0], [0.0, 2.0], [1.0, 0.0], [0.0, 1.0]])
    faces = unwrapped(net, X, np.zeros(4)).unwrapping_.groups.faces
    assert (faces.on, faces.moved, faces.apart) == (4, 2, 2)


@pytest.mark.parametrize("winner", ["first", "second"])
def test_ties_of_a_maximum(winner):
    torch = pytest.importorskip("torch")
    pool = torch.nn.MaxPool1d(2)
    net = pel.load(torch.nn.Sequential(pool, torch.nn.Flatten()), input_shape=(1, 2))
    x = {"first": [1.0, 1.0], "second": [1.0, 2.0]}[winner]
    u = pel.UnwrapperRegressor(net).fit(np.array([[x]]), [0.0])
    assert u.region(0).code.tolist() == [0 if winner == "first" else 1]
