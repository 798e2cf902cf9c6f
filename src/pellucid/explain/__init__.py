"""Explanations made of an atlas: weights, transitions, enclaves, tipping points (SPEC 4 and 5)."""

from .abrupt import AbruptChanges as AbruptChanges
from .abrupt import abrupt_changes as abrupt_changes
from .describe import Description as Description
from .describe import describe as describe
from .difference import Difference as Difference
from .difference import difference as difference
from .enclaves import Enclaves as Enclaves
from .enclaves import enclaves as enclaves
from .favoured import FavouredOutput as FavouredOutput
from .favoured import favoured_output as favoured_output
from .linear import Constraint as Constraint
from .linear import Linear as Linear
from .linear import Objective as Objective
from .linear import feature as feature
from .linear import output as output
from .optimise import Extremum as Extremum
from .optimise import maximise as maximise
from .optimise import minimise as minimise
from .tipping import TippingPoints as TippingPoints
from .tipping import tipping_points as tipping_points
from .transitions import Transitions as Transitions
from .transitions import transitions as transitions
