"""Write files that are in memory into a staged tree, and reuse others of the previous folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import msgspec
from isal import isal_zlib

from asynccvat.archives import reuse
from asynccvat.archives.extractor import Folders, StagedFiles
from asynccvat.archives.staged_archive import StagedArchive
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.core.zip import stored_digest
from asynccvat.fs import disk_errors, files
from asynccvat.store import Staging


def write_files(
    staging: Staging, content: Mapping[str, bytes], kept: Sequence[MemberRecord] = ()
) -> StagedArchive | None:
    """Fill a staged tree with files. Synchronous, for worker threads.

    Args:
        staging: The tree.
        content: The files' bytes, by path.
        kept: Files of the folder that is being replaced. They are read again, and linked.

    Returns:
        All files. None if one of `kept` is missing or has changed; the tree is empty then.

    Raises:
        DiskFullError: There is no room for them.
        StoreError: The file system refuses them.
    """
    explained = disk_errors.explained("fill", staging.tree, task_id=staging.task_id)
    with explained, staging.open_tree() as root:
        staged = StagedFiles(staging.task_id, root)
        _reuse(staging, staged, kept)
        if any(one.path not in staged.records for one in kept):
            for path in tuple(staged.records):
                staged.remove(path)
            return None
        staged.require(sum(map(len, content.values())))
        folders = Folders(root)
        try:
            for path, data in content.items():
                parent, _, name = path.rpartition("/")
                record = _write(folders.get(parent), name, data)
                staged.records[path] = msgspec.structs.replace(record, path=path)
        finally:
            folders.close()
    members = tuple(staged.records[path] for path in sorted(staged.records))
    return StagedArchive(
        members=members,
        digest=stored_digest((one.path, one.crc, one.size) for one in members),
        transferred=0,
        reused=sum(one.size for one in kept),
    )


def _reuse(staging: Staging, staged: StagedFiles, kept: Sequence[MemberRecord]) -> None:
    found = [reuse.find_reusable(one.path, one.size, one.crc, staging.reusable) for one in kept]
    reuse.reuse_members([one for one in found if one is not None], staging, staged)


def _write(root: int, name: str, data: bytes) -> MemberRecord:
    fd = files.open_for_writing(name, dir_fd=root)
    try:
        files.write(fd, data)
        mtime_ns = os.fstat(fd).st_mtime_ns
    finally:
        os.close(fd)
    return MemberRecord(name, len(data), isal_zlib.crc32(data), mtime_ns)
