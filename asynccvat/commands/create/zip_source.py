"""Send images as one stored zip, which is made while it is sent.

No zip is written to the disk. The same files give the same bytes each time, so an upload continues
at any offset, also in another process. `core.zip.stored` lays the zip out.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from isal import isal_zlib

from asynccvat.aio.threads import in_thread
from asynccvat.core.plans.create_units import ListedFile
from asynccvat.core.zip.stored import Part, PartKind, StoredMember, StoredZip
from asynccvat.errors import UploadError

_PIECE = 1 << 20
_UNKNOWN = -1


@dataclass(slots=True)
class _Running:
    """The CRC-32 of a member as far as it was read in order."""

    member: int = _UNKNOWN
    offset: int = 0
    crc: int = 0


class ZipOfFiles:
    """A zip of local files. `client.upload_file.ByteSource` describes it.

    Attributes:
        size: Bytes.
        filename: The name for the server.
        shown: What messages call it.
    """

    def __init__(self, root: Path, files: Sequence[ListedFile], *, folder: str, shown: str) -> None:
        """Prepare a zip.

        Args:
            root: The folder that the files' paths begin in.
            files: The files, as they were listed.
            folder: What is cut off the paths for the names in the zip.
            shown: What messages call it.
        """
        self._root = root
        self._files = files
        self._layout = StoredZip(
            [StoredMember(file.path.removeprefix(folder), file.size) for file in files]
        )
        # 64 bits: a CRC-32, or -1 for one that is not known yet.
        self._crcs = array("q", [_UNKNOWN]) * len(files)
        self._running = _Running()
        self.size = self._layout.size
        self.filename = "images.zip"
        self.shown = shown

    async def pieces(self, offset: int, length: int) -> AsyncIterator[bytes]:
        """Yield `length` bytes from an offset on, in pieces of about a mebibyte.

        Raises:
            UploadError: A file was changed since it was listed, or cannot be read.
        """
        end = offset + length
        while offset < end:
            piece = await in_thread(self._read, offset, min(end - offset, _PIECE))
            offset += len(piece)
            yield piece

    async def check_unchanged(self) -> None:
        """Check that all files are as they were listed.

        Raises:
            UploadError: One was changed, or is gone.
        """
        await in_thread(self._check_all)

    def _check_all(self) -> None:
        for file in self._files:
            try:
                status = (self._root / file.path).stat()
            except OSError as error:
                _raise_changed(file, error)
            if (status.st_size, status.st_mtime_ns) != (file.size, file.mtime_ns):
                _raise_changed(file)

    def _read(self, offset: int, count: int) -> bytes:
        """Return bytes from an offset on: many small parts in one call."""
        found: list[bytes] = []
        while count:
            place = self._layout.locate(offset)
            part = self._part(place, min(place.left, count))
            found.append(part)
            offset += len(part)
            count -= len(part)
        return b"".join(found)

    def _part(self, place: Part, count: int) -> bytes:
        layout, number = self._layout, place.member
        match place.kind:
            case PartKind.DATA:
                return self._data(number, place.within, count)
            case PartKind.HEADER:
                whole = layout.header(number)
            case PartKind.DESCRIPTOR:
                whole = layout.descriptor(number, self._crc(number))
            case PartKind.ENTRY:
                whole = layout.entry(number, self._crc(number))
            case _:
                whole = layout.end()
        return whole[place.within : place.within + count]

    def _data(self, number: int, offset: int, count: int) -> bytes:
        file = self._files[number]
        data = self._bytes_of(file, offset, count)
        running = self._running
        if offset == 0:
            running.member, running.offset, running.crc = number, 0, 0
        if (running.member, running.offset) == (number, offset):
            running.crc = isal_zlib.crc32(data, running.crc)
            running.offset += len(data)
            if running.offset == file.size:
                self._crcs[number] = running.crc
        return data

    def _crc(self, number: int) -> int:
        """Return a member's CRC-32. One that was sent by an earlier process is read again."""
        if self._crcs[number] == _UNKNOWN:
            file = self._files[number]
            crc = 0
            for offset in range(0, file.size, _PIECE):
                data = self._bytes_of(file, offset, min(_PIECE, file.size - offset))
                crc = isal_zlib.crc32(data, crc)
            self._crcs[number] = crc
        return self._crcs[number]

    def _bytes_of(self, file: ListedFile, offset: int, count: int) -> bytes:
        try:
            with (self._root / file.path).open("rb", buffering=0) as opened:
                opened.seek(offset)
                data = opened.read(count)
        except OSError as error:
            _raise_changed(file, error)
        if len(data) != count:
            _raise_changed(file)
        return data


def _raise_changed(file: ListedFile, error: OSError | None = None) -> NoReturn:
    what = "was changed" if error is None else f"cannot be read ({error.strerror})"
    raise UploadError(
        f"cannot send {file.path!r}: it {what} during the upload, so no task was made of it. Run "
        "again.",
        step="upload",
    ) from error
