"""Which rows of a polyhedron are facets, by linear programming: for sets that are unbounded, or of many dimensions."""

from __future__ import annotations

import numpy as np

from ..errors import DomainError
from ..tolerance import FACET_BALL


def facet_points(A: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of { z : A z <= b }, unit rows: the rows that are facets, (F,), and a point inside each facet, (F, k).

    Needs     a set with an interior, the origin in it or on its border; it may be unbounded.
    Gives     of rows that say the same, the first.
    Sound     a row counts as a facet if that holds a ball of radius FACET_BALL times the typical distance of rows from the origin
              (of dimension k - 1, and away from all other rows).
    Source    for each row, max t with a_i z = b_i and a_j z + t <= b_j for the others (Chebyshev centre of the facet), by HiGHS,
              warm-started.
    """
    A, b = np.asarray(A, dtype=np.float64), np.asarray(b, dtype=np.float64)
    first = _first_of_equals(A, b)
    A, b = A[first], b[first]
    away = b[b > 0]
    scale = float(np.median(away)) if len(away) else 1.0
    lp = _BallProgramme(A, b / scale)
    found, points = [], []
    for i in range(len(b)):
        t, z = lp.on_row(i)
        if t > FACET_BALL:
            found.append(first[i])
            points.append(scale * z)
    return np.array(found, dtype=np.int64), np.array(points).reshape(-1, A.shape[1])


def inner_ball(A: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre and radius of the largest ball in { z : A z <= b }, unit rows; radius inf (and a point inside) where there is no largest."""
    away = b[b > 0]
    scale = float(np.median(away)) if len(away) else 1.0
    t, z = _BallProgramme(A, b / scale).anywhere(1e6)
    return scale * z, scale * t if t < 1e6 * (1 - 1e-9) else np.inf


def _first_of_equals(A: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Numbers of the rows that say something new."""
    rows = np.round(np.column_stack([A, b / max(float(np.abs(b).max(initial=0.0)), 1e-300)]), 12) + 0.0
    return np.sort(np.unique(rows, axis=0, return_index=True)[1])


class _BallProgramme:
    """max t over a_j z + t <= b_j, and variants of it, from one basis to the next."""

    def __init__(self, A: np.ndarray, b: np.ndarray):
        import highspy

        self.highs, self.inf, self.b, self.k = highspy.Highs(), highspy.kHighsInf, b, A.shape[1]
        h, m = self.highs, len(b)
        h.setOptionValue("output_flag", False)
        h.setOptionValue("threads", 1)
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = self.k + 1, m
        lp.col_cost_ = np.append(np.zeros(self.k), 1.0)
        lp.col_lower_, lp.col_upper_ = np.append(np.full(self.k, -self.inf), -self.inf), np.append(np.full(self.k, self.inf), 1.0)
        lp.row_lower_, lp.row_upper_ = np.full(m, -self.inf), b
        lp.sense_ = highspy.ObjSense.kMaximize
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = np.arange(m + 1) * (self.k + 1)
        lp.a_matrix_.index_ = np.tile(np.arange(self.k + 1), m)
        lp.a_matrix_.value_ = np.column_stack([A, np.ones(m)]).ravel()
        h.passModel(lp)

    def on_row(self, i: int) -> tuple[float, np.ndarray]:
        """The ball inside the facet of row i; t <= 0 where there is none."""
        h = self.highs
        h.changeRowBounds(i, self.b[i], self.b[i])
        h.changeCoeff(i, self.k, 0.0)
        answer = self._solve()
        h.changeRowBounds(i, -self.inf, self.b[i])
        h.changeCoeff(i, self.k, 1.0)
        return answer

    def anywhere(self, most: float) -> tuple[float, np.ndarray]:
        """The largest ball, its radius at most `most`."""
        self.highs.changeColBounds(self.k, -self.inf, most)
        return self._solve()

    def _solve(self) -> tuple[float, np.ndarray]:
        import highspy

        self.highs.run()
        status = self.highs.getModelStatus()
        if status == highspy.HighsModelStatus.kInfeasible:
            return -np.inf, np.zeros(self.k)
        if status != highspy.HighsModelStatus.kOptimal:
            raise DomainError(f"the linear programme of a facet ended as {status}; give a bounded domain")
        x = np.array(self.highs.getSolution().col_value)
        return float(x[-1]), x[:-1]
