"""What boxes know from the boxes that they are halves of: bounds of hidden tensors."""

from __future__ import annotations

import numpy as np
import torch

from ..graph import INPUT
from ..graph.op import size
from .backward import Trace
from .piecewise import Bounds
from .program import Program

MEMORY = 2**26
"""Numbers that are kept: 256 MB in float32. Boxes beyond start from nothing."""


class Inherited:
    """Bounds of every hidden tensor of a program, a slot for each box whose halves are not both done.

    They hold on the halves too. What they save: a unit that stays on one side of its kink need not be looked at in any part of the box.
    """

    def __init__(self, program: Program):
        self.names = tuple(name for name in program.hidden if name != INPUT)
        self.shapes = {name: program.shapes[name] for name in self.names}
        width = 2 * sum(map(size, self.shapes.values()))
        self.most = MEMORY // max(width, 1) if width else 1
        self._values = torch.full((1, width), torch.nan, dtype=program.dtype, device=program.device)
        self._uses = np.zeros(1, dtype=np.int64)
        self._free: list[int] = []
        starts = np.cumsum([0, *(2 * size(shape) for shape in self.shapes.values())])
        self._begin = dict(zip(self.names, starts.tolist(), strict=False))

    def put(self, trace: Trace, rows: np.ndarray, uses: int) -> np.ndarray:
        """Keep what a trace knows of these rows, for so many readers each. Their slots; -1 where there is no room."""
        slots = np.full(len(rows), -1)
        n = min(len(rows), self._room(len(rows)))
        if not n or not self.names:
            return slots
        slots[:n], self._free = self._free[-n:], self._free[:-n]
        at = torch.as_tensor(rows[:n], device=self._values.device)
        flat = [b.flatten(1)[at] for name in self.names for b in trace.bounds[name]]
        self._values[torch.as_tensor(slots[:n], device=self._values.device)] = torch.cat(flat, dim=1)
        self._uses[slots[:n]] = uses
        return slots

    def cut(self, slots: np.ndarray, tensors: np.ndarray, units: np.ndarray, at: np.ndarray, side: int) -> None:
        """What is kept there holds where z >= at (side 1) or z <= at (-1) too, z one unit of a tensor (of `names`) for each slot."""
        for k in np.unique(tensors):
            here, name = np.flatnonzero(tensors == k), self.names[k]
            column = self._begin[name] + units[here] + (0 if side > 0 else size(self.shapes[name]))
            to = tuple(torch.as_tensor(a, device=self._values.device) for a in (slots[here], column))
            now, t = self._values[to], torch.as_tensor(at[here], device=self._values.device).to(self._values.dtype)
            self._values[to] = torch.maximum(now, t) if side > 0 else torch.minimum(now, t)

    def has_room(self, n: int) -> bool:
        """Can so many more be kept?"""
        return bool(self.names) and self._room(n) >= n

    def take(self, slots: np.ndarray) -> dict[str, Bounds]:
        """What is kept there, as `given` of `crown`; each slot is used once more."""
        if not self.names:
            return {}
        known = slots >= 0
        values = self._values[torch.as_tensor(np.where(known, slots, 0), device=self._values.device)]
        without = torch.as_tensor(~known, device=values.device).reshape(-1, 1)
        given, begin = {}, 0
        for name, shape in self.shapes.items():
            ends = []
            for infinite in (-torch.inf, torch.inf):
                part = values[:, begin : begin + size(shape)]
                ends.append(torch.where(without, infinite, part).reshape(len(slots), *shape))
                begin += size(shape)
            given[name] = ends[0], ends[1]
        np.subtract.at(self._uses, slots[known], 1)
        used = np.unique(slots[known])
        self._free.extend(used[self._uses[used] == 0].tolist())
        return given

    def _room(self, n: int) -> int:
        """How many of n slots there are, after growing."""
        have = len(self._uses)
        if len(self._free) < n and have < self.most:
            more = min(max(n, have), self.most - have)
            self._values = torch.cat([self._values, self._values.new_empty(more, self._values.shape[1])])
            self._uses = np.concatenate([self._uses, np.zeros(more, dtype=np.int64)])
            self._free.extend(range(have, have + more))
        return len(self._free)
