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
from asynccvat.core.format_names import (
    KNOWN_FORMATS,
    is_importer_of_cvat,
    means_json,
    meant_formats,
    short_names,
)
from asynccvat.core.specs import COCO, CVAT, CVAT_IMAGES, CVAT_VIDEO
from asynccvat.errors import ConfigError


def _cvat_images(source: TaskJson) -> Iterator[ConvertedFile]:
    yield ConvertedFile("annotations.xml", cvat_images_xml(source))


def _cvat_video(source: TaskJson) -> Iterator[ConvertedFile]:
    yield ConvertedFile("annotations.xml", cvat_video_xml(source))


def _coco(source: TaskJson) -> Iterator[ConvertedFile]:
    yield ConvertedFile(f"annotations/instances_{source.subset}.json", coco_json(source))


def _datumaro(source: TaskJson) -> Iterator[ConvertedFile]:
    yield ConvertedFile(f"annotations/{source.subset}.json", datumaro_json(source))


_VOC: Final = "PASCAL VOC 1.1"
_ULTRALYTICS: Final = "Ultralytics YOLO Detection 1.0"

_WRITERS: Final[Mapping[str, Callable[[TaskJson], Iterator[ConvertedFile]]]] = {
    CVAT_IMAGES: _cvat_images,
    CVAT_VIDEO: _cvat_video,
    COCO: _coco,
    "Datumaro 1.0": _datumaro,
    _VOC: voc_files,
    _ULTRALYTICS: ultralytics_files,
    "YOLO 1.1": yolo_files,
}

CONVERTED_FORMATS: Final = tuple(_WRITERS)
"""CVAT's names of the formats that `convert_task` writes."""


def find_format(given: str) -> str:
    """Return the name of the format that a user means: `coco` is `COCO 1.0`.

    Returns:
        One of `CONVERTED_FORMATS`, or `CVAT`, which is CVAT's XML for the media of each task.

    Raises:
        ConfigError: None is meant, or several are.
    """
    names = (CVAT, *CONVERTED_FORMATS)
    # The importer's name means both flavours, too.
    found = (CVAT,) if is_importer_of_cvat(given) else meant_formats(given, names)
    if len(found) != 1:
        raise ConfigError(f"cannot convert to {given!r}: {_why_not(given)}")
    return found[0]


def _why_not(given: str) -> str:
    """Say why a text names no format of conversions, and what to do."""
    choice = f"one of {', '.join(convertible_names())}"
    if means_json(given):
        return f"the mirror holds that already. Choose {choice}."
    exported = meant_formats(given, KNOWN_FORMATS)
    if len(exported) == 1:
        return (
            f"only the server writes {exported[0]!r}. Export the tasks into another folder with "
            f'`asynccvat mirror --format "{exported[0]}"`, or choose {choice}.'
        )
    if exported:
        *first, last = map(repr, exported)
        return (
            f"only the server writes {', '.join(first)} and {last}. Export the tasks into another "
            f"folder with `asynccvat mirror --format` and one of them, or choose {choice}."
        )
    return f"there is no such format. Choose {choice}."


def convertible_names() -> dict[str, str]:
    """Return the exact name of each format by a word for it, such as `coco`."""
    names = (CVAT, *CONVERTED_FORMATS)
    words = {**short_names(names), "ultralytics": _ULTRALYTICS, "voc": _VOC}
    # The first word for a format is the long one.
    shortest = {name: word for word, name in words.items()}
    return {shortest[name]: name for name in names}


def wanted_format(source: TaskJson, name: str) -> str:
    """Return the format of a task: for `CVAT` the flavour for images or for videos."""
    if name != CVAT:
        return name
    return CVAT_VIDEO if source.is_video else CVAT_IMAGES


def convert_task(source: TaskJson, format_name: str) -> Iterator[ConvertedFile]:
    """Write the annotation files that the server would export of a task.

    Read the chunks of each file before you ask for the next file.

    Args:
        source: The task.
        format_name: One of `CONVERTED_FORMATS`.

    Raises:
        InexactConversionError: It is not known how CVAT exports the task. This may come after some
            chunks.
    """
    return _WRITERS[format_name](source)
