"""Explanations: of an atlas (weights, transitions, enclaves, tipping points), and answers with proof about decisions."""

from .abrupt import AbruptChanges as AbruptChanges
from .abrupt import abrupt_changes as abrupt_changes
from .contrastive import ContrastiveReason as ContrastiveReason
from .contrastive import contrastive_reason as contrastive_reason
from .counterfactual import Counterfactual as Counterfactual
from .counterfactual import counterfactual as counterfactual
from .describe import Description as Description
from .describe import describe as describe
from .enclaves import Enclaves as Enclaves
from .enclaves import enclaves as enclaves
from .fairness import Fairness as Fairness
from .fairness import fair as fair
from .favoured import FavouredOutput as FavouredOutput
from .favoured import favoured_output as favoured_output
from .monotone_decision import MonotoneDecision as MonotoneDecision
from .monotone_decision import monotone_decision as monotone_decision
from .sufficient import SufficientReason as SufficientReason
from .sufficient import sufficient_reason as sufficient_reason
from .tipping import TippingPoints as TippingPoints
from .tipping import tipping_points as tipping_points
from .transitions import Transitions as Transitions
from .transitions import transitions as transitions
