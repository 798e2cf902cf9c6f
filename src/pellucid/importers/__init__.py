"""Models of other libraries as networks."""

from .fidelity import Fidelity as Fidelity
from .fidelity import check_fidelity as check_fidelity
from .load import load as load
