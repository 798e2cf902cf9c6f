"""`pellucid resume`: go on with an atlas that a budget, Ctrl-C or a crash left unfinished."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options as o
from .console import INTERRUPTED, Console, guarded
from .regions import done_in_part, summary

EPILOG = """[bold]Examples[/bold]

pellucid regions model.onnx --box 0:1 --free all --stream --to atlas --max-seconds 3600

pellucid resume atlas --max-seconds 3600
"""

MaxRegions = Annotated[int | None, o.option("--max-regions", min=1, panel=o.BUDGET, help="Stop after this many further regions.")]


def resume(
    folder: Annotated[Path, typer.Argument(metavar="DIR", show_default=False, help="The folder of pellucid regions --stream --to DIR.")],
    max_regions: MaxRegions = None,
    max_seconds: o.MaxSeconds = None,
    threads: o.Threads = None,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Go on with an atlas that was streamed to a folder and not finished; nothing that is there is done again."""
    console = Console(quiet)
    with guarded(console, debug):
        from ..atlas import resume as go_on
        from ..errors import Interrupted

        try:
            with console.progress("finding regions") as progress:
                atlas = go_on(folder, max_regions=max_regions, max_seconds=max_seconds, threads=threads, progress=progress)
        except Interrupted as stop:
            summary(console, stop.partial)
            typer.echo(f"interrupted: pellucid resume {folder} goes on", err=True)
            raise typer.Exit(INTERRUPTED) from None
        summary(console, atlas)
        console.say(f"saved in {len(atlas.parts)} parts: {folder}")
        done_in_part(atlas)
