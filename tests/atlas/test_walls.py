"""What touches what in any dimension: against the planar engine, against points along lines; and cuts by constraints on outputs."""

import numpy as np
import pytest
from networks import random_layers, relu_network
from test_atlas import DEGENERATE, degenerate_layers

import pellucid as pel
from pellucid.atlas import adjacency
from pellucid.certificate import Status


def pairs_of(atlas):
    """{pair of rows, the smaller first: normal towards the larger}."""
    border = adjacency(atlas)
    sign = np.where(border.left < border.right, 1, -1)[:, None]
    return dict(zip(zip(*np.sort([border.left, border.right], axis=0).tolist(), strict=True), sign * border.normal, strict=True))


@pytest.mark.parametrize("by", [None, "class", "top2"])
@pytest.mark.parametrize("engine", ["search", "vertex"])
def test_walls_are_those_of_the_planar_engine(by, engine, rng):
    for kind in [*DEGENERATE, "random"]:
        layers = random_layers(rng, [2, 6, 5, 3]) if kind == "random" else degenerate_layers(kind, rng)
        net = relu_network(layers, "softmax")
        planar, other = (pel.linear_regions(net, pel.Box([-1, -1], [1, 1]), by=by, engine=e) for e in ("planar", engine))
        one, two = pairs_of(planar), pairs_of(other)
        assert one.keys() == two.keys()
        for pair, normal in one.items():
            np.testing.assert_allclose(two[pair], normal, atol=1e-6)


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
@pytest.mark.parametrize("d", [1, 3, 4])
def test_rows_that_follow_each_other_on_a_line_share_a_wall(d, link, rng):
    for kind in [*DEGENERATE, "random"]:
        layers = random_layers(rng, [d, 6, 5, 3]) if kind == "random" else degenerate_layers(kind, rng, d)
        atlas = pel.linear_regions(relu_network(layers, link), pel.Box([-1] * d, [1] * d), by="class")
        walls = pairs_of(atlas)
        touching = [set() for _ in range(len(atlas))]
        for p, q in walls:
            touching[p].add(q)
            touching[q].add(p)
        t = np.linspace(0, 1, 5_000)[:, None]
        for _ in range(2 if d == 1 else 6):
            a, b = rng.uniform(-1, 1, (2, d))
            k = atlas.locate(a + t * (b - a))
            assert (k >= 0).all()
            steps = np.flatnonzero(np.diff(k))
            missing = [(int(k[i]), int(k[i + 1])) for i in steps if (min(k[i], k[i + 1]), max(k[i], k[i + 1])) not in walls]
            # steps pass over small regions and, rarely, through an edge: such pairs have a common neighbour
            for p, q in missing:
                assert touching[p] & touching[q]
            assert len(missing) <= 0.2 * len(steps) + 1
            for i in steps:
                p, q = int(k[i]), int(k[i + 1])
                if (min(p, q), max(p, q)) in walls:
                    assert walls[min(p, q), max(p, q)] @ (b - a) * (1 if p < q else -1) > -1e-9


def test_behind_a_unit_s_facet_another_class_can_lie():
    # class 1 leads by relu(x): on x <= 0 the classes tie and the first is given, so the class changes on the unit's own facet
    net = relu_network([(np.array([[1.0, 0, 0]]), np.zeros(1)), (np.array([[0.0], [1.0]]), np.zeros(2))], "softmax")
    for engine in ("vertex", "search"):
        atlas = pel.linear_regions(net, pel.Box([-1] * 3, [1] * 3), by="class", engine=engine)
        assert atlas.first.tolist() == [0, 1]
        assert atlas.neighbours(0).query("region == 1").unit.tolist() == ["relu[0]"]
        assert pairs_of(atlas).keys() == {(0, 1)}
        assert pel.transitions(atlas).pairs.tolist() == [[0, 1]]


@pytest.mark.parametrize(("d", "engine"), [(1, "search"), (3, "vertex"), (3, "search"), (6, "search")])
@pytest.mark.parametrize("by", [None, "class", "top2"])
def test_where_keeps_the_points_whose_outputs_satisfy_it(d, engine, by, rng):
    net = relu_network(random_layers(rng, [d, 5, 4, 3]), "softmax")
    atlas = pel.linear_regions(net, pel.Box([-1] * d, [1] * d), by=by, engine=engine)
    x, A = rng.uniform(-1, 1, (5000, d)), rng.normal(size=(2, 3))
    b = np.quantile(net(x) @ A.T, 0.7, axis=0)
    holds = (net(x) @ A.T <= b).all(axis=1)
    part = atlas.select(where=(A, b))
    assert np.array_equal(part.locate(x) >= 0, holds)
    assert np.allclose(part(x[holds]), net(x[holds]))
    assert part.check(points=500).status is Status.PROVED
    assert part.certificate.status is Status.PROVED
    if by:
        assert len(atlas.select(first=1).select(where=(A, b))) == len(part.select(first=1))
    assert len(atlas.select(where=([1.0, 0, 0], -1e9))) == 0


def test_selecting_what_is_not_there_is_refused_in_words(rng):
    net = relu_network(random_layers(rng, [2, 4, 3]), "softmax", class_names=("low", "middle", "high"))
    atlas, plain = (pel.linear_regions(net, pel.Box([-1, -1], [1, 1]), by=by) for by in ("class", None))
    with pytest.raises(pel.DataError, match="did you mean 'high'"):
        atlas.select(first="hihg")
    with pytest.raises(pel.DataError, match="numbered from 0"):
        atlas.select(first=3)
    for question in (lambda: atlas.select(second="low"), lambda: plain.select(first="low"), lambda: pel.transitions(plain)):
        with pytest.raises(pel.MissingColumn, match="by='"):
            question()
    with pytest.raises(pel.NoDecision, match="largest output"):
        pel.linear_regions(net, pel.Box([-1, -1], [1, 1]), by="class", threshold=0.7)
    with pytest.raises(ValueError, match="strictly between"):
        pel.linear_regions(net, pel.Box([-1, -1], [1, 1]), threshold=1.5)


def test_a_label_is_selected_by_its_name_and_saving_overwrites_only_when_told(rng, tmp_path):
    net = relu_network(random_layers(rng, [2, 6, 3]), "sigmoid", class_names=("a", "b", "c"))
    atlas = pel.linear_regions(net, pel.Box([-1, -1], [1, 1]), by="class")
    for j, name in enumerate("abc"):
        assert np.array_equal(np.unique(atlas.select(first=name).first), np.unique(atlas.first[atlas.first >> j & 1 == 1]))
    atlas.save(tmp_path / "one")
    with pytest.raises(pel.PathInUse, match="overwrite=True"):
        atlas.save(tmp_path / "one")
    for part in (atlas.select(first=int(atlas.first[0])), atlas.select(where=([1, 0, 0], -1e9))):
        part.save(tmp_path / "one", overwrite=True)
        assert len(pel.load_atlas(tmp_path / "one")) == len(part) < len(atlas)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "manifest.json").write_text("{}")
    with pytest.raises(pel.PathInUse, match="not an atlas"):
        atlas.save(tmp_path / "mine", overwrite=True)
