"""Unwrapping on data: the local linear models that rows visit, their tables, diagnostics, merging and inference (UNWRAP)."""

from .flat import FlatClassifier as FlatClassifier
from .flat import FlatRegressor as FlatRegressor
from .inference import Inference as Inference
from .merged import MergedClassifier as MergedClassifier
from .merged import MergedRegressor as MergedRegressor
from .models import LocalModels as LocalModels
from .models import Rows as Rows
from .unwrapper import UnwrapperClassifier as UnwrapperClassifier
from .unwrapper import UnwrapperRegressor as UnwrapperRegressor
