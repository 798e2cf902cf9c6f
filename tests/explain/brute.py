"""Questions about decisions answered by complete atlases: every category and whole number by itself, every piece by programmes."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.optimize import linprog

import pellucid as pel
from pellucid.explain.nearest_row import least_norm


def discrete_parts(space):
    """(fixed inputs, their values) for each combination of categories and whole numbers of a space."""
    columns, choices = [], []
    for f, allowed in zip(space.features, space.allowed, strict=True):
        if f.is_category:
            columns.append(f.columns)
            choices.append([f.patterns[k] for k in allowed])
        elif space.integer[f.columns[0]]:
            j = f.columns[0]
            columns.append(f.columns)
            choices.append([np.array([float(v)]) for v in range(int(space.lower[j]), int(space.upper[j]) + 1)])
    J = np.concatenate(columns) if columns else np.zeros(0, dtype=int)
    return J, [np.concatenate(values) if values else np.zeros(0) for values in product(*choices)]


def pieces(net, space, threshold=0.5):
    """(x0, J, G, h, class) of every piece of every part: x = x0 but for the inputs J, which are u with G u <= h."""
    J_fixed, parts = discrete_parts(space)
    for values in parts:
        lower, upper = space.lower.copy(), space.upper.copy()
        lower[J_fixed] = upper[J_fixed] = values
        J = np.flatnonzero(lower < upper)
        if not len(J):
            if (space.A @ lower <= space.b + 1e-9).all():
                yield lower, J, np.zeros((0, 0)), np.zeros(0), int(net.decide(lower[None], threshold=threshold)[0])
            continue
        try:
            atlas = pel.linear_regions(net, pel.Box(lower, upper, A=space.A, b=space.b), by="class", threshold=threshold, threads=1)
        except pel.DomainError:                        # constraints that leave nothing of this part
            continue
        for k in range(len(atlas)):
            faces = atlas[k].halfspaces
            yield lower, J, faces.A, faces.b, int(atlas.first[k])


def nearest(net, space, x, to, p, scale, threshold=0.5):
    """The infimum of the distances of rows with class `to` (None: another one than x has); inf where there are none."""
    now = int(net.decide(x[None], threshold=threshold)[0])
    best = np.inf
    for x0, J, G, h, k in pieces(net, space, threshold):
        if (k != to) if to is not None else (k == now):
            continue
        best = min(best, _piece_distance(space, x, x0, J, G, h, p, scale))
    return best


def _piece_distance(space, x, x0, J, G, h, p, scale):
    moved, s = [], np.ones(len(x))
    for f, w in zip(space.features, scale, strict=True):
        s[f.columns] = w
        if f.is_category:
            moved.append(float((x0[f.columns] != x[f.columns]).any()) / w)
        elif f.columns[0] not in J:
            moved.append(abs(x0[f.columns[0]] - x[f.columns[0]]) / w)
    moved = np.array(moved)
    if not len(J):
        return np.linalg.norm(moved, p) if len(moved) else 0.0
    # v = (u - x) / s
    Gv, hv, n = G * s[J], h - G @ x[J], len(J)
    if p == 2:
        v = least_norm(Gv, hv)
        return np.inf if v is None else float(np.sqrt(v @ v + moved @ moved))
    if p == 1:
        A = np.block([[Gv, np.zeros((len(Gv), n))], [np.eye(n), -np.eye(n)], [-np.eye(n), -np.eye(n)]])
        found = linprog(np.r_[np.zeros(n), np.ones(n)], A_ub=A, b_ub=np.r_[hv, np.zeros(2 * n)], bounds=[(None, None)] * (2 * n))
        return found.fun + moved.sum() if found.status == 0 else np.inf
    A = np.block([[Gv, np.zeros((len(Gv), 1))], [np.eye(n), -np.ones((n, 1))], [-np.eye(n), -np.ones((n, 1))]])
    found = linprog(np.r_[np.zeros(n), 1.0], A_ub=A, b_ub=np.r_[hv, np.zeros(2 * n)],
                    bounds=[(None, None)] * n + [(moved.max(initial=0.0), None)])
    return found.fun if found.status == 0 else np.inf


def classes(net, space, threshold=0.5):
    """The classes given anywhere on a set of positive measure in each part."""
    return {k for *_, k in pieces(net, space, threshold)}


def twice(layers, own):
    """[(W, b), ...] of the network of (x, other values of the inputs `own`) -> the logits for both."""
    W, b = layers[0]
    other = np.zeros((len(W), W.shape[1] + len(own)))
    other[:, :W.shape[1]] = W
    other[:, own] = 0.0
    other[:, W.shape[1]:] = W[:, own]
    first = (np.vstack([np.hstack([W, np.zeros((len(W), len(own)))]), other]), np.r_[b, b])
    return [first, *((np.block([[W, 0 * W], [0 * W, W]]), np.r_[b, b]) for W, b in layers[1:])]


def largest_lead(layers, lower, upper, own, parts=((None, None),)):
    """The largest lead that two different decisions at rows that differ in the inputs `own` can both have; -inf for none.

    parts: (values, values) of the inputs own, None where they are free.
    """
    from networks import relu_network

    both, d = relu_network(twice(layers, own)), len(lower)
    c = len(layers[-1][1])
    best = -np.inf
    for one, two in parts:
        lo, up = np.r_[lower, lower[own]], np.r_[upper, upper[own]]
        if one is not None:
            lo[own] = up[own] = one
            lo[d:] = up[d:] = two
        if (lo == up).all():
            atlas_maps = [(np.zeros((0, 0)), np.zeros(0), np.zeros((2 * c, 0)), both(lo[None])[0])]
        else:
            atlas = pel.linear_regions(both, pel.Box(lo, up), threads=1)
            at = atlas.domain.x0
            regions = [atlas[k] for k in range(len(atlas))]
            atlas_maps = [(*r.halfspaces[:2], r.coef @ atlas.domain.P, r.coef @ at + r.intercept) for r in regions]
        for G, h, C, e in atlas_maps:
            best = max(best, _best_pair(G, h, C, e, c))
    return best


def _best_pair(G, h, C, e, c):
    """The largest s with logits k of the first half and l of the second leading by s, k != l; one output: its sign."""
    K, n = max(c, 2), C.shape[1]
    E = np.eye(c) if c > 1 else np.array([[0.0], [1.0]])
    one, two = E @ C[:c], E @ C[c:]
    f, g = E @ e[:c], E @ e[c:]
    best = -np.inf
    for k in range(K):
        for m in range(K):
            if k == m:
                continue
            rows = [one[j] - one[k] for j in range(K) if j != k] + [two[j] - two[m] for j in range(K) if j != m]
            sides = [f[k] - f[j] for j in range(K) if j != k] + [g[m] - g[j] for j in range(K) if j != m]
            if n == 0:
                best = max(best, min(sides))
                continue
            A = np.vstack([np.hstack([G, np.zeros((len(G), 1))]), np.hstack([np.array(rows), np.ones((len(rows), 1))])])
            found = linprog(np.r_[np.zeros(n), -1.0], A_ub=A, b_ub=np.r_[h, sides], bounds=[(None, None)] * n + [(-1e3, 1e3)])
            if found.status == 0:
                best = max(best, -found.fun)
    return best
