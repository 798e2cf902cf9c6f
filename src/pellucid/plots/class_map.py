"""Which class is given where (CEE Fig. 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..atlas import Atlas
from ..errors import DataError
from ..explain.weights import sample_rows
from .colours import apart, class_colours
from .scene import Dots, Key, Scene, class_borders, map_of, share

MOST_KEYS = 20


def class_map(atlas: Atlas, ax=None, *, data=None, labels=None, colours: str | Sequence[str] | None = None, title: str | None = None):
    """Draw the exact areas of each class; matplotlib Axes.

    ax: Axes to draw on, None for a new figure. data: rows (n, d), a frame, or u (n, 2), drawn where they project onto the
    slice. labels: (n,) their classes, by number or name. colours: None (Okabe-Ito), "ordered" (dark to light, for classes
    with an order) or a list, one a class. The legend has the classes that are given, with their shares of the area.

    Raises AttributeError for an atlas not split by class, DataError for data that do not fit.
    """
    from .matplotlib import draw

    return draw(class_scene(atlas, data=data, labels=labels, colours=colours, title=title), ax)


def class_scene(atlas: Atlas, *, data=None, labels=None, colours=None, title=None) -> Scene:
    """What `class_map` draws."""
    first = atlas.first.astype(np.int64)
    given, place = np.unique(first, return_inverse=True)
    palette = _palette(atlas, given, colours)
    dots, place_of_dots, palette = _dots(atlas, data, labels, given, palette, colours)
    area = np.bincount(place, weights=atlas.volume, minlength=len(given)) / atlas.domain.polygon.area
    keys = [Key(f"{atlas.class_label(int(k))} ({share(a)})", palette[i]) for i, (k, a) in enumerate(zip(given, area, strict=True))]
    keys = _shortened(keys, area) + [k for k in place_of_dots if k is not None]
    n = atlas.n_regions
    heading = title if title is not None else f"Class given, on {n} linear region{'s' if n != 1 else ''}"
    return map_of(atlas, place, palette, heading, edges=class_borders(atlas), keys=tuple(keys), dots=dots)


def _palette(atlas: Atlas, classes: np.ndarray, colours) -> tuple[str, ...]:
    """A colour for each of these classes: by the class's own number, so that pictures of one network agree."""
    if atlas.network.is_multilabel:
        return class_colours(len(classes), colours)
    everyone = class_colours(len(atlas.network.class_names), colours)
    return apart([everyone[int(k)] for k in classes], everyone)


def _shortened(keys: list[Key], area: np.ndarray) -> list[Key]:
    """The keys of the largest classes, in the classes' order, where there are too many for a legend."""
    if len(keys) <= MOST_KEYS:
        return keys
    kept = np.sort(np.argsort(-area, kind="stable")[:MOST_KEYS - 1])
    rest = 1.0 - float(area[kept].sum()) - (1.0 - float(area.sum()))
    return [keys[int(k)] for k in kept] + [Key(f"{len(keys) - len(kept)} more ({share(rest)})", "#ffffff")]


def _dots(atlas: Atlas, data, labels, given, palette, colours):
    """Dots, their keys, and the palette with colours for classes that only data have."""
    if data is None:
        return None, [], palette
    u = data_points(atlas, data)
    if labels is None:
        return Dots(u, np.full(len(u), len(palette))), [Key(f"data ({len(u)} rows)", "#ffffff", marker=True)], (*palette, "#ffffff")
    classes = _class_numbers(atlas, labels, len(u))
    others = np.setdiff1d(classes, given)
    everyone = np.concatenate([given, others])
    order = np.argsort(everyone)
    colour = order[np.searchsorted(everyone[order], classes)]
    palette = (*palette, *_palette(atlas, others, colours))
    keys: list[Key] = [Key(f"data: {atlas.class_label(int(k))}", palette[len(given) + i], marker=True) for i, k in enumerate(others)]
    return Dots(u, colour), [Key(f"data ({len(u)} rows), by label", "#ffffff", marker=True), *keys], palette


def data_points(atlas: Atlas, data) -> np.ndarray:
    """(n, 2) where rows lie in the slice's plane, those off it projected onto it. DataError where the width does not fit."""
    d = atlas.network.n_inputs
    shape = np.shape(data)
    if d != 2 and not hasattr(data, "columns") and len(shape) == 2 and shape[1] == 2:
        return np.asarray(data, dtype=float)
    return atlas.domain.coordinates(sample_rows(atlas, data))[0]


def _class_numbers(atlas: Atlas, labels, n: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.shape != (n,):
        raise DataError(f"labels has shape {labels.shape}, data has {n} rows")
    if labels.dtype.kind in "iub":
        return labels.astype(np.int64)
    names = {name: k for k, name in enumerate(atlas.network.class_names)}
    if labels.dtype.kind == "f" and np.array_equal(labels, np.round(labels)):
        return labels.astype(np.int64)
    unknown = [str(s) for s in np.unique(labels.astype(str)) if str(s) not in names]
    if unknown:
        raise DataError(f"labels has '{unknown[0]}', which is no class; there are: {', '.join(names)}")
    return np.array([names[str(s)] for s in labels], dtype=np.int64)
