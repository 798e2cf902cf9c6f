"""Which numbers of a ball belong to a feature, which to a set: by name, by shape, the same in `bounds` and in `verify`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch")

from bounding.sets import mlp  # noqa: E402

import pellucid as pel  # noqa: E402
from pellucid.errors import DataError, DomainError  # noqa: E402
from pellucid.graph import INPUT, GraphBuilder, Network  # noqa: E402
from pellucid.ops.conv import Conv  # noqa: E402
from pellucid.ops.linear import Linear  # noqa: E402
from pellucid.ops.rearrange import Reshape  # noqa: E402

NAMES = ("age", "income", "debt")


@pytest.fixture
def net() -> Network:
    return replace(mlp([3, 8, 2], np.random.default_rng(0)), feature_names=NAMES)


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(1).random((2, 3)), columns=list(NAMES))


def ends(net, ball, **options):
    found = pel.bounds(net, ball, **options)
    return found.lower.numpy(), found.upper.numpy()


@pytest.mark.parametrize("p", [1, 2, np.inf])
def test_named_balls_are_put_in_the_networks_order(net, frame, p):
    eps, free, low = np.array([0.1, 0.2, 0.3]), np.array([True, False, True]), np.array([0.0, -0.1, -0.2])
    want = ends(net, pel.Ball(frame.to_numpy(), eps, p, clip=(low, 1.0), free=free))
    turned = frame[["debt", "age", "income"]]
    e, c, f = (v[[2, 0, 1]] for v in (eps, low, free))                            # arrays go with the columns of the center
    np.testing.assert_array_equal(ends(net, pel.Ball(turned, e, p, clip=(c, 1.0), free=f)), want)
    e, c, f = (pd.Series(dict(zip(NAMES, v, strict=True))) for v in (eps, low, free))
    np.testing.assert_array_equal(ends(net, pel.Ball(turned, e, p, clip=(c, 1.0), free=f)), want)
    e, c, f = (pd.concat([v, pd.Series({"outcome": 0.5})]) for v in (e, c, f.astype(float)))
    with pytest.raises(DomainError, match="free must be a mask"):
        pel.Ball(turned.assign(outcome=0.5), e, p, clip=(c, 1.0), free=f)
    f["outcome"] = 1.0
    np.testing.assert_array_equal(ends(net, pel.Ball(turned.assign(outcome=0.5), e, p, clip=(c, 1.0), free=f)), want)
    row = pel.Ball(turned.iloc[0], 0.1, p)
    np.testing.assert_array_equal(ends(net, row), ends(net, pel.Ball(frame.to_numpy()[0], 0.1, p)))
    label = int(net(frame.to_numpy()[:1]).argmax())
    assert pel.verify(net, pel.Ball(turned.iloc[[0]], 1e-3, p), label).certificate.status is pel.Status.PROVED
    refuted = pel.verify(net, pel.Ball(turned.iloc[[0]], 1e-3, p), 1 - label)
    np.testing.assert_allclose(refuted.witness, frame.to_numpy()[0], atol=1e-3)


def test_names_that_cannot_be_matched_are_refused(net, frame):
    with pytest.raises(DomainError, match="lacks 'debt'"):
        pel.bounds(net, pel.Ball(frame.rename(columns={"debt": "loan"}), 0.1))
    with pytest.raises(DomainError, match="eps names its features and the center does not"):
        pel.Ball(frame.to_numpy(), frame.std())
    with pytest.raises(DomainError, match="eps has the names"):
        pel.Ball(frame, frame[["age"]].std())
    with pytest.raises(DomainError, match=r"names 4 features, and what is given beside it has shape \(3,\)"):
        pel.bounds(net, pel.Ball(frame.assign(outcome=1.0), np.array([0.1, 0.2, 0.3])))
    with pytest.raises(DataError, match="column 'age' holds"):
        pel.Ball(frame.astype({"age": str}), 0.1)
    other = pel.Ball(frame.set_axis(["a", "b", "c"], axis=1), 0.1)                 # of other names altogether: as they come
    np.testing.assert_array_equal(ends(net, other), ends(net, pel.Ball(frame.to_numpy(), 0.1)))


@pytest.mark.parametrize("p", [1, 2, np.inf])
@pytest.mark.parametrize("part", ["center", "eps", "free", "clip"])
def test_no_more_than_one_set_is_verified(part, p):
    """As many sets as features: the numbers of the sets must not be taken for those of the features."""
    W = [np.eye(2), np.array([[-1.0, 0.0], [0.0, 0.0]])]
    net = pel.load((W, [np.zeros(2), np.array([1.0, 0.7])]), orientation="out_in")         # class 0 where x0 < .3
    given = {"center": np.zeros(2), "eps": 0.5, "free": None, "clip": None}
    given[part] = {"center": np.zeros((2, 2)), "eps": np.array([[0.1], [0.5]]), "free": np.array([[0, 1], [1, 0]]),
                   "clip": (np.array([[-0.1, -1.0], [-1.0, -1.0]]), np.array([[0.1], [0.5]]))}[part]
    ball = pel.Ball(given["center"], given["eps"], p, clip=given["clip"], free=given["free"])
    with pytest.raises(DomainError, match="2 sets; one is verified at a time"):
        pel.verify(net, ball, 0)
    low = pel.margins(net, ball, 0).lower.numpy().ravel()
    assert low.shape == (2,)
    assert low.min() < 0                                        # of one of the two: so nothing holds for all


def test_parts_that_do_not_go_together_are_refused(net):
    with pytest.raises(DomainError, match="center holds 2, eps holds 3"):
        pel.bounds(net, pel.Ball(np.zeros((2, 3)), np.full((3, 1), 0.1)))
    with pytest.raises(DomainError, match=r"clip\[0\] holds 3, clip\[1\] holds 1"):
        pel.bounds(net, pel.Ball(np.zeros((2, 3)), 0.1, clip=(np.full((3, 1), -1.0), np.full(3, 1.0))))


def test_one_number_a_channel():
    rng = np.random.default_rng(0)
    builder = GraphBuilder((3, 4, 4))
    conv = builder.add(Conv(rng.normal(size=(2, 3, 3, 3)), np.zeros(2), (1, 1), ((0, 0), (0, 0)), (1, 1), 1), INPUT)
    flat = builder.add(Reshape((8,)), conv)
    net = Network(builder.graph(builder.add(Linear(rng.normal(size=(2, 8)), np.zeros(2)), flat)), link="softmax")
    x, eps, low = rng.random((2, 3, 4, 4)), np.array([0.1, 0.2, 0.3]).reshape(3, 1, 1), np.array([0.0, -1.0, -2.0]).reshape(3, 1, 1)
    spelled = [np.broadcast_to(v, (3, 4, 4)) for v in (eps, low)]
    one, other = (pel.Ball(x, e, clip=(c, 1.0)) for e, c in ((eps, low), spelled))
    np.testing.assert_array_equal(ends(net, one), ends(net, other))
    maps = [pel.eva(net, x, eps=e, clip=(c, 1.0), grid=2, attack_steps=0).frozen for e, c in ((eps, low), spelled)]
    np.testing.assert_array_equal(*maps)
    table = pel.evaluate_attribution(net, x, ["EVA", "EVA (sampled)"], eps=eps, clip=(low, 1.0), grid=2)
    assert not table.skipped
