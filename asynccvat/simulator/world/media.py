"""Media that clients sent: files on disk, and the frames that CVAT made of them.

`content` has the media of generated tasks, which exist only as a seed. `formats.task_data` reads
uploaded files, and `queues.uploads` holds them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from asynccvat.simulator.world.content import Frame

_STEP: Final = re.compile(r"step\s*=\s*([1-9]\d*)")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Bytes on disk: `size` of them, from `start` of the file at `path`.

    A stored member of a zip is such a part of the zip, so nothing needs to be unpacked.
    """

    path: Path
    start: int
    size: int

    def read(self, offset: int = 0, length: int | None = None) -> bytes:
        """Return the bytes, or `length` of them from `offset`."""
        left = max(0, self.size - offset)
        with self.path.open("rb") as file:
            file.seek(self.start + offset)
            return file.read(left if length is None else min(left, length))


@dataclass(frozen=True, slots=True)
class DetachedFile:
    """A file of a lightweight backup: it lies in a cloud storage that the task does not know."""

    name: str

    def read(self) -> bytes:
        """Fail: the bytes are not here.

        Raises:
            FileNotFoundError: Always.
        """
        raise FileNotFoundError(f"{self.name} lies in a cloud storage that is not attached")


@dataclass(frozen=True, slots=True)
class TaskMedia:
    """The media of one task.

    Attributes:
        frames: The frames of the task, after start, stop and step.
        originals: The files as they were sent, by name, also those that are no frames; a zip
            of images counts as its images.
        video: The name of the video, or None for images.
        start_frame: The first frame of the originals that the task has.
        stop_frame: The last one that it may have.
        frame_filter: Which of those between, such as `step=2`; "" for all.
        storage: Where CVAT says that the originals lie.
        cloud_storage_id: The cloud storage that has them, or None.
    """

    frames: tuple[Frame, ...]
    originals: tuple[tuple[str, StoredFile], ...]
    video: str | None = None
    start_frame: int = 0
    stop_frame: int = 0
    frame_filter: str = ""
    storage: Literal["local", "cloud_storage", "share"] = "local"
    cloud_storage_id: int | None = None

    @property
    def step(self) -> int:
        """Every how many frames of the originals one is used."""
        found = _STEP.search(self.frame_filter)
        return int(found[1]) if found else 1
