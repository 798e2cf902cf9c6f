"""`pellucid monotone`: which features move the answer one way only."""

from __future__ import annotations

from typing import Annotated

import typer

from . import asking as q
from . import options as o
from .console import Console, guarded, settings

EPILOG = """[bold]Examples[/bold]

pellucid monotone model.skops loans.csv --target approved

pellucid monotone model.onnx wine.csv --target quality --of decision --feature alcohol
"""


def monotone(
    model: o.Model,
    data: q.Data,
    feature: Annotated[list[str] | None, o.option("--feature", "-f", shown="NAME", help="Ask about this feature; default: all.")] = None,
    of: Annotated[str, o.option("--of", shown="output|probability|decision", help="What is to move one way: an output before its "
                                "softmax or sigmoid, a class's probability, or the class itself, in the order of the classes.")] = "output",
    output: Annotated[str | None, o.option("--output", shown="NAME", help="The output or class; default: the last one.")] = None,
    versus: Annotated[str | None, o.option("--versus", shown="NAME", help="Compare with this output.")] = None,
    direction: Annotated[str | None, o.option("--direction", shown="up|down", help="The way it is to move; default: either.")] = None,
    fix: q.Fix = None,
    range_: q.Range = None,
    trim: q.Trim = 0.0,
    target: o.Target = None,
    class_names: o.ClassNames = None,
    columns: o.Columns = None,
    drop: o.Drop = None,
    skip_unusable: o.SkipUnusable = False,
    link: o.Link = None,
    max_regions: o.MaxRegions = 10_000_000,
    max_seconds: q.Seconds = 300.0,
    threads: o.Threads = None,
    out: q.Out = None,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Say of each feature whether the answer only rises or only falls with it, everything else equal.

    Anywhere within the ranges of DATA: proved, or refuted by rows at which it rises and falls.
    """
    console = Console(quiet)
    with guarded(console, debug):
        from ..explain import monotone as ask_one
        from ..explain import monotone_table

        if direction not in (None, "up", "down"):
            raise typer.BadParameter(f"--direction takes up or down, got '{direction}'")
        settled, ranges = settings(fix, range_)
        subject = q.subject_of(console, model, data, target, class_names, columns, drop, skip_unusable, link)
        net, box = subject.network, q.domain_of(subject, settled, ranges, trim)
        what = {"of": of, "output": net.output_names[-1] if output is None else output, "versus": versus, "direction": direction,
                "max_regions": max_regions, "max_seconds": max_seconds, "threads": threads}
        with console.progress("looking at regions") as progress:
            if feature is not None and len(feature) == 1:
                answer = ask_one(net, feature[0], box, progress=progress, **what)
            else:
                answer = monotone_table(net, box, features=feature, progress=progress, **what)
        q.tell(console, answer, out)
