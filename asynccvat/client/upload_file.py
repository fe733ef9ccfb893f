"""Read a file to upload, as long as it is unchanged since it was checked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from asynccvat.aio.threads import in_thread
from asynccvat.core.annotations.files import FileKind
from asynccvat.errors import AnnotationFileError

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class FileToSend:
    """A file to send.

    Attributes:
        path: Where it is read.
        shown: The path that the user knows.
        kind: XML, JSON or zip.
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
        """The name for the server. CVAT knows a file's kind by the end of its name."""
        return f"annotations.{self.kind.lower()}"

    async def whole(self) -> bytes:
        """Read the whole file.

        Raises:
            AnnotationFileError: It was changed, or is gone.
        """
        try:
            content = await self._read(0, self.size + 1)
        except OSError as error:
            raise self._changed() from error
        await self.check_unchanged()
        return content

    async def pieces(self, offset: int, length: int) -> AsyncIterator[bytes]:
        """Yield `length` bytes from an offset on, in pieces of a mebibyte.

        Raises:
            AnnotationFileError: The file is shorter than it was.
            OSError: It cannot be read.
        """
        end = offset + length
        while offset < end:
            piece = await self._read(offset, min(end - offset, _PIECE))
            if not piece:
                raise self._changed()
            offset += len(piece)
            yield piece

    async def check_unchanged(self) -> None:
        """Check that the file is unchanged, so that one version of it was read.

        Raises:
            AnnotationFileError: It was changed, or is gone.
        """
        try:
            status = await in_thread(self.path.stat)
        except OSError as error:
            raise self._changed() from error
        if (status.st_size, status.st_mtime_ns) != (self.size, self.mtime_ns):
            raise self._changed()

    async def _read(self, offset: int, count: int) -> bytes:
        """Read a piece in one thread call, which opens and closes the file.

        aiofiles takes four calls, and leaves the file open if the event loop ends between them.
        """

        def read() -> bytes:
            with self.path.open("rb") as file:
                file.seek(offset)
                return file.read(count)

        return await in_thread(read)

    def _changed(self) -> AnnotationFileError:
        return AnnotationFileError(
            f"cannot upload {str(self.shown)!r}: it was changed during the upload, so nothing was "
            "imported. Upload it again.",
            step="upload",
        )
