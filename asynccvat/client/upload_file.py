"""What is uploaded: any source of bytes, or a file that is unchanged since it was checked.

`client.tus` sends a source in pieces. It may read a part of it twice, after a break.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from asynccvat.aio.threads import in_thread
from asynccvat.core.annotations.files import FileKind
from asynccvat.errors import AnnotationFileError, UploadError

_PIECE = 1 << 20


class ByteSource(Protocol):
    """Bytes to send: a file, an archive made as it is sent, or one read from another server."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        ...

    @property
    def filename(self) -> str:
        """The name for the server. CVAT knows a file's kind by the end of its name."""
        ...

    @property
    def shown(self) -> object:
        """What messages call it, such as the path that the user knows."""
        ...

    def pieces(self, offset: int, length: int) -> AsyncIterator[bytes]:
        """Yield `length` bytes from an offset on. The same offset gives the same bytes again.

        Raises:
            AsyncCvatError: They cannot be read, or are no longer the same.
        """
        ...

    async def check_unchanged(self) -> None:
        """Check that it is unchanged, so that one version of it is sent.

        Raises:
            AsyncCvatError: It was changed, or is gone.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A file to send, as it was when it was checked.

    Attributes:
        path: Where it is read.
        shown: The path that the user knows.
        size: Bytes.
        mtime_ns: When it was changed last, nanoseconds.
    """

    path: Path
    shown: Path
    size: int
    mtime_ns: int

    @property
    def filename(self) -> str:
        """The name for the server."""
        return self.path.name

    async def whole(self) -> bytes:
        """Read the whole file.

        Raises:
            UploadError: It was changed, or is gone.
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
            UploadError: The file is shorter than it was.
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
            UploadError: It was changed, or is gone.
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

    def _changed(self) -> UploadError:
        return UploadError(
            f"cannot upload {str(self.shown)!r}: it was changed during the upload, so the server "
            "was not told to use it. Run again.",
            step="upload",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FileToSend(LocalFile):
    """A file of annotations to send.

    Attributes:
        path: Where it is read.
        shown: The path that the user knows.
        kind: XML, JSON or zip.
        size: Bytes.
        mtime_ns: When it was changed last, nanoseconds.
    """

    kind: FileKind

    @property
    def filename(self) -> str:
        """The name for the server. CVAT knows a file's kind by the end of its name."""
        return f"annotations.{self.kind.lower()}"

    def _changed(self) -> AnnotationFileError:
        return AnnotationFileError(
            f"cannot upload {str(self.shown)!r}: it was changed during the upload, so nothing was "
            "imported. Upload it again.",
            step="upload",
        )
