"""Name the formats that can be written without the server, and write the files of a task.

`comparable` says what the JSON lacks for files that are the same to the last byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from asynccvat.core.convert.coco import coco_json
from asynccvat.core.convert.cvat_images import cvat_images_xml
from asynccvat.core.convert.cvat_video import cvat_video_xml
from asynccvat.core.convert.task_json import TaskJson
from asynccvat.core.texts import first_few
from asynccvat.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ConvertedFile:
    """One file of a converted task.

    Attributes:
        path: Its path in the archive that the server would export.
        chunks: Its bytes, which are made while they are read.
    """

    path: str
    chunks: Iterator[bytes]


def _cvat_images(source: TaskJson) -> Iterator[ConvertedFile]:
    yield ConvertedFile("annotations.xml", cvat_images_xml(source))


def _cvat_video(source: TaskJson) -> Iterator[ConvertedFile]:
    yield ConvertedFile("annotations.xml", cvat_video_xml(source))


def _coco(source: TaskJson) -> Iterator[ConvertedFile]:
    yield ConvertedFile(f"annotations/instances_{source.subset}.json", coco_json(source))


_WRITERS: Final[Mapping[str, Callable[[TaskJson], Iterator[ConvertedFile]]]] = {
    "CVAT for images 1.1": _cvat_images,
    "CVAT for video 1.1": _cvat_video,
    "COCO 1.0": _coco,
}

CONVERTED_FORMATS: Final = tuple(_WRITERS)
"""CVAT's names of the formats that `convert_task` writes."""


def convert_task(source: TaskJson, format_name: str) -> Iterator[ConvertedFile]:
    """Write the annotation files that the server would export of a task.

    Read the chunks of each file before you ask for the next file.

    Args:
        source: The task.
        format_name: One of `CONVERTED_FORMATS`.

    Raises:
        ConfigError: The format is not one of them.
        InexactConversionError: It is not known how CVAT exports the task. This may come after some
            chunks.
    """
    write = _WRITERS.get(format_name)
    if write is None:
        raise ConfigError(
            f"cannot convert to {format_name!r}: only the server writes it. "
            f"Choose one of {first_few(CONVERTED_FORMATS)}, or export the tasks."
        )
    return write(source)
