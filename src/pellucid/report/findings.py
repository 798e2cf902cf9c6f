"""What was found, in sentences. Each states what the atlas proves, or says of what it is an estimate."""

from __future__ import annotations

import numpy as np

from ..atlas import Atlas
from ..certificate import Status
from .study import Study


def findings(study: Study) -> tuple[str, ...]:
    """A handful of sentences on the regions, the classes, their borders and the features."""
    return tuple(s for s in (_size(study), _classes(study), _borders(study), _enclaves(study), _weights(study), *_directions(study),
                             _quality(study)) if s)


def percent(share: float) -> str:
    """A share for reading: 0 and 100% only where that is meant."""
    if share in (0, 1):
        return f"{share:.0%}"
    if 0 < share < 0.0005:
        return "less than 0.05%"
    if 0.9995 < share < 1:
        return "more than 99.95%"
    return f"{share:.1%}"


def listing(names, word: str = "and") -> str:
    """a, b and c."""
    names = list(names)
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + f" {word} " + names[-1]


def _size(study: Study) -> str:
    atlas, (x, y) = study.atlas, study.axes
    n = f"{atlas.n_regions:,} linear regions" if atlas.n_regions != 1 else "one linear region"
    where = f"Over {x} and {y}, the other features at {study.question.at}"
    if not atlas.is_complete:
        return f"{where}, {n} of the network {'was' if atlas.n_regions == 1 else 'were'} found: {ran_out(atlas)}."
    is_exact = atlas.certificate.status is Status.PROVED and not atlas.cells.unresolved
    if atlas.n_regions == 1 and is_exact:
        return f"{where}, the network is one linear model, exactly."
    exact = "all of them, exactly" if is_exact else atlas.certificate.reason
    return f"{where}, the network consists of {n}: {exact}."


def ran_out(atlas: Atlas) -> str:
    """Why an atlas is not complete, and how far it came."""
    explored = float(atlas.volume.sum()) / atlas.domain.polygon.area
    why = {"max_regions": "the budget of regions ran out", "max_seconds": "the time ran out", "max_bytes": "the memory allowed ran out"}
    return f"{why.get(atlas.cells.reason, atlas.cells.reason)} after {percent(explored)} of the plane's area"


def _classes(study: Study) -> str:
    atlas = study.atlas
    if not study.shares:
        return _values(study)
    if len(study.shares) == 1:
        where = f"everywhere on this plane{_nearer(study)}" if atlas.is_complete else "wherever it was explored"
        return f"It answers '{study.shares[0][0]}' {where}."
    parts = [f"'{name}' on {percent(share)}" for name, share in study.shares[:6]]
    more = len(study.shares) - 6
    if more > 0:
        parts.append(f"{more} other classes on the rest")
    never = study.transitions.never_given if study.transitions and atlas.is_complete else ()
    tail = f" It never answers {listing([repr(n) for n in never], 'or')} there." if 0 < len(never) <= 8 else ""
    return f"Of the {'plane' if atlas.is_complete else 'explored part'}'s area it answers {listing(parts)}.{tail}"


def _nearer(study: Study) -> str:
    """Where to look for a border, when the plane has none: the row on which the classes are closest."""
    net, X = study.question.network, study.question.rows.X
    if net.is_multilabel:
        return ""
    y = net(X)
    if net.n_outputs == 1:
        margin = np.abs(y[:, 0])
    else:
        top = -np.sort(-y, axis=1)
        margin = top[:, 0] - top[:, 1]
    return f" (a plane through a row near a border: --at row:{int(margin.argmin())})"


def _values(study: Study) -> str:
    """Range of a number over the plane, attained at vertices of regions since each is linear."""
    atlas, net = study.atlas, study.question.network
    if net.n_outputs != 1:
        return ""
    y = vertex_values(study)[:, 0]
    if net.link != "identity":
        return ""
    inside = "" if atlas.is_complete else " where it was explored"
    return f"{capital(quantity_name(study))} runs from {y.min():.4g} to {y.max():.4g} over the plane{inside}."


def vertex_values(study: Study) -> np.ndarray:
    """(V, c) outputs at every vertex of every region."""
    cells = study.atlas.cells
    row = np.repeat(np.arange(len(study.atlas)), np.diff(cells.vertex_ptr))
    return np.einsum("vcj,vj->vc", cells.coef[row], cells.vertices) + cells.intercept[row]


def _borders(study: Study) -> str:
    found = study.transitions
    if found is None or len(found.pairs) == 0:
        return ""
    frame = found.to_frame()
    given = len(study.shares)
    if given == 2:
        return ""
    total = given * (given - 1) // 2
    longest = frame.iloc[0]
    return (f"Of the {total} pairs of classes that occur, {len(frame)} share a border; the longest is between '{longest['from']}' and "
            f"'{longest['to']}'.")


def _enclaves(study: Study) -> str:
    found = study.enclaves
    if found is None or len(study.shares) < 2:
        return ""
    n = len(found)
    if n == 0:
        return "No class has an enclave inside another one." if study.atlas.is_complete else ""
    frame = found.to_frame(enclosed_only=True)
    largest = frame.iloc[0]
    count = "is one enclave" if n == 1 else f"are {n} enclaves"
    return (f"There {count}, islands of one class inside another; the largest, '{largest['class']}' inside "
            f"'{largest['touches']}', covers {percent(float(largest['share']))} of the plane.")


def _weights(study: Study) -> str:
    frame = study.main.to_frame().sort_values("total", ascending=False, kind="stable")
    top = frame[frame["total"] > 0].head(3)
    if len(top) == 0:
        return "No feature changes the answer anywhere on this plane."
    parts = [f"{row.feature} ({row.total:.3g})" for row in top.itertuples()]
    where = "plane" if study.atlas.is_complete else "explored part"
    return f"Averaged over the {where}, {quantity_name(study)} depends most on {listing(parts)}, each over its range in the data."


def _directions(study: Study) -> list[str]:
    """For the two free features: how the quantity moves with them, everywhere."""
    out, what = [], capital(quantity_name(study))
    names = dict(zip(study.axes, (study.main.direction[j] for j in study.question.free), strict=True))
    if study.main.certificate.status is Status.PROVED:
        for how, never in (("up", "falls"), ("down", "rises")):
            if how in names.values():
                out.append(f"{what} never {never} as {' or '.join(n for n, d in names.items() if d == how)} grows, anywhere on this plane.")
    for turning in study.tipping:
        if names[turning.feature] == "mixed":
            turns = f", and turns along {len(turning)} segment{'s' * (len(turning) != 1)}" if len(turning) else ""
            out.append(f"{what} rises with {turning.feature} in some regions and falls in others{turns}.")
    return out


def capital(text: str) -> str:
    """The text with a capital first letter, if it is an article's."""
    return text[0].upper() + text[1:] if text.startswith("the ") else text


def _quality(study: Study) -> str:
    score = study.question.score
    return f"On the data the model reaches {score}." if score else ""


def quantity_name(study: Study) -> str:
    """The main quantity in words."""
    net, q = study.question.network, study.main.quantity
    if " - " in q.label and net.n_outputs > 1 and net.n_classes:
        first, second = (net.class_names[int(k)] for k in (q.direction.argmax(), q.direction.argmin()))
        return f"the margin of '{first}' over '{second}'"
    if net.n_classes or net.is_multilabel:
        return f"the score of '{q.label}'"
    return f"the predicted {q.label}"
