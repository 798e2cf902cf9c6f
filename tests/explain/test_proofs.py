"""Monotone, Lipschitz, importance, boundary: against brute force on small networks, degenerate ones among them."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import random_layers, relu_network
from test_atlas import DEGENERATE, degenerate_layers
from toys import ABS, diamonds, random_atlas

import pellucid as pel
from pellucid.certificate import Status
from pellucid.explain.slope_bounds import slope_bounds


def box(d, half=1.0):
    return pel.Box([-half] * d, [half] * d)


def networks(rng):
    """(name, network): random and degenerate ones, of one and several outputs."""
    for kind in DEGENERATE:
        d = int(rng.integers(1, 4))
        yield kind, relu_network(degenerate_layers(kind, rng, d, int(rng.integers(2, 5))), "softmax")
    yield "one sigmoid", relu_network(random_layers(rng, [2, 5, 1]), "sigmoid")
    yield "labels", relu_network(random_layers(rng, [2, 5, 3]), "sigmoid")


def along_lines(net, d, j, value, rng, n=300, m=80):
    """(does it rise, does it fall) between neighbours on many lines along feature j."""
    x = np.repeat(rng.uniform(-1, 1, (n, d))[:, None], m, axis=1)
    x[:, :, j] = np.linspace(-0.9993, 0.9991, m)             # clear of ties at round numbers
    change = np.diff(value(x.reshape(-1, d)).reshape(n, m), axis=1)
    return bool((change > 1e-11).any()), bool((change < -1e-11).any())


def value_of(net, of, o):
    if of == "output":
        return lambda x: net(x)[:, o]
    if of == "probability":
        return lambda x: net.predict(x)[:, o]
    if net.is_multilabel:
        return lambda x: (net(x)[:, o] > 0).astype(float)
    return lambda x: net.decide(x).astype(float)


@pytest.mark.parametrize("of", ["output", "probability", "decision"])
@pytest.mark.parametrize("seed", range(6))
def test_monotone_is_never_refuted_by_points_and_shows_what_it_refutes(of, seed):
    rng = np.random.default_rng(seed)
    for kind, net in networks(rng):
        d, o = net.n_inputs, int(rng.integers(net.n_outputs))
        value = value_of(net, of, o)
        table = pel.monotone_table(net, box(d), of, output=o)
        assert table.status is Status.PROVED
        assert table.value == {a.feature: a.value for a in table.answers}
        for found in table.answers:
            j = net.feature_names.index(found.feature)
            rises, falls = along_lines(net, d, j, value, rng)
            allowed = {"up": not falls, "down": not rises, "constant": not (rises or falls), "mixed": True}
            assert found.value is not None, (kind, found, found.certificate)
            assert allowed[found.value], (kind, found)
            assert found.status is (Status.REFUTED if found.value == "mixed" else Status.PROVED)
            for pair, sign in ((found.rise, 1), (found.fall, -1)):
                if pair is not None:
                    assert np.allclose(value(pair.x), pair.values, atol=1e-12)
                    assert sign * pair.change > 0
                    assert pair.x[1, j] > pair.x[0, j]
                    assert np.array_equal(np.delete(pair.x[0], j), np.delete(pair.x[1], j))
                    assert (np.abs(pair.x) <= 1).all()
            points = found.points()
            assert len(points) == 2 * ((found.rise is not None) + (found.fall is not None))
            assert points[list(net.feature_names)].to_numpy().shape == (len(points), d)
            assert (found.rise is not None) == (found.value in ("up", "mixed"))
            assert (found.fall is not None) == (found.value in ("down", "mixed"))


@given(seed=st.integers(0, 10**6))
@settings(max_examples=12)
def test_what_never_falls_by_construction_is_proved_without_regions(seed):
    rng = np.random.default_rng(seed)
    layers = [(np.abs(W) * (rng.random(W.shape) < 0.7), b) for W, b in random_layers(rng, [4, 6, 6, 1])]
    net = relu_network(layers, "sigmoid")
    for of in ("output", "probability"):
        for found in pel.monotone_table(net, box(4), of, direction="up").answers:
            assert found.status is Status.PROVED
            assert found.value in ("up", "constant")
            assert "bounds" in found.certificate.reason


def test_features_whose_turn_comes_too_late_claim_nothing(rng):
    net = relu_network(random_layers(rng, [3, 8, 8, 1]))
    whole, late = pel.monotone_table(net, box(3)), pel.monotone_table(net, box(3), max_seconds=0.0)
    for found, known in zip(late.answers[1:], whole.answers[1:], strict=True):
        assert found.status is not Status.PROVED
        assert found.value in (None, known.value)
        if found.status is Status.UNKNOWN:
            assert "time ran out" in found.certificate.reason


def test_directions_ask_for_one_way_only(tmp_path):
    net = relu_network([(ABS, np.zeros(4)), (np.array([[1.0, 1, 0.5, 0]]), np.zeros(1))])       # |x| + max(y, 0) / 2
    assert pel.monotone(net, "x1", box(2), direction="up").status is Status.PROVED
    down = pel.monotone(net, "x1", box(2), direction="down")
    assert down.status is Status.REFUTED
    assert down.witness.change > 0
    assert pel.monotone(net, "x0", box(2)).value == "mixed"
    assert pel.monotone(net, "x0", pel.Box([0, -1], [1, 1])).value == "up"
    assert pel.monotone(net, "x0", pel.Box([0, -1], [1, 1]).where([1, 1], 0.5)).status is Status.PROVED
    assert isinstance(down.to_frame(), pd.DataFrame)
    for answer in (down, pel.monotone_table(net, box(2)), pel.lipschitz(net, box(2)), pel.importance(pel.linear_regions(net, box(2)))):
        assert "<table" in answer._repr_html_()
        assert json.loads(answer.save(tmp_path / "answer.json").read_text())["kind"] == type(answer).__name__


def test_a_probability_can_rise_although_a_margin_falls_and_be_proved_to():
    # y = (x, 3x, -9x) with biases (0, -9, 0): class 0 loses against 1 and gains on 2; on [0, 1] 2 is still ahead of 1 by far
    net = relu_network([(np.array([[1.0], [3.0], [-9.0]]), np.array([0.0, -30.0, 0.0]))], "softmax")
    found = pel.monotone(net, 0, pel.Box([0], [1]), "probability", output=0)
    assert found.status is Status.PROVED
    assert found.value == "up"
    assert "linear programmes" in found.certificate.reason
    far = pel.monotone(net, 0, pel.Box([0], [20]), "probability", output=0)
    assert far.value == "mixed"


@pytest.mark.parametrize("seed", range(4))
def test_probabilities_of_many_classes_with_mixed_margins(seed):
    rng = np.random.default_rng(seed)
    net = relu_network(random_layers(rng, [2, 4, 6], 0.6), "softmax")
    for j in (0, 1):
        for o in range(6):
            found = pel.monotone(net, j, box(2), "probability", output=o)
            rises, falls = along_lines(net, 2, j, value_of(net, "probability", o), rng)
            assert found.value in ({"mixed"} if rises and falls else {"up", "mixed", None} if rises else {"down", "mixed", None})
            assert found.status is not Status.PROVED or found.value in ("up", "down")


def test_decisions_over_ordered_classes():
    atlas = diamonds()                                       # classes 2, 1, 0 from the middle outwards
    net = atlas.network
    assert pel.monotone(net, 0, atlas.domain, "decision").value == "mixed"
    right = pel.Box([0.1, -2], [2, 2])
    falls = pel.monotone(net, 0, right, "decision")
    assert (falls.value, falls.status) == ("down", Status.PROVED)
    assert pel.monotone(net, 0, right, "decision", order=[2, 1, 0]).value == "up"
    assert pel.monotone(net, 0, right, "decision", order=[1, 0, 2]).value == "mixed"
    cut = pel.monotone(net, 0, right.where([1, 1], 0.2), "decision", direction="up")
    assert cut.status is Status.REFUTED
    assert net.decide(cut.witness.x).tolist() == cut.witness.values.tolist()


def test_parallel_facets_and_tied_features():
    # the class depends on x1 alone: every border is parallel to x0
    net = relu_network([(np.array([[0.0, 1.0]]), np.zeros(1)), (np.array([[0.0], [1.0]]), np.array([0.3, 0.0]))], "softmax")
    assert pel.monotone(net, 0, box(2), "decision").value == "constant"
    assert pel.monotone(net, 1, box(2), "decision").value == "up"
    three = relu_network([(np.array([[1.0, -2, 1]]), np.zeros(1)), (np.array([[1.0], [0]]), np.zeros(2))], "softmax")
    tied = box(3).slice(free=(0, 1), at=[0, 0, 0], ties={0: [2]})
    assert pel.monotone(three, 0, tied, "output").value == "up"
    for feature, word in ((2, "tied"), ("x3", "did you mean|there are")):
        with pytest.raises(pel.DataError, match=word):
            pel.monotone(three, feature, tied)
    with pytest.raises(pel.DataError, match="stands still"):
        pel.monotone(three, 1, pel.Box([-1, 0, -1], [1, 0, 1]))


def test_budgets_leave_it_unknown_and_wrong_questions_are_refused(rng):
    # logits 0 and relu(s) - relu(s - 1) / 2 - 0.3 with s = x0 + .. + x3: rising, but not by bounds on the slopes
    first = (np.ones((2, 4)), np.array([0.0, -1]))
    net = relu_network([first, (np.array([[0, 0], [1, -0.5]]), np.array([0, -0.3]))], "softmax")
    for of in ("output", "probability", "decision"):
        part, whole = (pel.monotone(net, 0, box(4), of, output=1, max_regions=n) for n in (1, None))
        assert part.status is Status.UNKNOWN
        assert "PARTIAL" in part.certificate.reason
        assert part.value is None
        assert (whole.value, whole.status) == ("up", Status.PROVED)
        assert whole.gap == 0 < part.gap
    plain = relu_network(random_layers(rng, [2, 3, 1]))
    with pytest.raises(pel.NoDecision, match="regression"):
        pel.monotone(plain, 0, box(2), "decision")
    with pytest.raises(pel.NoDecision, match="no probabilities"):
        pel.monotone(plain, 0, box(2), "probability")
    with pytest.raises(pel.DataError, match="each once"):
        pel.monotone(net, 0, box(4), "decision", order=[0])
    with pytest.raises(ValueError, match="'output', 'probability', 'decision'"):
        pel.monotone(plain, 0, box(2), "outputs")


# ---- Lipschitz


@pytest.mark.parametrize("p", [1, 2, np.inf])
@pytest.mark.parametrize("seed", range(3))
def test_the_lipschitz_constant_is_no_less_than_any_quotient_and_attained(p, seed):
    rng = np.random.default_rng(seed)
    for _, net in networks(rng):
        d = net.n_inputs
        found = pel.lipschitz(net, box(d), p)
        assert found.status is Status.PROVED
        x = rng.uniform(-1, 1, (2000, d))
        z = np.clip(x + rng.normal(size=x.shape) * 10.0 ** rng.uniform(-4, 0, (len(x), 1)), -1, 1)
        apart = np.linalg.norm(z - x, ord=p, axis=1)
        quotient = np.linalg.norm(net(z) - net(x), ord=p, axis=1) / apart
        assert quotient.max() <= (found.value + found.gap) * (1 + 1e-8)
        norms = [np.linalg.norm(C, ord=p) for C in found.atlas.coef]
        assert found.value == pytest.approx(max(norms), rel=1e-12, abs=1e-300)
        if found.value > 1e-9:
            a, b = found.witness
            assert np.linalg.norm(net([b])[0] - net([a])[0], ord=p) / np.linalg.norm(b - a, ord=p) == pytest.approx(found.value, rel=1e-6)
        partial = pel.lipschitz(net, box(d), p, max_regions=1)
        assert partial.value <= found.value * (1 + 1e-12) <= (partial.value + partial.gap) * (1 + 1e-9)


def test_lipschitz_of_one_output_in_a_slice(rng):
    net = relu_network(random_layers(rng, [4, 6, 3]), "softmax", class_names=("a", "b", "c"))
    plane = box(4).slice(free=(0, 2), at=[0, 0.2, 0, 0.1], ties={0: [3]})
    for output, versus in (("a", None), ("a", "c")):
        found = pel.lipschitz(net, plane, output=output, versus=versus)
        c = np.array([1.0, 0, 0 if versus is None else -1])
        assert found.value == pytest.approx(max(np.linalg.norm(c @ C) for C in found.atlas.coef_u))
    with pytest.raises(ValueError, match="1, 2 and inf"):
        pel.lipschitz(net, plane, p=3)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30)
def test_bounds_on_slopes_hold_for_every_region(seed):
    rng = np.random.default_rng(seed)
    d = int(rng.integers(1, 4))
    kind = DEGENERATE[int(rng.integers(len(DEGENERATE)))]
    atlas = pel.linear_regions(relu_network(degenerate_layers(kind, rng, d)), box(d))
    low, high = slope_bounds(atlas.chain, atlas.domain)
    room = 1e-13 * (1 + np.abs(high))
    assert (atlas.coef_u >= low - room).all()
    assert (atlas.coef_u <= high + room).all()


# ---- importance


@pytest.mark.parametrize(("d", "engine"), [(1, "search"), (2, "planar"), (3, "vertex"), (4, "search"), (6, "search")])
def test_totals_are_means_by_volume_however_the_atlas_was_made(d, engine, rng):
    atlas = pel.linear_regions(relu_network(random_layers(rng, [d, 5, 4, 2])), pel.Box([-1] * d, [2] * d), engine=engine)
    found = pel.importance(atlas, 1)
    x = rng.uniform(-1, 2, (20_000, d))
    w = 3 * np.abs(atlas.coef[atlas.locate(x), 1])
    assert found.status is Status.PROVED
    assert np.allclose(found.value, w.mean(axis=0), atol=5 * w.std(axis=0).max() / np.sqrt(len(w)) + 1e-9)
    assert np.array_equal(found.ranks[np.argsort(-found.value, kind="stable")], np.arange(1, d + 1))
    sampled = pel.importance(atlas, 1, volumes="sampled", points=2000, confidence=0.999)
    assert sampled.status is Status.UNKNOWN
    assert sampled.gap == np.inf
    assert (sampled.low - 1e-12 <= found.value).all()
    assert (found.value <= sampled.high + 1e-12).all()
    assert np.array_equal(sampled.value, pel.importance(atlas, 1, volumes="sampled", points=2000, confidence=0.999).value)
    told = pel.describe(atlas, 1)
    assert np.allclose(told.total, found.value)
    assert pel.importance(atlas, 1, 0).quantity.label == "class 1 - class 0"


def test_above_six_dimensions_totals_are_estimates_and_say_so(rng):
    net = relu_network(random_layers(rng, [8, 5, 2]), "softmax")
    atlas = pel.linear_regions(net, box(8))
    told, found = pel.describe(atlas), pel.importance(atlas)
    assert np.allclose(told.total, found.value)
    assert "estimated" in told.notes[0]
    assert "estimated" in found.certificate.reason
    assert isinstance(told.to_frame(), pd.DataFrame)
    assert {"low", "high"} <= set(found.to_frame().columns)
    with pytest.raises(pel.DomainError, match="volumes='sampled'"):
        pel.importance(atlas, volumes="exact")
    assert pel.favoured_output(atlas, 0).to_frame()["favoured"].sum() == pytest.approx(1)


def test_walks_in_a_thin_polytope_give_the_shares_that_exact_volumes_give(rng):
    net = relu_network(random_layers(rng, [5, 6, 2]), "softmax")
    corner = pel.Box([0] * 5, [1] * 5).where(np.ones(5), 0.9)            # a simplex, 1/200 of the box
    atlas = pel.linear_regions(net, corner)
    exact, walked = (pel.importance(atlas, volumes=v, confidence=0.999) for v in ("exact", "sampled"))
    assert walked.weighing.chain is not None
    assert ((walked.low - 1e-9 <= exact.value) & (exact.value <= walked.high + 1e-9)).all()


# ---- decision boundary


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_boundary_is_where_the_class_changes(d, rng):
    for kind in [*DEGENERATE, "random"]:
        layers = random_layers(rng, [d, 8, 6, 3]) if kind == "random" else degenerate_layers(kind, rng, d)
        net = relu_network(layers, "softmax")
        atlas = pel.linear_regions(net, box(d), by="class")
        boundaries = [pel.decision_boundary(atlas, a, b) for a, b in ((0, 1), (0, 2), (1, 2))]
        # from both sides: next to every piece lie its classes, and y_a = y_b on it
        for found in boundaries:
            x, n = found.point, found.normal
            good = ~np.isnan(x).any(axis=1)
            y = net(x[good])
            assert np.allclose(y[:, found.a], y[:, found.b], atol=1e-7)
            for side, k in ((-1, found.a), (1, found.b)):
                row = atlas.locate(x[good] + side * 1e-7 * n[good])
                inside = row >= 0
                assert (atlas.first[row[inside]] == k).mean() > 0.9 if inside.any() else True
        # from points: between neighbours on lines with two classes lies a piece of their boundary
        ends = rng.uniform(-1, 1, (2, 40, d))
        t = np.linspace(0, 1, 2001)[:, None, None]
        x = ends[0] + t * (ends[1] - ends[0])
        k = atlas.first[atlas.locate(x.reshape(-1, d))].reshape(len(t), -1)
        for i, line in np.argwhere(np.diff(k, axis=0)):
            a, b = sorted((int(k[i, line]), int(k[i + 1, line])))
            found = next(f for f in boundaries if (f.a, f.b) == (a, b))
            one, two = x[i, line], x[i + 1, line]
            crossed = (found.normal @ one - found.offset) * (found.normal @ two - found.offset) <= 1e-12
            assert crossed.any(), kind


def test_pieces_are_polytopes_that_measure_what_the_boundary_is(rng):
    flat = relu_network([(np.array([[1.0, 2, -1], [0, 0, 0]]), np.array([0.2, 0.0]))], "softmax")
    atlas = pel.linear_regions(flat, box(3), by="class")
    found = pel.decision_boundary(atlas, "class 0", "class 1")
    assert len(found) == 1
    piece = found[0]
    assert np.allclose(piece.normal, -np.array([1, 2, -1]) / np.sqrt(6))
    assert np.isclose(piece.normal @ piece.point, piece.offset)
    assert (piece.A @ piece.point < piece.b).all()
    # the area by projection along x1: the plane over { |x1| <= 1 }
    u = rng.uniform(-1, 1, (400_000, 2))
    share = np.mean(np.abs((-0.2 - u[:, 0] + u[:, 1]) / 2) <= 1)
    assert found.length == pytest.approx(4 * share * np.sqrt(6) / 2, rel=5e-3)
    plane = random_atlas(3)
    two = pel.linear_regions(plane.network, plane.domain, by="top2")
    assert pel.decision_boundary(two, 0, 1).length == pytest.approx(pel.decision_boundary(plane, 0, 1).length)
    assert pel.decision_boundary(plane, 0, 1).length + pel.decision_boundary(plane, 0, 2).length \
        + pel.decision_boundary(plane, 1, 2).length == pytest.approx(pel.transitions(plane).length.sum())


def test_ties_are_reported_and_no_boundary_is_where_no_class_changes():
    # outputs max(x, 0), max(x, 0), -1: the first two tie everywhere, so the second is never given
    net = relu_network([(np.array([[1.0, 0]]), np.zeros(1)), (np.array([[1.0], [1], [0]]), np.array([0, 0, -1.0]))], "softmax")
    atlas = pel.linear_regions(net, box(2), by="class")
    found = pel.decision_boundary(atlas, 0, 1)
    assert len(found) == 0
    assert found.witness is None
    assert found.ties.tolist() == [0, 1]
    with pytest.raises(pel.DataError, match="with itself"):
        pel.decision_boundary(atlas, 0, 0)
    with pytest.raises(pel.MissingColumn, match="by='class'"):
        pel.decision_boundary(pel.linear_regions(net, box(2)), 0, 1)


def test_boundaries_of_labels_and_of_one_sigmoid(rng):
    labels = pel.linear_regions(relu_network(random_layers(rng, [2, 5, 2]), "sigmoid", class_names=("a", "b")), box(2), by="class")
    found = pel.decision_boundary(labels, "a", "not")
    assert np.allclose(labels.network(found.point)[:, 0], 0, atol=1e-9)
    with pytest.raises(pel.DataError, match="'not'"):
        pel.decision_boundary(labels, "a", "b")
    one = pel.linear_regions(relu_network(random_layers(rng, [2, 5, 1]), "sigmoid"), box(2), by="class", threshold=0.6)
    found = pel.decision_boundary(one, 0, 1)
    assert np.allclose(one.network.predict(found.point), 0.6, atol=1e-9)


# ---- other explanations in one and more dimensions


@pytest.mark.parametrize("d", [1, 3, 7])
def test_explanations_are_given_in_any_dimension(d, rng):
    net = relu_network(random_layers(rng, [d, 5, 3]), "softmax")
    atlas = pel.linear_regions(net, box(d), by="class")
    results = [pel.transitions(atlas), pel.enclaves(atlas), pel.tipping_points(atlas, 0), pel.abrupt_changes(atlas), pel.describe(atlas),
               pel.favoured_output(atlas, 0), pel.importance(atlas), pel.decision_boundary(atlas, 0, 1)]
    for result in results:
        assert "\n" not in repr(result)
        assert isinstance(result.to_frame(), pd.DataFrame)
        assert "<table" in result._repr_html_()
    w = atlas.coef[:, 0, 0]
    tip = results[2]
    assert (w[tip.rising] > 0).all()
    assert (w[tip.falling] < 0).all()


def test_an_enclave_in_three_dimensions():
    # class 1 in |x| + |y| + |z| < 1, class 0 outside
    eye = np.vstack([np.eye(3), -np.eye(3)])
    net = relu_network([(eye, np.zeros(6)), (np.array([np.zeros(6), -np.ones(6)]), np.array([0.0, 1.0]))], "softmax")
    atlas = pel.linear_regions(net, box(3, 2.0), by="class")
    found = pel.enclaves(atlas)
    assert len(found) == 1
    assert found.area[found.enclosed] == pytest.approx(8 / 6)
    assert pel.decision_boundary(atlas, 0, 1).length == pytest.approx(8 * np.sqrt(3) / 2)
    line = pel.linear_regions(net, box(3, 2.0).slice(free=(0,), at=[0, 0.2, 0.1]), by="class")
    assert len(pel.enclaves(line)) == 1
    assert len(pel.decision_boundary(line, 0, 1)) == 2
