"""Verification is never wrong: against exact maxima, brute force, and other code; and it decides what it should."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from networks import random_layers, relu_network

import pellucid as pel
from pellucid import Status

torch = pytest.importorskip("torch")

from nets import KINDS, degenerate  # noqa: E402

from pellucid.bounding.by_units import by_units  # noqa: E402
from pellucid.bounding.property import property_of  # noqa: E402
from pellucid.bounding.without_selections import without_selections  # noqa: E402

SPLITS = ("inputs", "units")


def _largest(net, c, box) -> tuple[float, float]:
    """(attained, bound) of the largest c.f(x): exact for piecewise linear networks, by a fine grid and a margin for two smooth inputs."""
    if net.is_piecewise_linear:
        best = pel.maximise(net, c, box)
        assert best.status is Status.PROVED
        return best.value, best.bound
    axes = [np.linspace(a, b, 201) for a, b in zip(box.lower, box.upper, strict=True)]
    best = float((net(np.stack(np.meshgrid(*axes), -1).reshape(-1, len(axes))) @ c).max())
    return best, best + 1e-2 * (1 + abs(best))


def _hold(verdict, net, box, c, limit, best, bound):
    """The laws of every verdict on "c.f(x) <= limit"."""
    if verdict.status is Status.PROVED:
        assert best <= limit
    if verdict.status is Status.REFUTED:
        x = verdict.witness
        assert (x >= box.lower).all()
        assert (x <= box.upper).all()
        assert net(x[None])[0] @ c > limit - 1e-12
        assert bound > limit
        np.testing.assert_array_equal(verdict.outputs, net(x[None])[0])
    else:
        assert verdict.bound <= verdict.attained + 1e-12
        assert verdict.bound <= limit - best + 1e-12


def _compare(kind, seed, dtype, nodes=60):
    rng = np.random.default_rng(seed)
    net = KINDS[kind](rng)
    box = pel.Box.around(rng.normal(size=net.n_inputs), rng.uniform(0.05, 0.5))
    c = rng.normal(size=net.n_outputs)
    best, bound = _largest(net, c, box)
    decided = []
    for split, gap in itertools.product(SPLITS, (0.1, 1e-3, 0.0, -1e-3, -0.1)):
        limit = best + gap * (1 + abs(best))
        verdict = pel.verify(net, box, (c[None], None, [limit]), split=split, max_nodes=nodes, dtype=dtype)
        _hold(verdict, net, box, c, limit, best, bound)
        decided.append(verdict.status is not Status.UNKNOWN)
    return decided


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_verdicts_agree_with_exact_maxima(kind, dtype):
    decided = _compare(kind, 0 if dtype is torch.float32 else 1, dtype, nodes=40)
    assert np.mean(decided) >= 0.3


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(2, 31))
def test_verdicts_agree_with_exact_maxima_of_200_networks(kind, seed):
    _compare(kind, seed, (torch.float32, torch.float64)[seed % 2], nodes=200)


@pytest.mark.parametrize("name", degenerate())
@pytest.mark.parametrize("split", SPLITS)
def test_degenerate_networks(name, split):
    net = degenerate()[name]
    for box in (pel.Box([-1, -1], [1, 1]), pel.Box([0, 0], [0, 1]), pel.Box([0.5, -0.5], [0.5, -0.5])):
        for c in (np.eye(net.n_outputs)[0], -np.eye(net.n_outputs)[0], np.ones(net.n_outputs)):
            axes = [np.linspace(a, b, 101) for a, b in zip(box.lower, box.upper, strict=True)]
            best = float((net(np.stack(np.meshgrid(*axes), -1).reshape(-1, 2)) @ c).max())
            for gap in (0.5, 0.0, -0.1):
                verdict = pel.verify(net, box, (c[None], None, [best + gap]), split=split, max_nodes=64)
                _hold(verdict, net, box, c, best + gap, best, best + 1e-3)
                assert gap == 0.0 or verdict.status is (Status.PROVED if gap > 0 else Status.REFUTED)


def test_small_margins_are_decided_over_inputs():
    rng = np.random.default_rng(3)
    net, box, c = KINDS["relu"](rng), pel.Box([-0.5] * 3, [0.5] * 3), np.array([1.0, -1.0, 0.5])
    best, _ = _largest(net, c, box)
    for dtype in (torch.float32, torch.float64):
        verdict = pel.verify(net, box, (c[None], None, [best + 1e-3]), split="inputs", dtype=dtype, max_nodes=20000)
        assert verdict.status is Status.PROVED
        assert verdict.certificate.check().status is Status.PROVED


@pytest.mark.parametrize("kind", ["relu", "leaky", "residual", "conv", "pool"])
def test_what_units_prove_over_a_box_is_proved_again_by_other_code(kind):
    net = KINDS[kind](np.random.default_rng(4))
    d = net.n_inputs
    box, c = pel.Box(np.full(d, -0.05), np.full(d, 0.05)), np.eye(net.n_outputs)[0]
    best, _ = _largest(net, c, box)
    verdict = pel.verify(net, box, (c[None], None, [best + 0.1]), split="units")
    assert verdict.status is Status.PROVED
    again = verdict.certificate.check()
    assert again.status is Status.PROVED
    assert "numpy" in again.reason


# ---- what can be asked
def test_a_class_leads_everywhere(rng):
    net = relu_network(random_layers(rng, [3, 10, 3]), "softmax", class_names=("a", "b", "c"))
    x = rng.normal(size=3)
    label = net.class_names[int(net.decide(x)[0])]
    radius = pel.robustness_radius(net, x, np.inf).value
    assert pel.verify(net, pel.Ball(x, 0.9 * radius, clip=None), label).status is Status.PROVED
    refuted = pel.verify(net, pel.Ball(x, 1.1 * radius, clip=None), label)
    assert refuted.status is Status.REFUTED
    assert net.class_names[int(net.decide(refuted.witness)[0])] != label
    assert np.abs(refuted.witness - x).max() <= 1.1 * radius
    other = next(n for n in net.class_names if n != label)
    assert pel.verify(net, pel.Box(x, x), other).status is Status.REFUTED


@pytest.mark.parametrize("p", [1, 2])
def test_balls_in_other_norms(p, rng):
    net = relu_network(random_layers(rng, [6, 12, 8, 3]), "softmax")
    x = rng.normal(size=6)
    label = int(net.decide(x)[0])
    for eps in (0.02, 0.3, 3.0):
        verdict = pel.verify(net, pel.Ball(x, eps, p=p, clip=None), label, max_nodes=200)
        d = rng.normal(size=(4000, 6))
        points = x + eps * d / np.linalg.norm(d, ord=p, axis=1, keepdims=True) * rng.random((4000, 1)) ** 0.2
        if verdict.status is Status.PROVED:
            assert (net.decide(points) == label).all()
        if verdict.status is Status.REFUTED:
            assert np.linalg.norm(verdict.witness - x, ord=p) <= eps
            assert net.decide(verdict.witness)[0] != label or np.ptp(np.sort(verdict.outputs)[-2:]) == 0
    assert verdict.status is Status.REFUTED


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_unsafe_points_on_the_surface_of_a_ball_are_found(p, seed):
    """Witnesses have to lie in the ball exactly; on its surface rounding decides."""
    rng = np.random.default_rng(seed)
    for _ in range(60):
        d = int(rng.integers(1, 5))
        net = relu_network(random_layers(rng, [d, int(rng.integers(1, 9)), 3]))
        x, eps = rng.random(d), rng.random(d) * rng.choice([0.05, 0.5])
        t = rng.normal(size=(2000, d))
        y = net(x + eps * t / (np.linalg.norm(t, ord=p, axis=1, keepdims=True) * (1 + 1e-12)))
        label = int(net(x[None]).argmax())
        margin = (y[:, [label]] - np.delete(y, label, axis=1)).min()
        if margin < -1e-6:
            assert pel.verify(net, pel.Ball(x, eps, p, clip=None), label).status is Status.REFUTED


def test_comparisons_and_never():
    net = relu_network([(np.array([[1.0, 1.0], [1.0, -1.0]]), np.zeros(2)), (np.eye(2), np.zeros(2))], class_names=("a", "b"))
    box = pel.Box([-1, -1], [1, 1])                             # a = relu(x + y), b = relu(x - y): a + b <= 2, both > 1/2 at (1, 0)
    a, b = pel.output("a"), pel.output("b")
    assert pel.verify(net, box, a + b <= 2.001).status is Status.PROVED
    assert pel.verify(net, box, [a >= -0.01, b >= -0.1]).status is Status.PROVED
    assert pel.verify(net, box, [a >= -0.01, b >= 0.1]).status is Status.REFUTED
    assert pel.verify(net, box, pel.never(a >= 1.1, b >= 1.1)).status is Status.PROVED
    refuted = pel.verify(net, box, pel.never(a >= 0.9, b >= 0.9))
    assert refuted.status is Status.REFUTED
    assert (net(refuted.witness)[0] >= 0.9).all()
    x = pel.feature("x0")
    assert pel.verify(net, box, a + b - 2 * x <= 2.001).status is Status.PROVED           # inputs in a property: at x = -1, 2 + 0
    assert pel.verify(net, box, a + b - 2 * x >= 0.5).status is Status.REFUTED
    assert pel.verify(net, box.where([[1.0, 0.0]], [-0.5]), a + b <= 0.501).status is Status.PROVED


def test_slices_and_hulls():
    net = relu_network([(np.array([[1.0, 1.0], [1.0, -1.0]]), np.zeros(2)), (np.eye(2), np.zeros(2))], class_names=("a", "b"))
    box, a = pel.Box([-1, -1], [1, 1]), pel.output("a")
    assert pel.verify(net, box.slice(free=(0,), at=[0.0, -0.5]), a <= 0.501).status is Status.PROVED
    refuted = pel.verify(net, box.slice(free=(0,), at=[0.0, -0.5]), a <= 0.4)
    assert refuted.status is Status.REFUTED
    assert refuted.witness[1] == -0.5
    assert pel.verify(net, box.slice(free=(0,), at=[0.0, 0.0], ties={0: [1]}), a <= 1.999).status is Status.REFUTED
    triangle = pel.Hull.of([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert pel.verify(net, triangle, a <= 1.01).status is Status.PROVED
    assert pel.verify(net, triangle, a <= 0.9).status is Status.REFUTED


VNNLIB = """(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)
(assert (and (>= X_1 -1) (<= X_1 1)))
(assert (or (and (>= X_0 -1) (<= X_0 0) (>= Y_0 {})) (and (>= X_0 0) (<= X_0 1) (>= Y_1 {}))))"""


def test_vnnlib_cases_with_boxes_of_their_own(tmp_path):
    net = relu_network([(np.array([[1.0, 1.0], [1.0, -1.0]]), np.zeros(2)), (np.eye(2), np.zeros(2))])
    path = tmp_path / "query.vnnlib"                            # y0 <= 1 on x0 <= 0, y1 <= 2 on x0 >= 0
    for limits, status in (((1.01, 2.01), Status.PROVED), ((1.01, 1.5), Status.REFUTED), ((0.9, 2.01), Status.REFUTED)):
        path.write_text(VNNLIB.format(*limits))
        for split in SPLITS:
            verdict = pel.verify(net, path, split=split, max_nodes=500)
            assert verdict.status is status
            assert status is Status.PROVED or verdict.case == (1 if limits[1] < 2 else 0)


def test_properties_of_answers_behind_a_link(tmp_path):
    """P(class) in the file is what the model answers: a sigmoid's threshold moves to the logit; a softmax's order is kept."""
    path = tmp_path / "query.vnnlib"
    head = "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (>= X_0 -1))(assert (<= X_0 1))"
    one = relu_network([(np.array([[2.0]]), np.zeros(1))], "sigmoid")                      # largest: sigmoid(2) = .8808
    for p, status in ((0.885, Status.PROVED), (0.875, Status.REFUTED), (1.5, Status.PROVED), (-0.5, Status.REFUTED)):
        path.write_text(f"{head}(assert (>= Y_0 {p}))")
        assert pel.verify(one, path).status is status
    two = relu_network([(np.array([[1.0], [-1.0]]), np.array([1.5, 0.0]))], "softmax")     # y0 - y1 = 2 x + 1.5
    path.write_text(f"{head}(declare-const Y_1 Real)(assert (<= Y_0 Y_1))")
    assert pel.verify(two, path).status is Status.REFUTED
    path.write_text(f"{head}(declare-const Y_1 Real)(assert (<= Y_0 0.3))")
    with pytest.raises(pel.DataError, match="not linear before it"):
        pel.verify(two, path)


# ---- what it says
def test_budgets_are_kept_and_said():
    net, box = KINDS["relu"](np.random.default_rng(0)), pel.Box([-3] * 3, [3] * 3)
    c = np.array([1.0, -1.0, 0.5])
    best, _ = _largest(net, c, box)
    asked = (c[None], None, [best])                             # holds, and no bound can show it
    for split in SPLITS:
        verdict = pel.verify(net, box, asked, split=split, max_nodes=7)
        assert verdict.status is Status.UNKNOWN
        assert verdict.figures["nodes"] <= 7
        assert verdict.certificate.check().status is Status.UNKNOWN
    assert "nodes" in verdict.certificate.reason
    assert pel.verify(net, box, asked, max_seconds=0).certificate.reason == "time ran out"
    assert pel.verify(net, box, asked, max_nodes=0).status is Status.UNKNOWN
    with pytest.raises(ValueError, match="max_seconds"):
        pel.verify(net, box, asked, max_seconds=-1)


@pytest.mark.parametrize("split", SPLITS)
def test_ctrl_c_keeps_what_was_found_and_claims_nothing(split):
    net, box = KINDS["relu"](np.random.default_rng(0)), pel.Box([-3] * 3, [3] * 3)
    c = np.array([1.0, -1.0, 0.5])
    best, _ = _largest(net, c, box)

    def press(reached):
        raise KeyboardInterrupt

    with pytest.raises(pel.Interrupted) as stop:
        pel.verify(net, box, (c[None], None, [best + 1e-4]), split=split, progress=press)
    assert stop.value.partial.status is Status.UNKNOWN
    assert np.isfinite(stop.value.partial.attained)


def test_progress_counts_up():
    net, box = KINDS["relu"](np.random.default_rng(0)), pel.Box([-3] * 3, [3] * 3)
    c = np.array([1.0, -1.0, 0.5])
    best, _ = _largest(net, c, box)
    seen = []
    pel.verify(net, box, (c[None], None, [best + 1e-2]), split="inputs", max_nodes=3000, progress=seen.append, batch=64)
    assert [r.nodes for r in seen] == sorted(r.nodes for r in seen)
    assert 0 <= seen[-1].share <= 1


def test_the_same_question_gets_the_same_answer():
    net, box = KINDS["conv"](np.random.default_rng(0)), pel.Box([-1] * 16, [1] * 16)
    c = np.array([1.0, -1.0, 0.5])
    best = float((net(np.random.default_rng(1).uniform(-1, 1, (500, 16))) @ c).max())
    once, again = (pel.verify(net, box, (c[None], None, [0.8 * best]), max_nodes=20) for _ in range(2))
    np.testing.assert_array_equal(once.witness, again.witness)


def test_saved_and_shown(tmp_path):
    net = relu_network([(np.eye(2), np.zeros(2))], class_names=("a", "b"))
    verdict = pel.verify(net, pel.Box([-1, -1], [1, 1]), "a")
    assert "refuted" in repr(verdict)
    assert list(verdict.to_frame()["feature"]) == ["x0", "x1"]
    assert '"status": "refuted"' in verdict.save(tmp_path / "v.json").read_text()
    assert verdict.certificate.check().status is Status.REFUTED


def test_what_cannot_be_asked():
    net = relu_network([(np.eye(2), np.zeros(2))], class_names=("a", "b"))
    box = pel.Box([-1, -1], [1, 1])
    with pytest.raises(pel.DataError, match="no class is called 'z'"):
        pel.verify(net, box, "z")
    with pytest.raises(pel.DataError, match="what is to be verified"):
        pel.verify(net, box)
    with pytest.raises(pel.DataError, match="a property is a class"):
        pel.verify(net, box, 3.5)
    with pytest.raises(pel.DomainError, match="bounded"):
        pel.verify(net, pel.Box([-np.inf, 0], [1, 1]), "a")
    with pytest.raises(ValueError, match="split"):
        pel.verify(net, box, "a", split="both")
    with pytest.raises(TypeError, match="load it first"):
        pel.verify("net.onnx", box, "a")


# ---- inside
def test_selections_taken_apart_are_the_same_function(rng):
    net = KINDS["pool"](rng)
    x = rng.normal(size=(50, *net.input_shape))
    graph = without_selections(net.graph)
    assert graph is not net.graph
    np.testing.assert_allclose(graph(x), net.graph(x), rtol=1e-12, atol=1e-12)


def test_unit_splits_contain_every_point(rng, monkeypatch):
    """On each node of the tree, at each point that keeps its entries, bounds hold: the margin is not below the node's value."""
    from pellucid.bounding import by_units as module
    from pellucid.bounding.searching import Budget, Search
    from pellucid.bounding.space import space_of

    net = KINDS["relu"](rng)
    box, c = pel.Box([-1] * 3, [1] * 3), rng.normal(size=3)
    p = property_of(net, (c[None], None, [float((net(rng.uniform(-1, 1, (2000, 3))) @ c).max()) - 0.05]))
    search = Search(space_of(net, box, p), Budget(None, 80), lambda x: np.zeros(len(x), dtype=bool))
    points = rng.uniform(-1, 1, (3000, 3))
    seen = [0]
    look = module._Tree.look

    def watched(self, now, iterations):
        found = look(self, now, iterations)
        names, run = self.watched.names, self.watched.program
        _, kept = search.space.graph(points, keep=names)
        hidden = np.concatenate([kept[n].reshape(len(points), -1) for n in names], axis=1)
        margin = (search.outputs(points) @ self.case.C.T - self.case.b)
        for i in range(len(now)):
            unit, side, value = (getattr(now, f)[i].numpy() for f in ("unit", "side", "value"))
            inside = np.ones(len(points), dtype=bool)
            for u, s, v in zip(unit, side, value, strict=True):
                if s:
                    inside &= s * (hidden[:, u - self.watched.n_outputs] - v) <= 0
            assert (margin[inside] >= found[1][i] - 1e-12).all()
            seen[0] += int(inside.sum())
        assert run.hidden
        return found

    monkeypatch.setattr(module._Tree, "look", watched)
    by_units(search, torch.float32, "cpu", 8)
    assert seen[0] > len(points)


# ---- the competition's queries
def test_mnist_counterexample_is_replayed_by_the_original_runtime(shared):
    net = pel.load(shared / "data/mnistfc/mnist-net_256x2.onnx")
    verdict = pel.verify(net, shared / "data/mnistfc/prop_1_0.05.vnnlib")
    assert verdict.status is Status.REFUTED
    assert verdict.confirmed
    assert (verdict.witness.astype(np.float32) == verdict.witness).all()


@pytest.mark.parametrize(("name", "number", "status"), [("1_9", 3, Status.REFUTED), ("1_9", 4, Status.REFUTED), ("5_3", 3, Status.PROVED),
                                                        ("5_3", 4, Status.PROVED), ("1_1", 1, Status.PROVED), ("2_1", 2, Status.REFUTED)])
def test_acasxu(shared, name, number, status):
    folder = shared / "data/acasxu"
    net = pel.load(folder / f"ACASXU_run2a_{name}_batch_2000.onnx")
    verdict = pel.verify(net, folder / f"prop_{number}.vnnlib")
    assert verdict.status is status
    assert verdict.confirmed is (True if status is Status.REFUTED else None)
