"""Fit annotations as JSON to another task than the one that they were read of.

The folder of a mirror as JSON names the labels and frames that its annotations mean.
`core.convert.translate` finds those of the other task.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient, internals
from asynccvat.commands.upload.local_files import explained
from asynccvat.core.annotations.json_files import FRAMES, LABELS
from asynccvat.core.convert.translate import TaskSide, translate
from asynccvat.core.decoding import UNREADABLE
from asynccvat.errors import AnnotationFileError, AsyncCvatError

# What `translate` raises for values that are not where CVAT's JSON has them.
_MALFORMED = (AttributeError, IndexError, KeyError, TypeError)


async def fitted(client: CvatClient, task_id: int, file: Path, content: bytes) -> bytes:
    """Return annotations with the labels, attributes and frames of a task.

    Args:
        client: The server.
        task_id: The task.
        file: Their file. If `labels.json` lies next to it, they are translated; they stay as they
            are otherwise. `frames.json` may lie there, too.
        content: The annotations.

    Raises:
        ForeignAnnotationsError: The task lacks a label, an attribute or a frame.
        AnnotationFileError: A file cannot be read.
        AsyncCvatError: The server cannot be asked.
    """
    source = await in_thread(_side_of, file.parent)
    if source is None:
        return content
    calls = internals(client).json_calls
    labels = await calls.labels(task_id=task_id)
    media = None if source.media is None else await calls.data_meta(task_id)

    def translated() -> bytes:
        target = TaskSide(labels, None if media is None else msgspec.json.decode(media))
        try:
            return translate(content, source, target)
        except _MALFORMED as error:
            raise AnnotationFileError(
                f"cannot upload {str(file)!r}: it is not CVAT's JSON ({error!r}). Make it again, "
                "or mirror the task."
            ) from error

    try:
        return await in_thread(translated)
    except AsyncCvatError as error:
        error.task_id = task_id
        raise


def _side_of(folder: Path) -> TaskSide | None:
    """Return the labels and frames that a folder names, None if it names no labels."""
    if not (folder / LABELS).is_file():
        return None
    has_frames = (folder / FRAMES).is_file()
    return TaskSide(_read(folder / LABELS), _read(folder / FRAMES) if has_frames else None)


def _read(path: Path) -> Any:
    with explained(path):
        content = path.read_bytes()
    try:
        return msgspec.json.decode(content)
    except UNREADABLE as error:
        raise AnnotationFileError(
            f"cannot read {str(path)!r}: {error}. Mirror the task again."
        ) from error
