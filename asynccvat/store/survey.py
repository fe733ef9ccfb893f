"""What stands in a destination, of many tasks at a time: blocking calls, for worker threads.

Nothing is changed. What it means for a run is decided elsewhere; a close look, file by file and
byte by byte, is `inspection`'s business.
"""

from __future__ import annotations

from collections.abc import Sequence

from asynccvat.core.plans.mirror import FolderState
from asynccvat.core.problems import obstacle
from asynccvat.core.receipts import ReceiptHead
from asynccvat.errors import StoreError
from asynccvat.fs import disk_errors, files
from asynccvat.store import trees
from asynccvat.store.layout import NOT_THERE, Layout, is_folder_name


def read_heads(layout: Layout, task_ids: Sequence[int]) -> tuple[dict[int, ReceiptHead], list[str]]:
    """Line 1 of the receipts of these tasks, and what is wrong with others of them.

    One that is gone by now is neither.

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
                f"the receipt of task {task_id} cannot be used ({error}): its folder counts "
                "as not asynccvat's; adopt (--adopt) fetches it again and puts aside what it "
                "holds"
            )
    return heads, problems


def folder_states(
    layout: Layout, heads: Sequence[ReceiptHead]
) -> tuple[dict[int, FolderState], list[str]]:
    """How the folders of receipts are, by task, and which of them could not be looked at.

    Raises:
        OSError: This process can look at none of them.
    """
    states, problems = {}, []
    for head in heads:
        try:
            members = layout.receipt(head.task_id).members
            states[head.task_id] = trees.folder_state(head.folder, members, dir_fd=layout.dest)
        except StoreError:
            # Without its members nobody can say that it is intact.
            states[head.task_id] = FolderState.MISSING
        except OSError as error:
            if not _is_of_one(error):
                raise
            # Whatever closed or broke it was not us; one folder does not stop the others.
            states[head.task_id] = FolderState.EDITED
            folder = layout.path / head.folder
            problems.append(
                str(disk_errors.explain(error, "look at", folder, task_id=head.task_id))
            )
    return states, problems


def _is_of_one(error: OSError) -> bool:
    """Whether something is wrong with one file or folder.

    Of anything else, as of too few file handles, the next one would tell just the same.
    """
    return obstacle(error.errno, "") is not None


def unclaimed(layout: Layout, folder_names: Sequence[str]) -> set[str]:
    """Those of these names that exist in the destination, with no receipt claiming them."""
    if layout.dest == NOT_THERE:
        return set()
    return {
        name
        for name in folder_names
        if is_folder_name(name)
        and files.lstat(name, dir_fd=layout.dest) is not None
        and layout.claimed_by(name) is None
    }
