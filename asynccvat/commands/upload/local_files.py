"""Find, check, read and pack local annotation files.

These functions block, so they run in worker threads. They change no file of the user: a zip to
upload is packed into a temporary file. `core.annotations.files` decides which files to take.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, NoReturn

from isal import isal_zlib

from asynccvat.client.upload_file import FileToSend
from asynccvat.core.annotations.files import (
    HEAD_BYTES,
    TAIL_BYTES,
    ChosenFiles,
    FileKind,
    check_file,
    check_members,
    choose_files,
    kind_of,
)
from asynccvat.core.models import Format
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.errors import AnnotationFileError, StoreError
from asynccvat.fs import disk_errors

_READ_BYTES = 1 << 20
# With these errors, temporary files may work in another folder.
_NO_PLACE = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS)
# The earliest time that a zip can hold. With it, the same files make the same zip.
_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class AnnotationSource:
    """The files to upload to one task.

    Attributes:
        folder: Their folder.
        chosen: Which of its files.
        ends: The first and the last bytes of a single file. None before `inspected`, and for files
            to pack.
        members: The files in a zip, with the first bytes of XML files. None for other files.
        originals: The names that files under mapped names had in the export, by their paths.
    """

    folder: Path
    chosen: ChosenFiles
    ends: tuple[bytes, bytes] | None = None
    members: Mapping[str, bytes] | None = None
    originals: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> Path:
        """The path that the user knows: the file, or the folder to pack."""
        return self.folder if self.chosen.packed else self.folder / self.chosen.paths[0]

    def inspected(self) -> AnnotationSource:
        """Read the first and the last bytes of a single file, and what a zip holds.

        Raises:
            AnnotationFileError: It cannot be read, or it is not a regular file.
        """
        if self.chosen.packed:
            return self
        path = self.shown
        with explained(path):
            if not stat.S_ISREG(path.stat().st_mode):
                raise AnnotationFileError(
                    f"cannot upload {str(path)!r}: it is not a file. Name a file, or a task's "
                    "folder."
                )
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
                file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
                ends = head, file.read(TAIL_BYTES)
        # A file that no format accepts is refused without asking the server for its formats.
        kind = kind_of(*ends, name=str(path))
        members = _members(path) if kind is FileKind.ZIP else None
        return replace(self, ends=ends, members=members)

    def check(self, importer: Format) -> FileKind:
        """Check that an importer can read it. Call `inspected` before.

        Raises:
            AnnotationFileError: It is not what the importer reads.
        """
        if self.ends is None:
            return FileKind.ZIP
        kind = check_file(*self.ends, importer, name=str(self.shown))
        if self.members is not None:
            check_members(self.members, importer, name=str(self.shown))
        return kind


def _members(path: Path) -> dict[str, bytes]:
    """Return the files in a zip, with the first bytes of XML files.

    Raises:
        AnnotationFileError: It cannot be read.
    """
    with explained(path), path.open("rb") as file:
        try:
            return _heads(file)
        # `zipfile` passes on any error of its decoders about damaged bytes.
        except Exception as error:
            if is_system_error(error):
                raise
            why = str(error) or type(error).__name__
            raise AnnotationFileError(
                f"cannot upload {str(path)!r}: it is a zip that cannot be read ({why}). Make it "
                "again."
            ) from error


def is_system_error(error: Exception) -> bool:
    """Whether an error is the system's. EINVAL is the zip's: it asks for a negative offset."""
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


def find_source(
    path: Path, format_name: str, originals: Mapping[str, str] | None = None
) -> AnnotationSource:
    """Find the files that a path means: itself, or those of a task's folder for a format.

    Args:
        path: The file or folder.
        format_name: The importer's or the exporter's name.
        originals: The names that files under mapped names had in the export, by their paths.

    Raises:
        AnnotationFileError: It is not there, or more than one file could be meant.
    """
    with explained(path):
        if stat.S_ISDIR(path.stat().st_mode):
            originals = originals or {}
            # By the names in the export: a mapped one may look like another kind of file.
            paths = {originals.get(one, one): one for one in _files_below(path)}
            chosen = choose_files(paths, format_name, folder=str(path))
            chosen = replace(chosen, paths=tuple(paths[name] for name in chosen.paths))
            return AnnotationSource(path, chosen, originals=originals)
        return AnnotationSource(path.parent, ChosenFiles((path.name,)))


def _files_below(folder: Path) -> list[str]:
    """List the regular files below a folder. Links are not followed: they lead elsewhere."""
    found = []
    for parent, _, names in os.walk(folder, onerror=_raise):
        for name in names:
            path = Path(parent, name)
            if stat.S_ISREG(path.lstat().st_mode):
                found.append(path.relative_to(folder).as_posix())
    return found


def _raise(error: OSError) -> NoReturn:
    # A part that cannot be read must not be left out: the import would remove it from the task.
    raise error


def is_edited(source: AnnotationSource, members: tuple[MemberRecord, ...]) -> bool:
    """Whether files differ from a receipt by size or time, or are not in it.

    Args:
        source: The files.
        members: The receipt's records, with paths relative to the source's folder.
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
    # If files are packed, one that was removed is a change, too.
    chosen = set(source.chosen.paths)
    return any(not (source.folder / path).exists() for path in records.keys() - chosen)


@contextmanager
def prepared(
    source: AnnotationSource, kind: FileKind
) -> Iterator[tuple[FileToSend, tuple[MemberRecord, ...]]]:
    """Give the file to send inside a `with` block, and the records of the files that it holds.

    Raises:
        AnnotationFileError: A file cannot be read, or was changed while it was read.
        StoreError: There is no room for the packed zip, or no right to write it.
    """
    if not source.chosen.packed:
        record = _fingerprint(source.folder, source.chosen.paths[0])
        path = source.shown
        file = FileToSend(
            path=path, shown=path, kind=kind, size=record.size, mtime_ns=record.mtime_ns
        )
        yield file, (record,)
        return
    packed = _temporary_file()
    try:
        records = _pack(source, packed)
        with disk_errors.explained("look at", packed):
            status = packed.stat()
        file = FileToSend(
            path=packed,
            shown=source.shown,
            kind=kind,
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
        )
        yield file, records
    finally:
        # A temporary file that cannot be removed does not make the upload fail.
        with suppress(OSError):
            packed.unlink()


def _temporary_file() -> Path:
    """Make an empty file to pack into.

    Raises:
        StoreError: It cannot be made.
    """
    try:
        handle, name = tempfile.mkstemp(prefix="asynccvat-", suffix=".zip")
    except OSError as error:
        if error.errno not in _NO_PLACE:
            where = "a temporary file (TMPDIR says where)"
            raise disk_errors.explain(error, "make", where, is_path=False) from error
        raise StoreError(
            f"cannot make a temporary file to pack annotations into: {error.strerror}. Set TMPDIR "
            "to a folder that this user may write to.",
            step="store",
        ) from error
    os.close(handle)
    return Path(name)


def _pack(source: AnnotationSource, packed: Path) -> tuple[MemberRecord, ...]:
    with (
        disk_errors.explained("pack into", packed),
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        return tuple(
            _pack_one(source.folder, path, source.originals.get(path, path), archive)
            for path in source.chosen.paths
        )


def _pack_one(folder: Path, path: str, name: str, archive: zipfile.ZipFile) -> MemberRecord:
    info = zipfile.ZipInfo(name, _TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    # The size is not known before the file was read.
    with archive.open(info, "w", force_zip64=True) as member:
        return _read(folder, path, member.write)


def _fingerprint(folder: Path, path: str) -> MemberRecord:
    return _read(folder, path, lambda _data: None)


def _read(folder: Path, path: str, take: Callable[[bytes], object]) -> MemberRecord:
    """Read a file once, and return its record.

    Raises:
        AnnotationFileError: It cannot be read, or was changed while it was read.
    """
    with explained(folder / path):
        file = (folder / path).open("rb")
    with file:
        before, crc = os.fstat(file.fileno()), 0
        while True:
            with explained(folder / path):
                data = file.read(_READ_BYTES)
            if not data:
                break
            crc = isal_zlib.crc32(data, crc)
            take(data)
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise AnnotationFileError(
            f"cannot upload {str(folder / path)!r}: it was changed while it was read. Upload it "
            "again."
        )
    return MemberRecord(path, after.st_size, crc, after.st_mtime_ns)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an error of the system about reading a file into a message."""
    try:
        yield
    except FileNotFoundError as error:
        raise AnnotationFileError(
            f"cannot read {str(error.filename or path)!r}: there is no such file or folder. Check "
            "the "
            "name, or mirror or download the task."
        ) from error
    except OSError as error:
        raise AnnotationFileError(
            f"cannot read {str(error.filename or path)!r}: {error.strerror}. Give this user the "
            "right to "
            "read it, or name another."
        ) from error
