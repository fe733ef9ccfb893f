"""Files that clients upload in pieces (TUS 1.0.0), until they are imported.

The files are in a temporary folder that is removed when the server stops. A piece counts only when
all of it has arrived: CVAT's application sees no part of a call whose body breaks off.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LARGEST_FILE: Final = 26_843_545_600
"""Bytes of the largest upload that CVAT takes."""

FILE_ID: Final = re.compile(r"\d+_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""The form of the ids of uploaded files."""

_WRITTEN_AT_ONCE: Final = 1 << 20


@dataclass(slots=True)
class UploadedFile:
    """A file that a client uploads.

    Attributes:
        id: The id by which the client names the file: the user's number and a random part.
        user_id: The user who sends it; other users may not.
        place: The path to which it is uploaded, such as `/api/tasks/3/annotations`.
        size: Its length in bytes.
        path: The file on disk.
        offset: Bytes that have arrived.
        name: The name that the client gave it, or "".
    """

    id: str
    user_id: int
    place: str
    size: int
    path: Path
    offset: int = 0
    name: str = ""

    @property
    def complete(self) -> bool:
        """Whether all of it has arrived."""
        return self.offset == self.size


class UploadedFiles:
    """The uploads that have begun and are not imported yet."""

    def __init__(self) -> None:
        """Start with no files; the first one creates the folder."""
        self._files: dict[str, UploadedFile] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __len__(self) -> int:
        """Number of files, complete or not."""
        return len(self._files)

    def _place(self) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="simulated-cvat-uploads-")
        return Path(self._folder.name)

    def new_folder(self) -> Path:
        """Make a folder that is removed with the files when the server stops."""
        return Path(tempfile.mkdtemp(prefix="bucket-", dir=self._place()))

    def begin(self, place: str, user_id: int, size: int) -> UploadedFile:
        """Begin an upload of `size` bytes with an empty file."""
        file_id = f"{user_id}_{uuid.uuid4()}"
        path = self._place() / file_id
        path.touch()
        upload = self._files[file_id] = UploadedFile(file_id, user_id, place, size, path)
        return upload

    def find(self, place: str, file_id: str) -> UploadedFile | None:
        """Return the file of that id, if it is uploaded to that place."""
        upload = self._files.get(file_id)
        return upload if upload is not None and upload.place == place else None

    def rename(self, file_id: str, name: str) -> None:
        """Note the name that the client gave the file of that id."""
        self._files[file_id].name = name

    def keep(self, upload: UploadedFile) -> Path:
        """Take a file out of the uploads, and keep it on disk: the media of a task lie in it.

        Returns:
            The file, which is removed with all others when the server stops.
        """
        self._files.pop(upload.id, None)
        return upload.path

    def discard(self, upload: UploadedFile) -> None:
        """Remove the file."""
        self._files.pop(upload.id, None)
        upload.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove all files."""
        self._files.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


async def append_piece(upload: UploadedFile, body: AsyncIterator[bytes]) -> bool:
    """Append a piece to an upload.

    Nothing of the piece counts if its body breaks off.

    Returns:
        Whether the piece fits; nothing counts of a piece longer than the rest of the file.
    """
    offset = upload.offset
    waiting = bytearray()
    with await asyncio.to_thread(upload.path.open, "r+b") as file:
        file.seek(offset)
        async for piece in body:
            waiting += piece
            offset += len(piece)
            if offset > upload.size:
                return False
            if len(waiting) >= _WRITTEN_AT_ONCE:
                await asyncio.to_thread(file.write, bytes(waiting))
                waiting.clear()
        await asyncio.to_thread(file.write, bytes(waiting))
    upload.offset = offset
    return True
