"""`pellucid counterfactual`: the nearest row that the model decides otherwise."""

from __future__ import annotations

from typing import Annotated

import typer

from . import asking as q
from . import options as o
from .console import Console, guarded, listed, pairs, settings

EPILOG = """[bold]Examples[/bold]

pellucid counterfactual model.skops loans.csv --target approved --row 17 --to yes --fixed age,sex

pellucid counterfactual model.onnx wine.csv --target quality --row 3 --norm inf --number 3 --out nearest.json
"""


def counterfactual(
    model: o.Model,
    data: q.Data,
    row: q.Row,
    to: Annotated[str | None, o.option("--to", shown="CLASS", help="The class that is wanted; default: any other one.")] = None,
    fixed: Annotated[str | None, o.option("--fixed", shown="A,B,...", help="Features that have to stay as they are.")] = None,
    only: Annotated[list[str] | None, o.option("--only", shown="NAME=up|down", help="A feature that may only rise, or only fall.")] = None,
    norm: Annotated[str, o.option("--norm", "-p", shown="0|1|2|inf", help="Distance: how many features change (0), the sum of changes (1), "
                                  "their root mean square (2) or the largest (inf), in ranges of the data.")] = "1",
    margin: Annotated[float, o.option("--margin", min=0.0, help="By how many logits the wanted class has to lead.")] = 0.0,
    number: Annotated[int, o.option("--number", "-n", min=1, help="How many, each of which changes other features.")] = 1,
    integer: q.Whole = None,
    fix: q.Fix = None,
    range_: q.Range = None,
    trim: q.Trim = 0.0,
    target: o.Target = None,
    class_names: o.ClassNames = None,
    columns: o.Columns = None,
    drop: o.Drop = None,
    skip_unusable: o.SkipUnusable = False,
    link: o.Link = None,
    max_seconds: q.Seconds = 300.0,
    out: q.Out = None,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Find the nearest row that gets another class, and prove that none is nearer.

    The other row lies within the ranges of DATA, has whole numbers and categories where the data have them, and is told in the
    model's original columns.
    """
    console = Console(quiet)
    with guarded(console, debug):
        from ..explain import counterfactual as nearest

        if norm not in ("0", "1", "2", "inf"):
            raise typer.BadParameter(f"--norm takes 0, 1, 2 or inf, got '{norm}'")
        settled, ranges = settings(fix, range_)
        subject = q.subject_of(console, model, data, target, class_names, columns, drop, skip_unusable, link)
        x = q.row_of(subject, row)
        with console.step("searching the nearest row"):
            answer = nearest(subject.network, x, to, domain=q.stretched(q.domain_of(subject, settled, ranges, trim), x), p=float(norm),
                             fixed=listed(fixed) or (), integer=q.whole_numbers(subject, integer), monotone=pairs(only, "--only"),
                             margin=margin, n=number, max_seconds=max_seconds)
        q.tell(console, answer, out)
