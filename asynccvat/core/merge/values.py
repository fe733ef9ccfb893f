"""What a merge needs to know of a task, whatever format its files have."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from asynccvat.core.merge.choices import DataSetFormat
from asynccvat.core.specs import CVAT_IMAGES
from asynccvat.errors import ConfigError, InexactConversionError

COCO_TASKS: Final = "COCO 1.0"
ULTRALYTICS_TASKS: Final = "Ultralytics YOLO Detection 1.0"
YOLO_TASKS: Final = "YOLO 1.1"

CONVERTED_AS: Final = {
    DataSetFormat.COCO: COCO_TASKS,
    DataSetFormat.YOLO: ULTRALYTICS_TASKS,
    DataSetFormat.CVAT: CVAT_IMAGES,
}
"""The format to which a task as JSON is converted for each format of data sets."""


@dataclass(frozen=True, slots=True)
class MergeLabel:
    """A label as a task has it.

    Attributes:
        name: Its name, by which labels are united.
        text: What the format says of it, for a file of the data set. It may be empty.
        details: What must be the same in all tasks, else it is a conflict.
    """

    name: str
    text: str = ""
    details: str = ""


@dataclass(frozen=True, slots=True)
class MergeObject:
    """One annotation of an image.

    Attributes:
        label: The name of its label.
        area: Square pixels, None if it has none or it is not known.
        text: All that the format says of it, except ids.
    """

    label: str
    area: float | None
    text: str


@dataclass(slots=True)
class MergeImage:
    """One image of a task with its annotations.

    Attributes:
        name: Its name in the task, with folders.
        width: Pixels, 0 if not known.
        height: Pixels, 0 if not known.
        subset: The subset in CVAT.
        file: The path of the image's file in the task's folder, None if it has none.
        objects: The annotations.
    """

    name: str
    width: int
    height: int
    subset: str
    file: str | None = None
    objects: list[MergeObject] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class MergeTask:
    """The labels and images of a task, in the task's order.

    Attributes:
        labels: Its labels.
        images: Its images.
        is_video: Whether they are the frames of a video.
        left_out: How many annotations of each kind the format cannot hold, as far as it is known.
    """

    labels: Sequence[MergeLabel]
    images: Sequence[MergeImage]
    is_video: bool = False
    left_out: Counter[str] = field(default_factory=Counter)


_FRAME: Final = re.compile(r"frame_\d{6,}(\.\w+)?\Z")


def are_of_a_video(images: Sequence[MergeImage]) -> bool:
    """Whether images are called as CVAT calls the frames of a video: `frame_000012.png`."""
    return bool(images) and all(_FRAME.match(one.name) for one in images)


ReadFile = Callable[[str], bytes | None]
"""Returns the content of a file by its path in the task's folder, None if it is missing."""


def not_mergeable(why: str) -> InexactConversionError:
    """Return the error that says why a task cannot be a part of the data set."""
    return InexactConversionError(f"cannot merge the task: {why}.", reason=why)


def data_set_format(given: str) -> DataSetFormat:
    """Return the format that a user names.

    Raises:
        ConfigError: There is no such format of data sets.
    """
    try:
        return DataSetFormat(given.lower())
    except ValueError:
        raise ConfigError(
            f"cannot merge to {given!r}. Give one of {', '.join(DataSetFormat)}."
        ) from None
