"""Unwrapping on data: the local linear models that rows visit, their tables, diagnostics, merging and inference (UNWRAP)."""

from .importance import JointImportance as JointImportance
from .importance import joint_importance as joint_importance
from .models import LocalModels as LocalModels
from .models import Rows as Rows
from .unwrapper import UnwrapperClassifier as UnwrapperClassifier
from .unwrapper import UnwrapperRegressor as UnwrapperRegressor
