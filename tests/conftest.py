"""What all tests share: random networks, and the folder of data that may not be in the repository."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from pellucid.graph import INPUT, GraphBuilder, Network
from pellucid.ops.linear import Linear
from pellucid.ops.relu import ReLU

os.environ.setdefault("MPLBACKEND", "Agg")
settings.register_profile("default", deadline=None, max_examples=50, derandomize=True,
                          suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
settings.load_profile("default")

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data sets and reference networks beside the checkout; the test is skipped where there is none."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared folder")
    return SHARED


@pytest.fixture(scope="session")
def bench_case(shared):
    """bench_case("A1_2x32x32") -> (layers, lower, upper) of a reference network."""
    spec = importlib.util.spec_from_file_location("gen_nets", shared / "bench" / "gen_nets.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load


def relu_network(layers, link="identity", **names) -> Network:
    """The ReLU network of [(W, b), ...], W (out, in), the last layer linear."""
    builder, value = GraphBuilder((layers[0][0].shape[1],)), INPUT
    for i, (W, b) in enumerate(layers):
        value = builder.add(Linear(np.asarray(W, float), np.asarray(b, float)), value)
        if i + 1 < len(layers):
            value = builder.add(ReLU(), value)
    return Network(builder.graph(value), link, **names)


def random_layers(rng, sizes, scale=1.0):
    """[(W, b), ...] with normal entries, He-like."""
    return [(scale * rng.normal(size=(o, i)) / np.sqrt(i / 2), 0.5 * rng.normal(size=o)) for i, o in zip(sizes, sizes[1:], strict=False)]
