"""Every tolerance of pellucid, named, with the reason for its value. No small number stands elsewhere."""

GEOMETRIC = 1e-10
"""Thickness below which a sliver is not cut off, relative to the domain mapped to [-1, 1]^k.

Counts of regions do not change for any value from 1e-12 to 1e-8 on ordinary networks, and drop above; this is the middle."""

ROUNDING_FACTOR = 16.0
"""Signs are decided against this many times the a-priori rounding bound of a unit (the bound is proved, the factor covers
the cut vertices, whose coordinates carry a few roundings of their own)."""

OWN_SHARE = 0.25
"""Where bounds of rounding errors are found for each cell, decisions are proved if no bound is more than this of what signs were decided
against (ROUNDING_FACTOR times the floor): what is left covers the cut vertices, as above."""

OWN_WIDTH = 1e-7
"""Signs are decided against no more than this, relative to the size of the unit, for the sake of cells' own bounds: ten times PROOF_WIDTH,
which only units of deep networks in large domains come to. Beyond, errors are estimated, and nothing is called proved."""

FIDELITY = 1e-4
"""Largest relative difference between an imported network and its original's runtime.

A float32 runtime agrees to about 1e-6 on ordinary networks, deep ones with cancellation to 1e-5; a wrong import (a transposed
weight, another padding) is off by far more than 1e-3."""

ON_FACE = 1e-9
"""How far outside a polygon a point may lie and still count as on its face, relative to the domain. Ten times GEOMETRIC:
faces lie within GEOMETRIC of where they are drawn."""

ON_PLANE = 1e-9
"""How far from a slice's plane a feature may lie, relative to its size or range, and still count as in it: a few roundings of
x0 + P u."""

CHECK_AREA = 1e-9
"""Areas of an atlas add up to the domain's within this, relative."""

CHECK_VALUE = 1e-9
"""A region's map equals the network, and its neighbour on their facet, within this of the outputs' scale."""

NEAR_BOX = 1.5
"""A search within radius r of a point works in the box x +- 1.5 r: regions that reach into the ball do so into the box by more than
a sliver, unless they are thin themselves."""

NEAR_MARGIN = 1e-9
"""What a radius within which no region is missing is reduced by, relative: nearest points lie within FEASIBLE roundings (1e-13 of
the box) of their faces, and faces that meet at a small angle magnify that."""

FARTHEST = 1e6
"""Where the search of an unbounded domain ends, in units of the farthest unit hyperplane (by the local model at x): beyond, slivers
of the box that is searched would be as thick as the regions near x."""

FACET_BALL = 1e-6
"""Facets found by HiGHS hold a ball of this radius, relative to the typical distance of the rows: ten times its feasibility
tolerance, below which it cannot tell a facet from a touch."""

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

LEAD = 1e-7
"""By how many logits a class has to lead where a tie would not do: infima lie on ties, and a lead has to be well above what solvers
can miss (a hundred times SOLVER)."""

LEAD_SLACK = 1e-8
"""What is asked of a lead is lowered by this where it is proved that nothing has it: ten times SOLVER, so that the solver's own
tolerance cannot hide a point."""

PROVED_GAP = 1e-6
"""A nearest or largest value counts as proved where the bound is within this of it, relative to 1 + its size."""

LP_ROOM = 1e-9
"""What a bound by linear programming has to clear, relative. Its multipliers are checked by weak duality, so that the solver's own
tolerances do not count and only the rounding of short sums is left."""

NEIGHBOUR_SHARE = 0.01
"""Share of the local linear models that are taken as neighbours of one when they are merged (UNWRAP 5.1)."""

NEIGHBOURS_AT_FIRST = 30
"""The most neighbours that a merging begins with: of 7000 models 1% would be 70, which takes Ward's tree 20 s instead of 6."""

NEIGHBOUR_EDGES = 500_000
"""The most edges of a graph of neighbours; beyond, its parts are joined by their shortest links. Half a minute of Ward's tree."""

GROUPED_MODELS = 2000
"""How many groups too many models are put into before their tree is built: a hundred for each of the 20 clusters at which it is cut."""

GLM_STEP = 1e-13
"""A logistic fit ends when its loss falls by less than this, relative: Newton's steps are quadratic there, so that coefficients stand
to half of float64's digits or better."""

DRAW_STEP = 1e-9
"""The same for bootstrap draws, whose spread is many times what is left."""

COLLINEAR = 1e-8
"""A column of a design of which less than this is left, relative, when those before it are taken out, is a combination of them. Dummies
that add up to one leave 1e-15; R's glm draws the line at 1e-7 to 1e-11."""

SEPARATED = 0.5
"""A row is told apart by a plane that errs nowhere where its margin, asked for up to 1, is more than this: between the 0 and 1 that the
linear programme can answer, and far above its own tolerance."""

PERFECT_FIT = 1e-12
"""A least-squares fit whose residuals are below this, relative to the response, is without error: what is left is rounding."""

LOST_DRAWS = 0.05
"""Share of bootstrap draws without an answer from which on an interval of the others is not given: those that are lost are the extreme
ones, so that it would be too short at the level .95 already."""

OUTPUT_RIDGE = 1e-3
"""Ridge of the output layer of a flat network, in the units of one row: decides between units that say the same, and moves no fit of
many rows."""

ON_BREAKPOINT = 1e-12
"""Rows of data: how near to its breakpoint a unit counts as on it, relative to the sizes of the terms that it adds up. Some thousand
roundings, so that a constant unit that roundings push off its breakpoint is recognised; of rows that are not on a face by construction
about one in 1e9 comes so near, and is only looked at more closely."""

CONSTANT_UNIT = 1e-12
"""A unit whose slope over a region is below this, relative to the largest slope of its layer there, counts as constant: a sum that
cancels leaves a few roundings."""
