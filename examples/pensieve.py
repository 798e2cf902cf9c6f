"""Where a video player's network changes the bit rate: the exact map of CEE, Fig. 3, on Pensieve's published actor.

Pensieve (Mao, Netravali, Alizadeh 2017) chooses the bit rate of the next video chunk. Its buffer and its throughput vary
(the last eight measurements together); everything else stands at plausible values of a running stream.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import pellucid as pel

RATES = (300, 750, 1200, 1850, 2850, 4300)          # kbit/s
CHUNK = 4.0                                         # seconds of video
HERE = Path(__file__).resolve().parent
DATA = HERE.parent.parent / "shared" / "data" / "pensieve" / "pensieve_actor_mlp.npz"

# Rows of the state (6 x 8): name, unit, columns that the network reads, and what one unit is in the state's own scale.
ROWS = (("last bit rate", "kbit/s", (7,), 1 / 4300), ("buffer", "s", (7,), 1 / 10), ("throughput", "Mbit/s", range(8), 1 / 8),
        ("download time", "s", range(8), 1 / 10), ("chunk size", "MB", range(6), 1.0), ("spare", "", (), 1.0))


def load_actor(path: Path):
    """The actor on the 24 inputs that vary, in units that people use."""
    with np.load(path) as file:
        W, b = [file[f"W{k}"] for k in (1, 2, 3)], [file[f"b{k}"] for k in (1, 2, 3)]
    names, units, rows, scales = [], [], [], []
    for r, (name, unit, columns, scale) in enumerate(ROWS):
        for c in columns:
            label = name if len(columns) == 1 else f"{name} {RATES[c]}" if name == "chunk size" else f"{name} {c - 8}"
            names, units, rows, scales = [*names, label], [*units, unit], [*rows, 8 * r + c], [*scales, scale]
    W[0] = W[0][rows] * np.array(scales)[:, None]   # inputs left out are 0 in every state
    return pel.load((W, b), orientation="in_out", link="softmax", feature_names=names, units=units,
                    class_names=[f"{r} kbit/s" for r in RATES])


def state(net, rate: float) -> dict[str, float]:
    """A stream that plays at `rate` kbit/s: download times and chunk sizes to match, 3 Mbit/s of throughput."""
    values = {"last bit rate": rate, "buffer": 10.0, **{f"chunk size {r}": r * CHUNK / 8000 for r in RATES}}
    values |= {f"throughput {k}": 3.0 for k in range(-8, 0)} | {f"download time {k}": rate * CHUNK / 3000 for k in range(-8, 0)}
    assert set(values) == set(net.feature_names)
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="pensieve_actor_mlp.npz")
    parser.add_argument("--rate", type=float, default=1200, help="bit rate that plays, kbit/s")
    parser.add_argument("--out", type=Path, default=Path("out/pensieve"))
    args = parser.parse_args()
    if not args.data.is_file():
        raise SystemExit(f"{args.data} is not there: this example needs Pensieve's actor as an .npz file, given with --data")

    net = load_actor(args.data)
    at = state(net, args.rate)
    lower = {name: 0.0 for name in at}
    upper = {"last bit rate": 4300, "buffer": 30, **{f"throughput {k}": 6 for k in range(-8, 0)},
             **{f"download time {k}": 10 for k in range(-8, 0)}, **{f"chunk size {r}": 3 for r in RATES}}
    box = pel.Box([lower[n] for n in net.feature_names], [upper[n] for n in net.feature_names], names=net.feature_names)
    plane = box.slice(free=("buffer", "throughput -1"), at=at, ties={"throughput -1": [f"throughput {k}" for k in range(-8, -1)]})

    started = time.perf_counter()
    atlas = pel.linear_regions(net, plane, by="class")
    seconds = time.perf_counter() - started
    print(f"{atlas.n_regions} linear regions in {seconds:.2f} s ({atlas.certificate.reason})\n")

    changes = pel.transitions(atlas)
    print("Bit rates that touch; 'jump' passes over those between:")
    print(changes.to_frame()[["from", "to", "scaled length", "jump"]].to_string(index=False, float_format="%.3f"))
    print(f"Never chosen here: {', '.join(changes.never_given) or 'none'}\n")
    islands = pel.enclaves(atlas)
    print(f"{len(islands)} enclaves")
    if len(islands):
        print(islands.to_frame(enclosed_only=True)[["class", "touches", "share"]].to_string(index=False))

    args.out.mkdir(parents=True, exist_ok=True)
    ax = pel.plot.class_map(atlas, colours="ordered", title=f"Bit rate that Pensieve chooses, while {args.rate:g} kbit/s plays")
    ax.set(xlabel="buffer [s]", ylabel="throughput, all of the last eight [Mbit/s]")
    for kind in ("png", "svg"):
        print(pel.plot.save(ax, args.out / f"map.{kind}"))


if __name__ == "__main__":
    main()
