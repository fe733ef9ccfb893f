"""Complete an archive of annotations with images that are on disk.

`core.plans.refresh` decides whether that is allowed. `reuse` checks and links the images.
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
from asynccvat.archives.staged_archive import StagedArchive
from asynccvat.core.plans.refresh import images_of
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.core.zip import stored_digest
from asynccvat.store import Staging


async def complete(
    read: StagedArchive,
    previous: Sequence[MemberRecord],
    staging: Staging,
    staged: StagedFiles,
    parallel: int,
) -> StagedArchive | None:
    """Reuse the images of the folder that is being replaced.

    Each is read again before.

    Args:
        read: The archive of annotations alone, which is in staging.
        previous: The files of the folder. Those that are no images have the paths of `read`.
        staging: The tree.
        staged: The files that are in it.
        parallel: How many threads share the work.

    Returns:
        What an archive with the images would have given, in the order of the earlier one. None if
        an image is missing or has changed; reused images stay in staging then.
    """
    images = images_of(previous)
    candidates = [
        found
        for one in images
        if (
            found := reuse.find_reusable(
                one.path, one.size, one.crc, staging.reusable, mapped_from=one.mapped_from
            )
        )
        is not None
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
        digest=stored_digest((one.original, one.crc, one.size) for one in members),
        reused=read.reused + sum(one.size for one in images),
    )
