"""Decide which mirrored tasks are gone from the server, and how many may be removed.

`commands.mirror.absence` asks the server, `core.plans.mirror` makes the steps.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum

from asynccvat.core.models import TaskListing
from asynccvat.core.options.mirror import MirrorOptions
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.targets import TargetKind
from asynccvat.core.texts import first_few


class Presence(StrEnum):
    """What the server says about a task that is not in the listing."""

    GONE = "gone"
    """A call for it was answered with 404."""
    ABSENT = "absent"
    """No list has it. It was not asked for by a call, since too many tasks are absent."""
    ELSEWHERE = "elsewhere"
    """It is on the server, but not in the selection."""
    FORBIDDEN = "forbidden"
    """The user may not see it."""
    UNKNOWN = "unknown"
    """The server could not be asked, or its answer cannot be read."""


def gone_candidates(
    listing: TaskListing, receipts: Mapping[int, ReceiptHead]
) -> tuple[ReceiptHead, ...]:
    """Return the receipts of tasks that are not listed. Each must be confirmed as gone."""
    listed = {task.id for task in listing.tasks}
    gone = [head for task_id, head in receipts.items() if task_id not in listed]
    return tuple(sorted(gone, key=lambda head: head.task_id))


def removals_refused(
    listing: TaskListing, presence: Collection[Presence], folders: int, options: MirrorOptions
) -> str | None:
    """Return why nothing may be removed, None if it may.

    Args:
        listing: The tasks on the server.
        presence: What the server said about each task that is not listed.
        folders: How many folders the mirror has.
        options: How many of them may be removed.
    """
    gone = sum(one is Presence.GONE for one in presence)
    absent = sum(one is Presence.ABSENT for one in presence)
    if gone + absent == 0:
        return None
    if not listing.complete:
        return "nothing is removed: the listing is incomplete. Run again."
    if not exceeds(gone + absent, folders, options):
        return None
    many = f"up to {gone + absent}" if absent else gone
    return (
        f"nothing is removed: {many} of {folders} folders would go, but --max-delete "
        f"{options.max_delete} allows {options.deletions_allowed(folders)}. Raise it if the "
        "removals are right."
    )


def exceeds(removals: int, folders: int, options: MirrorOptions) -> bool:
    """Whether these are more removals than a run may make among its folders."""
    return removals > options.deletions_allowed(folders)


def absence_notice(task_ids: Sequence[int], target: TargetKind = TargetKind.TASK) -> str | None:
    """Tell which mirrored targets the server does not list any more, None if there are none."""
    if not task_ids:
        return None
    count = len(task_ids)
    what = f"{count} mirrored {target.plural} are" if count > 1 else f"1 mirrored {target} is"
    return (
        f"{what} not on the server any more, or not visible to this user: "
        f"{first_few(task_ids)}. The folders stay. Remove those of deleted {target.plural} with "
        "--prune."
    )


def left_notice(target: TargetKind, left: Sequence[int]) -> str | None:
    """Tell which mirrored jobs are not selected any more, None if there are none.

    Jobs leave a selection in their everyday life: a completed one is opened again. Whatever reads
    the folders would take it for completed still.

    Args:
        target: What is mirrored.
        left: Those that the server has, and the selection has not.
    """
    if target is not TargetKind.JOB or not left:
        return None
    many = len(left) > 1
    what = f"{len(left)} mirrored jobs are" if many else "1 mirrored job is"
    return (
        f"{what} not in this selection any more: {first_few(left)}. "
        f"{'Their folders stay' if many else 'The folder stays'}, without updates."
    )
