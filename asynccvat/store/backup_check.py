"""Read the zip of a backup again, and compare every member with the receipt.

The calls block: they are for worker threads. `commands.verify` reports what they find.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from asynccvat.core.archive_limits import ArchiveLimits
from asynccvat.core.paths import NameRules
from asynccvat.core.problems import ProblemKind, VerifyProblem, obstacle
from asynccvat.core.records.backups import BackupReceipt
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.core.zip import Directory, ZipReader
from asynccvat.errors import ArchiveError, StoreError
from asynccvat.fs import disk_errors, files
from asynccvat.fs.zip_files import directory_of_file, read_file_bytes
from asynccvat.store import backup_files
from asynccvat.store.layout import Layout

BACKUP_RULES = NameRules(component_bytes=4096, path_bytes=4096)
"""No member is written under its name, so only names that are unsafe anywhere are refused."""

# The receipt counts, not limits that some run was given.
_LIMITS = ArchiveLimits(
    members=10**9, member_size=2**62, total_size=2**62, directory_size=2**40, path_length=4096
)
_TAIL_BYTES = 256 * 1024
_READ_BYTES = 1024 * 1024


def check_backup(
    layout: Layout, receipt: BackupReceipt, on_read: Callable[[int], None] = lambda _: None
) -> VerifyProblem | None:
    """Read a backup's zip and compare it with its receipt; None if it is as it should be.

    Args:
        layout: The destination.
        receipt: The receipt.
        on_read: Called with the bytes read, now and then. It may raise to stop.

    Raises:
        StoreError: This process can open no more files.
    """
    try:
        members = backup_files.read_members(layout, receipt)
    except StoreError as error:
        return _problem(receipt, ProblemKind.RECEIPT, str(error))
    except OSError as error:
        return _obstacle(receipt, error)
    try:
        with files.folder(receipt.folder, dir_fd=layout.dest) as folder:
            fd = files.open_for_reading(f"{receipt.stamp}.zip", dir_fd=folder)
    except OSError as error:
        return _obstacle(receipt, error)
    try:
        return _check_open(fd, receipt, members, on_read)
    except ArchiveError as error:
        member = error.member
        what = "its list of members" if member is None else f"member {member!r}"
        return _problem(receipt, ProblemKind.CORRUPTED, f"{what} differs from the receipt")
    except StoreError:
        return _problem(receipt, ProblemKind.CORRUPTED, "it became shorter while it was read")
    except OSError as error:
        return _obstacle(receipt, error)
    finally:
        os.close(fd)


def _check_open(
    fd: int,
    receipt: BackupReceipt,
    members: tuple[MemberRecord, ...],
    on_read: Callable[[int], None],
) -> VerifyProblem | None:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_size != receipt.size:
        found = f"{status.st_size:,} bytes instead of {receipt.size:,}"
        return _problem(receipt, ProblemKind.EDITED, found)
    directory = directory_of_file(fd, receipt.size, _TAIL_BYTES, limits=_LIMITS, rules=BACKUP_RULES)
    recorded = {(one.path, one.size, one.crc) for one in members}
    listed = {(one.name, one.size, one.crc) for one in directory.entries if not one.is_directory}
    if directory.digest != receipt.digest or recorded != listed:
        return _problem(receipt, ProblemKind.EDITED, "its members are not those of the receipt")
    _read_members(fd, directory, on_read)
    return None


def _read_members(fd: int, directory: Directory, on_read: Callable[[int], None]) -> None:
    """Read all members.

    Raises:
        ArchiveError: The bytes of one have another CRC than the directory says.
    """
    reader = ZipReader(directory, directory.entries, _LIMITS)
    while (position := reader.position) < directory.start:
        data = read_file_bytes(fd, position, min(position + _READ_BYTES, directory.start))
        for _ in reader.feed(data):
            pass
        on_read(len(data))
    reader.close()


def _obstacle(receipt: BackupReceipt, error: OSError) -> VerifyProblem:
    found = obstacle(error.errno, error.strerror or str(error))
    if found is None:
        raise disk_errors.explain(error, "read", receipt.file) from error
    return _problem(receipt, found.kind, found.detail)


def _problem(receipt: BackupReceipt, kind: ProblemKind, detail: str) -> VerifyProblem:
    return VerifyProblem(
        kind=kind, path=receipt.file, task_id=receipt.id, detail=detail, target=receipt.target
    )
