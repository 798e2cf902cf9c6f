"""Rows by region: as a naive grouping has them, whatever the network, the batches and the threads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import relu_network
from unwrapped import naive_groups, random_net, rows, same_partition, unwrapped

import pellucid as pel


def torch_nets():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    nn = torch.nn
    return {
        "leaky": (nn.Sequential(nn.Linear(4, 12), nn.LeakyReLU(), nn.Linear(12, 12), nn.LeakyReLU(), nn.Linear(12, 10)), (4,)),
        "hardtanh": (nn.Sequential(nn.Linear(4, 9), nn.Hardtanh(), nn.Linear(9, 10)), (4,)),
        "conv": (nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 10)), (1, 6, 6)),
        "pool first": (nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(9, 5), nn.ReLU(), nn.Linear(5, 10)), (1, 6, 6)),
        "dropout, batch norm": (nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 10)).eval(), (4,)),
    }


@pytest.mark.parametrize("name", ["leaky", "hardtanh", "conv", "pool first", "dropout, batch norm"])
def test_every_kind_of_layer_groups_as_a_naive_pass_does(name, rng):
    module, shape = torch_nets()[name]
    X = rng.normal(size=(400, *shape))
    y = rng.integers(0, 10, 400)
    u = pel.UnwrapperClassifier(module).fit(X, y)
    assert same_partition(u.groups(X), naive_groups(u.network_, X.reshape(400, -1)))
    assert u.exactness_.largest < 1e-9


@given(st.integers(0, 10**6), st.lists(st.integers(1, 7), max_size=3), st.integers(1, 5), st.integers(1, 10), st.integers(1, 60))
def test_random_networks_group_as_a_naive_pass_does(seed, hidden, d, c, n):
    net = random_net(seed, (d, *hidden, c), "softmax" if c > 1 else "sigmoid")
    X, y = rows(net, n, seed)
    u = unwrapped(net, X, y)
    naive = naive_groups(net, X)
    labels = u.groups(X)
    assert same_partition(labels, naive)
    models = u.local_models()
    assert u.n_regions_ == len(naive) == len(models)
    assert (models.count == np.bincount(labels)).all()
    assert (np.diff(models.count) <= 0).all()
    own = np.einsum("ncd,nd->nc", models.coef[labels], X) + models.intercept[labels]
    assert np.abs(own - net(X)).max() <= 1e-9 * max(1.0, np.abs(net(X)).max())
    assert u.exactness_.largest < 1e-9
    assert u.exactness_.rows == u.exactness_.of == n


@pytest.mark.parametrize("step", [1, 7, 500])
@pytest.mark.parametrize("threads", [1, 2])
def test_batches_and_threads_change_nothing(step, threads):
    net = random_net(1)
    X, y = rows(net)
    whole, part = unwrapped(net, X, y), unwrapped(net, X, y, batch_size=step, n_jobs=threads)
    a, b = whole.local_models(scores=("local", "global")), part.local_models(scores=("local", "global"))
    for name in ("coef", "intercept", "count", "response_mean", "centre", "spread", "low", "high", "origin", "local_score", "global_score"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_the_order_of_rows_changes_no_group(rng):
    net = random_net(2)
    X, y = rows(net)
    order = rng.permutation(len(X))
    a, b = unwrapped(net, X, y).groups(X), unwrapped(net, X[order], y[order]).groups(X)
    assert same_partition(a, {k: np.flatnonzero(b == k) for k in np.unique(b)})


def test_columns_of_local_models_are_those_of_their_rows(rng):
    net = random_net(3, (3, 6, 4, 1))
    X, y = rows(net, 800)
    w = rng.random(800)
    u = unwrapped(net, X, y, w)
    labels, models = u.groups(X), u.local_models()
    for k in range(len(models)):
        mine = labels == k
        total = w[mine].sum()
        mean = w[mine] @ X[mine] / total
        assert models.weight[k] == pytest.approx(total)
        np.testing.assert_allclose(models.centre[k], mean, atol=1e-12)
        np.testing.assert_allclose(models.spread[k], np.sqrt(w[mine] @ (X[mine] - mean) ** 2 / total), atol=1e-9)
        np.testing.assert_array_equal(models.low[k], X[mine].min(axis=0))
        np.testing.assert_array_equal(models.high[k], X[mine].max(axis=0))
        share = w[mine] @ y[mine] / total
        assert models.response_mean[k, 0] == pytest.approx(share)
        assert models.response_std[k, 0] == pytest.approx(np.sqrt(share * (1 - share)), abs=1e-7)
        assert models.single_class[k] == (len(np.unique(y[mine])) == 1)
    np.testing.assert_array_equal(models.rows.model, labels)


def test_some_models_are_those_of_all(rng):
    net = random_net(4)
    X, y = rows(net)
    u = unwrapped(net, X, y)
    whole, top, some = u.local_models(), u.local_models(top=5), u.local_models(index=[7, 2])
    np.testing.assert_array_equal(top.coef, whole.coef[:5])
    np.testing.assert_array_equal(some.count, whole.count[[7, 2]])
    np.testing.assert_array_equal(some.centre, whole.centre[[7, 2]])
    np.testing.assert_array_equal(some.local_score, whole.local_score[[7, 2]])
    assert (some.rows.model == 1).sum() == whole.count[2]
    assert top.total_models == u.n_regions_
    assert top.total_rows == len(X)
    with pytest.raises(IndexError, match="there are"):
        u.local_models(index=[u.n_regions_])
    streamed = list(u.coefficients(chunk=3))
    np.testing.assert_array_equal(np.concatenate([c for _, c, _ in streamed]), whole.coef)
    np.testing.assert_array_equal(np.concatenate([b for _, _, b in streamed]), whole.intercept)


# ---- degenerate networks
def test_no_hidden_layer_is_one_region(rng):
    W = rng.normal(size=(1, 3))
    net = relu_network([(W, rng.normal(size=1))], "sigmoid")
    X, y = rows(net, 30)
    u = unwrapped(net, X, y)
    assert u.n_regions_ == 1
    np.testing.assert_array_equal(u.local_models().coef[0], W)
    assert not u.local_models().trivial[0]
    assert len(u.region(0).inequalities) == 0


def test_one_unit_and_one_row(rng):
    net = relu_network([(np.array([[1.0]]), np.zeros(1)), (np.array([[2.0]]), np.ones(1))])        # 2 max(x, 0) + 1
    u = pel.UnwrapperRegressor(net).fit(np.array([[3.0]]), [7.0])
    models = u.local_models(scores=("local", "global"))
    assert (models.coef[0, 0, 0], models.intercept[0, 0]) == (2.0, 1.0)
    assert models.local_score[0] == models.global_score[0] == 0.0
    assert models.single_class[0]
    assert u.groups([[-1.0], [5.0]]).tolist() == [-1, 0]


def test_constant_units_do_not_part_rows(rng):
    """Units behind a dead layer, with zero bias, are at their breakpoint everywhere; rounding must not part rows by them."""
    W = rng.normal(size=(4, 2))
    dead = [(W, -1e6 * np.ones(4)), (rng.normal(size=(5, 4)), np.zeros(5)), (rng.normal(size=(1, 5)), np.zeros(1))]
    X = rng.normal(size=(50, 2))
    u = pel.UnwrapperRegressor(relu_network(dead)).fit(X, np.zeros(50))
    models = u.local_models()
    assert u.n_regions_ == 1
    assert models.trivial[0]
    assert not u.region(0).code.any()                      # constant units have their lower piece
    assert not models.coef.any()


def test_units_that_cancel_are_constant(rng):
    """0.1 x + 0.2 x - 0.3 x is zero up to rounding: a unit at its breakpoint for all rows, on one side or the other of it by chance."""
    first = (np.array([[0.1], [0.2], [0.3]]), 5 * np.ones(3))
    second = (np.array([[1.0, 1.0, -1.0], [1.0, 0.0, 0.0]]), np.array([-5.0, 0.0]))
    net = relu_network([first, second, (np.ones((1, 2)), np.zeros(1))])
    X = rng.uniform(-1, 1, size=(300, 1))
    u = pel.UnwrapperRegressor(net).fit(X, np.zeros(300))
    assert u.n_regions_ == 1
    assert u.region(0).code.tolist() == [1, 1, 1, 0, 1]


def test_duplicate_units_and_ties_of_pools(rng):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(1, 2, 2, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(2, 2, 1, bias=False), nn.ReLU(), nn.Flatten(),
                        nn.Linear(8, 2, bias=False)).double()
    with torch.no_grad():
        net[0].weight[1] = net[0].weight[0]               # twice the same filter
    X = np.abs(rng.normal(size=(200, 1, 5, 5))) * rng.choice([1, -1], size=(200, 1, 1, 1))
    u = pel.UnwrapperRegressor(net).fit(X, np.zeros((200, 2)))
    assert u.exactness_.largest < 1e-9
    off = [u.region(k) for k in range(u.n_regions_)]
    assert len({tuple(r.code) for r in off}) == u.n_regions_
    models = u.local_models()
    distinct = {np.round(c, 12).tobytes() for c in np.concatenate([models.coef.reshape(len(models), -1), models.intercept], axis=1)}
    assert models.trivial.sum() <= 1                       # all filters off is one region, not one for each tie of zeros
    assert len(distinct) <= u.n_regions_
