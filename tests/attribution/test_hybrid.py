"""The hybrid is EVA behind a cut, with sampled ranges, and says that it is an estimate. Pictures and reports of maps."""

from __future__ import annotations

import numpy as np
import pytest

import pellucid as pel
from pellucid.attribution.cut import cut_network

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def net() -> pel.Network:
    from torch import nn

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(192, 10), nn.ReLU(), nn.Linear(10, 4))
    return pel.load(model.eval(), input_shape=(1, 8, 8), link="softmax", class_names=["a", "b", "c", "d"])


def names(net):
    return [n.name for n in net.graph.nodes if n.name != net.graph.output]


def test_both_parts_make_the_whole(net, rng):
    X = rng.random((5, 1, 8, 8))
    for name in names(net):
        h, g = cut_network(net, name)
        np.testing.assert_allclose(g(h(X).reshape(5, -1)), net(X), atol=1e-12)


@pytest.mark.parametrize("p", [np.inf, 2, 1])
def test_ranges_are_those_of_samples_and_what_does_not_move_scores_nothing(net, rng, p):
    X = rng.random((2, 1, 8, 8))
    for name in names(net):
        a = pel.eva_hybrid(net, X, cut=name, grid=2, eps=0.2, samples=6, p=p)
        assert a.is_estimate
        assert a.certificate.status is pel.Status.UNKNOWN
        assert "estimate" in repr(a)
        assert (a.overlap >= a.attained - 1e-4).all()
        assert (a.frozen <= a.overlap[:, None] + 1e-4).mean() > 0.5
        eps = np.full((8, 8), 0.2)
        eps[:4, :4] = 0                                         # the first cell does not move: freezing it changes nothing
        still = pel.eva_hybrid(net, X, cut=name, grid=2, eps=eps, samples=6, p=p)
        np.testing.assert_allclose(still.scores[:, 0], 0, atol=1e-4)


def test_with_everything_frozen_the_point_is_left_and_memory_does_not_matter(net, rng):
    X = rng.random((2, 64))
    a = pel.eva_hybrid(net, X, cut="relu", groups=[np.arange(64), [0, 1]], eps=0.3)
    y = net(X)
    lead = [np.delete(v, c).max() - v[c] for v, c in zip(y, a.label, strict=True)]
    np.testing.assert_allclose(a.frozen[:, 0], lead, atol=1e-3)
    small = pel.eva_hybrid(net, X, cut="relu", groups=[np.arange(64), [0, 1]], eps=0.3, memory=1.0)
    np.testing.assert_allclose(a.frozen, small.frozen, atol=1e-4)


def test_a_cut_that_paths_lead_past_is_refused():
    from torch import nn

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.b(torch.relu(self.a(x)) + x)

    residual = pel.load(Residual().eval(), input_shape=(4,), link="softmax")
    inner = next(n.name for n in residual.graph.nodes if "relu" in n.name)
    with pytest.raises(pel.DataError, match="leads past it"):
        pel.eva_hybrid(residual, np.zeros((1, 4)), cut=inner, eps=0.1)
    with pytest.raises(pel.DataError, match="can be cut behind"):
        pel.eva_hybrid(residual, np.zeros((1, 4)), cut="nowhere", eps=0.1)


# ---- pictures, report, command line


def test_maps_of_a_row_share_one_scale(net, rng):
    from pellucid.plots.attribution import attribution_scene

    X = rng.random((3, 1, 8, 8))
    a = pel.eva(net, X, grid=4, eps=0.1, quality="shared")
    scene = attribution_scene(a)
    assert len(scene.panels) == 3
    assert not scene.signed
    assert scene.limit == pytest.approx(np.abs(a.images).max())
    every = pel.eva(net, X[:1], grid=4, eps=0.1, target="all", quality="single-pass", sign="+")
    other = pel.eva(net, X[:1], grid=4, eps=0.1, target="all", quality="single-pass", sign="-")
    signed = attribution_scene(every, sign_with=other)
    assert signed.signed
    assert signed.sides
    assert "by adding" in signed.heading
    own = "abcd"[every.label[0]]
    assert [p.title for p in signed.panels] == [f"{own} against {c}" for c in "abcd" if c != own]
    for panel, t in zip(signed.panels, [k for k in range(4) if k != every.label[0]], strict=True):
        plus, minus = every.images[0, t, 0], other.images[0, t, 0]
        np.testing.assert_allclose(panel.map, np.where(plus >= minus, plus, -minus))
    with pytest.raises(pel.DataError, match="other sign"):
        attribution_scene(every, sign_with=every)
    figure = pel.plot.attribution(every, sign_with=other)
    assert len(figure.axes) == 4                                # three maps and their scale
    import matplotlib.pyplot as plt

    plt.close(figure)


def test_maps_say_what_their_bounds_cannot_rank(net, rng):
    from pellucid.plots.attribution import attribution_scene

    X = rng.random((4, 1, 8, 8))
    loose, tight = (pel.eva(net, X, grid=2, eps=e) for e in (0.5, 1e-6))
    assert loose.loose.all()
    assert not tight.loose.any()
    assert "too loose to rank" in attribution_scene(loose).heading
    assert "too loose" not in attribution_scene(tight).heading
    assert not any(p.title.endswith("*") for p in attribution_scene(loose).panels)             # the heading says it of all
    some = next(a for e in np.geomspace(1e-6, 0.5, 60) if 0 < (a := pel.eva(net, X, grid=2, eps=e)).loose.sum() < 4)
    scene = attribution_scene(some)
    assert [p.title.endswith("*") for p in scene.panels] == list(some.loose)
    assert "* bounds too loose" in scene.heading
    hybrid = attribution_scene(pel.eva_hybrid(net, X[:1], cut="relu", grid=2, eps=0.1, samples=2))
    assert "estimate" in hybrid.heading
    assert "too loose" not in hybrid.heading


def test_only_the_rows_that_are_drawn_are_attacked(net, rng):
    from dataclasses import replace

    from pellucid.plots.attribution import attribution_scene

    a, asked = pel.eva(net, rng.random((5, 1, 8, 8)), grid=2, eps=0.1), []
    watched = replace(a, attack=lambda rows: asked.append(list(rows)) or a.attack(rows))
    attribution_scene(watched, rows=[3, 1])
    assert asked == [[3, 1]]
    assert watched[1:4].attained == pytest.approx(a.attained[1:4], abs=1e-9)
    assert asked[1:] == [[1, 2, 3]]
    assert a[2:].attained[1:] == pytest.approx(a[2:][1:].attained, abs=1e-9)


def test_colour_images_stand_above_their_maps(rng):
    from torch import nn

    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 25, 6), nn.ReLU(), nn.Linear(6, 3))
    net = pel.load(model.eval(), input_shape=(3, 5, 5), link="softmax")
    figure = pel.plot.attribution(pel.eva(net, rng.random((12, 3, 5, 5)), grid=2, eps=0.1))
    shown = [ax for ax in figure.axes if ax.images]
    assert len(shown) == 2 * 12
    import matplotlib.pyplot as plt

    plt.close(figure)


def test_a_table_has_no_map(rng):
    net = pel.load(([rng.standard_normal((2, 5))], [np.zeros(2)]), orientation="out_in", link="softmax")
    with pytest.raises(pel.DataError, match="no images"):
        pel.plot.attribution(pel.eva(net, rng.random((1, 5)), eps=0.1))


def test_the_command_writes_maps_scores_and_a_report(net, rng, tmp_path):
    from typer.testing import CliRunner

    from pellucid.cli.app import app

    net.save(tmp_path / "net.npz")
    np.save(tmp_path / "x.npy", rng.random((3, 1, 8, 8)))
    call = ["eva", str(tmp_path / "net.npz"), str(tmp_path / "x.npy"), "--grid", "4", "--eps", "0.1", "--row", "1", "--out",
            str(tmp_path / "o")]
    for more in ([], ["--against", "all", "--signed", "--quality", "single-pass"]):
        done = CliRunner().invoke(app, [*call, *more])
        assert done.exit_code == 0, done.output
        assert "proved" in done.output
        assert {"map.npz", "scores.csv", "maps.png", "report.html"} <= {f.name for f in (tmp_path / "o").iterdir()}
        page = (tmp_path / "o/report.html").read_text()
        assert "data:image/png" in page
        assert "src=\"http" not in page
    wrong = CliRunner().invoke(app, [*call[:-4], "--row", "9"])
    assert wrong.exit_code == 2
    assert "rows 0 to 2" in wrong.output


def test_the_command_explains_tables(rng, tmp_path):
    import pandas as pd
    from typer.testing import CliRunner

    from pellucid.cli.app import app

    net = pel.load(([rng.standard_normal((2, 3))], [np.zeros(2)]), orientation="out_in", link="softmax", feature_names=["u", "v", "w"])
    net.save(tmp_path / "net.npz")
    pd.DataFrame(rng.random((4, 4)), columns=["w", "y", "v", "u"]).to_csv(tmp_path / "t.csv", index=False)
    done = CliRunner().invoke(app, ["eva", str(tmp_path / "net.npz"), str(tmp_path / "t.csv"), "--eps", "0.1", "--drop", "y", "--no-clip"])
    assert done.exit_code == 0, done.output
    assert " u " in done.output
