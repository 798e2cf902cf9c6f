"""`pellucid doctor`: what is installed, what is missing, and whether the exact engine counts right here."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from typing import Annotated

import typer

from .console import WRONG_INPUT, Console, guarded

NEEDED = ("numpy", "scipy", "pandas", "pyarrow", "narwhals", "onnx", "onnxruntime", "matplotlib", "jinja2", "typer", "rich",
          "threadpoolctl")
EXTRAS = {"sklearn": ("scikit-learn", "skops"), "torch": ("torch",), "keras": ("keras",)}


def doctor(debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False) -> None:
    """Check the installation: versions, extras, native core, threads.

    Exit code 0 if pellucid can work here, 2 if something that it needs is missing.
    """
    console = Console()
    with guarded(console, debug):
        console.say(f"pellucid    {own_version()}")
        console.say(f"python      {platform.python_version()} on {platform.system()} {platform.machine()}")
        absent = [name for name in NEEDED if _version(name) is None]
        console.say("packages    " + ", ".join(f"{name} {_version(name)}" for name in NEEDED if name not in absent))
        for name in absent:
            console.say(f"  MISSING   {name}: pip install {name}")
        for extra, packages in EXTRAS.items():
            console.say(f"[{extra}]".ljust(12) + ", ".join(f"{p} {_version(p) or 'not installed'}" for p in packages)
                        + ("" if all(map(_version, packages)) else f": pip install 'pellucid[{extra}]'"))
        works = _native(console)
        console.say(f"threads     {os.environ.get('PELLUCID_THREADS') or _cores()}"
                    + (" (PELLUCID_THREADS)" if os.environ.get("PELLUCID_THREADS") else ""))
        if absent or not works:
            raise typer.Exit(WRONG_INPUT)
        console.say("All is well.")


def _native(console: Console) -> bool:
    """Say how the native core does; False where it is missing or counts wrong."""
    try:
        from .. import _core
    except ImportError as e:
        console.say(f"native core MISSING ({e}): reinstall pellucid; from source this needs a C++20 compiler")
        return False
    level = getattr(_core, "cpu_level", None)
    count = _self_test()
    console.say(f"native core {level() if callable(level) else 'loaded'}; self-test "
                + ("passed" if count == SELF_TEST_REGIONS else f"FAILED: {count} regions, {SELF_TEST_REGIONS} are right"))
    return count == SELF_TEST_REGIONS


SELF_TEST_REGIONS = 4


def _self_test() -> int:
    """Regions of |x| + |y| over [-1, 1]^2, which are four."""
    import numpy as np

    import pellucid as pel

    out = [np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]]), np.ones((1, 4))]
    net = pel.load((out, [np.zeros(4), np.zeros(1)]), orientation="out_in")
    return pel.linear_regions(net, pel.Box([-1, -1], [1, 1])).n_regions


def own_version() -> str:
    return _version("pellucid") or "(not installed)"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
