"""The tables of the report: each a caption, a head and rows of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..certificate import Status
from ..explain import TippingPoints
from .findings import quantity_name
from .study import Study
from .unwrapped import meaning

MOST_ROWS = 200
SOME_ROWS = 12
FEW_ROWS = 8


@dataclass(frozen=True)
class Table:
    """head: column names. rows: cells, ready to print. numeric: the columns that are set flush right. none: said where it is empty."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[int] = field(default_factory=frozenset)
    none: str = ""


def number(x: float) -> str:
    """Four significant digits, with a true minus sign; short forms for the very large and small."""
    text = f"{x:.4g}" if abs(x) < 9999.5 else f"{x:,.0f}" if abs(x) < 1e9 else f"{x:.3e}"
    return text.replace("-", "\N{MINUS SIGN}")


def share(x: float) -> str:
    """A share for a cell: 0 and 100% only where that is meant."""
    return "0" if x == 0 else "100%" if x == 1 else "< 0.1%" if x < 0.001 else "> 99.9%" if x > 0.999 else f"{x:.1%}"


def shares_table(study: Study) -> Table | None:
    """Share of the plane's area by class."""
    if not study.shares:
        return None
    rows = [(name, share(part)) for name, part in study.shares]
    rows += [(name, "never") for name in (study.transitions.never_given if study.transitions and study.atlas.is_complete else ())]
    whole = "plane" if study.atlas.is_complete else "explored part"
    return Table(f"Share of the {whole}'s area by class", ("class", "share"), rows, frozenset({1}))


def totals_table(study: Study, most: int = SOME_ROWS) -> Table:
    """Total weights of the main quantity."""
    frame = study.main.top(most)
    unit = {name: u for name, u in zip(study.question.network.feature_names, study.question.network.units, strict=True)}
    words = {"up": "rises everywhere", "down": "falls everywhere", "mixed": "both", "none": "no effect"}
    if not study.atlas.is_complete:
        words |= {"up": "rises where explored", "down": "falls where explored"}
    rows = [(r.feature + (f" [{unit[r.feature]}]" if unit[r.feature] else ""), number(r.total), number(r.signed), number(r.min),
             number(r.max), share(r.first), words[r.direction]) for r in frame.itertuples()]
    caption = f"Total weights for {quantity_name(study)}" + _cut(len(rows), study.question.network.n_inputs, "features")
    return Table(caption, ("feature", "total", "signed mean", "smallest", "largest", "ranks first on", "with the feature it"), rows,
                 frozenset({1, 2, 3, 4, 5}))


def outputs_table(study: Study) -> Table | None:
    """Total weights of each output by itself."""
    if not study.outputs:
        return None
    total = np.array([d.total for d in study.outputs])
    order = np.argsort(-total.max(axis=0), kind="stable")[:MOST_ROWS]
    names = study.question.network.feature_names
    rows = [(names[j], *(number(t) for t in total[:, j])) for j in order]
    head = ("feature", *(study.question.network.output_names))
    return Table("Mean size of each feature's weight in each output, over the plane" + _cut(len(rows), len(names), "features"), head, rows,
                 frozenset(range(1, len(head))))


def transitions_table(study: Study) -> Table | None:
    """Which classes touch."""
    if study.transitions is None:
        return None
    frame = study.transitions.to_frame()
    rows = [(r["from"], r["to"], number(r["scaled length"]), str(r["segments"])) for _, r in frame.head(MOST_ROWS).iterrows()]
    caption = "Pairs of classes with a common border; its length in units of the map's sides" + _cut(len(rows), len(frame), "pairs")
    return Table(caption, ("class", "touches", "length", "segments"), rows, frozenset({2, 3}))


def enclaves_table(study: Study) -> Table | None:
    """Islands of one class inside another."""
    if study.enclaves is None:
        return None
    frame = study.enclaves.to_frame(enclosed_only=True)
    rows = [(r["class"], r["touches"], share(float(r["share"])), str(r["rows"])) for _, r in frame.head(MOST_ROWS).iterrows()]
    head = ("class", "inside", "share of the plane", "regions")
    return Table("Enclaves" + _cut(len(rows), len(frame), "enclaves"), head, rows, frozenset({2, 3}))


def tipping_table(study: Study, turning: TippingPoints) -> Table:
    """The longest segments on which the weight of one feature changes its sign."""
    frame = turning.to_frame()
    rows = [(*_ends(study, r), number(r["weight rising"]), number(r["weight falling"]), number(r["scaled length"]))
            for _, r in frame.head(FEW_ROWS).iterrows()]
    none = f"{turning.feature}: there is none on this plane."
    if not study.atlas.is_complete:
        none = f"{turning.feature}: there is none where the plane was explored."
    longest = f" (the {len(rows)} longest)" if len(rows) < len(frame) else ""
    return Table(f"{turning.feature}: {len(frame)} segment{'s' * (len(frame) != 1)}{longest}",
                 (f"from ({', '.join(study.axes)})", "to", "slope on one side", "on the other", "length"), rows, frozenset({2, 3, 4}), none)


def abrupt_table(study: Study) -> Table:
    """Where neighbours' linear models differ most."""
    rows = [(*_ends(study, r), number(r["change"]), str(r["feature"]), number(r["scaled length"]))
            for _, r in study.abrupt.to_frame().iterrows()]
    return Table(f"Borders across which the weights for {quantity_name(study)} change most",
                 (f"from ({', '.join(study.axes)})", "to", "change", "most in", "length"), rows, frozenset({2, 4}))


def regions_table(study: Study) -> Table:
    """The largest pieces, with their linear models in the features' own units."""
    atlas = study.atlas
    largest = np.argsort(-atlas.volume, kind="stable")[:FEW_ROWS]
    label = [atlas.class_label(int(atlas.first[k])) for k in largest] if atlas.by else [""] * len(largest)
    points = [atlas[int(k)].interior_point for k in largest]
    part = atlas.volume / atlas.domain.polygon.area
    rows = [(str(int(k)), *((name,) if atlas.by else ()), share(float(part[k])), _point(*at), _formula(study, int(k)))
            for k, name, at in zip(largest, label, points, strict=True)]
    head = ("region", *(("class",) if atlas.by else ()), "share", f"around ({', '.join(study.axes)})", f"{quantity_name(study)} on it =")
    caption = f"The largest {'pieces' if atlas.by else 'regions'} of the plane"
    return Table(caption, head, rows, frozenset({0, head.index("share")}))


def _formula(study: Study, k: int, most: int = 4) -> str:
    """The linear model on row k: its terms of most weight over the features' ranges, and how many are left out."""
    main, net = study.main, study.question.network
    width = main.scale.width
    order = np.argsort(-np.abs(main.weights[k]), kind="stable")
    order = [int(j) for j in order if abs(main.weights[k, j]) > main.floor[j]]
    slope = {j: main.weights[k, j] / width[j] for j in order[:most]}
    terms = [f"{'+' if s >= 0 else chr(0x2212)} {number(abs(s))} {net.feature_names[j]}" for j, s in slope.items()]
    rest = len(order) - len(terms)
    text = " ".join(terms).removeprefix("+ ") or "constant"
    return text + (f" + {rest} smaller terms" if rest > 0 else "") + (" + constant" if terms else "")


def plane_table(study: Study) -> Table:
    """Every feature: its range, and where it stands."""
    question = study.question
    net, box = question.network, question.plane.box
    rows = []
    for j, name in enumerate(net.feature_names):
        stands = "moves" if j in question.free else number(question.plane.x0[j])
        rows.append((name + (f" [{net.units[j]}]" if net.units[j] else ""), number(box.lower[j]), number(box.upper[j]), stands,
                     number(question.influence.size[j])))
    return Table("Features in the model's order; influence = mean size of the local weight times the feature's spread, on the data's rows",
                 ("feature", "from", "to", "stands at", "influence"), rows, frozenset({1, 2, 3, 4}))


def _point(x: float, y: float) -> str:
    return f"({number(x)}, {number(y)})"


def _ends(study: Study, row) -> tuple[str, str]:
    """Where a segment of a frame begins and ends."""
    x, y = study.axes
    return _point(row[f"{x} from"], row[f"{y} from"]), _point(row[f"{x} to"], row[f"{y} to"])


def _cut(shown: int, there: int, what: str) -> str:
    return f" (the first {shown} of {there} {what})" if shown < there else ""


# ---- beside the map
def local_table(study: Study) -> Table | None:
    """The linear model at the row: the largest terms of the main quantity."""
    proofs = study.proofs
    if proofs is None or proofs.local is None:
        return None
    net, c = study.question.network, study.main.quantity.direction
    weight, constant = c @ proofs.local.coef, float(c @ proofs.local.intercept)
    width = study.question.plane.box.upper - study.question.plane.box.lower
    order = [j for j in np.argsort(-np.abs(weight * width), kind="stable") if weight[j] != 0]
    rows = [(net.feature_names[j], number(proofs.x[j]), number(weight[j]), number(weight[j] * proofs.x[j]), number(weight[j] * width[j]))
            for j in order[:SOME_ROWS]]
    rows.append(("constant", "", "", number(constant), ""))
    caption = f"Row {proofs.row}: {quantity_name(study)}, term by term" + _cut(len(rows) - 1, len(order), "features")
    return Table(caption, ("feature", "value", "slope", "slope x value", "slope x range"), rows, frozenset({1, 2, 3, 4}))


def facets_table(study: Study) -> Table | None:
    """The nearest facets of the row's region."""
    if study.proofs is None or study.proofs.local is None:
        return None
    frame = study.proofs.local.to_frame("facets")
    decides = "class beyond" in frame
    rows = []
    for _, r in frame.head(FEW_ROWS).iterrows():
        beyond = [r["class beyond"] if isinstance(r["class beyond"], str) else "(the domain ends)"] if decides else []
        rows.append((str(r["facet"]), number(float(r["distance"])), str(r["units that change"]), *beyond))
    head = ("facet", "distance", "units that change", *(["class beyond"] if decides else []))
    return Table("Where that model ends, the nearest first" + _cut(len(rows), len(frame), "facets"), head, rows, frozenset({1, 2}))


def changes_table(study: Study) -> Table | None:
    """What has to change for another class."""
    answer = None if study.proofs is None else study.proofs.nearest
    if answer is None or answer.witness is None:
        return None
    rows = [(c.feature, *(v if isinstance(v, str) else number(v) for v in (c.before, c.after))) for c in answer.changes]
    least = "The least change" if answer.status is Status.PROVED else "The least change found, not proved to be the least,"
    return Table(f"{least} from '{answer.before}' to '{answer.after}'", ("feature", "from", "to"), rows, frozenset({1, 2}))


def monotone_rows(study: Study) -> Table | None:
    """How the main quantity moves with each feature, over all ranges."""
    answers = None if study.proofs is None else study.proofs.monotone
    if answers is None or not len(answers):
        return None
    words = {"up": "only rises", "down": "only falls", "constant": "never moves it", "mixed": "rises and falls", None: "not decided"}
    rows = [(a.feature, words[a.value], "refuted by rows" if a.value == "mixed" else str(a.status)) for a in answers.answers[:MOST_ROWS]]
    caption = f"How {quantity_name(study)} moves with each feature, everything else equal" + _cut(len(rows), len(answers), "features")
    return Table(caption, ("feature", "as it grows", "status"), rows)


def importance_rows(study: Study) -> Table | None:
    """Total weights over all ranges."""
    answer = None if study.proofs is None else study.proofs.importance
    if answer is None:
        return None
    frame = answer.to_frame().head(SOME_ROWS)
    estimated = "low" in frame
    rows = [(r["feature"], number(r["total"]), number(r["signed"]),
             *([f"{number(r['low'])} to {number(r['high'])}"] if estimated else [])) for _, r in frame.iterrows()]
    head = ("feature", "total", "signed mean", *(["interval"] if estimated else []))
    caption = "Total weights over the ranges of all features" + _cut(len(rows), study.question.network.n_inputs, "features")
    return Table(caption, head, rows, frozenset(range(1, len(head))))


# ---- the rows' local models
def unwrapped_table(study: Study) -> Table | None:
    """The largest local models: their rows, answers and scores (UNWRAP 4)."""
    if study.unwrapped is None:
        return None
    frame = study.unwrapped.summary.to_frame().head(SOME_ROWS).drop(columns=["Single Class", "Single Row", "Trivial"], errors="ignore")
    head = ("region", "rows", *(c.replace("Response Mean", "mean").replace("Response Std", "std").replace("Coverage", "of the rows")
                                for c in frame.columns[1:]))
    rows = [(f"{k}", f"{int(r.iloc[0]):,}", *(_score(c, v) for c, v in zip(frame.columns[1:], r.iloc[1:], strict=True)))
            for k, r in frame.iterrows()]
    net = study.unwrapped.models.network
    caption = f"The rows' regions{meaning(net)}" + _cut(len(rows), study.unwrapped.summary.n_regions, "regions")
    return Table(caption, head, rows, frozenset(range(len(head) - 1)))


def _score(column: str, value) -> str:
    if isinstance(value, str):
        return value or "\N{EN DASH}"
    return "\N{EN DASH}" if np.isnan(value) else share(float(value)) if column == "Coverage" else number(float(value))


def joint_table(study: Study) -> Table | None:
    """Joint importance of the features over all local models."""
    if study.unwrapped is None:
        return None
    told = study.unwrapped.importance
    frame = told.to_frame()
    frame = frame.iloc[[*range(min(SOME_ROWS, len(frame) - 1)), len(frame) - 1]]
    rows = [(r.iloc[0], share(float(r.iloc[1])), share(float(r.iloc[2])), number(float(r.iloc[3])), number(float(r.iloc[4])),
             share(float(r.iloc[5])), share(float(r.iloc[6]))) for _, r in frame.iterrows()]
    caption = f"Joint importance for {told.label}" + _cut(len(rows) - 1, len(told.features), "features")
    head = ("feature", "standardised", "raw", "mean coefficient", "std", "above 0 on", "below 0 on")
    return Table(caption, head, rows, frozenset({1, 2, 3, 4, 5, 6}))


# ---- bounds around rows
def levels_table(study: Study) -> Table | None:
    """What is known within each radius."""
    told = study.bounded
    if told is None:
        return None
    n, radius = told.n_rows, "each feature moves by at most"
    rows_ = f"{n} row{'s' * (n != 1)}"
    if np.isnan(told.levels[0].at_most):
        rows = [(_percent(v.share), share(v.kept / n), share(v.changed / n), share((n - v.kept - v.changed) / n)) for v in told.levels]
        return Table(f"Does the answer stay? Of {rows_}, each feature moving by a share of its range", (radius, "stays: proved",
                     "changes: found", "open"), rows, frozenset({0, 1, 2, 3}))
    rows = [(_percent(v.share), number(v.at_most), number(v.at_least)) for v in told.levels]
    what = f"How far can {quantity_name(study)} go from a row's value? Mean over {rows_}"
    head = (radius, "at most: proved", "at least: found")
    return Table(f"{what}, each feature moving by a share of its range", head, rows, frozenset({0, 1, 2}))


def _percent(part: float) -> str:
    return f"{100 * part:g}%"


def whole_table(study: Study) -> Table | None:
    """Outputs over all ranges, beside those of the rows."""
    told = study.bounded
    if told is None:
        return None
    low, high = (t[0].double().cpu().numpy() for t in (told.whole.lower, told.whole.upper))
    order = np.argsort(-high, kind="stable")[:SOME_ROWS] if len(high) > SOME_ROWS else range(len(high))
    rows = [(told.whole.names[k], number(low[k]), number(high[k]), *(_score("", v) for v in told.seen[:, k])) for k in order]
    caption = f"Outputs{_before_link(study)} wherever all features take any value in their ranges" + _cut(len(rows), len(high), "outputs")
    return Table(caption, ("output", "never below", "never above", "least on the rows", "most on the rows"), rows, frozenset({1, 2, 3, 4}))


def _before_link(study: Study) -> str:
    link = study.question.network.link
    return "" if link == "identity" else f" (before the {link})"


def important_table(study: Study) -> Table | None:
    """What holding a feature still takes from what the others can do, at the row and over some rows."""
    told = study.bounded
    if told is None or told.important is None:
        return None
    found = told.important
    scores, low, high = found.scores, found.lower[0], found.upper[0]
    order = np.argsort(-scores[0], kind="stable")[:SOME_ROWS]
    mean = scores.mean(axis=0)
    rows = [(found.groups.names[k], *(number(float(v[k])) for v in (scores[0], low, high, mean))) for k in order]
    of = f"mean of {len(found)} rows" if len(found) > 1 else "the same"
    caption = f"Row {told.row}, radius {_percent(told.radius)}: drop of the bound on any other class's lead, in logits" + \
        _cut(len(rows), len(found.groups), "features" if len(found.X.shape) < 3 else "cells")
    head = ("held still", "score", "true drop: at least", "at most", of)
    return Table(caption, head if len(found) > 1 else head[:-1], rows if len(found) > 1 else [r[:-1] for r in rows],
                 frozenset(range(1, len(head))))
