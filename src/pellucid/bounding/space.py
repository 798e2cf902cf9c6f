"""The space that a verification searches: coordinates in a box or ball, a graph from there to everything that cases speak of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..attacks import Sets, balls, boxes
from ..attacks.sets import added_up
from ..errors import DomainError
from ..geometry import Ball, Box, Slice, as_slice
from ..geometry.box import replace_box
from ..graph import INPUT, Graph, GraphBuilder, Network
from ..graph.op import size
from ..ops.linear import Linear
from ..ops.rearrange import Concat, Reshape
from .property import Case, Property


@dataclass(frozen=True, eq=False)
class Space:
    """Points v of `sets` (one set), the graph v -> outputs, and the cases C (outputs) <= b; x = lift(v) are the network's inputs.

    The outputs are those of the network; where a case or the domain has rows in x or v, these follow behind them. cases: with
    lower and upper in v, all finite. ball: where sets are balls in the 1- or 2-norm, as the user gave it. plain: v is x.
    """

    graph: Graph
    sets: Sets
    ball: Ball | None
    cases: tuple[Case, ...]
    lift: Callable[[np.ndarray], np.ndarray]
    plain: bool

    @property
    def dim(self) -> int:
        """Coordinates that move."""
        return int((self.sets.lower[0] < self.sets.upper[0]).sum())


def space_of(net: Network, domain, p: Property) -> Space:
    """DomainError where the domain is empty, unbounded or does not fit the network."""
    if isinstance(domain, Ball):
        sets, ball = _ball_sets(net, domain), None if np.isinf(domain.p) else domain
        return _plain(net, sets, ball, p.unsafe, *_around(domain, sets))
    if isinstance(domain, Box):
        box = _in_order(domain, net.feature_names)
        _check_bounded(box)
        return _plain(net, boxes(box.lower, box.upper), None, [_with_rows(c, box.A, box.b) for c in p.unsafe], box.lower, box.upper)
    return _in_plane(net, as_slice(domain, net.feature_names), p.unsafe)


def _plain(net: Network, sets: Sets, ball: Ball | None, cases, lower: np.ndarray, upper: np.ndarray) -> Space:
    cut = [replace(c, lower=np.maximum(c.lower, lower), upper=np.minimum(c.upper, upper)) for c in cases]
    cut = [c for c in cut if not (c.lower > c.upper).any()]
    graph = net.graph
    if any(c.Q.any() for c in cut):
        graph = followed_by(graph, [INPUT])
        cut = [replace(c, C=np.hstack([c.C, c.Q])) for c in cut]
    return Space(graph, sets, ball, tuple(replace(c, Q=np.zeros_like(c.Q)) for c in cut), _same, True)


def _in_plane(net: Network, plane: Slice, cases) -> Space:
    """x = x0 + P u as a first layer; what bounds x there becomes rows in x, what bounds u rows in u."""
    lower, upper, exact = _coordinate_bounds(plane)
    sets = boxes(lower, upper)
    _check_bounded(sets)
    moves = plane.P.any(axis=1) & (not exact)                   # where coordinates are features, their box says it all
    low, up = (np.where(moves, b, sign * np.inf) for b, sign in ((plane.box.lower, -1.0), (plane.box.upper, 1.0)))
    rows = []
    for c in cases:
        c = replace(c, lower=np.maximum(c.lower, low), upper=np.minimum(c.upper, up))
        c = _with_rows(_bounds_as_rows(c), plane.box.A, plane.box.b)
        V = np.vstack([np.zeros((len(c.b), plane.dim)), plane.A])
        c = _with_rows(c, np.zeros((len(plane.b), len(plane.x0))), plane.b)
        rows.append(Case(np.hstack([c.C, c.Q, V]), np.zeros((len(c.b), plane.dim)), c.b, c.strict, lower, upper))
    graph = followed_by(_behind(plane, net.graph), ["slice", INPUT])
    return Space(graph, sets, None, tuple(rows), plane.point, False)


def _check_bounded(sets: Sets | Box) -> None:
    if not (np.isfinite(sets.lower).all() and np.isfinite(sets.upper).all()):
        raise DomainError("a domain to verify over has to be bounded in every feature")


def _same(v: np.ndarray) -> np.ndarray:
    return v


def _in_order(box: Box, names: tuple[str, ...]) -> Box:
    """The box with its features as the network's."""
    if box.n_inputs == len(names) and (box.names is None or tuple(box.names) == names):
        return replace_box(box, names=names)
    if (box.lower < box.upper).any() or box.n_inputs != len(names) or set(box.names or ()) != set(names):
        return as_slice(box, names).box
    order = [box.names.index(n) for n in names]
    return Box(box.lower[order], box.upper[order], names, A=box.A[:, order], b=box.b)


def _ball_sets(net: Network, ball: Ball) -> Sets:
    centre, d = np.asarray(ball.center, dtype=np.float64), net.n_inputs
    if centre.size != d:
        raise DomainError(f"the ball has {centre.size} features, the network takes {d}; one ball at a time is verified")
    eps, low, up = _spread(ball.eps, d), None, None
    if ball.free is not None:
        eps = np.where(_spread(ball.free, d) != 0, eps, 0.0)
    if ball.clip is not None:
        low, up = (_spread(c, d) for c in ball.clip)
    return balls(centre.reshape(-1), eps, ball.p, low, up)


def _around(ball: Ball, sets: Sets) -> tuple[np.ndarray, np.ndarray]:
    """The box around a ball, which bounds have to hold on: its ends rounded outward, where those of `sets`, for witnesses, go inward."""
    centre, eps = np.asarray(ball.center, dtype=np.float64).reshape(-1), _spread(ball.eps, sets.lower.shape[1])
    if ball.free is not None:
        eps = np.where(_spread(ball.free, len(centre)) != 0, eps, 0.0)
    low, up = -added_up(-centre, eps), added_up(centre, eps)
    if ball.clip is not None:
        low, up = np.maximum(low, _spread(ball.clip[0], len(centre))), np.minimum(up, _spread(ball.clip[1], len(centre)))
    return low, up


def _spread(value, d: int) -> np.ndarray:
    return np.broadcast_to(np.asarray(value, dtype=np.float64).reshape(-1), (d,))


def _coordinate_bounds(plane: Slice) -> tuple[np.ndarray, np.ndarray, bool]:
    """Bounds of u, and whether they are the features' own; elsewhere a little wider than the programmes (or corners) behind them say."""
    if plane.free is not None and all((plane.P[list(g), k] == 1.0).all() and not plane.x0[list(g)].any()
                                      for k, g in enumerate(plane.free)):
        _ = plane.constraints                                   # DomainError where a fixed feature lies outside
        low = np.array([plane.box.lower[list(g)].max() for g in plane.free])
        up = np.array([plane.box.upper[list(g)].min() for g in plane.free])
        if (low > up).any():
            raise DomainError("the slice holds no point: features that move together have ranges that do not meet")
        return low, up, True
    lower, upper = plane.bounds
    room = 1e-9 * np.maximum(upper - lower, np.abs(lower) + np.abs(upper))
    return lower - room, upper + room, False


def _behind(plane: Slice, graph: Graph) -> Graph:
    """The graph of u -> f(x0 + P u)."""
    builder = GraphBuilder((plane.dim,))
    x = builder.add(Linear(plane.P, plane.x0), INPUT, name="slice")
    if graph.input_shape != (len(plane.x0),):
        x = builder.add(Reshape(graph.input_shape), x, name="slice_shaped")
    return builder.graph(_appended(builder, graph, x))


def _appended(builder: GraphBuilder, graph: Graph, start: str) -> str:
    name = {INPUT: start}
    for node in graph.nodes:
        name[node.name] = builder.add(node.op, *(name[s] for s in node.inputs), name=node.name)
    return name[graph.output]


def followed_by(graph: Graph, names: list[str]) -> Graph:
    """The graph whose outputs are followed by the values of these nodes, flattened."""
    builder = GraphBuilder(graph.input_shape)
    parts = [_appended(builder, graph, INPUT), *names]
    flat = [n if len(builder.shapes[n]) == 1 else builder.add(Reshape((size(builder.shapes[n]),)), n) for n in parts]
    return builder.graph(builder.add(Concat(0, (None,) * len(flat)), *flat))


def _with_rows(c: Case, A: np.ndarray, b: np.ndarray) -> Case:
    """The case and A x <= b."""
    if not len(b):
        return c
    return Case(np.vstack([c.C, np.zeros((len(b), c.C.shape[1]))]), np.vstack([c.Q, A]), np.concatenate([c.b, b]),
                np.concatenate([c.strict, np.zeros(len(b), dtype=bool)]), c.lower, c.upper)


def _bounds_as_rows(c: Case) -> Case:
    """lower <= x <= upper as rows in x, where x is no coordinate of its own."""
    eye, up, low = np.eye(len(c.lower)), np.isfinite(c.upper), np.isfinite(c.lower)
    free = np.full(len(c.lower), np.inf)
    return replace(_with_rows(c, np.vstack([eye[up], -eye[low]]), np.concatenate([c.upper[up], -c.lower[low]])), lower=-free, upper=free)
