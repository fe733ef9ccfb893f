"""What a mirror has to do: remote tasks x receipts x spec -> a plan, each step with its reason.

Pure comparison. `updated_date` is compared for inequality, never by order: whatever is not
exactly what the receipt says is fetched. Reading the server and the disk is left to `mirroring`
and `store`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from asynccvat.core.models import ExportSpec, Task, TaskListing
from asynccvat.core.options import MirrorOptions
from asynccvat.core.paths import task_folder_name
from asynccvat.core.receipts import ReceiptHead


class FolderState(StrEnum):
    """What stands at a receipt's folder, by a look at names, sizes and times."""

    INTACT = "intact"
    EDITED = "edited"
    MISSING = "missing"


class Presence(StrEnum):
    """What the server says of a task that the listing does not cover."""

    GONE = "gone"
    ELSEWHERE = "elsewhere"
    FORBIDDEN = "forbidden"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why a step is taken; the last two are those of downloads."""

    NEW = "new"
    CHANGED = "changed"
    UPLOADED = "uploaded"
    SPEC = "spec"
    MISSING = "missing"
    FORCED = "forced"
    UNCHANGED = "unchanged"
    EDITED = "edited"
    PREFIX = "prefix"
    GONE = "gone"
    ELSEWHERE = "elsewhere"
    FORBIDDEN = "forbidden"
    UNKNOWN = "unknown"
    NO_DATA = "no data"
    FOREIGN = "foreign"
    NOT_FOUND = "not found"
    ASKED_FOR = "asked for"
    EXISTING = "existing"


EXPLANATIONS: Mapping[Reason, str] = {
    Reason.NEW: "not mirrored yet",
    Reason.CHANGED: "changed on the server",
    Reason.UPLOADED: "its edited files were uploaded, and the server's own version is due",
    Reason.SPEC: "mirrored with another format or images setting",
    Reason.MISSING: "files are missing here",
    Reason.FORCED: "fetched because of force (--force)",
    Reason.UNCHANGED: "unchanged",
    Reason.EDITED: (
        "unchanged on the server, edited here (or copied without the times of its files); "
        "force (--force) replaces it"
    ),
    Reason.PREFIX: "the folder prefix changed",
    Reason.GONE: "deleted on the server",
    Reason.ELSEWHERE: "still on the server, but not in this selection",
    Reason.FORBIDDEN: "perhaps still on the server, but not visible to this user",
    Reason.UNKNOWN: "the server did not say whether it is still there",
    Reason.NO_DATA: "the task has no data, so CVAT cannot export it",
    Reason.FOREIGN: (
        "a folder of that name is there and is not asynccvat's; adopt (--adopt) takes it over"
    ),
    Reason.NOT_FOUND: "there is no such task, or this user may not see it",
    Reason.ASKED_FOR: "named for a download",
    Reason.EXISTING: "downloaded before",
}


class Fetch(msgspec.Struct, frozen=True, gc=False):
    """Export and commit a task. `previous` is what is mirrored of it now."""

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
    """Leave a folder as it is."""

    task_id: int
    name: str
    folder: str
    reason: Reason


class Skip(msgspec.Struct, frozen=True, gc=False):
    """There is nothing to fetch, nor a folder to keep."""

    task_id: int
    name: str
    folder: str
    reason: Reason


class Move(msgspec.Struct, frozen=True, gc=False):
    """Rename the folder `previous.folder` to `folder`."""

    task_id: int
    name: str
    folder: str
    reason: Reason
    previous: ReceiptHead


class Remove(msgspec.Struct, frozen=True, gc=False):
    """Remove the folder of a task that is gone from the server."""

    task_id: int
    name: str
    folder: str
    reason: Reason
    previous: ReceiptHead


class Refuse(msgspec.Struct, frozen=True, gc=False):
    """Fail a task without asking the server for anything."""

    task_id: int
    name: str
    folder: str
    reason: Reason


Step = Fetch | Keep | Skip | Move | Remove | Refuse
S = TypeVar("S", Fetch, Keep, Skip, Move, Remove, Refuse)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a mirror will do.

    Attributes:
        steps: One for each task, removals last.
        listing: The listing that it was made from.
        guard: Why the removals may not be carried out, None where they may.
    """

    steps: tuple[Step, ...]
    listing: TaskListing
    guard: str | None = None

    def __repr__(self) -> str:
        counts = ", ".join(f"{kind}={count}" for kind, count in self.counts.items())
        return f"{type(self).__name__}({counts})"

    def of(self, kind: type[S]) -> tuple[S, ...]:
        """The steps of one kind, in order."""
        return tuple([step for step in self.steps if type(step) is kind])

    @property
    def counts(self) -> Mapping[str, int]:
        """How many steps there are of each kind, by lower-case name."""
        # By type first, which for a hundred thousand steps is done in no time.
        kinds = Counter(map(type, self.steps))
        return Counter({kind.__name__.lower(): count for kind, count in kinds.items()})

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON types, with a schema version."""
        return {
            "version": 1,
            "listing_complete": self.listing.complete,
            "guard": self.guard,
            "counts": dict(self.counts),
            "steps": [
                {
                    "step": type(step).__name__.lower(),
                    "task_id": step.task_id,
                    "name": step.name,
                    "folder": step.folder,
                    "reason": str(step.reason),
                }
                for step in self.steps
            ],
        }


def gone_candidates(
    listing: TaskListing, receipts: Mapping[int, ReceiptHead]
) -> tuple[ReceiptHead, ...]:
    """The receipts that the listing does not cover; each has to be confirmed as gone."""
    listed = {task.id for task in listing.tasks}
    gone = [head for task_id, head in receipts.items() if task_id not in listed]
    return tuple(sorted(gone, key=lambda head: head.task_id))


def plan_mirror(
    listing: TaskListing,
    receipts: Mapping[int, ReceiptHead],
    spec: ExportSpec,
    options: MirrorOptions,
    *,
    states: Mapping[int, FolderState],
    unclaimed: Collection[str] = (),
    presence: Mapping[int, Presence] | None = None,
) -> Plan:
    """Compare what the server has with what is here.

    Args:
        listing: The tasks on the server.
        receipts: What is here, by task.
        spec: How tasks are to be exported.
        options: Prefix, force, adopt and the guards.
        states: What a look at the folders showed; those not in it count as intact.
        unclaimed: Folder names that exist and that no receipt claims.
        presence: For `--prune`: what the server said of each of `gone_candidates`.
    """
    steps: list[Step] = []
    for task in listing.tasks:
        folder = task_folder_name(options.folder_prefix, task.id)
        steps.append(
            _task_step(
                task,
                folder,
                receipts.get(task.id),
                spec,
                options,
                state=states.get(task.id, FolderState.INTACT),
                foreign=folder in unclaimed,
            )
        )
    steps.extend(
        Refuse(task_id, "", task_folder_name(options.folder_prefix, task_id), Reason.NOT_FOUND)
        for task_id in listing.missing
        if presence is None or task_id not in presence
    )
    gone = [_gone_step(receipts[task_id], state) for task_id, state in (presence or {}).items()]
    removals = sum(isinstance(step, Remove) for step in gone)
    return Plan(
        steps=(*steps, *gone),
        listing=listing,
        guard=_guard(listing, removals, len(receipts), options),
    )


def longest_first(steps: Iterable[Fetch]) -> list[Fetch]:
    """Order fetches so that no long export is begun last.

    The number of frames is the best guess that a listing allows, with images or without.
    """
    return sorted(steps, key=lambda step: (-(step.task.size or 0), step.task_id))


def differs(task: Task, head: ReceiptHead, spec: ExportSpec) -> Reason | None:
    """Why what is mirrored of a task is not what a mirror would fetch now; None where it is."""
    if not head.is_made_as(spec):
        return Reason.SPEC
    if head.uploaded_at is not None:
        return Reason.UPLOADED
    if head.updated_date != task.updated_date:
        return Reason.CHANGED
    return None


def _task_step(
    task: Task,
    folder: str,
    head: ReceiptHead | None,
    spec: ExportSpec,
    options: MirrorOptions,
    *,
    state: FolderState,
    foreign: bool,
) -> Step:
    if foreign and not options.adopt:
        return Refuse(task.id, task.name, folder, Reason.FOREIGN)
    if task.without_data:
        if head is None:
            return Skip(task.id, task.name, folder, Reason.NO_DATA)
        return Keep(task.id, task.name, head.folder, Reason.NO_DATA)
    if head is None:
        return Fetch(task, folder, Reason.NEW)
    reason = Reason.FORCED if options.force else differs(task, head, spec)
    if reason is None and state is FolderState.MISSING:
        reason = Reason.MISSING
    if reason is not None:
        return Fetch(task, folder, reason, head)
    if head.folder != folder and not foreign:
        return Move(task.id, task.name, folder, Reason.PREFIX, head)
    if head.folder != folder and state is FolderState.INTACT:
        # A commit puts aside what stands there; a rename cannot.
        return Fetch(task, folder, Reason.PREFIX, head)
    kept = Reason.EDITED if state is FolderState.EDITED else Reason.UNCHANGED
    return Keep(task.id, task.name, head.folder, kept)


def _gone_step(head: ReceiptHead, presence: Presence) -> Keep | Remove:
    if presence is Presence.GONE:
        return Remove(head.task_id, head.task_name, head.folder, Reason.GONE, head)
    return Keep(head.task_id, head.task_name, head.folder, Reason(presence.value))


def _guard(listing: TaskListing, removals: int, folders: int, options: MirrorOptions) -> str | None:
    if removals == 0:
        return None
    if not listing.complete:
        return "nothing is removed: the listing was incomplete, run it again"
    allowed = options.deletions_allowed(folders)
    if removals > allowed:
        return (
            f"nothing is removed: {removals} of {folders} folders would go, and max_delete "
            f"(--max-delete) of {options.max_delete} allows {allowed}; raise it if that is right"
        )
    return None
