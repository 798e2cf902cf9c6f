"""The case studies of CEE run, and what they compute of networks agrees with what is computed another way."""

from __future__ import annotations

import importlib
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_examples import ROOT, run

import pellucid as pel

sklearn = pytest.importorskip("sklearn")


@pytest.fixture
def example(monkeypatch):
    """example("name") -> the module of an example."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    return importlib.import_module


def random_net(rng, widths, **names) -> pel.Network:
    W = [rng.standard_normal((b, a)) for a, b in pairwise(widths)]
    return pel.load((W, [rng.standard_normal(b) for b in widths[1:]]), orientation="out_in", **names)


@pytest.fixture
def explainers():
    pytest.importorskip("lime")
    pytest.importorskip("shap")


@pytest.mark.parametrize("name", ["feature_selection", "hidden_bias"])
def test_examples_say_so_where_their_data_are_absent(name, tmp_path, example, monkeypatch):
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--data", str(tmp_path / "absent")])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="is not there"):
        example(name).main()
    assert not list(tmp_path.iterdir())


# ---- feature selection


def test_feature_selection(tmp_path, shared, explainers):
    done = run("feature_selection.py", "--quick", "--data", shared / "data", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = pd.read_csv(tmp_path / "out/feature_selection/german_credit.csv")
    assert (results[results.rule == "half"].features == 12).all()
    assert results[["training", "test"]].stack().between(0, 1).all()
    by_rule = results[results.ranking.str.startswith("total weight over the box")].pivot(index="seed", columns="rule", values="names")
    for wide, narrow in zip(by_rule["10%"], by_rule["50%"], strict=True):
        assert set(narrow.split(", ")) <= set(wide.split(", "))
    assert (tmp_path / "out/feature_selection/feature_selection.png").is_file()


@pytest.mark.parametrize("widths", [(2, 1), (2, 6, 1), (3, 8, 5, 1)])
def test_sampled_totals_hold_the_exact_ones(widths, example, rng):
    """Means over uniform points against sums over all regions by volume; four intervals wide, since it is tried once."""
    study = example("feature_selection")
    net, box = random_net(rng, widths), pel.Box(-np.arange(1.0, widths[0] + 1), np.ones(widths[0]))
    told = pel.describe(pel.linear_regions(net, box))
    for signed, truth in ((False, told.total), (True, np.abs(told.signed))):
        total, half_width = study.total_weights(net, box, rng, 20_000, signed=signed)
        assert np.all(np.abs(total - truth) <= 2 * half_width + 1e-9 * np.abs(truth))


def test_weights_on_planes_of_a_linear_network_are_its_slopes(example, rng):
    study = example("feature_selection")
    W, box = rng.standard_normal((1, 4)), pel.Box(np.zeros(4), np.arange(1.0, 5))
    totals = study.weights_on_planes(pel.load(([W], [np.zeros(1)])), box, pd.DataFrame(rng.random((10, 4))), rng, 3)
    np.testing.assert_allclose(totals, np.abs(W[0]) * np.arange(1.0, 5), rtol=1e-12)


def test_rules_keep_the_heaviest(example, rng):
    kept = example("feature_selection").kept
    for d in (1, 2, 7, 24):
        score = rng.random(d)
        assert len(kept(score, "half")) == -(-d // 2)
        for rule in ("half", "10%", "50%"):
            inside = np.isin(np.arange(d), kept(score, rule))
            assert inside[score.argmax()]
            assert score[inside].min() >= score[~inside].max(initial=0)


# ---- stability


def test_stability(tmp_path, explainers):
    done = run("stability.py", "--quick", "--data", tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "out/stability/piecewise.csv", index_col=0)
    assert table.loc["exact", "total squared error"] == 0
    assert table.loc["LIME", "total squared error"] > 0
    shares = pd.read_csv(tmp_path / "out/stability/equal_time.csv")
    for method in ("LIME", "SHAP", "exact"):
        assert shares[f"{method} points"].is_monotonic_increasing
        assert shares[f"{method} right"].between(0, 1).all()
    for picture in ("stability", "equal_time"):
        assert (tmp_path / f"out/stability/{picture}.png").is_file()


def test_exact_weights_at_points_have_the_map_s_ranks(example, rng):
    """Explained at its own place each point of a plane gets the rank that the map has there."""
    study = example("stability")
    net = random_net(rng, (3, 8, 8, 1))
    plane = pel.Box(np.zeros(3), np.ones(3)).slice(free=(0, 2), at=np.full(3, 0.5))
    atlas, told, _ = study.map_seconds(net, plane, repeats=1)
    std = np.tile([[0.0], [1.0]], (50, 3))                   # every feature spreads alike, as on the map
    case = study.Case("", net, std, std[0])
    points = study.explain_points(case, atlas, "exact", feature=1, seconds=60.0, most=100)
    assert np.array_equal(points.rank_near(points.at, len(points.at)), points.rank)
    assert np.array_equal(told.ranks[atlas.locate(points.at), 1], points.rank)
    assert 0 < study.best_guess(told, 1) <= 1


# ---- hidden bias


def test_hidden_bias(tmp_path, shared, explainers):
    done = run("hidden_bias.py", "--quick", "--data", shared / "data/compas-two-years.csv.gz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "100% proved" in done.stdout
    summary = pd.read_csv(tmp_path / "out/hidden_bias/summary.csv", index_col=0)
    assert summary.stack().between(0, 1).all()
    assert (tmp_path / "out/hidden_bias/against_lime.png").is_file()


def test_exact_findings_are_those_of_changed_rows(shared: Path, example, rng):
    """What the maps say of race and the harmless column, against the network asked about people with these changed."""
    study = example("hidden_bias")
    X = study.compas(shared / "data/compas-two-years.csv.gz", rng)
    assert X.shape[1] == 11                                  # as in CEE Fig. 7
    people = X.sample(12, random_state=0)
    scale = X.std().to_numpy()
    W = rng.standard_normal((12, 11)) / scale
    net = pel.load(([W, rng.standard_normal((1, 12))], [-W @ X.mean().to_numpy(), np.zeros(1)]), link="sigmoid",
                   feature_names=list(X), class_names=study.CLASSES)
    found = study.exact_findings(net, X, people)
    decided = net.decide(people.to_numpy())
    for column, feature in (("race decides", study.RACE), ("harmless column decides", study.HARMLESS)):
        changed = people.assign(**{feature: 1 - people[feature]})
        assert np.array_equal(found[column], net.decide(changed.to_numpy()) != decided)
        assert 0 < found[column].sum() < len(people)         # a test that both answers occur in
