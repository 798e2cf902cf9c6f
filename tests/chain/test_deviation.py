"""How far regions' models can be from the network: bounds hold also where signs were decided wrongly, within the tolerance."""

from __future__ import annotations

import numpy as np
import pytest
from networks import random_layers
from regions.nets import groups, relu, relu_chain, rows, same

from pellucid.chain import Elementwise, deviation, deviation_bound, rounding
from pellucid.chain.chain import Chain, Stage
from pellucid.geometry import Box, as_slice
from pellucid.tolerance import ROUNDING_FACTOR

HARD_TANH = ([-1.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 1.0])
STEPS = ([-0.5, 0.25, 1.0], [0.0, 1.0, 0.5, 2.0], [0.2, -0.3, 0.4, -1.0])


def chains(rng):
    def stage(n_in, phi, n_rows=None):
        n_rows = n_rows or phi.n_outputs
        return Stage(rng.normal(size=(n_rows, n_in)), 0.5 * rng.normal(size=n_rows), phi)

    yield relu_chain(random_layers(rng, [3, 8, 8, 2]))
    yield relu_chain(random_layers(rng, [3, 1, 1]))
    yield relu_chain(random_layers(rng, [3, 2]))
    yield Chain(3, (stage(3, same(5, *HARD_TANH)), stage(5, relu(4))), rng.normal(size=(2, 4)), rng.normal(size=2))
    yield Chain(3, (stage(3, rows([STEPS, ([], [1.0], [0.0]), STEPS])), stage(3, relu(4))), rng.normal(size=(1, 4)), rng.normal(size=1))
    yield Chain(3, (stage(3, groups([0, 1, 2], [2, 3], [4]), 5), stage(3, relu(4))), rng.normal(size=(2, 4)), rng.normal(size=2))


def misjudged(chain, x, tol, rng):
    """Codes of points, and the held pre-activations that they follow, with signs at random where those lie within tol."""
    s, pieces = x.T, []
    for stage, t in zip(chain.stages, tol, strict=False):
        z = stage.A @ s + stage.a[:, None]
        noisy = z + rng.choice([-0.99, 0.0, 0.99], size=z.shape) * t[:, None]
        piece = stage.phi.piece(noisy)
        if isinstance(stage.phi, Elementwise):
            _, slopes, offsets = stage.phi.padded
            row = np.arange(len(z))[:, None]
            s = slopes[row, piece] * z + offsets[row, piece]
        else:
            s = z[stage.phi.padded[np.arange(len(piece))[:, None], piece], np.arange(z.shape[1])]
        pieces.append(piece[stage.phi.n_pieces > 1])
    return np.concatenate([np.zeros((0, len(x)), int), *pieces]).T


@pytest.mark.parametrize("tolerance", [1e-12, 1e-4, 0.05])
@pytest.mark.parametrize("which", range(6))
def test_models_of_misjudged_codes_are_no_farther_off_than_said(which, tolerance):
    rng = np.random.default_rng(which)
    chain = list(chains(rng))[which]
    domain = as_slice(Box(-np.ones(3), [1.0, 2, 1]), tuple("abc"))
    floors = [np.full(s.A.shape[0], tolerance / ROUNDING_FACTOR) for s in chain.stages] + [np.zeros(chain.n_outputs)]
    x = rng.uniform(-1, [1, 2, 1], (400, 3))
    codes = misjudged(chain, x, [np.full(s.A.shape[0], tolerance) for s in chain.stages], rng)
    u = domain.coordinates(x)[0]
    for slivers in (False, True):
        models = deviation(chain, domain, codes, floors, slivers=slivers)
        off = np.abs(np.einsum("kcd,kd->kc", models.coef, u) + models.intercept - chain(x))
        assert (off <= models.error + 1e-13).all()
        assert (models.error <= deviation_bound(chain, domain, floors, slivers=slivers) + 1e-15).all()
    if tolerance == 0.05 and which in (0, 3, 5):
        assert off.max() > 1e-3                                    # the bounds had something to hold


def test_where_nothing_is_misjudged_the_bound_is_narrow():
    rng = np.random.default_rng(1)
    chain = relu_chain(random_layers(rng, [4, 16, 16, 16, 1]))
    domain = as_slice(Box(-np.ones(4), np.ones(4)), tuple("abcd"))
    codes = misjudged(chain, rng.uniform(-1, 1, (50, 4)), [np.zeros(16)] * 3, rng)
    models = deviation(chain, domain, codes, rounding(chain, domain).floors, slivers=False)
    assert models.error.max() < 1e-6
    assert models.rounding.max() < 1e-11


def test_models_are_those_of_the_codes(rng):
    from pellucid.chain import local_maps

    chain = relu_chain(random_layers(rng, [3, 8, 8, 2]))
    box = Box([-1, 0, 5], [1, 3, 6])
    codes = misjudged(chain, rng.uniform(box.lower, box.upper, (30, 3)), [np.zeros(8)] * 2, rng)
    models = deviation(chain, as_slice(box, tuple("abc")), codes, [np.zeros(8)] * 2 + [np.zeros(2)])
    coef, intercept = local_maps(chain, codes)
    np.testing.assert_allclose(models.coef, coef, atol=1e-12)
    np.testing.assert_allclose(models.intercept, intercept, atol=1e-12)
