"""What the report says around its tables and pictures: how to read them, and what is certified."""

from __future__ import annotations

from ..certificate import Status
from ..tolerance import GEOMETRIC
from .findings import listing, quantity_name, ran_out
from .proofs import Proofs
from .study import Study
from .unwrapped import sentences


def title(study: Study) -> str:
    net, (x, y) = study.question.network, study.axes
    what = study.question.rows.target or (net.output_names[0] if net.n_outputs == 1 else "the answer")
    return f"{what} by {x} and {y}"


def lead(study: Study) -> str:
    question = study.question
    size = f"{len(question.rows):,} rows, {question.network.n_inputs} features"
    return f"An exact explanation of {question.model.name} on {question.data.name} ({size})"


def how_to_read(study: Study) -> str:
    x, y = study.axes
    but = f" (but {', '.join(study.question.fixed)})" if study.question.fixed else ""
    colour = "the class that the network gives there" if study.atlas.by else "the network's answer there"
    return (f"Every point of the map is an input: {x} and {y} vary, all other features stand at {study.question.at}{but}. The colour is "
            f"{colour}; thin lines bound the regions on which it is one linear model.")


def about_weights(study: Study) -> str:
    return (f"On each region, {quantity_name(study)} is a linear function of all features. A feature's weight is its slope there times the "
            "feature's range in the data: the change when the feature crosses its range. The total weight is the mean size of the weight "
            "over the area of the plane, so it counts large regions more; signed weights may cancel, their mean stands beside it.")


def about_regions(study: Study) -> str:
    parts = "pieces" if study.atlas.by else "regions"
    return (f"On each of these {parts} {quantity_name(study)} is exactly one linear function. Its largest terms are printed, rounded to "
            "four digits; regions.parquet and the atlas hold all of them in full.")


def facts(study: Study) -> list[tuple[str, str]]:
    """The model, the data and the plane: (name, value)."""
    question, net, rows = study.question, study.question.network, study.question.rows
    kinks = study.atlas.chain.n_columns
    skipped = f" ({rows.skipped:,} more left out for missing values or unknown categories)" if rows.skipped else ""
    told = [("model", f"{question.model} ({net.source})" if net.source else str(question.model)),
            ("network", f"{net.n_inputs} inputs, {kinks} units with a kink, {net.n_outputs} output{'s' * (net.n_outputs != 1)}, "
                        f"link {net.link}"),
            ("fidelity", str(net.fidelity) if net.fidelity is not None else "not checked: there was no other runtime to ask"),
            ("data", f"{question.data}, {len(rows):,} rows{skipped}"),
            ("columns", f"found {rows.how}"),
            ("not used", ", ".join(rows.ignored) or "none: every column is an input or the target")]
    if rows.target:
        told.append(("target", rows.target))
    if question.score:
        told.append(("on the data", str(question.score)))
    return [*told, ("the plane", _choice(study))]


def _choice(study: Study) -> str:
    """Which features move, and why these; where the others stand; over what ranges."""
    question, (x, y) = study.question, study.axes
    how = "as asked" if question.chosen else (
        "by influence: the mean size of the local linear models' weight times the feature's spread, on "
        f"{question.influence.n_rows:,} rows; the second by the part of its spread that the first does not explain; categories and "
        "features with two values were passed over")
    ranges = "the data's bounding box"
    if question.trim:
        ranges += f", cut to the percentiles {question.trim:g} to {100 - question.trim:g}"
    if question.ranges:
        ranges += f", but {', '.join(question.ranges)} as asked"
    return f"{x} and {y} ({how}); the other features at {question.at}; ranges: {ranges}"


def certified(study: Study) -> list[str]:
    """What is proved, or derived twice."""
    atlas, check = study.atlas, study.check
    if check.status is Status.REFUTED:
        return []
    told = [f"Derived a second time by other code: {check.claim} ({check.reason}).",
            "Weights, ranks, totals, shares, borders, enclaves and tipping points follow from the regions by arithmetic in double precision"
            + ("" if atlas.is_complete else ", for the explored part") + "; signs of weights below their rounding bound are not counted."]
    if atlas.certificate.status is Status.PROVED:
        return [f"The map: {atlas.certificate.claim}; {atlas.certificate.reason}. Signs were decided against a proved bound of the "
                "rounding errors.", *told]
    if atlas.is_complete:
        return told
    return [f"The regions found are the network's own, but not all were looked for: {ran_out(atlas)}.", *told]


def uncertified(study: Study) -> list[str]:
    """What a reader might take for proved, and is not."""
    question, atlas, net = study.question, study.atlas, study.question.network
    told = []
    if study.check.status is Status.REFUTED:
        told.append(f"THE SECOND DERIVATION DISAGREES: {study.check.reason}. Nothing on this page is certified; please report this.")
    if atlas.is_complete and atlas.certificate.status is not Status.PROVED:
        told.append(f"The map is {atlas.certificate.reason}.")
    others = net.n_inputs - 2
    told += [f"The plane is one cut: {others} other feature{'s stand' if others > 1 else ' stands'} still. Elsewhere the answer may differ."
             if others else "The map ends at the ranges of the data; beyond them nothing is said.",
             "The map shows the network, not the world: whether it is right is what its score on the data speaks of.",
             "Points of the plane need not be plausible inputs: features that go together in the data are moved apart here.",
             f"That the network here computes what {question.model.name} does was tested, not proved: "
             f"{net.fidelity if net.fidelity is not None else 'no other runtime was there to ask'}.",
             f"Regions thinner than {GEOMETRIC:g} of the plane may be missing; {_thin(study)}."]
    if atlas.cells.ties:
        told.append(f"On {atlas.cells.ties} pieces two outputs are equal throughout; the first of them is shown.")
    if not question.chosen:
        told.append("The choice of the two features is an estimate from the data's rows.")
    if net.n_classes:
        rule = f"'{net.class_names[1]}' is given where its probability is above {atlas.threshold:g}" if net.n_outputs == 1 else (
            "The class is that of the largest output")
        told.append(f"{rule}; how sure the network is of it is another question.")
    return told


def _thin(study: Study) -> str:
    cells = study.atlas.cells
    if not cells.unresolved:
        return "no decision fell below that"
    return f"{cells.unresolved} decisions fell below that, at most {cells.unresolved_area:.3g} of area"


# ---- the rows' local models
def about_unwrapped(study: Study) -> list[str]:
    """What the data's rows say of the network's regions."""
    if study.unwrapped is None:
        return []
    return ["Not on the plane, but where the data is: each row lies in one region of the network, in all features, and on it the network "
            "is one linear model.", *sentences(study.unwrapped),
            "A model that does well on its own rows and badly on all does not extrapolate; one that does better on all rows than on its "
            "own holds a hard part of the data with coefficients that most others share. Joint importance adds up squared coefficients "
            "over all models, each weighted by its rows."]


# ---- beside the map
def about_row(study: Study) -> str:
    proofs, net = study.proofs, study.question.network
    assert proofs is not None
    given = ""
    if net.n_classes and proofs.local is not None and proofs.local.decision is not None:
        given = f" The network answers '{net.class_names[proofs.local.decision]}'."
    return (f"Row {proofs.row} of the data (the first after the header is 0) is the one nearest to where the features stand.{given} "
            "What the network is there is one linear model, valid up to the facets of its region.")


def row_notes(study: Study) -> list[str]:
    proofs = study.proofs
    assert proofs is not None
    notes = []
    if proofs.local is not None:
        notes.append(f"The region: {proofs.local.certificate}.")
    if proofs.nearest is not None:
        notes.append(f"The least change, each feature counted in its range: {proofs.nearest.certificate}.")
    named = {"local": "the linear model at the row", "nearest": "the least change for another class"}
    return notes + _left_out(proofs, named)


def about_ranges(study: Study) -> str:
    free = study.question.plane.box
    moving = int((free.lower < free.upper).sum())
    return (f"Not on the plane, but wherever all {moving} features that differ between rows take any value in their ranges"
            + (", categories any mixture" if study.question.network.table and study.question.network.table.known else "")
            + ": what is proved there holds for every row in the ranges, and for combinations that no row comes near.")


def range_notes(study: Study) -> list[str]:
    proofs = study.proofs
    assert proofs is not None
    notes = [f"Total weights: {proofs.importance.certificate}."] if proofs.importance is not None else []
    return notes + _left_out(proofs, {"monotone": "how the answer moves with each feature", "importance": "total weights over all ranges"})


def _left_out(proofs: Proofs, named: dict[str, str]) -> list[str]:
    return [f"Left out, {what}: {proofs.missing[key]}." for key, what in named.items() if key in proofs.missing]


# ---- bounds around rows
def about_bounds(study: Study) -> str:
    told, net = study.bounded, study.question.network
    assert told is not None
    still = f", but {listing(told.still)}, which stand{'s' * (len(told.still) == 1)} still," if 0 < len(told.still) <= 6 else (
        f" but the {len(told.still)} categories and features with two values" if told.still else "")
    asked = "whether the answer" if net.n_classes or net.is_multilabel else "how far the answer"
    end = "can change" if net.n_classes or net.is_multilabel else "can move"
    return (f"Around a row, every feature{still} moves at once, either way, by at most a share of its range: "
            f"{asked} {end} then is bounded, for all of the infinitely many inputs there. What is proved holds with rounding included; "
            "what is found is a point, evaluated; between the two it is open, since bounds of this kind are not exact.")


def about_important(study: Study) -> str:
    told = study.bounded
    if told is None or told.important is None:
        return ""
    what = "cell of the image" if study.question.network.input_shape and len(told.important.X.shape) > 2 else "feature"
    loose = told.important.loose
    warn = ""
    if loose.any():
        warn = (f" In {int(loose.sum())} of {loose.size} rows these intervals overlap throughout: no two drops are known to be in one "
                "order, and the ranking is a heuristic.")
    return (f"Each {what} in turn is held still while the others move. The score is how much that lowers the upper bound on any other "
            "class's lead over the row's (EVA): a difference of bounds, it ranks. How much it truly lowers the lead lies between the two "
            f"columns beside it.{warn}")


def bound_notes(study: Study) -> list[str]:
    told = study.bounded
    assert told is not None
    certificates = dict.fromkeys([f"around the row: {told.at_row.certificate}", f"over all ranges: {told.whole.certificate}"])
    notes = [f"Certified {line}." for line in certificates]
    if told.important is not None:
        notes.append(f"Certified of the features: {told.important.certificate}.")
    return notes
