"""Small classifiers and questions about their decisions, drawn at random."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from networks import random_layers, relu_network

import pellucid as pel


@dataclass
class Case:
    """A classifier over a box, a row, and what is whole or one-hot. degenerate: ties can fill whole regions."""

    seed: int
    most_inputs: int = 4
    layers: list = field(init=False)

    def __post_init__(self):
        rng = self.rng = np.random.default_rng(self.seed)
        d = int(rng.integers(1, self.most_inputs + 1))
        hidden = [int(v) for v in rng.integers(1, 7, rng.integers(0, 3))]
        self.c = int(rng.choice([1, 2, 3]))
        self.layers = random_layers(rng, [d, *hidden, self.c])
        self.degenerate = self.seed % 7 == 0 or (self.seed % 5 == 0 and not hidden)
        if self.seed % 7 == 0:
            self.layers = [(W, 0 * b) for W, b in self.layers]
        if self.seed % 5 == 0:
            self.layers[0][0][-1], self.layers[0][1][-1] = self.layers[0][0][0], self.layers[0][1][0]
        self.net = relu_network(self.layers, "sigmoid" if self.c == 1 else "softmax")
        self.box = pel.Box(-2 * np.ones(d), 2 * np.ones(d))
        self.x = rng.uniform(-2, 2, d)
        self.asked = {}
        if d >= 3 and self.seed % 3 == 0:
            self.asked["one_hot"] = [[0, 1]]
            self.x[:2] = [1, 0]
        if d >= 2 and self.seed % 4 == 0:
            self.asked["integer"] = [d - 1]
            self.x[-1] = np.round(self.x[-1])

    @property
    def space(self):
        from pellucid.explain.space import space_of

        return space_of(self.net, self.box, **self.asked)
