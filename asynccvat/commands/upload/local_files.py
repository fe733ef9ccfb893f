"""Annotation files on this machine: which there are, how they begin and end, packed where due.

Blocking, for worker threads. What a folder's files mean is decided in `core.annotation_files`;
nothing here is ever changed, but for a packed zip of our own that is removed again.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

from isal import isal_zlib

from asynccvat.client.upload_file import FileToSend
from asynccvat.core.annotation_files import (
    HEAD_BYTES,
    TAIL_BYTES,
    Chosen,
    FileKind,
    check,
    check_members,
    choose,
    kind_of,
)
from asynccvat.core.models import Format
from asynccvat.core.receipts import MemberRecord
from asynccvat.errors import AnnotationFileError, StoreError
from asynccvat.fs import disk_errors

_READ_BYTES = 1 << 20
# Another folder would do, where temporary files cannot be made.
_NO_PLACE = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS)
# The earliest that a zip can say: the same files make the same zip.
_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be uploaded for one task.

    Attributes:
        folder: Where it lies.
        chosen: Which of its files.
        ends: The first and the last bytes of a single file; none of what is packed.
        members: The files in a zip, with the first bytes of those in XML; none of other files.
    """

    folder: Path
    chosen: Chosen
    ends: tuple[bytes, bytes] | None = None
    members: Mapping[str, bytes] | None = None

    @property
    def shown(self) -> Path:
        """What the user knows it by: the file, or the folder that is packed."""
        return self.folder if self.chosen.packed else self.folder / self.chosen.paths[0]

    def looked_at(self) -> Source:
        """The same with the first and the last bytes of its file.

        Raises:
            AnnotationFileError: They cannot be read, or it is no file.
        """
        if self.chosen.packed:
            return self
        path = self.shown
        with _explained(path):
            if not stat.S_ISREG(path.stat().st_mode):
                raise AnnotationFileError(f"{path} is no file: name one, or a task's folder")
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
                file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
                ends = head, file.read(TAIL_BYTES)
        # What no format takes is known without asking the server for its formats.
        kind = kind_of(*ends, name=str(path))
        members = _members(path) if kind is FileKind.ZIP else None
        return Source(self.folder, self.chosen, ends, members)

    def check(self, importer: Format) -> FileKind:
        """Make sure that an importer can take it, once it was looked at.

        Raises:
            AnnotationFileError: It cannot be what the importer reads.
        """
        if self.ends is None:
            return FileKind.ZIP
        kind = check(*self.ends, importer, name=str(self.shown))
        if self.members is not None:
            check_members(self.members, importer, name=str(self.shown))
        return kind


def _members(path: Path) -> dict[str, bytes]:
    """The files in a zip, with the first bytes of those in XML.

    Raises:
        AnnotationFileError: It cannot be read.
    """
    with _explained(path), path.open("rb") as file:
        try:
            return _heads(file)
        # `zipfile` lets out whatever its decoders say of damaged bytes.
        except Exception as error:
            if _is_of_the_system(error):
                raise
            why = str(error) or type(error).__name__
            raise AnnotationFileError(
                f"{path} is a zip that cannot be read ({why}): make it again"
            ) from error


def _is_of_the_system(error: Exception) -> bool:
    """Whether a zip is not to blame; a damaged one can point to before its own beginning."""
    if isinstance(error, OSError):
        return error.errno not in (None, errno.EINVAL)
    return isinstance(error, MemoryError)


def _heads(file: BinaryIO) -> dict[str, bytes]:
    found = {}
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                found[info.filename] = b""
                if info.filename.endswith(".xml"):
                    with archive.open(info) as member:
                        found[info.filename] = member.read(HEAD_BYTES)
    return found


def find(path: Path, format_name: str) -> Source:
    """Find what a path means: the file itself, or what a task's folder holds for a format.

    Raises:
        AnnotationFileError: It is not there, or more than one file could be meant.
    """
    with _explained(path):
        if stat.S_ISDIR(path.stat().st_mode):
            return Source(path, choose(_files_below(path), format_name, folder=str(path)))
        return Source(path.parent, Chosen((path.name,)))


def _files_below(folder: Path) -> list[str]:
    """The regular files below a folder; links are the user's own and lead elsewhere."""
    found = []
    for parent, _, names in os.walk(folder, onerror=_raise):
        for name in names:
            path = Path(parent, name)
            if stat.S_ISREG(path.lstat().st_mode):
                found.append(path.relative_to(folder).as_posix())
    return found


def _raise(error: OSError) -> NoReturn:
    # A part that cannot be read must not be left out: the import would take it from the task.
    raise error


def is_edited(source: Source, members: tuple[MemberRecord, ...]) -> bool:
    """Whether the files are others than a receipt says, by size and time, or none of its.

    Args:
        source: The files.
        members: What the receipt says, with paths relative to the source's folder.
    """
    records = {member.path: member for member in members}
    for path in source.chosen.paths:
        record = records.get(path)
        try:
            status = (source.folder / path).stat()
        except OSError:
            return True
        if record is None or (record.size, record.mtime_ns) != (status.st_size, status.st_mtime_ns):
            return True
    if not source.chosen.packed:
        return False
    # Of what is packed, a file that is not there any more is a change, too.
    chosen = set(source.chosen.paths)
    return any(not (source.folder / path).exists() for path in records.keys() - chosen)


@contextmanager
def ready(source: Source, kind: FileKind) -> Iterator[tuple[FileToSend, tuple[MemberRecord, ...]]]:
    """Have the file to send while inside, and the records of what it holds, as it was read.

    Raises:
        AnnotationFileError: Something cannot be read, or was changed meanwhile.
        StoreError: There is no room for what is packed, or no right to pack it.
    """
    if not source.chosen.packed:
        record = _fingerprint(source.folder, source.chosen.paths[0])
        path = source.shown
        yield FileToSend(path, path, kind, record.size, record.mtime_ns), (record,)
        return
    packed = _temporary_file()
    try:
        records = _pack(source, packed)
        with disk_errors.explained("look at", packed):
            status = packed.stat()
        yield (
            FileToSend(packed, source.shown, kind, status.st_size, status.st_mtime_ns),
            records,
        )
    finally:
        # The upload is as it is, whatever becomes of a copy among the system's temporary files.
        with suppress(OSError):
            packed.unlink()


def _temporary_file() -> Path:
    """An empty file to pack into.

    Raises:
        StoreError: None can be made.
    """
    try:
        handle, name = tempfile.mkstemp(prefix="asynccvat-", suffix=".zip")
    except OSError as error:
        if error.errno not in _NO_PLACE:
            where = "a temporary file (TMPDIR says where)"
            raise disk_errors.explain(error, "make", where) from error
        raise StoreError(
            f"cannot make a temporary file to pack annotations into: {error.strerror}; set TMPDIR "
            "to a folder that this user may write to",
            step="store",
        ) from error
    os.close(handle)
    return Path(name)


def _pack(source: Source, packed: Path) -> tuple[MemberRecord, ...]:
    with (
        disk_errors.explained("pack into", packed),
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        return tuple(_pack_one(source.folder, path, archive) for path in source.chosen.paths)


def _pack_one(folder: Path, path: str, archive: zipfile.ZipFile) -> MemberRecord:
    info = zipfile.ZipInfo(path, _TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    # Its size is not known before it was read.
    with archive.open(info, "w", force_zip64=True) as member:
        return _read(folder, path, member.write)


def _fingerprint(folder: Path, path: str) -> MemberRecord:
    return _read(folder, path, lambda _data: None)


def _read(folder: Path, path: str, take: Callable[[bytes], object]) -> MemberRecord:
    """Read a file once, and tell what it was.

    Raises:
        AnnotationFileError: It cannot be read, or was changed meanwhile.
    """
    with _explained(folder / path):
        file = (folder / path).open("rb")
    with file:
        before, crc = os.fstat(file.fileno()), 0
        while True:
            with _explained(folder / path):
                data = file.read(_READ_BYTES)
            if not data:
                break
            crc = isal_zlib.crc32(data, crc)
            take(data)
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise AnnotationFileError(
            f"{folder / path} was changed while it was being read: upload it again"
        )
    return MemberRecord(path, after.st_size, crc, after.st_mtime_ns)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say in words what the system says of a file that is to be read."""
    try:
        yield
    except FileNotFoundError as error:
        raise AnnotationFileError(
            f"{error.filename or path} is not there: check the name, or mirror or download the task"
        ) from error
    except OSError as error:
        raise AnnotationFileError(
            f"{error.filename or path} cannot be read ({error.strerror}): give this user the right "
            "to read it, or name another"
        ) from error
