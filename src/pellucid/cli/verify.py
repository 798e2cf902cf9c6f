"""`pellucid verify`: does a property hold at every point of a domain?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import asking as q
from . import options as o
from .console import Console, guarded

EPILOG = """[bold]Examples[/bold]

pellucid verify ACASXU_run2a_1_1.onnx prop_3.vnnlib --max-seconds 60

pellucid verify mnist.onnx prop_1_0.05.vnnlib --out answer.json
"""

Property = Annotated[Path, typer.Argument(metavar="PROPERTY", show_default=False, help="What is unsafe, and where: a .vnnlib file (or "
                                          ".vnnlib.gz).")]
Split = Annotated[str, o.option("--split", shown="auto|inputs|units", help="What is split: boxes of inputs (few inputs), or hidden units.")]
MaxNodes = Annotated[int | None, o.option("--max-nodes", min=0, panel=o.BUDGET, help="Stop after this many nodes of the tree.")]
Double = Annotated[bool, o.option("--double", help="Bounds in float64: half as fast, for margins that rounding of float32 leaves open.")]


def verify(
    model: o.Model,
    property_: Property,
    split: Split = "auto",
    double: Double = False,
    link: o.Link = None,
    max_seconds: q.Seconds = 300.0,
    max_nodes: MaxNodes = None,
    out: q.Out = None,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Prove that no point of the domain is unsafe, or show one that is, replayed in the model's own runtime.

    Says proved (no unsafe point: "unsat" in competitions), refuted ("sat") or unknown. Needs the extra \\[torch].
    """
    console = Console(quiet)
    with guarded(console, debug):
        import torch

        from ..bounding import verify as ask
        from ..importers.load import load

        with console.step(f"reading {model}"):
            net = load(model, link=link)
        with console.step("searching"):
            verdict = ask(net, property_, split=split, max_seconds=max_seconds, max_nodes=max_nodes, original=model,
                          dtype=torch.float64 if double else None)
        if verdict.confirmed is False:
            console.remark("note: the model's own runtime does not find the counterexample unsafe: it lies within rounding")
        q.tell(console, verdict, out)
