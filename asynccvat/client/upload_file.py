"""A file as it was when it was looked at, read only while it still is so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from asynccvat.aio.threads import in_thread
from asynccvat.core.annotation_files import FileKind
from asynccvat.errors import AnnotationFileError

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class FileToSend:
    """A file to send.

    Attributes:
        path: Where it is read.
        shown: What the user knows it by.
        kind: What it is.
        size: Bytes.
        mtime_ns: When it was changed last, nanoseconds.
    """

    path: Path
    shown: Path
    kind: FileKind
    size: int
    mtime_ns: int

    @property
    def filename(self) -> str:
        """The name that the server is told: by its ending CVAT tells what it is."""
        return f"annotations.{self.kind.lower()}"

    async def whole(self) -> bytes:
        """All of it.

        Raises:
            AnnotationFileError: It was changed, or is gone.
        """
        try:
            content = await in_thread(self._read, 0, self.size + 1)
        except OSError as error:
            raise self._changed() from error
        await self.check_unchanged()
        return content

    async def pieces(self, offset: int, length: int) -> AsyncIterator[bytes]:
        """Yield so many bytes of it from an offset on, in pieces of a mebibyte.

        Raises:
            AnnotationFileError: It is shorter than it was.
            OSError: It cannot be read.
        """
        end = offset + length
        while offset < end:
            piece = await in_thread(self._read, offset, min(end - offset, _PIECE))
            if not piece:
                raise self._changed()
            offset += len(piece)
            yield piece

    async def check_unchanged(self) -> None:
        """Make sure that what was read is the file that was looked at, and one version of it.

        Raises:
            AnnotationFileError: It was changed, or is gone.
        """
        try:
            status = await in_thread(self.path.stat)
        except OSError as error:
            raise self._changed() from error
        if (status.st_size, status.st_mtime_ns) != (self.size, self.mtime_ns):
            raise self._changed()

    def _read(self, offset: int, count: int) -> bytes:
        # Opened for each piece: a call that breaks leaves the rest unread, and nothing open.
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(count)

    def _changed(self) -> AnnotationFileError:
        return AnnotationFileError(
            f"{self.shown} was changed while it was being uploaded, and nothing was imported: "
            "upload it again",
            step="upload",
        )
