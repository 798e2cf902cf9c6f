"""The report of an attribution: one HTML file with the maps, the largest scores, and what is certified of them."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from ..attribution import Attribution
from ..attribution.groups import spatial

TOP, ROWS = 5, 20
"""Groups told of each row; rows that are told."""


def write_attribution(found: Attribution | Sequence[Attribution], path: str | os.PathLike, *, title: str = "") -> Path:
    """Write the report of an attribution, or of two with the signs "+" and "-"; gives its path."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    both = [found] if isinstance(found, Attribution) else list(found)
    source = resources.files(__package__)
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string((source / "attributed.html.j2").read_text(encoding="utf-8"))
    style = (source / "style.css").read_text(encoding="utf-8")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(template.render(style=Markup(style), version=_version(), **_content(both, title)), encoding="utf-8")
    os.replace(temporary, path)
    return path


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("pellucid")
    except metadata.PackageNotFoundError:
        return "0+unknown"


def _content(both: Sequence[Attribution], title: str) -> dict:
    first, s = both[0], both[0].settings
    eps = f"{s['eps']:g}" if np.ndim(s["eps"]) == 0 else "by feature"
    n, G = len(first), len(first.groups)
    is_image = spatial(first.X.shape[1:])[0] is not None
    what = "estimated" if first.is_estimate else "proved"
    lead = (f"{n} row{'s' * (n != 1)}, {G} groups of inputs. How much freezing a group lowers the {what} bound of what perturbations "
            f"within eps {eps} (L{s['p']:g}) can do to the decision. Bounds by {s['method']}, {s['quality']}.")
    return {
        "title": title or "Which inputs can change the decision", "lead": lead, "warning": _warning(first),
        "how_to_read": "A score is a difference of upper bounds: it ranks groups, and is no bound itself. The true drop lies between the "
                       "last two columns, which an attack and the bounds enclose.",
        "picture": _picture(both) if is_image and n else "", "alt": "Maps of scores over the images",
        "caption": "All maps on one scale." + (" Red: by adding, blue: by removing." if len(both) > 1 else ""),
        "tables": [_table(one, len(both) > 1) for one in both], "certified": _certified(both)}


def _warning(first: Attribution) -> str:
    if first.is_estimate:
        return "This is an estimate: the range of a hidden layer was sampled. It ranks, and proves nothing."
    if len(first) and first.loose.any():
        loose, of = int(first.loose.sum()), first.loose.size
        return (f"The bounds are too loose to rank for certain in {loose} of {of} maps: no two groups' true drops are known to be in one "
                "order. Take the scores as a heuristic, or a smaller eps.")
    return ""


def _picture(both: Sequence[Attribution]) -> str:
    from matplotlib import pyplot as plt

    from ..plots import attribution

    figure = attribution(both[0], sign_with=both[1] if len(both) > 1 else None)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=140, metadata={"Software": None})
    plt.close(figure)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _table(found: Attribution, signed: bool) -> dict:
    frame = found[: ROWS].to_frame()
    frame = frame[frame["rank"] <= TOP].sort_values(["row", "against", "rank"])
    columns = {"row": "Row", "class": "Class", "against": "Against", "group": "Group", "score": "Score", "overlap": "Overlap at most",
               "overlap_frozen": "Frozen, at most", "drop_at_least": "Drop at least", "drop_at_most": "Drop at most"}
    rows = [[v if isinstance(v, str) else f"{v:d}" if isinstance(v, (int, np.integer)) else f"{v:.4g}" for v in row]
            for row in frame[list(columns)].itertuples(index=False)]
    sign = {"+": ", inputs growing only", "-": ", inputs shrinking only"}.get(found.settings["sign"], "") if signed else ""
    return {"caption": f"The {TOP} largest scores of each row{sign} (logits)", "head": list(columns.values()), "rows": rows}


def _certified(both: Sequence[Attribution]) -> list[str]:
    first = both[0]
    lines = [str(one.certificate) for one in both]
    if not first.is_estimate and len(first):
        safe = int((first.overlap.reshape(len(first), -1).max(axis=1) < 0).sum())
        lines.append(f"{safe} of {len(first)} decisions cannot be changed within eps (their overlap is below 0)")
        lines.append(f"{float(np.mean(first.ordered)):.1%} of pairs of groups have true drops in a certain order")
    return lines
