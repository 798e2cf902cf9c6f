"""`pellucid fair`: does any decision change with protected features alone?"""

from __future__ import annotations

from typing import Annotated

from . import asking as q
from . import options as o
from .console import Console, guarded, listed, settings

EPILOG = """[bold]Examples[/bold]

pellucid fair model.skops loans.csv --target approved --protected sex,age
"""


def fair(
    model: o.Model,
    data: q.Data,
    protected: Annotated[str, o.option("--protected", shown="A,B,...", help="The features that must not count by themselves.")],
    margin: Annotated[float, o.option("--margin", min=0.0, help="Decisions that lead by fewer logits do not count.")] = 0.0,
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
    """Prove that no decision changes when only protected features do, or show two rows that are decided differently.

    Rows are all those within the ranges of DATA, whole numbers and categories where the data have them.
    """
    console = Console(quiet)
    with guarded(console, debug):
        from ..explain import fair as ask

        settled, ranges = settings(fix, range_)
        subject = q.subject_of(console, model, data, target, class_names, columns, drop, skip_unusable, link)
        box = q.domain_of(subject, settled, ranges, trim)
        with console.step("comparing decisions"):
            answer = ask(subject.network, listed(protected) or (), box, margin=margin, integer=q.whole_numbers(subject, integer),
                         max_seconds=max_seconds)
        q.tell(console, answer, out)
