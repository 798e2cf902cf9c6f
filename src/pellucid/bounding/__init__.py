"""Sound bounds of outputs over balls and boxes, for networks of any size (torch).

The public door is `bounds` and `margins`. What stands behind it serves branch and bound and attributions too:

    run = program(net.graph, torch.float32, device)          # weights as tensors, made once for each graph, dtype and device
    sets = input_set(net, Ball(x, eps, free=masks))          # n sets as one InputSet; or boxes(lower, upper): tensors (n, *input_shape)
    trace = crown(run, sets)                                 # or intervals(run, sets): bounds of every tensor inside, trace.bounds[name]
    trace = crown(run, sets, given={name: (lower, upper)})   # with bounds known otherwise: a unit split at 0 has one of them at 0
    lower, upper, form = final(trace, C)                     # rows C (n or 1, s, *output_shape), float64, of the output

`run.hidden` names the tensors that nonlinear steps take (the pre-activations that branching splits). A `Trace` holds (lower, upper) of
each tensor, (n, *shape), with -inf and inf allowed; `Trace(run, sets, bounds)` may be made by hand from bounds known otherwise, as
long as it has every tensor of the graph: `intervals(run, sets, given=...)` makes the rest. Where bounds given contradict each other
(lower > upper) the set is empty, and whatever comes out says nothing wrong.

    forms = {}
    trace = crown(run, base, keep=forms)                     # forms[name] = (below z, below -z): Form(L, d), L x + d <= z on the set
    forms[name][0].least(inner)                              # (n, units): bounds of z over any subset of the base set

`backward(trace, name, L)` gives the Form below L z of one tensor; `lowest` and `unit_bounds` the numbers, some rows at a time. All of it
has to run inside `with plain_products():`, which keeps products as exact as the proofs need (no TF32, no Winograd). `no_nan` turns what
overflow left into -inf and inf; `final` and `lowest` do not do so themselves.
"""

from ..errors import MissingExtra

try:
    import torch as _torch
except ImportError:
    raise MissingExtra("torch", "torch", "bounding outputs") from None

from .ask import bounds as bounds
from .ask import final as final
from .ask import margins as margins
from .backward import Form as Form
from .backward import Trace as Trace
from .backward import Units as Units
from .backward import backward as backward
from .backward import lowest as lowest
from .backward import unit_bounds as unit_bounds
from .hidden import crown as crown
from .hidden import intervals as intervals
from .program import Program as Program
from .program import program as program
from .property import Case as Case
from .property import Property as Property
from .property import never as never
from .result import Bounds as Bounds
from .result import Forms as Forms
from .rounding import no_nan as no_nan
from .rounding import plain_products as plain_products
from .sets import InputSet as InputSet
from .sets import boxes as boxes
from .sets import input_set as input_set
from .verdict import Verdict as Verdict
from .verify import verify as verify
from .vnnlib import Query as Query
from .vnnlib import load_vnnlib as load_vnnlib
