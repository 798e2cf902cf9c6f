"""Pictures of atlases and explanations: exact polygons, drawn by matplotlib (imported when the first picture is)."""

from .bounds import bounds as bounds
from .class_map import class_map as class_map
from .decision_boundary import decision_boundary as decision_boundary
from .importance import importance as importance
from .matplotlib import save as save
from .rank_map import rank_map as rank_map
from .value_map import value_map as value_map
from .weight_map import weight_map as weight_map
from .weights import weights as weights
