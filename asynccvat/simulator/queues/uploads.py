"""Files that clients upload in pieces (TUS 1.0.0), until they are imported.

They lie in a folder of the server's own, which goes with it. A piece counts when all of it has
come: CVAT's application sees no part of a call whose body breaks off.
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
"""What the ids of uploaded files look like."""

_WRITTEN_AT_ONCE: Final = 1 << 20


@dataclass(slots=True)
class Upload:
    """A file on its way.

    Attributes:
        id: What the client calls it from now on: the user's number and a random part.
        user_id: Who sends it; nobody else may.
        place: What it is for, as `/api/tasks/3/annotations`.
        size: Its length in bytes.
        path: Where it lies.
        offset: So many bytes have come.
    """

    id: str
    user_id: int
    place: str
    size: int
    path: Path
    offset: int = 0

    @property
    def complete(self) -> bool:
        """Whether all of it has come."""
        return self.offset == self.size


class Uploads:
    """The files that were begun and are not imported yet."""

    def __init__(self) -> None:
        """Hold none; the folder is made with the first."""
        self._files: dict[str, Upload] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __len__(self) -> int:
        """How many files it holds, whole or not."""
        return len(self._files)

    def begin(self, place: str, user_id: int, size: int) -> Upload:
        """Make an empty file for `size` bytes."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="simulated-cvat-uploads-")
        file_id = f"{user_id}_{uuid.uuid4()}"
        path = Path(self._folder.name, file_id)
        path.touch()
        upload = self._files[file_id] = Upload(file_id, user_id, place, size, path)
        return upload

    def find(self, place: str, file_id: str) -> Upload | None:
        """The file of that id, if it is for that place."""
        upload = self._files.get(file_id)
        return upload if upload is not None and upload.place == place else None

    def discard(self, upload: Upload) -> None:
        """Remove the file."""
        self._files.pop(upload.id, None)
        upload.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove all files."""
        self._files.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


async def receive(upload: Upload, body: AsyncIterator[bytes]) -> bool:
    """Append a piece: all of it or, when the body breaks off, nothing.

    Returns:
        Whether it fits; of a longer piece than the rest of the file nothing is kept.
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
