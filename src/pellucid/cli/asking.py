"""What the commands that ask one question share: reading a model with its data, choosing a row and a domain, telling the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as o
from .console import PARTIAL, Console, listed

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from ..certificate import Certificate
    from ..geometry import Box
    from ..graph import Network
    from ..report import Subject

DOMAIN = "The domain: the bounding box of the data"

Data = Annotated[Path, typer.Argument(metavar="DATA", show_default=False, help="Rows: .csv, .csv.gz, .tsv or .parquet.")]
Row = Annotated[int, o.option("--row", shown="N", min=0, help="The row of DATA that is asked about; the first after the header is 0.")]
Fix = Annotated[list[str] | None, o.option("--fix", shown="NAME=VALUE", panel=DOMAIN, help="Let a feature stand at this value.")]
Range = Annotated[list[str] | None, o.option("--range", shown="NAME=LOW:HIGH", panel=DOMAIN, help="Take this range for a feature.")]
Trim = Annotated[float, o.option("--trim", shown="PERCENT", panel=DOMAIN, help="Leave out this share of extreme values at either end.")]
Whole = Annotated[str | None, o.option("--integer", shown="A,B|none", panel=DOMAIN, help="Features that are whole numbers; default: those "
                                       "that are whole in every row of DATA.")]
Seconds = Annotated[float, o.option("--max-seconds", min=0.0, panel=o.BUDGET, help="Stop after this time with what is known by then.")]
Out = Annotated[Path | None, o.option("--out", "-o", shown="FILE", help="Save the answer here: .json (with the certificate), .csv or "
                                      ".parquet (its table).")]


def subject_of(console: Console, model: Path, data: Path, target: str | None, class_names: str | None, columns: str | None,
               drop: str | None, skip_unusable: bool, link: str | None) -> Subject:
    """The model fitted to the rows of the data, from the options as they were given; what a reader has to know is remarked."""
    from ..report import read

    with console.step(f"reading {model} and {data}"):
        subject = read(model, data, target=target, class_names=listed(class_names), columns=listed(columns), drop=listed(drop) or (),
                       skip_unusable=skip_unusable, link=link)
    for note in subject.notes:
        console.remark(f"note: {note}")
    return subject


def domain_of(subject: Subject, fixed: Mapping[str, float], ranges: Mapping[str, tuple[float, float]], trim: float) -> Box:
    """The bounding box of the rows; features of `fixed` stand still."""
    return subject.box(trim=trim, ranges={**ranges, **{name: (value, value) for name, value in fixed.items()}})


def row_of(subject: Subject, number: int) -> np.ndarray:
    """The inputs of one row, by its number among those that were read."""
    from ..errors import DataError

    if number >= len(subject.rows):
        raise DataError(f"--row {number}: the data has rows 0 to {len(subject.rows) - 1}")
    return subject.rows.X[number]


def whole_numbers(subject: Subject, asked: str | None) -> tuple[str, ...]:
    """The features that count: those asked for, or numbers that are whole in every row."""
    from ..report import whole_features

    if asked is not None:
        return () if asked == "none" else tuple(listed(asked) or ())
    return whole_features(subject)


def categories(net: Network) -> tuple[list[list[str]], list[list[str]]]:
    """The one-hot inputs of each categorical column: groups of which exactly one is 1, and groups of which at most one is."""
    whole, part = [], []
    for source, known in ({} if net.table is None else net.table.known).items():
        columns = [c for c in net.table.columns if c.source == source and c.values is not None]
        covered = {v for c in columns for v in c.values}
        (whole if covered == set(known) else part).append([c.name for c in columns])
    return whole, part


def stretched(box: Box, x: np.ndarray) -> Box:
    """The box, made to hold x."""
    import numpy as np

    from ..geometry import Box

    return Box(np.minimum(box.lower, x), np.maximum(box.upper, x), box.names, A=box.A, b=box.b)


def tell(console: Console, answer, out: Path | None, *, frame: pd.DataFrame | None = None, rows: int = 30) -> None:
    """The answer's line, its table and what is proved; saved where asked. Ends the command with 3 where it was not decided."""
    from ..certificate import Status

    table = frame is not None
    frame = answer.to_frame() if frame is None else frame
    console.say(repr(answer))
    if len(frame):
        console.say(frame.head(rows).to_string(index=False, na_rep="-", float_format=lambda v: f"{v:.6g}"))
    if len(frame) > rows:
        console.say(f"... {len(frame) - rows} more rows; --out FILE.csv writes all")
    certificate: Certificate | None = getattr(answer, "certificate", None)
    if certificate is not None:
        console.say(str(certificate))
    if out is not None:
        console.say(f"saved: {_saved(None if table else answer, frame, out)}")
    if certificate is not None and certificate.status is Status.UNKNOWN:
        typer.echo("not decided: give it more time (--max-seconds) or a smaller domain (--range, --fix)", err=True)
        raise typer.Exit(PARTIAL)


def _saved(answer, frame: pd.DataFrame, out: Path) -> Path:
    """The table as .csv or .parquet, all else as .json: the whole answer where it can be saved."""
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".csv":
        frame.to_csv(out, index=False)
    elif out.suffix == ".parquet":
        frame.to_parquet(out, index=False)
    elif hasattr(answer, "save"):
        answer.save(out)
    else:
        out.write_text(json.dumps(json.loads(frame.to_json(orient="records")), indent=1) + "\n")
    return out
