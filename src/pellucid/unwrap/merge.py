"""Which local linear models belong together: UNWRAP, algorithm 1, steps 1 to 5, on arrays.

A model is told by what it says (its coefficients, in units that do not depend on those of the features) and by where it says it
(the centre of its rows). Neighbours in place are joined in the order of likeness; the tree is built once and cut at any K.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ..tolerance import NEIGHBOUR_EDGES, NEIGHBOUR_SHARE, NEIGHBOURS_AT_FIRST


@dataclass(frozen=True, eq=False)
class Scale:
    """Units that do not depend on those of the features: z = (x - mean) / std, std 1 where a feature is constant."""

    mean: np.ndarray
    std: np.ndarray

    @staticmethod
    def of(X: np.ndarray, weight: np.ndarray | None = None) -> Scale:
        mean = np.average(X, axis=0, weights=weight)
        std = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight))
        return Scale(mean, np.where(std > np.abs(mean) * np.finfo(float).eps * 8, std, 1.0))

    def inwards(self, X: np.ndarray) -> np.ndarray:
        return (X - self.mean) / self.std

    def outwards(self, coef: np.ndarray, intercept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The model of x that is coef z + intercept: coef (..., d), intercept (...)."""
        raw = coef / self.std
        return raw, intercept - raw @ self.mean

    def models(self, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
        """(N, c (d + 1)): what each model adds per standard deviation of each feature, and what it says of the mean row.

        The intercept at the origin would compare models where there may be no row at all.
        """
        level = intercept + coef @ self.mean
        return np.concatenate([coef * self.std, level[:, :, None]], axis=2).reshape(len(coef), -1)


@dataclass(frozen=True, eq=False)
class MergeTree:
    """N models joined two by two. children: (N - 1, 2), nodes joined in order, node N + k is what the k-th join made.

    n_neighbors: T at which the models hang together. joined: links that had to be added because no T within the budget does.
    """

    children: np.ndarray
    n_leaves: int
    n_neighbors: int
    joined: int = 0


def first_neighbors(n_models: int, given: int | float | None) -> int:
    """T to begin with: a number, a share of the models, or by default 1% of them, at most NEIGHBOURS_AT_FIRST."""
    if given is None:
        return max(1, min(round(NEIGHBOUR_SHARE * n_models), NEIGHBOURS_AT_FIRST))
    return max(1, round(given * n_models)) if isinstance(given, float) else int(given)


def connectivity(at: np.ndarray, n_neighbors: int) -> tuple[csr_array, int, int]:
    """Who is whose neighbour: (symmetric graph, T, links added).

    Needs     at (N, d): centres, in comparable units.
    Gives     the least T >= n_neighbors at which the graph of the T nearest hangs together (UNWRAP 5.1).
    Differs   where that takes more than NEIGHBOUR_EDGES edges (two clouds far apart), T stays below and the parts are joined by
              their shortest links: a T of half the models would make everyone everyone's neighbour.
    """
    n = len(at)
    if n == 1:
        return csr_array((1, 1)), 0, 0
    T, most = min(n_neighbors, n - 1), max(1, min(n - 1, max(n_neighbors, NEIGHBOUR_EDGES // n)))
    low, nearest = T - 1, _nearest(at, T)
    while not _connected(nearest) and nearest.shape[1] < most:        # twice as many until it hangs together ...
        low, nearest = nearest.shape[1], _nearest(at, min(most, 2 * nearest.shape[1]))
    T = nearest.shape[1]
    while _connected(nearest) and T - low > 1:                        # ... then the least that does
        middle = (low + T) // 2
        low, T = (low, middle) if _connected(nearest[:, :middle]) else (middle, T)
    graph = _graph(nearest[:, :T], n)
    links = _shortest_links(at, connected_components(graph, directed=False)[1])
    if len(links):
        graph = graph + coo_array((np.ones(len(links)), links.T), shape=(n, n)).tocsr()
    graph = graph + graph.T
    graph.data[:] = 1.0
    return graph.tocsr(), T, len(links)


def _nearest(at: np.ndarray, k: int) -> np.ndarray:
    """(N, k) the k nearest others of each point, nearest first; the lower index of equals."""
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=k).fit(at).kneighbors(return_distance=False)


def _graph(nearest: np.ndarray, n: int) -> csr_array:
    rows = np.repeat(np.arange(n), nearest.shape[1])
    return csr_array((np.ones(nearest.size), (rows, nearest.ravel())), shape=(n, n))


def _connected(nearest: np.ndarray) -> bool:
    return connected_components(_graph(nearest, len(nearest)), directed=False)[0] == 1


def _shortest_links(at: np.ndarray, part: np.ndarray) -> np.ndarray:
    """(links, 2): the smallest part joined to the point nearest to it outside, until there is one part."""
    links = []
    while part.max() > 0:
        inside = part == np.bincount(part).argmin()
        distance, who = cKDTree(at[~inside]).query(at[inside])
        i = int(distance.argmin())
        here, there = np.flatnonzero(inside)[i], np.flatnonzero(~inside)[who[i]]
        links.append((here, there))
        part = np.unique(np.where(inside, part[there], part), return_inverse=True)[1]
    return np.array(links, dtype=np.int64).reshape(-1, 2)


def merge_tree(models: np.ndarray, at: np.ndarray, n_neighbors: int) -> MergeTree:
    """The tree of joins of N models.

    Needs     models (N, p) in comparable units (`Scale.models`), at (N, d) their centres, likewise.
    Gives     a tree to be cut at any K (`cut`).
    Source    UNWRAP algorithm 1, steps 2 and 3; Ward's linkage by scikit-learn.
    """
    from sklearn.cluster import ward_tree

    if len(models) == 1:
        return MergeTree(np.zeros((0, 2), dtype=np.int64), 1, 0)
    graph, T, joined = connectivity(at, n_neighbors)
    children = ward_tree(models, connectivity=graph)[0]
    return MergeTree(np.asarray(children, dtype=np.int64), len(models), T, joined)


def cut(tree: MergeTree, n_clusters: int) -> np.ndarray:
    """(N,) cluster of each model, numbered by their first model: the first N - K joins made, the rest not."""
    n = tree.n_leaves
    k = min(n_clusters, n)
    made = tree.children[:n - k]
    node = n + np.arange(len(made))
    links = coo_array((np.ones(2 * len(made)), (np.repeat(node, 2), made.ravel())), shape=(2 * n - k, 2 * n - k))
    label = connected_components(links, directed=False)[1][:n]
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def absorb_small(label: np.ndarray, count: np.ndarray, centre: np.ndarray, classes: np.ndarray | None, tau: int) -> np.ndarray:
    """(N,) clusters after the small ones have joined the nearest large one, renumbered largest first.

    label: (N,) of models with `count` rows around `centre` (N, d). classes: (N, c) rows of each class, None in a regression.
    Small: at most tau rows, or rows of one class only. Nearest: by the mean of a cluster's rows. None large: all join the largest.
    Source    UNWRAP algorithm 1, steps 4 and 5.
    """
    K = int(label.max()) + 1
    size = np.bincount(label, count, K)
    large = size > tau
    if classes is not None:
        of_class = np.stack([np.bincount(label, c, K) for c in classes.T], axis=1)
        large &= (of_class > 0).sum(axis=1) > 1
    mean = np.stack([np.bincount(label, count * x, K) for x in centre.T], axis=1) / size[:, None]
    goes = np.arange(K)
    if large.any():
        goes[~large] = np.flatnonzero(large)[cKDTree(mean[large]).query(mean[~large])[1]]
    else:
        goes[:] = size.argmax()
    label = goes[label]
    size = np.bincount(label, count, K)
    order = np.argsort(-size, kind="stable")
    return np.argsort(order, kind="stable")[label]


def coarse_models(models: np.ndarray, at: np.ndarray, count: np.ndarray, most: int, seed: int) -> np.ndarray:
    """(N,) which of at most `most` groups each model goes to before the tree is built: k-means on place and coefficients together.

    A tree of more models than that takes minutes, and is cut at 20 in the end. Both parts weigh alike: each has variance 1.
    """
    from sklearn.cluster import MiniBatchKMeans

    both = np.concatenate([_of_unit_variance(models), _of_unit_variance(at)], axis=1)
    means = MiniBatchKMeans(most, batch_size=4096, n_init=1, max_iter=5, random_state=seed, reassignment_ratio=0.0)
    return np.unique(means.fit_predict(both, sample_weight=count), return_inverse=True)[1]


def _of_unit_variance(x: np.ndarray) -> np.ndarray:
    total = x.var(axis=0).sum()
    return (x - x.mean(axis=0)) / np.sqrt(total) if total > 0 else x - x.mean(axis=0)
