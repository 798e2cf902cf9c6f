"""Every tolerance of pellucid, named, with the reason for its value. No small number stands elsewhere."""

GEOMETRIC = 1e-10
"""Thickness below which a sliver is not cut off, relative to the domain mapped to [-1, 1]^k.

Counts of regions do not change for any value from 1e-12 to 1e-8 on ordinary networks, and drop above; this is the middle."""

ROUNDING_FACTOR = 16.0
"""Signs are decided against this many times the a-priori rounding bound of a unit (the bound is proved, the factor covers
the cut vertices, whose coordinates carry a few roundings of their own)."""

FIDELITY = 1e-4
"""Largest relative difference between an imported network and its original's runtime.

A float32 runtime agrees to about 1e-6 on ordinary networks, deep ones with cancellation to 1e-5; a wrong import (a transposed
weight, another padding) is off by far more than 1e-3."""

ON_FACE = 1e-9
"""How far outside a polygon a point may lie and still count as on its face, relative to the domain. Ten times GEOMETRIC:
faces lie within GEOMETRIC of where they are drawn."""

ON_PLANE = 1e-9
"""How far from a slice's plane a point may lie, relative to its size, and still count as in it: a few roundings of x0 + P u."""

CHECK_AREA = 1e-9
"""Areas of an atlas add up to the domain's within this, relative."""

CHECK_VALUE = 1e-9
"""A region's map equals the network, and its neighbour on their facet, within this of the outputs' scale."""

PROOF_WIDTH = 1e-8
"""Signs are decided against the proved rounding bound only where that is below this, relative to the size of the unit: counts of
regions do not change up to here. Where it is wider, errors are estimated and the certificate does not say proved."""

SIMPLEX = 1e-11
"""Cosine below which the native simplex takes an edge as not rising (OBLIQUE in lp.hpp). A vertex that it calls the best can so be
short of the best by this, for each of k edges, times the diameter 2 sqrt(k) of the domain mapped to [-1, 1]^k."""

SOLVER = 1e-9
"""How far rows, bounds and integers may be missed by a solver of linear or mixed-integer programmes: asked of each of them;
the smallest value that all of them take."""

SECOND_SOLVER = 1e-7
"""What a second run of the same solver is asked for: a solver that cannot reach SOLVER drops optima, and does not say so."""

SOLVER_MARGIN = 1e-7
"""Bounds of units that go into a mixed-integer programme are widened by this, relative to their size: a hundred times SOLVER,
so that no point of the network is cut off by the solver's own tolerance."""

SOLVER_SLACK = 1e-6
"""Regions by mixed-integer programming: how far beyond its breakpoint a unit at an upper piece must get, relative to its range. A
thousand times SOLVER, so that the solver cannot make up a region where a unit only touches its breakpoint."""
