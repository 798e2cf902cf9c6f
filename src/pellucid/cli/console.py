"""What all commands share: messages, progress, and from exceptions to exit codes."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..errors import DataError

if TYPE_CHECKING:
    from ..regions import Progress

WRONG_INPUT, PARTIAL, INTERRUPTED, BUG = 2, 3, 130, 1


class Console:
    """Where a command speaks: results to stdout, remarks and progress to stderr, nothing of either with quiet."""

    def __init__(self, quiet: bool = False):
        self.quiet = quiet

    def say(self, text: str = "") -> None:
        """A line of the result."""
        if not self.quiet:
            typer.echo(text)

    def remark(self, text: str) -> None:
        """A line about the work, apart from its result."""
        if not self.quiet:
            typer.echo(text, err=True)

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[None]:
        """A spinner with these words while something runs, on a terminal."""
        if self.quiet or not sys.stderr.isatty():
            yield
            return
        from rich.console import Console as Rich

        with Rich(stderr=True).status(what):
            yield

    @contextlib.contextmanager
    def progress(self, what: str) -> Iterator[Callable | None]:
        """A progress bar on a terminal: gives the function that `linear_regions(progress=...)` calls, or None."""
        if self.quiet or not sys.stderr.isatty():
            yield None
            return
        from rich.console import Console as Rich
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
                   TextColumn("{task.fields[reached]}"), TimeElapsedColumn())
        with Progress(*columns, console=Rich(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=1.0, reached="")
            yield lambda p: bar.update(task, completed=p.share, reached=reached(p))


def reached(p: Progress) -> str:
    """What a run has found, and what is still to come: an estimate, from what is done."""
    found = f"{p.regions:,} regions"
    if not 0.001 < p.share < 1:
        return found
    return f"{found} of about {float(f'{p.expected:.2g}'):,.0f}, about {_duration(p.remaining)} left"


def _duration(seconds: float) -> str:
    if not seconds < 100 * 3600:
        return "days"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"


@contextlib.contextmanager
def guarded(console: Console, debug: bool) -> Iterator[None]:
    """Exceptions as messages on stderr and exit codes; with debug they pass through, with their traceback."""
    from ..errors import PellucidError

    try:
        yield
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except KeyboardInterrupt:
        if debug:
            raise
        _stop("interrupted", INTERRUPTED)
    except PellucidError as e:
        if debug:
            raise
        _stop(f"error: {e}", WRONG_INPUT)
    except (ValueError, OSError) as e:
        if debug:
            raise
        _stop(f"error: {e}", WRONG_INPUT)
    except Exception as e:
        if debug:
            raise
        _stop(f"pellucid met a bug of its own: {type(e).__name__}: {e}\n"
              "  To go on       run it again with --debug and report the traceback", BUG)


def _stop(message: str, code: int) -> None:
    typer.echo(message, err=True)
    raise typer.Exit(code)


def writable(folder: Path) -> None:
    """Can the folder be made and written? Asked before the work, nothing is made; DataError saying what to do where it cannot."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK):
        reason = f"{place} is no folder" if not place.is_dir() else f"{place} is read-only"
        raise DataError(f"--out {folder} cannot be made a folder ({reason}): give a folder that can be written")


def pairs(given: list[str] | None, option: str) -> dict[str, str]:
    """NAME=VALUE options as a dict."""
    out = {}
    for item in given or ():
        name, equals, value = item.rpartition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{option} takes NAME=VALUE, got '{item}'")
        out[name.strip()] = value.strip()
    return out


def interval(text: str, option: str) -> tuple[float, float]:
    """LO:HI as two numbers."""
    low, colon, high = text.partition(":")
    try:
        bounds = float(low), float(high)
    except ValueError:
        bounds = (1.0, 0.0)
    if not colon or not bounds[0] < bounds[1]:
        raise typer.BadParameter(f"{option} takes LOW:HIGH with LOW below HIGH, got '{text}'")
    return bounds


def number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError as e:
        raise typer.BadParameter(f"{option} takes a number, got '{text}'") from e


def settings(fix: list[str] | None, ranges: list[str] | None) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """--fix and --range, read."""
    fixed = {name: number(value, "--fix") for name, value in pairs(fix, "--fix").items()}
    return fixed, {name: interval(value, "--range") for name, value in pairs(ranges, "--range").items()}


def listed(text: str | None) -> list[str] | None:
    """a,b,c as a list."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]
