"""Algorithm 1 on arrays: neighbours, the tree and its cuts, small clusters, new rows by position."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import AgglomerativeClustering

from pellucid.unwrap import merge as merging
from pellucid.unwrap.merge import Scale, absorb_small, connectivity, cut, first_neighbors, merge_tree
from pellucid.unwrap.partition import partition, visit


def pieces(graph) -> int:
    return connected_components(graph, directed=False)[0]


@given(st.integers(2, 60), st.integers(1, 3), st.integers(1, 5), st.integers(0, 10_000))
def test_neighbours_hang_together_with_the_fewest_that_do(n, d, asked, seed):
    rng = np.random.default_rng(seed)
    at = rng.normal(size=(n, d)) + 50 * rng.integers(0, 2, (n, 1))
    graph, T, links = connectivity(at, asked)
    assert pieces(graph) == 1
    assert links == 0
    assert min(asked, n - 1) <= T <= n - 1
    assert (graph != graph.T).nnz == 0
    if min(asked, n - 1) < T:
        assert pieces(merging._graph(merging._nearest(at, T)[:, :T - 1], n)) > 1


def test_far_clouds_are_joined_by_their_shortest_link_where_edges_run_out(monkeypatch, rng):
    monkeypatch.setattr(merging, "NEIGHBOUR_EDGES", 200)
    at = np.concatenate([rng.random((50, 2)), rng.random((50, 2)) + 100, rng.random((50, 2)) + np.array([0, 300])])
    graph, T, links = connectivity(at, 3)
    assert pieces(graph) == 1
    assert (T, links) == (3, 2) or pieces(merging._graph(merging._nearest(at, T), 150)) == links + 1
    distance = np.linalg.norm(at[:50, None] - at[None, 50:100], axis=2)
    i, j = np.unravel_index(distance.argmin(), distance.shape)
    assert graph[i, 50 + j] == 1


def test_duplicate_centres_are_neighbours_like_others():
    graph, _, _ = connectivity(np.repeat(np.eye(2), 5, axis=0), 1)
    assert pieces(graph) == 1


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 10_000))
def test_a_cut_has_k_connected_clusters_and_cuts_are_nested(n, k, seed):
    rng = np.random.default_rng(seed)
    at, models = rng.normal(size=(n, 2)), rng.normal(size=(n, 3))
    tree = merge_tree(models, at, 2)
    label = cut(tree, k)
    assert len(np.unique(label)) == min(k, n) == label.max() + 1
    finer = cut(tree, k + 1)
    assert all(len(np.unique(label[finer == g])) == 1 for g in np.unique(finer))
    if n > 1:
        graph, _, _ = connectivity(at, 2)
        assert all(pieces(graph[label == g][:, label == g]) == 1 for g in range(label.max() + 1))


@pytest.mark.parametrize("k", [1, 2, 5, 11])
def test_cuts_are_those_of_scikit_learn(k, rng):
    at, models = rng.normal(size=(60, 2)), rng.normal(size=(60, 4))
    graph, _, _ = connectivity(at, 4)
    theirs = AgglomerativeClustering(k, connectivity=graph, linkage="ward").fit_predict(models)
    ours = cut(merge_tree(models, at, 4), k)
    assert len(np.unique(np.stack([ours, theirs]), axis=1).T) == k


def test_small_and_single_class_clusters_join_the_nearest_large_one():
    centre = np.array([[0.0], [1.0], [10.0], [11.0], [4.0], [9.0]])
    count = np.array([50, 20, 40, 40, 5, 60])
    classes = np.array([[25, 25], [10, 10], [20, 20], [20, 20], [3, 2], [60, 0]])
    label = absorb_small(np.arange(6), count, centre, classes, tau=30)
    assert label[1] == label[0]
    assert label[4] == label[0]
    assert label[5] == label[2]                                                # of one class, though it has 60 rows
    assert sorted(np.unique(label)) == [0, 1, 2]
    sizes = np.bincount(label, count)
    assert (np.diff(sizes) <= 0).all()                                         # largest first
    regression = absorb_small(np.arange(6), count, centre, None, tau=30)
    assert regression[5] not in regression[[0, 2, 3]]                          # numbers have no classes


def test_where_none_is_large_all_join_the_largest():
    label = absorb_small(np.arange(4), np.array([3, 9, 2, 1]), np.arange(4.0)[:, None], None, tau=30)
    assert (label == 0).all()


def test_tau_is_the_largest_size_that_counts_as_small():
    for size, clusters in ((30, 1), (31, 2)):
        assert absorb_small(np.arange(2), np.array([100, size]), np.array([[0.0], [1.0]]), None, 30).max() + 1 == clusters


def test_the_first_t_is_one_percent_or_what_is_asked():
    assert [first_neighbors(n, None) for n in (1, 50, 200, 1000, 100_000)] == [1, 1, 2, 10, 30]
    assert first_neighbors(1000, 0.1) == 100
    assert first_neighbors(1000, 7) == 7


@given(st.integers(0, 10_000))
def test_clusters_do_not_depend_on_the_units_of_features(seed):
    rng = np.random.default_rng(seed)
    X, region = rng.normal(size=(300, 3)), rng.integers(0, 40, 300)
    coef, intercept = rng.normal(size=(40, 1, 3)), rng.normal(size=(40, 1))
    unit, shift = np.array([1e-3, 1.0, 1e4]), np.array([5.0, 0.0, -3.0])
    found = []
    for rows, w, b in ((X, coef, intercept), (X * unit + shift, coef / unit, intercept - (coef / unit) @ shift)):
        visited = visit(rows, np.zeros(300, dtype=int), region, w, b, scale=Scale.of(rows))
        found.append(partition(visited, 5, 10).cluster)
    assert np.array_equal(*found)


def test_rows_of_seen_regions_go_by_region_and_new_ones_by_position():
    X = np.concatenate([np.linspace(0, 1, 60), np.linspace(3, 4, 40)])[:, None]
    region = np.arange(100) // 10
    slope = np.where(np.arange(10) < 6, 1.0, -5.0)
    visited = visit(X, np.zeros(100, dtype=int), region, slope[:, None, None], np.zeros((10, 1)), scale=Scale.of(X))
    found = partition(visited, 2, 30)
    assert found.n_clusters == 2
    seen = found.of(X, region)
    assert np.array_equal(seen, np.repeat([0, 1], [60, 40]))
    new = found.of(np.array([[0.5], [3.5], [-9.0], [99.0]]), np.full(4, -1))
    assert np.array_equal(new, [0, 1, 0, 1])
    assert found.of(np.array([[3.5]]), np.array([0]))[0] == 0                  # a known region is believed, not the position


def test_too_many_models_are_grouped_before_the_tree(rng):
    X = rng.normal(size=(2000, 2))
    w = np.where(X[:, :1] > 0, 5.0, -5.0) * np.ones((1, 2)) + 0.1 * rng.normal(size=(2000, 2))
    visited = visit(X, np.zeros(2000, dtype=int), np.arange(2000), w[:, None], np.zeros((2000, 1)), scale=Scale.of(X), max_models=200)
    assert visited.tree.n_leaves <= 100
    found = partition(visited, 2, 30)
    new = rng.normal(size=(500, 2))
    assert (found.of(new, np.full(500, -1)) == found.of(X, np.arange(2000))[X[:, 0].argmax()])[new[:, 0] > 0.3].mean() > 0.95
    assert (found.cluster == found.cluster[X[:, 0].argmax()]).sum() == pytest.approx((X[:, 0] > 0).sum(), abs=40)


def test_a_constant_feature_has_unit_scale():
    scale = Scale.of(np.column_stack([np.full(5, 0.1), np.arange(5.0)]))
    assert scale.std[0] == 1.0
    coef, intercept = scale.outwards(np.array([2.0, 3.0]), np.array(1.0))
    x = np.array([0.1, 4.0])
    assert coef @ x + intercept == pytest.approx(np.array([2.0, 3.0]) @ scale.inwards(x) + 1.0)
