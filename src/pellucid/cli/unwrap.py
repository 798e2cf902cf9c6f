"""`pellucid unwrap`: the local linear models that the rows of a table meet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import asking as q
from . import options as o
from .console import Console, guarded, listed, pairs, writable

if TYPE_CHECKING:
    import pandas as pd

    from ..report import Subject
    from ..unwrap import LocalModels

EPILOG = """[bold]Examples[/bold]

pellucid unwrap model.skops loans.csv --target approved

pellucid unwrap model.onnx train.parquet --target default --test new.parquet --merge auto --out out/unwrap
"""

MERGING = "Merging"

PENALTIES = ("none", "l1", "l2")

MOST_COEFFICIENTS = 50_000_000
"""Numbers in coefficients.csv, beyond which the largest models alone are written; the estimator gives all of them."""


def unwrap(
    model: o.Model,
    data: q.Data,
    target: o.Target = None,
    out: Annotated[Path | None, o.option("--out", "-o", shown="DIR", help="Write tables (CSV) and pictures (PNG) here.")] = None,
    top: Annotated[int, o.option("--top", min=1, help="Regions in the table, the largest first.")] = 15,
    test: Annotated[Path | None, o.option("--test", shown="FILE", help="Rows that the model has not seen: how many have a code that no "
                                          "row of DATA has, and how well the model does on them.")] = None,
    output: Annotated[str | None, o.option("--output", shown="NAME", help="The class or output that is spoken of.")] = None,
    versus: Annotated[str | None, o.option("--versus", shown="NAME", help="Compare it with this one.")] = None,
    expect: Annotated[list[str] | None, o.option("--expect", shown="NAME=up|down", help="Which way a feature should work; on how many "
                                                 "rows it does not is printed.")] = None,
    merge: Annotated[str | None, o.option("--merge", shown="K|auto", panel=MERGING, help="Merge the local models to K, or as many as "
                                          "do best on held-out rows, and refit each on its rows.")] = None,
    penalty: Annotated[str, o.option("--penalty", shown="none|l1|l2", panel=MERGING, help="Penalty of the refitted models.")] = "none",
    strength: Annotated[float, o.option("--strength", min=0.0, panel=MERGING, help="Of the penalty: C (its inverse) for classes, alpha for "
                                        "numbers.")] = 1.0,
    pictures: Annotated[bool, o.option("--pictures/--no-pictures", help="Draw pictures into --out.")] = True,
    class_names: o.ClassNames = None,
    columns: o.Columns = None,
    drop: o.Drop = None,
    skip_unusable: o.SkipUnusable = False,
    link: o.Link = None,
    threads: o.Threads = None,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Take a network apart into the local linear models that the rows of DATA meet.

    Prints the largest regions with their rows, answers and scores, and which features count over all of them; with --merge also a
    few merged models, each refitted on its rows.
    """
    console = Console(quiet)
    with guarded(console, debug):
        if penalty not in PENALTIES:
            raise typer.BadParameter(f"--penalty takes none, l1 or l2, got '{penalty}'")
        clusters, expected = _clusters(merge), _signs(expect)
        if out is not None:
            writable(out)
        subject = q.subject_of(console, model, data, target, class_names, columns, drop, skip_unusable, link)
        from ..report.unwrapped import coefficient_frame, meaning, model_frame, sentences, unwrapped

        with console.step("unwrapping"):
            told = unwrapped(subject.network, subject.rows.X, subject.answers.y, top=top, output=output, versus=versus,
                             expected=expected, threads=threads)
        for line in sentences(told):
            console.say(line)
        console.say("the network: " + ", ".join(f"{name} {value:.4g}" for name, value in told.summary.performance.items()))
        largest = f"The {len(told.summary):,} largest of {told.summary.n_regions:,} regions"
        _table(console, largest + meaning(subject.network), told.summary.to_frame().reset_index())
        _table(console, f"Joint importance, {told.importance.label}", told.importance.to_frame().head(12))
        if expected:
            found = told.summary.signs.to_frame()
            _table(console, "Features of which a sign is expected", found[found["expected"] != ""])
        tested = None if test is None else _tested(console, told.estimator, subject, test, target, columns, drop, skip_unusable)
        merged = None if merge is None else _merged(console, subject, told, clusters, penalty, strength, tested)
        if out is not None:
            tables = {"regions": told.estimator.summary().to_frame().reset_index(), "importance": told.importance.to_frame(),
                      "coefficients": coefficient_frame(_fitting(told.models))}
            if merged is not None:
                models = merged.local_models()
                tables |= {"merged_models": model_frame(models), "merged_coefficients": coefficient_frame(models)}
            _write(console, out, tables)
            if pictures:
                with console.step("drawing"):
                    _draw(out, told.estimator, merged, output, versus, tested)
            console.say(f"saved: {out}")


def _clusters(merge: str | None) -> int | str:
    if merge is None or merge == "auto":
        return "auto"
    if not merge.isdigit() or int(merge) < 1:
        raise typer.BadParameter(f"--merge takes a number of models from 1, or auto; got '{merge}'")
    return int(merge)


def _signs(expect: list[str] | None) -> dict[str, int]:
    """--expect, read."""
    ways = {"up": 1, "down": -1}
    given = pairs(expect, "--expect")
    for name, way in given.items():
        if way not in ways:
            raise typer.BadParameter(f"--expect takes NAME=up or NAME=down, got '{name}={way}'")
    return {name: ways[way] for name, way in given.items()}


def _table(console: Console, title: str, frame: pd.DataFrame) -> None:
    console.say(f"\n{title}")
    console.say(frame.to_string(index=False, na_rep="-", float_format=lambda v: f"{v:.4g}"))


def _tested(console: Console, estimator, subject: Subject, test: Path, target, columns, drop, skip_unusable) -> tuple[Any, Any]:
    """Share of unseen codes, and the model's score, on other rows; gives these (X, y)."""
    import numpy as np

    from ..report import match_rows, read_table
    from ..report.target import read_answers
    from ..report.unwrapped import answered

    rows = match_rows(subject.network, read_table(test), target=target, columns=listed(columns), drop=listed(drop) or (),
                      skip_unusable=skip_unusable)
    answers = read_answers(subject.network, None if target is None else rows.frame[target], subject.network.class_names or None)
    group = estimator.groups(rows.X)
    console.say(f"\n{np.mean(group < 0):.1%} of the {len(group):,} rows of {test.name} have a code that no row of {subject.data.name} has")
    return answered(subject.network, rows.X, answers.y)


def _merged(console: Console, subject: Subject, told, clusters: int | str, penalty: str, strength: float, tested):
    """The merged models, fitted and told."""
    from ..report.unwrapped import answered, model_frame
    from ..unwrap.merged import MergedClassifier, MergedRegressor

    classes = subject.network.n_classes > 0
    kind, name = (MergedClassifier, "C") if classes else (MergedRegressor, "alpha")
    X, values = answered(subject.network, subject.rows.X, subject.answers.y)
    with console.step("merging"):
        merged = kind(told.estimator.network_, n_clusters=clusters, penalty=None if penalty == "none" else penalty, **{name: strength})
        merged.fit(X, values)
    models: LocalModels = merged.local_models()
    _table(console, f"{len(models)} merged models, refitted by a {'logistic' if classes else 'linear'} model"
                    f"{'' if penalty == 'none' else f' with penalty {penalty}'}", model_frame(models))
    measure = "accuracy" if classes else "R2"
    scores = [("DATA", X, values), *([("--test", *tested)] if tested is not None else [])]
    for where, rows, y in scores:
        console.say(f"{measure} on {where}: network {told.estimator.score(rows, y):.4f}, merged models {merged.score(rows, y):.4f}")
    return merged


def _fitting(models: LocalModels) -> LocalModels:
    """The largest models that the table has room for."""
    from dataclasses import fields, replace

    import numpy as np

    K, c, d = models.coef.shape
    most = max(1, MOST_COEFFICIENTS // (c * (d + 2)))
    if most >= K:
        return models
    return replace(models, **{f.name: v[:most] for f in fields(models) if isinstance(v := getattr(models, f.name), np.ndarray)})


def _write(console: Console, out: Path, tables: dict[str, pd.DataFrame]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name, frame in tables.items():
        frame.to_csv(out / f"{name}.csv", index=False)


def _draw(out: Path, estimator, merged, output, versus, tested) -> None:
    """Every picture that the network has, each closed once it is written."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from .. import plots

    folder = out / "pictures"
    folder.mkdir(exist_ok=True)
    asked = {"output": output, "versus": versus}
    for prefix, models in (("", estimator), ("merged_", merged)):
        if models is None:
            continue
        made = {"profile": lambda m: plots.profile(m, **asked), "intercepts": lambda m: plots.intercept_profile(m, **asked),
                "importance": lambda m: plots.joint_importance(m, **asked), "parallel": lambda m: plots.parallel_coordinates(m, **asked),
                "coefficients": lambda m: plots.coefficients(m, **asked), "polar": lambda m: plots.polar(m, **asked),
                "performance": plots.performance}
        d = estimator.network_.n_inputs
        if d <= 2:
            made["local_models"] = lambda m: plots.local_models(m, **asked)
        if d == 2:
            made["regions"] = lambda m: plots.data_regions(m, **asked)
        if d >= 2:
            made["rows"] = lambda m: plots.region_rows(m, **asked)
        for name, make in made.items():
            plots.save(make(models), folder / f"{prefix}{name}.png", dpi=150)
            plt.close("all")
    if tested is not None:
        plots.save(plots.unseen_codes(estimator, tested[0]), folder / "unseen_codes.png", dpi=150)
        plt.close("all")
