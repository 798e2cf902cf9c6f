"""Unwrapping on data: the local linear models that rows visit, their tables, diagnostics, merging and inference (UNWRAP).

Names are imported when they are first used: estimators need scikit-learn (extra [unwrap]), and pictures, which take what
estimators give, have to load without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

_HOME = {
    "LocalModels": "models", "Rows": "models",
    "JointImportance": "importance", "joint_importance": "importance",
    "UnwrapperClassifier": "unwrapper", "UnwrapperRegressor": "unwrapper",
    "MergedClassifier": "merged", "MergedRegressor": "merged",
    "FlatClassifier": "flat", "FlatRegressor": "flat",
    "Inference": "inference",
}

__all__ = [*_HOME]

if TYPE_CHECKING:
    from .flat import FlatClassifier, FlatRegressor
    from .importance import JointImportance, joint_importance
    from .inference import Inference
    from .merged import MergedClassifier, MergedRegressor
    from .models import LocalModels, Rows
    from .unwrapper import UnwrapperClassifier, UnwrapperRegressor


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
