"""An archive without images, made whole with those that are here: the disk's part of a refresh.

Whether that may be done is decided in `core.plans.refresh`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from asynccvat.aio.task_groups import run_limited
from asynccvat.aio.threads import in_thread
from asynccvat.archives import reuse
from asynccvat.archives.extractor import StagedFiles
from asynccvat.archives.session import StagedArchive
from asynccvat.core.plans.refresh import media_of
from asynccvat.core.receipts import MemberRecord
from asynccvat.core.zip import stored_digest
from asynccvat.store import Staging


async def complete(
    read: StagedArchive,
    previous: Sequence[MemberRecord],
    staging: Staging,
    staged: StagedFiles,
    parallel: int,
) -> StagedArchive | None:
    """Take the images of the folder that is being replaced over, each after it was read again.

    Args:
        read: The archive of annotations alone, which is in staging.
        previous: What the folder holds; besides images, just the paths that `read` has, too.
        staging: The tree.
        staged: What is in it.
        parallel: Threads that share the work.

    Returns:
        What an archive with the images would have left, in the order of the earlier one; None
        where an image is not here any more as it was. What was taken over stays in staging.
    """
    images = media_of(previous)
    candidates = [
        found
        for one in images
        if (found := reuse.candidate(one.path, one.size, one.crc, staging.reusable)) is not None
    ]

    tree = ExitStack()

    def open_tree() -> None:
        staged.root = tree.enter_context(staging.open_tree())

    def close_tree() -> None:
        staged.root = -1
        tree.close()

    async def reuse_members(batch: Sequence[reuse.ReusableMember]) -> None:
        await in_thread(reuse.reuse_members, batch, staging, staged)

    try:
        await in_thread(open_tree)
        batches = reuse.batches(candidates)
        await run_limited(parallel, [partial(reuse_members, batch) for batch in batches])
    finally:
        await in_thread(close_tree)
    if any(one.path not in staged.records for one in images):
        return None
    members = tuple(staged.records[one.path] for one in previous)
    return replace(
        read,
        members=members,
        digest=stored_digest((one.path, one.crc, one.size) for one in members),
        reused=read.reused + sum(one.size for one in images),
    )
