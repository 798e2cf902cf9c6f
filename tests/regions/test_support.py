"""Linear programmes over regions: equal to an independent solver's, bounds never below."""

from __future__ import annotations

import numpy as np
import pytest
from networks import random_layers
from scipy.optimize import linprog

from pellucid.chain import unit_maps
from pellucid.regions import enumerate_search, support, unpack_codes

from .nets import relu_chain


def polytope(chain, code, G, h):
    """A u <= b of a ReLU region."""
    A, b = [G], [h]
    maps = unit_maps(chain, code)
    for (M, m), (start, outputs) in zip(maps, chain.columns, strict=False):
        sign = np.where(code[start:start + len(outputs)] > 0, -1.0, 1.0)
        A.append(sign[:, None] * M[outputs])
        b.append(-sign * m[outputs])
    return np.vstack(A), np.concatenate(b)


@pytest.mark.parametrize("d", [1, 2, 3, 6])
@pytest.mark.parametrize("n_extra", [0, 1, 3])
def test_support_is_that_of_linprog(d, n_extra):
    rng = np.random.default_rng(d + n_extra)
    chain = relu_chain(random_layers(rng, [d, 7, 5, 2]))
    G, h = np.vstack([np.eye(d), -np.eye(d), rng.normal(size=(1, d))]), np.concatenate([np.full(d, 2.0), np.full(d, 0.5), [1.0]])
    floors = [np.full(s.A.shape[0], 1e-14) for s in chain.stages] + [np.full(2, 1e-14)]
    table = enumerate_search(chain, G, h, floors=floors)
    rows = np.arange(0, len(table), max(1, len(table) // 40))
    directions = rng.normal(size=(len(table), d))
    extra = (rng.normal(size=(len(table), n_extra, d)), 0.7 * rng.normal(size=(len(table), n_extra))) if n_extra else None
    cut = None if extra is None else (extra[0][rows], extra[1][rows])
    bounds, values, points = support(chain, G, h, table, directions[rows], rows, floors=floors, extra=cut)
    wide, *_ = support(chain, G, h, table, directions[rows], rows, floors=floors, extra=cut, relaxed=True)
    empty = 0
    for i, k in enumerate(rows):
        A, b = polytope(chain, unpack_codes(table.codes[k:k + 1], chain.n_pieces)[0], G, h)
        if extra is not None:
            A, b = np.vstack([A, extra[0][k]]), np.concatenate([b, extra[1][k]])
        answer = linprog(-directions[k], A_ub=A, b_ub=b, bounds=[(None, None)] * d)
        if answer.status == 2:
            empty += 1
            assert bounds[i] == -np.inf
            assert np.isnan(values[i])
            continue
        assert bounds[i] >= -answer.fun - 1e-9
        assert wide[i] >= bounds[i] - 1e-12
        np.testing.assert_allclose([bounds[i], values[i], directions[k] @ points[i]], -answer.fun, atol=1e-7)
        assert wide[i] < bounds[i] + 1e-4
        assert (A @ points[i] <= b + 1e-9).all()
    if n_extra:
        assert 0 < empty < len(rows) or d == 1


def test_a_zero_direction_and_rows_without_entries(rng):
    chain = relu_chain(random_layers(rng, [2, 4, 1]))
    G, h = np.vstack([np.eye(2), -np.eye(2)]), np.ones(4)
    floors = [np.full(4, 1e-14), np.full(1, 1e-14)]
    table = enumerate_search(chain, G, h, floors=floors)
    n = len(table)
    zero = np.zeros((n, 2))
    bounds, values, _ = support(chain, G, h, table, zero, floors=floors, extra=(np.zeros((n, 1, 2)), np.ones((n, 1))))
    np.testing.assert_allclose(bounds, 0, atol=1e-12)
    np.testing.assert_allclose(values, 0, atol=1e-12)
    bounds, values, _ = support(chain, G, h, table, zero, floors=floors, extra=(np.zeros((n, 1, 2)), -np.ones((n, 1))))
    assert (bounds == -np.inf).all()
    assert np.isnan(values).all()


def test_threads_change_nothing(rng):
    chain = relu_chain(random_layers(rng, [4, 10, 8, 1]))
    G, h = np.vstack([np.eye(4), -np.eye(4)]), np.ones(8)
    floors = [np.full(10, 1e-14), np.full(8, 1e-14), np.full(1, 1e-14)]
    table = enumerate_search(chain, G, h, floors=floors)
    one, two = (support(chain, G, h, table, table.coef[:, 0], floors=floors, threads=t) for t in (1, 2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
    y = one[1] + table.intercept[:, 0]
    np.testing.assert_allclose(y, chain(one[2])[:, 0], atol=1e-12)
