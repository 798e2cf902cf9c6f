"""`pellucid bounds`: sound bounds of the outputs around a row of data, or over a box."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options as o
from .console import Console, guarded, interval

EPILOG = """[bold]Examples[/bold]

pellucid bounds model.onnx --box 0:1 --method crown

pellucid bounds model.onnx --at images.npy --eps 0.03 --clip 0:1 --method alpha-crown

pellucid bounds model.onnx --at x.csv --eps 0.1 --norm 2 --margins --out bounds.csv
"""


def bounds(
    model: o.Model,
    at: Annotated[Path | None, o.option("--at", shown="FILE", help="Rows to bound around: .npy, .npz, .csv, .tsv or .parquet; columns are "
                                        "taken by the model's names, else in its order of inputs.")] = None,
    drop: o.Drop = None,
    eps: Annotated[float | None, o.option("--eps", min=0.0, help="Radius of the ball around each row.")] = None,
    norm: Annotated[str, o.option("--norm", shown="inf|2|1", help="Of the ball.")] = "inf",
    clip: Annotated[str | None, o.option("--clip", shown="LOW:HIGH", help="The inputs that exist, 0:1 for images.")] = None,
    box: Annotated[str | None, o.option("--box", shown="LOW:HIGH", help="Instead of balls: every input within this range.")] = None,
    rows: Annotated[int | None, o.option("--rows", min=1, help="Only the first rows of --at.")] = None,
    method: Annotated[str, o.option("--method", shown="METHOD", help="interval, forward, crown-interval, forward+crown, crown, "
                                    "alpha-crown, best, or auto.")] = "auto",
    margins: Annotated[bool, o.option("--margins", help="Bound the lead of the class at each row over every other class.")] = False,
    probabilities: Annotated[bool, o.option("--probabilities", help="Bound what the model answers instead of its logits.")] = False,
    dtype: Annotated[str, o.option("--dtype", shown="float64|float32", help="Precision; bounds are sound in both.")] = "float64",
    device: Annotated[str, o.option("--device", help="cpu or cuda.")] = "cpu",
    class_names: o.ClassNames = None,
    link: o.Link = None,
    out: Annotated[Path | None, o.option("--out", "-o", shown="FILE", help="Write the table here: .csv or .parquet.")] = None,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Bound every output over balls around rows, or over a box: no input inside gives a value outside, rounding included."""
    console = Console(quiet)
    with guarded(console, debug):
        import numpy as np

        from ..bounding import bounds as of
        from ..bounding import margins as leads
        from ..geometry import Ball, Box
        from ..importers.load import load
        from .console import listed
        from .rows import read_rows

        if (box is None) == (at is None) or (at is not None and eps is None):
            raise typer.BadParameter("give either --box LOW:HIGH, or rows by --at FILE with --eps RADIUS")
        if norm not in ("inf", "2", "1"):
            raise typer.BadParameter(f"--norm takes inf, 2 or 1, got '{norm}'")
        if margins and (probabilities or at is None):
            raise typer.BadParameter("--margins asks for the lead of the class at each row: give --at, and leave --probabilities out")
        with console.step(f"reading {model}"):
            net = load(model, class_names=listed(class_names), link=link)
        options = {"method": method, "dtype": dtype, "device": device}
        with console.step("bounding"):
            if at is None:
                low, high = interval(box or "", "--box")
                found = of(net, Box([low] * net.n_inputs, [high] * net.n_inputs), link=probabilities, **options)
            else:
                X = np.atleast_2d(read_rows(at, net, listed(drop) or []))[:rows]
                ball = Ball(X, eps, float(norm), clip=None if clip is None else interval(clip, "--clip"))
                found = leads(net, ball, net.decide(X), **options) if margins else of(net, ball, link=probabilities, **options)
        frame = found.to_frame()
        console.say(repr(found))
        if margins:
            proved = int((found.lower > 0).all(dim=1).sum())
            console.say(f"{proved} of {len(found)} rows keep their class over the whole ball: proved")
        if out is not None:
            frame.to_parquet(out) if out.suffix == ".parquet" else frame.to_csv(out, index=False)
            console.say(f"written to {out}")
        else:
            console.say(frame.head(30).to_string(index=False))
