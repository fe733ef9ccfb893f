"""Read uploaded annotation files: which reader serves which format.

A file is read as CVAT's importer of that name reads it: a zip or, if the importer takes it, a bare
XML or JSON. Failures have CVAT's words, as far as these are known.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from asynccvat.simulator.formats.box_readers import read_darknet, read_ultralytics, read_voc
from asynccvat.simulator.formats.collector import AnnotationCollector, ImporterError
from asynccvat.simulator.formats.cvat_xml_reader import read_cvat_xml
from asynccvat.simulator.formats.json_readers import read_coco, read_datumaro
from asynccvat.simulator.world.annotations import Annotations
from asynccvat.simulator.world.tasks import Task

__all__ = ["READ_FORMATS", "ImporterError", "read_annotations"]

Reader = Callable[[Path, AnnotationCollector], None]

# With the `source` that CVAT gives to the annotations.
_READERS: Final[dict[str, tuple[str, Reader]]] = {
    "CVAT 1.1": ("file", read_cvat_xml),
    "COCO 1.0": ("manual", read_coco),
    "Datumaro 1.0": ("manual", read_datumaro),
    "PASCAL VOC 1.1": ("manual", read_voc),
    "YOLO 1.1": ("manual", read_darknet),
    "Ultralytics YOLO Detection 1.0": ("manual", read_ultralytics),
}

READ_FORMATS: Final = tuple(_READERS)
"""The importers whose files the simulator reads, by CVAT's names."""


def read_annotations(path: Path, format_name: str, task: Task, ids: Iterator[int]) -> Annotations:
    """Return the annotations that an uploaded file has for a task.

    Args:
        path: The file.
        format_name: The importer's name, exactly.
        task: The task; it has data.
        ids: Numbers for the annotations.

    Raises:
        ImporterError: The file is not of this format, or does not fit the task.
    """
    if format_name not in _READERS:
        raise ImporterError(
            f"The simulator does not read {format_name}, only {', '.join(READ_FORMATS)}\n"
        )
    source, reader = _READERS[format_name]
    collector = AnnotationCollector(task, ids, source)
    try:
        reader(path, collector)
    except zipfile.BadZipFile as error:
        raise ImporterError(f"zipfile.BadZipFile: {error}\n") from error
    return collector.annotations
