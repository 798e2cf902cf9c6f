"""What pictures show, by their scenes, undrawn."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from toys import diamonds, large_atlas, random_atlas, sliced_atlas

import pellucid as pel
from pellucid.atlas.select import areas
from pellucid.errors import DataError
from pellucid.plots.bands import bands
from pellucid.plots.class_map import class_scene
from pellucid.plots.colours import NEUTRAL, class_colours, diverging, sequential
from pellucid.plots.importance import importance_bars
from pellucid.plots.rank_map import rank_bins, rank_scene
from pellucid.plots.scene import share, steps
from pellucid.plots.value_map import value_scene
from pellucid.plots.weight_map import weight_scene
from pellucid.plots.weights import weights_scene


def area_by_colour(scene):
    return np.bincount(scene.faces.colour, weights=areas(scene.faces.vertices, scene.faces.ptr), minlength=len(scene.palette))


def test_importing_plots_imports_no_drawing_library():
    code = "import pellucid.plots, sys; print([m for m in ('matplotlib', 'sklearn', 'statsmodels', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_class_scene_shows_each_class_on_its_area():
    scene = class_scene(diamonds())
    np.testing.assert_allclose(area_by_colour(scene), [11.5, 4.0, 0.5])
    assert [k.label for k in scene.keys] == ["class 0 (71.9 %)", "class 1 (25.0 %)", "class 2 (3.1 %)"]
    assert scene.palette == class_colours(3)
    assert np.linalg.norm(np.diff(scene.edges, axis=1), axis=2).sum() == pytest.approx(2 * 4 * np.sqrt(2))


def test_a_class_keeps_its_colour_and_the_legend_has_only_classes_that_are_given():
    scene = class_scene(diamonds(heights=(0.0, -10.0, 3.5)))
    assert scene.palette == (class_colours(3)[0], class_colours(3)[2])
    assert len(scene.keys) == 2


def test_no_two_classes_of_a_picture_have_one_colour():
    atlas = random_atlas(4, (2, 30, 30, 40))
    scene = class_scene(atlas)
    assert len(set(scene.palette)) == len(scene.palette) == len(np.unique(atlas.first)) > 2


def test_borders_of_regions_leave_out_those_between_pieces_and_vanish_when_there_are_many():
    atlas = diamonds()
    whole = pel.linear_regions(atlas.network, atlas.domain)
    for scene in (class_scene(atlas), rank_scene(whole, 0)):
        assert np.linalg.norm(np.diff(scene.borders, axis=1), axis=2).sum() == pytest.approx(8.0)
    assert len(class_scene(large_atlas()).borders) == 0


def test_axes_carry_names_and_units():
    atlas = random_atlas(feature_names=("age", "income"), units=("years", ""))
    assert class_scene(atlas).axes == ("age [years]", "income")


def test_what_is_not_explored_or_left_out_is_told():
    atlas = sliced_atlas(by="class", max_regions=8)
    scene = class_scene(atlas)
    gap = areas(np.concatenate(scene.unexplored), atlas.cells.rest_ptr).sum()
    assert gap + area_by_colour(scene).sum() == pytest.approx(atlas.domain.polygon.area)
    assert scene.keys[-1].hatched
    assert class_scene(diamonds().select(first=1)).keys[-1].label == "left out (75.0 %)"


def test_data_lie_where_they_project_and_bring_their_classes():
    atlas = diamonds(heights=(0.0, -10.0, 3.5))
    scene = class_scene(atlas, data=[[0.5, 1.0], [0, 0]], labels=[1, 2])
    np.testing.assert_array_equal(scene.dots.at, [[0.5, 1.0], [0, 0]])
    assert [scene.palette[k] for k in scene.dots.colour] == [class_colours(3)[1], class_colours(3)[2]]
    assert scene.keys[-1].label == "data: class 1"
    named = class_scene(atlas, data=pd.DataFrame({"x1": [1.0], "x0": [0.5]}), labels=["class 1"])
    np.testing.assert_array_equal(named.dots.at, [[0.5, 1.0]])
    sliced = sliced_atlas(by="class")
    np.testing.assert_allclose(class_scene(sliced, data=np.arange(12.0).reshape(2, 6)).dots.at, [[1, 4], [7, 10]])
    with pytest.raises(DataError, match="'class 9'"):
        class_scene(atlas, data=[[0, 0]], labels=["class 9"])
    with pytest.raises(DataError, match="2 rows"):
        class_scene(atlas, data=np.zeros((2, 2)), labels=[1])


def test_rank_scene_is_darkest_where_the_feature_is_first():
    atlas = sliced_atlas()
    told = pel.describe(atlas, 1)
    scene = rank_scene(told, 4)
    assert (scene.faces.colour == told.ranks[:, 4] - 1).all()
    assert scene.palette[:6] == sequential(6)
    assert area_by_colour(scene)[0] / atlas.volume.sum() == pytest.approx(told.first_share[4])


@pytest.mark.parametrize("d", [1, 5, 12, 13, 48, 784])
def test_ranks_fall_into_bins(d):
    bins = rank_bins(d)
    assert bins[0] == 1
    assert bins[-1] <= d
    assert len(bins) <= max(12, d if d <= 12 else 14)


def test_regions_without_weights_are_neutral_on_a_rank_map():
    atlas = pel.linear_regions(diamonds().network, pel.Box([-2, -2], [2, 2]))
    scene = rank_scene(atlas, 0, output=0)          # output 0 is constant
    assert {scene.palette[k] for k in scene.faces.colour} == {NEUTRAL}
    assert "constant" in scene.keys[0].label


def test_weight_scene_is_symmetric_about_zero():
    atlas = sliced_atlas()
    w = pel.describe(atlas, 0).weights[:, 2]
    scene = weight_scene(atlas, 2)
    middle = (len(scene.palette) - 1) // 2
    assert scene.bar.edges[0] == -scene.bar.edges[-1]
    assert ((scene.faces.colour > middle)[w > scene.bar.edges[-1] / 100]).all()
    assert ((scene.faces.colour < middle)[w < scene.bar.edges[0] / 100]).all()
    assert scene.palette[middle] == "#f7f7f7"
    assert diverging(3) == ("#053061", "#f7f7f7", "#67001f")
    assert weight_scene(atlas, 2, limit=1e-9).bar.beyond == "both"


@pytest.mark.parametrize("versus", [None, 1])
def test_value_scene_puts_every_point_into_its_band(versus):
    atlas = sliced_atlas()
    scene = value_scene(atlas, output=0, versus=versus)
    assert area_by_colour(scene).sum() == pytest.approx(atlas.domain.polygon.area)
    ptr = scene.faces.ptr
    centre = np.add.reduceat(scene.faces.vertices, ptr[:-1], axis=0) / np.diff(ptr)[:, None]
    y = atlas.network(atlas.domain.point(centre))
    value = y[:, 0] - (0 if versus is None else y[:, versus])
    edges, slack = scene.bar.edges, 1e-9 * np.ptp(scene.bar.edges)
    assert (edges[scene.faces.colour] - slack <= value).all()
    assert (value <= edges[scene.faces.colour + 1] + slack).all()


def test_bands_of_a_square():
    # value x on [0, 3] x [0, 1]: three bands of area 1
    ptr, v = np.array([0, 4]), np.array([[0.0, 0], [3, 0], [3, 1], [0, 1]])
    out, w, band, polygon = bands(ptr, v, v[:, 0], np.array([0.0, 1, 2, 3]))
    assert band.tolist() == [0, 1, 2]
    assert polygon.tolist() == [0, 0, 0]
    np.testing.assert_allclose(areas(w, out), 1.0)


def test_weights_scene_marks_regions_and_names_them_alike():
    atlas = sliced_atlas(by="class")
    scene, bars = weights_scene(atlas, regions=[3, -1], n=4)
    last = len(atlas) - 1
    assert [m.text for m in scene.marks] == ["3", str(last)]
    assert np.flatnonzero(scene.faces.colour).tolist() == [3, last]
    w = pel.describe(atlas).weights
    j = [atlas.network.feature_names.index(r) for r in bars.rows]
    np.testing.assert_array_equal(bars.values, w[[3, last]][:, j].T)
    assert bars.note == "2 features with smaller weights are not shown"
    largest, _ = weights_scene(atlas)
    assert largest.marks[0].text == str(atlas.volume.argmax())
    with pytest.raises(DataError, match="1 to 8"):
        weights_scene(atlas, regions=range(9))
    with pytest.raises(DataError, match="region 999"):
        weights_scene(atlas, regions=[999])


def test_importance_bars_are_the_totals_in_order():
    told = pel.describe(sliced_atlas())
    bars = importance_bars(told, n=3)
    np.testing.assert_array_equal(bars.values[:, 0], np.sort(told.total)[::-1][:3])
    assert all(r[-1] in "↑↓↕–" for r in bars.rows)


def test_round_steps_enclose():
    for low, high in [(0, 1), (-3.2, 17), (1e-9, 1.1e-9), (5, 5), (-1e6, -1)]:
        s = steps(low, high)
        assert s[0] <= low + 1e-9 * abs(low)
        assert s[-1] >= high - 1e-9 * abs(high)
        assert 3 <= len(s) <= 19
    assert share(0.0001) == "< 0.1 %"
    assert share(1.0) == "100.0 %"
    assert share(0.99999) == "> 99.9 %"


def test_colours_that_do_not_suffice_are_refused():
    with pytest.raises(ValueError, match="2 entries; 3 classes"):
        class_scene(diamonds(), colours=["#000000", "#ffffff"])
    with pytest.raises(ValueError, match="'ordered'"):
        class_scene(diamonds(), colours="jet")
    ordered = class_scene(diamonds(heights=(0.0, -10.0, 3.5)), colours="ordered")
    assert ordered.palette == class_colours(2, "ordered")            # spread over the classes that are given
    assert class_scene(diamonds(), colours="ordered", data=[[0, 0]], labels=[1]).palette == class_colours(3, "ordered")
    assert len(set(class_colours(12, "ordered"))) == 12


def test_many_classes_are_named_where_their_names_fit():
    atlas = random_atlas(1, (2, 20, 20, 60), half=6.0)
    scene = class_scene(atlas)
    numbered = scene.names[0].text.isdigit()
    assert len(np.unique(atlas.first)) > 8
    assert 0 < len(scene.names) <= len(np.unique(atlas.first))
    for name in scene.names:
        k = int(atlas.first[atlas.locate(name.at[None])[0]])
        assert name.text == (str(k) if numbered else atlas.class_label(k))
    assert class_scene(diamonds()).names == ()


def test_a_boundary_is_drawn_over_its_two_classes():
    from pellucid.plots.decision_boundary import boundary_scene

    found = pel.decision_boundary(diamonds(), 0, 1)
    scene = boundary_scene(found, data=[[0.0, 0.0]])
    assert np.linalg.norm(np.diff(scene.edges, axis=1), axis=2).sum() == pytest.approx(found.length)
    np.testing.assert_allclose(area_by_colour(scene)[:4], [11.5, 4.0, 0.5, 0])
    assert [k.label.rpartition(" (")[0] for k in scene.keys] == ["class 0", "class 1", "other classes", "data"]
    with pytest.raises(pel.DomainError, match="plane"):
        boundary_scene(pel.decision_boundary(random_atlas(0, (3, 4, 3)), 0, 1))


def test_bounds_are_intervals_with_a_leader():
    torch = pytest.importorskip("torch")
    from pellucid.bounding import Bounds
    from pellucid.plots.bounds import bounds_intervals

    lower, upper = torch.arange(40.0)[None], torch.arange(40.0)[None] + 2
    claim = pel.Certificate("", pel.Status.PROVED)
    found = Bounds(lower, upper, tuple(f"c{k}" for k in range(40)), "crown", claim)
    chart = bounds_intervals(found, value=np.arange(40.0) + 1)
    assert len(chart.names) == 30
    assert chart.names[chart.rival] == "c39"
    assert "10 rows" in chart.note
    assert (chart.lower <= chart.value).all()
    with pytest.raises(ValueError, match="3 numbers"):
        bounds_intervals(found, value=np.zeros(3))
