"""The commands, put together. Heavy modules are imported inside the commands, so that --help stays quick."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated

import typer

from . import bounds, counterfactual, eva, explain, fair, local, monotone, query, regions, resume, unwrap, verify
from .doctor import doctor
from .options import option

app = typer.Typer(help="Exact and certified explanation of neural networks.", no_args_is_help=True, add_completion=False,
                  rich_markup_mode="rich", pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]})


def _add(command: Callable, epilog: str | None = None) -> None:
    """Register a command; its docstring's paragraphs become its help, wrapped by the terminal."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    app.command(help="\n\n".join(" ".join(p.split()) for p in paragraphs), epilog=epilog)(command)


_add(explain.explain, explain.EPILOG)
_add(regions.regions, regions.EPILOG)
_add(resume.resume, resume.EPILOG)
_add(local.local, local.EPILOG)
_add(unwrap.unwrap, unwrap.EPILOG)
_add(counterfactual.counterfactual, counterfactual.EPILOG)
_add(monotone.monotone, monotone.EPILOG)
_add(fair.fair, fair.EPILOG)
_add(query.query, query.EPILOG)
_add(bounds.bounds, bounds.EPILOG)
_add(verify.verify, verify.EPILOG)
_add(eva.eva, eva.EPILOG)
_add(doctor)


def _version(asked: bool) -> None:
    if asked:
        from .doctor import own_version

        typer.echo(f"pellucid {own_version()}")
        raise typer.Exit


@app.callback(epilog="Exit codes: 0 done, 1 a bug, 2 wrong input, 3 done in part (a budget ran out), 130 interrupted.")
def _common(version: Annotated[bool, option("--version", callback=_version, is_eager=True, help="Print the version.")] = False) -> None:
    """Exact and certified explanation of neural networks.

    Start with [bold]pellucid explain MODEL DATA.csv --target COLUMN[/bold].
    """
