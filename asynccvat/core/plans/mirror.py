"""Decide what a mirror does: compare the server's tasks with the receipts.

Each step of the plan has a reason. `updated_date` is compared for inequality, never by order: a
task is fetched unless its date is exactly the receipt's. `commands.mirror.preparation` reads the
server and the destination, `commands.mirror.run` carries the plan out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from asynccvat.core.annotations.json_files import NO_JOBS, jobs_digest
from asynccvat.core.folder_layouts import FolderLayout
from asynccvat.core.models import Task, TaskListing
from asynccvat.core.options.mirror import MirrorOptions
from asynccvat.core.paths import task_folder_name
from asynccvat.core.plans.folders import folders_of
from asynccvat.core.plans.removals import Presence, removals_refused
from asynccvat.core.plans.targets import folder_of_id
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.specs import ExportSpec
from asynccvat.core.targets import TargetKind


class FolderState(StrEnum):
    """Whether a receipt's folder is as the receipt says, by names, sizes and times."""

    INTACT = "intact"
    EDITED = "edited"
    MISSING = "missing"


class Reason(StrEnum):
    """Why a step is taken. The last two are for downloads."""

    NEW = "new"
    """The task is not mirrored yet."""
    CHANGED = "changed"
    """It changed on the server."""
    UPLOADED = "uploaded"
    """Its edited files were uploaded, so the server's version is fetched."""
    SPEC = "spec"
    """It was mirrored with another format or images setting."""
    MISSING = "missing"
    """Files of its folder are missing."""
    DAMAGED = "damaged"
    """The zip of its last backup has another size."""
    FORCED = "forced"
    """`force` fetches it."""
    UNCHANGED = "unchanged"
    """It is unchanged."""
    EDITED = "edited"
    """It is unchanged on the server, but its files were edited here."""
    PREFIX = "prefix"
    """The folder prefix changed, so its folder is renamed."""
    RENAMED = "renamed"
    """It was renamed on the server, or its project or subset was, and its folder follows."""
    LAYOUT = "layout"
    """The layout changed, so its folder is renamed."""
    JOBS = "jobs"
    """Its jobs changed, which does not move the task's own date. For backups, and as JSON."""
    AUDIT = "audit"
    """An audit found its conversion wrong, or one by the same rule."""
    MEDIA = "media"
    """Its media changed. For backups."""
    LIGHTWEIGHT = "lightweight"
    """Only a backup without the media of buckets is there."""
    EXPIRED = "expired"
    """`keep` removes this backup: newer ones are there."""
    GONE = "gone"
    """It was deleted on the server."""
    ELSEWHERE = "elsewhere"
    """It is still on the server, but not in this selection."""
    ABSENT = "absent"
    """It is not listed any more. It was not asked for, as too many tasks are absent."""
    FORBIDDEN = "forbidden"
    """It is perhaps on the server, but this user may not see it."""
    UNKNOWN = "unknown"
    """The server did not say whether it is still there."""
    NO_DATA = "no data"
    """It has no images yet, so CVAT cannot export it."""
    DIMENSION = "dimension"
    """Its dimension, `2d` or `3d`, is not that of the format."""
    FOREIGN = "foreign"
    """Its folder exists, and asynccvat did not make it."""
    NOT_FOUND = "not found"
    """There is no such task, or this user may not see it."""
    NO_TASK = "no task"
    """There is no such task, or this user may not see it, so its jobs cannot be mirrored."""
    ASKED_FOR = "asked for"
    """It was named for a download."""
    EXISTING = "existing"
    """A download found its export already there."""


EXPLANATIONS: Mapping[Reason, str] = {
    Reason.NEW: "not mirrored yet",
    Reason.CHANGED: "changed on the server",
    Reason.UPLOADED: "its edited files were uploaded, so the server's version is fetched",
    Reason.SPEC: "mirrored with another format or images setting",
    Reason.MISSING: "files are missing here",
    Reason.FORCED: "fetched because of --force",
    Reason.UNCHANGED: "unchanged",
    Reason.EDITED: (
        "unchanged on the server, but edited here, or copied without the times of its files. The "
        "folder stays as it is. To send the edits, use `asynccvat upload`. To take the server's "
        "version, use --force; the edits go to .asynccvat/kept/."
    ),
    Reason.PREFIX: "the folder prefix changed",
    Reason.RENAMED: "its name, project or subset changed on the server, so its folder is renamed",
    Reason.LAYOUT: "the layout of the folders changed",
    Reason.JOBS: "its jobs changed on the server",
    Reason.AUDIT: "exported again, as an audit found a conversion wrong",
    Reason.MEDIA: "its media changed on the server",
    Reason.LIGHTWEIGHT: "only a backup without the media of buckets is here",
    Reason.EXPIRED: "removed because of --keep: newer backups are here",
    Reason.GONE: "deleted on the server",
    Reason.ELSEWHERE: "still on the server, but not in this selection",
    Reason.ABSENT: "not listed any more: deleted on the server, or not visible to this user",
    Reason.FORBIDDEN: "perhaps still on the server, but not visible to this user",
    Reason.UNKNOWN: "the server did not say whether it is still there",
    Reason.NO_DATA: "it has no data, so CVAT cannot export it",
    Reason.DIMENSION: "the format has no annotations of its dimension",
    Reason.FOREIGN: (
        "the folder exists, but asynccvat did not make it. Use --adopt to take it over."
    ),
    Reason.NOT_FOUND: "it does not exist, or this user may not see it",
    Reason.NO_TASK: "there is no such task, or this user may not see it",
    Reason.ASKED_FOR: "named for a download",
    Reason.EXISTING: "downloaded before",
}


_MOVED_EDITED = (
    "edited here, or copied without the times of its files. The edits move with the folder. To "
    "send them, use `asynccvat upload`. To take the server's version, use --force; the edits go to "
    ".asynccvat/kept/."
)


# Reasons that a user should know more of, although nothing is done.
_EXPLAINED = frozenset({Reason.EDITED, Reason.NO_DATA})


class Fetch(msgspec.Struct, frozen=True, gc=False):
    """Export and commit a task. `previous` is the receipt of what is mirrored now."""

    task: Task
    folder: str
    reason: Reason
    previous: ReceiptHead | None = None

    @property
    def task_id(self) -> int:
        """The task's id."""
        return self.task.id

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.name


class Keep(msgspec.Struct, frozen=True, gc=False):
    """Leave a folder unchanged. `detail` explains more than the reason does."""

    task_id: int
    name: str
    folder: str
    reason: Reason
    detail: str = ""


class Skip(msgspec.Struct, frozen=True, gc=False):
    """Do nothing: the task cannot be fetched, and has no folder."""

    task_id: int
    name: str
    folder: str
    reason: Reason
    detail: str = ""


class Move(msgspec.Struct, frozen=True, gc=False):
    """Rename the folder `previous.folder` to `folder`.

    `renamed` is the task if its name or project changed on the server, and nothing else. `detail`
    explains more than the reason does.
    """

    task_id: int
    name: str
    folder: str
    reason: Reason
    previous: ReceiptHead
    renamed: Task | None = None
    detail: str = ""


class Remove(msgspec.Struct, frozen=True, gc=False):
    """Remove the folder of a task that is gone from the server."""

    task_id: int
    name: str
    folder: str
    reason: Reason
    previous: ReceiptHead


class Refuse(msgspec.Struct, frozen=True, gc=False):
    """Fail a task without a call to the server."""

    task_id: int
    name: str
    folder: str
    reason: Reason
    detail: str = ""


MirrorStep = Fetch | Keep | Skip | Move | Remove | Refuse
S = TypeVar("S", Fetch, Keep, Skip, Move, Remove, Refuse)


_KINDS: tuple[type, ...] = (Fetch, Move, Remove, Refuse, Skip, Keep)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a mirror will do.

    Attributes:
        steps: One for each task, removals last.
        listing: The listing that it was made from.
        guard: Why the removals may not be carried out, None if they may.
        description: What the destination mirrors, in one line.
        warnings: What the format leaves out of tasks that are fetched, and which are `absent`.
        absent: Mirrored tasks that the server does not list any more, without `--prune`.
        target: What has a folder each.
    """

    steps: tuple[MirrorStep, ...]
    listing: TaskListing
    guard: str | None = None
    description: str = ""
    warnings: tuple[str, ...] = ()
    absent: tuple[int, ...] = ()
    target: TargetKind = TargetKind.TASK

    def __repr__(self) -> str:
        counts = ", ".join(f"{kind}={count}" for kind, count in self.counts.items())
        return f"{type(self).__name__}({counts})"

    def of(self, kind: type[S]) -> tuple[S, ...]:
        """Return the steps of one kind, in order."""
        return tuple([step for step in self.steps if type(step) is kind])

    @property
    def counts(self) -> Mapping[str, int]:
        """How many steps there are of each kind, by lower-case name; always in one order."""
        # Counting types first is quick even for a hundred thousand steps.
        kinds = Counter[type](map(type, self.steps))
        return Counter({kind.__name__.lower(): kinds[kind] for kind in _KINDS if kinds[kind]})

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON types, with a schema version."""
        return {
            "version": 1,
            "description": self.description,
            "listing_complete": self.listing.complete,
            "guard": self.guard,
            "warnings": list(self.warnings),
            "absent": list(self.absent),
            "counts": dict(self.counts),
            "steps": [_record(step, self.target) for step in self.steps],
        }


def _record(step: MirrorStep, target: TargetKind) -> dict[str, Any]:
    if step.reason is Reason.NO_TASK:
        target = TargetKind.TASK
    record: dict[str, Any] = {
        "step": type(step).__name__.lower(),
        f"{target}_id": step.task_id,
        "name": step.name,
        "folder": step.folder,
        "reason": str(step.reason),
    }
    if isinstance(step, Move):
        record["previous_folder"] = step.previous.folder
    detail = getattr(step, "detail", "")
    if detail or isinstance(step, Refuse) or step.reason in _EXPLAINED:
        record["detail"] = detail or EXPLANATIONS[step.reason]
    return record


def plan_mirror(
    listing: TaskListing,
    receipts: Mapping[int, ReceiptHead],
    spec: ExportSpec,
    options: MirrorOptions,
    *,
    states: Mapping[int, FolderState],
    unclaimed: Collection[str] = (),
    presence: Mapping[int, Presence] | None = None,
    absent: Sequence[int] = (),
    folders: Mapping[int, str] | None = None,
    moved_by: Reason = Reason.PREFIX,
    renamed: Collection[int] = (),
) -> Plan:
    """Compare the server's tasks with the destination.

    Args:
        listing: The tasks on the server.
        receipts: The heads of the destination's receipts, by task.
        spec: Format and images.
        options: Prefix, force, adopt and the guards.
        states: The states of folders that were checked. Others count as intact.
        unclaimed: Names of existing folders that are in no receipt.
        presence: For `--prune`: what the server said about each of `gone_candidates`.
        absent: Without `--prune`: which of them are in no list.
        folders: The folder of each listed task, as of `core.plans.folders`. None for names by the
            prefix.
        moved_by: Why a folder gets another name. `RENAMED` counts only for a folder that the layout
            may have named: an earlier run for other tasks may have changed the layout.
        renamed: Tasks that have only been renamed on the server, whose dates have moved.
    """
    if folders is None:
        folders = folders_of(listing, receipts, spec.target, options)
    layout = (
        FolderLayout.parse(options.layout, spec.target)
        if options.layout is not None and moved_by is Reason.RENAMED
        else None
    )
    steps: list[MirrorStep] = []
    for task in listing.tasks:
        folder = folders[task.id]
        steps.append(
            _task_step(
                task,
                folder,
                receipts.get(task.id),
                spec,
                options,
                # A list that changed while it was read may lack jobs.
                jobs=listing.jobs if listing.complete else None,
                state=states.get(task.id, FolderState.INTACT),
                foreign=folder in unclaimed,
                moved_by=moved_by,
                layout=layout,
                is_renamed=task.id in renamed,
            )
        )
    steps.extend(
        Refuse(task_id, "", _folder_of_missing(task_id, receipts, spec, options), Reason.NOT_FOUND)
        for task_id in listing.missing
        if presence is None or task_id not in presence
    )
    steps.extend(
        Refuse(task_id, "", task_folder_name("task", task_id), Reason.NO_TASK)
        for task_id in listing.missing_tasks
    )
    gone = [_gone_step(receipts[task_id], state) for task_id, state in (presence or {}).items()]
    return Plan(
        steps=(*steps, *gone),
        listing=listing,
        guard=removals_refused(listing, (presence or {}).values(), len(receipts), options),
        absent=tuple(absent),
        target=spec.target,
    )


def _folder_of_missing(
    task_id: int, receipts: Mapping[int, ReceiptHead], spec: ExportSpec, options: MirrorOptions
) -> str:
    """Return the folder of a target that the server does not list."""
    head = receipts.get(task_id)
    return folder_of_id(spec.target, options.prefix, task_id) if head is None else head.folder


def longest_first(steps: Iterable[Fetch], *, last: Collection[int] = ()) -> list[Fetch]:
    """Order fetches so that long exports begin first.

    The number of frames is the best estimate from a listing, with images or without.

    Args:
        steps: The fetches.
        last: Tasks that begin after all others. They failed before, and must not delay these.
    """
    return sorted(
        steps, key=lambda step: (step.task_id in last, -(step.task.size or 0), step.task_id)
    )


def differs(
    task: Task,
    head: ReceiptHead,
    spec: ExportSpec,
    jobs: Mapping[int, bytes] | None = None,
) -> Reason | None:
    """Return why a mirrored task differs from what a mirror would fetch now, None if not.

    Args:
        task: The task, as listed.
        head: Its receipt.
        spec: What the mirror would fetch.
        jobs: For a mirror as JSON: the text of `jobs.json` for each task that has jobs. None
            compares no jobs.
    """
    if not head.is_made_as(spec.for_mode(task.mode)):
        return Reason.SPEC
    if head.uploaded_at is not None:
        return Reason.UPLOADED
    if head.updated_date != task.updated_date:
        return Reason.CHANGED
    if jobs is not None and head.jobs != jobs_digest(jobs.get(task.id, NO_JOBS)):
        return Reason.JOBS
    return None


def _task_step(
    task: Task,
    folder: str,
    head: ReceiptHead | None,
    spec: ExportSpec,
    options: MirrorOptions,
    *,
    jobs: Mapping[int, bytes] | None,
    state: FolderState,
    foreign: bool,
    moved_by: Reason,
    layout: FolderLayout | None,
    is_renamed: bool,
) -> MirrorStep:
    if foreign and not options.adopt:
        return Refuse(task.id, task.name, folder, Reason.FOREIGN)
    if task.without_data:
        if head is None:
            return Skip(task.id, task.name, folder, Reason.NO_DATA)
        return Keep(task.id, task.name, head.folder, Reason.NO_DATA)
    if head is None:
        return Fetch(task, folder, Reason.NEW)
    # A folder that was edited here stays, if only the jobs changed at the server.
    jobs = jobs if state is FolderState.INTACT else None
    reason = Reason.FORCED if options.force else differs(task, head, spec, jobs)
    if is_renamed and reason is Reason.CHANGED and not foreign:
        reason = None
    if reason is None and state is FolderState.MISSING:
        reason = Reason.MISSING
    if reason is not None:
        return Fetch(task, folder, reason, head)
    if head.folder != folder and not foreign:
        why = _why_moved(head, moved_by, layout, is_renamed=is_renamed)
        detail = _MOVED_EDITED if state is FolderState.EDITED else ""
        return Move(task.id, task.name, folder, why, head, task if is_renamed else None, detail)
    if head.folder != folder and state is FolderState.INTACT:
        # A commit moves the folder that is there to quarantine. A rename cannot.
        why = _why_moved(head, moved_by, layout, is_renamed=is_renamed)
        return Fetch(task, folder, why, head)
    kept = Reason.EDITED if state is FolderState.EDITED else Reason.UNCHANGED
    return Keep(task.id, task.name, head.folder, kept)


def _why_moved(
    head: ReceiptHead, moved_by: Reason, layout: FolderLayout | None, *, is_renamed: bool
) -> Reason:
    """Return why a folder gets another name.

    Args:
        head: Its receipt.
        moved_by: Why folders of the layout do.
        layout: The layout that the destination had before this run; None if it does not count.
        is_renamed: Whether nothing of the task changed except names.
    """
    if is_renamed:
        return Reason.RENAMED
    if layout is None or layout.may_have_named(head.folder, head.task_id):
        return moved_by
    return Reason.LAYOUT


def _gone_step(head: ReceiptHead, presence: Presence) -> Keep | Remove:
    if presence is Presence.GONE:
        return Remove(head.task_id, head.task_name, head.folder, Reason.GONE, head)
    return Keep(head.task_id, head.task_name, head.folder, Reason(presence.value))
