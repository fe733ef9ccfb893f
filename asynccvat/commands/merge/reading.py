"""Read the tasks of mirrors for a merge. `core.merge` decides what their files say."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asynccvat.core.convert.formats import convert_task
from asynccvat.core.convert.frames import exported_frames
from asynccvat.core.convert.task_json import TASK_FILES, TaskJson, read_task_json
from asynccvat.core.merge.choices import DataSetFormat
from asynccvat.core.merge.coco import read_coco
from asynccvat.core.merge.cvat import read_cvat
from asynccvat.core.merge.filters import MergeFilter
from asynccvat.core.merge.left_out import left_out
from asynccvat.core.merge.values import (
    COCO_TASKS,
    CONVERTED_AS,
    ULTRALYTICS_TASKS,
    YOLO_TASKS,
    MergeTask,
    ReadFile,
    not_mergeable,
)
from asynccvat.core.merge.yolo import read_yolo
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.specs import CVAT, CVAT_IMAGES, CVAT_JSON, CVAT_VIDEO
from asynccvat.fs import disk_errors, files

_SAME_FORMAT = {
    DataSetFormat.COCO: {COCO_TASKS},
    DataSetFormat.YOLO: {ULTRALYTICS_TASKS, YOLO_TASKS},
    DataSetFormat.CVAT: {CVAT, CVAT_IMAGES, CVAT_VIDEO},
}
"""The formats of mirrors whose own files can be read for each format of data sets."""


@dataclass(frozen=True, slots=True)
class TaskFolder:
    """The folder of one task, with the paths of its files."""

    head: ReceiptHead
    mirror: Path
    prefix: str
    paths: Sequence[str]

    @property
    def place(self) -> str:
        """The folder of its images, relative to those of a part."""
        return f"{self.prefix}{self.head.folder}"

    def path(self, name: str) -> Path:
        """Return where one of its files is."""
        return self.mirror / self.head.folder / name

    def read(self, path: str) -> bytes | None:
        """Read one file of the task. No link is followed.

        Raises:
            StoreError: The disk refuses it.
        """
        return self.read_all([path]).get(path)

    def read_all(self, paths: Sequence[str]) -> dict[str, bytes]:
        """Read several files, all of one version of the folder.

        Raises:
            StoreError: The disk refuses it.
        """
        found = {}
        with contextlib.ExitStack() as stack:
            stack.enter_context(disk_errors.explained("read", self.mirror / self.head.folder))
            root = files.open_directory(self.mirror)
            stack.callback(os.close, root)
            folder = stack.enter_context(files.folder(self.head.folder, dir_fd=root))
            for path in paths:
                above, _, name = path.rpartition("/")
                with files.folder(above, dir_fd=folder) as fd:
                    content = files.read_file(name, dir_fd=fd)
                if content is not None:
                    found[path] = content
        return found


def read_task(one: TaskFolder, to: DataSetFormat, wanted: MergeFilter) -> MergeTask:
    """Read a task, as far as its jobs let it into the data set.

    Raises:
        InexactConversionError: Its files cannot be merged.
        StoreError: The disk refuses it.
    """
    name = one.head.format
    if name == CVAT_JSON:
        return _from_json(read_task_json(one.read_all(TASK_FILES)), one.paths, to, wanted)
    if name not in _SAME_FORMAT[to]:
        known = ", ".join(sorted(_SAME_FORMAT[to]))
        raise not_mergeable(
            f"its files are in {name!r}. Mirror it as JSON with images, or in one of {known}"
        )
    if wanted.needs_jobs:
        raise not_mergeable("only a mirror as JSON tells the stages and states of jobs")
    if wanted.min_area and to is DataSetFormat.YOLO:
        raise not_mergeable("files of YOLO do not tell how large objects are, so mirror it as JSON")
    return _read(to, one.paths, one.read, ())


def _from_json(
    source: TaskJson, paths: Sequence[str], to: DataSetFormat, wanted: MergeFilter
) -> MergeTask:
    converted = {
        file.path: b"".join(file.chunks) for file in convert_task(source, CONVERTED_AS[to])
    }
    frames = exported_frames(source)
    sizes = [(frame.width, frame.height) for frame in frames]
    task = _read(to, (*converted, *paths), converted.get, sizes)
    images = task.images
    for image in images:
        image.subset = source.task.subset or ""
    if wanted.needs_jobs:
        stay = wanted.frames(source.jobs, source.media.size)
        pairs = zip(images, frames, strict=True)
        images = [image for image, frame in pairs if stay[frame.index]]
    return replace(
        task,
        images=images,
        is_video=source.is_video,
        left_out=left_out(source.annotations, to),
    )


def _read(
    to: DataSetFormat, paths: Sequence[str], read: ReadFile, sizes: Sequence[tuple[int, int]]
) -> MergeTask:
    match to:
        case DataSetFormat.COCO:
            return read_coco(paths, read)
        case DataSetFormat.YOLO:
            return read_yolo(paths, read, sizes)
        case DataSetFormat.CVAT:
            return read_cvat(paths, read)
