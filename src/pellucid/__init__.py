"""pellucid: exact and certified explanation of neural networks.

    net = pel.load("model.onnx")
    atlas = pel.linear_regions(net, pel.Box(lower, upper).slice(free=("age", "income"), at=x0), by="class")
    pel.describe(atlas, output="approved").to_frame()

Names are imported when they are first used, so that `import pellucid` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

_HOME = {
    "load": "importers.load",
    "Network": "graph",
    "Ball": "geometry", "Box": "geometry", "Slice": "geometry", "Hull": "geometry",
    "linear_regions": "atlas", "Atlas": "atlas", "PartialAtlas": "atlas", "Region": "atlas", "load_atlas": "atlas",
    "StreamedAtlas": "atlas", "resume": "atlas",
    "describe": "explain", "Description": "explain", "transitions": "explain", "enclaves": "explain", "tipping_points": "explain",
    "abrupt_changes": "explain", "favoured_output": "explain", "counterfactual": "explain", "Counterfactual": "explain",
    "fair": "explain", "Fairness": "explain", "sufficient_reason": "explain", "SufficientReason": "explain",
    "contrastive_reason": "explain", "ContrastiveReason": "explain",
    "nearest_regions": "atlas", "NearestRegions": "atlas",
    "robustness_radius": "explain", "local_explanation": "explain", "importance": "explain", "Importance": "explain",
    "monotone": "explain", "Monotone": "explain", "monotone_table": "explain", "MonotoneTable": "explain", "lipschitz": "explain",
    "Lipschitz": "explain", "decision_boundary": "explain", "DecisionBoundary": "explain", "count_regions": "explain",
    "RegionCount": "explain", "monotone_decision": "explain", "MonotoneDecision": "explain", "maximise": "explain",
    "minimise": "explain", "Extremum": "explain", "Objective": "explain", "output": "explain", "feature": "explain",
    "difference": "explain", "Difference": "explain", "estimate_regions": "explain", "RegionEstimate": "explain",
    "joint_importance": "unwrap", "JointImportance": "unwrap",
    "UnwrapperClassifier": "unwrap", "UnwrapperRegressor": "unwrap", "LocalModels": "unwrap",
    "MergedClassifier": "unwrap", "MergedRegressor": "unwrap", "Inference": "unwrap", "FlatClassifier": "unwrap", "FlatRegressor": "unwrap",
    "bounds": "bounding", "margins": "bounding", "Bounds": "bounding",
    "eva": "attribution", "EVA": "attribution", "eva_hybrid": "attribution", "Attribution": "attribution",
    "evaluate_attribution": "attribution", "Evaluation": "attribution", "deletion": "attribution", "insertion": "attribution",
    "mu_fidelity": "attribution", "robustness_sr": "attribution", "tightness": "attribution",
    "verify": "bounding", "Verdict": "bounding", "never": "bounding", "Property": "bounding", "load_vnnlib": "bounding",
    "Certificate": "certificate", "Status": "certificate",
    "PellucidError": "errors", "ModelError": "errors", "UnsupportedOp": "errors", "FidelityError": "errors", "DomainError": "errors",
    "NotPiecewiseLinear": "errors", "NoDecision": "errors", "MissingColumn": "errors", "DataError": "errors",
    "FileFormatError": "errors", "MissingExtra": "errors", "Interrupted": "errors", "PathInUse": "errors",
}

__all__ = [*_HOME, "__version__", "plot"]

if TYPE_CHECKING:
    from . import plots as plot
    from .atlas import (
        Atlas,
        NearestRegions,
        PartialAtlas,
        Region,
        StreamedAtlas,
        linear_regions,
        load_atlas,
        nearest_regions,
        resume,
    )
    from .attribution import (
        EVA,
        Attribution,
        Evaluation,
        deletion,
        eva,
        eva_hybrid,
        evaluate_attribution,
        insertion,
        mu_fidelity,
        robustness_sr,
        tightness,
    )
    from .bounding import Bounds, Property, Verdict, bounds, load_vnnlib, margins, never, verify
    from .certificate import Certificate, Status
    from .errors import (
        DataError,
        DomainError,
        FidelityError,
        FileFormatError,
        Interrupted,
        MissingColumn,
        MissingExtra,
        ModelError,
        NoDecision,
        NotPiecewiseLinear,
        PathInUse,
        PellucidError,
        UnsupportedOp,
    )
    from .explain import (
        ContrastiveReason,
        Counterfactual,
        DecisionBoundary,
        Description,
        Difference,
        Extremum,
        Fairness,
        Importance,
        Lipschitz,
        Monotone,
        MonotoneDecision,
        MonotoneTable,
        Objective,
        RegionCount,
        RegionEstimate,
        SufficientReason,
        abrupt_changes,
        contrastive_reason,
        count_regions,
        counterfactual,
        decision_boundary,
        describe,
        difference,
        enclaves,
        estimate_regions,
        fair,
        favoured_output,
        feature,
        importance,
        lipschitz,
        local_explanation,
        maximise,
        minimise,
        monotone,
        monotone_decision,
        monotone_table,
        output,
        robustness_radius,
        sufficient_reason,
        tipping_points,
        transitions,
    )
    from .geometry import Ball, Box, Hull, Slice
    from .graph import Network
    from .importers.load import load
    from .unwrap import (
        FlatClassifier,
        FlatRegressor,
        Inference,
        JointImportance,
        LocalModels,
        MergedClassifier,
        MergedRegressor,
        UnwrapperClassifier,
        UnwrapperRegressor,
        joint_importance,
    )

    __version__: str


def __getattr__(name: str):
    if name == "plot":
        value = import_module(".plots", __name__)
    elif name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            value = version("pellucid")
        except PackageNotFoundError:        # run from a source tree
            value = "0+unknown"
    elif name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    else:
        raise AttributeError(f"module 'pellucid' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
