"""`pellucid local`: what the model is at one row, and how far that holds."""

from __future__ import annotations

from typing import Annotated

from . import asking as q
from . import options as o
from .console import Console, guarded, settings

EPILOG = """[bold]Examples[/bold]

pellucid local model.skops loans.csv --target approved --row 17

pellucid local model.onnx wine.csv --target quality --row 3 --of facets --out facets.csv
"""


def local(
    model: o.Model,
    data: q.Data,
    row: q.Row,
    of: Annotated[str, o.option("--of", shown="weights|facets", help="The table: weights of the features at the row, or the facets of the "
                                "region in which they hold.")] = "weights",
    fix: q.Fix = None,
    range_: q.Range = None,
    trim: q.Trim = 0.0,
    target: o.Target = None,
    class_names: o.ClassNames = None,
    columns: o.Columns = None,
    drop: o.Drop = None,
    skip_unusable: o.SkipUnusable = False,
    link: o.Link = None,
    out: q.Out = None,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Show the linear model that the network is at one row, exactly, the region in which it holds, and what lies beyond."""
    console = Console(quiet)
    with guarded(console, debug):
        import typer

        from ..explain import local_explanation

        if of not in ("weights", "facets"):
            raise typer.BadParameter(f"--of takes weights or facets, got '{of}'")
        settled, ranges = settings(fix, range_)
        subject = q.subject_of(console, model, data, target, class_names, columns, drop, skip_unusable, link)
        x = q.row_of(subject, row)
        with console.step("finding the region"):
            answer = local_explanation(subject.network, x, q.stretched(q.domain_of(subject, settled, ranges, trim), x))
        q.tell(console, answer, out, frame=answer.to_frame(of))
