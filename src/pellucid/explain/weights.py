"""Weights of features: the slopes of a quantity in every region, and what makes them comparable (SPEC 4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..atlas import Atlas
from ..chain import Chain, Elementwise
from ..errors import DataError, DomainError

SCALES = ("range", "std", "none")


@dataclass(frozen=True, eq=False)
class Scale:
    """What one unit of a normalised feature is: x_j = origin_j + width_j xbar_j, so that wbar_j = w_j width_j.

    kind: "range" (origin a_j, width b_j - a_j), "std" (mean and standard deviation of samples) or "none" (0 and 1).
    fixed: features of width 0, which weigh nothing on this scale whatever the network does with them.
    """

    kind: str
    origin: np.ndarray
    width: np.ndarray

    @property
    def fixed(self) -> np.ndarray:
        return np.flatnonzero(self.width == 0)

    @property
    def words(self) -> str:
        return {"range": "over the feature's range", "std": "per standard deviation", "none": "per unit of the feature"}[self.kind]


def scale_of(atlas: Atlas, kind: str = "range", X=None) -> Scale:
    """The scale of this kind for the atlas's features.

    "range": that of the parent box, sliced or not (SPEC 4). "std": population mean and deviation of the rows X, (n, d) or a
    frame with the network's columns. DomainError where a range is not finite, DataError where X does not fit.
    """
    if kind not in SCALES:
        raise ValueError(f"scale='{kind}': there are 'range', 'std' and 'none'")
    d = atlas.network.n_inputs
    if kind == "none":
        return Scale(kind, np.zeros(d), np.ones(d))
    if kind == "range":
        box = atlas.domain.box
        endless = np.flatnonzero(~(np.isfinite(box.lower) & np.isfinite(box.upper)))
        if len(endless):
            j = int(endless[0])
            name, low, high = atlas.network.feature_names[j], box.lower[j], box.upper[j]
            raise DomainError(f"scale='range': feature '{name}' has no finite range, [{low:g}, {high:g}]. "
                              "Give the box finite bounds, or samples: scale='std', X=rows")
        return Scale(kind, box.lower, box.upper - box.lower)
    if X is None:
        raise DataError("scale='std' spreads each feature by its standard deviation in samples: give them, X=rows (n, features)")
    rows = sample_rows(atlas, X)
    return Scale(kind, rows.mean(axis=0), rows.std(axis=0))


def sample_rows(atlas: Atlas, X) -> np.ndarray:
    """(n, d) rows of X in the network's feature order; frames by column name. DataError where the width does not fit."""
    from ..geometry.frames import column_names, numeric_rows

    net, names = atlas.network, column_names(X)
    if names is not None:
        missing = [f for f in net.feature_names if f not in names]
        if missing and net.table is not None:
            return net.table.encode(X)
        if missing:
            raise DataError(f"the frame lacks the column '{missing[0]}'; it has: {', '.join(names[:10])}")
        import narwhals as nw

        X = nw.from_native(X, eager_only=True).select(list(net.feature_names)).to_native()
    rows = numeric_rows(X)
    if rows.shape[1] != net.n_inputs or len(rows) == 0:
        raise DataError(f"X has shape {rows.shape}; rows of {net.n_inputs} features are needed")
    return rows


def towards(chain: Chain, direction: np.ndarray) -> Chain:
    """The chain of direction . f: one output, so that maps of many classes need not be made."""
    return Chain(chain.n_inputs, chain.stages, np.atleast_2d(direction @ chain.A), np.atleast_1d(direction @ chain.a))


def slopes(atlas: Atlas, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (K, d) and intercept (K,) of direction . f on each row of the atlas, in raw units."""
    coef, intercept = _maps(atlas, towards(atlas.chain, direction))
    return coef[:, 0], intercept[:, 0]


def feature_slopes(atlas: Atlas, j: int) -> np.ndarray:
    """(K, c): slope of every output in feature j alone."""
    e = np.eye(atlas.network.n_inputs)[:, [j]]
    return _maps(atlas, atlas.chain.fold(np.zeros(len(e)), e))[0][:, :, 0]


def _maps(atlas: Atlas, chain: Chain) -> tuple[np.ndarray, np.ndarray]:
    """Local maps of a chain with the atlas's codes: made once a region, spread to its pieces."""
    return atlas.maps_of(chain)


def weight_floor(chain: Chain, direction: np.ndarray) -> np.ndarray:
    """(d,): how far a computed weight of direction . f can be from the true one; signs of smaller weights mean nothing.

    Sound     |fl(A B) - A B| <= gamma |A| |B| for each product of the backward pass (Higham 2002, 3.5), so the whole product
              is off by at most gamma_n |direction| |A_out| |D_L| ... |D_1| |A_1|, n the number of terms summed in all.
    """
    size, terms = np.abs(direction) @ abs(chain.A), len(direction) + 1
    for stage in reversed(chain.stages):
        phi = stage.phi
        terms += phi.n_outputs + 2
        if isinstance(phi, Elementwise):
            size = size * np.abs(phi.padded[1]).max(axis=1)
        else:                                   # every member of a group may be the winner
            group = np.repeat(np.arange(phi.n_outputs), phi.n_pieces)
            size = np.bincount(phi.members, weights=size[group], minlength=stage.A.shape[0])
        size = size @ abs(stage.A)
        terms += stage.A.shape[0]
    gamma = terms * 2.0**-53 / (1 - terms * 2.0**-53)
    return gamma * np.asarray(size).ravel()


def signs(weights: np.ndarray, floor: np.ndarray | float) -> np.ndarray:
    """-1, 0, 1: the sign of each weight, 0 where it is below the rounding floor."""
    return np.where(np.abs(weights) > floor, np.sign(weights), 0).astype(np.int8)
