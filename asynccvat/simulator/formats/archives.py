"""The archives that exports give: which members, where, and how they are stored.

The layouts are those of a CVAT server 2.54, and so is the form: every member stored, sizes and CRC
in the local headers (no data descriptors), the UTF-8 flag on names beyond ASCII, no entries for
directories, entry times those of the export. The text of the annotation files is the business of
`annotation_files` and `cvat_xml`.
"""

from __future__ import annotations

import io
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from asynccvat.simulator.formats.cvat_xml_writer import Origin, cvat_images_xml, cvat_video_xml
from asynccvat.simulator.formats.json_writers import (
    Drawn,
    coco_json,
    datumaro_json,
    draw,
    item_id,
    voc_label_map,
    voc_xml,
    yolo_labels,
    yolo_yaml,
)
from asynccvat.simulator.world.annotations import Label
from asynccvat.simulator.world.tasks import Project, Task

_FRAME_BYTES: Final = 30_000
"""About the bytes of a drawn frame."""
_DEFAULT_URL: Final = "http://127.0.0.1:8080"


class ExportUnavailableError(Exception):
    """An export that the server accepts and then fails; the message is the request's message."""


@dataclass(frozen=True, slots=True)
class _Export:
    """What the writers of a format's members need to know."""

    origin: Origin
    drawn: list[Drawn]
    save_images: bool

    @property
    def labels(self) -> tuple[Label, ...]:
        labels = (label for task in self.origin.tasks for label in task.labels)
        return tuple(dict.fromkeys(labels))

    @property
    def subsets(self) -> dict[str, list[Drawn]]:
        """The frames of each subset."""
        subsets: dict[str, list[Drawn]] = {}
        for one in self.drawn:
            subsets.setdefault(one.subset, []).append(one)
        return subsets

    def images(self, drawn: list[Drawn], folder: str) -> _Members:
        """The images in the order of a file system's hashed directory: arbitrary, but lasting."""
        if self.save_images:
            frames = [one.frame for one in drawn]
            for frame in sorted(frames, key=lambda frame: zlib.crc32(frame.name.encode())):
                yield folder + frame.name, frame.data


_Members = Iterator[tuple[str, Callable[[], bytes]]]
"""Name and content of each member; the content is made when its turn has come."""


def _cvat_images(export: _Export) -> _Members:
    yield "annotations.xml", lambda: cvat_images_xml(export.origin, export.drawn).encode()
    yield from _cvat_media(export)


def _cvat_video(export: _Export) -> _Members:
    yield "annotations.xml", lambda: cvat_video_xml(export.origin, export.drawn).encode()
    yield from _cvat_media(export)


def _cvat_media(export: _Export) -> _Members:
    if export.origin.project is None:
        yield from export.images(export.drawn, "images/")
        return
    for subset, drawn in export.subsets.items():
        yield from export.images(drawn, f"images/{subset}/")


def _coco(export: _Export) -> _Members:
    for subset, drawn in export.subsets.items():
        yield from export.images(drawn, f"images/{subset}/")
        text = coco_json(export.labels, drawn)
        yield f"annotations/instances_{subset}.json", text.encode


def _datumaro(export: _Export) -> _Members:
    for subset, drawn in export.subsets.items():
        yield from export.images(drawn, f"images/{subset}/")
        text = datumaro_json(export.labels, drawn)
        yield f"annotations/{subset}.json", text.encode


def _voc(export: _Export) -> _Members:
    yield "labelmap.txt", voc_label_map(export.labels).encode
    for subset, drawn in export.subsets.items():
        ids = "".join(f"{item_id(one.frame)}\n" for one in drawn)
        yield f"ImageSets/Main/{subset}.txt", ids.encode
        yield from export.images(drawn, "JPEGImages/")
        for one in drawn:
            text = voc_xml(one, save_images=export.save_images)
            yield f"Annotations/{item_id(one.frame)}.xml", text.encode


def _yolo(export: _Export) -> _Members:
    # This format calls the frames of no subset "train".
    subsets = {
        "train" if name == "default" else name: drawn for name, drawn in export.subsets.items()
    }
    for subset, drawn in subsets.items():
        paths = "".join(f"data/images/{subset}/{one.frame.name}\n" for one in drawn)
        yield f"{subset}.txt", paths.encode
    yield "data.yaml", yolo_yaml(subsets, export.labels).encode
    for subset, drawn in subsets.items():
        yield from export.images(drawn, f"images/{subset}/")
        for one in drawn:
            text = yolo_labels(export.labels, one)
            yield f"labels/{subset}/{item_id(one.frame)}.txt", text.encode


_WRITERS: Final[dict[str, Callable[[_Export], _Members]]] = {
    "CVAT for images 1.1": _cvat_images,
    "CVAT for video 1.1": _cvat_video,
    "COCO 1.0": _coco,
    "Datumaro 1.0": _datumaro,
    "PASCAL VOC 1.1": _voc,
    "Ultralytics YOLO Detection 1.0": _yolo,
}

WRITTEN_FORMATS: Final = tuple(_WRITERS)
"""The formats that generated tasks can be exported in, by CVAT's names."""


def export_archive(
    task: Task | Sequence[Task],
    format_name: str,
    save_images: bool,
    *,
    project: Project | None = None,
    exported_at: datetime | None = None,
    base_url: str = _DEFAULT_URL,
) -> bytes:
    """The archive of an export, in memory; see `write_archive`.

    Raises:
        ExportUnavailableError: As for `write_archive`.
    """
    stream = io.BytesIO()
    write_archive(
        stream,
        task,
        format_name,
        save_images,
        project=project,
        exported_at=exported_at,
        base_url=base_url,
    )
    return stream.getvalue()


def write_archive(
    stream: BinaryIO,
    task: Task | Sequence[Task],
    format_name: str,
    save_images: bool,
    *,
    project: Project | None = None,
    exported_at: datetime | None = None,
    base_url: str = _DEFAULT_URL,
) -> None:
    """Write the archive of an export to a seekable binary stream, one image in memory at a time.

    The same arguments give the same bytes; a later `exported_at` changes the entry times and the
    date inside a CVAT XML, as a cold export does, and never an image.

    Args:
        stream: Where to; it stays open.
        task: A task with data, or one with ready archives, whose very bytes are written; or the
            tasks of a project, of which those without data are left out.
        format_name: CVAT's name of the format, exactly.
        save_images: With the frames.
        project: The project, where that is exported and not a task.
        exported_at: Timezone-aware time of the export; None for now.
        base_url: Origin of the server, for the links in a CVAT XML.

    Raises:
        ExportUnavailableError: The task has no data, or no ready archive of that kind, or the
            simulator does not write that format.
    """
    tasks = (task,) if isinstance(task, Task) else tuple(task)
    if len(tasks) == 1 and tasks[0].ready:
        with ready_archive(tasks[0], format_name, save_images).open("rb") as source:
            shutil.copyfileobj(source, stream, 1 << 20)
        return
    with_data = tuple(one for one in tasks if one.size is not None)
    if not with_data:
        # What CVAT 2.54 answers, word for word.
        raise ExportUnavailableError(
            "AttributeError: 'NoneType' object has no attribute 'validation_mode'\n"
        )
    if format_name not in _WRITERS:
        raise ExportUnavailableError(
            f"The simulator does not write {format_name}, only {', '.join(WRITTEN_FORMATS)}\n"
        )
    when = exported_at or datetime.now(UTC)
    export = _Export(Origin(with_data, project, when, base_url), draw(with_data), save_images)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in _WRITERS[format_name](export):
            archive.writestr(_entry(name, when), content())


def ready_archive(
    task: Task,
    format_name: str,
    save_images: bool,
) -> Path:
    """The ready archive of a task that fits best: one of that very kind, else one of any kind.

    Raises:
        ExportUnavailableError: None fits.
    """
    fitting = [
        ready
        for ready in task.ready
        if ready.format_name in (format_name, None) and ready.save_images in (save_images, None)
    ]
    if not fitting:
        raise ExportUnavailableError(
            f"There is no ready archive of task {task.id} in {format_name} "
            f"{'with' if save_images else 'without'} images\n"
        )
    best = min(fitting, key=lambda ready: (ready.format_name is None, ready.save_images is None))
    return best.path


def media_bytes(task: Task, format_name: str) -> int:
    """About how many bytes of images an archive of a task with images holds."""
    if task.ready:
        return ready_archive(task, format_name, True).stat().st_size
    return len(task.exported_frames()) * (task.content.frame_bytes or _FRAME_BYTES)


def _entry(name: str, when: datetime) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, (*when.timetuple()[:5], when.second // 2 * 2))
    entry.create_system = 3  # Unix, whichever system the simulator runs on
    entry.external_attr = 0o100644 << 16
    return entry
