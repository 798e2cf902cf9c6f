"""The largest difference of two networks equals brute force over samples and regions; classes that differ have a witness."""

from __future__ import annotations

import numpy as np
import pytest
from networks import random_layers, relu_network
from regions.nets import groups, relu, same

import pellucid as pel
from pellucid.chain import beside, chain_of
from pellucid.chain.chain import Chain, Stage

ENGINES = ("regions", "milp")
BOX = pel.Box([-1, -1], [1, 1])


def grid(n=151):
    axis = np.linspace(-1, 1, n)
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("sizes", [([2, 5, 4, 2], [2, 4, 2]), ([2, 5, 2], [2, 2]), ([2, 2], [2, 3, 3, 2])])
def test_it_is_the_largest_difference_on_a_fine_grid(engine, sizes):
    rng = np.random.default_rng(4)
    f, g = (relu_network(random_layers(rng, s)) for s in sizes)
    d = pel.difference(f, g, BOX, engine=engine)
    apart = f(grid()) - g(grid())
    assert d.status is pel.Status.PROVED
    assert np.abs(apart).max() <= d.bound
    for k in range(2):
        assert apart[:, k].max() <= d.above[k] + d.gaps[k] + 1e-9
        assert -apart[:, k].min() <= d.below[k] + d.gaps[k] + 1e-9
        np.testing.assert_allclose((f(d.above_at[k][None]) - g(d.above_at[k][None]))[0, k], d.above[k], atol=1e-12)
        np.testing.assert_allclose((g(d.below_at[k][None]) - f(d.below_at[k][None]))[0, k], d.below[k], atol=1e-12)
    np.testing.assert_allclose([d.above, d.below], [apart.max(axis=0), -apart.min(axis=0)], atol=0.15)
    np.testing.assert_allclose(np.abs(f(d.witness[None]) - g(d.witness[None])).max(), d.value, atol=1e-12)
    assert d.decisions is not None or f.n_classes == 0
    assert list(d.to_frame()["output"]) == list(f.output_names)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_network_does_not_differ_from_itself(engine, rng):
    layers = random_layers(rng, [2, 5, 4, 3])
    f, g = relu_network(layers, "softmax"), relu_network(layers, "softmax")
    d = pel.difference(f, g, BOX, engine=engine)
    assert d.value == 0
    assert d.bound < 1e-5
    assert d.disagreement is None
    assert d.decisions.status is not pel.Status.REFUTED       # on ties the classes cannot be told apart


@pytest.mark.parametrize("engine", ENGINES)
def test_classes_that_never_differ_and_classes_that_do(engine):
    # f gives class 1 where x0 > 0, g where x0 > shift: hidden units relu(x0), relu(-x0)
    def cut(shift, scale=1.0):
        last = scale * np.array([[-1, 1], [1, -1]]), scale * np.array([shift, -shift])
        return relu_network([(np.array([[1, 0], [-1, 0]]), [0, 0]), last], "softmax")

    apart = pel.difference(cut(0.0), cut(0.5), BOX, engine=engine)
    assert apart.decisions.status is pel.Status.REFUTED
    x = apart.disagreement
    assert cut(0.0).predict(x[None])[0].argmax() != cut(0.5).predict(x[None])[0].argmax()
    assert 0 <= x[0] <= 0.5
    assert apart.margin > 0
    same_classes = pel.difference(cut(-5.0), cut(-6.0, 3.0), BOX, engine=engine)      # both give class 1 everywhere
    assert same_classes.decisions.status is pel.Status.PROVED
    assert same_classes.disagreement is None
    assert np.isnan(same_classes.margin)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_difference_too_small_for_samples_is_found(engine):
    # sigmoid outputs: positive only within 1e-3 of the corner (1, 1) in f, nowhere in g
    f, g = (relu_network([(np.ones((1, 2)), [-1.999]), (np.ones((1, 1)), [-b])], "sigmoid") for b in (5e-4, 5e-3))
    d = pel.difference(f, g, BOX, engine=engine)
    assert d.decisions.status is pel.Status.REFUTED
    x = d.disagreement[None]
    assert (f(x) >= 0) != (g(x) >= 0)
    np.testing.assert_allclose(d.value, 4.5e-3, atol=1e-9)


def test_ties_go_to_the_first_class_and_that_is_a_decision_too():
    # f is tied everywhere and gives class 0; g gives class 1
    f, g = (relu_network([(np.zeros((2, 2)), b)], "softmax") for b in ([1.0, 1.0], [0.0, 1.0]))
    d = pel.difference(f, g, BOX)
    assert d.decisions.status is pel.Status.REFUTED
    assert d.margin == 0


def test_regressions_have_no_classes(rng):
    f, g = (relu_network(random_layers(rng, [2, 4, 1])) for _ in range(2))
    d = pel.difference(f, g, BOX)
    assert d.decisions is None
    assert "same class" not in repr(d)


def test_pairs_that_do_not_fit(rng):
    f = relu_network(random_layers(rng, [2, 4, 1]), feature_names=("a", "b"))
    with pytest.raises(pel.DataError, match="both must be the same"):
        pel.difference(f, relu_network(random_layers(rng, [3, 4, 1])), BOX)
    with pytest.raises(pel.DataError, match="another order"):
        pel.difference(f, relu_network(random_layers(rng, [2, 4, 1]), feature_names=("b", "a")), BOX)
    with pytest.raises(TypeError, match="two Networks"):
        pel.difference(f, "g", BOX)


def test_a_budget_is_kept(rng):
    f, g = (relu_network(random_layers(rng, [8, 20, 20, 1])) for _ in range(2))
    box = pel.Box(-np.ones(8), np.ones(8))
    d = pel.difference(f, g, box, max_seconds=0.5)
    assert d.status is pel.Status.UNKNOWN
    X = rng.uniform(-1, 1, (1000, 8))
    assert np.abs(f(X) - g(X)).max() <= d.bound


HARD_TANH = ([-1.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 1.0])


def test_chains_of_every_kind_stand_side_by_side(rng):
    def stage(n_in, phi, n_rows):
        return Stage(rng.normal(size=(n_rows, n_in)), rng.normal(size=n_rows), phi)

    def out(n_in):
        return rng.normal(size=(2, n_in)), rng.normal(size=2)

    chains = [Chain(3, (), *out(3)), Chain(3, (stage(3, relu(4), 4),), *out(4)),
              Chain(3, (stage(3, groups([0, 1, 2], [2, 3], [4]), 5), stage(3, relu(4), 4)), *out(4)),
              Chain(3, (stage(3, same(3, *HARD_TANH), 3), stage(3, groups([0, 1], [1, 2]), 3), stage(2, relu(2), 2)), *out(2))]
    x = rng.normal(size=(50, 3))
    for f in chains:
        for g in chains:
            both = beside(f, g)
            np.testing.assert_allclose(both(x), np.hstack([f(x), g(x)]), atol=1e-12)
            assert both.n_columns == f.n_columns + g.n_columns


def test_side_by_side_keeps_labels_and_regions(rng):
    f, g = (chain_of(relu_network(random_layers(rng, [2, 3, 2, 1]))) for _ in range(2))
    both = beside(f, g)
    assert both.unit_of(0) == f.unit_of(0)
    assert both.unit_of(3) == g.unit_of(0)
