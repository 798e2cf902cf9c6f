"""Enumerations that write what they find as they go, and go on after any end (design/streaming.md)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Interrupted
from ..geometry import Slice
from ..graph import Network
from ..regions.parallel import Task, Work, divide, explored, run_task
from ..regions.planar import Cells, Progress
from ..regions.stream import close
from ..regions.table import Table
from .parts import PART_BYTES, Folder, Question, make_folder, open_folder, with_runner_up

if TYPE_CHECKING:
    from .atlas import Atlas
    from .stream import StreamedAtlas

TASK_SECONDS = 30.0
"""A task that takes longer is divided, so that no more than this is lost when the process dies."""


def resume(path: str | Path, *, max_regions: int | None = None, max_seconds: float | None = None, threads: int | None = None,
           progress: Callable[[Progress], object] | None = None, client: Any = None) -> StreamedAtlas:
    """Go on with an atlas that `linear_regions(..., to=path)` left unfinished: a budget ran out, Ctrl-C, a crash, a full disk.

    Nothing that is there is done again. Budgets hold for this call: at most max_regions further regions. client: as for
    `linear_regions`. Gives the StreamedAtlas; an atlas that is complete comes back at once.
    """
    check_budgets(max_regions, max_seconds)
    folder = open_folder(path)
    folder.sweep()
    return work_through(folder, max_regions=max_regions, max_seconds=max_seconds, threads=threads, progress=progress, client=client)


def in_parts(net: Network, plane: Slice, engine: str, by: str | None, threshold: float, *, to: str | Path | None, client: Any,
             max_bytes: int | None, **budgets) -> Atlas | StreamedAtlas:
    """`linear_regions` with `to`, `client` or both."""
    question = Question(net, plane, engine, by, threshold, PART_BYTES if max_bytes is None else max(int(max_bytes), 1))
    if to is not None:
        return work_through(make_folder(to, question), client=client, **budgets)
    from .cluster import gather

    return gather(question, client, max_bytes=max_bytes, **budgets)


def check_budgets(max_regions: float | None, max_seconds: float | None) -> None:
    for name, budget in (("max_regions", max_regions), ("max_seconds", max_seconds)):
        if budget is not None and not budget >= 0:      # also where it is NaN
            raise ValueError(f"{name}={budget}: a budget cannot be negative")


def work_through(folder: Folder, *, max_regions: int | None, max_seconds: float | None, threads: int | None,
                 progress: Callable[[Progress], object] | None, client: Any) -> StreamedAtlas:
    """All tasks of a folder that are open, within the budgets; what was done is on the disk, whatever ends it."""
    from .stream import open_streamed

    reason = ""
    try:
        if client is not None:
            from .cluster import run_on_cluster

            reason = run_on_cluster(folder, client, max_regions=max_regions, max_seconds=max_seconds, progress=progress)
        else:
            reason = _run_here(folder, max_regions, max_seconds, threads, progress)
    except KeyboardInterrupt:
        raise Interrupted(open_streamed(folder.path, "cancelled")) from None
    except OSError as error:
        error.add_note(f"The parts that are finished are in {folder.path}; pellucid.resume('{folder.path}') goes on from there")
        raise
    return open_streamed(folder.path, reason)


@dataclass(eq=False)
class Tally:
    """How far a run is: rows and share of the tasks done, when it began and with what."""

    rows: int
    share: float
    before: float
    progress: Callable[[Progress], object] | None
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    def add(self, rows: int, share: float) -> None:
        self.rows, self.share = self.rows + rows, min(self.share + share, 1.0)
        self.show(0, 0.0)

    def show(self, rows: int, share: float) -> None:
        """Tell the caller, with these on top that are under way."""
        if self.progress is not None:
            self.progress(Progress(self.rows + rows, min(self.share + share, 1.0), self.seconds, self.before))

    def within(self, task: Task) -> Callable[[Progress], object] | None:
        """What a run over one task tells its progress to."""
        return None if self.progress is None else lambda p: self.show(p.regions, task.size * p.share)


def _run_here(folder: Folder, max_regions, max_seconds, threads, progress) -> str:
    """Task by task in this process. Gives the budget that ran out, "" where all is done."""
    open_tasks, tally = survey(folder, progress)
    room = math.inf if max_regions is None else max_regions
    share = max(1, room // 8) if max_regions is not None else None      # of one task: so that most of the budget is used
    stack, wrote = open_tasks[::-1], False
    while stack:
        left = None if max_seconds is None else max_seconds - tally.seconds
        if room <= 0 or (left is not None and left <= 0):
            return "max_regions" if room <= 0 else "max_seconds"
        name, task = stack.pop()
        limits = Limits(folder.question.part_bytes, None if share is None else int(min(share, room)), left, threads)
        started = time.perf_counter()
        found = attempt(folder.question.work, task, limits, tally.within(task), final=share is not None and room < share)
        if isinstance(found, tuple):
            stack += folder.write_division(name, task, found)[::-1]
        elif found.complete and len(found) <= room:
            part = close(name, task, with_runner_up(folder.question, found))
            folder.write_part(part, time.perf_counter() - started)
            room, wrote = room - len(found), True
            tally.add(len(found), task.size)
        else:
            if found.reason == "max_seconds" and not wrote:     # else a run with the same budget would come no further
                smaller = divide(folder.question.work, task, 8)
                if smaller is not None:
                    folder.write_division(name, task, smaller)
            return found.reason or "max_regions"
    return ""


def survey(folder: Folder, progress) -> tuple[list[tuple[str, Task]], Tally]:
    """The open tasks, and how far the others are."""
    open_tasks, share = [], 0.0
    for name, task, done in folder.tasks():
        if done:
            share += task.size
        else:
            open_tasks.append((name, task))
    share = min(share, 1.0)
    return open_tasks, Tally(sum(len(part) for part in folder.parts()), share, share, progress)


@dataclass(frozen=True)
class Limits:
    """What one task may take; beyond the bytes, rows or TASK_SECONDS it is divided."""

    part_bytes: int
    rows: int | None
    seconds: float | None
    threads: int | None


def attempt(work: Work, task: Task, limits: Limits, progress=None, *, final: bool = False) -> Cells | Table | tuple[Task, ...]:
    """The regions of a task, complete or stopped by the time budget; or the parts that it is divided into, being too large.

    final: it is not divided for its rows, since the budget of rows is used up with it.
    """
    started = time.perf_counter()
    patience = TASK_SECONDS if limits.seconds is None else min(TASK_SECONDS, limits.seconds)
    try:
        found = run_task(work, task, max_bytes=limits.part_bytes, max_regions=limits.rows, max_seconds=patience, threads=limits.threads,
                         progress=progress)
    except RuntimeError:                           # an engine that gave up in a nearly degenerate cell: other cuts may go well
        parts = divide(work, task, 4)
        if parts is None:
            raise
        return parts
    out_of_time = found.reason == "max_seconds" and patience < TASK_SECONDS
    if found.complete or out_of_time or (final and found.reason == "max_regions"):
        return found
    share = explored(work, found, task)
    del found                                      # before more is made
    parts = divide(work, task, int(min(max(2 / share, 4), 256)) if share > 0 else 64)
    if parts is not None:
        return parts
    # a single code, split by outputs into many pieces: it is one task, whatever its size
    seconds = None if limits.seconds is None else max(limits.seconds - (time.perf_counter() - started), 0.0)
    return run_task(work, task, max_seconds=seconds, threads=limits.threads, progress=progress)
