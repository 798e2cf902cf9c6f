"""Where a local model is valid: the halfspaces of its region, in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..chain import Chain, Elementwise, unit_maps
from ..geometry.minimal import facet_points


@dataclass(frozen=True, eq=False)
class Validity:
    """The closed region { x : A x <= b }, with unit rows. units: what makes each halfspace. Not minimal unless `minimal` was asked."""

    A: np.ndarray
    b: np.ndarray
    units: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.b)

    def holds(self, X: np.ndarray, tolerance: float = 0.0) -> np.ndarray:
        """(n,) bool: does the region hold each row, up to a distance of `tolerance`?"""
        return np.all(np.atleast_2d(X) @ self.A.T <= self.b + tolerance, axis=1)

    def minimal(self, x: np.ndarray) -> Validity:
        """Without the halfspaces that others imply, by linear programmes. x: a point of the region."""
        kept, _ = facet_points(self.A, self.b - self.A @ x)
        return Validity(self.A[kept], self.b[kept], tuple(self.units[k] for k in kept))


def validity(chain: Chain, code: np.ndarray) -> Validity:
    """The halfspaces of the region with this code (columns,); units that are constant there make none (SPEC 2)."""
    normals, offsets, units = [], [], []
    column = 0
    for stage, (first, outputs), (G, g) in zip(chain.stages, chain.columns, unit_maps(chain, code)[:-1], strict=True):
        for c, i in enumerate(outputs):
            p, phi, name = int(code[first + c]), stage.phi, "{}[{}]".format(*chain.unit_of(first + c))
            if isinstance(phi, Elementwise):
                t = phi.breaks[phi.ptr[i]:phi.ptr[i + 1]]
                below, above = ([(-G[i], g[i] - t[p - 1])] if p else []), ([(G[i], t[p] - g[i])] if p < len(t) else [])
                sides = below + above
            else:
                members = phi.members[phi.ptr[i]:phi.ptr[i + 1]]
                w = members[p]
                sides = [(G[r] - G[w], g[w] - g[r]) for q, r in enumerate(members) if q != p]
            for normal, offset in sides:
                size = float(np.linalg.norm(normal))
                if size > 0:
                    normals.append(normal / size)
                    offsets.append(offset / size)
                    units.append(name)
            column += 1
    return Validity(np.array(normals).reshape(-1, chain.n_inputs), np.array(offsets), tuple(units))
