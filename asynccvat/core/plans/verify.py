"""Plan a verification: which tasks it reads, in which pieces, and what its report says.

It also compares receipts with the server's list. `core.problems` judges single files;
`core.plans.repair` plans the repair.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from asynccvat.core.folder_layouts import above
from asynccvat.core.models import Task, TaskListing
from asynccvat.core.outcomes import TaskOutcome, error_record
from asynccvat.core.plans.mirror import EXPLANATIONS, Reason, differs
from asynccvat.core.plans.targets import shown_date
from asynccvat.core.problems import ProblemKind, VerifyProblem
from asynccvat.core.records.receipts import MemberRecord, ReceiptHead
from asynccvat.core.records.remembered import Remembered
from asynccvat.core.targets import TargetKind
from asynccvat.errors import AsyncCvatError

SLICE_BYTES = 64 * 1024 * 1024
"""Bytes of one task that a thread reads in one piece."""
_FILE_COST = 32 * 1024  # bytes that could be read in the time that opening and closing a file takes
_BATCH_FILES = 1024
# One element of a pattern: a set in brackets, a wildcard, or a plain character.
_ELEMENT = re.compile(r"\[!?\]?[^\]]*\]|.", re.DOTALL)


def slices(members: Iterable[MemberRecord]) -> Iterator[tuple[MemberRecord, ...]]:
    """Divide a task's members into pieces for one thread each, in order of their paths."""
    piece: list[MemberRecord] = []
    cost = 0
    for member in sorted(members, key=lambda member: member.path):
        piece.append(member)
        cost += member.size + _FILE_COST
        if cost >= SLICE_BYTES:
            yield tuple(piece)
            piece, cost = [], 0
    if piece:
        yield tuple(piece)


def batches(heads: Iterable[ReceiptHead]) -> Iterator[tuple[ReceiptHead, ...]]:
    """Group small tasks into pieces for one thread each; a large task is one piece."""
    batch: list[ReceiptHead] = []
    cost = files = 0
    for head in heads:
        if is_large(head):
            yield (head,)
            continue
        batch.append(head)
        files += head.files + 1
        cost += head.bytes + head.files * _FILE_COST
        if cost >= SLICE_BYTES or files >= _BATCH_FILES:
            yield tuple(batch)
            batch, cost, files = [], 0, 0
    if batch:
        yield tuple(batch)


def is_large(head: ReceiptHead) -> bool:
    """Whether several threads share one task."""
    return head.bytes + head.files * _FILE_COST > SLICE_BYTES


def select_receipts(
    heads: Mapping[int, ReceiptHead],
    task_ids: Collection[int] | None,
    folders: Sequence[str],
) -> dict[int, ReceiptHead]:
    """Select receipts by task and by folder name.

    Args:
        heads: All receipts, by task.
        task_ids: Only these tasks; None for all.
        folders: Only folders of which the path, its last part, or the path of a folder above
            matches one of these patterns; none for all.
    """
    return {
        task_id: head
        for task_id, head in sorted(heads.items())
        if (task_ids is None or task_id in task_ids)
        and (not folders or any(_fits(head.folder, pattern) for pattern in folders))
    }


def _fits(folder: str, pattern: str) -> bool:
    """Whether a pattern names a folder by its path or its last part, or one that it lies in."""
    named = (folder, folder.rpartition("/")[2], *above(folder))
    return any(fnmatchcase(one, pattern) for one in named)


def damaged_in_selection(
    damaged: Iterable[VerifyProblem],
    task_ids: Collection[int] | None,
    folders: Sequence[str],
    *,
    end_with_ids: bool = True,
) -> list[VerifyProblem]:
    """Select the damaged receipts that may belong to the selection of `select_receipts`.

    Args:
        damaged: The damaged receipts.
        task_ids: As of `select_receipts`.
        folders: As of `select_receipts`.
        end_with_ids: Whether the names of all folders end with ids.
    """
    return [
        one
        for one in damaged
        if one.task_id is not None
        and (task_ids is None or one.task_id in task_ids)
        and (
            not folders
            or not end_with_ids
            or any(may_fit(one.task_id, pattern) for pattern in folders)
        )
    ]


def ends_with_id(head: ReceiptHead) -> bool:
    """Whether the name of a folder ends with the id of its target, as without a layout."""
    return head.folder.endswith(str(head.task_id))


def may_fit(task_id: int, pattern: str) -> bool:
    """Whether the name of a task's folder may match a pattern.

    Without a receipt, all that is known of the name is that it ends with the id.
    """
    left = _ELEMENT.findall(pattern)
    digits = list(str(task_id))
    while digits and left and left[-1] != "*":
        if not fnmatchcase(digits.pop(), left.pop()):
            return False
    return not digits or bool(left)


def without_receipt(named: Iterable[int], here: Collection[int | None]) -> Iterator[VerifyProblem]:
    """Report the tasks that were named by their ids and have no receipt."""
    for task_id in sorted(named):
        if task_id not in here:
            yield VerifyProblem(kind=ProblemKind.NOT_MIRRORED, path="", task_id=task_id)


def target_of(heads: Iterable[ReceiptHead], remembered: Remembered | None) -> TargetKind:
    """Return what a mirror holds, by its receipts, or else by what it remembers."""
    kinds = {head.target for head in heads}
    if len(kinds) == 1:
        return kinds.pop()
    return TargetKind.of_plural(None if remembered is None else remembered.target)


def jobs_of_tasks(heads: Mapping[int, ReceiptHead], task_ids: Collection[int]) -> frozenset[int]:
    """Return the mirrored jobs of some tasks."""
    return frozenset(job_id for job_id, head in heads.items() if head.task_of_job in task_ids)


# --- the server ------------------------------------------------------------------------------


def compare(
    heads: Mapping[int, ReceiptHead],
    listing: TaskListing,
    others: TaskListing,
    target: TargetKind = TargetKind.TASK,
) -> tuple[VerifyProblem, ...]:
    """Compare receipts with what the server lists.

    Args:
        heads: The receipts, by task.
        listing: The tasks that should be mirrored.
        others: The tasks of `heads` that are not in `listing`, listed by their ids. The server no
            longer has those that are `missing` there.
        target: What has a folder each.
    """
    tasks = {task.id: task for task in (*listing.tasks, *others.tasks)}
    selected = {task.id for task in listing.tasks}
    found = [
        _compared_task(
            head,
            tasks.get(task_id),
            selected=task_id in selected,
            jobs=listing.jobs if head.spec.is_json and task_id in selected else None,
        )
        for task_id, head in heads.items()
    ]
    absent = [
        VerifyProblem(
            kind=ProblemKind.NOT_MIRRORED,
            path="",
            task_id=task.id,
            detail=task.name,
            files=1,
            target=target,
        )
        for task in listing.tasks
        if task.id not in heads and not task.without_data
    ]
    gone = [
        VerifyProblem(
            kind=ProblemKind.GONE,
            path=f"{heads[task_id].folder}/",
            task_id=task_id,
            files=heads[task_id].files,
            target=target,
        )
        for task_id in others.missing
        if task_id in heads
    ]
    return (*(one for one in found if one is not None), *gone, *absent)


def _compared_task(
    head: ReceiptHead,
    task: Task | None,
    *,
    selected: bool,
    jobs: Mapping[int, bytes] | None,
) -> VerifyProblem | None:
    reason = None if task is None else differs(task, head, head.spec, jobs)
    if task is None or reason is None:
        return None
    detail = _change(task, head) if reason is Reason.CHANGED else EXPLANATIONS[reason]
    if not selected:
        detail += "; not in the selection any more, so a mirror does not fetch it"
    return VerifyProblem(
        kind=ProblemKind.STALE,
        path=f"{head.folder}/",
        task_id=head.task_id,
        detail=detail,
        target=head.target,
    )


def _change(task: Task, head: ReceiptHead) -> str:
    """Say how a target changed on the server, by the dates that CVAT shows."""
    now, then = shown_date(task.updated_date), shown_date(head.updated_date)
    if now != then:
        return f"updated {now}, mirrored as of {then}"
    # Only projects and jobs have a date that is not CVAT's alone.
    whose = "its task" if head.target is TargetKind.JOB else "one of its tasks"
    return f"{whose} changed after it was mirrored as of {then}"


# --- the report -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What a verification found.

    Attributes:
        problems: The problems, notes included; after a repair, those that are left.
        repaired: The problems that the repair solved.
        repairs: The outcomes of the tasks that the repair fetched.
        target: What the mirror holds. What is said of tasks here is about projects or jobs then.
        tasks: Number of tasks that were checked.
        files: Number of files that were checked.
        bytes: Bytes that were read.
        resumed: Tasks that an interrupted verification had read, at most a week ago. Of their
            files, only those were read now whose name, size or time had changed.
        kept: Number of entries in `.asynccvat/kept/`, where asynccvat moves files of yours.
        without_receipts: True if the destination holds no receipt at all, so that nothing could
            be compared.
        listing_complete: False if the server's list never agreed with its own count. Tasks that
            it did not show were not compared.
        seconds: Wall time.
        interrupted: True if a cancellation or an error ended it early.
        stopped_by: The error that ended the repair early, None otherwise.
        warnings: What else the user should know.
    """

    problems: tuple[VerifyProblem, ...] = ()
    repaired: tuple[VerifyProblem, ...] = ()
    repairs: tuple[TaskOutcome, ...] = ()
    target: TargetKind = TargetKind.TASK
    tasks: int = 0
    files: int = 0
    bytes: int = 0
    resumed: int = 0
    kept: int = 0
    without_receipts: bool = False
    listing_complete: bool = True
    seconds: float = 0.0
    interrupted: bool = False
    stopped_by: AsyncCvatError | None = None
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return (
            f"VerifyReport(ok={self.ok}, tasks={self.tasks}, files={self.files}, "
            f"problems={len(self.problems)}, seconds={self.seconds:.1f})"
        )

    @property
    def ok(self) -> bool:
        """Whether everything was compared and nothing is wrong; notes do not count."""
        return (
            not self.interrupted
            and self.listing_complete
            and not self.without_receipts
            and not self.failures
        )

    @property
    def failures(self) -> tuple[VerifyProblem, ...]:
        """The problems without the notes."""
        return tuple(problem for problem in self.problems if not problem.kind.is_note)

    @property
    def notes(self) -> tuple[VerifyProblem, ...]:
        """The problems that are no failures: foreign and touched files."""
        return tuple(problem for problem in self.problems if problem.kind.is_note)

    @property
    def counts(self) -> dict[ProblemKind, int]:
        """The number of problems of each kind that occurs."""
        found = Counter(problem.kind for problem in self.problems)
        return {kind: found[kind] for kind in ProblemKind if found[kind]}

    def summary(self) -> dict[str, Any]:
        """The report as JSON types, without the problems and the repairs."""
        return {
            "ok": self.ok,
            "interrupted": self.interrupted,
            "stopped_by": None if self.stopped_by is None else error_record(self.stopped_by),
            "target": str(self.target),
            "tasks": self.tasks,
            "files": self.files,
            "bytes": self.bytes,
            "resumed": self.resumed,
            "kept": self.kept,
            "without_receipts": self.without_receipts,
            "listing_complete": self.listing_complete,
            "seconds": round(self.seconds, 3),
            "counts": {str(kind): count for kind, count in self.counts.items()},
            "warnings": list(self.warnings),
        }

    def to_json(self) -> dict[str, Any]:
        """The report as JSON types, with a schema version."""
        return {
            "version": 1,
            **self.summary(),
            "problems": [problem.to_json() for problem in self.problems],
            "repaired": [problem.to_json() for problem in self.repaired],
            "repairs": [outcome.to_json() for outcome in self.repairs],
        }
