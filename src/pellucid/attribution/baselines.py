"""What EVA is compared with, by captum where it has it: each a function of a subject that gives maps (n, d).

GradCAM++ is ours, on captum's pattern (captum 0.9 has none): Chattopadhyay et al. 2018, with their closed form for exponential scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..errors import DataError, MissingExtra
from ..ops.conv import Conv
from .groups import spatial
from .scores import Subject, image_size
from .torch_form import require_torch

ROWS = 64
"""Images at once; methods that sample multiply this."""


def captum_attr():
    """The module captum.attr. MissingExtra where it is not installed."""
    try:
        import captum.attr
    except ImportError as e:
        raise MissingExtra("captum", "attribution", "comparing attribution methods") from e
    return captum.attr


def saliency(s: Subject, seed: int = 0) -> np.ndarray:
    """|gradient| of the class's logit (Simonyan, Vedaldi & Zisserman 2014)."""
    return _by_captum(s, lambda c, m: c.Saliency(m))


def input_x_gradient(s: Subject, seed: int = 0) -> np.ndarray:
    return _by_captum(s, lambda c, m: c.InputXGradient(m))


def smoothgrad(s: Subject, seed: int = 0, *, samples: int = 50, noise: float = 0.2) -> np.ndarray:
    """Mean |gradient| under noise (Smilkov et al. 2017)."""
    return _noisy(s, seed, "smoothgrad", samples, noise)


def vargrad(s: Subject, seed: int = 0, *, samples: int = 50, noise: float = 0.2) -> np.ndarray:
    """Variance of the gradient under noise (Seo et al. 2018)."""
    return _noisy(s, seed, "vargrad", samples, noise)


def integrated_gradients(s: Subject, seed: int = 0, *, steps: int = 50) -> np.ndarray:
    """From black (Sundararajan, Taly & Yan 2017)."""
    return _by_captum(s, lambda c, m: c.IntegratedGradients(m), n_steps=steps, baselines=0.0)


def occlusion(s: Subject, seed: int = 0, *, window: int | None = None) -> np.ndarray:
    """The loss by a window of zeros, about a seventh of the image wide (Zeiler & Fergus 2014)."""
    side = window or max(1, round(min(image_size(s.shape)) / 7))
    _, channel = spatial(s.shape)
    size = tuple(n if k == channel else min(side, n) for k, n in enumerate(_image(s)))
    stride = tuple(n if k == channel else max(1, n // 2) for k, n in enumerate(size))
    return _by_captum(s, lambda c, m: c.Occlusion(m), shaped=True, sliding_window_shapes=size, strides=stride, baselines=0.0)


def gradcam(s: Subject, seed: int = 0, *, layer: str | None = None) -> np.ndarray:
    """The last convolution's channels, weighted by their mean gradients, what speaks for the class (Selvaraju et al. 2017)."""
    attr, (height, width) = captum_attr(), image_size(s.shape)
    cam = attr.LayerGradCam(s.module, s.module.node(layer or last_convolution(s)))

    def maps(x, label):
        small = cam.attribute(x, target=label, relu_attributions=True)
        return attr.LayerAttribution.interpolate(small, (height, width), interpolate_mode="bilinear")

    return _spread(s, maps)


def gradcam_plus_plus(s: Subject, seed: int = 0, *, layer: str | None = None) -> np.ndarray:
    """GradCAM with pixelwise weights alpha = g^2 / (2 g^2 + sum(A) g^3) of the positive gradients g (its eq. 19)."""
    torch = require_torch("GradCAM++")
    attr, (height, width) = captum_attr(), image_size(s.shape)
    node = s.module.node(layer or last_convolution(s))

    def maps(x, label):
        kept = []
        hook = node.register_forward_hook(lambda module, inputs, output: kept.append(output))
        try:
            y = s.module(x.requires_grad_(True))
        finally:
            hook.remove()
        (A,) = kept
        (g,) = torch.autograd.grad(_own(y, label).sum(), A)
        below = 2 * g**2 + A.sum(dim=(2, 3), keepdim=True) * g**3
        alpha = torch.where(below != 0, g**2 / torch.where(below != 0, below, 1.0), 0.0)
        weight = (alpha * g.clamp_min(0)).sum(dim=(2, 3), keepdim=True)
        small = (weight * A).sum(dim=1, keepdim=True).clamp_min(0).detach()
        return attr.LayerAttribution.interpolate(small, (height, width), interpolate_mode="bilinear")

    return _spread(s, maps)


def last_convolution(s: Subject) -> str:
    """The name of the last node that is a convolution over two axes; a DataError where the network has none."""
    names = [n.name for n in s.net.graph.nodes if isinstance(n.op, Conv) and len(n.shape) == 3]
    if not names:
        raise DataError("GradCAM needs a convolution, and the network has none")
    return names[-1]


BASELINES: dict[str, Callable[..., np.ndarray]] = {
    "Saliency": saliency, "GradInput": input_x_gradient, "SmoothGrad": smoothgrad, "VarGrad": vargrad, "InteGrad": integrated_gradients,
    "Occlusion": occlusion, "GradCAM": gradcam, "GradCAM++": gradcam_plus_plus,
}
"""By the names of the paper's Table 1."""


def _image(s: Subject) -> tuple[int, ...]:
    """The shape that windows slide over: a vector that is looked at as an image becomes one."""
    return tuple(s.shape) if len(s.shape) > 1 else image_size(s.shape)


def _own(y, label):
    """(n,) the logit that speaks for the class."""
    torch = require_torch("gradients")
    return torch.where(label == 1, y[:, 0], -y[:, 0]) if y.shape[1] == 1 else y.gather(1, label[:, None])[:, 0]


def _by_captum(s: Subject, make, *, shaped: bool = False, **options) -> np.ndarray:
    """Maps of a captum method, some images at a time; shaped: it slides over the image, else it sees the network's own shape."""
    torch = require_torch("attribution")
    method, shape = make(captum_attr(), _logit_of_label(s)), _image(s) if shaped else s.net.input_shape
    label, out = torch.as_tensor(s.label, device=s.X.device), []
    for x, c in zip(s.X.split(ROWS), label.split(ROWS), strict=True):
        rows = x.reshape(len(x), *shape).detach().clone().requires_grad_(not shaped)
        maps = method.attribute(rows, additional_forward_args=(c,), **options)
        out.append(maps.detach().reshape(len(x), -1).cpu())
    return torch.cat(out).double().numpy()


def _logit_of_label(s: Subject):
    """x, label -> the class's logit: a sigmoid's one output speaks for both classes."""
    torch = require_torch("attribution")

    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.module = s.module

        def forward(self, x, label):
            copies = len(x) // len(label)
            return _own(self.module(x), label.repeat_interleave(copies))

    return Own()


def _noisy(s: Subject, seed: int, kind: str, samples: int, noise: float) -> np.ndarray:
    torch = require_torch("attribution")
    spread = noise * float(s.X.max() - s.X.min())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _by_captum(s, lambda c, m: c.NoiseTunnel(c.Saliency(m)), nt_type=kind, nt_samples=samples, nt_samples_batch_size=10,
                          stdevs=spread)


def _spread(s: Subject, maps) -> np.ndarray:
    """(n, d) from maps (n, 1, height, width), the same in every channel."""
    torch = require_torch("attribution")
    label, out = torch.as_tensor(s.label, device=s.X.device), []
    for x, c in zip(s.X.split(ROWS), label.split(ROWS), strict=True):
        if s.net.n_outputs == 1:
            raise DataError("GradCAM here needs one logit a class, and the network has one for two classes")
        small = maps(x.detach().clone().reshape(len(x), *s.net.input_shape), c)
        out.append(small.detach().reshape(len(x), -1).cpu())
    flat = torch.cat(out).double().numpy()
    assert flat.shape[1] == math.prod(image_size(s.shape))
    return flat[:, s.pixel]
