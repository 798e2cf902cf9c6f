"""Has a network learned which features count where? The case study *Piecewise* of CEE VI-B, answered exactly.

A 5-32-32-1 network learns a function that uses other features in each quadrant of (x1, x2). On the plane x3 = x4 = x5 = 0.5
its features are ranked by weight, on every linear region. Had it learned the function perfectly, the m features that a
quadrant uses would hold the ranks 1 to m on all of its area.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

import pellucid as pel

NAMES = ("x1", "x2", "x3", "x4", "x5")
# quadrant: features that it uses, its rows A u <= b on u = (x1, x2)
QUADRANTS = {
    "top left": (("x5",), [[1, 0], [0, -1]], [0.5, -0.5]),
    "top right": (("x2", "x3", "x4"), [[-1, 0], [0, -1]], [-0.5, -0.5]),
    "bottom left": (("x1", "x3"), [[1, 0], [0, 1]], [0.5, 0.5]),
    "bottom right": (("x2", "x4"), [[-1, 0], [0, 1]], [-0.5, 0.5]),
}


def piecewise(X: np.ndarray) -> np.ndarray:
    """The function to learn, [0, 1]^5 -> [0, 1]."""
    x1, x2, x3, x4, x5 = X.T
    left, bottom = x1 < 0.5, x2 < 0.5
    return np.select([left & bottom, ~left & bottom, left & ~bottom],
                     [np.abs(np.cos(np.pi * (x1 + x3))), np.expm1(x2 * x4) / np.expm1(1.0), x5], (x2 + x3 + x4) / 3)


def train(n: int, seed: int) -> MLPRegressor:
    X = np.random.default_rng(seed).random((n, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = MLPRegressor(hidden_layer_sizes=(32, 32), max_iter=60, learning_rate_init=3e-3, batch_size=256, random_state=seed)
        return model.fit(X, piecewise(X))


def ranked_right(description: pel.Description, relevant: tuple[str, ...]) -> dict[str, float]:
    """Shares of the area on which all relevant features, and each of them, hold one of the first m ranks."""
    area = description.atlas.volume / description.atlas.volume.sum()
    among = {f: description.ranks[:, NAMES.index(f)] <= len(relevant) for f in relevant}
    return {"all": float(area @ np.all(list(among.values()), axis=0)), **{f: float(area @ right) for f, right in among.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000, help="training rows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out/piecewise"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    model = train(args.rows, args.seed)
    X = np.random.default_rng(args.seed + 1).random((20_000, 5))
    print(f"trained; root mean squared error on new rows {np.sqrt(np.mean((model.predict(X) - piecewise(X)) ** 2)):.3f}")
    net = pel.load(model, feature_names=NAMES, class_names=["f"])
    plane = pel.Box(np.zeros(5), np.ones(5), names=NAMES).slice(free=("x1", "x2"), at=np.full(5, 0.5))
    atlas = pel.linear_regions(net, plane)
    print(f"{atlas.n_regions} linear regions over x1, x2 with x3 = x4 = x5 = 0.5 ({atlas.certificate.reason})\n")

    rows = {}
    for name, (relevant, A, b) in QUADRANTS.items():
        quadrant = pel.linear_regions(net, plane.where(A, b))          # cut exactly; weights still over the ranges of the whole box
        rows[name] = {"uses": ", ".join(relevant), **ranked_right(pel.describe(quadrant), relevant)}
    table = pd.DataFrame.from_dict(rows, orient="index")[["uses", "all", *NAMES]]
    print("Share of each quadrant's area on which the features that it uses hold the first ranks")
    print("('all': together, else each by itself; a perfect network has 100% everywhere)")
    print(table.to_string(float_format="{:.1%}".format, na_rep="not used"))
    table.to_csv(args.out / "ranked_first.csv")
    print(f"\n{draw(atlas, args.out)}")


def draw(atlas: pel.Atlas, out: Path) -> Path:
    """The value, and the rank of every feature, side by side."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(14, 8), layout="constrained")
    told = pel.describe(atlas)
    pel.plot.value_map(atlas, axes[0, 0], title="What the network computes")
    for ax, name in zip(axes.flat[1:], NAMES, strict=True):
        pel.plot.rank_map(told, name, ax, title=f"Rank of {name}")
    for ax in axes.flat:
        ax.axvline(0.5, color="white", linewidth=1.5, linestyle="--", zorder=4)
        ax.axhline(0.5, color="white", linewidth=1.5, linestyle="--", zorder=4)
    pel.plot.save(figure, out / "ranks.svg")
    return pel.plot.save(figure, out / "ranks.png", dpi=160)


if __name__ == "__main__":
    main()
