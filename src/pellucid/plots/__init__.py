"""Pictures of atlases, explanations and local models, drawn by matplotlib (imported when the first picture is)."""

from .attribution import attribution as attribution
from .bootstrap import bootstrap as bootstrap
from .bootstrap import intervals as intervals
from .bounds import bounds as bounds
from .class_map import class_map as class_map
from .coefficients import coefficients as coefficients
from .data_regions import data_regions as data_regions
from .decision_boundary import decision_boundary as decision_boundary
from .importance import importance as importance
from .joint_importance import joint_importance as joint_importance
from .local_models import local_models as local_models
from .matplotlib import save as save
from .parallel_coordinates import parallel_coordinates as parallel_coordinates
from .performance import performance as performance
from .polar import polar as polar
from .profile import intercept_profile as intercept_profile
from .profile import profile as profile
from .rank_map import rank_map as rank_map
from .region_rows import region_rows as region_rows
from .unseen_codes import unseen_codes as unseen_codes
from .value_map import value_map as value_map
from .weight_map import weight_map as weight_map
from .weights import weights as weights
