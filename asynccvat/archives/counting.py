"""Count the annotations of a staged export. Synchronous, for worker threads.

The files were just written or checked, so they are read from memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from asynccvat.core.annotations.staged_counts import CountingRule, StagedCounter
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.fs import files
from asynccvat.store import Staging

# Short pieces: other threads get their turn between them.
_READ_BYTES = 64 * 1024


def count_annotations(staging: Staging, members: Iterable[MemberRecord], rule: CountingRule) -> int:
    """Return how many annotations a staged tree holds.

    Args:
        staging: The tree.
        members: Its files.
        rule: How they are counted.

    Raises:
        OSError: A file cannot be read.
    """
    paths = [member.path for member in members if rule.files.search(member.original)]
    with staging.open_tree() as root:
        return sum(_count_file(path, root, rule) for path in paths)


def _count_file(path: str, root: int, rule: CountingRule) -> int:
    parent, _, name = path.rpartition("/")
    counter = StagedCounter(rule)
    with files.folder(parent, dir_fd=root) as folder:
        fd = files.open_for_reading(name, dir_fd=folder)
    try:
        while data := os.read(fd, _READ_BYTES):
            counter.feed(data)
    finally:
        os.close(fd)
    return counter.total()
