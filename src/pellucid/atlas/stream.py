"""Atlases larger than memory: parts on the disk, read when they are asked for (design/streaming.md)."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..certificate import Certificate
from ..chain import Chain, Rounding, confirmed
from ..geometry import Slice
from ..graph import Network
from ..regions import codes_of
from ..regions.parallel import Task, extent, faces, whole
from ..regions.planar import Cells
from ..regions.stream import empty, join
from ..regions.table import Table
from ..tolerance import CHECK_AREA, ON_FACE
from .atlas import LARGEST_COLUMN, Atlas, PartialAtlas
from .locate import _by_code, by_geometry, coordinates
from .parts import Folder, PartFile, open_folder, with_runner_up
from .polytopes import by_open_columns

if TYPE_CHECKING:
    import pandas as pd

    from .region import Region

_KEPT = 4
"""Parts that stay in memory when they were read."""


def open_streamed(path: str | Path, reason: str = "") -> StreamedAtlas:
    """The atlas in a folder that `linear_regions(..., to=path)` wrote; reason: why it is unfinished, where that is known."""
    folder = open_folder(path)
    rest = tuple(task for _, task, done in folder.tasks() if not done)
    return StreamedAtlas(folder, tuple(folder.parts()), rest, reason or ("unfinished" if rest else ""))


@dataclass(frozen=True, eq=False, repr=False)
class StreamedAtlas:
    """An atlas on the disk: its parts are atlases in memory, one at a time; rows are numbered through all, sorted by code.

    Made by `pellucid.linear_regions(..., to=path)`, `pellucid.resume(path)` and `pellucid.load_atlas(path)`. `chunks()` goes through
    it, `select` and `load` give an Atlas where that fits into memory. Where a budget ran out `is_complete` is False, and
    `pellucid.resume(path)` finds the rest.
    """

    folder: Folder
    parts: tuple[PartFile, ...]
    rest: tuple[Task, ...]
    reason: str
    _cache: OrderedDict[int, Atlas] = field(default_factory=OrderedDict)

    # ---- what it is of
    @property
    def path(self) -> Path:
        return self.folder.path

    @property
    def network(self) -> Network:
        return self.folder.question.network

    @property
    def domain(self) -> Slice:
        return self.folder.question.domain

    @property
    def by(self) -> str | None:
        return self.folder.question.by

    @property
    def threshold(self) -> float:
        return self.folder.question.threshold

    @property
    def chain(self) -> Chain:
        from ..chain import chain_of

        return chain_of(self.network)

    # ---- what the parts' figures tell
    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def n_regions(self) -> int:
        """Linear regions (not pieces) found."""
        return sum(part.figures["regions"] for part in self.parts)

    @property
    def is_complete(self) -> bool:
        """All parts are there: the rows cover the domain."""
        return not self.rest

    @property
    def share(self) -> float:
        """How much of the work is done: of the area or volume, or of the tasks where neither is known."""
        return 1.0 if self.is_complete else max(0.0, 1.0 - sum(task.size for task in self.rest))

    @property
    def found_volume(self) -> float:
        """Of all rows, in u. AttributeError where the engine gave none."""
        sizes = [part.figures["volume"] for part in self.parts]
        if any(size is None for size in sizes):
            raise AttributeError(f"volumes of regions in {self.domain.dim} dimensions are not computed; engine='vertex' gives them in few")
        return float(sum(sizes))

    @cached_property
    def total_volume(self) -> float:
        """Of the domain, in u; NaN where the engine computes none."""
        return extent(self.folder.question.work, whole(self.folder.question.work))

    def by_class(self) -> pd.DataFrame:
        """Rows, volume and share of every class that is given (split by class or top2); no part is read."""
        import pandas as pd

        if self.by is None:
            raise AttributeError("this atlas has no classes: make it with linear_regions(..., by='class' or by='top2')")
        rows = [row for part in self.parts for row in part.figures["classes"]]
        table = pd.DataFrame(pd.DataFrame(rows, columns=["class", "pieces", "volume"]).groupby("class", as_index=False).sum(min_count=1))
        volume = table["volume"].to_numpy(dtype=float)
        table["class"] = [self._label(int(k)) for k in table["class"]]
        return table.drop(columns="volume") if np.isnan(volume).any() else table.assign(share=volume / self.total_volume)

    def _label(self, k: int) -> str:
        if not self.network.is_multilabel:
            return self.network.class_names[k]
        return " + ".join(name for j, name in enumerate(self.network.output_names) if k >> j & 1) or "none"

    # ---- parts in memory
    def chunks(self) -> Iterator[Atlas]:
        """The parts, one after the other, each an Atlas of its rows in memory; two are never held at once here."""
        for part in self.parts:
            yield self._of(self.folder.read(part).cells)

    def __getitem__(self, k: int) -> Region:
        if not -len(self) <= k < len(self):
            raise IndexError(f"region {k}: the atlas has {len(self)}")
        k = int(k) % len(self)
        i = int(np.searchsorted(self._starts, k, side="right")) - 1
        return self._kept(i)[k - int(self._starts[i])]

    def _of(self, cells: Cells | Table) -> Atlas:
        claim = self.certificate
        mine = replace(claim, reason=f"a part of an atlas that is {claim.reason}")
        if isinstance(cells, Table) and cells.domain_volume is not None:
            cells = replace(cells, domain_volume=self._known_volume)
        return Atlas(self.network, self.domain, cells, self.by, self.threshold, mine, is_selection=True)

    def _kept(self, i: int) -> Atlas:
        """Part i, which stays in memory for a while."""
        if i in self._cache:
            self._cache.move_to_end(i)
        else:
            while len(self._cache) >= _KEPT:
                self._cache.popitem(last=False)
            self._cache[i] = self._of(self.folder.read(self.parts[i]).cells)
        return self._cache[i]

    @cached_property
    def _starts(self) -> np.ndarray:
        return np.concatenate([[0], np.cumsum([len(part) for part in self.parts])]).astype(np.int64)

    # ---- points
    def __call__(self, x) -> np.ndarray:
        """Values of the network by the regions' models, (n, c); NaN outside the domain and in what is not explored."""
        u, in_plane = coordinates(self, x)
        return self.values_u(np.where(in_plane[:, None], u, np.nan))

    def locate(self, x) -> np.ndarray:
        """Row of each point, (n,) int, -1 outside the domain (or in its unexplored rest), for x (n, d), or u (n, k).

        As `Atlas.locate`. Reads the parts that the points lie in, each once: ask for many points in one call.
        """
        u, in_plane = coordinates(self, x)
        found = np.full(len(u), -1, dtype=np.int64)
        found[in_plane] = self.locate_u(u[in_plane])
        return found

    def values_u(self, u: np.ndarray) -> np.ndarray:
        """Values at coordinates u of the slice; a network of k inputs takes them for features elsewhere."""
        rows = self.locate_u(u)
        y = np.full((len(u), self.network.n_outputs), np.nan)
        at = np.searchsorted(self._starts, rows, side="right") - 1
        for i in np.unique(at[rows >= 0]):
            met = np.flatnonzero((at == i) & (rows >= 0))
            part, k = self._kept(int(i)), rows[met] - self._starts[i]
            y[met] = np.einsum("ncj,nj->nc", part.coef_u[k], u[met]) + part.intercept_u[k]
        return y

    def locate_u(self, u: np.ndarray) -> np.ndarray:
        """`locate` for coordinates u of the slice."""
        found = np.full(len(u), -1, dtype=np.int64)
        rows = np.flatnonzero(np.isfinite(u).all(axis=1))
        rows = rows[_inside(*self.domain.constraints[:2], u[rows], self.domain.bounds)]
        if len(rows) and self.parts:
            found[rows] = self._locate(u[rows])
        return found

    def _locate(self, u: np.ndarray) -> np.ndarray:
        found = np.full(len(u), -1, dtype=np.int64)
        codes = codes_of(self.folder.question.work.chain, u)
        at = _last_not_above(np.stack([part.first_code for part in self.parts if len(part)]), codes)
        filled = np.array([i for i, part in enumerate(self.parts) if len(part)])
        for i in np.unique(at[at >= 0]):
            points, part = np.flatnonzero(at == i), int(filled[i])
            row = _by_code(self._kept(part), u[points])
            found[points] = np.where(row >= 0, row + self._starts[part], -1)
        return self._by_geometry(u, found)

    def _by_geometry(self, u: np.ndarray, found: np.ndarray) -> np.ndarray:
        """For points on faces, and those whose code names no region: the smallest row of all parts that touch them."""
        place = {part.name: i for i, part in enumerate(self.parts)}
        lost = np.flatnonzero(found < 0)
        for name, task, _ in self.folder.tasks() if len(lost) else ():
            if len(lost) == 0:
                break
            near = lost[self._touches(task, u[lost])] if name in place else lost[:0]
            if len(near) == 0:
                continue
            part = self._kept(place[name])
            row = by_geometry(part, u[near]) if part.is_planar else by_open_columns(part, u[near])
            found[near] = np.where(row >= 0, row + self._starts[place[name]], -1)
            lost = lost[found[lost] < 0]
        return found

    def _touches(self, task: Task, u: np.ndarray) -> np.ndarray:
        if task.polygon is None:
            return _inside(*faces(self.folder.question.work, task), u, self.domain.bounds)
        edge = np.roll(task.polygon, -1, axis=0) - task.polygon
        G = np.column_stack([edge[:, 1], -edge[:, 0]])
        return _inside(G, (G * task.polygon).sum(axis=1), u, self.domain.bounds)

    # ---- parts of it in memory, tables
    def select(self, *, first: int | str | Sequence | None = None, second: int | str | Sequence | None = None, where=None) -> Atlas:
        """The rows with these classes, cut to where A f(x) <= b, in memory; as `Atlas.select`. MemoryError where they are too many."""
        kept, size = [], 0
        for part in self.parts:
            read = self.folder.read(part)
            cells = self._of(read.cells).select(first=first, second=second, where=where).cells
            size += _bytes(cells)
            _check_size(size, "what is selected")
            kept.append(replace(read, cells=cells))
        cells = with_runner_up(self.folder.question, join(self.folder.question.work, kept, (), "", self._known_volume))
        claim = self.certificate
        return Atlas(self.network, self.domain, cells, self.by, self.threshold,
                     replace(claim, reason=f"a selection of an atlas that is {claim.reason}"), is_selection=True)

    def load(self) -> Atlas:
        """All of it as an Atlas in memory; a PartialAtlas where it is unfinished. MemoryError where it is too large."""
        _check_size(sum(int(_row_bytes(self) * len(part)) for part in self.parts), "all rows")
        work = self.folder.question.work
        parts = [self.folder.read(part) for part in self.parts]
        cells = with_runner_up(self.folder.question, join(work, parts, self.rest, self.reason, self._known_volume))
        return (PartialAtlas if self.rest else Atlas)(self.network, self.domain, cells, self.by, self.threshold, self.certificate)

    def frames(self, *, maps: bool = True) -> Iterator[pd.DataFrame]:
        """`Atlas.to_frame` of part after part; `region` numbers the regions through all of them."""
        before = 0
        for part, chunk in zip(self.parts, self.chunks(), strict=True):
            frame = chunk.to_frame(maps=maps)
            frame["region"] += before
            before += part.figures["regions"]
            yield frame

    def to_frame(self, *, maps: bool = True) -> pd.DataFrame:
        """One row a region, as `Atlas.to_frame`, all at once; `frames` gives the same in parts. MemoryError where it is too large."""
        import pandas as pd

        width = 8 * self.network.n_outputs * self.network.n_inputs if maps else 0
        _check_size(len(self) * (width + 64), "the table")
        frames = list(self.frames(maps=maps))
        return pd.concat(_same_classes(frames, self.network.class_names), ignore_index=True) if frames else pd.DataFrame()

    # ---- claims
    @cached_property
    def certificate(self) -> Certificate:
        """What the parts together prove; see `Atlas.certificate`."""
        from .enumerate import _certificate

        q = self.folder.question
        summary = self._summary()
        seconds = sum(part.figures["seconds"] for part in self.parts)
        claim = _certificate(summary, q.domain, self._decided, q.engine, seconds)
        return replace(claim, figures={**claim.figures, "rows": len(self), "parts": len(self.parts), "tasks left": len(self.rest)})

    @cached_property
    def _decided(self) -> Rounding:
        """Proved if what was found out in every part proves it."""
        q = self.folder.question
        shares = [part.figures.get("rounding share") for part in self.parts]
        share = max((math.nan if s is None else s for s in shares), default=math.nan) if None not in shares else math.nan
        return confirmed(q.decided, self.chain, share, outputs=q.by is not None)

    def _summary(self) -> Any:
        """The parts' figures as cells without rows."""
        none, work = empty(self.folder.question.work), self.folder.question.work
        figures = [part.figures["cells"] for part in self.parts]
        sums = {name: sum(f[name] for f in figures) for name in ("unresolved", "ties", "unresolved_area", "unresolved_volume")
                if getattr(none, name, None) is not None}
        state = {"complete": self.is_complete, "reason": self.reason}
        volumes = [part.figures["volume"] for part in self.parts]
        if isinstance(none, Cells):
            sums = _lost(sums, "unresolved_area", sum(volumes), self.domain.polygon.area, self.is_complete)
            return replace(none, **sums, **state, area=np.array(volumes))
        if none.unresolved_thickness is not None:
            sums["unresolved_thickness"] = max((f["unresolved_thickness"] for f in figures), default=0.0)
        total = None if none.volume is None else extent(work, whole(work))
        if total is not None:
            sums = _lost(sums, "unresolved_volume", sum(volumes), total, self.is_complete)
        return replace(none, **sums, **state, domain_volume=total, rest_cells=len(self.rest), rest_share=1.0 - self.share)

    def check(self, *, points: int = 10_000, seed: int = 0) -> Certificate:
        """Re-derive by other code: every part is sorted, has codes of its own and passes `Atlas.check`, areas or volumes add up to
        the domain's, and random points of it are found, with the network's values. Reads everything once."""
        from .streamed_check import check

        return check(self, points=points, seed=seed)

    # ---- inner
    @property
    def _known_volume(self) -> float | None:
        return None if np.isnan(self.total_volume) else self.total_volume

    def __getattr__(self, name: str):
        if hasattr(Atlas, name):
            raise AttributeError(f"a StreamedAtlas has no '{name}', since its rows are on the disk: take it of load(), of select(...), "
                                 "or of each part in chunks()")
        raise AttributeError(f"'StreamedAtlas' has no attribute '{name}'")

    def __repr__(self) -> str:
        what = f"{self.n_regions} regions" + (f" in {len(self)} pieces by {self.by}" if self.by else "")
        return f"StreamedAtlas({what} in {len(self.parts)} parts over {self.domain!r}, {self.certificate.reason})"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p>{escape(repr(self))}</p>" + (next(self.frames(maps=False)).head(10).to_html() if self.parts else "")


def _inside(G: np.ndarray, h: np.ndarray, u: np.ndarray, bounds) -> np.ndarray:
    """Is each point where G u <= h, ON_FACE beyond it included? (n,) bool."""
    room = ON_FACE * (np.abs(G) @ (bounds[1] - bounds[0]))
    return np.all(u @ G.T <= h + room, axis=1)


def _last_not_above(codes: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """For each query the last of the sorted codes that is not larger; -1 where all are."""
    if codes.shape[1] == 0:
        return np.zeros(len(queries), dtype=np.int64)

    def keys(words: np.ndarray) -> np.ndarray:        # bytes in the order of the words' values
        return np.ascontiguousarray(words.astype(">u8")).view(f"S{8 * words.shape[1]}").ravel()

    return np.searchsorted(keys(codes), keys(queries), side="right") - 1


def _lost(sums: dict, name: str, found: float, total: float, complete: bool) -> dict:
    """What the parts do not sum up to is unresolved: nothing between two tasks goes unseen."""
    missing = abs(found - total)
    if not complete or missing <= CHECK_AREA * total:
        return sums
    return {**sums, "unresolved": sums["unresolved"] + 1, name: sums[name] + missing}


def _row_bytes(atlas: StreamedAtlas) -> int:
    """Memory of a row, about."""
    net, k, words = atlas.network, atlas.domain.dim, max([part.figures["words"] for part in atlas.parts], default=1)
    shape = 100 if atlas.folder.question.engine == "planar" else 8 * (k + 2)
    return 8 * (words + net.n_outputs * (k + 1)) + shape + 8


def _bytes(cells: Cells | Table) -> int:
    return sum(v.nbytes for v in vars(cells).values() if isinstance(v, np.ndarray))


def _check_size(size: int, what: str) -> None:
    if size > LARGEST_COLUMN:
        raise MemoryError(f"{what} would take {size / 1e9:.0f} GB: go through chunks() or frames(), or select less")


def _same_classes(frames: list[pd.DataFrame], names: Sequence[str]) -> list[pd.DataFrame]:
    """Frames whose class columns have the same categories, so that they stay categories when put together."""
    for column in ("first", "second"):
        if column in frames[0]:
            given = {name for frame in frames for name in frame[column].cat.categories}
            order = [name for name in names if name in given] + sorted(given - set(names))
            for frame in frames:
                frame[column] = frame[column].cat.set_categories(order)
    return frames
