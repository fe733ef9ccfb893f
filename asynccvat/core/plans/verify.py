"""What a verification reads and in which pieces, and what it makes of what was found.

Pure comparison: receipts with the server's list, what is left after a repair, the report. What is
wrong with a single file is said in `problems`; reading is left to `store`, asking to `repairing`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from asynccvat.core.models import ExportSpec, Task, TaskListing
from asynccvat.core.outcomes import Action, TaskOutcome, error_record
from asynccvat.core.plans.mirror import EXPLANATIONS, Reason, differs
from asynccvat.core.problems import ProblemKind, VerifyProblem
from asynccvat.core.receipts import MemberRecord, ReceiptHead
from asynccvat.errors import AsyncCvatError

SLICE_BYTES = 64 * 1024 * 1024
"""Bytes that one thread reads before another may go on with the same task."""
_FILE_COST = 32 * 1024  # bytes that could be read while a file is opened and closed
_BATCH_FILES = 1024
# What stands for one character of a name, or for any number.
_PLACE = re.compile(r"\[!?\]?[^\]]*\]|.", re.DOTALL)


def slices(members: Iterable[MemberRecord]) -> Iterator[tuple[MemberRecord, ...]]:
    """Divide a task's members into what one thread reads at a time, in order of their paths."""
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
    """Put small tasks together into what one thread reads at a time; a large one stays alone."""
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
    """Whether several threads are to share one task."""
    return head.bytes + head.files * _FILE_COST > SLICE_BYTES


def selected(
    heads: Mapping[int, ReceiptHead],
    task_ids: Collection[int] | None,
    folders: Sequence[str],
) -> dict[int, ReceiptHead]:
    """The receipts of these tasks, in folders whose names fit one of these patterns, by task."""
    return {
        task_id: head
        for task_id, head in sorted(heads.items())
        if (task_ids is None or task_id in task_ids)
        and (not folders or any(fnmatchcase(head.folder, pattern) for pattern in folders))
    }


def concerned(
    damaged: Iterable[VerifyProblem], task_ids: Collection[int] | None, folders: Sequence[str]
) -> list[VerifyProblem]:
    """The receipts that cannot be read and may be those of these tasks, in folders like these."""
    return [
        one
        for one in damaged
        if one.task_id is not None
        and (task_ids is None or one.task_id in task_ids)
        and (not folders or any(may_fit(one.task_id, pattern) for pattern in folders))
    ]


def may_fit(task_id: int, pattern: str) -> bool:
    """Whether a task's folder may have a name that fits a pattern.

    All that is known of the name is that it ends with the id.
    """
    left = _PLACE.findall(pattern)
    digits = list(str(task_id))
    while digits and left and left[-1] != "*":
        if not fnmatchcase(digits.pop(), left.pop()):
            return False
    return not digits or bool(left)


def absent(named: Iterable[int], here: Collection[int | None]) -> Iterator[VerifyProblem]:
    """The tasks that were asked for by their ids and have no receipt."""
    for task_id in sorted(named):
        if task_id not in here:
            yield VerifyProblem(kind=ProblemKind.NOT_MIRRORED, path="", task_id=task_id)


# --- the server ------------------------------------------------------------------------------


def compare(
    heads: Mapping[int, ReceiptHead], listing: TaskListing, others: TaskListing
) -> tuple[VerifyProblem, ...]:
    """Compare receipts with what the server lists.

    Args:
        heads: What is here, by task.
        listing: What should be here.
        others: Those of `heads` that are not in it, listed by their ids; `missing` of it are gone.
    """
    tasks = {task.id: task for task in (*listing.tasks, *others.tasks)}
    found = [_compared_task(head, tasks.get(task_id)) for task_id, head in heads.items()]
    absent = [
        VerifyProblem(
            kind=ProblemKind.NOT_MIRRORED, path="", task_id=task.id, detail=task.name, files=1
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
        )
        for task_id in others.missing
        if task_id in heads
    ]
    return (*(one for one in found if one is not None), *gone, *absent)


def _compared_task(head: ReceiptHead, task: Task | None) -> VerifyProblem | None:
    reason = None if task is None else differs(task, head, ExportSpec(head.format, head.images))
    if task is None or reason is None:
        return None
    detail = EXPLANATIONS[reason]
    if reason is Reason.CHANGED:
        detail = f"updated {task.updated_date}, mirrored as of {head.updated_date}"
    return VerifyProblem(
        kind=ProblemKind.STALE, path=f"{head.folder}/", task_id=head.task_id, detail=detail
    )


# --- the repair ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """Tasks that are fetched again in the same way.

    Attributes:
        task_ids: The tasks.
        spec: How they were exported.
        prefix: What their ids follow in their folders' names.
        adopt: Whether the folders are taken over with no receipt to say what is whose.
        keep_archive: Whether their archives were kept as they came, and are to be again.
    """

    task_ids: tuple[int, ...]
    spec: ExportSpec
    prefix: str
    adopt: bool = False
    keep_archive: bool = False


def plan_repairs(
    damaged: Iterable[int], heads: Mapping[int, ReceiptHead], archived: Collection[int] = ()
) -> tuple[tuple[Repair, ...], tuple[int, ...]]:
    """How damaged tasks are to be fetched, and which cannot be, as nobody knows how.

    Args:
        damaged: The tasks.
        heads: All receipts that can be read. Where a task's own cannot, most of the others tell
            its format and its folder's name.
        archived: The tasks of which the archive is kept.
    """
    ways = {task_id: _way(head) for task_id, head in heads.items()}
    usual = [way for way, _ in Counter(ways.values()).most_common(1)]
    groups: dict[tuple[tuple[ExportSpec, str], bool, bool], list[int]] = {}
    unknown = []
    for task_id in sorted(set(damaged)):
        adopt = task_id not in ways
        if adopt and not usual:
            unknown.append(task_id)
            continue
        way = usual[0] if adopt else ways[task_id]
        groups.setdefault((way, adopt, task_id in archived), []).append(task_id)
    repairs = tuple(
        Repair(task_ids=tuple(ids), spec=spec, prefix=prefix, adopt=adopt, keep_archive=keep)
        for ((spec, prefix), adopt, keep), ids in groups.items()
    )
    return repairs, tuple(unknown)


def _way(head: ReceiptHead) -> tuple[ExportSpec, str]:
    return ExportSpec(head.format, head.images), head.folder.removesuffix(str(head.task_id))


def after_repair(
    found: Iterable[VerifyProblem],
    still: Sequence[VerifyProblem],
    outcomes: Iterable[TaskOutcome],
) -> tuple[list[VerifyProblem], tuple[VerifyProblem, ...]]:
    """What is wrong after a repair, and what was and is no longer.

    Args:
        found: What was wrong before.
        still: What another look at the tasks of the repair showed.
        outcomes: What became of these tasks.
    """
    action = {outcome.task_id: outcome.action for outcome in outcomes}
    places = {problem.path for problem in still}
    left, repaired = [], []
    for problem in found:
        if problem.task_id not in action:
            left.append(problem)
        elif problem.kind.is_damage:
            if problem.path not in places:
                repaired.append(problem)
        elif not problem.kind.is_note and action[problem.task_id] is not Action.FETCHED:
            # What the server said of it holds until it is fetched.
            left.append(problem)
    # What was not come to is listed as it was found.
    left += [problem for problem in still if problem.task_id in action]
    return left, tuple(repaired)


# --- the whole -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What a verification found.

    Attributes:
        problems: What is not as it should be, notes included; after a repair: what still is not.
        repaired: What was not, and is by a repair.
        repairs: What became of the tasks that were fetched again.
        tasks: Tasks that were looked at.
        files: Files that were looked at.
        bytes: Bytes that were read.
        resumed: Tasks whose content an interrupted verification had read already, at most a week
            ago: of their files only names, sizes and times were looked at now, and those read that
            were touched.
        kept: How many things were put aside in `.asynccvat/kept/`; they are yours.
        listing_complete: False where the server's list never agreed with its own count: what it
            did not show was not compared.
        seconds: Wall time.
        interrupted: True after a cancellation or an error that ended it.
        stopped_by: The error that ended the repair before its end, None otherwise.
        warnings: What else the user ought to know.
    """

    problems: tuple[VerifyProblem, ...] = ()
    repaired: tuple[VerifyProblem, ...] = ()
    repairs: tuple[TaskOutcome, ...] = ()
    tasks: int = 0
    files: int = 0
    bytes: int = 0
    resumed: int = 0
    kept: int = 0
    listing_complete: bool = True
    seconds: float = 0.0
    interrupted: bool = False
    stopped_by: AsyncCvatError | None = None
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all was compared and is as it should be; notes do not count."""
        return not self.interrupted and self.listing_complete and not self.failures

    @property
    def failures(self) -> tuple[VerifyProblem, ...]:
        """The problems without the notes."""
        return tuple(problem for problem in self.problems if not problem.kind.is_note)

    @property
    def notes(self) -> tuple[VerifyProblem, ...]:
        """What is worth knowing and no failure: foreign and touched files."""
        return tuple(problem for problem in self.problems if problem.kind.is_note)

    @property
    def counts(self) -> dict[ProblemKind, int]:
        """How many problems there are of each kind, as far as there are any."""
        found = Counter(problem.kind for problem in self.problems)
        return {kind: found[kind] for kind in ProblemKind if found[kind]}

    def summary(self) -> dict[str, Any]:
        """The report as JSON types, without the problems and the repairs."""
        return {
            "ok": self.ok,
            "interrupted": self.interrupted,
            "stopped_by": None if self.stopped_by is None else error_record(self.stopped_by),
            "tasks": self.tasks,
            "files": self.files,
            "bytes": self.bytes,
            "resumed": self.resumed,
            "kept": self.kept,
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
