"""Which class is given where (CEE Fig. 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..atlas import Atlas
from ..atlas.locate import locate_u
from ..errors import DataError
from ..explain.weights import sample_rows
from .colours import CHALK, INK, apart, class_colours, is_dark
from .scene import Dots, Key, Name, Scene, class_borders, map_of, share

MOST_KEYS = 20

FEW, FEW_ORDERED = 8, 4
"""Classes up to which the legend alone tells them apart."""

GRID, LETTER = 128, (0.022, 0.025)
"""Points along either axis at which room for names is looked for; width and half height of a letter, of the map's sides."""


def class_map(atlas: Atlas, ax=None, *, data=None, labels=None, colours: str | Sequence[str] | None = None, title: str | None = None):
    """Draw the exact areas of each class; matplotlib Axes.

    ax: Axes to draw on, None for a new figure. data: rows (n, d), a frame, or u (n, 2), drawn where they project onto the
    slice. labels: (n,) their classes, by number or name. colours: None (Okabe-Ito), "ordered" (violet to yellow over the
    classes shown, for classes with an order) or a list, one a class. Many classes, and ordered ones, are
    named on the map too. The legend has the classes that are given, with their shares of the area.

    Raises MissingColumn for an atlas not split by class, DataError for data that do not fit.
    """
    from .matplotlib import draw

    return draw(class_scene(atlas, data=data, labels=labels, colours=colours, title=title), ax)


def class_scene(atlas: Atlas, *, data=None, labels=None, colours=None, title=None) -> Scene:
    """What `class_map` draws."""
    first = atlas.first.astype(np.int64)
    given, place = np.unique(first, return_inverse=True)
    shown = given if labels is None else np.union1d(given, _class_numbers(atlas, labels, len(np.asarray(labels))))
    palette = _palette(atlas, given, shown, colours)
    dots, place_of_dots, palette = _dots(atlas, data, labels, given, shown, palette, colours)
    area = np.bincount(place, weights=atlas.volume, minlength=len(given)) / atlas.domain.polygon.area
    names, numbered = (), False
    if len(given) > (FEW_ORDERED if colours == "ordered" else FEW):
        names, numbered = _names(atlas, given, palette)
    keys = [Key(f"{_legend(atlas, int(k), numbered)} ({share(a)})", palette[i]) for i, (k, a) in enumerate(zip(given, area, strict=True))]
    keys = _shortened(keys, area) + [k for k in place_of_dots if k is not None]
    n = atlas.n_regions
    heading = title if title is not None else f"Class given, on {n} linear region{'s' if n != 1 else ''}"
    return map_of(atlas, place, palette, heading, edges=class_borders(atlas), keys=tuple(keys), dots=dots, names=names)


def _legend(atlas: Atlas, k: int, numbered: bool) -> str:
    """The name of class k, behind its number where that stands on the map and the name does not tell it."""
    name = atlas.class_label(k)
    return f"{k}: {name}" if numbered and name.split()[-1:] != [str(k)] else name


def _names(atlas: Atlas, given: np.ndarray, palette: tuple[str, ...]) -> tuple[tuple[Name, ...], bool]:
    """Each class's name in the widest place of its area that holds the words; numbers for all (True) where names do not fit on
    all areas on which numbers do."""
    lower, upper = atlas.domain.bounds
    ticks = (np.arange(GRID) + 0.5) / GRID
    u = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 2)
    row = locate_u(atlas, lower + u * (upper - lower)).reshape(GRID, GRID)
    decided = np.where(row >= 0, atlas.first[row], -1)

    def written(text) -> tuple[Name, ...]:
        found = [(_place(decided == k, text(int(k))), text(int(k)), colour) for k, colour in zip(given, palette, strict=False)]
        return tuple(Name(lower + at * (upper - lower), words, CHALK if is_dark(colour) else INK)
                     for at, words, colour in found if at is not None)

    names, numbers = written(atlas.class_label), written(str)
    return (numbers, True) if len(numbers) > len(names) else (names, False)


def _place(area: np.ndarray, text: str) -> np.ndarray | None:
    """Where, in [0, 1]^2, a text lies on an area (GRID, GRID) bool, farthest from its rim; None where it does not fit."""
    from scipy.ndimage import distance_transform_edt, minimum_filter

    half = int(np.ceil(GRID * LETTER[0] * (len(text) + 1) / 2)), int(np.ceil(GRID * LETTER[1]))
    fits = minimum_filter(area, size=(2 * half[0] + 1, 2 * half[1] + 1), mode="constant", cval=False)
    if not fits.any():
        return None
    room = np.where(fits, distance_transform_edt(np.pad(area, 1))[1:-1, 1:-1], -1.0)
    return (np.array(np.unravel_index(int(room.argmax()), room.shape)) + 0.5) / GRID


def _palette(atlas: Atlas, classes: np.ndarray, shown: np.ndarray, colours) -> tuple[str, ...]:
    """A colour for each of these classes: by the class's own number, so that pictures of one network agree; in an order, spread
    over the classes shown, so that neighbours can be told apart."""
    if atlas.network.is_multilabel:
        return class_colours(len(classes), colours)
    if colours == "ordered":
        spread = class_colours(len(shown), colours)
        return tuple(spread[int(k)] for k in np.searchsorted(shown, classes))
    everyone = class_colours(len(atlas.network.class_names), colours)
    return apart([everyone[int(k)] for k in classes], everyone)


def _shortened(keys: list[Key], area: np.ndarray) -> list[Key]:
    """The keys of the largest classes, in the classes' order, where there are too many for a legend."""
    if len(keys) <= MOST_KEYS:
        return keys
    kept = np.sort(np.argsort(-area, kind="stable")[:MOST_KEYS - 1])
    rest = 1.0 - float(area[kept].sum()) - (1.0 - float(area.sum()))
    return [keys[int(k)] for k in kept] + [Key(f"{len(keys) - len(kept)} more ({share(rest)})", "#ffffff")]


def _dots(atlas: Atlas, data, labels, given, shown, palette, colours):
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
    palette = (*palette, *_palette(atlas, others, shown, colours))
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
