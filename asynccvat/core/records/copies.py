"""Decide what the journal of copies says: which tasks were copied, as what, and what is open.

Each line is an entry. `read_entries` reads all of them in order, so that the last word about a
task counts. `store.journal` keeps the lines, `core.plans.copy` compares the ledger with both sides.

A second journal, of restores, holds what was asked of the target (`core.records.restores`). The
entry `begun` says which of its keys is about which task.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.core.models import Job, Task
from asynccvat.errors import StoreError

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9.-]+")
_LONGEST_NAME = 80


class SideName(msgspec.Struct, frozen=True):
    """One side of a copy: a server, and the organization on it.

    Attributes:
        origin: The server's canonical address.
        organization: Its short name; "" for the personal workspace, None for all that the user
            may see.
    """

    origin: str
    organization: str | None = None

    def __str__(self) -> str:
        if self.organization:
            return f"{self.organization!r} at {self.origin}"
        return (
            f"the personal workspace at {self.origin}" if self.organization == "" else self.origin
        )


def state_name(source: SideName, target: SideName) -> str:
    """Return the name of the state folder of copies between two sides.

    Names that look alike in a file's name differ in the digest at the end.
    """
    texts = [
        _NOT_IN_NAMES.sub("-", f"{side.origin.partition('://')[2]}-{side.organization or ''}")
        for side in (source, target)
    ]
    readable = "--".join(text.strip("-.") for text in texts)[:_LONGEST_NAME].rstrip("-.")
    digest = hashlib.sha256(msgspec.json.encode((source, target))).hexdigest()[:8]
    return f"{readable}-{digest}"


class SourceState(msgspec.Struct, frozen=True):
    """What a copy was made of.

    If a date, a project or a size changes, the task is copied again. If only its jobs change, they
    are set at the copy.

    Attributes:
        updated_date: The task's date, as the server's own text.
        project_id: Its project, None outside any.
        size: Frames.
        jobs: A digest of the stages and states of its jobs, "" if they are not copied.
    """

    updated_date: str
    project_id: int | None = None
    size: int | None = None
    jobs: str = ""

    def has_content_of(self, other: SourceState) -> bool:
        """Whether a backup of the other state holds the same. It has no states of jobs."""
        return (self.updated_date, self.project_id, self.size) == (
            other.updated_date,
            other.project_id,
            other.size,
        )


def source_state(task: Task, jobs: str = "") -> SourceState:
    """Return what a copy of a task is made of now."""
    return SourceState(task.updated_date, task.project_id, task.size, jobs)


class TargetState(msgspec.Struct, frozen=True):
    """How we left a copy. If it is otherwise, another user worked on it.

    Attributes:
        updated_date: The copy's date, as the server's own text.
        annotations: A digest of its annotations, without ids.
        jobs: A digest of its jobs: stages, states, assignees.
        name: Its name.
        subset: Its subset.
        size: Frames.
        assignee: The id of the user it is assigned to, None without one.
    """

    updated_date: str
    annotations: str = ""
    jobs: str = ""
    name: str = ""
    subset: str = ""
    size: int | None = None
    assignee: int | None = None


def target_state(task: Task) -> TargetState:
    """Return how a copy is now, as far as a list shows it."""
    return TargetState(
        task.updated_date,
        name=task.name,
        subset=task.subset or "",
        size=task.size,
        assignee=assignee_id(task),
    )


class Copied(msgspec.Struct, frozen=True, tag_field="entry", tag="copied"):
    """A task was copied, and both sides were equal.

    Attributes:
        task: The task at the source.
        copy: Its copy at the target.
        source: What the copy was made of.
        target: How we left it.
    """

    task: int
    copy: int
    source: SourceState
    target: TargetState


class Made(msgspec.Struct, frozen=True, tag_field="entry", tag="made"):
    """The target made a task, which is not known to be equal yet.

    Attributes:
        task: The task at the source.
        copy: What was made at the target.
        project_id: Its project, None outside any.
        target: How it was then. Without `jobs`, only its date and what a list shows were read.
    """

    task: int
    copy: int
    project_id: int | None
    target: TargetState

    @property
    def is_whole(self) -> bool:
        """Whether its jobs and annotations were read, too."""
        return bool(self.target.jobs)


class Begun(msgspec.Struct, frozen=True, tag_field="entry", tag="begun"):
    """A task is about to be copied.

    Attributes:
        task: The task at the source.
        key: What the journal of restores calls this attempt.
        source: What the backup is made of.
        url: Where the source has the backup, "" before that is known.
        etag: The ETag of that result.
        size: Its bytes.
    """

    task: int
    key: str
    source: SourceState
    url: str = ""
    etag: str | None = None
    size: int | None = None


class Gone(msgspec.Struct, frozen=True, tag_field="entry", tag="gone"):
    """A copy is no longer at the target: we deleted it, or it was deleted there."""

    copy: int


class JobChange(msgspec.Struct, frozen=True):
    """What is set at a job of a copy.

    Attributes:
        id: The job.
        before: Its stage and state.
        after: Those that it gets.
        assignee: The id of the user it is assigned to, None without one.
    """

    id: int
    before: tuple[str | None, str | None]
    after: tuple[str | None, str | None]
    assignee: int | None = None


class SettingJobs(msgspec.Struct, frozen=True, tag_field="entry", tag="setting"):
    """The jobs of a copy are about to be set.

    Attributes:
        copy: The copy.
        jobs: All of its jobs.
    """

    copy: int
    jobs: tuple[JobChange, ...]

    def explains(self, jobs: Iterable[Job]) -> bool:
        """Whether jobs are as they were, or as they were to be set: no other user changed one."""
        known = {one.id: one for one in self.jobs}
        return all(
            (change := known.get(job.id)) is not None
            and (job.stage, job.state) in (change.before, change.after)
            and assignee_id(job) == change.assignee
            and not job.issue_count
            for job in jobs
        )


def assignee_id(item: Task | Job) -> int | None:
    """Return the id of the user that a task or job is assigned to, None without one."""
    return None if item.assignee is None else item.assignee.id


class ProjectPair(msgspec.Struct, frozen=True, tag_field="entry", tag="project"):
    """Tasks of a project go into a project of the target.

    Attributes:
        project: The project at the source.
        into: The project at the target.
    """

    project: int
    into: int


class Sides(msgspec.Struct, frozen=True, tag_field="entry", tag="sides"):
    """The first entry: what is copied from where."""

    source: SideName


CopyEntry = Sides | ProjectPair | Begun | Made | SettingJobs | Copied | Gone


def read_entries(lines: Iterable[Any], *, where: str) -> CopyLedger:
    """Return what the lines of a journal say together.

    Args:
        lines: The JSON values.
        where: The journal, for messages.

    Raises:
        StoreError: A line cannot be read.
    """
    ledger = CopyLedger()
    for line in lines:
        try:
            ledger.note(msgspec.convert(line, CopyEntry))
        except UNREADABLE as error:
            raise StoreError(
                f"cannot use {where}: a line of it cannot be read ({error}). A newer asynccvat may "
                "have written it: upgrade asynccvat.",
                step="store",
            ) from error
    return ledger


@dataclass(slots=True)
class CopyLedger:
    """What all entries together say.

    Attributes:
        source: The side that is copied, None if nothing was written yet.
        projects: The target's project of each project of the source.
        copies: The copy of each task that has one.
        begun: The last attempt of each task that was begun and not compared yet.
        made: What the target made of these tasks, where that is known.
        setting: What is being set at the jobs of these copies, by their ids at the target.
        attempts: How often each task was begun.
        replaced: Copies that a newer one replaces, and that are still to be removed, by their ids
            at the target.
    """

    source: SideName | None = None
    projects: dict[int, int] = field(default_factory=dict)
    copies: dict[int, Copied] = field(default_factory=dict)
    begun: dict[int, Begun] = field(default_factory=dict)
    made: dict[int, Made] = field(default_factory=dict)
    setting: dict[int, SettingJobs] = field(default_factory=dict)
    attempts: Counter[int] = field(default_factory=Counter)
    replaced: dict[int, Copied] = field(default_factory=dict)

    def note(self, entry: CopyEntry) -> None:
        """Take one more entry into account."""
        match entry:
            case Sides(source=source):
                self.source = source
            case ProjectPair(project=project, into=into):
                self.projects[project] = into
            case Begun(task=task):
                if task not in self.begun or self.begun[task].key != entry.key:
                    self.attempts[task] += 1
                self.begun[task] = entry
            case Made(task=task):
                self.made[task] = entry
            case SettingJobs(copy=copy):
                self.setting[copy] = entry
            case Copied(task=task):
                self.begun.pop(task, None)
                self.made.pop(task, None)
                self.setting.pop(entry.copy, None)
                earlier = self.copies.get(task)
                if earlier is not None and earlier.copy != entry.copy:
                    self.replaced[earlier.copy] = earlier
                self.copies[task] = entry
            case _:
                self._forget(entry.copy)

    def _forget(self, copy: int) -> None:
        # A nightly copy replaces thousands: none of them is worth a search of all copies.
        if self.replaced.pop(copy, None) is None:
            for task in [task for task, one in self.copies.items() if one.copy == copy]:
                del self.copies[task]

    def jobs_are_ours(self, copy: int, jobs: Iterable[Job]) -> bool:
        """Whether jobs of a copy are as a run left them that was interrupted while it set them."""
        setting = self.setting.get(copy)
        return setting is not None and setting.explains(jobs)

    def next_key(self, task: int) -> str:
        """Return the name of the next attempt to copy a task."""
        return f"task{task}.{self.attempts[task] + 1}"


def digest_of(values: Iterable[Mapping[str, Any]]) -> str:
    """Return a short digest of JSON objects, in any order."""
    texts = sorted(msgspec.json.encode(dict(value), order="sorted") for value in values)
    return hashlib.sha256(b"\n".join(texts)).hexdigest()[:16]
