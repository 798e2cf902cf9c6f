"""EVA: bounds hold over every B_u, cheaper qualities agree with what they read, and a batch is its rows."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pellucid as pel

torch = pytest.importorskip("torch")

QUALITIES = ("full", "shared", "single-pass")
WAYS = [(m, q) for m, q in product(("interval", "crown-interval", "crown", "forward", "forward+crown", "alpha-crown"), QUALITIES)
        if not (m == "interval" and q != "full") and (m, q) != ("forward", "shared")]


def dense(rng, widths, *, bias=1.0, activation="relu", **names) -> pel.Network:
    W = [rng.standard_normal((b, a)) / np.sqrt(a) for a, b in pairwise(widths)]
    return pel.load((W, [bias * rng.standard_normal(b) for b in widths[1:]]), orientation="out_in", link=names.pop("link", "softmax"),
                    activation=activation, **names)


def modules():
    """{name: (module, input shape)}: small networks of every kind of layer, hard ones among them."""
    from torch import nn

    torch.manual_seed(0)
    conv = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 3))
    smooth = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.Sigmoid(), nn.Linear(4, 3))

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)

        def forward(self, x):
            h = torch.relu(self.a(x))
            return self.c(torch.relu(self.b(h) + h))

    dead = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    with torch.no_grad():
        dead[0].bias[:] = torch.tensor([-100.0, 100.0, 0.0, 0.0, 0.0])
        dead[0].weight[3] = dead[0].weight[2]                   # a unit twice
        dead[2].bias.zero_()
    return {"conv": (conv, (2, 4, 4)), "smooth": (smooth, (6,)), "residual": (Residual(), (6,)), "dead units": (dead, (6,)),
            "linear": (nn.Linear(6, 3), (6,)), "one unit": (nn.Sequential(nn.Linear(6, 1), nn.ReLU(), nn.Linear(1, 2)), (6,)),
            "leaky": (nn.Sequential(nn.Linear(6, 8), nn.LeakyReLU(0.2), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4)), (6,))}


@pytest.fixture(scope="module")
def nets() -> dict[str, pel.Network]:
    return {name: pel.load(module.eval(), input_shape=shape, link="softmax") for name, (module, shape) in modules().items()}


NAMES = list(modules())


def points_of(x, eps, p, clip, held, rng, count=200):
    """Points of B_u: random ones, corners, and x."""
    d = len(x)
    t = np.concatenate([rng.uniform(-1, 1, (count, d)), rng.choice([-1.0, 1.0], (count, d)), np.zeros((1, d))])
    if p != np.inf:
        t /= np.maximum(np.linalg.norm(t, ord=p, axis=1, keepdims=True), 1.0)
        one = np.eye(d)[rng.integers(0, d, 50)] * rng.choice([-1.0, 1.0], (50, 1))
        t = np.concatenate([t, one])
    t[:, held] = 0
    y = x + eps * t * (1 - 1e-12)
    return y if clip is None else np.clip(y, *clip)


def worst(net, points, c):
    y = net(points)
    if y.shape[1] == 1:
        y = np.concatenate([np.zeros_like(y), y], axis=1)
    rest = np.delete(y, c, axis=1)
    return float((rest.max(axis=1) - y[:, c]).max())


# ---- soundness


@pytest.mark.parametrize("p", [np.inf, 2, 1])
@pytest.mark.parametrize(("method", "quality"), WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_no_point_of_a_set_exceeds_its_bound(name, method, quality, p, nets, rng):
    net = nets[name]
    X = rng.random((2, net.n_inputs))
    for eps, dtype in ((0.3, "float64"), (0.02, "float32"))[: 1 if p == 1 else 2]:
        a = pel.eva(net, X, grid=2 if name == "conv" else None, eps=eps, p=p, method=method, quality=quality, dtype=dtype, iterations=1)
        for i, x in enumerate(X):
            held = [[], *a.groups.members]
            for u, bound in zip(held, [a.overlap[i], *a.frozen[i]], strict=True):
                assert worst(net, points_of(x, eps, p, (0, 1), u, rng), a.label[i]) <= bound


@pytest.mark.parametrize(("method", "quality"), WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_with_all_features_frozen_the_bound_is_the_point_itself(name, method, quality, nets, rng):
    net = nets[name]
    x = rng.random((1, net.n_inputs))
    a = pel.eva(net, x, groups=[np.arange(net.n_inputs)], eps=0.2, method=method, quality=quality, iterations=1)
    if quality == "single-pass" and not (method == "crown" and name == "linear"):
        assert a.frozen[0, 0] >= worst(net, x, a.label[0]) - 1e-9      # its last form stays that of the whole set
    else:
        assert a.frozen[0, 0] == pytest.approx(worst(net, x, a.label[0]), abs=1e-7)


@pytest.mark.parametrize("quality", QUALITIES)
def test_without_perturbation_nothing_is_important(quality, nets, rng):
    net = nets["residual"]
    a = pel.eva(net, rng.random((3, 6)), eps=0.0, quality=quality)
    np.testing.assert_allclose(a.scores, 0, atol=1e-9)
    np.testing.assert_allclose(a.overlap, [worst(net, x[None], c) for x, c in zip(a.X, a.label, strict=True)], atol=1e-9)


@given(st.integers(0, 10_000), st.sampled_from([0.0, 1.0]), st.sampled_from([None, (-2.0, 2.0)]), st.sampled_from([None, "+", "-"]),
       st.sampled_from(["difference", "paper"]), st.sampled_from(QUALITIES), st.sampled_from([np.inf, 2, 1]))
def test_random_networks_sets_and_signs(seed, bias, clip, sign, overlap, quality, p):
    rng = np.random.default_rng(seed)
    d, classes = int(rng.integers(1, 6)), int(rng.integers(2, 5))
    net = dense(rng, [d, *rng.integers(1, 7, int(rng.integers(0, 3))), classes], bias=bias)
    x = rng.uniform(-1, 1, (1, d))
    groups = [rng.choice(d, int(rng.integers(1, d + 1)), replace=False) for _ in range(3)]        # they overlap, and leave some out
    eps = float(10.0 ** rng.uniform(-4, 0.5))
    a = pel.eva(net, x, groups=groups, eps=eps, p=p, clip=clip, sign=sign, overlap=overlap, quality=quality)
    for u, bound in zip([[], *a.groups.members], [a.overlap[0], *a.frozen[0]], strict=True):
        points = points_of(x[0], eps, p, clip, u, rng)
        side = {None: True, "+": points >= x[0], "-": points <= x[0]}[sign]
        points = np.where(side, points, x[0])
        assert worst(net, points, a.label[0]) <= bound
    assert (a.attained <= a.overlap).all()
    assert (a.attained_frozen <= a.frozen).all()
    assert (a.lower <= a.upper + 1e-12).all()
    assert (a.attained_frozen <= a.attained[:, None] + 1e-9).all() or quality


def test_a_linear_network_is_exact(rng):
    net = dense(rng, [5, 2])
    x, eps = rng.random((1, 5)), 0.1
    W = net(np.eye(5)) - net(np.zeros((1, 5)))
    for quality in QUALITIES:
        a = pel.eva(net, x, eps=eps, clip=None, quality=quality)
        c = a.label[0]
        slope = W[:, 1 - c] - W[:, c]
        np.testing.assert_allclose(a.scores[0], eps * np.abs(slope), atol=1e-9)
        np.testing.assert_allclose(a.lower[0], a.upper[0], atol=1e-6)
        assert not a.loose[0]
        assert "certain order" in repr(a)


# ---- qualities, batches, groups


@pytest.mark.parametrize("p", [np.inf, 2, 1])
@pytest.mark.parametrize("name", NAMES)
def test_shared_is_at_most_single_pass_and_neither_is_above_the_whole_set(name, p, nets, rng):
    net = nets[name]
    X = rng.random((3, net.n_inputs))
    shared, single = (pel.eva(net, X, eps=0.2, p=p, quality=q) for q in QUALITIES[1:])
    assert (shared.frozen <= single.frozen + 1e-9).all()
    assert (single.frozen <= single.overlap[:, None]).all()
    if p == np.inf or name != "conv":                           # a ball that clip cuts: "shared" bounds a first convolution by rows too
        np.testing.assert_allclose(shared.overlap, single.overlap, atol=1e-9)
    assert (shared.scores >= 0).all()


@pytest.mark.parametrize("target", [None, 0, "all"])
@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("name", ["conv", "residual", "leaky"])
def test_a_batch_is_its_rows_whatever_the_memory(name, quality, target, nets, rng):
    net = nets[name]
    X = rng.random((3, *net.input_shape))
    options = {"eps": 0.2, "quality": quality, "target": target, "grid": 2 if name == "conv" else None}
    a = pel.eva(net, X, **options)
    small = pel.eva(net, X, memory=1.0, **options)
    np.testing.assert_allclose(small.frozen, a.frozen, atol=1e-9)
    for i in range(3):
        one = pel.eva(net, X[i], **options)
        np.testing.assert_allclose(one.frozen[0], a.frozen[i], atol=1e-9)
        np.testing.assert_allclose(one.overlap[0], a.overlap[i], atol=1e-9)
        np.testing.assert_array_equal(a[i].scores, a.scores[i:i + 1])


@pytest.mark.parametrize("method", ["forward", "crown"])
def test_what_is_carried_at_a_time_fits_the_memory(method, nets, rng):
    from pellucid.attribution.asked import question_of, sets_of
    from pellucid.attribution.groups import groups_of
    from pellucid.attribution.overlap import engine_of

    net = dense(rng, [300, 400, 20, 3])
    X = rng.random((1, 300))
    question = question_of(net, X, groups_of((300,), grid=4), sets_of(X, 0.1, np.inf, None, (0, 1)), None, None)
    lines = 2 * 8 * 400 * (300 if method == "forward" else 3)                                   # bytes of a tensor's lines, one set
    for memory in (2**22, 2**24, 2**30):
        engine = engine_of(net, method=method, quality="single-pass", overlap="difference", dtype="float64", device="cpu", memory=memory)
        assert 1 <= engine.share(question, 1) <= max(1, memory // (2 * lines))
        assert engine.share(question, 5) <= engine.share(question, 1)


def test_a_grid_is_the_groups_of_its_cells(nets, rng):
    net = nets["conv"]
    x = rng.random((1, 2, 4, 4))
    cell = np.arange(4) * 3 // 4
    labels = cell[:, None] * 3 + cell
    by_grid = pel.eva(net, x, grid=3, eps=0.2)
    lists = [np.flatnonzero(np.broadcast_to(labels, (2, 4, 4)).ravel() == k) for k in range(9)]
    for groups in (labels, lists, {f"g{k}": m for k, m in enumerate(lists)}, np.broadcast_to(labels, (2, 4, 4)).copy()):
        same = pel.eva(net, x, groups=groups, eps=0.2)
        np.testing.assert_allclose(same.scores, by_grid.scores, atol=1e-12)
        np.testing.assert_allclose(same.images, by_grid.images, atol=1e-12)


def test_eps_by_feature_freezes_where_it_is_zero(nets, rng):
    net = nets["residual"]
    x, eps = rng.random((1, 6)), np.full(6, 0.2)
    whole = pel.eva(net, x, eps=eps, groups=[[2, 3]])
    eps[[2, 3]] = 0
    assert pel.eva(net, x, eps=eps, groups=[[0]]).overlap[0] == pytest.approx(whole.frozen[0, 0], abs=1e-9)


# ---- targets


def test_targets_and_all_agree(nets, rng):
    net = nets["leaky"]
    X = rng.random((3, 6))
    for quality in QUALITIES:
        every = pel.eva(net, X, eps=0.3, target="all", quality=quality)
        plain = pel.eva(net, X, eps=0.3, quality=quality)
        for t in range(net.n_classes):
            one = pel.eva(net, X, eps=0.3, target=t, quality=quality)
            np.testing.assert_allclose(one.frozen, every.frozen[:, t], atol=1e-9)
            assert (one.overlap <= plain.overlap + 1e-9).all()
        np.testing.assert_allclose(every.overlap[np.arange(3), plain.label], plain.overlap, atol=1e-9)
        np.testing.assert_allclose(every.overlap.max(axis=1), plain.overlap, atol=1e-9)
    assert (pel.eva(net, X, eps=0.3, target=1).target == np.where(plain.label == 1, -1, 1)).all()


def test_half_balls_are_inside_the_ball(nets, rng):
    net = nets["residual"]
    X = rng.random((4, 6))
    whole = pel.eva(net, X, eps=0.3, target=0).overlap
    for sign in "+-":
        assert (pel.eva(net, X, eps=0.3, target=0, sign=sign).overlap <= whole + 1e-6).mean() > 0.7


def test_one_sigmoid_output_is_two_classes(rng):
    net = dense(rng, [4, 6, 1], link="sigmoid")
    X = rng.random((6, 4))
    a = pel.eva(net, X, eps=0.2, target="all")
    assert a.scores.shape == (6, 2, 4)
    for i in range(6):
        assert worst(net, points_of(X[i], 0.2, np.inf, (0, 1), [], rng), a.label[i]) <= a.overlap[i, 0]
    b = pel.eva(net, X, eps=0.2, label=1)
    np.testing.assert_array_equal(b.label, 1)


@pytest.mark.parametrize("label", [[0, 1, 0, 1], [1, 0, 1, 0]])
@pytest.mark.parametrize("how", [{"method": "interval"}, {"method": "crown"}, {"method": "alpha-crown"}, {"quality": "shared"},
                                 {"quality": "single-pass"}])
def test_each_row_of_one_output_meets_the_bounds_of_its_own_class(rng, label, how):
    net, X = dense(rng, [4, 6, 1], link="sigmoid"), rng.random((4, 4))
    a = pel.eva(net, X, eps=0.2, label=label, **how)
    for i in range(4):
        assert worst(net, points_of(X[i], 0.2, np.inf, (0, 1), [], rng), label[i]) <= a.overlap[i]
        for u in range(4):
            assert worst(net, points_of(X[i], 0.2, np.inf, (0, 1), [u], rng), label[i]) <= a.frozen[i, u]


@pytest.mark.parametrize("p", [np.inf, 2])
def test_eps_and_clip_of_each_row_and_by_name(p, rng):
    """As many rows as features: the numbers of the rows must not be taken for those of the features."""
    import pandas as pd

    names = ["a", "b", "c"]
    net = dense(rng, [3, 5, 3], feature_names=names)
    X, eps, low = rng.random((3, 3)), np.array([0.1, 0.2, 0.3]), np.array([0.0, -0.1, -0.2])
    rows = pel.eva(net, X, eps=eps[:, None], p=p, clip=(low[:, None], 1))
    for i in range(3):
        one = pel.eva(net, X[i], eps=eps[i], p=p, clip=(low[i], 1))
        np.testing.assert_allclose(rows.frozen[i], one.frozen[0], rtol=1e-9, atol=1e-12)
    plain = pel.eva(net, X, eps=eps, p=p, clip=(low, 1))
    spelled = pel.eva(net, X, eps=np.tile(eps, (3, 1)), p=p, clip=(np.tile(low, (3, 1)), np.ones((3, 3))))
    np.testing.assert_array_equal(plain.frozen, spelled.frozen)
    assert np.abs(plain.frozen - rows.frozen).max() > 1e-3
    frame, (e, c) = pd.DataFrame(X, columns=names)[["c", "a", "b"]], (pd.Series(v, index=names)[::-1] for v in (eps, low))
    named = pel.eva(net, frame, eps=e, p=p, clip=(c, 1))
    np.testing.assert_array_equal(plain.frozen, named.frozen)
    np.testing.assert_array_equal(named.settings["eps"], eps)
    with pytest.raises(pel.DomainError, match=r"eps has shape \(2,\)"):
        pel.eva(net, X, eps=[0.1, 0.2])
    with pytest.raises(pel.DomainError, match=r"eps has shape \(3, 1\)"):                  # of three rows, and there are two
        pel.eva(net, X[:2], eps=eps[:, None])


def test_the_papers_overlap_is_never_tighter(nets, rng):
    X = rng.random((3, 6))
    for name in ("residual", "smooth"):
        a, b = (pel.eva(nets[name], X, eps=0.2, overlap=o) for o in ("difference", "paper"))
        assert (a.overlap <= b.overlap + 1e-9).all()


# ---- the value, captum's convention, errors


def test_the_certificate_looks_again(nets, rng):
    a = pel.eva(nets["conv"], rng.random((2, 2, 4, 4)), eps=0.1, grid=2)
    assert a.certificate.status is pel.Status.PROVED
    again = a.certificate.check()
    assert again.status is pel.Status.UNKNOWN
    assert "none of" in again.reason
    from pellucid.attribution.asked import question_of, sets_of
    from pellucid.attribution.eva import recheck

    rows = a.X.reshape(2, -1)
    question = question_of(nets["conv"], rows, a.groups, sets_of(rows, 0.1, np.inf, None, (0, 1)), None, None)
    wrong = recheck(question, np.full((2, 2), -1e6), np.full((2, 4, 2), -1e6), 0)
    assert wrong.status is pel.Status.REFUTED


def test_tables_files_and_lines(nets, rng, tmp_path):
    net = nets["conv"]
    a = pel.eva(net, rng.random((2, 2, 4, 4)), eps=0.5, grid=2, target="all")
    frame = a.to_frame()
    assert len(frame) == 2 * net.n_classes * 4
    assert (frame.drop_at_least <= frame.drop_at_most + 1e-12).all()
    assert set(frame["rank"]) == {1, 2, 3, 4}
    assert "too loose to rank" in repr(a) or "certain order" in repr(a)
    assert "<table" in a._repr_html_()
    with np.load(a.save(tmp_path / "map.npz")) as file:
        np.testing.assert_array_equal(file["scores"], a.scores)
        assert b"conv" not in file["about"].tobytes()
    empty = pel.eva(net, np.zeros((0, 2, 4, 4)), eps=0.1, grid=2)
    assert empty.scores.shape == (0, 4)


def test_captums_convention(nets, rng):
    net = nets["conv"]
    x = torch.as_tensor(rng.random((3, 2, 4, 4)), dtype=torch.float32)
    label = torch.tensor([0, 1, 2])
    found = pel.EVA(net, eps=0.2, grid=2).attribute(x, target=label)
    assert found.shape == x.shape
    assert found.dtype == x.dtype
    expected = pel.eva(net, x, eps=0.2, grid=2, label=[0, 1, 2]).images
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_captums_convention_takes_a_module():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(3 * 16, 4)).eval()
    x = torch.rand(2, 1, 6, 6)
    found = pel.EVA(module, eps=0.1, grid=3).attribute(x, target=1)
    expected = pel.eva(pel.load(module, input_shape=(1, 6, 6)), x, eps=0.1, grid=3, label=1).images
    np.testing.assert_allclose(found.numpy(), expected.reshape(found.shape), atol=1e-6)
    method = pel.EVA(module, eps=0.1, grid=3)
    before = method.attribute(x, target=1)
    with torch.no_grad():
        for weight in module.parameters():
            weight.mul_(-1.5)                                   # as training would change it
    after = method.attribute(x, target=1)
    assert not torch.equal(before, after)
    assert torch.equal(after, pel.EVA(module, eps=0.1, grid=3).attribute(x, target=1))


def test_ctrl_c_keeps_the_rows_that_are_done(nets, rng):
    def stop(done, of):
        if done >= 2:
            raise KeyboardInterrupt

    X = rng.random((4, 6))
    with pytest.raises(pel.Interrupted) as caught:
        pel.eva(nets["residual"], X, eps=0.2, memory=1.0, progress=stop)
    kept = caught.value.partial
    np.testing.assert_allclose(kept.scores, pel.eva(nets["residual"], X, eps=0.2).scores[:2], atol=1e-9)
    assert np.isfinite(kept.attained).all()


@pytest.mark.parametrize(("options", "words"), [
    ({"eps": -1}, "negative"), ({"eps": 0.1, "p": 3}, "1, 2 or inf"), ({"eps": 0.1, "sign": "x"}, "sign"),
    ({"eps": 0.1, "grid": 2, "groups": [[0]]}, "not both"), ({"eps": 0.1, "groups": [[99]]}, "index 99"),
    ({"eps": 0.1, "groups": []}, "empty"), ({"eps": 0.1, "groups": [["nobody"]]}, "nobody"), ({"eps": 0.1, "grid": 0}, "grid"),
    ({"eps": 0.1, "quality": "best"}, "quality"), ({"eps": 0.1, "method": "magic"}, "method"), ({"eps": 0.1, "target": 7}, "class 7"),
    ({"eps": 0.1, "target": "cat"}, "cat"), ({"eps": 0.1, "label": 9}, "label 9"), ({"eps": [0.1, 0.2]}, "eps"),
    ({"eps": 0.1, "method": "interval", "quality": "shared"}, "forms"), ({"eps": 0.1, "clip": (0.4, 0.5)}, "outside clip"),
])
def test_errors_say_what_came(options, words, nets, rng):
    with pytest.raises(ValueError, match=words):
        pel.eva(nets["residual"], rng.random((2, 6)), **options)


def test_regression_and_wrong_rows_are_refused(nets, rng):
    with pytest.raises(pel.NoDecision):
        pel.eva(dense(rng, [3, 4, 1], link="identity"), rng.random((1, 3)), eps=0.1)
    with pytest.raises(pel.DataError, match="7"):
        pel.eva(nets["residual"], rng.random((2, 7)), eps=0.1)
    with pytest.raises(pel.DataError, match="finite"):
        pel.eva(nets["residual"], np.full((2, 6), np.nan), eps=0.1)
