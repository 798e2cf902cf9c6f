"""The package as a whole: what is public, and how light its import is."""

import subprocess
import sys

import pellucid

PUBLIC = {
    "load", "Network", "Box", "Slice", "linear_regions", "Atlas", "PartialAtlas", "Region", "load_atlas", "describe", "Description",
    "importance", "Importance", "monotone", "Monotone", "monotone_table", "MonotoneTable", "lipschitz", "Lipschitz",
    "decision_boundary", "DecisionBoundary", "transitions", "enclaves", "tipping_points", "abrupt_changes", "favoured_output", "plot",
    "Certificate", "Status", "PellucidError", "ModelError", "UnsupportedOp", "FidelityError", "DomainError", "NotPiecewiseLinear",
    "NoDecision", "DataError", "FileFormatError", "MissingColumn", "MissingExtra", "Interrupted", "PathInUse", "__version__",
    "counterfactual", "Counterfactual", "fair", "Fairness", "sufficient_reason", "SufficientReason", "contrastive_reason",
    "ContrastiveReason", "nearest_regions", "NearestRegions", "robustness_radius", "local_explanation", "count_regions", "RegionCount",
    "maximise", "minimise", "Extremum", "Objective", "output", "feature", "difference", "Difference", "Hull", "monotone_decision",
    "verify", "Verdict", "never", "Property", "load_vnnlib",
    "MonotoneDecision", "StreamedAtlas", "resume", "estimate_regions", "RegionEstimate",
    "eva", "EVA", "eva_hybrid", "Attribution", "evaluate_attribution", "Evaluation", "deletion", "insertion", "mu_fidelity",
    "robustness_sr", "tightness",
    "joint_importance", "JointImportance",
    "UnwrapperClassifier", "UnwrapperRegressor", "LocalModels",
    "MergedClassifier", "MergedRegressor", "Inference", "FlatClassifier", "FlatRegressor",
    "Ball", "bounds", "margins", "Bounds",
}


def test_the_public_names_are_these_and_all_are_there():
    assert set(pellucid.__all__) == PUBLIC
    for name in PUBLIC:
        assert getattr(pellucid, name) is not None


def test_importing_the_package_imports_nothing_heavy():
    heavy = ["numpy", "scipy", "pandas", "matplotlib", "onnx", "onnxruntime", "torch", "keras", "sklearn", "pyarrow"]
    code = f"import pellucid, sys; print([m for m in {heavy!r} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_loading_a_network_imports_no_framework_but_its_own():
    code = ("import pellucid, sys; pellucid.load(([[[1.0, 2.0]]], [[0.0]]), orientation='out_in');"
            "print([m for m in 'pandas matplotlib onnx onnxruntime torch keras sklearn pyarrow'.split() if m in sys.modules])")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
