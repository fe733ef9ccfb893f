"""The files that clients sent for tasks, until their tasks are made of them.

`uploads` has files that arrive in pieces; `formats.task_data` reads complete ones.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import PurePosixPath

from asynccvat.simulator.queues.uploads import UploadedFile, UploadedFiles, append_piece
from asynccvat.simulator.world.media import StoredFile


class TaskFiles:
    """The files of each task, by name and in the order in which they were announced."""

    def __init__(self, uploads: UploadedFiles) -> None:
        """Start with none; `uploads` stores them."""
        self._uploads = uploads
        self._files: dict[int, dict[str, StoredFile | None]] = {}

    def of(self, task_id: int) -> dict[str, StoredFile | None]:
        """Return the files of a task; None for one that was announced and did not arrive."""
        return self._files.setdefault(task_id, {})

    def announce(self, task_id: int, name: str) -> None:
        """Note that a file will come, as CVAT does when an upload begins."""
        self.of(task_id).setdefault(name, None)

    def arrived(self, task_id: int, name: str, upload: UploadedFile) -> bool:
        """Move a complete upload to the files of the task.

        Returns:
            False for a name with a folder: CVAT has no such folder, and loses the file.
        """
        path = self._uploads.keep(upload)
        if len(PurePosixPath(name).parts) != 1:
            path.unlink()
            return False
        self.of(task_id)[name] = StoredFile(path, 0, upload.size)
        return True

    async def append(
        self, task_id: int, name: str, user_id: int, limit: int, body: AsyncIterator[bytes]
    ) -> None:
        """Store a file of a form; CVAT appends it to one of the same name.

        Raises:
            ConnectionResetError: The connection broke; what was stored before stays.
        """
        known = self.of(task_id).get(name)
        upload = self._uploads.begin("", user_id, limit)
        if known is not None:
            upload.path.write_bytes(known.read())
            upload.offset = known.size
        try:
            await append_piece(upload, body)
        except BaseException:
            self._uploads.discard(upload)
            raise
        path = self._uploads.keep(upload)
        self.of(task_id)[name] = StoredFile(path, 0, upload.offset)

    def forget(self, task_id: int) -> None:
        """Forget the files of a task that was made of them; its media stay on disk."""
        self._files.pop(task_id, None)
