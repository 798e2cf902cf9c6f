"""`bounds` and `margins`: the public door."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..certificate import Certificate, Status
from ..errors import DomainError
from ..graph.network import Network
from .backward import Form, Trace, lowest
from .hidden import crown, forward, intervals
from .interval import reach_of
from .program import Program, program
from .rounding import no_nan, plain_products, tiny, unit
from .sets import InputSet, input_set

if TYPE_CHECKING:
    import pandas as pd

METHODS = ("auto", "interval", "crown-interval", "crown", "forward", "forward+crown")


@dataclass(frozen=True, eq=False)
class Forms:
    """lower_A x + lower_b <= c.f(x) <= upper_A x + upper_b for every x of the set; A: (n, s, d), b: (n, s)."""

    lower_A: Tensor
    lower_b: Tensor
    upper_A: Tensor
    upper_b: Tensor


@dataclass(frozen=True, eq=False)
class Bounds:
    """lower <= c.f(x) <= upper for every x of each set, rounding included: tensors (n sets, s rows).

    names: of the rows. method: what was asked, resolved. forms: linear bounds in x, where asked for.
    """

    lower: Tensor
    upper: Tensor
    names: tuple[str, ...]
    method: str
    certificate: Certificate
    forms: Forms | None = None

    @property
    def width(self) -> Tensor:
        return self.upper - self.lower

    def __len__(self) -> int:
        return len(self.lower)

    def to_frame(self) -> pd.DataFrame:
        """One row a set and output: set, output, lower, upper."""
        import pandas as pd

        n, s = self.lower.shape
        lower, upper = (t.detach().cpu().numpy().astype(float).ravel() for t in (self.lower, self.upper))
        return pd.DataFrame({"set": np.repeat(np.arange(n), s), "output": list(self.names) * n, "lower": lower, "upper": upper})

    def __repr__(self) -> str:
        n, s = self.lower.shape
        return f"Bounds({n} set{'s' * (n != 1)} x {s} outputs, {self.method}, mean width {float(self.width.mean()):.4g}, sound)"

    def _repr_html_(self) -> str:
        return self.to_frame().to_html(index=False)


def bounds(net: Network, domain: Any, *, method: str = "auto", spec: Any = None, link: bool = False, batch: int | None = None,
           forms: bool = False, dtype: Any = torch.float64, device: Any = "cpu") -> Bounds:
    """Sound bounds of a network's logits, or of rows c.f(x), over a ball or box."""
    if method not in METHODS:
        raise ValueError(f"method={method!r}; it can be one of {', '.join(METHODS)}")
    method = "crown" if method == "auto" else method
    run = program(net.graph, dtype, device)
    inputs = input_set(net, domain, dtype, device)
    rows = _rows(net, spec, len(inputs), run)
    step = len(inputs) if batch is None else batch
    lower, upper, kept = [], [], []
    with plain_products(), torch.set_grad_enabled(torch.is_grad_enabled() and inputs.lower.requires_grad):
        for k in range(0, len(inputs), max(step, 1)):
            C = rows if len(rows) == 1 else rows[k:k + step]
            low, high, form = _bounds(run, inputs[k:k + step], C, method, forms)
            lower.append(low)
            upper.append(high)
            kept.append(form)
    names = net.output_names if spec is None else tuple(f"row {k}" for k in range(rows.shape[1]))
    low, high = no_nan(torch.cat(lower), torch.cat(upper))
    linear = _forms(kept, len(lower)) if forms else None
    claim = Certificate("every output over the set lies within the bounds", Status.PROVED,
                        f"{method}, rounding of {str(dtype).removeprefix('torch.')} included")
    return Bounds(low, high, names, method, claim, linear)


def _forms(parts: list[Form | None], n: int) -> Forms:
    """Rows and their negatives, as `final` asked for them, of all batches."""
    A, b = [], []
    for form in parts:
        assert form is not None
        A.append(form.L.flatten(2).expand(len(form.d), -1, -1))
        b.append(form.d)
    A, b = torch.cat(A), torch.cat(b)
    s = b.shape[1] // 2
    return Forms(A[:, :s], b[:, :s], -A[:, s:], -b[:, s:])



def margins(net: Network, domain: Any, label: Any, **options: Any) -> Bounds:
    """Bounds of f_label - f_j for every other j, as rows of their own: label an index (or one for each set)."""
    c = net.n_outputs
    labels = torch.atleast_1d(torch.as_tensor(label))
    eye = torch.eye(c, dtype=torch.float64)
    spec = torch.stack([torch.cat([eye[y] - eye[:y], eye[y] - eye[y + 1:]]) for y in labels.tolist()])
    return bounds(net, domain, spec=spec, **options)


def _rows(net: Network, spec: Any, n: int, run: Program) -> Tensor:
    """(1 or n, s, *output shape), float64."""
    c, shape = net.n_outputs, run.shapes[run.output]
    if spec is None:
        return torch.eye(c, dtype=torch.float64, device=run.device).reshape(1, c, *shape)
    rows = torch.as_tensor(spec, dtype=torch.float64, device=run.device)
    rows = rows[None] if rows.dim() == 1 else rows
    rows = rows[None] if rows.dim() == 2 else rows
    if rows.dim() != 3 or rows.shape[2] != c or len(rows) not in (1, n):
        raise DomainError(f"spec has shape {tuple(rows.shape)}; rows of {c} numbers are needed, (s, {c}) or ({n}, s, {c})")
    return rows.reshape(len(rows), rows.shape[1], *shape)


def _bounds(run: Program, inputs: InputSet, C: Tensor, method: str, forms: bool) -> tuple[Tensor, Tensor, Form | None]:
    first = {"crown": crown, "forward": forward, "forward+crown": forward}.get(method, intervals)
    return final(first(run, inputs), C, until_nonlinear=method in ("interval", "forward"), keep=forms)


def final(trace: Trace, C: Tensor, *, until_nonlinear: bool = False, keep: bool = False) -> tuple[Tensor, Tensor, Form | None]:
    """(lower, upper, form) of rows C (n or 1, s, *output shape), float64, of the output, given what is known of the tensors inside."""
    run = trace.program
    L = C.to(run.dtype)
    values, form = lowest(trace, run.output, torch.cat([L, -L], dim=1), until_nonlinear=until_nonlinear, keep=keep)
    lost = (L.to(C.dtype) - C).abs()
    if bool(lost.any()):                                        # rows that the dtype does not hold
        reach = reach_of(trace.bounds[run.output]).to(C.dtype)
        cost = (lost * reach.unsqueeze(1)).flatten(2).sum(2) * (1 + 1e-6)
        values = values - torch.cat([cost, cost], dim=1).to(run.dtype) * (1 + 8 * unit(run.dtype)) - tiny(run.dtype)
    s = C.shape[1]
    return values[:, :s], -values[:, s:], form
