"""`pellucid regions`: enumerate, save, print a summary."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as o
from .console import INTERRUPTED, PARTIAL, Console, guarded, interval, listed, settings

if TYPE_CHECKING:
    from ..atlas import Atlas, StreamedAtlas
    from ..geometry import Box, Slice
    from ..graph import Network

EPILOG = """[bold]Examples[/bold]

pellucid regions model.onnx --box 0:1 --free x1,x2 --fix x3=0.2 --by class --out atlas

pellucid regions model.skops --data loans.csv --free age,income --at median

pellucid regions model.onnx --box 0:1 --free all --stream --to atlas
"""


MaxRegions = Annotated[int | None, o.option("--max-regions", min=1, panel=o.BUDGET, help="Stop after this many regions; default: 10 "
                                            "million, none with --stream.")]
IN_MEMORY = 10_000_000


def regions(
    model: o.Model,
    free: o.Free = None,
    box: Annotated[str | None, o.option("--box", shown="LOW:HIGH", panel=o.PLANE, help="Range of every feature.")] = None,
    data: Annotated[Path | None, o.option("--data", shown="DATA", panel=o.PLANE, help="Rows whose bounding box is the range.")] = None,
    at: Annotated[str | None, o.option("--at", shown="centre|median|mean|row:N", panel=o.PLANE,
                                       help="Where the others stand; default: the centre of the box, with --data the median.")] = None,
    fix: o.Fix = None,
    range_: o.Range = None,
    trim: o.Trim = 0.0,
    by: Annotated[str | None, o.option("--by", shown="class|top2", help="Also split regions by the class given, or the first two.")] = None,
    threshold: Annotated[float, o.option("--threshold", help="Probability from which a single sigmoid output gives its class.")] = 0.5,
    out: Annotated[Path | None, o.option("--out", "--to", "-o", shown="DIR",
                                         help="Save the atlas here; .csv or .parquet: its table.")] = None,
    stream: Annotated[bool, o.option("--stream", help="Write regions to the folder --to as they are found: for atlases larger than "
                                     "memory. Whatever ends the run, [bold]pellucid resume DIR[/bold] goes on.")] = False,
    estimate: Annotated[bool, o.option("--estimate", help="Only estimate how many regions there are, and what they would cost.")] = False,
    target: o.Target = None,
    class_names: o.ClassNames = None,
    columns: o.Columns = None,
    drop: o.Drop = None,
    skip_unusable: o.SkipUnusable = False,
    link: o.Link = None,
    max_regions: MaxRegions = None,
    max_seconds: o.MaxSeconds = None,
    threads: o.Threads = None,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Find every linear region of a network over a plane, save them as an atlas, and print a summary.

    With --free all and --box, all features move.
    """
    console = Console(quiet)
    with guarded(console, debug):
        from ..atlas import linear_regions
        from ..errors import Interrupted

        if stream and (out is None or out.suffix in (".csv", ".parquet")):
            raise typer.BadParameter("--stream writes to a folder: name it by --to DIR")
        if (box is None) == (data is None):
            raise typer.BadParameter("give the range of the features, either by --box LOW:HIGH or by --data FILE")
        if data is None and (target or columns or drop or skip_unusable or trim):
            raise typer.BadParameter("--target, --columns, --drop, --skip-unusable and --trim speak of the rows of --data")
        fixed, ranges = settings(fix, range_)
        names = listed(class_names)
        with console.step(f"reading {model}"):
            if box is not None:
                net, plane = _boxed(model, interval(box, "--box"), free or (), at or "centre", fixed, ranges, link, names)
            else:
                net, plane = _of_data(model, data, free=free or (), at=at or "median", fix=fixed, ranges=ranges, trim=trim, link=link,
                                      class_names=names, target=target, columns=listed(columns), drop=listed(drop) or (),
                                      skip_unusable=skip_unusable)
        if estimate:
            from ..explain import estimate_regions

            console.say(repr(estimate_regions(net, plane, by=by, threshold=threshold)))
            return
        if max_regions is None and not stream:
            max_regions = IN_MEMORY
        try:
            with console.progress("finding regions") as progress:
                atlas = linear_regions(net, plane, by=by, threshold=threshold, max_regions=max_regions, max_seconds=max_seconds,
                                       threads=threads, progress=progress, to=out if stream else None)
        except Interrupted as stop:
            if stop.partial is not None:
                summary(console, stop.partial)
                _save(console, stop.partial, out, stream)
            typer.echo("interrupted" + (": this is what was found until then" if stop.partial is not None else ""), err=True)
            raise typer.Exit(INTERRUPTED) from None
        summary(console, atlas)
        _save(console, atlas, out, stream)
        done_in_part(atlas)


def done_in_part(atlas: Atlas | StreamedAtlas) -> None:
    """Where a budget ran out, say so and end with that code."""
    if atlas.is_complete:
        return
    from ..atlas import Atlas
    from ..report import ran_out

    planar = isinstance(atlas, Atlas) and atlas.is_planar
    typer.echo(f"done in part: {ran_out(atlas) if planar else atlas.certificate.reason}", err=True)
    raise typer.Exit(PARTIAL)


def _boxed(model: Path, bounds: tuple[float, float], free, at: str, fix, ranges, link, class_names) -> tuple[Network, Box | Slice]:
    """The network, and the plane through the box's centre (moved by `fix`); with free = all, the box."""
    import numpy as np

    from ..geometry import Box, Slice
    from ..importers import load
    from ..report import chosen_features, feature_number

    if at != "centre":
        raise typer.BadParameter(f"--at {at} speaks of the rows of --data; with --box use --fix NAME=VALUE")
    net = load(model, link=link, class_names=class_names)
    lower, upper = (np.full(net.n_inputs, b) for b in bounds)
    for name, (low, high) in ranges.items():
        lower[feature_number(net, name)], upper[feature_number(net, name)] = low, high
    x0 = (lower + upper) / 2
    for name, value in fix.items():
        x0[feature_number(net, name)] = value
    if list(free) == ["all"]:
        for name in fix:
            lower[feature_number(net, name)] = upper[feature_number(net, name)] = fix[name]
        return net, Box(lower, upper, net.feature_names)
    pair = chosen_features(net, free) if free or net.n_inputs != 2 else (0, 1)
    box = Box(np.minimum(lower, x0), np.maximum(upper, x0), net.feature_names)
    plane = box.slice(free=pair, at=x0)
    assert isinstance(plane, Slice)
    return net, plane


def _of_data(model: Path, data: Path, **how) -> tuple[Network, Slice]:
    """The network, and the plane through the data as `pellucid explain` would choose it."""
    from ..report import ask

    question = ask(model, data, **how)
    return question.network, question.plane


def summary(console: Console, atlas: Atlas | StreamedAtlas) -> None:
    """Counts, areas, and the share of each class."""
    what = f"{atlas.n_regions} linear regions" + (f" in {len(atlas)} pieces by {atlas.by}" if atlas.by else "")
    lower, upper = atlas.domain.bounds
    plane = " x ".join(f"{axis} {a:g}..{b:g}" for axis, a, b in zip(atlas.domain.axes, lower, upper, strict=True))
    console.say(f"{what} over {plane}")
    if atlas.is_complete:
        console.say(atlas.certificate.reason)
    for name, share in _shares(atlas) if atlas.by else ():
        console.say(f"  {share:7.2%}  {name}")


def _shares(atlas: Atlas | StreamedAtlas) -> list[tuple[str, float]]:
    """(class, share of the area or volume), the largest first; none where volumes are not known."""
    from ..atlas import StreamedAtlas
    from ..report import class_shares

    if isinstance(atlas, StreamedAtlas):
        table = atlas.by_class()
        return sorted(zip(table["class"], table["share"], strict=True), key=lambda row: -row[1]) if "share" in table else []
    return class_shares(atlas) if atlas.is_planar or atlas.cells.volume is not None else []


def _save(console: Console, atlas: Atlas | StreamedAtlas, out: Path | None, streamed: bool) -> None:
    if out is None:
        return
    if streamed:
        console.say(f"saved in {len(atlas.parts)} parts: {out}")
        return
    if out.suffix in (".csv", ".parquet"):
        out.parent.mkdir(parents=True, exist_ok=True)
        frame = atlas.to_frame()
        frame.to_csv(out, index=False) if out.suffix == ".csv" else frame.to_parquet(out, index=False)
    else:
        atlas.save(out, overwrite=True)
    console.say(f"saved: {out}")
