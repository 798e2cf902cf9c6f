"""Enumeration by the workers of a dask.distributed cluster (design/streaming.md).

Tasks are those of `atlas/tasks.py`. A worker that dies loses only what it had not written or handed over; its tasks go to others. A task
done twice gives the same rows twice, and only one of them is kept.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..certificate import Certificate
from ..errors import Interrupted, MissingExtra, PellucidError
from ..regions.parallel import Task, divide, extent, whole
from ..regions.stream import Part, close, join
from .parts import Folder, Question, manifest_of, number, open_folder, question_of, with_runner_up
from .tasks import Limits, Tally, attempt, survey

if TYPE_CHECKING:
    from .atlas import Atlas

TRIES = 5
"""How often a task is given out again after an error that is none of ours: a worker killed, a connection lost."""

IN_FLIGHT = 3
"""Tasks given out for each thread of the cluster: enough that none waits, few enough that a budget ends soon."""

MEMORY_BYTES = 32 << 20
"""Bytes of regions that a task hands over at most, where there is no folder to write them to."""

_QUESTIONS: dict[str, Question] = {}


# ---- the worker's side
def do_task(job: dict[str, Any], name: str, task: Task, limits: Limits) -> tuple[str, Any]:
    """On a worker: one task done or divided. Gives ("part", rows) where it was written, ("rows", Part), ("divided", parts), ("late", None).
    """
    question = _question(job)
    started = time.perf_counter()
    found = attempt(question.work, task, limits)
    if isinstance(found, tuple):
        return "divided", found
    if not found.complete:
        return "late", None
    part = close(name, task, with_runner_up(question, found))
    if job["folder"] is None:
        return "rows", part
    Folder(Path(job["folder"]), question).write_part(part, time.perf_counter() - started)
    return "part", len(part.cells.codes)


def _question(job: dict[str, Any]) -> Question:
    """The question of a job, made once in each process."""
    if job["key"] not in _QUESTIONS:
        while len(_QUESTIONS) >= 4:
            _QUESTIONS.pop(next(iter(_QUESTIONS)))
        _QUESTIONS[job["key"]] = open_folder(job["folder"]).question if job["folder"] else _unpacked(job)
    return _QUESTIONS[job["key"]]


def _unpacked(job: dict[str, Any]) -> Question:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "network.npz"
        path.write_bytes(job["network"])
        return question_of(json.loads(job["manifest"]), path)


# ---- the caller's side
def run_on_cluster(folder: Folder, client: Any, *, max_regions, max_seconds, progress) -> str:
    """All open tasks of a folder that the workers can write to too. Gives the budget that ran out, "" where all is done."""
    open_tasks, tally = survey(folder, progress)

    def divided(name: str, task: Task, parts) -> list[tuple[str, Task]]:
        return folder.write_division(name, task, parts)

    crew = Crew(client, folder.question, folder.path.resolve(), folder.question.part_bytes)
    return crew.run(open_tasks, tally, divided, lambda name, part: None, max_regions, max_seconds)


def gather(question: Question, client: Any, *, max_bytes, max_regions, max_seconds, threads, progress) -> Atlas:
    """The atlas in memory, its parts made by the workers. max_bytes: a budget of what is kept."""
    parts: dict[str, Part] = {}
    left: dict[str, Task] = {}
    tally = Tally(0, 0.0, 0.0, progress)

    def divided(name: str, task: Task, pieces) -> list[tuple[str, Task]]:
        del left[name]
        left.update(number(name, pieces))
        return number(name, pieces)

    def keep(name: str, part: Part) -> None:
        del left[name]
        parts[name] = part

    start = [("0", whole(question.work))]
    left.update(start)
    crew = Crew(client, question, None, MEMORY_BYTES, keep_bytes=max_bytes)
    try:
        reason = crew.run(start, tally, divided, keep, max_regions, max_seconds)
    except KeyboardInterrupt:
        raise Interrupted(_atlas(question, parts, left, "cancelled", tally.seconds)) from None
    return _atlas(question, parts, left, reason, tally.seconds)


def _atlas(question: Question, parts: dict[str, Part], left: dict[str, Task], reason: str, seconds: float) -> Atlas:
    from .atlas import Atlas, PartialAtlas
    from .enumerate import _certificate, confirmed_by

    work = question.work
    volume = extent(work, whole(work))
    order = sorted(parts, key=lambda name: [int(i) for i in name.split(".")])
    cells = join(work, [parts[name] for name in order], tuple(left.values()), reason, None if math.isnan(volume) else volume)
    sure = confirmed_by(question.decided, _chain(question), cells, question.by)
    claim: Certificate = _certificate(cells, question.domain, sure, question.engine, seconds)
    cells = with_runner_up(question, cells)
    kind = Atlas if cells.complete else PartialAtlas
    return kind(question.network, question.domain, cells, question.by, question.threshold, claim)


def _chain(question: Question):
    from ..chain import chain_of

    return chain_of(question.network)


class Crew:
    """The workers of a client, and what they are at."""

    def __init__(self, client: Any, question: Question, folder: Path | None, part_bytes: int, keep_bytes: int | None = None):
        _check(client)
        self.client, self.question, self.part_bytes, self.keep_bytes = client, question, part_bytes, keep_bytes
        self.job = _job(question, folder)
        self.running: dict[Any, tuple[str, Task]] = {}
        self.tries: dict[str, int] = {}
        self.threads = sum(client.nthreads().values()) or 1

    def run(self, open_tasks: list[tuple[str, Task]], tally: Tally, divided: Callable, keep: Callable, max_regions, max_seconds) -> str:
        """Until nothing is open, or a budget has run out. divided, keep: told what became of a task."""
        waiting, rows_before, kept = deque(self._enough(open_tasks, divided)), tally.rows, 0
        most = None if max_regions is None else max(1, int(max_regions) // 8)        # rows of a task
        try:
            while waiting or self.running:
                left = None if max_seconds is None else max_seconds - tally.seconds
                room = math.inf if max_regions is None else max_regions - (tally.rows - rows_before)
                if room <= 0 or (left is not None and left <= 0):
                    return "max_regions" if room <= 0 else "max_seconds"
                if self.keep_bytes is not None and kept >= self.keep_bytes:
                    return "max_bytes"
                self._give_out(waiting, left, most, room)
                if not self.running:                # what is left of the budget is less than a task may take
                    return "max_regions"
                for name, task, (what, found) in self._next(waiting):
                    if what == "divided":
                        waiting.extendleft(reversed(divided(name, task, found)))
                    elif what == "late":
                        return "max_seconds"
                    else:
                        rows = found if what == "part" else len(found.cells.codes)
                        if what == "rows":
                            kept += sum(v.nbytes for v in vars(found.cells).values() if hasattr(v, "nbytes"))
                            keep(name, found)
                        tally.add(rows, task.size)
            return ""
        finally:
            self.client.cancel(list(self.running))
            self.running.clear()

    def _enough(self, open_tasks: list[tuple[str, Task]], divided: Callable) -> list[tuple[str, Task]]:
        """At least some tasks for every thread from the start."""
        wanted = 4 * self.threads
        if len(open_tasks) != 1:
            return open_tasks
        name, task = open_tasks[0]
        parts = divide(self.question.work, task, wanted)
        return open_tasks if parts is None else divided(name, task, parts)

    def _give_out(self, waiting: deque, seconds: float | None, rows: int | None, room: float) -> None:
        """Tasks to whoever is free; no more than could fill the budget of rows."""
        most = IN_FLIGHT * self.threads if rows is None else min(IN_FLIGHT * self.threads, room // rows)
        while waiting and len(self.running) < most:
            name, task = waiting.popleft()
            limits = Limits(self.part_bytes, rows, seconds, 1)
            self.running[self.client.submit(do_task, self.job, name, task, limits, pure=False, retries=TRIES)] = (name, task)

    def _next(self, waiting: deque) -> list[tuple[str, Task, tuple[str, Any]]]:
        """What has come to an end; tasks whose worker died wait again."""
        from distributed import wait

        done, finished = list(_done(wait, list(self.running))), []
        results = self.client.gather(done, errors="skip") if all(f.status == "finished" for f in done) else []
        for i, future in enumerate(done):
            name, task = self.running.pop(future)
            try:
                finished.append((name, task, results[i] if len(results) == len(done) else future.result()))
            except PellucidError:
                raise
            except OSError:                        # a full disk, a folder that the workers do not see: no use in trying again
                raise
            except Exception:
                self.tries[name] = self.tries.get(name, 0) + 1
                if self.tries[name] > TRIES:
                    raise
                waiting.appendleft((name, task))
            finally:
                future.release()
        return finished


def _done(wait: Callable, futures: list) -> set:
    """Those that are finished; none where nothing ends for a while, so that budgets are looked at."""
    try:
        return wait(futures, timeout=0.5, return_when="FIRST_COMPLETED").done
    except TimeoutError:
        return set()


def _job(question: Question, folder: Path | None) -> dict[str, Any]:
    """What a worker needs to know: plain bytes and text, or where they are."""
    manifest = json.dumps(manifest_of(question))
    job = {"key": f"{folder} {manifest}", "manifest": manifest, "folder": None if folder is None else str(folder)}
    if folder is not None:
        return job
    with tempfile.TemporaryDirectory() as place:
        return {**job, "network": question.network.save(Path(place) / "network.npz").read_bytes()}


def _check(client: Any) -> None:
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingExtra("distributed", "cluster", "linear_regions(client=...)") from error
    if not isinstance(client, Client):
        raise TypeError(f"client={client!r}: a dask.distributed.Client is needed")
