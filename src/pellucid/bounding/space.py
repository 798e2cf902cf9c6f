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
    lower and upper in v, all finite. ball: where the set is one in the 1- or 2-norm. plain: v is x.
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
        centre, eps, low, up = _one_ball(net, domain)
        ball = Ball(centre, eps, domain.p, clip=None if low is None else (low, up))
        return _plain(net, balls(centre, eps, ball.p, low, up), None if np.isinf(ball.p) else ball, p.unsafe,
                      *_around(centre, eps, low, up))
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


def _one_ball(net: Network, ball: Ball) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """(center, eps: 0 where frozen, clip's sides) of the one set that the ball holds, (d,) each."""
    from .sets import parts_of

    n, centre, eps, free, low, up = parts_of(ball.in_order(net.feature_names), net.input_shape, "cpu")
    if n > 1:
        raise DomainError(f"the ball holds {n} sets; one is verified at a time. Numbers for each feature have the shape of an input: "
                          f"{net.input_shape}")

    def flat(v) -> np.ndarray:
        v = np.asarray(v.detach() if hasattr(v, "detach") else v, dtype=np.float64)
        return np.broadcast_to(v, (1, *net.input_shape)).reshape(-1)

    scale = flat(eps) if free is None else np.where(flat(free) != 0, flat(eps), 0.0)
    return flat(centre), scale, None if low is None else flat(low), None if up is None else flat(up)


def _around(centre: np.ndarray, eps: np.ndarray, clip_low: np.ndarray | None, clip_up: np.ndarray | None
            ) -> tuple[np.ndarray, np.ndarray]:
    """The box around a ball, which bounds have to hold on: its ends rounded outward, where those of witnesses' sets go inward."""
    low, up = -added_up(-centre, eps), added_up(centre, eps)
    if clip_low is not None and clip_up is not None:
        low, up = np.maximum(low, clip_low), np.minimum(up, clip_up)
    return low, up


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
