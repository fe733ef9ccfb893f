"""Read the zip of a backup: what it says of its tasks, and whether its members are whole.

`core.backups.contents` reads the members. The server has no better words for a broken zip than
`BadZipFile`, after all of it was sent.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from asynccvat.aio.threads import in_thread
from asynccvat.client.upload_file import LocalFile
from asynccvat.core.backups.contents import (
    ANNOTATIONS_FILE,
    PROJECT_FILE,
    TASK_FILE,
    BackupContents,
    TaskContents,
    kind_of,
    of_task,
    read_project,
    read_task,
    task_folders,
)
from asynccvat.core.targets import TargetKind
from asynccvat.errors import BackupFileError

_LOCAL_HEADER = b"PK\x03\x04"
_BLOCK = 1 << 20
_LARGEST_DESCRIPTION = 1 << 30
"""Bytes of the largest member that is read into memory. Annotations are far smaller."""

_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
"""What `zipfile` raises for an archive that it cannot read."""


@dataclass(frozen=True, slots=True)
class BackupZip:
    """A zip that was read.

    Attributes:
        file: The file to send.
        contents: What it holds.
    """

    file: LocalFile
    contents: BackupContents


async def read_backup(path: Path) -> BackupZip:
    """Read what a backup says of its tasks, without its media.

    Raises:
        BackupFileError: It is missing, or no backup that can be restored.
    """
    return await in_thread(_read, path)


async def check_members(path: Path) -> None:
    """Read all members of a backup, and compare them with their checksums.

    Raises:
        BackupFileError: One is damaged.
    """
    await in_thread(_check, path)


def _read(path: Path) -> BackupZip:
    try:
        status = path.stat()
        with zipfile.ZipFile(path) as archive:
            contents = _contents(archive, path)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        why = "there is no such file" if missing else error.strerror or str(error)
        raise BackupFileError(
            f"cannot restore {str(path)!r}: {why}. Check the path, or restore another backup.",
            step="plan",
        ) from error
    except _BROKEN as error:
        raise _broken(path, error) from error
    file = LocalFile(path=path, shown=path, size=status.st_size, mtime_ns=status.st_mtime_ns)
    return BackupZip(file, contents)


def _contents(archive: zipfile.ZipFile, path: Path) -> BackupContents:
    where, names = repr(str(path)), archive.namelist()
    kind = kind_of(names)
    if kind is None:
        raise BackupFileError(
            f"cannot restore {where}: it holds neither {TASK_FILE} nor {PROJECT_FILE}, so it is no "
            "backup of CVAT. Files of annotations go to a task by `asynccvat upload`, datasets to "
            "a project by `asynccvat import-dataset`.",
            step="plan",
        )
    if kind is TargetKind.TASK:
        return of_task(_task(archive, "", where))
    tasks = tuple(_task(archive, folder, where) for folder in task_folders(names))
    return read_project(_member(archive, PROJECT_FILE, where), tasks, where=where)


def _task(archive: zipfile.ZipFile, folder: str, where: str) -> TaskContents:
    annotations = None
    if folder + ANNOTATIONS_FILE in archive.NameToInfo:
        annotations = _member(archive, folder + ANNOTATIONS_FILE, where)
    return read_task(_member(archive, folder + TASK_FILE, where), annotations, where=where)


def _member(archive: zipfile.ZipFile, name: str, where: str) -> bytes:
    info = archive.NameToInfo.get(name)
    if info is None or info.file_size > _LARGEST_DESCRIPTION:
        what = "it has no" if info is None else "it has too large a"
        raise BackupFileError(
            f"cannot restore {where}: {what} {name}. Restore another backup.", step="plan"
        )
    return archive.read(info)


def _check(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                with archive.open(info) as member:
                    while member.read(_BLOCK):
                        pass
    except OSError as error:
        raise BackupFileError(
            f"cannot restore {str(path)!r}: it cannot be read ({error.strerror or error}). Check "
            "the drive, or restore another backup.",
            step="plan",
        ) from error
    except _BROKEN as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> BackupFileError:
    try:
        with path.open("rb") as file:
            is_zip = file.read(len(_LOCAL_HEADER)) == _LOCAL_HEADER
    except OSError:
        is_zip = False
    if not is_zip:
        why = "it is no zip, and so no backup"
    elif "not a zip file" in str(error):
        why = "it is cut short: the end of the zip is missing"
    else:
        why = f"it is damaged ({str(error).rstrip('.')})"
    return BackupFileError(
        f"cannot restore {str(path)!r}: {why}. Restore another backup, or make a new one.",
        step="plan",
    )
