"""Write the archives that exports produce: which members, where, and how they are stored.

Layout and form are those of CVAT 2.54. Every member is stored. Local headers have sizes and CRC,
without data descriptors. Names beyond ASCII have the UTF-8 flag. Folders have no entries, and entry
times are those of the export. `cvat_xml_writer`, `json_writers` and `box_writers` write the
annotation files inside.
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

from asynccvat.simulator.formats.box_writers import (
    voc_label_map,
    voc_xml,
    yolo_labels,
    yolo_yaml,
)
from asynccvat.simulator.formats.cvat_xml_writer import (
    ExportSource,
    cvat_images_xml,
    cvat_video_xml,
)
from asynccvat.simulator.formats.frames import AnnotatedFrame, annotated_frames
from asynccvat.simulator.formats.json_writers import coco_json, datumaro_json
from asynccvat.simulator.formats.kitti_writer import kitti_tracklets
from asynccvat.simulator.world.annotations import Label
from asynccvat.simulator.world.tasks import Project, Task

NO_DATA: Final = "AttributeError: 'NoneType' object has no attribute 'validation_mode'\n"
"""What CVAT 2.54 answers, word for word, to the export of a task without data."""

_FRAME_BYTES: Final = 30_000
"""Approximate bytes of a frames frame."""

_DEFAULT_URL: Final = "http://127.0.0.1:8080"


class ExportUnavailableError(Exception):
    """An export that the server accepts and then fails.

    The error's text is the message of the failed request.
    """


@dataclass(frozen=True, slots=True)
class _ArchiveContent:
    """What the writers of a format's members need to know."""

    source: ExportSource
    frames: list[AnnotatedFrame]
    save_images: bool

    @property
    def labels(self) -> tuple[Label, ...]:
        labels = (label for task in self.source.tasks for label in task.labels)
        return tuple(dict.fromkeys(labels))

    @property
    def subsets(self) -> dict[str, list[AnnotatedFrame]]:
        """The frames of each subset, by its name."""
        subsets: dict[str, list[AnnotatedFrame]] = {}
        for one in self.frames:
            subsets.setdefault(one.subset, []).append(one)
        return subsets

    def images(self, frames: list[AnnotatedFrame], folder: str) -> _Members:
        """Yield the images in an arbitrary but stable order, as a hashed directory has."""
        if self.save_images:
            images = [one.frame for one in frames]
            for frame in sorted(images, key=lambda frame: zlib.crc32(frame.name.encode())):
                yield folder + frame.name, frame.data


_Members = Iterator[tuple[str, Callable[[], bytes]]]
"""Name and content of each member; the content is a function that makes it when needed."""


def _cvat_images(content: _ArchiveContent) -> _Members:
    yield "annotations.xml", lambda: cvat_images_xml(content.source, content.frames).encode()
    yield from _cvat_media(content)


def _cvat_video(content: _ArchiveContent) -> _Members:
    yield "annotations.xml", lambda: cvat_video_xml(content.source, content.frames).encode()
    yield from _cvat_media(content)


def _cvat_media(content: _ArchiveContent) -> _Members:
    if content.source.project is None:
        yield from content.images(content.frames, "images/")
        return
    for subset, frames in content.subsets.items():
        yield from content.images(frames, f"images/{subset}/")


def _coco(content: _ArchiveContent) -> _Members:
    for subset, frames in content.subsets.items():
        yield from content.images(frames, f"images/{subset}/")
        text = coco_json(content.labels, frames)
        yield f"annotations/instances_{subset}.json", text.encode


def _datumaro(content: _ArchiveContent) -> _Members:
    for subset, frames in content.subsets.items():
        yield from content.images(frames, f"images/{subset}/")
        text = datumaro_json(content.labels, frames)
        yield f"annotations/{subset}.json", text.encode


def _voc(content: _ArchiveContent) -> _Members:
    yield "labelmap.txt", voc_label_map(content.labels).encode
    for subset, frames in content.subsets.items():
        ids = "".join(f"{one.item_id}\n" for one in frames)
        yield f"ImageSets/Main/{subset}.txt", ids.encode
        yield from content.images(frames, "JPEGImages/")
        for one in frames:
            text = voc_xml(one, save_images=content.save_images)
            yield f"Annotations/{one.item_id}.xml", text.encode


def _yolo(content: _ArchiveContent) -> _Members:
    # This format calls the frames of no subset "train".
    subsets = {
        "train" if name == "default" else name: frames for name, frames in content.subsets.items()
    }
    for subset, frames in subsets.items():
        paths = "".join(f"data/images/{subset}/{one.frame.name}\n" for one in frames)
        yield f"{subset}.txt", paths.encode
    yield "data.yaml", yolo_yaml(subsets, content.labels).encode
    for subset, frames in subsets.items():
        yield from content.images(frames, f"images/{subset}/")
        for one in frames:
            text = yolo_labels(content.labels, one)
            yield f"labels/{subset}/{one.item_id}.txt", text.encode


def _kitti_raw(content: _ArchiveContent) -> _Members:
    yield "tracklet_labels.xml", lambda: kitti_tracklets(content.frames).encode()
    names = "".join(f"{one.frame.index} {one.item_id}\n" for one in content.frames)
    yield "frame_list.txt", names.encode
    yield from content.images(content.frames, "velodyne_points/data/")


_WRITERS: Final[dict[str, Callable[[_ArchiveContent], _Members]]] = {
    "CVAT for images 1.1": _cvat_images,
    "CVAT for video 1.1": _cvat_video,
    "COCO 1.0": _coco,
    "Datumaro 1.0": _datumaro,
    "PASCAL VOC 1.1": _voc,
    "Ultralytics YOLO Detection 1.0": _yolo,
    "Kitti Raw Format 1.0": _kitti_raw,
}
_OF_POINT_CLOUDS: Final = frozenset({"Kitti Raw Format 1.0"})

WRITTEN_FORMATS: Final = tuple(_WRITERS)
"""The formats in which generated tasks can be exported, by CVAT's names."""


def export_archive(
    task: Task | Sequence[Task],
    format_name: str,
    save_images: bool,
    *,
    project: Project | None = None,
    exported_at: datetime | None = None,
    base_url: str = _DEFAULT_URL,
) -> bytes:
    """Return the archive of an export; see `write_archive`.

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
    """Write the archive of an export to a seekable binary stream.

    Only one image at a time is in memory.

    The same arguments give the same bytes. A later `exported_at` changes the entry times and the
    date inside a CVAT XML, as an export that is not cached does, and never an image.

    Args:
        stream: Where to write; it stays open.
        task: A task with data; or one with ready archives, of which one is copied; or the tasks of
            a project, of which those without data are left out.
        format_name: CVAT's name of the format, exactly.
        save_images: Whether to write the images.
        project: The project, if a project is exported.
        exported_at: Timezone-aware time of the export; None for now.
        base_url: Origin of the server, for the links in a CVAT XML.

    Raises:
        ExportUnavailableError: The task has no data, or no ready archive of that kind, or the
            simulator does not write that format.
    """
    tasks = (task,) if isinstance(task, Task) else tuple(task)
    if len(tasks) == 1 and tasks[0].ready:
        with find_ready_archive(tasks[0], format_name, save_images).open("rb") as ready:
            shutil.copyfileobj(ready, stream, 1 << 20)
        return
    with_data = tuple(one for one in tasks if one.size)
    if not with_data:
        raise ExportUnavailableError(NO_DATA)
    if format_name not in _WRITERS:
        raise ExportUnavailableError(
            f"The simulator does not write {format_name}, only {', '.join(WRITTEN_FORMATS)}\n"
        )
    when = exported_at or datetime.now(UTC)
    source = ExportSource(with_data, project, when, base_url)
    dimension = "3d" if format_name in _OF_POINT_CLOUDS else "2d"
    content = _ArchiveContent(source, annotated_frames(with_data, dimension), save_images)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, make in _WRITERS[format_name](content):
            archive.writestr(_entry(name, when), make())


def find_ready_archive(task: Task, format_name: str, save_images: bool) -> Path:
    """Return the ready archive of a task that fits an export best.

    An archive of exactly this format comes before one for any format. The same holds for images.

    Raises:
        ExportUnavailableError: No archive fits.
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
    """Estimate the bytes of images in an archive of a task with images."""
    if task.ready:
        return find_ready_archive(task, format_name, True).stat().st_size
    return len(task.exported_frames()) * (task.content.frame_bytes or _FRAME_BYTES)


def _entry(name: str, when: datetime) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, (*when.timetuple()[:5], when.second // 2 * 2))
    entry.create_system = 3  # Unix, whichever system the simulator runs on
    entry.external_attr = 0o100644 << 16
    return entry
