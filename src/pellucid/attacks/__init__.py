"""Attacks: points that attain what bounds allow, found by gradients (torch). Inner estimates, never bounds."""

from .inputs import Attained as Attained
from .inputs import Goal as Goal
from .inputs import ascend as ascend
from .sets import Sets as Sets
from .sets import balls as balls
from .sets import boxes as boxes
