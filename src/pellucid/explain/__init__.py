"""Explanations made of an atlas: weights, transitions, enclaves, tipping points (SPEC 4 and 5)."""

from .abrupt import AbruptChanges as AbruptChanges
from .abrupt import abrupt_changes as abrupt_changes
from .describe import Description as Description
from .describe import describe as describe
from .enclaves import Enclaves as Enclaves
from .enclaves import enclaves as enclaves
from .favoured import FavouredOutput as FavouredOutput
from .favoured import favoured_output as favoured_output
from .how_many import RegionEstimate as RegionEstimate
from .how_many import estimate_regions as estimate_regions
from .tipping import TippingPoints as TippingPoints
from .tipping import tipping_points as tipping_points
from .transitions import Transitions as Transitions
from .transitions import transitions as transitions
