"""Write an archive to a file, and read its members from there.

A server without ranges sends the whole archive, in which the directory comes last. So the body is
written to a file first. The members are then read by the directory, as from a server with ranges.
Synchronous, for worker threads.
"""

from __future__ import annotations

from collections.abc import Iterable

from asynccvat.archives.extractor import Extractor, StagedFiles
from asynccvat.archives.remote import check_signature
from asynccvat.core.archive_limits import ArchiveLimits
from asynccvat.fs import disk_errors, files
from asynccvat.fs.zip_files import read_file_bytes

PIECE_BYTES = 2 * 1024 * 1024
"""Bytes that are extracted before a cancellation can take effect."""

_READ_BYTES = 256 * 1024


class Spool:
    """A file that an archive is written to as it comes.

    Attributes:
        size: Bytes written.
    """

    def __init__(
        self, fd: int, staged: StagedFiles, limits: ArchiveLimits, *, is_zip: bool = True
    ) -> None:
        """Write to an empty file.

        Args:
            fd: Its handle, which stays the caller's.
            staged: The files that will be staged, on the same file system.
            limits: The most that the archive may hold.
            is_zip: Whether the bytes have to begin like a zip archive.
        """
        self.size = 0
        self._fd = fd
        self._staged = staged
        self._limits = limits
        self._is_zip = is_zip

    def write(self, chunks: Iterable[bytes | memoryview]) -> None:
        """Write the next bytes.

        Raises:
            ProtocolError: The first ones are not the beginning of a zip archive.
            ArchiveLimitError: The archive is too large.
            DiskFullError: There is no room for them.
            StoreError: The file system refuses them.
        """
        try:
            for chunk in chunks:
                if self._is_zip and not self.size:
                    check_signature(chunk)
                self.size += len(chunk)
                self._limits.check_archive(self.size)
                self._staged.reserve(len(chunk))
                files.write(self._fd, chunk)
        except OSError as error:
            raise disk_errors.explain(
                error, "write", "the archive", task_id=self._staged.task_id, is_path=False
            ) from error


def extract_piece(fd: int, extractor: Extractor, stop: int) -> None:
    """Extract up to `PIECE_BYTES` of an archive in a file.

    Args:
        fd: The file's handle.
        extractor: It says where the next bytes are.
        stop: Offset after the last byte that it wants.

    Raises:
        ArchiveError: As `Extractor.feed`.
        DiskFullError: There is no room for the members.
        StoreError: The file system refuses them.
    """
    start = extractor.reader.position
    piece_stop = min(stop, start + PIECE_BYTES)
    for position in range(start, piece_stop, _READ_BYTES):
        extractor.feed([read_file_bytes(fd, position, min(position + _READ_BYTES, piece_stop))])
