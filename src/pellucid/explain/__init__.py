"""Explanations made of an atlas: weights, transitions, enclaves, tipping points (SPEC 4 and 5)."""

from .abrupt import AbruptChanges as AbruptChanges
from .abrupt import abrupt_changes as abrupt_changes
from .boundary import DecisionBoundary as DecisionBoundary
from .boundary import decision_boundary as decision_boundary
from .describe import Description as Description
from .describe import describe as describe
from .enclaves import Enclaves as Enclaves
from .enclaves import enclaves as enclaves
from .favoured import FavouredOutput as FavouredOutput
from .favoured import favoured_output as favoured_output
from .importance import Importance as Importance
from .importance import importance as importance
from .lipschitz import Lipschitz as Lipschitz
from .lipschitz import lipschitz as lipschitz
from .monotone import Monotone as Monotone
from .monotone import MonotoneTable as MonotoneTable
from .monotone import monotone as monotone
from .monotone import monotone_table as monotone_table
from .tipping import TippingPoints as TippingPoints
from .tipping import tipping_points as tipping_points
from .transitions import Transitions as Transitions
from .transitions import transitions as transitions
