"""Branch and bound over inputs: parts cover the box, bounds and half-spaces hold on them, and mixtures are linear programmes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

import pellucid as pel
from pellucid.bounding.joint import joint

torch = pytest.importorskip("torch")

from nets import KINDS  # noqa: E402

from pellucid.bounding import by_inputs as module  # noqa: E402
from pellucid.bounding.leaves import BoxBounds  # noqa: E402
from pellucid.bounding.property import property_of  # noqa: E402
from pellucid.bounding.searching import Budget, Search  # noqa: E402
from pellucid.bounding.space import space_of  # noqa: E402

NEVER = 1e9
"""What a unit's split has to be worth so that none is."""


@pytest.mark.parametrize(("m", "k", "f"), [(4, 5, 0), (1, 2, 3), (4, 5, 6), (9, 8, 20), (1, 1, 0)])
def test_mixtures_are_linear_programmes(m, k, f, rng):
    n = 40
    size = 10.0 ** rng.uniform(-4, 4, (n, 1))
    slope, offset = rng.normal(size=(n, m, k)) * size[..., None], rng.normal(size=(n, m)) * size
    lower = rng.normal(size=(n, k))
    upper = lower + rng.uniform(0, 2, (n, k))
    upper[::4, 0] = lower[::4, 0]                               # a feature that stands still
    fact = rng.normal(size=(n, f, k))
    level = rng.normal(size=(n, f)) * 0.1 - np.einsum("nfk,nk->nf", fact, lower + (upper - lower) * rng.random((n, k)))
    fact[::5], level[::5] = 0.0, 0.0                            # facts that say nothing
    value, weight, point = joint(slope, offset, lower, upper, fact, level)
    assert (weight >= 0).all()
    np.testing.assert_allclose(weight.sum(axis=1), 1.0)
    assert ((point >= lower) & (point <= upper)).all()
    for i in range(n):
        A = np.block([[slope[i], -np.ones((m, 1))], [fact[i], np.zeros((f, 1))]])
        b = np.concatenate([-offset[i], -level[i]])
        best = linprog(np.eye(k + 1)[k], A_ub=A, b_ub=b, bounds=[*zip(lower[i], upper[i], strict=True), (None, None)])
        if best.status == 2:
            assert value[i] > 0                                 # nothing is left there
            continue
        assert value[i] <= best.fun + 1e-9 * size[i, 0]
        assert value[i] >= best.fun - 1e-3 * size[i, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("worth", [0.0, 1.0, NEVER])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("conv", "pool")])
def test_every_point_is_in_a_part_and_bounds_hold_there(kind, worth, dtype, rng, monkeypatch):
    monkeypatch.setattr(module, "WORTH", worth)
    net = KINDS[kind](rng)
    d = net.n_inputs
    box = pel.Box(-np.ones(d), np.ones(d))
    points = np.concatenate([rng.uniform(-1, 1, (1500, d)), rng.choice([-1.0, 0.0, 1.0], (300, d))])
    C = rng.normal(size=(2, net.n_outputs))
    margin = net(points) @ C.T
    p = property_of(net, pel.never(*(_row(net, c) <= np.quantile(m, 0.02) for c, m in zip(C, margin.T, strict=True))))
    space = space_of(net, box, p)
    search = Search(space, Budget(None, 120), lambda x: np.zeros(len(x), dtype=bool))
    bound = BoxBounds.of(space.graph, dtype)
    _, kept = space.graph(points.reshape(-1, *space.graph.input_shape), keep=bound.names)
    hidden = [kept[name].reshape(len(points), -1) for name in bound.names]
    outputs = search.outputs(points)
    closed, trees = [], []

    def inside(parts, i):
        found = ((points >= parts.lower[i]) & (points <= parts.upper[i])).all(axis=1)
        for t, u, s, at in zip(parts.tensor[i], parts.unit[i], parts.side[i], parts.at[i], strict=True):
            if t >= 0:
                found &= s * (hidden[t][:, u] - at) <= 0
        return found

    bounded, closing = module._Tree.bounded, module._Tree.closed

    def watched(self, bound, parts, given):
        trees[:] = [self]
        look = bounded(self, bound, parts, given)
        excess = outputs @ self.C.T - self.b
        every = np.arange(len(parts))
        fact, level = bound.facts(look.found, every, parts)
        for i in every:
            here = inside(parts, i)
            assert not (look.found.empty[i] and here.any())
            for j, rows in enumerate(self.rows):
                assert (excess[here][:, rows].max(axis=1) >= look.margin[i, j] - 1e-12).all()
            assert (points[here] @ fact[i].T + level[i] <= 1e-12 * (1 + np.abs(level[i]))).all()
            for name, z in zip(bound.names, hidden, strict=True):
                l, u = (b[i].flatten().double().numpy() for b in look.found.trace.bounds[name])
                assert (z[here] >= l - 1e-12).all()
                assert (z[here] <= u + 1e-12).all()
        return look

    def counted(self, parts, look):
        left = closing(self, parts, look)
        closed.append(parts.some(np.setdiff1d(np.arange(len(parts)), left)))
        return left

    monkeypatch.setattr(module._Tree, "bounded", watched)
    monkeypatch.setattr(module._Tree, "closed", counted)
    module.by_inputs(search, bound, batch=16)
    every = [*closed, trees[0].open]
    assert np.any([inside(parts, i) for parts in every for i in range(len(parts))], axis=0).all()
    units = sum(int(parts.depth.sum()) for parts in every)
    assert units == 0 or worth < NEVER
    if worth == 0.0 and kind in ("relu", "leaky"):
        assert units > 0
    if worth == NEVER and not trees[0].open.bound.size:
        assert np.isclose(trees[0].done, 1.0)


def _row(net, c):
    first, *others = (float(w) * pel.output(name) for w, name in zip(c, net.output_names, strict=True))
    return sum(others, start=first)
