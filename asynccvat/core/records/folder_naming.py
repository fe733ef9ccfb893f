"""Tell how the folders of a mirror are named: by a prefix, or by a layout.

`core.records.settling` settles the two options with all others.
"""

from __future__ import annotations

from collections.abc import Collection

from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError

_MOST_PREFIXES = 2


def known_layout(
    remembered: str | None, given: str | None, given_prefix: str | None, *, place: str
) -> str | None:
    """Return the layout of a destination, None if it has none.

    Args:
        remembered: What it remembers; "" if it had a layout, and that was lost.
        given: The layout that a run was given.
        given_prefix: The prefix that it was given.
        place: The destination, for messages.

    Raises:
        ConfigError: A layout was lost, or the run gives a prefix where a layout is remembered.
    """
    if remembered == "" and given is None:
        raise ConfigError(
            f"cannot mirror to {place!r}: its destination.json was lost or damaged, which says how "
            "its folders are named. Give its --layout once more."
        )
    if remembered and given_prefix is not None:
        raise ConfigError(
            f"cannot mirror to {place!r} with --folder-prefix: its folders have the layout "
            f"{remembered!r}. Leave --folder-prefix out, or give another --layout with --change."
        )
    return remembered or None


def have_layout(prefixes: Collection[str | None]) -> bool:
    """Whether folders with these prefixes, as of `prefix_of`, must have been named by a layout.

    An interrupted change leaves two prefixes.
    """
    return None in prefixes or len(prefixes) > _MOST_PREFIXES


def prefix_of(head: ReceiptHead) -> str | None:
    """Return what stands before the id in a folder's name, None if a layout made the name."""
    if head.target is TargetKind.JOB:
        return "" if head.folder == f"task{head.task_of_job}/job{head.task_id}" else None
    prefix = head.folder.removesuffix(str(head.task_id))
    if prefix == head.folder or "/" in prefix:
        return None
    return prefix
