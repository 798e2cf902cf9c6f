"""VNN-LIB: what a file says is what is read; what cannot be read is refused with a message, never with a crash or a guess."""

from __future__ import annotations

import contextlib
import gzip
import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.bounding.vnnlib import MOST_DEPTH, load_vnnlib, parse_vnnlib
from pellucid.errors import FileFormatError

HEAD = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)\n"
BOX = "(assert (<= X_0 1))(assert (>= X_0 -1))(assert (and (<= X_1 2.5e-1) (>= X_1 .0)))\n"

coefficients = st.integers(-3, 3)
constants = st.integers(-8, 8).map(lambda n: n / 4)
points = st.tuples(*[st.integers(-8, 8).map(lambda n: n / 4)] * 4)


@st.composite
def formulas(draw, depth=3):
    """(text, the formula as a function of a point (x0, x1, y0, y1))."""
    kind = draw(st.sampled_from(["and", "or", "not", "atom", "atom"] if depth else ["atom"]))
    if kind == "atom":
        op = draw(st.sampled_from(["<=", "<", ">=", ">", "="]))
        sides = [(draw(st.tuples(*[coefficients] * 4)), draw(constants)) for _ in range(2)]
        test = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt, "=": operator.eq}[op]
        words = " ".join("(+ " + " ".join(f"(* {c} {v})" for c, v in zip(cs, ("X_0", "X_1", "Y_0", "Y_1"), strict=True)) + f" {k})"
                         for cs, k in sides)
        return f"({op} {words})", lambda p: test(*(np.dot(cs, p) + k for cs, k in sides))
    if kind == "not":
        text, holds = draw(formulas(depth=depth - 1))
        return f"(not {text})", lambda p: not holds(p)
    parts = draw(st.lists(formulas(depth=depth - 1), min_size=0, max_size=3))
    every = all if kind == "and" else any
    return f"({kind} {' '.join(t for t, _ in parts)})", lambda p: every(holds(p) for _, holds in parts)


@given(formulas(), st.lists(points, min_size=1, max_size=30))
def test_a_point_is_unsafe_where_the_formula_holds(formula, ps):
    text, holds = formula
    wide = "(assert (and (<= X_0 2) (>= X_0 -2) (<= X_1 2) (>= X_1 -2)))"
    ps = np.array(ps)
    expected = np.array([holds(p) for p in ps])
    try:
        query = parse_vnnlib(f"{HEAD}{wide}(assert {text})")
    except FileFormatError:                                     # no point keeps the constraints on the inputs
        assert not expected.any()
        return
    inside = ((ps[:, :2] >= query.domain.lower) & (ps[:, :2] <= query.domain.upper)).all(axis=1)
    assert not (expected & ~inside).any()                       # the domain holds every unsafe point
    np.testing.assert_array_equal(query.property.unsafe_in(ps[:, 2:], ps[:, :2]) >= 0, expected)


def test_bounds_of_inputs_are_the_domain_and_not_rows():
    query = parse_vnnlib(HEAD + BOX + "(assert (>= Y_0 3.991125645861615)) ; a comment (\n")
    np.testing.assert_array_equal(query.domain.lower, [-1, 0])
    np.testing.assert_array_equal(query.domain.upper, [1, 0.25])
    (case,) = query.property.unsafe
    np.testing.assert_array_equal(case.C, [[-1.0, 0.0]])
    np.testing.assert_array_equal(case.b, [-3.991125645861615])


def test_cases_have_boxes_of_their_own():
    query = parse_vnnlib(HEAD + BOX + "(assert (or (and (<= X_0 0) (<= Y_0 0)) (and (>= X_0 0.5) (<= Y_1 Y_0) (>= Y_1 2))))")
    first, second = query.property.unsafe
    assert (first.upper[0], second.lower[0]) == (0.0, 0.5)
    assert (len(first.b), len(second.b)) == (1, 2)


def test_the_competitions_files_are_read(shared):
    for path in sorted((shared / "data").glob("*/*.vnnlib")):
        query = load_vnnlib(path)
        assert query.domain.n_inputs == query.property.n_inputs
        assert np.isfinite(query.domain.lower).all()
    query = load_vnnlib(shared / "data/mnistfc/prop_0_0.03.vnnlib")
    assert (query.property.n_inputs, query.property.n_outputs, len(query.property.unsafe)) == (784, 10, 9)
    assert query.domain.upper[783] == 0.029999999329447746


def test_compressed_files_are_read(tmp_path):
    path = tmp_path / "a.vnnlib.gz"
    path.write_bytes(gzip.compress((HEAD + BOX + "(assert (<= Y_0 Y_1))").encode()))
    assert len(load_vnnlib(path).property.unsafe) == 1
    path.write_bytes(b"no gzip")
    with pytest.raises(FileFormatError):
        load_vnnlib(path)


def _nested(n: int) -> str:
    return HEAD + BOX + "(assert " + "(and " * n + "(<= Y_0 0)" + ")" * n + ")"


HOSTILE = {
    "empty": ("", "no variable"),
    "no outputs": ("(declare-const X_0 Real)(assert (<= X_0 0))", "no variable Y_0"),
    "open": (HEAD + "(assert (<= X_0 1)", "never closed"),
    "closed": (HEAD + ")", "no opening"),
    "outside": (HEAD + "assert", "outside of parentheses"),
    "undeclared": (HEAD + BOX + "(assert (<= Y_7 0))", "neither a number nor a declared variable"),
    "a number before": ("(assert (<= Y_0 0))" + HEAD, "neither a number nor a declared variable"),
    "twice": (HEAD + HEAD, "declared twice"),
    "a gap": (HEAD + "(declare-const X_3 Real)", "X_2 is not declared"),
    "another sort": ("(declare-const X_0 Int)", "all Real"),
    "another name": ("(declare-const Z Real)", "X_0, X_1"),
    "many": ("(declare-const X_99999999 Real)(declare-const Y_0 Real)", "variables are read"),
    "unbounded": (HEAD + "(assert (<= X_0 1))(assert (<= Y_0 0))", "no bounds on both sides"),
    "empty box": (HEAD + BOX + "(assert (>= X_0 2))", "no point keeps"),
    "false": (HEAD + BOX + "(assert (or))", "no point keeps"),
    "product": (HEAD + BOX + "(assert (<= (* X_0 X_1) 1))", "not linear"),
    "quotient": (HEAD + BOX + "(assert (<= (/ 1 X_0) 1))", "no linear expression"),
    "by zero": (HEAD + BOX + "(assert (<= (/ X_0 0) 1))", "no linear expression"),
    "let": (HEAD + BOX + "(assert (let ((a 1)) (<= X_0 a)))", "not known"),
    "one side": (HEAD + BOX + "(assert (<= X_0))", "not known"),
    "a word": (HEAD + BOX + "(assert true)", "no formula"),
    "a number": (HEAD + BOX + "(assert (<= X_0 nan))", "neither a number"),
    "infinite": (HEAD + BOX + "(assert (<= X_0 1e999))", "beyond the range"),
    "overflow": (HEAD + BOX + "(assert (<= (* 1e300 (* 1e300 Y_0)) 1))", "beyond the range"),
    "sum overflows": (HEAD + BOX + "(assert (<= (+ (* 1e308 Y_0) (* 1e308 Y_0)) 1))", "beyond the range"),
    "deep": (_nested(100_000), f"deeper than {MOST_DEPTH}"),
    "a product of disjunctions": (HEAD + BOX + "(assert (or (<= Y_0 0) (<= Y_1 0)))" * 40, "multiply to more"),
    "a command": ("(define-fun f () Real 1)", "not known"),
    "an empty form": ("()", "not known"),
    "a list as a head": ("((assert))", "not known"),
}


@pytest.mark.parametrize(("text", "says"), HOSTILE.values(), ids=HOSTILE)
def test_what_cannot_be_read_is_refused(text, says):
    with pytest.raises(FileFormatError, match=says):
        parse_vnnlib(text, "bad.vnnlib")


@given(st.text(alphabet="()<>=-+*/;. \nXY_01assertorandnotdeclare-constReal", max_size=200))
def test_no_text_crashes_the_reader(text):
    with contextlib.suppress(FileFormatError):
        parse_vnnlib(text)


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "a.vnnlib"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(FileFormatError, match="no VNN-LIB text"):
        load_vnnlib(path)
    with pytest.raises(FileFormatError, match="there is no file"):
        load_vnnlib(tmp_path / "absent.vnnlib")


def test_deep_but_allowed_nesting_is_read():
    assert len(parse_vnnlib(_nested(MOST_DEPTH - 5)).property.unsafe) == 1
