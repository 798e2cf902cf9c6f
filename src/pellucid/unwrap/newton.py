"""Generalised linear models, many at once: the same rows under many weights (bootstrap draws), plain, l1 or l2.

Beside scikit-learn, whose solvers fit one model at a time, and l1 logistic models slowly or with a penalised intercept.
Designs have no column of ones: the intercept comes first in every answer, and is never penalised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..tolerance import GLM_STEP

ROUNDS = 60
SWEEPS = 400
STILL = 0.1             # the last step of a fit that has a maximum moves no logit by as much
BATCH_BYTES = 64 << 20


@dataclass(frozen=True, eq=False)
class Fits:
    """beta: (B, m, 1 + d), intercept first. converged: (B,), False where the maximum is not attained (separable rows) or not reached."""

    beta: np.ndarray
    converged: np.ndarray


def linear_fits(Z: np.ndarray, Y: np.ndarray, weight: np.ndarray, *, penalty: str | None = None, alpha: float = 0.0) -> Fits:
    """Linear models of Y (n, m) on Z (n, d), one for each row of weight (B, n).

    Minimises sum w (y - b0 - z.b)^2 / (2 sum w) + alpha |b|_1, or + alpha |b|_2^2 / 2: scikit-learn's Lasso, and its Ridge of
    strength alpha * sum w.
    """
    B, m, p = len(weight), Y.shape[1], Z.shape[1] + 1
    X = np.column_stack([np.ones(len(Z)), Z])
    total = weight.sum(axis=1)[:, None, None]
    gram, cross = _grams(X, weight) / total, (weight @ (X[:, :, None] * Y[:, None, :]).reshape(len(X), -1)).reshape(B, p, m) / total
    beta, ok = np.zeros((B, m, p)), np.ones(B, dtype=bool)
    ridge = np.r_[0.0, np.full(p - 1, alpha if penalty == "l2" else 0.0)]
    gram = gram + np.diag(ridge)
    for k in range(m):
        if penalty == "l1":
            beta[:, k], good = _descend(gram, cross[:, :, k], beta[:, k], np.r_[0.0, np.full(p - 1, alpha)])
        else:
            beta[:, k], good = _solve(gram, cross[:, :, k])
        ok &= good
    return Fits(beta, ok)


def logistic_fits(Z: np.ndarray, y: np.ndarray, n_classes: int, weight: np.ndarray, *, penalty: str | None = None,
                  C: float = 1.0, start: np.ndarray | None = None, step: float = GLM_STEP) -> Fits:
    """Logistic models of the classes y (n,) on Z (n, d), one for each row of weight (B, n).

    Needs     every class in y; a draw that lacks one is not converged.
    Gives     logits: m = 1 for two classes (of the second), else one a class, with sum zero where unpenalised.
    Minimises sum w loss + |b|_1 / C, or + |b|_2^2 / (2 C) (scikit-learn's objective).
    Ends      where a step lowers the objective by less than `step`, relative. Without a maximum it settles too, while the logits go on
              growing by about 1 a step: that tells the two apart.
    Source    Newton's method; with l1, coordinate descent on Newton's quadratic (glmnet, Friedman et al. 2010), step halved until
              the objective falls.
    """
    p = Z.shape[1] + 1
    free = n_classes - 1 if n_classes == 2 or penalty is None else n_classes      # unpenalised: contrasts with the first class
    at_once = max(1, BATCH_BYTES // (8 * len(Z) * max(free, 1) * 3))
    beta, ok = np.zeros((len(weight), free, p)), np.zeros(len(weight), dtype=bool)
    X = np.column_stack([np.ones(len(Z)), Z])
    problem = _Logistic(X, y, n_classes, free, penalty, 1.0 / C if penalty else 0.0, step)
    for first in range(0, len(weight), at_once):
        part = slice(first, first + at_once)
        begin = beta[part] if start is None else np.broadcast_to(start, beta[part].shape).copy()
        beta[part], ok[part] = problem.fit(weight[part], begin)
    present = np.stack([weight[:, y == k].sum(axis=1) > 0 for k in range(n_classes)], axis=1)
    ok &= present.all(axis=1)
    if n_classes > 2:
        if penalty is None:
            beta = np.concatenate([np.zeros((len(beta), 1, p)), beta], axis=1)
            beta -= beta.mean(axis=1, keepdims=True)
        else:
            beta[:, :, 0] -= beta[:, :, 0].mean(axis=1, keepdims=True)
    return Fits(beta, ok)


@dataclass(frozen=True, eq=False)
class _Logistic:
    """The objective of `logistic_fits` on rows X (n, p), ones first."""

    X: np.ndarray
    y: np.ndarray
    n_classes: int
    free: int
    penalty: str | None
    strength: float
    step: float

    def logits(self, beta: np.ndarray) -> np.ndarray:
        """(B, classes, n); the first is 0 where classes are told by contrasts with it."""
        eta = beta @ self.X.T
        return eta if self.free == self.n_classes else np.concatenate([np.zeros_like(eta[:, :1]), eta], axis=1)

    def value(self, beta: np.ndarray, eta: np.ndarray, weight: np.ndarray) -> np.ndarray:
        top = eta.max(axis=1)
        loss = np.log(np.exp(eta - top[:, None]).sum(axis=1)) + top - eta[:, self.y, np.arange(len(self.y))]
        slopes = beta[:, :, 1:]
        cost = {None: 0.0, "l1": np.abs(slopes).sum(axis=(1, 2)), "l2": (slopes ** 2).sum(axis=(1, 2)) / 2}[self.penalty]
        return (weight * loss).sum(axis=1) + self.strength * cost

    def fit(self, weight: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Newton's method from beta (B, free, p): (beta, converged)."""
        eta = self.logits(beta)
        value = self.value(beta, eta, weight)
        going, ok = np.arange(len(beta)), np.zeros(len(beta), dtype=bool)
        for _ in range(ROUNDS):
            w = weight[going]
            target, solved = self._step(w, beta[going], eta[going])
            before = eta[going]
            beta[going], eta[going], new = self._line(w, beta[going], target, value[going])
            fell, moved = value[going] - new, np.abs(eta[going] - before).max(axis=(1, 2))
            value[going] = new
            done = fell <= self.step * (np.abs(new) + 1e-300)
            ok[going[done & solved & (moved < STILL)]] = True
            going = going[~done]
            if not len(going):
                break
        return beta, ok

    def _step(self, weight, beta, eta):
        """The minimum of the quadratic at beta."""
        B, p, f = len(beta), self.X.shape[1], self.free
        prob = np.exp(eta - eta.max(axis=1, keepdims=True))
        prob /= prob.sum(axis=1, keepdims=True)
        prob = prob[:, self.n_classes - f:]
        is_class = (self.y[None] == np.arange(self.n_classes - f, self.n_classes)[:, None]).astype(float)
        gradient = ((prob - is_class) * weight[:, None]) @ self.X
        hessian = np.empty((B, f, p, f, p))
        for a in range(f):
            for b in range(a + 1):
                curve = weight * prob[:, a] * ((a == b) - prob[:, b])
                hessian[:, a, :, b, :] = hessian[:, b, :, a, :] = _grams(self.X, curve)
        size = np.full((f, p), self.strength)
        size[:, 0] = 0.0
        H, g, flat = hessian.reshape(B, f * p, f * p), gradient.reshape(B, -1), beta.reshape(B, -1)
        if self.penalty == "l2":
            H, g = H + np.diag(size.ravel()), g + size.ravel() * flat
        if f == self.n_classes:                        # all classes have a logit: a common shift changes nothing
            H = H + np.einsum("b,ij->bij", 1e-9 * np.trace(H, axis1=1, axis2=2) / H.shape[1], np.eye(H.shape[1]))
        if self.penalty == "l1":
            target, ok = _descend(H, np.einsum("bij,bj->bi", H, flat) - g, flat, size.ravel())
        else:
            move, ok = _solve(H, g)
            target = flat - move
        return target.reshape(beta.shape), ok

    def _line(self, weight, beta, target, value):
        """Half the step, and half of that, until the objective does not rise."""
        best, share = target, np.ones(len(beta))
        eta = self.logits(best)
        new = self.value(best, eta, weight)
        for _ in range(20):
            worse = ~(new <= value)
            if not worse.any():
                break
            share[worse] /= 2
            best[worse] = beta[worse] + share[worse, None, None] * (target[worse] - beta[worse])
            eta[worse] = self.logits(best[worse])
            new[worse] = self.value(best[worse], eta[worse], weight[worse])
        stuck = ~(new <= value)
        best[stuck], eta[stuck], new[stuck] = beta[stuck], self.logits(beta[stuck]), value[stuck]
        return best, eta, new


def _grams(X: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(B, p, p) X^T diag(w) X for each row of weight (B, n): one product with all pairs of columns."""
    n, p = X.shape
    i, j = np.triu_indices(p)
    out = np.zeros((len(weight), len(i)))
    step = max(1, BATCH_BYTES // (8 * len(i)))
    for first in range(0, n, step):
        rows = slice(first, first + step)
        out += weight[:, rows] @ (X[rows][:, i] * X[rows][:, j])
    full = np.empty((len(weight), p, p))
    full[:, i, j] = out
    full[:, j, i] = out
    return full


def _solve(A: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A x = b for each of a batch, and which were well enough conditioned to be believed; the others get the least solution."""
    scale = 1.0 / np.sqrt(np.maximum(np.diagonal(A, axis1=1, axis2=2), 1e-300))
    A, b = A * scale[:, :, None] * scale[:, None, :], b * scale
    values, vectors = np.linalg.eigh(A)
    top = values[:, -1:]
    kept = values > 1e-12 * top
    inverse = np.where(kept, 1.0 / np.where(kept, values, 1.0), 0.0)
    x = np.einsum("bij,bj,bkj,bk->bi", vectors, inverse, vectors, b, optimize=True)
    return x * scale, np.asarray(kept.all(axis=1))


def _descend(A: np.ndarray, b: np.ndarray, x: np.ndarray, strength: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """argmin x.A x / 2 - b.x + strength |x|_1 for each of a batch, by coordinate descent from x: (minimum, reached)."""
    x = x.copy()
    diagonal = np.diagonal(A, axis1=1, axis2=2)
    usable = diagonal > 1e-14 * diagonal.max(axis=1, keepdims=True)
    inverse = np.where(usable, 1.0 / np.where(usable, diagonal, 1.0), 0.0)
    rest = b - np.einsum("bij,bj->bi", A, x)
    columns = np.ascontiguousarray(A.transpose(1, 0, 2))
    scale = np.sqrt(np.maximum(diagonal, 1e-300))
    for _ in range(SWEEPS):
        largest = np.zeros(len(x))
        for j in range(x.shape[1]):
            pull = rest[:, j] + diagonal[:, j] * x[:, j]
            new = np.sign(pull) * np.maximum(np.abs(pull) - strength[j], 0.0) * inverse[:, j]
            move = new - x[:, j]
            x[:, j] = new
            rest -= columns[j] * move[:, None]
            np.maximum(largest, np.abs(move) * scale[:, j], out=largest)
        if (largest <= 1e-9 * (1e-300 + np.abs(x * scale).max(axis=1))).all():
            return x, np.ones(len(x), dtype=bool)
    return x, np.asarray(largest <= 1e-5 * (1e-300 + np.abs(x * scale).max(axis=1)))
