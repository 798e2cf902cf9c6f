"""`pellucid explain`: the main job, from a model and its data to a report."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as o
from .console import INTERRUPTED, PARTIAL, Console, guarded, listed, settings, writable

if TYPE_CHECKING:
    from ..atlas import Atlas
    from ..report import Question

EPILOG = """[bold]Examples[/bold]

pellucid explain model.skops loans.csv --target approved

pellucid explain model.onnx wine.csv --target quality --free alcohol,sulphates --at mean --out out/wine

pellucid explain model.onnx credit.csv.gz --target default --drop ID --trim 1 --class-names paid,defaulted
"""


def explain(
    model: o.Model,
    data: Annotated[Path, typer.Argument(metavar="DATA", show_default=False,
                                         help="Rows to explain it on: .csv, .csv.gz, .tsv or .parquet.")],
    target: o.Target = None,
    out: Annotated[Path, o.option("--out", "-o", shown="DIR", help="Where report, pictures and atlas go.")] = Path("out/explain"),
    free: o.Free = None,
    at: Annotated[str, o.option("--at", shown="median|mean|row:N", panel=o.PLANE,
                                help="Where the other features stand: the data's median or mean, or one of its rows.")] = "median",
    fix: o.Fix = None,
    range_: o.Range = None,
    trim: o.Trim = 0.0,
    class_names: o.ClassNames = None,
    columns: o.Columns = None,
    drop: o.Drop = None,
    skip_unusable: o.SkipUnusable = False,
    link: o.Link = None,
    max_regions: o.MaxRegions = 300_000,
    max_seconds: o.MaxSeconds = None,
    proof_seconds: Annotated[float, o.option("--proof-seconds", min=0.0, panel=o.BUDGET, help="About how long to spend on what is proved "
                                             "beside the map: one row, and all features; 0 leaves it out.")] = 15.0,
    threads: o.Threads = None,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Explain a network exactly on a plane through its data, as a report.

    Reads MODEL, finds its inputs among the columns of DATA, takes the two features that matter most (or --free), lets the
    others stand at their median, finds every linear region of that plane, and writes DIR/report.html with pictures, tables
    and what is proved.
    """
    console = Console(quiet)
    with guarded(console, debug):
        from ..report import ask, ran_out

        fixed, ranges = settings(fix, range_)
        writable(out)
        with console.step(f"reading {model} and {data}"):
            question = ask(model, data, target=target, free=free or (), at=at, fix=fixed, ranges=ranges, trim=trim,
                           class_names=listed(class_names), columns=listed(columns), drop=listed(drop) or (),
                           skip_unusable=skip_unusable, link=link)
        for note in question.notes:
            console.remark(f"note: {note}")
        atlas = _enumerated(console, question, out, max_regions=max_regions, max_seconds=max_seconds, threads=threads)
        if len(atlas) == 0:
            typer.echo(f"no region was finished within the budget: {ran_out(atlas)}", err=True)
            raise typer.Exit(PARTIAL)
        _report(console, question, atlas, out, proof_seconds, threads)
        if not atlas.is_complete:
            typer.echo(f"done in part: {ran_out(atlas)}", err=True)
            raise typer.Exit(PARTIAL)


def _enumerated(console: Console, question: Question, out: Path, **budgets) -> Atlas:
    """Every region of the plane; interrupted, what was found is saved and the command ends."""
    from ..atlas import linear_regions
    from ..errors import Interrupted

    try:
        with console.progress("finding regions") as progress:
            return linear_regions(question.network, question.plane, by="class" if question.decides else None, progress=progress, **budgets)
    except Interrupted as stop:
        message = "interrupted before any region was found"
        if stop.partial is not None:
            saved = stop.partial.save(out / "atlas", overwrite=True)
            message = f"interrupted; the {stop.partial.n_regions} regions found until then are in {saved}"
        typer.echo(message, err=True)
        raise typer.Exit(INTERRUPTED) from None


def _report(console: Console, question: Question, atlas: Atlas, out: Path, proof_seconds: float, threads: int | None) -> None:
    """Describe, draw and write; then say the findings and where they are."""
    from ..report import study, write_report

    saved = atlas.save(out / "atlas", overwrite=True)               # first: describing a million regions may be interrupted
    try:
        with console.step("describing and drawing"):
            result = study(question, atlas, proof_seconds=proof_seconds, threads=threads)
            path = write_report(result, out, command="pellucid " + shlex.join(sys.argv[1:]), save_atlas=False)
    except KeyboardInterrupt:
        typer.echo(f"interrupted before the report was written; the regions are in {saved}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    for line in result.findings:
        console.say(line)
    console.say(f"report: {path}")
