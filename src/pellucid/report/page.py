"""The report: one HTML file that opens offline, with the pictures, the atlas and its table beside it."""

from __future__ import annotations

import os
import platform
from importlib import metadata, resources
from pathlib import Path

from . import tables, words
from .findings import capital, quantity_name, ran_out
from .pictures import Picture, draw
from .study import Study

MOST_CELLS = 30_000_000
"""Numbers in the table of regions, beyond which the weights are left out of it: the atlas gives them back at any time."""


AGAIN = """import pellucid as pel
atlas = pel.load_atlas('atlas')
atlas.to_frame()            # every region, with its linear model
pel.describe(atlas).top()   # weights of the features"""


def write_report(study: Study, out: str | os.PathLike, *, command: str = "", save_atlas: bool = True) -> Path:
    """Write out/report.html, out/regions.parquet, out/pictures and (save_atlas) out/atlas; gives the path of the page."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    if save_atlas:
        study.atlas.save(out / "atlas", overwrite=True)
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
    from markupsafe import Markup

    source = resources.files(__package__)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=False)
    template = environment.from_string((source / "page.html.j2").read_text(encoding="utf-8"))
    style = (source / "style.css").read_text(encoding="utf-8")
    return template.render(style=Markup(style), version=_version("pellucid"), **_content(study, pictures, command))


def _content(study: Study, pictures: dict[str, list[Picture]], command: str) -> dict:
    """What the template shows, by its names."""
    question, atlas = study.question, study.atlas
    net = question.network
    wide = net.n_inputs > tables.SOME_ROWS
    return {
        "title": words.title(study), "lead": words.lead(study), "partial": "" if atlas.is_complete else capital(ran_out(atlas)),
        "where": "on this plane" if atlas.is_complete else "where the plane was explored",
        "notes": question.notes, "findings": study.findings, "quantity": quantity_name(study),
        "how_to_read": words.how_to_read(study), "maps": pictures["maps"], "shares": tables.shares_table(study),
        "about_weights": words.about_weights(study), "importance": pictures["importance"], "totals": tables.totals_table(study),
        "all_totals": tables.totals_table(study, tables.MOST_ROWS) if wide else None, "weight_notes": study.main.notes,
        "by_output": tables.outputs_table(study), "ranks": pictures["ranks"],
        "transitions": tables.transitions_table(study), "enclaves": tables.enclaves_table(study),
        "tipping": [tables.tipping_table(study, t) for t in study.tipping], "abrupt": tables.abrupt_table(study),
        "about_regions": words.about_regions(study), "regions": tables.regions_table(study),
        "unwrapped": _unwrapped(study, pictures.get("unwrapped", [])), "not_unwrapped": study.not_unwrapped,
        "proofs": _proofs(study), "bounded": _bounded(study, pictures.get("bounded", [])), "not_bounded": study.not_bounded,
        "facts": words.facts(study), "plane": tables.plane_table(study), "summary": net.summary(),
        "certified": words.certified(study), "uncertified": words.uncertified(study),
        "command": command or "(made from Python)", "provenance": _provenance(study), "python": AGAIN,
    }


def _unwrapped(study: Study, pictures: list[Picture]) -> dict | None:
    """The rows' local models."""
    if study.unwrapped is None:
        return None
    both = [tables.unwrapped_table(study), tables.joint_table(study)]
    return {"about": words.about_unwrapped(study), "tables": both, "pictures": pictures}


def _bounded(study: Study, pictures: list[Picture]) -> dict | None:
    """Sound bounds around rows, and over all ranges; which features count there."""
    if study.bounded is None:
        return None
    return {"about": words.about_bounds(study), "levels": tables.levels_table(study), "whole": tables.whole_table(study),
            "pictures": pictures, "about_important": words.about_important(study), "important": tables.important_table(study),
            "notes": words.bound_notes(study)}


def _proofs(study: Study) -> dict | None:
    """What is proved beside the map."""
    if study.proofs is None:
        return None
    of_row = (tables.local_table(study), tables.facets_table(study), tables.changes_table(study))
    of_ranges = (tables.monotone_rows(study), tables.importance_rows(study))
    return {"about_row": words.about_row(study), "row_tables": [t for t in of_row if t], "row_notes": words.row_notes(study),
            "about_ranges": words.about_ranges(study), "range_tables": [t for t in of_ranges if t], "range_notes": words.range_notes(study)}


def _provenance(study: Study) -> list[tuple[str, str]]:
    """What has to be the same for the same answer."""
    seconds = study.atlas.certificate.figures.get("seconds", 0.0)
    versions = ", ".join(f"{name} {_version(name)}" for name in ("numpy", "scipy", "pandas", "matplotlib"))
    return [("network digest", f"SHA-256 {study.question.network.digest}"),
            ("versions", f"pellucid {_version('pellucid')}, Python {platform.python_version()}, {versions}"),
            ("enumeration", f"{len(study.atlas):,} rows in {seconds:.3g} s by the planar engine; threads do not change the result"),
            ("files", "report.html, atlas/ (load_atlas reads it), regions.parquet (one row a region), pictures/ (PNG and SVG)")]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"
