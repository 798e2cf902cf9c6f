"""Which inputs can change the answer: importance by verified perturbation (EVA), and how maps are scored (torch)."""

from .attribution import Attribution as Attribution
from .eva import EVA as EVA
from .eva import eva as eva
from .evaluate import Evaluation as Evaluation
from .evaluate import evaluate_attribution as evaluate_attribution
from .hybrid import eva_hybrid as eva_hybrid
from .metrics import deletion as deletion
from .metrics import insertion as insertion
from .metrics import mu_fidelity as mu_fidelity
from .metrics import tightness as tightness
from .robustness import robustness_sr as robustness_sr
