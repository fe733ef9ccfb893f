"""Read what stands in a destination, for many tasks at a time, without changing it.

The calls block: they are for worker threads. `core.plans.mirror` decides what follows from it;
`commands.verify.inspection` reads files byte by byte.
"""

from __future__ import annotations

from collections.abc import Sequence

from asynccvat.core.paths import OWN_FOLDER
from asynccvat.core.plans.mirror import FolderState
from asynccvat.core.problems import obstacle
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.errors import StoreError
from asynccvat.fs import disk_errors, files
from asynccvat.store import trees
from asynccvat.store.layout import NOT_THERE, Layout, is_folder_name, receipt_name
from asynccvat.store.trees import ChangedMember

RECEIPTS = f"{OWN_FOLDER}/receipts"


def read_heads(layout: Layout, task_ids: Sequence[int]) -> tuple[dict[int, ReceiptHead], list[str]]:
    """Read line 1 of the receipts of tasks.

    Returns:
        The heads, and a warning for each receipt that cannot be used. A receipt that has
        disappeared by now is in neither.

    Raises:
        OSError: This process can read none of them.
    """
    heads, problems = {}, []
    for task_id in task_ids:
        try:
            heads[task_id] = layout.head(task_id)
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
    return heads, problems


def folder_states(
    layout: Layout, heads: Sequence[ReceiptHead]
) -> tuple[dict[int, FolderState], list[str]]:
    """Compare the folders of tasks with their receipts.

    Returns:
        The state of each folder by task, and a warning for each folder that could not be read.

    Raises:
        OSError: This process can read none of them.
    """
    changed, problems = changed_members(layout, heads)
    states = {
        head.task_id: trees.state_of(changed[head.task_id])
        if head.task_id in changed
        else FolderState.INTACT
        for head in heads
    }
    return states, problems


def changed_members(
    layout: Layout, heads: Sequence[ReceiptHead]
) -> tuple[dict[int, tuple[ChangedMember, ...]], list[str]]:
    """Compare the folders of tasks with their receipts, and name the files that differ.

    Returns:
        The members that are edited or missing, by task, without the tasks that have none; and a
        warning for each folder that could not be read. Its path is then empty, which stands for
        the folder itself.

    Raises:
        OSError: This process can read none of them.
    """
    changed: dict[int, tuple[ChangedMember, ...]] = {}
    problems = []
    for head in heads:
        try:
            members = layout.receipt(head.task_id).members
            found = tuple(trees.changed_members(head.folder, members, dir_fd=layout.dest))
        except StoreError:
            # Without its members, it is unknown whether it is intact.
            found = (("", FolderState.MISSING),)
        except OSError as error:
            if not _is_of_one(error):
                raise
            # The user or the drive did that, not asynccvat. One folder does not stop the others.
            found = (("", FolderState.EDITED),)
            folder = layout.path / head.folder
            problems.append(str(disk_errors.explain(error, "check", folder, task_id=head.task_id)))
        if found:
            changed[head.task_id] = found
    return changed, problems


def _is_of_one(error: OSError) -> bool:
    """Whether an error is about one file or folder only.

    Other errors, such as too few file handles, would occur for the next one, too.
    """
    return obstacle(error.errno, "") is not None


def unclaimed(layout: Layout, folder_names: Sequence[str]) -> set[str]:
    """Return those of these names that exist in the destination and are in no receipt."""
    if layout.dest == NOT_THERE:
        return set()
    return {
        name
        for name in folder_names
        if is_folder_name(name)
        and files.lstat(name, dir_fd=layout.dest) is not None
        and layout.claimed_by(name) is None
    }
