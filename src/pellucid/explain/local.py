"""The one region of a point: its linear model, where that is valid, and what lies beyond each of its facets (SPEC 5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..atlas import Atlas, PartialAtlas, Region
from ..atlas.nearest import Near
from ..atlas.polytopes import facet_words
from ..certificate import Certificate, Status
from ..chain import UNIT, Chain, Elementwise, chain_of, local_maps, unit_maps
from ..errors import DomainError
from ..geometry import Box, NamedSlice, Slice, as_slice
from ..geometry.minimal import facet_points, inner_ball
from ..graph import Network
from ..graph.network import logit
from ..graph.rows import row_of
from ..regions import Facets, Table, chebyshev, codes_of, facets, pack_codes, unpack_codes
from ..regions.search import MAX_DIM
from ..tolerance import FACET_BALL, GEOMETRIC, ON_FACE
from .result import html

if TYPE_CHECKING:
    import pandas as pd

_STEP = 0.1
"""How far behind a facet its neighbour's code is read, as a share of what FACET_BALL says of the facet."""


@dataclass(frozen=True, eq=False, repr=False)
class LocalExplanation:
    """What the network is at x, and up to where.

    region: the region that holds x, with coef (c, d) and intercept (c,); on a face of several, the one of x's own code, else the
        first. y: (c,) outputs at x. decision: class of x, None where the network gives none.
    A, b: the facets, unit rows of { u : A u <= b }, in the coordinates of the domain. units: (m,) what makes each facet.
    distance: (m,) 2-norm distance from x to each facet, in the features' units; nearest: (m, d) the point of the facet there.
    codes: (m, units) code beyond each facet; change: (m, c, d) by how much the weights differ there (NaN: the domain ends).
    beyond: (m,) class just beyond that point; -1 where the domain ends or there is no class.
    ball: centre (d,) and radius of the largest ball in the region, in u; the radius is inf where there is no largest.
    """

    region: Region
    x: np.ndarray
    y: np.ndarray
    decision: int | None
    A: np.ndarray
    b: np.ndarray
    units: tuple[str, ...]
    distance: np.ndarray
    nearest: np.ndarray
    codes: np.ndarray
    change: np.ndarray
    beyond: np.ndarray
    ball: tuple[np.ndarray, float]
    certificate: Certificate

    @property
    def network(self) -> Network:
        return self.region.atlas.network

    @property
    def code(self) -> np.ndarray:
        """(units,) piece of each unit."""
        return self.region.code

    @property
    def coef(self) -> np.ndarray:
        """(c, d)."""
        return self.region.coef

    @property
    def intercept(self) -> np.ndarray:
        """(c,)."""
        return self.region.intercept

    @property
    def status(self) -> Status:
        return self.certificate.status

    @property
    def radius(self) -> float:
        """The model at x is valid at least that far from x, in the domain (2-norm); inf where nothing ends it."""
        return float(self.distance.min(initial=np.inf))

    def to_frame(self, of: str = "facets") -> pd.DataFrame:
        """The facets, the nearest first, or (of="weights") a row a feature: x, its weight in every output, its part in the sum."""
        if of not in ("facets", "weights"):
            raise ValueError(f"of='{of}': there are 'facets' and 'weights'")
        return self._facet_frame() if of == "facets" else self._weight_frame()

    def _facet_frame(self) -> pd.DataFrame:
        import pandas as pd

        net, order = self.network, np.argsort(self.distance, kind="stable")
        most = np.abs(self.change).reshape(len(self.b), net.n_outputs * net.n_inputs)
        which = np.where(np.isnan(most), -1.0, most).argmax(axis=1) if most.shape[1] else np.zeros(len(self.b), dtype=int)
        ends = np.isnan(most).any(axis=1)
        frame = pd.DataFrame({"facet": self.units, "distance": self.distance, "units that change": (self.codes != self.code).sum(axis=1),
                              "largest change of weight": np.where(ends, np.nan, most[np.arange(len(most)), which]),
                              "of feature": [None if e else net.feature_names[w % net.n_inputs] for e, w in zip(ends, which, strict=True)]})
        if self.decision is not None:
            frame["class beyond"] = [None if k < 0 else net.class_names[k] for k in self.beyond]
        return frame.iloc[order].reset_index(drop=True)

    def _weight_frame(self) -> pd.DataFrame:
        import pandas as pd

        net = self.network
        frame = pd.DataFrame({"feature": [*net.feature_names, "intercept"], "x": [*self.x, np.nan]})
        for k, name in enumerate(net.output_names):
            frame[f"weight of {name}"] = [*self.coef[k], self.intercept[k]]
            frame[f"part of {name}"] = [*(self.coef[k] * self.x), self.intercept[k]]
        return frame

    def __repr__(self) -> str:
        given = "" if self.decision is None else f"{self.network.class_names[self.decision]}, "
        end = f"{len(self.b)} facets"
        if len(self.b):
            end += f", the nearest {self.units[int(self.distance.argmin())]} at {self.radius:.4g}"
        return f"LocalExplanation({given}{end}: {self.status})"

    def _repr_html_(self) -> str:
        return html(repr(self), self.to_frame("weights")) + html("", self.to_frame().head(20), [str(self.certificate)])


def local_explanation(net: Network, x, domain: Box | Slice | NamedSlice | None = None, *, threshold: float = 0.5) -> LocalExplanation:
    """The linear model of the region that holds x, its minimal validity region, and what lies beyond (CEE III-D, SPEC 5).

    domain: a Box or Slice, bounded or not; None is all of R^d. threshold: probability from which a single sigmoid output gives its
    class.

    Sound     code and model as `linear_regions`; a row that is left out of A changes the region by no more than the tolerance
              that the certificate names.
    Source    facets by the search engine where the domain is bounded, of up to 64 coordinates; else by linear programmes (HiGHS).

    Raises DomainError (x outside the domain; more than 64 coordinates and x on a face), DataError, NotPiecewiseLinear.
    """
    place = _place(net, x, domain)
    atlas = place.atlas
    is_native = place.is_bounded and atlas.domain.dim <= MAX_DIM
    found, ball = _by_engine(atlas) if is_native else _by_programmes(atlas, place.u)
    words = tuple(facet_words(atlas, found))
    distance, feet = _to_facets(atlas.domain.P, found.A, found.b - found.A @ place.u)
    nearest = atlas.domain.point(place.u + feet)
    assert found.beyond is not None
    inner = found.column >= 0
    codes = unpack_codes(np.where(inner[:, None], found.beyond, atlas.cells.codes[0]), atlas.chain.n_pieces)
    coef, intercept = local_maps(atlas.chain, codes)
    change = np.where(inner[:, None, None], coef - atlas[0].coef, np.nan)
    beyond = np.where(inner, _decide(net, np.einsum("fcd,fd->fc", coef, nearest) + intercept, threshold), -1)
    y = atlas[0].coef @ place.x + atlas[0].intercept
    decision = None if net.n_classes == 0 else int(net.decide(place.x, threshold=threshold)[0])
    centre = atlas.domain.point(ball[0])[0]
    return LocalExplanation(atlas[0], place.x, y, decision, found.A, found.b, words, distance, nearest, codes, change, beyond,
                            (centre, ball[1]), _certificate(atlas, found, is_native))


def _decide(net: Network, y: np.ndarray, threshold: float) -> np.ndarray:
    if net.n_classes == 0:
        return np.full(len(y), -1)
    return (y[:, 0] > logit(threshold)).astype(int) if net.n_outputs == 1 else y.argmax(axis=1)


# ---- the region


@dataclass(frozen=True, eq=False)
class _Place:
    """x, its u, and an atlas of its one region; whether the domain is bounded."""

    x: np.ndarray
    u: np.ndarray
    atlas: Atlas
    is_bounded: bool


def _place(net: Network, x, domain) -> _Place:
    if not isinstance(net, Network):
        raise TypeError(f"local_explanation takes a Network, got a {type(net).__name__}: load it first with pellucid.load(model)")
    row = row_of(net, x)
    d = net.n_inputs
    plane = as_slice(Box(np.full(d, -np.inf), np.full(d, np.inf)) if domain is None else domain, net.feature_names)
    if plane.dim > MAX_DIM:
        return _by_code(net, row, plane)
    near = Near(net, row, plane, 2, None)
    found = near.search(keep=None, radius=0.0, is_wide=True)
    table, u = found.near.table, near.at
    if near.turn is not None:
        table, u = replace(table, points=table.points @ np.linalg.inv(near.turn).T), np.linalg.solve(near.turn, near.at)
    if not len(table):
        raise DomainError("no region thicker than the tolerance holds x: the domain is too thin there")
    k = _own(near, found.near, codes_of(near.chain.fold(near.work.x0, near.work.P), near.at[None])[0])
    decided = found.decided
    claim = (f"x lies in the region of this code, but where a unit stays within {max(decided.width, UNIT):.1g} of its size from a "
             f"breakpoint throughout the region, or regions are thinner than {GEOMETRIC:g} of the box around x")
    if decided.is_proved:
        certificate = Certificate(claim, Status.PROVED, "found by search around x", {"rounding": decided.width})
    else:
        certificate = Certificate(claim, Status.UNKNOWN, f"rounding errors were estimated: {decided.why()}", {"rounding": decided.width})
    return _Place(row, u, _single(net, plane, table, k, certificate), near.is_bounded)


def _own(near: Near, found, code: np.ndarray) -> int:
    """Of the regions that touch x: the one of x's own code, else the first."""
    touch = np.flatnonzero(found.distance <= found.distance.min() + ON_FACE * max(1.0, float(np.abs(near.x).max())))
    own = touch[(found.table.codes[touch] == code).all(axis=1)]
    return int(own[0] if len(own) else touch[0])


def _single(net: Network, plane: Slice, table: Table, k: int, certificate: Certificate) -> Atlas:
    row = slice(k, k + 1)
    assert table.clearance is not None
    one = replace(table, codes=table.codes[row], points=table.points[row], clearance=table.clearance[row], coef=None, intercept=None,
                  n_regions=1, complete=False, reason="one region")
    return PartialAtlas(net, plane, one, None, 0.5, certificate)


def _by_code(net: Network, x: np.ndarray, plane: Slice) -> _Place:
    """The region of x's own code, where there is one: beyond 64 coordinates there is no search of the others."""
    u, off = plane.coordinates(x)
    G, h, _ = plane.constraints
    if off[0] > ON_FACE * max(1.0, float(np.linalg.norm(x))) or np.any(G @ u[0] > h + ON_FACE * (np.abs(G) @ np.abs(u[0]) + 1)):
        raise DomainError("x is outside the domain")
    chain = chain_of(net).fold(plane.x0, plane.P)
    codes = _canonical(chain, codes_of(chain, u))
    table = Table(codes, u, None, None, None, None, 1, 0, 0, False, "one region", 0, 0.0, clearance=np.zeros(1))
    claim = "x lies in the region of this code"
    place = _Place(x, u[0], _single(net, plane, table, 0, Certificate(claim, Status.UNKNOWN, "the code was read off a forward pass, "
                   f"since more than {MAX_DIM} coordinates move: near a face it rests on rounding")), False)
    A, b, *_ = _rows(place.atlas, u[0])
    away = b[b > 0]
    if len(b) and (not len(away) or inner_ball(A, b)[1] <= FACET_BALL * np.median(away)):
        raise DomainError("x lies on a face: no region has its code. Move x a little, or let at most 64 features move "
                          "(Box.slice(free=..., at=x)), where the regions around x are searched")
    return place


def _canonical(chain: Chain, packed: np.ndarray) -> np.ndarray:
    """Codes with units that are constant at a breakpoint on their lower piece."""
    codes = unpack_codes(packed, chain.n_pieces).copy()
    for code in codes:
        maps = unit_maps(chain, code)
        for stage, (first, outputs), (G, g) in zip(chain.stages, chain.columns, maps[:-1], strict=True):
            if isinstance(stage.phi, Elementwise):
                size = np.linalg.norm(G, axis=1)
                flat = size <= 1e3 * UNIT * max(float(size.max(initial=0.0)), 1e-300)
                for c, i in enumerate(outputs):
                    p = code[first + c]
                    if flat[i] and p and abs(g[i] - stage.phi.breaks[stage.phi.ptr[i] + p - 1]) <= 1e3 * UNIT * max(1.0, np.abs(g).max()):
                        code[first + c] = p - 1
    return pack_codes(codes, chain.n_pieces)


# ---- facets


def _by_engine(atlas: Atlas) -> tuple[Facets, tuple[np.ndarray, float]]:
    G, h, _ = atlas.domain.constraints
    found = facets(atlas.chain_u, G, h, atlas.cells, floors=atlas._floors, neighbours=True)
    centres, radii = chebyshev(atlas.chain_u, G, h, atlas.cells, floors=atlas._floors)
    kept = np.flatnonzero(np.isfinite(h))                # rows at infinity are not the engine's
    column = np.where(found.column < 0, -1 - kept[np.where(found.column < 0, -1 - found.column, 0)], found.column).astype(np.int32)
    return replace(found, column=column), (centres[0], float(radii[0]))


def _by_programmes(atlas: Atlas, u: np.ndarray) -> tuple[Facets, tuple[np.ndarray, float]]:
    A, b, column, low, high = _rows(atlas, u)
    found, points = facet_points(A, b)
    away = b[b > 0]
    step = _STEP * FACET_BALL * (float(np.median(away)) if len(away) else 1.0)
    beyond = _canonical(atlas.chain_u, codes_of(atlas.chain_u, u + points + step * A[found]))
    centre, radius = inner_ball(A, b)
    return Facets(np.array([0, len(found)]), A[found], b[found] + A[found] @ u, column[found], low[found], high[found],
                  beyond=beyond), (u + centre, radius)


def _rows(atlas: Atlas, u: np.ndarray):
    """All halfspaces of the region around u, A (v - u) <= b with unit rows; column, low and high as in Facets."""
    chain, code = atlas.chain_u, atlas.codes[0]
    G, h, _ = atlas.domain.constraints
    kept = np.flatnonzero(np.isfinite(h))
    A, b, labels = [G[kept]], [h[kept] - G[kept] @ u], [np.column_stack([-1 - kept, 0 * kept, 0 * kept])]
    for stage, (first, outputs), (M, g) in zip(chain.stages, chain.columns, unit_maps(chain, code)[:-1], strict=True):
        z, phi = M @ u + g, stage.phi
        for c, i in enumerate(outputs):
            p = int(code[first + c])
            if isinstance(phi, Elementwise):
                t = phi.breaks[phi.ptr[i]:phi.ptr[i + 1]]
                below, above = ([p - 1] if p else []), ([p] if p < len(t) else [])
                A.append(np.array([-M[i]] * len(below) + [M[i]] * len(above)).reshape(-1, len(u)))
                b.append(np.array([z[i] - t[k] for k in below] + [t[k] - z[i] for k in above]))
                labels.append(np.array([[first + c, k, k + 1] for k in (*below, *above)]).reshape(-1, 3))
            else:
                members = phi.members[phi.ptr[i]:phi.ptr[i + 1]]
                others = np.delete(np.arange(len(members)), p)
                A.append(M[members[others]] - M[members[p]])
                b.append(z[members[p]] - z[members[others]])
                labels.append(np.column_stack([np.full(len(others), first + c), np.minimum(others, p), np.maximum(others, p)]))
    A, b, labels = np.vstack(A), np.concatenate(b), np.vstack(labels).astype(np.int32)
    size = np.linalg.norm(A, axis=1)
    real = size > 1e3 * UNIT * max(float(size.max(initial=0.0)), 1e-300)
    return A[real] / size[real, None], np.maximum(b[real] / size[real], 0.0), *labels[real].T


def _to_facets(P: np.ndarray, A: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances (m,) of the origin to each facet of { v : A v <= b }, in the norm |P v|, and the nearest points (m, k).

    Source: the foot on the hyperplane where that is in the facet; else least distance programming (Lawson & Hanson 1974, 23.4).
    """
    R = np.linalg.qr(P, mode="r")
    rows = np.linalg.solve(R.T, A.T).T
    size = np.linalg.norm(rows, axis=1)
    rows, b = rows / size[:, None], np.maximum(b, 0.0) / size
    feet = rows * b[:, None]
    outside = (feet @ rows.T > b + ON_FACE * (np.abs(b) + b[:, None])).any(axis=1)
    for i in np.flatnonzero(outside):
        feet[i] = _foot(np.vstack([rows, -rows[i]]), np.append(b, -b[i]), feet[i])
    return np.linalg.norm(feet, axis=1), np.linalg.solve(R, feet.T).T


def _foot(A: np.ndarray, b: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """The point of { A y <= b } nearest to the origin; `otherwise` where the programme does not end."""
    from scipy.optimize import nnls

    scale = max(float(np.linalg.norm(otherwise)), float(np.abs(b).max()) * 1e-6, 1e-300)
    E = np.vstack([-A.T, -b[None] / scale])
    f = np.append(np.zeros(A.shape[1]), 1.0)
    try:
        r = E @ nnls(E, f, maxiter=30 * len(b))[0] - f
    except RuntimeError:
        return otherwise
    return otherwise if abs(r[-1]) < 1e-12 else -scale * r[:-1] / r[-1]


def _certificate(atlas: Atlas, found: Facets, is_native: bool) -> Certificate:
    base = atlas.certificate
    how = ("a row is no facet if the region grows by less than 1e-9 of the domain without it" if is_native
           else f"facets that hold no ball of {FACET_BALL:g} of the typical distance of the rows are left out")
    return replace(base, claim=f"{base.claim}; {how}", figures={**base.figures, "facets": len(found.b), "doubtful": found.doubtful})
