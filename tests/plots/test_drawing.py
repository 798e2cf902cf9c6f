"""Every picture is drawn, at five and at fifty thousand regions; seams do not show; files stay small."""


from itertools import pairwise

import numpy as np
import pytest
from toys import diamonds, large_atlas, random_atlas, sliced_atlas

import pellucid as pel
from pellucid.errors import DomainError

plt = pytest.importorskip("matplotlib.pyplot")

PICTURES = {
    "class_map": lambda a: pel.plot.class_map(a),
    "rank_map": lambda a: pel.plot.rank_map(a, 0),
    "weight_map": lambda a: pel.plot.weight_map(a, 1, versus=1),
    "value_map": lambda a: pel.plot.value_map(a),
    "weights": lambda a: pel.plot.weights(a),
    "decision_boundary": lambda a: pel.plot.decision_boundary(pel.decision_boundary(a, 0, 1)),
    "importance": lambda a: pel.plot.importance(pel.describe(a)),
}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def few():
    return random_atlas(5, (2, 3, 3))


def pixels(ax):
    """(h, w, 3) of the inside of the Axes."""
    figure = ax.figure
    figure.canvas.draw()
    image = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    x0, y0, x1, y1 = ax.get_window_extent().extents
    return image[int(image.shape[0] - y1) + 3:int(image.shape[0] - y0) - 3, int(x0) + 3:int(x1) - 3]


@pytest.mark.parametrize("atlas", [few, large_atlas], ids=["few", "many"])
@pytest.mark.parametrize("picture", PICTURES)
def test_every_picture_is_drawn_and_its_file_stays_small(picture, atlas, tmp_path):
    drawn = PICTURES[picture](atlas())
    size = pel.plot.save(drawn, tmp_path / "a.png", dpi=80).stat().st_size
    assert 3_000 < size < 500_000


@pytest.mark.parametrize("suffix", ["svg", "pdf"])
def test_vector_files_of_many_regions_hold_an_image_of_them(suffix, tmp_path):
    size = pel.plot.save(pel.plot.weight_map(large_atlas(), 0), tmp_path / f"a.{suffix}", dpi=100).stat().st_size
    assert size < 1_000_000


def test_no_seam_shows_between_regions_of_one_class():
    atlas = large_atlas()
    ax = pel.plot.class_map(atlas, colours=["#204060"] * 3)
    for lines in ax.collections[2:]:
        lines.remove()
    assert len(ax.collections) == 2
    assert (pixels(ax) == [0x20, 0x40, 0x60]).all()


@pytest.mark.parametrize("width", [3, 4, 6])
@pytest.mark.parametrize("ends", [(-1e4, 6.3e5), (0, 1), (-1234.5, 1200), (0.0001, 0.0012)])
def test_tick_labels_do_not_run_into_each_other(ends, width):
    net = pel.load(([np.eye(2), np.eye(2)], [np.zeros(2), np.zeros(2)]), orientation="out_in")
    figure, ax = plt.subplots(figsize=(width, 4))
    pel.plot.value_map(pel.linear_regions(net, pel.Box([ends[0], 0], [ends[1], 1])), ax=ax)
    figure.canvas.draw()
    low, high = ax.get_xlim()
    boxes = [t.get_window_extent() for t in ax.get_xticklabels() if t.get_text() and low <= t.get_position()[0] <= high]
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))
    plt.close(figure)


def test_pictures_are_drawn_where_they_are_told():
    _, axes = plt.subplots(2, 2)
    atlas = diamonds()
    assert pel.plot.class_map(atlas, axes[0, 0]) is axes[0, 0]
    assert pel.plot.rank_map(atlas, 0, axes[0, 1], output=1) is axes[0, 1]
    assert list(pel.plot.weights(atlas, axes[1], output=1)) == list(axes[1])
    assert axes[0, 0].get_xlim() == (-2, 2)
    with pytest.raises(ValueError, match="two Axes"):
        pel.plot.weights(atlas, axes[0, 0])


def test_the_middle_of_each_class_has_its_colour():
    ax = pel.plot.class_map(diamonds())
    image = pixels(ax)
    h, w, _ = image.shape
    for x, y, colour in [(1.5, 1.4, "#0072b2"), (0.5, 0.4, "#e69f00"), (0.1, 0.2, "#009e73")]:
        pixel = image[int((2 - y) / 4 * h), int((x + 2) / 4 * w)]
        assert pixel.tolist() == [int(colour[i:i + 2], 16) for i in (1, 3, 5)]


def test_unexplored_areas_data_and_empty_selections_are_drawn():
    partial = sliced_atlas(by="class", max_regions=8)
    pixels(pel.plot.class_map(partial, data=np.zeros((3, 6)), labels=[0, 1, 2]))
    nothing = diamonds().select(where=([1.0, 0, 0], -99.0))
    pixels(pel.plot.class_map(nothing))
    with pytest.raises(DomainError, match="no rows"):
        pel.plot.value_map(nothing)


def test_the_same_picture_gives_the_same_file(tmp_path):
    files = [pel.plot.save(pel.plot.class_map(diamonds()), tmp_path / f"{k}.svg").read_bytes() for k in range(2)]
    assert files[0] == files[1]
    with pytest.raises(ValueError, match=r"\.png, \.svg and \.pdf"):
        pel.plot.save(plt.gcf(), tmp_path / "a.xyz")


def test_pensieve_as_published(shared):
    """CEE Fig. 3: bit rates rise with buffer and throughput, and 750 kbps passes on to 1850 kbps without 1200 kbps."""
    pensieve = np.load(shared / "data" / "pensieve" / "pensieve_actor_mlp.npz")
    layers = [pensieve[f"W{k}"].T for k in (1, 2, 3)], [pensieve[f"b{k}"] for k in (1, 2, 3)]
    rates = (300, 750, 1200, 1850, 2850, 4300)
    net = pel.load(layers, orientation="out_in", link="softmax", class_names=[f"{r} kbps" for r in rates])
    state = np.zeros(48)
    state[7], state[24:32], state[32:38], state[40:48] = 750 / 4300, 0.2, np.array(rates) / 2000, 0.5
    upper = np.ones(48)
    upper[15], upper[32:40] = 4.0, 3.0
    plane = pel.Box(np.zeros(48), upper).slice(free=(15, 23), at=state, ties={23: list(range(16, 23))})
    atlas = pel.linear_regions(net, plane, by="class")
    found = pel.transitions(atlas)
    assert [1, 3] in found.pairs.tolist()
    assert "1200 kbps" in found.never_given
    assert len(pel.enclaves(atlas)) == 0
    pixels(pel.plot.class_map(atlas))
