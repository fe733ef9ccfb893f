"""Find what a lost call of a restore made, and compare what was made with its backup.

`core.plans.restore` decides what is restored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from asynccvat.core.backups.contents import BackupContents, KindCounts, TaskContents
from asynccvat.core.models import Job
from asynccvat.core.requests import ServerRequest
from asynccvat.core.targets import TargetKind

_RESTORES = "import:backup"


def restores_since(
    requests: Iterable[ServerRequest],
    kind: TargetKind,
    since: datetime,
    known: Collection[str],
) -> tuple[ServerRequest, ...] | None:
    """Return the restores that a lost call may have begun.

    Args:
        requests: What the server remembers.
        kind: Whether a task or a project is restored.
        since: The server's clock before the call. It is rounded down to whole seconds.
        known: Requests that other calls began.

    Returns:
        None if the server does not tell when a request was made.
    """
    found = []
    for one in requests:
        operation = one.operation
        if operation.type != _RESTORES or one.id in known:
            continue
        if operation.target not in (None, str(kind)):
            continue
        if one.created_date is None:
            return None
        if one.created_date >= since:
            found.append(one)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class RestoredTask:
    """What a task at the server is, to be compared with its backup.

    Attributes:
        task_id: The task.
        name: Its name.
        frames: Its frames, None without data.
        jobs: Its jobs.
        counts: Its annotations: those of the task if they add up, otherwise of all jobs together.
    """

    task_id: int
    name: str
    frames: int | None
    jobs: tuple[Job, ...]
    counts: KindCounts


def differences(wanted: TaskContents, found: RestoredTask) -> tuple[str, ...]:
    """Return how a task differs from its backup, each difference in a few words."""
    said = []
    if wanted.frames is not None and wanted.frames != found.frames:
        said.append(f"{found.frames or 0:,} of {wanted.frames:,} frames")
    if wanted.jobs and len(wanted.jobs) != len(found.jobs):
        said.append(f"{len(found.jobs):,} of {len(wanted.jobs):,} jobs")
    pairs = (
        ("tags", wanted.total.tags, found.counts.tags),
        ("shapes", wanted.total.shapes, found.counts.shapes),
        ("tracks", wanted.total.tracks, found.counts.tracks),
    )
    said += [f"{has:,} of {due:,} {noun}" for noun, due, has in pairs if has != due]
    return tuple(said)


def project_differences(wanted: BackupContents, found: Sequence[RestoredTask]) -> tuple[str, ...]:
    """Return how the tasks of a project differ from its backup.

    The server gives new ids to the tasks, so they are compared by name and content.
    """
    if len(found) != len(wanted.tasks):
        return (f"{len(found):,} of {len(wanted.tasks):,} tasks",)
    left = list(found)
    unlike: list[TaskContents] = []
    for task in wanted.tasks:
        same = next(
            (one for one in left if one.name == task.name and not differences(task, one)), None
        )
        if same is None:
            unlike.append(task)
        else:
            left.remove(same)
    said: list[str] = []
    for task in unlike:
        named = next((one for one in left if one.name == task.name), None)
        if named is None:
            said.append(f"no task {task.name!r}")
            continue
        left.remove(named)
        said += [f"in task {named.task_id} {text}" for text in differences(task, named)]
    return tuple(said)
