"""A merging of local linear models as it stands after algorithm 1: which cluster each region, and each row, belongs to."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..tolerance import GROUPED_MODELS, NEIGHBOURS_AT_FIRST
from .merge import MergeTree, Scale, absorb_small, coarse_models, cut, first_neighbors, merge_tree

CHUNK = 8192


@dataclass(frozen=True, eq=False)
class Visited:
    """The local linear models that some rows visit, and the tree of their joins: everything of algorithm 1 that does not depend on K.

    region: (N,) numbers of the regions, ascending. count: (N,) rows. centre: (N, d) of the rows, standardised.
    classes: (N, c) rows of each class, None in a regression. leaf: (N,) place in the tree (several models where there were too many).
    """

    region: np.ndarray
    count: np.ndarray
    centre: np.ndarray
    classes: np.ndarray | None
    leaf: np.ndarray
    tree: MergeTree
    scale: Scale

    def __len__(self) -> int:
        return len(self.region)


def visit(X: np.ndarray, y: np.ndarray, region: np.ndarray, coef: np.ndarray, intercept: np.ndarray, *, scale: Scale,
            n_classes: int = 0, n_neighbors: int | float | None = None, max_models: int = 10_000, seed: int = 0) -> Visited:
    """Algorithm 1, steps 1 to 3, for rows X (n, d) of the regions region (n,), whose models are coef[region], intercept[region].

    y: (n,) class numbers where n_classes > 0.
    """
    number, row = np.unique(region, return_inverse=True)
    count = np.bincount(row).astype(float)
    Z = scale.inwards(X)
    centre = np.stack([np.bincount(row, z) for z in Z.T], axis=1) / count[:, None]
    classes = None
    if n_classes:
        classes = np.bincount(row * n_classes + y, minlength=len(number) * n_classes).reshape(len(number), n_classes).astype(float)
    models = scale.models(coef[number], intercept[number])
    leaf = np.arange(len(number))
    at = centre
    if len(number) > max_models:
        leaf = coarse_models(models, centre, count, max(1, min(max_models // 2, GROUPED_MODELS)), seed)
        models, at = _means(leaf, count, models), _means(leaf, count, centre)
    tree = merge_tree(models, at, first_neighbors(len(models), n_neighbors))
    return Visited(number, count, centre, classes, leaf, tree, scale)


def _means(label: np.ndarray, count: np.ndarray, values: np.ndarray) -> np.ndarray:
    total = np.bincount(label, count)
    return np.stack([np.bincount(label, count * v) for v in values.T], axis=1) / total[:, None]


@dataclass(frozen=True, eq=False)
class Partition:
    """Clusters of regions, largest first. cluster: (N,) of each model visited. n_clusters: how many are left after step 5."""

    models: Visited
    cluster: np.ndarray

    @property
    def n_clusters(self) -> int:
        return int(self.cluster.max()) + 1

    def of(self, X: np.ndarray, region: np.ndarray) -> np.ndarray:
        """(n,) cluster of each row: that of its region, else by its own position."""
        place = np.searchsorted(self.models.region, region)
        place = np.minimum(place, len(self.models) - 1)
        seen = self.models.region[place] == region
        out = self.cluster[place]
        if not seen.all() and self.n_clusters > 1:
            out[~seen] = self.by_position(X[~seen])
        return np.where(seen | (self.n_clusters > 1), out, 0)

    def by_position(self, X: np.ndarray) -> np.ndarray:
        """(n,) cluster by the T nearest centres, each with the weight of its nearness (UNWRAP 5.1: a new row stands for its region)."""
        from sklearn.neighbors import KNeighborsClassifier

        leaf, first = np.unique(self.models.leaf, return_index=True)             # models that were grouped vote as one
        centre = self.models.centre if len(leaf) == len(self.models) else _means(self.models.leaf, self.models.count, self.models.centre)
        of_leaf = self.cluster if len(leaf) == len(self.models) else self.cluster[first]
        T = max(1, min(self.models.tree.n_neighbors, NEIGHBOURS_AT_FIRST, len(centre)))
        vote = KNeighborsClassifier(T, weights="distance").fit(centre, of_leaf)
        Z = self.models.scale.inwards(X)
        return np.concatenate([vote.predict(Z[i:i + CHUNK]) for i in range(0, len(Z), CHUNK)]).astype(np.intp)


def partition(models: Visited, n_clusters: int, tau: int) -> Partition:
    """Algorithm 1, steps 3 to 5: the tree cut at K, small clusters joined to the nearest large one."""
    label = cut(models.tree, n_clusters)[models.leaf]
    return Partition(models, absorb_small(label, models.count, models.centre, models.classes, tau))


def without_models(models: Visited) -> Visited:
    """What was visited as a fitted estimator keeps it: without the tree's joins, which only cutting needs."""
    return replace(models, tree=replace(models.tree, children=models.tree.children[:0]))
