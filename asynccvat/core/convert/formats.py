"""Name the formats that can be written without the server, and write the files of a task.

`comparable` says what the JSON lacks for files that are the same to the last byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from asynccvat.core.convert.coco import coco_json
from asynccvat.core.convert.cvat_images import cvat_images_xml
from asynccvat.core.convert.cvat_video import cvat_video_xml
from asynccvat.core.convert.datumaro import datumaro_json
from asynccvat.core.convert.files import ConvertedFile
from asynccvat.core.convert.task_json import TaskJson
from asynccvat.core.convert.voc import voc_files
from asynccvat.core.convert.yolo import ultralytics_files, yolo_files
from asynccvat.core.texts import first_few
from asynccvat.errors import ConfigError


def _cvat_images(source: TaskJson) -> Iterator[ConvertedFile]:
    yield ConvertedFile("annotations.xml", cvat_images_xml(source))


def _cvat_video(source: TaskJson) -> Iterator[ConvertedFile]:
    yield ConvertedFile("annotations.xml", cvat_video_xml(source))


def _coco(source: TaskJson) -> Iterator[ConvertedFile]:
    yield ConvertedFile(f"annotations/instances_{source.subset}.json", coco_json(source))


def _datumaro(source: TaskJson) -> Iterator[ConvertedFile]:
    yield ConvertedFile(f"annotations/{source.subset}.json", datumaro_json(source))


_WRITERS: Final[Mapping[str, Callable[[TaskJson], Iterator[ConvertedFile]]]] = {
    "CVAT for images 1.1": _cvat_images,
    "CVAT for video 1.1": _cvat_video,
    "COCO 1.0": _coco,
    "Datumaro 1.0": _datumaro,
    "PASCAL VOC 1.1": voc_files,
    "Ultralytics YOLO Detection 1.0": ultralytics_files,
    "YOLO 1.1": yolo_files,
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
