"""The chain normal form: what exact engines eat."""

from .backward import Backward as Backward
from .chain import Chain as Chain
from .chain import Elementwise as Elementwise
from .chain import Selection as Selection
from .chain import Stage as Stage
from .combine import beside as beside
from .deviation import Models as Models
from .deviation import deviation as deviation
from .deviation import deviation_bound as deviation_bound
from .deviation import thickness as thickness
from .floors import Rounding as Rounding
from .floors import confirmed as confirmed
from .floors import own_share as own_share
from .floors import part_factor as part_factor
from .floors import rounding as rounding
from .intervals import UNIT as UNIT
from .intervals import outer_intervals as outer_intervals
from .intervals import rounding_floors as rounding_floors
from .intervals import unit_intervals as unit_intervals
from .local_maps import local_maps as local_maps
from .local_maps import unit_maps as unit_maps
from .lower import chain_of as chain_of
from .lower import lower as lower
