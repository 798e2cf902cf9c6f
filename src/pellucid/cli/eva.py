"""`pellucid eva`: which inputs can change the decision, by verified perturbation analysis."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options as o
from .console import Console, guarded

EPILOG = """[bold]Examples[/bold]

pellucid eva mnist.onnx images.npy --grid 12 --eps 0.1 --out out/eva

pellucid eva mnist.onnx images.npy --grid 12 --eps 0.5 --row 3 --against all --signed --out out/targets

pellucid eva model.skops loans.csv --drop approved --eps 0.1 --no-clip
"""


def eva(
    model: o.Model,
    data: Annotated[Path, typer.Argument(metavar="DATA", show_default=False, help="What to explain: images or rows as .npy, or .npz (its "
                                         "first array); or a table (.csv, .csv.gz, .tsv, .parquet).")],
    eps: Annotated[float, o.option("--eps", min=0.0, help="How far each input may move.")],
    grid: Annotated[int | None, o.option("--grid", min=1, help="Cells a side that are frozen together; default: one a pixel or "
                                         "feature.")] = None,
    p: Annotated[str, o.option("--p", shown="inf|2|1", help="The norm of the ball.")] = "inf",
    row: Annotated[list[int] | None, o.option("--row", shown="N", min=0, help="Explain this row only (may be given again); the first "
                                              "is 0.")] = None,
    against: Annotated[str | None, o.option("--against", shown="CLASS|all", help="The class that perturbations aim at; default: any "
                                            "other.")] = None,
    signed: Annotated[bool, o.option("--signed", help="Half-balls: what adding and what removing can do, drawn in red and blue.")] = False,
    method: Annotated[str, o.option("--method", shown="NAME", help="Of the bounds: crown, crown-interval, interval, forward, "
                                    "forward+crown, alpha-crown.")] = "crown",
    quality: Annotated[str, o.option("--quality", shown="NAME", help="full, shared (about 30 times cheaper) or single-pass (about 80 "
                                     "times).")] = "shared",
    clip: Annotated[bool, o.option("--clip/--no-clip", help="Inputs are numbers from 0 to 1 and stay so.")] = True,
    drop: o.Drop = None,
    class_names: o.ClassNames = None,
    link: o.Link = None,
    out: Annotated[Path | None, o.option("--out", "-o", shown="DIR", help="Write map.npz, scores.csv, maps.png and report.html "
                                         "here.")] = None,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Say which inputs can change the decision: how much freezing them lowers what perturbations within --eps can do.

    Bounds are proved; their differences, the scores, rank. Beside them stands the interval in which each true drop lies.
    """
    console = Console(quiet)
    with guarded(console, debug):
        from ..attribution import eva as explain
        from ..errors import DataError
        from ..importers.load import load
        from .console import listed, writable
        from .rows import read_rows

        if p not in ("inf", "2", "1"):
            raise typer.BadParameter(f"--p takes inf, 2 or 1, got '{p}'")
        if out is not None:
            writable(out)
        with console.step(f"reading {model} and {data}"):
            net = load(model, link=link, class_names=listed(class_names))
            X = read_rows(data, net, listed(drop) or [])
            if row is not None:
                if max(row) >= len(X):
                    raise DataError(f"--row {max(row)}: {data} has rows 0 to {len(X) - 1}")
                X = X[list(row)]
        options = {"eps": eps, "p": float(p), "grid": grid, "target": against, "method": method, "quality": quality,
                   "clip": (0, 1) if clip else None, "dtype": "float32"}
        signs = ("+", "-") if signed else (None,)
        with console.step("bounding"):
            found = [explain(net, X, sign=s, **options) for s in signs]
        first = found[0]
        console.say(repr(first))
        table = first.to_frame()
        top = table[table["rank"] <= 5].sort_values(["row", "against", "rank"])
        console.say(top.head(40).to_string(index=False, float_format=lambda v: f"{v:.4g}"))
        console.say(str(first.certificate))
        if out is not None:
            console.say(f"saved: {_saved(found, table, out)}")


def _saved(found, table, out: Path) -> Path:
    from ..attribution.groups import spatial
    from ..report.attributed import write_attribution

    out.mkdir(parents=True, exist_ok=True)
    for one, name in zip(found, ("map", "map_removing"), strict=False):
        one.save(out / f"{name}.npz")
    table.to_csv(out / "scores.csv", index=False)
    if spatial(found[0].X.shape[1:])[0] is not None:
        from ..plots import attribution, save

        save(attribution(found[0], sign_with=found[1] if len(found) > 1 else None), out / "maps.png", dpi=160)
    return write_attribution(found, out / "report.html")
