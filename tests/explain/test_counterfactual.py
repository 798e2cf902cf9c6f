"""Counterfactuals: equal to brute force over complete atlases, exact where they have to be, told in the user's categories."""

import brute
import numpy as np
import pandas as pd
import pytest
from decisions import Case
from networks import random_layers, relu_network

import pellucid as pel
from pellucid.explain.distance import Distance
from pellucid.explain.space import space_of
from pellucid.tolerance import PROVED_GAP

PROVED, UNKNOWN = pel.Status.PROVED, pel.Status.UNKNOWN


@pytest.mark.parametrize("block", [0, 1, 2, 3, *(pytest.param(k, marks=pytest.mark.slow) for k in range(4, 10))])
def test_the_nearest_is_that_of_the_complete_atlas(block):
    for seed in range(25 * block, 25 * (block + 1)):
        case = Case(seed)
        p, threshold = [1, 2, np.inf][seed % 3 if not case.asked else case.rng.integers(3)], case.rng.uniform(0.3, 0.7)
        to = None if case.rng.random() < 0.3 else int(case.rng.integers(max(case.c, 2)))
        threshold = threshold if case.net.n_outputs == 1 else 0.5
        found = pel.counterfactual(case.net, case.x, to, domain=case.box, p=p, threshold=threshold, **case.asked)
        expected = brute.nearest(case.net, case.space, case.x, to, p, found.scale, threshold)
        note = f"seed {seed}: {found!r}, expected {expected}"
        if case.degenerate:                             # rows may be tied on sets without an interior, which no atlas has
            told = found.value if found.status is PROVED and found.value is not None else found.certificate.figures["bound"]
            assert told <= expected * (1 + 1e-5) + 1e-6, note
            continue
        assert found.status is PROVED, note
        if found.value is None:
            assert expected == np.inf, note
        else:
            assert expected - 1e-9 <= found.value <= expected * (1 + 1e-5) + 2e-5, note
            assert found.infimum <= min(found.value, expected + 2e-5), note
            assert found.gap <= PROVED_GAP * (1 + found.value)


@pytest.mark.parametrize("p", [0, 1, 2, np.inf])
def test_no_sample_is_nearer_and_the_witness_is_exact(p, rng):
    net = relu_network(random_layers(rng, [8, 10, 8, 3]), "softmax")
    box = pel.Box(-np.ones(8), np.ones(8)).where([[1.0, 0, 0, 1, 0, 0, 0, 0]], 1.0)
    x = np.r_[0, 0.2, -0.3, 0.1, 1, 0, 0, 0.5]
    to = next(k for k in range(3) if k != net.decide(x[None])[0])
    asked = {"integer": [0], "one_hot": {"kind": [4, 5, 6]}}
    found = pel.counterfactual(net, x, to, domain=box, p=p, fixed=[1], monotone={2: "up", 3: -1}, scale=0.5, **asked)
    assert found.status is PROVED
    w, space = found.witness, space_of(net, box, **asked)
    assert space.contains(w)[0]
    assert net.decide(w[None])[0] == to
    assert w[1] == x[1]
    assert w[2] >= x[2]
    assert w[3] <= x[3]
    assert w[0] == round(w[0])
    assert sorted(w[4:7]) == [0, 0, 1]
    X = space.sample(20000, rng)
    X[:, 1] = x[1]
    X = X[(X[:, 2] >= x[2]) & (X[:, 3] <= x[3]) & (net.decide(X) == to)]
    assert len(X)
    distance = Distance(space, x, p, found.scale)
    assert min(distance(row) for row in X) >= found.value - 1e-9
    assert distance(w) == found.value


def test_a_margin_is_held_and_the_infimum_beside_it_is_that_of_the_tie(rng):
    net = relu_network(random_layers(rng, [3, 6, 2]), "softmax")
    box, x = pel.Box(-3 * np.ones(3), 3 * np.ones(3)), np.zeros(3)
    plain = pel.counterfactual(net, x, domain=box)
    held = pel.counterfactual(net, x, domain=box, margin=0.25)
    y = net(held.witness[None])[0]
    assert abs(y[1] - y[0]) >= 0.25
    assert held.value > plain.value
    assert held.infimum == pytest.approx(plain.value, abs=1e-5)
    assert plain.infimum <= plain.value


def test_further_ones_leave_a_feature_alone_and_come_in_order(rng):
    net = relu_network(random_layers(rng, [5, 8, 2]), "softmax")
    box, x = pel.Box(-2 * np.ones(5), 2 * np.ones(5)), rng.uniform(-1, 1, 5)
    found = pel.counterfactual(net, x, domain=box, n=3)
    every = [found, *found.others]
    values = [one.value for one in every]
    assert len(every) == 3
    assert values == sorted(values)
    changed = [{c.feature for c in one.changes} for one in every]
    assert not any(a <= b for i, a in enumerate(changed) for b in changed[i + 1:])
    for one in every:
        assert one.status is PROVED
        assert net.decide(one.witness[None])[0] != net.decide(x[None])[0]
    assert list(found.to_frame().columns) == ["rank", "distance", "feature", "from", "to", "change"]
    # the second: the nearest with any one of the first one's features held
    by_hand = min(pel.counterfactual(net, x, domain=box, fixed=[f]).value for f in changed[0])
    assert values[1] == pytest.approx(by_hand, abs=1e-5)


def test_that_there_is_none_is_proved_and_time_that_runs_out_says_so():
    net = relu_network([(np.array([[1.0], [1.0]]), np.zeros(2)), (np.array([[1.0, 1.0]]), np.array([0.5]))], "sigmoid")
    none = pel.counterfactual(net, [0.0], to=0, domain=pel.Box([-1], [1]))
    assert none.value is None
    assert none.witness is None
    assert none.status is PROVED
    assert len(none.to_frame()) == 0
    late = pel.counterfactual(net, [0.0], to=0, domain=pel.Box([-1], [1]), max_seconds=0)
    assert late.status is UNKNOWN or late.value is None


def test_without_a_domain_the_search_widens():
    # class 1 where x0 > 1000
    net = relu_network([(np.array([[1.0, 0.0]]), np.array([-1000.0]))], "sigmoid", feature_names=("a", "b"))
    found = pel.counterfactual(net, [0.0, 5.0], to=1)
    assert found.value == pytest.approx(1000, rel=1e-6)
    assert found.status is PROVED
    assert [c.feature for c in found.changes] == ["a"]
    near = pel.counterfactual(net, [0.0, 5.0], to=1, scale={"a": 100.0})
    assert near.value == pytest.approx(10, rel=1e-6)
    assert pel.counterfactual(net, [0.0, 5.0], to=1, fixed=["a"]).status is UNKNOWN      # nothing ends the search


def test_a_row_that_has_the_class_is_its_own_counterfactual():
    net = relu_network([(np.array([[1.0]]), np.array([0.0]))], "sigmoid")
    found = pel.counterfactual(net, [0.5], to=1, domain=pel.Box([-1], [1]))
    assert found.value == 0
    assert found.changes == ()


def test_what_cannot_be_asked_says_why(rng):
    net = relu_network(random_layers(rng, [3, 4, 2]), "softmax", feature_names=("age", "k=a", "k=b"), class_names=("no", "yes"))
    box, x = pel.Box(-np.ones(3), np.ones(3)), np.array([0.5, 1, 0])
    ask = lambda **more: pel.counterfactual(net, x, domain=box, **more)                     # noqa: E731
    with pytest.raises(pel.DataError, match="no class is called 'maybe'; there are: no, yes"):
        ask(to="maybe")
    with pytest.raises(pel.DataError, match=r"no feature is called 'agee'; did you mean 'age'"):
        ask(fixed=["agee"])
    with pytest.raises(pel.DataError, match="'age' is in two groups"):
        ask(one_hot=[["age", "k=a"], ["age", "k=b"]])
    with pytest.raises(pel.DataError, match="'k' is a category, and has no order"):
        ask(one_hot=[["k=a", "k=b"]], monotone={"k": 1})
    with pytest.raises(pel.DataError, match=r"'age' is to be a whole number, and is 0.5"):
        ask(integer=["age"], fixed=["age"])
    with pytest.raises(ValueError, match="p=3"):
        ask(p=3)
    with pytest.raises(pel.NoDecision):
        pel.counterfactual(relu_network(random_layers(rng, [3, 1])), x, domain=box)
    with pytest.raises(pel.DomainError, match="unbounded"):
        pel.counterfactual(net, x, domain=pel.Box(-np.ones(3), [1, 1, np.inf]))


# ---- models of raw tables
@pytest.fixture(scope="module")
def applicants():
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(3)
    n = 400
    frame = pd.DataFrame({"age": rng.integers(18, 75, n), "amount": rng.uniform(200, 9000, n).round(), "months": rng.integers(6, 60, n),
                          "purpose": rng.choice(["car", "education", "repairs"], n), "sex": rng.choice(["female", "male"], n)})
    risk = frame["amount"] / 4000 + frame["months"] / 30 - frame["age"] / 40 + (frame["purpose"] == "car") * 1.2
    return frame, np.where(risk + 0.3 * rng.normal(size=n) > 2.0, "bad", "good")


@pytest.fixture(scope="module", params=[None, "first"], ids=["all categories", "first dropped"])
def credit(request, applicants):
    from sklearn.compose import ColumnTransformer
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame, y = applicants
    steps = ColumnTransformer([("numbers", StandardScaler(), ["age", "amount", "months"]),
                               ("categories", OneHotEncoder(drop=request.param), ["purpose", "sex"])])
    model = make_pipeline(steps, MLPClassifier((8, 6), max_iter=400, random_state=0)).fit(frame, y)
    return model, pel.load(model)


def test_raw_rows_are_answered_in_their_own_categories(credit, applicants):
    model, net = credit
    frame, _ = applicants
    domain = pel.Box.of(net.table.encode(frame))
    refused = frame[model.predict(frame) == "bad"].head(4)
    for k in range(len(refused)):
        row = refused.iloc[[k]]
        found = pel.counterfactual(net, row, "good", domain=domain, fixed=["age", "sex"], integer=["months"], monotone={"amount": "down"})
        assert found.status is PROVED
        now, then = found.rows().iloc[0], found.rows().iloc[1]
        assert model.predict(found.rows().iloc[1:])[0] == "good"
        assert (then["age"], then["sex"]) == (now["age"], now["sex"])
        assert now["purpose"] == row["purpose"].iloc[0]
        assert then["months"] == round(then["months"])
        assert then["amount"] <= now["amount"]
        assert set(found.to_frame()["feature"]) == {c for c in frame.columns if now[c] != then[c]}


def test_a_change_of_category_is_told_in_words(credit, applicants):
    model, net = credit
    frame, _ = applicants
    refused = frame[(model.predict(frame) == "bad") & (frame["purpose"] == "car")]
    domain = pel.Box.of(net.table.encode(frame))
    told = [pel.counterfactual(net, refused.iloc[k], "good", domain=domain, fixed=["age", "sex", "amount", "months"]) for k in range(8)]
    assert any(a.value is not None for a in told)
    for a in told:
        if a.value is None:
            assert a.status is PROVED
            continue
        assert a.value == 1.0
        (change,) = a.changes
        assert (change.feature, change.before) == ("purpose", "car")
        assert change.change == f"car -> {change.after}"
        assert "purpose car -> " in repr(a)


def test_decoding_turns_encoding_round(credit, applicants):
    _, net = credit
    frame, _ = applicants
    X = net.table.encode(frame)
    again = net.table.decode(X)
    assert (again == frame[list(again.columns)]).all().all()
    assert (net.table.encode(again) == X).all()
    X[3, net.feature_names.index("purpose=repairs")] = 0.5
    with pytest.raises(pel.DataError, match=r"row 3: the inputs of 'purpose' are .*'car', 'education', 'repairs'"):
        net.table.decode(X)


def test_answers_are_saved_and_shown(credit, applicants, tmp_path):
    _, net = credit
    frame, _ = applicants
    found = pel.counterfactual(net, frame.iloc[0], domain=pel.Box.of(net.table.encode(frame)))
    assert '"status": "proved"' in found.save(tmp_path / "answer.json").read_text()
    assert "feature" in found._repr_html_()
    assert found.certificate.claim.startswith("the row is given a class other than")


def test_ctrl_c_gives_the_best_so_far(rng, monkeypatch):
    from pellucid.geometry.milp import Program

    net = relu_network(random_layers(rng, [3, 6, 2]), "softmax")
    box, x, solve = pel.Box(-3 * np.ones(3), 3 * np.ones(3)), np.zeros(3), Program.minimise

    def interrupted(self, *args, **more):
        found = solve(self, *args, **more)
        if self.integer.any() and found.status == "optimal":
            raise pel.Interrupted(found)
        return found

    monkeypatch.setattr(Program, "minimise", interrupted)
    with pytest.raises(pel.Interrupted) as stopped:
        pel.counterfactual(net, x, domain=box, n=3)
    best = stopped.value.partial
    assert net.decide(best.witness[None])[0] != net.decide(x[None])[0]
    with pytest.raises(pel.Interrupted) as stopped:
        pel.contrastive_reason(net, x, box)
    assert stopped.value.partial.value is not None
    with pytest.raises(ValueError, match="cannot be negative"):
        pel.counterfactual(net, x, domain=box, max_seconds=-1)
    with pytest.raises(pel.DomainError, match="p=0 counts changes of any size"):
        pel.counterfactual(net, x, p=0)


@pytest.mark.parametrize("p", [1, 2])
def test_another_solver_says_the_same(p, rng):
    pytest.importorskip("pyscipopt")
    net = relu_network(random_layers(rng, [4, 6, 2]), "softmax")
    box, x = pel.Box(-2 * np.ones(4), 2 * np.ones(4)), rng.uniform(-1, 1, 4)
    found = pel.counterfactual(net, x, domain=box, p=p)
    assert found.certificate.check().status is PROVED
    assert "scip finds one" in found.certificate.check().reason
    assert pel.counterfactual(net, x, domain=box, p=p, solver="scip").value == pytest.approx(found.value, abs=1e-6)


def test_a_solver_that_is_wrong_is_found_out(rng, monkeypatch):
    """HiGHS's presolve did lose optima: what a drawn row refutes is not called proved."""
    from dataclasses import replace

    from pellucid.geometry.milp import Program

    net = relu_network(random_layers(rng, [3, 6, 2]), "softmax")
    box, x, solve = pel.Box(-3 * np.ones(3), 3 * np.ones(3)), np.zeros(3), Program.minimise
    honest = pel.counterfactual(net, x, domain=box, p=np.inf)

    def wrong(self, *args, **more):
        return replace(solve(self, *args, **more), x=None, status="infeasible", bound=np.inf)

    monkeypatch.setattr(Program, "minimise", wrong)
    found = pel.counterfactual(net, x, domain=box, p=np.inf)
    assert found.status is UNKNOWN
    assert "refutes the solver's bound" in found.certificate.reason
    assert found.value >= honest.value
