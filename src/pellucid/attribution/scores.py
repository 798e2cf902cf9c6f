"""What metrics have in common: the value that is watched, pixels and their order, baselines, batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataError, NoDecision
from ..graph import Network
from ..graph.network import no_class
from ..graph.rows import in_order
from .groups import groups_of, spatial
from .torch_form import require_torch, torch_module, widest


@dataclass(frozen=True, eq=False)
class Subject:
    """A network and the rows that are explained. module: its torch form. X: (n, d) float32. label: (n,) the class that is explained.

    shape: of a sample as it is looked at; pixel: (d,) which pixel an entry belongs to (channels together), P pixels.
    """

    net: Network
    module: Any
    X: Any
    label: np.ndarray
    shape: tuple[int, ...]
    pixel: np.ndarray

    @property
    def n_pixels(self) -> int:
        return int(self.pixel.max()) + 1

    def value(self, rows, label, kind: str = "probability"):
        """(m,) what the network gives the class: its probability, or its logit."""
        torch = require_torch("metrics of attribution")
        with torch.no_grad():
            y = torch.cat([self.module(part) for part in rows.split(max(1, 2**24 // self.module.width))])
        label = torch.as_tensor(label)
        if y.shape[1] == 1:
            signed = torch.where(label == 1, y[:, 0], -y[:, 0])
            return torch.sigmoid(signed) if kind == "probability" else signed
        y = torch.softmax(y, dim=1) if kind == "probability" else y
        return y.gather(1, label[:, None])[:, 0]


def subject_of(net: Network, X, *, label=None, device=None) -> Subject:
    """The rows as the metrics take them; label: the class of each row, the predicted one by default."""
    torch = require_torch("metrics of attribution")
    X, shape = samples(net, X)
    label = labels_of(net, X, label)
    pixels = groups_of(shape)
    pixel = np.empty(X.shape[1], dtype=np.int64)
    for k, members in enumerate(pixels.members):
        pixel[members] = k
    module = torch_module(net, device=device)
    return Subject(net, module, torch.as_tensor(X, dtype=torch.float32, device=module.device), label, shape, pixel)


def samples(net: Network, X) -> tuple[np.ndarray, tuple[int, ...]]:
    """(rows (n, d) float64, the shape that they are looked at). Images may come with axes that the network has flattened away."""
    d = net.n_inputs
    X = in_order(net, X)
    if hasattr(X, "detach"):
        X = X.detach().cpu().numpy()
    X = np.asarray(X, dtype=np.float64)
    one = X.shape == net.input_shape or X.ndim == 1
    X = X[None] if one else X
    if X.ndim < 2 or int(np.prod(X.shape[1:])) != d:
        raise DataError(f"X has shape {X.shape}; the network takes samples of shape {net.input_shape}, that is {d} numbers a row")
    finite = np.isfinite(X).reshape(len(X), d).all(axis=1)
    if not finite.all():
        raise DataError(f"row {int(np.argmin(finite))} of X has a value that is not finite")
    shape = X.shape[1:] if X.ndim > 2 else net.input_shape
    return np.ascontiguousarray(X.reshape(len(X), d)), tuple(shape)


def labels_of(net: Network, X: np.ndarray, label=None) -> np.ndarray:
    """(n,) the class of each row: the predicted one, or the one given (number, name, or one a row)."""
    if net.n_classes == 0:
        raise NoDecision(no_class(net))
    if label is None:
        return predicted(net, X)
    if isinstance(label, str):
        label = class_number(net, label)
    label = label.detach().cpu().numpy() if hasattr(label, "detach") else np.asarray(label)
    label = np.broadcast_to(label.ravel() if label.size > 1 else label.reshape(()), (len(X),))
    if label.dtype.kind not in "iu":
        label = np.array([class_number(net, v) for v in label])
    if len(label) and not 0 <= label.min() <= label.max() < net.n_classes:
        raise DataError(f"label {int(label.max() if label.max() >= net.n_classes else label.min())}: "
                        f"the network has classes 0 to {net.n_classes - 1}")
    return label.astype(np.int64)


def class_number(net: Network, name) -> int:
    """A class by number or name."""
    if isinstance(name, (int, np.integer)) and not isinstance(name, bool):
        if not 0 <= name < net.n_classes:
            raise DataError(f"class {name}: the network has classes 0 to {net.n_classes - 1}")
        return int(name)
    if str(name) not in net.class_names:
        raise DataError(f"no class is called '{name}'; there are: {', '.join(net.class_names[:10])}")
    return net.class_names.index(str(name))


def predicted(net: Network, X: np.ndarray, values: int = 2**24) -> np.ndarray:
    """(n,) the network's classes, in float64, so many rows at a time that memory is bounded."""
    rows = max(1, values // (widest(net) * 4))
    return np.concatenate([net.decide(X[k:k + rows]) for k in range(0, len(X), rows)]) if len(X) else np.zeros(0, dtype=np.int64)


def pixel_maps(subject: Subject, maps) -> np.ndarray:
    """Maps as (n, P): per pixel, the mean over channels. Takes Attribution, or arrays (n, d), (n, *shape), (n, height, width)."""
    maps = getattr(maps, "images", maps)
    maps = maps.detach().cpu().numpy() if hasattr(maps, "detach") else np.asarray(maps, dtype=np.float64)
    n, d, P = len(subject.X), len(subject.pixel), subject.n_pixels
    if len(maps) != n or maps.size not in (n * d, n * P):
        raise DataError(f"maps have shape {maps.shape}; {n} maps of {d} entries are needed" + (f", or of {P} pixels" if d != P else ""))
    flat = maps.reshape(n, -1).astype(np.float64)
    if flat.shape[1] == P:
        return flat if d != P else flat[:, np.argsort(subject.pixel, kind="stable")]
    count = np.bincount(subject.pixel, minlength=P)
    return flat @ (np.arange(P) == subject.pixel[:, None]) / count


def ranks(values: np.ndarray, rng) -> np.ndarray:
    """(n, P) place of each pixel, 0 the most important. Equal ones (a cell's) in random order, that no corner is preferred."""
    shuffle = rng.permutation(values.shape[1])
    order = shuffle[np.argsort(-values[:, shuffle], axis=1, kind="stable")]
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.broadcast_to(np.arange(values.shape[1]), values.shape), axis=1)
    return place


def baseline_rows(subject: Subject, baseline, rng):
    """(n, d) what removed entries are replaced by: "random" (uniform over the rows' range, as in the paper), a number, or an array."""
    torch = require_torch("metrics of attribution")
    X = subject.X
    if isinstance(baseline, str):
        if baseline != "random":
            raise DataError(f"baseline='{baseline}': 'random', a number or an array is needed")
        low, high = float(X.min()), float(X.max())
        return torch.as_tensor(rng.uniform(low, high, tuple(X.shape)), dtype=X.dtype, device=X.device)
    given = torch.as_tensor(np.asarray(in_order(subject.net, baseline), dtype=np.float32), device=X.device)
    return given.reshape(-1, X.shape[1]).expand_as(X) if given.numel() > 1 else torch.full_like(X, float(given))


def image_size(shape) -> tuple[int, int]:
    """(height, width); a DataError says that a table has none."""
    size, _ = spatial(shape)
    if size is None:
        raise DataError(f"samples of shape {tuple(shape)} are no images")
    return size
