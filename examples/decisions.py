"""What would have to change, and does it depend on what it should not? Three credit and justice models, questioned with proof.

German Credit, COMPAS and HELOC: a scikit-learn pipeline with categories each; nearest counterfactuals that a person could follow, in
the data's own words; which features can cost a good decision as they rise; whether sex or race alone ever change one.
The data hold protected attributes of people: they serve to show a method, not to judge anyone.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import pellucid as pel

HERE = Path(__file__).resolve().parent
DATA = HERE.parent.parent / "shared" / "data"
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#999999"
GAP = 0.6             # between the options of a row, in lines


@dataclass
class Study:
    """A table and the questions to its model. X: rows; y: decisions. good: the one to have. numbers: columns that are numbers, all
    whole. fixed: what nobody can change. monotone: what can go one way only. protected: what should not count. asked: numbers
    whose effect on the good decision is asked. plane: two of them, for a map."""

    name: str
    X: pd.DataFrame
    y: pd.Series
    good: str
    numbers: Sequence[str]
    fixed: Sequence[str]
    monotone: dict[str, str]
    protected: Sequence[str]
    asked: Sequence[str]
    plane: tuple[str, str] | None = None


# ---- the data
GERMAN = {
    "checking_status": {"A11": "below 0", "A12": "0 to 200", "A13": "200 or more", "A14": "no account"},
    "credit_history": {"A30": "none taken", "A31": "all paid here", "A32": "paid till now", "A33": "delays", "A34": "critical"},
    "purpose": {"A40": "new car", "A41": "used car", "A42": "furniture", "A43": "radio or TV", "A44": "appliances", "A45": "repairs",
                "A46": "education", "A48": "retraining", "A49": "business", "A410": "others"},
    "savings": {"A61": "below 100", "A62": "100 to 500", "A63": "500 to 1000", "A64": "1000 or more", "A65": "unknown or none"},
    "employment_since": {"A71": "unemployed", "A72": "below 1 year", "A73": "1 to 4 years", "A74": "4 to 7 years",
                         "A75": "7 years or more"},
    "personal_status_sex": {"A91": "male", "A92": "female", "A93": "male", "A94": "male"},
    "other_debtors": {"A101": "none", "A102": "co-applicant", "A103": "guarantor"},
    "housing": {"A151": "rent", "A152": "own", "A153": "for free"},
}


def german(data: Path) -> Study:
    frame = pd.read_csv(data / "german_credit.csv")
    X = frame[[*GERMAN, "duration_months", "credit_amount", "installment_rate", "age", "existing_credits"]].copy()
    for column, words in GERMAN.items():
        X[column] = X[column].map(words)
    X = X.rename(columns={"personal_status_sex": "sex"})
    numbers = ["duration_months", "credit_amount", "installment_rate", "age", "existing_credits"]
    return Study("German Credit", X, frame["credit_risk"].map({1: "good", 2: "bad"}), "good", numbers,
                 ["age", "sex", "credit_history", "existing_credits", "employment_since"], {}, ["sex"],
                 numbers, ("duration_months", "credit_amount"))


def compas(data: Path) -> Study:
    frame = pd.read_csv(data / "compas-two-years.csv.gz")
    frame = frame[frame["days_b_screening_arrest"].abs().le(30) & (frame["is_recid"] != -1) & (frame["c_charge_degree"] != "O")
                  & (frame["score_text"] != "N/A")]                         # ProPublica's filter
    numbers = ["age", "priors_count", "juv_fel_count", "juv_misd_count", "juv_other_count"]
    X = frame[[*numbers, "c_charge_degree", "sex", "race"]].copy()
    X["race"] = X["race"].where(X["race"].isin(["African-American", "Caucasian", "Hispanic"]), "Other")
    X["c_charge_degree"] = X["c_charge_degree"].map({"F": "felony", "M": "misdemeanour"})
    y = frame["two_year_recid"].map({0: "low risk", 1: "high risk"})
    fixed = ["sex", "race", "juv_fel_count", "juv_misd_count", "juv_other_count"]
    return Study("COMPAS", X, y, "low risk", numbers, fixed, {"age": "up"}, ["race", "sex"], numbers, ("age", "priors_count"))


KNOWN, NONE_USABLE, NOT_MET = "known", "no usable value", "condition not met"


def heloc(data: Path) -> Study:
    """HELOC's special values -7 and -8 are no numbers: each such column becomes a number (their median where there is none) and a
    category that says what it is. Rows without any record (-9) are left out."""
    frame = pd.read_csv(data / "heloc.csv.gz")
    frame = frame[frame["ExternalRiskEstimate"] != -9]
    X = frame.drop(columns="RiskPerformance").astype(float)
    numbers, kinds = list(X.columns), {}
    for column in numbers:
        special = X[column] < 0
        if special.any():
            kinds[f"{column} is"] = X[column].map({-7.0: NOT_MET, -8.0: NONE_USABLE}).fillna(KNOWN)
            X[column] = X[column].where(~special, X.loc[~special, column].median().round())
    past = ["ExternalRiskEstimate", "MSinceOldestTradeOpen", "NumTrades60Ever2DerogPubRec", "NumTrades90Ever2DerogPubRec", "MaxDelqEver",
            "MaxDelq2PublicRecLast12M", "MSinceMostRecentDelq", "PercentTradesNeverDelq", "AverageMInFile", "MSinceMostRecentTradeOpen"]
    asked = ["ExternalRiskEstimate", "NetFractionRevolvingBurden", "NumInqLast6M", "AverageMInFile", "NumSatisfactoryTrades",
             "PercentTradesNeverDelq"]
    return Study("HELOC", X.assign(**kinds), frame["RiskPerformance"], "Good", numbers, [*past, *kinds], {}, [], asked)


# ---- model and questions
def train(study: Study, seed: int):
    """(pipeline, network, test rows, accuracy)."""
    categories = [c for c in study.X.columns if c not in study.numbers]
    steps = ColumnTransformer([("numbers", StandardScaler(), list(study.numbers)),
                               ("categories", OneHotEncoder(handle_unknown="ignore"), categories)])
    seen, rows, y_seen, y = train_test_split(study.X, study.y, random_state=seed, stratify=study.y)
    model = make_pipeline(steps, MLPClassifier((8, 4), alpha=0.3, early_stopping=len(seen) > 2000, max_iter=300, random_state=seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(seen, y_seen)
    return model, pel.load(model), rows, model.score(rows, y)


def held_out_of_reach(study: Study, row: pd.DataFrame) -> list[str]:
    """What stays as it is in this row: what nobody can change, and the numbers that stand for a special value."""
    unknown = [c for c in study.numbers if f"{c} is" in row and row[f"{c} is"].iloc[0] != KNOWN]
    return [*study.fixed, *(c for c in unknown if c not in study.fixed)]


def counterfactuals(study: Study, model, net, domain, rows: pd.DataFrame, n: int, seconds: float) -> list[pel.Counterfactual]:
    """The nearest ones of the first n rows without the good decision; distances in standard deviations."""
    refused = rows[model.predict(rows) != study.good].head(n)
    scale = {c: float(study.X[c].std()) for c in study.numbers}
    answers = []
    for k in range(len(refused)):
        row = refused.iloc[[k]]
        answers.append(pel.counterfactual(net, row, study.good, domain=domain, fixed=held_out_of_reach(study, row), integer=study.numbers,
                                          monotone=study.monotone, scale=scale, n=3 if k == 0 else 1, max_seconds=seconds))
        for one in (answers[-1], *answers[-1].others):                  # the model itself agrees
            if one.value is not None:
                assert model.predict(one.rows().iloc[[1]])[0] == study.good
    return answers


def usual(study: Study, net) -> pel.Box:
    """The domain without the 1% of rows at either end of each number: proofs should not be about what never comes."""
    low, high = study.X[study.numbers].quantile(0.01).round(), study.X[study.numbers].quantile(0.99).round()
    return pel.Box.of(net.table.encode(study.X.assign(**{c: study.X[c].clip(low[c], high[c]) for c in study.numbers})))


def trends(study: Study, net, domain, seconds: float) -> list[pel.MonotoneDecision]:
    """Does more (less) of a number ever cost the good decision?"""
    return [pel.monotone_decision(net, f, domain, study.good, direction=way, integer=study.numbers, max_seconds=seconds)
            for f in study.asked for way in ("up", "down")]


def fairness(study: Study, net, domain, seconds: float) -> dict[str, pel.Fairness]:
    """For each protected feature a clear pair of rows that it alone decides, or the proof that there is none."""
    return {f: pel.fair(net, f, domain, integer=study.numbers, strongest=True, max_seconds=seconds) for f in study.protected}


# ---- pictures
def draw_changes(study: Study, answers, moves, out: Path) -> Path:
    """What the first row would have to change; which features change most often; what each number can cost."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(17, 5.2), width_ratios=(1.5, 0.9, 0.9), layout="constrained")
    figure.suptitle(f"{study.name}: what would have to change for '{study.good}'")
    _draw_options(axes[0], study, answers[0])
    _draw_often(axes[1], answers)
    _draw_moves(axes[2], study, moves)
    return pel.plot.save(figure, out / f"{_slug(study)}_changes.png", dpi=110)


def _draw_options(ax, study: Study, answer) -> None:
    """Each change of each option on a line of its own: numbers on the range of the data, categories in words."""
    options = [one for one in (answer, *answer.others) if one.value is not None]
    lines = [(k, change) for k, one in enumerate(options) for change in one.changes]
    places = [y + GAP * k for y, (k, _) in enumerate(lines)]
    for y, (_, c) in zip(places, lines, strict=True):
        if isinstance(c.before, str):
            ax.text(0.5, -y, f"{c.before}  \N{RIGHTWARDS ARROW}  {c.after}", ha="center", va="center")
            continue
        low, high = study.X[c.feature].min(), study.X[c.feature].max()
        a, b = (c.before - low) / (high - low), (c.after - low) / (high - low)
        ax.plot([0, 1], [-y, -y], color="#dddddd", zorder=0)
        ax.annotate("", (b, -y), (a, -y), arrowprops={"arrowstyle": "-|>", "color": BLUE, "lw": 2, "shrinkA": 0, "shrinkB": 0})
        for at, value, side in ((a, c.before, a <= b), (b, c.after, a > b)):
            ax.text(at - 0.015 if side else at + 0.015, -y + 0.18, f"{value:,.0f}", ha="right" if side else "left", va="bottom", fontsize=9)
    for k, one in enumerate(options):
        first = next(y for y, line in zip(places, lines, strict=True) if line[0] == k)
        if k:
            ax.axhline(0.5 + GAP - first, color=GREY, linewidth=0.8, linestyle="--")
        ax.text(1.06, -first, f"option {k + 1}: {one.status},\ndistance {one.value:.2f}", va="center", fontsize=9)
    ax.set(xlim=(-0.08, 1.32), ylim=(-max(places, default=0) - 0.5, 0.8), xticks=[0, 1], xticklabels=["least in\nthe data", "most"],
           title="One row: the nearest, and the next that leave a feature alone")
    ax.set_yticks([-y for y in places], [c.feature for _, c in lines])
    ax.spines[["top", "right", "left", "bottom"]].set_visible(False)
    ax.tick_params(length=0)


def _draw_often(ax, answers) -> None:
    counts = pd.Series([c.feature for a in answers if a.value is not None for c in a.changes]).value_counts()[::-1]
    ax.barh(counts.index, counts, color=BLUE)
    proved = sum(a.status is pel.Status.PROVED for a in answers)
    ax.set(title=f"Changed by the nearest of {len(answers)} rows ({proved} proved)", xlabel="rows")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.spines[["top", "right"]].set_visible(False)


def _draw_moves(ax, study: Study, moves) -> None:
    """A square for each number and direction: never lost (proved), can be lost (two rows show it), not decided."""
    from matplotlib.patches import Rectangle

    colours = {True: BLUE, False: ORANGE, None: "#e6e6e6"}
    words = {True: "never\n(proved)", None: "not\ndecided"}
    for m in moves:
        x, y = ("up", "down").index(m.direction), study.asked.index(m.feature)
        ax.add_patch(Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, color=colours[m.value]))
        ends = [] if m.witness is None else [m.space.say(m.feature, row) for row in m.witness]
        text = words.get(m.value) or "yes: {:,.0f} \N{RIGHTWARDS ARROW} {:,.0f}".format(*ends)
        ax.text(x, y, text, ha="center", va="center", fontsize=9, color="#1a1a1a" if m.value is None else "white")
    ax.set(xlim=(-0.5, 1.5), ylim=(len(study.asked) - 0.5, -0.5), title=f"Can '{study.good}' be lost as it alone goes ...")
    ax.set_xticks([0, 1], ["up", "down"])
    ax.set_yticks(range(len(study.asked)), study.asked)
    ax.spines[["top", "right", "left", "bottom"]].set_visible(False)
    ax.tick_params(length=0)


def draw_fair(study: Study, net, domain, answer: pel.Fairness, out: Path) -> Path:
    """The decisions on a plane through the pair, once with each protected value."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(12, 5), layout="constrained", sharey=True)
    (name,) = answer.protected
    for ax, row, decision in zip(axes, answer.witness, answer.decisions, strict=True):
        plane = pel.Box(domain.lower, domain.upper, names=net.feature_names).slice(free=study.plane, at=row)
        pel.plot.class_map(pel.linear_regions(net, plane, by="class"), ax, title=f"{name} = {answer.space.say(name, row)}")
        at = [row[net.feature_names.index(f)] for f in study.plane]
        ax.plot(*at, marker="X", color="white", markeredgecolor="#1a1a1a", markersize=13, zorder=6, clip_on=False)
        ax.annotate(decision, at, (8, 10), textcoords="offset points", fontweight="bold", zorder=7,
                    bbox={"boxstyle": "round", "facecolor": "white", "alpha": 0.8, "edgecolor": "none"})
    axes[1].set_ylabel("")
    figure.suptitle(f"{study.name}: two rows that differ in {name} only; all else stands at their values")
    return pel.plot.save(figure, out / f"{_slug(study)}_{name}.png", dpi=110)


def _slug(study: Study) -> str:
    return study.name.lower().replace(" ", "_")


# ---- the tour
STUDIES = {"german": (german, "german_credit.csv"), "compas": (compas, "compas-two-years.csv.gz"), "heloc": (heloc, "heloc.csv.gz")}


def tour(study: Study, n: int, seconds: float, seed: int, out: Path) -> None:
    model, net, rows, accuracy = train(study, seed)
    print(f"\n{study.name}: {len(study.X)} rows, {len(study.X.columns)} columns, {net.n_inputs} inputs; "
          f"accuracy {accuracy:.3f} on rows held out")
    began = time.perf_counter()
    answers = counterfactuals(study, model, net, pel.Box.of(net.table.encode(study.X)), rows, n, seconds)
    print(f"\nNearest changes that give '{study.good}' ({len(answers)} rows, {time.perf_counter() - began:.0f} s; "
          "distances in standard deviations)")
    for answer in answers:
        print(f"  {answer}")
    print(answers[0].to_frame().to_string(index=False))

    domain = usual(study, net)
    moves = trends(study, net, domain, seconds)
    print(f"\nCan '{study.good}' be lost as a number alone goes up or down?")
    print(pd.concat([m.to_frame() for m in moves]).drop(columns="decision").to_string(index=False))
    pictures = [draw_changes(study, answers, moves, out)]
    for answer in fairness(study, net, domain, seconds).values():
        print(f"\n{answer}\n  {answer.certificate.reason}\n{answer.to_frame().to_string(index=False)}")
        if answer.value is False and study.plane is not None:
            pictures.append(draw_fair(study, net, domain, answer, out))
    print("\n" + "\n".join(map(str, pictures)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with " + ", ".join(file for _, file in STUDIES.values()))
    parser.add_argument("--only", choices=STUDIES, action="append", help="this one alone (may be repeated)")
    parser.add_argument("--rows", type=int, default=12, help="rows to find counterfactuals for")
    parser.add_argument("--seconds", type=float, default=20, help="for each question; what is not proved until then says so")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out/decisions"))
    args = parser.parse_args()
    asked = {name: STUDIES[name] for name in args.only or STUDIES}
    there = {name: make for name, (make, file) in asked.items() if (args.data / file).is_file()}
    if not there:
        files = ", ".join(file for _, file in asked.values())
        raise SystemExit(f"{args.data} is not there, or holds none of {files}: this example needs them, their folder given with --data")
    args.out.mkdir(parents=True, exist_ok=True)
    for make in there.values():
        tour(make(args.data), args.rows, args.seconds, args.seed, args.out)


if __name__ == "__main__":
    main()
