"""The report: one HTML file that opens offline, with the pictures, the atlas and its table beside it."""

from __future__ import annotations

import os
import platform
from importlib import metadata, resources
from pathlib import Path

from ..certificate import Status
from ..tolerance import GEOMETRIC
from .findings import capital, quantity_name, ran_out
from .pictures import Picture, draw
from .study import Study
from .tables import (
    MOST_ROWS,
    SOME_ROWS,
    abrupt_table,
    enclaves_table,
    outputs_table,
    plane_table,
    regions_table,
    shares_table,
    tipping_table,
    totals_table,
    transitions_table,
)

MOST_CELLS = 30_000_000
"""Numbers in the table of regions, beyond which the weights are left out of it: the atlas gives them back at any time."""


def write_report(study: Study, out: str | os.PathLike, *, command: str = "") -> Path:
    """Write out/report.html, out/atlas, out/regions.parquet and out/pictures; gives the path of the page."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    study.atlas.save(out / "atlas")
    _write_table(study, out / "regions.parquet")
    pictures = draw(study, out / "pictures")
    path = out / "report.html"
    temporary = out / f".report.{os.getpid()}.tmp"
    temporary.write_text(page(study, pictures, command=command), encoding="utf-8")
    os.replace(temporary, path)
    return path


def _write_table(study: Study, path: Path) -> None:
    """One row a region (a piece), with its linear model where that is not too much."""
    net = study.question.network
    fits = len(study.atlas) * net.n_outputs * (net.n_inputs + 1) <= MOST_CELLS
    study.atlas.to_frame(maps=fits).to_parquet(path, index=False)


def page(study: Study, pictures: dict[str, list[Picture]], *, command: str = "") -> str:
    """The page as text."""
    from jinja2 import Environment, StrictUndefined

    source = resources.files(__package__)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=False)
    template = environment.from_string((source / "page.html.j2").read_text(encoding="utf-8"))
    style = (source / "style.css").read_text(encoding="utf-8")
    return template.render(style=_Markup(style), version=_version("pellucid"), **_content(study, pictures, command))


def _Markup(text: str):
    from markupsafe import Markup

    return Markup(text)


def _content(study: Study, pictures: dict[str, list[Picture]], command: str) -> dict:
    question, atlas, (x, y) = study.question, study.atlas, study.axes
    what = question.rows.target or (question.network.output_names[0] if question.network.n_outputs == 1 else "the answer")
    return {
        "title": f"{what} by {x} and {y}",
        "lead": f"An exact explanation of {question.model.name} on {question.data.name} ({len(question.rows):,} rows, {question.network.n_inputs} features)",
        "partial": "" if atlas.is_complete else capital(ran_out(atlas)),
        "notes": question.notes, "findings": study.findings, "quantity": quantity_name(study),
        "how_to_read": _how_to_read(study), "maps": pictures["maps"], "shares": shares_table(study),
        "about_weights": _about_weights(study), "importance": pictures["importance"], "totals": totals_table(study),
        "all_totals": totals_table(study, MOST_ROWS) if question.network.n_inputs > SOME_ROWS else None,
        "weight_notes": study.main.notes, "by_output": outputs_table(study), "about_ranks": _about_ranks(study), "ranks": pictures["ranks"],
        "transitions": transitions_table(study), "enclaves": enclaves_table(study), "tipping": [tipping_table(study, t) for t in study.tipping],
        "abrupt": abrupt_table(study), "about_regions": _about_regions(study), "regions": regions_table(study),
        "facts": _facts(study), "plane": plane_table(study), "summary": question.network.summary(),
        "certified": _certified(study), "uncertified": _uncertified(study), "command": command or "(made from Python)",
        "provenance": _provenance(study),
        "python": "import pellucid as pel\natlas = pel.load_atlas('atlas')\natlas.to_frame()            # every region, with its linear model\n"
                  "pel.describe(atlas).top()   # weights of the features",
    }


# ---- words
def _how_to_read(study: Study) -> str:
    x, y = study.axes
    frame = f"Every point of the map is an input: {x} and {y} vary, all other features stand at {study.question.at}"
    frame += f" (but {', '.join(study.question.fixed)})" if study.question.fixed else ""
    if study.atlas.by:
        return f"{frame}. The colour is the class that the network gives there; thin lines bound the regions on which it is one linear model."
    return f"{frame}. The colour is the network's answer there; thin lines bound the regions on which it is one linear model."


def _about_weights(study: Study) -> str:
    return (f"On each region, {quantity_name(study)} is a linear function of all features. A feature's weight is its slope there times the "
            "feature's range in the data: the change when the feature crosses its range. The total weight is the mean size of the weight over the "
            "area of the plane, so it counts large regions more; signed weights may cancel, their mean stands beside it.")


def _about_ranks(study: Study) -> str:
    return "Rank 1, the darkest, is where no other feature has a larger weight in size."


def _about_regions(study: Study) -> str:
    return (f"On each of these {'pieces' if study.atlas.by else 'regions'} {quantity_name(study)} is exactly one linear function. Its largest terms are printed, rounded to four digits; "
            "regions.parquet and the atlas hold all of them in full.")


def _facts(study: Study) -> list[tuple[str, str]]:
    question, net = study.question, study.question.network
    rows = question.rows
    facts = [("model", f"{question.model} ({net.source})" if net.source else str(question.model)),
             ("network", f"{net.n_inputs} inputs, {net.n_outputs} output{'s' * (net.n_outputs != 1)}, link {net.link}, "
                         f"{int(study.atlas.codes.shape[1]) if len(study.atlas) else 0} units with a kink"),
             ("fidelity", str(net.fidelity) if net.fidelity is not None else "not checked: there was no other runtime to ask"),
             ("data", f"{question.data}, {len(rows):,} rows" + (f" ({rows.skipped:,} more left out for missing values or unknown categories)" if rows.skipped else "")),
             ("columns", f"found {rows.how}"),
             ("not used", ", ".join(rows.ignored) or "none: every column is an input or the target")]
    if rows.target:
        facts.append(("target", rows.target))
    if question.score:
        facts.append(("on the data", str(question.score)))
    facts.append(("the plane", _choice(study)))
    return facts


def _choice(study: Study) -> str:
    question, (x, y) = study.question, study.axes
    how = "as asked" if question.chosen else (
        f"by influence: the mean size of the local linear models' weight times the feature's spread, on "
        f"{question.influence.n_rows:,} rows; the second by the part of its spread that the first does not explain; categories and "
        "features with two values were passed over")
    ranges = "the data's bounding box" + (f", cut to the percentiles {question.trim:g} to {100 - question.trim:g}" if question.trim else "")
    return f"{x} and {y} ({how}); the other features at {question.at}; ranges: {ranges}"


def _certified(study: Study) -> list[str]:
    atlas, check = study.atlas, study.check
    claims = []
    if atlas.certificate.status is Status.PROVED:
        claims.append(f"The map: {atlas.certificate.claim}; {atlas.certificate.reason}. Signs were decided against a proved bound of the rounding errors.")
    else:
        claims.append(f"The regions found are the network's own, but not all were looked for: {ran_out(atlas)}.")
    if check.status is not Status.REFUTED:
        claims.append(f"Derived a second time by other code: {check.claim} ({check.reason}).")
    claims.append(f"Weights, ranks, totals, shares, borders, enclaves and tipping points follow from the regions by arithmetic in double precision"
                  f"{'' if atlas.is_complete else ', for the explored part'}; signs of weights below their rounding bound are not counted.")
    return claims


def _uncertified(study: Study) -> list[str]:
    question, atlas, net = study.question, study.atlas, study.question.network
    limits = [f"The plane is one cut: {net.n_inputs - 2} other features stand still. Elsewhere the answer may differ." if net.n_inputs > 2 else
              "The map ends at the ranges of the data; beyond them nothing is said.",
              "The map shows the network, not the world: whether it is right is what its score on the data speaks of.",
              "Points of the plane need not be plausible inputs: features that go together in the data are moved apart here.",
              f"That the network here computes what {question.model.name} does was tested, not proved: "
              f"{net.fidelity if net.fidelity is not None else 'no other runtime was there to ask'}.",
              f"Regions thinner than {GEOMETRIC:g} of the plane may be missing" + (
                  f"; {atlas.cells.unresolved} decisions fell below that, at most {atlas.cells.unresolved_area:.3g} of area." if atlas.cells.unresolved else
                  "; no decision fell below that.")]
    if study.check.status is Status.REFUTED:
        limits.insert(0, f"THE SECOND DERIVATION DISAGREES: {study.check.reason}. Please report this.")
    if atlas.cells.ties:
        limits.append(f"On {atlas.cells.ties} pieces two outputs are equal throughout; the first of them is shown.")
    if not question.chosen:
        limits.append("The choice of the two features is an estimate from the data's rows.")
    if net.n_classes:
        limits.append("Classes are those of the largest output" + (f" (probability above {atlas.threshold:g})" if net.n_outputs == 1 else "")
                      + "; how sure the network is of them is another question.")
    return limits


def _provenance(study: Study) -> list[tuple[str, str]]:
    figures = study.atlas.certificate.figures
    versions = ", ".join(f"{name} {_version(name)}" for name in ("numpy", "scipy", "pandas", "matplotlib"))
    return [("network digest", f"SHA-256 {study.question.network.digest}"),
            ("versions", f"pellucid {_version('pellucid')}, Python {platform.python_version()}, {versions}"),
            ("enumeration", f"{len(study.atlas):,} rows in {figures.get('seconds', 0):.3g} s by the planar engine; the result does not depend on threads"),
            ("files", "report.html, atlas/ (load_atlas reads it), regions.parquet (one row a region), pictures/ (PNG and SVG)")]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"
