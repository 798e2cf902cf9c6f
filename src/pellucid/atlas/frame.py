"""An atlas as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from .atlas import Atlas


def interior_points(atlas: Atlas) -> np.ndarray:
    """(K, k) in u, inside each row: in the plane the mean of its vertices."""
    if not atlas.is_planar:
        return atlas.cells.points
    ptr = atlas.cells.vertex_ptr
    if len(atlas) == 0:
        return np.zeros((0, 2))
    return np.add.reduceat(atlas.cells.vertices, ptr[:-1], axis=0) / np.diff(ptr)[:, None]


def to_frame(atlas: Atlas, *, maps: bool) -> pd.DataFrame:
    """`Atlas.to_frame`; see there."""
    import pandas as pd

    columns: dict[str, object] = {"region": atlas.parent}
    if atlas.is_planar:
        columns |= {"volume": atlas.volume, "share": atlas.volume / atlas.domain.polygon.area, "facets": np.diff(atlas.cells.vertex_ptr)}
    elif atlas.cells.volume is not None:
        columns |= {"volume": atlas.volume, "share": atlas.volume / atlas.cells.domain_volume}
    for name in ("first", "second"):
        value = getattr(atlas.cells, name)
        if value is not None:
            classes, place = np.unique(value, return_inverse=True)
            columns[name] = pd.Categorical.from_codes(place, [atlas.class_label(int(c)) for c in classes])
    for axis, u in zip(atlas.domain.axes, interior_points(atlas).T, strict=True):
        columns[f"at {axis}"] = u
    frame = pd.DataFrame(columns)
    if not maps:
        return frame
    net, coef, intercept = atlas.network, atlas.coef, atlas.intercept
    weights = {}
    for o, output in enumerate(net.output_names):
        prefix = f"{output}: " if net.n_outputs > 1 else ""
        for j, feature in enumerate(net.feature_names):
            weights[f"{prefix}{feature}"] = coef[:, o, j]
        weights[f"{prefix}intercept"] = intercept[:, o]
    return pd.concat([frame, pd.DataFrame(weights)], axis=1)
