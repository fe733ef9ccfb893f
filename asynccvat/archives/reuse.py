"""Reuse members that are on disk already, instead of fetching them.

A file is reused only if its bytes, read again, give the CRC in the archive's directory: after a
power cut, a file of the right size can be all zeros. Synchronous, for worker threads.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from isal import isal_zlib

from asynccvat.archives.extractor import Folders, StagedFiles
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.fs import disk_errors, files
from asynccvat.store import Reusable, Staging

_READ_BYTES = 256 * 1024
_BATCH_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ReusableMember:
    """A member that may be on disk already.

    Attributes:
        name: Its path.
        size: Bytes.
        crc: CRC-32 of its bytes.
        sources: The files that may have its bytes.
        mapped_from: Its path in the archive; None if it is `name`.
    """

    name: str
    size: int
    crc: int
    sources: tuple[Reusable, ...]
    mapped_from: str | None = None


def find_reusable(
    name: str,
    size: int,
    crc: int,
    reusable: Mapping[str, Sequence[Reusable]],
    *,
    mapped_from: str | None = None,
) -> ReusableMember | None:
    """Find the files that may have a member's bytes.

    They have its path, its size, and its CRC if theirs is known.

    Args:
        name: The member's path.
        size: Its bytes.
        crc: Its CRC-32.
        reusable: The files on disk, by member's path.
        mapped_from: Its path in the archive; None if it is `name`.
    """
    sources = tuple(
        source
        for source in reusable.get(name, ())
        if source.size == size and source.crc in (None, crc)
    )
    return ReusableMember(name, size, crc, sources, mapped_from) if sources else None


def batches(candidates: Iterable[ReusableMember]) -> Iterator[list[ReusableMember]]:
    """Divide members into batches of about 32 MiB.

    Several threads can then share the work, and a cancellation waits for one batch only.
    """
    batch: list[ReusableMember] = []
    size = 0
    for one in candidates:
        batch.append(one)
        size += one.size
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def reuse_members(batch: Sequence[ReusableMember], staging: Staging, staged: StagedFiles) -> int:
    """Reuse the members of a batch whose files are right.

    The others have to be fetched.

    Returns:
        Bytes of the reused members.

    Raises:
        StoreError: The tree in staging cannot be written.
    """
    taken = 0
    folders = Folders(staged.root, staged.made, most=staged.open_folders)
    try:
        for one in batch:
            if any(_reuse_member(one, source, staging, staged, folders) for source in one.sources):
                taken += one.size
    finally:
        folders.close()
    return taken


def _reuse_member(
    member: ReusableMember,
    source: Reusable,
    staging: Staging,
    staged: StagedFiles,
    folders: Folders,
) -> bool:
    try:
        with staging.open_source(source, member.name) as (source_fd, name):
            fd = files.open_for_reading(name, dir_fd=source_fd)
            try:
                before = os.fstat(fd)
                if not _is_right(fd, member):
                    return False
                parent, _, new_name = member.name.rpartition("/")
                with disk_errors.explained("write", member.name, task_id=staged.task_id):
                    new_dir_fd = folders.get(parent)
                mtime_ns = None
                if source.mtime_ns in (None, before.st_mtime_ns):
                    mtime_ns = _link(
                        fd, before, name, new_name, dir_fd=source_fd, new_dir_fd=new_dir_fd
                    )
                if mtime_ns is None:
                    with disk_errors.explained("write", member.name, task_id=staged.task_id):
                        staged.reserve(member.size)
                        mtime_ns = _copy(fd, member, new_name, new_dir_fd)
            finally:
                os.close(fd)
    except OSError:
        # The file is gone, or cannot be read. The member is fetched then.
        return False
    if mtime_ns is None:
        return False
    staged.records[member.name] = MemberRecord(
        member.name, member.size, member.crc, mtime_ns, member.mapped_from
    )
    return True


def _is_right(fd: int, member: ReusableMember) -> bool:
    """Read a file and tell whether it has the member's CRC."""
    if os.fstat(fd).st_size != member.size:
        return False
    crc = size = 0
    while data := os.read(fd, _READ_BYTES):
        crc = isal_zlib.crc32(data, crc)
        size += len(data)
    return (size, crc) == (member.size, member.crc)


def _link(
    fd: int, before: os.stat_result, name: str, new_name: str, *, dir_fd: int, new_dir_fd: int
) -> int | None:
    """Link the file that was read; return its mtime, or None.

    `before` is the file's status from before it was read. A later mtime could be that of an edit,
    and the edited file would be recorded as ours.
    """
    try:
        files.link(name, new_name, dir_fd=dir_fd, new_dir_fd=new_dir_fd)
    except OSError:
        return None
    right = False
    try:
        read, linked = os.fstat(fd), files.lstat(new_name, dir_fd=new_dir_fd)
        same = linked is not None and os.path.samestat(read, linked)
        unedited = (read.st_mtime_ns, read.st_size) == (before.st_mtime_ns, before.st_size)
        right = same and unedited
    finally:
        if not right:
            # Another file has got the name, or this one was edited, or the check failed.
            files.unlink(new_name, dir_fd=new_dir_fd)
    return before.st_mtime_ns if right else None


def _copy(fd: int, member: ReusableMember, new_name: str, new_dir_fd: int) -> int | None:
    """Copy an open file; return its mtime, or None if it changed."""
    os.lseek(fd, 0, os.SEEK_SET)
    crc = size = 0
    new_fd = files.open_for_writing(new_name, dir_fd=new_dir_fd)
    whole = False
    try:
        while data := os.read(fd, _READ_BYTES):
            crc = isal_zlib.crc32(data, crc)
            size += len(data)
            files.write(new_fd, data)
        whole = (size, crc) == (member.size, member.crc)
        mtime_ns = os.fstat(new_fd).st_mtime_ns
    finally:
        os.close(new_fd)
        if not whole:
            files.unlink(new_name, dir_fd=new_dir_fd)
    return mtime_ns if whole else None
