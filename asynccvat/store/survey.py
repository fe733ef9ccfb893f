"""Read what stands in a destination, for many tasks at a time, without changing it.

The calls block: they are for worker threads. `core.plans.mirror` decides what follows from it;
`commands.verify.inspection` reads files byte by byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from asynccvat.core.paths import OWN_FOLDER
from asynccvat.core.plans.mirror import FolderState
from asynccvat.core.problems import obstacle
from asynccvat.core.records.receipts import MemberRecord, ReceiptHead, decode_receipt
from asynccvat.errors import StoreError
from asynccvat.fs import disk_errors
from asynccvat.store import homes, trees
from asynccvat.store.layout import (
    NOT_THERE,
    Layout,
    check_head,
    is_folder_name,
    is_same,
    receipt_name,
)
from asynccvat.store.trees import ChangedMember

T = TypeVar("T")

RECEIPTS = f"{OWN_FOLDER}/receipts"


def read_heads(layout: Layout, task_ids: Sequence[int]) -> tuple[dict[int, ReceiptHead], list[str]]:
    """Read line 1 of the receipts of tasks.

    Returns:
        The heads, and a warning for each receipt that cannot be used. A receipt that has
        disappeared by now is in neither.

    Raises:
        OSError: This process can read none of them.
    """
    problems: list[str] = []
    return dict(_usable(layout.head, task_ids, problems)), problems


def compare(
    layout: Layout, task_ids: Sequence[int]
) -> tuple[dict[int, ReceiptHead], dict[int, tuple[ChangedMember, ...]], list[str]]:
    """Read the receipts of tasks, and compare the folders of all of them.

    It opens each receipt once. `read_heads` and `folder_states` open the receipts of the folders
    that are compared twice, and read only the first line of the others.

    Returns:
        The heads, and the members that are edited or missing, by task, without the tasks that have
        none. An empty path stands for the folder itself. A warning for each receipt that cannot be
        used, and for each folder that could not be read.

    Raises:
        OSError: This process can read none of them.
    """
    heads: dict[int, ReceiptHead] = {}
    changed: dict[int, tuple[ChangedMember, ...]] = {}
    problems: list[str] = []
    read = partial(_head_and_members, layout)
    for task_id, (head, members) in _usable(read, task_ids, problems):
        heads[task_id] = head
        if found := _changed_members(layout, head, members, problems):
            changed[task_id] = found
    return heads, changed, problems


def folder_states(
    layout: Layout, heads: Sequence[ReceiptHead]
) -> tuple[dict[int, FolderState], list[str]]:
    """Compare the folders of tasks with their receipts.

    Returns:
        The state of each folder by task, and a warning for each folder that could not be read.

    Raises:
        OSError: This process can read none of them.
    """
    problems: list[str] = []
    states = {
        head.task_id: trees.state_of(_changed_members(layout, head, None, problems))
        for head in heads
    }
    return states, problems


def _usable(
    read: Callable[[int], T], task_ids: Sequence[int], problems: list[str]
) -> Iterator[tuple[int, T]]:
    """Yield what is read of each receipt that can be used, and add a warning for each other one."""
    for task_id in task_ids:
        try:
            found = read(task_id)
        except FileNotFoundError:
            continue
        except (StoreError, OSError) as error:
            if isinstance(error, OSError) and not _is_of_one(error):
                raise
            problems.append(
                f"the receipt {RECEIPTS}/{receipt_name(task_id)} cannot be used: {error}. So its "
                "folder counts as not asynccvat's. Use --adopt to fetch it again, which moves the "
                "folder to .asynccvat/kept/."
            )
        else:
            yield task_id, found


def _head_and_members(
    layout: Layout, task_id: int
) -> tuple[ReceiptHead, tuple[MemberRecord, ...] | None]:
    """Read a receipt whole; None in place of members that cannot be read."""
    content = layout.receipt_bytes(task_id)
    if content is None:
        raise FileNotFoundError(receipt_name(task_id))
    try:
        receipt = decode_receipt(content)
    except StoreError:
        return layout.head(task_id), None  # the first line may be whole
    check_head(receipt.head, task_id)
    return receipt.head, receipt.members


def _changed_members(
    layout: Layout,
    head: ReceiptHead,
    members: tuple[MemberRecord, ...] | None,
    problems: list[str],
) -> tuple[ChangedMember, ...]:
    """Compare the folder of a task with its receipt.

    Args:
        layout: The destination.
        head: The receipt.
        members: Its members, None if they are still to be read.
        problems: Where a warning is added if the folder cannot be read.
    """
    try:
        if members is None:
            members = layout.receipt(head.task_id).members
        return tuple(trees.changed_members(head.folder, members, dir_fd=layout.dest))
    except StoreError:
        # Without its members, it is unknown whether it is intact.
        return (("", FolderState.MISSING),)
    except OSError as error:
        if not _is_of_one(error):
            raise
        # The user or the drive did that, not asynccvat. One folder does not stop the others.
        folder = layout.path / head.folder
        problems.append(str(disk_errors.explain(error, "check", folder, task_id=head.task_id)))
        return (("", FolderState.EDITED),)


def _is_of_one(error: OSError) -> bool:
    """Whether an error is about one file or folder only.

    Other errors, such as too few file handles, would occur for the next one, too.
    """
    return obstacle(error.errno, "") is not None


def unclaimed(layout: Layout, folders: Sequence[tuple[str, str | None]]) -> set[str]:
    """Return the names that exist in the destination and are in no receipt.

    Args:
        layout: The destination.
        folders: Names, and for each the folder that its task has now. On some file systems, a name
            that differs in case only is the same folder.
    """
    if layout.dest == NOT_THERE:
        return set()
    return {
        name
        for name, held in folders
        if is_folder_name(name)
        and (status := homes.status_of(name, dir_fd=layout.dest)) is not None
        and layout.claimed_by(name) is None
        and not (held is not None and is_same(status, homes.status_of(held, dir_fd=layout.dest)))
    }
