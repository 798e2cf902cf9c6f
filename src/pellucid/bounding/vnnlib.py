"""VNN-LIB files (version 1): the queries of the verification competitions, read as a domain and a property."""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..errors import FileFormatError
from ..geometry import Box
from .property import Case, Property, case

MOST_CASES = 100_000
"""Of the disjunction that a file comes to: a hostile product of disjunctions is refused before it fills the memory."""
MOST_ENTRIES = 2**26
"""Bounds of inputs in all cases together: half a gigabyte."""
MOST_DEPTH = 200
"""Of nested parentheses; files of the competitions have six."""
MOST_BYTES = 2**28
MOST_VARIABLES = 2**22

_TOKEN = re.compile(r";[^\n]*|[()]|[^\s();]+")
_VARIABLE = re.compile(r"([XY])_(0|[1-9]\d{0,8})\Z")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z")


@dataclass(frozen=True, eq=False)
class Query:
    """Is the network safe (`property`) everywhere in the `domain`? Made by `load_vnnlib`; `pel.verify(net, path)` asks it."""

    domain: Box
    property: Property


@dataclass(frozen=True)
class Atom:
    """sum of factors times variables + constant <= 0, or < 0 where strict."""

    factors: tuple[tuple[str, float], ...]
    constant: float
    strict: bool


Cases = list[tuple[Atom, ...]]
"""A disjunction of conjunctions."""


def load_vnnlib(path: str | Path) -> Query:
    """Read a .vnnlib (or .vnnlib.gz) file: its assertions together describe the unsafe points.

    Takes linear constraints on X_i and Y_j under and, or, not; =, <, <=, >, >=; +, -, * and / by constants. Numbers are read as the
    nearest float64. FileFormatError for anything else, and where an input has no bounds on both sides.
    """
    path = Path(path)
    return parse_vnnlib(_text(path), path.name)


def _text(path: Path) -> str:
    if not path.is_file():
        raise FileFormatError(f"there is no file {path}")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as f:
            data = f.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise FileFormatError(f"{path} is larger than {MOST_BYTES} bytes")
        return data.decode("utf-8")
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as e:
        raise FileFormatError(f"{path} is no VNN-LIB text: {e}") from e


def parse_vnnlib(text: str, name: str = "the property") -> Query:
    """`load_vnnlib`, of a text."""
    return _query(*_Reader(name).read(text), name)


class _Reader:
    """From text to a disjunction; every message names the file."""

    def __init__(self, name: str):
        self.name = name
        self.declared: set[str] = set()

    def fail(self, why: str) -> FileFormatError:
        return FileFormatError(f"{self.name}: {why}.\n  It can be      VNN-LIB 1: (declare-const X_0 Real) .. (assert (<= X_0 0.5)) "
                               "(assert (or (and (>= Y_0 Y_1)) ..))")

    def read(self, text: str) -> tuple[list[Atom], Cases, tuple[int, int]]:
        """What holds in every case, the cases, and the numbers of inputs and outputs."""
        together: list[Atom] = []
        choices: list[Cases] = []
        for form in self._forms(text):
            for part in self._command(form):
                if len(part) == 1:
                    together += part[0]
                else:
                    choices.append(part)
        cases = self._product(choices)
        n_inputs, n_outputs = (self._count(kind) for kind in "XY")
        if len(cases) * n_inputs > MOST_ENTRIES:
            raise self.fail(f"{len(cases)} cases of {n_inputs} inputs: more than {MOST_ENTRIES} bounds")
        return together, cases, (n_inputs, n_outputs)

    def _count(self, kind: str) -> int:
        numbers = sorted(int(v[2:]) for v in self.declared if v[0] == kind)
        if not numbers:
            raise self.fail(f"no variable {kind}_0 is declared")
        if numbers[-1] >= MOST_VARIABLES:
            raise self.fail(f"{kind}_{numbers[-1]} is declared: up to {MOST_VARIABLES} variables are read")
        if numbers != list(range(len(numbers))):
            gap = next(i for i, n in enumerate(numbers) if n != i)
            raise self.fail(f"{kind}_{gap} is not declared, {kind}_{numbers[-1]} is")
        return len(numbers)

    def _forms(self, text: str) -> Iterator:
        """The expressions at the top, as nested lists of words."""
        stack: list[list] = []
        for found in _TOKEN.finditer(text):
            word = found.group()
            if word[0] == ";":
                continue
            if word == "(":
                if len(stack) >= MOST_DEPTH:
                    raise self.fail(f"parentheses are nested deeper than {MOST_DEPTH}")
                stack.append([])
            elif word == ")":
                if not stack:
                    raise self.fail("a closing parenthesis has no opening one")
                done = stack.pop()
                if not stack:
                    yield done
                else:
                    stack[-1].append(done)
            elif not stack:
                raise self.fail(f"'{word[:40]}' stands outside of parentheses")
            else:
                stack[-1].append(word)
        if stack:
            raise self.fail("an opening parenthesis is never closed")

    def _command(self, form: list) -> list[Cases]:
        """What a form asserts, as conjunction of disjunctions."""
        if form and form[0] == "assert" and len(form) == 2:
            return self._conjuncts(form[1])
        if form and form[0] == "declare-const" and len(form) == 3 and isinstance(form[1], str):
            if form[2] != "Real" or not _VARIABLE.match(form[1]):
                raise self.fail(f"'{form[1][:40]}' of sort {str(form[2])[:40]} is declared; inputs are X_0, X_1, .., outputs Y_0, .., "
                                "all Real")
            if form[1] in self.declared:
                raise self.fail(f"{form[1]} is declared twice")
            self.declared.add(form[1])
            return []
        if form and form[0] in ("set-logic", "set-info", "set-option", "check-sat", "get-model", "exit"):
            return []
        raise self.fail(f"'{_shown(form)}' is not known")

    def _conjuncts(self, form) -> list[Cases]:
        """A formula as the list of formulas that it is the conjunction of, so that long ones are not multiplied out."""
        if isinstance(form, list) and form and form[0] == "and":
            return [c for part in form[1:] for c in self._conjuncts(part)]
        return [self._formula(form, True)]

    def _formula(self, form, wanted: bool) -> Cases:
        """The formula (its negation, where not wanted) as a disjunction."""
        if not (isinstance(form, list) and form and isinstance(form[0], str)):
            raise self.fail(f"'{_shown(form)}' is no formula")
        head, rest = form[0], form[1:]
        if head in ("and", "or"):
            parts = [self._formula(part, wanted) for part in rest]
            if (head == "and") == wanted:
                return self._product(parts)
            cases = [c for part in parts for c in part]
            self._check_count(len(cases))
            return cases
        if head == "not" and len(rest) == 1:
            return self._formula(rest[0], not wanted)
        if head in ("<=", "<", ">=", ">", "=") and len(rest) >= 2:
            return self._comparison(head, rest, wanted)
        raise self.fail(f"'{_shown(form)}' is not known")

    def _comparison(self, head: str, rest: list, wanted: bool) -> Cases:
        terms = [self._term(t) for t in rest]
        parts: list[Cases] = []
        for left, right in pairwise(terms):
            low, high = (left, right) if head in ("<=", "<", "=") else (right, left)
            strict = head in ("<", ">")
            if head == "=":
                both = [_below(low, high, not wanted), _below(high, low, not wanted)]
                parts.append([tuple(both)] if wanted else [(a,) for a in both])     # a = b: a <= b and b <= a; not: a < b or b < a
            else:
                parts.append([(_below(low, high, strict),)] if wanted else [(_below(high, low, not strict),)])
        return self._product(parts) if wanted else [c for p in parts for c in p]

    def _product(self, parts: list[Cases]) -> Cases:
        cases: Cases = [()]
        for part in parts:
            self._check_count(len(cases) * len(part))
            cases = [a + b for a in cases for b in part]
        return cases

    def _check_count(self, n: int) -> None:
        if n > MOST_CASES:
            raise self.fail(f"its disjunctions multiply to more than {MOST_CASES} cases")

    def _term(self, form) -> dict[str, float]:
        """A linear expression; its constant under ''."""
        if isinstance(form, str):
            return self._word(form)
        head, parts = (form[0], [self._term(f) for f in form[1:]]) if form else (None, [])
        if head == "+" and parts:
            return _sum(parts)
        if head == "-" and parts:
            return _sum([parts[0], *(_times(p, -1.0) for p in parts[1:])]) if len(parts) > 1 else _times(parts[0], -1.0)
        if head == "*" and parts:
            out = parts[0]
            for p in parts[1:]:
                if set(out) <= {""}:
                    out, p = p, out
                if not set(p) <= {""}:
                    raise self.fail(f"'{_shown(form)}' is not linear")
                out = _times(out, p.get("", 0.0))
            return self._checked(out)
        if head == "/" and len(parts) == 2 and set(parts[1]) == {""} and parts[1][""] != 0.0:
            return self._checked({k: v / parts[1][""] for k, v in parts[0].items()})
        raise self.fail(f"'{_shown(form)}' is no linear expression")

    def _word(self, word: str) -> dict[str, float]:
        if word in self.declared:
            return {word: 1.0}
        if _NUMBER.match(word):
            return self._checked({"": float(word)})
        raise self.fail(f"'{word[:40]}' is neither a number nor a declared variable")

    def _checked(self, term: dict[str, float]) -> dict[str, float]:
        if not all(map(math.isfinite, term.values())):
            raise self.fail("a number is beyond the range of float64")
        return term


def _shown(form) -> str:
    """The beginning of an expression, for a message."""
    words: list[str] = []
    stack = [form]
    while stack and len(words) < 8:
        at = stack.pop()
        if isinstance(at, list):
            stack += reversed(at)
        else:
            words.append(at[:40])
    return " ".join(words) + (" .." if stack else "")


def _sum(parts: list[dict[str, float]]) -> dict[str, float]:
    out: dict[str, float] = {}
    for part in parts:
        for k, v in part.items():
            out[k] = out.get(k, 0.0) + v
    return out


def _times(term: dict[str, float], factor: float) -> dict[str, float]:
    return {k: factor * v for k, v in term.items()}


def _below(low: dict[str, float], high: dict[str, float], strict: bool) -> Atom:
    """low <= high."""
    difference = _sum([low, _times(high, -1.0)])
    constant = difference.pop("", 0.0)
    return Atom(tuple((k, v) for k, v in difference.items() if v != 0.0), constant, strict)


# ---- from atoms to arrays
def _query(together: list[Atom], cases: Cases, sizes: tuple[int, int], name: str) -> Query:
    d = sizes[0]
    base = _Bounds(np.full(d, -np.inf), np.full(d, np.inf))
    rows = [a for a in together if not base.take(a)]
    found = [made for atoms in cases if (made := _case([*rows, *atoms], base, sizes)) is not None]
    if not found:
        raise FileFormatError(f"{name}: no point keeps the constraints on the inputs")
    if not all(np.isfinite(a).all() for c in found for a in (c.C, c.Q, c.b)):
        raise FileFormatError(f"{name}: a sum of its numbers is beyond the range of float64")
    lower, upper = np.min([c.lower for c in found], axis=0), np.max([c.upper for c in found], axis=0)
    loose = np.flatnonzero(~(np.isfinite(lower) & np.isfinite(upper)))
    if len(loose):
        raise FileFormatError(f"{name}: X_{loose[0]} has no bounds on both sides; a domain has to be bounded")
    return Query(Box(lower, upper), Property(tuple(found), *sizes, text=f"the query of {name}"))


class _Bounds:
    """lower <= x <= upper, tightened by atoms that speak of one input."""

    def __init__(self, lower: np.ndarray, upper: np.ndarray):
        self.lower, self.upper = lower.copy(), upper.copy()

    def take(self, atom: Atom) -> bool:
        """Tighten by the atom; whether that says all that it says (else it stays a row as well)."""
        if len(atom.factors) != 1 or atom.factors[0][0][0] != "X":
            return False
        (name, factor), = atom.factors
        i = int(name[2:])
        exact = abs(factor) == 1.0
        at = -atom.constant / factor + 0.0                      # no -0.0
        if factor > 0:
            self.upper[i] = min(self.upper[i], at if exact else np.nextafter(at, np.inf))
        else:
            self.lower[i] = max(self.lower[i], at if exact else np.nextafter(at, -np.inf))
        return exact and not atom.strict


def _case(atoms: list[Atom], base: _Bounds, sizes: tuple[int, int]) -> Case | None:
    """None where no input keeps it."""
    bounds = _Bounds(base.lower, base.upper)
    rows = [a for a in atoms if not bounds.take(a)]
    if np.any(bounds.lower > bounds.upper):
        return None
    C, Q = np.zeros((len(rows), sizes[1])), np.zeros((len(rows), sizes[0]))
    for i, atom in enumerate(rows):
        for variable, factor in atom.factors:
            (Q if variable[0] == "X" else C)[i, int(variable[2:])] = factor
    b = -np.array([a.constant for a in rows]).reshape(-1)
    return case(C, Q, b, np.array([a.strict for a in rows], dtype=bool), bounds.lower, bounds.upper)
