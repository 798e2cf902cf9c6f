"""Bounds of cells that are no numbers (overflow) prove nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from networks import random_layers, relu_network

import pellucid as pel
from pellucid.chain import chain_of, own_share, rounding
from pellucid.chain.floors import confirmed


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("layer", [0, -1])
def test_what_is_no_number_is_no_proof(bad, layer, rng):
    net = relu_network(random_layers(rng, [2, 4, 3, 2]))
    chain = chain_of(net)
    box = pel.Box([-1.0, -1.0], [1.0, 1.0])
    decided = replace(rounding(chain, pel.geometry.as_slice(box, net.feature_names)), is_proved=False)
    decided = replace(decided, sizes=[np.ones(len(f)) for f in decided.floors])
    errors = [np.zeros(len(f)) for f in decided.floors]
    assert own_share(decided, chain, errors, outputs=True) == 0.0
    errors[layer][0] = bad
    share = own_share(decided, chain, errors, outputs=True)
    assert share == np.inf
    assert not confirmed(decided, chain, share, outputs=True).is_proved
