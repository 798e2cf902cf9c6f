"""Sets of inputs in torch, many at once, and the least value of linear forms over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DomainError
from ..geometry import Ball, Box, Slice, as_slice
from ..geometry.slice import NamedSlice
from ..graph.network import Network
from ..graph.op import Shape, size
from .lines import both, dot, exact_dot
from .rounding import gamma, tiny, unit
from .support import farthest


@dataclass(frozen=True, eq=False)
class InputSet:
    """n sets { x : lower <= x <= upper }, cut with { ||(x - centre) / scale||_p <= 1 } where p is 1 or 2.

    All (n, *input_shape), of one dtype and device, already rounded outwards: every point of what the user gave lies inside. For
    p = 1, 2 centre is what the ball's centre was rounded to and slack, entry by entry, what it was moved by.
    """

    lower: Tensor
    upper: Tensor
    p: float = math.inf
    centre: Tensor | None = None
    scale: Tensor | None = None
    slack: Tensor | None = None
    middles: dict[float, tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False, init=False)
    rooms: list[tuple[Tensor, Tensor] | None] = field(default_factory=list, repr=False, init=False)

    def __len__(self) -> int:
        return self.lower.shape[0]

    @property
    def shape(self) -> Shape:
        return tuple(self.lower.shape[1:])

    @property
    def dtype(self) -> torch.dtype:
        return self.lower.dtype

    @property
    def device(self):
        return self.lower.device

    @property
    def reach(self) -> Tensor:
        """(n, *shape): the largest |x| there can be."""
        return torch.maximum(self.lower.abs(), self.upper.abs())

    def _middle(self, g: float) -> tuple[Tensor, Tensor]:
        """Middle of the box, and minus its radius with what products that are off by g cost; kept where no gradient flows."""
        if g in self.middles:
            return self.middles[g]
        middle = torch.add(self.lower / 2, self.upper, alpha=0.5)
        radius = torch.maximum(self.upper - middle, middle - self.lower)
        made = middle, torch.add(radius, middle.abs(), alpha=g) * -(1 + 2 * g) - tiny(self.dtype) * 4
        if not self.lower.requires_grad and not self.upper.requires_grad:
            self.middles[g] = made
        return made

    def room(self) -> tuple[Tensor, Tensor] | None:
        """(n, *shape) each: how far a ball's features may go down and up before the box ends, in units of scale, 1 at most; rounded up.
        None where the box cuts nothing off."""
        assert self.centre is not None
        assert self.scale is not None
        if self.rooms:
            return self.rooms[0]
        u, small, moves = unit(self.dtype), tiny(self.dtype), self.scale > 0
        over, by = 1 + 16 * u, torch.where(moves, self.scale, 1.0)
        sides = [torch.where(moves, ((far.clamp(min=0) + self.slack) * over + small) / by * over + small, 0.0).clamp(max=1)
                 for far in (self.centre - self.lower, self.upper - self.centre)]
        cut = any(bool(((side < 1) & moves).any()) for side in sides)
        found = (sides[0], sides[1]) if cut else None
        if not any(t.requires_grad for t in (self.lower, self.upper, self.centre, self.scale)):
            self.rooms[:] = [found]
        return found

    def __getitem__(self, rows) -> InputSet:
        """The sets of these rows (a slice or index tensor)."""
        pick = {f: v[rows] for f in ("lower", "upper", "centre", "scale", "slack") if (v := getattr(self, f)) is not None}
        return replace(self, **pick)

    @cached_property
    def anchor(self) -> Tensor:
        """(n, *shape) float64: a ball's centre, or the middle of a box; without gradients."""
        return (self.lower / 2 + self.upper / 2 if self.centre is None else self.centre).detach().double()

    def least(self, L: Tensor, nodes: int = 0, at: Tensor | None = None) -> Tensor:
        """(n, s): lower bounds of L x over each set, for rows L (n or 1, s, *shape). Rounded down, all sums included. at: L times
        `anchor` in float64, where it is known.

        A box's is L c - |L| r with c its middle; a ball's L c - |L scale|_q, 1/p + 1/q = 1 (the dual norm). A ball that its box cuts
        (clip, half-balls) has the support function of both, nearly (`farthest`). A set that is both has the largest of what holds.
        The products are off by gamma |L| |c| at most, in any order of summation; those of float32 with a centre are made in float64.
        """
        g = gamma(L[0, 0].numel() + nodes + 16, L.dtype)
        small = tiny(L.dtype) * 4
        lost = L[0, 0].numel() * small                          # products of small rows
        middle, minus = self._middle(g)
        best = both(L, middle, minus) - lost
        if self.p == math.inf:
            return best
        size_, room = L.abs(), self.room()
        if room is None:
            scaled = (size_ * self.scale.unsqueeze(1)).flatten(2)
            norm = (_norm2(scaled) if self.p == 2 else scaled.amax(dim=2)) * (1 + 2 * g)
        else:
            scale, down, up_ = (t.flatten(1) for t in (self.scale, *room))
            norm = farthest(L.flatten(2), scale, down, up_, self.p, nodes) + 4 * small
            small = small * (1 + scale.amax(dim=1).reshape(-1, *[1] * len(self.shape)))
        at = exact_dot(L, self.centre.double()) if at is None else at             # in float64: off by its conversion only
        centred = gamma(nodes + 16, L.dtype) if L.dtype == torch.float32 else g
        ball = at.to(L.dtype) - norm - dot(size_, (self.slack + centred * self.centre.abs()) * (1 + 2 * g) + small) - 2 * lost
        return torch.fmax(best, ball)                           # where one overflowed, the other holds


def _norm2(x: Tensor) -> Tensor:
    """Of the last axis; squares that underflow may be missing from the sum, so their largest share is added. Differentiable at 0."""
    return (x * x).sum(dim=-1).clamp(min=tiny(x.dtype)).sqrt() + 2 * math.sqrt(x.shape[-1] * tiny(x.dtype))


def boxes(lower: Tensor, upper: Tensor) -> InputSet:
    """Boxes (n, *shape), as they are: branch and bound's cells, whose corners are floating point numbers."""
    return InputSet(lower, upper)


def down(x: Tensor, dtype: torch.dtype) -> Tensor:
    """x, or a number of the dtype a little below it: nothing is lost by less precision."""
    if x.dtype == dtype:
        return x
    y = x.to(dtype)
    return (y.abs() * (-2 * unit(dtype))).sub_(tiny(dtype)).add_(y)


def up(x: Tensor, dtype: torch.dtype) -> Tensor:
    if x.dtype == dtype:
        return x
    y = x.to(dtype)
    return (y.abs() * (2 * unit(dtype))).add_(tiny(dtype)).add_(y)


def input_set(net: Network, domain: Any, dtype: torch.dtype = torch.float64, device: Any = "cpu") -> InputSet:
    """What the user gave, a Ball, a Box (or a slice of one), or a sequence of those, as one InputSet.

    A box with further constraints, and a slice that is not along the axes, is bounded over its bounding box: sound, not tight.
    """
    if isinstance(domain, InputSet):
        return domain
    if isinstance(domain, Sequence) and len(domain) and not isinstance(domain, str):
        return join([input_set(net, d, dtype, device) for d in domain])
    shape = net.input_shape
    if isinstance(domain, Ball):
        return of_ball(domain.in_order(net.feature_names), shape, dtype, device)
    if isinstance(domain, Box | Slice | NamedSlice):
        low, high = _box_of(domain, net)
        lower, upper = (torch.as_tensor(v.reshape(1, *shape), device=device) for v in (low, high))
        return InputSet(down(lower, dtype), up(upper, dtype))
    raise DomainError(f"bounds take a pellucid Ball or Box, or a list of them, got a {type(domain).__name__}")


def join(sets: Sequence[InputSet]) -> InputSet:
    """One behind the other; they must be of one kind."""
    if len({s.p for s in sets}) > 1:
        raise DomainError("sets of different norms in one call: bound them one kind at a time")
    fields = ("lower", "upper", "centre", "scale", "slack")
    joined = {f: torch.cat([getattr(s, f) for s in sets]) for f in fields if getattr(sets[0], f) is not None}
    return replace(sets[0], **joined)


def _box_of(domain, net: Network) -> tuple[np.ndarray, np.ndarray]:
    names = net.feature_names
    if isinstance(domain, Box):
        given = domain
        if given.n_inputs != len(names):
            raise DomainError(f"the box has {given.n_inputs} features, the network takes {len(names)}")
        if given.names is not None and set(given.names) == set(names):
            order = [given.names.index(n) for n in names]
            low, high = given.lower[order], given.upper[order]
        elif given.names is None:
            low, high = given.lower, given.upper
        else:
            as_slice(given, names)                              # says what is wrong with the names
            low, high = given.lower, given.upper
    else:
        plane = as_slice(domain, names)
        a, b = plane.bounds
        middle, half = plane.x0 + plane.P @ ((a + b) / 2), np.abs(plane.P) @ ((b - a) / 2)
        room = 8 * np.finfo(float).eps * (np.abs(plane.x0) + np.abs(plane.P) @ (np.abs(a) + np.abs(b)))
        low, high = middle - half - room, middle + half + room
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise DomainError("bounds need a bounded set: every feature's lower and upper bound must be finite")
    return low, high


def of_ball(ball: Ball, shape: Shape, dtype, device) -> InputSet:
    """The box around each ball; the ball itself where it is none."""
    n, centre, scale, free, low, high = parts_of(ball, shape, device)
    scale = scale if free is None else torch.where(free, scale, 0.0)
    u64 = unit(torch.float64)
    moves = bool(scale.any())
    centre, scale = (t.expand(n, *shape) for t in (centre, scale))
    wide = (centre.abs() + scale).mul_(4 * u64).add_(scale) if moves else scale
    lower, upper = centre - wide, centre + wide
    if low is not None and high is not None:
        if _leaves(centre, low, high):
            raise DomainError("Ball: the center lies outside clip")
        lower, upper = lower.clamp_(min=low), upper.clamp_(max=high)
    box = InputSet(down(lower, dtype), up(upper, dtype))
    if ball.p == math.inf:
        return box
    middle = centre.to(dtype)
    slack = up((centre - middle.to(torch.float64)).abs() * (1 + 4 * u64), dtype)
    return replace(box, p=ball.p, centre=middle, scale=up(scale, dtype), slack=slack)


def parts_of(ball: Ball, shape: Shape, device
             ) -> tuple[int, Tensor, Tensor, Tensor | None, float | Tensor | None, float | Tensor | None]:
    """(sets, center, eps, free, clip's two sides): float64 (n or 1, *shape); the mask as bool, plain numbers of clip as such.

    Which numbers belong to a set and which to a feature is said here alone. DomainError where the parts do not go together.
    """
    centre = _batched(ball.center, shape, device, "center")
    scale = _batched(ball.eps, shape, device, "eps", whole=False)
    free = None if ball.free is None else _batched(ball.free, shape, device, "free") != 0
    low, high = (None, None) if ball.clip is None else (_bound(c, shape, device) for c in ball.clip)
    held = {name: len(v) for name, v in (("center", centre), ("eps", scale), ("free", free), ("clip[0]", low), ("clip[1]", high))
            if isinstance(v, Tensor)}
    n = max(held.values())
    if any(k not in (1, n) for k in held.values()):
        raise DomainError(f"Ball: {', '.join(f'{name} holds {k}' for name, k in held.items())} sets; each must hold 1 or {n}")
    return n, centre, scale, free, low, high


def _bound(value, shape: Shape, device) -> float | Tensor:
    """One side of clip: one number as such, which is met faster."""
    return float(value) if not isinstance(value, Tensor) and np.ndim(value) == 0 else _batched(value, shape, device, "clip", whole=False)


def _leaves(centre: Tensor, low: float | Tensor, high: float | Tensor) -> bool:
    """Does a centre lie outside clip?"""
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        return bool(((centre < low) | (centre > high)).any())
    least, most = torch.aminmax(centre)
    return bool((least < low) | (most > high))


def _batched(value, shape: Shape, device, name: str, whole: bool = True) -> Tensor:
    """(n or 1, *shape) float64 of a number, (d,), shape, (n, d) or (n, *shape); not whole: what broadcasts against them."""
    if isinstance(value, Tensor):
        x = value.to(device=device, dtype=torch.float64)
    else:
        x = torch.as_tensor(np.asarray(value, dtype=np.float64), device=device)
    d, given = size(shape), list(x.shape)
    if given in ([d], list(shape)):
        return x.reshape(1, *shape)
    if len(given) >= 2 and given[1:] in ([d], list(shape)):
        return x.reshape(given[0], *shape)
    if not whole:
        if x.dim() == 0:
            return x.expand(1, *shape)
        rank = len(shape) + 1
        if len(given) == rank and all(a in (1, b) for a, b in zip(given[1:], shape, strict=True)):
            return x.expand(given[0], *shape)
        if len(given) == len(shape) > 2 and all(a in (1, b) for a, b in zip(given, shape, strict=True)):
            return x.expand(1, *shape)                          # one a channel
        if len(given) == 2 and given[1] == 1:
            return x.reshape(given[0], *[1] * len(shape)).expand(given[0], *shape)
    raise DomainError(f"Ball: {name} has shape {tuple(given)}; the network takes {d} numbers, shape {shape}, with a batch axis before or "
                      "without")
