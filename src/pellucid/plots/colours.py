"""Colours that readers with colour-vision deficiency and grey printers can tell apart. Hex strings, no library."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

OKABE_ITO = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999")
"""Okabe & Ito 2008, black (which lines have) replaced by grey, neighbours in the list far apart in lightness."""

CIVIDIS = ("#00224e", "#002e6a", "#1a386f", "#32436d", "#434e6c", "#535a6d", "#61656f", "#6f7073", "#7d7c78", "#8c8878", "#9b9476",
           "#aba072", "#bcae6c", "#cdbb63", "#dec958", "#f0d846", "#fee838")
"""Nuñez, Anderton & Renslow 2018: dark blue to yellow, even in lightness for every kind of colour vision."""

VIRIDIS = ("#48186a", "#472d7b", "#424086", "#3b528b", "#33638d", "#2c728e", "#26828e", "#21918c", "#1fa088", "#28ae80", "#3fbc73",
           "#5ec962", "#84d44b", "#addc30", "#d8e219", "#fde725")
"""Smith & van der Walt 2015 without its darkest tone: violet to yellow. Its steps differ in hue too, so that of areas side by side,
with no scale between them, it can be told which is which."""

RED_BLUE = ("#053061", "#2166ac", "#4393c3", "#92c5de", "#d1e5f0", "#f7f7f7", "#fddbc7", "#f4a582", "#d6604d", "#b2182b", "#67001f")
"""ColorBrewer RdBu (Brewer 2003), blue below 0, red above."""

NEUTRAL, EMPTY, INK, CHALK = "#d9d9d9", "#ffffff", "#1a1a1a", "#ffffff"
"""Regions that are beside the point; what is left out; lines on light colours; lines on dark ones."""


def class_colours(n: int, colours: str | Sequence[str] | None = None) -> tuple[str, ...]:
    """n colours for classes: Okabe-Ito, beyond eight its lighter and darker turns; "ordered": violet to yellow; or a list.

    ValueError where a list is too short.
    """
    if colours == "ordered":
        return _sample(VIRIDIS, np.linspace(0, 1, n) if n > 1 else np.zeros(1))
    if colours is not None:
        if isinstance(colours, str):
            raise ValueError(f"colours='{colours}': there is 'ordered', or give a list of {n} colours")
        if len(colours) < n:
            raise ValueError(f"colours has {len(colours)} entries; {n} classes need one each")
        return tuple(colours[:n])
    # each turn starts at another hue: class 9 is not a paler class 1
    lighter = [_mix(c, "#ffffff", 0.55) for c in OKABE_ITO[2:] + OKABE_ITO[:2]]
    darker = [_mix(c, "#000000", 0.45) for c in OKABE_ITO[5:] + OKABE_ITO[:5]]
    palette = [*OKABE_ITO, *lighter, *darker]
    return tuple(palette[k % len(palette)] for k in range(n))


def apart(colours: Sequence[str], palette: Sequence[str]) -> tuple[str, ...]:
    """The colours, each one that came before replaced by an unused one of the palette, as long as there are such."""
    free = [c for c in dict.fromkeys(palette) if c not in colours]
    seen: list[str] = []
    for colour in colours:
        seen.append(free.pop(0) if colour in seen and free else colour)
    return tuple(seen)


def sequential(n: int) -> tuple[str, ...]:
    """n colours from dark blue to yellow."""
    return _sample(CIVIDIS, np.linspace(0, 1, n) if n > 1 else np.zeros(1))


def diverging(n: int) -> tuple[str, ...]:
    """n colours from blue through near-white to red; for odd n the middle one is the neutral."""
    return _sample(RED_BLUE, np.linspace(0, 1, n))


def lighter(colour: str, share: float) -> str:
    """The colour mixed with white."""
    return _mix(colour, "#ffffff", share)


def is_dark(colour: str) -> bool:
    """Is light text easier to read on it than dark? By luma (Rec. 601)."""
    return float(_rgb(colour) @ (0.299, 0.587, 0.114)) < 128


def _sample(anchors: Sequence[str], at: np.ndarray) -> tuple[str, ...]:
    table = np.array([_rgb(a) for a in anchors])
    places = np.linspace(0, 1, len(anchors))
    return tuple(_hex(np.array([np.interp(t, places, table[:, k]) for k in range(3)])) for t in at)


def _mix(a: str, b: str, share: float) -> str:
    return _hex((1 - share) * _rgb(a) + share * _rgb(b))


def _rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i:i + 2], 16) for i in (1, 3, 5)], dtype=float)


def _hex(rgb: np.ndarray) -> str:
    return "#" + "".join(f"{round(v):02x}" for v in rgb)
