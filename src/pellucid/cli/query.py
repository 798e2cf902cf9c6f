"""`pellucid query`: the largest or smallest of anything linear in outputs and inputs, under conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import asking as q
from . import options as o
from .console import Console, guarded, settings

if TYPE_CHECKING:
    from ..explain import Constraint, Linear
    from ..graph import Network

EPILOG = """[bold]Examples[/bold]

pellucid query model.skops loans.csv --target approved --maximise yes --where "income <= 20000"

pellucid query model.onnx wine.csv --target quality --minimise "output:7 - output:6" --where "alcohol >= 12" --where "pH <= 3.2"

pellucid query model.onnx wine.csv --target quality --given 9
"""


def query(
    model: o.Model,
    data: q.Data,
    maximise: Annotated[str | None, o.option("--maximise", shown="SUM", help="Find the largest value of a sum of outputs (by the names of "
                                             "classes, before softmax or sigmoid) and features.")] = None,
    minimise: Annotated[str | None, o.option("--minimise", shown="SUM", help="Find the smallest.")] = None,
    given: Annotated[str | None, o.option("--given", shown="CLASS", help="Is this class given anywhere? By how much can it lead?")] = None,
    where: Annotated[list[str] | None, o.option("--where", shown="'SUM <= SUM'", help="A condition on outputs and features.")] = None,
    integer: q.Whole = "none",
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
    threads: o.Threads = None,
    out: q.Out = None,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Find the exact optimum of outputs over the ranges of the data, under conditions, with the row that attains it."""
    console = Console(quiet)
    with guarded(console, debug):
        from .. import explain
        from .expressions import constraint, expression

        if sum(asked is not None for asked in (maximise, minimise, given)) != 1:
            raise typer.BadParameter("give one of --maximise, --minimise and --given")
        settled, ranges = settings(fix, range_)
        subject = q.subject_of(console, model, data, target, class_names, columns, drop, skip_unusable, link)
        net, box = subject.network, q.domain_of(subject, settled, ranges, trim)
        conditions = [constraint(net, text) for text in where or ()]
        if given is not None:
            goal, leads = _lead(net, given)
            conditions += leads
        else:
            goal = expression(net, maximise or minimise or "")
        groups, parts = q.categories(net)
        conditions += [sum(map(explain.feature, group)) <= 1 for group in parts]
        whole = {*q.whole_numbers(subject, integer), *(name for group in parts for name in group)}
        optimum = explain.maximise if minimise is None else explain.minimise
        with console.step("optimising"):
            answer = optimum(net, goal, box, conditions, integer=sorted(whole), one_hot=groups, max_seconds=max_seconds, threads=threads)
        q.tell(console, answer, out)


def _lead(net: Network, asked: str) -> tuple[Linear, list[Constraint]]:
    """The mean lead of a class over the others, and that it is the largest."""
    from .. import explain
    from ..errors import DataError

    if asked not in net.class_names:
        raise DataError(f"--given {asked}: the classes are {', '.join(net.class_names)}")
    if net.n_outputs == 1:
        mine = explain.output(asked)
        return mine, [mine >= 0]
    leads = [explain.output(asked) - explain.output(other) for other in net.output_names if other != asked]
    return sum(leads, start=explain.Linear(())) / len(leads), [lead >= 0 for lead in leads]
