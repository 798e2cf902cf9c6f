"""A network that judges people by race and looks harmless to LIME and SHAP (Slack et al. 2020), exposed by its exact map (CEE Fig. 7).

Slack, Hilgard, Jia, Singh and Lakkaraju hide a biased rule behind a detector of perturbations: people of the COMPAS table are
judged by their race alone; points that only an explainer would ask about, by a column of random numbers. Here one ReLU network
learns to do both, once against LIME's perturbations and once against SHAP's. Both explainers are then asked what counts. The exact
map of the decisions over race and the harmless column has no perturbations to be told from people: it shows islands of the
hidden rule in the harmless one, around the values that people have.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import pellucid as pel

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "compas-two-years.csv.gz"
RACE, HARMLESS = "race", "unrelated 1"
CLASSES = ("low risk", "high risk")
NEAR = 0.3                                          # of a standard deviation: Slack et al. perturb rows by so much


def compas(path: Path, rng: np.random.Generator) -> pd.DataFrame:
    """ProPublica's rows, and the eleven columns of Slack et al.: nine of the table and two of coin tosses."""
    t = pd.read_csv(path)
    known = t.days_b_screening_arrest.abs().le(30) & t.is_recid.ne(-1) & t.c_charge_degree.ne("O") & t.score_text.notna()
    t = t[known & t.score_text.ne("N/A")]
    days = (pd.to_datetime(t.c_jail_out) - pd.to_datetime(t.c_jail_in)).dt.days
    tosses = rng.integers(0, 2, (2, len(t)))
    return pd.DataFrame({
        "age": t.age, "two-year recidivism": t.two_year_recid, "priors": t.priors_count, "days in jail": days,
        "felony": t.c_charge_degree == "F", "misdemeanour": t.c_charge_degree == "M", "female": t.sex == "Female", "male": t.sex == "Male",
        RACE: t.race == "African-American", HARMLESS: tosses[0], "unrelated 2": tosses[1]}).astype(float)


# ---- the adversary


def hidden_rule(X: pd.DataFrame) -> np.ndarray:
    """f of Slack et al.: what people get."""
    return (X[RACE].to_numpy() > 0.5).astype(int)


def shown_rule(X: pd.DataFrame) -> np.ndarray:
    """psi of Slack et al.: what explainers get to see."""
    return (X[HARMLESS].to_numpy() > 0.5).astype(int)


def as_lime_perturbs(X: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Rows moved a little, as Slack et al. do, and points spread like all of the data, as LIME draws them."""
    mean, std = X.mean().to_numpy(), X.std(ddof=0).to_numpy()
    near = X.to_numpy() + NEAR * std * rng.standard_normal(X.shape)
    return pd.DataFrame(np.vstack([near, mean + std * rng.standard_normal(X.shape)]), columns=X.columns)


def as_shap_perturbs(X: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Rows with some features replaced by those of a background row, numbers of them as often as Kernel SHAP weighs them."""
    n, d = 4 * len(X), X.shape[1]
    size = np.arange(1, d)
    weight = (d - 1) / (size * (d - size))
    replaced = rng.random((n, d)).argsort(axis=1).argsort(axis=1) < rng.choice(size, n, p=weight / weight.sum())[:, None]
    background = shap_background(X)
    rows = X.to_numpy()[rng.integers(0, len(X), n)]
    return pd.DataFrame(np.where(replaced, background[rng.integers(0, len(background), n)], rows), columns=X.columns)


def shap_background(X: pd.DataFrame) -> np.ndarray:
    import shap

    return shap.kmeans(X.to_numpy(), 10).data


PERTURB = {"LIME": (as_lime_perturbs,), "SHAP": (as_lime_perturbs, as_shap_perturbs)}


@dataclass(frozen=True, eq=False)
class Adversary:
    """A network trained to deceive one explainer. on_people, on_perturbed: how often it follows the rule that it should, unseen."""

    against: str
    model: Pipeline
    on_people: float
    on_perturbed: float


def train(against: str, seen: pd.DataFrame, unseen: pd.DataFrame, seed: int, epochs: int) -> Adversary:
    rng = np.random.default_rng(seed)
    drawn = [perturb(seen, rng) for perturb in PERTURB[against] for _ in range(2)]
    X = pd.concat([seen] * 8 + drawn, ignore_index=True)
    y = np.concatenate([np.tile(hidden_rule(seen), 8), *(shown_rule(p) for p in drawn)])
    network = MLPClassifier((64, 64), max_iter=epochs, batch_size=256, learning_rate_init=3e-3, alpha=1e-5, random_state=seed)
    model = make_pipeline(StandardScaler().fit(seen), network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    others = pd.concat([perturb(unseen, rng) for perturb in PERTURB[against]], ignore_index=True)
    return Adversary(against, model, float(np.mean(model.predict(unseen) == hidden_rule(unseen))),
                     float(np.mean(model.predict(others) == shown_rule(others))))


# ---- what explainers say, and what is so


def top_by_lime(model: Pipeline, seen: pd.DataFrame, people: pd.DataFrame, seed: int) -> list[str]:
    from lime.lime_tabular import LimeTabularExplainer

    explainer = LimeTabularExplainer(seen.to_numpy(), feature_names=list(seen), discretize_continuous=False, random_state=seed)
    f = _on_arrays(model, seen)
    return [explainer.explain_instance(x, f).as_list()[0][0] for x in people.to_numpy()]


def top_by_shap(model: Pipeline, seen: pd.DataFrame, people: pd.DataFrame, seed: int) -> list[str]:
    import shap

    f = _on_arrays(model, seen)
    explainer = shap.KernelExplainer(lambda x: f(x)[:, 1], shap.kmeans(seen.to_numpy(), 10))
    values = explainer.shap_values(people.to_numpy(), silent=True)
    return [seen.columns[j] for j in np.abs(values).argmax(axis=1)]


def _on_arrays(model: Pipeline, X: pd.DataFrame):
    return lambda x: model.predict_proba(pd.DataFrame(x, columns=X.columns))


def plane_of(X: pd.DataFrame, person: pd.Series):
    """Race and the harmless column from half a step below 0 to half a step above 1; all else as this person has it."""
    yes_no = X.isin([0, 1]).all().to_numpy()
    box = pel.Box(np.where(yes_no, -0.5, X.min()), np.where(yes_no, 1.5, X.max()), names=list(X))
    return box.slice(free=(RACE, HARMLESS), at=person.to_numpy())


CORNERS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])       # (race, harmless) that people can have


def exact_findings(net: pel.Network, X: pd.DataFrame, people: pd.DataFrame) -> pd.DataFrame:
    """A row a person, from the exact map of the plane through them: what decides for people, and for all else on the plane."""
    rows = []
    for _, person in people.iterrows():
        atlas = pel.linear_regions(net, plane_of(X, person), by="class")
        given = atlas.first[atlas.locate(CORNERS)].reshape(2, 2)           # [race, harmless]
        islands = pel.enclaves(atlas)
        hit = np.unique(islands.component[atlas.locate(CORNERS)])
        mine = int(person[HARMLESS])
        rows.append({"race decides": bool(given[0, mine] != given[1, mine]),
                     "harmless column decides": bool(given[int(person[RACE]), 0] != given[int(person[RACE]), 1]),
                     "corners by the hidden rule": int((given == [[0, 0], [1, 1]]).sum()),
                     "islands": len(islands), "an island holds people": bool(islands.enclosed[hit].any()),
                     "regions": atlas.n_regions, "proved": atlas.certificate.status is pel.Status.PROVED})
    return pd.DataFrame(rows)


def at_corners(net: pel.Network, atlas: pel.Atlas) -> pd.DataFrame:
    """The four combinations of race and the harmless column: what is decided, by which rule, and what weighs most there."""
    k = atlas.locate(CORNERS)
    weights = pel.describe(atlas, scale="range").weights[k]
    heaviest = [", ".join(net.feature_names[j] for j in np.argsort(-np.abs(w))[:3]) for w in weights]
    return pd.DataFrame({"African-American": CORNERS[:, 0].astype(int), HARMLESS: CORNERS[:, 1].astype(int), "region": k,
                         "decided": [CLASSES[c] for c in atlas.first[k]], "hidden rule": [CLASSES[int(c)] for c in CORNERS[:, 0]],
                         "shown rule": [CLASSES[int(c)] for c in CORNERS[:, 1]], "heaviest in its region": heaviest})


# ---- pictures


def draw(atlas: pel.Atlas, tops: dict[str, pd.Series], against: str, out: Path) -> Path:
    """The map, what the explainers name, and the weights of all features in the four regions that people can lie in (CEE Fig. 7)."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(14, 10.5), layout="constrained")
    ax = pel.plot.class_map(atlas, axes[0, 0], title=f"Decisions of the network that deceives {against}")
    ax.plot(*CORNERS.T, "o", color="white", markeredgecolor="#1a1a1a", markersize=9, zorder=6)
    for (x, y), given in zip(CORNERS, atlas.first[atlas.locate(CORNERS)], strict=True):
        ax.annotate(f"people: {CLASSES[given]}", (x, y), (0, -16), textcoords="offset points", ha="center", va="top", fontsize="small",
                    zorder=6, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.85})
    draw_tops(axes[0, 1], tops)
    pel.plot.weights(atlas, axes[1], regions=np.unique(atlas.locate(CORNERS)), n=11, title="The regions that people lie in")
    for a in axes[:, 0]:
        a.set(xlabel="race (1: African-American, 0: all others)", ylabel="unrelated 1 (random 0 or 1)")
    return pel.plot.save(figure, out / f"against_{against.lower()}.png", dpi=130)


def draw_tops(ax, tops: dict[str, pd.Series]) -> None:
    """How often each method names a feature first; the exact map: how often the feature alone changes the decision."""
    names = pd.concat(tops, axis=1).fillna(0.0)
    names = names.loc[names.max(axis=1).sort_values(ascending=False).index[:4]]
    for k, (who, colour) in enumerate(zip(names, ("#e69f00", "#cc79a7", "#0072b2"), strict=True)):
        label = "exact map: alone, it changes the decision" if who == "exact map" else f"{who}: named first"
        bars = ax.barh(np.arange(len(names)) + 0.24 * (k - 1), 100 * names[who], 0.22, color=colour, label=label)
        ax.bar_label(bars, fmt="%.0f", padding=2, fontsize="small")
    ax.set_yticks(range(len(names)), names.index)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set(xlabel="share of people [%]", xlim=(0, 108))
    ax.set_title("What decides, as told by two explainers and by the map", fontsize="medium")
    ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3, fontsize="small")
    ax.spines[["top", "right"]].set_visible(False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="compas-two-years.csv(.gz)")
    parser.add_argument("--people", type=int, default=100, help="unseen rows to explain")
    parser.add_argument("--quick", action="store_true", help="one network, few people: does it run?")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out/hidden_bias"))
    args = parser.parse_args()
    if not args.data.is_file():
        raise SystemExit(f"{args.data} is not there: give ProPublica's compas-scores-two-years table with --data")
    if not all(find_spec(name) for name in ("lime", "shap")):
        raise SystemExit("LIME and SHAP are not installed: pip install '.[examples]'")
    args.out.mkdir(parents=True, exist_ok=True)

    X = compas(args.data, np.random.default_rng(args.seed))
    X = X.sample(1000, random_state=args.seed) if args.quick else X
    seen, unseen = train_test_split(X, test_size=0.1, random_state=args.seed)
    people = unseen.head(5 if args.quick else args.people)
    summary = {}
    for against in ("LIME",) if args.quick else ("LIME", "SHAP"):
        adversary = train(against, seen, unseen, args.seed, epochs=10 if args.quick else 40)
        net = pel.load(adversary.model, class_names=CLASSES)
        print(f"\nThe network against {against} follows the hidden rule on {adversary.on_people:.1%} of unseen people, "
              f"the shown rule on {adversary.on_perturbed:.1%} of {against}'s points\n")
        told = {who: pd.Series(ask(adversary.model, seen, people, args.seed)).value_counts(normalize=True)
                for who, ask in (("LIME", top_by_lime), ("SHAP", top_by_shap))}
        started = time.perf_counter()
        found = exact_findings(net, X, people)
        seconds = time.perf_counter() - started
        shares = found.drop(columns=["regions", "islands", "corners by the hidden rule", "proved"]).mean()
        told["exact map"] = pd.Series({RACE: shares["race decides"], HARMLESS: shares["harmless column decides"]})
        summary[against] = {
            **{f"{who} names {f} first": told[who].get(f, 0.0) for who in ("LIME", "SHAP") for f in (RACE, HARMLESS)},
            "exact: race alone changes the decision": shares["race decides"],
            f"exact: {HARMLESS} alone changes it": shares["harmless column decides"],
            "exact: people lie on islands in another class": shares["an island holds people"]}
        print(f"{len(people)} exact maps of {found.regions.mean():.0f} linear regions on average, {found.proved.mean():.0%} proved, "
              f"in {seconds:.1f} s")
        show(net, X, people, found, told, against, args.out)
    table = pd.DataFrame(summary)
    table.columns = [f"network against {c}" for c in table]
    print("\nShare of people\n" + table.to_string(float_format="{:.0%}".format))
    table.to_csv(args.out / "summary.csv")


def show(net: pel.Network, X: pd.DataFrame, people: pd.DataFrame, found: pd.DataFrame, told, against: str, out: Path) -> None:
    """One person's plane: the first on which the hidden rule governs all that people can have, if there is such."""
    chosen = int(found["corners by the hidden rule"].argmax())
    atlas = pel.linear_regions(net, plane_of(X, people.iloc[chosen]), by="class")
    print(f"\nOne of them ({atlas.certificate.reason}):")
    print(at_corners(net, atlas).to_string(index=False))
    islands = pel.enclaves(atlas).to_frame(enclosed_only=True)
    if len(islands):
        print("\nIslands of one class in another:\n" + islands.head(6).to_string(index=False, float_format="{:.4g}".format))
    print(draw(atlas, told, against, out), flush=True)


if __name__ == "__main__":
    main()
