"""Optima equal brute force over the complete atlas, hold against samples, and say what they rest on."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import random_layers, relu_network
from scipy.optimize import linprog

import pellucid as pel

ENGINES = ("regions", "milp")


def brute_force(net, box, c, q, rows=None):
    """The largest c . f + q . x over all regions of the complete atlas, by an independent solver; None where there is none."""
    atlas = pel.linear_regions(net, box, engine="search")
    best = None
    for k, region in enumerate(atlas):
        coef, intercept = atlas.coef_u[k], atlas.intercept_u[k]
        A, b = [region.halfspaces.A], [region.halfspaces.b]
        if rows is not None:
            C, Q, bound = rows
            A.append(C @ coef + Q @ atlas.domain.P)
            b.append(bound - C @ intercept - Q @ atlas.domain.x0)
        goal = c @ coef + q @ atlas.domain.P
        answer = linprog(-goal, A_ub=np.vstack(A), b_ub=np.concatenate(b), bounds=[(None, None)] * atlas.domain.dim)
        if answer.status == 0:
            value = -answer.fun + c @ intercept + q @ atlas.domain.x0
            best = value if best is None else max(best, value)
    return best


def holds(answer, net, box, sign=1):
    """What is true of every answer: the witness is in the domain and attains the value, the gap is that to the bound."""
    x = answer.witness
    assert (box.lower - 1e-12 <= x).all()
    assert (x <= box.upper + 1e-12).all()
    assert (box.A @ x <= box.b + 1e-7).all()
    np.testing.assert_array_equal(answer.outputs, net(x[None])[0])
    assert sign * (answer.bound - answer.value) >= 0
    assert answer.gap == abs(answer.bound - answer.value)
    assert answer.status is pel.Status.PROVED


@pytest.mark.parametrize("seed", range(4))
def test_optima_are_those_of_the_complete_atlas(seed):
    rng = np.random.default_rng(seed)
    d = 3 if seed == 3 else 2
    net = relu_network(random_layers(rng, [d, 4, 3, 3]))
    box = pel.Box(-np.ones(d), np.full(d, 2.0)).where(np.ones(d), 1.5)
    c, q = rng.normal(size=3), rng.normal(size=d)
    C, Q, b = rng.normal(size=(2, 3)), rng.normal(size=(2, d)), np.array([0.5, 1.0])
    X = rng.uniform(box.lower, box.upper, (4000, d))
    X = X[X.sum(axis=1) <= 1.5]
    y = net(X) @ c + X @ q
    keeps = (net(X) @ C.T + X @ Q.T <= b).all(axis=1)
    goal = pel.Objective(outputs=c, inputs=q)
    most, least, expected = (brute_force(net, box, s * c, s * q, rows) for s, rows in ((1, None), (-1, None), (1, (C, Q, b))))
    for engine in ENGINES:
        free = pel.maximise(net, goal, box, engine=engine)
        holds(free, net, box)
        np.testing.assert_allclose(free.value, most, atol=1e-6)
        assert y.max() <= free.bound
        lowest = pel.minimise(net, goal, box, engine=engine)
        holds(lowest, net, box, -1)
        np.testing.assert_allclose(lowest.value, -least, atol=1e-6)
        assert y.min() >= lowest.bound
        bound = pel.maximise(net, goal, box, where=(C, Q, b), engine=engine)
        if expected is None:
            assert bound.value is None
            assert bound.status is pel.Status.PROVED
            assert not keeps.any()
            continue
        holds(bound, net, box)
        np.testing.assert_allclose(bound.value, expected, atol=1e-5)
        assert (net(bound.witness[None]) @ C.T + bound.witness @ Q.T <= b).all()
        assert y[keeps].max(initial=-np.inf) <= bound.bound


def degenerate(kind, rng):
    layers = random_layers(rng, [2, 4, 3, 1])
    (W, b), (V, c), out = layers
    if kind == "zero biases":
        layers = [(W, 0 * b), (V, 0 * c), out]
    elif kind == "twins":
        W[1], b[1], W[2], b[2] = W[0], b[0], -2 * W[0], -2 * b[0]
    elif kind == "dead layer":
        layers = [(W, b - 50), (V, c), out]
    elif kind == "one unit":
        layers = random_layers(rng, [2, 1, 1])
    elif kind == "no hidden layer":
        layers = random_layers(rng, [2, 1])
    elif kind == "constant":
        layers = [(W, b), (V, c), (0 * out[0], out[1])]
    return layers


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["zero biases", "twins", "dead layer", "one unit", "no hidden layer", "constant"])
def test_degenerate_networks(kind, engine, rng):
    net = relu_network(degenerate(kind, rng), "sigmoid" if kind == "one unit" else "identity")
    box = pel.Box([-1, -1], [1, 1])
    best, least = pel.maximise(net, 0, box, engine=engine), pel.minimise(net, 0, box, engine=engine)
    holds(best, net, box)
    holds(least, net, box, -1)
    axis = np.linspace(-1, 1, 101)
    y = net(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2))
    assert least.bound <= y.min()
    assert y.max() <= best.bound
    np.testing.assert_allclose([best.value, least.value], [brute_force(net, box, np.ones(1), np.zeros(2)),
                                                           -brute_force(net, box, -np.ones(1), np.zeros(2))], atol=1e-6)


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 8), st.booleans())
@settings(max_examples=25)
def test_engines_agree_and_no_sample_is_better(seed, d, width, deep):
    rng = np.random.default_rng(seed)
    net = relu_network(random_layers(rng, [d, width, *([width] if deep else []), 2]))
    box = pel.Box(-rng.uniform(0.1, 2, d), rng.uniform(0.1, 2, d))
    where = [pel.output(1) <= pel.output(0) + 1.0, pel.feature(0) >= -0.05]
    a, b = (pel.maximise(net, (0, 1), box, where, engine=engine) for engine in ENGINES)
    X = rng.uniform(box.lower, box.upper, (2000, d))
    y = net(X)
    keeps = (y[:, 1] <= y[:, 0] + 1) & (X[:, 0] >= -0.05)
    assert a.status is b.status is pel.Status.PROVED
    assert (a.value is None) == (b.value is None)
    assert not keeps.any() or a.value is not None
    if a.value is not None:
        np.testing.assert_allclose(a.value, b.value, atol=1e-5)
        assert a.gap < 1e-6
        assert (y[keeps, 0] - y[keeps, 1]).max(initial=-np.inf) <= min(a.bound, b.bound)


@pytest.mark.parametrize("seed", range(3))
def test_whole_and_one_hot_features(seed):
    rng = np.random.default_rng(seed)
    net = relu_network(random_layers(rng, [5, 6, 4, 2]), feature_names=("n", "x", "red", "green", "blue"))
    box = pel.Box([-2, -1, 0, 0, 0], [3, 1, 1, 1, 1], net.feature_names)
    best = pel.maximise(net, 0, box, integer=["n"], one_hot=[("red", "green", "blue")])
    holds(best, net, box)
    n, colours = best.witness[0], best.witness[2:]
    assert n == round(n)
    assert sorted(colours) == [0, 0, 1]
    values = []
    for whole, colour in itertools.product(range(-2, 4), np.eye(3)):
        low, up = np.array([whole, -1, *colour]), np.array([whole, 1, *colour])
        values.append(pel.maximise(net, 0, pel.Box(low, up, net.feature_names), engine="regions").value)
    np.testing.assert_allclose(best.value, max(values), atol=1e-6)
    assert best.certificate.figures["engine"] == "milp"
    with pytest.raises(ValueError, match="no integer"):
        pel.maximise(net, 0, box, integer=["n"], engine="regions")


def test_slices_and_constraints_on_them(rng):
    net = relu_network(random_layers(rng, [4, 6, 5, 1]))
    box = pel.Box(-np.ones(4), np.ones(4))
    plane = box.slice(free=(1, 3), at=np.full(4, 0.25)).where([1.0, 1.0], 0.5)
    axis = np.linspace(-1, 1, 81)
    u = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    u = u[u.sum(axis=1) <= 0.5]
    X = np.full((len(u), 4), 0.25)
    X[:, [1, 3]] = u
    for engine in ENGINES:
        best = pel.maximise(net, 0, plane, engine=engine)
        holds(best, net, box)
        np.testing.assert_allclose(best.witness[[0, 2]], 0.25)
        assert best.witness[[1, 3]].sum() <= 0.5 + 1e-9
        y = net(X).max()
        assert y <= best.bound
        assert best.value - y < 0.1


def test_constraints_on_inputs_cut_the_domain(rng):
    net = relu_network(random_layers(rng, [2, 8, 6, 1]))
    box = pel.Box([-1, -1], [1, 1])
    where = [pel.feature(0) >= 0.5, pel.feature(0) + pel.feature(1) <= 0.25]
    part = pel.maximise(net, 0, box, where)
    same = pel.maximise(net, 0, box.where([[-1, 0], [1, 1]], [-0.5, 0.25]))
    np.testing.assert_allclose(part.value, same.value, atol=1e-9)
    assert part.certificate.figures["regions"] < pel.maximise(net, 0, box).certificate.figures["regions"]
    edge = pel.maximise(net, 0, box, [pel.feature(0) >= 1])                   # flat
    np.testing.assert_allclose(edge.value, net(np.column_stack([np.ones(4001), np.linspace(-1, 1, 4001)])).max(), atol=1e-3)
    for engine in ENGINES:
        none = pel.maximise(net, 0, box, [pel.feature(0) >= 2], engine=engine)
        assert none.value is none.witness is None
        assert none.status is pel.Status.PROVED
        assert none.gap == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_constraints_without_room_hold_to_rounding(engine, rng):
    net = relu_network(random_layers(rng, [2, 8, 6, 2]))
    box = pel.Box([-1, -1], [1, 1])
    level = float(net(np.zeros((1, 2)))[0, 0])
    best = pel.maximise(net, 1, box, [pel.output(0) <= level, pel.output(0) >= level], engine=engine)      # a curve
    assert best.status is pel.Status.PROVED
    assert best.gap < 1e-5
    assert abs(best.outputs[0] - level) < 1e-6
    assert net(np.zeros((1, 2)))[0, 1] <= best.bound
    constant = relu_network([(np.zeros((1, 2)), np.ones(1))])
    tight = pel.maximise(constant, pel.feature(0), box, [pel.output(0) <= 1, 0 * pel.output(0) <= 0], engine=engine)
    np.testing.assert_allclose(tight.value, 1, atol=1e-9)


def test_no_time_at_all(rng):
    net = relu_network(random_layers(rng, [3, 8, 6, 1]))
    for engine in (*ENGINES, "auto"):
        answer = pel.maximise(net, 0, pel.Box(-np.ones(3), np.ones(3)), engine=engine, max_seconds=0)
        assert answer.bound >= net(rng.uniform(-1, 1, (500, 3))).max()
        assert answer.status is pel.Status.UNKNOWN or answer.gap < 1e-5


def test_objectives_and_constraints_by_name(rng):
    net = relu_network(random_layers(rng, [2, 6, 3]), "softmax", feature_names=("age", "income"), class_names=("no", "maybe", "yes"))
    box = pel.Box([0, 0], [1, 2], ("age", "income"))
    same = [pel.maximise(net, goal, box).value for goal in (("yes", "no"), (2, 0), [-1, 0, 1], pel.output("yes") - pel.output("no"),
                                                            pel.Objective(outputs=[-1, 0, 1]), (pel.output(2) * 2 - 2 * pel.output(0)) / 2)]
    np.testing.assert_allclose(same, same[0], atol=1e-9)
    shifted = pel.maximise(net, 3 + pel.output("yes") - pel.output("no"), box)
    assert shifted.value == pytest.approx(same[0] + 3)
    assert "output('yes')" in repr(shifted)
    where = [pel.feature("income") + pel.feature("age") <= 1.25, pel.feature("age") >= 1]
    income = pel.maximise(net, pel.feature("income"), box, where=where)
    np.testing.assert_allclose(income.witness, [1, 0.25], atol=1e-7)
    assert list(income.to_frame()["feature"]) == ["age", "income"]
    assert "gap" in repr(income)
    assert "largest" in income._repr_html_()


def test_what_is_asked_wrongly_is_said(rng):
    net = relu_network(random_layers(rng, [2, 4, 2]), feature_names=("age", "income"))
    box = pel.Box([0, 0], [1, 1])
    with pytest.raises(pel.DataError, match="no feature is called 'agee'; did you mean 'age'"):
        pel.maximise(net, pel.feature("agee"), box)
    with pytest.raises(pel.DataError, match="needs 2 finite numbers"):
        pel.maximise(net, [1.0, 2, 3], box)
    with pytest.raises(pel.DataError, match="comparisons such as"):
        pel.maximise(net, 0, box, where=[3])
    with pytest.raises(pel.DataError, match="C has shape"):
        pel.maximise(net, 0, box, where=(np.ones((2, 3)), None, [1.0, 1]))
    with pytest.raises(TypeError, match="two constraints"):
        assert 0 <= pel.feature("age") <= 1
    with pytest.raises(pel.DomainError, match="unbounded"):
        pel.maximise(net, 0, pel.Box([0, 0], [1, np.inf]))
    with pytest.raises(pel.DomainError, match="unbounded"):
        pel.maximise(net, 0, pel.Box([0, 0], [1, np.inf]), engine="milp")
    with pytest.raises(ValueError, match="engine='fast'"):
        pel.maximise(net, 0, box, engine="fast")
    with pytest.raises(ValueError, match="max_seconds"):
        pel.maximise(net, 0, box, max_seconds=-1)
    with pytest.raises(TypeError, match="load it first"):
        pel.maximise("model.onnx", 0, box)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_budget_gives_the_best_so_far_and_says_so(engine):
    rng = np.random.default_rng(1)
    net = relu_network(random_layers(rng, [8, 24, 24, 24, 1]))
    box = pel.Box(-np.ones(8), np.ones(8))
    seen = []
    answer = pel.maximise(net, 0, box, engine=engine, max_seconds=0.5, progress=seen.append)
    assert answer.status is pel.Status.UNKNOWN
    assert "ran out" in answer.certificate.reason
    y = net(rng.uniform(-1, 1, (2000, 8))).max()
    assert y <= answer.bound
    if answer.value is not None:
        assert answer.value <= answer.bound
        np.testing.assert_allclose(net(answer.witness[None])[0, 0], answer.value)
    assert all(r.seconds >= 0 for r in seen)


@pytest.mark.parametrize("engine", ENGINES)
def test_ctrl_c_gives_the_best_so_far(engine):
    rng = np.random.default_rng(1)
    net = relu_network(random_layers(rng, [8, 24, 24, 24, 1]))
    box = pel.Box(-np.ones(8), np.ones(8))
    import _thread
    from threading import Timer

    timer = Timer(1.0, _thread.interrupt_main)
    timer.start()
    try:
        with pytest.raises(pel.Interrupted) as stopped:
            pel.maximise(net, 0, box, engine=engine, max_seconds=60)
    finally:
        timer.cancel()
    partial = stopped.value.partial
    assert partial is None or partial.status is pel.Status.UNKNOWN
    assert partial is None or net(rng.uniform(-1, 1, (500, 8))).max() <= partial.bound


def test_claims_are_derived_again_by_the_other_engine(rng):
    net = relu_network(random_layers(rng, [3, 6, 4, 1]))
    box = pel.Box(-np.ones(3), np.ones(3))
    for engine in ENGINES:
        for where in (None, pel.output(0) >= 1e4):
            answer = pel.maximise(net, 0, box, where, engine=engine)
            again = answer.certificate.check()
            assert again.status is pel.Status.PROVED
            assert again.figures["engine"] != answer.certificate.figures["engine"]


def test_auto_takes_regions_while_they_are_few(rng):
    net = relu_network(random_layers(rng, [3, 6, 1]))
    box = pel.Box(-np.ones(3), np.ones(3))
    assert pel.maximise(net, 0, box).certificate.figures["engine"] == "regions"
    assert pel.maximise(net, 0, box, integer=[0]).certificate.figures["engine"] == "milp"


def test_answers_are_saved(tmp_path, rng):
    import json

    net = relu_network(random_layers(rng, [2, 4, 1]))
    path = pel.maximise(net, 0, pel.Box([0, 0], [1, 1])).save(tmp_path / "answer.json")
    saved = json.loads(path.read_text())
    assert saved["kind"] == "Extremum"
    assert saved["status"] == "proved"
    assert len(saved["table"]) == 2


def test_the_solvers_agree(rng):
    pytest.importorskip("pyscipopt")
    net = relu_network(random_layers(rng, [3, 6, 5, 1]))
    box = pel.Box(-np.ones(3), np.ones(3))
    values = [pel.maximise(net, 0, box, engine="milp", solver=solver).value for solver in ("highs", "scip")]
    np.testing.assert_allclose(values[0], values[1], atol=1e-6)


def test_without_time_for_the_solver_a_point_is_known_all_the_same(rng):
    net, box = relu_network(random_layers(rng, [6, 40, 40, 2])), pel.Box([-1] * 6, [1] * 6)
    best = pel.maximise(net, 0, box, engine="milp", max_seconds=0.05)
    assert best.status is pel.Status.UNKNOWN
    assert np.isclose(net(best.witness)[0, 0], best.value)
    assert best.value <= best.value + best.gap < np.inf
