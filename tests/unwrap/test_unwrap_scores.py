"""Scores are scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unwrapped import random_net, rows, unwrapped

from pellucid.unwrap.native import roc_areas
from pellucid.unwrap.scores import segment_areas

metrics = pytest.importorskip("sklearn.metrics")


@given(st.integers(0, 10**6), st.integers(1, 3000), st.integers(1, 50), st.booleans())
def test_areas_are_scikit_learns(seed, n, values, weighted):
    rng = np.random.default_rng(seed)
    score = rng.integers(0, values, n) / 7 * rng.choice([-1.0, 1.0]) if values < 40 else rng.normal(size=n)
    second = rng.random(n) < rng.random()
    w = rng.random(n) if weighted else None
    mine = segment_areas(np.zeros(n, dtype=int), score, second, w, 1)[0]
    native = roc_areas(score[None], second)[0]
    if len(np.unique(second)) < 2:
        assert np.isnan(mine)
        assert np.isnan(native)
        return
    assert mine == pytest.approx(metrics.roc_auc_score(second, score, sample_weight=w), abs=1e-12)
    assert native == pytest.approx(metrics.roc_auc_score(second, score), abs=1e-12)


def test_signed_zeros_tie_and_no_number_has_no_area():
    assert roc_areas(np.array([[0.0, -0.0]]), np.array([0, 1]))[0] == 0.5
    assert np.isnan(roc_areas(np.array([[0.0, np.nan]]), np.array([0, 1]))[0])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("link", "c"), [("sigmoid", 1), ("softmax", 2), ("softmax", 4), ("identity", 1), ("identity", 2)])
def test_scores_of_models(link, c, weighted, rng):
    net = random_net(5, (2, 6, c), link)
    X, y = rows(net, 300)
    w = rng.random(300) if weighted else None
    u = unwrapped(net, X, y, w)
    models, labels = u.local_models(scores=("local", "global")), u.groups(X)

    def area(mine, k):
        out = X[mine] @ models.coef[k].T + models.intercept[k]
        own = None if w is None else w[mine]
        if c <= 2:
            if len(np.unique(y[mine])) < 2:
                return np.nan
            return metrics.roc_auc_score(y[mine], out[:, 0] if c == 1 else out[:, 1] - out[:, 0], sample_weight=own)
        p = np.exp(out - out.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        there = [r for r in range(c) if 0 < (y[mine] == r).mean() < 1]
        return np.mean([metrics.roc_auc_score(y[mine] == r, p[:, r], sample_weight=own) for r in there]) if there else np.nan

    def mse(mine, k):
        out = X[mine] @ models.coef[k].T + models.intercept[k]
        return metrics.mean_squared_error(y[mine], out if c > 1 else out[:, 0], sample_weight=None if w is None else w[mine])

    score = mse if link == "identity" else area
    everywhere = np.ones(300, dtype=bool)
    for k in range(len(models)):
        assert models.local_score[k] == pytest.approx(score(labels == k, k), nan_ok=True, abs=1e-9)
        assert models.global_score[k] == pytest.approx(score(everywhere, k), nan_ok=True, abs=1e-9)
