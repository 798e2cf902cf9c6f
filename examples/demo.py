"""Train a real classifier on real data, then let `pellucid explain` make a report of it. Run by `make demo`.

The data are scikit-learn's breast cancer set: 30 measurements of cell nuclei, and whether the tumour was benign.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import skops.io
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="where model, data and report go")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)

    data = load_breast_cancer(as_frame=True)
    diagnosis = data.target.map(dict(enumerate(data.target_names))).rename("diagnosis")
    seen, held_out, y_seen, y_held_out = train_test_split(data.data, diagnosis, random_state=0, stratify=diagnosis)
    model = make_pipeline(StandardScaler(), MLPClassifier((32, 16), alpha=1.0, max_iter=300, random_state=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(seen, y_seen)
    skops.io.dump(model, out / "model.skops")
    held_out.join(y_held_out).to_csv(out / "held_out.csv", index=False)

    print(f"A 30-32-16-1 network was trained on {len(seen)} tumours; it is explained on the {len(held_out)} held out.\n", flush=True)
    arguments = ["explain", str(out / "model.skops"), str(out / "held_out.csv"), "--target", "diagnosis", "--out", str(out)]
    print("$ pellucid " + shlex.join(arguments), flush=True)
    raise SystemExit(subprocess.run([sys.executable, "-m", "pellucid.cli", *arguments]).returncode)


if __name__ == "__main__":
    main()
