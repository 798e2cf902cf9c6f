"""What pictures of local models show, by their charts, undrawn."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_models import Unwrapper, toy, unwrap

import pellucid as pel
from pellucid.errors import DataError, DomainError, MissingColumn
from pellucid.plots.bootstrap import CLEAR, bootstrap_charts, intervals_chart
from pellucid.plots.cells import cells_of, level_lines, zero_segment
from pellucid.plots.chart import Area, Boxes, Curve, Label, Points, Segments, Shade, density, line_density, quantiles, run_density
from pellucid.plots.coefficients import coefficients_chart
from pellucid.plots.data_regions import UNCHARTED, data_regions_scene
from pellucid.plots.drawing import short
from pellucid.plots.joint_importance import joint_chart
from pellucid.plots.local_models import curve_chart, plane_scene
from pellucid.plots.parallel_coordinates import parallel_chart
from pellucid.plots.performance import performance_chart
from pellucid.plots.polar import directions, polar_chart
from pellucid.plots.profile import intercept_chart, profile_chart
from pellucid.plots.region_rows import region_rows_chart
from pellucid.plots.unseen_codes import unseen_chart
from pellucid.unwrap.asked import effect, in_units, small, spread_of


def named(chart):
    return [c for c in chart.find(Curve) if c.name]


def polygon_area(scene):
    from pellucid.atlas.select import areas

    return np.bincount(scene.faces.colour, weights=areas(scene.faces.vertices, scene.faces.ptr), minlength=len(scene.palette))


# ---- which output is spoken of


def test_the_default_effect_of_two_classes_is_the_logit_that_decides():
    m = toy()
    told = effect(m)
    np.testing.assert_array_equal(told.coef, m.coef[:, 0])
    assert told.label == "logit of class 1"
    np.testing.assert_array_equal(effect(m, "class 0").coef, -m.coef[:, 0])


def test_the_default_effect_of_many_classes_ignores_what_softmax_ignores():
    m = toy(classes=4, d=3)
    shifted = replace(m, coef=m.coef + np.arange(3.0), intercept=m.intercept + 7)
    np.testing.assert_allclose(effect(m).coef, effect(shifted).coef, atol=1e-12)
    assert "mean logit" in effect(m).label
    frequent = int(np.argmax(np.bincount(m.rows.y)))
    assert m.network.class_names[frequent] in effect(m).label
    two = effect(m, "class 2", "class 0")
    np.testing.assert_allclose(two.coef, m.coef[:, 2] - m.coef[:, 0])


def test_refitted_models_of_two_classes_may_hold_one_logit_where_the_network_has_two():
    net = pel.load(([np.eye(2), np.eye(2)], [np.zeros(2), np.zeros(2)]), orientation="out_in", link="softmax", class_names=["no", "yes"])
    m = unwrap(net, np.random.default_rng(0).normal(size=(50, 2)), np.arange(50) % 2)
    one = replace(m, coef=m.coef[:, 1:] - m.coef[:, :1], intercept=m.intercept[:, 1:] - m.intercept[:, :1], kind="merged")
    np.testing.assert_allclose(effect(one).coef, effect(m).coef)
    np.testing.assert_allclose(effect(one, "no").coef, -effect(one).coef)
    np.testing.assert_allclose(effect(one, versus="yes").coef, -effect(one).coef)


def test_names_that_are_not_there_are_refused():
    with pytest.raises(DataError, match="no output"):
        effect(toy(), "nobody")
    with pytest.raises(TypeError, match="UnwrapperClassifier"):
        pel.joint_importance(np.zeros(3))


# ---- units


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_models_in_other_units_give_the_same_values(seed):
    rng = np.random.default_rng(seed)
    m = toy(n=60, d=3, hidden=(4,), seed=seed % 7)
    centre, scale = rng.normal(size=3) * 5, rng.choice([-1, 1], size=3) * np.exp(rng.normal(size=3))
    moved = in_units(m, (centre, scale))
    before = np.einsum("kcd,kd->kc", m.coef, m.centre) + m.intercept
    np.testing.assert_allclose(np.einsum("kcd,kd->kc", moved.coef, moved.centre) + moved.intercept, before, rtol=1e-9, atol=1e-9)
    assert (moved.low <= moved.centre + 1e-9).all()
    assert (moved.centre <= moved.high + 1e-9).all()
    np.testing.assert_allclose(pel.joint_importance(moved).standardised, pel.joint_importance(m).standardised, atol=1e-9)


def test_only_scalers_of_each_feature_by_itself_give_units():
    class Turned:
        def inverse_transform(self, X):
            return np.asarray(X)[:, ::-1]

    with pytest.raises(DataError, match="by itself"):
        in_units(toy(), Turned())
    with pytest.raises(DataError, match="other than 0"):
        in_units(toy(), (np.zeros(2), np.zeros(2)))


def test_the_spread_of_models_is_that_of_their_rows():
    m = toy(n=300, d=4)
    mean, std = spread_of(m)
    np.testing.assert_allclose(mean, m.rows.X.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(std, m.rows.X.std(axis=0), atol=1e-12)


# ---- joint importance


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_joint_importance_is_the_formula(classes):
    m = toy(classes=classes, d=3)
    told = pel.joint_importance(m)
    w = np.column_stack([effect(m).coef, effect(m).intercept])
    squares = (m.count[:, None] * w ** 2).sum(axis=0)
    np.testing.assert_allclose(told.raw, squares / squares.sum())
    Z = (m.rows.X - m.rows.X.mean(axis=0)) / m.rows.X.std(axis=0)
    again = unwrap_like(m, Z)
    squares = (m.count[:, None] * again ** 2).sum(axis=0)
    np.testing.assert_allclose(told.standardised, squares / squares.sum())
    frame = told.to_frame()
    assert list(frame["feature"])[-1] == "(intercept)"
    assert frame["standardised"].sum() == pytest.approx(1)
    assert list(frame["standardised"][:-1]) == sorted(frame["standardised"][:-1], reverse=True)
    assert "x" in repr(told)
    assert "<table" in told._repr_html_()


def unwrap_like(m, Z):
    """(K, d + 1) each model refitted exactly on standardised inputs, by least squares on points of its own."""
    told, out = effect(m), []
    A = np.column_stack([Z, np.ones(len(Z))])
    for k in range(len(m)):
        out.append(np.linalg.lstsq(A, m.rows.X @ told.coef[k] + told.intercept[k], rcond=None)[0])
    return np.array(out)


def test_joint_importance_of_constant_models_is_nothing():
    net = pel.load(([np.zeros((3, 2)), np.zeros((1, 3))], [np.zeros(3), np.zeros(1)]), orientation="out_in", link="sigmoid")
    told = pel.joint_importance(unwrap(net, np.eye(2), np.array([0, 1])))
    assert (told.raw == 0).all()
    assert (told.standardised == 0).all()


def test_huge_coefficients_have_finite_shares():
    m = toy()
    told = pel.joint_importance(replace(m, coef=m.coef * 1e200, intercept=m.intercept * 1e200))
    assert told.raw.sum() == pytest.approx(1)


def test_importance_bars_are_the_shares_and_arrows_the_signs():
    m = toy(d=5)
    told, chart = pel.joint_importance(m), joint_chart(m, n=3)
    bars, marks = chart.find(Boxes)[0], chart.find(Points)[0]
    np.testing.assert_allclose(bars.end, np.append(told.standardised[told.order()[:3]], told.standardised[-1]))
    np.testing.assert_allclose(marks.at[:, 0], np.append(told.raw[told.order()[:3]], told.raw[-1]))
    assert any("2 features" in n for n in chart.notes)
    for j, name in zip(told.order()[:3], chart.y.names, strict=False):
        w = m.coef[:, 0, j]
        assert name.endswith("↕" if (w > 0).any() and (w < 0).any() else "↑" if (w > 0).any() else "↓")


def test_constant_models_do_not_hide_that_a_feature_only_rises():
    net = pel.load(([np.array([[1.0, 0.0]]), np.array([[2.0]])], [np.zeros(1), np.zeros(1)]), orientation="out_in", link="sigmoid")
    told = pel.joint_importance(m := unwrap(net, np.random.default_rng(0).normal(size=(50, 2)), np.arange(50) % 2))   # 2 max(x0, 0)
    assert len(m) == 2
    assert 0 < told.positive[0] < 1
    assert told.negative[0] == 0
    assert joint_chart(m).y.names == ("x0 ↑", "x1 –", "(intercept)")


# ---- profile


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_profile_lines_have_the_coefficient_as_slope_and_end_with_their_rows(classes):
    m = toy(classes=classes, d=3)
    chart = profile_chart(m, "x1", top=4)
    big = np.flatnonzero(~small(m))
    assert len(named(chart)) == min(4, len(big))
    for k, line in zip(big, named(chart), strict=False):
        np.testing.assert_allclose(line.x, [m.low[k, 1], m.high[k, 1]])
        np.testing.assert_allclose(line.y, effect(m).coef[k, 1] * (line.x - m.centre[k, 1]))
        assert str(int(m.count[k])) in line.name


def test_small_models_are_left_out_and_counted():
    m = toy(n=150, hidden=(8, 8), d=3)
    gone = small(m)
    assert 0 < gone.sum() < len(m)
    for make in (lambda **o: profile_chart(m, 0, **o), lambda **o: parallel_chart(m, **o), lambda **o: coefficients_chart(m, **o)):
        assert any(note.startswith("not shown") and f"{(m.count == 1).sum()}" in note for note in make().notes)
        assert not any(note.startswith("not shown") for note in make(small=True).notes)


def test_where_every_model_is_small_all_are_drawn_and_the_picture_says_so():
    m = toy(n=30, hidden=(30, 30), d=12)
    assert small(m).all()
    chart = profile_chart(m, 0, top=3)
    assert any(note.startswith("all ") for note in chart.notes)
    assert "slope" in chart.y.label
    drawn = chart.find(Segments)[0]
    np.testing.assert_allclose(np.sort(drawn.ends[:, 0, 1]), np.sort(effect(m).coef[:, 0]))


def test_many_models_are_a_density_and_few_are_lines():
    many = toy(n=3000, hidden=(16, 16), d=3, classes=0)
    chart = profile_chart(many, 0, top=5)
    assert len(named(chart)) == 5
    assert isinstance(chart.layers[0], Shade)
    assert chart.layers[0].level.max() == 1.0
    assert isinstance(profile_chart(toy(), 0, top=2).layers[0], Segments)
    assert isinstance(parallel_chart(many).layers[0], Shade)


def test_a_feature_with_a_few_far_rows_is_shown_where_the_rows_are():
    m = toy(n=2000, d=2, hidden=(2,), classes=0)
    X = m.rows.X.copy()
    X[:3, 0] = 1e4
    chart = profile_chart(unwrap(m.network, X, m.rows.y), 0)
    assert chart.x.ends[1] < 100
    assert any("98%" in note for note in chart.notes)


def test_profiles_do_without_rows():
    chart = profile_chart(replace(toy(), rows=None), 0)
    assert any("ranges" in label.text for label in chart.find(Label))


def test_intercept_stems_stand_at_the_intercepts():
    m = toy()
    chart = intercept_chart(m, top=3)
    big = np.flatnonzero(~small(m))[:3]
    at = np.vstack([p.at for p in chart.find(Points)])
    np.testing.assert_allclose(at, np.column_stack([m.intercept[big, 0], m.count[big]]))


# ---- parallel coordinates and distributions


@pytest.mark.parametrize("scale", ["raw", "std"])
def test_parallel_lines_are_the_coefficients(scale):
    m = toy(d=4)
    chart = parallel_chart(m, scale=scale, intercept=True, top=3)
    mean, std = spread_of(m)
    big = np.flatnonzero(~small(m))[:3]
    for k, line in zip(big, named(chart), strict=True):
        w = m.coef[k, 0]
        expected = np.append(m.intercept[k, 0], w) if scale == "raw" else np.append(m.intercept[k, 0] + w @ mean, w * std)
        np.testing.assert_allclose(line.y, expected)
    assert named(chart)[0].width > named(chart)[-1].width or m.count[big[0]] == m.count[big[-1]]
    with pytest.raises(ValueError, match="scale"):
        parallel_chart(m, scale="range")


def test_of_very_many_features_the_heaviest_are_shown_in_their_order():
    m = toy(d=60, hidden=(3,))
    chart = parallel_chart(m, n=10)
    shown = [int(name[1:]) for name in chart.x.names]
    assert len(shown) == 10
    assert shown == sorted(shown)
    assert any("50 features" in note for note in chart.notes)


def test_distribution_rows_tell_quartiles_and_signs():
    m = toy(d=3, n=2000)
    chart = coefficients_chart(m, scale="raw")
    kept = ~small(m)
    w, n = m.coef[kept, 0], m.count[kept]
    for i, name in enumerate(chart.y.names):
        each = np.repeat(w[:, int(name[1:])], n)
        box = chart.find(Boxes)[i]
        np.testing.assert_allclose([box.start[0], box.end[0]], np.quantile(each, [0.25, 0.75], method="inverted_cdf"))
        assert f"{(each < 0).mean():.0%} | {(each > 0).mean():.0%}" in [label.text for label in chart.find(Label)]


# ---- directions


def test_two_coefficients_are_the_direction_and_rows_the_radius():
    m = toy()
    chart = polar_chart(m, log=False)
    at = np.vstack([p.at for p in chart.find(Points)])
    moving = np.abs(m.coef[:, 0]).max(axis=1) > 0
    expected = np.column_stack([np.arctan2(m.coef[moving, 0, 1], m.coef[moving, 0, 0]), m.count[moving]])
    np.testing.assert_allclose(at[np.lexsort(at.T)], expected[np.lexsort(expected.T)])
    blue = next(p for p in chart.find(Points) if "one row" in p.name)
    assert len(blue.at) == (small(m) & moving).sum()
    assert f"{small(m).mean():.1%}" in blue.name


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_multiples_of_a_model_lie_in_its_direction(seed, d, K):
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(K, d))
    both, kept = directions(np.vstack([w, 3 * w]))
    np.testing.assert_allclose(both[K:], 3 * both[:K], atol=1e-9)
    assert 0 <= kept <= 1 + 1e-9


def test_centred_components_are_those_of_pca():
    decomposition = pytest.importorskip("sklearn.decomposition")
    w = np.random.default_rng(0).normal(size=(50, 6)) + 4
    theirs = decomposition.PCA(2).fit_transform(w)
    ours, _ = directions(w, centred=True)
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-9)


# ---- performance


def test_bars_are_the_scores_of_the_largest():
    m = toy(n=600)
    chart = performance_chart(m, top=5)
    own, everywhere = (b for b in chart.find(Boxes))
    seen = np.isfinite(m.local_score[:5])
    np.testing.assert_allclose(own.end, m.local_score[:5][seen])
    np.testing.assert_allclose(everywhere.end, m.global_score[:5])
    assert sum(label.text == "×" for label in chart.find(Label)) == (~seen).sum()
    assert "AUC" in chart.y.label
    assert "MSE" in performance_chart(toy(classes=0)).y.label


def test_scores_that_are_not_there_are_asked_for():
    m = toy()
    with pytest.raises(MissingColumn, match="scores="):
        performance_chart(replace(m, global_score=None))
    estimator = Unwrapper(m)
    performance_chart(estimator, top=7)
    assert estimator.asked == [(7, {"scores": ("local", "global")})]


# ---- the plane and the line


def test_regions_with_rows_are_those_of_the_models():
    m = toy(n=300, hidden=(7, 7))
    cells = cells_of(m, "test")
    assert set(cells.owner[cells.charted]) == set(range(len(m)))
    for region in np.flatnonzero(cells.charted):
        np.testing.assert_allclose(cells.atlas[int(region)].coef, m.coef[cells.owner[region]], atol=1e-9)
    scene = data_regions_scene(m, by="rows")
    area = polygon_area(scene)
    uncharted = scene.palette.index(UNCHARTED)
    assert area[uncharted] / area.sum() == pytest.approx(1 - cells.charted_share)


@pytest.mark.parametrize("classes", [2, 3])
def test_lines_of_the_plane_are_where_the_logit_is_zero(classes):
    m = toy(n=500, hidden=(7, 7), classes=classes)
    scene = plane_scene(m)
    told, net = effect(m), m.network
    ends = scene.edges.reshape(-1, 2)
    assert len(ends)
    middle = scene.edges.mean(axis=1)
    value = net(middle)
    logit = value[:, 0] if classes == 2 else value[:, told.column] - value.mean(axis=1)
    np.testing.assert_allclose(logit, 0, atol=1e-8)


@pytest.mark.parametrize("classes", [0, 2])
def test_bands_hold_the_values_they_stand_for(classes):
    m = toy(n=300, hidden=(6, 6), classes=classes)
    scene = plane_scene(m, rows=False)
    middle = np.add.reduceat(scene.faces.vertices, scene.faces.ptr[:-1], axis=0) / np.diff(scene.faces.ptr)[:, None]
    value, n = m.network(middle)[:, 0], len(scene.palette) - 1
    band = scene.faces.colour
    inside = (band > 0) & (band < n - 1)
    edges = np.asarray(scene.bar.edges)
    assert (value[inside] >= edges[band[inside]] - 1e-8).all()
    assert (value[inside] <= edges[band[inside] + 1] + 1e-8).all()


def test_merged_models_hold_where_their_rows_are():
    m = toy(n=400, hidden=(6,))
    two = merged(m)
    cells = cells_of(two, "test")
    place = cells.atlas.locate(m.rows.X)
    np.testing.assert_array_equal(cells.owner[place], two.rows.model)
    assert len(data_regions_scene(two).edges) > 0
    with pytest.raises(DataError, match="rows"):
        cells_of(replace(two, rows=None), "test")


def merged(m):
    """Two models, of the odd and the even local ones."""
    half = np.arange(len(m)) % 2
    rows = replace(m.rows, model=half[m.rows.model])
    parts = [np.flatnonzero(half == k) for k in (0, 1)]
    X = [rows.X[rows.model == k] for k in (0, 1)]
    columns = {name: np.stack([getattr(m, name)[p].mean(axis=0) for p in parts]) for name in
               ("coef", "intercept", "response_mean", "response_std")}
    columns |= {name: np.stack([f(x) for x in X]) for name, f in {
        "centre": lambda x: x.mean(axis=0), "spread": lambda x: x.std(axis=0), "low": lambda x: x.min(axis=0),
        "high": lambda x: x.max(axis=0)}.items()}
    count = np.array([len(x) for x in X])
    nowhere = np.zeros(2, dtype=bool)
    return replace(m, count=count, weight=count.astype(float), origin=np.arange(2), single_class=nowhere, trivial=nowhere,
                   local_score=None, global_score=None, kind="merged", total_models=2, rows=rows, **columns)


def test_merged_models_are_called_so_in_every_picture():
    two = merged(toy(n=400, d=3, hidden=(6,)))
    assert named(parallel_chart(two))[0].name.startswith("merged model 0")
    assert len(named(profile_chart(two, 0))) == 2
    assert "merged" in joint_chart(two).title or pel.joint_importance(two).kind == "merged"


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_level_lines_lie_on_the_level(seed):
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, size=7))
    vertices = np.column_stack([np.cos(angle), np.sin(angle)])
    w, b = rng.normal(size=2), rng.normal() * 0.3
    lines = level_lines(np.array([0, 7]), vertices, vertices @ w + b, 0.0)
    crossing = (vertices @ w + b >= 0).any() and (vertices @ w + b < 0).any()
    assert len(lines) == int(crossing)
    np.testing.assert_allclose(lines.reshape(-1, 2) @ w + b, 0, atol=1e-9)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_a_line_in_a_box_is_on_the_line_and_in_the_box(seed):
    rng = np.random.default_rng(seed)
    w, b = rng.normal(size=2), rng.normal()
    ends = zero_segment(w, b, np.array([-1.0, -1.0]), np.array([1.0, 1.0]))
    corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) @ w + b
    assert (ends is not None) == (corners.min() < 0 < corners.max())
    if ends is not None:
        np.testing.assert_allclose(ends @ w + b, 0, atol=1e-9)
        assert (np.abs(ends) <= 1 + 1e-9).all()


def test_one_feature_is_drawn_as_the_function():
    m = toy(d=1, hidden=(8,), classes=0)
    chart = curve_chart(m, top=3)
    for line in named(chart):
        np.testing.assert_allclose(line.y, m.network(line.x[:, None])[:, 0], atol=1e-9)
    others = chart.find(Segments)[0].ends
    np.testing.assert_allclose(others[..., 1].ravel(), m.network(others[..., 0].reshape(-1, 1))[:, 0], atol=1e-9)


def test_pictures_of_the_plane_say_what_draws_more_features():
    m = toy(d=3)
    with pytest.raises(DomainError, match="region_rows"):
        data_regions_scene(m)
    with pytest.raises(DomainError, match="parallel_coordinates"):
        pel.plot.local_models(m)


# ---- rows, codes


def test_rows_of_the_chosen_models_and_no_others_are_coloured():
    m = toy(n=500, d=3)
    chart = region_rows_chart(m, [0, 2], features=("x0", "x2"))
    drawn = np.vstack([p.at for p in chart.find(Points) if len(p.at) and p.name == ""])
    expected = m.rows.X[np.isin(m.rows.model, [0, 2])][:, [0, 2]]
    np.testing.assert_allclose(drawn[np.lexsort(drawn.T)], expected[np.lexsort(expected.T)])
    with pytest.raises(DataError, match="no model has the number 999"):
        region_rows_chart(m, [999])
    with pytest.raises(DataError, match="hold no rows"):
        region_rows_chart(replace(m, rows=None))


def test_shares_of_unseen_codes_are_counted():
    m = toy(n=100, hidden=(8, 8))
    estimator = Unwrapper(m)
    X = np.random.default_rng(5).normal(size=(400, 2))
    group = estimator.groups(X)
    everything = unwrap(m.network, X, np.zeros(400, int), scores=False)
    chart = unseen_chart(estimator, X)
    new = next(b.name for b in chart.find(Boxes) if b.name.startswith("in the new"))
    assert f"{(group < 0).sum()} rows" in new
    assert f"{len(everything) - len(np.unique(group[group >= 0]))} codes" in new
    assert f"{(group < 0).mean():.1%}" in chart.title


def test_merged_models_have_no_unseen_codes():
    with pytest.raises(DataError, match="unwrapper_"):
        unseen_chart(Unwrapper(merged(toy())), np.zeros((1, 2)))


def test_shapes_tell_few_classes_apart_and_a_note_says_where_they_do_not():
    few, many = (region_rows_chart(toy(classes=k, n=300)) for k in (4, 9))
    assert len({p.shape for p in few.find(Points) if p.name}) >= 4
    assert any("9 classes" in note for note in many.notes)


# ---- densities and words


def test_a_density_has_its_mass_where_the_values_are():
    grid = np.linspace(-5, 5, 501)
    values = np.random.default_rng(0).normal(size=20_000)
    ours = density(values, np.ones(len(values)), grid)
    theirs = pytest.importorskip("scipy.stats").gaussian_kde(values)(grid)
    np.testing.assert_allclose(ours, theirs / theirs.max(), atol=0.02)
    one = density(np.array([2.0]), np.array([3.0]), grid)
    assert grid[np.argmax(one)] == pytest.approx(2.0, abs=0.02)
    assert (density(np.array([]), np.array([]), grid) == 0).all()


def test_the_density_of_lines_is_where_the_lines_are():
    at = np.linspace(0, 1, 50)
    level = line_density(np.tile(at, (30, 1)), np.ones(30), (0.0, 1.0), bins=50)
    assert all(np.flatnonzero(level[:, c]).min() <= c <= np.flatnonzero(level[:, c]).max() for c in range(50))
    assert (level > 0).sum(axis=0).max() <= 3
    assert line_density(np.full((3, 50), np.nan), np.ones(3), (0.0, 1.0)).max() == 0


@given(st.integers(0, 10_000), st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_runs_cover_the_bins_that_they_touch(seed, K):
    rng = np.random.default_rng(seed)
    a, b, weight = rng.normal(size=K), rng.normal(size=K), rng.integers(1, 5, size=K).astype(float)
    low, high = np.minimum(a, b), np.maximum(a, b)
    edges = np.linspace(-1, 1, 11)
    expected = [weight[(low < right) & (high >= left)].sum() for left, right in pairwise(edges)]
    np.testing.assert_allclose(run_density(low, high, weight, (-1.0, 1.0), bins=10), expected, atol=1e-9)


def test_a_steep_line_leaves_no_gaps():
    level = line_density(np.linspace(0, 10, 20)[None], np.ones(1), (0.0, 10.0), bins=100)
    assert (level.max(axis=1) > 0).all()


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(1, 4)), min_size=1, max_size=30))
def test_weighted_quantiles_are_those_of_repeated_values(pairs):
    values, weight = np.array(pairs, dtype=float).T
    at = [0.0, 0.1, 0.25, 0.5, 0.9, 1.0]
    repeated = np.repeat(values, weight.astype(int))
    np.testing.assert_array_equal(quantiles(values, weight, at), np.quantile(repeated, at, method="inverted_cdf"))


def test_shortened_names_keep_their_ends():
    assert short("MSinceMostRecentInqexcl7days=-8") != short("MSinceMostRecentInqexcl7days=-7")
    assert len(short("x" * 99)) == 30
    assert short("age") == "age"


def test_violins_are_areas_over_the_coefficients():
    assert len(coefficients_chart(toy(d=4), n=3).find(Area)) == 3


# ---- bootstrap


def drawn(share=0.3, B=200, terms=4):
    """A bootstrap of made-up draws, term k around k - 1.5; the last is zero in a share of the draws."""
    from pellucid.unwrap.inference import Inference

    draws = np.random.default_rng(0).normal(size=(B, 1, terms), scale=0.3) + np.arange(terms) - 1.5
    draws[:int(share * B), 0, -1] = 0
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    nothing = np.full((1, terms), np.nan)
    return Inference(2, "bootstrap", 0.95, 80, np.inf, ("intercept", *(f"x{k}" for k in range(terms - 1))), ("yes",), "no",
                     draws.mean(axis=0), draws.std(axis=0), nothing, nothing, low, high, np.full((1, terms), "", dtype=object),
                     mean=draws.mean(axis=0), share_zero=(draws == 0).mean(axis=0), draws=draws)


def test_intervals_and_shares_are_those_of_the_bootstrap():
    told = drawn()
    left, right = bootstrap_charts(told)
    assert left.y.names == told.terms
    ends = np.vstack([s.ends[0, :, 0] for s in left.find(Segments)])
    np.testing.assert_allclose(ends, np.column_stack([told.low[0], told.high[0]]))
    np.testing.assert_allclose(right.find(Boxes)[0].end, told.share_zero[0])
    colours = [s.colour for s in left.find(Segments)]
    assert [c == CLEAR for c in colours] == list((told.low[0] > 0) | (told.high[0] < 0))
    assert len(bootstrap_charts(told, n=2, intercept=False)[0].y.names) == 2


def test_a_bootstrap_without_draws_and_lines_without_intervals_say_why():
    told = drawn()
    with pytest.raises(DataError, match="method='bootstrap'"):
        bootstrap_charts(replace(told, draws=None, method="wald"))
    reasons = told.reasons.copy()
    reasons[0, 1] = "separable"
    low = told.low.copy()
    low[0, 1] = np.nan
    chart = intervals_chart(replace(told, low=low, reasons=reasons))
    assert "separable" in [label.text for label in chart.find(Label)]
    assert len(chart.find(Segments)) == 3
    none = intervals_chart(replace(told, low=np.full_like(low, np.nan), reasons=np.full_like(reasons, "separable")))
    assert [label.text for label in none.find(Label)] == ["no interval"] * 4
    assert "no interval: separable" in none.notes
    assert not none.find(Area)
