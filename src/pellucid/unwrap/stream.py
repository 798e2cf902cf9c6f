"""A network unwrapped on rows that come in batches, in memory that grows with the regions, not with the rows."""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..chain import Chain, chain_of
from ..errors import DataError, PathInUse
from ..graph import Network
from .batches import Batches, Progress
from .evidence import Evidence, Moments
from .faces import FaceRows
from .groups import Groups, Table, codes_at, largest_first
from .models import Rows
from .native import maps_of
from .responses import Responses
from .rows import MemoryRows, as_inputs
from .runs import in_memory, on_disk, read_manifest, read_run, write_manifest, write_run
from .sample import Sample, sample_rows
from .scores import local_scores, squared_errors
from .unwrapping import Exactness

MAX_BYTES = 128 << 20
"""Table of codes in memory, by default; beyond, it goes to disk."""

CHECKPOINT_SECONDS = 20.0
CHECKED_OF_BATCH = 256
"""Rows of each batch on which local models are compared with the network."""

MOST_SCORED = 4_000_000
"""Rows whose scores are held at once for areas under ROC curves; models with more rows are scored on the sample."""


@dataclass(frozen=True, eq=False)
class StreamedUnwrapping:
    """As `Unwrapping`, of rows that were not kept. source: the batches. read: a batch -> (X, y, weight). kept: a sample of the rows.
    folder: where what does not fit in memory lies, gone with this value unless it is a checkpoint."""

    network: Network
    groups: Groups
    source: Batches
    read: Callable[[Any], tuple[np.ndarray, np.ndarray, np.ndarray | None]]
    kind: Responses
    centre: np.ndarray
    exactness: Exactness
    kept: Sample
    step: int
    threads: int = 1
    folder: _Folder | None = None

    @property
    def chain(self) -> Chain:
        return chain_of(self.network)

    @property
    def n_rows(self) -> int:
        return self.kept.seen

    @property
    def data(self) -> MemoryRows:
        """The sample: what merging, say, is fitted on. So are y and weight."""
        return MemoryRows(self.network, self.kept.X)

    @property
    def y(self) -> np.ndarray | None:
        return self.kept.y

    @property
    def weight(self) -> np.ndarray | None:
        return self.kept.weight

    def codes(self, index: np.ndarray) -> np.ndarray:
        """(k, words) packed canonical codes of regions."""
        return np.asarray(self.groups.codes[index])

    @property
    def sample(self) -> Rows:
        """A uniform sample of the rows, each with its region."""
        s = self.kept
        return Rows(s.X, s.y, s.weight, self.groups.find(codes_at(self.chain, s.X, threads=self.threads)[0]), s.complete)

    def sample_of(self, at: np.ndarray) -> Rows:
        """The same; rows of the regions `at` with their place in it, the others with -1. Looks at these regions only."""
        s = self.kept
        codes = codes_at(self.chain, s.X, threads=self.threads)[0] if len(at) else None
        model = np.full(len(s.X), -1, dtype=np.int64) if codes is None else self.groups.only(at).find(codes)
        return Rows(s.X, s.y, s.weight, model, s.complete)

    def evidence(self, at: np.ndarray, local: bool) -> Evidence:
        """What the rows of these regions are like: all rows, read once more; of a source that cannot be read again, the sample's."""
        found = Moments(len(at), self.network.n_inputs)
        return found.evidence(self._read_again(at, found, local))

    def local_scores(self, at: np.ndarray) -> np.ndarray:
        """(k,) of regions on their own rows."""
        found = self._read_again(at, None, True)
        assert found is not None
        return found

    def _read_again(self, at: np.ndarray, found: Moments | None, local: bool) -> np.ndarray | None:
        """Fill the moments, where they are wanted; the local scores, where they are."""
        groups, kind, K = self.groups, self.kind, len(at)
        wanted = groups.only(at)
        score = None
        held: list[tuple[np.ndarray, ...]] | None = None
        if local and not kind.are_shares:
            with np.errstate(invalid="ignore", divide="ignore"):
                score = groups.loss[at] / groups.weights[at]
        elif local:
            held = []
        if found is None and held is None:
            return score
        is_small = int(groups.count[at].sum()) <= MOST_SCORED
        again = self.source.again and not self.kept.complete
        for X, y, w in self._anew() if again else [(self.kept.X, self.kept.y, self.kept.weight)]:
            codes, outputs, _ = codes_at(self.chain, X, outputs=held is not None and (is_small or not again), threads=self.threads)
            place = wanted.find(codes)
            rows = np.argsort(place, kind="stable")
            rows = rows[place[rows] >= 0]
            if found is not None:
                found.add(X[rows], place[rows], None if groups.weight is None else w[rows])
            if held is not None and (is_small or not again):
                held.append((place[rows], outputs[rows], y[rows], np.zeros(0) if w is None else w[rows]))
        if held is not None and again and not is_small:
            s = self.kept
            codes, outputs, _ = codes_at(self.chain, s.X, outputs=True, threads=self.threads)
            place = wanted.find(codes)
            rows = np.flatnonzero(place >= 0)
            held.append((place[rows], outputs[rows], s.y[rows], s.weight[rows]))
        if held is not None:
            place, outputs, y, w = (np.concatenate(v) for v in zip(*held, strict=True))
            score = local_scores(kind, place, outputs, y, None if groups.weight is None else w, K)
        return score

    def rows(self):
        """(X, y, weight or None, region) of all rows, some thousand at a time; of the sample, where they cannot be read again."""
        s, weighted = self.kept, self.groups.weight is not None
        for X, y, w in self._anew() if self.source.again and not s.complete else [(s.X, s.y, s.weight)]:
            yield X, y, w if weighted else None, self.groups.find(codes_at(self.chain, X, threads=self.threads)[0])

    def _anew(self):
        """(X, y, weight) of all rows, some thousand at a time."""
        for batch in self.source.read(0):
            X, y, w = self.read(batch)
            for a in range(0, len(X), self.step):
                b = slice(a, a + self.step)
                yield X[b], y[b], None if w is None else w[b]


class _Patience:
    """Ctrl-C waits for the end of a batch, so that every batch counts as a whole or not at all. Only the main thread gets signals."""

    is_over = False

    def __enter__(self):
        self.usual = signal.getsignal(signal.SIGINT)
        self.is_main = threading.current_thread() is threading.main_thread() and callable(self.usual)
        if self.is_main:
            signal.signal(signal.SIGINT, self._told)
        return self

    def __exit__(self, *_):
        if self.is_main:
            signal.signal(signal.SIGINT, self.usual)

    def _told(self, number, frame):
        self.is_over = True
        signal.signal(signal.SIGINT, self.usual)


class _Folder:
    """A folder of runs: the user's, which stays, or a temporary one."""

    def __init__(self, checkpoint: Path | None):
        self.is_ours = checkpoint is None
        self.path = Path(tempfile.mkdtemp(prefix="pellucid-")) if checkpoint is None else checkpoint
        self.path.mkdir(parents=True, exist_ok=True)
        if self.is_ours:
            self.gone = weakref.finalize(self, shutil.rmtree, str(self.path), True)


@dataclass(eq=False)
class _State:
    """Where a run is."""

    centre: np.ndarray
    kept: Sample
    batches: int = 0
    weighted: bool = False
    worst: float = 0.0
    size: float = 0.0
    checked: int = 0
    faces: FaceRows = field(default_factory=FaceRows)
    runs: list[str] = field(default_factory=list)


def unwrap_batches(net: Network, source: Batches, read, kind: Responses, *, step: int, threads: int, checkpoint: str | Path | None = None,
                   max_bytes: int | None = None, progress: Progress | None = None) -> tuple[StreamedUnwrapping, bool]:
    """The regions of rows that come in batches; and whether all batches were read (Ctrl-C ends early, with what was found).

    read: a batch -> (X, y, weight). checkpoint: a folder from which a run that was ended by anything goes on, with the same source.
    max_bytes: for the table of codes; beyond, it is written to disk and merged in the end.

    Gives     what `unwrap` gives of the same rows: the same regions, numbers, counts and means.
    Sound     a run that is killed is continued from a manifest that names whole batches only, each counted once.
    """
    run = _Run(net, source, read, kind, step, threads, None if checkpoint is None else Path(checkpoint),
               MAX_BYTES if max_bytes is None else int(max_bytes), progress)
    is_whole = run.all_batches()
    return run.result(), is_whole


class _Run:
    def __init__(self, net, source, read, kind, step, threads, checkpoint: Path | None, max_bytes: int, progress):
        self.net, self.source, self.read, self.kind, self.step, self.threads = net, source, read, kind, step, threads
        self.checkpoint, self.max_bytes, self.progress = checkpoint, max_bytes, progress
        self.chain, self.table, self.folder = chain_of(net), None, None
        self.state = _State(np.zeros(net.n_inputs), Sample(sample_rows(net.n_inputs)))
        self.saved = time.monotonic()
        if checkpoint is not None:
            self.folder = _Folder(checkpoint)
            self._restore()

    def all_batches(self) -> bool:
        """Read to the end; False where Ctrl-C ended it, between two batches. A second Ctrl-C ends it at once."""
        with _Patience() as patience:
            for batch in self.source.read(self.state.batches):
                self._take(*self.read(batch))
                self.state.batches += 1
                is_due = self.checkpoint is not None and time.monotonic() - self.saved > CHECKPOINT_SECONDS
                if is_due or (self.table is not None and self.table.bytes > self.max_bytes):
                    self._flush()
                if self.progress is not None:
                    self.progress(self.state.kept.seen)
                if patience.is_over:
                    break
        if self.checkpoint is not None:
            self._flush()
        return not patience.is_over

    def _take(self, X: np.ndarray, y: np.ndarray, w: np.ndarray | None) -> None:
        s, kind = self.state, self.kind
        if self.table is None:
            if s.kept.seen == 0:
                s.weighted = w is not None
            self.table = Table(self.chain, kind.n, weighted=s.weighted, squares=not kind.are_shares, losses=not kind.are_shares,
                               keep_codes=True)
        if s.weighted != (w is not None):
            raise DataError(f"batch {s.batches} comes {'without' if s.weighted else 'with'} sample weights, those before it did not")
        for a in range(0, len(X), self.step):
            b = slice(a, a + self.step)
            codes, outputs, faces = codes_at(self.chain, X[b], outputs=not kind.are_shares, threads=self.threads)
            responses = kind.of(y[b])
            loss = None if kind.are_shares else squared_errors(kind.scores(outputs), responses)
            self.table.add(codes, responses, None if w is None else w[b], loss, s.kept.seen + a, faces)
            if a == 0:
                self._compare(X[:CHECKED_OF_BATCH], codes[:CHECKED_OF_BATCH])
        s.centre = s.centre + (X.sum(axis=0) if w is None else w @ X)
        s.kept.add(X, y, np.ones(len(X)) if w is None else w)

    def _compare(self, X: np.ndarray, codes: np.ndarray) -> None:
        s, y = self.state, self.net(X)
        coef, intercept = maps_of(self.chain, codes, threads=self.threads)
        s.worst = max(s.worst, float(np.abs(np.einsum("ncd,nd->nc", coef, X) + intercept - y).max(initial=0.0)))
        s.size, s.checked = max(s.size, float(np.abs(y).max(initial=0.0))), s.checked + len(X)

    # ---- to disk and back
    def _flush(self) -> None:
        """The table to a run on disk, and the state with it."""
        s = self.state
        if self.folder is None:
            self.folder = _Folder(None)
        if self.table is not None and len(self.table):
            name = f"run-{len(s.runs):05d}"
            s.faces += self.table.faces
            write_run(self.folder.path, name, self.table.take())
            s.runs.append(name)
        self.table = None
        if self.checkpoint is not None:
            state = f"state-{s.batches:08d}.npz"
            temporary = self.folder.path / f".{state}"
            held = s.kept
            with open(temporary, "wb") as file:
                np.savez(file, centre=s.centre, **({} if held.number is None else
                                                   {"number": held.number, "X": held.X, "y": held.y, "weight": held.weight}))
            temporary.replace(self.folder.path / state)
            write_manifest(self.folder.path, self._identity() | {
                "batches": s.batches, "rows": held.seen, "weighted": s.weighted, "runs": s.runs, "state": state,
                "exactness": [s.worst, s.size, s.checked], "faces": [s.faces.on, s.faces.moved, s.faces.apart]})
            for old in self.folder.path.glob("state-*.npz"):
                if old.name != state:
                    with contextlib.suppress(OSError):
                        old.unlink()
        self.saved = time.monotonic()

    def _identity(self) -> dict[str, Any]:
        return {"network": self.net.digest, "source": self.source.words, "kind": f"{self.kind.kind} {self.kind.n}"}

    def _restore(self) -> None:
        manifest, s = read_manifest(self.folder.path), self.state
        if manifest is None:
            others = [p for p in self.folder.path.iterdir() if not p.name.startswith((".", "run-", "state-"))]
            if others:
                raise PathInUse(f"checkpoint={self.folder.path}: the folder holds something else; give one that is new or empty")
            return
        for key, mine in self._identity().items():
            if manifest.get(key) != mine:
                raise PathInUse(f"checkpoint={self.folder.path} belongs to another run: its {key} is another.\n"
                                "  To go on       give a new folder, or the same model, data and batch_size as then")
        with np.load(self.folder.path / manifest["state"]) as held:
            s.centre = held["centre"]
            if "X" in held:
                s.kept.number, s.kept.X, s.kept.y, s.kept.weight = held["number"], held["X"], held["y"], held["weight"]
        s.kept.seen, s.batches, s.weighted, s.runs = manifest["rows"], manifest["batches"], manifest["weighted"], list(manifest["runs"])
        s.worst, s.size, s.checked = manifest["exactness"]
        s.faces = FaceRows(*manifest["faces"])

    def result(self) -> StreamedUnwrapping:
        s = self.state
        if s.kept.seen == 0:
            raise DataError("Found array with 0 sample(s) (there are no rows) while a minimum of 1 is required")
        if s.runs:
            faces = s.faces
            if self.table is not None and len(self.table):           # ended early: what is not in a run
                faces += self.table.faces
                write_run(self.folder.path, "last", self.table.take())
            extra = ["last"] if self.table is not None and (self.folder.path / "last").is_dir() else []
            runs = [read_run(self.folder.path, name) for name in [*s.runs, *extra]]
            is_large = sum(r.bytes for r in runs) > self.max_bytes
            if is_large:
                columns, keys, order = on_disk(runs, self.folder.path / "merged")
                groups = Groups(**columns, labels=None, faces=faces, keys=keys, order=order)
            else:
                groups = largest_first(in_memory(runs), None, faces)
            if extra:
                shutil.rmtree(self.folder.path / "last", ignore_errors=True)
        else:
            groups = largest_first(self.table.take(), None, self.table.faces)
        weight = float(groups.weight.sum()) if groups.weight is not None else float(s.kept.seen)
        exact = Exactness(s.worst / s.size if s.size > 0 else s.worst, s.checked, s.kept.seen)
        return StreamedUnwrapping(self.net, groups, self.source, self.read, self.kind, s.centre / max(weight, np.finfo(float).tiny), exact,
                                  s.kept, self.step, self.threads, self.folder)


def reader(net: Network, read_y: Callable[[Any, int], np.ndarray]) -> Callable[[Any], tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    """Batches of a source -> (X (k, d), y, weight or None) as numbers."""
    def read(batch):
        X, y, w = batch
        X = as_inputs(net, X)
        if w is not None:
            w = np.ascontiguousarray(w, dtype=np.float64)
            if w.shape != (len(X),) or not (np.isfinite(w).all() and (w >= 0).all()):
                raise DataError(f"sample weights of shape {w.shape}: {len(X)} finite numbers, none negative, are needed")
        return X, read_y(y, len(X)), w
    return read
