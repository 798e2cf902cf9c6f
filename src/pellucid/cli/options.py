"""Options that several commands share, with their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

PLANE, BUDGET = "The plane", "Budgets"


def option(*names: str, shown: str | None = None, panel: str | None = None, **more: Any) -> Any:
    """A typer option that is shown with this placeholder, in this panel of the help; more: its help, bounds, callback."""
    return typer.Option(*names, metavar=shown, rich_help_panel=panel, **more)


Model = Annotated[Path, typer.Argument(metavar="MODEL", show_default=False,
                                       help="The network: .onnx, .keras, .skops, or .npz (written by Network.save).")]
Target = Annotated[str | None, option("--target", "-t", shown="COLUMN", help="The column of DATA that holds the right answer.")]
Free = Annotated[list[str] | None, option("--free", shown="F1,F2", panel=PLANE, help="The two features that move.")]
Fix = Annotated[list[str] | None, option("--fix", shown="NAME=VALUE", panel=PLANE, help="Let a feature stand at this value.")]
Range = Annotated[list[str] | None, option("--range", shown="NAME=LOW:HIGH", panel=PLANE, help="Take this range for a feature.")]
Trim = Annotated[float, option("--trim", shown="PERCENT", panel=PLANE,
                               help="Leave out this share of extreme values at either end of every feature's range.")]
Columns = Annotated[str | None, option("--columns", shown="A,B,...", help="The columns that are the model's inputs, in its order.")]
Drop = Annotated[str | None, option("--drop", shown="A,B,...", help="Columns that are no inputs, such as a row number.")]
SkipUnusable = Annotated[bool, option("--skip-unusable", help="Leave out rows with missing values or unknown categories, "
                                      "instead of refusing them.")]
ClassNames = Annotated[str | None, option("--class-names", shown="A,B,...", help="Names of the classes, in the order of the outputs.")]
Link = Annotated[str | None, option("--link", shown="LINK", help="What follows the outputs: identity, softmax or sigmoid. "
                                    "Needed where the file leaves it out, as for a net trained on logits.")]
MaxRegions = Annotated[int, option("--max-regions", min=1, panel=BUDGET, help="Stop after this many regions.")]
MaxSeconds = Annotated[float | None, option("--max-seconds", min=0.0, panel=BUDGET, help="Stop enumerating after this time.")]
Threads = Annotated[int | None, option("--threads", min=1, panel=BUDGET, help="Threads; default: PELLUCID_THREADS or all cores.")]
Quiet = Annotated[bool, option("--quiet", "-q", help="Say nothing but errors.")]
Debug = Annotated[bool, option("--debug", help="Show tracebacks.")]
