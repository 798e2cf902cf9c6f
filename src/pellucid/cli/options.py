"""Options that several commands share, with their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PLANE, BUDGET = "The plane", "Budgets"

Model = Annotated[Path, typer.Argument(metavar="MODEL", show_default=False,
                                       help="The network: .onnx, .keras, .skops, or .npz (written by Network.save).")]
Free = Annotated[list[str], typer.Option("--free", metavar="F1,F2", rich_help_panel=PLANE, help="The two features that move.")]
Fix = Annotated[list[str], typer.Option("--fix", metavar="NAME=VALUE", rich_help_panel=PLANE, help="Let a feature stand at this value.")]
Range = Annotated[list[str], typer.Option("--range", metavar="NAME=LOW:HIGH", rich_help_panel=PLANE, help="Take this range for a feature.")]
Trim = Annotated[float, typer.Option("--trim", metavar="PERCENT", rich_help_panel=PLANE,
                                     help="Leave out this share of extreme values at either end of every feature's range.")]
Columns = Annotated[str | None, typer.Option("--columns", metavar="A,B,...", help="The columns that are the model's inputs, in its order.")]
Drop = Annotated[str | None, typer.Option("--drop", metavar="A,B,...", help="Columns that are no inputs, such as a row number.")]
SkipUnusable = Annotated[bool, typer.Option("--skip-unusable", help="Leave out rows with missing values or unknown categories instead of refusing them.")]
ClassNames = Annotated[str | None, typer.Option("--class-names", metavar="A,B,...", help="Names of the classes, in the order of the outputs.")]
Link = Annotated[str | None, typer.Option("--link", metavar="LINK", help="What follows the outputs: identity, softmax or sigmoid. "
                                          "Needed where the file leaves it out, as for a net trained on logits.")]
MaxRegions = Annotated[int, typer.Option("--max-regions", min=1, rich_help_panel=BUDGET, help="Stop after this many regions.")]
MaxSeconds = Annotated[float | None, typer.Option("--max-seconds", min=0.0, rich_help_panel=BUDGET, help="Stop enumerating after this time.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, rich_help_panel=BUDGET, help="Threads; default: PELLUCID_THREADS or all cores.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
