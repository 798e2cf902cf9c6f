"""Unwrapping on data: the local linear models that rows visit, their tables, diagnostics, merging and inference (UNWRAP)."""

from .importance import JointImportance as JointImportance
from .importance import joint_importance as joint_importance
