"""The answer of EVA: scores, the bounds they come from, and what is known of the true drops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..certificate import Certificate
from .groups import Groups

if TYPE_CHECKING:
    import pandas as pd

Attained = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False, repr=False)
class Attribution:
    """How much the freezing of each group u lowers what perturbations can do: EVA(u) = AObar(B) - AObar(B_u) (EVA eq. 2).

    X: (n, *shape) the rows. label: (n,) the class c of each. target: (n,) the class c' asked about, -1 the best of the others.
    overlap: (n,) upper bounds of AO over B; frozen: (n, G) over each B_u. With target "all" both have an axis of classes behind the first;
    at c stands the untargeted overlap. settings: eps, p, method, sign, clip, overlap, quality. complete: False where an estimate
    stands in the place of bounds (the hybrid). `attained` is computed when it is first asked for, by `attack`, a function of rows' numbers.
    """

    X: np.ndarray
    label: np.ndarray
    target: np.ndarray
    groups: Groups
    overlap: np.ndarray
    frozen: np.ndarray
    settings: dict[str, Any]
    certificate: Certificate
    class_names: tuple[str, ...]
    attack: Callable[[np.ndarray], Attained] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, row: int | slice | np.ndarray) -> Attribution:
        """Some of the rows."""
        rows = slice(row, row + 1 or None) if isinstance(row, (int, np.integer)) else row
        numbers, attack = np.arange(len(self))[rows], self.attack

        def of_these(part: np.ndarray) -> Attained:
            if attack is None or "_attained" in self.__dict__:  # it has run
                return self.attained[numbers[part]], self.attained_frozen[numbers[part]]
            return attack(numbers[part])

        return Attribution(self.X[rows], self.label[rows], self.target[rows], self.groups, self.overlap[rows], self.frozen[rows],
                           self.settings, self.certificate, self.class_names, None if attack is None else of_these)

    # ---- scores
    @property
    def scores(self) -> np.ndarray:
        """(n, G), with target "all" (n, classes, G): EVA of each group. Differences of upper bounds: no bounds themselves."""
        return self.overlap[..., None] - self.frozen

    @property
    def images(self) -> np.ndarray:
        """The scores on the features: (n, *shape), or (n, classes, *shape)."""
        return self.groups.paint(self.scores)

    @property
    def is_estimate(self) -> bool:
        return bool(self.settings.get("estimate", False))

    # ---- what is known of the true drops
    @cached_property
    def _attained(self) -> Attained:
        if self.attack is None:
            return np.full(self.overlap.shape, -np.inf), np.full(self.frozen.shape, -np.inf)
        return self.attack(np.arange(len(self)))

    @property
    def attained(self) -> np.ndarray:
        """As overlap: what an attack attains of AO(B), an inner estimate. Computed when it is first asked for."""
        return self._attained[0]

    @property
    def attained_frozen(self) -> np.ndarray:
        """As frozen: what is attained of AO(B_u)."""
        return self._attained[1]

    @property
    def lower(self) -> np.ndarray:
        """As scores: the true drop AO(B) - AO(B_u) is at least this (SPEC 7)."""
        return np.maximum(0.0, self.attained[..., None] - self.frozen)

    @property
    def upper(self) -> np.ndarray:
        """As scores: the true drop is at most this."""
        return np.maximum(0.0, self.overlap[..., None] - self.attained_frozen)

    @property
    def ordered(self) -> np.ndarray:
        """(n,): the share of pairs of groups whose true drops are certainly in one order, their intervals being apart."""
        low, high = np.sort(self.lower, axis=-1), np.sort(self.upper, axis=-1)
        G = low.shape[-1]
        if G < 2:
            return np.ones(low.shape[:-1])
        flat = [np.searchsorted(h, l, side="left").sum() for h, l in zip(high.reshape(-1, G), low.reshape(-1, G), strict=True)]
        return (np.array(flat) / (G * (G - 1) / 2)).reshape(low.shape[:-1])

    @property
    def loose(self) -> np.ndarray:
        """(n,) bool: the bounds are too loose to rank. No two groups are certainly in one order; scores are then a heuristic."""
        return self.ordered == 0

    # ---- tables, files
    def to_frame(self) -> pd.DataFrame:
        """One row a group of a row of X (and a class): score, rank, AObar(B), AObar(B_u), and the interval of the true drop."""
        import pandas as pd

        n, G = len(self), len(self.groups)
        classes = self.scores.shape[1] if self.scores.ndim == 3 else 1
        shape = (n, classes, G)
        scores = self.scores.reshape(shape)
        rank = np.argsort(np.argsort(-scores, axis=2, kind="stable"), axis=2) + 1
        target = np.arange(classes)[None] if self.scores.ndim == 3 else self.target[:, None]
        names = np.array([*self.class_names, "any other"], dtype=object)
        target = np.where(target == self.label[:, None], -1, target)
        columns = {
            "row": np.arange(n)[:, None, None], "class": names[self.label][:, None, None], "against": names[target][:, :, None],
            "group": np.array(self.groups.names, dtype=object), "score": scores, "rank": rank,
            "overlap": self.overlap.reshape(n, classes, 1), "overlap_frozen": self.frozen.reshape(shape),
            "drop_at_least": self.lower.reshape(shape), "drop_at_most": self.upper.reshape(shape),
        }
        return pd.DataFrame({k: np.broadcast_to(v, shape).ravel() for k, v in columns.items()})

    def save(self, path: str | Path) -> Path:
        """One .npz file of arrays and a line of JSON, without pickle."""
        import json

        path = Path(path)
        if path.suffix != ".npz":
            path = path.with_name(path.name + ".npz")
        path.parent.mkdir(parents=True, exist_ok=True)
        told = {k: (v.tolist() if isinstance(v, np.ndarray) else str(v) if isinstance(v, float) and not np.isfinite(v) else v)
                for k, v in self.settings.items()}
        told |= {"class_names": self.class_names, "groups": self.groups.names, "certificate": str(self.certificate)}
        arrays = {"X": self.X, "label": self.label, "target": self.target, "overlap": self.overlap, "overlap_frozen": self.frozen,
                  "scores": self.scores, "images": self.images, "attained": self.attained, "attained_frozen": self.attained_frozen,
                  "masks": self.groups.masks}
        with open(path, "wb") as f:
            np.savez_compressed(f, about=np.array(json.dumps(told, default=list)), **arrays)
        return path

    def __repr__(self) -> str:
        """The settings, the mean bound; how many maps are too loose to rank, for which the attack is run."""
        s = self.settings
        sets = f"eps {s['eps']:g}" if np.ndim(s["eps"]) == 0 else "eps by feature"
        what = f"Attribution({len(self)} rows x {len(self.groups)} groups, {s['method']}, {s['quality']}, L{s['p']:g} {sets}"
        tight = float(self.overlap.mean()) if len(self) else float("nan")
        return f"{what}, mean overlap {'estimate' if self.is_estimate else 'bound'} {tight:.4g}; {self.rank_words()})"

    def rank_words(self) -> str:
        """What the bounds say of the order of the groups."""
        if self.is_estimate:
            return "an estimate: it ranks, and proves nothing"
        loose = self.loose
        if not loose.any():
            return f"{float(np.mean(self.ordered)):.0%} of pairs of groups in certain order"
        where = "" if loose.all() else f" in {int(loose.sum())} of {loose.size} maps"
        return f"bounds too loose to rank for certain{where}"

    def _repr_html_(self) -> str:
        top = self.to_frame().sort_values(["row", "rank"]).groupby("row").head(5).head(25)
        table = top.to_html(index=False, float_format=lambda v: f"{v:.4g}")
        return f"<p>{escape(repr(self))}</p>{table}<p>{escape(str(self.certificate))}</p>"
